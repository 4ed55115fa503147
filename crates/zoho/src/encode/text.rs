//! Text: unescaped from JSON, as the inside of a cell in quotes, in one pass.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};
use singer_core::scan::{self, Escape, ValueKind};

use super::{Given, Unfit};

/// What stands between the quotes of a scanned string, still escaped, or of a cell.
#[inline]
pub fn inner(quoted: &[u8]) -> &[u8] {
    quoted
        .get(1..quoted.len().saturating_sub(1))
        .unwrap_or_default()
}

/// The text of a string.
///
/// # Errors
/// For values that are no strings, and for strings that are no text.
pub fn string((kind, json): Given<'_>) -> Result<Cow<'_, str>, Unfit> {
    match kind {
        ValueKind::String => plain(json),
        other => Err(Unfit::Kind(other)),
    }
}

/// The text of a string of JSON; borrowed if it has no escapes. For texts that are short.
///
/// # Errors
/// For half of a surrogate pair.
pub fn plain(json: &[u8]) -> Result<Cow<'_, str>, Unfit> {
    let raw = inner(json);
    if memchr(b'\\', raw).is_none() {
        return std::str::from_utf8(raw)
            .map(Cow::Borrowed)
            .map_err(|_| Unfit::Format);
    }
    let mut text = Vec::with_capacity(raw.len());
    unescape(raw, &mut text)?;
    let text = String::from_utf8(text).map_err(|_| Unfit::Format)?;
    Ok(Cow::Owned(text.replace("\"\"", "\"")))
}

/// The text of a cell, whether it stands in quotes or not.
pub fn unquoted(cell: &[u8]) -> Cow<'_, str> {
    let Some(inside) = cell
        .strip_prefix(b"\"")
        .and_then(|cell| cell.strip_suffix(b"\""))
    else {
        return String::from_utf8_lossy(cell);
    };
    let text = String::from_utf8_lossy(inside);
    if text.contains('"') {
        return Cow::Owned(text.replace("\"\"", "\""));
    }
    text
}

/// Appends the inside of a JSON string as the inside of a cell. A quote in it is always escaped in
/// JSON, so that only escapes are looked for.
///
/// # Errors
/// For half of a surrogate pair.
#[inline]
pub fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
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
pub fn push_quoted(json: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for quote in memchr_iter(b'"', json) {
        out.extend_from_slice(json.get(from..=quote).unwrap_or_default());
        out.push(b'"');
        from = quote + 1;
    }
    out.extend_from_slice(json.get(from..).unwrap_or_default());
}
