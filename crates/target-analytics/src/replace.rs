//! Replacing: rows wait on disk until their version is activated, and then take the place of all rows in
//! one batch job, which shows nothing before its last file.
//!
//! | killed | at the destination | the next run |
//! | --- | --- | --- |
//! | while rows are collected | the old rows | begins anew; nothing is left on disk |
//! | between two files of the job | the old rows; a job that is open, and holds one of five slots until Analytics drops it | begins another job |
//! | after the last file, before STATE | the old rows, then the new ones | the version comes again and is replaced once more |
//!
//! A job that is given up is never closed: its last file would make what it has the whole table.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use singer_core::{Error, Result};
use singer_runtime::blocking::blocking;
use singer_runtime::target::Batch;
use zoho::table::write_header;
use zoho::{Class, Repeat};

use crate::api::{Table, text};
use crate::before::Before;
use crate::complaint;
use crate::encode::{self, Cell};
use crate::home::{Home, fault_of, may_heal};
use crate::model::{Job, Summary};
use crate::rows::{Part, Written};
use crate::shape::{Import, Shape};
use crate::spool::Spool;

/// Jobs that are begun for one replacement.
const MOST_JOBS: u32 = 3;

/// What a key of a batch job may take in CONFIG, with the words around it.
const KEY_CHARACTERS: usize = 600;

/// The rows of a stream that wait, by version: batches of two versions may be on their way side by side.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    versions: HashMap<Option<i64>, Version>,
    /// Records of these versions that say that their row was deleted, which are not collected.
    deleted: HashMap<Option<i64>, u64>,
}

/// The rows of one version.
#[derive(Debug)]
struct Version {
    spool: Spool,
    /// Rows that could not be written.
    refused: u64,
}

/// Why a job came to nothing.
enum Broken {
    /// Another one may do.
    Again(Error),
    /// No other will.
    ForGood(Error),
}

/// Collects the rows of a part.
pub(crate) async fn collect(home: &Home, shape: &Arc<Shape>, part: Part) -> Result<Written> {
    let collected = home.collected(&shape.stream);
    let mut collected = collected.lock_owned().await;
    let folder = std::env::temp_dir();
    let most = home.config.file_bytes;
    let callback = home.callback_url().map(str::to_owned);
    let shape = Arc::clone(shape);
    let work = move || collected.push(&shape, &part, &folder, (most, callback.as_deref()));
    blocking(work).await
}

/// Counts records whose rows were deleted at the source: they are of their version and not of the table.
pub(crate) async fn pass_over(home: &Home, shape: &Shape, batch: &Batch, deleted: &[u32]) {
    let collected = home.collected(&shape.stream);
    let mut collected = collected.lock().await;
    for row in deleted {
        let version = batch.record(*row as usize).version();
        *collected.deleted.entry(version).or_default() += 1;
    }
}

impl Collected {
    fn push(
        &mut self,
        shape: &Shape,
        part: &Part,
        folder: &std::path::Path,
        (most, callback): (u64, Option<&str>),
    ) -> Result<Written> {
        let cells = shape.some_cells(&part.columns);
        let mut header = Vec::new();
        write_header(&mut header, cells.iter().map(|cell| cell.column.as_str()));
        let mut written = Written::default();
        let mut rows = part.rows.iter().peekable();
        let mut block = Vec::new();
        while let Some(first) = rows.peek() {
            let of = |row: u32| part.batch.record(row as usize).version();
            let version = of(**first);
            let collected = self.versions.entry(version).or_insert_with(|| {
                let config = shape.import_config(Import::TruncateAdd, &cells, callback);
                let length = config.to_string().len() + KEY_CHARACTERS;
                Version {
                    spool: Spool::new(folder, header.clone(), most, length),
                    refused: 0,
                }
            });
            if !collected.spool.has_header(&header) {
                return Err(Error::rejected(format!(
                    "the columns of the stream `{}` changed within a version that replaces its table",
                    shape.stream
                ))
                .with_hint("run again: a version has one SCHEMA"));
            }
            block.clear();
            let mut ends = vec![0];
            while let Some(row) = rows.next_if(|row| of(**row) == version) {
                let record = part.batch.record(*row as usize);
                match encode::line(&record, &cells, shape.options, &mut block) {
                    Ok(cells) => {
                        written.emptied += cells;
                        ends.push(block.len());
                    }
                    Err(error) => {
                        shape.check_abort(&error)?;
                        collected.refused += 1;
                        written.refuse_row(*row, error);
                    }
                }
            }
            let lines = ends
                .windows(2)
                .filter_map(|pair| block.get(*pair.first()?..*pair.get(1)?));
            collected.spool.push(lines)?;
            written.sent += ends.len() as u64 - 1;
        }
        Ok(written)
    }
}

