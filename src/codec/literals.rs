//! Literals of dates, times, decimals and bytes, for keys on the command line and for decoded records.
//!
//! ```text
//! 20779 days                       2026-11-22
//! 36000500 ms                      10:00:00.5
//! 1795341600000000 µs              2026-11-22T10:00:00Z    (2026-11-22T10:00:00 when the type has no zone)
//! 125 at scale 2                   1.25
//! [0xca, 0xfe]                     0xcafe
//! ```
//!
//! Years beyond ±9999 have no literal; callers show the integer instead. Parsing is exact: a literal that is finer than
//! the recorded unit or scale is refused, never rounded.
//!
//! Not for: values in JSON records, which arrow-json formats.

use arrow_buffer::i256;
use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Span, Timestamp};

use crate::format::{self, Unit};

const EPOCH: Date = Date::constant(1970, 1, 1);
/// Nanoseconds of a day.
const DAY: i128 = 86_400 * 1_000_000_000;

impl Unit {
    /// Nanoseconds in one unit.
    fn nanos(self) -> i128 {
        match self {
            Unit::Second => 1_000_000_000,
            Unit::Millisecond => 1_000_000,
            Unit::Microsecond => 1_000,
            Unit::Nanosecond => 1,
        }
    }

    /// `nanos` in this unit; `None` when it is not a multiple of the unit or out of range.
    fn count(self, nanos: i128) -> Option<i64> {
        if nanos % self.nanos() == 0 { i64::try_from(nanos / self.nanos()).ok() } else { None }
    }
}

/// `0x` and two digits per byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    format!("0x{}", format::hex(bytes))
}

/// The bytes of `0x` and two digits per byte.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    format::undigits(text.strip_prefix("0x")?)
}

pub(crate) fn date(days: i64) -> Option<String> {
    let days = Span::new().try_days(days).ok()?;
    EPOCH.checked_add(days).ok().map(|date| date.to_string())
}

/// A date alone: what follows it is refused.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let date: Date = text.parse().ok().filter(|date: &Date| date.to_string() == text)?;
    EPOCH.until(date).ok().map(|span| i64::from(span.get_days()))
}

pub(crate) fn time(value: i64, unit: Unit) -> Option<String> {
    let nanos = i64::try_from(i128::from(value) * unit.nanos()).ok()?;
    Time::midnight().checked_add(SignedDuration::from_nanos(nanos)).ok().map(|time| time.to_string())
}

/// A time of a day, without a zone.
pub(crate) fn parse_time(text: &str, unit: Unit) -> Option<i64> {
    let time: Time = Some(text).filter(|text| is_clock(text))?.parse().ok()?;
    unit.count(time.duration_since(Time::midnight()).as_nanos())
}

/// Whether a text is a time of a day alone; jiff also takes one with an offset, and ignores that.
fn is_clock(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte))
}

/// `utc`: whether the type has a time zone; without one, the literal has no offset.
pub(crate) fn timestamp(value: i64, unit: Unit, utc: bool) -> Option<String> {
    let nanos = i128::from(value) * unit.nanos();
    let date = EPOCH.checked_add(Span::new().try_days(i64::try_from(nanos.div_euclid(DAY)).ok()?).ok()?).ok()?;
    let clock = SignedDuration::from_nanos(i64::try_from(nanos.rem_euclid(DAY)).ok()?);
    let civil = date.to_datetime(Time::midnight().checked_add(clock).ok()?);
    Some(if utc { format!("{civil}Z") } else { civil.to_string() })
}

/// A literal has an offset where the type has a time zone, and none where it has not.
pub(crate) fn parse_timestamp(text: &str, unit: Unit, utc: bool) -> Option<i64> {
    let nanos = match utc {
        true => match text.parse::<Timestamp>() {
            Ok(instant) => instant.as_nanosecond(),
            // The last day of the year 9999, which has other times in other zones.
            Err(_) => parse_civil(text.strip_suffix(['Z', 'z'])?)?,
        },
        false => parse_civil(text)?,
    };
    unit.count(nanos)
}

