//! Reads the blocks of an Avro file and checks each against the file's own claims before it is decoded.
//!
//! ```text
//! file:  "Obj\x01" │ map of metadata: avro.schema, avro.codec │ sync: 16 bytes │ block …
//! block: number of records │ bytes │ compressed records │ sync
//! ```
//! A truncated file is refused, and so is a block that is not followed by the file's sync marker, decompresses to more
//! than [`MAX_BLOCK`], or whose records do not fill its bytes exactly; the error has the block's number.
//!
//! [`Blocks`] yields decompressed blocks, and [`Part`] presents some of them as a file, as the decoder expects. Records
//! of zero bytes are withheld and counted: the decoder would not see them.
//!
//! Format: the Avro specification, "Object Container Files". Not for: values.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};
use std::sync::{Arc, Mutex, PoisonError};

use super::codec::Codec;
use super::shape::{Records, long};
use crate::input::source::{Reader, Source};

/// Maximum bytes of a block, compressed or not.
pub(super) const MAX_BLOCK: usize = 64 << 20;
/// Maximum bytes of the header.
const MAX_HEADER: u64 = 16 << 20;
const MAGIC: &[u8] = b"Obj\x01";
const SYNC: usize = 16;
/// Maximum bytes of an encoded integer.
const LONGEST_NUMBER: usize = 10;

/// The blocks of one file.
#[derive(Debug)]
pub struct Blocks {
    source: Source,
    file: BufReader<Reader>,
    codec: Codec,
    records: Records,
    sync: [u8; SYNC],
    /// The file's header, rewritten for blocks that are not compressed.
    header: Vec<u8>,
    /// Number of the next block.
    number: u64,
    /// Number of records of zero bytes.
    empty: u64,
}

impl Blocks {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// `InvalidData` if it is not an Avro file or its header is damaged; the system's error if it cannot be read.
    pub(super) fn open(source: &Source, reader: Reader) -> Result<Self> {
        let mut file = BufReader::new(reader);
        let wrong = |why: String| Error::new(ErrorKind::InvalidData, format!("{source} {why}"));
        let header = Header::read(&mut (&mut file).take(MAX_HEADER)).map_err(|error| match error.kind() {
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => wrong(format!("is not a readable Avro file: {error}")),
            _ => error,
        })?;
        let schema =
            String::from_utf8(header.schema).map_err(|_| wrong("has a schema that is not UTF-8".to_owned()))?;
        let records = Records::read(&schema).map_err(|why| wrong(format!("is not a readable Avro file: {why}")))?;
        let codec = Codec::named(&header.codec).ok_or_else(|| {
            wrong(format!("is compressed with the unknown codec {:?}", String::from_utf8_lossy(&header.codec)))
        })?;
        let mut plain = [MAGIC, &number(1), &number(11), b"avro.schema", &number(schema.len() as i64)].concat();
        plain.extend_from_slice(schema.as_bytes());
        plain.extend_from_slice(&number(0));
        plain.extend_from_slice(&header.sync);
        let sync = header.sync;
        Ok(Self { source: source.clone(), file, codec, records, sync, header: plain, number: 0, empty: 0 })
    }

    /// The file's header, rewritten for blocks that are not compressed.
    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    /// Takes up to `most` of the withheld records of zero bytes; returns how many.
    pub fn take_empty(&mut self, most: u64) -> u64 {
        let taken = self.empty.min(most);
        self.empty -= taken;
        taken
    }

    /// Whether there are no more blocks.
    ///
    /// # Errors
    /// The system's error.
    pub fn at_end(&mut self) -> Result<bool> {
        self.file.fill_buf().map(<[u8]>::is_empty)
    }

