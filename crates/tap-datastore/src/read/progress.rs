//! How far a stream is: what its bookmarks say, and how a later run goes on from one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use singer_core::value::time::{Fraction, parse_timestamp, write_timestamp};
use singer_core::{Error, Result, fnv};
use singer_runtime::tap::{Plan, Replication};

use crate::bulk::JobIds;
use crate::config::Config;
use crate::identity;
use crate::schema::{MODIFIEDTIME, Table};
use crate::time::SECOND;

const REPLICATION_KEY: &str = "replication_key";
const REPLICATION_KEY_VALUE: &str = "replication_key_value";
const LAST_PK_FETCHED: &str = "last_pk_fetched";
/// What an interrupted read by pages leaves behind.
const READING: &str = "reading";

/// What later parts of a bookmark are called that other modules own; they are carried through.
const CARRIED: [&str; 2] = ["journal", "deletions"];

/// How far a stream is.
#[derive(Debug)]
pub(super) struct Progress {
    /// Identity, and what is carried through.
    base: Map<String, Value>,
    is_full_table: bool,
    /// The bookmark that an earlier run left, as a text and as an instant.
    old: Option<(Value, i64)>,
    /// The start of the run in which this read began.
    pub(super) upper: i64,
    /// The table, the selected columns and where the read begins: pages of others are of no use.
    subject: String,
    /// Pages whose rows were handed over.
    pub(super) pages_done: u32,
    /// Whether the last page is one of them.
    pub(super) has_last: bool,
    /// Rows in these pages.
    pub(super) rows: u64,
    /// How many there should be, if that is known.
    pub(super) expected: Option<u64>,
    /// When the newest row was changed that was seen.
    pub(super) newest: Option<i64>,
    /// The jobs that were submitted.
    pub(super) jobs: JobIds,
    /// Whether pages are being read, so that a later run can go on with them.
    pub(super) by_pages: bool,
    /// The bookmark of a full table whose pages are done, while what changed meanwhile is read.
    frozen: Option<Map<String, Value>>,
}

impl Progress {
    /// Where a plan's bookmark lets the read begin or go on.
    ///
    /// # Errors
    /// Of kind `Config` for a bookmark that is no time.
    pub(super) fn new(config: &Config, plan: &Plan, table: &Table) -> Result<Self> {
        let mut base = identity::of(config);
        for name in CARRIED {
            if let Some(value) = plan.bookmark.get(name) {
                base.insert(name.to_owned(), value.clone());
            }
        }
        let mut progress = Self {
            base,
            is_full_table: matches!(plan.replication, Replication::FullTable { .. }),
            old: old_value(plan)?,
            upper: plan.started_at.timestamp_micros(),
            subject: subject(config, plan, table),
            pages_done: 0,
            has_last: false,
            rows: 0,
            expected: None,
            newest: None,
            jobs: JobIds::default(),
            by_pages: false,
            frozen: None,
        };
        if let Some(reading) = plan.bookmark.get(READING) {
            progress.go_on(&plan.id, reading);
        }
        Ok(progress)
    }

    /// The bookmark while the stream is read.
    pub(super) fn bookmark(&self) -> Map<String, Value> {
        if let Some(frozen) = &self.frozen {
            return frozen.clone();
        }
        let mut bookmark = self.base.clone();
        if self.is_full_table {
            bookmark.insert(LAST_PK_FETCHED.to_owned(), json!({"page": self.pages_done}));
        } else {
            self.insert_value(
                &mut bookmark,
                self.old.as_ref().map(|(value, _)| value.clone()),
            );
        }
        if self.by_pages {
            let reading = json!({
                "upper": text(self.upper),
                "subject": self.subject,
                "pages": self.pages_done,
                "has_last": self.has_last,
                "rows": self.rows,
                "count": self.expected,
                "newest": self.newest.map(text),
                "jobs": self.jobs.all().into_iter()
                    .filter(|(page, _)| *page > self.pages_done)
                    .map(|(page, id)| (page.to_string(), Value::from(id)))
                    .collect::<Map<String, Value>>(),
            });
            bookmark.insert(READING.to_owned(), reading);
        }
        bookmark
    }

    /// The bookmark once everything was read: the newest row that was seen, at most the upper bound, and
    /// never before the old one.
    pub(super) fn final_bookmark(&self) -> Map<String, Value> {
        let mut bookmark = self.base.clone();
        let most = whole_seconds(self.upper);
        let seen = self.newest.map(|newest| newest.min(most));
        let value = match (seen, &self.old) {
            (Some(seen), Some((old, instant))) if seen <= *instant => Some(old.clone()),
            (Some(seen), _) => Some(text(seen)),
            (None, old) => old.as_ref().map(|(value, _)| value.clone()),
        };
        self.insert_value(&mut bookmark, value);
        if self.is_full_table {
            // A version that is complete is null in the state.
            bookmark.insert("version".to_owned(), Value::Null);
        }
        bookmark
    }

