//! Text: unescaped from JSON and put in quotes in one pass; values of picklists, alone and as lists.

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::memchr;
use singer_core::scan::{self, Escape, ValueKind, scan_array};

use super::{Given, Unfit};

/// What divides the values of a multi-select picklist.
const SEPARATOR: u8 = b';';

/// Appends a value as a cell in quotes; numbers and booleans are the text of their JSON.
pub(super) fn write(given: Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    out.push(b'"');
    push(given, out)?;
    out.push(b'"');
    Ok(())
}

/// Appends a list of values, or a text in which they are joined already, as one cell.
pub(super) fn write_list(
    (kind, json): Given<'_>,
    listed: Option<&HashSet<String>>,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    let start = out.len();
    out.push(b'"');
    if kind == ValueKind::Array {
        push_items(json, out)?;
    } else {
        push((kind, json), out)?;
    }
    out.push(b'"');
    let Some(listed) = listed else {
        return Ok(());
    };
    let cell = unquoted(out.get(start..).unwrap_or_default());
    let mut values = cell.split(char::from(SEPARATOR));
    let is_known = cell.is_empty() || values.all(|value| listed.contains(value.trim()));
    is_known.then_some(()).ok_or(Unfit::Picklist)
}

fn push_items(json: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    let mut pushed = Ok(());
    let mut is_first = true;
    let scanned = scan_array(json, 0, 0, |item| {
        if pushed.is_err() {
            return;
        }
        if !is_first {
            out.push(SEPARATOR);
        }
        is_first = false;
        let begin = out.len();
        let text = json.get(item.start..item.end).unwrap_or_default();
        pushed = push((item.kind, text), out);
        let value = out.get(begin..).unwrap_or_default();
        if pushed.is_ok() && memchr(SEPARATOR, value).is_some() {
            pushed = Err(Unfit::Separator);
        }
    });
    scanned.map_err(|_| Unfit::Format)?;
    pushed
}

/// Appends the inside of a cell.
fn push((kind, json): Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    match kind {
        ValueKind::String => unescape(inner(json), out),
        ValueKind::Boolean | ValueKind::Integer | ValueKind::Number => {
            out.extend_from_slice(json);
            Ok(())
        }
        ValueKind::NotFinite => Err(Unfit::NotFinite),
        ValueKind::Null | ValueKind::Array | ValueKind::Object => Err(Unfit::Kind(kind)),
    }
}

/// How many characters a cell in quotes holds, if they may be more than `most`.
pub(super) fn longer_than(cell: &[u8], most: usize) -> Option<usize> {
    let inside = inner(cell);
    if inside.len() <= most {
        return None;
    }
    let starts = inside.iter().filter(|byte| (**byte & 0xc0) != 0x80).count();
    // Every quote stands twice.
    let quotes = memchr::memchr_iter(b'"', inside).count() / 2;
    let length = starts - quotes;
    (length > most).then_some(length)
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
    let text = String::from_utf8(text).map_err(|_| Unfit::Format)?;
    Ok(Cow::Owned(text.replace("\"\"", "\"")))
}

/// The text of a cell, whether it stands in quotes or not.
pub(crate) fn unquoted(cell: &[u8]) -> Cow<'_, str> {
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
fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    let mut rest = raw;
    while let Some(found) = memchr(b'\\', rest) {
        let (clean, escaped) = rest.split_at(found);
        out.extend_from_slice(clean);
        let escape = scan::escape(escaped)?;
        match escape {
            Escape::Simple(b'"') | Escape::Unicode('"', _) => out.extend_from_slice(b"\"\""),
            Escape::Unicode('\0', _) => return Err(Unfit::Character),
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