    /// The next block that has bytes, framed as in an uncompressed file; none at the end.
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        while !self.at_end()? {
            let (count, records) = self.block().map_err(|error| self.unread(error))?;
            self.number += 1;
            if records.is_empty() {
                self.empty = self.empty.saturating_add(count);
                continue;
            }
            let mut framed = [number(count as i64), number(records.len() as i64)].concat();
            framed.extend_from_slice(&records);
            framed.extend_from_slice(&self.sync);
            return Ok(Some(framed));
        }
        Ok(None)
    }

    /// The error of the next block, which names it; one of a store is passed on as it is.
    fn unread(&self, error: Error) -> Error {
        let (block, source) = (self.number, &self.source);
        let message = match error.kind() {
            ErrorKind::UnexpectedEof => format!("{source} is truncated in block {block}"),
            ErrorKind::OutOfMemory => {
                let mib = MAX_BLOCK >> 20;
                format!("{source}: block {block} has more than {mib} MiB when decompressed; write smaller blocks")
            }
            _ if crate::error::Error::inside(&error).is_some() => return error,
            _ => format!("{source}: block {block} is damaged: {error}"),
        };
        Error::new(ErrorKind::InvalidData, message)
    }

    /// Reads the next block: its number of records, and their bytes.
    fn block(&mut self) -> Result<(u64, Vec<u8>)> {
        let wrong = |why: &str| Error::new(ErrorKind::InvalidData, why);
        let count =
            u64::try_from(read_long(&mut self.file)?).map_err(|_| wrong("its number of records is negative"))?;
        let size = usize::try_from(read_long(&mut self.file)?).map_err(|_| wrong("its size is negative"))?;
        if size > MAX_BLOCK {
            return Err(ErrorKind::OutOfMemory.into());
        }
        let mut packed = Vec::new();
        (&mut self.file).take(size as u64).read_to_end(&mut packed)?;
        let mut sync = [0; SYNC];
        self.file.read_exact(&mut sync)?;
        if sync != self.sync {
            return Err(wrong("it is not followed by the sync marker of this file"));
        }
        let records = self.codec.unpack(packed, MAX_BLOCK).map_err(|error| match error.kind() {
            // Compressed data that ends early is damage of the block, not a truncated file.
            ErrorKind::UnexpectedEof => wrong("its compressed data is invalid"),
            _ => error,
        })?;
        let fits = self.records.fill(&records, count);
        fits.ok_or_else(|| wrong("its records do not fill its bytes"))?;
        Ok((count, records))
    }
}

/// Presents the next blocks of a file as a complete file: until at least the given number of bytes.
#[derive(Debug)]
pub struct Part {
    blocks: Arc<Mutex<Blocks>>,
    ready: Vec<u8>,
    taken: usize,
    left: usize,
}

impl Part {
    /// The next blocks, of `bytes` bytes or slightly more.
    pub fn new(blocks: &Arc<Mutex<Blocks>>, bytes: usize) -> Self {
        let ready = blocks.lock().unwrap_or_else(PoisonError::into_inner).header().to_vec();
        Self { blocks: Arc::clone(blocks), ready, taken: 0, left: bytes }
    }
}

impl Read for Part {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let mut there = self.fill_buf()?;
        let read = there.read(bytes)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Part {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        if self.taken == self.ready.len() && self.left > 0 {
            let next = self.blocks.lock().unwrap_or_else(PoisonError::into_inner).next()?;
            self.ready = next.unwrap_or_default();
            self.taken = 0;
            self.left = self.left.saturating_sub(self.ready.len());
        }
        Ok(self.ready.get(self.taken..).unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        self.taken = self.ready.len().min(self.taken + bytes);
    }
}

/// The relevant fields of the header.
struct Header {
    schema: Vec<u8>,
    codec: Vec<u8>,
    sync: [u8; SYNC],
}

impl Header {
    fn read(from: &mut dyn BufRead) -> Result<Self> {
        let wrong = |why: &str| Error::new(ErrorKind::InvalidData, why);
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(wrong("it does not begin with the magic bytes"));
        }
        let mut header = Self { schema: Vec::new(), codec: b"null".to_vec(), sync: [0; SYNC] };
        loop {
            let count = read_long(from)?;
            if count == 0 {
                break;
            }
            if count < 0 {
                read_long(from)?;
            }
            for _ in 0..count.unsigned_abs() {
                let (key, value) = (read_bytes(from)?, read_bytes(from)?);
                match key.as_slice() {
                    b"avro.schema" => header.schema = value,
                    b"avro.codec" => header.codec = value,
                    _ => {}
                }
            }
        }
        from.read_exact(&mut header.sync)?;
        Ok(header)
    }
}

