//! Fingerprints of rows: 64 bits, the same from release to release.

use singer_runtime::target::Record;

use crate::encode::{self, unquoted};
use crate::rows::fold;
use crate::shape::Shape;

/// FNV-1a.
pub(crate) fn of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The fingerprint of a key as the result shows it.
pub(crate) fn of_key(folded: &str) -> u64 {
    of(folded.as_bytes())
}

/// The fingerprint of a row: of its key if it has one, which is then that of [`of_key`] if one field holds it;
/// else of all that it says.
pub(crate) fn of_row(shape: &Shape, record: &Record<'_>, buffer: &mut Vec<u8>) -> u64 {
    buffer.clear();
    if let Some(cell) = shape.cells.first()
        && shape.identity == [cell.property]
        && encode::value(record, cell, buffer).is_ok()
        && !buffer.is_empty()
    {
        return of_key(&fold(&unquoted(buffer)));
    }
    buffer.clear();
    if shape.identity.is_empty() {
        record.write_json(buffer);
    } else {
        record.write_key(buffer);
    }
    of(buffer)
}
