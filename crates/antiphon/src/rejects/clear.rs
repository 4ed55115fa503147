//! `rejects P clear`: closes open rejects without sending them.

use std::time::Duration;

use singer_core::{Error, Result};
use singer_runtime::{exit, stdio};

use super::lines::Filter;
use super::settle::settle;
use super::{CLEARED, Chosen, open_runs};
use crate::history::{self, Kind};
use crate::lock::{self, Holder, Lease, Taken};
use crate::notify;
use crate::session::Session;
use crate::state::{States, Stored};

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
    let cleared = match settle_dead(session, pipeline, &lease, &run).await {
        Ok(()) => clear(session, pipeline, chosen, older_than, &run).await,
        Err(error) => Err(error),
    };
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

/// Does what a run does when it takes over: nobody after this lease would know of the dead holder any more.
async fn settle_dead(session: &Session, pipeline: &str, lease: &Lease, run: &str) -> Result<()> {
    let known = session.project.pipelines.get(pipeline);
    if let Some(holder) = lease.took_over() {
        if let Some(group) = &holder.group {
            let grace = known.map_or(GRACE, |pipeline| pipeline.grace);
            lock::end_group(group, grace).await?;
        }
        let mut states = States::open(session, pipeline, lease.fence()).await?;
        let now = session.clock().timestamp();
        if states.fence_off(run, &now).await? == Stored::Fenced {
            return Err(Error::transient(format!(
                "another runner has taken over `{pipeline}` meanwhile"
            )));
        }
    }
    // What a dead run left may be rejects that are meant to be cleared.
    for summary in history::recover(session, pipeline).await? {
        if let Some(known) = known {
            notify::after(session, known, &summary).await;
        }
    }
    Ok(())
}

/// From SIGTERM to SIGKILL for the stages of a pipeline that the project no longer has.
const GRACE: Duration = Duration::from_secs(30);

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
