//! A Singer target that writes into Google BigQuery.
//!
//! Reading order: [`config`] (settings), [`schema`] and [`names`] (columns), `shape` (all of it for one
//! stream), [`table`] (tables brought to that), `write` (sending batches by load jobs, the Storage Write
//! API or insertAll), [`encode`] (values), [`job`] and [`journal`] (once and not twice), `replace` and
//! `dedupe` (rows that go). [`api`], [`storage`], [`auth`] and [`model`] are Google's endpoints and shapes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use singer_core::{Error, Secret};
use singer_net::Backoff;
use singer_runtime::context::Context;
use singer_runtime::target::{Stream, Target};

use crate::api::Api;
use crate::auth::{AuthOptions, Environment, TokenExchange, Tokens};
use crate::config::{Config, Method, ServiceAccountToken};
use crate::place::Place;
use crate::storage::{BoxFuture, Storage, TokenSource};
use crate::stream::{Journals, StreamWriter};
use crate::warehouse::Warehouse;

pub mod api;
pub mod auth;
pub mod base64;
pub mod config;
pub mod encode;
pub mod job;
pub mod journal;
pub mod model;
pub mod names;
pub mod place;
pub mod schema;
pub mod sql;
pub mod storage;
pub mod stream;
pub mod table;
pub mod warehouse;

mod check;
mod dedupe;
mod replace;
mod shape;
mod write;

/// Jobs and requests in flight, where the config says nothing: a table runs two statements at once, and
/// lets twenty wait.
const PARALLEL: usize = 8;

/// Bytes of requests to the Storage Write API that wait for their answers.
const IN_FLIGHT_BYTES: usize = 10_000_000;

/// BigQuery as a destination.
#[derive(Debug)]
pub struct BigQuery {
    warehouse: Arc<Warehouse>,
    journals: Journals,
    writers: std::sync::Mutex<Vec<Arc<stream::Inner>>>,
}

impl Target for BigQuery {
    const NAME: &'static str = "target-bigquery";
    const DESCRIPTION: &'static str = "Writes rows into Google BigQuery.";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARALLEL: usize = PARALLEL;
    const EXAMPLES: &'static str = "\
Examples:
  tap-redshift -c tap.json --catalog catalog.json -s state.json \\
    | target-bigquery -c bigquery.json --state-file state.json
                                      sync, and keep the state
  target-bigquery -c bigquery.json --check
                                      try the credentials and each permission
  tap-redshift ... | target-bigquery -c bigquery.json --dry-run
                                      show tables, statements and what they cost
  target-bigquery -c bigquery.json --input target-bigquery.rejects.jsonl
                                      send refused records again";
    type Config = Config;
    type Writer = StreamWriter;

    async fn connect(config: Config, context: Context) -> anyhow::Result<Self> {
        let tokens = Arc::new(connect_tokens(&config, &context).await?);
        let project = config.project.clone().or_else(|| tokens.project());
        let project = project
            .ok_or_else(|| Error::config("`project` is missing, and the credentials name none"))?;
        let api = Arc::new(Api::new(&config, &context, Arc::clone(&tokens), project)?);
        let storage = match config.method {
            Method::StorageWrite => Some(connect_storage(&config, &context, &tokens)?),
            Method::Load | Method::Streaming => None,
        };
        Ok(Self {
            warehouse: Arc::new(Warehouse::new(config, context, tokens, api, storage)),
            journals: Journals::default(),
            writers: std::sync::Mutex::default(),
        })
    }

    async fn check(&self) -> anyhow::Result<String> {
        Ok(check::check(&self.warehouse).await?)
    }

    async fn open(&self, stream: Arc<Stream>) -> anyhow::Result<StreamWriter> {
        let name = stream.name.clone();
        let writer = StreamWriter::open(Arc::clone(&self.warehouse), stream, &self.journals)
            .await
            .with_context(|| format!("cannot plan the stream `{name}`"))?;
        self.writers().push(Arc::clone(writer.inner()));
        Ok(writer)
    }

    async fn sync(&self, position: u64, state: &str) -> anyhow::Result<()> {
        Ok(self.journals.cover(position, state)?)
    }

    async fn close(&self) -> anyhow::Result<()> {
        if !self.warehouse.context.dry_run() {
            self.warehouse.jobs.cost.tell();
        }
        let is_whole = !self.warehouse.context.stop().requested()
            && self.writers().iter().all(|writer| !writer.has_failed());
        if is_whole {
            self.journals.finish()?;
            let writers = self.writers().clone();
            for writer in writers {
                replace::clean(&writer).await;
            }
        }
        Ok(())
    }
}

impl BigQuery {
    fn writers(&self) -> std::sync::MutexGuard<'_, Vec<Arc<stream::Inner>>> {
        self.writers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn connect_tokens(config: &Config, context: &Context) -> singer_core::Result<Tokens> {
    let options = AuthOptions {
        credentials_path: config.credentials_path.clone(),
        credentials: config.credentials.clone(),
        token_exchange: match config.service_account_token {
            ServiceAccountToken::SelfSigned => TokenExchange::SelfSigned,
            ServiceAccountToken::Exchange => TokenExchange::Exchange,
        },
        anonymous: config.is_stand_in(),
        environment: Environment::read(context),
        http: config.http.clone(),
        user_agent: context.user_agent().to_owned(),
        endpoint_is_local: config.is_stand_in(),
    };
    Tokens::connect(options, context.clone()).await
}

fn connect_storage(
    config: &Config,
    context: &Context,
    tokens: &Arc<Tokens>,
) -> singer_core::Result<Storage> {
    let options = storage::Options {
        endpoint: config.grpc_base()?.to_string(),
        ca_file: config.http.ca_file.clone(),
        user_agent: context.user_agent().to_owned(),
        attempts: config.http.attempts.max(3),
        patience: Duration::from_secs_f64(config.patience_seconds.min(600.0)),
        backoff: Backoff::default(),
        request_timeout: Duration::from_secs_f64(config.http.request_timeout_seconds.max(30.0)),
        max_request_bytes: config.append_request_bytes,
        in_flight_bytes: IN_FLIGHT_BYTES,
        new_column_patience: Duration::from_secs_f64(config.patience_seconds.min(600.0)),
        trace_id: format!("antiphon:{}", context.run_id()),
    };
    Storage::connect(options, Arc::clone(tokens) as Arc<dyn TokenSource>)
}

impl TokenSource for Tokens {
    fn token(&self) -> BoxFuture<'_, singer_core::Result<Option<Secret>>> {
        Box::pin(Self::token(self))
    }

    fn refused<'a>(&'a self, used: &'a Secret) -> BoxFuture<'a, ()> {
        Box::pin(Self::refused(self, used))
    }
}

/// What the ids of a job begin with, in this run: the table, for people, and a hash of the destination,
/// the run and `parts`.
fn job_base(warehouse: &Warehouse, place: &Place, parts: &[&str]) -> String {
    let mut all = vec![warehouse.context.run_id()];
    all.extend(parts);
    job_base_of(place, &all)
}

/// The same whatever the run.
fn job_base_of(place: &Place, parts: &[&str]) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for part in [place.dataset.as_str(), place.table.as_str()]
        .iter()
        .chain(parts)
    {
        digest.update(&(part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    let hash = digest.finish();
    let hash = hex(hash.as_ref().get(..16).unwrap_or_default());
    let table: String = names::job_id_part(&place.table).chars().take(60).collect();
    format!("tbq_{table}_{hash}")
}

/// Two digits a byte.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes every write");
    }
    text
}
