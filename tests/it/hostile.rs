//! Hostile Parquet files: small files in the layouts of common writers, damaged in each of their parts, and files made
//! to exhaust memory. Each run ends in bounded time and memory: with an error that names the file, or with all rows.
//!
//! ```text
//! magic │ page header, page … per column │ page indexes │ footer │ its size, magic
//! ```
//! Pages have no checksum by default, so a flipped bit in a plain value only makes another value.
//!
//! Not for: other damage of inputs and of stores (`corruption`).

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Builder, ListBuilder, StringArray};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};

use crate::fixture::{NUMBERS, Numbers, integers, strings};
use crate::harness::{CUTOVER, Run, names};
use crate::random::{Random, seeds};

const ROWS: usize = 100;
/// KiB of address space that a run may take: several times what it needs, and far less than a hostile file asks for.
const ADDRESS_SPACE: u64 = 8 << 20;
/// Damaged files of each part of each shape.
const SEEDS: u64 = 3;

/// The columns of every shape; some of the values are null, some are lists.
fn columns(nested: bool) -> Vec<(&'static str, ArrayRef)> {
    let keys: Vec<String> = (0..ROWS).map(|row| format!("k{row:03}")).collect();
    let texts = (0..ROWS).map(|row| (row % 7 != 0).then(|| format!("text {}", row % 5)));
    let ratios = (0..ROWS).map(|row| (row % 3 != 0).then_some(row as f64 / 3.0));
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("key", strings(keys.iter().map(String::as_str))),
        ("generation", integers(std::iter::repeat_n(2, ROWS))),
        ("text", Arc::new(StringArray::from_iter(texts))),
        ("ratio", Arc::new(Float64Array::from_iter(ratios))),
    ];
    if nested {
        let mut lists = ListBuilder::new(Int64Builder::new());
        (0..ROWS).for_each(|row| lists.append_option((row % 4 != 0).then(|| (0..row as i64 % 6).map(Some))));
        columns.push(("list", Arc::new(lists.finish())));
    }
    columns
}

fn file(columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Files in the layouts of common writers.
pub fn shapes() -> Vec<(&'static str, Vec<u8>)> {
    let plain =
        WriterProperties::builder().set_dictionary_enabled(false).set_statistics_enabled(EnabledStatistics::None);
    let dictionary = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let second = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(Default::default()))
        .set_data_page_row_count_limit(30)
        .set_write_batch_size(10);
    let groups = WriterProperties::builder()
        .set_max_row_group_row_count(Some(40))
        .set_dictionary_enabled(false)
        .set_compression(Compression::LZ4_RAW)
        .set_column_encoding("key".into(), Encoding::DELTA_BYTE_ARRAY)
        .set_column_encoding("generation".into(), Encoding::DELTA_BINARY_PACKED)
        .set_column_encoding("ratio".into(), Encoding::BYTE_STREAM_SPLIT);
    vec![
        ("plain", file(columns(false), plain.build())),
        ("dictionary", file(columns(true), dictionary.build())),
        ("second version of pages", file(columns(true), second.build())),
        ("row groups", file(columns(false), groups.build())),
    ]
}

fn metadata(bytes: &[u8]) -> ParquetMetaData {
    ParquetMetaDataReader::decode_metadata(&bytes[footer(bytes)]).unwrap()
}

/// The position of a file's footer.
pub fn footer(bytes: &[u8]) -> Range<usize> {
    let end = bytes.len() - 8;
    let size = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap());
    end - size as usize..end
}

/// The parts of a file, several of each kind.
fn parts(bytes: &[u8]) -> BTreeMap<&'static str, Vec<Range<usize>>> {
    const HEADER: usize = 24;
    let mut parts: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut end_of_pages = 4;
    for column in metadata(bytes).row_groups().iter().flat_map(|group| group.columns().to_vec()) {
        let (start, size) = column.byte_range();
        let (start, end) = (start as usize, (start + size) as usize);
        let header = (start + HEADER).min(end);
        parts.entry("page header").or_default().push(start..header);
        parts.entry("page").or_default().push(header..end);
        end_of_pages = end_of_pages.max(end);
    }
    let footer = footer(bytes);
    let rest = [
        ("magic", 0..4),
        ("page index", end_of_pages..footer.start),
        ("tail", footer.end..bytes.len()),
        ("footer", footer),
    ];
    parts.extend(rest.map(|(part, range)| (part, Vec::from([range]))));
    parts.retain(|_, ranges| {
        ranges.retain(|range| !range.is_empty());
        !ranges.is_empty()
    });
    parts
}

