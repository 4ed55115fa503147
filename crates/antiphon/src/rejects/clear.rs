//! `rejects P clear`: closes open rejects without sending them.

use std::time::Duration;

use singer_core::{Error, Result};
use singer_runtime::{exit, stdio};

use super::lines::Filter;
use super::settle::settle;
use super::{CLEARED, Chosen, open_runs};
use crate::history::{self, Kind};
use crate::lock::{self, Holder, Taken};
use crate::session::Session;

/// Runs the command.
pub(super) async fn run(
    session: &Session,
    pipeline: &str,
    chosen: &Chosen,
    older_than: Option<Duration>,
) -> anyhow::Result<u8> {
    let run = history::new_run(session);
    let lease = match lock::take(session, pipeline, &run).await? {
        Taken::Lease(lease) => lease,
        Taken::Held(holder) => return Err(busy(pipeline, &holder).into()),
    };
    let cleared = clear(session, pipeline, chosen, older_than, &run).await;
    let released = lease.release().await;
    let cleared = cleared?;
    released?;
    let mut text = String::new();
    let mut sum = 0;
    for (run, count) in cleared.iter().filter(|(_, count)| *count > 0) {
        sum += count;
        text.push_str(&format!("cleared {count} rejects of {run}\n"));
    }
    if sum == 0 {
        text.push_str("there was nothing to clear\n");
    }
    stdio::print(text.as_bytes())?;
    Ok(exit::DONE)
}

async fn clear(
    session: &Session,
    pipeline: &str,
    chosen: &Chosen,
    older_than: Option<Duration>,
    run: &str,
) -> Result<Vec<(String, u64)>> {
    let now = session.clock().now();
    let before = older_than.and_then(|age| chrono::TimeDelta::from_std(age).ok());
    let filter = Filter::chosen(chosen).before(before.map(|age| now - age));
    let name = format!(".clear-{run}");
    let scratch = history::scratch(session, pipeline, &name, Kind::Replay)?;
    let (mut cleared, mut open) = (Vec::new(), Vec::new());
    for run in open_runs(session, pipeline, chosen).await? {
        let settled = settle(session, pipeline, &run, &filter, CLEARED, scratch.path()).await?;
        open.push((run.clone(), settled.open));
        cleared.push((run, settled.moved));
    }
    history::set_open(session, pipeline, &open).await?;
    Ok(cleared)
}

/// The error when somebody else is at work on the pipeline.
pub(super) fn busy(pipeline: &str, holder: &Holder) -> Error {
    Error::transient(format!(
        "`{pipeline}` is at work: the run {} on {} since {}",
        holder.run, holder.host, holder.since
    ))
    .with_hint("try again when it has ended")
}
