//! What a connector gets from its process: the run's id, the clock, secrets, the wish to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use singer_core::surroundings::{ReadSecret, Surroundings, Wait};
use singer_core::{Error, Result, Secret, SecretSource};

use crate::clock::Clock;
use crate::config;
use crate::secret;
use crate::stop::Stop;

/// Handed to a connector when it connects; cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    inner: Arc<Inner>,
}

#[derive(Clone, Debug)]
struct Inner {
    binary: String,
    run_id: String,
    started_at: DateTime<Utc>,
    clock: Clock,
    stop: Stop,
    user_agent: String,
    dry_run: DryRun,
    switches: Vec<String>,
    report: Option<PathBuf>,
    stored_state: Option<String>,
    state_path: Option<PathBuf>,
}

/// Whether the run only shows what it would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// It writes.
    No,
    /// It reads and plans, and writes nothing.
    Yes,
}

impl Context {
    /// A context with a new run id; the runtime makes one for each process, tests make their own.
    pub fn new(binary: &str, clock: Clock, stop: Stop) -> Self {
        let started_at = clock.now();
        // Two containers may have equal process ids at the same millisecond; the standard hasher starts
        // with numbers of the system's generator. One width, so that what carries the id has one size.
        let chance =
            std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
        let run_id = format!(
            "{}-{:08x}",
            started_at.format("%Y%m%dT%H%M%S%.3fZ"),
            chance & 0xffff_ffff
        );
        Self {
            inner: Arc::new(Inner {
                user_agent: format!("{binary}/{}", env!("CARGO_PKG_VERSION")),
                binary: binary.to_owned(),
                run_id,
                started_at,
                clock,
                stop,
                dry_run: DryRun::No,
                switches: Vec::new(),
                report: None,
                stored_state: None,
                state_path: None,
            }),
        }
    }

    /// A context for a test: the system's clock, nobody who stops it.
    pub fn for_tests(binary: &str) -> Self {
        Self::new(binary, Clock::system(), Stop::default())
    }

    /// The same context with the user agent of the config.
    #[must_use]
    pub fn with_user_agent(self, user_agent: &str) -> Self {
        self.changed(|inner| user_agent.clone_into(&mut inner.user_agent))
    }

    /// The same context for a dry run or for a real one.
    #[must_use]
    pub fn with_dry_run(self, dry_run: DryRun) -> Self {
        self.changed(|inner| inner.dry_run = dry_run)
    }

    /// The same context for work that is seen to its end, whether a stop is asked for or not.
    #[must_use]
    pub fn unstopped(self) -> Self {
        self.changed(|inner| inner.stop = Stop::default())
    }

    /// The same context with the switches of the command line, by the names of their settings.
    #[must_use]
    pub fn with_switches(self, switches: Vec<String>) -> Self {
        self.changed(|inner| inner.switches = switches)
    }

    /// The same context with the file that the run keeps its report in (see [`crate::report`]).
    #[must_use]
    pub(crate) fn with_report(self, path: PathBuf) -> Self {
        self.changed(|inner| inner.report = Some(path))
    }

    /// The same context with the state that stands in the `--state-file`; empty if it is not there yet.
    #[must_use]
    pub(crate) fn with_stored_state(self, state: String) -> Self {
        self.changed(|inner| inner.stored_state = Some(state))
    }

    /// The same context with the file that the state was read from.
    #[must_use]
    pub fn with_state_path(self, path: PathBuf) -> Self {
        self.changed(|inner| inner.state_path = Some(path))
    }

    /// The file that a tap's state was read from (`--state`). Where a target keeps the same file with
    /// `--state-file`, it shows later on what has become durable.
    pub fn state_path(&self) -> Option<&Path> {
        self.inner.state_path.as_deref()
    }

    /// The state that stood in the `--state-file` when the run began, from which the tap goes on; empty if
    /// there was none, `None` if the run has no such file.
    pub fn stored_state(&self) -> Option<&str> {
        self.inner.stored_state.as_deref()
    }

    /// The binary's name.
    pub fn binary(&self) -> &str {
        &self.inner.binary
    }

