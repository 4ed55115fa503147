//! Reads one stream: by bulk jobs, by queries or by pages of rows, whichever takes fewer calls.

use std::sync::Arc;

use singer_core::{Error, Result};
use singer_runtime::tap::ids::Emitted;
use singer_runtime::tap::{Output, Plan, Replication};

use crate::Datastore;
use crate::config::Deletions;
use crate::identity;
use crate::record::Encoder;
use crate::schema::Table;
use crate::time::Zone;
use bounds::Window;

pub(crate) use bounds::Style;
pub(crate) use query::SCOPE as QUERY_SCOPE;

mod bounds;
mod deleted;
mod full;
mod incremental;
mod pages;
mod progress;
mod query;
mod small;

/// Reads a stream from its bookmark to its end.
pub(crate) async fn read(tap: &Datastore, plan: &Plan, out: &mut Output) -> Result<()> {
    identity::check(&plan.id, &plan.bookmark, &tap.config)?;
    let table = tap.table(&plan.id).await?;
    let mut encoder = Encoder::new(&tap.config, &table, plan)?;
    let is_incremental = matches!(plan.replication, Replication::Incremental { .. });
    let looks = is_incremental && tap.config.deletions == Deletions::Diff;
    if looks || deleted::is_known(&plan.bookmark) {
        let emitted = deleted::emitted_path(&tap.config, &table, &plan.bookmark);
        encoder = encoder.noting(Emitted::open(&emitted)?);
    }
    let reading = Reading {
        encoder,
        zone: Zone::new(tap.config.zone()?),
        tap,
        plan,
        table,
    };
    match &plan.replication {
        Replication::FullTable { .. } => full::read(&reading, out).await,
        Replication::Incremental { start, .. } => {
            incremental::read(&reading, start.as_ref(), out).await
        }
    }
}

/// One stream while it is read.
struct Reading<'a> {
    tap: &'a Datastore,
    plan: &'a Plan,
    table: Arc<Table>,
    encoder: Encoder,
    zone: Zone,
}

impl Reading<'_> {
    /// The rows in a window, as far as queries are permitted.
    async fn count(&self, window: &Window, style: Style) -> Result<Option<u64>> {
        let condition = window.condition(style, &self.zone)?;
        let name = &self.table.name;
        let zcql = match condition {
            Some(condition) => format!("SELECT COUNT(ROWID) FROM {name} WHERE {condition}"),
            None => format!("SELECT COUNT(ROWID) FROM {name}"),
        };
        self.tap.count(name, &zcql).await
    }

    fn interrupted(&self) -> Result<()> {
        if self.tap.context.stop().requested() {
            return Err(Error::interrupted());
        }
        Ok(())
    }
}
