//! Tables and their columns.

use super::value::Value;

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