/// Nanoseconds since 1970 of a date and a time, or of a date alone.
fn parse_civil(text: &str) -> Option<i128> {
    let clock = text.split_once(['T', 't', ' ']).map_or("", |(_, clock)| clock);
    let civil: DateTime = Some(text).filter(|_| is_clock(clock))?.parse().ok()?;
    let days = EPOCH.until(civil.date()).ok()?.get_days();
    Some(i128::from(days) * DAY + civil.time().duration_since(Time::midnight()).as_nanos())
}

/// A 32-bit float: as it is shown, or as the 64-bit float with the same value is. Others would be rounded.
pub(crate) fn parse_f32(text: &str) -> Option<f32> {
    let value: f32 = text.parse().ok()?;
    let is_wide = || text.parse().is_ok_and(|wide: f64| wide == f64::from(value) && parse_f64(text).is_some());
    (is_number(text, value.is_finite(), &format!("{value:e}")) || is_wide()).then_some(value)
}

/// A 64-bit float, as it is shown; others would be rounded.
pub(crate) fn parse_f64(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    is_number(text, value.is_finite(), &format!("{value:e}")).then_some(value)
}

/// Whether a text is the number that it was parsed as, which is shown as `shown`.
fn is_number(text: &str, is_finite: bool, shown: &str) -> bool {
    match is_finite {
        true => scientific(text) == scientific(shown),
        // Infinity by its name, and no number that is too large.
        false => !text.bytes().any(|byte| byte.is_ascii_digit()),
    }
}

/// Sign, digits without zeros at the ends, and the power of ten of the last digit; all of zero are equal.
fn scientific(text: &str) -> Option<(bool, String, i64)> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (negative, number) = match number.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let kept = digits.trim_end_matches('0');
    let moved = i64::try_from(digits.len() - kept.len()).ok()? - i64::try_from(fraction.len()).ok()?;
    let last = exponent.saturating_add(moved);
    match kept.trim_start_matches('0') {
        "" => Some((false, String::new(), 0)),
        digits => Some((negative, digits.to_owned(), last)),
    }
}

pub(crate) fn decimal(unscaled: i256, scale: i8) -> String {
    let text = unscaled.to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    match usize::try_from(scale) {
        Ok(0) => text,
        Ok(scale) => {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            format!("{sign}{whole}.{fraction}")
        }
        Err(_) if digits == "0" => text,
        Err(_) => format!("{text}{}", "0".repeat(usize::from(scale.unsigned_abs()))),
    }
}

