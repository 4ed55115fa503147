//! Removes what `[retention]` does not keep, when it is due: most runs pay one read of the index.
//!
//! A run stays as long as its number and its age are within the limits, and beyond them if it is one of
//! the newest ten, the last good one, or has open rejects.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use singer_core::Result;

use super::{Index, index, keys, work};
use crate::session::Session;
use crate::spec::Retention;
use crate::state::States;
use crate::store::Listed;

/// The newest that stay whatever their age.
const ALWAYS: usize = 10;
/// How long the limit of age may be overdrawn.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// What retention did last, to know when it is due again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pruned {
    at: DateTime<Utc>,
    /// How many runs stayed, of which some may be beyond the limits.
    runs: usize,
    /// The newest version of the state by then.
    state: Option<u64>,
}

/// Removes runs and versions of the state if it is due.
pub(super) async fn prune(session: &Session, pipeline: &str) -> Result<()> {
    let keep = &session.project.retention;
    let mut index = index::load(session, pipeline).await?;
    let now = session.clock().now();
    if !is_due(&index, keep, now) {
        return Ok(());
    }
    let states = States::open(session, pipeline, 0).await?;
    states.prune(keep).await?;

    let listed = session.store.list(&keys::runs(pipeline)).await?;
    let runs = by_run(pipeline, &listed);
    // A run that two runners recorded at once may be missing in the index.
    let is_whole = index.runs.iter().all(|brief| runs.contains_key(&brief.run))
        && runs
            .keys()
            .rev()
            .take(index.runs.len())
            .all(|run| index.runs.iter().any(|brief| brief.run == *run));
    if !is_whole {
        index = index::rebuild(session, pipeline).await?;
    }
    let last_good = index.last_good.as_ref().map(|brief| brief.run.as_str());
    let gone = surplus(&runs, keep, last_good, now);
    // The index first: what it names is there.
    index.runs.retain(|brief| !gone.contains(&brief.run));
    index.kept = runs.len() - gone.len();
    index.pruned = Some(Pruned {
        at: now,
        runs: index.kept,
        state: newest_state(&index),
    });
    index::save(session, pipeline, &index).await?;
    for run in &gone {
        remove(session, &runs[run]).await?;
    }
    if !gone.is_empty() {
        tracing::debug!(pipeline, runs = gone.len(), "old runs were removed");
    }
    Ok(())
}

/// Whether it is worth to look: a tenth above a limit, or a day after the last look.
fn is_due(index: &Index, keep: &Retention, now: DateTime<Utc>) -> bool {
    let Some(pruned) = &index.pruned else {
        return index.kept > ALWAYS;
    };
    let above = |limit: usize| limit.max(ALWAYS) + (limit / 10).max(1);
    let runs =
        index.kept >= above(keep.runs) && index.kept >= pruned.runs + (keep.runs / 10).max(1);
    let versions = newest_state(index)
        .unwrap_or(0)
        .saturating_sub(pruned.state.unwrap_or(0));
    let states = versions >= (keep.states as u64 / 10).max(1) && versions > 0;
    let every = EVERY.min(keep.age / 10);
    // A clock that jumped back counts as a day as well.
    let aged = (now - pruned.at).abs().to_std().unwrap_or(EVERY) >= every;
    index.kept > 0 && (runs || states || aged)
}

/// The runs to be removed, the oldest first.
fn surplus(
    runs: &BTreeMap<String, Vec<Listed>>,
    keep: &Retention,
    last_good: Option<&str>,
    now: DateTime<Utc>,
) -> Vec<String> {
    let mut gone = Vec::new();
    for (number, (run, objects)) in runs.iter().rev().enumerate() {
        let has = |name: &str| objects.iter().any(|it| it.key.ends_with(name));
        let last = objects.iter().map(|it| it.modified).max();
        let started_at = work::started_at(run).or(last);
        let age = started_at.and_then(|at| (now - at).to_std().ok());
        let is_old = age.is_some_and(|age| age > keep.age);
        // One without a summary is just being recorded, or waits for its machine to come back.
        let is_surplus = is_old || (number >= keep.runs && has(SUMMARY));
        let is_open = has(REJECTS);
        if number >= ALWAYS && is_surplus && !is_open && last_good != Some(run) {
            gone.push(run.clone());
        }
    }
    gone.reverse();
    gone
}

const SUMMARY: &str = "/summary.json";
const REJECTS: &str = "/rejects.jsonl";

/// Removes a run; its summary at last, so that a crash leaves nothing that nobody finds again.
async fn remove(session: &Session, objects: &[Listed]) -> Result<()> {
    let (last, first): (Vec<&Listed>, Vec<&Listed>) = objects
        .iter()
        .partition(|object| object.key.ends_with(SUMMARY));
    for object in first.into_iter().chain(last) {
        session.store.delete(&object.key).await?;
    }
    // A folder that is a store keeps empty ones, and they would be taken for runs.
    if let (Some(root), Some(object)) = (session.store.folder(), objects.first())
        && let Some((run, _)) = object.key.rsplit_once('/')
    {
        drop(std::fs::remove_dir(root.join(run)));
    }
    Ok(())
}

fn by_run(pipeline: &str, listed: &[Listed]) -> BTreeMap<String, Vec<Listed>> {
    let prefix = keys::runs(pipeline);
    let mut runs: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
    for object in listed {
        let run = object
            .key
            .strip_prefix(&prefix)
            .and_then(|rest| rest.split('/').next());
        if let Some(run) = run {
            runs.entry(run.to_owned()).or_default().push(object.clone());
        }
    }
    runs
}

fn newest_state(index: &Index) -> Option<u64> {
    index
        .runs
        .iter()
        .filter_map(|brief| brief.state_after)
        .max()
}
