//! Tables and their columns.

use std::collections::BTreeMap;
use std::fmt;

use super::value::Value;

/// The full name of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TableName {
    pub(crate) project: String,
    pub(crate) dataset: String,
    pub(crate) table: String,
}

impl TableName {
    pub(crate) fn new(project: &str, dataset: &str, table: &str) -> TableName {
        TableName {
            project: project.to_owned(),
            dataset: dataset.to_owned(),
            table: table.to_owned(),
        }
    }
}

impl fmt::Display for TableName {
    /// As error messages of the service write it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}:{}.{}",
            self.project, self.dataset, self.table
        )
    }
}

/// A table: its columns, its rows and what else was said about it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    pub(crate) description: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) partitioning: Option<Partitioning>,
    /// The columns that rows are clustered by; empty without clustering.
    pub(crate) clustering: Vec<String>,
    /// The columns of the declared primary key; empty without one.
    pub(crate) primary_key: Vec<String>,
    /// As it was given: `0-0 0 0:10:0`.
    pub(crate) max_staleness: Option<String>,
    /// When the table goes away, in milliseconds since 1970.
    pub(crate) expires_at_ms: Option<u64>,
    /// The text of the query, if this is a view; then there are no rows.
    pub(crate) view: Option<String>,
    /// What the REST API alone knows of a table; statements leave it as it is.
    pub(crate) record: Record,
}

impl Table {
    /// An empty table of the given columns.
    pub(crate) fn new(columns: Vec<Column>) -> Table {
        Table {
            columns,
            ..Table::default()
        }
    }

    /// The place of a column, whose name is compared without case.
    pub(crate) fn position(&self, column: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|known| known.name.eq_ignore_ascii_case(column))
    }
}

/// How a table is cut into partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Partitioning {
    Time {
        unit: TimeUnit,
        /// The column; without one it is the time of arrival.
        column: Option<String>,
        expiration_ms: Option<u64>,
        require_filter: bool,
    },
    Range {
        column: String,
        start: i64,
        end: i64,
        interval: i64,
    },
}

/// The length of a partition by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    Hour,
    Day,
    Month,
    Year,
}

/// Times and the number of the last change, kept by the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// Tells a table from one of the same name that was there before.
    pub(crate) id: u64,
    pub(crate) created_ms: u64,
    pub(crate) modified_ms: u64,
    /// Grows with each change of the metadata; the etag is made from it.
    pub(crate) revision: u64,
    pub(crate) friendly_name: Option<String>,
}

/// The type of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Bool,
    Int64,
    Float64,
    Numeric,
    BigNumeric,
    String,
    Bytes,
    Timestamp,
    Date,
    Time,
    DateTime,
    Json,
    Struct(Vec<Column>),
}

/// Whether a column may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Nullable,
    Required,
    Repeated,
}

/// A column of a table, or a field of a RECORD. Names are compared without case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Type,
    pub(crate) mode: Mode,
    pub(crate) description: Option<String>,
    /// Precision and scale of NUMERIC(p, s) and BIGNUMERIC(p, s).
    pub(crate) digits: Option<(u32, u32)>,
    /// Length of STRING(n) and BYTES(n).
    pub(crate) max_length: Option<u64>,
}

/// One row: the values in the order of the columns. A row that is older than a column is shorter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) values: Vec<Value>,
    /// Seconds since 1970 when insertAll stored it; such rows are in the streaming buffer for a while.
    pub(crate) streamed_at: Option<u64>,
}

impl Column {
    /// A column without description and limits.
    pub(crate) fn new(name: &str, kind: Type, mode: Mode) -> Column {
        Column {
            name: name.to_owned(),
            kind,
            mode,
            description: None,
            digits: None,
            max_length: None,
        }
    }
}

impl Row {
    /// A row that is in no streaming buffer.
    pub(crate) fn new(values: Vec<Value>) -> Row {
        Row {
            values,
            streamed_at: None,
        }
    }
}
