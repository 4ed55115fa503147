//! Jobs that happen once. Each has an id that we choose, and an answer that was lost is asked for by that
//! id; only a job that is known to have failed gets another attempt, under the next id.
//!
//! | what came back | what is done |
//! | --- | --- |
//! | the job | it is waited for |
//! | 409 `duplicate` | `jobs.get`: it runs, it is waited for; it succeeded, its work is done |
//! | … and it had failed in an earlier run | the next attempt: an id is burnt, also by a failure |
//! | … and it is not to be found | asked again for some seconds, then the run ends with 75 |
//! | nothing, or a fault that passes | the same id again |
//! | the job failed for a reason that passes | the next attempt, after a while |
//! | the job does not end | cancelled once patience is at its end; what it did counts by its id |

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use singer_core::{Error, Kind as ErrorKind, Result};
use singer_net::{Backoff, backoff};
use tokio::sync::Semaphore;

use crate::api::{Api, Fault, Job, Submission};
use crate::warehouse::lacks;

/// The wait before a job is looked at for the first time, and the longest between two looks.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LONGEST_LOOK: Duration = Duration::from_secs(4);

/// How often a job that BigQuery says it knows is looked for in vain.
const VAIN_LOOKS: u32 = 8;

/// Ids that earlier runs may have burnt.
const MOST_ATTEMPTS: u32 = 100;

/// Attempts at a statement that meets others on the same rows: it waits for its turn.
const CONFLICT_ATTEMPTS: u32 = 20;

/// How long a cancelled job is given to end.
const CANCEL_PATIENCE: Duration = Duration::from_secs(30);

/// Runs jobs, and counts what they cost.
#[derive(Debug)]
pub struct Jobs {
    api: Arc<Api>,
    attempts: u32,
    /// Jobs in flight.
    slots: Semaphore,
    /// What they cost.
    pub cost: Cost,
    maximum_bytes_billed: Option<u64>,
}

/// What a run costs.
#[derive(Debug, Default)]
pub struct Cost {
    /// Bytes of rows through the Storage Write API or insertAll, as they were sent.
    pub streamed_bytes: AtomicU64,
    /// Load jobs.
    pub loads: AtomicU64,
    /// Bytes of their files as they were sent.
    pub loaded_bytes: AtomicU64,
    /// Statements.
    pub statements: AtomicU64,
    /// Bytes that these read.
    pub processed_bytes: AtomicU64,
    /// Bytes that these are charged for.
    pub billed_bytes: AtomicU64,
    /// Milliseconds of slots, of all jobs.
    pub slot_milliseconds: AtomicU64,
}

/// How a job ended.
#[derive(Debug)]
pub enum Ended {
    /// Well.
    Done(Job),
    /// It was carried out and failed for good, and so changed nothing.
    Failed(Job),
}

impl Ended {
    /// The job if it ended well; else the error of what was wanted.
    pub fn done(self, what: &str) -> Result<Job> {
        match self {
            Self::Done(job) => Ok(job),
            Self::Failed(job) => Err(match job.failure {
                // A job is taken by who may run jobs, and fails where it meets the data.
                Some(refused) => lacks(
                    Fault::Refused(refused),
                    what,
                    "bigquery.tables.updateData",
                    "roles/bigquery.dataEditor",
                ),
                None => Error::internal(what),
            }),
        }
    }
}

/// Where an attempt stands.
enum Attempt {
    /// It ended well.
    Done(Job),
    /// It failed in this run.
    Failed(Job),
    /// It had failed in an earlier run.
    Burnt,
}

impl Jobs {
    /// Runs jobs through this client, so many at once.
    pub fn new(
        api: Arc<Api>,
        attempts: u32,
        parallel: usize,
        maximum_bytes_billed: Option<u64>,
    ) -> Self {
        Self {
            api,
            attempts: attempts.max(1),
            slots: Semaphore::new(parallel),
            cost: Cost::default(),
            maximum_bytes_billed,
        }
    }

