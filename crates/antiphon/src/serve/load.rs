//! Fills the views from the store: side by side, in bounded number and time, the overview at most every
//! second or two. Nothing is written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Local, Utc};
use futures_util::stream::{self, StreamExt};
use singer_core::{Error, Result};
use singer_runtime::exit;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::history::{self, Brief, Summary, keys};
use crate::live::Live;
use crate::lock;
use crate::serve::open_rejects::OpenRejects;
use crate::serve::pipeline;
use crate::serve::run_page;
use crate::serve::view::{
    Detail, Outage, Overview, Paged, Pipeline, RunDetail, Runner, Running, Schedule, StateDetail,
    StateDiff, StateLine,
};
use crate::session::Session;
use crate::spec::{self, LocalTime};
use crate::state::{Cause, Version, diff};

/// How many objects are read side by side.
const SIDE_BY_SIDE: usize = 16;
/// How long an overview is shown again without a new look.
const FRESH: Duration = Duration::from_millis(1_500);
/// How long the store may take for a page.
const PATIENCE: Duration = Duration::from_secs(15);
/// Runs on a page of the table.
const RUNS: usize = 25;
/// Summaries behind the small lines of the streams.
const SUMMARIES: usize = 20;
/// Versions of the state on the page of a pipeline.
const STATES: usize = 8;
/// Versions on a page of their own.
const STATES_ON_PAGE: usize = 25;
/// Lines of a log on the page of its run.
const TAIL: usize = 300;

/// Reads for the pages.
#[derive(Debug)]
pub(crate) struct Loader {
    session: Session,
    overview: Mutex<Option<(Instant, Arc<Overview>)>>,
    rejects: OpenRejects,
}

/// What a page gets: the view, or why there is none.
pub(crate) type Loaded<T> = std::result::Result<T, Box<Outage>>;

impl Loader {
    /// Reads of a session.
    pub(crate) fn of(session: Session) -> Self {
        Self {
            session,
            overview: Mutex::new(None),
            rejects: OpenRejects::default(),
        }
    }

    /// The session.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The name of the project: that of its folder.
    pub(crate) fn project(&self) -> String {
        let name = self.session.project.folder.file_name();
        name.map_or_else(
            || "/".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// All pipelines. Whoever comes while somebody looks waits for the same answer.
    pub(crate) async fn overview(&self) -> Loaded<Arc<Overview>> {
        let mut cached = self.overview.lock().await;
        if let Some((at, overview)) = &*cached
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(overview));
        }
        match bounded(self.read_overview()).await {
            Ok(overview) => {
                let overview = Arc::new(overview);
                *cached = Some((Instant::now(), Arc::clone(&overview)));
                Ok(overview)
            }
            Err(error) => Err(outage(error, cached.as_ref())),
        }
    }

    async fn read_overview(&self) -> Result<Overview> {
        self.probe().await?;
        // Owned, because a reference would tie the futures to one lifetime.
        let specs: Vec<spec::Pipeline> = self.session.project.pipelines.values().cloned().collect();
        let pipelines: Vec<Pipeline> = stream::iter(specs)
            .map(async |spec| self.read_pipeline(&spec).await)
            .buffered(SIDE_BY_SIDE)
            .collect()
            .await;
        Ok(Overview {
            project: self.project(),
            read_at: self.session.clock().now(),
            pipelines,
        })
    }

    /// Asks the store for little: an error says that it is out of reach.
    pub(crate) async fn probe(&self) -> Result<()> {
        // A folder that is gone would look like one in which nothing ever ran.
        if let Some(folder) = self.session.store.folder() {
            let place = || format!("the store `{}` is not there", folder.display());
            let found = tokio::fs::metadata(folder).await;
            let found = found.map_err(|error| Error::transient(place()).with_source(error))?;
            if !found.is_dir() {
                return Err(Error::transient(place()).with_hint("it is no folder"));
            }
        }
        self.session.store.folders(keys::PIPELINES).await?;
        Ok(())
    }

    /// As [`Self::probe`], in bounded time.
    pub(crate) async fn healthy(&self) -> Result<()> {
        bounded(self.probe()).await
    }

