//! One stream: its plan, its table, and where its batches go.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use singer_core::{Error, Result};
use singer_runtime::target::{
    Batch, Limits, Outcome, Problem, Replaces, Stream, StreamPlan, Writer,
};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::api::Table;
use crate::config::{Chosen, Mode, OnDelete};
use crate::home::Home;
use crate::place::{self, Found};
use crate::rows::{self, Part, Written};
use crate::shape::{Import, Shape};
use crate::{delete, replace, row, units};

const MOST_RECORDS: usize = 500_000;

/// How long a record waits for its batch to fill while others were written lately: each thousand rows that
/// an import begins is paid for.
const BATCH_AGE: Duration = Duration::from_secs(60);

/// How long it waits if nothing was written for a while, so that a lone row is there within seconds.
const LONE_AGE: Duration = Duration::from_secs(5);

/// Row by row a batch is no larger than what a few minutes of calls take.
const ROWS_RECORDS: usize = 200;
const ROWS_AGE: Duration = Duration::from_secs(5);

/// Rows that `--dry-run` shows.
const SHOWN_ROWS: usize = 5;

/// Characters of a request that `--dry-run` shows.
const SHOWN: usize = 1_500;

/// Writes one stream.
#[derive(Debug)]
pub struct StreamWriter {
    home: Arc<Home>,
    stream: Arc<Stream>,
    chosen: Chosen,
    plan: StreamPlan,
    /// As it was planned; `None` if the plan has problems.
    planned: Option<Arc<Shape>>,
    /// The table, if it was there already.
    found: Option<Table>,
    ready: OnceCell<Ready>,
    /// When a batch was handed over last.
    last_batch: Mutex<Option<Instant>>,
}

/// A table that has every column, and how rows are written to it.
#[derive(Debug, Clone)]
struct Ready {
    table: Table,
    shape: Arc<Shape>,
}

impl StreamWriter {
    /// Plans a stream; reads what it must know, writes nothing.
    pub(crate) async fn open(home: Arc<Home>, stream: Arc<Stream>) -> Result<Self> {
        let chosen = home.config.stream(&stream.name);
        let found = place::find(&home, &stream, &chosen).await?;
        let shape = Shape::new(
            &stream,
            &chosen,
            &home.config,
            found.name(),
            found.columns(),
        );
        let mut plan = StreamPlan {
            destination: format!("table `{}`", found.name()),
            ..StreamPlan::default()
        };
        match (&found, &shape) {
            (Found::NotTable { name }, _) => plan.problems.push(place::no_table(name)),
            (Found::Missing { name }, _) if chosen.view_id.is_some() => {
                plan.problems.push(missing(name, "look at `view_id`: was the table deleted, or is it not shared with the token's user?"));
            }
            (Found::Missing { name }, _) if stream.guessed => {
                plan.problems.push(missing(name, "records of a rejects file have no SCHEMA: run the tap once more, which creates it"));
            }
            (Found::Missing { name }, _) if !chosen.create => {
                plan.problems
                    .push(missing(name, "create it, or leave `create` on"));
            }
            (_, Err(problems)) => plan.problems.clone_from(problems),
            (found, Ok(shape)) => describe(shape, found, &mut plan),
        }
        let planned = shape.ok().filter(|_| plan.problems.is_empty());
        if home.context.dry_run()
            && let Some(shape) = &planned
        {
            // Only administrators of the organization may know, and nobody must.
            let left = home.api.units_left().await.ok().flatten();
            plan.cost = Some(units::price(shape.mode, left.as_deref()));
        }
        Ok(Self {
            home,
            stream,
            chosen,
            plan,
            planned: planned.map(Arc::new),
            found: match found {
                Found::Table { table, .. } => Some(table),
                Found::Missing { .. } | Found::NotTable { .. } => None,
            },
            ready: OnceCell::new(),
            last_batch: Mutex::new(None),
        })
    }

