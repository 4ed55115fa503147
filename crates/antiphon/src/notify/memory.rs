//! What alarms read and keep: the runs before, the log, the status of each notifier.
//!
//! A store that is away must not hold up the notice that says so: a remote one that failed once is not asked
//! again, and the status stays on this machine meanwhile.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use singer_core::{Error, Kind, Result};
use singer_runtime::exit;

use super::status::Alarms;
use super::words;
use crate::history::{self, Index};
use crate::session::Session;

/// How long the store may take for one answer. Its own patience is for what must not be lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// The memory of a pipeline's alarms.
#[derive(Debug)]
pub(super) struct Memory<'a> {
    session: &'a Session,
    pipeline: &'a str,
    is_away: AtomicBool,
}

impl<'a> Memory<'a> {
    pub(super) fn new(session: &'a Session, pipeline: &'a str) -> Self {
        Self {
            session,
            pipeline,
            is_away: AtomicBool::new(false),
        }
    }

    /// For a store that was found out of reach, as far as it can be.
    pub(super) fn without_store(session: &'a Session, pipeline: &'a str) -> Self {
        let memory = Self::new(session, pipeline);
        let is_remote = session.store.folder().is_none();
        memory.is_away.store(is_remote, Ordering::Relaxed);
        memory
    }

    /// The runs before.
    pub(super) async fn index(&self) -> Option<Index> {
        match self.ask(history::index(self.session, self.pipeline)).await {
            Ok(index) => Some(index),
            Err(error) => {
                self.warn("the runs before cannot be read", error);
                None
            }
        }
    }

    /// The log of a run, as far as there is one.
    pub(super) async fn log(&self, run: &str) -> Vec<u8> {
        let log = history::log(self.session, self.pipeline, run);
        match self.ask(log).await {
            Ok(log) => log.unwrap_or_default(),
            Err(error) => {
                self.warn("a notice goes out without the log", error);
                Vec::new()
            }
        }
    }

    /// The status of the notifiers.
    pub(super) async fn load(&self) -> Result<Option<Alarms>> {
        let bytes = match std::fs::read(self.spare()) {
            Ok(bytes) => Bytes::from(bytes),
            Err(_) => match self.ask(self.session.store.get(&self.key())).await? {
                Some(object) => object.bytes,
                None => return Ok(None),
            },
        };
        match serde_json::from_slice(&bytes) {
            Ok(alarms) => Ok(Some(alarms)),
            Err(error) => {
                tracing::warn!(pipeline = self.pipeline, error = %error, "the status of the alarms is broken: begun anew");
                Ok(None)
            }
        }
    }

    /// Stores the status; on this machine while the store does not take it. Where that fails as well, the
    /// next run tells again what is told now.
    pub(super) async fn save(&self, alarms: &Alarms) {
        const LOST: &str = "what was told may be told again";
        let bytes = match serde_json::to_vec(alarms) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => {
                let error =
                    Error::internal("cannot write the status of the alarms").with_source(error);
                return self.warn(LOST, error);
            }
        };
        let spare = self.spare();
        let key = self.key();
        let put = self.session.store.put(&key, bytes.clone());
        let Err(error) = self.ask(put).await else {
            // Mostly there is none.
            drop(std::fs::remove_file(spare));
            return;
        };
        self.warn("the status of the alarms stays on this machine", error);
        let beside = spare.with_extension("new");
        let kept = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.session.project.store.work)
            .and_then(|()| std::fs::write(&beside, &bytes))
            .and_then(|()| std::fs::rename(&beside, &spare));
        if let Err(error) = kept {
            let error =
                Error::internal(format!("cannot write `{}`", spare.display())).with_source(error);
            self.warn(LOST, error);
        }
    }

    /// Says that something failed; a store that is away is told of once.
    pub(super) fn warn(&self, what: &str, error: Error) {
        let is_told = error.kind() == Kind::Interrupted;
        let error = anyhow::Error::new(error);
        let error = exit::summary_line(&error);
        if is_told {
            tracing::debug!(pipeline = self.pipeline, error, "{what}");
        } else {
            tracing::warn!(pipeline = self.pipeline, error, "{what}");
        }
    }

    /// An answer of the store, unless it is away.
    async fn ask<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        if self.is_away.load(Ordering::Relaxed) {
            // Of a kind that nothing here gives otherwise: it was told when it was found.
            return Err(Error::new(Kind::Interrupted, "the store is out of reach"));
        }
        let answer = match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::transient(format!(
                "the store did not answer within {}",
                words::duration(PATIENCE.as_secs_f64())
            ))),
        };
        // A folder fails for one file at a time.
        if answer.is_err() && self.session.store.folder().is_none() {
            self.is_away.store(true, Ordering::Relaxed);
        }
        answer
    }

    pub(super) fn key(&self) -> String {
        format!("pipelines/{}/alarms.json", self.pipeline)
    }

    /// Where the status stays on this machine as long as the store does not take it.
    pub(super) fn spare(&self) -> PathBuf {
        let work = &self.session.project.store.work;
        work.join(format!("{}.alarms.json", self.pipeline))
    }
}
