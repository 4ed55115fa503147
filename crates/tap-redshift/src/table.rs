//! A table as the catalog describes it: what discovery finds and what reading needs.

use std::fmt;

use crate::sql;
use crate::types::Type;

/// Where a table is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TableName {
    /// Its database.
    pub(crate) database: String,
    /// Its schema.
    pub(crate) schema: String,
    /// Its own name.
    pub(crate) table: String,
}

impl TableName {
    /// `tap_stream_id`: the parts with dots between them, as the state knows the stream. It is
    /// never taken apart again, since names may hold dots.
    pub(crate) fn stream_id(&self) -> String {
        format!("{}.{}.{}", self.database, self.schema, self.table)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// Something with rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    /// Where it is.
    pub(crate) name: TableName,
    /// Whether it lies in another database than the connected one.
    pub(crate) foreign_database: bool,
    /// Whether it is a view of any sort.
    pub(crate) is_view: bool,
    /// How many rows it is thought to have.
    pub(crate) row_count: Option<i64>,
    /// Its columns in their order.
    pub(crate) columns: Vec<Column>,
    /// The columns of its primary key in the key's order.
    pub(crate) key: Vec<String>,
    /// Why it cannot be read, if so.
    pub(crate) obstacle: Option<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// Its type in the database's words.
    pub(crate) words: String,
    /// Its type as the tap treats it.
    pub(crate) kind: Type,
    /// Whether it may hold nulls.
    pub(crate) nullable: bool,
    /// Whether the user may read it.
    pub(crate) readable: bool,
    /// Its place in Redshift's sort key, from 1; negative in an interleaved one.
    pub(crate) sort_key: Option<i64>,
    /// Whether it is Redshift's distribution key.
    pub(crate) distribution_key: bool,
}

impl Table {
    /// The table as SQL names it.
    pub(crate) fn sql(&self) -> String {
        let TableName {
            database,
            schema,
            table,
        } = &self.name;
        let local = format!("{}.{}", sql::name(schema), sql::name(table));
        if self.foreign_database {
            format!("{}.{local}", sql::name(database))
        } else {
            local
        }
    }

    /// A column by its name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}