    /// A statement as a job.
    pub fn statement(&self, query: &str) -> Submission {
        let mut configuration = json!({
            "query": {"query": query, "useLegacySql": false},
            "labels": {"loader": "target-bigquery"},
        });
        if let Some(bytes) = self.maximum_bytes_billed {
            configuration["query"]["maximumBytesBilled"] = json!(bytes.to_string());
        }
        Submission {
            configuration,
            data: None,
        }
    }

    /// Runs a job under `base` and the number of the attempt. An error means that nothing is known of
    /// what became of it, or that BigQuery did not even take it.
    pub async fn run(
        &self,
        base: &str,
        location: Option<&str>,
        submission: &Submission,
    ) -> Result<Ended, Fault> {
        let _slot = self
            .slots
            .acquire()
            .await
            .map_err(|error| Error::internal("the jobs have no slots").with_source(error))?;
        let mut failures = 0;
        for number in 1..=MOST_ATTEMPTS {
            let id = attempt_id(base, number);
            let job = match self.attempt(&id, location, submission).await? {
                Attempt::Done(job) => {
                    self.count(&job, submission);
                    return Ok(Ended::Done(job));
                }
                Attempt::Burnt => continue,
                Attempt::Failed(job) => job,
            };
            let Some(refused) = &job.failure else {
                return Ok(Ended::Failed(job));
            };
            failures += 1;
            let most = if refused.is_conflict() || refused.is_throttle() {
                CONFLICT_ATTEMPTS.max(self.attempts)
            } else {
                self.attempts
            };
            let passes = refused.is_transient() || refused.is_throttle() || refused.is_conflict();
            if !passes || failures >= most {
                return Ok(Ended::Failed(job));
            }
            let wait = Backoff::default().wait(failures, None, backoff::chance());
            tracing::warn!(
                job = id,
                reason = refused.reason,
                words = refused.message,
                wait_milliseconds = wait.as_millis() as u64,
                "the job failed; another attempt"
            );
            tokio::time::sleep(wait).await;
        }
        Err(Fault::Other(Error::internal(format!(
            "the job `{base}` has been tried {MOST_ATTEMPTS} times"
        ))))
    }

    /// Runs a statement that must succeed.
    pub async fn must(
        &self,
        what: &str,
        base: &str,
        location: Option<&str>,
        query: &str,
    ) -> Result<Job> {
        let submission = self.statement(query);
        match self.run(base, location, &submission).await {
            Ok(ended) => ended.done(what),
            Err(fault) => Err(fault.error(what)),
        }
    }

    /// Whether an earlier run's job under `base` has done its work: one that still runs is waited for.
    pub async fn was_done(&self, base: &str, location: Option<&str>) -> Result<Option<Job>, Fault> {
        for number in 1..=MOST_ATTEMPTS {
            let id = attempt_id(base, number);
            let Some(job) = self.api.job(&id, location).await? else {
                return Ok(None);
            };
            let job = self.wait(job, location).await?;
            if job.failure.is_none() {
                return Ok(Some(job));
            }
        }
        Ok(None)
    }

    async fn attempt(
        &self,
        id: &str,
        location: Option<&str>,
        submission: &Submission,
    ) -> Result<Attempt, Fault> {
        let (job, is_known) = match Box::pin(self.api.submit(id, location, submission)).await {
            Ok(job) => (job, false),
            Err(fault) if fault.is("duplicate") => (self.known(id, location).await?, true),
            Err(fault) => return Err(fault),
        };
        // One that is known already may be ours, from a request whose answer was lost: only one that had
        // ended before it was asked for is of an earlier run.
        let was_over = is_known && job.is_done;
        let job = self.wait(job, location).await?;
        Ok(match (&job.failure, was_over) {
            (None, _) => Attempt::Done(job),
            (Some(_), true) => Attempt::Burnt,
            (Some(_), false) => Attempt::Failed(job),
        })
    }

