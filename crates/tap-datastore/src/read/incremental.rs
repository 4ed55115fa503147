//! What changed since the bookmark, up to the start of the run.

use serde_json::Value;
use singer_core::value::time::parse_timestamp;
use singer_core::{Error, Result};
use singer_runtime::tap::Output;
use tracing::info;

use super::bounds::{Style, Window};
use super::progress::Progress;
use super::{Reading, deleted, full, pages, query};
use crate::bulk::NoPage;
use crate::config::Deletions;
use crate::time::{Form, SECOND};

/// What a bulk job takes: submitting, asking twice, downloading.
const CALLS_OF_A_JOB: u64 = 4;

/// Reads a stream from its bookmark, else from `start_date`, else from its first row.
pub(super) async fn read(
    reading: &Reading<'_>,
    start: Option<&Value>,
    out: &mut Output,
) -> Result<()> {
    let mut progress = Progress::new(&reading.tap.config, reading.plan, &reading.table)?;
    match lower(reading, start)? {
        Some(lower) => {
            let window = Window {
                lower: Some(lower),
                upper: Some(progress.upper),
            };
            changes(reading, window, &mut progress, out).await?;
        }
        None => {
            full::whole_table(reading, &mut progress, out).await?;
        }
    }
    if reading.tap.config.deletions == Deletions::Diff {
        return deleted::read(reading, &mut progress, out).await;
    }
    if deleted::is_known(&reading.plan.bookmark) {
        deleted::note(reading, &mut progress).await?;
    }
    out.checkpoint(progress.final_bookmark()).await
}

/// Where to begin. What stands in the bookmark is looked at again from a little before.
fn lower(reading: &Reading<'_>, start: Option<&Value>) -> Result<Option<i64>> {
    let Some(start) = start else { return Ok(None) };
    let instant = start.as_str().and_then(parse_timestamp).ok_or_else(|| {
        Error::config(format!(
            "`{}` cannot begin at its bookmark or `start_date`: it is no time",
            reading.plan.id
        ))
    })?;
    let is_bookmark = reading.plan.bookmark.get("replication_key_value") == Some(start);
    let lookback = if is_bookmark {
        i64::from(reading.tap.config.lookback_seconds)
    } else {
        0
    };
    let lower = instant - lookback * SECOND;
    // In an hour that autumn repeats, a row's time counts as the earliest that it can be.
    let mut zone = reading.zone.clone();
    let text = zone.text(lower, Form::Milliseconds);
    let earliest = text.and_then(|text| zone.instant(&text));
    Ok(Some(earliest.map_or(lower, |earliest| earliest.min(lower))))
}

/// Reads the rows of a window with a lower bound in whichever way takes fewer calls.
pub(super) async fn changes(
    reading: &Reading<'_>,
    window: Window,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<()> {
    if !progress.is_resumed() {
        let style = reading.tap.style();
        // Queries are not bound by what bulk reads take.
        let count = reading.count(&window, Style::FIRST).await?;
        let columns = reading.encoder.columns().len();
        if let Some(rows) = count {
            let by_query = query::calls(rows, columns);
            if rows == 0 {
                info!(stream = reading.plan.id, "nothing has changed");
                return Ok(());
            }
            if by_query < by_bulk(reading, rows) {
                info!(
                    stream = reading.plan.id,
                    rows,
                    calls = by_query,
                    "read by queries"
                );
                return query::read(reading, window, rows, progress, out).await;
            }
        }
        progress.restart(count);
        if style == Style::Local {
            return without_criteria(reading, window, progress, out).await;
        }
    }
    match pages::read(reading, window, progress, out).await {
        Err(NoPage::Criteria(_)) => without_criteria(reading, window, progress, out).await,
        other => Ok(other?),
    }
}

fn by_bulk(reading: &Reading<'_>, rows: u64) -> u64 {
    rows.div_ceil(reading.tap.config.page_size).max(1) * CALLS_OF_A_JOB
}

/// The service takes no criteria: the rows of the window by queries, or all rows by bulk jobs and a filter
/// here.
async fn without_criteria(
    reading: &Reading<'_>,
    window: Window,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<()> {
    let changed = reading.count(&window, Style::FIRST).await?;
    let all = reading.count(&Window::ALL, Style::FIRST).await?;
    if let (Some(changed), Some(all)) = (changed, all) {
        let calls = query::calls(changed, reading.encoder.columns().len());
        if calls <= by_bulk(reading, all) {
            info!(
                stream = reading.plan.id,
                rows = changed,
                calls,
                "read by queries, as bulk reads take no criteria"
            );
            progress.by_pages = false;
            return query::read(reading, window, changed, progress, out).await;
        }
    }
    info!(
        stream = reading.plan.id,
        rows = all,
        "the whole table is read and filtered here, as bulk reads take no criteria"
    );
    progress.restart(all);
    Ok(pages::read(reading, window, progress, out).await?)
}
