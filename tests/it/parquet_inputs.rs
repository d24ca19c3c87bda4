//! Parquet files of older and other writers: their content is read unchanged, or refused with a message that names the
//! reason.
//!
//! Where Arrow's writer no longer writes a feature, a footer is changed byte by byte. Not for: files that differ from
//! each other (`parquet_schemas`), or that are damaged (`hostile`).

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, Int96};
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
};
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use serde_json::{Value, json};

use crate::fixture::{integers, strings, write_parquet};
use crate::harness::{Run, Workspace};

/// A job of one query over `in/`.
pub fn job(sql: &str, key: &str) -> String {
    format!(
        "version = 1\ndataset = \"rows\"\nstore = \"store\"\n\n[inputs.t]\npath = \"in/\"\n\n[query]\n\
         sql = \"\"\"{sql}\"\"\"\n\n[output]\nkey = [\"{key}\"]\n"
    )
}

/// Runs a query over `in/` in a separate store.
pub fn run(workspace: &Workspace, sql: &str, key: &str) -> Run {
    let _ = std::fs::remove_dir_all(workspace.path("store"));
    workspace.write("rows.toml", job(sql, key));
    workspace.cutover("run rows.toml")
}

/// The result of a query over `in/`: keys and values.
#[track_caller]
pub fn rows(workspace: &Workspace, sql: &str, key: &str) -> Vec<(Value, Value)> {
    run(workspace, sql, key).ok();
    let lines = workspace.cutover("scan store --json").ok().json_lines();
    lines.into_iter().map(|mut line| (line["key"].take(), line["value"].take())).collect()
}

/// The file with each of its column chunks mapped by `column`.
fn with_columns(bytes: &[u8], column: impl Fn(usize, ColumnChunkMetaData) -> ColumnChunkMetaData) -> Vec<u8> {
    let end = bytes.len() - 8;
    let size = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap()) as usize;
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes[end - size..end]).unwrap();
    let file = metadata.file_metadata();
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        None,
        file.key_value_metadata().cloned(),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    let groups = metadata.row_groups().iter().enumerate().map(|(number, group)| {
        let columns = group.columns().iter().map(|of_group| column(number, of_group.clone())).collect();
        group.clone().into_builder().set_column_metadata(columns).build().unwrap()
    });
    let metadata = ParquetMetaData::new(file, groups.collect());
    let mut changed = bytes[..end - size].to_vec();
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &metadata).finish().unwrap();
    changed.extend_from_slice(&footer);
    changed
}

fn file(columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// A file of one row group whose columns are written as Parquet's own types; `write` writes each of them.
fn raw_file(columns: Vec<Type>, mut write: impl FnMut(usize, &mut ColumnWriter)) -> Vec<u8> {
    let schema = Type::group_type_builder("schema").with_fields(columns.into_iter().map(Arc::new).collect());
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, Arc::new(schema.build().unwrap()), Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut at = 0;
    while let Some(mut column) = group.next_column().unwrap() {
        write(at, column.untyped());
        column.close().unwrap();
        at += 1;
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn column(name: &str, physical: Physical) -> parquet::schema::types::PrimitiveTypeBuilder<'_> {
    Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED)
}

#[test]
fn statistics_without_a_count_of_nulls_hide_no_nulls() {
    let workspace = Workspace::new();
    let k = [Some(0), Some(1), Some(2), None, Some(100), Some(101), None, Some(5)];
    let columns: Vec<(&str, ArrayRef)> = vec![("id", integers(1..9)), ("k", Arc::new(Int64Array::from(k.to_vec())))];
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3)).build();
    let uncounted = with_columns(&file(columns, properties), |group, column| {
        if group != 1 || column.column_path().string() != "k" {
            return column;
        }
        let bounds = ValueStatistics::new(Some(100_i64), Some(101), None, None, false);
        column.into_builder().set_statistics(Statistics::Int64(bounds)).build().unwrap()
    });
    workspace.write("in/part.parquet", uncounted);
    let null = json!({"k": null});
    let nulls = rows(&workspace, "SELECT id, k FROM t WHERE k IS NULL", "id");
    assert_eq!(nulls, [(json!(4), null.clone()), (json!(7), null.clone())]);
    let first = rows(&workspace, "SELECT id, k FROM t ORDER BY k NULLS FIRST, id LIMIT 3", "id");
    assert_eq!(first, [(json!(1), json!({"k": 0})), (json!(4), null.clone()), (json!(7), null)]);
}

