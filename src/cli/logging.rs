//! Log messages on standard error: warnings as sentences, and the log itself with `-v`.
//!
//! Not for: results (`output`), progress (`crate::progress`) or errors (`main.rs`).

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::text_table;
use crate::error::{Error, Result};
use crate::escape::escaped_lines;
use crate::stderr;

/// The environment variable that overrides `-v`, as usual for programs that use `tracing`.
const VARIABLE: &str = "RUST_LOG";

/// What Ballista warns of is reported by its consequence: an executor that is gone, a task that is retried. Its
/// scheduler takes for errors what is usual here: executors that nothing connects to, and messages about finished jobs.
macro_rules! ballista {
    () => {
        ",ballista_core=error,ballista_executor=off,ballista_scheduler=off"
    };
}

/// Starts logging.
///
/// # Errors
/// `Invalid` when `RUST_LOG` cannot be parsed.
pub(super) fn start(verbose: u8) -> Result<()> {
    let wanted = match std::env::var(VARIABLE) {
        Ok(wanted) if !wanted.is_empty() => wanted,
        _ => level(verbose).to_owned(),
    };
    let filter = EnvFilter::try_new(&wanted)
        .map_err(|error| Error::invalid(format!("{VARIABLE}={wanted:?} is not a log filter")).because(error))?;
    // A program that embeds the library may have set up its own logging, which is then kept.
    let colours = stderr::has_colours();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let _ = if stderr::is_json() {
        log.event_format(JsonLines).try_init()
    } else {
        log.event_format(Text::default()).try_init()
    };
    Ok(())
}

/// Writes warnings and errors as sentences for people, and everything else as a log has it.
#[derive(Default)]
struct Text {
    log: Format,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let label = match *event.metadata().level() {
            Level::WARN => "warning",
            Level::ERROR => "error",
            _ => return self.log.format_event(context, writer, event),
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let more = fields.others.iter().map(|(name, value)| match value {
            Value::String(text) => format!("; {name}: {text}"),
            other => format!("; {name}: {other}"),
        });
        let text = escaped_lines(&format!("{label}: {}{}", fields.message, more.collect::<String>())).into_owned();
        writeln!(writer, "{}", text_table::wrapped(&text, text_table::error_width()))
    }
}

/// Writes each event as one line with a JSON object.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        writeln!(writer, "{}", stderr::record(Timestamp::now(), &level, &fields.message, fields.others))
    }
}

/// The content of an event.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            _ => self.add(field, format!("{value:?}").into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

fn level(verbose: u8) -> &'static str {
    match verbose {
        0 => concat!("warn", ballista!()),
        1 => concat!("warn,cutover=info", ballista!()),
        2 => "info,cutover=debug",
        _ => "debug,cutover=trace",
    }
}