    fn last_batch(&self) -> MutexGuard<'_, Option<Instant>> {
        let last = self.last_batch.lock();
        last.unwrap_or_else(PoisonError::into_inner)
    }

    /// How old the next batch may become: rows that trickle make an import a minute, and the first one
    /// after a while does not wait so long.
    fn age(&self) -> Duration {
        let since = self.last_batch().map(|last| last.elapsed());
        match since {
            Some(since) => BATCH_AGE.saturating_sub(since).max(LONE_AGE),
            None => LONE_AGE,
        }
    }

    fn planned(&self) -> Result<&Arc<Shape>> {
        self.planned.as_ref().ok_or_else(|| {
            Error::internal(format!("the stream `{}` has problems", self.stream.name))
        })
    }

    /// The table, brought to what the stream needs when it is asked for the first time.
    async fn ready(&self) -> Result<&Ready> {
        self.ready
            .get_or_try_init(|| async {
                let planned = self.planned()?;
                let key = match &self.found {
                    Some(table) => &table.view,
                    None => &planned.view,
                };
                let lane = self.home.lane(key);
                let _gate = lane.enter().await;
                let found = self.found.clone();
                let prepared =
                    place::prepare(&self.home, &self.stream, &self.chosen, planned, found);
                let (table, shape) = prepared.await?;
                // Nothing changed: the shape stays the one that others have too.
                let shape = Arc::new(shape);
                Ok(Ready { table, shape })
            })
            .await
    }

    async fn send(&self, batch: &Arc<Batch>) -> Result<Written> {
        let Ready { table, shape } = self.ready().await?;
        let (parts, deleted) = rows::parts(shape, batch);
        let mut written = match shape.mode {
            Mode::Append | Mode::Upsert => self.import(table, shape, parts).await?,
            Mode::Row => row::write(&self.home, shape, table, &parts).await?,
            Mode::Replace => {
                let mut written = Written::default();
                for part in parts {
                    written.add(replace::collect(&self.home, shape, part).await?);
                }
                written
            }
        };
        if shape.mode == Mode::Replace {
            // They are not among the rows that take the place of all.
            replace::pass_over(&self.home, shape, batch, &deleted).await;
            written.cleared += deleted.len() as u64;
        } else if !deleted.is_empty() {
            let lane = self.home.lane(&table.view);
            let _gate = lane.enter().await;
            let gone = delete::delete(&self.home, shape, table, batch, &deleted).await?;
            written.add(gone);
        }
        Ok(written)
    }

    async fn import(&self, table: &Table, shape: &Arc<Shape>, parts: Vec<Part>) -> Result<Written> {
        let lane = self.home.lane(&table.view);
        lane.write(&self.home, table, shape, parts).await
    }
}

/// What is done, into the plan.
fn describe(shape: &Shape, found: &Found, plan: &mut StreamPlan) {
    plan.destination = format!("table `{}`, {}", shape.view, shape.mode.word());
    plan.notes.clone_from(&shape.notes);
    if !shape.matching.is_empty() {
        let columns = shape.matching.join("`, `");
        plan.notes.push(format!("rows are found by `{columns}`"));
    }
    if matches!(found, Found::Missing { .. }) {
        plan.creates.push(format!("table `{}`", shape.view));
    }
    for column in &shape.create {
        plan.creates
            .push(format!("column `{}` ({})", column.name, column.kind));
    }
}

fn missing(name: &str, hint: &str) -> Problem {
    Problem {
        kind: "table missing",
        message: format!("there is no table `{name}`"),
        hint: Some(hint.to_owned()),
    }
}

impl Writer for StreamWriter {
    fn plan(&self) -> StreamPlan {
        self.plan.clone()
    }

    fn key(&self) -> Vec<usize> {
        self.planned
            .as_ref()
            .map(|shape| shape.identity())
            .unwrap_or_default()
    }

    fn limits(&self) -> Limits {
        let is_row = self
            .planned
            .as_ref()
            .is_some_and(|shape| shape.mode == Mode::Row);
        Limits {
            max_records: if is_row { ROWS_RECORDS } else { MOST_RECORDS },
            max_bytes: self.home.config.batch_bytes,
            max_age: if is_row { ROWS_AGE } else { self.age() },
        }
    }

    fn replaces(&self) -> Replaces {
        match &self.planned {
            Some(shape) if shape.mode == Mode::Replace => Replaces::Whole,
            _ => Replaces::Nothing,
        }
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        self.ready().await?;
        Ok(())
    }

