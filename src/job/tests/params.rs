//! Parameters and `as_of`, which usually contains one: allowed values, and the messages for others.
//!
//! Not for: what a run does with `as_of` (`pipeline`, `catalog::refusals`).

use super::*;

#[test]
fn parameters_are_given_used_and_safe() {
    let mut without = good_sets();
    without.remove("date");
    let message = refusal(GOOD, &without);
    assert!(
        message.contains("x.toml:5: \"path\" in [inputs.events] needs a value for ${date}: add --set date=…"),
        "{message}"
    );

    let mut more = good_sets();
    more.insert("dat".into(), "x".into());
    more.insert("a-b".into(), "x".into());
    let message = refusal(GOOD, &more);
    assert!(message.contains("x.toml: --set dat=… is used nowhere in this job, did you mean \"date\"?"), "{message}");
    assert!(message.contains("x.toml: --set \"a-b\" is not a parameter name"), "{message}");

    let mut in_literal = good_sets();
    in_literal.insert("not".into(), "x".into());
    assert!(refusal(GOOD, &in_literal).contains("--set not=… is used nowhere"));

    for bad in ["", "..", "a/b", "*", "a\0b"] {
        let mut unsafe_value = good_sets();
        unsafe_value.insert("date".into(), bad.into());
        let message = refusal(GOOD, &unsafe_value);
        assert!(message.contains("x.toml:5: \"path\" in [inputs.events] cannot take --set date="), "{message}");
    }
}

#[test]
fn as_of_is_a_date_or_a_time_with_parameters() {
    let with = |as_of: &str| GOOD.replacen("[inputs.events]", &format!("as_of = {as_of}\n[inputs.events]"), 1);
    let parsed = |as_of: &str| parse(&with(as_of), &good_sets()).unwrap().as_of.map(|instant| instant.to_string());
    assert_eq!(parse(GOOD, &good_sets()).unwrap().as_of, None);
    assert_eq!(parse(GOOD, &good_sets()).unwrap().sets, good_sets());
    assert_eq!(parsed("\"2026-11-25\"").unwrap(), "2026-11-25T00:00:00Z");
    assert_eq!(parsed("\"${date}\"").unwrap(), format!("{}T00:00:00Z", good_sets()["date"]));
    assert_eq!(parsed("\"${date}T06:00:00+02:00\"").unwrap(), format!("{}T04:00:00Z", good_sets()["date"]));
    let mut wrong = good_sets();
    wrong.insert("date".into(), "2026-11-31".into());
    let message = refusal(&with("\"${date}\""), &wrong);
    let expected =
        "x.toml:4: \"as_of\" cannot be \"${date}\" with --set date=2026-11-31: \"2026-11-31\" is not a date or time";
    assert!(message.contains(expected), "{message}");
    for (as_of, expected) in [
        ("\"soon\"", "\"as_of\" cannot be \"soon\": \"soon\" is not a date or time: write a date like"),
        ("\"${day}\"", "\"as_of\" needs a value for ${day}: add --set day="),
        ("\"\"", "\"as_of\" cannot be \"\""),
        ("2026-11-25", "\"as_of\" must be a string, not a date or time"),
    ] {
        let message = refusal(&with(as_of), &good_sets());
        assert!(message.contains(&format!("x.toml:4: {expected}")), "{as_of}: {message}");
    }
    let base = parse(GOOD, &good_sets()).unwrap().digest(&[]);
    assert_eq!(parse(&with("\"2026-11-25\""), &good_sets()).unwrap().digest(&[]), base, "the same data");
}
