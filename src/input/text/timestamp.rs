//! Parses dates and timestamps in text exactly: ISO 8601 as databases write it.
//!
//! ```text
//! date       YYYY-MM-DD
//! timestamp  YYYY-MM-DD ( "T" / " " ) hh:mm:ss [ "." 1*9digit ] [ "Z" / ( "+" / "-" ) hh [":"] mm ]
//! ```
//! Years are 0000 to 9999 of the Gregorian calendar, hours 00 to 23, seconds 00 to 59. Anything else, such as a leap
//! second, is not a timestamp: no type here can represent it.
//!
//! Not for: time zones by name.

use arrow::datatypes::TimeUnit;

/// Maximum digits of a fractional second.
const MAX_DIGITS: usize = 9;
const SECONDS_OF_DAY: i64 = 86_400;

/// An instant, or a local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Seconds since 1970, in UTC if there is a zone.
    pub(super) seconds: i64,
    /// Additional nanoseconds.
    pub(super) nanos: u32,
    /// Digits of the fraction, as written.
    pub(super) digits: u8,
    /// Whether a zone was written.
    pub(super) zoned: bool,
}

/// Parses a date to days since 1970.
pub(super) fn date(text: &str) -> Option<i32> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text.as_bytes() else { return None };
    let (year, month, day) = (two(y1, y2)? * 100 + two(y3, y4)?, two(m1, m2)?, two(d1, d2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // Years begin in March, so that the leap day is the last one, and are counted in cycles of 400 from year 0. After
    // Howard Hinnant's `days_from_civil`.
    let (year, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let span = year.div_euclid(400);
    let of_span = year.rem_euclid(400);
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let of_span = of_span * 365 + of_span / 4 - of_span / 100 + of_year;
    (1..=days).contains(&day).then_some(span * 146_097 + of_span - 719_468)
}

impl Moment {
    /// Parses a timestamp.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let days = date(text.get(..10)?)?;
        let [b'T' | b' ', h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = &text.as_bytes()[10..] else { return None };
        let (hour, minute, second) = (two(*h1, *h2)?, two(*m1, *m2)?, two(*s1, *s2)?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut rest = rest;
        let mut nanos = 0;
        let mut digits = 0;
        if let [b'.', fraction @ ..] = rest {
            digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 || digits > MAX_DIGITS {
                return None;
            }
            let value = fraction[..digits].iter().fold(0, |sum, digit| 10 * sum + u32::from(digit - b'0'));
            nanos = value * 10_u32.pow((MAX_DIGITS - digits) as u32);
            rest = &fraction[digits..];
        }
        let offset = match *rest {
            [] => None,
            [b'Z'] => Some(0),
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
                let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let offset = hours * 3600 + minutes * 60;
                Some(if sign == b'-' { -offset } else { offset })
            }
            _ => return None,
        };
        let of_day = hour * 3600 + minute * 60 + second - offset.unwrap_or(0);
        let seconds = i64::from(days) * SECONDS_OF_DAY + i64::from(of_day);
        Some(Self { seconds, nanos, digits: digits as u8, zoned: offset.is_some() })
    }

    /// The timestamp in a unit, if that is exact and fits.
    pub(super) fn in_unit(&self, unit: TimeUnit) -> Option<i64> {
        let digits = digits_of(unit);
        let step = 10_u32.pow(MAX_DIGITS as u32 - digits);
        if !self.nanos.is_multiple_of(step) {
            return None;
        }
        self.seconds.checked_mul(10_i64.pow(digits))?.checked_add(i64::from(self.nanos / step))
    }

    /// Digits of the fraction without trailing zeros.
    fn needed(&self) -> u8 {
        match self.nanos {
            0 => 0,
            nanos if nanos.is_multiple_of(1_000_000) => 3,
            nanos if nanos.is_multiple_of(1000) => 6,
            _ => 9,
        }
    }
}

fn digits_of(unit: TimeUnit) -> u32 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// A number of two digits.
fn two(tens: u8, ones: u8) -> Option<i32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i32::from(tens - b'0') * 10 + i32::from(ones - b'0'))
}

/// Properties of the timestamps of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moments {
    zoned: bool,
    zoneless: bool,
    written: u8,
    needed: u8,
    /// Whether one is out of the range of nanoseconds.
    far: bool,
}

