//! One value of a table, as BigQuery keeps it.

/// A value of any type. Which type a NULL has, the column says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int64(i64),
    Float64(f64),
    /// NUMERIC and BIGNUMERIC: plain decimal text without exponent, leading or trailing zeros
    /// (`-12.5`, `0`), so that equal numbers are equal texts.
    Numeric(String),
    String(String),
    Bytes(Vec<u8>),
    /// Microseconds since 1970 in UTC.
    Timestamp(i64),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970 of a civil clock.
    DateTime(i64),
    /// JSON text as it was stored, without white space between tokens.
    Json(String),
    /// A REPEATED column; it holds no NULL.
    Array(Vec<Value>),
    /// A RECORD: its fields in the order of the schema.
    Struct(Vec<Value>),
}
