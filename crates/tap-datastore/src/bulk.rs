//! Bulk read jobs: submitted, waited for, downloaded; made anew where the service has forgotten them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use singer_core::{Error, Kind, Result};
use singer_runtime::context::Context;
use tokio::sync::{Notify, Semaphore};
use zoho::bulk::{Progress, Waiting, wait};
use zoho::{Class, Fault};

use crate::api::{Api, ReadJob, error_of};
use crate::callback::Callbacks;
use crate::config::Config;
use crate::model::{Job, JobState, Results};

/// The scope of everything here.
const SCOPE: &str = "ZohoCatalyst.tables.bulk.READ";

/// How often a job is made anew before that is an error.
const ANEW: u32 = 3;

/// What all bulk jobs of a run share.
#[derive(Debug)]
pub(crate) struct Bulk {
    api: Api,
    context: Context,
    /// Jobs that may be at work at once.
    slots: Semaphore,
    timeout: Duration,
    folder: PathBuf,
    callbacks: Option<Arc<Callbacks>>,
}

/// One page of a table.
#[derive(Debug, Clone)]
pub(crate) struct PageRequest {
    /// The table's id.
    pub(crate) table: String,
    /// Its name, for people.
    pub(crate) name: String,
    /// The page, from 1.
    pub(crate) page: u32,
    /// The columns.
    pub(crate) columns: Arc<[String]>,
    /// Conditions that all must hold.
    pub(crate) criteria: Arc<[(&'static str, &'static str, String)]>,
    /// Where the ids of jobs are noted, and found if an earlier run submitted one.
    pub(crate) jobs: JobIds,
}

/// A page that is there.
#[derive(Debug)]
pub(crate) struct Page {
    /// The job.
    pub(crate) job: String,
    /// Rows that the service says are in the file.
    pub(crate) rows: Option<u64>,
    /// Whether there is a further page, if the service says.
    pub(crate) has_more: Option<bool>,
    /// The archive; nothing if it would be empty.
    pub(crate) file: Option<File>,
}

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum NoPage {
    /// The service does not take the criteria.
    Criteria(Error),
    /// Anything else.
    Error(Error),
}

impl From<Error> for NoPage {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<NoPage> for Error {
    fn from(no_page: NoPage) -> Self {
        match no_page {
            NoPage::Criteria(error) | NoPage::Error(error) => error,
        }
    }
}

/// The ids of submitted jobs by page. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobIds {
    inner: Arc<Mutex<BTreeMap<u32, String>>>,
}

