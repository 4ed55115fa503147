//! A whole table, under a version that is activated at the end.

use singer_core::Result;
use singer_runtime::tap::Output;

use super::bounds::{Style, Window};
use super::progress::Progress;
use super::{Reading, incremental, pages, small};
use crate::time::SECOND;

/// A table of several pages is looked at again from at least this long before the run's start: for clocks
/// that differ, whatever `lookback_seconds` says.
const LEAST_OVERLAP_SECONDS: u32 = 60;

/// Reads a table.
pub(super) async fn read(reading: &Reading<'_>, out: &mut Output) -> Result<()> {
    let mut progress = Progress::new(&reading.tap.config, reading.plan, &reading.table)?;
    let is_small = whole_table(reading, &mut progress, out).await?;
    if !is_small && progress.pages_done > 1 {
        changed_meanwhile(reading, &mut progress, out).await?;
    }
    out.finish_version(progress.final_bookmark()).await
}

/// Reads every row that there was when the run began; true if that took no bulk job.
pub(super) async fn whole_table(
    reading: &Reading<'_>,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<bool> {
    let mut window = Window {
        lower: None,
        upper: Some(progress.upper),
    };
    if !progress.is_resumed() {
        let count = reading.count(&Window::ALL, Style::FIRST).await?;
        if small::is_worth_it(reading, count) && small::read(reading, count, progress, out).await? {
            return Ok(true);
        }
        if count.is_some_and(|rows| rows <= reading.tap.config.page_size) {
            // One job needs no bound.
            window = Window::ALL;
            progress.expected = count;
        } else if count.is_some() {
            progress.expected = reading.count(&window, reading.tap.style()).await?;
        }
    }
    pages::read(reading, window, progress, out).await?;
    Ok(false)
}

/// The pages were read one after the other, and rows that were created or changed by then may be in none of
/// them: what changed since the start of the run, and a little before, is read at last.
async fn changed_meanwhile(
    reading: &Reading<'_>,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<()> {
    let lookback = reading
        .tap
        .config
        .lookback_seconds
        .max(LEAST_OVERLAP_SECONDS);
    let window = Window {
        lower: Some(progress.upper - i64::from(lookback) * SECOND),
        upper: Some(reading.tap.context.now().timestamp_micros()),
    };
    progress.freeze();
    incremental::changes(reading, window, progress, out).await
}
