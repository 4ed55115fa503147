//! A Singer target that writes into tables of Zoho Analytics.
//!
//! Reading order: [`config`] (settings), `schema` and `shape` (columns), `place` (tables found and created),
//! [`stream`] (where batches go), `rows` and `encode` (files), `lane` and `load` (imports, and rows at fault),
//! `before` (imports without an answer), `replace` and `spool` (whole tables), `row` and `delete` (single calls), `complaint` (what the service says
//! of rows). [`api`] and [`model`] are the endpoints and shapes of Analytics.

#![expect(
    clippy::result_large_err,
    reason = "a fault is as large as the answer that comes instead of it, and far rarer"
)]

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
pub mod units;

mod before;
mod check;
mod complaint;
mod delete;
mod encode;
mod home;
mod lane;
mod load;
mod place;
mod replace;
mod row;
mod rows;
mod schema;
mod shape;
mod spool;
#[cfg(test)]
mod testing;

/// Batches in flight, where the config says nothing: a table takes one import at a time, and an
/// organization five.
const PARALLEL: usize = 4;

/// Zoho Analytics as a destination.
#[derive(Debug)]
pub struct Analytics {
    home: Arc<Home>,
}

impl Target for Analytics {
    const NAME: &'static str = "target-analytics";
    const DESCRIPTION: &'static str = "Writes rows into tables of Zoho Analytics.";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARALLEL: usize = PARALLEL;
    const EXAMPLES: &'static str = "\
Examples:
  tap-datastore -c datastore.json --catalog catalog.json -s state.json \\
    | target-analytics -c analytics.json --state-file state.json
                                      sync, and keep the state
  target-analytics -c analytics.json --check
                                      try the token, the workspace and each table
  tap-datastore ... | target-analytics -c analytics.json --dry-run
                                      show tables, requests and what they cost
  target-analytics -c analytics.json --input target-analytics.rejects.jsonl
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

    async fn close(&self) -> anyhow::Result<()> {
        if !self.home.context.dry_run() {
            self.home.api.units.tell();
        }
        Ok(())
    }
}