    /// A pipeline in a line. What cannot be read of it is told in its line, so that one broken file does not
    /// hide the others.
    async fn read_pipeline(&self, spec: &spec::Pipeline) -> Pipeline {
        let name = &spec.name;
        let (index, running, newest) = tokio::join!(
            history::index(&self.session, name),
            self.running(name),
            self.versions(name)
        );
        let mut trouble = None;
        let mut told = |error: Error| {
            tracing::warn!(pipeline = %name, error = %error, "a pipeline cannot be shown in full");
            trouble = Some(exit::summary_line(&error.into()));
        };
        let index = index.unwrap_or_else(|error| {
            told(error);
            history::Index::default()
        });
        let running = running.unwrap_or_else(|error| {
            told(error);
            None
        });
        let newest = newest.unwrap_or_else(|error| {
            told(error);
            Vec::new()
        });
        // A run that was recorded a moment ago may still have its last progress there.
        let recorded = |running: &Running| index.runs.iter().any(|run| run.run == running.live.run);
        Pipeline {
            name: name.clone(),
            stages: stages(spec),
            schedule: schedule(spec, self.session.clock().now()),
            running: running.filter(|running| !recorded(running)),
            rejects_open: index.rejects_open(),
            rejects_in: index.open.into_keys().collect(),
            runs: index.runs,
            last_good: index.last_good,
            state_version: newest.first().copied(),
            trouble,
        }
    }

    /// What a pipeline is doing now, and whether its runner is still there.
    async fn running(&self, pipeline: &str) -> Result<Option<Running>> {
        let Some(live) = self.read::<Live>(&keys::live(pipeline)).await? else {
            return Ok(None);
        };
        let holder = lock::holder(&self.session, pipeline).await?;
        let runner = match holder {
            Some(holder) if holder.run == live.run => Runner::Alive,
            _ => Runner::Gone,
        };
        Ok(Some(Running { live, runner }))
    }

    /// A pipeline in full; `page` counts from 1.
    pub(crate) async fn pipeline(&self, spec: &spec::Pipeline, page: usize) -> Loaded<Detail> {
        self.bounded(self.read_detail(spec, page)).await
    }

    async fn read_detail(&self, spec: &spec::Pipeline, page: usize) -> Result<Detail> {
        self.probe().await?;
        let name = &spec.name;
        let (pipeline, summaries, versions) = tokio::join!(
            self.read_pipeline(spec),
            history::summaries(&self.session, name, SUMMARIES),
            self.versions(name)
        );
        let (runs, states, rejects) = tokio::join!(
            self.runs(name, &pipeline.runs, page),
            self.state_lines(name, versions?.into_iter().take(STATES).collect()),
            self.rejects
                .groups(&self.session, name, &pipeline.rejects_in)
        );
        Ok(Detail {
            read_at: self.session.clock().now(),
            summaries: summaries?,
            runs: runs?,
            states,
            rejects: rejects?,
            pipeline,
        })
    }

    /// A page of the runs: of the index as far as it goes, else of the summaries.
    async fn runs(&self, pipeline: &str, known: &[Brief], page: usize) -> Result<Paged<Brief>> {
        let ids = self.session.store.folders(&keys::runs(pipeline)).await?;
        let total = ids.len();
        let pages = Paged::<Brief>::pages_of(total, RUNS);
        let page = page.clamp(1, pages);
        let ids: Vec<String> = ids
            .into_iter()
            .rev()
            .skip((page - 1) * RUNS)
            .take(RUNS)
            .collect();
        let items = stream::iter(ids)
            .map(async |run| {
                if let Some(brief) = known.iter().find(|brief| brief.run == run) {
                    return Some(brief.clone());
                }
                let summary = self.summary(pipeline, &run).await;
                summary.ok().flatten().map(|summary| Brief::from(&summary))
            })
            .buffered(SIDE_BY_SIDE)
            .filter_map(async |brief| brief)
            .collect()
            .await;
        Ok(Paged {
            items,
            page,
            pages,
            total,
        })
    }

    async fn summary(&self, pipeline: &str, run: &str) -> Result<Option<Summary>> {
        self.read(&keys::of_run(pipeline, run, keys::SUMMARY)).await
    }