    async fn known(&self, id: &str, location: Option<&str>) -> Result<Job, Fault> {
        for look in 1..=VAIN_LOOKS {
            if let Some(job) = self.api.job(id, location).await? {
                tracing::debug!(job = id, is_done = job.is_done, "the job is known already");
                return Ok(job);
            }
            tokio::time::sleep(Backoff::default().wait(look, None, backoff::chance())).await;
        }
        Err(Fault::Other(
            Error::transient(format!(
                "BigQuery says that it knows the job `{id}`, and does not find it"
            ))
            .with_hint("is `location` that of the data set?"),
        ))
    }

    async fn wait(&self, mut job: Job, location: Option<&str>) -> Result<Job, Fault> {
        let begun = Instant::now();
        let location = job.location.clone().or_else(|| location.map(str::to_owned));
        let location = location.as_deref();
        let mut look = FIRST_LOOK;
        let mut vain = 0;
        while !job.is_done {
            if begun.elapsed() > self.api.patience() {
                return self.give_up(&job, location).await;
            }
            tokio::time::sleep(look).await;
            look = look.mul_f64(1.5).min(LONGEST_LOOK);
            match self.api.job(&job.id, location).await? {
                Some(looked) => job = looked,
                None if vain < VAIN_LOOKS => vain += 1,
                None => {
                    return Err(Fault::Other(Error::transient(format!(
                        "the job `{}` is not to be found any more",
                        job.id
                    ))));
                }
            }
        }
        Ok(job)
    }

    /// Cancels a job that does not end. It may have ended well meanwhile.
    async fn give_up(&self, job: &Job, location: Option<&str>) -> Result<Job, Fault> {
        tracing::warn!(job = job.id, "the job does not end and is cancelled");
        self.api.cancel_job(&job.id, location).await?;
        let begun = Instant::now();
        while begun.elapsed() < CANCEL_PATIENCE.min(self.api.patience()) {
            match self.api.job(&job.id, location).await? {
                Some(looked) if looked.is_done && looked.failure.is_none() => return Ok(looked),
                Some(looked) if looked.is_done => break,
                _ => tokio::time::sleep(FIRST_LOOK).await,
            }
        }
        Err(Fault::Other(
            Error::new(
                ErrorKind::Transient,
                format!(
                    "the job `{}` did not end within {} s and was cancelled",
                    job.id,
                    self.api.patience().as_secs()
                ),
            )
            .with_hint("`patience_seconds` says how long a job is waited for; run again later"),
        ))
    }

    fn count(&self, job: &Job, submission: &Submission) {
        let add = |counter: &AtomicU64, value: u64| {
            counter.fetch_add(value, Ordering::Relaxed);
        };
        match &submission.data {
            Some(data) => {
                add(&self.cost.loads, 1);
                add(&self.cost.loaded_bytes, data.len() as u64);
            }
            None => {
                add(&self.cost.statements, 1);
                add(&self.cost.processed_bytes, job.bytes_processed());
                add(&self.cost.billed_bytes, job.bytes_billed());
            }
        }
        add(&self.cost.slot_milliseconds, job.slot_milliseconds());
    }
}

impl Cost {
    /// Says it in the log, if there was any.
    pub fn tell(&self) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (load_jobs, statements) = (get(&self.loads), get(&self.statements));
        let streamed_bytes = get(&self.streamed_bytes);
        if load_jobs + statements + streamed_bytes == 0 {
            return;
        }
        tracing::info!(
            streamed_bytes,
            load_jobs,
            loaded_bytes = get(&self.loaded_bytes),
            statements,
            scanned_bytes = get(&self.processed_bytes),
            billed_bytes = get(&self.billed_bytes),
            slot_milliseconds = get(&self.slot_milliseconds),
            "what the run cost"
        );
    }
}

fn attempt_id(base: &str, number: u32) -> String {
    format!("{base}_{number}")
}
