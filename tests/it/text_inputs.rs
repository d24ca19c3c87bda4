//! CSV and JSON lines, read entirely: columns by name, types from all values of all files, and errors that name file
//! and line. Other readers got these cases wrong, as their bug reports show.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::harness::{Ended, Workspace};

/// A job over `input` with this SQL and these lines for the input; the key is `id`.
fn job(input: &str, sql: &str, more: &str) -> String {
    format!(
        "version = 1\ndataset = \"rows\"\nstore = \"store\"\n\n[inputs.t]\npath = \"{input}\"\n{more}\n\n[query]\n\
         sql = \"\"\"{sql}\"\"\"\n\n[output]\nkey = [\"id\"]\n"
    )
}

/// Text files in a directory `in/`, and jobs over them.
struct Texts {
    workspace: Workspace,
}

impl Texts {
    fn new(files: &[(&str, &str)]) -> Self {
        let texts = Self { workspace: Workspace::new() };
        files.iter().for_each(|(name, text)| texts.write(name, text));
        texts
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        self.workspace.write(&format!("in/{name}"), text);
    }

    fn contract(&self, columns: &[(&str, &str, bool)]) {
        let column = |(name, type_name, nullable): &(&str, &str, bool)| json!({"name": name, "type": type_name, "nullable": nullable, "meaning": ""});
        let columns: Vec<Value> = columns.iter().map(column).collect();
        self.workspace.write("contract.json", json!({"name": "row", "columns": columns}).to_string());
    }

    /// The values by key that `sql` returns.
    #[track_caller]
    fn values(&self, sql: &str, more: &str, flags: &str) -> Vec<(Value, Value)> {
        let _ = std::fs::remove_dir_all(self.workspace.path("store"));
        self.workspace.write("job.toml", job("in/", sql, more));
        self.workspace.cutover(&format!("run job.toml {flags}")).ok();
        let lines = self.workspace.cutover("scan store --json").ok().json_lines();
        lines.into_iter().map(|mut line| (line["key"].take(), line["value"].take())).collect()
    }

    /// All columns of the first or only row.
    #[track_caller]
    fn first(&self) -> Value {
        self.values("SELECT * FROM t", "", "").swap_remove(0).1
    }

    #[track_caller]
    fn refused(&self, more: &str, words: &[&str]) -> Ended {
        self.workspace.write("job.toml", job("in/", "SELECT * FROM t", more));
        let ended = self.workspace.cutover("run job.toml").fails(3);
        ended.complains(words);
        assert!(ended.stderr.len() < 2000, "a long message: {}", ended.stderr);
        ended
    }
}

const CONTRACT: &str = "schema = \"contract.json\"";

#[test]
fn csv_columns_go_by_the_header_of_each_file() {
    let texts = Texts::new(&[
        ("a.csv", "id,clicks,views\n1,10,100\n"),
        ("b.csv", "\u{feff}id,views,clicks\r\n2,200,20\r\n"),
        ("c.csv", "views,id,\"a \"\"new\"\" one\"\n300,3,x"),
        ("d.csv", ""),
        ("e.csv", "id,last\n"),
    ]);
    let value = |clicks: Value, views: u64, new: Value| json!({"clicks": clicks, "views": views, "a \"new\" one": new, "last": null});
    let expected = [
        (json!(1), value(json!(10), 100, Value::Null)),
        (json!(2), value(json!(20), 200, Value::Null)),
        (json!(3), value(Value::Null, 300, json!("x"))),
    ];
    assert_eq!(texts.values("SELECT * FROM t", "", ""), expected);
    texts.write("f.csv", "id,Clicks\n4,40\n");
    texts.refused("", &["in/f.csv, line 1", "\"Clicks\" is spelled \"clicks\" in in/a.csv"]);
}

