//! What a library below the runtime needs from the process around it, without knowing the runtime.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use chrono::{DateTime, Utc};

use crate::{Result, Secret, SecretSource};

/// A secret that is being read.
pub type ReadSecret<'a> = Pin<Box<dyn Future<Output = Result<Secret>> + Send + 'a>>;

/// A wait for something without a result.
pub type Wait<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The process around a library: its clock, its secrets, its environment, the wish to stop.
pub trait Surroundings: Debug + Send + Sync + 'static {
    /// The time.
    fn now(&self) -> DateTime<Utc>;

    /// Reads a secret from where the config says that it is; again each time it is asked for.
    fn secret<'a>(&'a self, source: &'a SecretSource) -> ReadSecret<'a>;

    /// A variable of the environment; what is empty or not UTF-8 counts as not set.
    fn variable(&self, name: &str) -> Option<String>;

    /// The user agent for requests.
    fn user_agent(&self) -> &str;

    /// Whether somebody asked for a stop: long waits end early.
    fn stop_requested(&self) -> bool;

    /// Ends when somebody asks for a stop.
    fn stopped(&self) -> Wait<'_>;
}
