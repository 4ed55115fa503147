//! What a run would read, and about how many credits that would take; no record is read.

use singer_core::Result;
use singer_runtime::tap::Replication;
use tracing::info;
use zoho::crm::Spend;

use super::Reading;
use super::progress::Progress;
use super::small::{SCOPE, credits, second_of};
use crate::api::{QUERY_ROWS, error_of};
use crate::query::Window;
use crate::schema::{ID, MODIFIED_TIME};

/// Questions and a download that go with each job, about.
const BESIDE_A_JOB: u64 = 6;

/// Says on stderr what a run would do.
pub(super) async fn tell(reading: &Reading<'_>) -> Result<()> {
    let config = &reading.tap.config;
    let fields = reading.fields().len().max(1);
    let parts = fields.div_ceil(config.bulk_fields - 1) as u64;
    let start = match &reading.plan.replication {
        Replication::FullTable { .. } => None,
        Replication::Incremental { start, .. } => start.as_ref(),
    };
    let progress = Progress::new(reading, start)?;
    let end = reading.tap.context.now().timestamp() - i64::from(config.window_lag_seconds);
    let window = Window {
        from: progress.done_until,
        to: Some(end),
    };
    let (rows, is_guess) = rows(reading, window).await?;
    let bulk = rows.map(|rows| {
        let pages = rows.div_ceil(config.page_size).max(1);
        pages * parts * (Spend::BulkRead.cost() + BESIDE_A_JOB)
    });
    let further = fields
        .saturating_sub(config.query_fields - 2)
        .div_ceil(config.query_fields - 2) as u64;
    let by_queries = rows
        .filter(|rows| window.from.is_some() && *rows <= config.small_change_rows)
        .map(|rows| credits(rows.max(1), further));
    let least = match (bulk, by_queries) {
        (Some(bulk), Some(queries)) => Some(bulk.min(queries)),
        (bulk, queries) => bulk.or(queries),
    };
    info!(
        stream = reading.plan.id,
        way = if by_queries.is_some() && by_queries == least {
            "queries"
        } else {
            "bulk jobs"
        },
        records = rows,
        is_guess,
        fields,
        jobs_a_page = parts,
        credits = least,
        "would read"
    );
    Ok(())
}

/// How many records there are: counted for a whole module, guessed from the first ones for changes.
async fn rows(reading: &Reading<'_>, window: Window) -> Result<(Option<u64>, bool)> {
    let module = &reading.plan.id;
    let crm = reading.tap.api.crm();
    let (Some(from), Some(to)) = (window.from, window.to) else {
        let what = format!("count the records of `{module}`");
        let rows = crm.count(module).await;
        let rows = rows.map_err(|fault| error_of(fault, &what, "ZohoCRM.modules.READ"))?;
        return Ok((Some(rows), reading.criteria.is_some()));
    };
    let Some(condition) = window.query(reading.criteria.as_ref(), None)? else {
        return Ok((None, true));
    };
    let select = format!(
        "select {ID}, {MODIFIED_TIME} from {module} where {condition} order by {MODIFIED_TIME} asc, {ID} asc"
    );
    let what = format!("query the changes of `{module}`");
    let page = reading.tap.api.query(&what, &select, QUERY_ROWS).await;
    let page = page.map_err(|fault| error_of(fault, &what, SCOPE))?;
    let count = page.data.len() as u64;
    if !page.info.has_more(page.data.len(), QUERY_ROWS) {
        return Ok((Some(count), false));
    }
    let last = page.data.last().and_then(second_of).unwrap_or(to);
    let covered = u128::try_from(last - from).unwrap_or_default().max(1);
    let whole = u128::try_from(to - from).unwrap_or_default();
    let guess = u128::from(count) * whole / covered;
    Ok((Some(u64::try_from(guess).unwrap_or(u64::MAX)), true))
}
