//! What schedulers and shells get of the command: the result file, the CronJob, completions, manual pages, colours.
//!
//! Not for: the content of the JSON document, which `operators` checks.

use std::fs;

use serde_json::Value;

use crate::fixture::Numbers;
use crate::harness::{CUTOVER, Workspace, names};
use crate::schema;

/// The result file of the command that ended last.
#[track_caller]
fn result(workspace: &Workspace) -> Value {
    let text = fs::read_to_string(workspace.path("result.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(schema::problems(&document), [""; 0], "{text}");
    document
}

#[test]
fn the_result_file_is_written_whatever_the_outcome() {
    let numbers = Numbers::new();
    let workspace = &numbers.workspace;
    numbers.write(1, 100);
    let shown = workspace.cutover("run numbers.toml --result result.json").ok();
    assert!(shown.stdout.contains("version 1 is live"), "text is printed as always: {}", shown.stdout);
    let output = result(workspace);
    assert_eq!(
        (&output["outcome"], &output["exit_code"], &output["rows"]),
        (&"published".into(), &0.into(), &100.into())
    );
    for (line, code, outcome) in [
        ("get store nobody", 1, "absent"),
        ("run none.toml", 2, "failed"),
        ("rnu", 2, "failed"),
        ("run --wrong", 2, "failed"),
        ("scan store --limit 3", 0, "done"),
        ("versions store", 0, "done"),
        ("plan numbers.toml", 0, "done"),
        ("verify store", 0, "done"),
    ] {
        workspace.cutover(&format!("{line} --result result.json")).exits(code);
        let output = result(workspace);
        assert_eq!((&output["outcome"], &output["exit_code"]), (&outcome.into(), &code.into()), "{line}");
    }
    assert_eq!(names(&workspace.path("")).iter().filter(|name| name.contains("result.json")).count(), 1, "no debris");
}

#[test]
fn a_killed_command_leaves_no_result_of_an_earlier_one() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    numbers.workspace.write("result.json", r#"{"command": "run", "exit_code": 0}"#);
    let mut build = numbers.workspace.start_failing("build.synced=pause", "run numbers.toml --result result.json");
    build.wait_until_paused();
    build.signal(rustix::process::Signal::KILL);
    build.wait().killed();
    assert!(!numbers.workspace.path("result.json").exists());
}

#[test]
fn a_result_file_that_cannot_be_written_is_a_failure() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    numbers.write(2, 100);
    numbers
        .workspace
        .cutover("run numbers.toml --result none/result.json")
        .exits(2)
        .complains(&["as there is no directory"]);
    assert_eq!(numbers.seen(), (1, 1), "it is refused before work starts");
    let current = fs::read(numbers.workspace.path("store/current.json")).unwrap();
    numbers.on("versions", "--result store/current.json").exits(2).complains(&["is no result of a command"]);
    assert_eq!(fs::read(numbers.workspace.path("store/current.json")).unwrap(), current);
    numbers.on("versions", "--result /dev/null").exits(2).complains(&["--result /dev/null is not a file"]);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_plan_becomes_a_cron_job() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    let line = "plan numbers.toml --k8s --threads 2 --memory 256MiB --image registry.example/cutover:1";
    let printed = numbers
        .workspace
        .cutover_with(&[&line.split(' ').collect::<Vec<_>>()[..], &["--schedule", "5 * * * *"]].concat());
    let yaml = printed.ok().stdout.clone();
    for needle in [
        "kind: CronJob\n",
        "  name: numbers\n",
        "schedule: \"5 * * * *\"",
        "image: \"registry.example/cutover:1\"",
        "args: [\"run\", \"numbers.toml\", \"--threads\", \"2\", \"--memory\", \"268435456B\"]",
        "requests: {cpu: \"2\", memory: ",
        "limits: {memory: 384Mi}",
    ] {
        assert!(yaml.contains(needle), "{needle} is not in {yaml}");
    }
    assert!(!yaml.contains("WARNING"), "nothing is fixed: {yaml}");
    for bad in ["bogus", "0 2 * *", "60 2 * * *"] {
        let words = ["plan", "numbers.toml", "--k8s", "--schedule", bad];
        numbers.workspace.cutover_with(&words).fails(2).complains(&["--schedule"]);
    }
    let job = crate::fixture::NUMBERS.replace("store = \"store\"", "store = \"store\"\nas_of = \"${date}\"");
    numbers.workspace.write("dated.toml", job);
    let fixed = numbers.workspace.cutover("plan dated.toml --k8s --set date=2026-11-24 --stage").ok();
    let warning = "every start of this CronJob runs with --set date=2026-11-24";
    fixed.prints(&[&format!("# WARNING: {warning}"), "\"--set\", \"date=2026-11-24\", \"--stage\""]);
    fixed.complains(&[&format!("warning: {warning}")]);
    numbers.workspace.cutover("plan numbers.toml --image x").fails(2).complains(&["--k8s"]);
}

#[test]
fn there_are_completions_for_shells_and_man_pages() {
    let workspace = Workspace::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = workspace.cutover(&format!("completions {shell}")).ok();
        script.prints(&["rollback", "log-format"]);
    }
    fs::write(workspace.path("c.bash"), &workspace.cutover("completions bash").ok().stdout).unwrap();
    let ask =
        "source ./c.bash; COMP_WORDS=(cutover ver); COMP_CWORD=1; _cutover cutover ver cutover; echo ${COMPREPLY[@]}";
    let output = workspace.finish(&mut workspace.command("bash", &["-c", ask])).ok();
    assert_eq!(output.stdout.trim(), "versions verify verify-crash");
    workspace.cutover("completions tcsh").fails(2);

    workspace.cutover("man man1").ok();
    let pages = names(&workspace.path("man1"));
    assert!(pages.contains(&"cutover.1".into()) && pages.contains(&"cutover-verify-crash.1".into()), "{pages:?}");
    assert!(!pages.contains(&"cutover-man.1".into()));
    let page = fs::read_to_string(workspace.path("man1/cutover-run.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("no\\-resume"), "{page}");
}

#[test]
fn the_version_lists_what_it_was_built_with() {
    let workspace = Workspace::new();
    let long = workspace.cutover("--version").ok();
    long.prints(&[
        &format!("cutover {}\n", env!("CARGO_PKG_VERSION")),
        "\ncommit    ",
        "\nfeatures  build, cluster",
        "\nplatform  ",
    ]);
    assert_eq!(workspace.cutover("-V").ok().stdout, format!("cutover {}\n", env!("CARGO_PKG_VERSION")));
}

/// Whether there are codes for colours; those that move the cursor of a progress bar have other letters.
fn has_colours(text: &str) -> bool {
    let code =
        |rest: &str| rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ';').starts_with('m');
    text.split("\u{1b}[").skip(1).any(code)
}

/// What a command prints on a terminal, which `script` provides.
fn on_terminal(workspace: &Workspace, line: &str, environment: &[(&str, &str)]) -> String {
    let mut command = workspace.command("script", &["-qec", &format!("{CUTOVER} {line}"), "/dev/null"]);
    let run = workspace.finish(command.env("TERM", "xterm").envs(environment.iter().copied()));
    format!("{}{}", run.stdout, run.stderr)
}

#[test]
fn colours_are_for_terminals_and_can_be_turned_off() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    numbers.write(2, 100);
    for line in ["-vvv run numbers.toml --rebuild", "versions --help", "versions --wrong"] {
        let colours = |environment: &[(&str, &str)]| has_colours(&on_terminal(&numbers.workspace, line, environment));
        assert!(colours(&[]), "{line}");
        assert!(!colours(&[("NO_COLOR", "1")]), "{line} with NO_COLOR");
        let piped = numbers.workspace.cutover(line);
        assert!(!format!("{}{}", piped.stdout, piped.stderr).contains('\u{1b}'), "{line} in a pipe");
    }
}

