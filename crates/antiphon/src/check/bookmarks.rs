//! STATE messages: their form, and whether their bookmarks move forwards.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::findings::Level;
use crate::state::backwards::backwards_key;

type Object = BTreeMap<String, Box<RawValue>>;

/// The bookmarks of an input, as the last STATE has them.
#[derive(Debug, Default)]
pub(super) struct Bookmarks {
    last: Object,
    /// Where each bookmark was seen first and, if it ever did, changed first.
    seen: BTreeMap<String, Seen>,
}

/// What is known of one bookmark.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) line: u64,
    pub(super) has_changed: bool,
}

/// What one STATE message says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// Level, the id of a bookmark, what is odd.
    pub(super) faults: Vec<(Level, Option<String>, String)>,
    /// The bookmarks that are new or not as they were.
    pub(super) moved: Vec<String>,
}

impl Bookmarks {
    /// Takes the value of a STATE message.
    pub(super) fn take(&mut self, value: &str, line: u64) -> Judged {
        let mut judged = Judged::default();
        let mut fault =
            |level, message: &str| judged.faults.push((level, None, message.to_owned()));
        if value == "null" {
            fault(Level::Warning, "the state is null");
            return judged;
        }
        let Ok(top) = serde_json::from_str::<Object>(value) else {
            fault(Level::Error, "the state is not an object");
            return judged;
        };
        if top.is_empty() {
            fault(
                Level::Warning,
                "the state is empty: it would start everything anew",
            );
            return judged;
        }
        let syncing = top.get("currently_syncing").map(|value| value.get());
        if syncing.is_some_and(|text| text != "null" && !text.starts_with('"')) {
            fault(
                Level::Warning,
                "`currently_syncing` of the state is not a name",
            );
        }
        let Some(bookmarks) = top.get("bookmarks").map(|value| value.get()) else {
            // States of other frames are opaque.
            return judged;
        };
        let Ok(bookmarks) = serde_json::from_str::<Option<Object>>(bookmarks) else {
            fault(Level::Error, "`bookmarks` of the state is not an object");
            return judged;
        };
        self.compare(bookmarks.unwrap_or_default(), line, &mut judged);
        judged
    }

    /// All bookmarks that ever came.
    pub(super) fn seen(&self) -> impl Iterator<Item = (&String, &Seen)> {
        self.seen.iter()
    }

    fn compare(&mut self, now: Object, line: u64, judged: &mut Judged) {
        for (id, bookmark) in &now {
            let before = self.last.get(id);
            if before.is_some_and(|before| before.get() == bookmark.get()) {
                continue;
            }
            judged.moved.push(id.clone());
            let seen = self.seen.entry(id.clone()).or_insert(Seen {
                line,
                has_changed: false,
            });
            seen.has_changed |= before.is_some();
            // As `run` judges it, which refuses such a state.
            if let Some(key) = before.and_then(|before| backwards_key(before.get(), bookmark.get()))
            {
                let message = format!("the state goes backwards: `{key}` is less than it was");
                judged
                    .faults
                    .push((Level::Warning, Some(id.clone()), message));
            }
        }
        for id in self.last.keys().filter(|id| !now.contains_key(*id)) {
            let message = "the state has lost its bookmark".to_owned();
            judged
                .faults
                .push((Level::Warning, Some(id.clone()), message));
        }
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bookmark(value: &str) -> String {
        format!(
            r#"{{"bookmarks":{{"a":{{"replication_key":"at","replication_key_value":{value}}}}}}}"#
        )
    }

    #[test]
    fn a_state_that_goes_backwards_is_noticed_where_there_is_an_order() {
        for (before, now, backwards) in [
            ("5", "4", true),
            ("9", "10", false),
            ("12345678901234567891", "12345678901234567890", true),
            (r#""9""#, r#""10""#, false),
            (
                r#""2026-03-01T00:00:00+05:00""#,
                r#""2026-02-28T20:00:00Z""#,
                false,
            ),
            (
                r#""2026-03-01T00:00:00Z""#,
                r#""2026-02-28T20:00:00Z""#,
                true,
            ),
            (r#""2026-03-02""#, r#""2026-03-01""#, true),
            (r#""token-b""#, r#""a-token""#, false),
            ("7", r#""x""#, false),
            ("null", "1", false),
        ] {
            let mut bookmarks = Bookmarks::default();
            assert_eq!(bookmarks.take(&bookmark(before), 1).faults, []);
            let judged = bookmarks.take(&bookmark(now), 2);
            assert_eq!(!judged.faults.is_empty(), backwards, "{before} {now}");
            assert_eq!(judged.moved, ["a"]);
        }
    }

    #[test]
    fn forms_that_are_none_are_told_apart() {
        for (value, level) in [
            ("null", Some(Level::Warning)),
            ("{}", Some(Level::Warning)),
            ("[]", Some(Level::Error)),
            ("7", Some(Level::Error)),
            (r#"{"bookmarks":[]}"#, Some(Level::Error)),
            (
                r#"{"bookmarks":{},"currently_syncing":5}"#,
                Some(Level::Warning),
            ),
            (r#"{"bookmarks":null,"currently_syncing":null}"#, None),
            (r#"{"bookmarks":{"a":"2026-01-01"}}"#, None),
            (r#"{"a":"2026-01-01"}"#, None),
        ] {
            let judged = Bookmarks::default().take(value, 1);
            let found = judged.faults.first().map(|(level, ..)| *level);
            assert_eq!(found, level, "{value}");
        }
        let mut bookmarks = Bookmarks::default();
        bookmarks.take(&bookmark("1"), 1);
        let judged = bookmarks.take(r#"{"bookmarks":{}}"#, 2);
        assert_eq!(judged.faults[0].2, "the state has lost its bookmark");
    }
}
