//! Reports how a command ended: the JSON document of `--json`, the chain of the error, and the summary line for logs.
//!
//! ```text
//! command ─▶ Output: lines of text, or the document's own fields ─┐
//! exit code, error, what readers see now ─────────────────────────┴─▶ standard output: one document, in any case
//!                                                                     standard error: error: …, and the summary line
//! ```
//! docs/json.md describes the document's fields and its stability; the schema is schemas/output.json.
//!
//! Not for: choosing exit codes (`main.rs`) or a command's own fields (its own file).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::command_report::CommandReport;
use super::output::failed;
use super::{Verdict, format, result_file, text_table};
use crate::catalog::Catalog;
use crate::error::{AGAIN_WITH, Error, Kind, Result};
use crate::escape::escaped_lines;
use crate::format::Current;
use crate::stderr;

/// The version of the document's format. Fields may be added; existing ones keep their name, type and meaning.
const FORMAT: u32 = 1;

/// Commands that change what a store holds or what its readers see; each writes a summary line for logs.
const LOGGED: [&str; 8] = ["run", "publish", "rollback", "pin", "unpin", "gc", "consume", "pull"];

/// Commands that print their own documents, one per line; their final document is one more line.
const STREAMING: [&str; 3] = ["scan", "consume", "pull"];

/// Commands on a store that follows another place.
const FOLLOWERS: [&str; 2] = ["consume", "pull"];

/// Fields of every document; a command's own fields cannot replace them, except those that are null.
const COMMON: [&str; 11] = [
    "format",
    "command",
    "outcome",
    "exit_code",
    "kind",
    "message",
    "causes",
    "dataset",
    "store",
    "readers_see",
    "next",
];

/// A command from its start to the report of its result.
#[derive(Debug)]
pub struct Ending {
    json: bool,
    /// The file of `--result`, as an absolute path.
    result: Option<PathBuf>,
    command: String,
    /// The job file among its arguments.
    job: Option<PathBuf>,
    /// The whole command line, quoted for a shell.
    typed: String,
    started: Instant,
    command_report: Arc<Mutex<CommandReport>>,
}

impl Ending {
    /// For a command that starts now; `job` and `store` are from its arguments.
    pub(super) fn new(
        json: bool,
        result: Option<PathBuf>,
        command: &str,
        job: Option<PathBuf>,
        store: Option<PathBuf>,
    ) -> Self {
        let typed: Vec<String> = std::env::args().skip(1).map(|word| format::shell_quote(&word)).collect();
        let command_report = CommandReport { store, ..CommandReport::default() };
        Self {
            json,
            result: result.map(|path| std::path::absolute(&path).unwrap_or(path)),
            command: command.to_owned(),
            job,
            typed: format!("cutover {}", typed.join(" ")),
            started: Instant::now(),
            command_report: Arc::new(Mutex::new(command_report)),
        }
    }

    /// Where the command reports about itself.
    pub(super) fn command_report(&self) -> Arc<Mutex<CommandReport>> {
        Arc::clone(&self.command_report)
    }

    /// Removes the result of an earlier command.
    pub(super) fn prepare(&self) -> Result<()> {
        self.result.as_deref().map_or(Ok(()), result_file::remove)
    }

    /// Writes how it ended to the file of `--result`, if there is one.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be written.
    pub fn record(&self, ended: &Result<Verdict>, code: u8) -> Result<()> {
        let Some(path) = &self.result else { return Ok(()) };
        let command_report = lock(&self.command_report);
        let current = command_report.store.as_deref().and_then(seen);
        result_file::write(path, &text_of(&self.document(&command_report, ended, code, current.as_ref()), false))
    }

