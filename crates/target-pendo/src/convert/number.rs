//! Decimal numbers as text, of any size: the shortest plain form, and whole numbers.

use super::Unfit;

/// Longer plain forms than this are refused: `1e1000000` is seven characters and would become a
/// million.
const MAX_DIGITS: i64 = 400;

/// Appends the shortest plain decimal text of a number: no exponent, no zero that says nothing.
pub(super) fn write_plain(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    let number = Decimal::parse(text)?;
    if number.digits_len() == 0 {
        out.push(b'0');
        return Ok(());
    }
    let whole = number.whole_len();
    if whole.abs().max(number.digits_len() - whole) > MAX_DIGITS {
        return Err(Unfit("a number with too many digits"));
    }
    if number.negative {
        out.push(b'-');
    }
    if whole <= 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + whole.unsigned_abs() as usize, b'0');
        out.extend(number.digits());
    } else {
        for (place, digit) in (0..).zip(number.digits()) {
            if place == whole {
                out.push(b'.');
            }
            out.push(digit);
        }
        let zeros = (whole - number.digits_len()).max(0) as usize;
        out.resize(out.len() + zeros, b'0');
    }
    Ok(())
}

/// Appends a number without fraction; one whose fraction is zero is whole too.
pub(crate) fn write_whole(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    let number = Decimal::parse(text)?;
    if number.digits_len() > number.whole_len().max(0) {
        return Err(Unfit("a number with a fraction"));
    }
    write_plain(text, out)
}

/// A number as it stands in a text: its digits without the zeros at both ends, and where the point
/// belongs.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    /// Digits to leave out at the start and at the end of whole and fraction together.
    leading: usize,
    trailing: usize,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, Unfit> {
        const NO_NUMBER: Unfit = Unfit("text that is no number");
        let (negative, rest) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&rest[..at], exponent(&rest[at + 1..]).ok_or(NO_NUMBER)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
            Some(at) if at + 1 < mantissa.len() => (&mantissa[..at], &mantissa[at + 1..]),
            Some(_) => return Err(NO_NUMBER),
            None => (mantissa, &mantissa[mantissa.len()..]),
        };
        let mut digits = whole.iter().chain(fraction);
        if whole.is_empty() || !digits.clone().all(u8::is_ascii_digit) {
            return Err(NO_NUMBER);
        }
        let leading = digits.clone().take_while(|digit| **digit == b'0').count();
        let length = whole.len() + fraction.len();
        let trailing = if leading == length {
            0
        } else {
            digits
                .by_ref()
                .rev()
                .take_while(|digit| **digit == b'0')
                .count()
        };
        Ok(Self {
            negative,
            whole,
            fraction,
            leading,
            trailing,
            exponent,
        })
    }

    /// How many digits say something.
    fn digits_len(&self) -> i64 {
        (self.whole.len() + self.fraction.len() - self.leading - self.trailing) as i64
    }

    /// How many digits stand before the point; negative if zeros follow it first.
    fn whole_len(&self) -> i64 {
        self.whole.len() as i64 + self.exponent - self.leading as i64
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole
            .iter()
            .chain(self.fraction)
            .copied()
            .skip(self.leading)
            .take(self.digits_len() as usize)
    }
}

/// An exponent; one beyond all reason is cut to a value that no number of ours survives.
fn exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text.split_first()? {
        (b'-', digits) => (-1, digits),
        (b'+', digits) => (1, digits),
        _ => (1, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut number = 0_i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = (number * 10 + i64::from(digit - b'0')).min(1_000_000_000);
    }
    Some(sign * number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(text: &str) -> Option<String> {
        let mut out = Vec::new();
        write_plain(text.as_bytes(), &mut out).ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    fn whole(text: &str) -> Option<String> {
        let mut out = Vec::new();
        write_whole(text.as_bytes(), &mut out).ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn plain_numbers_are_short_and_keep_every_digit() {
        for (text, wanted) in [
            ("0", "0"),
            ("-0.00", "0"),
            ("0e5", "0"),
            ("1.50", "1.5"),
            ("100", "100"),
            ("-12.0", "-12"),
            ("1e3", "1000"),
            ("1.25e1", "12.5"),
            ("12.5E-3", "0.0125"),
            ("0.10", "0.1"),
            ("5e-1", "0.5"),
            ("007", "7"),
            (
                "12345678901234567890.123456789012345678901",
                "12345678901234567890.123456789012345678901",
            ),
        ] {
            assert_eq!(plain(text).as_deref(), Some(wanted), "{text}");
        }
        for text in [
            "",
            "-",
            ".5",
            "1.",
            "1e",
            "1e+",
            "x",
            "1,5",
            "1 2",
            "0x1",
            "1e500",
            "1e-500",
            "NaN",
            "--1",
            "1e99999999999999999999",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
    }

    #[test]
    fn a_fraction_of_zero_is_whole() {
        for (text, wanted) in [("5.0", "5"), ("5e2", "500"), ("1.5e1", "15"), ("-0.0", "0")] {
            assert_eq!(whole(text).as_deref(), Some(wanted), "{text}");
        }
        for text in ["5.5", "1e-1", "0.1e0", "10e-2"] {
            assert_eq!(whole(text), None, "{text}");
        }
        assert_eq!(whole("10e-1").as_deref(), Some("1"));
    }

    proptest! {
        #[test]
        fn the_plain_form_is_the_same_number(number in any::<f64>()) {
            prop_assume!(number.is_finite());
            let text = format!("{number:e}");
            prop_assert_eq!(plain(&text).unwrap().parse::<f64>().unwrap(), number);
        }
    }
}