#[test]
fn csv_types_hold_every_value_of_every_file() {
    let column = |first: &str, last: &str| {
        let texts = Texts::new(&[("b.csv", &format!("id,v\n1,{last}\n"))]);
        texts.write("a.csv", format!("id,v\n0,{first}\n") + &"2,\n".repeat(0));
        let values = texts.values("SELECT * FROM t", "", "");
        [values[0].1["v"].clone(), values[1].1["v"].clone()]
    };
    for (first, last, expected) in [
        ("100", "A200", json!(["100", "A200"])),
        ("1", "2.5", json!([1.0, 2.5])),
        ("01234", "98101", json!(["01234", "98101"])),
        ("+1", "2", json!(["+1", "2"])),
        ("1_000", "2", json!(["1_000", "2"])),
        ("\"1,5\"", "2", json!(["1,5", "2"])),
        (".5", "5.", json!([0.5, 5.0])),
        ("-0", "7", json!([0, 7])),
        ("1e5", "2", json!([1e5, 2.0])),
        ("0x1f", "2", json!(["0x1f", "2"])),
        ("NULL", "NA", json!(["NULL", "NA"])),
        ("NULL", "5", json!(["NULL", "5"])),
        (" 5", "6", json!([" 5", "6"])),
        ("9223372036854775808", "18446744073709551615", json!([9_223_372_036_854_775_808_u64, u64::MAX])),
        ("-1", "9223372036854775808", json!(["-1", "9223372036854775808"])),
        ("99999999999999999999", "1", json!(["99999999999999999999", "1"])),
        ("true", "FALSE", json!([true, false])),
        ("true", "1", json!(["true", "1"])),
        ("yes", "no", json!(["yes", "no"])),
        ("2024-05-01", "0001-01-01", json!(["2024-05-01", "0001-01-01"])),
        ("2024-05-01", "2024-13-01", json!(["2024-05-01", "2024-13-01"])),
        ("2024-05-01T00:00:00", "2024-05-01 24:00:00", json!(["2024-05-01T00:00:00", "2024-05-01 24:00:00"])),
        ("2016-12-31T23:59:60Z", "2024-05-01T00:00:00Z", json!(["2016-12-31T23:59:60Z", "2024-05-01T00:00:00Z"])),
        ("", "SAVE", json!([null, "SAVE"])),
        ("", "5", json!([null, 5])),
        ("\"\"", "x", json!(["", "x"])),
        ("\"\"", "5", json!([null, 5])),
        ("\"\"", "", json!(["", null])),
        ("5\" pipe", "a\"b\"", json!(["5\" pipe", "a\"b\""])),
    ] {
        assert_eq!(json!(column(first, last)), expected, "{first} and {last}");
    }
    let texts = Texts::new(&[("a.csv", "id,v\n1,9007199254740993\n2,0.5\n")]);
    let values = texts.values("SELECT id, CAST(v AS VARCHAR) AS v FROM t", "", "");
    assert_eq!([&values[0].1["v"], &values[1].1["v"]], ["9007199254740993.0", "0.5"]);
    let stamps = column("2024-05-01T00:23:20", "9999-12-31 23:59:59.75");
    assert!(stamps[0].as_str().unwrap().starts_with("2024-05-01T00:23:20"), "{stamps:?}");
    assert!(stamps[1].as_str().unwrap().starts_with("9999-12-31T23:59:59.75"), "{stamps:?}");
}

#[test]
fn a_quoted_line_break_is_data_at_any_size_and_thread_count() {
    let texts = Texts::new(&[]);
    let filler = "lorem ipsum ".repeat(40);
    let mut file = "id,n,note\n".to_owned();
    for n in 0..30_000 {
        file += &format!("{n},{},\"line {n}\n{},8,pasted \"\"x\"\" {filler}\"\n", n * 3, 900_000 + n);
    }
    texts.write("notes.csv", file);
    let sql = "SELECT 'all' AS id, count(*) AS rows, sum(id) AS ids, sum(n) AS total FROM t";
    let expected = [(json!("all"), json!({"rows": 30_000, "ids": 449_985_000, "total": 1_349_955_000}))];
    for threads in ["1", "2", "5"] {
        assert_eq!(texts.values(sql, "", &format!("--threads {threads}")), expected);
    }
}

