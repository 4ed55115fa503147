//! What changed since the bookmark, window by window: half-open, in whole seconds. The rows of a window come in no
//! order, so the bookmark moves when a window is done.

use serde_json::Value;
use singer_core::Result;
use singer_runtime::tap::Output;
use tracing::{info, warn};

use super::progress::Progress;
use super::small::{self, Small};
use super::{Reading, deleted, pages};
use crate::bulk::NoPage;
use crate::query::Window;

const DAY_SECONDS: i64 = 86_400;

/// So much may be the way of an answer.
const CLOCK_SECONDS: i64 = 10;

/// Reads the windows from `start` up to a little before now.
pub(super) async fn read(
    reading: &Reading<'_>,
    start: Option<&Value>,
    out: &mut Output,
) -> Result<()> {
    let mut progress = Progress::new(reading, start)?;
    let config = &reading.tap.config;
    let lag = i64::from(config.window_lag_seconds);
    // Times of changes are the service's: by a clock here that is ahead, the window would end in what is still to come.
    let ahead = reading.tap.api.crm().seconds_ahead();
    if ahead > CLOCK_SECONDS {
        warn!(
            stream = reading.plan.id,
            seconds = ahead,
            "the clock of this machine is ahead of the service's: changes are read up to so much earlier"
        );
    }
    let end = reading.tap.context.now().timestamp() - lag - ahead;
    loop {
        let window = next_window(&progress, config.window_days, end);
        if window
            .from
            .zip(window.to)
            .is_some_and(|(from, to)| from >= to)
        {
            info!(
                stream = reading.plan.id,
                "nothing can have changed since the last read"
            );
            break;
        }
        let before = progress.seen;
        let is_whole = one_window(reading, window, &mut progress, out).await?;
        let to = if is_whole { Some(end) } else { window.to };
        let is_last = to.is_none_or(|to| to >= end);
        // A bookmark stays where it is while nothing changes.
        if progress.seen > before || !is_last || window.from.is_none() {
            progress.done_until = to;
        }
        progress.forget_place();
        out.checkpoint(progress.bookmark()).await?;
        if is_last {
            break;
        }
    }
    // What changed between `end` and now belongs to the next run.
    out.checkpoint(progress.bookmark()).await
}

/// The window that an interrupted run was in, else the one behind what is done.
fn next_window(progress: &Progress, days: Option<u32>, end: i64) -> Window {
    if let Some(place) = &progress.place
        && place.window.from == progress.done_until
        && place.window.to.is_some()
    {
        return place.window;
    }
    let from = progress.done_until;
    let slice = from
        .zip(days)
        .map(|(from, days)| from + i64::from(days) * DAY_SECONDS);
    Window {
        from,
        to: Some(slice.map_or(end, |slice| slice.min(end))),
    }
}

/// Reads a window. Whether it was the whole module, and so all that the next windows would bring, is returned.
async fn one_window(
    reading: &Reading<'_>,
    window: Window,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<bool> {
    // Before the reads: a record that was restored since comes as one of them.
    deleted::read(reading, window, progress, out).await?;
    let mut rest = window;
    if progress.place.is_none() && window.from.is_some() {
        match small::read(reading, window, progress, out).await? {
            Small::Done => return Ok(false),
            Small::Until(second) => rest.from = Some(second),
            Small::No => {}
        }
    }
    match pages::read(reading, rest, progress, out).await {
        Err(NoPage::Criteria(refused)) => {
            warn!(
                stream = reading.plan.id,
                reason = %refused,
                "the service takes no criteria on the time of changes here: the whole module is read, each time"
            );
            progress.forget_place();
            pages::read(reading, Window::ALL, progress, out).await?;
            Ok(true)
        }
        other => {
            other?;
            Ok(false)
        }
    }
}
