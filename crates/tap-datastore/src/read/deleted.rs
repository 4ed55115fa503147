//! Rows that are gone, found by comparing the ids of all rows with those of the last time: the service leaves
//! no trace of a deletion.
//!
//! The ids lie in a file beside the state. The bookmark names its generation, so that a file counts only once
//! its STATE has been stored; until then the one before is kept.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use singer_core::{Error, Result};
use singer_runtime::blocking::blocking;
use singer_runtime::tap::Output;
use singer_runtime::tap::ids::{self, Emitted, Generations, IdSorter};
use tracing::info;
use zoho::archive::{self, Bounds};
use zoho::table::Rows;

use super::Reading;
use super::bounds::{Style, Window};
use super::pages::Queue;
use super::progress::Progress;
use super::query::{SCOPE, rowid};
use crate::api::error_of;
use crate::bulk::{JobIds, PageRequest};
use crate::config::Config;
use crate::record::write_deletion;
use crate::schema::{ROWID, Table};

/// Ids that one query looks for.
const IDS_OF_A_QUERY: usize = 200;

/// A file of ids alone grows less than others when it is unzipped.
const BOUNDS: Bounds = Bounds {
    max_entries: 16,
    max_bytes: 1 << 30,
    max_ratio: 500,
};

/// Emits a record for each row that is gone, then the last STATE of the stream.
pub(super) async fn read(
    reading: &Reading<'_>,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<()> {
    let folder = reading.tap.config.deletions_path.clone();
    let (files, before) = open(reading).await?;
    let Listed {
        ids: there,
        pages,
        is_certain,
    } = listed(reading, &folder, out).await?;
    let (new, emitted) = (files.next(), files.emitted());
    let (mut gone, count) = blocking({
        let new = new.clone();
        move || {
            let known = Emitted::<i64>::sorter(&emitted)?
                .sorted()?
                .with_file(before)?;
            ids::compare(there.sorted()?, known, &new)
        }
    })
    .await?;
    info!(
        stream = reading.plan.id,
        rows = count,
        pages,
        "rows of the last time that are not listed"
    );
    let at = reading.tap.context.now().timestamp_micros();
    let mut kept = Vec::new();
    loop {
        reading.interrupted()?;
        let candidates = ids::take(&mut gone, IDS_OF_A_QUERY)?;
        if candidates.is_empty() {
            break;
        }
        let alive = if is_certain {
            Vec::new()
        } else {
            alive(reading, &candidates).await?
        };
        for id in candidates {
            if alive.contains(&id) {
                kept.push(id);
                continue;
            }
            let id = id.to_string();
            out.record(|buffer| {
                write_deletion(buffer, &id, at);
                Ok(())
            })
            .await?;
        }
    }
    if !kept.is_empty() {
        blocking(move || ids::add(&new, kept)).await?;
    }
    let (name, value) = files.entry();
    progress.carry(name, value);
    out.checkpoint(progress.final_bookmark()).await
}

/// Whether an earlier run has looked for rows that are gone.
pub(super) fn is_known(bookmark: &Map<String, Value>) -> bool {
    Generations::is_known(bookmark)
}

/// Adds the ids of the rows that were emitted to those that are known, without looking for rows that are gone: one
/// that comes and goes between two looks would be in neither of them.
pub(super) async fn note(reading: &Reading<'_>, progress: &mut Progress) -> Result<()> {
    let (files, before) = open(reading).await?;
    // Without those of before the next look finds less than it could, and says so.
    let Some(before) = before else { return Ok(()) };
    let (new, emitted) = (files.next(), files.emitted());
    blocking(move || {
        let emitted = Emitted::<i64>::sorter(&emitted)?.sorted()?;
        ids::write(emitted.with_file(Some(before))?, &new)
    })
    .await?;
    let (name, value) = files.entry();
    progress.carry(name, value);
    Ok(())
}

/// Where the ids of the rows that a run emits are noted until a state names a newer file.
pub(super) fn emitted_path(
    config: &Config,
    table: &Table,
    bookmark: &Map<String, Value>,
) -> PathBuf {
    files(config, table, bookmark).emitted()
}

