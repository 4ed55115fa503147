//! How far a stream was read, as the state keeps it, and how a later run goes on from there.

use serde_json::{Map, Value, json};
use singer_runtime::tap::{Plan, Replication};

use super::window::{Bound, KeyColumn, Lower, NullKeys, Window};
use crate::key::KeyValue;
use crate::types::KeyKind;

/// The words of a bookmark.
const VERSION: &str = "version";
const MAX_KEY: &str = "max_pk_values";
const LAST_KEY: &str = "last_pk_fetched";
const REPLICATION_KEY: &str = "replication_key";
const REPLICATION_KEY_VALUE: &str = "replication_key_value";

/// Where a stream is.
#[derive(Debug)]
pub(super) struct Progress {
    /// What is still to be read.
    pub(super) window: Window,
    /// Whether the greatest key is known, so that it is asked for once.
    pub(super) bounded: bool,
    /// Rows that were handed over, in all attempts.
    pub(super) rows: u64,
    /// The key of the last of them.
    last: Option<Vec<KeyValue>>,
    mode: Mode,
    /// The bookmark as it was found.
    found: Map<String, Value>,
}

#[derive(Debug)]
enum Mode {
    /// The whole table in the order of its key.
    FullByKey { version: i64, bound: Bound },
    /// The whole table in any order: an interrupted load starts over.
    FullInAnyOrder,
    /// Rows from a bookmark on; `reached` is the bookmark that was found.
    Incremental {
        key: String,
        reached: Option<KeyValue>,
    },
}

impl Progress {
    /// The whole table. `keys` is empty if it has no key whose order the tap can follow; `bound`
    /// says whether the key is unique.
    pub(super) fn full(plan: &Plan, keys: Vec<KeyColumn>, bound: Bound, version: i64) -> Self {
        let mut progress = Self {
            window: Window::everything(),
            bounded: true,
            rows: 0,
            last: None,
            mode: Mode::FullInAnyOrder,
            found: plan.bookmark.clone(),
        };
        if keys.is_empty() {
            return progress;
        }
        let interrupted = plan.bookmark.get(VERSION).and_then(Value::as_i64) == Some(version);
        let values = |word: &str| {
            let values = plan.bookmark.get(word)?.as_object()?;
            if values.len() != keys.len() {
                return None;
            }
            keys.iter()
                .map(|key| KeyValue::read(key.kind, values.get(&key.name)?))
                .collect::<Option<Vec<KeyValue>>>()
        };
        let upper = values(MAX_KEY).filter(|_| interrupted);
        let lower = values(LAST_KEY).filter(|_| upper.is_some());
        progress.bounded = upper.is_some();
        progress.window = Window {
            lower: lower.map(|values| Lower { values, bound }),
            upper,
            keys,
            null_keys: NullKeys::Read,
        };
        progress.mode = Mode::FullByKey { version, bound };
        progress
    }

    /// Rows from a value on, or all rows with a key.
    pub(super) fn incremental(plan: &Plan, key: KeyColumn, start: Option<KeyValue>) -> Self {
        let reached = plan.bookmark.get(REPLICATION_KEY_VALUE);
        let reached = reached.and_then(|value| KeyValue::read(key.kind, value));
        Self {
            bounded: false,
            rows: 0,
            last: None,
            mode: Mode::Incremental {
                key: key.name.clone(),
                reached,
            },
            found: plan.bookmark.clone(),
            window: Window {
                keys: vec![key],
                lower: start.map(|value| Lower {
                    values: vec![value],
                    bound: Bound::Included,
                }),
                upper: None,
                null_keys: NullKeys::Skipped,
            },
        }
    }

    /// Whether reading can go on after a row, instead of from the first one.
    pub(super) fn can_go_on(&self) -> bool {
        !matches!(self.mode, Mode::FullInAnyOrder)
    }

    /// Whether rows without a key are left out.
    pub(super) fn skips_null_keys(&self) -> bool {
        matches!(self.mode, Mode::Incremental { .. })
    }

    /// Whether this is a full table, which ends with its version.
    pub(super) fn is_full_table(&self) -> bool {
        !matches!(self.mode, Mode::Incremental { .. })
    }

