//! Bulk jobs of both directions: which there are, how far they are, who is told when they end. Facts:
//! sections 3.3, 8.3 and 12.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Crm;
use super::answer::ApiError;
use super::read_job::{PageToken, ReadJob};
use super::upload::Upload;
use super::write_job::WriteJob;
use crate::archive::Archive;
use crate::faults::JobFault;
use crate::post::post_json;

/// The id of the first job is one more.
const FIRST_JOB: i64 = 611_000_900_000_412_002;

/// Results that are kept in memory; the oldest have to go before their time.
const KEPT_BYTES: usize = 512 << 20;

/// Which way a job goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// Everything that was asked for in bulk.
pub(super) struct Jobs {
    pub(super) reads: BTreeMap<i64, ReadJob>,
    pub(super) writes: BTreeMap<i64, WriteJob>,
    pub(super) uploads: BTreeMap<i64, Upload>,
    pub(super) tokens: HashMap<String, PageToken>,
    /// When results were downloaded, in the last minute.
    pub(super) downloads: VecDeque<i64>,
    next: i64,
    /// Callbacks that were taken, and that were not.
    pub(super) callbacks: (u64, u64),
}

/// How far a job is.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) created_ms: i64,
    /// Where the end of the job is posted to.
    pub(super) callback: Option<String>,
    /// Looks that it waits for; nothing is for ever.
    pub(super) polls: Option<u32>,
    /// Looks so far.
    pub(super) looks: u32,
    pub(super) fault: Option<JobFault>,
    pub(super) is_running: bool,
    pub(super) ended_ms: Option<i64>,
}

impl Default for Jobs {
    fn default() -> Jobs {
        Jobs {
            reads: BTreeMap::new(),
            writes: BTreeMap::new(),
            uploads: BTreeMap::new(),
            tokens: HashMap::new(),
            downloads: VecDeque::new(),
            next: FIRST_JOB,
            callbacks: (0, 0),
        }
    }
}

impl Jobs {
    /// An id that no job or file had before.
    pub(super) fn next_id(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    /// Jobs that wait or run.
    pub(super) fn pending(&self) -> usize {
        let reads = self.reads.values().map(|job| &job.progress);
        let all = reads.chain(self.writes.values().map(|job| &job.progress));
        all.filter(|progress| progress.ended_ms.is_none()).count()
    }

    fn progress(&mut self, direction: Direction, id: i64) -> Option<&mut Progress> {
        match direction {
            Direction::Read => self.reads.get_mut(&id).map(|job| &mut job.progress),
            Direction::Write => self.writes.get_mut(&id).map(|job| &mut job.progress),
        }
    }

    /// Lets the oldest results and files go while they take too much memory.
    pub(super) fn shrink(&mut self) {
        let size = |archive: &Option<Arc<Archive>>| archive.as_ref().map_or(0, |kept| kept.size());
        let mut kept = 0;
        for job in self.reads.values_mut().rev() {
            kept += size(&job.archive);
            if kept > KEPT_BYTES {
                job.archive = None;
            }
        }
        for job in self.writes.values_mut().rev() {
            kept += job
                .archives
                .iter()
                .map(|archive| archive.size())
                .sum::<usize>();
            if kept > KEPT_BYTES {
                job.archives.clear();
            }
        }
    }
}

impl Progress {
    /// A look at the job; true if it is to be carried out now.
    fn look(&mut self) -> bool {
        self.looks += 1;
        match &mut self.polls {
            _ if self.is_running || self.ended_ms.is_some() => false,
            Some(0) => true,
            Some(polls) => {
                *polls -= 1;
                false
            }
            None => false,
        }
    }
}

impl Crm {
    /// Decides on the fate of a new job, if there is room for one; `path` is for the scope of faults.
    pub(super) fn new_progress(
        &self,
        path: &str,
        own: Option<&crate::faults::OwnFaults>,
        callback: Option<String>,
    ) -> Result<Progress, ApiError> {
        let limit = self.options.jobs;
        if limit.is_some_and(|limit| self.jobs().pending() >= limit) {
            return Err(ApiError::too_many());
        }
        let fault = self.faults.strike_job(path, own);
        Ok(Progress {
            created_ms: self.now_ms(),
            callback,
            polls: match fault {
                Some(JobFault::Hang { polls }) => polls,
                _ => Some(self.options.job_polls),
            },
            looks: 0,
            fault,
            is_running: false,
            ended_ms: None,
        })
    }
}

/// Sees to it that a job ends even if nobody looks at it.
pub(super) fn schedule(crm: &Arc<Crm>, direction: Direction, id: i64, progress: &Progress) {
    if matches!(progress.fault, Some(JobFault::Hang { .. })) {
        return;
    }
    let pause = if progress.polls == Some(0) {
        Duration::ZERO
    } else {
        Duration::from_millis(crm.options.job_ms)
    };
    let crm = Arc::clone(crm);
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        carry_out(&crm, direction, id).await;
    });
}