    /// Reports how it ended, with this exit code.
    ///
    /// # Errors
    /// `Unavailable` when standard output, or the file of `--result`, cannot be written.
    pub fn print(&self, ended: &Result<Verdict>, code: u8) -> Result<()> {
        let recorded = self.record(ended, code);
        let command_report = lock(&self.command_report);
        let as_document = self.json && !(command_report.streams && ended.is_ok());
        let as_log = LOGGED.contains(&self.command.as_str()) && !stderr::is_watched();
        // The store is read once more only if the report says what its readers see.
        let current = command_report.store.as_deref().filter(|_| as_document || as_log).and_then(seen);
        let as_line = command_report.streams || STREAMING.contains(&self.command.as_str());
        let written = match as_document {
            true => print(&self.document(&command_report, ended, code, current.as_ref()), as_line),
            false => Ok(()),
        };
        if let Err(error) = ended {
            let chain: Vec<String> = error.chain().iter().map(|text| self.filled(&command_report, text)).collect();
            report_chain(error.kind(), &chain);
        }
        if ended.is_err() {
            recorded.as_ref().err().into_iter().for_each(report);
        }
        if as_log {
            self.log(&command_report, ended, current.as_ref());
        }
        written.and(recorded)
    }

    /// Prints the document for arguments that do not run a command; the error was already printed.
    ///
    /// # Errors
    /// As [`Ending::print`].
    pub fn document_alone(&self, error: &Error, code: u8) -> Result<()> {
        let ended = Err(Error::new(error.kind(), error.message()));
        self.record(&ended, code).err().iter().for_each(report);
        if !self.json {
            return Ok(());
        }
        let command_report = lock(&self.command_report);
        print(&self.document(&command_report, &ended, code, None), false)
    }

    fn document(
        &self,
        command_report: &CommandReport,
        ended: &Result<Verdict>,
        code: u8,
        current: Option<&Current>,
    ) -> Vec<(String, String)> {
        let error = ended.as_ref().err();
        let details = error.map(Error::details).unwrap_or_default();
        let detail = |name: &str| details.iter().find(|(known, _)| *known == name)?.1.as_str();
        let again = detail(AGAIN_WITH).map(|flag| format!("{} {flag}", self.typed));
        let next = detail("next")
            .map(|command| self.filled(command_report, command))
            .or(again)
            .or_else(|| command_report.next.clone());
        let chain = error.map(Error::chain).unwrap_or_default();
        let mut chain: Vec<String> = chain.iter().map(|text| self.filled(command_report, text)).collect();
        let next = next.or_else(|| self.after(error?.kind(), &chain));
        let causes = chain.split_off(chain.len().min(1));
        let common = [
            json!(FORMAT),
            json!(Some(&self.command).filter(|command| !command.is_empty())),
            json!(outcome(command_report, ended)),
            json!(code),
            json!(error.map(|error| error.kind().name())),
            json!(chain.first()),
            json!(causes),
            json!(command_report.dataset(current)),
            json!(command_report.store),
            json!(current.and_then(|current| current.current)),
            json!(next),
        ];
        let common = COMMON.iter().zip(common).map(|(name, value)| ((*name).to_owned(), value.to_string()));
        let mut fields: Vec<(String, String)> = common.collect();
        let own = command_report.fields.iter().cloned();
        let of_error = details.iter().filter(|(name, _)| *name != AGAIN_WITH);
        let of_error = of_error.map(|(name, value)| ((*name).to_owned(), value.to_string()));
        for (name, text) in of_error.chain(own) {
            match fields.iter_mut().find(|(known, _)| *known == name) {
                None => fields.push((name, text)),
                Some((_, known)) if known == "null" => *known = text,
                Some(_) => {}
            }
        }
        fields
    }

    /// The command to run after an error: the one that its messages name, or the same again, if waiting or freeing
    /// space is enough.
    fn after(&self, kind: Kind, chain: &[String]) -> Option<String> {
        match kind {
            Kind::Stopped => Some(self.typed.clone()),
            Kind::Unavailable | Kind::Conflict => named_command(chain).or_else(|| Some(self.typed.clone())),
            _ => named_command(chain),
        }
    }