#[test]
fn malformed_csv_is_refused_with_file_and_line() {
    for (text, words) in [
        ("id,v\n1,a\n2,b,extra\n", &["in/b.csv, line 3", "3 fields", "header has 2"][..]),
        ("id,v\n1,\"x\ny\"\n2\n", &["in/b.csv, line 4", "1 field"]),
        ("id,v\n1,\"a\"b\n", &["in/b.csv, line 2", "closing quote"]),
        ("id,v\n1,a\n2,\"b\n3,c\n", &["in/b.csv, line 3", "not closed"]),
        ("id,v\n1, \"a\"\n", &["in/b.csv, line 2", "after a space"]),
        ("id,v\r1,a\r", &["in/b.csv, line 1", "carriage return"]),
        ("id,v,id\n1,a,2\n", &["in/b.csv, line 1", "\"id\" more than once"]),
        ("id,\n1,a\n", &["in/b.csv, line 1", "column 2", "no name"]),
        ("id;v\n1;a\n", &["in/b.csv, line 1", "';'", "set delimiter"]),
        ("id,v\n1,a\0\n", &["in/b.csv, line 2", "zero byte"]),
    ] {
        let texts = Texts::new(&[("a.csv", "id,v\n7,z\n"), ("b.csv", text), ("c.csv", "id,v\n8,z\n")]);
        texts.refused("", words);
    }
    let texts = Texts::new(&[("a.csv", "id,v\n7,z\n")]);
    for (bytes, words) in [
        (&b"\xff\xfei\0d\0"[..], &["in/b.csv", "UTF-16"][..]),
        (b"id,v\n1,\xe9\n", &["in/b.csv, line 2", "not UTF-8"]),
        (b"\x1f\x8b\x08\0\0\0\0\0", &["in/b.csv", "compressed", ".gz"]),
    ] {
        texts.write("b.csv", bytes);
        texts.refused("", words);
    }
    Texts::new(&[("a.csv", "3,2024-01-01,oslo\n4,2024-01-02,rome\n")])
        .refused("", &["in/a.csv, line 1", "header line with the names"]);
    let texts = Texts::new(&[("a.csv", "id,v\n7,z\n"), ("b.csv", "x,y\nz,w\n"), ("c.csv", "id\n7\n")]);
    texts.refused("", &["in/b.csv, line 1", "\"x,y\"", "no column in common"]);
    Texts::new(&[("a.csv", "")]).refused("", &["in/a.csv", "no header"]);
}

#[test]
fn one_odd_value_among_many_is_an_error() {
    let numbers =
        |from: usize| "id,v\n".to_owned() + &(from..from + 100).map(|n| format!("{n},v\n")).collect::<String>();
    let texts =
        Texts::new(&[("a.csv", &numbers(0)), ("b.csv", &(numbers(100) + "oops,v\n")), ("c.csv", &numbers(200))]);
    texts.refused("", &["in/b.csv, line 102", "\"id\"", "\"oops\"", "300 of its 301 values", "contract"]);
    texts.contract(&[("id", "string", false)]);
    assert_eq!(texts.values("SELECT * FROM t", CONTRACT, "").len(), 301);
    texts.write("c.csv", numbers(200).replace("\n2", "\nA2"));
    std::fs::remove_file(texts.workspace.path("contract.json")).unwrap();
    assert_eq!(texts.values("SELECT * FROM t", "", "")[0], (json!("0"), json!({"v": "v"})));
}

