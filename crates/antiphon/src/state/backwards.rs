//! Whether a state lies behind the state before it. Pure: two texts in, findings out.
//!
//! Only what is certain counts: bookmarks of the frame that Singer taps have agreed on, of the same
//! stream and the same `replication_key`, whose values are of one kind and can be ordered. States of
//! any other form are opaque, and so is a value that is in doubt. Values never leave this module.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use singer_core::number;
use singer_core::value::is_number;
use singer_core::value::time::{parse_date, parse_timestamp};

/// What is odd about a state, seen from the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The bookmark of a stream has a smaller value than before.
    Backwards { stream: String, key: String },
    /// A stream had a bookmark before and has none now.
    Lost { stream: String },
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    bookmarks: BTreeMap<String, &'a RawValue>,
}

#[derive(Deserialize)]
struct Bookmark<'a> {
    replication_key: Option<String>,
    #[serde(borrow)]
    replication_key_value: Option<&'a RawValue>,
}

/// Compares a state with the one before it, stream by stream.
pub(crate) fn compare(before: &str, now: &str) -> Vec<Finding> {
    let (Ok(before), Ok(now)) = (
        serde_json::from_str::<Frame<'_>>(before),
        serde_json::from_str::<Frame<'_>>(now),
    ) else {
        return Vec::new();
    };
    let findings = before.bookmarks.iter().filter_map(|(stream, old)| {
        let Some(new) = now.bookmarks.get(stream) else {
            return Some(Finding::Lost {
                stream: stream.clone(),
            });
        };
        let key = backwards_key(old.get(), new.get())?;
        Some(Finding::Backwards {
            stream: stream.clone(),
            key,
        })
    });
    findings.collect()
}

/// The replication key of a bookmark whose value is certainly less than it was.
pub(crate) fn backwards_key(before: &str, now: &str) -> Option<String> {
    let before: Bookmark<'_> = serde_json::from_str(before).ok()?;
    let now: Bookmark<'_> = serde_json::from_str(now).ok()?;
    let key = now.replication_key?;
    let is_behind = before.replication_key.as_ref() == Some(&key)
        && is_less(
            now.replication_key_value?.get(),
            before.replication_key_value?.get(),
        );
    is_behind.then_some(key)
}

/// Whether a JSON value is certainly less than another.
fn is_less(new: &str, old: &str) -> bool {
    if is_number(new) && is_number(old) {
        return number::compare(new.as_bytes(), old.as_bytes()) == Ordering::Less;
    }
    let (Some(new), Some(old)) = (text(new), text(old)) else {
        return false;
    };
    if is_number(&new) && is_number(&old) {
        return number::compare(new.as_bytes(), old.as_bytes()) == Ordering::Less;
    }
    match (Moment::of(&new), Moment::of(&old)) {
        (Some(new), Some(old)) => new.is_before(&old),
        (None, None) => has_shape_of(&new, &old) && *new < *old,
        _ => false,
    }
}

fn text(value: &str) -> Option<Cow<'_, str>> {
    match serde_json::from_str::<&str>(value) {
        Ok(text) => Some(Cow::Borrowed(text)),
        Err(_) => serde_json::from_str::<String>(value).ok().map(Cow::Owned),
    }
}

/// A time as far as it was written down: a date leaves its whole day open.
#[derive(Debug)]
struct Moment {
    first: i64,
    last: i64,
    has_zone: bool,
}

const DAY: i64 = 86_400_000_000;

impl Moment {
    fn of(text: &str) -> Option<Self> {
        let first = parse_timestamp(text)?;
        let is_date = parse_date(text).is_some();
        let time = text.get(11..).unwrap_or_default();
        Some(Self {
            first,
            last: if is_date {
                first.saturating_add(DAY - 1)
            } else {
                first
            },
            has_zone: time.contains(['Z', 'z', '+', '-']),
        })
    }

    fn is_before(&self, other: &Self) -> bool {
        // Without its zone a time may mean any instant within a day around it.
        let doubt = if self.has_zone == other.has_zone {
            0
        } else {
            DAY
        };
        self.last.saturating_add(doubt) < other.first
    }
}

/// Whether two texts have letters, digits and all else at the same places, so that their order by
/// characters means something.
fn has_shape_of(one: &str, other: &str) -> bool {
    let shape = |byte: u8| match byte {
        b'0'..=b'9' => b'0',
        b'a'..=b'z' => b'a',
        b'A'..=b'Z' => b'A',
        other => other,
    };
    one.len() == other.len() && one.bytes().map(shape).eq(other.bytes().map(shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(value: &str) -> String {
        format!(
            r#"{{"bookmarks":{{"a":{{"replication_key":"at","replication_key_value":{value}}}}}}}"#
        )
    }

    fn is_backwards(before: &str, now: &str) -> bool {
        let found = compare(&state(before), &state(now));
        if found.is_empty() {
            return false;
        }
        let one = Finding::Backwards {
            stream: "a".to_owned(),
            key: "at".to_owned(),
        };
        assert_eq!(found, [one]);
        true
    }

    #[test]
    fn numbers_of_any_size_are_ordered_as_numbers() {
        assert!(is_backwards("10", "9"));
        assert!(!is_backwards("9", "10"));
        assert!(is_backwards(
            "123456789012345678901234567890.2",
            "123456789012345678901234567890.1"
        ));
        assert!(!is_backwards("1e3", "1000.0"));
        assert!(is_backwards(r#""10""#, r#""9""#));
        assert!(is_backwards("-1", "-2"));
    }

    #[test]
    fn times_are_ordered_by_their_instant() {
        assert!(is_backwards(
            r#""2024-01-02T00:00:00Z""#,
            r#""2024-01-02T01:00:00+02:00""#
        ));
        assert!(!is_backwards(
            r#""2024-01-02T00:00:00+00:00""#,
            r#""2024-01-02T00:00:00.000Z""#
        ));
        assert!(is_backwards(r#""2024-01-02""#, r#""2024-01-01""#));
    }

    #[test]
    fn what_is_in_doubt_is_not_backwards() {
        for (before, now) in [
            ("10", r#""9""#),
            ("10", "null"),
            (r#""2024-01-02T10:00:00Z""#, r#""2024-01-02""#),
            (r#""2024-01-02T10:00:00Z""#, r#""2024-01-02T09:00:00""#),
            (r#""b""#, r#""ab""#),
            (r#""x-1""#, r#""a_1""#),
            (r#""2024-01-02T10:00:00Z""#, r#""older""#),
            (r#"{"id":2}"#, r#"{"id":1}"#),
        ] {
            assert!(!is_backwards(before, now), "{before} {now}");
        }
        assert!(is_backwards(r#""2024-01-02T10:00:00Z""#, r#""2023-12-31""#));
        assert!(is_backwards(r#""row-0002""#, r#""row-0001""#));
    }

    #[test]
    fn another_key_is_another_bookmark() {
        let other = state("1").replace("\"at\"", "\"id\"");
        assert_eq!(compare(&state("2"), &other), []);
    }

    #[test]
    fn a_lost_bookmark_is_found_and_a_foreign_state_is_opaque() {
        let lost = Finding::Lost {
            stream: "a".to_owned(),
        };
        assert_eq!(compare(&state("2"), r#"{"bookmarks":{}}"#), [lost]);
        for opaque in [r#"{"cursor":1}"#, r#"{"bookmarks":[1]}"#, "{}"] {
            assert_eq!(compare(&state("2"), opaque), []);
            assert_eq!(compare(opaque, &state("2")), []);
        }
    }
}
