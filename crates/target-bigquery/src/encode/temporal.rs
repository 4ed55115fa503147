//! Days, times of day and instants, all of them within the years 1 to 9999.
//!
//! A time without an offset is meant in UTC. A DATETIME keeps the civil time in UTC of what has an
//! offset.

use singer_core::scan::ValueKind;
use singer_core::value::time::{self, DAY, Fraction};

use super::text::{inner, plain_str};
use super::unfit::Unfit;
use super::{Fractions, Given};

/// 0001-01-01 and 9999-12-31.
const FIRST_DAY: i64 = -719_162;
const LAST_DAY: i64 = 2_932_896;

/// An instant, in microseconds since 1970.
pub(super) fn timestamp(given: Given<'_>, fractions: Fractions) -> Result<i64, Unfit> {
    let text = string(given)?;
    let micros = time::parse_timestamp(&text).ok_or(Unfit::Format)?;
    check_fraction(&text, fractions)?;
    if !(FIRST_DAY * DAY..(LAST_DAY + 1) * DAY).contains(&micros) {
        return Err(Unfit::Range);
    }
    Ok(micros)
}

/// A day, in days since 1970; a time stamp is one if it is midnight in UTC.
pub(super) fn date(given: Given<'_>) -> Result<i64, Unfit> {
    let text = string(given)?;
    if let Some(days) = time::parse_date(&text) {
        return Ok(days);
    }
    let micros = time::parse_timestamp(&text).ok_or(Unfit::Format)?;
    check_fraction(&text, Fractions::Exact)?;
    let days = micros.div_euclid(DAY);
    if micros.rem_euclid(DAY) != 0 {
        return Err(Unfit::Format);
    }
    if !(FIRST_DAY..=LAST_DAY).contains(&days) {
        return Err(Unfit::Range);
    }
    Ok(days)
}

/// A time of day in microseconds; an offset may only be that of UTC.
pub(super) fn time_of_day(given: Given<'_>, fractions: Fractions) -> Result<i64, Unfit> {
    let text = string(given)?;
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(&text);
    let (micros, offset) = time::parse_time(text).ok_or(Unfit::Format)?;
    check_fraction(text, fractions)?;
    match offset {
        None | Some(0) if micros < DAY => Ok(micros),
        None | Some(0) => Err(Unfit::Range),
        Some(_) => Err(Unfit::Format),
    }
}

/// Appends `YYYY-MM-DDTHH:MM:SS[.ffffff]Z`.
pub(super) fn write_timestamp(micros: i64, out: &mut Vec<u8>) {
    time::write_timestamp(out, micros, Fraction::AsNeeded);
}

/// Appends `YYYY-MM-DDTHH:MM:SS[.ffffff]`.
pub(super) fn write_datetime(micros: i64, out: &mut Vec<u8>) {
    time::write_date(out, micros.div_euclid(DAY));
    out.push(b'T');
    time::write_time(out, micros.rem_euclid(DAY), Fraction::AsNeeded);
}

/// Appends `YYYY-MM-DD`.
pub(super) fn write_date(days: i64, out: &mut Vec<u8>) {
    time::write_date(out, days);
}

/// Appends `HH:MM:SS[.ffffff]`.
pub(super) fn write_time(micros: i64, out: &mut Vec<u8>) {
    time::write_time(out, micros, Fraction::AsNeeded);
}

fn string((kind, json): Given<'_>) -> Result<std::borrow::Cow<'_, str>, Unfit> {
    match kind {
        ValueKind::String => plain_str(inner(json)),
        other => Err(Unfit::Kind(other)),
    }
}

/// Checks that nothing is behind the sixth digit of a fraction.
fn check_fraction(text: &str, fractions: Fractions) -> Result<(), Unfit> {
    if fractions == Fractions::Cut {
        return Ok(());
    }
    let is_kept = text
        .bytes()
        .skip_while(|byte| *byte != b'.')
        .skip(1)
        .take_while(u8::is_ascii_digit)
        .skip(6)
        .all(|digit| digit == b'0');
    if is_kept {
        Ok(())
    } else {
        Err(Unfit::Fraction)
    }
}
