//! Open rejects of the runs that are kept: how many, and by reason. No value of a record leaves this file.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;
use singer_core::Result;

use crate::history::{Brief, keys};
use crate::serve::view::RejectGroup;
use crate::session::Session;
use crate::store::Listed;

/// Runs whose files are looked at side by side.
const SIDE_BY_SIDE: usize = 8;
/// Groups that are shown, the largest first.
const GROUPS: usize = 30;

/// Counts each file of rejects once, and again only when it has changed.
#[derive(Debug, Default)]
pub(crate) struct OpenRejects {
    counted: Mutex<HashMap<String, Counted>>,
}

#[derive(Debug, Clone)]
struct Counted {
    size: u64,
    modified: DateTime<Utc>,
    lines: u64,
    groups: Vec<RejectGroup>,
}

/// What is looked at of a line.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(default)]
    reason: Option<String>,
}

impl OpenRejects {
    /// How many records wait for a replay.
    pub(crate) async fn count(
        &self,
        session: &Session,
        pipeline: &str,
        runs: &[Brief],
    ) -> Result<u64> {
        let files = self.files(session, pipeline, runs).await?;
        Ok(files.iter().map(|file| file.lines).sum())
    }

    /// The same by stream, code and reason; the largest first.
    pub(crate) async fn groups(
        &self,
        session: &Session,
        pipeline: &str,
        runs: &[Brief],
    ) -> Result<Vec<RejectGroup>> {
        let files = self.files(session, pipeline, runs).await?;
        let mut groups = merge(files.into_iter().flat_map(|file| file.groups));
        groups.truncate(GROUPS);
        Ok(groups)
    }

    async fn files(
        &self,
        session: &Session,
        pipeline: &str,
        runs: &[Brief],
    ) -> Result<Vec<Counted>> {
        let runs: Vec<String> = runs
            .iter()
            .filter(|run| run.rejects > 0)
            .map(|run| run.run.clone())
            .collect();
        let counted: Vec<Option<Counted>> = stream::iter(runs)
            .map(async |run| self.file(session, pipeline, &run).await)
            .buffered(SIDE_BY_SIDE)
            .try_collect()
            .await?;
        Ok(counted.into_iter().flatten().collect())
    }

    async fn file(&self, session: &Session, pipeline: &str, run: &str) -> Result<Option<Counted>> {
        let key = keys::of_run(pipeline, run, keys::REJECTS);
        let folder = keys::of_run(pipeline, run, "");
        let listed = session.store.list(&folder).await?;
        let Some(Listed { size, modified, .. }) = listed.into_iter().find(|it| it.key == key)
        else {
            return Ok(None);
        };
        let known = {
            let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            counted.get(&key).cloned()
        };
        if let Some(known) = known
            && known.size == size
            && known.modified == modified
        {
            return Ok(Some(known));
        }
        let Some(mut pieces) = session.store.read(&key).await? else {
            return Ok(None);
        };
        let mut tally = Tally::default();
        while let Some(piece) = pieces.try_next().await? {
            tally.take(&piece);
        }
        let (lines, groups) = tally.finish();
        let fresh = Counted {
            size,
            modified,
            lines,
            groups,
        };
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.insert(key, fresh.clone());
        Ok(Some(fresh))
    }
}

/// Counts lines as they arrive.
#[derive(Debug, Default)]
struct Tally {
    rest: Vec<u8>,
    lines: u64,
    groups: BTreeMap<(String, Option<String>, String), u64>,
}

impl Tally {
    fn take(&mut self, piece: &[u8]) {
        let mut piece = piece;
        while let Some(end) = memchr::memchr(b'\n', piece) {
            let (line, rest) = piece.split_at(end);
            let mut whole = std::mem::take(&mut self.rest);
            whole.extend_from_slice(line);
            self.line(&whole);
            piece = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        self.rest.extend_from_slice(piece);
    }

    fn line(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        self.lines += 1;
        let key = match serde_json::from_slice::<Line>(line) {
            Ok(line) => (
                line.stream,
                line.code.map(|code| match code {
                    serde_json::Value::String(code) => code,
                    other => other.to_string(),
                }),
                without_values(line.reason.as_deref().unwrap_or("no reason given")),
            ),
            Err(_) => (String::new(), None, "a line that is no reject".to_owned()),
        };
        *self.groups.entry(key).or_default() += 1;
    }

    fn finish(mut self) -> (u64, Vec<RejectGroup>) {
        let rest = std::mem::take(&mut self.rest);
        self.line(&rest);
        let groups = self.groups.into_iter();
        let groups = groups.map(|((stream, code, reason), count)| RejectGroup {
            stream,
            code,
            reason,
            count,
        });
        (self.lines, groups.collect())
    }
}

fn merge(groups: impl Iterator<Item = RejectGroup>) -> Vec<RejectGroup> {
    let mut merged: BTreeMap<(String, Option<String>, String), u64> = BTreeMap::new();
    for group in groups {
        *merged
            .entry((group.stream, group.code, group.reason))
            .or_default() += group.count;
    }
    let mut groups: Vec<RejectGroup> = merged
        .into_iter()
        .map(|((stream, code, reason), count)| RejectGroup {
            stream,
            code,
            reason,
            count,
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

/// A reason without what a service may have quoted of the record: texts in quotes and numbers. Names in
/// backticks stay. So reasons that differ in values alone also fall into one group.
fn without_values(reason: &str) -> String {
    let mut text = String::with_capacity(reason.len());
    let mut characters = reason.chars().peekable();
    let mut is_name = false;
    while let Some(character) = characters.next() {
        match character {
            '`' => {
                is_name = !is_name;
                text.push('`');
            }
            _ if is_name => text.push(character),
            // An apostrophe within a word opens nothing.
            '\'' if text.chars().next_back().is_some_and(char::is_alphanumeric) => text.push('\''),
            '"' | '\'' => {
                for skipped in characters.by_ref() {
                    if skipped == character {
                        break;
                    }
                }
                text.push('“');
                text.push('…');
                text.push('”');
            }
            digit if digit.is_ascii_digit() => {
                let of_number = |c: &char| c.is_ascii_digit() || *c == '.';
                let mut last = digit;
                while let Some(next) = characters.next_if(of_number) {
                    last = next;
                }
                text.push('#');
                if last == '.' {
                    text.push('.');
                }
            }
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_keeps_names_and_loses_values() {
        assert_eq!(
            without_values("can't take \"Zoë \" for `name2`: 12.5 is over 10."),
            "can't take “…” for `name2`: # is over #."
        );
        assert_eq!(without_values("open 'quote without end"), "open “…”");
    }

    #[test]
    fn lines_cut_anywhere_are_counted_by_reason() {
        let text = concat!(
            r#"{"stream":"a","key":{"id":1},"record":{"mail":"x@y"},"reason":"bad \"x@y\"","code":"E1"}"#,
            "\n",
            r#"{"stream":"a","key":{"id":2},"record":{},"reason":"bad \"z\"","code":"E1"}"#,
            "\n\ngarbage"
        );
        for cut in [1, 7, 64, text.len()] {
            let mut tally = Tally::default();
            for piece in text.as_bytes().chunks(cut) {
                tally.take(piece);
            }
            let (lines, groups) = tally.finish();
            let groups = merge(groups.into_iter());
            assert_eq!(lines, 3);
            assert_eq!(groups[0].count, 2);
            assert_eq!(groups[0].reason, "bad “…”");
            assert_eq!(groups[0].code.as_deref(), Some("E1"));
            assert_eq!(groups[1].reason, "a line that is no reject");
        }
    }
}
