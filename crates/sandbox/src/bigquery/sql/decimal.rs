//! Decimal numbers of any length, for NUMERIC and BIGNUMERIC: no digit passes through a float.

use std::cmp::Ordering;

use super::error::{Result, invalid};
use super::kind::Kind;

/// A decimal number: digits, the most significant first, of which the last `scale` stand after the point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    scale: usize,
}

/// The largest BIGNUMERIC, 2^255 - 1 scaled by 10^-38; the smallest is one unit further away from zero.
const BIG_LIMIT: &str =
    "578960446186580977117854925043439539266.34992332820282019728792003956564819967";

impl Decimal {
    /// Reads digits with a sign, a point and an exponent, all of them optional.
    pub(super) fn parse(text: &str) -> Option<Decimal> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(place) => (text.get(..place)?, text.get(place + 1..)?.parse().ok()?),
            None => (text, 0_i32),
        };
        let negative = mantissa.starts_with('-');
        let plain = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, part) = plain.split_once('.').unwrap_or((plain, ""));
        if whole.is_empty() && part.is_empty() || exponent.abs() > 1000 {
            return None;
        }
        let mut digits = Vec::with_capacity(plain.len());
        for byte in whole.bytes().chain(part.bytes()) {
            if !byte.is_ascii_digit() {
                return None;
            }
            digits.push(byte - b'0');
        }
        let scale = i32::try_from(part.len()).ok()? - exponent;
        if scale < 0 {
            digits.extend(std::iter::repeat_n(0, scale.unsigned_abs() as usize));
        }
        let scale = usize::try_from(scale).unwrap_or(0);
        Some(Decimal::tidy(negative, digits, scale))
    }

    /// A number in the form of `Value::Numeric`, which is always well formed.
    pub(super) fn stored(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| Decimal::tidy(false, Vec::new(), 0))
    }

    /// The exact value of a float; none for NaN and the infinities.
    pub(super) fn from_float(number: f64) -> Option<Decimal> {
        // A float has at most 1,074 digits after its point; 100 of them decide how the 38th is rounded.
        number
            .is_finite()
            .then(|| Decimal::parse(&format!("{number:.100}")))
            .flatten()
    }

    fn tidy(negative: bool, mut digits: Vec<u8>, mut scale: usize) -> Decimal {
        while scale > 0 && digits.last().is_none_or(|digit| *digit == 0) {
            digits.pop();
            scale -= 1;
        }
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        if digits.is_empty() {
            scale = 0;
        }
        Decimal {
            negative: negative && !digits.is_empty(),
            digits,
            scale,
        }
    }

    /// The text that `Value::Numeric` holds.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(self.digits.len() + 3);
        if self.negative {
            text.push('-');
        }
        let missing = (self.scale + 1).saturating_sub(self.digits.len());
        let padded = std::iter::repeat_n(&0, missing).chain(&self.digits);
        let whole = missing + self.digits.len() - self.scale;
        for (place, digit) in padded.enumerate() {
            if place == whole {
                text.push('.');
            }
            text.push(char::from(b'0' + digit));
        }
        text
    }

    pub(super) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    pub(super) fn is_negative(&self) -> bool {
        self.negative
    }

    pub(super) fn negate(mut self) -> Decimal {
        self.negative = !self.negative && !self.digits.is_empty();
        self
    }

    pub(super) fn absolute(mut self) -> Decimal {
        self.negative = false;
        self
    }

    pub(super) fn add(&self, other: &Decimal) -> Decimal {
        let scale = self.scale.max(other.scale);
        let (left, right) = (self.digits_at(scale), other.digits_at(scale));
        if self.negative == other.negative {
            return Decimal::tidy(self.negative, add_digits(&left, &right), scale);
        }
        match compare_digits(&left, &right) {
            Ordering::Less => Decimal::tidy(other.negative, subtract_digits(&right, &left), scale),
            _ => Decimal::tidy(self.negative, subtract_digits(&left, &right), scale),
        }
    }

    pub(super) fn subtract(&self, other: &Decimal) -> Decimal {
        self.add(&other.clone().negate())
    }

    pub(super) fn multiply(&self, other: &Decimal) -> Decimal {
        let mut product = vec![0_u32; self.digits.len() + other.digits.len()];
        for (i, left) in self.digits.iter().enumerate() {
            for (j, right) in other.digits.iter().enumerate() {
                product[i + j + 1] += u32::from(*left) * u32::from(*right);
            }
        }
        let mut carry = 0;
        for digit in product.iter_mut().rev() {
            let sum = *digit + carry;
            *digit = sum % 10;
            carry = sum / 10;
        }
        let digits = product.into_iter().map(|digit| digit as u8).collect();
        let negative = self.negative != other.negative;
        Decimal::tidy(negative, digits, self.scale + other.scale)
    }

    /// The quotient with `scale` digits after the point, rounded half away from zero; none by zero.
    pub(super) fn divide(&self, other: &Decimal, scale: usize) -> Option<Decimal> {
        let (digits, _) = self.long_division(other, scale + 1)?;
        let negative = self.negative != other.negative;
        Some(Decimal::tidy(negative, digits, scale + 1).round(scale))
    }

    /// The quotient without its part after the point, and what is left; none by zero.
    pub(super) fn divide_whole(&self, other: &Decimal) -> Option<(Decimal, Decimal)> {
        let (digits, _) = self.long_division(other, 0)?;
        let quotient = Decimal::tidy(self.negative != other.negative, digits, 0);
        let rest = self.subtract(&quotient.multiply(other));
        Some((quotient, rest))
    }

    fn long_division(&self, other: &Decimal, scale: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        if other.is_zero() {
            return None;
        }
        let common = self.scale.max(other.scale);
        let mut dividend = self.digits_at(common);
        dividend.extend(std::iter::repeat_n(0, scale));
        let divisor = trim_zeros(&other.digits_at(common)).to_vec();
        let mut rest: Vec<u8> = Vec::new();
        let mut quotient = Vec::with_capacity(dividend.len());
        for digit in dividend {
            rest.push(digit);
            let mut count = 0;
            while compare_digits(&rest, &divisor) != Ordering::Less {
                rest = subtract_digits(&rest, &divisor);
                count += 1;
            }
            rest = trim_zeros(&rest).to_vec();
            quotient.push(count);
        }
        Some((quotient, rest))
    }

    /// Rounds half away from zero.
    pub(super) fn round(&self, scale: usize) -> Decimal {
        if self.scale <= scale {
            return self.clone();
        }
        let cut = self.scale - scale;
        let mut digits = self.digits.clone();
        while digits.len() <= cut {
            digits.insert(0, 0);
        }
        let kept = digits.len() - cut;
        let up = digits[kept] >= 5;
        digits.truncate(kept);
        if up {
            digits = add_digits(&digits, &[1]);
        }
        Decimal::tidy(self.negative, digits, scale)
    }

    /// Cuts what is after the point.
    pub(super) fn truncate(&self) -> Decimal {
        let whole = self.digits.len().saturating_sub(self.scale);
        let digits = self.digits.iter().take(whole).copied().collect();
        Decimal::tidy(self.negative, digits, 0)
    }

    pub(super) fn compare(&self, other: &Decimal) -> Ordering {
        if self.negative != other.negative {
            return other.negative.cmp(&self.negative);
        }
        let scale = self.scale.max(other.scale);
        let order = compare_digits(&self.digits_at(scale), &other.digits_at(scale));
        if self.negative {
            order.reverse()
        } else {
            order
        }
    }

    /// How many digits stand before the point.
    pub(super) fn whole_digits(&self) -> usize {
        self.digits.len().saturating_sub(self.scale)
    }

    pub(super) fn to_i64(&self) -> Option<i64> {
        self.round(0).text().parse().ok()
    }

    fn digits_at(&self, scale: usize) -> Vec<u8> {
        let mut digits = self.digits.clone();
        digits.extend(std::iter::repeat_n(0, scale - self.scale));
        digits
    }
}

