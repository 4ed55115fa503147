//! Changes to the sample data, as people who use the product make them: mostly visitors who
//! signed in, some accounts that grew, a few new ones. Every changed row gets the present time as
//! its `updated_at`.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_postgres::Client;

use crate::source::connection::Connection;
use crate::source::data::{
    ACCOUNT_COLUMNS, CopyRow, DataPlan, Kind, VISITOR_COLUMNS, write_account, write_visitor,
};
use crate::source::tables;

/// How often the rows of a steady stream of changes are written.
const STEADY_PERIOD: Duration = Duration::from_secs(1);

/// What one change did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChangeReport {
    /// Accounts with new values.
    pub accounts_updated: u64,
    /// Visitors with new values.
    pub visitors_updated: u64,
    /// New accounts.
    pub accounts_inserted: u64,
    /// New visitors.
    pub visitors_inserted: u64,
}

impl ChangeReport {
    /// How a number of rows is spread: a tenth of the updates go to accounts, a fiftieth of all
    /// rows are new.
    fn plan(rows: u64) -> Self {
        let inserted = if rows < 10 { 0 } else { (rows / 50).max(1) };
        let accounts_inserted = inserted / 10;
        let updated = rows - inserted;
        let accounts_updated = if updated < 2 {
            0
        } else {
            (updated / 10).max(1)
        };
        Self {
            accounts_updated,
            visitors_updated: updated - accounts_updated,
            accounts_inserted,
            visitors_inserted: inserted - accounts_inserted,
        }
    }
}

/// Changes so many rows in one transaction, on a connection of its own that is closed when this
/// returns. Fewer rows than asked for change only where the tables hold fewer.
pub async fn change(connection: &Connection, plan: &DataPlan, rows: u64) -> Result<ChangeReport> {
    let session = connection.connect().await?;
    session
        .batch_execute("BEGIN")
        .await
        .context("cannot begin the change")?;
    let report = apply(&session, &connection.schema, plan, ChangeReport::plan(rows)).await?;
    session
        .batch_execute("COMMIT")
        .await
        .context("cannot commit the change")?;
    session.close().await?;
    Ok(report)
}

/// Changes rows every second until it is dropped; the first failure ends it.
pub(crate) async fn change_steadily(
    connection: &Connection,
    plan: &DataPlan,
    rows_per_second: u64,
) -> Result<()> {
    let mut period = interval_at(Instant::now() + STEADY_PERIOD, STEADY_PERIOD);
    // A second that was missed because the database was busy is not made up for.
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        change(connection, plan, rows_per_second).await?;
    }
}

async fn apply(
    client: &Client,
    schema: &str,
    plan: &DataPlan,
    wanted: ChangeReport,
) -> Result<ChangeReport> {
    let accounts_updated = update(
        client,
        &format!(
            "UPDATE {schema}.account SET seats = least(seats::bigint + 1, 2147483647)::integer, \
             mrr = round(least(mrr * 1.01, 9999999999), 2), updated_at = clock_timestamp() \
             WHERE id IN (SELECT id FROM {schema}.account ORDER BY random() LIMIT $1)"
        ),
        wanted.accounts_updated,
    )
    .await?;
    let visitors_updated = update(
        client,
        &format!(
            "UPDATE {schema}.visitor SET sessions_30d = sessions_30d + 1, \
             last_login = clock_timestamp() AT TIME ZONE 'UTC', updated_at = clock_timestamp() \
             WHERE id IN (SELECT id FROM {schema}.visitor ORDER BY random() LIMIT $1)"
        ),
        wanted.visitors_updated,
    )
    .await?;
    insert(
        client,
        schema,
        plan,
        Kind::Account,
        wanted.accounts_inserted,
    )
    .await?;
    insert(
        client,
        schema,
        plan,
        Kind::Visitor,
        wanted.visitors_inserted,
    )
    .await?;
    Ok(ChangeReport {
        accounts_updated,
        visitors_updated,
        ..wanted
    })
}

async fn update(client: &Client, statement: &str, rows: u64) -> Result<u64> {
    let limit = i64::try_from(rows).context("too many rows to change")?;
    client
        .execute(statement, &[&limit])
        .await
        .context("cannot update the sample data")
}

/// Adds the rows that follow the last one. Rows are never deleted, so their number is its index.
async fn insert(
    client: &Client,
    schema: &str,
    plan: &DataPlan,
    kind: Kind,
    rows: u64,
) -> Result<()> {
    if rows == 0 {
        return Ok(());
    }
    let table = format!("{schema}.{}", kind.name());
    let counted = client
        .query_one(&format!("SELECT count(*) FROM {table}"), &[])
        .await
        .with_context(|| format!("cannot count the rows of `{table}`"))?;
    let first = counted.get::<_, i64>(0).unsigned_abs();
    let (seed, new) = (plan.seed, first..first + rows);
    let (columns, write): (_, fn(&mut CopyRow, u64, u64)) = match kind {
        Kind::Account => (ACCOUNT_COLUMNS, write_account),
        Kind::Visitor => (VISITOR_COLUMNS, write_visitor),
    };
    let target = format!("{table} ({columns})");
    tables::copy(
        client,
        &target,
        new.map(|index| move |row: &mut CopyRow| write(row, seed, index)),
    )
    .await?;
    let statement = match kind {
        Kind::Account => format!(
            "UPDATE {table} SET updated_at = clock_timestamp() WHERE id = ANY ($1::text[]::uuid[])"
        ),
        Kind::Visitor => {
            format!("UPDATE {table} SET updated_at = clock_timestamp() WHERE id = ANY ($1)")
        }
    };
    let ids: Vec<String> = (first..first + rows)
        .map(|index| plan.id(kind, index))
        .collect();
    client
        .execute(&statement, &[&ids])
        .await
        .context("cannot date the new rows")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_spread_over_all_kinds_and_adds_up() {
        for rows in [1, 2, 9, 10, 500, 10_000] {
            let plan = ChangeReport::plan(rows);
            let sum = plan.accounts_updated
                + plan.visitors_updated
                + plan.accounts_inserted
                + plan.visitors_inserted;
            assert_eq!(sum, rows);
        }
        assert!(ChangeReport::plan(500).accounts_inserted > 0);
    }
}