impl Moments {
    /// Adds a timestamp.
    pub(super) fn add(&mut self, moment: &Moment) {
        self.zoned |= moment.zoned;
        self.zoneless |= !moment.zoned;
        self.written = self.written.max(moment.digits);
        self.needed = self.needed.max(moment.needed());
        self.far = self.far || moment.seconds.unsigned_abs() > i64::MAX.unsigned_abs() / 1_000_000_000 - 1;
    }

    /// Adds the properties of other rows' timestamps.
    pub(super) fn merge(&mut self, other: &Self) {
        self.zoned |= other.zoned;
        self.zoneless |= other.zoneless;
        self.written = self.written.max(other.written);
        self.needed = self.needed.max(other.needed);
        self.far |= other.far;
    }

    /// The unit that holds all of them, and whether they are in UTC; none if some have a zone and others do not.
    pub(super) fn unit(&self) -> Option<(TimeUnit, bool)> {
        let digits = if self.far && self.written > 6 { self.needed } else { self.written };
        let unit = match digits {
            0 => TimeUnit::Second,
            1..=3 => TimeUnit::Millisecond,
            4..=6 => TimeUnit::Microsecond,
            _ if self.far => return None,
            _ => TimeUnit::Nanosecond,
        };
        (self.zoned != self.zoneless).then_some((unit, self.zoned))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strings_that_are_no_date_or_timestamp() {
        for text in [
            "2023-02-29",
            "1900-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-04-31",
            "2024-1-01",
            "24-01-01",
            "02024-01-01",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
        assert_eq!((date("2024-02-29"), date("2000-02-29"), date("1970-01-01")), (Some(19782), Some(11016), Some(0)));
        for text in [
            "2024-01-01T24:00:00",
            "2024-01-01T23:59:60",
            "2024-01-01T23:59",
            "2024-01-01T23:59:59.",
            "2024-01-01T23:59:59.1234567890",
            "2024-01-01T23:59:59+1",
            "2024-01-01T23:59:59 UTC",
            "2024-01-01é23:59:59",
            "2024-01-0é",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn dates_and_moments_are_those_of_the_calendar(
            days in -719_528_i32..2_932_896,
            second in 0_i64..86_400,
            nanos in 0_u32..1_000_000_000,
            offset in -720_i32..720,
        ) {
            let day = jiff::civil::date(1970, 1, 1) + jiff::SignedDuration::from_hours(24 * i64::from(days));
            prop_assert_eq!(date(&day.to_string()), Some(days));
            let (hour, minute, second_) = (second / 3600, second / 60 % 60, second % 60);
            let sign = if offset < 0 { '-' } else { '+' };
            let zone = format!("{sign}{:02}{:02}", offset.abs() / 60, offset.abs() % 60);
            let text = format!("{day}T{hour:02}:{minute:02}:{second_:02}.{nanos:09}{zone}");
            let moment = Moment::parse(&text).unwrap();
            let expected = i64::from(days) * 86_400 + second - i64::from(offset) * 60;
            prop_assert_eq!((moment.seconds, moment.nanos, moment.zoned), (expected, nanos, true));
            prop_assert_eq!(moment.in_unit(TimeUnit::Second), (nanos == 0).then_some(expected));
        }
    }

    #[test]
    fn the_unit_that_holds_all() {
        let unit = |texts: &[&str]| {
            let mut moments = Moments::default();
            texts.iter().for_each(|text| moments.add(&Moment::parse(text).unwrap()));
            moments.unit()
        };
        let (now, far) = ("2024-05-01T00:00:00", "9999-12-31T23:59:59");
        assert_eq!(unit(&[now, far]), Some((TimeUnit::Second, false)));
        assert_eq!(unit(&[now, "2024-05-01 00:00:00.75"]), Some((TimeUnit::Millisecond, false)));
        assert_eq!(unit(&["2024-05-01T00:00:00.123456789+02:00"]), Some((TimeUnit::Nanosecond, true)));
        assert_eq!(unit(&["2024-05-01T00:00:00.123456789", far]), None);
        assert_eq!(unit(&["2024-05-01T00:00:00.123456000", far]), Some((TimeUnit::Microsecond, false)));
        assert_eq!(unit(&[now, "2024-05-01T00:00:00Z"]), None);
    }
}
