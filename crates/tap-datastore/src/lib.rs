//! tap-datastore: reads tables of Zoho Catalyst's Data Store as Singer records.
//!
//! * [`config`] the settings; `api` the endpoints, `model` what goes over the wire.
//! * `schema` tables as streams; `value` and `time` cells as JSON values; `record` rows as records.
//! * `bulk` jobs and their files, `callback` where they call back, `rows` from an archive to records.
//! * `read` one stream: whole tables, changes, small ones, deletions.
//! * `listen` events that are posted to us, through a journal on disk; `row` rows that were asked for.
//!
//! Nothing here writes to the service, and no id or number goes through a float.

#![expect(
    clippy::result_large_err,
    reason = "a fault is as large as the answer that comes instead of it, and far rarer"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use singer_core::{Error, Kind, Result};
use singer_runtime::context::Context;
use singer_runtime::rows::Wanted;
use singer_runtime::tap::{Discovery, Output, Plan, Scope, Tap};
use zoho::Class;

use crate::api::{Api, error_of};
use crate::bulk::Bulk;
use crate::callback::Callbacks;
use crate::config::Config;
use crate::model::{JsonRow, TableInfo};
use crate::read::Style;
use crate::schema::Table;

pub mod config;

mod api;
mod bulk;
mod callback;
mod identity;
mod listen;
mod model;
mod read;
mod record;
mod row;
mod rows;
mod schema;
mod time;
mod value;

/// The tap.
#[derive(Debug)]
pub struct Datastore {
    config: Config,
    context: Context,
    api: Api,
    bulk: Arc<Bulk>,
    listener: listen::Listener,
    /// The rows that `--row` asks for.
    wanted_rows: Wanted,
    /// The tables that discovery found, by name.
    tables: Mutex<BTreeMap<String, Arc<Table>>>,
    /// How bulk reads are told their bounds, as far as is known by now.
    style: Mutex<Style>,
    /// Set once queries were refused.
    no_queries: AtomicBool,
}

impl Tap for Datastore {
    const NAME: &'static str = "tap-datastore";
    const DESCRIPTION: &'static str =
        "Reads Zoho Catalyst Data Store: in bulk, by rows, by its events";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const EXAMPLES: &'static str = "\
Examples:
  tap-datastore -c tap.json --check   try the credentials, the scopes and the project
  tap-datastore -c tap.json --select 'Trips' -s state.json \\
    | target-analytics -c analytics.json --state-file state.json
                                      sync what changed, and keep the state
  tap-datastore -c tap.json --select '*' -s state.json --listen 127.0.0.1:8080 \\
    | target-analytics -c analytics.json --state-file state.json
                                      pass on events until it is stopped
  tap-datastore -c tap.json --row Trips/4000000101007 | target-analytics -c analytics.json
                                      one row once more
  tap-datastore -c tap.json --row @target-analytics.rejects.jsonl | target-analytics -c analytics.json
                                      every row once more that was refused";
    type Config = Config;

    fn wanted(config: &Config) -> Vec<String> {
        Wanted::streams(config.row.as_deref(), row::ROWS)
    }

    async fn connect(config: Config, context: Context) -> anyhow::Result<Self> {
        let api = Api::new(&config, &context)?;
        let callbacks = match &config.callback {
            Some(callback) if !config.is_about_single_rows() => {
                Some(Arc::new(Callbacks::start(callback, &context).await?))
            }
            _ => None,
        };
        Ok(Self {
            bulk: Arc::new(Bulk::new(&config, &context, api.clone(), callbacks)),
            listener: listen::Listener::new(&config, &context),
            wanted_rows: Wanted::read(config.row.as_deref(), row::ROWS)?,
            tables: Mutex::default(),
            style: Mutex::new(Style::FIRST),
            no_queries: AtomicBool::new(false),
            api,
            config,
            context,
        })
    }

    fn side_by_side(&self) -> Option<usize> {
        // A stream that waits for events never ends, and must not keep others from beginning.
        self.config.listen.is_some().then_some(usize::MAX)
    }

    fn tells_state(&self) -> bool {
        self.config.row.is_none()
    }

    async fn check(&self) -> anyhow::Result<String> {
        let mut found = self.discover(&Scope::All).await?;
        if self.config.tables.is_some() && !found.problems.is_empty() {
            return Err(found.problems.swap_remove(0).1);
        }
        let first = self.known_tables().into_iter().next();
        let mut queries = "";
        if let Some(table) = first {
            self.bulk.probe().await?;
            self.api.rows((&table.id, &table.name), 1, None).await?;
            let zcql = format!("SELECT COUNT(ROWID) FROM {}", table.name);
            if self.count(&table.name, &zcql).await?.is_none() {
                queries = "; queries are not permitted, so that counts are not known and small changes take bulk jobs";
            }
        }
        Ok(format!(
            "connected to project `{}` ({}): {} tables can be read, {} cannot{queries}",
            self.config.project_id,
            self.api.account().place(),
            found.streams.len(),
            found.problems.len(),
        ))
    }

