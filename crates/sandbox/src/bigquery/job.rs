//! Jobs: their ids, their states, and what the REST API shows of them. What a job does is in `load`,
//! `copy` and `query`. Facts: sections 5 and 6.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::answer::ApiError;
use super::copy::CopyJob;
use super::load::LoadJob;
use super::query::QueryJob;
use super::store::Ordered;
use super::table::{Column, Row, TableName};

/// Jobs are one project's and one location's; a location is compared without case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct JobKey {
    pub(crate) project: String,
    location: String,
    pub(crate) id: String,
}

impl JobKey {
    pub(crate) fn new(project: &str, location: &str, id: &str) -> JobKey {
        JobKey {
            project: project.to_owned(),
            location: location.to_ascii_lowercase(),
            id: id.to_owned(),
        }
    }
}

/// A job as it was asked for, and how far it is.
pub(crate) struct Job {
    pub(crate) location: String,
    /// As it was given.
    pub(crate) configuration: Map<String, Value>,
    pub(crate) kind: &'static str,
    pub(crate) created_ms: u64,
    pub(crate) started_ms: Option<u64>,
    pub(crate) ended_ms: Option<u64>,
    /// How often somebody looked.
    pub(crate) polls: u32,
    /// At which look it is carried out; never, if a fault says so.
    pub(crate) needed_polls: Option<u32>,
    /// When it is carried out even if nobody looks.
    pub(crate) due_ms: Option<u64>,
    /// The table that a mutating statement works on, while it waits or runs.
    pub(crate) mutates: Option<TableName>,
    /// The table that it writes, for the page.
    pub(crate) destination: Option<TableName>,
    pub(crate) phase: Phase,
}

/// How far a job is.
pub(crate) enum Phase {
    Waiting(Box<Work>),
    Executing,
    Done(Box<Outcome>),
}

/// What there is to do.
pub(crate) enum Work {
    Load(LoadJob),
    Copy(CopyJob),
    Query(Box<QueryJob>),
    /// Nothing but to fail.
    Fail(ApiError),
}

/// How a job ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) error: Option<ApiError>,
    /// Errors and warnings beside the one that failed it.
    pub(crate) errors: Vec<ApiError>,
    /// What stands under the kind of the job in its statistics.
    pub(crate) statistics: Map<String, Value>,
    pub(crate) bytes_processed: Option<u64>,
    pub(crate) result: Option<ResultSet>,
}

/// The rows of a query.
#[derive(Debug, Default)]
pub(crate) struct ResultSet {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    /// Rows that a mutating statement changed.
    pub(crate) affected: Option<u64>,
}

impl Outcome {
    pub(crate) fn failed(error: ApiError) -> Outcome {
        Outcome {
            error: Some(error),
            ..Outcome::default()
        }
    }
}

/// All jobs.
#[derive(Default)]
pub(crate) struct Jobs {
    all: Ordered<JobKey, Job>,
    /// Those that are not carried out yet, oldest first.
    waiting: VecDeque<JobKey>,
    /// Jobs of `jobs.query` by the id of their request, with the time.
    pub(crate) requests: std::collections::HashMap<(String, String), (JobKey, u64)>,
}

impl Jobs {
    pub(crate) fn get(&self, key: &JobKey) -> Option<&Job> {
        self.all.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &JobKey) -> Option<&mut Job> {
        self.all.get_mut(key)
    }

    /// Keeps a job whose id nobody has used.
    pub(crate) fn add(&mut self, key: JobKey, job: Job) {
        self.waiting.push_back(key.clone());
        self.all.add(key, job);
    }

    pub(crate) fn newest(&self) -> impl Iterator<Item = (&JobKey, &Job)> {
        self.all.newest()
    }

    /// The oldest waiting job whose time has come.
    pub(crate) fn due(&mut self, now_ms: u64) -> Option<JobKey> {
        let all = &self.all;
        self.waiting
            .retain(|key| all.get(key).is_some_and(Job::is_waiting));
        self.waiting
            .iter()
            .find(|key| {
                self.all
                    .get(key)
                    .and_then(|job| job.due_ms)
                    .is_some_and(|due_ms| due_ms <= now_ms)
            })
            .cloned()
    }

    /// Mutating statements on a table that wait or run.
    pub(crate) fn outstanding(&self, table: &TableName) -> usize {
        self.waiting
            .iter()
            .filter_map(|key| self.all.get(key))
            .filter(|job| job.mutates.as_ref() == Some(table) && !job.is_done())
            .count()
    }
}

impl Job {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done(_))
    }

    fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting(_))
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Counts a look, and says whether the job is to be carried out now.
    pub(crate) fn look(&mut self, now_ms: u64) -> bool {
        self.polls += 1;
        self.started_ms.get_or_insert(now_ms);
        self.is_waiting() && self.needed_polls.is_some_and(|needed| self.polls >= needed)
    }

    /// Takes the work out, to be carried out by the caller alone.
    pub(crate) fn take_work(&mut self) -> Option<Work> {
        if !self.is_waiting() {
            return None;
        }
        match std::mem::replace(&mut self.phase, Phase::Executing) {
            Phase::Waiting(work) => Some(*work),
            _ => None,
        }
    }

    /// `PENDING`, `RUNNING` or `DONE`.
    pub(crate) fn state(&self) -> &'static str {
        match &self.phase {
            Phase::Done(_) => "DONE",
            Phase::Executing => "RUNNING",
            Phase::Waiting(_) if self.polls > 0 => "RUNNING",
            Phase::Waiting(_) => "PENDING",
        }
    }

    /// The job as the API shows it.
    pub(crate) fn to_json(&self, key: &JobKey) -> Value {
        let mut configuration = self.configuration.clone();
        configuration.insert("jobType".to_owned(), json!(self.kind.to_ascii_uppercase()));
        let mut status = json!({"state": self.state()});
        let mut statistics = json!({"creationTime": self.created_ms.to_string()});
        if let Some(time) = self.started_ms {
            statistics["startTime"] = json!(time.to_string());
        }
        if let Some(time) = self.ended_ms {
            statistics["endTime"] = json!(time.to_string());
        }
        if let Some(outcome) = self.outcome() {
            if let Some(error) = &outcome.error {
                status["errorResult"] = error.to_proto();
            }
            let errors: Vec<Value> = outcome
                .error
                .iter()
                .chain(&outcome.errors)
                .map(ApiError::to_proto)
                .collect();
            if !errors.is_empty() {
                status["errors"] = json!(errors);
            }
            if !outcome.statistics.is_empty() {
                statistics[self.kind] = Value::Object(outcome.statistics.clone());
            }
            if let Some(bytes) = outcome.bytes_processed {
                statistics["totalBytesProcessed"] = json!(bytes.to_string());
            }
        }
        json!({
            "kind": "bigquery#job",
            "etag": super::base64::encode(format!("{}.{}", key.id, self.polls).as_bytes()),
            "id": format!("{}:{}.{}", key.project, self.location, key.id),
            "jobReference": self.reference(key),
            "configuration": configuration,
            "status": status,
            "statistics": statistics,
            "user_email": "sandbox@sandbox-project.iam.gserviceaccount.com",
        })
    }

    pub(crate) fn reference(&self, key: &JobKey) -> Value {
        json!({"projectId": key.project, "jobId": key.id, "location": self.location})
    }
}