/// The unscaled integer of a decimal literal; `None` when it does not fit precision and scale exactly.
pub(crate) fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<i256> {
    let (sign, number) = text.strip_prefix('-').map_or(("", text), |number| ("-", number));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let missing = i64::from(scale) - i64::try_from(fraction.len()).ok()?;
    if missing >= 0 {
        digits.push_str(&"0".repeat(usize::try_from(missing).ok()?));
    } else {
        let kept = digits.len().saturating_sub(usize::try_from(-missing).ok()?);
        if !digits[kept..].bytes().all(|digit| digit == b'0') {
            return None;
        }
        digits.truncate(kept);
    }
    let digits = digits.trim_start_matches('0');
    match digits {
        "" => Some(i256::ZERO),
        _ if digits.len() > usize::from(precision) => None,
        _ => i256::from_string(&format!("{sign}{digits}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_are_parsed_as_people_write_them() {
        assert_eq!(date(20_779).as_deref(), Some("2026-11-22"));
        assert_eq!(date(-1).as_deref(), Some("1969-12-31"));
        assert_eq!(date(i64::MAX), None);
        assert_eq!(time(36_000_500, Unit::Millisecond).as_deref(), Some("10:00:00.5"));
        assert_eq!(time(86_400, Unit::Second), None);
        assert_eq!(timestamp(1_795_341_600_000_000, Unit::Microsecond, true).as_deref(), Some("2026-11-22T10:00:00Z"));
        assert_eq!(timestamp(1_795_341_600, Unit::Second, false).as_deref(), Some("2026-11-22T10:00:00"));
        assert_eq!(timestamp(i64::MAX, Unit::Second, true), None);
        for (seconds, text) in [(253_402_300_799, "9999-12-31T23:59:59Z"), (-62_135_596_800, "0001-01-01T00:00:00Z")] {
            assert_eq!(timestamp(seconds, Unit::Second, true).as_deref(), Some(text));
            assert_eq!(parse_timestamp(text, Unit::Second, true), Some(seconds));
            assert_eq!(parse_timestamp(&text[..19], Unit::Second, false), Some(seconds));
        }
        assert_eq!(decimal(i256::from_i128(-5), 2), "-0.05");
        assert_eq!(decimal(i256::from_i128(12), -3), "12000");
        assert_eq!(hex(&[0xca, 0xfe]), "0xcafe");
        assert_eq!(unhex("0xCAfe"), Some(vec![0xca, 0xfe]));
        assert_eq!([unhex("cafe"), unhex("0xcaf"), unhex("0xcg")], [None, None, None]);
    }

    #[test]
    fn literals_finer_than_the_unit_or_scale_are_refused() {
        assert_eq!(parse_timestamp("2026-11-22T10:00:00.5Z", Unit::Second, true), None);
        assert_eq!(parse_timestamp("2026-11-22T10:00:00.5Z", Unit::Millisecond, true), Some(1_795_341_600_500));
        assert_eq!(parse_timestamp("2026-11-22T12:00:00+02:00", Unit::Second, true), Some(1_795_341_600));
        assert_eq!(parse_timestamp("2026-11-22T10:00:00", Unit::Second, true), None);
        assert_eq!(parse_timestamp("2026-11-22T10:00:00", Unit::Second, false), Some(1_795_341_600));
        assert_eq!(parse_timestamp("2026-11-22T10:00:00Z", Unit::Second, false), None);
        assert_eq!(parse_timestamp("2026-11-22T10:00:00+05:00", Unit::Second, false), None);
        assert_eq!(parse_date("1969-12-31T23:00:00-05:00"), None);
        assert_eq!(parse_time("12:00:00+05:00", Unit::Second), None);
        assert_eq!(parse_time("10:00:00.0001", Unit::Millisecond), None);
        for exact in ["0.1", "0.10", "1e300", "-2.5e-3", "+7", "0", "-0.0", "9007199254740992", "inf", "-infinity"] {
            assert!(parse_f64(exact).is_some(), "{exact}");
        }
        for rounded in ["9007199254740993", "0.10000000000000000001", "1e999", "-1e999", "1e-999", "x", ""] {
            assert!(parse_f64(rounded).is_none(), "{rounded}");
        }
        assert_eq!(parse_f32("0.10000000149011612"), Some(0.1));
        for rounded in ["0.100000001", "1e39", "16777217"] {
            assert!(parse_f32(rounded).is_none(), "{rounded}");
        }
        assert_eq!(parse_decimal("1.255", 5, 2), None);
        assert_eq!(parse_decimal("1.250", 5, 2), Some(i256::from_i128(125)));
        assert_eq!(parse_decimal("1000", 5, 2), None);
        assert_eq!(parse_decimal("-12000", 2, -3), Some(i256::from_i128(-12)));
        for text in ["", ".", "1e3", "--1", "1.2.3", "0x1"] {
            assert_eq!(parse_decimal(text, 9, 2), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn strings_round_trip(days in -3_000_000_i64..2_900_000, nanos in any::<i64>(), cents in any::<i128>(), scale in -4_i8..20) {
            prop_assert_eq!(date(days).and_then(|text| parse_date(&text)), Some(days));
            for utc in [true, false] {
                let text = timestamp(nanos, Unit::Nanosecond, utc);
                prop_assert_eq!(text.and_then(|text| parse_timestamp(&text, Unit::Nanosecond, utc)), Some(nanos));
            }
            let (wide, narrow) = (f64::from_bits(nanos as u64), f32::from_bits(nanos as u32));
            if !wide.is_nan() { prop_assert_eq!(parse_f64(&wide.to_string()), Some(wide)); }
            if !narrow.is_nan() {
                prop_assert_eq!(parse_f32(&narrow.to_string()), Some(narrow));
                prop_assert_eq!(parse_f32(&f64::from(narrow).to_string()), Some(narrow));
            }
            let unscaled = i256::from_i128(cents);
            prop_assert_eq!(parse_decimal(&decimal(unscaled, scale), 76, scale), Some(unscaled));
        }
    }
}
