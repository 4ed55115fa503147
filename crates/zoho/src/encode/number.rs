//! Booleans, integers of 64 bits and decimals: plain digits without an exponent, every one of them.

use singer_core::number::{self, Digits};
use singer_core::scan::ValueKind;
use singer_core::value::{is_integer, is_number, write_integer};

use super::text::{inner, plain};
use super::{Given, Unfit};

/// Digits that a decimal may take when its exponent is written out.
const MOST_DIGITS: i64 = 64;

/// Digits that always fit into 64 bits.
const SAFE_DIGITS: usize = 18;

/// `true` or `false`: of a boolean, or of a string that spells one in any case.
///
/// # Errors
/// For anything else.
pub fn boolean((kind, json): Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    match kind {
        ValueKind::Boolean => out.extend_from_slice(json),
        ValueKind::String => {
            let text = plain(json)?;
            let words: [&[u8]; 2] = [b"true", b"false"];
            let word = words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(text.as_bytes()));
            out.extend_from_slice(word.ok_or(Unfit::Format)?);
        }
        other => return Err(refused(other)),
    }
    Ok(())
}

/// A whole number in 64 bits: of an integer, of a number without a fraction, or of a string that spells
/// one as JSON would.
///
/// # Errors
/// For anything else.
#[inline]
pub fn integer(given: Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let (kind, json) = given;
    // The usual case is copied: short digits without a sign of zero.
    if kind == ValueKind::Integer && json.len() <= SAFE_DIGITS && json.first() != Some(&b'-') {
        out.extend_from_slice(json);
        return Ok(());
    }
    write_integer(out, whole(given)?);
    Ok(())
}

/// The number that [`integer`] writes.
///
/// # Errors
/// For anything else.
pub fn whole((kind, json): Given<'_>) -> Result<i64, Unfit> {
    match kind {
        ValueKind::Integer => parse(json),
        ValueKind::Number => spelled_out(json),
        ValueKind::String => {
            let text = plain(json)?;
            if is_integer(&text) {
                return parse(text.as_bytes());
            }
            if !is_number(&text) {
                return Err(Unfit::Format);
            }
            spelled_out(text.as_bytes())
        }
        other => Err(refused(other)),
    }
}

/// A number with a point or an exponent that may be whole all the same.
fn spelled_out(text: &[u8]) -> Result<i64, Unfit> {
    if !number::is_whole(text) {
        return Err(Unfit::Fraction);
    }
    let mut digits = Vec::with_capacity(24);
    expand(text, &mut digits)?;
    parse(&digits)
}

/// Digits with a sign, as the scanner or `is_integer` took them.
fn parse(text: &[u8]) -> Result<i64, Unfit> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Unfit::Range)
}

/// A decimal of a number, or of a string that spells one.
///
/// # Errors
/// For anything else, and for numbers whose exponent would take too many digits.
#[inline]
pub fn decimal((kind, json): Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let text = match kind {
        ValueKind::Integer | ValueKind::Number => json,
        ValueKind::String => {
            // A number has no character that needs an escape.
            let raw = inner(json);
            if !std::str::from_utf8(raw).is_ok_and(is_number) {
                return Err(Unfit::Format);
            }
            raw
        }
        other => return Err(refused(other)),
    };
    if text.iter().any(|byte| matches!(byte, b'e' | b'E')) {
        return expand(text, out);
    }
    out.extend_from_slice(text);
    Ok(())
}

fn refused(kind: ValueKind) -> Unfit {
    match kind {
        ValueKind::NotFinite => Unfit::NotFinite,
        other => Unfit::Kind(other),
    }
}

/// Appends a number with its exponent written out.
fn expand(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    let digits = Digits::of(text);
    if digits.point().abs() > MOST_DIGITS || digits.count() as i64 > MOST_DIGITS {
        return Err(Unfit::Range);
    }
    digits.print(|piece| out.extend_from_slice(piece));
    Ok(())
}