    /// A run in full; `None` if there is none of that id.
    pub(crate) async fn run(&self, pipeline: &str, run: &str) -> Loaded<Option<RunDetail>> {
        self.bounded(self.read_run(pipeline, run)).await
    }

    async fn read_run(&self, pipeline: &str, run: &str) -> Result<Option<RunDetail>> {
        self.probe().await?;
        if !is_key(run) {
            return Ok(None);
        }
        let (summary, running) = tokio::join!(self.summary(pipeline, run), self.running(pipeline));
        let (summary, running) = (summary?, running?);
        let running = running.filter(|running| running.live.run == run && summary.is_none());
        if summary.is_none() && running.is_none() {
            return Ok(None);
        }
        let log = history::log(&self.session, pipeline, run).await?;
        let log = match (log, &running) {
            (Some(log), _) => Some(run_page::tail(&log, TAIL)),
            // It runs on another machine: its last lines are in its progress.
            (None, Some(running)) => Some(run_page::tail(
                running.live.tail.join("\n").as_bytes(),
                TAIL,
            )),
            (None, None) => None,
        };
        Ok(Some(RunDetail {
            read_at: self.session.clock().now(),
            pipeline: pipeline.to_owned(),
            run: run.to_owned(),
            summary,
            running,
            log,
        }))
    }

    /// The whole log of a run.
    pub(crate) async fn log(&self, pipeline: &str, run: &str) -> Loaded<Option<Vec<u8>>> {
        if !is_key(run) {
            return Ok(None);
        }
        let read = async {
            self.probe().await?;
            history::log(&self.session, pipeline, run).await
        };
        self.bounded(read).await
    }

    /// The numbers of all versions of a state, the newest first.
    async fn versions(&self, pipeline: &str) -> Result<Vec<u64>> {
        let prefix = format!("{}{pipeline}/state/", keys::PIPELINES);
        let listed = self.session.store.list(&prefix).await?;
        let number = |key: &str| key.rsplit('/').next()?.strip_suffix(".json")?.parse().ok();
        let mut versions: Vec<u64> = listed.iter().filter_map(|it| number(&it.key)).collect();
        versions.sort_unstable_by(|one, other| other.cmp(one));
        // What lies below a gap is no version any more: a writer slept while its number was removed.
        let whole = versions.iter().zip(versions.iter().skip(1));
        let kept = 1 + whole
            .take_while(|(one, other)| **other + 1 == **one)
            .count();
        versions.truncate(kept);
        Ok(versions)
    }

    async fn version(&self, pipeline: &str, version: u64) -> Result<Option<Version>> {
        self.read(&keys::state(pipeline, version)).await
    }

    async fn state_lines(&self, pipeline: &str, versions: Vec<u64>) -> Vec<StateLine> {
        stream::iter(versions)
            .map(async |version| match self.version(pipeline, version).await {
                Ok(version) => version.as_ref().map(state_line),
                Err(error) => {
                    tracing::warn!(pipeline, version, error = %error, "a version of the state cannot be read");
                    None
                }
            })
            .buffered(SIDE_BY_SIDE)
            .filter_map(async |line| line)
            .collect()
            .await
    }

    /// A page of the versions of a state.
    pub(crate) async fn states(&self, pipeline: &str, page: usize) -> Loaded<Paged<StateLine>> {
        let read = async {
            self.probe().await?;
            let versions = self.versions(pipeline).await?;
            let total = versions.len();
            let pages = Paged::<StateLine>::pages_of(total, STATES_ON_PAGE);
            let page = page.clamp(1, pages);
            let first = (page - 1) * STATES_ON_PAGE;
            let versions = versions.into_iter().skip(first).take(STATES_ON_PAGE);
            Ok(Paged {
                items: self.state_lines(pipeline, versions.collect()).await,
                page,
                pages,
                total,
            })
        };
        self.bounded(read).await
    }

    /// A version of a state; `None` if it is not kept.
    pub(crate) async fn state(&self, pipeline: &str, version: u64) -> Loaded<Option<StateDetail>> {
        let read = async {
            self.probe().await?;
            let (versions, found) =
                tokio::join!(self.versions(pipeline), self.version(pipeline, version));
            let versions = versions?;
            let Some(found) = found? else { return Ok(None) };
            Ok(Some(StateDetail {
                pipeline: pipeline.to_owned(),
                line: state_line(&found),
                newest: versions.first().copied().unwrap_or(version),
                before: versions.iter().copied().find(|other| *other < version),
                leaves: diff::leaves(&found.state),
            }))
        };
        self.bounded(read).await
    }

