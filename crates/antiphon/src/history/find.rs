//! Finds a run by its id or the beginning of it, and its log.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use singer_core::{Error, Result};

use super::{keys, work};
use crate::session::Session;

/// How many pipelines are asked side by side.
const SIDE_BY_SIDE: usize = 16;
/// How many candidates an error names.
const MOST_NAMED: usize = 10;

/// Where a run is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pipeline: String,
    pub(super) run: String,
}

/// Finds a run by a prefix of its id, among all pipelines that the store or this machine knows of, also those
/// that the project no longer has; `None` if there is none.
///
/// # Errors
/// Of kind `Config` if there are several.
pub(super) async fn locate(session: &Session, prefix: &str) -> Result<Option<Place>> {
    if prefix.is_empty() {
        return Ok(None);
    }
    let mut pipelines = session.store.folders(keys::PIPELINES).await?;
    pipelines.extend(session.project.pipelines.keys().cloned());
    pipelines.sort();
    pipelines.dedup();
    let mut found: Vec<Place> = stream::iter(pipelines)
        .map(async |pipeline| with_prefix(session, pipeline, prefix).await)
        .buffered(SIDE_BY_SIDE)
        .try_concat()
        .await?;
    if let Some(at) = found.iter().position(|place| place.run == prefix) {
        return Ok(Some(found.swap_remove(at)));
    }
    if found.len() < 2 {
        return Ok(found.pop());
    }
    let mut error = Error::config(format!(
        "`{prefix}` is the beginning of {} runs",
        found.len()
    ));
    for place in found.iter().rev().take(MOST_NAMED) {
        error = error.with_hint(format!("{} of `{}`", place.run, place.pipeline));
    }
    if found.len() > MOST_NAMED {
        error = error.with_hint("… and older ones");
    }
    Err(error)
}

async fn with_prefix(session: &Session, pipeline: String, prefix: &str) -> Result<Vec<Place>> {
    let mut runs = session.store.folders(&keys::runs(&pipeline)).await?;
    // A run that is under way, or was not recorded, is in its work folder alone.
    runs.extend(work::runs(&session.project.store.work, &pipeline).unwrap_or_default());
    runs.sort();
    runs.dedup();
    let place = |run| Place {
        pipeline: pipeline.clone(),
        run,
    };
    Ok(runs
        .into_iter()
        .filter(|run| run.starts_with(prefix))
        .map(place)
        .collect())
}

/// The log of a run: of the work folder while it runs here, else of the store.
pub(super) async fn log(session: &Session, pipeline: &str, run: &str) -> Result<Option<Vec<u8>>> {
    let folder = work::folder(&session.project.store.work, pipeline, run);
    if let Ok(bytes) = tokio::fs::read(folder.join(keys::LOG)).await {
        return Ok(Some(bytes));
    }
    let key = keys::of_run(pipeline, run, keys::LOG);
    let object = session.store.get(&key).await?;
    Ok(object.map(|object| object.bytes.into()))
}