    async fn write(&self, batch: Arc<Batch>) -> anyhow::Result<Outcome> {
        *self.last_batch() = Some(Instant::now());
        let before = self.home.api.traffic();
        let written = self.send(&batch).await?;
        if written.emptied > 0 {
            tracing::warn!(
                stream = self.stream.name,
                cells = written.emptied,
                "cells were left empty, since their columns do not hold the values"
            );
        }
        let after = self.home.api.traffic();
        Ok(written.outcome((after.0 - before.0, after.1 - before.1)))
    }

    fn preview(&self, batch: &Batch) -> Vec<String> {
        let Ok(shape) = self.planned() else {
            return Vec::new();
        };
        preview(&self.home, shape, self.found.as_ref(), batch)
    }

    async fn activate_version(&self, version: i64, rows: Option<u64>) -> anyhow::Result<Outcome> {
        let Ready { table, shape } = self.ready().await?;
        let mut outcome = Outcome::default();
        match shape.mode {
            Mode::Replace => replace::activate(&self.home, shape, table, version, rows).await?,
            Mode::Upsert | Mode::Row if shape.on_delete != OnDelete::Ignore => {
                let lane = self.home.lane(&table.view);
                let _gate = lane.enter().await;
                outcome.cleared = delete::vanished(&self.home, shape, table, version).await?;
            }
            Mode::Append | Mode::Upsert | Mode::Row => {}
        }
        Ok(outcome)
    }
}

/// The requests for a batch.
fn preview(home: &Home, shape: &Arc<Shape>, found: Option<&Table>, batch: &Batch) -> Vec<String> {
    let Ok(few) = batch_of_few(batch) else {
        return Vec::new();
    };
    let (parts, deleted) = rows::parts(shape, &Arc::new(few));
    let view = found.map_or("{new table}", |table| table.view.as_str());
    let mut requests: Vec<String> = Vec::new();
    for part in &parts {
        match shape.mode {
            Mode::Row => {
                let verb = if shape.matching.is_empty() {
                    "POST"
                } else {
                    "PUT"
                };
                let configs = row::preview(part, shape, SHOWN_ROWS);
                requests.extend(configs.into_iter().map(|config| {
                    format!(
                        "{verb} {}/restapi/v2/workspaces/…/views/{view}/rows\nCONFIG={config}",
                        base(home)
                    )
                }));
            }
            mode => {
                let import = match mode {
                    Mode::Append => Import::Append,
                    Mode::Replace => Import::TruncateAdd,
                    Mode::Upsert | Mode::Row => Import::UpdateAdd,
                };
                let cells = shape.some_cells(&part.columns);
                let mut config = shape.import_config(import, &cells, home.callback_url());
                let mut path = "data";
                if mode == Mode::Replace {
                    config = replace::batch_config(&config, None, false);
                    path = "data/batch";
                }
                let lines = rows::preview(part, shape, shape.options, SHOWN_ROWS);
                requests.push(format!(
                    "POST {}/restapi/v2/bulk/workspaces/…/views/{view}/{path}\nCONFIG={config}\n\n{} rows, the first of them:\n{}",
                    base(home),
                    batch.len(),
                    lines.trim_end(),
                ));
            }
        }
    }
    if !deleted.is_empty() {
        requests.push(format!(
            "DELETE {}/restapi/v2/workspaces/…/views/{view}/rows for rows with `_sdc_deleted_at`",
            base(home)
        ));
    }
    requests
        .into_iter()
        .map(|request| request.chars().take(SHOWN).collect())
        .collect()
}

fn base(home: &Home) -> String {
    home.config
        .base()
        .map(|base| base.to_string())
        .unwrap_or_default()
}

/// The first records of a batch as a batch of their own.
fn batch_of_few(batch: &Batch) -> Result<Batch> {
    let records: Vec<String> = batch
        .records()
        .take(SHOWN_ROWS)
        .map(|record| {
            let mut json = Vec::new();
            record.write_json(&mut json);
            String::from_utf8_lossy(&json).into_owned()
        })
        .collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    Batch::from_records(Arc::clone(batch.stream()), &[], &records)
}

#[cfg(test)]
mod tests;
