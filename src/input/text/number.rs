//! Parses numbers in text exactly, and finds the type that holds all of them without losing a digit.
//!
//! ```text
//! integers          int64 ─▶ uint64 ─▶ decimal(38, 0)
//! with fractions    float64, if every number survives parsing as a double ─▶ decimal(38, s)
//!                   ─▶ float64, if a double gives every number again, printed with as many digits
//! ```
//! A double keeps up to 15 significant digits of any number; for longer ones it is tried. The last step is for programs
//! that print doubles with 17 digits, and for Java's smallest one.
//!
//! Not for: number syntax that only one of CSV and JSON accepts.

use arrow::datatypes::DataType;

/// Significant digits of any number that a double keeps.
const KEPT_DIGITS: i32 = 15;
/// Significant digits that distinguish every double from its neighbours.
const PRINTED_DIGITS: usize = 17;
/// Exponents up to this absolute value are far from the limits of a double.
const KEPT_EXPONENT: i32 = 290;
/// Integers up to this absolute value are exact as doubles.
const KEPT_WHOLE: u64 = 1 << 53;
/// Digits of the widest decimal type.
pub(super) const WIDEST: i32 = 38;

/// A number: `± digits × 10^-scale`, where digits do not end in zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    negative: bool,
    /// None if there are more than [`WIDEST`] of them.
    digits: Option<u128>,
    scale: i32,
    significant: i32,
    /// Whether it was written without a decimal point and an exponent.
    pub(super) is_whole: bool,
    /// Whether it was written with redundant zeros, or a plus.
    pub(super) is_padded: bool,
}

impl Number {
    /// Parses a number: digits with an optional sign, decimal point and exponent.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (sign, mut rest) = match text.as_bytes() {
            [sign @ (b'-' | b'+'), rest @ ..] => (Some(*sign), rest),
            rest => (None, rest),
        };
        let is_padded = sign == Some(b'+') || matches!(rest, [b'0', b'0'..=b'9', ..]);
        let mut digits = Digits::default();
        let before = digits.take(&mut rest);
        let mut is_whole = true;
        let mut after = 0;
        if let [b'.', fraction @ ..] = rest {
            rest = fraction;
            is_whole = false;
            after = digits.take(&mut rest);
        }
        if before + after == 0 {
            return None;
        }
        let mut exponent = 0_i32;
        if let [b'e' | b'E', power @ ..] = rest {
            is_whole = false;
            let (negative, power) = match power {
                [b'-', power @ ..] => (true, power),
                [b'+', power @ ..] => (false, power),
                power => (false, power),
            };
            if power.is_empty() || !power.iter().all(u8::is_ascii_digit) {
                return None;
            }
            // An exponent far beyond all types may be clamped.
            let far = |sum: i32, digit: &u8| (10 * sum + i32::from(digit - b'0')).min(100_000_000);
            exponent = power.iter().fold(0, far) * if negative { -1 } else { 1 };
            rest = &[];
        }
        if !rest.is_empty() {
            return None;
        }
        let (significant, digits, zeros) = (digits.significant, digits.value, digits.zeros);
        let scale = if significant == 0 { 0 } else { after as i32 - zeros - exponent };
        Some(Self { negative: sign == Some(b'-'), digits, scale, significant, is_whole, is_padded })
    }

    /// Number of digits before the decimal point.
    fn whole_digits(&self) -> i32 {
        (self.significant - self.scale).max(0)
    }

    /// The number as a count of `10^-scale`, if that is exact and fits.
    pub(super) fn unscaled(&self, scale: i32) -> Option<i128> {
        let digits = i128::try_from(self.digits?).ok()?;
        let power = u32::try_from(scale.checked_sub(self.scale)?);
        let value = if digits == 0 { 0 } else { digits.checked_mul(10_i128.checked_pow(power.ok()?)?)? };
        Some(if self.negative { -value } else { value })
    }

    /// Whether parsing `text`, this number, as a double keeps its value.
    fn survives(&self, text: &str) -> bool {
        if self.significant <= KEPT_DIGITS && (self.significant - self.scale).abs() < KEPT_EXPONENT {
            return true;
        }
        let Some(double) = text.parse::<f64>().ok().filter(|double| double.is_finite()) else { return false };
        self.is_written(&format!("{double:e}"))
    }

    /// Whether `text`, this number, is what a double prints with as many digits.
    fn is_printed(&self, text: &str) -> bool {
        let places = usize::try_from(self.significant - 1).ok().filter(|places| *places < PRINTED_DIGITS);
        let double = text.parse::<f64>().ok().filter(|double| double.is_finite());
        places.zip(double).is_some_and(|(places, double)| self.is_written(&format!("{double:.places$e}")))
    }

    fn is_written(&self, text: &str) -> bool {
        let same = |other: Self| other.digits == self.digits && other.scale == self.scale;
        self.digits.is_some() && Self::parse(text).is_some_and(same)
    }
}