    /// Sets where the next attempt starts.
    pub(super) fn go_on_after(&mut self, last: Vec<KeyValue>) {
        self.last = Some(last.clone());
        let bound = match self.mode {
            Mode::FullByKey { bound, .. } => bound,
            Mode::FullInAnyOrder => return,
            Mode::Incremental { .. } => Bound::Included,
        };
        self.window.lower = Some(Lower {
            values: last,
            bound,
        });
    }

    /// The bookmark after a row with this key, or before any.
    pub(super) fn bookmark(&self, last: Option<&[KeyValue]>) -> Map<String, Value> {
        let mut bookmark = self.found.clone();
        match &self.mode {
            Mode::FullByKey { version, .. } => {
                bookmark.insert(VERSION.to_owned(), json!(version));
                let last = last.or(self
                    .window
                    .lower
                    .as_ref()
                    .map(|lower| lower.values.as_slice()));
                for (word, values) in [(MAX_KEY, self.window.upper.as_deref()), (LAST_KEY, last)] {
                    match values {
                        Some(values) => bookmark.insert(word.to_owned(), self.key_object(values)),
                        None => bookmark.remove(word),
                    };
                }
            }
            Mode::FullInAnyOrder => forget_full_table(&mut bookmark),
            Mode::Incremental { key, reached } => {
                bookmark.insert(REPLICATION_KEY.to_owned(), json!(key));
                // Rows before the bookmark are read when looking back: it never moves back itself.
                let moves_back = |value: &&KeyValue| {
                    let reached = reached.as_ref();
                    reached.and_then(|reached| value.is_before(reached)) == Some(true)
                };
                let last = last.and_then(<[KeyValue]>::first);
                if let Some(value) = last.filter(|value| !moves_back(value)) {
                    bookmark.insert(REPLICATION_KEY_VALUE.to_owned(), value.to_json());
                }
                bookmark.remove(MAX_KEY);
                bookmark.remove(LAST_KEY);
            }
        }
        bookmark
    }

    /// The bookmark once everything was read.
    pub(super) fn final_bookmark(&self) -> Map<String, Value> {
        match &self.mode {
            Mode::Incremental { .. } => self.bookmark(self.end()),
            Mode::FullByKey { .. } | Mode::FullInAnyOrder => {
                let mut bookmark = self.found.clone();
                forget_full_table(&mut bookmark);
                bookmark
            }
        }
    }

    /// The key up to which everything was read: the upper bound, also where a filter left out the
    /// rows before it. Of texts the tap does not know whether the bound lies behind the bookmark,
    /// so there the last row counts.
    fn end(&self) -> Option<&[KeyValue]> {
        let last = self.last.as_deref();
        let is_text = |key: &KeyColumn| key.kind == KeyKind::Text;
        match &self.window.upper {
            Some(upper) if !self.window.keys.iter().any(is_text) => Some(upper),
            _ => last,
        }
    }

    fn key_object(&self, values: &[KeyValue]) -> Value {
        let pairs = self.window.keys.iter().zip(values);
        pairs
            .map(|(key, value)| (key.name.clone(), value.to_json()))
            .collect::<Map<String, Value>>()
            .into()
    }
}

/// A version that is complete, or cannot be completed, is null in the state.
fn forget_full_table(bookmark: &mut Map<String, Value>) {
    bookmark.insert(VERSION.to_owned(), Value::Null);
    bookmark.remove(MAX_KEY);
    bookmark.remove(LAST_KEY);
}

/// The value from which an incremental stream is read, and whether it is a bookmark.
pub(super) fn start_of(plan: &Plan) -> (Option<&Value>, Origin) {
    let start = match &plan.replication {
        Replication::Incremental { start, .. } => start.as_ref(),
        Replication::FullTable { .. } => None,
    };
    let origin = match plan.bookmark.get(REPLICATION_KEY_VALUE) {
        Some(value) if !value.is_null() && Some(value) == start => Origin::Bookmark,
        _ => Origin::Config,
    };
    (start, origin)
}

/// Where a start comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// From the state: looking back makes sense.
    Bookmark,
    /// From `start_date`.
    Config,
}