/// Strings were once ordered by signed bytes, where é is below z; floats have NaN, which no bounds include.
#[test]
fn statistics_that_are_wrong_change_no_answer() {
    let workspace = Workspace::new();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", integers(0..2)),
        ("name", strings(["zoo", "été"])),
        ("ratio", Arc::new(arrow::array::Float64Array::from(vec![f64::NAN, 1.0]))),
    ];
    let wrong = with_columns(&file(columns, WriterProperties::default()), |_, column| {
        let statistics = match column.column_path().string().as_str() {
            "name" => {
                let (min, max) = (ByteArray::from("été"), ByteArray::from("zoo"));
                Statistics::ByteArray(ValueStatistics::new(Some(min), Some(max), None, Some(0), true))
            }
            "ratio" => Statistics::Double(ValueStatistics::new(Some(2.0), Some(2.0), None, Some(0), false)),
            _ => return column,
        };
        column.into_builder().set_statistics(statistics).build().unwrap()
    });
    workspace.write("in/part.parquet", wrong);
    let of = |condition: &str| rows(&workspace, &format!("SELECT id, name FROM t WHERE {condition}"), "id");
    assert_eq!(of("name > 'zz'"), [(json!(1), json!({"name": "été"}))]);
    assert_eq!(of("name = 'zoo'"), [(json!(0), json!({"name": "zoo"}))]);
    assert_eq!(of("ratio = 1.0"), [(json!(1), json!({"name": "été"}))]);
}

#[test]
fn a_dictionary_page_at_offset_zero_is_none() {
    let workspace = Workspace::new();
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let columns = vec![("k", strings(["a", "b"])), ("n", integers([1, 4]))];
    let zero = with_columns(&file(columns, properties), |_, column| {
        column.into_builder().set_dictionary_page_offset(Some(0)).build().unwrap()
    });
    workspace.write("in/part.parquet", zero);
    let expected = [(json!("a"), json!({"n": 1})), (json!("b"), json!({"n": 4}))];
    assert_eq!(rows(&workspace, "SELECT k, n FROM t", "k"), expected);
}

#[test]
fn enums_and_json_are_strings_and_plain_bytes_compare_with_them() {
    let workspace = Workspace::new();
    let texts = [["view", "buy", "view"], ["{}", "[1]", "{}"], ["/a", "/b", "/b"], ["x", "y", "z"]];
    let bytes = raw_file(
        vec![
            column("action", Physical::BYTE_ARRAY).with_converted_type(ConvertedType::ENUM).build().unwrap(),
            column("body", Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::Json)).build().unwrap(),
            column("page", Physical::BYTE_ARRAY).build().unwrap(),
            column("id", Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::Enum)).build().unwrap(),
        ],
        |at, writer| match writer {
            ColumnWriter::ByteArrayColumnWriter(writer) => {
                let _ = writer.write_batch(&texts[at].map(ByteArray::from), None, None).unwrap();
            }
            _ => unreachable!(),
        },
    );
    workspace.write("in/part.parquet", bytes);
    let counts = rows(&workspace, "SELECT action, count(*) AS n FROM t GROUP BY action", "action");
    assert_eq!(counts, [(json!("buy"), json!({"n": 1})), (json!("view"), json!({"n": 2}))]);
    let cast = "SELECT id, body, CAST(page AS VARCHAR) AS page FROM t WHERE page = '/b' AND action = 'buy'";
    assert_eq!(rows(&workspace, cast, "id"), [(json!("y"), json!({"body": "[1]", "page": "/b"}))]);
}

/// A file of INT96 timestamps: days since 1970 and nanoseconds in them.
fn instants(instants: &[(i64, u64)]) -> Vec<u8> {
    let columns = vec![column("id", Physical::INT64).build().unwrap(), column("at", Physical::INT96).build().unwrap()];
    raw_file(columns, |_, writer| match writer {
        ColumnWriter::Int64ColumnWriter(writer) => {
            let ids: Vec<i64> = (0..instants.len() as i64).collect();
            let _ = writer.write_batch(&ids, None, None).unwrap();
        }
        ColumnWriter::Int96ColumnWriter(writer) => {
            let value = |(days, nanos): &(i64, u64)| {
                let mut value = Int96::new();
                value.set_data(*nanos as u32, (*nanos >> 32) as u32, (*days + 2_440_588) as u32);
                value
            };
            let _ = writer.write_batch(&instants.iter().map(value).collect::<Vec<_>>(), None, None).unwrap();
        }
        _ => unreachable!(),
    })
}

