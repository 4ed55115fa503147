//! The method `load`: rows go as one file into a staging table, and from there by one statement into
//! the table. The statement is what makes them visible, and its job happens once.
//!
//! | killed | at the destination | the next run |
//! | --- | --- | --- |
//! | before the load job is done | a staging table, perhaps empty | loads into another one; the old one goes after a day |
//! | between the load job and the statement | a full staging table | the same |
//! | while the statement runs | nothing yet, then all rows | MERGE: writes the same rows again. INSERT: the journal names the job, which is waited for, and counts |
//! | between the statement and STATE | all rows | the same |

use std::sync::Arc;

use serde_json::json;
use singer_core::{Error, Result};
use singer_runtime::blocking::blocking;
use singer_runtime::target::Batch;

use super::rows::{self, File, Line, Recipe, Stamp};
use super::staging::{Loaded, Staging};
use super::{Part, Written};
use crate::journal::Entry;
use crate::names::{job_id_part, same_column};
use crate::shape::Shape;
use crate::sql;
use crate::stream::Inner;
use crate::table::Ready;

/// Files that BigQuery may refuse before one is taken: then it is not single rows that are at fault.
const VAIN_FILES: u32 = 48;

/// Rows that BigQuery may name one file after the other, before files are halved.
const NAMED_ROUNDS: u32 = 4;

/// Sends the rows of a part.
pub(super) async fn write(
    inner: &Arc<Inner>,
    shape: &Shape,
    batch: &Arc<Batch>,
    part: &Part,
    ready: &Arc<Ready>,
) -> Result<Written> {
    let mut written = Written::default();
    let recipe = recipe(inner, shape, ready, batch);
    // Files to be tried: the whole part, then what is left of it.
    let mut waiting = vec![(part.clone(), 0)];
    let mut vain = 0;
    while let Some((part, rounds)) = waiting.pop() {
        let file = encode(batch, &part, &recipe).await?;
        for (row, error) in &file.refused {
            written.refuse_row(*row, error);
        }
        if file.has_unknown_inside {
            inner.warn_of_unknown_inside();
        }
        if file.rows.is_empty() {
            continue;
        }
        let sending = Sending {
            inner,
            shape,
            ready,
            file: &file,
            batch_number: batch.number(),
            number: inner.next_file(),
        };
        let loaded = sending.send().await?;
        written.bytes += file.data.len() as u64;
        match loaded {
            Loaded::All => {
                vain = 0;
                written.sent += file.rows.len() as u64;
            }
            Loaded::Named(named) if rounds < NAMED_ROUNDS => {
                vain += 1;
                let rest = part.without(&named.iter().map(|(row, ..)| *row).collect::<Vec<_>>());
                for (row, code, words) in named {
                    written.refuse(row, &code, words);
                }
                waiting.push((rest, rounds + 1));
            }
            Loaded::Named(named) => {
                vain += 1;
                let (_, code, words) = named.into_iter().next().unwrap_or_default();
                halve(&file, &part, (code, words), &mut waiting, &mut written);
            }
            Loaded::Unnamed(code, words) => {
                vain += 1;
                halve(&file, &part, (code, words), &mut waiting, &mut written);
            }
        }
        if vain > VAIN_FILES {
            return Err(Error::rejected(format!(
                "BigQuery refuses the rows of `{}`: {vain} files in a row were refused",
                ready.place
            ))
            .with_hint("the first reasons stand in the rejects file; does the table still have the columns that it had?"));
        }
    }
    Ok(written)
}

/// Tries the halves of a file; a single row is refused.
fn halve(
    file: &File,
    part: &Part,
    (code, words): (String, String),
    waiting: &mut Vec<(Part, u32)>,
    written: &mut Written,
) {
    if let [row] = file.rows.as_slice() {
        written.refuse(*row, &code, words);
        return;
    }
    let (first, second) = file.rows.split_at(file.rows.len() / 2);
    for rows in [second, first] {
        let half = Part {
            rows: rows.to_vec(),
            ..part.clone()
        };
        waiting.push((half, NAMED_ROUNDS));
    }
}

