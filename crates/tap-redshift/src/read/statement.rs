//! The statement that reads a table, in the form that its rows are fetched in.

use super::window::{ALIAS, column, printable};
use crate::server::Server;
use crate::table::{Column, Table};
use crate::types::{KeyKind, Type};

/// How rows are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// By COPY in the binary format.
    Copy,
    /// As text, as they come.
    Text,
    /// As text through a cursor, so many at once.
    Cursor(u32),
}

/// A statement to be run.
#[derive(Debug)]
pub(super) struct Statement {
    /// What is said if it fails.
    pub(super) doing: String,
    /// The SELECT.
    pub(super) select: String,
    /// How its rows are fetched.
    pub(super) rows: Rows,
}

/// The SELECT over these columns.
pub(super) fn select(
    table: &Table,
    columns: &[&Column],
    conditions: &[String],
    order: &str,
    rows: &Rows,
    server: &Server,
    zone: Option<&str>,
) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|column| expression(column, rows, server, zone))
        .collect();
    // A table of no selected columns still has rows.
    let columns = if columns.is_empty() && *rows != Rows::Copy {
        "1".to_owned()
    } else {
        columns.join(", ")
    };
    let condition = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    format!(
        "SELECT {columns} FROM {} AS {ALIAS}{condition}{order}",
        table.sql()
    )
}

fn expression(found: &Column, rows: &Rows, server: &Server, zone: Option<&str>) -> String {
    let name = column(&found.name);
    match (&found.kind, rows) {
        (Type::Timestamp, _) => printable(&name, KeyKind::Timestamp, server, zone),
        (kind, Rows::Copy) if !kind.has_binary_decoder() => as_text(kind, &name),
        _ => name,
    }
}

/// A column as the text that the server prints for it.
fn as_text(kind: &Type, name: &str) -> String {
    match kind {
        // The cast would add a mask that the value does not have.
        Type::Inet => {
            format!("CASE WHEN {name} IS NOT NULL THEN pg_catalog.format('%s', {name}) END")
        }
        _ => format!("CAST({name} AS text)"),
    }
}