    /// Replaces a part of the bookmark that another module owns.
    pub(super) fn carry(&mut self, name: &str, value: Value) {
        debug_assert!(CARRIED.contains(&name), "it would be lost");
        self.base.insert(name.to_owned(), value);
    }

    /// Begins with the first page again.
    pub(super) fn restart(&mut self, expected: Option<u64>) {
        self.pages_done = 0;
        self.has_last = false;
        self.rows = 0;
        self.expected = expected;
        self.jobs = JobIds::default();
    }

    /// Has the bookmark stay as it is now: what follows is read again as a whole if it is interrupted.
    pub(super) fn freeze(&mut self) {
        self.frozen = Some(self.bookmark());
        self.by_pages = false;
    }

    /// Whether an earlier run read some pages.
    pub(super) fn is_resumed(&self) -> bool {
        self.by_pages
    }

    fn insert_value(&self, bookmark: &mut Map<String, Value>, value: Option<Value>) {
        bookmark.insert(REPLICATION_KEY.to_owned(), MODIFIEDTIME.into());
        if let Some(value) = value {
            bookmark.insert(REPLICATION_KEY_VALUE.to_owned(), value);
        }
    }

    /// Goes on where an earlier run was interrupted, if that can be.
    fn go_on(&mut self, stream: &str, reading: &Value) {
        let instant = |name: &str| parse_timestamp(reading.get(name)?.as_str()?);
        let number = |name: &str| reading.get(name).and_then(Value::as_u64);
        let is_same = reading.get("subject").and_then(Value::as_str) == Some(&self.subject);
        let (Some(upper), Some(pages), Some(rows), true) = (
            instant("upper"),
            number("pages").and_then(|pages| u32::try_from(pages).ok()),
            number("rows"),
            is_same,
        ) else {
            tracing::info!(
                stream,
                "begins with the first page: the interrupted read was of other columns or rows"
            );
            return;
        };
        let jobs = reading.get("jobs").and_then(Value::as_object);
        let jobs: BTreeMap<u32, String> = jobs
            .into_iter()
            .flatten()
            .filter_map(|(page, id)| Some((page.parse().ok()?, id.as_str()?.to_owned())))
            .collect();
        tracing::info!(
            stream,
            pages,
            jobs = jobs.len(),
            "goes on with an interrupted read"
        );
        self.upper = upper;
        self.pages_done = pages;
        self.has_last = reading.get("has_last").and_then(Value::as_bool) == Some(true);
        self.rows = rows;
        self.expected = number("count");
        self.newest = instant("newest");
        self.jobs = JobIds::new(jobs);
        self.by_pages = true;
    }
}

/// An instant as bookmarks have it.
pub(super) fn text(instant: i64) -> Value {
    let mut out = Vec::with_capacity(32);
    write_timestamp(&mut out, instant, Fraction::AsNeeded);
    String::from_utf8_lossy(&out).into_owned().into()
}

fn old_value(plan: &Plan) -> Result<Option<(Value, i64)>> {
    let value = plan.bookmark.get(REPLICATION_KEY_VALUE);
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let instant = value.as_str().and_then(parse_timestamp).ok_or_else(|| {
        Error::config(format!("the bookmark of `{}` is no time", plan.id)).with_hint(
            "correct `replication_key_value` in the state, or remove the stream's bookmark to read it anew",
        )
    })?;
    Ok(Some((value.clone(), instant)))
}

/// The second in which an instant lies. A read begins in the middle of one, and may see a row of it without
/// another that is written next: the bookmark stays before both.
fn whole_seconds(instant: i64) -> i64 {
    instant - instant.rem_euclid(SECOND)
}

/// Tells one set of columns and rows from another.
fn subject(config: &Config, plan: &Plan, table: &Table) -> String {
    let begin = match &plan.replication {
        Replication::FullTable { .. } => "all".to_owned(),
        Replication::Incremental { start, .. } => {
            let start = start.as_ref().unwrap_or(&Value::Null);
            format!("{start} {}", config.lookback_seconds)
        }
    };
    let words = [&table.id, &begin].into_iter().chain(&plan.fields);
    let bytes = words.flat_map(|word| word.bytes().chain([0]));
    format!("{:016x}", fnv::mix(fnv::START, bytes))
}
