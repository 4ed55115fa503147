//! What stands, who knows: the status of a pipeline for each of its notifiers, as `alarms.json` has it.
//!
//! A status moves with each run ([`Status::advance`]) and says what is to be told ([`Status::due`]). It is stored
//! before anything is sent, and once more when the notice went out ([`Status::settle`]). A runner that dies
//! between sending and storing makes the next run tell again: a notice may come twice, never not at all. A
//! runner that dies before it looked at a run leaves that run to the next one, which finds it in the
//! index. All of it is pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::conditions::{self, Condition, Finding, Findings, SchemaChange};
use crate::history::Brief;

/// `alarms.json`: which runs were looked at, a status for each notifier by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alarms {
    /// The runs of the index that were looked at. Ids are not compared: clocks jump.
    #[serde(default)]
    pub(crate) seen: BTreeSet<String>,
    /// The index could not be read when this was begun: no run before it was missed.
    #[serde(default)]
    pub(crate) is_blind: bool,
    #[serde(default)]
    pub(crate) notifiers: BTreeMap<String, Status>,
}

/// What stands for one notifier, and what it is still to hear.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    /// The newest run that was looked at.
    pub(crate) run: String,
    pub(crate) standing: BTreeMap<Condition, Standing>,
    /// From the first run in which something stood to the one in which nothing does.
    pub(crate) episode: Option<Episode>,
    pub(crate) pending: Pending,
    /// Changes of schemas that were noted since the last good run, so that each is told once: the new
    /// fingerprint, or none for a stream that is gone.
    pub(crate) schemas: BTreeMap<String, Option<String>>,
}

/// A condition that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) since: Moment,
    /// What the newest run said of it.
    pub(crate) text: String,
    /// The stages that failed since then: a fault at another one is another fault.
    #[serde(default)]
    pub(crate) stages: BTreeSet<String>,
}

/// A run and when it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) run: String,
    pub(crate) at: DateTime<Utc>,
}

/// A time in which something stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Episode {
    pub(crate) since: Moment,
    /// The runs in it, and those of them that failed.
    pub(crate) runs: u64,
    pub(crate) failed_runs: u64,
    /// Whether anybody was told of it.
    pub(crate) is_told: bool,
}

/// What is still to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Pending {
    pub(crate) conditions: BTreeSet<Condition>,
    pub(crate) recovered: Option<Recovered>,
    pub(crate) schema: SchemaChange,
}

/// An episode that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recovered {
    pub(crate) episode: Episode,
    /// When the run ended that was good.
    pub(crate) at: DateTime<Utc>,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// The pipeline fails.
    Failed,
    /// It works, but something is not as it should be.
    Warning,
    /// Nothing stands any more.
    Recovered,
    /// A person tries a notifier.
    Test,
}

impl Event {
    /// As it stands in JSON and in the variables of a command.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Warning => "warning",
            Self::Recovered => "recovered",
            Self::Test => "test",
        }
    }
}

impl Status {
    /// Which conditions stand.
    pub(crate) fn conditions(&self) -> BTreeSet<Condition> {
        self.standing.keys().copied().collect()
    }

    /// Takes a run into account that is newer than all before it.
    pub(crate) fn advance(&mut self, run: &Brief, findings: Findings) {
        self.run.clone_from(&run.run);
        let stood = !self.standing.is_empty();
        for (condition, finding) in findings.conditions {
            match finding {
                Finding::Stands(text) => self.stand(condition, text, run),
                Finding::Clear => drop(self.standing.remove(&condition)),
                Finding::Unknown => {}
            }
        }
        self.pending
            .conditions
            .retain(|condition| self.standing.contains_key(condition));
        self.note_schemas(run, findings.schema);
        if self.standing.is_empty() {
            if let Some(episode) = self.episode.take().filter(|_| stood) {
                self.pending.recovered = Some(Recovered {
                    episode,
                    at: end_of(run),
                });
            }
            return;
        }
        // What has not been heard of the time before is old by now.
        self.pending.recovered = None;
        let episode = self.episode.get_or_insert_with(|| Episode {
            since: moment(run),
            runs: 0,
            failed_runs: 0,
            is_told: false,
        });
        episode.runs += 1;
        episode.failed_runs += u64::from(!run.outcome.is_good());
    }

    fn stand(&mut self, condition: Condition, text: String, run: &Brief) {
        let is_new = !self.standing.contains_key(&condition);
        let standing = self.standing.entry(condition).or_insert_with(|| Standing {
            since: moment(run),
            text: String::new(),
            stages: BTreeSet::new(),
        });
        standing.text = text;
        let is_other_fault = condition == Condition::Failed
            && standing
                .stages
                .insert(run.stage.clone().unwrap_or_default());
        if is_new || is_other_fault {
            self.pending.conditions.insert(condition);
        }
    }

    fn note_schemas(&mut self, run: &Brief, mut change: SchemaChange) {
        let known = &self.schemas;
        let is_known = |stream: &String, schema: Option<&String>| {
            known.get(stream).map(Option::as_ref) == Some(schema)
        };
        change
            .changed
            .retain(|stream, schema| !is_known(stream, Some(schema)));
        change
            .new
            .retain(|stream, schema| !is_known(stream, Some(schema)));
        change.gone.retain(|stream| !is_known(stream, None));
        let now = change.changed.iter().chain(&change.new);
        let mut noted: BTreeMap<String, Option<String>> = now
            .map(|(stream, schema)| (stream.clone(), Some(schema.clone())))
            .collect();
        noted.extend(change.gone.iter().map(|stream| (stream.clone(), None)));
        self.schemas.extend(noted);
        // From a good run on, its schemas are what others are compared with.
        if run.outcome.is_good() && conditions::counts(run) {
            self.schemas
                .retain(|stream, _| run.is_partial && !run.schemas.contains_key(stream));
        }
        self.pending.schema.merge(change);
    }

    /// What is to be told now, if anything is.
    pub(crate) fn due(&self) -> Option<Event> {
        let Pending {
            conditions,
            recovered,
            schema,
        } = &self.pending;
        if recovered.is_some() {
            return Some(Event::Recovered);
        }
        if conditions.is_empty() && schema.is_empty() {
            return None;
        }
        Some(if self.standing.contains_key(&Condition::Failed) {
            Event::Failed
        } else {
            Event::Warning
        })
    }

    /// What was due has been told.
    pub(crate) fn settle(&mut self) {
        // A change of a schema alone does not tell of what stands; nothing untold stands beside it though.
        if let Some(episode) = &mut self.episode {
            episode.is_told = true;
        }
        self.pending = Pending::default();
    }
}

fn moment(run: &Brief) -> Moment {
    Moment {
        run: run.run.clone(),
        at: run.started_at,
    }
}

/// When a run ended.
pub(crate) fn end_of(run: &Brief) -> DateTime<Utc> {
    let duration = std::time::Duration::try_from_secs_f64(run.duration_seconds).unwrap_or_default();
    chrono::TimeDelta::from_std(duration)
        .ok()
        .and_then(|duration| run.started_at.checked_add_signed(duration))
        .unwrap_or(run.started_at)
}

#[cfg(test)]
mod tests;