/// A store with a published version of the file, for runs over damaged ones.
struct Target {
    numbers: Numbers,
}

impl Target {
    fn new(whole: &[u8]) -> Self {
        let numbers = Numbers::new();
        let job = NUMBERS.replace("SELECT key, generation", "SELECT *").replace("shards = 4", "");
        numbers.workspace.write("numbers.toml", format!("{job}\n[retention]\nkeep = 1\n"));
        let target = Self { numbers };
        target.run(whole).ok();
        target
    }

    fn run(&self, input: &[u8]) -> Run {
        self.numbers.workspace.write("in/part-0.parquet", input);
        let script =
            format!("ulimit -v {ADDRESS_SPACE} && exec {CUTOVER} run numbers.toml --rebuild --json --memory 256MiB");
        let mut command = self.numbers.workspace.command("sh", &["-c", &script]);
        self.numbers.workspace.finish(&mut command)
    }

    /// A run over a damaged file returns all rows, or refuses it and changes nothing. Returns the exit code.
    #[track_caller]
    fn takes_or_refuses(&self, input: &[u8], what: &str) -> i32 {
        let current = || fs::read(self.numbers.workspace.path("store/current.json")).unwrap();
        let before = current();
        let run = self.run(input);
        let code = run.code();
        let said = run.stderr.clone();
        match code {
            0 => {
                let rows = run.ok().json()["rows"].clone();
                assert_eq!(rows, ROWS, "{what}: rows were lost silently");
            }
            // A changed value can break a rule about rows, and the version is then rejected.
            7 => drop(run.exits(7)),
            // A changed name or type of a column is reported as such.
            2 => {
                run.fails(2);
                assert_eq!(current(), before, "{what}");
            }
            _ => {
                run.fails(3);
                let named =
                    ["in/part-0.parquet", "column", "appears more than once"].iter().any(|it| said.contains(it));
                assert!(named, "{what}: {said}");
                assert_eq!(current(), before, "{what}");
            }
        }
        assert_eq!(names(&self.numbers.workspace.path("store/staging")), [""; 0], "{what}: left in staging");
        code
    }
}

/// Damages the file in each of its parts; returns how often each part was refused, and of how many attempts.
fn damage(shape: &str, whole: &[u8]) -> BTreeMap<String, (usize, usize)> {
    let target = Target::new(whole);
    let mut refused: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut try_it = |part: &str, input: &[u8], what: &str| {
        let counts = refused.entry(part.to_owned()).or_default();
        counts.0 += usize::from(target.takes_or_refuses(input, what) != 0);
        counts.1 += 1;
    };
    for (part, ranges) in parts(whole) {
        for seed in seeds(SEEDS) {
            let mut random = Random::new(seed << 16 | part.len() as u64);
            let range = ranges[random.below(ranges.len())].clone();
            let at = range.start + random.below(range.len());
            let mut bytes = whole.to_vec();
            let bit = random.below(8);
            bytes[at] ^= 1 << bit;
            try_it(part, &bytes, &format!("{shape}, seed {seed}: bit {bit} of byte {at}, {part}, is flipped"));
        }
    }
    for seed in seeds(SEEDS) {
        let size = Random::new(seed ^ 0xc07).below(whole.len());
        try_it("cut off", &whole[..size], &format!("{shape}, seed {seed}: cut off after {size} bytes"));
    }
    let (tried, all) = refused.get("cut off").copied().unwrap();
    assert_eq!(tried, all, "a file that is cut off cannot be read");
    refused
}

#[test]
fn a_damaged_plain_file_is_refused_or_gives_all_rows() {
    println!("{:?}", damage("plain", &shapes()[0].1));
}

#[test]
fn a_damaged_file_with_dictionaries_and_lists_is_refused_or_gives_all_rows() {
    println!("{:?}", damage("dictionary", &shapes()[1].1));
}

#[test]
fn a_damaged_file_of_second_version_pages_is_refused_or_gives_all_rows() {
    println!("{:?}", damage("second version of pages", &shapes()[2].1));
}

#[test]
fn a_damaged_file_of_several_row_groups_is_refused_or_gives_all_rows() {
    println!("{:?}", damage("row groups", &shapes()[3].1));
}

/// The file with another footer.
fn with_footer(bytes: &[u8], metadata: &ParquetMetaData) -> Vec<u8> {
    let mut forged = bytes[..footer(bytes).start].to_vec();
    let mut end = Vec::new();
    ParquetMetaDataWriter::new(&mut end, metadata).finish().unwrap();
    forged.extend_from_slice(&end);
    forged
}

