//! `rejects P list` and `rejects P show`: reading alone, so no lease is taken.

use std::collections::BTreeMap;

use serde::Serialize;
use singer_core::Result;
use singer_runtime::{exit, stdio};

use super::lines::{Filter, Lines, Reject};
use super::{Chosen, FILE, open_runs};
use crate::cli::Format;
use crate::history::text::{self, Column};
use crate::session::Session;

/// More kinds than this of a run are counted together: a foreign target may put anything in a reason.
const MOST_KINDS: usize = 200;
/// What they are counted under.
const OTHERS: &str = "(other reasons)";
/// What stands for a line that cannot be read.
const UNREADABLE: &str = "(a line that cannot be read)";

/// What is told apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Sort {
    stream: Option<String>,
    code: Option<String>,
    reason: Option<String>,
}

/// What is counted of it.
#[derive(Debug, Default)]
struct Count {
    records: u64,
    first_at: Option<String>,
    last_at: Option<String>,
    attempts: u64,
}

/// A line of the list.
#[derive(Debug, Serialize)]
struct Line {
    run: String,
    stream: Option<String>,
    code: Option<String>,
    reason: Option<String>,
    records: u64,
    first_at: Option<String>,
    last_at: Option<String>,
    attempts: u64,
}

/// Counts the open rejects.
pub(super) async fn list(
    session: &Session,
    pipeline: &str,
    chosen: &Chosen,
    format: Format,
) -> anyhow::Result<u8> {
    let mut lines = Vec::new();
    for run in open_runs(session, pipeline, chosen).await? {
        lines.extend(count(session, pipeline, run, chosen).await?);
    }
    let text = match format {
        Format::Text => to_text(pipeline, &lines),
        Format::Json => {
            let mut text = String::new();
            for line in &lines {
                text.push_str(&serde_json::to_string(line)?);
                text.push('\n');
            }
            text
        }
    };
    stdio::print(text.as_bytes())?;
    Ok(exit::DONE)
}

/// Prints the open rejects.
pub(super) async fn show(
    session: &Session,
    pipeline: &str,
    chosen: &Chosen,
    limit: Option<u64>,
) -> anyhow::Result<u8> {
    let filter = Filter::chosen(chosen);
    let mut left = limit.unwrap_or(u64::MAX);
    let mut text = Vec::new();
    for run in open_runs(session, pipeline, chosen).await? {
        let Some(mut lines) = Lines::open(session, pipeline, &run, FILE).await? else {
            continue;
        };
        while left > 0
            && let Some(line) = lines.next().await?
        {
            if filter.takes(&line, None) {
                text.extend_from_slice(&line);
                text.push(b'\n');
                left -= 1;
            }
            if text.len() >= 64 * 1024 {
                stdio::print(&text)?;
                text.clear();
            }
        }
    }
    stdio::print(&text)?;
    Ok(exit::DONE)
}

async fn count(
    session: &Session,
    pipeline: &str,
    run: String,
    chosen: &Chosen,
) -> Result<Vec<Line>> {
    let filter = Filter::chosen(chosen);
    let mut counts: BTreeMap<Sort, Count> = BTreeMap::new();
    let Some(mut lines) = Lines::open(session, pipeline, &run, FILE).await? else {
        return Ok(Vec::new());
    };
    while let Some(line) = lines.next().await? {
        if filter.takes(&line, None) {
            add(&mut counts, &line);
        }
    }
    let line = |(sort, count): (Sort, Count)| Line {
        run: run.clone(),
        stream: sort.stream,
        code: sort.code,
        reason: sort.reason,
        records: count.records,
        first_at: count.first_at,
        last_at: count.last_at,
        attempts: count.attempts,
    };
    Ok(counts.into_iter().map(line).collect())
}

fn add(counts: &mut BTreeMap<Sort, Count>, line: &[u8]) {
    let reject = Reject::parse(line);
    let mut sort = match &reject {
        Some(reject) => Sort {
            stream: reject.stream.as_deref().map(str::to_owned),
            code: reject.code.as_deref().map(str::to_owned),
            reason: reject.reason.as_deref().map(str::to_owned),
        },
        None => Sort {
            stream: None,
            code: None,
            reason: Some(UNREADABLE.to_owned()),
        },
    };
    if counts.len() >= MOST_KINDS && !counts.contains_key(&sort) {
        sort = Sort {
            stream: None,
            code: None,
            reason: Some(OTHERS.to_owned()),
        };
    }
    let count = counts.entry(sort).or_default();
    count.records += 1;
    let Some(reject) = reject else { return };
    count.attempts = count.attempts.max(reject.attempts.unwrap_or(1));
    // All are in UTC with equal digits, or of a foreign target that is right about its own.
    if let Some(at) = reject.at.as_deref() {
        if count.first_at.as_deref().is_none_or(|first| at < first) {
            count.first_at = Some(at.to_owned());
        }
        if count.last_at.as_deref().is_none_or(|last| at > last) {
            count.last_at = Some(at.to_owned());
        }
    }
}

fn to_text(pipeline: &str, lines: &[Line]) -> String {
    if lines.is_empty() {
        return format!("`{pipeline}` has no open rejects\n");
    }
    let columns = [
        Column::Left("RUN"),
        Column::Left("STREAM"),
        Column::Right("RECORDS"),
        Column::Right("ATTEMPTS"),
        Column::Left("FIRST"),
        Column::Left("LAST"),
        Column::Left("CODE"),
        Column::Left("REASON"),
    ];
    let or_nothing = |text: &Option<String>| text.clone().unwrap_or_else(|| text::NOTHING.into());
    let time = |at: &Option<String>| {
        let parsed = at
            .as_deref()
            .and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
        match parsed {
            Some(at) => text::time(at.to_utc()),
            None => or_nothing(at),
        }
    };
    let row = |line: &Line| {
        vec![
            line.run.clone(),
            or_nothing(&line.stream),
            text::count(Some(line.records)),
            text::count(Some(line.attempts)),
            time(&line.first_at),
            time(&line.last_at),
            or_nothing(&line.code),
            text::words(line.reason.as_deref()),
        ]
    };
    let mut text = text::table(&columns, &lines.iter().map(row).collect::<Vec<_>>());
    text.push_str(&format!(
        "\n`antiphon rejects {pipeline} replay` sends them again, `… show` prints them, `… clear` closes them\n"
    ));
    text
}
