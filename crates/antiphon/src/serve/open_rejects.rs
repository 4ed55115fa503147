//! Open rejects by reason. No value of a record leaves this file.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;
use singer_core::Result;

use crate::history::keys;
use crate::rejects::Lines;
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
    /// The open rejects of these runs by stream, code and reason; the largest first.
    pub(crate) async fn groups(
        &self,
        session: &Session,
        pipeline: &str,
        runs: &[String],
    ) -> Result<Vec<RejectGroup>> {
        let counted: Vec<Option<Counted>> = stream::iter(runs.to_vec())
            .map(async |run| self.file(session, pipeline, &run).await)
            .buffered(SIDE_BY_SIDE)
            .try_collect()
            .await?;
        let all = counted.into_iter().flatten().flat_map(|file| file.groups);
        let mut groups = merge(all);
        groups.truncate(GROUPS);
        Ok(groups)
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
        let Some(mut lines) = Lines::open(session, pipeline, run, keys::REJECTS).await? else {
            return Ok(None);
        };
        let mut groups = Groups::new();
        while let Some(line) = lines.next().await? {
            *groups.entry(group(&line)).or_default() += 1;
        }
        let fresh = Counted {
            size,
            modified,
            groups: listed_groups(groups),
        };
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.insert(key, fresh.clone());
        Ok(Some(fresh))
    }
}

/// Stream, code and reason, and how often.
type Groups = BTreeMap<(String, Option<String>, String), u64>;

/// What a line is counted under.
fn group(line: &[u8]) -> (String, Option<String>, String) {
    match serde_json::from_slice::<Line>(line) {
        Ok(line) => (
            line.stream,
            line.code.map(|code| match code {
                serde_json::Value::String(code) => code,
                other => other.to_string(),
            }),
            without_values(line.reason.as_deref().unwrap_or("no reason given")),
        ),
        Err(_) => (String::new(), None, "a line that is no reject".to_owned()),
    }
}

fn listed_groups(groups: Groups) -> Vec<RejectGroup> {
    let group = |((stream, code, reason), count)| RejectGroup {
        stream,
        code,
        reason,
        count,
    };
    groups.into_iter().map(group).collect()
}

fn merge(all: impl Iterator<Item = RejectGroup>) -> Vec<RejectGroup> {
    let mut merged = Groups::new();
    for group in all {
        *merged
            .entry((group.stream, group.code, group.reason))
            .or_default() += group.count;
    }
    let mut groups = listed_groups(merged);
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
    fn lines_that_differ_in_values_alone_are_counted_together() {
        let one = br#"{"stream":"a","key":{"id":1},"record":{"mail":"x@y"},"reason":"bad \"x@y\"","code":7}"#;
        let other = br#"{"stream":"a","key":{"id":2},"record":{},"reason":"bad \"z\"","code":7}"#;
        assert_eq!(group(one), group(other));
        let counted = |line: &[u8], count| {
            let (stream, code, reason) = group(line);
            RejectGroup {
                stream,
                code,
                reason,
                count,
            }
        };
        let files = [counted(b"garbage", 2), counted(one, 1), counted(other, 2)];
        let groups = merge(files.into_iter());
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].count, 3);
        assert_eq!(groups[0].reason, "bad “…”");
        assert_eq!(groups[0].code.as_deref(), Some("7"));
        assert_eq!(groups[1].reason, "a line that is no reject");
    }
}
