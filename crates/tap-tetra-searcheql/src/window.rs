//! Windows of time and how far one was read: what bookmarks say, and how a later run goes on from one.
//!
//! A window is closed-open and ends `lag_seconds` before the service's time; the next one begins `overlap_seconds`
//! before that end. What was sent of the overlap is remembered in the bookmark itself and nowhere else: a
//! file beside it would also remember what never became durable at the destination.

use std::collections::{HashSet, VecDeque};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use singer_core::value::time::parse_timestamp;
use singer_core::{Error, Result, fnv};
use singer_runtime::tap::ids::Generations;
use singer_runtime::tap::{Plan, Replication};

use crate::config::{Config, Stream};
use crate::model::{Hit, INDEXED_AT};

const REPLICATION_KEY: &str = "replication_key";
const REPLICATION_KEY_VALUE: &str = "replication_key_value";
const LAST_PK_FETCHED: &str = "last_pk_fetched";
const ORGANISATION: &str = "organisation";
/// The window that is being read: its bounds and the place in it.
const WINDOW: &str = "window";
/// Which query the bookmark is of.
const QUERY: &str = "query";
/// Versions of files in the overlap that were sent.
const SENT: &str = "sent";

/// A closed-open span of `indexedAt`, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    /// The first instant; from the beginning of time if there is none.
    pub(crate) gte: Option<i64>,
    /// The first instant behind it.
    pub(crate) lt: i64,
    /// The sort value of the last hit that was handed over.
    pub(crate) after: Option<Vec<Value>>,
    /// Whether it is read beyond its end, up to the newest file. A whole table is: a file that is indexed again
    /// while pages are read would else be missing from a version that removes what it does not have.
    pub(crate) is_open: bool,
}

impl Window {
    /// The condition that files of the window meet; nothing if all do.
    pub(crate) fn condition(&self) -> Option<Value> {
        let mut bounds = Map::new();
        if let Some(gte) = self.gte {
            bounds.insert("gte".to_owned(), text(gte).into());
        }
        if !self.is_open {
            bounds.insert("lt".to_owned(), text(self.lt).into());
        }
        (!bounds.is_empty()).then(|| json!({"range": {INDEXED_AT: bounds}}))
    }
}

/// How far a stream is.
#[derive(Debug)]
pub(crate) struct Progress {
    base: Map<String, Value>,
    is_full_table: bool,
    /// The end of the last window that was read to its end.
    done: Option<i64>,
    /// Where a first window begins.
    start: Option<i64>,
    /// No window reaches back beyond it.
    floor: Option<i64>,
    lag: i64,
    overlap: i64,
    /// The window that an interrupted run left.
    resumed: Option<Window>,
    current: Option<Window>,
    is_last: bool,
    /// Whether the window has anything that the one before it did not send.
    has_news: bool,
    /// What was sent of the overlap with the window before.
    sent: HashSet<String>,
    /// What was sent of the overlap with the window behind.
    tail: VecDeque<Vec<Value>>,
    most_remembered: usize,
}

impl Progress {
    /// Where the bookmark of a plan lets the read begin or go on.
    ///
    /// # Errors
    /// Of kind `Config` for a bookmark that is no time, or of another organisation.
    pub(crate) fn new(config: &Config, stream: &Stream, org: &str, plan: &Plan) -> Result<Self> {
        check_organisation(plan, org)?;
        let is_full_table = matches!(plan.replication, Replication::FullTable { .. });
        let query = subject(stream);
        let bookmark = &plan.bookmark;
        let is_same_query = bookmark.get(QUERY).is_none_or(|old| *old == query);
        if !is_same_query {
            tracing::warn!(
                stream = plan.id,
                "the query has changed since the state was made: files that only the new one finds and that were indexed before the bookmark are not read"
            );
        }
        let (done, start) = bounds_of(plan)?;
        let mut base = Map::new();
        base.insert(ORGANISATION.to_owned(), org.into());
        base.insert(QUERY.to_owned(), query.into());
        // Which ids are known belongs to `deleted`, and is carried through.
        if let Some(known) = bookmark.get(Generations::key()) {
            base.insert(Generations::key().to_owned(), known.clone());
        }
        let mut resumed = (bookmark.get(WINDOW).filter(|_| is_same_query)).and_then(window_of);
        if let Some(window) = &mut resumed {
            window.is_open = is_full_table;
        }
        let sent = bookmark.get(SENT).and_then(Value::as_array);
        Ok(Self {
            base,
            is_full_table,
            done,
            start,
            floor: config.start_date.as_deref().and_then(instant_in),
            lag: i64::from(config.lag_seconds) * 1000,
            overlap: i64::from(config.overlap_seconds()) * 1000,
            resumed,
            current: None,
            is_last: false,
            has_news: false,
            sent: sent.into_iter().flatten().map(Value::to_string).collect(),
            tail: VecDeque::new(),
            most_remembered: config.overlap_memory,
        })
    }

