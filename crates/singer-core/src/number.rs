//! JSON numbers as text: compared, told whole from broken, and put into one form, with every digit.
//!
//! Nothing here goes through a float, so the size and the digits of a number do not matter.

use std::cmp::Ordering;

/// A number's text taken apart. The value is `0.DIGITS × 10^magnitude`, where `DIGITS` neither
/// start nor end with a zero; zero has none.
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    magnitude: i64,
}

impl<'a> Parts<'a> {
    fn of(text: &'a [u8]) -> Self {
        let (negative, text) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let end = text
            .iter()
            .position(|byte| matches!(byte, b'e' | b'E'))
            .unwrap_or(text.len());
        let (digits, exponent) = text.split_at(end);
        let point = digits
            .iter()
            .position(|byte| *byte == b'.')
            .unwrap_or(digits.len());
        let (mut whole, fraction) = digits.split_at(point);
        let mut fraction = fraction.strip_prefix(b".").unwrap_or_default();
        let mut magnitude = exponent_of(exponent).saturating_add(whole.len() as i64);
        let zeros = leading_zeros(whole);
        whole = &whole[zeros..];
        magnitude = magnitude.saturating_sub(zeros as i64);
        if whole.is_empty() {
            let zeros = leading_zeros(fraction);
            fraction = &fraction[zeros..];
            magnitude = magnitude.saturating_sub(zeros as i64);
        }
        fraction = without_trailing_zeros(fraction);
        if fraction.is_empty() {
            whole = without_trailing_zeros(whole);
        }
        let zero = whole.is_empty() && fraction.is_empty();
        Self {
            negative: negative && !zero,
            whole,
            fraction,
            magnitude: if zero { 0 } else { magnitude },
        }
    }

    fn digits(&self) -> impl Iterator<Item = u8> + '_ {
        self.whole.iter().chain(self.fraction).copied()
    }

    fn len(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }

    fn is_zero(&self) -> bool {
        self.len() == 0
    }

    fn compare_size(&self, other: &Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Digits without trailing zeros: the longer of two with a common start is the greater.
            (false, false) => self
                .magnitude
                .cmp(&other.magnitude)
                .then_with(|| self.digits().cmp(other.digits())),
        }
    }
}

/// Compares two JSON numbers by value.
pub fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let (left, right) = (Parts::of(left), Parts::of(right));
    match (left.negative, right.negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => left.compare_size(&right),
        (true, true) => right.compare_size(&left),
    }
}

/// Whether a JSON number has no fraction by value: `1`, `1.0` and `1.5e1` have none.
pub fn is_whole(text: &[u8]) -> bool {
    let parts = Parts::of(text);
    parts.is_zero() || parts.magnitude >= parts.len() as i64
}

/// Appends a form that is equal for equal numbers, however they are written, and for no others.
pub fn write_canonical(out: &mut Vec<u8>, text: &[u8]) {
    let parts = Parts::of(text);
    out.push(if parts.negative { b'-' } else { b'+' });
    out.extend(parts.digits());
    out.push(b'e');
    out.extend_from_slice(&parts.magnitude.to_le_bytes());
}

fn exponent_of(text: &[u8]) -> i64 {
    let Some((_, text)) = text.split_first() else {
        return 0;
    };
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, text),
    };
    // Far beyond any real number, yet small enough that lengths can be added to it.
    const MOST: i64 = i64::MAX / 4;
    let size = digits.iter().fold(0i64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
            .min(MOST)
    });
    if negative { -size } else { size }
}

fn leading_zeros(digits: &[u8]) -> usize {
    digits.iter().take_while(|digit| **digit == b'0').count()
}

fn without_trailing_zeros(digits: &[u8]) -> &[u8] {
    let end = digits
        .iter()
        .rposition(|digit| *digit != b'0')
        .map_or(0, |last| last + 1);
    &digits[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        write_canonical(&mut out, text.as_bytes());
        out
    }

    #[test]
    fn numbers_compare_by_value_with_every_digit() {
        for (left, right, wanted) in [
            ("1", "1.0", Ordering::Equal),
            ("0", "-0.00e5", Ordering::Equal),
            ("10", "1e1", Ordering::Equal),
            ("120", "0.12e3", Ordering::Equal),
            ("9", "10", Ordering::Less),
            ("-9", "-10", Ordering::Greater),
            ("0.09", "0.1", Ordering::Less),
            (
                "12345678901234567890123",
                "12345678901234567890124",
                Ordering::Less,
            ),
            ("1e400", "1e399", Ordering::Greater),
            (
                "1e99999999999999999999",
                "1e9999999999999999999",
                Ordering::Equal,
            ),
            ("-1", "0.5", Ordering::Less),
        ] {
            assert_eq!(
                compare(left.as_bytes(), right.as_bytes()),
                wanted,
                "{left} {right}"
            );
            assert_eq!(
                canonical(left) == canonical(right),
                wanted == Ordering::Equal,
                "{left} {right}"
            );
        }
    }

    #[test]
    fn whole_numbers_are_told_by_value() {
        for (text, wanted) in [
            ("1", true),
            ("1.0", true),
            ("1.50", false),
            ("1.5e1", true),
            ("1.55e1", false),
            ("100e-2", true),
            ("10e-2", false),
            ("0.000", true),
            ("0e-9", true),
        ] {
            assert_eq!(is_whole(text.as_bytes()), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn integers_and_decimals_agree_with_arithmetic(left in -10_000i64..10_000, right in -10_000i64..10_000) {
            let text = |n: i64| format!("{}{}.{:02}", if n < 0 { "-" } else { "" }, n.abs() / 100, n.abs() % 100);
            prop_assert_eq!(
                compare(text(left).as_bytes(), text(right).as_bytes()),
                left.cmp(&right)
            );
            prop_assert_eq!(is_whole(text(left).as_bytes()), left % 100 == 0);
        }
    }
}