    /// Two versions of a state; `None` if one of them is not kept.
    pub(crate) async fn diff(
        &self,
        pipeline: &str,
        before: u64,
        after: u64,
    ) -> Loaded<Option<StateDiff>> {
        let read = async {
            self.probe().await?;
            let (one, other) = tokio::join!(
                self.version(pipeline, before),
                self.version(pipeline, after)
            );
            let (Some(before), Some(after)) = (one?, other?) else {
                return Ok(None);
            };
            Ok(Some(StateDiff {
                pipeline: pipeline.to_owned(),
                before: state_line(&before),
                after: state_line(&after),
                changes: diff::changes(before.state.get(), after.state.get())?,
            }))
        };
        self.bounded(read).await
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(object) = self.session.store.get(key).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&object.bytes)
            .map(Some)
            .map_err(|error| {
                Error::internal(format!("`{key}` in the store is broken")).with_source(error)
            })
    }

    async fn bounded<T>(&self, read: impl Future<Output = Result<T>>) -> Loaded<T> {
        match bounded(read).await {
            Ok(view) => Ok(view),
            Err(error) => Err(outage(error, self.overview.lock().await.as_ref())),
        }
    }
}

async fn bounded<T>(read: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || {
        Error::transient(format!(
            "the store did not answer in {} s",
            PATIENCE.as_secs()
        ))
    };
    timeout(PATIENCE, read)
        .await
        .unwrap_or_else(|_| Err(late()))
}

fn outage(error: Error, last: Option<&(Instant, Arc<Overview>)>) -> Box<Outage> {
    let explained = exit::explain(&error.into());
    Box::new(Outage {
        message: explained.message,
        causes: explained.causes,
        hints: explained.hints,
        last_good: last.map(|(_, overview)| Arc::clone(overview)),
    })
}

/// Whether a text may be a piece of a key: nothing that leads elsewhere in the store.
fn is_key(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !text.is_empty() && text.len() <= 200 && !text.starts_with('.') && text.chars().all(plain)
}

fn stages(spec: &spec::Pipeline) -> Vec<String> {
    let stages = [&spec.tap]
        .into_iter()
        .chain(&spec.maps)
        .chain([&spec.target]);
    stages
        .map(|stage| pipeline::file_name(&stage.exec).to_owned())
        .collect()
}

fn schedule(spec: &spec::Pipeline, now: DateTime<Utc>) -> Option<Schedule> {
    let line = spec.schedule.clone()?;
    // The schedule was checked when the project was read; one that never comes has no next time.
    let next = spec::schedule::parse(&line)
        .ok()
        .and_then(|cron| match spec.local_time {
            LocalTime::Utc => cron.find_next_occurrence(&now, false).ok(),
            LocalTime::Local => cron
                .find_next_occurrence(&now.with_timezone(&Local), false)
                .ok()
                .map(|next| next.to_utc()),
        });
    Some(Schedule {
        zone: match spec.local_time {
            LocalTime::Utc => "UTC",
            LocalTime::Local => "local time",
        },
        line,
        next,
    })
}

fn state_line(version: &Version) -> StateLine {
    StateLine {
        version: version.version,
        at: version.at.clone(),
        run: version.run.clone(),
        cause: match version.cause {
            Cause::Printed => "printed by the target".to_owned(),
            Cause::TakenOver => "taken over from a run that died".to_owned(),
            Cause::Reverted(to) => format!("back to version {to}"),
            Cause::Set => "set by a person".to_owned(),
        },
        bytes: version.state.get().len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_leads_elsewhere_is_no_key() {
        for text in [
            "", ".", "..", "../x", "a/b", "a\\b", "a%2fb", "a\0", "é", ".hidden",
        ] {
            assert!(!is_key(text), "{text}");
        }
        assert!(is_key("20261123T180436.123Z-1a2b"));
    }
}
