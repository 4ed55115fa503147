//! Text: unescaped from JSON and put in quotes in one pass; values of picklists, alone and as lists.

use std::collections::HashSet;

use memchr::memchr;
use singer_core::scan::{ValueKind, scan_array};
use zoho::encode::text::{inner, unescape, unquoted};
use zoho::encode::{Given, Unfit as Value};

use super::Unfit;

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
    scanned.map_err(|_| Value::Format)?;
    pushed
}

/// Appends the inside of a cell.
fn push((kind, json): Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    match kind {
        ValueKind::String => {
            let (raw, begin) = (inner(json), out.len());
            unescape(raw, out)?;
            // Only an escape makes one.
            let has_nul = memchr(b'\\', raw).is_some()
                && memchr(0, out.get(begin..).unwrap_or_default()).is_some();
            if has_nul { Err(Unfit::Nul) } else { Ok(()) }
        }
        ValueKind::Boolean | ValueKind::Integer | ValueKind::Number => {
            out.extend_from_slice(json);
            Ok(())
        }
        ValueKind::NotFinite => Err(Value::NotFinite.into()),
        ValueKind::Null | ValueKind::Array | ValueKind::Object => Err(Value::Kind(kind).into()),
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
