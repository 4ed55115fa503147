//! The index of a pipeline: read, made anew from the summaries if it is missing or broken, added to.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use singer_core::{Error, Result};

use super::{Brief, INDEX_RUNS, Index, Kind, Summary, keys};
use crate::rejects::Counter;
use crate::session::Session;

/// How many summaries are read side by side.
const SIDE_BY_SIDE: usize = 16;

/// The index as it is stored, or made anew.
pub(super) async fn load(session: &Session, pipeline: &str) -> Result<Index> {
    let key = keys::index(pipeline);
    if let Some(object) = session.store.get(&key).await? {
        match serde_json::from_slice(&object.bytes) {
            Ok(index) => return Ok(index),
            Err(error) => {
                tracing::warn!(pipeline, error = %error, "the index of the runs is broken: made anew from their summaries");
            }
        }
    }
    rebuild(session, pipeline).await
}

/// Puts the index.
pub(super) async fn save(session: &Session, pipeline: &str, index: &Index) -> Result<()> {
    let bytes = serde_json::to_vec(index)
        .map_err(|error| Error::internal("cannot write an index").with_source(error))?;
    session
        .store
        .put(&keys::index(pipeline), Bytes::from(bytes))
        .await
}

/// Adds a run that was recorded to the index, or puts it in the place of what stood there of it; `open` are
/// its open rejects, if they are known.
pub(super) async fn add(session: &Session, summary: &Summary, open: Option<u64>) -> Result<()> {
    let mut index = load(session, &summary.pipeline).await?;
    index.add(Brief::from(summary));
    if let Some(open) = open {
        index.set_open(&summary.run, open);
    }
    save(session, &summary.pipeline, &index).await
}

/// Makes the index from the summaries.
pub(super) async fn rebuild(session: &Session, pipeline: &str) -> Result<Index> {
    let mut index = Index::default();
    let mut runs: Vec<String> = Vec::new();
    for object in session.store.list(&keys::runs(pipeline)).await? {
        let mut parts = object.key.rsplit('/');
        let (Some(name), Some(run)) = (parts.next(), parts.next()) else {
            continue;
        };
        if name == keys::REJECTS {
            index.set_open(run, count_lines(session, &object.key).await?);
        }
        if runs.last().is_none_or(|last| last != run) {
            runs.push(run.to_owned());
        }
    }
    index.kept = runs.len();
    let mut found = std::pin::pin!(read_all(session, pipeline, runs));
    while let Some(summary) = found.try_next().await? {
        let brief = Brief::from(&summary);
        if index.last_good.is_none() && brief.is_good_sync() {
            index.last_good = Some(brief.clone());
        }
        if index.runs.len() < INDEX_RUNS {
            index.runs.push(brief);
        }
        // The last good run may lie before those that the index holds.
        if index.runs.len() == INDEX_RUNS && index.last_good.is_some() {
            break;
        }
    }
    index.runs.reverse();
    Ok(index)
}

/// The lines of an object.
async fn count_lines(session: &Session, key: &str) -> Result<u64> {
    let mut counter = Counter::default();
    if let Some(mut pieces) = session.store.read(key).await? {
        while let Some(piece) = pieces.try_next().await? {
            counter.push(&piece);
        }
    }
    Ok(counter.lines())
}

/// Reads the summaries of runs, the newest (the last of `runs`) first. One that is broken is named and left
/// out; a run without one is only left out.
pub(super) fn read_all(
    session: &Session,
    pipeline: &str,
    runs: Vec<String>,
) -> impl futures_util::Stream<Item = Result<Summary>> {
    stream::iter(runs.into_iter().rev())
        .map(async |run| read(session, pipeline, &run).await)
        .buffered(SIDE_BY_SIDE)
        .try_filter_map(async |summary| Ok(summary))
}

/// Reads the summary of a run; `None` if there is none, or (with a warning) if it is broken.
pub(super) async fn read(session: &Session, pipeline: &str, run: &str) -> Result<Option<Summary>> {
    let key = keys::of_run(pipeline, run, keys::SUMMARY);
    let Some(object) = session.store.get(&key).await? else {
        return Ok(None);
    };
    match serde_json::from_slice(&object.bytes) {
        Ok(summary) => Ok(Some(summary)),
        Err(error) => {
            tracing::warn!(pipeline, run, error = %error, "the summary of a run is broken: left out");
            Ok(None)
        }
    }
}

impl Index {
    /// Puts a run in its place by time, and forgets the oldest beyond [`INDEX_RUNS`].
    pub(super) fn add(&mut self, brief: Brief) {
        let known = self.runs.iter().position(|known| known.run == brief.run);
        match known {
            Some(at) => drop(self.runs.remove(at)),
            None => self.kept += 1,
        }
        let is_newer = |good: &Brief| good.order() <= brief.order();
        if brief.is_good_sync() && self.last_good.as_ref().is_none_or(is_newer) {
            self.last_good = Some(brief.clone());
        }
        let at = self
            .runs
            .partition_point(|other| other.order() < brief.order());
        self.runs.insert(at, brief);
        let surplus = self.runs.len().saturating_sub(INDEX_RUNS);
        drop(self.runs.drain(..surplus));
    }
}

impl Index {
    /// Notes how many rejects of a run are open.
    pub(crate) fn set_open(&mut self, run: &str, open: u64) {
        if open == 0 {
            self.open.remove(run);
        } else {
            self.open.insert(run.to_owned(), open);
        }
    }
}

impl Brief {
    /// Whether the pipeline did its work in this run: a replay of rejects is not that.
    fn is_good_sync(&self) -> bool {
        self.outcome.is_good() && self.kind != Kind::Replay
    }

    /// Sorts by time.
    pub(super) fn order(&self) -> (DateTime<Utc>, &str) {
        (self.started_at, &self.run)
    }
}

impl From<&Summary> for Brief {
    fn from(summary: &Summary) -> Self {
        let fault = summary.fault.as_ref();
        let known: Vec<u64> = summary
            .streams
            .values()
            .filter_map(|counts| counts.records)
            .collect();
        let schema = |(stream, counts): (&String, &super::Counts)| {
            Some((stream.clone(), counts.schema.clone()?))
        };
        Self {
            run: summary.run.clone(),
            kind: summary.kind,
            is_partial: !summary.select.is_empty(),
            started_at: summary.started_at,
            duration_seconds: summary.duration_seconds,
            outcome: summary.outcome,
            exit_code: summary.exit_code,
            stage: fault.map(|fault| fault.stage.clone()),
            words: fault
                .map(|fault| &fault.message)
                .or(summary.warnings.first())
                .cloned(),
            records: (!known.is_empty()).then(|| known.iter().sum()),
            rejects: summary.rejects,
            state_before: summary.state_before,
            state_after: summary.state_after,
            schemas: summary.streams.iter().filter_map(schema).collect(),
        }
    }
}
