//! `[output]` and `[tables]`: keys, order, folds, values, shards and how the tables are written.
//!
//! Only rules of the job file are checked here; the encode stage checks, before any work, that the columns exist in the
//! query's result and can be encoded.

use super::spec::{DEFAULT_SHARDS, Fold, MAX_TOP, OrderBy, Output, ValueSpec};
use super::toml_section::{Item, Section};
use super::units::parse_size;
use crate::format::{
    BLOCK_SIZES, BLOOM_BITS, Compression, Encoding, FILE_SIZES, FORMAT_VERSIONS, MAX_SHARDS, Partitioner, Tables,
};

const KEYS: [&str; 7] = ["key", "shard_by", "order_by", "duplicates", "value", "shards", "partitioner"];

const FOLDS: [(&str, Fold); 5] = [
    ("error", Fold::Error),
    ("first", Fold::First),
    ("last", Fold::Last),
    ("number", Fold::Number),
    ("list", Fold::List),
];

const ENCODINGS: [(&str, Encoding); 3] =
    [("json", Encoding::Json), ("avro", Encoding::Avro { single_object: false }), ("raw", Encoding::Raw)];

const PARTITIONERS: [(&str, Partitioner); 2] = [("xxh3", Partitioner::Xxh3), ("murmur2", Partitioner::Murmur2)];

const COMPRESSIONS: [(&str, Compression); 3] =
    [("lz4", Compression::Lz4), ("zstd", Compression::Zstd), ("none", Compression::None)];

/// Reads `[output]`.
pub(super) fn read(item: &Item<'_>) -> Option<Output> {
    let section = item.section("[output]", &KEYS)?;
    let key = section.required("key", "key = [\"user_id\"]").and_then(|item| non_empty(&item));
    let shard_by = section.item("shard_by").map(|item| shard_by(&item, key.as_deref()));
    let order_by = section.item("order_by").map(|item| order_by(&item));
    let duplicates = section.item("duplicates").map(|item| fold(&item));
    let value = section.item("value").map(|item| value(&item));
    let shards = section.item("shards").map(|item| item.small(1..=MAX_SHARDS));
    let partitioner = section.item("partitioner").map(|item| item.choice(&PARTITIONERS));
    let output = Output {
        key: key?,
        shard_by: shard_by.unwrap_or(Some(Vec::new()))?,
        order_by: order_by.unwrap_or(Some(Vec::new()))?,
        duplicates: duplicates.unwrap_or(Some(Fold::default()))?,
        value: value.unwrap_or(Some(ValueSpec::default()))?,
        shards: shards.unwrap_or(Some(DEFAULT_SHARDS))?,
        partitioner: partitioner.unwrap_or(Some(Partitioner::default()))?,
    };
    check_raw(&section, &output);
    Some(output)
}

fn non_empty(item: &Item<'_>) -> Option<Vec<String>> {
    let columns = item.columns()?;
    if columns.is_empty() {
        item.problem("names no column");
        return None;
    }
    Some(columns)
}

fn shard_by(item: &Item<'_>, key: Option<&[String]>) -> Option<Vec<String>> {
    let columns = non_empty(item)?;
    for column in &columns {
        if key.is_some_and(|key| !key.contains(column)) {
            item.problem(format!("names {column:?}, which is not a key column: rows of one key must share a shard"));
        }
    }
    Some(columns)
}

fn order_by(item: &Item<'_>) -> Option<Vec<OrderBy>> {
    let mut order: Vec<OrderBy> = Vec::new();
    let mut good = true;
    for element in item.list("strings such as \"ts desc nulls last\"")? {
        let Some(text) = element.text() else {
            good = false;
            continue;
        };
        match parse_order(text) {
            Ok(one) if order.iter().any(|other| other.column == one.column) => {
                element.problem(format!("names column {:?} a second time", one.column));
                good = false;
            }
            Ok(one) => order.push(one),
            Err(reason) => {
                element.problem(format!("is wrong: {text:?} {reason}"));
                good = false;
            }
        }
    }
    good.then_some(order)
}

