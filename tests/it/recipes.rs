//! The recipes of docs/operations.md: each command is run as it is written there.
//!
//! A line that ends in `# exit 7: …` is expected to exit so, every other one with 0. From a line of a crontab the
//! command is run, in the shell that cron would use, with a fake clock.
//!
//! Not for: the commands in other cases (`going_live`, `versions`).

use std::path::Path;

use serde_json::Value;

use crate::harness::{CUTOVER, Workspace};

/// Yesterday: a day of the sample data.
const YESTERDAY: &str = "2026-10-05";

/// The blocks of code of one recipe, with their languages.
fn blocks(recipe: &str) -> Vec<(String, String)> {
    let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let recipes = guide.split_once("\n## Recipes\n").expect("a section with recipes").1;
    let recipes = recipes.split("\n## ").next().unwrap();
    let text = recipes.split_once(&format!("\n**{recipe}**")).unwrap_or_else(|| panic!("no recipe {recipe}")).1;
    let text = text.split("\n**").next().unwrap();
    let mut blocks = Vec::new();
    let mut pieces = text.split("\n```");
    pieces.next();
    while let (Some(block), Some(_)) = (pieces.next(), pieces.next()) {
        let (language, code) = block.split_once('\n').unwrap();
        blocks.push((language.to_owned(), code.to_owned()));
    }
    assert!(!blocks.is_empty(), "recipe {recipe} has no code");
    blocks
}

/// Runs a line in a shell, and checks its exit code against its comment.
fn shell(workspace: &Workspace, line: &str) {
    let code =
        line.split_once("# exit ").map_or(0, |(_, rest)| rest.split(':').next().unwrap().trim().parse().unwrap());
    let mut command = workspace.command("sh", &["-c", line]);
    let path = std::env::var("PATH").unwrap();
    let command_directory = Path::new(CUTOVER).parent().unwrap().display();
    command.env("PATH", format!("{}:{command_directory}:{path}", workspace.path("bin").display()));
    drop(workspace.finish(&mut command).exits(code));
}

/// Runs a recipe.
fn follow(workspace: &Workspace, recipe: &str) {
    for (language, code) in blocks(recipe) {
        for line in code.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty()) {
            match language.as_str() {
                "sh" => shell(workspace, line),
                "cron" => {
                    let command = line.splitn(6, ' ').nth(5).unwrap().replace("\\%", "%");
                    let command = command.replace("/srv/cutover", workspace.path("").to_str().unwrap());
                    shell(workspace, &command.replace("/var/log/cutover.log", "cutover.log"));
                }
                "toml" => {
                    let job = std::fs::read_to_string(workspace.path("jobs/views_of_day.toml")).unwrap();
                    assert!(job.lines().any(|it| it == line), "jobs/views_of_day.toml does not say {line}");
                }
                other => panic!("{recipe} has a block of {other}"),
            }
        }
    }
}

fn current(workspace: &Workspace) -> Value {
    workspace.cutover("versions stores/views_of_day --json").ok().json()
}

#[test]
fn the_recipes_run_as_printed() {
    let workspace = Workspace::with_repository();
    workspace.cutover("demo --generate-only --dir data/demo --events 20000 --profiles 500").ok();
    workspace.write("bin/date", format!("#!/bin/sh\n[ \"$*\" = '-u -d yesterday +%F' ] && echo {YESTERDAY}\n"));
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(workspace.path("bin/date"), executable).unwrap();

    follow(&workspace, "Every night, with a date.");
    let live = current(&workspace);
    assert_eq!((&live["current"], &live["versions"]["1"]["as_of_stated"]), (&1.into(), &true.into()));
    assert_eq!(live["versions"]["1"]["as_of"], format!("{YESTERDAY}T00:00:00Z"));
    let log = std::fs::read_to_string(workspace.path("cutover.log")).unwrap();
    assert!(log.contains("stores/views_of_day") && log.contains("stores/views_by_age"), "{log}");

    follow(&workspace, "A backfill.");
    let live = current(&workspace);
    assert_eq!((&live["current"], &live["versions"]["2"]["staged"]), (&1.into(), &true.into()));
    assert_eq!(live["versions"]["2"]["params"]["date"], "2026-10-03");

    let late = workspace.path("data/demo/events/part-90001.parquet");
    std::fs::copy(workspace.path("data/demo/events/part-00000.parquet"), late).unwrap();
    follow(&workspace, "Late data.");
    assert_eq!(current(&workspace)["current"], 3, "the same day is not older");

    follow(&workspace, "Approval.");
    let live = current(&workspace);
    assert_eq!((&live["current"], &live["pin"]), (&4.into(), &Value::Null));
    assert_eq!(live["versions"]["4"]["as_of"], "2026-10-06T00:00:00Z");

    follow(&workspace, "Space.");
    let left: Vec<String> = current(&workspace)["versions"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(left, ["2", "4"], "the staged one waits for a week");
}

#[test]
fn the_example_of_nights_ends_as_documented() {
    let workspace = Workspace::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/nights.sh");
    let mut command = workspace.command("sh", &[script.to_str().unwrap(), "nights"]);
    let program = Path::new(CUTOVER).parent().unwrap().display();
    command.env("PATH", format!("{program}:{}", std::env::var("PATH").unwrap()));
    let finished = workspace.finish(&mut command).ok();
    finished.prints(&[
        "stage it; readers stay on version 1",
        "version 2 is complete and staged",
        "readers see version 1",
    ]);
    finished.complains(&["this run is as of 2026-11-24, older than version 1", "views/date=2026-11-26 action pattern"]);
}