/// Every row of the version is here: they take the place of all rows. `rows` is how many the version has.
pub(crate) async fn activate(
    home: &Home,
    shape: &Arc<Shape>,
    table: &Table,
    version: i64,
    rows: Option<u64>,
) -> Result<()> {
    let collected = home.collected(&shape.stream);
    let mut collected = collected.lock_owned().await;
    // Rows that never had a version are of this one, and those of others are superseded.
    let may_stay = |key: &Option<i64>| key.is_none_or(|key| key == version);
    collected.versions.retain(|key, _| may_stay(key));
    collected.deleted.retain(|key, _| may_stay(key));
    let key = if collected.versions.contains_key(&Some(version)) {
        Some(version)
    } else {
        None
    };
    let deleted = collected.deleted.get(&key).copied().unwrap_or_default();
    let waiting = collected.versions.get_mut(&key);
    let lane = home.lane(&table.view);
    let _gate = lane.enter().await;
    match waiting {
        Some(waiting) if waiting.spool.rows > 0 => {
            let replaced = waiting.spool.rows;
            let known = replaced + waiting.refused + deleted;
            if rows.is_some_and(|rows| rows > known) {
                return Err(Error::internal(format!(
                    "of the rows that are to replace those of `{}` only {known} are here",
                    shape.view
                )));
            }
            commit(home, shape, table, &mut waiting.spool).await?;
            tracing::info!(
                stream = shape.stream,
                view = shape.view,
                rows = replaced,
                version,
                "replaced the rows"
            );
        }
        _ if rows == Some(0) => {
            let deleted = home
                .api
                .delete_rows(table, &json!({"deleteAllRows": true}))
                .await;
            let what = format!("cannot empty the table `{}`", shape.view);
            let deleted = deleted.map_err(|fault| fault.into_error(&what))?;
            tracing::info!(
                stream = shape.stream,
                view = shape.view,
                rows = deleted,
                version,
                "emptied the table"
            );
        }
        _ => {
            return Err(Error::rejected(format!(
                "a version does not replace the rows of `{}`: none of its rows was taken",
                shape.view
            ))
            .with_hint("the reasons stand in the rejects file"));
        }
    }
    Ok(())
}

/// Sends all files as one job, and another one if it breaks off.
async fn commit(home: &Home, shape: &Shape, table: &Table, spool: &mut Spool) -> Result<()> {
    let mut jobs = 0;
    loop {
        jobs += 1;
        match job(home, shape, table, spool).await {
            Ok(()) => {
                home.api.units.import(shape.mode, spool.rows);
                return Ok(());
            }
            Err(Broken::ForGood(error)) => return Err(error),
            Err(Broken::Again(error)) if jobs == MOST_JOBS => return Err(error),
            Err(Broken::Again(error)) => {
                tracing::warn!(
                    stream = shape.stream,
                    %error,
                    "the job that replaces the rows broke off and is begun anew; the old one is not closed and may hold a slot for a while"
                );
                let wait = Duration::from_secs(1 << jobs);
                home.context.pause(wait).await?;
            }
        }
    }
}