impl Part {
    fn without(&self, rows: &[u32]) -> Self {
        Self {
            rows: self
                .rows
                .iter()
                .copied()
                .filter(|row| !rows.contains(row))
                .collect(),
            ..self.clone()
        }
    }
}

fn recipe(inner: &Inner, shape: &Shape, ready: &Ready, batch: &Batch) -> Recipe {
    let mut bounded = Vec::new();
    if shape.merges() {
        bounded.clone_from(&shape.key_columns);
        if let Some(column) = &ready.partitioned_by
            && shape.partition_fixed
        {
            bounded.push(column.clone());
        }
    }
    Recipe {
        columns: Arc::clone(&ready.columns),
        line: Line::new(shape),
        stamp: stamp(inner, batch),
        options: shape.options,
        compression: inner.warehouse.config.compression,
        bounded,
        keys: shape.needed(),
        merges: shape.merges(),
    }
}

pub(super) fn stamp(inner: &Inner, batch: &Batch) -> Stamp {
    Stamp {
        at: inner.warehouse.context.now().timestamp_micros(),
        prefix: format!(
            "{}-{:012}-",
            inner.warehouse.context.run_id(),
            batch.number()
        ),
    }
}

async fn encode(batch: &Arc<Batch>, part: &Part, recipe: &Recipe) -> Result<File> {
    let (batch, part, recipe) = (Arc::clone(batch), part.clone(), recipe.clone());
    blocking(move || rows::file(&batch, &part, &recipe)).await
}

/// One file on its way.
struct Sending<'a> {
    inner: &'a Inner,
    shape: &'a Shape,
    ready: &'a Ready,
    file: &'a File,
    batch_number: u64,
    /// Which file of the stream it is: one that is sent again, to a table that has changed, needs jobs
    /// of its own, as those of the first time are over.
    number: u64,
}