    /// A message of the library, which calls the store of its commands STORE, with the store's path. Followers name
    /// commands for the store that they follow, whose path they do not know.
    fn filled(&self, command_report: &CommandReport, text: &str) -> String {
        let follows = FOLLOWERS.contains(&self.command.as_str());
        match command_report.store.as_deref().filter(|_| !follows) {
            Some(store) => with_store(text, &format::shell_quote(&store.display().to_string())),
            None => text.to_owned(),
        }
    }

    /// One summary line for logs: time, command, store and outcome.
    fn log(&self, command_report: &CommandReport, ended: &Result<Verdict>, current: Option<&Current>) {
        let (level, outcome) = (if ended.is_ok() { "info" } else { "error" }, outcome(command_report, ended));
        let details = ended.as_ref().err().map(Error::details).unwrap_or_default();
        let of_error = |name: &str| details.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).clone());
        let of_command =
            |name: &str| command_report.field(name).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let read = |name: &str| of_error(name).or_else(|| of_command(name));
        let store = command_report.store.as_ref().map(|store| Value::from(store.display().to_string()));
        let seconds = (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        let fields = [
            ("command", Some(Value::from(self.command.as_str()))),
            ("job", self.job.as_ref().map(|job| Value::from(job.display().to_string()))),
            ("dataset", command_report.dataset(current).map(Value::from)),
            ("store", store),
            ("version", read("version")),
            ("outcome", Some(Value::from(outcome))),
            ("rows", read("rows")),
            ("seconds", Some(json!(seconds))),
        ];
        let known = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let known: Vec<(&str, Value)> = known.filter(|(_, value)| !value.is_null()).collect();
        let words: Vec<String> = known.iter().map(|(name, value)| format!("{name}={}", word(value))).collect();
        let now = Timestamp::now();
        let fields: Map<String, Value> = known.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        stderr::line(level, &format!("{now:.0} {}", words.join(" ")), &format!("{} {outcome}", self.command), fields);
    }
}

/// The outcome of a command that reports no other.
const DONE: &str = "done";

fn outcome(command_report: &CommandReport, ended: &Result<Verdict>) -> &'static str {
    match ended {
        Ok(Verdict::Yes) => command_report.outcome.unwrap_or(DONE),
        Ok(Verdict::No) => command_report.outcome.unwrap_or("no"),
        Ok(Verdict::Held) => command_report.outcome.unwrap_or("pinned"),
        Err(error) if error.kind() == Kind::Rejected => "rejected",
        Err(error) if error.kind() == Kind::Stopped => "stopped",
        Err(_) => "failed",
    }
}

/// The current state of a store; none if it cannot be read.
fn seen(store: &Path) -> Option<Current> {
    Catalog::open(store).ok()?.read().ok()
}

