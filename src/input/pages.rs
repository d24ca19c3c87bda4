//! The decompressed size of the pages of a column chunk.
//!
//! A reader holds a column chunk compressed and decompresses it page by page. How much memory a page needs is in its
//! header: 501 bytes can hold a page of gigabytes. A footer has only the sum of a chunk, which may be wrong.
//!
//! ```text
//! column chunk: (header, page)…      header: 2 decompressed size, 3 size in the file
//! ```
//! - [`weigh`] finds the largest page of a chunk whose compression ratio is suspiciously high.
//! - [`check`] refuses a page that decompresses to more than the footer says of the whole chunk, while it is read.
//!
//! Not for: the content of a page.

use std::borrow::Cow;

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::source::Source;
use super::thrift::{Kind, ThriftReader};

/// Chunks with at least this decompressed size, and [`SUSPICIOUS_TIMES`] their size in the file, are examined.
const SUSPICIOUS_BYTES: u64 = 8 << 20;
const SUSPICIOUS_TIMES: u64 = 16;
/// A page up to this size is accepted whatever the footer says of its chunk; some writers omit the sum.
const FREE_PAGE: u64 = 64 << 20;
/// Bytes read at first to find a header, and at most; headers contain statistics, and those contain values.
const WINDOW: usize = 8 << 10;
const LARGEST_HEADER: usize = 64 << 20;
/// Bytes read at least from an object store, where every read is a request.
const REMOTE_WINDOW: usize = 1 << 20;

/// Decompressed bytes of the largest page of each suspicious chunk, with the index of its column.
pub(super) fn weigh(source: &Source, metadata: &ParquetMetaData) -> Vec<(usize, u64)> {
    let mut file = None;
    let mut weights = Vec::new();
    for (at, chunk) in metadata.row_groups().iter().flat_map(|group| group.columns().iter().enumerate()) {
        let (decompressed, compressed) = (decompressed(chunk), chunk.byte_range().1);
        if decompressed < SUSPICIOUS_BYTES || decompressed / SUSPICIOUS_TIMES < compressed {
            continue;
        }
        if file.is_none() {
            file = source.open().ok();
        }
        let (start, length) = chunk.byte_range();
        let window = |at: u64, bytes: usize| {
            let file = file.as_ref()?;
            let wanted = if file.is_remote() { bytes.max(REMOTE_WINDOW) } else { bytes };
            let window = file.read_at(start + at..start + length.min(at + wanted as u64)).ok()?;
            Some(Cow::Owned(window.to_vec()))
        };
        weights.push((at, largest(length, window).unwrap_or(decompressed)));
    }
    weights
}

/// Compares the pages of a chunk that was read with what the footer says of it.
///
/// # Errors
/// Describes the contradiction.
pub(super) fn check(chunk: &ColumnChunkMetaData, bytes: &[u8]) -> Result<(), String> {
    let window = |at: u64, _| usize::try_from(at).ok().and_then(|at| bytes.get(at..)).map(Cow::Borrowed);
    // Headers that cannot be parsed are reported by the reader.
    let largest = largest(bytes.len() as u64, window).unwrap_or(0);
    if largest <= decompressed(chunk).max(FREE_PAGE) {
        return Ok(());
    }
    let (claimed, mib) = (decompressed(chunk), largest >> 20);
    Err(format!("a page decompresses to {mib} MiB, more than the {claimed} bytes that the footer gives for all pages"))
}

fn decompressed(chunk: &ColumnChunkMetaData) -> u64 {
    u64::try_from(chunk.uncompressed_size()).unwrap_or(0)
}

/// The largest decompressed size among the pages in `length` bytes; `window` returns the bytes at an offset.
fn largest<'a>(length: u64, mut window: impl FnMut(u64, usize) -> Option<Cow<'a, [u8]>>) -> Option<u64> {
    let (mut at, mut largest) = (0, 0);
    // The bytes of the current window, and their offset.
    let (mut start, mut there): (u64, Cow<[u8]>) = (0, Cow::Borrowed(&[]));
    while at < length {
        let known = usize::try_from(at - start).ok().and_then(|from| there.get(from..)).and_then(header);
        let (bytes, compressed, decompressed) = match known {
            Some(header) => header,
            None => {
                let mut wanted = WINDOW;
                loop {
                    (start, there) = (at, window(at, wanted)?);
                    match header(&there) {
                        Some(header) => break header,
                        None if there.len() < wanted || wanted > LARGEST_HEADER => return None,
                        None => wanted *= 8,
                    }
                }
            }
        };
        largest = largest.max(decompressed);
        at = at.checked_add(bytes)?.checked_add(compressed)?;
    }
    Some(largest)
}

/// Size of the page header at the beginning of `bytes`, and of its page in the file and decompressed.
fn header(bytes: &[u8]) -> Option<(u64, u64, u64)> {
    let (mut compressed, mut decompressed) = (None, None);
    let mut walk = ThriftReader::new(bytes);
    walk.structure(|walk, id, kind| {
        match (id, kind) {
            (2, Kind::Integer) => decompressed = u64::try_from(walk.integer()?).ok(),
            (3, Kind::Integer) => compressed = u64::try_from(walk.integer()?).ok(),
            _ => walk.skip(kind)?,
        }
        Some(())
    })?;
    Some(((bytes.len() - walk.left()) as u64, compressed?, decompressed?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk of pages with these sizes and decompressed sizes.
    fn chunk(pages: &[(u8, u64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (compressed, decompressed) in pages {
            bytes.extend_from_slice(&[0x15, 0x00, 0x15]); // type: data page; decompressed size:
            let mut folded = decompressed << 1;
            while folded >= 0x80 {
                bytes.push(folded as u8 | 0x80);
                folded >>= 7;
            }
            bytes.extend_from_slice(&[folded as u8, 0x15, compressed << 1, 0x00]);
            bytes.extend(vec![0xff; usize::from(*compressed)]);
        }
        bytes
    }

    #[test]
    fn the_largest_page_is_found_and_other_bytes_are_no_page() {
        let whole = chunk(&[(40, 100), (3, 5_000_000_000), (0, 7)]);
        let of = |bytes: &[u8]| {
            largest(bytes.len() as u64, |at, most| {
                Some(Cow::Borrowed(&bytes[at as usize..][..most.min(bytes.len() - at as usize)]))
            })
        };
        assert_eq!(of(&whole), Some(5_000_000_000));
        assert_eq!(of(&chunk(&vec![(60, 80); 10_000])), Some(80), "more than one window");
        assert_eq!(of(&[0xff; 100]), None);
        assert_eq!(of(&[]), Some(0));
    }
}
