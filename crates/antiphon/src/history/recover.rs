//! Collects what runs have left that did not come to be recorded: their runner was killed, the machine
//! went down, the store was out of reach, the disk was full.

use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use singer_core::{Error, Result};

use super::{Fault, Kind, Outcome, StageEnd, Summary, index, keys, record, work};
use crate::live::Live;
use crate::rejects::{CLEARED, REPLAYED};
use crate::session::Session;
use crate::state::Version;

/// Stores what dead runners have left of a pipeline; gives the summaries that were not stored yet.
pub(super) async fn recover(session: &Session, pipeline: &str) -> Result<Vec<Summary>> {
    let mut found = Vec::new();
    let root = &session.project.store.work;
    let live = live(session, pipeline).await?;
    let runs = work::runs(root, pipeline).map_err(|error| {
        Error::internal(format!("cannot read the work folder `{}`", root.display()))
            .with_source(error)
    })?;
    for run in runs {
        let folder = work::folder(root, pipeline, &run);
        let ended = record::kept(&folder);
        if ended.is_none() && work::is_alive(&folder) {
            continue;
        }
        found.extend(from_folder(session, pipeline, &run, ended, live.as_ref()).await?);
    }
    if let Some(live) = live {
        found.extend(from_live(session, pipeline, &live).await?);
    }
    work::sweep(root, pipeline);
    Ok(found)
}

/// Stores what one run left on this machine.
async fn from_folder(
    session: &Session,
    pipeline: &str,
    run: &str,
    ended: Option<Summary>,
    live: Option<&Live>,
) -> Result<Option<Summary>> {
    let folder = work::folder(&session.project.store.work, pipeline, run);
    let prefix = keys::of_run(pipeline, run, "");
    let there = session.store.list(&prefix).await?;
    let has = |name: &str| {
        there
            .iter()
            .any(|object| object.key.ends_with(&format!("/{name}")))
    };
    let known = if has(keys::SUMMARY) {
        index::read(session, pipeline, run).await?
    } else {
        None
    };
    let mut files = vec![keys::LOG];
    // Rejects that were stored may have been replayed or cleared since: they are not opened again.
    let is_settled = there.iter().any(|object| is_settled(&object.key));
    if known.is_none() || !is_settled {
        files.push(keys::REJECTS);
    }
    let is_new = known.is_none();
    let summary = match (ended, known) {
        (Some(summary), _) => summary,
        // Another machine wrote that it died, and could not know of its rejects.
        (None, Some(mut known)) if known.outcome == Outcome::Died => {
            known.rejects = known
                .rejects
                .max(record::count_lines(&folder.join(keys::REJECTS)).await);
            known
        }
        (None, Some(known)) => known,
        (None, None) => {
            let live = live.filter(|live| live.run == run);
            died(session, pipeline, run, &folder, live).await?
        }
    };
    tracing::warn!(
        pipeline,
        run,
        outcome = summary.outcome.word(),
        "an earlier run was not recorded: what it left is stored now"
    );
    let bytes = record::to_bytes(&summary)?;
    record::store(session, &summary, bytes, &folder, &files).await?;
    Ok(is_new.then_some(summary))
}

/// Writes down that the run died that was at work by `live.json`, if nobody has, and removes that file.
async fn from_live(session: &Session, pipeline: &str, live: &Live) -> Result<Option<Summary>> {
    let folder = work::folder(&session.project.store.work, pipeline, &live.run);
    if work::is_alive(&folder) {
        return Ok(None);
    }
    let known = index::read(session, pipeline, &live.run).await?;
    let mut found = None;
    if known.is_none() {
        let summary = died(session, pipeline, &live.run, &folder, Some(live)).await?;
        let key = keys::of_run(pipeline, &live.run, keys::SUMMARY);
        session.store.put(&key, record::to_bytes(&summary)?).await?;
        index::add(session, &summary, None).await?;
        tracing::warn!(
            pipeline,
            run = live.run,
            host = live.host,
            "an earlier run died"
        );
        found = Some(summary);
    }
    session.store.delete(&keys::live(pipeline)).await?;
    Ok(found)
}

