//! How long failures are borne: counted since the last progress, with a wait in between that grows,
//! and turned into an error that names the table once there were too many.

use std::time::{Duration, Instant};

use singer_core::{Error, Kind, Result};
use singer_net::{Backoff, backoff};

use super::failure::{Class, Failure};
use super::{Options, TablePath, TokenSource};

/// A new table shows after seconds; one that is missing is not waited for much longer.
const MISSING_ATTEMPTS: u32 = 6;
/// A new column shows after seconds to minutes: it is asked for at least this often.
const COLUMN_CAP: Duration = Duration::from_secs(15);

/// The failures since the last progress.
pub(super) struct Patience<'a> {
    options: &'a Options,
    tokens: &'a dyn TokenSource,
    table: &'a TablePath,
    /// What is being done, as the error will say it: `cannot …`.
    doing: &'static str,
    failures: u32,
    since: Option<Instant>,
    renewed: bool,
    column_waits: u32,
    column_since: Option<Instant>,
}

impl<'a> Patience<'a> {
    pub(super) fn new(
        options: &'a Options,
        tokens: &'a dyn TokenSource,
        table: &'a TablePath,
        doing: &'static str,
    ) -> Self {
        Self {
            options,
            tokens,
            table,
            doing,
            failures: 0,
            since: None,
            renewed: false,
            column_waits: 0,
            column_since: None,
        }
    }

    /// Something was done: earlier failures count no more.
    pub(super) fn progress(&mut self) {
        *self = Self::new(self.options, self.tokens, self.table, self.doing);
    }

    /// Returns when it is time for the next attempt, or the error if there is none.
    pub(super) async fn bear(&mut self, failure: Failure) -> Result<()> {
        match failure.class() {
            Class::Token => self.renew(failure).await,
            Class::Column => self.wait_for_column(failure).await,
            Class::Passing | Class::Busy | Class::Missing | Class::Gap | Class::Over => {
                self.wait(failure).await
            }
            Class::Denied | Class::Exists | Class::Committed | Class::Final => {
                Err(self.error(failure))
            }
        }
    }

    async fn renew(&mut self, failure: Failure) -> Result<()> {
        match &failure.token {
            Some(token) if !self.renewed => {
                self.renewed = true;
                self.tokens.refused(token).await;
                Ok(())
            }
            _ => Err(self.error(failure)),
        }
    }

    async fn wait_for_column(&mut self, failure: Failure) -> Result<()> {
        let since = *self.column_since.get_or_insert_with(Instant::now);
        self.column_waits += 1;
        let backoff = Backoff {
            cap: self.options.backoff.cap.min(COLUMN_CAP),
            ..self.options.backoff
        };
        let wait = backoff.wait(self.column_waits, None, backoff::chance());
        let patience = self.options.new_column_patience;
        if since.elapsed() + wait > patience {
            let seconds = patience.as_secs();
            return Err(self.error(failure).with_hint(format!(
                "the service did not hear of the new column within {seconds} s"
            )));
        }
        self.sleep(self.column_waits, wait, &failure).await;
        Ok(())
    }

    async fn wait(&mut self, failure: Failure) -> Result<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.failures += 1;
        let wait = self
            .options
            .backoff
            .wait(self.failures, failure.after, backoff::chance());
        let tried = self.failures;
        let attempts = match failure.class() {
            Class::Missing => self.options.attempts.min(MISSING_ATTEMPTS),
            _ => self.options.attempts,
        };
        if tried >= attempts || since.elapsed() + wait > self.options.patience {
            let error = self.error(failure);
            return Err(match tried {
                1 => error,
                _ => error.with_hint(format!("it was tried {tried} times")),
            });
        }
        self.sleep(tried, wait, &failure).await;
        Ok(())
    }

    async fn sleep(&self, attempt: u32, wait: Duration, failure: &Failure) {
        let (doing, table) = (self.doing, self.table);
        let wait_milliseconds = wait.as_millis() as u64;
        tracing::warn!(doing, %table, attempt, wait_milliseconds, %failure, "trying again");
        tokio::time::sleep(wait).await;
    }

    /// The error that a failure becomes.
    pub(super) fn error(&self, failure: Failure) -> Error {
        let (doing, table) = (self.doing, self.table);
        let error = |kind, what: &str| Error::new(kind, format!("cannot {doing} `{table}`{what}"));
        let error = match failure.class() {
            Class::Passing | Class::Gap | Class::Over => error(Kind::Transient, ""),
            Class::Busy => error(Kind::RateLimited, ": the service is asked too much"),
            Class::Token => error(Kind::Auth, ": the service does not accept the credentials"),
            Class::Denied => error(
                Kind::Rejected,
                ": the permission `bigquery.tables.updateData` is missing",
            )
            .with_hint("`roles/bigquery.dataEditor` on the data set grants it"),
            Class::Missing => error(Kind::Rejected, ": there is no such table"),
            Class::Column => error(
                Kind::Rejected,
                ": the rows have a column that the table has not",
            ),
            Class::Final if failure.untrusted => error(
                Kind::Config,
                ": the certificate of the storage endpoint is not trusted",
            )
            .with_hint(
                "if a proxy signs with an authority of its own, name its PEM file in `ca_file`",
            ),
            Class::Exists | Class::Committed | Class::Final => error(Kind::Rejected, ""),
        };
        error.with_source(failure)
    }
}
