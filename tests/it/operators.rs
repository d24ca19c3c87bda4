//! What operators and their programs read: the `--json` document for every outcome, the summary line in logs, JSON
//! lines, and errors that name the place in the job.
//!
//! `Run::json` validates every document against schemas/output.json.

use rustix::process::Signal;
use serde_json::Value;

use crate::fixture::{NUMBERS, Numbers};
use crate::harness::{Run, Workspace};

#[track_caller]
fn document(run: Run, code: i32) -> Value {
    run.exits(code).json()
}

#[test]
fn every_outcome_is_one_json_document() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    let run = |code| document(numbers.workspace.cutover("run numbers.toml --json"), code);
    let on = |command: &str, arguments: &str| document(numbers.on(command, &format!("{arguments} --json")), 0);
    let first = run(0);
    assert_eq!(
        (&first["outcome"], &first["readers_see"], &first["version"]),
        (&"published".into(), &1.into(), &1.into())
    );
    assert_eq!((&first["dataset"], &first["store"]), (&"numbers".into(), &"store".into()));
    assert_eq!(run(0)["outcome"], "unchanged");

    numbers.write(2, 100);
    on("pin", "--reason audit");
    let pinned = run(5);
    assert_eq!((&pinned["outcome"], &pinned["readers_see"]), (&"not_published".into(), &1.into()));
    assert_eq!(pinned["next"], "cutover unpin store");
    assert_eq!(document(numbers.on("publish", "2 --json"), 5)["next"], "cutover unpin store");
    assert_eq!(on("unpin", "")["outcome"], "unpinned");
    assert_eq!(on("publish", "2")["outcome"], "published");
    assert_eq!(on("publish", "2")["outcome"], "unchanged");
    assert_eq!(on("rollback", "")["outcome"], "rolled_back");
    assert!(on("log", "")["events"].as_array().is_some_and(|events| events.len() > 4));

    numbers.write(3, 10);
    let rejected = run(7);
    assert_eq!((&rejected["outcome"], &rejected["kind"]), (&"rejected".into(), &"rejected".into()));
    assert_eq!((&rejected["version"], &rejected["readers_see"]), (&3.into(), &1.into()));
    let checks = rejected["checks"].as_array().unwrap();
    assert!(
        checks.iter().any(|check| check["outcome"] == "failed" && check["rule"] == "rows.max_change"),
        "{checks:?}"
    );
    assert_eq!(rejected["next"], "cutover scan store --version 3");

    let absent = document(numbers.on("get", "nobody --json"), 1);
    assert_eq!((&absent["outcome"], &absent["entries"][0]["value"]), (&"absent".into(), &Value::Null));
}

#[test]
fn every_failure_is_one_json_document() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let failed = |job: &str, code: i32, kind: &str, words: &str| {
        numbers.workspace.write("numbers.toml", job);
        let result = document(numbers.workspace.cutover("run numbers.toml --json"), code);
        assert_eq!((&result["outcome"], &result["kind"]), (&"failed".into(), &kind.into()));
        let said = format!("{} {}", result["message"], result["causes"]);
        assert!(said.contains(words), "{said}");
        result
    };
    failed("version = 7", 2, "invalid", "numbers.toml:1");
    let result = failed(&NUMBERS.replace("SELECT key,", "SELECT kye,"), 2, "invalid", "kye");
    assert_eq!(result["readers_see"], 1, "the current version is reported in addition");
    failed(&NUMBERS.replace("in/", "out/"), 3, "input", "no files");
    numbers.workspace.write("numbers.toml", NUMBERS);
    for (line, command) in
        [("rnu --json", Value::Null), ("get --json", "get".into()), ("versions none --json", "versions".into())]
    {
        let result = document(numbers.workspace.cutover(line), 2);
        assert_eq!((&result["kind"], &result["command"]), (&"invalid".into(), &command), "{line}");
    }
    let said = numbers.workspace.cutover("scan none --json").fails(2).json_lines();
    assert_eq!((said.len(), &said[0]["outcome"]), (1, &"failed".into()));
    assert!(numbers.workspace.cutover("get --help --json").ok().stdout.contains("Usage"), "help is help");

    numbers.write(2, 100);
    let mut panics = numbers.workspace.command(crate::harness::CUTOVER, &["run", "numbers.toml", "--json"]);
    let panicked = numbers.workspace.finish(panics.env("CUTOVER_FAILPOINTS", "build.started=panic")).panicked();
    assert_eq!((&panicked.json()["kind"], &panicked.json()["exit_code"]), (&"internal".into(), &70.into()));

    let mut build = numbers.workspace.start_failing("build.synced=pause", "run numbers.toml --json");
    build.wait_until_paused();
    let busy = document(numbers.workspace.cutover("run numbers.toml --json"), 5);
    assert_eq!((&busy["kind"], &busy["next"]), (&"conflict".into(), &"cutover run numbers.toml --json".into()));
    build.wake_with(Signal::TERM);
    let stopped = document(build.wait(), 143);
    assert_eq!((&stopped["outcome"], &stopped["readers_see"]), (&"stopped".into(), &1.into()));
}

