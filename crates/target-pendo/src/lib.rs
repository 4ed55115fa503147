//! A Singer target that writes rows as metadata of visitors and accounts into Pendo.
//!
//! Reading order: [`config`] (settings), [`schema`] (columns onto fields), [`convert`] and [`encode`]
//! (values), `write` (sending, and what answers mean), `memory` (what was confirmed), [`stream`]
//! (all of it for one stream). [`api`] and [`model`] are Pendo's endpoints and shapes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use singer_core::Secret;
use singer_net::redact::fingerprint;
use singer_runtime::context::Context;
use singer_runtime::target::{Stream, Target};

use crate::api::Api;
use crate::config::{Config, Region};
use crate::memory::{Identity, MarksLast, Memory};
use crate::model::Kind;
use crate::stream::StreamWriter;

pub mod api;
pub mod config;
pub mod convert;
pub mod encode;
pub mod model;
pub mod schema;
pub mod size;
pub mod stream;
pub mod write;

mod memory;
#[cfg(test)]
mod testing;

/// Pendo as a destination. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Pendo {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    context: Context,
    api: Api,
    /// Open memories by path: a stream whose SCHEMA changes keeps its memory.
    memories: Mutex<HashMap<PathBuf, Arc<Memory>>>,
}

impl Target for Pendo {
    const NAME: &'static str = "target-pendo";
    const DESCRIPTION: &'static str =
        "Writes rows as metadata of visitors and accounts into Pendo.";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const EXAMPLES: &'static str = "\
Examples:
  tap-redshift -c tap.json --catalog catalog.json -s state.json \\
    | target-pendo -c pendo.json --state-file state.json
                                      sync, and keep the state
  target-pendo -c pendo.json --check  try the key and the region
  tap-redshift ... | target-pendo -c pendo.json --dry-run
                                      show what would be written, and what does not fit
  target-pendo -c pendo.json --input target-pendo.rejects.jsonl
                                      send refused records again
  tap-redshift ... | target-pendo -c pendo.json --full
                                      send unchanged records too";
    type Config = Config;
    type Writer = StreamWriter;

    async fn connect(config: Config, context: Context) -> anyhow::Result<Self> {
        let api = Api::new(&config, &context).await?;
        warn_of_region(&config, &api.key().await);
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                context,
                api,
                memories: Mutex::default(),
            }),
        })
    }

    async fn check(&self) -> anyhow::Result<String> {
        self.inner.api.verify_key().await?;
        let mut kinds = config::kinds(&self.inner.config.streams);
        if kinds.is_empty() {
            kinds.push(Kind::Visitor);
            kinds.push(Kind::Account);
        }
        for kind in &kinds {
            self.inner.api.read_schema(*kind).await?;
            self.inner.api.may_write(*kind).await?;
        }
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
        Ok(format!(
            "the key is good at `{}`: the metadata schema of {} can be read, and writing is not refused",
            self.inner.api.base(),
            kinds.join(" and ")
        ))
    }

    async fn open(&self, stream: Arc<Stream>) -> anyhow::Result<StreamWriter> {
        let name = stream.name.clone();
        StreamWriter::open(self.clone(), stream)
            .await
            .with_context(|| format!("cannot plan the stream `{name}`"))
    }

    async fn sync(&self, _: u64, _: &str) -> anyhow::Result<()> {
        for memory in self.memories() {
            on_disk(move || memory.sync()).await?;
        }
        Ok(())
    }

    async fn close(&self) -> anyhow::Result<()> {
        let mut result = Ok(());
        for memory in self.memories() {
            result = result.and(on_disk(move || memory.close()).await);
        }
        result
    }
}

impl Pendo {
    pub(crate) fn api(&self) -> &Api {
        &self.inner.api
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn context(&self) -> &Context {
        &self.inner.context
    }

    /// The memory of a stream, opened if need be.
    pub(crate) async fn memory(
        &self,
        path: PathBuf,
        marks: MarksLast,
    ) -> anyhow::Result<Arc<Memory>> {
        if let Some(memory) = self.lock().get(&path) {
            return Ok(Arc::clone(memory));
        }
        let mut identity: Identity = [0; 32];
        let base = Secret::new(self.inner.api.base().to_string());
        identity[..16].copy_from_slice(&fingerprint("destination", &base));
        identity[16..].copy_from_slice(&fingerprint("key", &self.inner.api.key().await));
        let opened = {
            let path = path.clone();
            on_disk(move || Memory::open(&path, identity, marks)).await?
        };
        let memory = Arc::new(opened);
        self.lock().insert(path, Arc::clone(&memory));
        Ok(memory)
    }

    fn memories(&self) -> Vec<Arc<Memory>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Arc<Memory>>> {
        self.inner
            .memories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs what may wait for a disk away from the threads that send.
pub(crate) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> singer_core::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let done = tokio::task::spawn_blocking(work)
        .await
        .context("the memory's task died")?;
    Ok(done?)
}

/// The suffix of a key names its region; the config counts all the same.
fn warn_of_region(config: &Config, key: &Secret) {
    if config.base_url.is_none()
        && let Some(region) = Region::of_key(key.expose())
        && region != config.region
    {
        tracing::warn!(
            region = config.region.word(),
            suffix = region.word(),
            "the suffix of the integration key names another region than the config"
        );
    }
}
