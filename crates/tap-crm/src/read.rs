//! Reads one stream: by bulk jobs or by queries, whichever takes fewer credits.

use std::sync::Arc;

use singer_core::{Error, Result};
use singer_runtime::tap::{Output, Plan, Replication};

use crate::Crm;
use crate::query::Criteria;
use crate::record::Encoder;

mod changes;
mod deleted;
mod estimate;
mod full;
mod listing;
mod pages;
mod progress;
mod small;

/// What the switch for a run that reads nothing is called.
pub(crate) const DRY_RUN: &str = "dry_run";

/// Reads a stream from its bookmark to its end.
pub(crate) async fn read(tap: &Crm, plan: &Plan, out: &mut Output) -> Result<()> {
    let module = tap.module(&plan.id).await?;
    let reading = Reading {
        encoder: Arc::new(Encoder::new(tap.config.choices(), &module, plan)?),
        criteria: tap.config.criteria_of(&plan.id)?,
        tap,
        plan,
    };
    progress::check_identity(&reading)?;
    if tap.context.switch(DRY_RUN) {
        return estimate::tell(&reading).await;
    }
    let before = tap.api.crm().credits().total();
    match &plan.replication {
        Replication::FullTable { .. } => full::read(&reading, out).await,
        Replication::Incremental { start, .. } => {
            changes::read(&reading, start.as_ref(), out).await
        }
    }?;
    let credits = tap.api.crm().credits();
    tracing::info!(
        stream = plan.id,
        of_run = credits.total(),
        since_its_start = credits.total() - before,
        left = credits.remaining(),
        kinds = %kinds(credits),
        "credits"
    );
    Ok(())
}

fn kinds(credits: &zoho::crm::Credits) -> String {
    let spent = credits.spent().into_iter();
    let words: Vec<String> = spent
        .map(|spent| format!("{} {}x={}", spent.kind, spent.calls, spent.credits))
        .collect();
    words.join(" ")
}

/// One stream while it is read.
struct Reading<'a> {
    tap: &'a Crm,
    plan: &'a Plan,
    encoder: Arc<Encoder>,
    criteria: Option<Criteria>,
}

impl Reading<'_> {
    /// The fields to ask for beside the key: the selected ones, without those that were refused before.
    fn fields(&self) -> Vec<String> {
        let refused = self.tap.refused(&self.plan.id);
        let mut fields = self.encoder.fields();
        fields.retain(|field| !refused.contains(field));
        fields
    }

    fn interrupted(&self) -> Result<()> {
        if self.tap.context.stop().requested() {
            return Err(Error::interrupted());
        }
        Ok(())
    }
}