/// The file with a footer whose one row group has this many rows and other columns.
fn forged(bytes: &[u8], rows: i64, column: impl Fn(ColumnChunkMetaData) -> ColumnChunkMetaData) -> Vec<u8> {
    let metadata = metadata(bytes);
    let file = metadata.file_metadata();
    let file = FileMetaData::new(
        file.version(),
        rows,
        None,
        file.key_value_metadata().cloned(),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    let group = metadata.row_group(0).clone();
    let columns = group.columns().iter().cloned().map(column).collect();
    let group = group.into_builder().set_num_rows(rows).set_column_metadata(columns).build().unwrap();
    with_footer(bytes, &ParquetMetaData::new(file, vec![group]))
}

/// The file with a footer that states this many rows in all, and is otherwise unchanged.
fn with_rows(bytes: &[u8], rows: i64) -> Vec<u8> {
    // The third field of the footer, an integer; the fourth one, a list, follows.
    let field = |rows: i64| {
        let mut field = vec![0x16];
        varint(&mut field, (rows << 1 ^ rows >> 63) as u64);
        field.push(0x19);
        field
    };
    let (old, new) = (field(ROWS as i64), field(rows));
    assert_eq!(old.len(), new.len());
    let from = footer(bytes).start;
    let at = from + bytes[from..].windows(old.len()).position(|window| window == old).unwrap();
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(&new);
    bytes
}

#[test]
fn a_footer_that_claims_more_than_there_is_is_refused() {
    let whole = shapes().remove(0).1;
    let target = Target::new(&whole);
    let same = |column: ColumnChunkMetaData| column;
    let values =
        |values: i64| move |column: ColumnChunkMetaData| column.into_builder().set_num_values(values).build().unwrap();
    let place = |offset: i64, bytes: i64| {
        move |column: ColumnChunkMetaData| {
            column.into_builder().set_data_page_offset(offset).set_total_compressed_size(bytes).build().unwrap()
        }
    };
    let rows = ROWS as i64;
    for (what, bytes) in [
        ("many rows in a row group", forged(&whole, i64::MAX, same)),
        ("one row more in all", with_rows(&whole, rows + 1)),
        ("one row less in all", with_rows(&whole, rows - 1)),
        ("less than no rows in all", with_rows(&whole, -rows)),
        ("one row less in a row group", forged(&whole, rows - 1, same)),
        ("less than no rows", forged(&whole, -1, values(-1))),
        ("a column before the file", forged(&whole, rows, place(-1, 10))),
        ("a column of less than no bytes", forged(&whole, rows, place(4, -1))),
        ("a column after the file", forged(&whole, rows, place(i64::MAX, 10))),
        ("a column larger than the file", forged(&whole, rows, place(4, i64::MAX))),
    ] {
        let run = target.run(&bytes);
        assert_eq!(run.code(), 3, "{what}: {}", run.stderr);
        run.fails(3).complains(&["in/part-0.parquet", "not a readable Parquet file"]);
        assert_eq!(names(&target.numbers.workspace.path("store/staging")), [""; 0], "{what}");
    }
    // A footer may be consistent and still wrong: only the rows show it.
    let many = forged(&whole, i64::MAX, values(i64::MAX));
    target
        .run(&many)
        .fails(3)
        .complains(&["in/part-0.parquet is damaged", "100 rows, its footer says 9223372036854775807"]);
    target.run(&forged(&whole, rows, same)).ok();
}

/// A query of one column has no other column to compare with; that the page lost rows is noticed anyway.
#[test]
fn a_page_with_too_low_a_count_loses_no_rows_silently() {
    let keys: Vec<String> = (0..ROWS).map(|row| format!("k{row:03}")).collect();
    let column = || vec![("key", strings(keys.iter().map(String::as_str)))];
    let properties = WriterProperties::builder().set_dictionary_enabled(false);
    let mut bytes = file(column(), properties.build());
    // In Thrift's compact form: the header of the page's data, and in it the number of its values.
    let mut found = b"\x2c\x15".to_vec();
    varint(&mut found, 2 * ROWS as u64);
    let at = bytes.windows(found.len()).position(|window| window == found).unwrap();
    let numbers = Numbers::new();
    numbers.workspace.write("numbers.toml", NUMBERS.replace("SELECT key, generation", "SELECT key"));
    numbers.workspace.write("in/part-0.parquet", &bytes);
    numbers.workspace.cutover("run numbers.toml").ok();
    bytes[at + 2] -= 20;
    numbers.workspace.write("in/part-0.parquet", &bytes);
    let refused = numbers.workspace.cutover("run numbers.toml").fails(3);
    refused
        .complains(&["in/part-0.parquet is damaged", "column key of row group 0 holds 90 rows, its footer says 100"]);
    numbers.assert_states(&[(1, "published")]);
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A file that is a footer alone.
fn only_footer(footer: &[u8]) -> Vec<u8> {
    [b"PAR1", footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

/// A footer whose schema elements, all of them groups, have this many children each.
fn schema(children: impl ExactSizeIterator<Item = u64>) -> Vec<u8> {
    let mut footer = vec![0x15, 0x02, 0x19, 0xfc];
    varint(&mut footer, children.len() as u64);
    for children in children {
        footer.extend_from_slice(b"\x35\x00\x18\x01n\x15"); // repetition: required; name: "n"; children:
        varint(&mut footer, children << 1);
        footer.push(0);
    }
    footer.extend_from_slice(b"\x16\x00\x19\x0c\x00"); // rows: 0; row groups: none
    footer
}

#[test]
fn a_schema_that_would_crash_the_process_is_refused() {
    let target = Target::new(&shapes().remove(0).1);
    let deep = |levels: u64| {
        only_footer(&schema((0..=levels).map(|level| u64::from(level < levels)).collect::<Vec<_>>().into_iter()))
    };
    for (what, bytes) in [
        ("200 levels", deep(200)),
        ("100 thousand levels", deep(100_000)),
        ("two billion children", only_footer(&schema([i32::MAX as u64, 0].into_iter()))),
        (
            "two billion row groups",
            only_footer(b"\x15\x02\x19\x1c\x48\x01n\x15\x00\x00\x16\x00\x19\xfc\xff\xff\xff\xff\x07\x00"),
        ),
        ("a name of four gigabytes", only_footer(b"\x15\x02\x19\x1c\x48\xff\xff\xff\xff\x0f")),
        ("a footer of four gigabytes", [b"PAR1".as_slice(), &u32::MAX.to_le_bytes(), b"PAR1"].concat()),
        ("nothing but the magic", b"PAR1PAR1".to_vec()),
        ("an empty file", Vec::new()),
    ] {
        let run = target.run(&bytes);
        assert_eq!(run.code(), 3, "{what}: {}", run.stderr);
        run.fails(3).complains(&["in/part-0.parquet", "not a readable Parquet file"]);
    }
}

/// A page whose header claims to decompress to two gigabytes, or to contain two billion values.
#[test]
fn a_page_that_claims_to_decompress_into_gigabytes_is_refused() {
    let properties = WriterProperties::builder().set_dictionary_enabled(false).set_compression(Compression::SNAPPY);
    let whole = file(columns(false), properties.build());
    let target = Target::new(&whole);
    let mut refused = 0;
    for (decompressed, values) in
        [(i64::from(i32::MAX), ROWS as i64), (1 << 20, i64::from(i32::MAX)), (-1, ROWS as i64), (1 << 20, -1)]
    {
        let column = metadata(&whole).row_group(0).columns()[0].clone();
        let (start, size) = column.byte_range();
        let page = &whole[start as usize + 24..(start + size) as usize];
        let mut header = vec![0x15, 0x00];
        let mut field = |bytes: &[u8], value: i64| {
            header.extend_from_slice(bytes);
            varint(&mut header, (value << 1 ^ value >> 63) as u64);
        };
        field(b"\x15", decompressed);
        field(b"\x15", page.len() as i64);
        field(b"\x2c\x15", values);
        header.extend_from_slice(b"\x15\x00\x15\x06\x15\x06\x00\x00"); // plain values, levels in RLE
        let mut bytes = whole[..footer(&whole).start].to_vec();
        let offset = bytes.len() as i64;
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(page);
        let chunk_bytes = (header.len() + page.len()) as i64;
        let end = bytes.len();
        bytes.extend_from_slice(&whole[footer(&whole).start..]);
        assert_eq!(footer(&bytes).start, end);
        let first = column.column_path().clone();
        let bytes = forged(&bytes, ROWS as i64, |column| match *column.column_path() == first {
            true => column
                .into_builder()
                .set_data_page_offset(offset)
                .set_total_compressed_size(chunk_bytes)
                .set_total_uncompressed_size(chunk_bytes)
                .build()
                .unwrap(),
            false => column,
        });
        let code = target.takes_or_refuses(&bytes, &format!("{decompressed} bytes, {values} values"));
        refused += usize::from(code == 3);
    }
    assert_eq!(refused, 4);
}
