//! Odd, deep or short inputs: SQL of thousands of operators, pipes in place of files, shell limits, paths where no
//! store can be, strings that would control a terminal. Each is refused with a sentence, or works.
//!
//! Not for: damaged and hostile data (`hostile`, `corruption`), links inside a store (`symlinks`), disks (`resources`).

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{NUMBERS, Numbers, integers, write_parquet};
use crate::harness::{CUTOVER, Run, Workspace, names};

/// Runs the job with other SQL.
fn with_sql(numbers: &Numbers, sql: &str) -> Run {
    numbers.workspace.write("deep.sql", sql);
    let job = NUMBERS.replace("sql = \"SELECT key, generation FROM numbers\"", "file = \"deep.sql\"");
    numbers.workspace.write("deep.toml", job.replace("\"store\"", "\"deep\""));
    fs::remove_dir_all(numbers.workspace.path("deep")).ok();
    numbers.workspace.cutover("run deep.toml --memory 256MiB --threads 2")
}

fn chain(piece: &str, by: &str, times: usize) -> String {
    vec![piece; times].join(by)
}

#[test]
fn a_long_chain_of_operators_is_planned() {
    let numbers = Numbers::new();
    numbers.write(1, 20);
    for sql in [
        format!("SELECT key, generation FROM numbers WHERE {}", chain("generation <> 7", " AND ", 600)),
        format!("SELECT key, {} AS text FROM numbers", chain("key", " || ", 600)),
        format!("SELECT key, generation FROM numbers WHERE {}", chain("key = 'k001'", " OR ", 600)),
        format!("{} ", chain("SELECT key, generation FROM numbers", " UNION ", 200)),
    ] {
        with_sql(&numbers, &sql).ok();
    }
}

/// The time to plan a SELECT grows with the square of its columns.
#[test]
fn a_select_of_too_many_columns_is_refused_at_once() {
    let workspace = Workspace::new();
    let names: Vec<String> = (0..10_001).map(|at| format!("c{at}")).collect();
    let columns = names.iter().map(|name| (name.as_str(), integers([1]))).collect();
    write_parquet(&workspace.path("wide.parquet"), columns);
    let run = |sql: &str| {
        workspace.write(
            "job.toml",
            format!(
                "version = 1\ndataset = \"d\"\nstore = \"store\"\n[inputs.wide]\npath = \"wide.parquet\"\n[query]\nsql = \
                 \"{sql}\"\n[output]\nkey = [\"c0\"]\n"
            ),
        );
        workspace.cutover("run job.toml")
    };
    let start = std::time::Instant::now();
    run("SELECT * FROM wide").fails(2).complains(&["10001 columns, at most 10000", "name the columns"]);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    run("SELECT c0, c10000 FROM wide").ok();
}

#[test]
fn sql_that_is_too_deep_is_refused_without_a_crash() {
    let numbers = Numbers::new();
    numbers.write(1, 20);
    let select = "SELECT key, generation FROM numbers";
    let doubled: Vec<String> =
        (1..=40).map(|at| format!("c{at} AS (SELECT * FROM c{0} UNION ALL SELECT * FROM c{0})", at - 1)).collect();
    let chained: Vec<String> = (1..=600).map(|at| format!("c{at} AS (SELECT * FROM c{})", at - 1)).collect();
    for (sql, why) in [
        (format!("{select} WHERE {}", chain("generation <> 7", " AND ", 3000)), "levels deep"),
        (format!("{select} WHERE {}", chain("generation = 7", " OR ", 10_000)), "levels deep"),
        (format!("SELECT key, {} AS text FROM numbers", chain("key", " || ", 3000)), "levels deep"),
        (format!("SELECT key, {} AS n FROM numbers", chain("1", "+", 200_000)), "levels deep"),
        (format!("SELECT key, {} AS n FROM numbers", chain("1", "/", 10_000)), "levels deep"),
        (format!("SELECT key, generation {} AS n FROM numbers", chain("IS NULL", " ", 10_000)), "levels deep"),
        (chain(select, " UNION ALL ", 3000), "levels deep"),
        (format!("SELECT key, {} AS n FROM numbers", chain("CASE WHEN true THEN 1 END", " + ", 5000)), "levels deep"),
        (format!("{select} CROSS JOIN {}", chain("numbers", ", ", 5000)), "at most 200 can be planned"),
        (format!("SELECT {}1{} AS key", chain("(", "", 100_000), chain(")", "", 100_000)), "deep"),
        (
            format!("SELECT key, {}generation{} AS n FROM numbers", chain("abs(", "", 900), chain(")", "", 900)),
            "nested more than 50 deep",
        ),
        (
            format!(
                "SELECT key, {}generation{} AS n FROM numbers",
                chain("CAST(", "", 1500),
                chain(" AS INT)", "", 1500)
            ),
            "casts are nested 1500 deep",
        ),
        (format!("WITH c0 AS ({select}), {} SELECT * FROM c40", doubled.join(", ")), "WITH unfold into"),
        (format!("WITH c0 AS ({select}), {} SELECT * FROM c600", chained.join(", ")), "deep, at most 500"),
    ] {
        with_sql(&numbers, &sql).fails(2).complains(&[why]);
    }
}