#[test]
fn a_log_keeps_one_line_of_every_run() {
    let numbers = Numbers::new();
    let last = |run: &Run| run.stderr.lines().last().unwrap_or_default().to_owned();
    let line = last(&numbers.run(1).ok());
    let (time, words) = line.split_once(' ').unwrap();
    assert!(time.len() == 20 && time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{line}");
    let said = "command=run job=numbers.toml dataset=numbers store=store version=1 outcome=published rows=100 seconds=";
    assert!(words.starts_with(said), "{line}");
    numbers.write(2, 10);
    let line = last(&numbers.workspace.cutover("run numbers.toml").fails(7));
    assert!(line.contains("outcome=rejected") && line.contains("version=2 "), "{line}");
    assert!(!numbers.on("versions", "").ok().stderr.contains("command="), "only looking is not logged");
}

#[test]
fn a_json_log_is_all_that_standard_error_has() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    let lines = |run: &Run| -> Vec<Value> {
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        run.stderr.lines().map(read).collect()
    };
    let good = lines(&numbers.workspace.cutover("run numbers.toml -v --log-format json").ok());
    for line in &good {
        assert!(line["time"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
        assert!(line["fields"].is_object(), "{line}");
    }
    assert!(good.iter().any(|line| line["message"] == "query" && line["fields"]["rows"] == 100), "{good:?}");
    assert_eq!(good.last().unwrap()["fields"]["outcome"], "published");
    numbers.workspace.write("numbers.toml", NUMBERS.replace("FROM numbers", "FROM number"));
    let bad = lines(&numbers.workspace.cutover("run numbers.toml --log-format=json").exits(2));
    assert!(bad.iter().any(|line| line["level"] == "error" && line["fields"]["kind"] == "invalid"), "{bad:?}");
    let bad = lines(&numbers.workspace.cutover("rnu --log-format=json").exits(2));
    assert_eq!(bad.len(), 1);
}

/// A job whose SQL is in lines 10 to 13.
fn events(sql: &str) -> Workspace {
    let workspace = Workspace::new();
    for day in ["24", "25", "26"] {
        workspace.write(&format!("ev/date=2026-11-{day}/a.csv"), "id,v\n1,2\n2,3\n");
    }
    workspace.write(
        "job.toml",
        format!(
            "version = 1\ndataset = \"d\"\nstore = \"stores/d\"\n\n[inputs.events]\npath = \"ev/\"\n\n[query]\nsql = \
             '''\n{sql}\n'''\n\n[output]\nkey = [\"id\"]\n"
        ),
    );
    workspace
}

#[test]
fn wrong_sql_is_reported_with_the_line_of_the_job_and_its_names() {
    let since = "CAST($date AS DATE) - interval '3 days'";
    for (sql, words) in [
        (
            format!("SELECT id, sum(v) AS v\nFROM event\nWHERE date > {since}\nGROUP BY id"),
            ["job.toml:11", "there is no input event, did you mean \"events\"?"],
        ),
        (
            format!("SELECT id, sum(v) AS v\nFROM events\nWHERE date > {since}\nGRUOP BY id"),
            ["job.toml:13", "found: GRUOP"],
        ),
        (
            format!("SELECT id,\nsum(w) AS v\nFROM events WHERE date > {since}\nGROUP BY id"),
            ["job.toml:11", "No field named w"],
        ),
        (
            format!("SELECT id,\nsmu(v) AS v\nFROM events WHERE date > {since}\nGROUP BY id"),
            ["job.toml:11", "Invalid function 'smu'"],
        ),
        (
            "SELECT id, v FROM events\nWHERE date > $date - interval '3 days'".to_owned(),
            ["parameters are text", "CAST($date AS DATE)"],
        ),
    ] {
        let refused = events(&sql).cutover("run job.toml --set date=2026-11-26").fails(2);
        refused.complains(&words);
        assert!(!refused.stderr.contains("datafusion.public"), "{}", refused.stderr);
    }
    let sql = format!("SELECT id, sum(v) AS v FROM events\nWHERE date > {since}\nGROUP BY id");
    let said = ["the parameter date, given as --set date=2026-11-31, is not a date"];
    events(&sql).cutover("run job.toml --set date=2026-11-31").fails(2).complains(&said);
    events(&sql).cutover("run job.toml --set date=2026-11-26").ok();
}

#[test]
fn an_error_in_a_query_file_is_reported_with_its_line() {
    let workspace = events("");
    let job = std::fs::read_to_string(workspace.path("job.toml")).unwrap();
    workspace.write("jobs/job.toml", job.replace("sql = '''\n\n'''", "file = \"query.sql\""));
    workspace.write("jobs/query.sql", "SELECT id,\n  w AS v\nFROM events");
    let said = [
        "query.sql does not exist",
        "relative to the directory the command runs in",
        "write file = \"jobs/query.sql\"",
    ];
    workspace.cutover("run jobs/job.toml").fails(2).complains(&said);
    workspace.write("jobs/job.toml", job.replace("sql = '''\n\n'''", "file = \"jobs/query.sql\""));
    workspace.cutover("run jobs/job.toml").fails(2).complains(&["jobs/query.sql:2", "No field named w"]);
}

/// A bad value that only the query finds is reported with its file, row and column.
#[test]
fn a_value_that_the_query_cannot_cast_is_found_in_its_file() {
    use crate::fixture::{integers, strings, write_parquet};
    let job = "version = 1\ndataset = \"d\"\nstore = \"store\"\n[inputs.t]\npath = \"in/\"\n[query]\nsql = \"SELECT id, \
               CAST(v AS BIGINT) AS v FROM t\"\n[output]\nkey = [\"id\"]\n";
    let parquet = Workspace::new();
    for (name, last) in [("a", "5"), ("b", "5 EUR")] {
        let columns = vec![("id", integers([1, 2, 3])), ("v", strings(["3", "4", last])), ("w", strings(["5 EUR"; 3]))];
        write_parquet(&parquet.path(format!("in/{name}.parquet")), columns);
    }
    parquet.write("job.toml", job);
    let said = ["in/b.parquet, row 3: column \"v\" holds \"5 EUR\"", "Cannot cast string '5 EUR'"];
    parquet.cutover("run job.toml").fails(3).complains(&said);
    let csv = Workspace::new();
    csv.write("in/a.csv", "id,v\n1,a1\n");
    csv.write("in/b.csv", "id,v\n2,\"7\nx\"\n3,a2\n");
    csv.write("job.toml", job);
    csv.cutover("run job.toml").fails(3).complains(&[", line ", ": column \"v\" holds"]);
}

#[test]
fn an_invalid_key_prefix_is_refused() {
    let workspace = events("SELECT CAST(id AS VARCHAR) AS item, v, date FROM events");
    let job = std::fs::read_to_string(workspace.path("job.toml")).unwrap();
    workspace.write("job.toml", job.replace("key = [\"id\"]", "key = [\"item\", \"v\", \"date\"]"));
    workspace.cutover("run job.toml").ok();
    for prefix in ["item-0000", "[\"1\"", ""] {
        let refused = workspace.cutover_with(&["scan", "stores/d", "--prefix", prefix]).fails(2);
        refused.complains(&["a key is an array of 3: [item, v, date]"]);
    }
    for (prefix, said) in [("[\"1\"", "is not complete JSON"), ("", "a prefix must not be empty")] {
        workspace.cutover_with(&["scan", "stores/d", "--prefix", prefix]).fails(2).complains(&[said]);
    }
    assert_eq!(workspace.cutover_with(&["scan", "stores/d", "--prefix", "[\"1\"]"]).ok().stdout.lines().count(), 3);
}

#[test]
fn a_store_is_refused_as_an_input_and_a_url_as_a_store() {
    let workspace = events("SELECT id, v FROM events WHERE date = '2026-11-24'");
    workspace.cutover("run job.toml").ok();
    let job = std::fs::read_to_string(workspace.path("job.toml")).unwrap();
    workspace.write(
        "next.toml",
        job.replace("ev/", "stores/d").replace("\"stores/d\"\n\n[inputs", "\"stores/e\"\n\n[inputs"),
    );
    workspace.cutover("run next.toml").fails(2).complains(&["stores/d is a Cutover store"]);
    for part in ["versions", "versions/00000001", "versions/00000001/shard-00000"] {
        let next = job
            .replace("ev/", &format!("stores/d/{part}/"))
            .replace("\"stores/d\"\n\n[inputs", "\"stores/e\"\n\n[inputs");
        workspace.write("next.toml", next);
        workspace.cutover("run next.toml").fails(2).complains(&["is part of a Cutover store"]);
    }
    workspace.cutover("versions ftp://b/s").fails(2).complains(&["\"ftp://b/s\" is not a URL of s3://"]);
}

#[test]
fn other_dialects_of_csv_are_read() {
    let read = |more: &str, text: &str, contract: &str| {
        let workspace = Workspace::new();
        workspace.write("in/a.csv", text);
        workspace.write("contract.json", contract);
        let schema = if contract.is_empty() { "" } else { "schema = \"contract.json\"\n" };
        workspace.write(
            "job.toml",
            format!(
                "version = 1\ndataset = \"d\"\nstore = \"store\"\n[inputs.t]\npath = \"in/\"\n{schema}{more}\n[query]\nsql \
                 = \"SELECT row_number() over () as n, * FROM t\"\n[output]\nkey = [\"n\"]\n"
            ),
        );
        workspace
    };
    let rows = |more: &str, text: &str, contract: &str| {
        let workspace = read(more, text, contract);
        workspace.cutover("run job.toml --threads 1").ok();
        let lines = workspace.cutover("scan store --json").ok().json_lines();
        lines.into_iter().map(|line| line["value"].to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(rows("quote = \"'\"", "a,b\n'x,''y',\"z\n", ""), r#"{"a":"x,'y","b":"\"z"}"#);
    assert_eq!(rows("quote = \"\"", "a,b\n\"x,1\n", ""), r#"{"a":"\"x","b":1}"#);
    assert_eq!(rows("escape = \"\\\\\"", "a,b\n\"x\\\"y\",1\n", ""), r#"{"a":"x\"y","b":1}"#);
    assert_eq!(
        rows("header = false", "7,x\n8,y\n", ""),
        r#"{"column_1":7,"column_2":"x"} {"column_1":8,"column_2":"y"}"#
    );
    let contract = r#"{"name": "r", "columns": [{"name": "id", "type": "string", "nullable": false, "meaning": ""}, {"name": "v", "type": "int64", "nullable": true, "meaning": ""}]}"#;
    assert_eq!(rows("header = false", "007,1\n8,\n", contract), r#"{"id":"007","v":1} {"id":"8","v":null}"#);
    assert_eq!(rows("null = [\"\", \"NA\"]", "a,b\nNA,1\n\"NA\",NA\n", ""), r#"{"a":null,"b":1} {"a":"NA","b":null}"#);
    assert_eq!(rows("comment = \"#\"", "# \"made\na,b\n#x,\"\n1,\"#2\"\n", ""), r##"{"a":1,"b":"#2"}"##);
    for (more, words) in [
        ("quote = \",\"", "the same as delimiter"),
        ("comment = \"ab\"", "one ASCII character"),
        ("escape = \"\\\\\"\nquote = \"\"", "needs quotes"),
        ("header = \"no\"", "true or false"),
        ("null = \"NA\"", "an array"),
        ("format = \"json\"\nheader = false", "for CSV files only"),
    ] {
        read(more, "a\n1\n", "").cutover("run job.toml").fails(2).complains(&["job.toml:", words]);
    }
    read("header = false", "1,2,3\n", contract).cutover("run job.toml").fails(3).complains(&[
        "in/a.csv, line 1",
        "3 fields",
        "2 columns",
    ]);
}

#[test]
fn init_finds_the_delimiter_and_keeps_what_is_there() {
    let workspace = Workspace::new();
    workspace.write("semi.csv", "id;title;price\n1;\"a;b\";3,5\n2;c;4,5\n");
    workspace.cutover("init semi.csv").ok().prints(&["key   id"]);
    let job = std::fs::read_to_string(workspace.path("jobs/semi.toml")).unwrap();
    assert!(job.contains("delimiter = \";\""), "{job}");
    workspace.cutover("run jobs/semi.toml").ok();
    workspace.cutover("get stores/semi 1").ok().prints(&[r#"{"title":"a;b","price":"3,5"}"#]);

    workspace.write("other.csv", "id,v\n1,2\n");
    workspace.write("schemas/other.json", std::fs::read_to_string(workspace.path("schemas/semi.json")).unwrap());
    workspace
        .cutover("init other.csv")
        .ok()
        .prints(&["wrote jobs/other.toml", "kept  schemas/other.json, which already exists"]);
    workspace.cutover("init other.csv").fails(2).complains(&["nothing was written", "jobs/other.toml"]);
}

/// The consumer in Python encodes keys as the command does.
#[test]
fn python_encodes_keys_like_the_command() {
    let workspace = events(
        "SELECT id, v, date, CAST(id AS VARCHAR) AS item, v > 2 AS b, CAST(v AS DECIMAL(9,2)) AS d, CAST(v AS DOUBLE) AS f FROM events",
    );
    let job = std::fs::read_to_string(workspace.path("job.toml")).unwrap();
    workspace.write(
        "job.toml",
        job.replace("key = [\"id\"]", "key = [\"id\", \"item\", \"b\", \"d\", \"f\"]\nduplicates = \"number\""),
    );
    workspace.cutover("run job.toml").ok();
    let store = cutover::serve::Store::open(workspace.path("stores/d")).unwrap();
    let version = store.current().unwrap().unwrap();
    let schema = serde_json::to_string(version.key_schema()).unwrap();
    let mut keys = Vec::new();
    for key in [r#"[1, "1", false, 2, 2, 0]"#, r#"["-70000", "a\u0000b", true, "-1.25", -0.5, 300]"#] {
        keys.push((key, version.key_schema().parse(key).unwrap()));
    }
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
    for (key, bytes) in keys {
        let program = "import sys, json; sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True\n\
                       from cutover_key import key_bytes; print(key_bytes(json.loads(sys.argv[2]), sys.argv[3]).hex())";
        let made = std::process::Command::new("python3").args(["-c", program, scripts, &schema, key]).output().unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let said = String::from_utf8_lossy(&made.stdout).trim().to_owned();
        assert_eq!(said, hex, "{key}: {}", String::from_utf8_lossy(&made.stderr));
    }
}

#[test]
fn a_plan_says_what_the_disk_holds_how_long_it_takes_and_whether_it_fits() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    let plan = |flags: &str| numbers.workspace.cutover(&format!("plan numbers.toml {flags}")).ok();
    let first = plan("--memory 128MiB --threads 2");
    first.prints(&["fits this machine", "yes", "compressed like a sample", "not known before the first version"]);
    assert!(!first.stdout.contains("DataSourceExec"), "{}", first.stdout);
    plan("-v").prints(&["query plan", "DataSourceExec"]);
    numbers.run(1).ok();
    numbers.write(2, 200);
    plan("").prints(&["as version 1 took"]);
    let result = plan("--memory 1000GiB --json").json();
    assert_eq!(result["fits"]["memory"], true, "memory that is allowed and not needed does no harm");
}

/// Samples of two large inputs have few rows in common: their join is not predicted, their union is.
#[test]
fn two_large_inputs_are_predicted_unless_they_are_joined() {
    use crate::fixture::{integers, write_parquet};
    let workspace = Workspace::new();
    for (name, factor) in [("one", 3), ("two", 5)] {
        let ids = |of: i64| integers((0..300_000).map(move |row| row * of));
        write_parquet(&workspace.path(format!("{name}.parquet")), vec![("id", ids(factor)), ("v", ids(1))]);
    }
    let job = |sql: &str| {
        format!(
            "version = 1\ndataset = \"d\"\nstore = \"store\"\n[inputs.one]\npath = \"one.parquet\"\n[inputs.two]\npath = \
             \"two.parquet\"\n[query]\nsql = \"{sql}\"\n[output]\nkey = [\"id\"]\nduplicates = \"number\"\n[checks]\nrows \
             = {{ max_change = 10.0 }}\n"
        )
    };
    workspace.write("joined.toml", job("SELECT id, one.v FROM one JOIN two USING (id)"));
    let plan = workspace.cutover("plan joined.toml").ok();
    plan.prints(&["rows", "not known", "its memory: yes; its disk: not known", "predicted from nothing"]);
    let result = document(workspace.cutover("plan joined.toml --json"), 0);
    for field in ["entries_bytes", "spill_bytes", "disk_bytes", "stored_bytes", "stored_from", "seconds"] {
        assert!(result[field].is_null(), "{field}: {}", result[field]);
    }
    assert!(result["fits"]["disk"].is_null() && result["predicted"]["memory"].as_u64().unwrap() > 0, "{result}");
    let result = document(workspace.cutover("run joined.toml --json"), 0);
    assert_eq!((&result["rows"], &result["predicted"]["rows"]), (&60_000.into(), &Value::Null));
    // What another job made of this dataset is better than nothing.
    workspace.write("joined.toml", job("SELECT id, one.v + 1 AS v FROM one JOIN two USING (id)"));
    workspace.cutover("plan joined.toml").ok().prints(&["60,000", "version 1 of another job"]);
    workspace.write("union.toml", job("SELECT id, v FROM one UNION ALL SELECT id, v FROM two"));
    let result = document(workspace.cutover("run union.toml --json"), 0);
    let (rows, predicted) = (result["rows"].as_f64().unwrap(), result["predicted"]["rows"].as_f64().unwrap());
    assert!((0.9..=1.1).contains(&(predicted / rows)), "{rows} rows, {predicted} predicted");
    assert_eq!(result["predicted"]["basis"], "a sample of the inputs");
}

/// A window of days over many: the sample is taken from the days that the query keeps.
#[test]
fn a_window_over_days_is_predicted_from_its_days() {
    use crate::fixture::{integers, write_parquet};
    let workspace = Workspace::new();
    for day in 1..=20_i64 {
        // Early days are smaller, and all days are too many to read for a plan: a share of all says little about the
        // last ones.
        let rows = if day < 17 { 2_000 } else { 300_000 };
        let ids: Vec<i64> = (0..rows).map(|row| day * 1_000_000 + row).collect();
        let path = workspace.path(format!("ev/day={day:02}/a.parquet"));
        write_parquet(&path, vec![("id", integers(ids.iter().copied())), ("v", integers(ids.iter().map(|id| id % 7)))]);
    }
    workspace.write(
        "job.toml",
        "version = 1\ndataset = \"d\"\nstore = \"store\"\n[inputs.ev]\npath = \"ev/\"\n[query]\nsql = \"SELECT id, v FROM \
         ev WHERE day > $day\"\n[output]\nkey = [\"id\"]\n[checks]\nrows = { max_change = 1.0 }\n",
    );
    for day in [16, 17] {
        let result = document(workspace.cutover(&format!("run job.toml --set day={day} --json")), 0);
        let (rows, predicted) = (result["rows"].as_f64().unwrap(), result["predicted"]["rows"].as_f64().unwrap());
        assert!((1.0 / 1.5..=1.5).contains(&(rows / predicted)), "{rows} rows, {predicted} predicted");
    }
}

/// All rows but the last ones add up to zero, and samples are taken from the beginning of row groups.
#[test]
fn a_division_by_zero_in_the_sample_alone_fails_no_run() {
    use crate::fixture::{integers, write_parquet};
    for share in ["cast(sum(amount) AS double) / cast(sum(amount) AS double)", "sum(amount) / sum(amount)"] {
        let workspace = Workspace::new();
        let users = integers((0..400_000).map(|row| row % 10));
        let amounts = integers((0..400_000).map(|row| i64::from(row >= 399_980)));
        write_parquet(&workspace.path("events.parquet"), vec![("user", users), ("amount", amounts)]);
        workspace.write(
            "job.toml",
            format!(
                "version = 1\ndataset = \"d\"\nstore = \"store\"\n[inputs.events]\npath = \"events.parquet\"\n[query]\nsql \
                 = \"SELECT user, {share} AS share FROM events GROUP BY user\"\n[output]\nkey = [\"user\"]\n"
            ),
        );
        let plan = document(workspace.cutover("plan job.toml --json"), 0);
        assert_eq!(plan["predicted"]["rows"], Value::Null, "{plan}");
        assert_eq!(document(workspace.cutover("run job.toml --json"), 0)["rows"], 10);
    }
}

#[test]
fn a_result_that_the_query_leaves_open_is_warned_of_once() {
    let numbers = Numbers::new();
    numbers.write(1, 10);
    let sql = "SELECT key, array_agg(generation) AS seen FROM numbers GROUP BY key";
    numbers.workspace.write("open.toml", NUMBERS.replace("SELECT key, generation FROM numbers", sql));
    let warning = "the query leaves a result open: array_agg(generation) has no ORDER BY";
    for command in ["plan open.toml --json", "run open.toml --json"] {
        let warned = numbers.workspace.cutover(command).ok();
        assert_eq!(warned.stderr.matches(warning).count(), 1, "{}", warned.stderr);
        assert!(warned.json()["notes"][0].as_str().unwrap().starts_with(warning));
    }
    let ordered =
        NUMBERS.replace("SELECT key, generation FROM numbers", &sql.replace("n) AS", "n ORDER BY generation) AS"));
    numbers.workspace.write("ordered.toml", ordered.replace("\"store\"", "\"s2\""));
    let silent = numbers.workspace.cutover("run ordered.toml").ok();
    assert!(!silent.stderr.contains("leaves a result open"), "{}", silent.stderr);
}
