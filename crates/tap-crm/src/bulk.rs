//! Bulk read jobs: created, waited for, downloaded; made anew where they failed or the service has forgotten them.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use singer_core::{Error, Kind, Result};
use singer_runtime::context::Context;
use tokio::sync::{Notify, Semaphore};
use zoho::bulk::{Progress, Waiting, wait};
use zoho::{Class, Fault};

use crate::api::{Api, ReadQuery, error_of, is_of_stream};
use crate::callback::Callbacks;
use crate::config::Config;
use crate::model::{Job, JobResult, JobState};
use crate::schema::{ID, MODIFIED_TIME};

/// The scopes of everything here.
const SCOPE: &str = "ZohoCRM.bulk.READ` and `ZohoCRM.modules.READ";

/// Records of a page that is full.
const PAGE_ROWS: u64 = 200_000;

/// How often a job that the service has forgotten is made anew before that is an error.
const ANEW: u32 = 3;

/// How often a job that failed is made anew.
const AFTER_FAILURES: u32 = 2;

/// What all bulk jobs of a run share.
#[derive(Debug)]
pub(crate) struct Bulk {
    api: Api,
    context: Context,
    /// Jobs that may be at work at once.
    slots: Semaphore,
    timeout: Duration,
    pause: Duration,
    folder: PathBuf,
    callbacks: Option<Callbacks>,
}

/// One page of a module.
#[derive(Debug, Clone)]
pub(crate) struct PageRequest {
    /// The module, for people.
    pub(crate) module: String,
    /// The page, from 1, for people.
    pub(crate) page: u32,
    /// What is asked for.
    pub(crate) query: ReadQuery,
    /// Where the id of the job is noted, and found if an earlier run created one.
    pub(crate) note: JobNote,
}

/// The id of the job of a page. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobNote {
    inner: Arc<Mutex<Noted>>,
}

/// What is noted of a job.
#[derive(Debug, Default)]
struct Noted {
    id: Option<String>,
    /// Fields that the service refused: the job's file does not have them.
    refused: Vec<String>,
}

/// A page whose file is there to be downloaded.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The job.
    pub(crate) job: String,
    /// Rows that the service says are in the file.
    pub(crate) count: Option<u64>,
    /// What asks for the next page, if there is one.
    pub(crate) next: Option<String>,
    /// Fields that the service refused.
    pub(crate) refused: Vec<String>,
}

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum NoPage {
    /// The service takes no criteria on the time of a change.
    Criteria(Error),
    /// What asked for the page is too old, or belongs to somebody else.
    Token(Error),
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
            NoPage::Criteria(error) | NoPage::Token(error) | NoPage::Error(error) => error,
        }
    }
}