#[test]
fn warnings_are_sentences_unless_the_log_is_json() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    let dated = crate::fixture::NUMBERS.replace("\"in/\"", "\"in/\"\nrequire = \"${marker}\"");
    numbers.workspace.write("marked.toml", dated);
    for marker in ["_a", "_b"] {
        numbers.workspace.write(&format!("in/{marker}"), "");
    }
    let run =
        |marker: &str, more: &str| numbers.workspace.cutover(&format!("run marked.toml --set marker={marker} {more}"));
    run("_a", "").ok();
    let warned = run("_b", "--rebuild").ok();
    assert!(warned.stderr.starts_with("warning: this run has other parameters"), "{}", warned.stderr);
    assert!(!warned.stderr.contains("WARN"), "{}", warned.stderr);
    let quiet = numbers.workspace.finish(
        numbers
            .workspace
            .command(CUTOVER, &["run", "marked.toml", "--set", "marker=_a", "--rebuild"])
            .env("RUST_LOG", "off"),
    );
    assert!(!quiet.ok().stderr.contains("warning"), "the level is that of RUST_LOG");
    let json = run("_b", "--rebuild --log-format json").ok();
    assert!(json.stderr.lines().next().unwrap().contains("\"level\":\"warn\""), "{}", json.stderr);
}

#[test]
fn wrong_numbers_on_the_command_line_are_explained() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    for (line, said) in [
        ("publish store abc", "\"abc\" is not a version number"),
        ("show store -1", "\"-1\" is not a version number"),
        ("scan store --limit -1", "must be a whole number"),
        ("run numbers.toml --threads -1", "must be a whole number from 1"),
        ("gc store --keep -1", "must be a whole number from 0 to 10000"),
    ] {
        let refused = numbers.workspace.cutover(line).fails(2);
        refused.complains(&[said]);
        assert!(!refused.stderr.contains("'-- "), "{}", refused.stderr);
    }
    let bare = numbers.workspace.cutover("").fails(2);
    assert!(!bare.stderr.contains(", man"), "{}", bare.stderr);
}

#[test]
fn tables_wider_than_the_terminal_become_lines() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let script = |columns: u32, line: &str| format!("stty cols {columns}; {CUTOVER} {line}");
    for (columns, line) in [(40, "versions store"), (80, "versions store"), (80, "show store")] {
        let mut command = numbers.workspace.command("script", &["-qec", &script(columns, line), "/dev/null"]);
        let shown = numbers.workspace.finish(command.env("TERM", "xterm").env_remove("COLUMNS"));
        let prose = |text: &str| {
            text.lines()
                .take_while(|line| !line.starts_with("digest"))
                .map(|line| line.trim_end().chars().count())
                .max()
        };
        assert!(prose(&shown.stdout).unwrap() <= columns as usize, "{line} at {columns}:\n{}", shown.stdout);
    }
}