async fn job(home: &Home, shape: &Shape, table: &Table, spool: &mut Spool) -> Result<(), Broken> {
    let cells: Vec<&Cell> = shape.cells.iter().collect();
    let base = shape.import_config(Import::TruncateAdd, &cells, home.callback_url());
    let what = format!("cannot replace the rows of `{}`", shape.view);
    let before = Before::of(home, table).await;
    let (mut id, mut key) = (String::new(), None);
    let mut index = 0;
    while index < spool.len() {
        let is_last = index + 1 == spool.len();
        let config = batch_config(&base, key.as_deref(), is_last);
        let config = text(&config).map_err(Broken::ForGood)?;
        let upload = spool.upload(index, &config, home.api.is_query());
        let upload = upload.map_err(Broken::ForGood)?;
        // A file that came twice would be in the table twice.
        let sent = home
            .api
            .import_batch(table, &upload, Repeat::OnlyIfRefused)
            .await;
        match sent {
            Ok(sent) => {
                id = sent.job;
                key = sent.key.or(key);
                index += 1;
            }
            Err(fault) if home.api.wants_query(&fault, &upload) => {}
            Err(fault) => {
                let is_over = ["7336", "7337", "7338"].iter().any(|code| fault.is(code));
                let is_broken = fault.is_unclear() || fault.class == Class::Expired;
                let may = is_broken || (is_over && index > 0);
                let error = fault.into_error(&what);
                return Err(if may {
                    Broken::Again(error)
                } else {
                    Broken::ForGood(error)
                });
            }
        }
    }
    let ended = home.wait(table, &id).await.map_err(Broken::ForGood)?;
    judge(home, shape, table, (before, spool.rows), ended, &id).await
}

/// Holds what the job says against what was sent.
async fn judge(
    home: &Home,
    shape: &Shape,
    table: &Table,
    (before, rows): (Before, u64),
    ended: Job,
    id: &str,
) -> Result<(), Broken> {
    let view = &shape.view;
    let names: Vec<&str> = shape
        .cells
        .iter()
        .map(|cell| cell.column.as_str())
        .collect();
    let summary = match ended {
        Job::Done(summary) => summary,
        Job::Failed { code, errors } => {
            let words = complaint::words(&errors, &names);
            let fault = fault_of(&code, &words);
            if fault.class == Class::Data {
                let error = Error::rejected(format!(
                    "Analytics does not take the rows that were to replace those of `{view}`: {words}"
                ))
                .with_source(Error::rejected(format!("the import `{id}` failed with the code `{code}`")))
                .with_hint("the table is as it was; mend the values at their source, or let `on_error` `set_empty` leave such cells empty");
                return Err(Broken::ForGood(error));
            }
            let may = may_heal(fault.class);
            let error = fault.into_error(&format!("the import `{id}` into `{view}` failed"));
            return Err(if may {
                Broken::Again(error)
            } else {
                Broken::ForGood(error)
            });
        }
        Job::Lost => match home.api.last_import(table).await {
            Ok(Some(last)) if last.succeeded && before.is_followed_by(&last, rows) => last.summary,
            Ok(_) | Err(_) => {
                return Err(Broken::Again(Error::transient(format!(
                    "Analytics does not know the import `{id}` into `{view}` any more"
                ))));
            }
        },
        Job::Running(_) => {
            return Err(Broken::ForGood(Error::internal(
                "an import was left while it ran",
            )));
        }
    };
    whole(shape, rows, &summary, id, &names).map_err(Broken::ForGood)
}

fn whole(shape: &Shape, rows: u64, summary: &Summary, id: &str, names: &[&str]) -> Result<()> {
    if summary.total != rows || summary.success != rows {
        return Err(Error::rejected(format!(
            "the import `{id}` replaced the rows of `{}` by {} of {rows}: Analytics read {}",
            shape.view, summary.success, summary.total
        ))
        .with_hint("the table is short of rows: run again"));
    }
    if summary.warnings > 0 {
        tracing::warn!(
            stream = shape.stream,
            job = id,
            cells = summary.warnings,
            first = complaint::words(&summary.errors, names),
            "Analytics left cells empty that it does not take"
        );
    }
    Ok(())
}

/// CONFIG of a file of a batch job.
pub(crate) fn batch_config(base: &Value, key: Option<&str>, is_last: bool) -> Value {
    let mut config = base.clone();
    config["batchKey"] = json!(key.unwrap_or("start"));
    config["isLastBatch"] = json!(is_last);
    config
}
