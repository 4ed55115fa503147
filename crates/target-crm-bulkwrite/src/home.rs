//! What all streams share: the client, what is known of the organisation and its modules, the journal, the
//! waiting for jobs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono_tz::Tz;
use singer_core::{Error, Result};
use singer_runtime::context::Context;
use tokio::sync::{Notify, OnceCell};
use tokio::time::Instant;
use zoho::bulk::{self, Progress, Waiting};
use zoho::crm::{Crm, Field, Organisation};
use zoho::receiver::Receiver;
use zoho::{Account, Class};

use crate::api::Api;
use crate::config::Config;
use crate::journal::Journal;
use crate::model::{Job, JobState};

/// The waits between two questions about a job; each question costs a credit.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The journal of a config that wants none.
const NO_JOURNAL: &str = "none";

/// What all streams share.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) config: Config,
    pub(crate) context: Context,
    pub(crate) api: Api,
    organisation: OnceCell<Organisation>,
    fields: tokio::sync::Mutex<HashMap<String, Arc<[Field]>>>,
    journal: OnceCell<Option<Journal>>,
    /// How many milliseconds the last job took.
    last_job: AtomicU64,
    jobs: AtomicU64,
    rows: AtomicU64,
    /// Rung when anything is posted to the receiver.
    bell: Arc<Notify>,
    /// Kept alive; a run without `callback` has none.
    receiver: Option<Receiver>,
}

/// The end of a job.
#[derive(Debug)]
pub(crate) enum Ended {
    /// As its details say.
    Told(Job),
    /// The service does not know it.
    Lost,
}

impl Home {
    pub(crate) async fn new(config: Config, context: Context) -> Result<Self> {
        let surroundings = Arc::new(context.clone());
        let account = Account::new(&config.account, &config.http, surroundings)?;
        let crm = Crm::new(account, &config.crm, &config.http)?;
        let bell = Arc::new(Notify::new());
        let receiver = match &config.callback {
            Some(callback) if !context.dry_run() => Some(
                callback
                    .listen(Arc::new(context.clone()), Arc::clone(&bell))
                    .await?,
            ),
            _ => None,
        };
        Ok(Self {
            config,
            context,
            api: Api::new(crm),
            organisation: OnceCell::new(),
            fields: tokio::sync::Mutex::default(),
            journal: OnceCell::new(),
            last_job: AtomicU64::new(0),
            jobs: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            bell,
            receiver,
        })
    }

    /// The organisation.
    pub(crate) async fn organisation(&self) -> Result<&Organisation> {
        self.organisation
            .get_or_try_init(|| async {
                let asked = self.api.crm().organisation().await;
                asked.map_err(|fault| fault.into_error("cannot read the organisation"))
            })
            .await
    }

    /// The fields of a module; `None` if the module has none that the service tells.
    pub(crate) async fn fields(&self, module: &str) -> Result<Option<Arc<[Field]>>> {
        let mut known = self.fields.lock().await;
        if let Some(fields) = known.get(module) {
            return Ok(Some(Arc::clone(fields)));
        }
        let asked = self.api.crm().fields(module).await;
        let what = format!("cannot read the fields of the module `{module}`");
        let Some(fields) = asked.map_err(|fault| fault.into_error(&what))? else {
            return Ok(None);
        };
        let fields: Arc<[Field]> = fields.into();
        known.insert(module.to_owned(), Arc::clone(&fields));
        Ok(Some(fields))
    }

    /// The zone of wall times, if the config or the organisation tells it.
    pub(crate) async fn zone(&self) -> Result<Option<Tz>> {
        if let Some(zone) = self.config.zone()? {
            return Ok(Some(zone));
        }
        let organisation = self.organisation().await?;
        let name = organisation.time_zone.as_deref().unwrap_or_default();
        Ok(name.parse().ok())
    }

    /// The journal, opened when it is asked for the first time; `None` if the config wants none.
    pub(crate) async fn journal(&self) -> Result<Option<&Journal>> {
        let path = &self.config.journal_path;
        let journal = self
            .journal
            .get_or_try_init(|| async {
                if path == NO_JOURNAL {
                    return Ok::<_, Error>(None);
                }
                let state = self.context.stored_state();
                Journal::open(path, state, self.context.now()).map(Some)
            })
            .await?;
        Ok(journal.as_ref())
    }

    /// A STATE is about to be printed.
    pub(crate) fn cover(&self, position: u64, state: &str) -> Result<()> {
        match self.journal.get() {
            Some(Some(journal)) => journal.cover(position, state),
            _ => Ok(()),
        }
    }

    /// It was printed.
    pub(crate) fn printed(&self) -> Result<()> {
        match self.journal.get() {
            Some(Some(journal)) => journal.printed(),
            _ => Ok(()),
        }
    }

    /// Where the service posts that a job is over.
    pub(crate) fn callback_url(&self) -> Option<&str> {
        self.receiver.as_ref()?;
        let callback = self.config.callback.as_ref()?;
        Some(&callback.public_url)
    }

    /// Waits until a job is over, also after a stop was asked for: what is on its way is seen to its end.
    ///
    /// # Errors
    /// Of kind `Transient` if it does not end in time; what asking leads to.
    pub(crate) async fn wait(&self, job: &str) -> Result<Ended> {
        let start = Instant::now();
        let before = Duration::from_millis(self.last_job.load(Ordering::Relaxed));
        let waiting = Waiting {
            first: (before / 2).clamp(FIRST_WAIT, LONGEST_WAIT),
            most: LONGEST_WAIT,
            deadline: Duration::from_secs_f64(self.config.job_timeout_seconds),
            bell: self.callback_url().map(|_| Arc::clone(&self.bell)),
        };
        let unstopped = self.context.clone().unstopped();
        let what = format!("the job `{job}`");
        let ended = bulk::wait(&what, &waiting, &unstopped, || async {
            match self.api.job(job).await {
                Ok(Job {
                    state: JobState::Running(word),
                    ..
                }) => Ok(Progress::Running(word)),
                Ok(job) => Ok(Progress::Done(Ended::Told(job))),
                Err(fault) if fault.class == Class::Missing => Ok(Progress::Done(Ended::Lost)),
                Err(fault) => Err(fault.into_error(&format!("cannot ask for the job `{job}`"))),
            }
        });
        let ended = ended.await?;
        let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_job.store(took, Ordering::Relaxed);
        Ok(ended)
    }

    /// Counts a job of so many rows.
    pub(crate) fn count_job(&self, rows: usize) {
        self.jobs.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Says what was spent.
    pub(crate) fn tell(&self) {
        let credits = self.api.crm().credits();
        let jobs = self.jobs.load(Ordering::Relaxed);
        let rows = self.rows.load(Ordering::Relaxed);
        let by_kind: Vec<String> = (credits.spent().iter())
            .map(|spent| format!("{} {}", spent.kind, spent.credits))
            .collect();
        tracing::info!(
            credits = credits.total(),
            by_kind = by_kind.join(", "),
            left = credits.remaining(),
            jobs,
            rows,
            "credits spent"
        );
        if jobs > 0 && rows / jobs < CHEAP_ROWS {
            tracing::info!(
                rows_per_job = rows / jobs,
                "a job costs 500 credits whatever its rows: below 5000 rows the records API, at a credit for ten rows, costs less"
            );
        }
    }
}

/// Rows from which on a job costs less than single calls.
const CHEAP_ROWS: u64 = 5_000;
