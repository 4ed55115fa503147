//! tap-redshift: reads Amazon Redshift and every other PostgreSQL-wire database as Singer records.
//!
//! * [`config`] the settings.
//! * `connect` sessions: TLS, parameters, what the server is; `failure` what errors mean.
//! * `discover` the catalogs, as tables and as catalog entries.
//! * `types` column types, their JSON schemas, and decoding from binary and text.
//! * `read` one stream: bounds, statement, fetching, checkpoints, retries; `record` rows to records,
//!   `key` values of keys in states and in SQL.
//! * `filter` the ids that another system knows.
//!
//! Nothing here prints, and no statement changes the database but for a temporary table of ids.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use singer_core::{Error, Kind, Result};
use singer_runtime::context::Context;
use singer_runtime::tap::{Discovery, Output, Plan, Scope, Tap};
use tokio::sync::OnceCell;

use crate::config::Config;
use crate::connect::Session;
use crate::discover::{Collisions, Limits};
use crate::failure::Attempt;
use crate::filter::Filter;
use crate::table::Table;

pub mod config;
mod connect;
mod discover;
mod failure;
mod filter;
mod key;
mod read;
mod record;
mod server;
mod sql;
mod table;
mod types;

/// The tap.
#[derive(Debug)]
pub struct Redshift {
    config: Config,
    context: Context,
    /// A session that is not in use: discovery leaves its own to the first stream, as a new one
    /// costs more than a small sync.
    idle: Mutex<Option<Session>>,
    /// The tables that discovery found, by `tap_stream_id`.
    tables: Mutex<BTreeMap<String, Table>>,
    server: OnceCell<server::Server>,
    filter_ids: OnceCell<Arc<Vec<String>>>,
}

impl Tap for Redshift {
    const NAME: &'static str = "tap-redshift";
    const DESCRIPTION: &'static str =
        "Reads Amazon Redshift, and any other PostgreSQL-wire database";
    type Config = Config;

    async fn connect(config: Config, context: Context) -> anyhow::Result<Self> {
        Ok(Self {
            config,
            context,
            idle: Mutex::default(),
            tables: Mutex::default(),
            server: OnceCell::new(),
            filter_ids: OnceCell::new(),
        })
    }

    async fn check(&self) -> anyhow::Result<String> {
        let found = self.discover(&Scope::All).await?;
        let session = self.session().await?;
        let ids = match &self.config.key_filter {
            Some(_) => format!(", {} ids in the key filter", self.filter_ids().await?.len()),
            None => String::new(),
        };
        Ok(format!(
            "connected to {} at `{}` as `{}`: {} tables can be read, {} cannot{ids}",
            session.server.name(),
            self.config.address(),
            self.config.user,
            found.streams.len(),
            found.problems.len(),
        ))
    }

    async fn discover(&self, scope: &Scope) -> anyhow::Result<Discovery> {
        let mut session = self.session().await?;
        let limits = Limits::new(&self.config, scope);
        let found = discover::tables(&mut session, &limits).await;
        let tables = found.map_err(|failure| failure.error)?;
        let collisions = match scope {
            Scope::All => {
                let checked = discover::check_schemas(&mut session, &self.config, &tables).await;
                checked.map_err(|failure| failure.error)?;
                Collisions::among(tables.iter().map(|table| &table.name))
            }
            Scope::Streams(_) => {
                let names = discover::namesakes(&mut session, &self.config, &tables).await;
                Collisions::among(&names.map_err(|failure| failure.error)?)
            }
        };
        let discovery = discover::catalog(&self.config, &tables, &collisions);
        self.remember(tables);
        self.park(session);
        Ok(discovery)
    }

    async fn read(&self, plan: &Plan, out: &mut Output) -> anyhow::Result<()> {
        let read = read::read(self, plan, out).await;
        Ok(read.map_err(|error| found_late(plan, error))?)
    }
}

/// Exit code 2 says that nothing was written, and by the time a stream is read its SCHEMA was: what is
/// wrong with the config or the state is a fault of the stream then.
fn found_late(plan: &Plan, error: Error) -> Error {
    match error.kind() {
        Kind::Config => {
            let what = format!("`{}` cannot be read with this config and state", plan.id);
            Error::rejected(what).with_source(error)
        }
        _ => error,
    }
}

impl Redshift {
    /// The session that is not in use, or a new one.
    async fn session(&self) -> Result<Session> {
        let idle = self.take_idle();
        if let Some(session) = idle.filter(|session| !session.client.is_closed()) {
            return Ok(session);
        }
        let session = connect::connect(&self.config, &self.context).await?;
        // The first answer counts; all sessions talk to the same server.
        self.server
            .get_or_init(|| std::future::ready(session.server.clone()))
            .await;
        Ok(session)
    }

    fn take_idle(&self) -> Option<Session> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn park(&self, session: Session) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }

    fn server_enforces_keys(&self) -> bool {
        self.server.get().is_some_and(server::Server::enforces_keys)
    }

    /// A table as discovery found it, or finds it now.
    async fn table(&self, id: &str) -> Result<Table> {
        match self.known_table(id) {
            Some(table) => Ok(table),
            None => self.rediscover(id).await,
        }
    }

    fn known_table(&self, id: &str) -> Option<Table> {
        let known = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(id).cloned()
    }

    fn remember(&self, tables: impl IntoIterator<Item = Table>) {
        let mut known = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(
            tables
                .into_iter()
                .map(|table| (table.name.stream_id(), table)),
        );
    }

    /// Looks a table up in the catalog again.
    async fn rediscover(&self, id: &str) -> Result<Table> {
        let mut session = self.session().await?;
        let scope = Scope::Streams(vec![id.to_owned()]);
        let limits = Limits::new(&self.config, &scope);
        let found: Attempt<Vec<Table>> = discover::tables(&mut session, &limits).await;
        let tables = found.map_err(|failure| failure.error)?;
        let table = tables.into_iter().next().ok_or_else(|| {
            Error::rejected(format!("`{id}` is gone from the database"))
                .with_hint("discover anew; it was dropped or renamed")
        })?;
        self.park(session);
        self.remember([table.clone()]);
        Ok(table)
    }

    /// The key filter of a stream, if it has one.
    async fn filter_of(&self, plan: &Plan, table: &Table) -> Result<Option<Filter>> {
        match &self.config.key_filter {
            Some(filter) if filter::applies(filter, plan, table) => {
                Filter::new(filter, table, self.filter_ids().await?).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The ids that the other system knows; asked for once.
    async fn filter_ids(&self) -> Result<&Arc<Vec<String>>> {
        let fetch = || async {
            match &self.config.key_filter {
                Some(filter) => filter::ids(&self.config, filter, &self.context).await,
                None => Ok(Vec::new()),
            }
        };
        self.filter_ids
            .get_or_try_init(|| async { fetch().await.map(Arc::new) })
            .await
    }
}