    /// The run's id: the millisecond of its start and 32 bits of chance; sorts by time.
    pub fn run_id(&self) -> &str {
        &self.inner.run_id
    }

    /// When the run began.
    pub fn started_at(&self) -> DateTime<Utc> {
        self.inner.started_at
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now()
    }

    /// The wish to stop.
    pub fn stop(&self) -> &Stop {
        &self.inner.stop
    }

    /// Waits.
    ///
    /// # Errors
    /// Of kind `Interrupted` once a stop is asked for.
    pub async fn pause(&self, duration: Duration) -> Result<()> {
        tokio::select! {
            () = tokio::time::sleep(duration) => Ok(()),
            () = self.stop().wait() => Err(Error::interrupted()),
        }
    }

    /// The user agent for requests: the config's `user_agent`, else the binary and its version.
    pub fn user_agent(&self) -> &str {
        &self.inner.user_agent
    }

    /// Whether the run is to send no write (`--dry-run`).
    pub fn dry_run(&self) -> bool {
        self.inner.dry_run == DryRun::Yes
    }

    /// The file that the run keeps its report in, if one is wanted.
    pub(crate) fn report(&self) -> Option<&Path> {
        self.inner.report.as_deref()
    }

    /// Whether the command line had the switch of this setting (see [`crate::setting::Flag::Switch`]).
    pub fn switch(&self, setting: &str) -> bool {
        self.inner.switches.iter().any(|name| name == setting)
    }

    /// Reads a secret from where the config says that it is. To be called again when the service
    /// says that the secret is no longer good.
    ///
    /// The error is of kind `Config` and names the place, never the value.
    pub async fn secret(&self, source: &SecretSource) -> Result<Secret> {
        secret::read(source).await
    }

    /// A variable of the environment that programs of one service share by convention, such as the
    /// place of a key file; what is empty or not UTF-8 counts as not set. Settings of the connector's
    /// own come with its config.
    pub fn variable(&self, name: &str) -> Option<String> {
        config::process_environment(name).filter(|value| !value.is_empty())
    }

    fn changed(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.inner);
        change(&mut inner);
        Self {
            inner: Arc::new(inner),
        }
    }
}

impl Surroundings for Context {
    fn now(&self) -> DateTime<Utc> {
        self.now()
    }

    fn secret<'a>(&'a self, source: &'a SecretSource) -> ReadSecret<'a> {
        Box::pin(self.secret(source))
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variable(name)
    }

    fn user_agent(&self) -> &str {
        self.user_agent()
    }

    fn stop_requested(&self) -> bool {
        self.stop().requested()
    }

    fn stopped(&self) -> Wait<'_> {
        Box::pin(self.stop().wait())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_its_value_or_nothing() {
        let context = Context::for_tests("tap-test");
        // Cargo sets it for every test.
        let here = context.variable("CARGO_MANIFEST_DIR").unwrap();
        assert!(here.ends_with("singer-runtime"));
        assert_eq!(context.variable("NO_SUCH_VARIABLE_HERE"), None);
    }

    #[tokio::test]
    async fn a_stop_ends_pauses_but_those_of_work_that_is_seen_to_its_end() {
        let context = Context::for_tests("tap-test");
        let unstopped = context.clone().unstopped();
        context.stop().request(crate::stop::Reason::Terminate);
        let long = Duration::from_secs(3_600);
        let error = context.pause(long).await.unwrap_err();
        assert_eq!(error.kind(), singer_core::Kind::Interrupted);
        assert!(!unstopped.stop().requested());
        unstopped.pause(Duration::ZERO).await.unwrap();
    }

    #[test]
    fn ids_of_runs_have_one_width_and_differ() {
        let ids: Vec<String> = (0..64)
            .map(|_| Context::for_tests("tap-test").run_id().to_owned())
            .collect();
        let width = "20260102T030405.678Z-0123abcd".len();
        assert!(ids.iter().all(|id| id.len() == width), "{ids:?}");
        let different: std::collections::HashSet<&String> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
    }
}
