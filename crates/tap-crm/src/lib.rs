//! tap-crm: reads modules of Zoho CRM as Singer records.
//!
//! * [`config`] the settings; `api` the endpoints, `model` what goes over the wire.
//! * `schema` modules as streams; `cell` values as JSON; `record` rows as records; `query` criteria and windows.
//! * `bulk` jobs and their files, `callback` where they call back; `rows` and `join` from archives to records.
//! * `read` one stream: whole modules, windows of changes, small ones by queries, deletions, estimates.
//!
//! Nothing here writes to the service, and no id or number goes through a float.

#![expect(
    clippy::result_large_err,
    reason = "a fault is as large as the answer that comes instead of it, and far rarer"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use singer_core::{Error, Kind, Result};
use singer_runtime::context::Context;
use singer_runtime::tap::{Discovery, Output, Plan, Scope, Tap};
use zoho::Class;

use crate::api::{Api, error_of, is_of_stream};
use crate::bulk::Bulk;
use crate::callback::Callbacks;
use crate::config::Config;
use crate::schema::Module;

pub mod config;

mod api;
mod bulk;
mod callback;
mod cell;
mod join;
mod model;
mod query;
mod read;
mod record;
mod rows;
mod schema;

/// The tap.
#[derive(Debug)]
pub struct Crm {
    config: Config,
    context: Context,
    api: Api,
    bulk: Arc<Bulk>,
    /// The modules that discovery found, by name.
    modules: Mutex<BTreeMap<String, Arc<Module>>>,
    /// Fields that bulk reads refused in this run, by module.
    refused: Mutex<BTreeMap<String, BTreeSet<String>>>,
    /// Set once queries were refused for want of a scope.
    no_queries: AtomicBool,
}

impl Tap for Crm {
    const NAME: &'static str = "tap-crm";
    const DESCRIPTION: &'static str = "Reads modules of Zoho CRM: in bulk, changes, deletions";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const EXAMPLES: &'static str = "\
Examples:
  tap-crm -c tap.json --check      try the credentials and the scopes
  tap-crm -c tap.json --select 'Leads' -s state.json --dry-run
                                   what a run would read, and about how many credits it would take
  tap-crm -c tap.json --select 'Leads' -s state.json \\
    | map-records -c map.json \\
    | target-crm-bulkwrite -c crm.json --state-file state.json
                                   read what changed, work on it, write it back";
    type Config = Config;

    async fn connect(config: Config, context: Context) -> anyhow::Result<Self> {
        let api = Api::new(&config, &context)?;
        let callbacks = match &config.callback {
            Some(callback) => Some(Callbacks::start(callback, &context).await?),
            None => None,
        };
        Ok(Self {
            bulk: Arc::new(Bulk::new(&config, &context, api.clone(), callbacks)),
            modules: Mutex::default(),
            refused: Mutex::default(),
            no_queries: AtomicBool::new(false),
            api,
            config,
            context,
        })
    }

    fn writes_messages(&self) -> bool {
        !self.context.switch(read::DRY_RUN)
    }

    async fn check(&self) -> anyhow::Result<String> {
        let mut found = self.discover(&Scope::All).await?;
        if self.config.modules.is_some() && !found.problems.is_empty() {
            return Err(found.problems.swap_remove(0).1);
        }
        self.bulk.probe().await?;
        if let Some(stream) = found.streams.first() {
            self.may_read(stream.id()).await?;
        }
        let mut queries = "";
        if let Some(stream) = found.streams.first()
            && !self.can_query(stream.id()).await?
        {
            queries = "; queries are not permitted (scope `ZohoCRM.coql.READ`), so that small changes take bulk jobs";
        }
        Ok(format!(
            "connected to the CRM of {}: {} modules can be read, {} cannot{queries}",
            self.api.crm().account().place(),
            found.streams.len(),
            found.problems.len(),
        ))
    }