#[test]
fn pipes_sockets_and_devices_are_no_inputs_and_no_jobs() {
    let numbers = Numbers::new();
    numbers.write(1, 20);
    numbers.run(1).ok();
    let workspace = &numbers.workspace;
    workspace.finish(&mut workspace.command("mkfifo", &["in/part-1.parquet", "job.toml", "query.sql"])).exits(0);
    for command in ["run numbers.toml", "plan numbers.toml", "init in/", "init in/part-1.parquet"] {
        workspace.cutover(command).fails(3).complains(&["part-1.parquet is a pipe, socket or device"]);
    }
    fs::remove_file(workspace.path("in/part-1.parquet")).unwrap();
    let _socket = UnixListener::bind(workspace.path("in/part-2.parquet")).unwrap();
    for command in ["run numbers.toml", "plan numbers.toml", "init in/"] {
        workspace.cutover(command).fails(3).complains(&["part-2.parquet is a pipe, socket or device"]);
    }
    for command in ["run", "plan"] {
        workspace.cutover(&format!("{command} job.toml")).fails(2).complains(&["job.toml is not a file"]);
        workspace.cutover(&format!("{command} /dev/zero")).fails(2).complains(&["/dev/zero is not a file"]);
    }
    for file in ["query.sql", "/dev/zero"] {
        let query = format!("file = \"{file}\"");
        workspace.write("piped.toml", NUMBERS.replace("sql = \"SELECT key, generation FROM numbers\"", &query));
        workspace.cutover("run piped.toml").fails(2).complains(&["is not a file"]);
    }
}

/// The shell's own limits, set for one command.
fn limited(numbers: &Numbers, limit: &str, line: &str) -> Run {
    let script = format!("{limit} && exec $CUTOVER {line}");
    numbers.workspace.finish(numbers.workspace.command("bash", &["-c", &script]).env("CUTOVER", CUTOVER))
}

#[test]
fn a_file_size_limit_is_an_error_and_not_a_signal() {
    let numbers = Numbers::new();
    numbers.write(1, 20_000);
    limited(&numbers, "ulimit -f 2", "run numbers.toml").fails(4).complains(&["File too large"]);
    numbers.workspace.cutover("run numbers.toml").ok();
    numbers.workspace.cutover("verify store").ok();
}

#[test]
fn too_few_threads_are_reported_before_any_work() {
    let numbers = Numbers::new();
    numbers.write(1, 20);
    let unprivileged = ["--reuid=65534", "--regid=65534", "--clear-groups", "true"];
    let can = Command::new("setpriv").args(unprivileged).status();
    if !rustix::process::getuid().is_root() || !can.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: this user cannot run a command as another one");
    }
    fs::set_permissions(numbers.workspace.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    let as_nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups bash -c";
    for most in [1, 2, 3, 5] {
        let script = format!(
            "cp $CUTOVER ./cutover && {as_nobody} 'ulimit -u {most} && exec ./cutover run numbers.toml --threads 2'"
        );
        let run = numbers.workspace.finish(numbers.workspace.command("bash", &["-c", &script]).env("CUTOVER", CUTOVER));
        run.fails(4).complains(&["thread"]);
    }
}

#[test]
fn a_path_where_no_store_can_be_is_an_error_of_the_job() {
    let numbers = Numbers::new();
    numbers.write(1, 20);
    let workspace = &numbers.workspace;
    workspace.write("file", "precious");
    std::os::unix::fs::symlink("nowhere", workspace.path("link")).unwrap();
    for (store, why) in [
        ("/dev/null", "is not a directory"),
        ("file", "is not a directory"),
        ("link", "is a dangling link"),
        ("file/below", "is below something that is not a directory"),
    ] {
        workspace.write("odd.toml", NUMBERS.replace("\"store\"", &format!("\"{store}\"")));
        workspace.cutover("run odd.toml").fails(2).complains(&[why]);
        workspace.cutover(&format!("versions {store}")).fails(2);
    }
    assert_eq!(fs::read(workspace.path("file")).unwrap(), b"precious");
}

