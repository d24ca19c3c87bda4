//! `date_trunc` and `date_bin` of times in any year.
//!
//! DataFusion computes both in nanoseconds, whose range is 1677 to 2262; valid-to dates such as 9999-12-31 are outside
//! of it. Times in seconds, milli- and microseconds, without a zone or in UTC, are computed in their own unit here.
//!
//! Not for: nanoseconds, zones with offsets, and bins of months before 1677 or after 2262, which are left to
//! DataFusion.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, make_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalUnit, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;

const DAY: i64 = 86_400;
/// Days from the Monday before 1970-01-01 to 1970-01-01.
const SINCE_MONDAY: i64 = 3;

/// The result of `date_trunc` or `date_bin`; none if DataFusion's own function has to compute it.
pub(super) fn computed(name: &str, args: &[ColumnarValue]) -> Result<Option<ColumnarValue>> {
    match (name, args) {
        ("date_trunc", [ColumnarValue::Scalar(ScalarValue::Utf8(Some(part))), time]) => {
            let part = part.to_lowercase();
            by_value(time, |time, per_second| truncated(&part, time, per_second))
        }
        ("date_bin", [ColumnarValue::Scalar(width), time]) => binned(width, time, None),
        ("date_bin", [ColumnarValue::Scalar(width), time, ColumnarValue::Scalar(origin)]) => {
            binned(width, time, Some(origin))
        }
        _ => Ok(None),
    }
}

/// Applies a function to every time, as a count of units of which there are `per_second`; none if the type is not one
/// that this file handles, or the function has no result for one of the times.
fn by_value(time: &ColumnarValue, function: impl Fn(i64, i64) -> Option<i64>) -> Result<Option<ColumnarValue>> {
    let of = time.data_type();
    let DataType::Timestamp(unit, zone) = &of else { return Ok(None) };
    let Some(per_second) = per_second(*unit) else { return Ok(None) };
    if zone.as_deref().is_some_and(|zone| zone != super::ZONE) {
        return Ok(None);
    }
    let array = time.to_array(1)?;
    let counts = cast(&array, &DataType::Int64)?;
    let counts = counts.as_primitive::<Int64Type>();
    let results: Option<Vec<i64>> = (0..counts.len())
        .map(|row| if counts.is_null(row) { Some(0) } else { function(counts.value(row), per_second) })
        .collect();
    let Some(results) = results else { return Ok(None) };
    let results = PrimitiveArray::<Int64Type>::new(results.into(), counts.nulls().cloned());
    let results: ArrayRef = make_array(Arc::new(results).to_data().into_builder().data_type(of).build()?);
    Ok(Some(match time {
        ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&results, 0)?),
        ColumnarValue::Array(_) => ColumnarValue::Array(results),
    }))
}

fn per_second(unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => Some(1),
        TimeUnit::Millisecond => Some(1_000),
        TimeUnit::Microsecond => Some(1_000_000),
        TimeUnit::Nanosecond => None,
    }
}

fn truncated(part: &str, time: i64, per_second: i64) -> Option<i64> {
    let down_to = |step: i64| time.checked_sub(time.rem_euclid(step));
    let day = time.div_euclid(DAY * per_second);
    let from_day = |day: i64| day.checked_mul(DAY * per_second);
    match part {
        "microsecond" => Some(time),
        "millisecond" => down_to((per_second / 1_000).max(1)),
        "second" => down_to(per_second),
        "minute" => down_to(60 * per_second),
        "hour" => down_to(3_600 * per_second),
        "day" => down_to(DAY * per_second),
        "week" => from_day(day - (day + SINCE_MONDAY).rem_euclid(7)),
        "month" | "quarter" | "year" => {
            let (year, month) = year_and_month(day);
            let first = match part {
                "month" => month,
                "quarter" => (month - 1) / 3 * 3 + 1,
                _ => 1,
            };
            from_day(first_day(year, first))
        }
        _ => None,
    }
}

/// The year and the month of a day since 1970-01-01, in the proleptic Gregorian calendar. From "chrono-Compatible
/// Low-Level Date Algorithms" by Howard Hinnant: years begin in March, in cycles of 400 of them.
fn year_and_month(day: i64) -> (i64, i64) {
    let day = day + 719_468;
    let (cycle, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + cycle * 400 + i64::from(month <= 2), month)
}

/// The first day of a month, in days since 1970-01-01.
fn first_day(year: i64, month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5;
    cycle * 146_097 + year * 365 + year / 4 - year / 100 + of_year - 719_468
}

fn binned(width: &ScalarValue, time: &ColumnarValue, origin: Option<&ScalarValue>) -> Result<Option<ColumnarValue>> {
    let DataType::Timestamp(unit, _) = time.data_type() else { return Ok(None) };
    let Some(per_second) = per_second(unit) else { return Ok(None) };
    let part = 1_000_000_000 / per_second;
    let Ok(ScalarValue::IntervalMonthDayNano(Some(width))) =
        width.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano))
    else {
        return Ok(None);
    };
    let origin = match origin {
        None => Some(0),
        Some(origin) => match origin.cast_to(&DataType::Timestamp(unit, None)) {
            Ok(origin) => count(&origin),
            Err(_) => None,
        },
    };
    let (Some(origin), 0, 0) = (origin, width.months, width.nanoseconds % part) else { return Ok(None) };
    let step = i64::from(width.days)
        .checked_mul(DAY * per_second)
        .and_then(|days| days.checked_add(width.nanoseconds / part))
        .filter(|step| *step > 0);
    let Some(step) = step else { return Ok(None) };
    by_value(time, |time, _| {
        let since = time.checked_sub(origin)?;
        time.checked_sub(since.rem_euclid(step))
    })
}

fn count(time: &ScalarValue) -> Option<i64> {
    match time {
        ScalarValue::TimestampSecond(count, _)
        | ScalarValue::TimestampMillisecond(count, _)
        | ScalarValue::TimestampMicrosecond(count, _)
        | ScalarValue::TimestampNanosecond(count, _) => *count,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_of_every_year_are_truncated_to_their_first_day() {
        for day in (-1_000_000..3_000_000).step_by(17) {
            let (year, month) = year_and_month(day);
            let first = first_day(year, month);
            let next = if month == 12 { first_day(year + 1, 1) } else { first_day(year, month + 1) };
            assert!(first <= day && day < next && (28..=31).contains(&(next - first)), "{day}: {year}-{month}");
        }
        assert_eq!(year_and_month(2_932_896), (9999, 12));
        assert_eq!(year_and_month(-719_162), (1, 1));
    }
}
