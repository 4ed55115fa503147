//! What all streams share: the client, the tables and their lanes, the waiting for imports.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use singer_core::{Error, Result};
use singer_net::Answer;
use singer_runtime::context::Context;
use tokio::sync::{Notify, OnceCell};
use tokio::time::Instant;
use zoho::bulk::{self, Progress, Waiting};
use zoho::fault::Service as _;
use zoho::fault::analytics::Analytics as Service;
use zoho::receiver::Receiver;
use zoho::{Class, Fault};

use crate::api::{Api, Table};
use crate::config::Config;
use crate::lane::Lane;
use crate::model::Job;
use crate::replace::Collected;

/// The waits between two questions about an import: ten seconds is what the pages advise. The first is half
/// of what the import before took, as questions count against the calls of a minute.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What all streams share.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) config: Config,
    pub(crate) context: Context,
    pub(crate) api: Api,
    workspace: OnceCell<String>,
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
    /// The rows that wait for their version, by stream.
    collected: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Collected>>>>,
    /// How many milliseconds the last import took.
    last_import: AtomicU64,
    /// Rung when anything is posted to the receiver.
    bell: Arc<Notify>,
    /// Kept alive; a run without `callback` has none.
    receiver: Option<Receiver>,
}

impl Home {
    pub(crate) async fn new(config: Config, context: Context) -> Result<Self> {
        let api = Api::new(&config, &context)?;
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
            api,
            workspace: OnceCell::new(),
            lanes: Mutex::default(),
            collected: Mutex::default(),
            last_import: AtomicU64::new(0),
            bell,
            receiver,
        })
    }

    /// The id of the workspace; the organization is known from then on.
    pub(crate) async fn workspace(&self) -> Result<&str> {
        let id = self
            .workspace
            .get_or_try_init(|| async {
                let id = self.find_workspace().await?;
                self.api.set_workspace(&id);
                Ok::<_, Error>(id)
            })
            .await?;
        Ok(id)
    }

    async fn find_workspace(&self) -> Result<String> {
        let config = &self.config;
        if let Some(id) = &config.workspace_id
            && self.api.has_org()
        {
            return Ok(id.clone());
        }
        let what = "cannot look up the workspace";
        let all = self.api.workspaces().await;
        let all = all.map_err(|fault| fault.into_error(what))?;
        let found = match (&config.workspace_id, &config.workspace) {
            (Some(id), _) => all.iter().find(|it| it.id == *id),
            (None, Some(name)) => {
                let mut named = all.iter().filter(|it| it.name == *name);
                let first = named.next();
                if named.next().is_some() {
                    return Err(
                        Error::config(format!("several workspaces are called `{name}`"))
                            .with_hint("set `workspace_id`"),
                    );
                }
                first
            }
            (None, None) => None,
        };
        if let Some(found) = found {
            if let (Some(org), false) = (&found.org, self.api.has_org()) {
                self.api.set_org(org)?;
            }
            return Ok(found.id.clone());
        }
        let Some(id) = &config.workspace_id else {
            let name = config.workspace.as_deref().unwrap_or_default();
            return Err(Error::config(format!("there is no workspace `{name}`"))
                .with_hint("look at its spelling, and whether the token's user sees it"));
        };
        // A workspace may be readable and not listed.
        let found = self.api.workspace(id).await;
        let found = found
            .map_err(|fault| fault.into_error(&format!("cannot read the workspace `{id}`")))?;
        if let Some(org) = &found.org {
            self.api.set_org(org)?;
        }
        Ok(id.clone())
    }

    /// The lane of a table, by its name or id.
    pub(crate) fn lane(&self, table: &str) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(table.to_lowercase()).or_default())
    }

    /// The rows of a stream that wait for their version; they outlive a change of its SCHEMA.
    pub(crate) fn collected(&self, stream: &str) -> Arc<tokio::sync::Mutex<Collected>> {
        let mut collected = self
            .collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(collected.entry(stream.to_owned()).or_default())
    }

    /// Where Analytics posts that an import is over.
    pub(crate) fn callback_url(&self) -> Option<&str> {
        self.receiver.as_ref()?;
        let callback = self.config.callback.as_ref()?;
        Some(&callback.public_url)
    }

    /// Waits until a job is over, also after a stop was asked for: what is on its way is seen to its end.
    ///
    /// # Errors
    /// Of kind `Transient` if it does not end in time; what asking leads to.
    pub(crate) async fn wait(&self, table: &Table, job: &str) -> Result<Job> {
        let what = format!("the import `{job}`");
        let start = Instant::now();
        let before = Duration::from_millis(self.last_import.load(Ordering::Relaxed));
        let waiting = Waiting {
            first: (before / 2).clamp(FIRST_WAIT, LONGEST_WAIT),
            most: LONGEST_WAIT,
            deadline: Duration::from_secs_f64(self.config.job_timeout_seconds),
            bell: self.callback_url().map(|_| Arc::clone(&self.bell)),
        };
        let unstopped = self.context.clone().unstopped();
        let ended = bulk::wait(&what, &waiting, &unstopped, || async {
            match self.api.job(&table.workspace, job).await {
                Ok(Job::Running(word)) => Ok(Progress::Running(word)),
                Ok(job) => Ok(Progress::Done(job)),
                Err(fault) if fault.is("8137") => Ok(Progress::Done(Job::Lost)),
                Err(fault) => Err(fault.into_error(&format!("cannot ask for the import `{job}`"))),
            }
        });
        let ended = ended.await?;
        let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_import.store(took, Ordering::Relaxed);
        Ok(ended)
    }

    /// How long what others hold is waited out.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.config.patience_seconds)
    }
}

/// What a code means that stands in the state of a job and not in an answer. `words` hold no value.
pub(crate) fn fault_of(code: &str, words: &str) -> Fault {
    let body = serde_json::json!({
        "status": "failure", "summary": "", "data": {"errorCode": code, "errorMessage": words},
    });
    let answer = Answer {
        status: singer_net::StatusCode::BAD_REQUEST,
        headers: Default::default(),
        body: body.to_string().into(),
    };
    match Service::judge(&answer) {
        Err(fault) => fault,
        Ok(()) => Error::protocol(words).into(),
    }
}

/// Whether trying the same again may lead to something else.
pub(crate) fn may_heal(class: Class) -> bool {
    matches!(class, Class::Broken | Class::Busy | Class::Throttled)
}
