//! Sending one batch: its rows are told apart by where they go, and each part is sent by the stream's
//! method. What is refused comes back row by row.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use singer_core::{Error, Kind, Result};
use singer_runtime::target::{Batch, Outcome, Refusal, Verdict};
use tokio::task::JoinSet;

use crate::config::{Method, Mode};
use crate::encode::RowError;
use crate::place::Place;
use crate::replace;
use crate::shape::Shape;
use crate::stream::Inner;
use crate::table::Ready;

mod insert;
mod load;
mod rows;
mod staging;
mod storage;

pub(crate) use staging::reference;

/// The rows of a batch that go to one table.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// The table that the rows belong to.
    pub(crate) place: Place,
    /// The version that takes the table's place, if the stream is replaced.
    pub(crate) version: Option<i64>,
    /// The rows, by their place in the batch.
    pub(crate) rows: Vec<u32>,
}

/// What became of a part.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) sent: u64,
    pub(crate) requests: u64,
    pub(crate) retried: u64,
    pub(crate) bytes: u64,
    pub(crate) refusals: Vec<Refusal>,
}

impl Written {
    fn refuse(&mut self, index: u32, code: &str, reason: impl Into<String>) {
        self.refusals.push(Refusal {
            index: index as usize,
            verdict: Verdict::Rejected,
            code: Some(code.to_owned()),
            reason: reason.into(),
        });
    }

    fn refuse_row(&mut self, index: u32, error: &RowError) {
        let reason = if error.field.is_empty() {
            error.reason.clone()
        } else {
            format!("column `{}`: {}", error.field, error.reason)
        };
        self.refuse(index, error.code, reason);
    }

    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.requests += other.requests;
        self.retried += other.retried;
        self.bytes += other.bytes;
        self.refusals.extend(other.refusals);
    }
}

/// Sends a batch.
pub(crate) async fn write(inner: &Arc<Inner>, batch: Arc<Batch>) -> Result<Outcome> {
    let shape = inner.shape()?;
    let before = inner.warehouse.api.traffic();
    let mut written = Written::default();
    let parts = parts(shape, &batch, &mut written);
    let mut tasks = JoinSet::new();
    let mut waiting = parts.into_iter();
    let most = inner.warehouse.config.parallel();
    loop {
        while tasks.len() < most
            && let Some(part) = waiting.next()
        {
            let (inner, batch) = (Arc::clone(inner), Arc::clone(&batch));
            tasks.spawn(async move { write_part(&inner, &batch, part).await });
        }
        match tasks.join_next().await {
            None => break,
            Some(Ok(result)) => written.add(result?),
            Some(Err(error)) => {
                return Err(Error::internal("a task that sends rows panicked").with_source(error));
            }
        }
    }
    let after = inner.warehouse.api.traffic();
    written.refusals.sort_by_key(|refusal| refusal.index);
    if shape.method != Method::Load {
        let cost = &inner.warehouse.jobs.cost;
        cost.streamed_bytes
            .fetch_add(written.bytes, Ordering::Relaxed);
    }
    Ok(Outcome {
        sent: written.sent,
        requests: written.requests + (after.0 - before.0),
        retried: written.retried + (after.1 - before.1),
        bytes: written.bytes,
        refusals: written.refusals,
        ..Outcome::default()
    })
}

/// Sends the rows of one table. Where tables depend on rows, what is wrong with one table is told of
/// its rows, and the others go on.
async fn write_part(inner: &Arc<Inner>, batch: &Arc<Batch>, part: Part) -> Result<Written> {
    let shape = inner.shape()?;
    let rows = part.rows.clone();
    let place = part.place.clone();
    let error = match try_part(inner, batch, part).await {
        Ok(written) => return Ok(written),
        Err(error) => error,
    };
    if shape.route.fixed().is_some() || !is_tenants_own(&error) {
        return Err(error);
    }
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    tracing::error!(
        stream = inner.stream.name,
        table = %place,
        rows = rows.len(),
        %error,
        cause,
        "the rows of this table are rejected; the others go on"
    );
    let reason = match cause {
        Some(cause) => format!("table `{place}`: {error}: {cause}"),
        None => format!("table `{place}`: {error}"),
    };
    let mut written = Written::default();
    for row in rows {
        written.refuse(row, "table", reason.as_str());
    }
    Ok(written)
}

