//! Decompresses blocks of Avro files, up to a limit: a block of a few hundred bytes can claim gigabytes.
//!
//! Snappy (block format and checksum) is implemented here, to avoid a dependency. Format: `format_description.txt` of
//! google/snappy.

use std::io::{Error, ErrorKind, Read, Result};

/// Bytes of the checksum that follows a Snappy block.
const CHECKSUM: usize = 4;

/// Compression codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
    Bzip2,
    Xz,
}

impl Codec {
    /// The codec named in a file's header.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"null" => Self::Null,
            b"deflate" => Self::Deflate,
            b"snappy" => Self::Snappy,
            b"zstandard" => Self::Zstandard,
            b"bzip2" => Self::Bzip2,
            b"xz" => Self::Xz,
            _ => return None,
        })
    }

    /// The decompressed bytes of a block, at most `limit`.
    ///
    /// # Errors
    /// `OutOfMemory` if there are more, any other kind if the block is damaged.
    pub(super) fn decompress(self, block: Vec<u8>, limit: usize) -> Result<Vec<u8>> {
        let read = |reader: &mut dyn Read| {
            let mut decompressed = Vec::new();
            reader.take(limit as u64 + 1).read_to_end(&mut decompressed)?;
            if decompressed.len() > limit { Err(ErrorKind::OutOfMemory.into()) } else { Ok(decompressed) }
        };
        match self {
            Self::Null if block.len() > limit => Err(ErrorKind::OutOfMemory.into()),
            Self::Null => Ok(block),
            Self::Deflate => read(&mut flate2::read::DeflateDecoder::new(block.as_slice())),
            Self::Snappy => snappy(&block, limit),
            Self::Zstandard => read(&mut zstd::Decoder::new(block.as_slice())?),
            Self::Bzip2 => read(&mut bzip2::read::BzDecoder::new(block.as_slice())),
            Self::Xz => read(&mut liblzma::read::XzDecoder::new_multi_decoder(block.as_slice())),
        }
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::InvalidData, "its compressed data is invalid")
}

fn snappy(block: &[u8], limit: usize) -> Result<Vec<u8>> {
    let (compressed, checksum) = block.len().checked_sub(CHECKSUM).map(|at| block.split_at(at)).ok_or_else(damaged)?;
    let mut rest = compressed;
    let mut length = 0_u64;
    for shift in (0..35).step_by(7) {
        let byte = take(&mut rest, 1)?[0];
        length |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    let length = usize::try_from(length).ok().filter(|length| *length <= limit);
    let length = length.ok_or_else(|| Error::from(ErrorKind::OutOfMemory))?;
    let mut decompressed = Vec::with_capacity(length.min(compressed.len().saturating_mul(64)));
    while !rest.is_empty() && decompressed.len() <= length {
        element(&mut rest, &mut decompressed)?;
    }
    let mut crc = flate2::Crc::new();
    crc.update(&decompressed);
    if decompressed.len() != length || crc.sum().to_be_bytes() != checksum {
        return Err(Error::new(ErrorKind::InvalidData, "its checksum does not match"));
    }
    Ok(decompressed)
}

/// Appends one literal, or one copy of earlier output.
fn element(rest: &mut &[u8], decompressed: &mut Vec<u8>) -> Result<()> {
    let tag = take(rest, 1)?[0];
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
    let (length, offset) = match tag & 3 {
        0 => {
            let short = usize::from(tag >> 2);
            let length = if short < 60 { short } else { number(take(rest, short - 59)?) };
            decompressed.extend_from_slice(take(rest, length + 1)?);
            return Ok(());
        }
        1 => (4 + usize::from(tag >> 2 & 7), usize::from(tag >> 5) << 8 | number(take(rest, 1)?)),
        2 => (1 + usize::from(tag >> 2), number(take(rest, 2)?)),
        _ => (1 + usize::from(tag >> 2), number(take(rest, 4)?)),
    };
    let from = decompressed.len().checked_sub(offset).filter(|_| offset > 0).ok_or_else(damaged)?;
    // A copy may overlap the bytes that it produces.
    for at in from..from + length {
        decompressed.push(decompressed[at]);
    }
    Ok(())
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Result<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(bytes).ok_or_else(damaged)?;
    *rest = after;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn blocks_are_unpacked_up_to_the_limit() {
        let text = b"the same words and the same words again ".repeat(100);
        let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        deflate.write_all(&text).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
        bzip2.write_all(&text).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&text).unwrap();
        for (codec, compressed) in [
            (Codec::Null, text.clone()),
            (Codec::Deflate, deflate.finish().unwrap()),
            (Codec::Zstandard, zstd::encode_all(text.as_slice(), 1).unwrap()),
            (Codec::Bzip2, bzip2.finish().unwrap()),
            (Codec::Xz, xz.finish().unwrap()),
        ] {
            assert_eq!(codec.decompress(compressed.clone(), text.len()).unwrap(), text, "{codec:?}");
            let error = codec.decompress(compressed, text.len() - 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{codec:?}");
        }
    }

    #[test]
    fn snappy_has_literals_copies_and_a_checksum() {
        // 11 bytes: the literal "abcd", then 7 bytes copied from offset 4.
        let mut block = b"\x0b\x0cabcd\x0d\x04".to_vec();
        let mut crc = flate2::Crc::new();
        crc.update(b"abcdabcdabc");
        block.extend_from_slice(&crc.sum().to_be_bytes());
        assert_eq!(Codec::Snappy.decompress(block.clone(), 11).unwrap(), b"abcdabcdabc");
        assert_eq!(Codec::Snappy.decompress(block.clone(), 10).unwrap_err().kind(), ErrorKind::OutOfMemory);
        for at in 0..block.len() {
            let mut wrong = block.clone();
            wrong[at] ^= 0x10;
            assert!(Codec::Snappy.decompress(wrong, 1 << 20).is_err(), "bit in byte {at}");
            assert!(Codec::Snappy.decompress(block[..at].to_vec(), 1 << 20).is_err(), "cut at {at}");
        }
    }
}
