//! JSON numbers as text: compared, told whole from broken, and put into one form, with every digit.
//!
//! Nothing here goes through a float, so the size and the digits of a number do not matter.

use std::cmp::Ordering;

/// A number's digits: the value is `0.DIGITS × 10^point`, where `DIGITS` neither start nor end with a zero;
/// zero has none.
#[derive(Debug, Clone, Copy)]
pub struct Digits<'a> {
    is_negative: bool,
    head: &'a [u8],
    tail: &'a [u8],
    point: i64,
}

impl<'a> Digits<'a> {
    /// The digits of a JSON number.
    pub fn of(text: &'a [u8]) -> Self {
        let (is_negative, text) = match text.strip_prefix(b"-") {
            Some(text) => (true, text),
            None => (false, text),
        };
        let split = |text: &'a [u8], at: Option<usize>| match at {
            Some(at) => (
                text.get(..at).unwrap_or_default(),
                text.get(at + 1..).unwrap_or_default(),
            ),
            None => (text, <&[u8]>::default()),
        };
        let (mantissa, exponent) = split(text, memchr::memchr2(b'e', b'E', text));
        let (mut head, mut tail) = split(mantissa, memchr::memchr(b'.', mantissa));
        let mut point = exponent_of(exponent).saturating_add(head.len() as i64);
        let zeros = leading_zeros(head);
        head = head.get(zeros..).unwrap_or_default();
        point = point.saturating_sub(zeros as i64);
        if head.is_empty() {
            let zeros = leading_zeros(tail);
            tail = tail.get(zeros..).unwrap_or_default();
            point = point.saturating_sub(zeros as i64);
        }
        tail = without_trailing_zeros(tail);
        if tail.is_empty() {
            head = without_trailing_zeros(head);
        }
        let is_zero = head.is_empty() && tail.is_empty();
        Self {
            is_negative: is_negative && !is_zero,
            head,
            tail,
            point: if is_zero { 0 } else { point },
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Where the point stands, counted in digits from the first; below zero for `0.01`, and zero for zero.
    pub fn point(&self) -> i64 {
        self.point
    }

    /// Digits ahead of the point, once it is printed without an exponent.
    pub fn whole(&self) -> i64 {
        self.point.max(0)
    }

    /// Digits behind the point.
    pub fn scale(&self) -> i64 {
        (self.count() as i64).saturating_sub(self.point).max(0)
    }

    /// Whether it is a whole number that has a double of its own.
    pub fn is_whole_double(&self) -> bool {
        if self.point > 38 || self.scale() > 0 {
            return false;
        }
        let digits = self
            .all()
            .fold(0u128, |sum, digit| sum * 10 + u128::from(digit & 15));
        let size = (self.count() as i64..self.point).fold(digits, |size, _| size * 10);
        (size as f64) as u128 == size
    }

    /// Prints it without an exponent, piece by piece: `-12.5`. Only for one whose size has been checked.
    pub fn print(&self, mut put: impl FnMut(&[u8])) {
        if self.is_zero() {
            return put(b"0");
        }
        if self.is_negative {
            put(b"-");
        }
        if self.point <= 0 {
            put(b"0.");
            (0..self.point.unsigned_abs()).for_each(|_| put(b"0"));
            put(self.head);
            return put(self.tail);
        }
        let whole = self.whole() as usize;
        for (part, before) in [(self.head, 0), (self.tail, self.head.len())] {
            match part.split_at_checked(whole.saturating_sub(before)) {
                Some((ahead, behind)) if before <= whole => {
                    put(ahead);
                    if !behind.is_empty() {
                        put(b".");
                        put(behind);
                    }
                }
                _ => put(part),
            }
        }
        (self.count()..whole).for_each(|_| put(b"0"));
    }

    fn all(&self) -> impl Iterator<Item = u8> {
        self.head.iter().chain(self.tail).copied()
    }

    fn is_zero(&self) -> bool {
        self.count() == 0
    }

    fn compare_size(&self, other: &Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Digits without trailing zeros: the longer of two with a common start is the greater.
            (false, false) => {
                (self.point.cmp(&other.point)).then_with(|| self.all().cmp(other.all()))
            }
        }
    }
}

/// Compares two JSON numbers by value.
pub fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let (left, right) = (Digits::of(left), Digits::of(right));
    match (left.is_negative, right.is_negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => left.compare_size(&right),
        (true, true) => right.compare_size(&left),
    }
}

/// Whether a JSON number has no fraction by value: `1`, `1.0` and `1.5e1` have none.
pub fn is_whole(text: &[u8]) -> bool {
    Digits::of(text).scale() == 0
}

/// Appends a form that is equal for equal numbers, however they are written, and for no others.
pub fn write_canonical(out: &mut Vec<u8>, text: &[u8]) {
    let digits = Digits::of(text);
    out.push(if digits.is_negative { b'-' } else { b'+' });
    out.extend(digits.all());
    out.push(b'e');
    out.extend_from_slice(&digits.point.to_le_bytes());
}

/// The exponent behind its letter; zero if there is none.
fn exponent_of(text: &[u8]) -> i64 {
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
    digits.get(..end).unwrap_or_default()
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

    #[test]
    fn numbers_are_printed_without_an_exponent() {
        for (text, wanted, point, scale) in [
            ("-0.0e9", "0", 0, 0),
            ("120", "120", 3, 0),
            ("12e+3", "12000", 5, 0),
            ("-1.250", "-1.25", 1, 2),
            ("1.25e1", "12.5", 2, 1),
            ("120.5e-2", "1.205", 1, 3),
            ("1.25E4", "12500", 5, 0),
            ("-0.05", "-0.05", -1, 2),
            ("5e-3", "0.005", -2, 3),
            ("00.1", "0.1", 0, 1),
        ] {
            let digits = Digits::of(text.as_bytes());
            let mut printed = Vec::new();
            digits.print(|piece| printed.extend_from_slice(piece));
            assert_eq!(String::from_utf8(printed).unwrap(), wanted);
            assert_eq!((digits.point(), digits.scale()), (point, scale), "{text}");
        }
        let far = Digits::of(b"1e99999999999999999999");
        assert!(far.whole() > 1 << 60 && far.scale() == 0);
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