/// A field of JSON may be missing in any line or in all; but one with a similar name is a mistake.
#[test]
fn a_field_that_no_line_has_is_null_where_the_contract_allows_it() {
    let texts = Texts::new(&[("a.json", "{\"id\": 1}\n")]);
    texts.contract(&[("id", "int64", false), ("error", "string", true), ("tags", "list<string>", true)]);
    let expected = [(json!(1), json!({"error": null, "tags": null}))];
    assert_eq!(texts.values("SELECT * FROM t", CONTRACT, ""), expected);
    texts.write("a.json", "{\"id\": 1, \"eror\": \"x\"}\n");
    texts.refused(CONTRACT, &["\"error\" is missing", "it has \"eror\""]);
    texts.write("a.json", "{\"id\": 1}\n");
    texts.contract(&[("id", "int64", false), ("error", "string", false)]);
    texts.refused(CONTRACT, &["\"error\""]);
}

/// A run that has nothing to do reads no row: it knows its files by their sizes and times.
#[test]
fn a_repeated_run_reads_no_rows_of_text() {
    let texts = Texts::new(&[("a.csv", "id,v\n1,x\n2,y\n")]);
    texts.values("SELECT * FROM t", "", "");
    let path = texts.workspace.path("in/a.csv");
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "id,v\n1,x\n,,,\n").unwrap();
    let set_back = std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified);
    set_back.unwrap();
    let done = texts.workspace.cutover("run job.toml --json").ok().json();
    assert_eq!((&done["outcome"], &done["inputs"][0]["rows"]), (&json!("unchanged"), &json!(2)));
    texts.workspace.cutover("run job.toml --rebuild").fails(3).complains(&["in/a.csv"]);
}

/// A column of CSV is in the header of some file; where it is in none, it may have been renamed.
#[test]
fn a_column_that_no_csv_file_has_is_null_where_its_contract_makes_it_optional() {
    let texts = Texts::new(&[("a.csv", "id,v\n1,x\n"), ("b.csv", "v,id\ny,2\n")]);
    let contract = |flags: &str| {
        let id = "{\"name\": \"id\", \"type\": \"int64\", \"nullable\": false, \"meaning\": \"\"}";
        let toll = format!("{{\"name\": \"toll\", \"type\": \"float64\", {flags}, \"meaning\": \"\"}}");
        let text = format!("{{\"name\": \"row\", \"columns\": [{toll}, {id}]}}");
        texts.workspace.write("contract.json", text);
    };
    contract("\"nullable\": true");
    texts.refused(CONTRACT, &["\"toll\" is missing", "\"optional\": true in its contract makes it null"]);
    contract("\"nullable\": true, \"optional\": true");
    let expected = [(json!(1), json!({"v": "x", "toll": null})), (json!(2), json!({"v": "y", "toll": null}))];
    assert_eq!(texts.values("SELECT * FROM t", CONTRACT, ""), expected);
    texts.write("b.csv", "v,id,toll\ny,2,0.5\n");
    assert_eq!(texts.values("SELECT * FROM t", CONTRACT, "")[1], (json!(2), json!({"v": "y", "toll": 0.5})));
}

#[test]
fn other_delimiters_can_be_set() {
    let texts = Texts::new(&[("a.csv", "id;v\n1;1,5\n2;\"x;y\"\n")]);
    let expected = [(json!(1), json!({"v": "1,5"})), (json!(2), json!({"v": "x;y"}))];
    assert_eq!(texts.values("SELECT * FROM t", "delimiter = \";\"", ""), expected);
    for (lines, words) in
        [("delimiter = \",,\"", "one ASCII character"), ("format = \"json\"\ndelimiter = \";\"", "for CSV files only")]
    {
        texts.workspace.write("job.toml", job("in/", "SELECT * FROM t", lines));
        texts.workspace.cutover("run job.toml").fails(2).complains(&["\"delimiter\" in [inputs.t]", words]);
    }
}