#[test]
fn int96_is_read_in_the_unit_that_holds_it_or_refused() {
    let workspace = Workspace::new();
    let at = |workspace: &Workspace| {
        let found = rows(workspace, "SELECT id, CAST(at AS VARCHAR) AS at FROM t", "id");
        found.into_iter().map(|(_, value)| value["at"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // 9999-12-31 and 1000-01-01, as Spark writes them.
    workspace.write("in/a.parquet", instants(&[(2_932_896, 86_399_000_000_000), (-354_285, 0)]));
    assert_eq!(at(&workspace), ["9999-12-31T23:59:59", "1000-01-01T00:00:00"]);
    workspace.write("in/a.parquet", instants(&[(19_782, 43_200_123_456_789)]));
    assert_eq!(at(&workspace), ["2024-02-29T12:00:00.123456789"]);
    workspace.write("in/b.parquet", instants(&[(2_932_896, 0)]));
    let refused = run(&workspace, "SELECT id, at FROM t", "id").fails(3);
    refused.complains(&["column at holds INT96", "in/a.parquet", "in/b.parquet"]);
    // Unused columns do not matter.
    assert_eq!(rows(&workspace, "SELECT count(*) AS n FROM t", "n"), [(json!(2), json!({}))]);
}

#[test]
fn a_file_with_encrypted_columns_is_refused_as_encrypted() {
    // Schema: a root and a column "card"; a row group with one chunk, encrypted by a key of its own.
    let footer = [
        b"\x15\x02\x19\x2c\x48\x01s\x15\x02\0\x15\x0c\x25\0\x18\x04card\0".as_slice(),
        b"\x16\x02\x19\x1c\x19\x1c\x26\x08\x6c\x2c\x19\x18\x04card\0\0\0\x16\x08\x16\x02\0\0",
    ]
    .concat();
    let workspace = Workspace::new();
    let file = [b"PAR1".as_slice(), &footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat();
    workspace.write("in/part.parquet", file);
    let refused = run(&workspace, "SELECT * FROM t", "card").fails(3);
    refused.complains(&["in/part.parquet is encrypted (card)"]);
    workspace.write("in/part.parquet", [b"PAR1".as_slice(), &[0; 8], &8_u32.to_le_bytes(), b"PARE"].concat());
    run(&workspace, "SELECT * FROM t", "card").fails(3).complains(&["in/part.parquet is encrypted"]);
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let workspace = Workspace::new();
    let twice = || column("k", Physical::INT64).build().unwrap();
    let bytes = raw_file(vec![twice(), twice()], |_, writer| match writer {
        ColumnWriter::Int64ColumnWriter(writer) => {
            let _ = writer.write_batch(&[1], None, None).unwrap();
        }
        _ => unreachable!(),
    });
    workspace.write("in/part.parquet", bytes);
    run(&workspace, "SELECT k FROM t", "k").fails(3).complains(&["in/part.parquet", "more than one column \"k\""]);
}

/// The checksum of a page covers its bytes as stored in the file.
#[test]
fn a_flipped_bit_in_a_page_with_a_checksum_is_found() {
    let workspace = Workspace::new();
    let mut bytes = file(vec![("v", integers([123_456_789]))], WriterProperties::default());
    let start = with_header(&mut bytes);
    workspace.write("in/part.parquet", &bytes);
    assert_eq!(rows(&workspace, "SELECT v FROM t", "v").len(), 1);
    bytes[start] ^= 1;
    workspace.write("in/part.parquet", &bytes);
    let refused = run(&workspace, "SELECT v FROM t", "v").fails(3);
    refused.complains(&["in/part.parquet is damaged", "column v of row group 0", "checksum"]);
}

/// Rewrites the file as one of a single page with a checksum; returns the position of its value.
fn with_header(bytes: &mut Vec<u8>) -> usize {
    let value = 123_456_789_i64.to_le_bytes();
    // One non-null row: definition levels in RLE, then the value.
    let page = [&[2, 0, 0, 0, 2, 1], value.as_slice()].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&page);
    let crc = crc.sum() as i32;
    let varint = |value: i64| {
        let mut folded = (value << 1 ^ value >> 63) as u64;
        let mut bytes = Vec::new();
        while folded >= 0x80 {
            bytes.push(folded as u8 | 0x80);
            folded >>= 7;
        }
        bytes.push(folded as u8);
        bytes
    };
    let length = varint(page.len() as i64);
    let header = [
        b"\x15\0\x15".as_slice(),
        &length,
        b"\x15",
        &length,
        b"\x15",
        &varint(i64::from(crc)),
        b"\x1c\x15\x02\x15\0\x15\x06\x15\x06\0\0",
    ]
    .concat();
    let size = (header.len() + page.len()) as i64;
    let forged = with_columns(bytes, |_, column| {
        let builder = column.into_builder().set_dictionary_page_offset(None).set_data_page_offset(4);
        builder.set_total_compressed_size(size).set_total_uncompressed_size(size).build().unwrap()
    });
    let footer = u32::from_le_bytes(forged[forged.len() - 8..][..4].try_into().unwrap()) as usize + 8;
    let start = 4 + header.len() + 6;
    *bytes = [b"PAR1", header.as_slice(), &page, &forged[forged.len() - footer..]].concat();
    start
}

/// A column chunk of some hundred bytes whose one page decompresses to many megabytes.
#[test]
fn the_decompressed_size_of_a_page_is_checked_before_the_run() {
    let workspace = Workspace::new();
    let text = "x".repeat(1 << 20);
    let columns = vec![("text", strings(std::iter::repeat_n(text.as_str(), 300))), ("id", integers(0..300))];
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(1 << 30)
        .set_compression(Compression::ZSTD(Default::default()));
    workspace.write("in/part.parquet", file(columns, properties.build()));
    workspace.write("rows.toml", job("SELECT id, length(text) AS n FROM t", "id"));
    workspace.cutover("run rows.toml --memory 128MiB").fails(2).complains(&["reads a row group", "up to 301 MiB"]);
    workspace.write("rows.toml", job("SELECT id FROM t", "id"));
    workspace.cutover("run rows.toml --memory 128MiB").ok();
}

#[test]
fn pipes_and_directories_are_refused_without_waiting() {
    let workspace = Workspace::new();
    write_parquet(&workspace.path("in/part.parquet"), vec![("k", integers([1]))]);
    let pipe = workspace.path("in/pipe.parquet");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    run(&workspace, "SELECT k FROM t", "k").fails(3).complains(&["in/pipe.parquet is a pipe"]);
}

#[test]
fn columns_of_any_name_are_found() {
    let workspace = Workspace::new();
    let names = ["id", "a.b", "q\"uote", "naïve 🦀", ""];
    let columns = names.iter().enumerate().map(|(at, name)| (*name, Arc::new(Int32Array::from(vec![at as i32])) as _));
    write_parquet(&workspace.path("in/part.parquet"), columns.collect());
    let found = rows(&workspace, "SELECT * FROM t", "id");
    assert_eq!(found, [(json!(0), json!({"a.b": 1, "q\"uote": 2, "naïve 🦀": 3, "": 4}))]);
}

#[test]
fn invalid_arrow_notes_are_ignored() {
    let workspace = Workspace::new();
    let note = |key: &str, value: &str| parquet::file::metadata::KeyValue::new(key.to_owned(), value.to_owned());
    for schema in ["", "no base64!", "AAAA", "/////wAAAAA="] {
        let notes = vec![note("ARROW:schema", schema), note("", "\u{0}"), note("pandas", "{")];
        let properties = WriterProperties::builder().set_key_value_metadata(Some(notes)).build();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("k", Arc::new(StringArray::from(vec!["a"]))),
            ("bytes", Arc::new(BinaryArray::from(vec![b"\xff".as_slice()]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut bytes = Vec::new();
        let options = parquet::arrow::arrow_writer::ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(&mut bytes, batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        workspace.write("in/part.parquet", bytes);
        assert_eq!(rows(&workspace, "SELECT k FROM t", "k"), [(json!("a"), json!({}))], "{schema:?}");
    }
}