/// Reads `COLUMN [asc|desc] [nulls first|last]`; parsed from the end, so a column name may contain spaces.
fn parse_order(text: &str) -> Result<OrderBy, &'static str> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let is = |word: Option<&&str>, expected: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(expected));
    let mut order = OrderBy { column: String::new(), descending: false, nulls_first: false };
    if words.len() > 2 && is(words.get(words.len() - 2), "nulls") {
        order.nulls_first = is(words.last(), "first");
        if !order.nulls_first && !is(words.last(), "last") {
            return Err("must end in \"nulls first\" or \"nulls last\"");
        }
        words.truncate(words.len() - 2);
    }
    if words.len() > 1 && (is(words.last(), "asc") || is(words.last(), "desc")) {
        order.descending = is(words.pop().as_ref(), "desc");
    }
    order.column = words.join(" ");
    if order.column.is_empty() {
        return Err("names no column");
    }
    if order.column.contains(',') {
        return Err("names several columns: write one string for each");
    }
    Ok(order)
}

fn fold(item: &Item<'_>) -> Option<Fold> {
    if item.is_table() {
        let section = item.section("duplicates", &["top"])?;
        return section.required("top", "{ top = 10 }")?.small(1..=MAX_TOP).map(Fold::Top);
    }
    item.choice(&FOLDS)
}

fn value(item: &Item<'_>) -> Option<ValueSpec> {
    let section = item.section("value", &["encoding", "single_object", "columns"])?;
    let encoding = section.item("encoding").map_or(Some(Encoding::default()), |item| item.choice(&ENCODINGS));
    let single_object = section.item("single_object").and_then(|item| match encoding {
        Some(Encoding::Json | Encoding::Raw) => {
            item.problem("applies only to encoding = \"avro\"");
            None
        }
        _ => item.boolean(),
    });
    let columns = section.item("columns").map(|item| non_empty(&item));
    let encoding = match encoding? {
        Encoding::Avro { .. } => Encoding::Avro { single_object: single_object.unwrap_or(false) },
        other => other,
    };
    Some(ValueSpec { encoding, columns: columns.map_or(Some(None), |columns| columns.map(Some))? })
}

fn check_raw(section: &Section<'_>, output: &Output) {
    if output.value.encoding != Encoding::Raw {
        return;
    }
    if matches!(output.duplicates, Fold::List | Fold::Top(_)) {
        section.problem("raw values cannot be folded into a list in [output]: use encoding = \"json\" or \"avro\"");
    }
    if output.value.columns.as_ref().is_some_and(|columns| columns.len() != 1) {
        section.problem("a raw value is exactly one column in [output]: name one in value.columns");
    }
}

/// Reads `[tables]`.
pub(super) fn read_tables(item: &Item<'_>) -> Option<Tables> {
    let keys = ["compression", "block_size", "bloom_bits", "file_size", "format_version"];
    let section = item.section("[tables]", &keys)?;
    let mut tables = Tables::default();
    if let Some(item) = section.item("compression") {
        tables.compression = item.choice(&COMPRESSIONS)?;
    }
    if let Some(item) = section.item("block_size") {
        tables.block_size = size(&item, BLOCK_SIZES, "1KiB", "16MiB").unwrap_or(tables.block_size);
    }
    if let Some(item) = section.item("bloom_bits") {
        tables.bloom_bits = item.number(BLOOM_BITS).unwrap_or(tables.bloom_bits);
    }
    if let Some(item) = section.item("file_size") {
        tables.file_size = size(&item, FILE_SIZES, "64KiB", "4GiB").unwrap_or(tables.file_size);
    }
    if let Some(item) = section.item("format_version") {
        tables.format_version = item.small(FORMAT_VERSIONS).unwrap_or(tables.format_version);
    }
    if tables.block_size > tables.file_size {
        section.problem("block_size is larger than file_size in [tables]");
    }
    Some(tables)
}

fn size(item: &Item<'_>, range: std::ops::RangeInclusive<u64>, least: &str, most: &str) -> Option<u64> {
    let value = item.parsed(parse_size)?;
    if !range.contains(&value) {
        item.problem(format!("must be a size from {least} to {most}"));
        return None;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_ascending_with_nulls_last_unless_it_says_otherwise() {
        let order = |text: &str| parse_order(text).map(|order| (order.column, order.descending, order.nulls_first));
        assert_eq!(order("ts"), Ok(("ts".into(), false, false)));
        assert_eq!(order("ts desc"), Ok(("ts".into(), true, false)));
        assert_eq!(order("ts ASC NULLS FIRST"), Ok(("ts".into(), false, true)));
        assert_eq!(order("ts desc nulls last"), Ok(("ts".into(), true, false)));
        assert_eq!(order("my column desc"), Ok(("my column".into(), true, false)));
        assert_eq!(order("desc"), Ok(("desc".into(), false, false)));
        assert!(order("").is_err());
        assert!(order("ts nulls middle").is_err());
        assert!(order("a, b").is_err());
    }
}
