//! A Singer target that writes records of Zoho CRM by Bulk Write.
//!
//! Reading order: [`config`] (settings), `shape` (fields, and what stands against a stream), [`stream`] (where
//! batches go), `rows`, `encode` and `chunk` (files), `jobs` (upload, job, verdict), `result` (the verdict row
//! by row), `journal`, `before` and `look` (inserts that must not be doubled). [`api`] and [`model`] are the
//! endpoints and shapes of Bulk Write; modules, fields and credits come from `zoho::crm`.

use std::sync::Arc;

use anyhow::Context as _;
use singer_runtime::context::Context;
use singer_runtime::target::{Stream, Target};

use crate::config::Config;
use crate::home::Home;
use crate::stream::StreamWriter;

pub mod api;
pub mod config;
pub mod model;
pub mod stream;

mod before;
mod check;
mod chunk;
mod encode;
mod hash;
mod home;
mod jobs;
mod journal;
mod look;
mod result;
mod rows;
mod shape;
#[cfg(test)]
mod testing;

/// Jobs in flight, where the config says nothing. The smallest edition takes five calls at once.
const PARALLEL: usize = 4;

/// Zoho CRM as a destination.
#[derive(Debug)]
pub struct Crm {
    home: Arc<Home>,
}

impl Target for Crm {
    const NAME: &'static str = "target-crm-bulkwrite";
    const DESCRIPTION: &'static str = "Writes records of Zoho CRM by Bulk Write.";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARALLEL: usize = PARALLEL;
    const EXAMPLES: &'static str = "\
Examples:
  tap-crm -c crm.json --catalog catalog.json -s state.json \\
    | map-records -c clean.json \\
    | target-crm-bulkwrite -c crm.json --state-file state.json
                                      clean up records, and keep the state
  target-crm-bulkwrite -c crm.json --check
                                      try the token, the organisation and each module
  tap-redshift ... | target-crm-bulkwrite -c crm.json --dry-run
                                      show fields, requests and what they cost
  target-crm-bulkwrite -c crm.json --input target-crm-bulkwrite.rejects.jsonl
                                      send refused records again";
    type Config = Config;
    type Writer = StreamWriter;

    async fn connect(config: Config, context: Context) -> anyhow::Result<Self> {
        Ok(Self {
            home: Arc::new(Home::new(config, context).await?),
        })
    }

    async fn check(&self) -> anyhow::Result<String> {
        Ok(check::check(&self.home).await?)
    }

    async fn open(&self, stream: Arc<Stream>) -> anyhow::Result<StreamWriter> {
        let name = stream.name.clone();
        StreamWriter::open(Arc::clone(&self.home), stream)
            .await
            .with_context(|| format!("cannot plan the stream `{name}`"))
    }

    async fn sync(&self, position: u64, state: &str) -> anyhow::Result<()> {
        Ok(self.home.cover(position, state)?)
    }

    async fn printed(&self) -> anyhow::Result<()> {
        Ok(self.home.printed()?)
    }

    async fn close(&self) -> anyhow::Result<()> {
        if !self.home.context.dry_run() {
            self.home.tell();
        }
        Ok(())
    }
}