    async fn discover(&self, scope: &Scope) -> anyhow::Result<Discovery> {
        let mut discovery = Discovery::default();
        let what = "list the modules";
        let modules = self.api.crm().modules().await;
        let modules =
            modules.map_err(|fault| error_of(fault, what, "ZohoCRM.settings.modules.READ"))?;
        if *scope == Scope::All {
            let there: Vec<&str> = modules
                .iter()
                .map(|module| module.api_name.as_str())
                .collect();
            discovery.problems = self.config.modules_that_lack(&there);
        }
        for info in modules {
            let name = info.api_name.clone();
            if !self.is_wanted(&name, scope) {
                continue;
            }
            if let Some(reason) = schema::refusal(&info) {
                let is_meant = self.config.names_module(&name) || *scope != Scope::All;
                if is_meant {
                    let error =
                        Error::rejected(format!("the module `{name}` cannot be read: {reason}"));
                    discovery.problems.push((name, error.into()));
                } else {
                    tracing::debug!(module = name, reason, "left out");
                }
                continue;
            }
            match self.describe(&name).await {
                Ok(Some(module)) => {
                    // A count costs a credit: it is spent for modules that the config names, where somebody
                    // looks at all of them.
                    let is_counted = *scope == Scope::All && self.config.names_module(&name);
                    let rows = match is_counted {
                        true => self.api.crm().count(&name).await.ok(),
                        false => None,
                    };
                    discovery.streams.push(module.entry(&self.config, rows));
                }
                Ok(None) => tracing::info!(module = name, "left out: it has no fields"),
                Err(error) if matches!(error.kind(), Kind::Protocol | Kind::Rejected) => {
                    discovery.problems.push((name, error.into()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(discovery)
    }

    async fn read(&self, plan: &Plan, out: &mut Output) -> anyhow::Result<()> {
        Ok(read::read(self, plan, out).await?)
    }
}

impl Crm {
    fn is_wanted(&self, name: &str, scope: &Scope) -> bool {
        match scope {
            Scope::All => self.config.wants_module(name),
            Scope::Streams(ids) => ids.iter().any(|id| id == name),
        }
    }

    /// Asks for the fields of a module, and remembers it; nothing if it has none.
    async fn describe(&self, name: &str) -> Result<Option<Arc<Module>>> {
        let what = format!("list the fields of `{name}`");
        let fields = self.api.crm().fields(name).await;
        let fields =
            fields.map_err(|fault| error_of(fault, &what, "ZohoCRM.settings.fields.READ"))?;
        let Some(fields) = fields.filter(|fields| !fields.is_empty()) else {
            return Ok(None);
        };
        let module = Module::new(name, fields.clone(), &self.config);
        module.check_fields(&self.config, &fields)?;
        if let Some(criteria) = self.config.criteria_of(name)? {
            module.check(&criteria, &fields)?;
        }
        let module = Arc::new(module);
        lock(&self.modules).insert(name.to_owned(), Arc::clone(&module));
        Ok(Some(module))
    }

    /// A module as discovery found it, or finds it now.
    async fn module(&self, name: &str) -> Result<Arc<Module>> {
        let known = lock(&self.modules).get(name).cloned();
        if let Some(module) = known {
            return Ok(module);
        }
        self.describe(name).await?.ok_or_else(|| {
            Error::rejected(format!("the module `{name}` has no fields any more"))
                .with_hint("discover anew; it was removed, or is no longer permitted")
        })
    }

    /// Whether records may be read at all, asked by their number: a job or a query that is refused may lack a scope
    /// of its own.
    ///
    /// # Errors
    /// Of kind `Auth`, naming the scope.
    async fn may_read(&self, module: &str) -> Result<()> {
        let what = format!("count the records of `{module}`");
        match self.api.crm().count(module).await {
            Err(fault) if fault.class == Class::Denied && !is_of_stream(&fault) => {
                Err(error_of(fault, &what, "ZohoCRM.modules.READ"))
            }
            // What counts wrongly may read well.
            _ => Ok(()),
        }
    }

    /// Whether queries are permitted, asked for one record.
    async fn can_query(&self, module: &str) -> Result<bool> {
        let what = format!("query `{module}`");
        let select = format!("select id from {module} where id is not null");
        match self.api.query(&what, &select, 1).await {
            Err(fault) if fault.class == Class::Denied && !is_of_stream(&fault) => Ok(false),
            Err(fault) if matches!(fault.class, Class::Token | Class::Broken | Class::Quota) => {
                Err(error_of(fault, &what, "ZohoCRM.coql.READ"))
            }
            // A module that queries do not take is read in bulk.
            _ => Ok(true),
        }
    }

    /// Fields of a module that bulk reads refused in this run.
    fn refused(&self, module: &str) -> BTreeSet<String> {
        lock(&self.refused).get(module).cloned().unwrap_or_default()
    }

    fn refuse(&self, module: &str, fields: &[String]) {
        let mut refused = lock(&self.refused);
        refused
            .entry(module.to_owned())
            .or_default()
            .extend(fields.iter().cloned());
    }

    /// Whether queries have not been refused so far.
    fn may_query(&self) -> bool {
        !self.no_queries.load(Ordering::Relaxed)
    }

    fn stop_querying(&self) {
        self.no_queries.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change behind it is a single one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