/// Digits read so far; trailing zeros are counted only once another digit follows.
#[derive(Default)]
struct Digits {
    value: Option<u128>,
    significant: i32,
    zeros: i32,
}

impl Digits {
    /// Takes all leading digits, and returns their number.
    fn take(&mut self, rest: &mut &[u8]) -> usize {
        let mut taken = 0;
        let mut value = self.value.or((self.significant == 0).then_some(0));
        while let Some(digit @ b'0'..=b'9') = rest.get(taken) {
            taken += 1;
            if *digit == b'0' {
                self.zeros += i32::from(self.significant > 0);
                continue;
            }
            let shift = self.zeros + 1;
            self.significant = self.significant.saturating_add(shift);
            self.zeros = 0;
            let fits = self.significant <= WIDEST;
            value = value.filter(|_| fits).map(|value| {
                let shifted = if shift == 1 { value * 10 } else { value * 10_u128.pow(shift as u32) };
                shifted + u128::from(digit - b'0')
            });
        }
        self.value = value;
        *rest = &rest[taken..];
        taken
    }
}

/// Properties of the numbers of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// The smallest and the largest integer.
    range: Option<(i128, i128)>,
    /// Whether any is not an integer.
    broken: bool,
    /// Whether any has more digits than a decimal holds.
    long: bool,
    /// Whether any is inexact as a double.
    lost: bool,
    /// Whether any is not even what a double prints with as many digits.
    unlike: bool,
    /// Whether any is NaN or infinite.
    odd: bool,
    whole_digits: i32,
    scale: i32,
}

impl Numbers {
    /// Adds a number.
    pub(super) fn add(&mut self, number: &Number, text: &str) {
        match number.unscaled(0).filter(|_| number.is_whole) {
            Some(whole) => self.add_whole(whole),
            None => {
                self.broken |= !number.is_whole;
                self.long |= number.digits.is_none() || number.is_whole;
                self.scale = self.scale.max(number.scale);
                self.whole_digits = self.whole_digits.max(number.whole_digits());
                if !number.survives(text) {
                    self.lost = true;
                    self.unlike = self.unlike || !number.is_printed(text);
                }
            }
        }
    }

    /// Adds an integer.
    #[inline]
    pub(super) fn add_whole(&mut self, whole: i128) {
        let (least, greatest) = self.range.unwrap_or((whole, whole));
        self.range = Some((least.min(whole), greatest.max(whole)));
        let lost = whole.unsigned_abs() > u128::from(KEPT_WHOLE) && (whole as f64) as i128 != whole;
        self.lost |= lost;
        self.unlike |= lost;
    }

    /// Adds NaN or an infinity.
    pub(super) fn add_odd(&mut self) {
        self.odd = true;
    }

    /// Adds the properties of other rows' numbers.
    pub(super) fn merge(&mut self, other: &Self) {
        if let Some((least, greatest)) = other.range {
            let (own, own_greatest) = self.range.unwrap_or((least, greatest));
            self.range = Some((own.min(least), own_greatest.max(greatest)));
        }
        self.broken |= other.broken;
        self.long |= other.long;
        self.lost |= other.lost;
        self.unlike |= other.unlike;
        self.odd |= other.odd;
        self.whole_digits = self.whole_digits.max(other.whole_digits);
        self.scale = self.scale.max(other.scale);
    }

    /// Whether any of them is inexact as a double.
    pub(super) fn are_long(&self) -> bool {
        self.lost
    }

    /// The first type that holds all of them; none if no type does, or there are no numbers.
    pub(super) fn data_type(&self) -> Option<DataType> {
        let (least, greatest) = self.range.unwrap_or((0, 0));
        let digits = |whole: i128| whole.unsigned_abs().checked_ilog10().map_or(0, |log| log as i32 + 1);
        let whole_digits = self.whole_digits.max(digits(least)).max(digits(greatest));
        if !self.broken && !self.odd {
            self.range?;
            return match () {
                () if self.long || whole_digits > WIDEST => None,
                () if i64::try_from(least).is_ok() && i64::try_from(greatest).is_ok() => Some(DataType::Int64),
                () if u64::try_from(least).is_ok() && u64::try_from(greatest).is_ok() => Some(DataType::UInt64),
                () => Some(DataType::Decimal128(WIDEST as u8, 0)),
            };
        }
        if self.range.is_none() && !self.broken {
            return None;
        }
        if !self.lost {
            return Some(DataType::Float64);
        }
        let fits = !self.odd && !self.long && whole_digits + self.scale <= WIDEST;
        match fits {
            true => Some(DataType::Decimal128(WIDEST as u8, self.scale as i8)),
            false => (!self.unlike).then_some(DataType::Float64),
        }
    }
}