async fn live(session: &Session, pipeline: &str) -> Result<Option<Live>> {
    let object = session.store.get(&keys::live(pipeline)).await?;
    // A torn one is a hint that is lost.
    Ok(object.and_then(|object| serde_json::from_slice(&object.bytes).ok()))
}

/// The summary of a run that could not write its own.
async fn died(
    session: &Session,
    pipeline: &str,
    run: &str,
    folder: &Path,
    live: Option<&Live>,
) -> Result<Summary> {
    let last = [live.map(|live| live.updated_at), last_change(folder)];
    let last = last.into_iter().flatten().max();
    let started_at = live
        .map(|live| live.started_at)
        .or_else(|| work::started_at(run))
        .or(last)
        .unwrap_or_else(|| session.clock().now());
    let duration = last.map_or(0.0, |last| (last - started_at).as_seconds_f64());
    let (state_before, state_after) = versions(session, pipeline, run, started_at).await?;
    let stages = live.map_or_else(Vec::new, |live| {
        let end = |stage: &crate::live::LiveStage| StageEnd {
            label: stage.label.clone(),
            exec: stage.exec.clone(),
            ended: stage
                .ended
                .clone()
                .unwrap_or_else(|| "with the runner".to_owned()),
        };
        live.stages.iter().map(end).collect()
    });
    Ok(Summary {
        run: run.to_owned(),
        pipeline: pipeline.to_owned(),
        kind: work::runner(folder).map_or(Kind::Sync, |runner| runner.kind),
        select: Vec::new(),
        host: live.map_or_else(|| work::host(folder), |live| live.host.clone()),
        started_at,
        duration_seconds: duration.max(0.0),
        outcome: Outcome::Died,
        exit_code: singer_runtime::exit::FAILED,
        attempts: live.map_or(1, |live| live.attempt),
        fault: Some(Fault {
            stage: "antiphon".to_owned(),
            ended: "died".to_owned(),
            message: "the runner was killed, or its machine went down".to_owned(),
            causes: Vec::new(),
            hints: vec![
                "the next run goes on from the newest state; nothing is to be done".to_owned(),
            ],
        }),
        warnings: Vec::new(),
        stages,
        streams: live.map_or_else(Default::default, |live| live.streams.clone()),
        rejects: record::count_lines(&folder.join(keys::REJECTS)).await,
        state_before,
        state_after,
    })
}

/// The version before a run and the newest after it: those that carry its id tell.
async fn versions(
    session: &Session,
    pipeline: &str,
    run: &str,
    started_at: DateTime<Utc>,
) -> Result<(Option<u64>, Option<u64>)> {
    let states = crate::state::States::open(session, pipeline, 0).await?;
    let Some(mut version) = states.newest().await? else {
        return Ok((None, None));
    };
    let mut after = None;
    loop {
        let is_own = version.run.as_deref() == Some(run);
        if is_own && after.is_none() {
            after = Some(version.version);
        }
        if !is_own && (after.is_some() || !is_later(&version, run, started_at)) {
            return Ok((Some(version.version), after.or(Some(version.version))));
        }
        let before = version.version.saturating_sub(1);
        // Retention has removed what lies before, or there was nothing.
        let Some(older) = states.version(before).await? else {
            return Ok((None, after));
        };
        version = older;
    }
}

/// Whether a version was written after a run had begun, by somebody else.
fn is_later(version: &Version, run: &str, started_at: DateTime<Utc>) -> bool {
    match &version.run {
        Some(other) if work::started_at(other).is_some() => other.as_str() > run,
        _ => DateTime::parse_from_rfc3339(&version.at).is_ok_and(|at| at > started_at),
    }
}

/// When something was last written into a work folder.
fn last_change(folder: &Path) -> Option<DateTime<Utc>> {
    let entries = std::fs::read_dir(folder).ok()?;
    let changed = |entry: std::io::Result<std::fs::DirEntry>| -> Option<SystemTime> {
        entry.ok()?.metadata().ok()?.modified().ok()
    };
    entries.filter_map(changed).max().map(DateTime::from)
}

/// Whether an object holds rejects that were open once.
fn is_settled(key: &str) -> bool {
    key.ends_with(REPLAYED) || key.ends_with(CLEARED)
}