impl Sending<'_> {
    async fn send(&self) -> Result<Loaded> {
        let own = crate::job_base(
            &self.inner.warehouse,
            &self.ready.place,
            &[
                &self.inner.stream.name,
                &self.batch_number.to_string(),
                &self.number.to_string(),
                &self.file.hash,
            ],
        );
        let Some(journal) = self.inner.journal() else {
            return self.load_and_write(&own, &own).await;
        };
        let statement = match journal.inherit(&self.file.hash) {
            None => own.clone(),
            Some(inherited) => {
                self.enter(&inherited)?;
                if self.was_written(&inherited).await? {
                    tracing::info!(
                        stream = self.inner.stream.name,
                        rows = self.file.rows.len(),
                        job = inherited,
                        "a run that died had written these rows already"
                    );
                    return Ok(Loaded::All);
                }
                return self.load_and_write(&own, &inherited).await;
            }
        };
        self.load_and_write(&own, &statement).await
    }

    fn enter(&self, name: &str) -> Result<()> {
        let Some(journal) = self.inner.journal() else {
            return Ok(());
        };
        journal.enter(
            self.batch_number,
            Entry {
                hash: self.file.hash.clone(),
                name: name.to_owned(),
                covered_by: None,
            },
        )
    }

    async fn was_written(&self, statement: &str) -> Result<bool> {
        let location = self.ready.location.as_deref();
        let base = statement_base(statement);
        let done = self.inner.warehouse.jobs.was_done(&base, location).await;
        let done =
            done.map_err(|fault| fault.error("cannot ask what became of a job of the run before"))?;
        Ok(done.is_some_and(|job| job.affected_rows() != Some(0)))
    }

    async fn load_and_write(&self, base: &str, statement: &str) -> Result<Loaded> {
        let short: String = base
            .rsplit('_')
            .next()
            .unwrap_or(base)
            .chars()
            .take(24)
            .collect();
        let staging = Staging::new(self.inner, self.shape, self.ready, self.file, &short);
        let loaded = staging
            .load(
                self.inner,
                self.shape,
                self.ready,
                self.file,
                &format!("{base}_l"),
            )
            .await;
        let result = match loaded {
            Ok(Loaded::All) => self
                .statement(&staging, statement)
                .await
                .map(|()| Loaded::All),
            other => other,
        };
        staging.delete(self.inner).await;
        result
    }

    /// Moves the rows of the staging table into the table.
    async fn statement(&self, staging: &Staging, name: &str) -> Result<()> {
        let what = format!("cannot write rows to `{}`", self.ready.place);
        let query = self.query(staging);
        if name_is_new(name, self.inner) {
            self.enter(name)?;
        }
        let job = self
            .inner
            .warehouse
            .jobs
            .must(
                &what,
                &statement_base(name),
                self.ready.location.as_deref(),
                &query,
            )
            .await?;
        let rows = self.file.rows.len() as u64;
        let appends = !self.shape.merges();
        match job.affected_rows() {
            Some(affected) if appends && affected != rows => Err(Error::protocol(format!(
                "the job `{}` wrote {affected} rows to `{}`, and {rows} were sent",
                job.id, self.ready.place
            ))),
            _ => Ok(()),
        }
    }

    fn query(&self, staging: &Staging) -> String {
        if !self.shape.merges() {
            return sql::insert(&self.ready.path, &staging.path, &staging.columns);
        }
        let order_by = self.shape.order_by.as_deref();
        let order_by = order_by.filter(|wanted| {
            staging.columns.iter().any(|column| {
                let keys = &self.shape.key_columns;
                same_column(&column.name, wanted)
                    && !keys.iter().any(|key| same_column(key, wanted))
            })
        });
        let has_deleted = staging
            .columns
            .iter()
            .any(|column| column.name == sql::DELETED_AT);
        sql::merge(&sql::Merge {
            target: &self.ready.path,
            staging: &staging.path,
            keys: &self.shape.key_columns,
            columns: &staging.columns,
            order_by,
            bounds: &self.file.bounds,
            deletes: has_deleted && self.shape.deletes_rows(),
            versions: self.shape.on_delete.is_some()
                && staging
                    .columns
                    .iter()
                    .any(|column| column.name == sql::TABLE_VERSION),
        })
    }
}

/// An inherited name was entered before it was asked for.
fn name_is_new(name: &str, inner: &Inner) -> bool {
    inner
        .journal()
        .is_some_and(|journal| !journal.has_own(name))
}

fn statement_base(base: &str) -> String {
    format!("{base}_m")
}

/// The requests for a part, as `--dry-run` shows them.
pub(super) fn preview(
    inner: &Inner,
    shape: &Shape,
    batch: &Batch,
    part: &Part,
    bytes: usize,
) -> String {
    let warehouse = &inner.warehouse;
    let ready = Ready::planned(warehouse, shape, &part.place);
    let mut recipe = recipe(inner, shape, &ready, batch);
    recipe.compression = crate::config::Compression::None;
    let few = Part {
        rows: part.rows.iter().copied().take(20).collect(),
        ..part.clone()
    };
    let Ok(file) = rows::file(batch, &few, &recipe) else {
        return String::new();
    };
    let staging = Staging::new(inner, shape, &ready, &file, "…");
    let sending = Sending {
        inner,
        shape,
        ready: &ready,
        file: &file,
        batch_number: batch.number(),
        number: 1,
    };
    let lines = String::from_utf8_lossy(&file.data);
    let shown: String = lines.chars().take(bytes).collect();
    format!(
        "POST {}/upload/bigquery/v2/projects/{}/jobs?uploadType=resumable\n{}\n\n{} rows of the table `{}`, the first of them:\n{}\nthen the statement\n{}",
        warehouse.api.base(),
        warehouse.api.project(),
        json!({"destinationTable": staging.place.to_string(), "sourceFormat": "NEWLINE_DELIMITED_JSON"}),
        part.rows.len(),
        job_id_part(&part.place.table),
        shown.trim_end(),
        sending.query(&staging),
    )
}
