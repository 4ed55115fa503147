//! Text: unescaped from JSON and put in quotes in one pass.

use crate::config::Supplementary;
use singer_core::scan::ValueKind;
use zoho::encode::text::{inner, push_quoted, unescape};
use zoho::encode::{Given, Unfit};

/// The first byte of a character beyond the basic plane, in UTF-8, and of nothing else.
const SUPPLEMENTARY: std::ops::RangeInclusive<u8> = 0xf0..=0xf4;

/// Appends a value as a cell in quotes; what is no string is the text of its JSON.
pub(super) fn write(
    (kind, json): Given<'_>,
    supplementary: Supplementary,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    let start = out.len();
    out.push(b'"');
    match kind {
        ValueKind::String => unescape(inner(json), out)?,
        // A word such as `NaN` is a text as good as any; inside a list it is no JSON.
        ValueKind::NotFinite if matches!(json.first(), Some(b'[' | b'{')) => {
            return Err(Unfit::NotFinite);
        }
        _ => push_quoted(json, out),
    }
    let is_clean = supplementary == Supplementary::Keep
        || out
            .get(start..)
            .is_none_or(|text| !text.iter().any(|byte| SUPPLEMENTARY.contains(byte)));
    if !is_clean {
        replace(out, start, supplementary);
    }
    out.push(b'"');
    Ok(())
}

/// Takes characters beyond the basic plane out of what was written from `start` on. An escape in JSON
/// text that spells one stays: it is ASCII.
fn replace(out: &mut Vec<u8>, start: usize, supplementary: Supplementary) {
    let text = out.split_off(start);
    let mut rest = text.as_slice();
    while let Some(found) = rest.iter().position(|byte| SUPPLEMENTARY.contains(byte)) {
        out.extend_from_slice(rest.get(..found).unwrap_or_default());
        if supplementary == Supplementary::Replace {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
        rest = rest.get(found + 4..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}