/// The files of a stream, and the one that its bookmark names.
async fn open(reading: &Reading<'_>) -> Result<(Generations, Option<File>)> {
    let files = files(&reading.tap.config, &reading.table, &reading.plan.bookmark);
    let files = blocking(move || files.tidy()).await?;
    let before = files.open(&reading.plan.id)?;
    Ok((files, before))
}

fn files(config: &Config, table: &Table, bookmark: &Map<String, Value>) -> Generations {
    let environment = config
        .environment
        .map_or("default", |environment| environment.name());
    // The id keeps tables apart whose names differ in what a file name cannot have.
    let name = format!(
        "{}-{environment}-{}-{}",
        config.project_id, table.name, table.id
    );
    Generations::new(&config.deletions_path, &name, bookmark)
}

/// The ids of all rows.
struct Listed {
    ids: IdSorter<i64>,
    pages: u32,
    /// Whether a row that is not among them is gone. One job is one look at the table; between several, rows may
    /// have moved from page to page.
    is_certain: bool,
}

async fn listed(reading: &Reading<'_>, folder: &Path, out: &mut Output) -> Result<Listed> {
    let mut sorter = IdSorter::new(folder);
    let template = PageRequest {
        table: reading.table.id.clone(),
        name: reading.table.name.clone(),
        page: 0,
        columns: Arc::new([ROWID.to_owned()]),
        criteria: Arc::new([]),
        jobs: JobIds::default(),
    };
    let expected = reading.count(&Window::ALL, Style::FIRST).await?;
    let mut queue = Queue::new(reading, template, 1, expected);
    loop {
        let (request, page) = queue.next(out, || None).await?;
        let mut count = 0;
        if let Some(file) = page.file {
            let (name, rows) = (request.name, page.rows);
            (sorter, count) = blocking(move || read_ids(file, &name, rows, sorter)).await?;
        }
        let is_full = count >= reading.tap.config.page_size;
        if !page.has_more.unwrap_or(is_full) {
            let pages = request.page;
            return Ok(Listed {
                ids: sorter,
                pages,
                is_certain: pages == 1 && expected.is_none_or(|expected| count >= expected),
            });
        }
    }
}

fn read_ids(
    file: File,
    table: &str,
    expected: Option<u64>,
    mut sorter: IdSorter<i64>,
) -> Result<(IdSorter<i64>, u64)> {
    let mut rows = Rows::new(archive::open(file, ".csv", BOUNDS)?, 1 << 20)?;
    let position = rows.header().iter().position(|name| name == ROWID);
    let position = position.ok_or_else(|| {
        Error::protocol(format!("the file of `{table}` lacks the column `{ROWID}`"))
    })?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let id = row.text(position).trim().parse().map_err(|_| {
            Error::protocol(format!(
                "a row of `{table}` comes without a whole `{ROWID}`"
            ))
        })?;
        sorter.push(id)?;
        count += 1;
    }
    // A list that is too short would have rows deleted that are there.
    if expected.is_some_and(|expected| expected != count) {
        return Err(Error::protocol(format!(
            "{} ids of `{table}` were processed, and the file holds {count}",
            expected.unwrap_or_default()
        )));
    }
    Ok((sorter, count))
}

/// Those of these rows that are there after all.
async fn alive(reading: &Reading<'_>, ids: &[i64]) -> Result<Vec<i64>> {
    let name = &reading.table.name;
    if !reading.tap.may_query() {
        let mut alive = Vec::new();
        for id in ids {
            let row = reading.tap.row(&reading.table, &id.to_string()).await?;
            alive.extend(row.map(|_| *id));
        }
        return Ok(alive);
    }
    let list: Vec<String> = ids.iter().map(i64::to_string).collect();
    let zcql = format!(
        "SELECT {ROWID} FROM {name} WHERE {ROWID} IN ({})",
        list.join(", ")
    );
    let rows = reading.tap.api.query(name, &zcql).await;
    let rows = rows.map_err(|fault| error_of(fault, &format!("query `{name}`"), SCOPE))?;
    rows.iter().map(|row| rowid(name, row)).collect()
}