impl JobIds {
    /// The ids that an earlier run left.
    pub(crate) fn new(ids: BTreeMap<u32, String>) -> Self {
        Self {
            inner: Arc::new(Mutex::new(ids)),
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> BTreeMap<u32, String> {
        self.lock().clone()
    }

    /// Forgets the job of a page.
    pub(crate) fn forget(&self, page: u32) {
        self.lock().remove(&page);
    }

    fn get(&self, page: u32) -> Option<String> {
        self.lock().get(&page).cloned()
    }

    fn set(&self, page: u32, id: &str) {
        self.lock().insert(page, id.to_owned());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, String>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a job ended.
enum Outcome {
    Ready(Results),
    Failed(String),
    /// The service does not know it any more.
    Gone(Error),
}

impl Bulk {
    /// Makes ready; asks nothing.
    pub(crate) fn new(
        config: &Config,
        context: &Context,
        api: Api,
        callbacks: Option<Arc<Callbacks>>,
    ) -> Self {
        let folder = config.work_folder.clone();
        Self {
            api,
            context: context.clone(),
            slots: Semaphore::new(config.parallel_jobs),
            timeout: config.job_timeout(),
            folder: folder.unwrap_or_else(std::env::temp_dir),
            callbacks,
        }
    }

    /// A page's file, from the job of an earlier run if the service still has it.
    pub(crate) async fn page(&self, request: &PageRequest) -> Result<Page, NoPage> {
        let slot = self.slots.acquire().await;
        let _slot =
            slot.map_err(|error| Error::internal("no more bulk jobs").with_source(error))?;
        let mut known = request.jobs.get(request.page);
        let mut anew = 0;
        loop {
            let is_known = known.is_some();
            let (id, ended) = match known.take() {
                Some(id) => (id, None),
                None => {
                    let job = self.submit(request).await?;
                    let ended = (job.state() == JobState::Completed && job.results.is_some())
                        .then_some(job.results);
                    (job.id, ended.flatten())
                }
            };
            let gone = match self.outcome(request, &id, ended, is_known).await {
                Ok(Outcome::Ready(results)) => match self.file(request, &id, &results).await? {
                    Ok(file) => return Ok(page(id, &results, file)),
                    Err(gone) => gone,
                },
                Ok(Outcome::Gone(gone)) => gone,
                Ok(Outcome::Failed(words)) => {
                    let failure = failed(request, &words);
                    if !is_known {
                        request.jobs.forget(request.page);
                        return Err(failure.into());
                    }
                    failure
                }
                // A job of an earlier run that hangs is no reason to give up.
                Err(error) if is_known && error.kind() == Kind::Transient => error,
                Err(error) => return Err(error.into()),
            };
            request.jobs.forget(request.page);
            anew += 1;
            if anew > ANEW {
                return Err(gone.into());
            }
            tracing::info!(
                stream = request.name,
                page = request.page,
                job = id,
                reason = %gone,
                "the bulk job is made anew"
            );
        }
    }

    /// The file of a page once more, where the first one did not hold what it should.
    pub(crate) async fn again(&self, request: &PageRequest, job: &str) -> Result<File> {
        let what = request.what("download");
        let file = self.api.download(&what, job, &self.folder).await;
        file.map_err(|fault| error_of(fault, &what, SCOPE))
    }

    /// Whether bulk reading is permitted, asked with a job that is not there.
    pub(crate) async fn probe(&self) -> Result<()> {
        let what = "ask for a bulk read job";
        match self.api.read_job(what, "1").await {
            Err(fault) if fault.class == Class::Denied || fault.class == Class::Token => {
                Err(error_of(fault, what, SCOPE))
            }
            Err(fault) if fault.class == Class::Broken => Err(error_of(fault, what, SCOPE)),
            // That the job is unknown is as good an answer as any.
            _ => Ok(()),
        }
    }

    async fn submit(&self, request: &PageRequest) -> Result<Job, NoPage> {
        let what = request.what("submit the bulk read");
        let job = ReadJob {
            table: &request.table,
            page: request.page,
            columns: &request.columns,
            criteria: &request.criteria,
            callback: self.callbacks.as_deref().map(Callbacks::to),
        };
        let job = self.api.submit_read(&what, &job).await.map_err(|fault| {
            let refuses = fault.is("INVALID_INPUT") && !request.criteria.is_empty();
            let error = error_of(fault, &what, SCOPE);
            if refuses {
                NoPage::Criteria(error)
            } else {
                NoPage::Error(error)
            }
        })?;
        tracing::debug!(
            stream = request.name,
            page = request.page,
            job = job.id,
            "submitted"
        );
        request.jobs.set(request.page, &job.id);
        Ok(job)
    }

    /// Waits for a job's end.
    async fn outcome(
        &self,
        request: &PageRequest,
        id: &str,
        ended: Option<Results>,
        is_known: bool,
    ) -> Result<Outcome> {
        if let Some(results) = ended {
            return Ok(Outcome::Ready(results));
        }
        let bell = self.callbacks.as_ref().map(|callbacks| callbacks.bell(id));
        let waiting = self.waiting(bell.as_ref().map(|bell| bell.notify()), is_known);
        let what = request.what("wait for the bulk read");
        let name = format!("the bulk job `{id}` of `{}`", request.name);
        wait(&name, &waiting, &self.context, || {
            let (api, id, what) = (self.api.clone(), id.to_owned(), what.clone());
            async move {
                match api.read_job(&what, &id).await {
                    Ok(job) => Ok(progress(job)),
                    Err(fault) => {
                        gone(fault, &what).map(|error| Progress::Done(Outcome::Gone(error)))
                    }
                }
            }
        })
        .await
    }

    /// With callbacks, questions are only for those that got lost.
    fn waiting(&self, bell: Option<Arc<Notify>>, is_known: bool) -> Waiting {
        let (first, most) = match bell {
            Some(_) => (Duration::from_secs(10), Duration::from_secs(60)),
            None => (Duration::from_millis(250), Duration::from_secs(10)),
        };
        let waiting = Waiting {
            first,
            most,
            deadline: self.timeout,
            bell,
        };
        if is_known {
            waiting.of_an_earlier_run()
        } else {
            waiting
        }
    }

    /// The file of a job that is done, or that the service does not have it any more.
    async fn file(
        &self,
        request: &PageRequest,
        id: &str,
        results: &Results,
    ) -> Result<Result<Option<File>, Error>> {
        if results.rows() == Some(0) {
            return Ok(Ok(None));
        }
        let what = request.what("download");
        match self.api.download(&what, id, &self.folder).await {
            Ok(file) => Ok(Ok(Some(file))),
            Err(fault) => gone(fault, &what).map(Err),
        }
    }
}

impl PageRequest {
    /// What is done to it, for logs and errors.
    fn what(&self, verb: &str) -> String {
        format!("{verb} page {} of `{}`", self.page, self.name)
    }
}

/// A job that is too old or not known is gone; anything else is an error.
fn gone(fault: Fault, what: &str) -> Result<Error> {
    let is_gone = matches!(fault.class, Class::Missing | Class::Expired);
    let error = error_of(fault, what, SCOPE);
    if is_gone { Ok(error) } else { Err(error) }
}

fn progress(job: Job) -> Progress<Outcome> {
    match job.state() {
        JobState::Running => Progress::Running(job.status),
        JobState::Completed => Progress::Done(Outcome::Ready(job.results.unwrap_or_default())),
        JobState::Failed => {
            let words = job.results.and_then(|results| results.description);
            Progress::Done(Outcome::Failed(words.unwrap_or_default()))
        }
    }
}

fn page(job: String, results: &Results, file: Option<File>) -> Page {
    Page {
        job,
        rows: results.rows(),
        has_more: results.has_more(),
        file,
    }
}

fn failed(request: &PageRequest, words: &str) -> Error {
    let words = singer_net::redact::words(words, &[&request.name], 300);
    let error = Error::rejected(format!(
        "the bulk read of page {} of `{}` failed",
        request.page, request.name
    ));
    if words.is_empty() {
        return error;
    }
    error.with_source(Error::rejected(format!("the service says: {words}")))
}
