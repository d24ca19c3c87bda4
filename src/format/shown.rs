//! Times and versions as sentences and tables show them, in UTC and to the second.
//!
//! Not for: JSON and what is stored, which have RFC 3339 (`rfc3339`).

use jiff::Timestamp;

/// `2026-11-22 14:48:31`.
///
/// ```
/// use cutover::format::{shown_date_or_time, shown_time, shown_versions};
///
/// let at = "2026-11-22T00:00:00Z".parse()?;
/// assert_eq!((shown_time(at).as_str(), shown_date_or_time(at).as_str()), ("2026-11-22 00:00:00", "2026-11-22"));
/// assert_eq!(shown_versions(&[1, 2]), "versions 1, 2");
/// # Ok::<(), jiff::Error>(())
/// ```
pub fn shown_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `2026-11-22`, or `2026-11-22 14:48:31` for a time that is not midnight.
pub fn shown_date_or_time(at: Timestamp) -> String {
    shown_time(at).trim_end_matches(" 00:00:00").to_owned()
}

/// Versions in a sentence: `version 2`, `versions 1, 2`.
pub fn shown_versions(numbers: &[u64]) -> String {
    let list: Vec<String> = numbers.iter().map(u64::to_string).collect();
    format!("version{} {}", if numbers.len() == 1 { "" } else { "s" }, list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_is_a_date() {
        let at = |text: &str| text.parse().unwrap();
        assert_eq!(shown_date_or_time(at("2026-11-22T00:00:00Z")), "2026-11-22");
        assert_eq!(shown_date_or_time(at("2026-11-22T08:01:13.939059884Z")), "2026-11-22 08:01:13");
        assert_eq!(shown_versions(&[1, 2]), "versions 1, 2");
    }
}
