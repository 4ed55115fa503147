//! Lookups: the id of another record, or the value of the field by which it is found.

use singer_core::scan::{Span, ValueKind, scan_object};
use zoho::encode::text::unquoted;
use zoho::encode::{Given, Unfit as Value};

use super::{Unfit, text};

/// Appends what a lookup points to: a text, an integer, or the member `find_by` of an object.
pub(super) fn write(given: Given<'_>, find_by: &str, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let (kind, json) = match given.0 {
        ValueKind::Object => member(given.1, find_by)?,
        _ => given,
    };
    let start = out.len();
    match kind {
        ValueKind::String | ValueKind::Integer => text::write((kind, json), out)?,
        // An object that points to nothing.
        ValueKind::Null => {}
        other => return Err(Value::Kind(other).into()),
    }
    if find_by == "id" {
        let cell = out.get(start..).unwrap_or_default();
        let id = unquoted(cell);
        if !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Value::Format.into());
        }
    }
    Ok(())
}

fn member<'a>(json: &'a [u8], name: &str) -> Result<Given<'a>, Value> {
    let mut found: Option<Span> = None;
    let scanned = scan_object(json, 0, 0, |(begin, end), value| {
        if json.get(begin..end) == Some(name.as_bytes()) {
            found = Some(value);
        }
    });
    scanned.map_err(|_| Value::Format)?;
    let value = found.ok_or(Value::Kind(ValueKind::Object))?;
    let text = json.get(value.start..value.end).unwrap_or_default();
    Ok((value.kind, text))
}