fn read_bytes(from: &mut dyn BufRead) -> Result<Vec<u8>> {
    let size = u64::try_from(read_long(from)?).map_err(|_| Error::from(ErrorKind::InvalidData))?;
    let mut bytes = Vec::new();
    from.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn read_long(from: &mut dyn BufRead) -> Result<i64> {
    let mut bytes = Vec::with_capacity(LONGEST_NUMBER);
    loop {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        bytes.push(byte[0]);
        if byte[0] < 0x80 || bytes.len() == LONGEST_NUMBER {
            break;
        }
    }
    long(&mut bytes.as_slice()).ok_or_else(|| Error::new(ErrorKind::InvalidData, "an integer does not end"))
}

fn number(value: i64) -> Vec<u8> {
    let mut folded = (value << 1 ^ value >> 63) as u64;
    let mut bytes = Vec::with_capacity(LONGEST_NUMBER);
    while folded >= 0x80 {
        bytes.push(folded as u8 | 0x80);
        folded >>= 7;
    }
    bytes.push(folded as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}]}"#;

    /// A file of the given schema and codec with these blocks.
    fn file(schema: &str, codec: &str, blocks: &[(i64, &[u8])]) -> tempfile::NamedTempFile {
        let mut bytes = [MAGIC, &number(2), &number(11), b"avro.schema", &number(schema.len() as i64)].concat();
        bytes.extend_from_slice(schema.as_bytes());
        bytes.extend_from_slice(&[&number(10), b"avro.codec".as_slice(), &number(codec.len() as i64)].concat());
        bytes.extend_from_slice(codec.as_bytes());
        bytes.extend_from_slice(b"\0the sync  bytes.");
        for (count, records) in blocks {
            bytes.extend_from_slice(&[number(*count), number(records.len() as i64)].concat());
            bytes.extend_from_slice(records);
            bytes.extend_from_slice(b"the sync  bytes.");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    fn opened(path: &std::path::Path) -> Result<Blocks> {
        let source = Source::Local(path.to_owned());
        let reader = source.open().unwrap().into_reader(1);
        Blocks::open(&source, reader)
    }

    fn read(file: &tempfile::NamedTempFile) -> Result<(Vec<u8>, u64)> {
        let blocks = Arc::new(Mutex::new(opened(file.path())?));
        let mut bytes = Vec::new();
        Part::new(&blocks, 1 << 20).read_to_end(&mut bytes)?;
        let mut blocks = blocks.lock().unwrap();
        assert!(blocks.at_end()?);
        Ok((bytes, blocks.take_empty(u64::MAX)))
    }

    #[test]
    fn blocks_come_unpacked_and_whole() {
        let packed = zstd::encode_all(b"\x02\x04".as_slice(), 1).unwrap();
        let (bytes, empty) = read(&file(SCHEMA, "zstandard", &[(2, &packed), (2, &packed)])).unwrap();
        assert!(bytes.ends_with(b"the sync  bytes.\x04\x04\x02\x04the sync  bytes.\x04\x04\x02\x04the sync  bytes."));
        assert_eq!(empty, 0);
        let nulls = SCHEMA.replace("\"int\"", "\"null\"");
        assert_eq!(read(&file(&nulls, "null", &[(5, b""), (2, b"")])).unwrap().1, 7);
    }

    #[test]
    fn a_file_comes_in_parts_of_so_many_bytes() {
        let three = file(SCHEMA, "null", &[(1, b"\x02"), (1, b"\x04"), (1, b"\x06")]);
        let blocks = Arc::new(Mutex::new(opened(three.path()).unwrap()));
        let ends = |end: &[u8], bytes: usize| {
            let mut read = Vec::new();
            Part::new(&blocks, bytes).read_to_end(&mut read).unwrap();
            assert!(read.starts_with(MAGIC) && read.ends_with(&[end, b"the sync  bytes."].concat()), "{read:?}");
        };
        ends(b"the sync  bytes.\x02\x02\x04", 20);
        assert!(!blocks.lock().unwrap().at_end().unwrap());
        ends(b"the sync  bytes.\x02\x02\x06", 20);
        assert!(blocks.lock().unwrap().at_end().unwrap());
    }

    #[test]
    fn what_does_not_add_up_is_refused_with_its_block() {
        let told = |file: &tempfile::NamedTempFile| read(file).unwrap_err().to_string();
        let two = file(SCHEMA, "null", &[(2, b"\x02\x04"), (2, b"\x02\x04")]);
        let bytes = std::fs::read(two.path()).unwrap();
        for cut in 1..20 {
            std::fs::write(two.path(), &bytes[..bytes.len() - cut]).unwrap();
            assert_eq!(told(&two).contains("is truncated in block 1"), cut < 20, "cut by {cut}");
        }
        assert!(told(&file(SCHEMA, "null", &[(1, b"\x02\x04")])).contains("block 0 is damaged: its records"));
        assert!(told(&file(SCHEMA, "null", &[(3, b"\x02\x04")])).contains("block 0 is damaged: its records"));
        assert!(told(&file(SCHEMA, "lzma", &[])).contains("unknown codec \"lzma\""));
        let bomb = zstd::encode_all(vec![2; MAX_BLOCK + 1].as_slice(), 1).unwrap();
        assert!(told(&file(SCHEMA, "zstandard", &[(1, &bomb)])).contains("more than 64 MiB when decompressed"));
    }
}