/// Looks at a job, which may begin it.
pub(super) async fn look(crm: &Arc<Crm>, direction: Direction, id: i64) {
    let is_due = crm
        .jobs()
        .progress(direction, id)
        .is_some_and(Progress::look);
    if is_due {
        carry_out(crm, direction, id).await;
    }
}

/// Runs a job where it holds nobody up, if nobody else does or did.
async fn carry_out(crm: &Arc<Crm>, direction: Direction, id: i64) {
    let begins = {
        let mut jobs = crm.jobs();
        let waiting = jobs
            .progress(direction, id)
            .filter(|progress| !progress.is_running && progress.ended_ms.is_none());
        match waiting {
            Some(progress) => {
                progress.is_running = true;
                true
            }
            None => false,
        }
    };
    if !begins {
        return;
    }
    let worker = Arc::clone(crm);
    let ended = tokio::task::spawn_blocking(move || {
        match direction {
            Direction::Read => worker.run_read(id),
            Direction::Write => worker.run_write(id),
        }
        worker.end_job(direction, id)
    });
    if let Ok(Some((url, body))) = ended.await {
        let crm = Arc::clone(crm);
        tokio::spawn(async move {
            // Whether a callback arrives is nobody's care, as with the service.
            let posted = post_json(&url, &[], &body.to_string()).await;
            let mut jobs = crm.jobs();
            match posted {
                Ok(200..=299) => jobs.callbacks.0 += 1,
                _ => jobs.callbacks.1 += 1,
            }
        });
    }
}

impl Crm {
    /// Marks a job as ended; says what is posted to whom.
    fn end_job(&self, direction: Direction, id: i64) -> Option<(String, Value)> {
        let now_ms = self.now_ms();
        let mut jobs = self.jobs();
        jobs.shrink();
        let progress = jobs.progress(direction, id)?;
        progress.is_running = false;
        progress.ended_ms = Some(now_ms);
        let url = progress.callback.clone()?;
        let body = match direction {
            Direction::Read => jobs.reads.get(&id)?.describe(self),
            Direction::Write => jobs.writes.get(&id)?.describe(self),
        };
        Some((url, body))
    }

    /// The user object of answers.
    pub(super) fn creator(&self) -> Value {
        let store = self.look();
        let user = store.users.first();
        user.map_or(
            Value::Null,
            |user| json!({"id": user.id_text(), "name": user.name()}),
        )
    }
}

/// The address of a `callback`, which is checked.
pub(super) fn callback_of(callback: &Value) -> Result<Option<String>, ApiError> {
    if callback.is_null() {
        return Ok(None);
    }
    let url = callback["url"].as_str().unwrap_or_default();
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(ApiError::bad("INVALID_CALLBACK_URL", json!({"url": url})));
    }
    let method = callback["method"].as_str().unwrap_or("post");
    if !method.eq_ignore_ascii_case("post") {
        return Err(ApiError::bad(
            "INVALID_CALLBACK_METHOD",
            json!({"method": method}),
        ));
    }
    Ok(Some(url.to_owned()))
}
