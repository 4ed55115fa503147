//! The Storage Write API: write streams, what was appended to them, and what change data capture knows
//! of tables. Facts: section 7. The calls are in `service`, appends in `append`.

mod append;
mod changes;
mod message;
mod plan;
mod service;
mod status;
mod wire;

use std::collections::HashMap;

pub(crate) use self::changes::Changes;
pub(crate) use self::service::routes;
use super::table::{Column, Row, TableName};

/// The id of the stream that every table has.
const DEFAULT_STREAM: &str = "_default";

/// When the rows of a stream become visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamKind {
    Committed,
    Pending,
    Buffered,
}

/// A stream that a client made.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) table: TableName,
    pub(crate) kind: StreamKind,
    pub(crate) created_ms: u64,
    /// Rows that are not visible yet.
    pub(crate) held: Vec<Row>,
    /// Rows that were appended, visible or not.
    pub(crate) row_count: i64,
    /// Rows that a flush made visible.
    pub(crate) flushed: i64,
    pub(crate) is_finalized: bool,
    pub(crate) committed_ms: Option<u64>,
}

/// Write streams, and what change data capture knows of tables.
#[derive(Default)]
pub(crate) struct Writes {
    pub(crate) streams: HashMap<String, Stream>,
    pub(crate) changes: HashMap<TableName, Changes>,
    /// The columns that appends know of tables, which follow the tables with a lag.
    known: HashMap<TableName, Known>,
}

/// The columns that appends know of a table.
struct Known {
    columns: Vec<Column>,
    /// Since when there are other ones.
    stale_since_ms: Option<u64>,
}

impl Writes {
    /// Forgets what belongs to a table that is gone or was replaced.
    pub(crate) fn forget_table(&mut self, table: &TableName) {
        self.streams.retain(|_, stream| stream.table != *table);
        self.changes.remove(table);
        self.known.remove(table);
    }

    /// The columns that appends to a table know now. Newer ones are known a while after the first append
    /// that could have seen them.
    pub(crate) fn known_columns(
        &mut self,
        table: &TableName,
        columns: &[Column],
        lag_ms: u64,
        now_ms: u64,
    ) -> Vec<Column> {
        let known = self.known.entry(table.clone()).or_insert_with(|| Known {
            columns: columns.to_vec(),
            stale_since_ms: None,
        });
        if known.columns != columns {
            let since_ms = *known.stale_since_ms.get_or_insert(now_ms);
            if since_ms + lag_ms <= now_ms {
                known.columns = columns.to_vec();
                known.stale_since_ms = None;
            }
        }
        known.columns.clone()
    }

    /// Says that the rows of a table are no longer where they were.
    pub(crate) fn rows_moved(&mut self, table: &TableName) {
        if let Some(changes) = self.changes.get_mut(table) {
            changes.rows_moved();
        }
    }

    /// Whether changes were streamed to a table within the last seconds.
    pub(crate) fn had_changes(&self, table: &TableName, now_ms: u64, seconds: u64) -> bool {
        self.changes
            .get(table)
            .is_some_and(|changes| changes.last_ms + seconds * 1000 > now_ms)
    }
}

/// A stream name, taken apart: the table, and the id of the stream.
pub(crate) fn parse_stream(name: &str) -> Option<(TableName, &str)> {
    let (table, id) = match name.split_once("/streams/") {
        Some((table, id)) => (table, id),
        None => (name.strip_suffix("/_default")?, DEFAULT_STREAM),
    };
    Some((parse_table(table)?, id))
}

/// `projects/P/datasets/D/tables/T`.
pub(crate) fn parse_table(name: &str) -> Option<TableName> {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        ["projects", project, "datasets", dataset, "tables", table] => {
            Some(TableName::new(project, dataset, table))
        }
        _ => None,
    }
}

/// The opposite of [`parse_table`].
pub(crate) fn table_path(name: &TableName) -> String {
    format!(
        "projects/{}/datasets/{}/tables/{}",
        name.project, name.dataset, name.table
    )
}