#[test]
fn a_contract_is_applied_exactly() {
    for (type_name, good, bad, reason) in [
        ("int64", "7", "1.75", "not whole"),
        ("int8", "-128", "128", "too large"),
        ("uint64", "18446744073709551615", "-1", "too"),
        ("decimal(5, 2)", "123.450", "1.234", "digits"),
        ("timestamp[s]", "2024-01-01T00:00:00", "2024-01-01T00:00:00.5", "smaller than the unit"),
        ("timestamp[us, UTC]", "2024-01-01T00:00:00+02:00", "2024-01-01", ""),
        ("timestamp[us]", "2024-01-01 00:00:00", "2024-01-01 00:00:00Z", "has a zone"),
        ("date", "2024-02-29", "2023-02-29", ""),
        ("bool", "True", "1", ""),
        ("float64", "1e-5", "x", ""),
    ] {
        let texts = Texts::new(&[("a.csv", &format!("id,v\n1,{good}\n"))]);
        texts.contract(&[("v", type_name, true)]);
        texts.values("SELECT * FROM t", CONTRACT, "");
        texts.write("b.csv", format!("id,v\n2,{good}\n3,{bad}\n"));
        texts.refused(CONTRACT, &["in/b.csv, line 3", "column \"v\"", bad, type_name, reason]);
    }
    let texts = Texts::new(&[("a.csv", "id,zip\n1,00501\n2,\"\"\n")]);
    texts.contract(&[("zip", "string", false)]);
    let expected = [(json!(1), json!({"zip": "00501"})), (json!(2), json!({"zip": ""}))];
    assert_eq!(texts.values("SELECT * FROM t", CONTRACT, ""), expected);
    texts.write("b.csv", "id,zip\n3,x\n4,\n");
    texts.refused(CONTRACT, &["in/b.csv, line 3", "\"zip\"", "no nulls"]);
    texts.write("b.csv", "id,other\n3,x\n");
    texts.refused(CONTRACT, &["in/b.csv", "\"zip\" is missing"]);
}

