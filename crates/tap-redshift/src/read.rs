//! Reads one stream: plans the statement, fetches its rows, and goes on after a dropped connection.

use std::time::Duration;

use singer_core::{Error, Kind};
use singer_net::backoff;
use singer_runtime::tap::{Output, Plan, Replication};
use tracing::{info, warn};

use crate::config::FetchMode;
use crate::connect::{self, Session};
use crate::failure::{Attempt, Failure, Remedy};
use crate::filter::Filter;
use crate::key::KeyValue;
use crate::record::RecordWriter;
use crate::table::{Column, Table};
use crate::types::SpecialValues;
use crate::{Redshift, sql};
use progress::{Origin, Progress};
use sink::Sink;
use statement::{Rows, Statement};
use window::{Bound, KeyColumn};

mod fetch;
mod progress;
mod sink;
mod statement;
mod window;

/// Reads a stream from its bookmark to its end.
pub(crate) async fn read(tap: &Redshift, plan: &Plan, out: &mut Output) -> singer_core::Result<()> {
    let mut reading = Reading {
        tap,
        plan,
        table: tap.table(&plan.id).await?,
        attempt: 1,
        rediscovered: false,
        without_copy: false,
        fetch_rows: tap.config.fetch_rows,
    };
    let mut progress = reading.progress()?;
    loop {
        let rows_before = progress.rows;
        let failure = match reading.attempt(&mut progress, out).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        if progress.rows > rows_before {
            reading.attempt = 1;
        }
        reading.recover(failure, &progress).await?;
    }
}

/// One stream while it is read.
struct Reading<'a> {
    tap: &'a Redshift,
    plan: &'a Plan,
    table: Table,
    /// The number of the attempt since something was last read.
    attempt: u32,
    rediscovered: bool,
    without_copy: bool,
    fetch_rows: u32,
}