/// Parses an integer of up to 18 digits in its usual form.
#[inline]
pub(super) fn short_whole(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    let mut value = 0_i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn type_of(texts: &[&str]) -> Option<DataType> {
        let mut parts = [Numbers::default(), Numbers::default()];
        for (place, text) in texts.iter().enumerate() {
            parts[place % 2].add(&Number::parse(text).unwrap(), text);
        }
        let [mut all, other] = parts;
        all.merge(&other);
        all.data_type()
    }

    #[test]
    fn the_first_type_that_keeps_every_digit() {
        let decimal = |scale| Some(DataType::Decimal128(38, scale));
        for (texts, expected) in [
            (vec!["1", "-0", "9223372036854775807"], Some(DataType::Int64)),
            (vec!["0", "18446744073709551615"], Some(DataType::UInt64)),
            (vec!["-1", "9223372036854775808"], decimal(0)),
            (vec!["99999999999999999999999999999999999999"], decimal(0)),
            (vec!["100000000000000000000000000000000000000"], None),
            (vec!["1", "0.1", "1e-300", ".5", "5."], Some(DataType::Float64)),
            (vec!["3e2"], Some(DataType::Float64)),
            (vec!["9007199254740993", "0.5"], decimal(1)),
            (vec!["9007199254740992", "0.5"], Some(DataType::Float64)),
            (vec!["0.1234567890123456"], Some(DataType::Float64)),
            (vec!["0.123456789012345678", "12"], decimal(18)),
            (vec!["1e300", "9007199254740993"], None),
            (vec!["0.10000000000000001", "1.5"], decimal(17)),
            (vec!["0.10000000000000001", "1.5e30"], Some(DataType::Float64)),
            (vec!["0.10000000000000002", "0.123456789012345678", "1.5e30"], None),
            (vec!["4.9E-324", "1.5"], Some(DataType::Float64)),
            (vec!["1e400"], None),
            (vec!["1e-400"], None),
            (vec!["1.50", "2.5000"], Some(DataType::Float64)),
            (vec![], None),
        ] {
            assert_eq!(type_of(&texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn strings_that_are_no_numbers() {
        for text in
            ["", "-", "+", ".", "e5", "1e", "1e+", "1_000", "1,5", "0x1f", " 1", "1 ", "1.2.3", "--1", "١", "NaN"]
        {
            assert_eq!(Number::parse(text), None, "{text:?}");
        }
        for (text, padded) in
            [("007", true), ("+1", true), ("-00.5", true), ("0", false), ("0.50", false), ("-0", false)]
        {
            assert_eq!(Number::parse(text).map(|number| number.is_padded), Some(padded), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn unscaled_is_exact(value: i64, scale in 0_usize..18, more in 0_i32..5) {
            let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let text = format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" });
            let number = Number::parse(&text).unwrap();
            prop_assert_eq!(number.unscaled(scale as i32 + more), Some(i128::from(value) * 10_i128.pow(more as u32)));
        }

        #[test]
        fn every_double_survives_its_own_text(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let text = format!("{value:?}");
            prop_assert!(Number::parse(&text).unwrap().survives(&text), "{}", text);
        }

        #[test]
        fn nothing_makes_it_panic(text in "[-+0-9.eE]{0,50}") {
            if let Some(number) = Number::parse(&text) {
                let mut numbers = Numbers::default();
                numbers.add(&number, &text);
                let _ = (numbers.data_type(), number.unscaled(5), text.parse::<f64>().unwrap());
            }
        }
    }

    #[test]
    fn short_numbers_are_read_as_long_ones_are() {
        for text in ["0", "-0", "999999999999999999", "-999999999999999999"] {
            assert_eq!(short_whole(text).map(i128::from), Number::parse(text).unwrap().unscaled(0), "{text}");
        }
        for text in ["", "-", "00", "1234567890123456789", "1a", "1.0"] {
            assert_eq!(short_whole(text), None, "{text}");
        }
    }
}