#[test]
fn foreign_strings_cannot_control_a_terminal() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let workspace = &numbers.workspace;
    let reason = "incident \u{1b}[2J\u{9b}31m\u{202e} \r17";
    workspace.cutover_with(&["pin", "store", "--reason", reason]).ok();
    let events = workspace.path("store/log/events.jsonl");
    let long = format!("{}\n", "x".repeat(40 << 20));
    let event = "{\"at\":\"2026-01-01T00:00:00Z\",\"event\":\"pinned\",\"version\":1,\"by\":\"\\u001b]0;x\\u0007\",\"detail\":\"d\"}\n";
    fs::write(&events, [fs::read(&events).unwrap(), long.into_bytes(), event.as_bytes().to_vec()].concat()).unwrap();
    for command in ["versions store", "log store", "run numbers.toml", "unpin store"] {
        let run = workspace.cutover(command);
        let said = format!("{}{}", run.stdout, run.stderr);
        let raw = said.chars().find(|letter| letter.is_control() && *letter != '\n' || *letter == '\u{202e}');
        assert_eq!(raw, None, "{command}: {said:?}");
    }
    workspace.cutover("log store").ok().prints(&["\\u{1b}]0;x\\u{7}"]);
    workspace.cutover("log store --json").ok().prints(&["incident"]);
}

#[test]
fn help_that_cannot_be_written_is_an_error() {
    let numbers = Numbers::new();
    for line in ["--help", "run --help", "--version"] {
        let script = format!("$CUTOVER {line} >/dev/full");
        let mut command = numbers.workspace.command("sh", &["-c", &script]);
        numbers.workspace.finish(command.env("CUTOVER", CUTOVER)).fails(4).complains(&["standard output"]);
    }
}

#[test]
fn locks_of_a_store_need_write_permission() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let mode = |name: &str| fs::metadata(numbers.workspace.path(name)).unwrap().mode() & 0o777;
    let locks = ["store/build.lock", "store/commit.lock"];
    locks.iter().for_each(|lock| assert_eq!(mode(lock), 0o600, "{lock}"));
    // Created by an older program; and a store that a group shares.
    for (of_store, of_lock) in [(0o755, 0o600), (0o2775, 0o660)] {
        fs::set_permissions(numbers.workspace.path("store"), fs::Permissions::from_mode(of_store)).unwrap();
        for lock in locks {
            fs::set_permissions(numbers.workspace.path(lock), fs::Permissions::from_mode(0o644)).unwrap();
        }
        numbers.run(2).ok();
        locks.iter().for_each(|lock| assert_eq!(mode(lock), of_lock, "{lock}"));
    }
}

/// Sends a signal that dumps core to a consumer that waits for a broker; systems with the usual pattern write the core
/// to its directory.
#[test]
fn a_process_that_holds_a_password_leaves_no_core() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.trim() != "core" {
        return eprintln!("skipped: cores go elsewhere");
    }
    let numbers = Numbers::new();
    let settings =
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=someone\nsasl.password=hunter2\n";
    numbers.workspace.write("client.properties", settings);
    for (wanted, cores) in [("0", 0), ("1", 1)] {
        // One for each: a process that ended may have left a connection that was never accepted.
        let broker = TcpListener::bind("127.0.0.1:0").unwrap();
        let script = format!(
            "ulimit -c unlimited; exec $CUTOVER consume --brokers {} --topic t --store c --properties client.properties",
            broker.local_addr().unwrap()
        );
        let mut command = numbers.workspace.command("bash", &["-c", &script]);
        command.env("CUTOVER", CUTOVER).env("CUTOVER_CORES", wanted).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        // Settings are read, and a client is created with them, before anything connects.
        drop(broker.accept().unwrap());
        kill_process(Pid::from_child(&process), Signal::QUIT).unwrap();
        process.wait().unwrap();
        let found = names(&numbers.workspace.path("")).iter().filter(|name| name.starts_with("core")).count();
        assert_eq!(found, cores, "CUTOVER_CORES={wanted}");
    }
}

/// The example of `cutover path --help`, as it is printed, with the tool that it names.
#[test]
fn the_example_with_ldb_runs_as_printed() {
    if !Command::new("ldb").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: there is no ldb");
    }
    // Distributions have an ldb that does not read newer formats.
    let numbers = Numbers::with("\n[tables]\nformat_version = 5\n");
    numbers.run(1).ok();
    let help = numbers.workspace.cutover("path --help").ok();
    let example = help.stdout.lines().find(|line| line.trim_start().starts_with("ldb ")).unwrap().trim();
    let example = example.replace("stores/views_by_age", "store").replace("cutover path", "$CUTOVER path");
    let run = numbers.workspace.finish(numbers.workspace.command("sh", &["-c", &example]).env("CUTOVER", CUTOVER));
    run.exits(0).prints(&["0x6B30"]);
    numbers.workspace.cutover("verify store --depth full").ok();
}
