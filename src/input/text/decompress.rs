//! Decompresses gzip, zstd, bzip2 and xz files, recognized by the extension of their names.
//!
//! A compressed file is read as a stream, by one thread, even if it consists of several members. The memory of decoders
//! is bounded: xz by a limit, zstd by the largest window that its own command accepts by default.
//!
//! Not for: formats with their own compression (Parquet, Avro).

use std::io::{BufReader, Read};
use std::path::Path;

use liblzma::stream::{CONCATENATED, Stream};

use crate::input::source::Reader;

/// Maximum memory of an xz decoder; files of `xz -9` need 65 MiB.
const XZ_MEMORY: u64 = 80 << 20;
/// Base-2 logarithm of the largest zstd window: 128 MiB, the default limit of its command.
const ZSTD_WINDOW: u32 = 27;
/// Bytes read at a time.
const BLOCK: usize = 256 << 10;

/// The compression of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileCompression {
    /// None.
    None,
    /// gzip, with any number of members.
    Gzip,
    /// Zstandard, with any number of frames.
    Zstd,
    /// bzip2, with any number of streams.
    Bzip2,
    /// xz, with any number of streams.
    Xz,
}

/// Compressions, their file extensions and magic bytes.
const FILE_COMPRESSIONS: [(FileCompression, &[&str], &[u8]); 4] = [
    (FileCompression::Gzip, &["gz"], b"\x1f\x8b"),
    (FileCompression::Zstd, &["zst", "zstd"], b"\x28\xb5\x2f\xfd"),
    (FileCompression::Bzip2, &["bz2"], b"BZh"),
    (FileCompression::Xz, &["xz"], b"\xfd7zXZ\0"),
];

impl FileCompression {
    /// The compression according to the extension of the file's name.
    pub(crate) fn of(path: &Path) -> Self {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        let found = FILE_COMPRESSIONS.iter().find(|(_, endings, _)| endings.contains(&ending.as_str()));
        found.map_or(Self::None, |(compression, ..)| *compression)
    }

    /// The extension that a file with this beginning should have, if it is compressed.
    pub(super) fn ending_for(start: &[u8]) -> Option<&'static str> {
        FILE_COMPRESSIONS.iter().find(|(.., magic)| start.starts_with(magic)).map(|(_, endings, _)| endings[0])
    }

    /// Reads the decompressed content of the file.
    ///
    /// # Errors
    /// If the decoder cannot be created.
    pub(super) fn decompress(self, file: Reader) -> std::io::Result<Box<dyn Read + Send>> {
        let file = BufReader::with_capacity(BLOCK, file);
        Ok(match self {
            Self::None => Box::new(file.into_inner()),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Box::new(decoder)
            }
            Self::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn compressed_files_of_several_members_are_read_whole() {
        let compressed = |part: &[u8]| -> Vec<(FileCompression, Vec<u8>)> {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(part).unwrap();
            let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            bzip2.write_all(part).unwrap();
            let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
            xz.write_all(part).unwrap();
            vec![
                (FileCompression::None, part.to_vec()),
                (FileCompression::Gzip, gzip.finish().unwrap()),
                (FileCompression::Bzip2, bzip2.finish().unwrap()),
                (FileCompression::Xz, xz.finish().unwrap()),
                (FileCompression::Zstd, zstd::stream::encode_all(part, 1).unwrap()),
            ]
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("compressed");
        for ((compression, one), (_, two)) in compressed(b"one,").into_iter().zip(compressed(b"two")) {
            std::fs::write(&path, [one.as_slice(), &two].concat()).unwrap();
            let opened = || Reader::Local(std::fs::File::open(&path).unwrap());
            let mut text = String::new();
            compression.decompress(opened()).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "one,two", "{compression:?}");
            let ending = FileCompression::ending_for(&one);
            assert_eq!(FileCompression::of(Path::new(&format!("a.csv.{}", ending.unwrap_or("csv")))), compression);
            std::fs::write(&path, &one[..one.len() - 1]).unwrap();
            let cut = compression.decompress(opened()).unwrap().read_to_end(&mut Vec::new());
            assert_eq!(cut.is_err(), compression != FileCompression::None, "{compression:?} cut off");
        }
    }
}