#[test]
fn compressed_files_are_read_by_their_extension() {
    let texts = Texts::new(&[("a.csv", "id,v\n1,a\n")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"v,id\nb,2\n").unwrap();
    let gzip = gzip.finish().unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(b"id,v\n3,c\n").unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(b"id,v\n4,d\n").unwrap();
    texts.write("b.csv.gz", &gzip);
    texts.write("c.CSV.bz2", bzip2.finish().unwrap());
    texts.write("d.csv.xz", xz.finish().unwrap());
    texts.write("e.csv.zst", zstd::stream::encode_all(&b"id,v\n5,e\n"[..], 1).unwrap());
    texts.write("f.csv.gz", "");
    let expected: Vec<_> =
        ["a", "b", "c", "d", "e"].iter().zip(1..).map(|(v, id)| (json!(id), json!({"v": v}))).collect();
    assert_eq!(texts.values("SELECT * FROM t", "", ""), expected);
    texts.write("f.csv.gz", &gzip[..gzip.len() - 3]);
    texts.refused("", &["in/f.csv.gz", "damaged or truncated"]);
    let bomb = zstd::stream::encode_all(std::io::repeat(b'x').take(1 << 30), 1).unwrap();
    std::fs::remove_file(texts.workspace.path("in/f.csv.gz")).unwrap();
    texts.write("f.csv.zst", bomb);
    texts.workspace.write("job.toml", job("in/", "SELECT * FROM t", ""));
    let running = texts.workspace.start("run job.toml --memory 128MiB --threads 2");
    let memory = running.watch_memory();
    running.wait().fails(3).complains(&["in/f.csv.zst, line 1", "16 MiB"]);
    assert!(memory.join().unwrap() < 228 << 20);
}

#[test]
fn json_columns_are_the_fields_of_all_lines() {
    let texts = Texts::new(&[
        ("a.json", "{\"id\":1,\"geo\":{\"country\":\"NO\"},\"tags\":[]}\n\n{\"id\":2,\"geo\":null}\r\n"),
        (
            "b.jsonl",
            "{\"id\":3,\"geo\":{\"city\":\"Oslo\"},\"tags\":[\"a\",null],\"referrer\":\"\\u00e9\\ud83d\\ude00\"}",
        ),
    ]);
    let value = |geo: Value, tags: Value, referrer: Value| json!({"geo": geo, "tags": tags, "referrer": referrer});
    let expected = [
        (json!(1), value(json!({"country": "NO", "city": null}), json!([]), Value::Null)),
        (json!(2), value(Value::Null, Value::Null, Value::Null)),
        (json!(3), value(json!({"country": null, "city": "Oslo"}), json!(["a", null]), json!("é😀"))),
    ];
    assert_eq!(texts.values("SELECT * FROM t", "", ""), expected);
}

#[test]
fn json_numbers_keep_every_digit() {
    let column = |first: &str, last: &str| {
        let texts = Texts::new(&[
            ("a.json", &format!("{{\"id\":1,\"v\":{first}}}\n")),
            ("b.json", &format!("{{\"id\":2,\"v\":{last}}}\n")),
        ]);
        let values = texts.values("SELECT id, v, arrow_typeof(v) AS type FROM t", "", "");
        (json!([values[0].1["v"], values[1].1["v"]]), values[0].1["type"].as_str().unwrap().to_owned())
    };
    for (first, last, expected, type_name) in [
        ("1100", "1100.75", json!([1100.0, 1100.75]), "Float64"),
        ("2", "3e2", json!([2.0, 300.0]), "Float64"),
        ("1", "9223372036854775808", json!([1, 9_223_372_036_854_775_808_u64]), "UInt64"),
        ("null", "18446744073709551615", json!([null, u64::MAX]), "UInt64"),
        ("-0", "1", json!([0, 1]), "Int64"),
    ] {
        assert_eq!(column(first, last), (expected, type_name.to_owned()), "{first} and {last}");
    }
    for (first, last, type_name) in
        [("-1", "9223372036854775808", "Decimal128(38, 0)"), ("9007199254740993", "0.25", "Decimal128(38, 2)")]
    {
        assert_eq!(column(first, last).1, type_name, "{first} and {last}");
    }
}

#[test]
fn malformed_json_is_refused_with_file_and_line() {
    let deep = "{\"id\":1,\"v\":".to_owned() + &"[".repeat(100) + &"]".repeat(100) + "}";
    for (line, words) in [
        ("{\"id\":1,\"v\":\"abc{\"id\":2,\"v\":2}", &["a comma or } is expected"][..]),
        ("{\"id\":1} {\"id\":2}", &["a second object"]),
        ("{\"id\":1,\"v\":", &["the line ends"]),
        ("{\"id\":1,\"id\":2}", &["\"id\" more than once"]),
        ("{\"id\":1,\"v\":{\"a\":1,\"a\":1}}", &["\"a\" more than once"]),
        ("\0\0", &["zero byte"]),
        ("7", &["a number is not an object"]),
        ("{\"id\":1,\"v\":\"\\ud800\"}", &["surrogate"]),
        ("{\"id\":1,\"v\":01}", &["number"]),
        ("{\"id\":1,\"v\":NaN}", &["a value is expected"]),
        (&deep, &["deeper than 64"]),
        ("{\"id\":1,\"v\":\"text\"}", &["\"v\" is a string here, but a number in in/a.json, line 1", "contract"]),
        ("{\"id\":1,\"v\":{\"deep\":1}}", &["\"v\" is an object here"]),
        ("{\"id\":1,\"list\":[1,\"a\"]}", &["\"list[]\" is a string here, but a number in in/b.json, line 3"]),
        ("{\"id\":1,\"w\":1E400}", &["\"w\"", "no type holds"]),
    ] {
        let texts = Texts::new(&[("a.json", "{\"id\":7,\"v\":7}\n"), ("c.json", "{\"id\":9,\"v\":9}\n")]);
        texts.write("b.json", format!("{{\"id\":8,\"v\":8}}\n\n{line}\n"));
        texts.refused("", &[&["in/b.json, line 3"], words].concat());
    }
    let texts = Texts::new(&[("a.json", "\n[\n  {\"id\": 1},\n  {\"id\": 2}\n]\n")]);
    texts.refused("", &["in/a.json: is a JSON array", "jq"]);
    texts.write("a.json", format!("[{}{{\"id\":2}}]", "{\"id\":1},".repeat(2_000_000)));
    texts.refused("", &["in/a.json", "is a JSON array"]);
    let keys = |n: usize| format!("{{\"id\":{n},\"m\":{{\"k{n}\":1}}}}\n");
    texts.write("a.json", (0..2001).map(keys).collect::<String>());
    texts.refused("", &["in/a.json", "2000 different keys"]);
}

#[test]
fn a_contract_sets_the_types_of_json() {
    let texts =
        Texts::new(&[("a.json", "{\"id\":1,\"v\":1}\n{\"id\":2,\"v\":\"n/a\"}\n{\"id\":3,\"v\":0.10}\n{\"id\":4}\n")]);
    texts.contract(&[("v", "string", true)]);
    let values: Vec<Value> =
        texts.values("SELECT * FROM t", CONTRACT, "").into_iter().map(|(_, value)| value["v"].clone()).collect();
    assert_eq!(values, [json!("1"), json!("n/a"), json!("0.10"), Value::Null]);
    texts.contract(&[("v", "string", false)]);
    texts.refused(CONTRACT, &["in/a.json, line 4", "\"v\" has no value"]);
    texts.contract(&[("v", "int64", true)]);
    texts.refused(CONTRACT, &["in/a.json, line 2", "column \"v\"", "n/a", "int64"]);

    let texts = Texts::new(&[("a.json", "{\"id\":1,\"v\":[{\"at\":\"2024-01-01T00:00:00Z\",\"n\":1.50}]}\n")]);
    texts.contract(&[("v", "list<struct<at: timestamp[ms, UTC], n: decimal(5, 2)>>", true)]);
    let value = texts.values("SELECT id, v[1]['n'] AS n, CAST(v[1]['at'] AS BIGINT) AS at FROM t", CONTRACT, "");
    assert_eq!(value[0].1["at"], json!(1_704_067_200_000_i64));
    texts.write("b.json", "{\"id\":2,\"v\":[{\"n\":1.505}]}\n");
    texts.refused(CONTRACT, &["in/b.json, line 1", "\"n\"", "digits"]);
}

#[test]
fn directories_are_columns_in_addition_to_those_of_text_files() {
    let texts = Texts::new(&[("day=2026-01-01/a.csv", "id,v\n1,a\n"), ("day=2026-01-02/a.csv", "v,id\nb,2\n")]);
    let expected =
        [(json!(1), json!({"day": "2026-01-01", "v": "a"})), (json!(2), json!({"day": "2026-01-02", "v": "b"}))];
    assert_eq!(texts.values("SELECT day, v, id FROM t", "", ""), expected);
    assert_eq!(texts.values("SELECT count(*) AS id, 1 AS n FROM t WHERE day = '2026-01-02'", "", "")[0].0, json!(1));
    texts.contract(&[("day", "date", false), ("v", "string", false)]);
    assert_eq!(texts.values("SELECT * FROM t", CONTRACT, "").len(), 2);
    texts.write("day=2026-01-02/b.csv", "id,day\n3,x\n");
    texts.refused("", &["in/day=2026-01-02/b.csv", "\"day\"", "directories"]);
}

#[test]
fn directories_are_columns_of_json_with_a_contract() {
    let texts = Texts::new(&[("day=2026-01-01/a.json", "{\"id\":1,\"v\":2}\n")]);
    texts.contract(&[("day", "date", false), ("v", "int32", false)]);
    let expected = [(json!(1), json!({"v": 2, "day": "2026-01-01"}))];
    assert_eq!(texts.values("SELECT * FROM t", CONTRACT, ""), expected);
}

#[test]
fn init_reads_files_like_a_run() {
    let texts = Texts::new(&[("a.csv", "id,price\n1,5\n2,6\n"), ("b.csv", "id,price,late\n3,5.5,x\n")]);
    texts.workspace.cutover("init in/").ok();
    let contract = std::fs::read_to_string(texts.workspace.path("schemas/in.json")).unwrap();
    for column in ["\"id\", \"type\": \"int64\"", "\"price\", \"type\": \"float64\"", "\"late\", \"type\": \"string\""]
    {
        assert!(contract.contains(column), "{contract}");
    }
    assert_eq!(texts.first()["price"], json!(5.0));
}

#[test]
fn a_single_column_gives_a_warning_and_errors_in_data_are_not_blamed_on_the_query() {
    for (file, more, said) in [
        ("id\n1;2\n3;4\n", "", "its values seem to be divided by ';'; set delimiter = \\\";\\\""),
        ("1;2\n3;4\n", "header = false", "its values seem to be divided by ';'"),
        ("id price\n1 2\n", "", "divided by ' '"),
        ("id:price\n1:2\n", "", "divided by ':'"),
        ("id\n1\n2\n", "", "if there should be more"),
    ] {
        let texts = Texts::new(&[("a.csv", file)]);
        texts.workspace.write("job.toml", job("in/", "SELECT * FROM t", more));
        for line in ["plan job.toml", "run job.toml"] {
            let finished = texts.workspace.cutover(&format!("{line} --log-format json")).exits_with(&[0, 2]);
            finished.complains(&["input t has a single column"]);
            let said = if line.starts_with("plan") { said } else { "has a single column" };
            finished.complains(&[said]);
        }
        if more.is_empty() {
            texts.workspace.cutover("init in/").exits_with(&[0, 2, 3]).complains(&["has a single column"]);
        }
    }
    let texts = Texts::new(&[("a.csv", "id\n1\n2\n")]);
    texts.contract(&[("id", "int64", false)]);
    texts.workspace.write("job.toml", job("in/", "SELECT * FROM t", CONTRACT));
    assert!(!texts.workspace.cutover("plan job.toml").ok().stderr.contains("single column"), "a contract names it");

    let wrong = Texts::new(&[("a.csv", "id,v\n1,2\n3\n")]);
    let finished = wrong.refused("", &["error: input t cannot be read", "in/a.csv, line 3: has 1 field"]);
    assert!(!finished.stderr.contains("query"), "{}", finished.stderr);
    let wrong = Texts::new(&[("a.csv", "id,v\n1,x\n")]);
    wrong.contract(&[("id", "int64", false), ("v", "int64", false)]);
    wrong.refused(CONTRACT, &["error: input t breaks its contract", "in/a.csv, line 2"]);
    let wrong = Texts::new(&[("a.csv", "a,b\n1,2\n")]);
    wrong.refused("delimiter = \";\"", &["seems to be divided by ','; set delimiter = \",\""]);
}

#[test]
fn a_null_key_and_an_unreadable_value_are_reported_with_their_line() {
    let texts = Texts::new(&[("a.csv", "id,v\n\"1\",\"a\nb\"\n2,c\n"), ("b.csv", "id,v\n3,7\n,8\n")]);
    texts.refused("", &["key column 'id' is null", "in/b.csv, line 3"]);
    texts.workspace.write("job.toml", job("in/", "SELECT v AS id, CAST(v AS BIGINT) AS v FROM t", ""));
    texts.workspace.cutover("run job.toml").fails(3).complains(&["in/a.csv, line 2: column \"v\" holds"]);
}
