//! The schedule of a CronJob: five fields, as Kubernetes reads them.
//!
//! ```text
//! minute  hour  day of the month  month  day of the week
//! 0-59    0-23  1-31              1-12   0-6
//! ```
//! Each is `*`, `?`, a number or a name, a range, or a list of these, with a step such as `*/15`. Names such as
//! `@daily` replace all five.
//!
//! Not for: the rest of the CronJob (`k8s`).

/// Names that replace all five fields.
const NAMED: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The fields: what each is called, its smallest and largest number, and names of its numbers from the smallest on.
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of the month", 1, 31, &[]),
    ("month", 1, 12, MONTHS),
    ("day of the week", 0, 6, DAYS),
];

/// A schedule that Kubernetes takes.
pub(super) fn schedule(text: &str) -> Result<String, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if NAMED.contains(&text) {
        return Ok(text.to_owned());
    }
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "has {} fields: write minute, hour, day, month and weekday, as in '0 2 * * *'",
            fields.len()
        ));
    }
    for (field, (name, least, most, names)) in fields.iter().zip(FIELDS) {
        if !field.split(',').all(|item| is_item(item, (least, most), names)) {
            return Err(format!("{field:?} is not a {name}: write {least} to {most}, *, a range, a list or a step"));
        }
    }
    Ok(fields.join(" "))
}

/// Whether it is `*`, a value or a range, with or without a step.
fn is_item(item: &str, (least, most): (u32, u32), names: &[&str]) -> bool {
    let (values, step) = item.split_once('/').map_or((item, None), |(values, step)| (values, Some(step)));
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
    let value = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|place| u32::try_from(place).ok()).map(|place| place + least);
        named.or_else(|| number(text)).filter(|value| (least..=most).contains(value))
    };
    let good = match values.split_once('-') {
        _ if values == "*" || values == "?" => true,
        Some((first, last)) => value(first).zip(value(last)).is_some_and(|(first, last)| first <= last),
        None => value(values).is_some(),
    };
    good && step.is_none_or(|step| number(step).is_some_and(|step| step > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_those_that_kubernetes_takes() {
        for good in ["0 2 * * *", "*/15 0-6,18-23/2 1 JAN,jul MON-FRI", "5 * ? 12 0", "@hourly"] {
            assert_eq!(schedule(good).as_deref(), Ok(good));
        }
        for bad in [
            "bogus",
            "",
            "0 2 * *",
            "0 2 * * * *",
            "60 2 * * *",
            "0 24 * * *",
            "0 2 0 * *",
            "a b c d e",
            "*/0 * * * *",
            "5-1 * * * *",
            "0 2 * * 7",
        ] {
            assert!(schedule(bad).is_err(), "{bad}");
        }
    }
}