    /// The next window, nothing once the last one was read: the one that an interrupted run left, then the one
    /// up to now.
    pub(crate) fn next(&mut self, service_time: DateTime<Utc>) -> Option<Window> {
        if self.is_last {
            return None;
        }
        let window = match self.resumed.take() {
            Some(window) => {
                // A full table is complete with the window that it began with.
                self.is_last = self.is_full_table;
                window
            }
            None => {
                self.is_last = true;
                let end = service_time.timestamp_millis() - self.lag;
                if self.done.is_none() && self.start.is_some_and(|start| start >= end) {
                    // A bookmark ahead of the start would have the next run begin there.
                    return None;
                }
                let from_bookmark = self.done.map(|done| {
                    let reached = done - self.overlap;
                    self.floor
                        .map_or(reached, |floor| reached.max(floor.min(done)))
                });
                Window {
                    gte: if self.is_full_table {
                        None
                    } else {
                        from_bookmark.or(self.start)
                    },
                    // A clock that was set back moves no bookmark back.
                    lt: self.done.map_or(end, |done| done.max(end)),
                    after: None,
                    is_open: self.is_full_table,
                }
            }
        };
        self.tail.clear();
        self.has_news = window.after.is_some();
        self.current = Some(window.clone());
        Some(window)
    }

    /// Whether this version of a file was sent by the window before.
    pub(crate) fn was_sent(&self, hit: &Hit) -> bool {
        !self.sent.is_empty() && self.sent.contains(&hit.version())
    }

    /// A hit was handed over, or is known not to be wanted.
    pub(crate) fn passed(&mut self, hit: &Hit) {
        self.has_news |= !self.was_sent(hit);
        let Some(window) = &mut self.current else {
            return;
        };
        let overlap_begins = window.lt - self.overlap;
        let instant = instant_of(&hit.sort);
        if self.most_remembered > 0 && instant.is_some_and(|instant| instant >= overlap_begins) {
            if self.tail.len() >= self.most_remembered {
                self.tail.pop_front();
            }
            self.tail.push_back(hit.sort.clone());
        }
        window.after = Some(hit.sort.clone());
    }

    /// The bookmark inside the window.
    pub(crate) fn bookmark(&self) -> Map<String, Value> {
        let mut bookmark = self.base.clone();
        let Some(window) = &self.current else {
            return bookmark;
        };
        if self.is_full_table {
            bookmark.insert(LAST_PK_FETCHED.to_owned(), json!(window.after));
        } else {
            self.insert_value(&mut bookmark, self.done);
            // Behind the overlap what was sent of it is of no use.
            let instant = window.after.as_deref().and_then(instant_of);
            if instant.zip(self.done).is_none_or(|(at, done)| at < done) {
                self.insert_sent(&mut bookmark);
            }
        }
        bookmark.insert(
            WINDOW.to_owned(),
            json!({"gte": window.gte.map(text), "lt": text(window.lt), "after": window.after}),
        );
        bookmark
    }

