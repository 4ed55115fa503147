//! Rows by ZCQL: 300 a call, in the order of their ids, so that no row is missed when others change or go.

use std::collections::BTreeMap;

use singer_core::{Error, Result};
use singer_runtime::tap::Output;

use super::Reading;
use super::bounds::Window;
use super::progress::Progress;
use crate::api::error_of;
use crate::model::{JsonRow, plain};
use crate::record::Absent;
use crate::schema::{MODIFIEDTIME, ROWID};

/// Rows that a SELECT returns at most.
const ROWS: u64 = 300;

/// Columns that a SELECT may name.
const COLUMNS: usize = 20;

/// The scope of queries.
pub(crate) const SCOPE: &str = "ZohoCatalyst.zcql.CREATE";

/// How many calls so many rows take.
pub(super) fn calls(rows: u64, columns: usize) -> u64 {
    // A page that is not full is the last one.
    (rows / ROWS + 1).saturating_mul(groups_of(columns) as u64)
}

/// Each SELECT names the id and the time of the row, and shares the other columns.
fn groups_of(columns: usize) -> usize {
    if columns <= COLUMNS {
        1
    } else {
        (columns - 2).div_ceil(COLUMNS - 2)
    }
}

/// Emits the rows of a window, which are `expected` ones or a few more or less.
pub(super) async fn read(
    reading: &Reading<'_>,
    window: Window,
    expected: u64,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<()> {
    let mut encoder = reading.encoder.clone();
    let condition = window.condition(super::Style::FIRST, &reading.zone)?;
    let columns = encoder.columns();
    let groups = groups(&columns);
    let mut after = 0_i64;
    let mut given = 0;
    loop {
        reading.interrupted()?;
        let Page {
            rows,
            given: length,
            last,
        } = page(reading, condition.as_deref(), &groups, after).await?;
        encoder.note_all(rows.keys())?;
        for row in rows.values() {
            let modified = encoder.json_modified(row);
            progress.newest = progress.newest.max(modified);
            if let (Some(modified), Some(lower)) = (modified, window.lower)
                && modified < lower
            {
                continue;
            }
            out.record(|buffer| encoder.write_json(buffer, row, Absent::Null))
                .await?;
        }
        given += length;
        let Some(last) = last.filter(|_| length >= ROWS || given < expected) else {
            return Ok(());
        };
        after = last;
        if out.checkpoint_due() {
            out.checkpoint(progress.bookmark()).await?;
        }
    }
}

/// The columns of each SELECT.
fn groups(columns: &[String]) -> Vec<Vec<&str>> {
    let names = columns.iter().map(String::as_str);
    let others: Vec<&str> = names
        .filter(|name| *name != ROWID && *name != MODIFIEDTIME)
        .collect();
    if others.is_empty() {
        return vec![vec![ROWID, MODIFIEDTIME]];
    }
    let mut groups = Vec::new();
    for group in others.chunks(COLUMNS - 2) {
        let mut columns = vec![ROWID, MODIFIEDTIME];
        columns.extend_from_slice(group);
        groups.push(columns);
    }
    groups
}

/// Some rows by id.
struct Page {
    rows: BTreeMap<i64, JsonRow>,
    /// How many rows the service gave, and the last id of them. Not those of `rows`: one that was deleted while
    /// its columns were put together is none of them any more.
    given: u64,
    last: Option<i64>,
}

/// The next rows by id, put together from all groups of columns.
async fn page(
    reading: &Reading<'_>,
    condition: Option<&str>,
    groups: &[Vec<&str>],
    after: i64,
) -> Result<Page> {
    let mut whole: Option<Page> = None;
    for columns in groups {
        let rows = select(reading, condition, columns, after).await?;
        whole = Some(match whole {
            None => Page {
                given: rows.len() as u64,
                last: rows.keys().next_back().copied(),
                rows,
            },
            Some(first) => Page {
                rows: joined(reading, first.rows, rows).await?,
                ..first
            },
        });
    }
    whole.ok_or_else(|| Error::internal("a query without columns"))
}

/// Adds columns to rows. A row that changed, came or went between the two calls is read anew by its id.
async fn joined(
    reading: &Reading<'_>,
    mut first: BTreeMap<i64, JsonRow>,
    mut more: BTreeMap<i64, JsonRow>,
) -> Result<BTreeMap<i64, JsonRow>> {
    let mut torn = Vec::new();
    for (id, row) in &mut first {
        let time = |row: &JsonRow| row.get(MODIFIEDTIME).and_then(|value| plain(value));
        match more.remove(id) {
            Some(columns) if time(&columns) == time(row) => row.extend(columns),
            _ => torn.push(*id),
        }
    }
    for id in torn {
        let row = reading.tap.row(&reading.table, &id.to_string()).await?;
        match row {
            Some(row) => first.insert(id, row),
            None => first.remove(&id),
        };
    }
    Ok(first)
}

async fn select(
    reading: &Reading<'_>,
    condition: Option<&str>,
    columns: &[&str],
    after: i64,
) -> Result<BTreeMap<i64, JsonRow>> {
    let name = &reading.table.name;
    let condition = condition.map_or(String::new(), |condition| format!(" AND {condition}"));
    let zcql = format!(
        "SELECT {} FROM {name} WHERE ROWID > {after}{condition} ORDER BY ROWID LIMIT {ROWS}",
        columns.join(", ")
    );
    let rows = reading.tap.api.query(name, &zcql).await;
    let rows = rows.map_err(|fault| error_of(fault, &format!("query `{name}`"), SCOPE))?;
    rows.into_iter()
        .map(|row| Ok((rowid(name, &row)?, row)))
        .collect()
}

/// The id of a row.
pub(super) fn rowid(table: &str, row: &JsonRow) -> Result<i64> {
    let id = row.get(ROWID).and_then(|value| plain(value));
    id.and_then(|id| id.parse().ok())
        .ok_or_else(|| Error::protocol(format!("a row of `{table}` comes without a whole `ROWID`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_rows_and_by_columns() {
        for (rows, columns, wanted) in [(0, 5, 1), (299, 20, 1), (300, 20, 2), (900, 21, 8)] {
            assert_eq!(calls(rows, columns), wanted, "{rows} {columns}");
        }
    }

    #[test]
    fn wide_rows_are_asked_for_in_groups_with_id_and_time() {
        let columns: Vec<String> = ["ROWID", "MODIFIEDTIME"]
            .into_iter()
            .map(str::to_owned)
            .chain((0..30).map(|number| format!("c{number}")))
            .collect();
        let groups = groups(&columns);
        assert_eq!(groups.len(), groups_of(columns.len()));
        assert!(groups.iter().all(|group| group.len() <= COLUMNS));
        assert!(
            groups
                .iter()
                .all(|group| group.starts_with(&[ROWID, MODIFIEDTIME]))
        );
        let named: usize = groups.iter().map(|group| group.len() - 2).sum();
        assert_eq!(named, 30);
    }
}
