//! Files of one input whose columns differ: they are merged by name if no value is lost, and refused by name otherwise.
//! Parquet, and Avro by the same rules.
//!
//! Not for: the content of one file (`parquet_inputs`).

use std::fs::File;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Date32Array, Decimal128Array, DictionaryArray, FixedSizeBinaryArray, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, LargeStringArray, ListArray, NullArray, StructArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Int8Type, Int16Type};
use arrow::record_batch::RecordBatch;
use serde_json::{Value, json};

use crate::fixture::{integers, strings, write_parquet};
use crate::harness::Workspace;
use crate::parquet_inputs::{job, rows, run};

/// Files `in/0.parquet`, `in/1.parquet` … with one column `x` each, and an `id` that numbers the rows of all.
fn files(columns: &[ArrayRef]) -> Workspace {
    let workspace = Workspace::new();
    let mut id = 0;
    for (number, column) in columns.iter().enumerate() {
        let ids = integers(id..id + column.len() as i64);
        id += column.len() as i64;
        write_parquet(&workspace.path(format!("in/{number}.parquet")), vec![("id", ids), ("x", Arc::clone(column))]);
    }
    workspace
}

/// The values of `x` in all files.
#[track_caller]
fn together(columns: &[ArrayRef]) -> Vec<Value> {
    let found = rows(&files(columns), "SELECT * FROM t", "id");
    found.into_iter().map(|(_, mut value)| value["x"].take()).collect()
}

#[track_caller]
fn refused(columns: &[ArrayRef], named: &[&str]) {
    let refused = run(&files(columns), "SELECT * FROM t", "id").fails(3);
    refused.complains(&["in/0.parquet", "in/1.parquet", "\"x\""]);
    refused.complains(named);
}

#[test]
fn types_widen_where_no_value_is_lost() {
    let small = || Arc::new(Int8Array::from(vec![-1])) as ArrayRef;
    assert_eq!(together(&[small(), Arc::new(Int32Array::from(vec![70_000]))]), [json!(-1), json!(70_000)]);
    assert_eq!(together(&[Arc::new(UInt8Array::from(vec![255])), small()]), [json!(255), json!(-1)]);
    assert_eq!(
        together(&[Arc::new(UInt32Array::from(vec![u32::MAX])), Arc::new(Float64Array::from(vec![0.5]))]),
        [json!(4_294_967_295.0), json!(0.5)]
    );
    assert_eq!(together(&[small(), Arc::new(Float32Array::from(vec![0.25]))]), [json!(-1.0), json!(0.25)]);
    assert_eq!(together(&[Arc::new(NullArray::new(1)), strings(["a"])]), [Value::Null, json!("a")]);
    let wide = Arc::new(LargeStringArray::from(vec!["b"])) as ArrayRef;
    assert_eq!(together(&[strings(["a"]), wide]), [json!("a"), json!("b")]);
    let decimal = |value, precision, scale| {
        Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap()) as ArrayRef
    };
    let decimals =
        rows(&files(&[decimal(125, 5, 2), decimal(5, 20, 4)]), "SELECT id, CAST(x AS VARCHAR) AS x FROM t", "id");
    assert_eq!(decimals, [(json!(0), json!({"x": "1.2500"})), (json!(1), json!({"x": "0.0005"}))]);
}

#[test]
fn times_take_the_finest_unit_and_what_it_does_not_hold_is_an_error() {
    let seconds = |value| Arc::new(TimestampSecondArray::from(vec![value])) as ArrayRef;
    let nanos = Arc::new(TimestampNanosecondArray::from(vec![1_700_000_000_123_456_789])) as ArrayRef;
    let both =
        rows(&files(&[seconds(1_700_000_000), Arc::clone(&nanos)]), "SELECT id, CAST(x AS VARCHAR) AS x FROM t", "id");
    let texts: Vec<&Value> = both.iter().map(|(_, value)| &value["x"]).collect();
    assert_eq!(texts, [&json!("2023-11-14T22:13:20"), &json!("2023-11-14T22:13:20.123456789")]);
    // 9999-12-31, which nanoseconds cannot represent.
    let far = Arc::new(TimestampMicrosecondArray::from(vec![253_402_214_400_000_000])) as ArrayRef;
    run(&files(&[far, nanos]), "SELECT id, x FROM t", "id").fails(3);
    let zone = Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC")) as ArrayRef;
    let bare = Arc::new(TimestampMicrosecondArray::from(vec![0])) as ArrayRef;
    refused(&[zone, bare], &["timestamp[us]", "timestamp[us, UTC]"]);
}

