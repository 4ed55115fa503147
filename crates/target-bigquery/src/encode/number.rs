//! Booleans, 64-bit integers and doubles.

use std::cmp::Ordering;
use std::io::Write as _;

use singer_core::number::{self, Digits};
use singer_core::scan::ValueKind;
use singer_core::value::{is_integer, is_number};

use super::text::{inner, plain_str};
use super::unfit::Unfit;
use super::{Given, Numbers, Options};
use crate::model::Kind;
use crate::schema::Column;

/// Digits that a double always keeps, and those that it prints at most.
const KEPT_DIGITS: usize = 15;
const PRINTED_DIGITS: usize = 17;

pub(super) fn boolean((kind, json): Given<'_>) -> Result<bool, Unfit> {
    match kind {
        ValueKind::Boolean => Ok(json == b"true"),
        other => Err(Unfit::Kind(other)),
    }
}

/// A whole number in 64 bits: of an integer, of a number without fraction, or of a string that spells
/// an integer as JSON would.
pub(super) fn integer((kind, json): Given<'_>) -> Result<i64, Unfit> {
    match kind {
        ValueKind::Integer => parse(json),
        ValueKind::Number if number::is_whole(json) => whole(json),
        ValueKind::Number => Err(Unfit::Precision),
        ValueKind::String => {
            let text = plain_str(inner(json))?;
            if !is_integer(&text) || text == "-0" {
                return Err(Unfit::Format);
            }
            parse(text.as_bytes())
        }
        other => Err(Unfit::Kind(other)),
    }
}

/// Digits with a sign, as the scanner or `is_integer` took them.
fn parse(text: &[u8]) -> Result<i64, Unfit> {
    let (is_negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.len() > 19 {
        return Err(Unfit::Range);
    }
    // Nineteen digits stay below 2^64.
    let size = digits
        .iter()
        .fold(0u64, |sum, digit| sum * 10 + u64::from(digit & 15));
    if is_negative {
        0i64.checked_sub_unsigned(size).ok_or(Unfit::Range)
    } else {
        i64::try_from(size).map_err(|_| Unfit::Range)
    }
}

/// A number with point or exponent, known to be whole.
fn whole(json: &[u8]) -> Result<i64, Unfit> {
    let mut digits = [0u8; 40];
    let mut length = 0;
    let number = Digits::of(json);
    if number.whole() > 19 {
        return Err(Unfit::Range);
    }
    number.print(|piece| {
        let start = length;
        length += piece.len();
        if let Some(place) = digits.get_mut(start..length) {
            place.copy_from_slice(piece);
        }
    });
    parse(digits.get(..length).ok_or(Unfit::Range)?)
}

/// A double, as the text that spells it or what it is instead of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Float<'a> {
    /// A number in JSON's spelling.
    Finite(&'a [u8]),
    /// `NaN`, `Infinity` or `-Infinity`.
    Special(&'static str, f64),
}

/// How much of a number's text a double must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// What a double prints: a text of up to 17 digits is the nearest double.
    Double,
    /// Every digit: the schema said that it is a decimal.
    Digits,
    /// Nothing, as long as it is finite.
    Nearest,
}

impl Keep {
    /// What a FLOAT column asks for.
    pub(super) fn of(column: &Column, options: &Options) -> Self {
        match (options.numbers, &column.wanted) {
            (Numbers::Round, _) => Self::Nearest,
            (Numbers::Exact, Kind::Numeric | Kind::BigNumeric) => Self::Digits,
            (Numbers::Exact, _) => Self::Double,
        }
    }
}

impl Float<'_> {
    /// The double itself.
    pub(super) fn value(self) -> f64 {
        match self {
            Self::Finite(text) => parse_double(text),
            Self::Special(_, value) => value,
        }
    }
}

/// A double of a number, a word of Python for what is not finite, or a string with either.
pub(super) fn float(given: Given<'_>, keep: Keep) -> Result<Float<'_>, Unfit> {
    let (kind, json) = given;
    let text = match kind {
        ValueKind::Integer | ValueKind::Number => json,
        ValueKind::NotFinite => return special(json).ok_or(Unfit::NotFinite),
        ValueKind::String => {
            let raw = inner(json);
            if let Some(special) = special(raw) {
                return Ok(special);
            }
            // A number has no character that needs an escape.
            if !std::str::from_utf8(raw).is_ok_and(is_number) {
                return Err(Unfit::Format);
            }
            raw
        }
        other => return Err(Unfit::Kind(other)),
    };
    check_double(kind, text, keep)?;
    Ok(Float::Finite(text))
}

fn special(text: &[u8]) -> Option<Float<'static>> {
    Some(match text {
        b"NaN" => Float::Special("NaN", f64::NAN),
        b"Infinity" => Float::Special("Infinity", f64::INFINITY),
        b"-Infinity" => Float::Special("-Infinity", f64::NEG_INFINITY),
        _ => return None,
    })
}

fn check_double(kind: ValueKind, text: &[u8], keep: Keep) -> Result<(), Unfit> {
    // Short texts without an exponent are the common case and always fit.
    if text.len() <= KEPT_DIGITS && !text.contains(&b'e') && !text.contains(&b'E') {
        return Ok(());
    }
    let value = parse_double(text);
    if value.is_infinite() {
        return Err(Unfit::Range);
    }
    let digits = Digits::of(text);
    if value == 0.0 && digits.count() != 0 && keep != Keep::Nearest {
        return Err(Unfit::Range);
    }
    let is_kept = match keep {
        Keep::Nearest => true,
        _ if digits.count() <= KEPT_DIGITS => true,
        // An integer that has no double of its own came from somewhere else.
        Keep::Double if kind != ValueKind::Integer => {
            digits.count() <= PRINTED_DIGITS || is_printed_as(text, value)
        }
        Keep::Double => digits.is_whole_double() || is_printed_as(text, value),
        Keep::Digits => is_printed_as(text, value),
    };
    if is_kept {
        Ok(())
    } else {
        Err(Unfit::Precision)
    }
}

/// Checks that a number is the same again after it was a JSON column's double or 64-bit integer.
pub(super) fn check_json_number(text: &[u8], numbers: Numbers) -> Result<(), Unfit> {
    if text.len() <= KEPT_DIGITS && !text.contains(&b'e') && !text.contains(&b'E') {
        return Ok(());
    }
    let is_plain = text
        .iter()
        .all(|byte| byte.is_ascii_digit() || *byte == b'-');
    if is_plain && (parse(text).is_ok() || is_unsigned(text)) {
        return Ok(());
    }
    let value = parse_double(text);
    if value.is_infinite() {
        return Err(Unfit::JsonNumber);
    }
    if numbers == Numbers::Exact && !is_printed_as(text, value) {
        return Err(Unfit::JsonNumber);
    }
    Ok(())
}

fn is_unsigned(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<u64>().is_ok())
}

fn parse_double(text: &[u8]) -> f64 {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(f64::NAN)
}

/// Whether the shortest text of a double is the same number as this text.
fn is_printed_as(text: &[u8], value: f64) -> bool {
    let mut printed = [0u8; 40];
    let mut rest: &mut [u8] = &mut printed;
    if write!(rest, "{value:e}").is_err() {
        return false;
    }
    let unused = rest.len();
    let length = printed.len() - unused;
    let printed = printed.get(..length).unwrap_or_default();
    number::compare(printed, text) == Ordering::Equal
}
