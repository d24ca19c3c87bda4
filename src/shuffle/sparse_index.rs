//! The sparse index of a run: first key and offset of every block, or of every n-th block if the run is long, so that
//! the index stays small.
//!
//! Not for: reading blocks (`spill`).

/// Most marks (indexed blocks) of one run. In tests, a run of one MiB is already long.
const MAX_MARKS: usize = if cfg!(test) { 16 } else { 8 << 10 };

/// Most bytes of the keys of all marks of one run, unless there is only one mark.
const MAX_KEY_BYTES: usize = 256 << 10;

/// The marks of a run, in order, each with the first shard and key of a block and its offset in the file.
#[derive(Debug)]
pub(super) struct Index {
    marks: Vec<Mark>,
    /// The keys of all marks, one after another.
    keys: Vec<u8>,
    /// Blocks per mark: a power of two.
    step: usize,
    blocks: usize,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    offset: u64,
    shard: u32,
    /// The end of its key in `keys`.
    key_end: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self { marks: Vec::new(), keys: Vec::new(), step: 1, blocks: 0 }
    }
}

impl Index {
    /// Adds the next block.
    pub(super) fn push(&mut self, offset: u64, shard: u32, key: &[u8]) {
        if self.blocks.is_multiple_of(self.step) {
            self.keys.extend_from_slice(key);
            self.marks.push(Mark { offset, shard, key_end: self.keys.len() });
            while self.marks.len() > MAX_MARKS || (self.keys.len() > MAX_KEY_BYTES && self.marks.len() > 1) {
                *self = self.halved();
            }
        }
        self.blocks += 1;
    }

    /// The same index with every second mark removed.
    fn halved(&self) -> Self {
        let mut halved = Self { step: 2 * self.step, ..Self::default() };
        for at in (0..self.marks.len()).step_by(2) {
            halved.keys.extend_from_slice(self.key(at));
            halved.marks.push(Mark { key_end: halved.keys.len(), ..self.marks[at] });
        }
        halved.blocks = self.blocks;
        halved
    }

    /// Blocks per mark.
    pub(super) fn step(&self) -> usize {
        self.step
    }

    /// The offset, shard and key of every mark.
    pub(super) fn marks(&self) -> impl ExactSizeIterator<Item = (u64, u32, &[u8])> {
        self.marks.iter().enumerate().map(|(at, mark)| (mark.offset, mark.shard, self.key(at)))
    }

    /// The offset of the last indexed block that begins before (shard, key), or of the first block: every entry at or
    /// after (shard, key) is in that block or in a later one.
    pub(super) fn seek(&self, shard: u32, key: &[u8]) -> u64 {
        let mut range = 0..self.marks.len();
        while range.len() > 1 {
            let middle = range.start + range.len() / 2;
            let before = (self.marks[middle].shard, self.key(middle)) < (shard, key);
            range = if before { middle..range.end } else { range.start..middle };
        }
        self.marks.get(range.start).map_or(0, |mark| mark.offset)
    }

    fn key(&self, at: usize) -> &[u8] {
        let from = at.checked_sub(1).map_or(0, |before| self.marks[before].key_end);
        &self.keys[from..self.marks[at].key_end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of 10 bytes whose keys are their numbers; every third begins with the key of the block before.
    fn index(blocks: usize) -> (Index, Vec<u32>) {
        let keys: Vec<u32> = (0..blocks as u32).map(|block| block - u32::from(block % 3 == 2)).collect();
        let mut index = Index::default();
        keys.iter().enumerate().for_each(|(block, key)| index.push(10 * block as u64, 0, &key.to_be_bytes()));
        (index, keys)
    }

    #[test]
    fn a_long_run_has_few_marks_at_regular_intervals() {
        for (blocks, step) in [(0, 1), (1, 1), (MAX_MARKS, 1), (MAX_MARKS + 1, 2), (9 * MAX_MARKS, 16)] {
            let (index, keys) = index(blocks);
            assert_eq!(index.step(), step, "{blocks} blocks");
            assert_eq!(index.marks().len(), blocks.div_ceil(step), "{blocks} blocks");
            for (offset, shard, key) in index.marks() {
                let block = offset as usize / 10;
                assert_eq!((block % step, shard, key), (0, 0, &keys[block].to_be_bytes()[..]));
            }
        }
    }

    #[test]
    fn long_keys_are_marked_less_often() {
        let mut index = Index::default();
        (0..100_u64).for_each(|block| index.push(block, 0, &[block as u8; 60 << 10]));
        assert!(index.keys.len() <= MAX_KEY_BYTES && index.marks().len() > 1);
        assert!(index.marks().all(|(offset, _, key)| key[0] as u64 == offset));
        assert_eq!(index.seek(0, &[99; 60 << 10]) % index.step() as u64, 0);
    }

    #[test]
    fn a_seek_never_starts_after_the_wanted_key() {
        let (index, keys) = index(3 * MAX_MARKS);
        for wanted in 0..3 * MAX_MARKS as u32 + 9 {
            let block = index.seek(0, &wanted.to_be_bytes()) as usize / 10;
            let first = keys.partition_point(|key| *key < wanted);
            assert!(block <= first.saturating_sub(1), "{wanted}: block {block}");
            assert!(block + 2 * index.step() >= first.min(keys.len()), "{wanted}: block {block} is far before it");
        }
        assert_eq!(Index::default().seek(3, b"key"), 0);
    }
}