impl Reading<'_> {
    /// Where to start: from the bookmark, from `start_date`, or from the first row.
    fn progress(&self) -> singer_core::Result<Progress> {
        match &self.plan.replication {
            Replication::FullTable { version } => Ok(self.full_progress(*version)),
            Replication::Incremental { key, .. } => self.incremental_progress(key),
        }
    }

    fn full_progress(&self, version: i64) -> Progress {
        let key = &self.plan.key_properties;
        let columns: Option<Vec<KeyColumn>> =
            key.iter().map(|name| self.key_column(name)).collect();
        let keys = match columns {
            Some(keys) if self.tap.config.full_table_resume => keys,
            _ => Vec::new(),
        };
        // Only a key that the server enforces names one row.
        let is_enforced = self.tap.server_enforces_keys() && self.table.key == *key;
        let bound = if is_enforced {
            Bound::Excluded
        } else {
            Bound::Included
        };
        Progress::full(self.plan, keys, bound, version)
    }

    fn incremental_progress(&self, key: &str) -> singer_core::Result<Progress> {
        let column = self.key_column(key).ok_or_else(|| {
            Error::rejected(format!(
                "`{key}` of `{}` cannot be a replication key",
                self.table.name
            ))
            .with_hint("`valid-replication-keys` of the catalog lists those that can")
        })?;
        let (start, origin) = progress::start_of(self.plan);
        let start = match start {
            None => None,
            Some(value) => Some(KeyValue::read(column.kind, value).ok_or_else(|| {
                Error::config(format!(
                    "the bookmark of `{}` is no value of its replication key `{key}`",
                    self.plan.id
                ))
                .with_hint("correct `replication_key_value` in the state, or remove the stream's bookmark to read it anew")
            })?),
        };
        let lookback = self.tap.config.lookback_seconds;
        let start = match origin {
            Origin::Bookmark if lookback > 0 => start.map(|value| value.before(lookback)),
            _ => start,
        };
        Ok(Progress::incremental(self.plan, column, start))
    }

    fn key_column(&self, name: &str) -> Option<KeyColumn> {
        let column = self.table.column(name)?;
        Some(KeyColumn {
            name: column.name.clone(),
            kind: column.kind.key_kind()?,
            nullable: column.nullable,
        })
    }

    /// Reads until the end, or until something fails.
    async fn attempt(&mut self, progress: &mut Progress, out: &mut Output) -> Attempt<()> {
        let mut session = self.tap.session().await?;
        let mut filter = self.tap.filter_of(self.plan, &self.table).await?;
        if let Some(filter) = &mut filter {
            filter.prepare(&mut session).await?;
        }
        let nothing = filter.as_ref().is_some_and(Filter::is_empty);
        let is_empty = self.bound(&mut session, progress).await? || nothing;
        if is_empty {
            return self.finish(progress, out).await;
        }
        let statement = self.statement(&session, progress, filter.as_ref())?;
        let columns = self.columns(progress)?;
        let keys: Vec<(&str, crate::types::KeyKind)> = progress
            .window
            .keys
            .iter()
            .map(|key| (key.name.as_str(), key.kind))
            .collect();
        let formats = self.tap.config.formats();
        let writer = RecordWriter::new(&columns, self.plan.fields.len(), &keys, formats);
        let stop = self.tap.context.stop();
        let mut sink = Sink::new(out, writer, progress, stop);
        let result = fetch::fetch(&mut session, &statement, &mut sink).await;
        let (last, rows) = (sink.last_key(), sink.rows());
        self.report(sink.writer());
        progress.rows += rows;
        if let Some(last) = last {
            progress.go_on_after(last);
        }
        result?;
        self.finish(progress, out).await
    }

    /// Sets the upper bound once; true if there is nothing to read.
    async fn bound(&self, session: &mut Session, progress: &mut Progress) -> Attempt<bool> {
        if progress.bounded {
            return Ok(false);
        }
        let doing = format!("cannot ask for the greatest key of `{}`", self.table.name);
        let zone = self.tap.config.foreign_zone();
        let sql = progress
            .window
            .greatest(&self.table.sql(), &session.server, zone);
        let rows = session.query(&sql, &doing).await?;
        let values: Vec<Option<String>> = rows.into_iter().next().unwrap_or_default();
        if progress.skips_null_keys() {
            self.count_null_keys(session, progress).await?;
        }
        progress.bounded = true;
        let found: Option<Vec<String>> = values.into_iter().collect();
        let Some(found) = found.filter(|values| !values.is_empty()) else {
            // No row has a key: an incremental stream has nothing, a full table is read as it is.
            return Ok(progress.skips_null_keys());
        };
        let keys = progress.window.keys.iter().zip(found);
        // A bound such as infinity has no literal; then there is none.
        progress.window.upper = keys
            .map(|(key, text)| KeyValue::read(key.kind, &text.into()))
            .collect();
        Ok(false)
    }

    async fn count_null_keys(&self, session: &mut Session, progress: &Progress) -> Attempt<()> {
        for key in progress.window.keys.iter().filter(|key| key.nullable) {
            let doing = format!("cannot count rows of `{}` without a key", self.table.name);
            let sql = format!(
                "SELECT count(*) FROM {} AS t WHERE t.{} IS NULL",
                self.table.sql(),
                sql::name(&key.name)
            );
            let rows = session.query(&sql, &doing).await?;
            let count = rows.into_iter().flatten().flatten().next();
            if let Some(count) = count.filter(|count| count != "0") {
                warn!(
                    stream = self.plan.id,
                    key = key.name,
                    count,
                    "rows without a replication key are never read"
                );
            }
        }
        Ok(())
    }

    /// The selected columns, then those that only the key needs.
    fn columns(&self, progress: &Progress) -> singer_core::Result<Vec<&Column>> {
        let keys = progress.window.keys.iter().map(|key| &key.name);
        let hidden = keys.filter(|name| !self.plan.fields.contains(name));
        let wanted = self.plan.fields.iter().chain(hidden);
        wanted
            .map(|name| {
                self.table.column(name).ok_or_else(|| {
                    Error::rejected(format!(
                        "column `{name}` of `{}` is gone from the database",
                        self.table.name
                    ))
                    .with_hint("discover anew, or deselect the column in the catalog")
                })
            })
            .collect()
    }

    fn statement(
        &self,
        session: &Session,
        progress: &Progress,
        filter: Option<&Filter>,
    ) -> singer_core::Result<Statement> {
        let config = &self.tap.config;
        let rows = match config.fetch_mode {
            FetchMode::Cursor => Rows::Cursor(self.fetch_rows),
            _ if session.server.copies_out() && !self.without_copy => Rows::Copy,
            _ => Rows::Text,
        };
        let zone = config.foreign_zone();
        let mut conditions = progress.window.conditions(&session.server, zone);
        conditions.extend(filter.map(|filter| filter.condition(&session.server)));
        Ok(Statement {
            doing: format!("cannot read `{}`", self.table.name),
            select: statement::select(
                &self.table,
                &self.columns(progress)?,
                &conditions,
                &progress.window.order(),
                &rows,
                &session.server,
                zone,
            ),
            rows,
        })
    }

    async fn finish(&self, progress: &Progress, out: &mut Output) -> Attempt<()> {
        let bookmark = progress.final_bookmark();
        let finished = if progress.is_full_table() {
            out.finish_version(bookmark).await
        } else {
            out.checkpoint(bookmark).await
        };
        finished.map_err(sink::final_failure)
    }

    fn report(&self, writer: &RecordWriter) {
        let became = match self.tap.config.special_values {
            SpecialValues::Null => "null",
            SpecialValues::Text => "text",
        };
        writer.tally().report(&self.plan.id, became);
    }

    /// Makes ready for another attempt, or passes the error on.
    async fn recover(&mut self, failure: Failure, progress: &Progress) -> singer_core::Result<()> {
        let Failure { error, remedy } = failure;
        if progress.rows > 0 && !progress.can_go_on() {
            return Err(error.with_hint(
                "rows were read already and the table has no key to go on from; run again, and it is read under a new version",
            ));
        }
        match remedy {
            Remedy::None => return Err(error),
            Remedy::WithoutCopy => {
                if self.without_copy || self.tap.config.fetch_mode == FetchMode::Cursor {
                    return Err(error);
                }
                info!(
                    stream = self.plan.id,
                    "the server has no binary COPY; reading text"
                );
                self.without_copy = true;
                return Ok(());
            }
            Remedy::SmallerFetch => {
                if self.fetch_rows <= 1000 {
                    return Err(error);
                }
                warn!(
                    stream = self.plan.id,
                    "fetching 1000 rows at a time, as the cluster asks"
                );
                self.fetch_rows = 1000;
                return Ok(());
            }
            Remedy::Rediscover => {
                if self.rediscovered {
                    return Err(error);
                }
                self.rediscovered = true;
            }
            Remedy::Reconnect => {}
        }
        self.wait(error).await?;
        if remedy == Remedy::Rediscover {
            self.table = self.tap.rediscover(&self.plan.id).await?;
        }
        Ok(())
    }

    /// Waits before the next attempt, if there is one.
    async fn wait(&mut self, error: Error) -> singer_core::Result<()> {
        let retry = connect::retry(&self.tap.config);
        if self.attempt >= retry.attempts {
            return Err(error.with_hint(format!(
                "it was tried {} times; `attempts` in the config says how often",
                self.attempt
            )));
        }
        let wait: Duration = retry.backoff.wait(self.attempt, None, backoff::chance());
        warn!(
            stream = self.plan.id,
            attempt = self.attempt,
            wait_milliseconds = wait.as_millis() as u64,
            error = %error,
            cause = std::error::Error::source(&error).map(tracing::field::display),
            "reading on from the last row"
        );
        self.attempt += 1;
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.tap.context.stop().wait() => Err(Error::new(Kind::Interrupted, "stopped on request")),
        }
    }
}