/// Whether an error is of one table alone: the service is there and answers others.
fn is_tenants_own(error: &Error) -> bool {
    matches!(error.kind(), Kind::Rejected | Kind::Config)
}

async fn try_part(inner: &Arc<Inner>, batch: &Arc<Batch>, part: Part) -> Result<Written> {
    let shape = inner.shape()?;
    let ready = destination(inner, shape, &part).await?;
    let first = send(inner, shape, batch, &part, &ready).await;
    let error = match first {
        Ok(written) => {
            if shape.mode == Mode::Replace && written.sent > 0 {
                inner.fill(&ready.place);
            }
            return Ok(written);
        }
        Err(error) => error,
    };
    // Somebody may have changed the table since it was looked at.
    if error.kind() != Kind::Rejected || shape.mode == Mode::Replace {
        return Err(error);
    }
    let columns = Arc::clone(&ready.columns);
    inner.forget(&part.place);
    if !inner.table_is_there(&part.place).await? {
        return Err(Error::rejected(format!(
            "the table `{}` is gone: somebody has deleted it during the run",
            part.place
        ))
        .with_source(error)
        .with_hint("run again: the table is created anew, from the state on; for all rows start without a state"));
    }
    let ready = destination(inner, shape, &part).await?;
    if ready.columns == columns && !ready.was_changed {
        return Err(error);
    }
    tracing::warn!(
        stream = inner.stream.name,
        table = %part.place,
        "somebody has changed the table during the run; it was looked at again"
    );
    send(inner, shape, batch, &part, &ready).await
}

async fn destination(inner: &Arc<Inner>, shape: &Shape, part: &Part) -> Result<Arc<Ready>> {
    match part.version {
        Some(version) if shape.mode == Mode::Replace => {
            replace::hidden(inner, shape, &part.place, version).await
        }
        _ => inner.table(&part.place).await,
    }
}

async fn send(
    inner: &Arc<Inner>,
    shape: &Shape,
    batch: &Arc<Batch>,
    part: &Part,
    ready: &Arc<Ready>,
) -> Result<Written> {
    match shape.method {
        Method::Load => load::write(inner, shape, batch, part, ready).await,
        Method::StorageWrite => storage::write(inner, shape, batch, part, ready).await,
        Method::Streaming => insert::write(inner, shape, batch, part, ready).await,
    }
}

/// The rows of a batch by table, in their order. Rows whose table cannot be told are refused.
fn parts(shape: &Shape, batch: &Batch, written: &mut Written) -> Vec<Part> {
    let schema = &batch.stream().schema;
    let fixed = shape.route.fixed();
    let replaces = shape.mode == Mode::Replace;
    let mut found: HashMap<(Place, Option<i64>), usize> = HashMap::new();
    let mut parts: Vec<Part> = Vec::new();
    let mut last = 0;
    for (index, record) in (0..).zip(batch.records()) {
        let version = record.version().filter(|_| replaces);
        // Nearly always a row goes where the one before it went.
        if fixed.is_some()
            && let Some(part) = parts.get_mut(last)
            && part.version == version
        {
            part.rows.push(index);
            continue;
        }
        let place = match &fixed {
            Some(place) => place.clone(),
            None => match shape.route.of(&record, schema) {
                Ok(place) => place,
                Err(error) => {
                    written.refuse_row(index, &error);
                    continue;
                }
            },
        };
        last = *found
            .entry((place, version))
            .or_insert_with_key(|(place, version)| {
                parts.push(Part {
                    place: place.clone(),
                    version: *version,
                    rows: Vec::new(),
                });
                parts.len() - 1
            });
        parts[last].rows.push(index);
    }
    parts
}

/// What would be sent for a batch.
pub(crate) fn preview(inner: &Inner, shape: &Shape, batch: &Batch, bytes: usize) -> Vec<String> {
    let mut written = Written::default();
    let parts = parts(shape, batch, &mut written);
    let shown = parts.iter().take(3);
    shown
        .map(|part| match shape.method {
            Method::Load => load::preview(inner, shape, batch, part, bytes),
            Method::StorageWrite => storage::preview(inner, shape, batch, part),
            Method::Streaming => insert::preview(inner, shape, batch, part, bytes),
        })
        .collect()
}
