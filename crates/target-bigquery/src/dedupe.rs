//! `append_dedupe`: superseded versions of rows are deleted after a while, no more often than the
//! config says. When that was last, the table itself remembers in a label, so that it holds for every
//! machine. A label is written after the statement: killed between the two, the next run asks for the
//! statement's job, whose id is that of the span of time, and hears that it was done.

use std::sync::Arc;

use chrono::{SecondsFormat, TimeDelta};
use serde_json::json;
use singer_core::{Error, Result};
use tokio::task::JoinSet;

use crate::config::Method;
use crate::job::Ended;
use crate::job_base_of;
use crate::place::Place;
use crate::shape::Shape;
use crate::sql;
use crate::stream::Inner;

/// The label with the time of the last deletion, in seconds since 1970.
const LABEL: &str = "antiphon_deduped";

/// What no statement reaches: rows that insertAll has taken in the last 30 minutes, seldom 90.
const STREAMED_SECONDS: u64 = 5_400;

/// No more often than this, unless the config says something else.
const EVERY_SECONDS: u64 = 5_400;

/// Deletes superseded rows of all tables that the run wrote to, where it is time; several at once, as
/// there may be hundreds of tenants.
pub(crate) async fn dedupe(inner: &Arc<Inner>) -> Result<()> {
    let most = inner.warehouse.config.parallel();
    let mut waiting = inner.places().into_iter();
    let mut tasks = JoinSet::new();
    let mut failure = None;
    loop {
        while tasks.len() < most
            && let Some(place) = waiting.next()
        {
            let inner = Arc::clone(inner);
            tasks.spawn(async move {
                let done = match inner.shape() {
                    Ok(shape) => dedupe_table(&inner, shape, &place).await,
                    Err(error) => Err(error),
                };
                (place, done)
            });
        }
        match tasks.join_next().await {
            None => break,
            Some(Ok((_, Ok(())))) => {}
            Some(Ok((place, Err(error)))) => {
                tracing::error!(stream = inner.stream.name, table = %place, %error, "superseded rows were not deleted");
                failure = failure.or(Some(error));
            }
            Some(Err(error)) => {
                let error = Error::internal("a task that deletes rows panicked").with_source(error);
                failure = failure.or(Some(error));
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn dedupe_table(inner: &Inner, shape: &Shape, place: &Place) -> Result<()> {
    let warehouse = &inner.warehouse;
    let what = format!("cannot delete superseded rows of `{place}`");
    let table = warehouse.api.table(&place.dataset, &place.table).await;
    let Some(table) = table.map_err(|fault| fault.error(&what))? else {
        return Ok(());
    };
    let every =
        i64::try_from(shape.dedupe.every_seconds.unwrap_or(EVERY_SECONDS)).unwrap_or(i64::MAX);
    let now = warehouse.context.now();
    let last = table
        .labels
        .get(LABEL)
        .and_then(|label| label.as_str()?.parse::<i64>().ok());
    if last.is_some_and(|last| now.timestamp().saturating_sub(last) < every) {
        tracing::debug!(table = %place, "superseded rows were deleted a short while ago");
        return Ok(());
    }
    let usual = match shape.method {
        Method::Streaming => STREAMED_SECONDS,
        _ => 0,
    };
    let older = shape.dedupe.older_than_seconds.unwrap_or(usual);
    let older = i64::try_from(older)
        .ok()
        .and_then(TimeDelta::try_seconds)
        .unwrap_or_default();
    // With no time to wait, this run's own rows count too.
    let before = now - older + TimeDelta::milliseconds(1);
    let before = before.to_rfc3339_opts(SecondsFormat::Micros, true);
    let ready = inner.table(place).await?;
    let query = sql::dedupe(
        &ready.path,
        &shape.key_columns,
        shape.order_by.as_deref(),
        &before,
    );
    let span = now.timestamp() / every.max(1);
    let last = last.unwrap_or_default();
    let base = job_base_of(place, &["dedupe", &span.to_string(), &last.to_string()]);
    let submission = warehouse.jobs.statement(&query);
    let ended = warehouse
        .jobs
        .run(&base, ready.location.as_deref(), &submission)
        .await;
    let job = match ended.map_err(|fault| fault.error(&what))? {
        Ended::Done(job) => job,
        Ended::Failed(job) => {
            let Some(refused) = &job.failure else {
                return Ok(());
            };
            if refused.is_streaming_buffer() {
                tracing::warn!(
                    table = %place,
                    "superseded rows are still in the streaming buffer; they are deleted another time"
                );
                return Ok(());
            }
            return Err(refused.error(&what));
        }
    };
    tracing::info!(
        stream = inner.stream.name,
        table = %place,
        rows = job.affected_rows(),
        scanned_bytes = job.bytes_processed(),
        "deleted superseded rows"
    );
    let body = json!({"labels": {LABEL: now.timestamp().to_string()}});
    let patched = warehouse
        .api
        .patch_table(&place.dataset, &place.table, &body, None)
        .await;
    patched.map_err(|fault| fault.error(&what))
}