/// A value of the summary line, in quotes if it has white space, control characters, quotes or `=`.
fn word(value: &Value) -> String {
    match value {
        Value::String(text)
            if text
                .contains(|letter: char| letter.is_whitespace() || letter.is_control() || "\"=".contains(letter)) =>
        {
            format!("{text:?}")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A message with this store in the commands in it, which are between backticks.
fn with_store(text: &str, store: &str) -> String {
    let filled = |piece: &str| {
        let words = piece.split(' ').map(|word| if word == "STORE" { store } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    let pieces = text.split('`').enumerate();
    let pieces = pieces.map(|(place, piece)| if place % 2 == 1 { filled(piece) } else { piece.to_owned() });
    pieces.collect::<Vec<_>>().join("`")
}

/// The first command in messages that can be run as it is: without a placeholder such as `KEY` or `JOB.toml`.
fn named_command(chain: &[String]) -> Option<String> {
    let is_placeholder = |word: &str| word.bytes().all(|byte| byte.is_ascii_uppercase()) || word == "JOB.toml";
    let is_complete = |piece: &&str| {
        let mut words = piece.split(' ');
        words.next() == Some("cutover") && words.clone().count() > 1 && !words.any(is_placeholder)
    };
    chain.iter().flat_map(|text| text.split('`').skip(1).step_by(2)).find(is_complete).map(str::to_owned)
}

/// Prints an error's chain, one line per message; as JSON, one line in all.
pub fn report(error: &Error) {
    report_chain(error.kind(), &error.chain());
}

fn report_chain(kind: Kind, chain: &[String]) {
    let (first, causes) = chain.split_first().map_or(("", &[][..]), |(first, causes)| (first.as_str(), causes));
    if stderr::is_json() {
        let fields = [("kind", json!(kind.name())), ("causes", json!(causes))];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        return stderr::line("error", "", first, fields);
    }
    for (depth, message) in chain.iter().enumerate() {
        let label = if depth == 0 { "error" } else { "  because" };
        stderr::note(
            "error",
            &text_table::wrapped(&format!("{label}: {}", escaped_lines(message)), text_table::error_width()),
        );
    }
}

/// Prints a document, over several lines or on one.
fn print(fields: &[(String, String)], as_line: bool) -> Result<()> {
    let text = text_of(fields, as_line);
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed)
}

fn text_of(fields: &[(String, String)], as_line: bool) -> String {
    let (open, gap, close) = if as_line { ("{", ",", "}") } else { ("{\n  ", ",\n  ", "\n}") };
    let field = |(name, text): &(String, String)| {
        let shown = if as_line { text.clone() } else { indented(text) };
        format!("{}: {shown}", Value::from(name.as_str()))
    };
    format!("{open}{}{close}\n", fields.iter().map(field).collect::<Vec<_>>().join(gap))
}

/// Indents serialized JSON, as a field of a document. Numbers are never parsed, which would lose digits.
fn indented(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() * 2);
    let mut depth = 1;
    let (mut in_string, mut escaped) = (false, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if in_string {
            in_string = escaped || letter != '"';
            escaped = letter == '\\' && !escaped;
            shown.push(letter);
            continue;
        }
        let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
        match letter {
            '{' | '[' => {
                shown.push(letter);
                if letters.peek().is_some_and(|next| *next == '}' || *next == ']') {
                    shown.extend(letters.next());
                } else {
                    depth += 1;
                    shown.push_str(&line(depth));
                }
            }
            '}' | ']' => {
                depth -= 1;
                shown.push_str(&line(depth));
                shown.push(letter);
            }
            ',' => shown.push_str(&format!(",{}", line(depth))),
            ':' => shown.push_str(": "),
            '\n' | ' ' => {}
            '"' => {
                in_string = true;
                shown.push(letter);
            }
            other => shown.push(other),
        }
    }
    shown
}

fn lock(command_report: &Mutex<CommandReport>) -> MutexGuard<'_, CommandReport> {
    command_report.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_every_digit_and_letter() {
        let text = r#"{"a":[1.10,18446744073709551616,{}],"b":"x: [1, \"2\"]\\","c":[]}"#;
        let shown = indented(text);
        assert!(shown.contains("1.10,") && shown.contains("18446744073709551616"), "{shown}");
        assert!(shown.contains(r#""b": "x: [1, \"2\"]\\""#), "{shown}");
        assert!(shown.contains("\n    \"a\": [\n      1.10,"), "{shown}");
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), serde_json::from_str::<Value>(&shown).unwrap());
    }

    #[test]
    fn the_next_command_is_the_first_complete_one_of_the_message() {
        let of = |text: &str| named_command(&[with_store(text, "'my store'")]);
        let both = "`cutover run JOB.toml` builds it, `cutover publish STORE 2 --allow older` publishes it, STORE";
        assert_eq!(of(both).as_deref(), Some("cutover publish 'my store' 2 --allow older"));
        assert!(with_store(both, "s").ends_with("it, STORE"));
        for none in ["`cutover get STORE KEY --version N`", "`cutover gc`", "`kill -CONT 7`", "cutover gc s", ""] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn values_of_the_summary_line_are_quoted_where_needed() {
        assert_eq!(word(&json!("stores/d")), "stores/d");
        assert_eq!(word(&json!("my store=\n")), r#""my store=\n""#);
        assert_eq!(word(&json!(7)), "7");
    }
}
