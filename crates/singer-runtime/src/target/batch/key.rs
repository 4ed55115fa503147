//! Keys of rows: hashed and compared by what they mean, not by how they are written.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

use singer_core::number;
use singer_core::scan::{Field, ValueKind, unescape_lossy};

/// Hashes keys. Two hashers for the same destination agree within one process; the hash is seeded
/// anew in each, so that no input can be made to collide.
#[derive(Debug, Clone)]
pub(crate) struct KeyHasher {
    state: RandomState,
    destination: u64,
}

impl KeyHasher {
    /// A hasher for the rows of one destination: rows of two destinations are never the same row.
    pub(crate) fn new(destination: &str) -> Self {
        static STATE: OnceLock<RandomState> = OnceLock::new();
        let state = STATE.get_or_init(RandomState::new).clone();
        Self {
            destination: state.hash_one(destination),
            state,
        }
    }

    /// The hash of a record's key; `None` if there is no key or a part of it is null or missing: such
    /// a row stands for itself.
    pub(crate) fn hash(&self, record: &[u8], fields: &[Field], key: &[usize]) -> Option<u64> {
        if key.is_empty() {
            return None;
        }
        let mut hasher = self.state.build_hasher();
        hasher.write_u64(self.destination);
        for property in key {
            let field = fields[*property];
            if !field.is_present() || field.kind == ValueKind::Null {
                return None;
            }
            hash_value(&mut hasher, text_of(record, field), field.kind);
        }
        Some(hasher.finish())
    }
}

/// Whether two records have the same key. Spans of each are relative to its own text.
pub(crate) fn same_key(left: (&[u8], &[Field]), right: (&[u8], &[Field]), key: &[usize]) -> bool {
    key.iter().all(|property| {
        let (left_field, right_field) = (left.1[*property], right.1[*property]);
        same_value(
            (left_field.kind, text_of(left.0, left_field)),
            (right_field.kind, text_of(right.0, right_field)),
        )
    })
}

fn text_of(record: &[u8], field: Field) -> &[u8] {
    &record[field.start as usize..field.end as usize]
}

fn hash_value(hasher: &mut impl Hasher, text: &[u8], kind: ValueKind) {
    match kind {
        ValueKind::String => {
            hasher.write_u8(b'"');
            hasher.write(unescape_lossy(&text[1..text.len() - 1]).as_bytes());
            hasher.write_u8(0xff);
        }
        ValueKind::Integer | ValueKind::Number => match small_integer(text, kind) {
            Some(integer) => {
                hasher.write_u8(b'i');
                hasher.write_i64(integer);
            }
            None => {
                let mut canonical = Vec::with_capacity(text.len() + 10);
                number::write_canonical(&mut canonical, text);
                hasher.write_u8(b'n');
                hasher.write(&canonical);
                hasher.write_u8(0xff);
            }
        },
        _ => {
            hasher.write_u8(kind as u8);
            hasher.write(text);
            hasher.write_u8(0xff);
        }
    }
}

/// An integer written as plain digits, which nearly every numeric key is. Other ways to write the
/// same integer must hash alike, so that the plain form of up to 18 digits decides.
fn small_integer(text: &[u8], kind: ValueKind) -> Option<i64> {
    let plain = |text: &[u8]| -> Option<i64> { std::str::from_utf8(text).ok()?.parse().ok() };
    match kind {
        ValueKind::Integer if text.len() <= 18 => plain(text),
        ValueKind::Number if number::is_whole(text) => {
            let mut canonical = Vec::with_capacity(text.len() + 10);
            number::write_canonical(&mut canonical, text);
            let (digits, magnitude) = canonical.split_at(canonical.len() - 9);
            let magnitude = i64::from_le_bytes(magnitude[1..].try_into().ok()?);
            let zeros = usize::try_from(magnitude)
                .ok()?
                .checked_sub(digits.len() - 1)?;
            let mut digits = digits.to_vec();
            if digits.len() + zeros > 18 {
                return None;
            }
            digits.resize(digits.len() + zeros, b'0');
            if digits == b"+" {
                return Some(0);
            }
            plain(&digits)
        }
        _ => None,
    }
}

fn same_value(left: (ValueKind, &[u8]), right: (ValueKind, &[u8])) -> bool {
    use ValueKind::{Integer, Number, String};
    match (left, right) {
        ((String, left), (String, right)) => {
            left == right
                || unescape_lossy(&left[1..left.len() - 1])
                    == unescape_lossy(&right[1..right.len() - 1])
        }
        ((Integer | Number, left), (Integer | Number, right)) => {
            number::compare(left, right).is_eq()
        }
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use singer_core::scan::{Fields, Layout};

    use super::*;

    fn key_of(record: &str) -> (Option<u64>, Fields) {
        let layout = Layout::new(["a", "b"]);
        let mut fields = Fields::default();
        fields.scan(record.as_bytes(), 0, &layout).unwrap();
        let hash = KeyHasher::new("d").hash(record.as_bytes(), fields.as_slice(), &[0, 1]);
        (hash, fields)
    }

    fn same(left: &str, right: &str) -> bool {
        let ((left_hash, left_fields), (right_hash, right_fields)) = (key_of(left), key_of(right));
        let same = same_key(
            (left.as_bytes(), left_fields.as_slice()),
            (right.as_bytes(), right_fields.as_slice()),
            &[0, 1],
        );
        assert_eq!(left_hash == right_hash, same, "{left} {right}");
        same
    }

    #[test]
    fn keys_are_the_same_however_they_are_written() {
        assert!(same(
            r#"{"a":"é\n","b":1}"#,
            r#"{"b":1.0,"a":"\u00e9\u000a"}"#
        ));
        assert!(same(r#"{"a":100,"b":0}"#, r#"{"a":1e2,"b":-0.0}"#));
        assert!(same(
            r#"{"a":1234567890123456789012,"b":1}"#,
            r#"{"a":1234567890123456789012.0,"b":1}"#
        ));
        assert!(same(
            r#"{"a":1234567890123456789,"b":-5}"#,
            r#"{"a":1234567890123456789.00,"b":-50e-1}"#
        ));
        assert!(same(r#"{"a":0.5,"b":true}"#, r#"{"a":5e-1,"b":true}"#));
    }

    #[test]
    fn different_keys_are_told_apart() {
        assert!(!same(r#"{"a":"1","b":1}"#, r#"{"a":1,"b":1}"#));
        assert!(!same(r#"{"a":"x","b":"yz"}"#, r#"{"a":"xy","b":"z"}"#));
        assert!(!same(
            r#"{"a":1234567890123456789012,"b":1}"#,
            r#"{"a":1234567890123456789013,"b":1}"#
        ));
        let layout = Layout::new(["a"]);
        let mut fields = Fields::default();
        fields.scan(br#"{"a":1}"#, 0, &layout).unwrap();
        let hash =
            |destination| KeyHasher::new(destination).hash(br#"{"a":1}"#, fields.as_slice(), &[0]);
        assert_eq!(hash("x"), hash("x"));
        assert_ne!(hash("x"), hash("y"));
    }

    #[test]
    fn a_key_with_a_null_or_a_gap_is_no_key() {
        assert_eq!(key_of(r#"{"a":null,"b":1}"#).0, None);
        assert_eq!(key_of(r#"{"b":1}"#).0, None);
    }
}