    async fn discover(&self, scope: &Scope) -> anyhow::Result<Discovery> {
        let mut discovery = Discovery::default();
        let tables = self.api.tables().await?;
        if *scope == Scope::All {
            discovery.problems = self.config.tables_that_lack(&tables);
        }
        for info in tables {
            if !self.is_wanted(&info.name, scope) {
                continue;
            }
            match self.describe(info.clone()).await {
                Ok(table) => discovery.streams.push(table.entry(&self.config)),
                Err(error) if error.kind() == Kind::Protocol || error.kind() == Kind::Rejected => {
                    discovery.problems.push((info.name, error.into()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(discovery)
    }

    async fn read(&self, plan: &Plan, out: &mut Output) -> anyhow::Result<()> {
        let read = if self.config.row.is_some() {
            row::read(self, plan, out).await
        } else if self.config.listen.is_some() {
            listen::read(self, plan, out).await
        } else {
            read::read(self, plan, out).await
        };
        Ok(read?)
    }
}

impl Datastore {
    fn is_wanted(&self, name: &str, scope: &Scope) -> bool {
        match scope {
            Scope::All => self.config.wants_table(name),
            Scope::Streams(ids) => ids.iter().any(|id| id == name),
        }
    }

    /// Asks for the columns of a table, and remembers it.
    async fn describe(&self, info: TableInfo) -> Result<Arc<Table>> {
        let columns = self.api.columns(&info).await?;
        let table = Arc::new(Table::new(info, columns));
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.insert(table.name.clone(), Arc::clone(&table));
        Ok(table)
    }

    fn known_tables(&self) -> Vec<Arc<Table>> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.values().cloned().collect()
    }

    /// A table as discovery found it, or finds it now.
    async fn table(&self, name: &str) -> Result<Arc<Table>> {
        if let Some(table) = self
            .known_tables()
            .into_iter()
            .find(|table| table.name == name)
        {
            return Ok(table);
        }
        let tables = self.api.tables().await?;
        match tables.into_iter().find(|table| table.name == name) {
            Some(info) => self.describe(info).await,
            None => Err(
                Error::rejected(format!("the project has no table `{name}` any more"))
                    .with_hint("discover anew; it was dropped or renamed"),
            ),
        }
    }

    /// One row, if it is there. A table that is gone is an error: all its rows would seem to be deleted.
    async fn row(&self, table: &Table, rowid: &str) -> Result<Option<JsonRow>> {
        let named = (table.id.as_str(), table.name.as_str());
        let row = self.api.row(named, rowid).await?;
        if row.is_none() {
            self.must_be_there(table).await?;
        }
        Ok(row)
    }

    /// Fails if a table is not there.
    async fn must_be_there(&self, table: &Table) -> Result<()> {
        let rows = self.api.rows((&table.id, &table.name), 1, None).await;
        rows.map(|_| ())
    }

    /// A count, or nothing where queries are not permitted or not understood: all of them can be done without.
    async fn count(&self, table: &str, zcql: &str) -> Result<Option<u64>> {
        if !self.may_query() {
            return Ok(None);
        }
        let fault = match self.api.number(table, zcql).await {
            Ok(count) => return Ok(Some(count)),
            Err(fault) => fault,
        };
        let is_refused = match fault.class {
            Class::Denied | Class::Missing | Class::Data => true,
            // An answer in a form that nobody here knows, or a refusal.
            Class::Fatal => {
                let source = fault.source.as_ref();
                source.is_none_or(|source| source.kind() == Kind::Protocol)
            }
            _ => false,
        };
        let is_denied = fault.class == Class::Denied;
        let error = error_of(
            fault,
            &format!("count rows of `{table}`"),
            read::QUERY_SCOPE,
        );
        if !is_refused {
            return Err(error);
        }
        if is_denied {
            self.no_queries.store(true, Ordering::Relaxed);
        }
        tracing::warn!(
            stream = table,
            reason = %error,
            scope = read::QUERY_SCOPE,
            "goes on without counting: whether pages are complete is then not known"
        );
        Ok(None)
    }

    /// Whether queries have not been refused so far.
    fn may_query(&self) -> bool {
        !self.no_queries.load(Ordering::Relaxed)
    }

    fn style(&self) -> Style {
        *self.style.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_style(&self, style: Style) {
        *self.style.lock().unwrap_or_else(PoisonError::into_inner) = style;
    }
}