    /// The window was read to its end; the bookmark from then on. Where nothing was new it stays: the next window
    /// then reaches as far back, for files that become visible even later.
    pub(crate) fn finish_window(&mut self) -> Map<String, Value> {
        let is_idle = self.done.is_some() && !self.has_news;
        if let Some(window) = self.current.take().filter(|_| !is_idle) {
            self.done = Some(window.lt);
            self.sent = (self.tail.drain(..))
                .map(|sort| Value::from(sort).to_string())
                .collect();
        }
        let mut bookmark = self.base.clone();
        self.insert_value(&mut bookmark, self.done);
        if self.most_remembered > 0 {
            self.insert_sent(&mut bookmark);
        }
        if self.is_full_table {
            // A version that is complete is null in the state.
            bookmark.insert("version".to_owned(), Value::Null);
        }
        bookmark
    }

    /// Whether the stream is read as a whole.
    pub(crate) fn is_full_table(&self) -> bool {
        self.is_full_table
    }

    fn insert_sent(&self, bookmark: &mut Map<String, Value>) {
        let sent = self.sent.iter();
        let mut sent: Vec<Value> = sent
            .filter_map(|sent| serde_json::from_str(sent).ok())
            .collect();
        // The same state for the same files.
        sent.sort_by_key(Value::to_string);
        if !sent.is_empty() {
            bookmark.insert(SENT.to_owned(), sent.into());
        }
    }

    fn insert_value(&self, bookmark: &mut Map<String, Value>, done: Option<i64>) {
        bookmark.insert(REPLICATION_KEY.to_owned(), INDEXED_AT.into());
        if let Some(done) = done {
            bookmark.insert(REPLICATION_KEY_VALUE.to_owned(), text(done).into());
        }
    }
}

/// The end of the last window, and where a first one begins.
fn bounds_of(plan: &Plan) -> Result<(Option<i64>, Option<i64>)> {
    let Replication::Incremental { start, .. } = &plan.replication else {
        return Ok((None, None));
    };
    let Some(start) = start else {
        return Ok((None, None));
    };
    let instant = start.as_str().and_then(instant_in).ok_or_else(|| {
        Error::config(format!(
            "the bookmark of the stream `{}` is no time",
            plan.id
        ))
        .with_hint("`replication_key_value` is such as 2026-01-31T00:00:00.000Z")
    })?;
    let bookmarked = plan.bookmark.get(REPLICATION_KEY_VALUE);
    Ok(match bookmarked.filter(|value| !value.is_null()) {
        Some(_) => (Some(instant), None),
        None => (None, Some(instant)),
    })
}

fn check_organisation(plan: &Plan, org: &str) -> Result<()> {
    match plan.bookmark.get(ORGANISATION).and_then(Value::as_str) {
        Some(other) if other != org => Err(Error::config(format!(
            "the bookmark of the stream `{}` is of the organisation `{other}`, and `org_slug` is `{org}`",
            plan.id
        ))
        .with_hint("keep a state for each organisation")),
        _ => Ok(()),
    }
}

fn window_of(value: &Value) -> Option<Window> {
    let instant = |name: &str| instant_in(value.get(name)?.as_str()?);
    Some(Window {
        gte: instant("gte"),
        lt: instant("lt")?,
        after: value.get("after").and_then(Value::as_array).cloned(),
        is_open: false,
    })
}

/// When a hit was indexed, by its place in the sort.
pub(crate) fn instant_of(sort: &[Value]) -> Option<i64> {
    match sort.first()? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => instant_in(text),
        _ => None,
    }
}

fn instant_in(text: &str) -> Option<i64> {
    Some(parse_timestamp(text)?.div_euclid(1000))
}

/// What a bookmark is of: a place in one query is none in another.
fn subject(stream: &Stream) -> String {
    let text = format!("{} {:?}", stream.filter, stream.indices);
    format!("{:016x}", fnv::mix(fnv::START, text.into_bytes()))
}

/// An instant as requests and bookmarks have it.
pub(crate) fn text(milliseconds: i64) -> String {
    DateTime::from_timestamp_millis(milliseconds)
        .unwrap_or(DateTime::UNIX_EPOCH)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests;
