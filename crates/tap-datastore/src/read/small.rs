//! A small table by pages of rows: one call for 200 rows, and no job to wait for.

use std::collections::BTreeMap;

use singer_core::Result;
use singer_runtime::tap::Output;

use super::Reading;
use super::progress::Progress;
use super::query::rowid;
use crate::model::JsonRow;
use crate::record::Absent;

/// Rows of a page: what the service gives by default, as it does not say how many it would.
const ROWS: u32 = 200;

/// Whether a table of so many rows is read like this.
pub(super) fn is_worth_it(reading: &Reading<'_>, count: Option<u64>) -> bool {
    count.is_some_and(|rows| rows <= reading.tap.config.small_table_rows)
}

/// Emits all rows. False if the table is not what it was when it was counted: rows went or came between the
/// pages, so that others may have been missed, and nothing was emitted.
pub(super) async fn read(
    reading: &Reading<'_>,
    count: Option<u64>,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<bool> {
    let most = reading
        .tap
        .config
        .small_table_rows
        .saturating_add(u64::from(ROWS));
    let mut rows: BTreeMap<i64, JsonRow> = BTreeMap::new();
    let mut token: Option<String> = None;
    let mut pages = 0;
    loop {
        reading.interrupted()?;
        let table = (reading.table.id.as_str(), reading.table.name.as_str());
        let page = reading.tap.api.rows(table, ROWS, token.as_deref()).await?;
        pages += 1;
        let before = rows.len();
        for row in page.data {
            rows.insert(rowid(&reading.table.name, &row)?, row);
        }
        let more = page.more_records.unwrap_or(true);
        token = page.next_token.filter(|_| more);
        if token.is_none() {
            break;
        }
        // A token that leads nowhere would do so for ever.
        if rows.len() == before || rows.len() as u64 > most {
            return Ok(false);
        }
    }
    let mut encoder = reading.encoder.clone();
    // Where one row went and another came, the number is the same, and a third may have moved from page to page.
    let old = rows.values().filter(|row| {
        let created = encoder.json_created(row);
        pages == 1 || created.is_none_or(|created| created < progress.upper)
    });
    if count.is_some_and(|count| (old.count() as u64) < count) {
        return Ok(false);
    }
    encoder.note_all(rows.keys())?;
    for row in rows.values() {
        progress.newest = progress.newest.max(encoder.json_modified(row));
        out.record(|buffer| encoder.write_json(buffer, row, Absent::Null))
            .await?;
    }
    tracing::info!(
        stream = reading.plan.id,
        rows = rows.len(),
        calls = pages,
        "read by rows"
    );
    Ok(true)
}
