//! Text: unescaped from JSON and put in quotes in one pass.

use std::borrow::Cow;

use memchr::memchr;
use singer_core::scan::{self, Escape, ValueKind};

use super::{Given, Unfit};
use crate::config::Supplementary;

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

/// What stands between the quotes of a scanned string, still escaped.
pub(super) fn inner(json: &[u8]) -> &[u8] {
    json.get(1..json.len().saturating_sub(1))
        .unwrap_or_default()
}

/// The text of a string of JSON; borrowed if it has no escapes. For texts that are short.
pub(super) fn plain(json: &[u8]) -> Result<Cow<'_, str>, Unfit> {
    let raw = inner(json);
    if memchr(b'\\', raw).is_none() {
        return std::str::from_utf8(raw)
            .map(Cow::Borrowed)
            .map_err(|_| Unfit::Format);
    }
    let mut text = Vec::with_capacity(raw.len());
    unescape(raw, &mut text)?;
    String::from_utf8(text)
        .map(Cow::Owned)
        .map_err(|_| Unfit::Format)
}

/// The text of a cell in quotes.
pub(super) fn unquoted(cell: &[u8]) -> String {
    String::from_utf8_lossy(inner(cell)).replace("\"\"", "\"")
}

/// Appends the inside of a JSON string as the inside of a cell. A quote in it is always escaped in
/// JSON, so that only escapes are looked for.
fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    let mut rest = raw;
    while let Some(found) = memchr(b'\\', rest) {
        let (clean, escaped) = rest.split_at(found);
        out.extend_from_slice(clean);
        let escape = scan::escape(escaped)?;
        match escape {
            Escape::Simple(b'"') | Escape::Unicode('"', _) => out.extend_from_slice(b"\"\""),
            Escape::Simple(byte) => out.push(byte),
            Escape::Unicode(letter, _) => {
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        rest = escaped.get(escape.length()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Appends JSON as the inside of a cell: every quote twice.
fn push_quoted(json: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for quote in memchr::memchr_iter(b'"', json) {
        out.extend_from_slice(json.get(from..=quote).unwrap_or_default());
        out.push(b'"');
        from = quote + 1;
    }
    out.extend_from_slice(json.get(from..).unwrap_or_default());
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
