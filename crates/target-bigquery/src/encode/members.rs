//! The members of an object and the elements of an array, as spans of its bytes.

use singer_core::scan;

use super::{Given, RowError};
use crate::names;
use crate::schema::Column;

/// Objects with more columns than this need a list of their own on the heap.
const INLINE: usize = 32;

/// Calls `write` with the value of each column of a RECORD; of a key that comes twice the last one
/// counts. Says whether there were keys that no column has.
pub(super) fn object<'a>(
    json: &'a [u8],
    columns: &[Column],
    is_guessed: bool,
    write: impl FnOnce(&[Option<Given<'a>>]) -> Result<(), RowError>,
) -> Result<bool, RowError> {
    let mut inline = [None; INLINE];
    let mut heap = Vec::new();
    let found = match inline.get_mut(..columns.len()) {
        Some(found) => found,
        None => {
            heap.resize(columns.len(), None);
            heap.as_mut_slice()
        }
    };
    let mut has_unknown = false;
    let mut hint = 0;
    let scanned = scan::scan_object(json, 0, 1, |(start, end), span| {
        let key = json.get(start..end).unwrap_or_default();
        match find(columns, key, hint, is_guessed) {
            Some(place) => {
                hint = place + 1;
                found[place] = Some((
                    span.kind,
                    json.get(span.start..span.end).unwrap_or_default(),
                ));
            }
            None => has_unknown = true,
        }
    });
    debug_assert!(scanned.is_ok(), "the runtime has scanned the record");
    write(found)?;
    Ok(has_unknown)
}

/// The column of a key, still escaped. Records of one tap repeat one order, hence the hint.
fn find(columns: &[Column], key: &[u8], hint: usize, is_guessed: bool) -> Option<usize> {
    let is_it = |column: &Column| column.property.as_bytes() == key;
    if columns.get(hint).is_some_and(is_it) {
        return Some(hint);
    }
    if let Some(place) = columns.iter().position(is_it) {
        return Some(place);
    }
    let has_escapes = key.contains(&b'\\');
    if !has_escapes && !is_guessed {
        return None;
    }
    let name = scan::unescape_lossy(key);
    columns
        .iter()
        .position(|column| column.property == name)
        .or_else(|| {
            // A schema that was guessed has the names of columns where properties should be.
            let mapped = names::column(&name);
            columns
                .iter()
                .position(|column| is_guessed && names::same_column(&column.field.name, &mapped))
        })
}

/// Calls `write` with each element of an array, until one fails.
pub(super) fn array<'a>(
    json: &'a [u8],
    mut write: impl FnMut(Given<'a>) -> Result<(), RowError>,
) -> Result<(), RowError> {
    let mut result = Ok(());
    let scanned = scan::scan_array(json, 0, 1, |span| {
        if result.is_ok() {
            let text = json.get(span.start..span.end).unwrap_or_default();
            result = write((span.kind, text));
        }
    });
    debug_assert!(scanned.is_ok(), "the runtime has scanned the record");
    result
}
