//! Formats numbers, sizes, times and shell words for users.
//!
//! Not for: JSON output, which has plain numbers, or parsing what users type (`parsers`, `job::units`).

use indicatif::{HumanBytes, HumanCount};
use jiff::Timestamp;

pub(super) use crate::format::{shown_date_or_time as date_or_time, shown_time as time, shown_versions as versions};
use crate::report::ObjectTraffic;

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// `12.34 MiB`.
pub(super) fn size(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// A noun with its number: `1 row`, `2 rows`.
pub(super) fn plural(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// `340 ms`, `12.3 s`, `3 min 05 s`, `1 h 02 min`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let seconds = seconds.round() as u64;
    match seconds / 60 {
        minutes @ 0..60 => format!("{minutes} min {:02} s", seconds % 60),
        minutes => format!("{} h {:02} min", minutes / 60, minutes % 60),
    }
}

/// What went to or came from object stores: `12.34 MiB by 17 requests`.
pub(super) fn object_traffic(traffic: &ObjectTraffic) -> String {
    format!("{} by {}", size(traffic.bytes), plural(traffic.requests, "request"))
}

/// Rows per second; empty without rows or a measurable time.
pub(super) fn rate(rows: u64, seconds: f64) -> String {
    if rows == 0 || seconds < 0.001 { String::new() } else { count((rows as f64 / seconds).round() as u64) }
}

/// The ratio of an actual value to the predicted one: `×1.04`.
pub(super) fn ratio(actual: u64, predicted: u64) -> String {
    if predicted == 0 { String::new() } else { format!("×{:.2}", actual as f64 / predicted as f64) }
}

/// `2026-11-22 14:48`, in UTC.
pub(super) fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// A word of a shell command, in quotes if it needs them.
pub(super) fn shell_quote(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:=@%+,".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_in_readable_units() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(size(1536), "1.50 KiB");
        assert_eq!(plural(1, "row"), "1 row");
        assert_eq!(plural(0, "row"), "0 rows");
        assert_eq!(rate(1000, 0.5), "2,000");
        assert_eq!(rate(0, 0.5), "");
        assert_eq!(ratio(104, 100), "×1.04");
        assert_eq!(ratio(1, 0), "");
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        for (seconds, text) in [
            (0.0004, "0 ms"),
            (0.34, "340 ms"),
            (0.9999, "1.0 s"),
            (59.99, "1 min 00 s"),
            (185.2, "3 min 05 s"),
            (3599.9, "1 h 00 min"),
            (3720.0, "1 h 02 min"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn quoted_words_survive_the_shell() {
        assert_eq!(shell_quote("stores/events"), "stores/events");
        assert_eq!(shell_quote(r#"["/home", 1]"#), r#"'["/home", 1]'"#);
        assert_eq!(shell_quote("it's"), r"'it'\''s'");
        assert_eq!(shell_quote(""), "''");
    }
}