impl JobNote {
    /// The id that an earlier run left.
    pub(crate) fn new(id: Option<String>) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Noted {
                id,
                refused: Vec::new(),
            })),
        }
    }

    /// The id, if a job was created.
    pub(crate) fn get(&self) -> Option<String> {
        self.lock().id.clone()
    }

    /// Fields that are not in its file because the service refused them.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.lock().refused.clone()
    }

    fn set(&self, id: &str, refused: &[String]) {
        let (id, refused) = (Some(id.to_owned()), refused.to_vec());
        *self.lock() = Noted { id, refused };
    }

    fn clear(&self) {
        *self.lock() = Noted::default();
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a job ended.
enum Outcome {
    Done(JobResult),
    Failed(Error),
    /// The service does not know it any more.
    Gone(Error),
}

impl Bulk {
    /// Makes ready; asks nothing.
    pub(crate) fn new(
        config: &Config,
        context: &Context,
        api: Api,
        callbacks: Option<Callbacks>,
    ) -> Self {
        let folder = config.work_folder.clone();
        Self {
            api,
            context: context.clone(),
            slots: Semaphore::new(config.parallel_jobs),
            timeout: config.job_timeout(),
            pause: config.job_pause(),
            folder: folder.unwrap_or_else(std::env::temp_dir),
            callbacks,
        }
    }

    /// Where files lie while they are read.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Has a page made, by the job of an earlier run if the service still has it. Fields that the service refuses
    /// are left out.
    pub(crate) async fn ready(&self, mut request: PageRequest) -> Result<Ready, NoPage> {
        let slot = self.slots.acquire().await;
        let _slot =
            slot.map_err(|error| Error::internal("no more bulk jobs").with_source(error))?;
        let mut known = request.note.get();
        let mut refused = Vec::new();
        let (mut anew, mut failures) = (0, 0);
        loop {
            let is_known = known.is_some();
            let id = match known.take() {
                Some(id) => id,
                None => self.create(&mut request, &mut refused).await?,
            };
            let gone = match self.outcome(&request, &id, is_known).await {
                Ok(Outcome::Done(result)) => return Ok(ready(&request, id, result, refused)?),
                Ok(Outcome::Gone(gone)) => gone,
                Ok(Outcome::Failed(failure)) if is_known => failure,
                Ok(Outcome::Failed(failure)) => {
                    failures += 1;
                    if failures > AFTER_FAILURES {
                        request.note.clear();
                        return Err(failure.into());
                    }
                    self.context.pause(self.pause).await?;
                    failure
                }
                // A job of an earlier run that hangs is no reason to give up.
                Err(error) if is_known && error.kind() == Kind::Transient => error,
                Err(error) => return Err(error.into()),
            };
            request.note.clear();
            anew += 1;
            if anew > ANEW {
                return Err(gone.into());
            }
            tracing::warn!(
                stream = request.module,
                page = request.page,
                job = id,
                reason = %gone,
                "the bulk job is made anew"
            );
        }
    }

    /// The file of a page, which is made anew if the service does not have it any more; nothing if it is empty.
    pub(crate) async fn file(
        &self,
        request: &PageRequest,
        ready: &mut Ready,
    ) -> Result<Option<File>, NoPage> {
        let what = request.what("download");
        for _ in 0..=ANEW {
            if ready.count == Some(0) {
                return Ok(None);
            }
            let fault = match self.api.download(&what, &ready.job, &self.folder).await {
                Ok(file) => return Ok(Some(file)),
                Err(fault) => fault,
            };
            let reason = gone(fault, &what)?;
            tracing::warn!(
                stream = request.module,
                page = request.page,
                reason = %reason,
                "the file is no longer kept, and its bulk job is made anew"
            );
            request.note.clear();
            let refused = std::mem::take(&mut ready.refused);
            *ready = self.ready(request.clone()).await?;
            ready.refused.extend(refused);
        }
        Err(Error::protocol(format!("cannot {what}: its file is never there")).into())
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
            Err(fault) if matches!(fault.class, Class::Denied | Class::Token | Class::Broken) => {
                Err(error_of(fault, what, SCOPE))
            }
            // That the job is unknown is as good an answer as any.
            _ => Ok(()),
        }
    }

    /// Creates the job of a page; of one that begins a read, without the fields that the service refuses.
    async fn create(
        &self,
        request: &mut PageRequest,
        refused: &mut Vec<String>,
    ) -> Result<String, NoPage> {
        let what = request.what("create the bulk read of");
        loop {
            let callback = self.callbacks.as_ref().map(Callbacks::url);
            let fault = match self.api.create_read(&what, &request.query, callback).await {
                Ok(id) => {
                    tracing::debug!(
                        stream = request.module,
                        page = request.page,
                        job = id,
                        "created"
                    );
                    request.note.set(&id, refused);
                    return Ok(id);
                }
                Err(fault) => fault,
            };
            let name = fault.details.get("api_name").map(str::to_owned);
            let is_field = fault.is("FIELD_NOT_AVAILABLE") || fault.is("FIELD_NOT_SUPPORTED");
            let (ReadQuery::First { fields, .. }, Some(name), true) =
                (&mut request.query, name, is_field)
            else {
                return Err(no_page(fault, &request.query, &what));
            };
            let before = fields.len();
            let is_needed = name.eq_ignore_ascii_case(ID) || name == MODIFIED_TIME;
            if !is_needed {
                fields.retain(|field| *field != name);
            }
            if fields.len() == before {
                return Err(error_of(fault, &what, SCOPE).into());
            }
            tracing::warn!(
                stream = request.module,
                field = name,
                code = fault.code.as_deref(),
                "left out: the service refuses to read this field in bulk; deselect it in the catalog"
            );
            refused.push(name);
        }
    }

    /// Waits for a job's end.
    async fn outcome(&self, request: &PageRequest, id: &str, is_known: bool) -> Result<Outcome> {
        let bell = self.callbacks.as_ref().map(|callbacks| callbacks.bell(id));
        let waiting = self.waiting(bell.as_ref().map(|bell| bell.notify()), is_known);
        let what = request.what("wait for the bulk read of");
        let name = format!("the bulk job `{id}` of `{}`", request.module);
        wait(&name, &waiting, &self.context, || {
            let (api, id, what) = (self.api.clone(), id.to_owned(), what.clone());
            let module = request.module.clone();
            async move {
                match api.read_job(&what, &id).await {
                    Ok(job) => Ok(progress(&module, job)),
                    Err(fault) => {
                        gone(fault, &what).map(|error| Progress::Done(Outcome::Gone(error)))
                    }
                }
            }
        })
        .await
    }

    /// With callbacks, questions are only for those that got lost. Each question costs a credit.
    fn waiting(&self, bell: Option<Arc<Notify>>, is_known: bool) -> Waiting {
        let (first, most) = match bell {
            Some(_) => (Duration::from_secs(20), Duration::from_secs(120)),
            None => (Duration::from_millis(250), Duration::from_secs(60)),
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
}

impl PageRequest {
    /// What is done to it, for logs and errors.
    fn what(&self, verb: &str) -> String {
        format!("{verb} page {} of `{}`", self.page, self.module)
    }
}

/// What a refusal to create a job means.
fn no_page(fault: Fault, query: &ReadQuery, what: &str) -> NoPage {
    let is_of_criteria = [
        "FIELD_IN_CRITERIA_NOT_AVAILABLE",
        "FIELD_IN_CRITERIA_NOT_SUPPORTED",
        "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED",
    ]
    .iter()
    .any(|code| fault.is(code))
        && fault
            .details
            .get("api_name")
            .is_none_or(|name| name == MODIFIED_TIME);
    let is_of_token = matches!(query, ReadQuery::Token(_))
        && matches!(fault.status, Some(400 | 404 | 410))
        && !is_of_stream(&fault)
        && !matches!(fault.class, Class::Denied | Class::Throttled | Class::Quota);
    let error = error_of(fault, what, SCOPE);
    if is_of_token {
        NoPage::Token(error)
    } else if is_of_criteria {
        NoPage::Criteria(error)
    } else {
        NoPage::Error(error)
    }
}

/// A job that is too old or not known is gone; anything else is an error.
fn gone(fault: Fault, what: &str) -> Result<Error> {
    let is_gone = matches!(fault.class, Class::Missing | Class::Expired);
    let error = error_of(fault, what, SCOPE);
    if is_gone { Ok(error) } else { Err(error) }
}

fn progress(module: &str, job: Job) -> Progress<Outcome> {
    match job.progress() {
        JobState::Running => Progress::Running(job.state),
        JobState::Completed => Progress::Done(Outcome::Done(job.into_result())),
        JobState::Failed => Progress::Done(Outcome::Failed(failed(module, job.into_result()))),
    }
}

fn ready(
    request: &PageRequest,
    job: String,
    result: JobResult,
    refused: Vec<String>,
) -> Result<Ready> {
    let has_more = result
        .more_records
        .unwrap_or(result.next_page_token.is_some());
    let is_silent = result.more_records.is_none() && result.next_page_token.is_none();
    if is_silent && result.count.is_none_or(|count| count >= PAGE_ROWS) {
        return Err(Error::protocol(format!(
            "the service does not say whether page {} of `{}` is the last one",
            request.page, request.module
        )));
    }
    let next = result.next_page_token.filter(|_| has_more);
    if has_more && next.is_none() {
        return Err(Error::protocol(format!(
            "page {} of `{}` has a next one, and nothing says how to ask for it",
            request.page, request.module
        )));
    }
    Ok(Ready {
        job,
        count: result.count,
        next,
        refused,
    })
}

fn failed(module: &str, result: JobResult) -> Error {
    let error = Error::rejected(format!("a bulk read of `{module}` failed"));
    let said = result.error_message.unwrap_or_default();
    let code = said.code.unwrap_or_default();
    let words = singer_net::redact::words(&said.message.unwrap_or_default(), &[module], 300);
    if code.is_empty() && words.is_empty() {
        return error;
    }
    let code: String = code
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
        .collect();
    error
        .with_source(Error::rejected(format!(
            "the service says `{code}`: {words}"
        )))
        .with_hint("criteria on fields of parent records are known to fail this late")
}
