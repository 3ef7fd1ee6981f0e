//! Decimals as text, compared exactly.

use std::fmt;

/// A decimal of at most 15 digits before the point and 9 behind it, without a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Decimal {
    /// In this order, since they are compared in it.
    whole: u64,
    /// Billionths.
    fraction: u64,
}

impl Decimal {
    const MAX_WHOLE_DIGITS: usize = 15;
    const MAX_FRACTION_DIGITS: usize = 9;

    /// Reads `[0-9]{1,15}(\.[0-9]{1,9})?`. Returns `None` for any other text: one with a sign, an exponent, a
    /// separator, a space, or digits other than those of ASCII.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let whole = digits(whole, Self::MAX_WHOLE_DIGITS)?;
        let fraction = match fraction {
            None => 0,
            Some(fraction) => {
                let number = digits(fraction, Self::MAX_FRACTION_DIGITS)?;
                let missing = Self::MAX_FRACTION_DIGITS.saturating_sub(fraction.len());
                number.checked_mul(10_u64.checked_pow(missing.try_into().ok()?)?)?
            }
        };
        Some(Decimal { whole, fraction })
    }
}

/// Reads one to `most` digits.
fn digits(text: &str, most: usize) -> Option<u64> {
    let fits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| fits)
}

/// Writes the shortest text of the same value.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Decimal { whole, fraction } = self;
        match fraction {
            0 => write!(f, "{whole}"),
            _ => write!(f, "{whole}.{}", format!("{fraction:09}").trim_end_matches('0')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        Decimal::parse(text).map(|decimal| decimal.to_string())
    }

    #[test]
    fn only_digits_with_one_point_between_them_are_a_decimal() {
        for wrong in [
            "",
            ".",
            "1.",
            ".5",
            "+1",
            "-1",
            "-0",
            "1e3",
            "1E3",
            "1,000",
            "1_000",
            " 1",
            "1 ",
            "1.2.3",
            "0x1",
            "NaN",
            "inf",
            "٣",
            "１",
            "1.+5",
            "1.-5",
            "1234567890123456",
            "1.1234567890",
            "0000000000000001",
            "1\n",
        ] {
            assert_eq!(shown(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn decimals_of_one_value_are_equal_and_written_alike() {
        for (text, expected) in [
            ("12.50", "12.5"),
            ("12.5", "12.5"),
            ("012.500000000", "12.5"),
            ("0", "0"),
            ("000", "0"),
            ("0.000", "0"),
            ("1.000000001", "1.000000001"),
            ("100", "100"),
            ("999999999999999.999999999", "999999999999999.999999999"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
            assert_eq!(Decimal::parse(text), Decimal::parse(expected), "{text}");
        }
    }

    #[test]
    fn decimals_are_compared_by_value_and_not_as_text() {
        for (less, more) in
            [("9", "10"), ("0.09", "0.1"), ("12.5", "12.51"), ("0.999999999", "1"), ("2", "10.0")]
        {
            assert!(Decimal::parse(less) < Decimal::parse(more), "{less} {more}");
        }
    }
}
