//! tap-tetra-searcheql: reads files of the Tetra Data Platform, and what is indexed of them, as Singer records.
//!
//! * [`config`] the settings and the queries in them; `api` the endpoints, `failures` how often, `token` who asks, `model` what comes.
//! * `window` spans of time and bookmarks; `pages` a search page by page, `page_size` of which size; `read` one stream.
//! * `retrieve` the content of files, by `storage` or through the API, within a `limiter`; `ahead` of its turn; `files` on disk.
//! * `deleted` files that are gone.
//! * `shape` types of documents, `schema` discovery, `record` files as records; `rejects` and `row` what comes later.
//!
//! Nothing here writes to the platform, and no number goes through a float.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use singer_core::{Error, Kind, Result};
use singer_runtime::context::Context;
use singer_runtime::rows::Wanted;
use singer_runtime::tap::{Discovery, Output, Plan, Scope, Tap};

use crate::ahead::Budget;
use crate::api::Api;
use crate::config::{Config, Stream};
use crate::rejects::Rejects;
use crate::retrieve::Retriever;
use crate::schema::Depth;

pub mod config;

mod ahead;
mod api;
mod deleted;
mod failures;
mod files;
mod limiter;
mod model;
mod page_size;
mod pages;
mod read;
mod record;
mod rejects;
mod retrieve;
mod row;
mod schema;
mod shape;
mod storage;
mod token;
mod window;

/// The tap.
#[derive(Debug)]
pub struct Tetra {
    config: Config,
    context: Context,
    api: Api,
    retriever: Arc<Retriever>,
    /// The memory for documents that wait for their turn, over all streams.
    budget: Budget,
    rejects: Rejects,
    /// The files that `--row` asks for.
    wanted_rows: Wanted,
    /// The streams that discovery found, by name.
    streams: Mutex<BTreeMap<String, Arc<Stream>>>,
}

impl Tap for Tetra {
    const NAME: &'static str = "tap-tetra-searcheql";
    const DESCRIPTION: &'static str =
        "Reads the Tetra Data Platform: files by searchEql, and their content";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const EXAMPLES: &'static str = "\
Examples:
  tap-tetra-searcheql -c tap.json --check   try the token, the organisation and the queries
  tap-tetra-searcheql -c tap.json --select results -s state.json \\
    | target-bigquery -c bigquery.json --state-file state.json
                                            sync what was indexed since the last time, and keep the state
  tap-tetra-searcheql -c tap.json --row results/11ee50ef-0000-4000-8000-000000000001 \\
    | target-bigquery -c bigquery.json
                                            one file once more
  tap-tetra-searcheql -c tap.json --row @tap-tetra-searcheql.rejects.jsonl \\
    | target-bigquery -c bigquery.json
                                            every file once more that could not be read";
    type Config = Config;

    fn wanted(config: &Config) -> Vec<String> {
        Wanted::streams(config.row.as_deref(), row::FILES)
    }

    async fn connect(config: Config, context: Context) -> anyhow::Result<Self> {
        let api = Api::new(&config, &context).await?;
        Ok(Self {
            retriever: Arc::new(Retriever::new(&config, api.clone(), context.user_agent())),
            budget: Budget::new(),
            rejects: Rejects::new(config.rejects_path.clone(), &context),
            wanted_rows: Wanted::read(config.row.as_deref(), row::FILES)?,
            streams: Mutex::default(),
            api,
            config,
            context,
        })
    }

    fn tells_state(&self) -> bool {
        self.config.row.is_none()
    }

    fn rejected(&self) -> u64 {
        self.rejects.count()
    }

    async fn check(&self) -> anyhow::Result<String> {
        let mut counts = Vec::new();
        for stream in self.configured() {
            let count = read::probe(self, &self.api, &Arc::new(stream.clone())).await?;
            counts.push(format!("`{}` {count}", stream.name));
        }
        Ok(format!(
            "connected to `{}` as the organisation `{}`; files that match: {}",
            self.api.base(),
            self.api.org(),
            counts.join(", ")
        ))
    }

    async fn discover(&self, scope: &Scope) -> anyhow::Result<Discovery> {
        let mut discovery = Discovery::default();
        // Whoever names streams has a catalog, whose fields count.
        let depth = match scope {
            Scope::All => Depth::Sample,
            Scope::Streams(_) => Depth::Glance,
        };
        for stream in self.configured() {
            let is_wanted = match scope {
                Scope::All => true,
                Scope::Streams(ids) => ids.iter().any(|id| schema::is_of(&stream, id)),
            };
            if !is_wanted {
                continue;
            }
            match self.describe(&stream, depth).await {
                Ok(found) => self.take(scope, found, &mut discovery),
                Err(error) if matches!(error.kind(), Kind::Protocol | Kind::Rejected) => {
                    discovery.problems.push((stream.name, error.into()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(discovery)
    }

    async fn read(&self, plan: &Plan, out: &mut Output) -> anyhow::Result<()> {
        let read = if self.config.row.is_some() {
            read::read_rows(self, plan, out).await
        } else {
            read::read(self, plan, out).await
        };
        // Also those of a stream that ended early.
        let synced = self.rejects.sync();
        read?;
        Ok(synced?)
    }
}

impl Tetra {
    fn configured(&self) -> Vec<Stream> {
        let streams = self.config.streams.iter();
        streams
            .map(|(name, stream)| self.config.stream(name, stream))
            .collect()
    }

    /// Discovers the streams of one query, and remembers them.
    async fn describe(&self, stream: &Stream, depth: Depth) -> Result<Vec<schema::Found>> {
        let found = schema::discover(self, stream, depth).await?;
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for found in &found {
            streams.insert(found.stream.name.clone(), Arc::clone(&found.stream));
        }
        Ok(found)
    }

    fn take(&self, scope: &Scope, found: Vec<schema::Found>, discovery: &mut Discovery) {
        let is_any_wanted = found.iter().any(|found| match scope {
            Scope::All => true,
            Scope::Streams(ids) => ids.contains(&found.stream.name),
        });
        for found in found.into_iter().filter(|_| is_any_wanted) {
            let name = &found.stream.name;
            match scope {
                // A version that came after the catalog was made would be missing without a word.
                Scope::Streams(ids) if !ids.contains(name) => tracing::warn!(
                    stream = name,
                    "a version that is not selected: its files are not read; discover anew to add it"
                ),
                _ => discovery.streams.push(found.entry),
            }
        }
    }

    /// A stream as discovery found it.
    async fn stream(&self, name: &str) -> Result<Arc<Stream>> {
        let known = || {
            let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
            streams.get(name).cloned()
        };
        if known().is_none() {
            for stream in self.configured() {
                if schema::is_of(&stream, name) {
                    self.describe(&stream, Depth::Glance).await?;
                }
            }
        }
        known()
            .ok_or_else(|| Error::rejected(format!("no file makes up a stream `{name}` any more")))
    }
}