/// The digits after the point that a type keeps.
pub(super) fn scale_of(kind: &Kind) -> usize {
    if *kind == Kind::BigNumeric { 38 } else { 9 }
}

/// Rounds a number to its type, which it may be too large for.
pub(super) fn fit(number: &Decimal, kind: &Kind) -> Result<String> {
    let rounded = number.round(scale_of(kind));
    let fits = match kind {
        Kind::BigNumeric => {
            rounded
                .clone()
                .absolute()
                .compare(&Decimal::stored(BIG_LIMIT))
                != Ordering::Greater
        }
        _ => rounded.whole_digits() <= 29,
    };
    if fits {
        return Ok(rounded.text());
    }
    Err(invalid(match kind {
        Kind::BigNumeric => "BIGNUMERIC overflow",
        _ => "numeric overflow",
    }))
}

fn trim_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    digits.get(zeros..).unwrap_or_default()
}

fn compare_digits(left: &[u8], right: &[u8]) -> Ordering {
    let (left, right) = (trim_zeros(left), trim_zeros(right));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

fn add_digits(left: &[u8], right: &[u8]) -> Vec<u8> {
    let length = left.len().max(right.len()) + 1;
    let mut sum = vec![0; length];
    let mut carry = 0;
    for place in 0..length {
        let digit = carry + from_end(left, place) + from_end(right, place);
        sum[length - 1 - place] = digit % 10;
        carry = digit / 10;
    }
    sum
}

/// The difference of two numbers of which the left one is not the smaller.
fn subtract_digits(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut difference = vec![0; left.len()];
    let mut borrow = 0;
    for place in 0..left.len() {
        let take = from_end(right, place) + borrow;
        let digit = from_end(left, place);
        borrow = u8::from(digit < take);
        difference[left.len() - 1 - place] = digit + 10 * borrow - take;
    }
    difference
}

fn from_end(digits: &[u8], place: usize) -> u8 {
    let index = digits.len().checked_sub(place + 1);
    index
        .and_then(|index| digits.get(index))
        .copied()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn text_is_plain_and_canonical() {
        for (given, kept) in [
            ("-012.500", "-12.5"),
            ("-0", "0"),
            (".5", "0.5"),
            ("1e3", "1000"),
            ("12e-4", "0.0012"),
            ("100", "100"),
        ] {
            assert_eq!(number(given).text(), kept);
        }
        assert_eq!(Decimal::parse("1.x"), None);
        assert_eq!(Decimal::parse("."), None);
    }

    #[test]
    fn arithmetic_keeps_every_digit() {
        assert_eq!(number("0.1").add(&number("0.2")).text(), "0.3");
        assert_eq!(
            number("1").subtract(&number("1.000000001")).text(),
            "-0.000000001"
        );
        assert_eq!(
            number("99999999999999999999999999999.999999999")
                .multiply(&number("-10"))
                .text(),
            "-999999999999999999999999999999.99999999"
        );
        assert_eq!(
            number("2").divide(&number("3"), 9).unwrap().text(),
            "0.666666667"
        );
        assert_eq!(
            number("-1").divide(&number("8"), 2).unwrap().text(),
            "-0.13"
        );
        assert_eq!(number("1").divide(&number("0"), 9), None);
        let (quotient, rest) = number("-7.5").divide_whole(&number("2")).unwrap();
        assert_eq!(
            (quotient.text(), rest.text()),
            ("-3".to_owned(), "-1.5".to_owned())
        );
    }

    #[test]
    fn order_and_rounding() {
        assert_eq!(number("-2").compare(&number("-10")), Ordering::Greater);
        assert_eq!(number("1.50").compare(&number("1.5")), Ordering::Equal);
        assert_eq!(number("2.5").round(0).text(), "3");
        assert_eq!(number("-2.5").round(0).text(), "-3");
        assert_eq!(number("0.04").round(1).text(), "0");
        assert_eq!(number("9.99").round(1).text(), "10");
        assert!(fit(&number("1e29"), &Kind::Numeric).is_err());
        assert!(fit(&number("1e38"), &Kind::BigNumeric).is_ok());
        assert!(fit(&number("6e38"), &Kind::BigNumeric).is_err());
    }
}
