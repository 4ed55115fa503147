//! NUMERIC and BIGNUMERIC: digits counted and printed, never rounded.

use std::cmp::Ordering;

use singer_core::number::{self, Digits};
use singer_core::scan::ValueKind;
use singer_core::value::is_number;

use super::Given;
use super::text::inner;
use super::unfit::Unfit;
use crate::model::{Field, Kind};

/// The ends of BIGNUMERIC: 2^255 by 10^38, and one step less on the upper side.
const BIG_LEAST: &[u8] =
    b"-578960446186580977117854925043439539266.34992332820282019728792003956564819968";
const BIG_MOST: &[u8] =
    b"578960446186580977117854925043439539266.34992332820282019728792003956564819967";

/// Appends a decimal as the digits that its column keeps, without an exponent.
pub(super) fn write(field: &Field, given: Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let (kind, json) = given;
    let text = match kind {
        ValueKind::Integer | ValueKind::Number => json,
        ValueKind::String => {
            let raw = inner(json);
            if !std::str::from_utf8(raw).is_ok_and(is_number) {
                return Err(Unfit::Format);
            }
            raw
        }
        other => return Err(Unfit::Kind(other)),
    };
    let digits = Digits::of(text);
    check(field, text, &digits)?;
    digits.print(|piece| out.extend_from_slice(piece));
    Ok(())
}

fn check(field: &Field, text: &[u8], digits: &Digits<'_>) -> Result<(), Unfit> {
    let is_big = field.kind == Kind::BigNumeric;
    let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<i64>().ok());
    let (whole, scale) = match (number(&field.precision), number(&field.scale)) {
        (Some(precision), scale) => (precision - scale.unwrap_or(0), scale.unwrap_or(0)),
        (None, _) if is_big => (39, 38),
        (None, _) => (29, 9),
    };
    if digits.whole() > whole {
        return Err(Unfit::Range);
    }
    if digits.scale() > scale {
        return Err(Unfit::Precision);
    }
    if is_big
        && digits.whole() == 39
        && (number::compare(text, BIG_LEAST) == Ordering::Less
            || number::compare(text, BIG_MOST) == Ordering::Greater)
    {
        return Err(Unfit::Range);
    }
    Ok(())
}
