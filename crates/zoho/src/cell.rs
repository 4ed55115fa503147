//! Cells of Zoho's files as JSON values: no float, and no allocation for a cell. A cell that its column cannot
//! hold leaves nothing behind.

use std::borrow::Cow;

use serde_json::value::RawValue;
use singer_core::scan::unescape_lossy;
use singer_core::value::time::{Fraction, parse_date, write_date, write_timestamp};
use singer_core::value::{is_integer, is_number};

/// A value that its column cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfit;

/// Appends a whole number of any size; one that was written as a decimal with zeros is still whole.
///
/// # Errors
/// For anything else.
pub fn write_integer(out: &mut Vec<u8>, text: &str) -> Result<(), Misfit> {
    if is_integer(text) {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    let text = text.trim();
    // A whole number that was written as a decimal is still whole.
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return Err(Misfit),
        None => text,
    };
    let (sign, digits) = split_sign(whole);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Misfit);
    }
    out.extend_from_slice(sign);
    out.extend_from_slice(without_zeros(digits).as_bytes());
    Ok(())
}

/// Appends a time stamp, given in microseconds since 1970.
///
/// # Errors
/// For years beyond four digits.
pub fn write_instant(out: &mut Vec<u8>, micros: i64) -> Result<(), Misfit> {
    let start = out.len();
    out.push(b'"');
    if !write_timestamp(out, micros, Fraction::AsNeeded) {
        out.truncate(start);
        return Err(Misfit);
    }
    out.push(b'"');
    Ok(())
}

/// Appends a number with all its digits.
///
/// # Errors
/// For anything else.
pub fn write_number(out: &mut Vec<u8>, text: &str) -> Result<(), Misfit> {
    if is_number(text) {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    let start = out.len();
    let (sign, rest) = split_sign(text.trim());
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    out.extend_from_slice(sign);
    out.extend_from_slice(without_zeros(whole).as_bytes());
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
    // What is left of `.5`, `5.` and `007` by now is a number; `NaN` and words are none.
    let written = out
        .get(start..)
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    let has_digits = rest.bytes().any(|byte| byte.is_ascii_digit());
    if has_digits && written.is_some_and(is_number) {
        return Ok(());
    }
    out.truncate(start);
    Err(Misfit)
}

fn split_sign(text: &str) -> (&'static [u8], &str) {
    match text.strip_prefix('-') {
        Some(rest) => (b"-", rest),
        None => (b"", text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Digits as JSON spells them: without zeros in front, and at least one.
fn without_zeros(digits: &str) -> &str {
    let trimmed = digits.trim_start_matches('0');
    if trimmed.is_empty() { "0" } else { trimmed }
}

/// Appends true or false, in whatever letters, or as a digit.
///
/// # Errors
/// For anything else.
pub fn write_boolean(out: &mut Vec<u8>, text: &str) -> Result<(), Misfit> {
    let is = |words: [&str; 2]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    let word: &[u8] = if is(["true", "1"]) {
        b"true"
    } else if is(["false", "0"]) {
        b"false"
    } else {
        return Err(Misfit);
    };
    out.extend_from_slice(word);
    Ok(())
}

/// Appends a day; a time behind it, as some answers have it, is cut off.
///
/// # Errors
/// For anything else.
pub fn write_day(out: &mut Vec<u8>, text: &str) -> Result<(), Misfit> {
    let (date, rest) = text.split_at_checked(10).ok_or(Misfit)?;
    if !rest.is_empty() && !rest.starts_with([' ', 'T']) {
        return Err(Misfit);
    }
    let days = parse_date(date).ok_or(Misfit)?;
    out.push(b'"');
    let is_written = write_date(out, days);
    debug_assert!(is_written, "a date that was parsed is in range");
    out.push(b'"');
    Ok(())
}

/// The text of a JSON string; nothing if it is no string.
pub fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    let inside = value.get().strip_prefix('"')?.strip_suffix('"')?;
    Some(if inside.contains('\\') {
        unescape_lossy(inside.as_bytes())
    } else {
        Cow::Borrowed(inside)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>, &str) -> Result<(), Misfit>, text: &str) -> String {
        let mut out = b"x".to_vec();
        let _left_out = write(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_keep_their_digits_and_misfits_leave_nothing() {
        assert_eq!(written(write_integer, "-007.00"), "x-7");
        assert_eq!(written(write_integer, "1.5"), "x");
        assert_eq!(
            written(write_number, "12345678901234567.10"),
            "x12345678901234567.10"
        );
        assert_eq!(written(write_number, "NaN"), "x");
        assert_eq!(written(write_boolean, "TRUE"), "xtrue");
        assert_eq!(written(write_boolean, "maybe"), "x");
        assert_eq!(written(write_day, "2025-02-03 00:00:00"), "x\"2025-02-03\"");
        assert_eq!(written(write_day, "2025-02-30"), "x");
    }
}