/// Bounds of a widened column are in its old unit: a filter must not use them.
#[test]
fn filters_use_widened_values_and_not_the_bounds_of_narrow_ones() {
    let micros = Arc::new(TimestampMicrosecondArray::from(vec![1, 2])) as ArrayRef;
    let nanos = Arc::new(TimestampNanosecondArray::from(vec![1_500])) as ArrayRef;
    let workspace = files(&[micros, nanos]);
    let of = |condition: &str| {
        let found = rows(&workspace, &format!("SELECT id FROM t WHERE {condition}"), "id");
        found.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    let time = |nanos: u32| format!("CAST('1970-01-01T00:00:00.{nanos:09}' AS TIMESTAMP)");
    assert_eq!(of(&format!("x < {}", time(1_500))), [json!(0)]);
    assert_eq!(of(&format!("x = {}", time(1_500))), [json!(2)]);
    assert_eq!(of(&format!("x <= {}", time(1_500))), [json!(0), json!(2)]);
    assert_eq!(of(&format!("x > {}", time(1_500))), [json!(1)]);
}

#[test]
fn whole_numbers_widen_to_fractions_where_they_are_known_to_fit() {
    let whole = |value| integers([value]);
    let fraction = || Arc::new(Float64Array::from(vec![Some(2.5)])) as ArrayRef;
    assert_eq!(together(&[whole(1 << 53), fraction()]), [json!(9_007_199_254_740_992.0), json!(2.5)]);
    refused(&[whole((1 << 53) + 1), fraction()], &["int64", "float64", "2^53"]);
}

#[test]
fn incompatible_columns_are_refused_by_name() {
    refused(&[integers([1]), strings(["1"])], &["int64", "string"]);
    refused(&[strings(["a"]), Arc::new(Date32Array::from(vec![0]))], &["date", "string"]);
    let uuid = Arc::new(FixedSizeBinaryArray::try_from_iter([[0_u8; 16]].into_iter()).unwrap()) as ArrayRef;
    refused(&[strings(["a"]), uuid], &["binary(16)", "string"]);
}

#[test]
fn columns_of_only_some_files_are_null_in_the_others() {
    let workspace = Workspace::new();
    let fare = |id: i64| vec![("id", integers([id])), ("fare", integers([10 * id]))];
    write_parquet(&workspace.path("in/1.parquet"), fare(1));
    write_parquet(&workspace.path("in/2.parquet"), vec![("tip", integers([7])), ("id", integers([2]))]);
    let mut more = fare(3);
    more.push(("fee", strings(["new"])));
    write_parquet(&workspace.path("in/3.parquet"), more);
    let expected = [
        (json!(1), json!({"fare": 10, "tip": null, "fee": null})),
        (json!(2), json!({"fare": null, "tip": 7, "fee": null})),
        (json!(3), json!({"fare": 30, "tip": null, "fee": "new"})),
    ];
    assert_eq!(rows(&workspace, "SELECT * FROM t", "id"), expected);
    let nulls = rows(&workspace, "SELECT id FROM t WHERE fee IS NULL", "id");
    assert_eq!(nulls.len(), 2);

    // A contract may name a column that a file lacks, if it allows nulls.
    let contract = |nullable: bool, kind: &str| {
        let column = |name: &str, kind: &str, nullable: bool| json!({"name": name, "type": kind, "nullable": nullable, "meaning": ""});
        json!({"name": "row", "columns": [column("id", "int64", false), column("fee", kind, nullable)]}).to_string()
    };
    let promised = job("SELECT * FROM t", "id").replace("path = \"in/\"", "path = \"in/\"\nschema = \"t.json\"");
    workspace.write("rows.toml", promised);
    workspace.write("t.json", contract(true, "string"));
    workspace.cutover("run rows.toml --rebuild").ok();
    workspace.write("t.json", contract(false, "string"));
    workspace.cutover("run rows.toml --rebuild").fails(3).complains(&["in/1.parquet: column \"fee\" is missing"]);
    workspace.write("t.json", contract(true, "int64"));
    workspace.cutover("run rows.toml --rebuild").fails(3).complains(&["in/3.parquet: column \"fee\" is wrong"]);
}

/// A column that no file has may have been renamed: it is null only where its contract says that it may be absent.
#[test]
fn a_column_of_no_file_is_null_where_its_contract_makes_it_optional() {
    let workspace = Workspace::new();
    write_parquet(&workspace.path("in/1.parquet"), vec![("id", integers([1])), ("fare", integers([10]))]);
    write_parquet(&workspace.path("in/2.parquet"), vec![("id", integers([2]))]);
    let contract = |flags: &str| {
        let id = "{\"name\": \"id\", \"type\": \"int64\", \"nullable\": false, \"meaning\": \"\"}";
        let fee = format!("{{\"name\": \"toll\", \"type\": \"decimal(9, 2)\", {flags}, \"meaning\": \"\"}}");
        workspace.write("t.json", format!("{{\"name\": \"row\", \"columns\": [{id}, {fee}]}}"));
    };
    let promised = job("SELECT * FROM t", "id").replace("path = \"in/\"", "path = \"in/\"\nschema = \"t.json\"");
    workspace.write("rows.toml", promised);
    let run = || workspace.cutover("run rows.toml --rebuild");
    contract("\"nullable\": true");
    run()
        .fails(3)
        .complains(&["in/1.parquet: column \"toll\" is missing", "\"optional\": true in its contract makes it null"]);
    contract("\"nullable\": false, \"optional\": true");
    run().fails(2).complains(&["column \"toll\" is optional, so it must be nullable"]);
    contract("\"nullable\": true, \"optional\": true");
    run().ok();
    workspace.cutover("get store 1").ok().prints(&["10", "\"toll\":null"]);
    workspace.cutover("get store 2").ok().prints(&["\"toll\":null"]);
    let kept = std::fs::read_to_string(workspace.path("store/versions/00000001/schemas/t.json")).unwrap();
    assert!(kept.contains("\"optional\": true"), "a version keeps what was agreed: {kept}");
    // One that is nearly called so is likely to be meant.
    write_parquet(&workspace.path("in/2.parquet"), vec![("id", integers([2])), ("tol", integers([1]))]);
    run().fails(3).complains(&["column \"toll\" is missing", "it has \"tol\""]);
}

#[test]
fn a_contract_may_promise_a_wider_type() {
    let workspace = files(&[Arc::new(Int16Array::from(vec![1])), Arc::new(Int32Array::from(vec![2]))]);
    let contract = |kind: &str| {
        json!({"name": "row", "columns": [{"name": "x", "type": kind, "nullable": true, "meaning": ""}]}).to_string()
    };
    let sql = "SELECT id, x + 9223372036854775805 AS x FROM t";
    workspace.write("rows.toml", job(sql, "id").replace("path = \"in/\"", "path = \"in/\"\nschema = \"t.json\""));
    workspace.write("t.json", contract("int64"));
    workspace.cutover("run rows.toml").ok();
    workspace.write("t.json", contract("int16"));
    let refused = workspace.cutover("run rows.toml --rebuild").fails(3);
    refused.complains(&["in/1.parquet: column \"x\" is wrong, expected int16, found int32"]);
}

#[test]
fn names_that_differ_in_case_alone_are_refused() {
    let workspace = Workspace::new();
    for (number, name) in ["airport_fee", "Airport_fee"].iter().enumerate() {
        let columns = vec![("id", integers([number as i64])), (*name, integers([1]))];
        write_parquet(&workspace.path(format!("in/{number}.parquet")), columns);
    }
    let refused = run(&workspace, "SELECT id FROM t", "id").fails(3);
    refused.complains(&["in/1.parquet", "\"Airport_fee\"", "\"airport_fee\"", "in/0.parquet"]);
    // In one file that has both, they are two columns.
    for number in 0..2 {
        let columns = vec![("id", integers([number])), ("a", integers([1])), ("A", integers([2]))];
        write_parquet(&workspace.path(format!("in/{number}.parquet")), columns);
    }
    assert_eq!(rows(&workspace, "SELECT id, a, \"A\" FROM t", "id")[0].1, json!({"a": 1, "A": 2}));
}

/// Every file has its own dictionary, with indices of as few bits as it needs.
#[test]
fn small_dictionaries_with_many_words_are_merged() {
    let words = |file: usize| (0..100).map(|word| format!("w{file}-{word:03}")).collect::<Vec<_>>();
    let narrow = |file: usize| {
        let words = words(file);
        let array: DictionaryArray<Int8Type> = words.iter().map(String::as_str).collect();
        Arc::new(array) as ArrayRef
    };
    let many: Vec<String> = (0..600).map(|word| format!("m{word:04}")).collect();
    let wide: DictionaryArray<Int16Type> = many.iter().map(String::as_str).collect();
    let workspace = files(&[narrow(0), narrow(1), narrow(2), Arc::new(wide), narrow(0)]);
    let counts = rows(&workspace, "SELECT x, count(*) AS n FROM t GROUP BY x", "x");
    assert_eq!(counts.len(), 900);
    assert!(counts.iter().all(|(key, value)| {
        let twice = key.as_str().unwrap().starts_with("w0");
        value["n"] == json!(if twice { 2 } else { 1 })
    }));
    let joined = "SELECT a.id, b.x FROM t a JOIN (SELECT DISTINCT x FROM t) b ON a.x = b.x";
    assert_eq!(rows(&workspace, joined, "id").len(), 1_000);
}

#[test]
fn lists_and_structs_that_differ_are_merged_by_field() {
    let structure = |fields: Vec<(&str, ArrayRef)>| {
        let fields = fields
            .into_iter()
            .map(|(name, array)| (Arc::new(Field::new(name, array.data_type().clone(), true)), array));
        Arc::new(StructArray::from(fields.collect::<Vec<_>>())) as ArrayRef
    };
    let list = |values: ArrayRef| {
        let item = Arc::new(Field::new("item", values.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Arc::new(ListArray::new(item, offsets, values, None)) as ArrayRef
    };
    let one = structure(vec![("a", Arc::new(Int8Array::from(vec![1]))), ("b", strings(["x"]))]);
    let other = structure(vec![("c", strings(["y"])), ("a", integers([2]))]);
    let expected = [json!({"a": 1, "b": "x", "c": null}), json!({"a": 2, "b": null, "c": "y"})];
    assert_eq!(together(&[Arc::clone(&one), Arc::clone(&other)]), expected);
    assert_eq!(together(&[list(one), list(other)]), expected.map(|value| json!([value])));
    let dictionary: DictionaryArray<Int8Type> = ["p", "q"].into_iter().collect();
    assert_eq!(together(&[list(Arc::new(dictionary)), list(strings(["r"]))]), [json!(["p", "q"]), json!(["r"])]);
    refused(&[structure(vec![("a", integers([1]))]), structure(vec![("b", integers([1]))])], &["struct<a: int64>"]);
}

#[test]
fn files_without_rows_and_partitions_are_merged_with_others() {
    let workspace = Workspace::new();
    let day = |day: &str| workspace.path(format!("in/day={day}/part.parquet"));
    write_parquet(&day("1"), vec![("id", integers([])), ("x", Arc::new(Int16Array::from(Vec::<i16>::new())))]);
    write_parquet(&day("2"), vec![("id", integers([2])), ("x", Arc::new(Int32Array::from(vec![5])))]);
    write_parquet(&day("3"), vec![("id", integers([3])), ("y", strings(["z"]))]);
    let expected =
        [(json!(2), json!({"x": 5, "y": null, "day": "2"})), (json!(3), json!({"x": null, "y": "z", "day": "3"}))];
    assert_eq!(rows(&workspace, "SELECT * FROM t", "id"), expected);
    let days = rows(&workspace, "SELECT day, count(*) AS n FROM t WHERE day > '2' GROUP BY day", "day");
    assert_eq!(days, [(json!("3"), json!({"n": 1}))]);
}

fn write_avro(workspace: &Workspace, name: &str, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    let path = workspace.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer =
        arrow_avro::writer::AvroWriter::new(File::create(path).unwrap(), batch.schema().as_ref().clone()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
}

#[test]
fn avro_files_are_merged_by_the_same_rules() {
    let workspace = Workspace::new();
    write_avro(&workspace, "in/1.avro", vec![("id", integers([1])), ("x", Arc::new(Int32Array::from(vec![5])))]);
    write_avro(&workspace, "in/2.avro", vec![("y", strings(["z"])), ("id", integers([2])), ("x", integers([1 << 40]))]);
    let expected = [(json!(1), json!({"x": 5, "y": null})), (json!(2), json!({"x": 1_099_511_627_776_i64, "y": "z"}))];
    assert_eq!(rows(&workspace, "SELECT * FROM t", "id"), expected);
    assert_eq!(rows(&workspace, "SELECT 1 AS one, count(*) AS n FROM t", "one")[0].1, json!({"n": 2}));
    write_avro(&workspace, "in/3.avro", vec![("id", strings(["3"]))]);
    let refused = run(&workspace, "SELECT * FROM t", "id").fails(3);
    refused.complains(&["in/3.avro", "\"id\" is string", "int64 in in/1.avro"]);
}

#[test]
fn an_avro_file_that_is_truncated_or_has_wrong_counts_is_refused() {
    let workspace = Workspace::new();
    let ids = integers(0..50);
    write_avro(&workspace, "in/1.avro", vec![("id", ids)]);
    assert_eq!(rows(&workspace, "SELECT id FROM t", "id").len(), 50);
    let path = workspace.path("in/1.avro");
    let whole = std::fs::read(&path).unwrap();
    for cut in [1, 16, 17, 40] {
        std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        run(&workspace, "SELECT id FROM t", "id").fails(3).complains(&["in/1.avro is truncated in block 0"]);
    }
    // The block says that it holds 49 records; a decoder would wait for the last one to go away.
    // Its number comes before its size in two bytes, 50 records of two bytes, and 16 bytes of sync.
    let said = whole.len() - 16 - 100 - 2 - 1;
    assert_eq!(whole[said], 100);
    let mut fewer = whole.clone();
    fewer[said] = 98;
    std::fs::write(&path, fewer).unwrap();
    run(&workspace, "SELECT id FROM t", "id").fails(3).complains(&["in/1.avro: block 0 is damaged"]);
}

/// The header of an Avro file whose schema has 64 to 8,191 bytes.
fn avro_header(schema: &str) -> Vec<u8> {
    let length = (schema.len() as u64) << 1;
    let length = [length as u8 & 0x7f | 0x80, (length >> 7) as u8];
    [b"Obj\x01\x02\x16avro.schema", &length[..], schema.as_bytes(), b"\0sixteen bytes..."].concat()
}

/// A record of nulls has no bytes, but counts.
#[test]
fn avro_records_without_bytes_are_rows() {
    let workspace = Workspace::new();
    let mut bytes = avro_header(r#"{"type": "record", "name": "r", "fields": [{"name": "n", "type": "null"}]}"#);
    bytes.extend_from_slice(b"\x0a\0sixteen bytes...");
    workspace.write("in/nulls.avro", bytes);
    let sql = "SELECT count(*) AS n, count(n) AS there FROM t";
    assert_eq!(rows(&workspace, sql, "n"), [(json!(5), json!({"there": 0}))]);
}

#[test]
fn uuids_of_avro_are_the_text_that_was_written() {
    let workspace = Workspace::new();
    let id = r#"{"type": "string", "logicalType": "uuid"}"#;
    let fields = format!(r#"[{{"name": "id", "type": {id}}}, {{"name": "next", "type": ["null", {id}]}}]"#);
    let mut bytes = avro_header(&format!(r#"{{"type": "record", "name": "r", "fields": {fields}}}"#));
    let (upper, odd) = (b"550E8400-e29b-41d4-a716-446655440000", b"no UUID");
    // Two records of 37 + 1 + 8 and 8 + 1 bytes.
    let block = [b"\x04\x6e\x48", &upper[..], b"\x02\x0e", odd, b"\x0e", odd, b"\0sixteen bytes..."].concat();
    bytes.extend_from_slice(&block);
    workspace.write("in/ids.avro", bytes);
    let expected = [
        (json!("550E8400-e29b-41d4-a716-446655440000"), json!({"next": "no UUID"})),
        (json!("no UUID"), json!({"next": null})),
    ];
    assert_eq!(rows(&workspace, "SELECT id, next FROM t", "id"), expected);
}

/// As fastavro writes them: the definition of a type has its full name, without the namespace apart.
#[test]
fn types_of_avro_are_found_again_by_their_full_names() {
    let workspace = Workspace::new();
    let address =
        r#"{"type": "record", "name": "shop.common.Address", "fields": [{"name": "city", "type": "string"}]}"#;
    let fields = format!(
        r#"[{{"name": "id", "type": "long"}}, {{"name": "billing", "type": {address}}},
            {{"name": "shipping", "type": ["null", "shop.common.Address"]}}]"#
    );
    let mut bytes = avro_header(&format!(r#"{{"type": "record", "name": "shop.Order", "fields": {fields}}}"#));
    // One record of six bytes.
    bytes.extend_from_slice(b"\x02\x0c\x02\x02x\x02\x02ysixteen bytes...");
    workspace.write("in/orders.avro", bytes);
    let expected = [(json!(1), json!({"billing": {"city": "x"}, "shipping": {"city": "y"}}))];
    assert_eq!(rows(&workspace, "SELECT id, billing, shipping FROM t", "id"), expected);
}

/// pandas notes the zone that its times have; the files store instants.
#[test]
fn instants_of_any_zone_have_the_days_and_hours_of_utc() {
    let workspace = Workspace::new();
    let at = |zone: &str| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(vec![1_704_139_200_000_000]).with_timezone(zone.to_owned()))
    };
    write_parquet(&workspace.path("in/a.parquet"), vec![("id", integers([1])), ("t", at("America/New_York"))]);
    let sql = "SELECT id, t, extract(hour FROM t) AS h, date_trunc('day', t) AS d, CAST(t AS DATE) AS e, \
               t >= TIMESTAMP '2024-01-01 20:00:00' AS later FROM t";
    let row =
        json!({"t": "2024-01-01T20:00:00Z", "h": 20, "d": "2024-01-01T00:00:00Z", "e": "2024-01-01", "later": true});
    assert_eq!(rows(&workspace, sql, "id"), [(json!(1), row.clone())]);
    write_parquet(&workspace.path("in/b.parquet"), vec![("id", integers([2])), ("t", at("Asia/Kolkata"))]);
    assert_eq!(rows(&workspace, sql, "id"), [(json!(1), row.clone()), (json!(2), row)]);
    // A contract may name the zone that the files note.
    workspace.write(
        "t.json",
        r#"{"name": "t", "columns": [{"name": "t", "type": "timestamp[us, America/New_York]", "nullable": false, "meaning": ""}]}"#,
    );
    let job = "version = 1\ndataset = 'd'\nstore = 'zoned'\n[inputs.t]\npath = 'in/'\nschema = 't.json'\n[query]\nsql = 'SELECT \
               id, t FROM t'\n[output]\nkey = ['id']\n";
    workspace.write("zoned.toml", job);
    assert_eq!(workspace.cutover("run zoned.toml --json").ok().json()["rows"], 2);
}
