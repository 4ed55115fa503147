//! Rows of the catalogs to tables: a row is a column of a table, and rows of one table follow each
//! other.

use crate::table::{Column, Table, TableName};

/// One row of text values.
pub(super) struct Row<'a>(pub(super) &'a [Option<String>]);

impl<'a> Row<'a> {
    /// A value; a missing one is empty.
    pub(super) fn text(&self, index: usize) -> &'a str {
        self.0
            .get(index)
            .and_then(Option::as_deref)
            .unwrap_or_default()
    }

    /// Whether there is a value.
    pub(super) fn has(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(Option::is_some)
    }

    /// A boolean, in the spelling of any server.
    pub(super) fn flag(&self, index: usize) -> bool {
        matches!(self.text(index), "t" | "true" | "1" | "YES" | "yes")
    }

    /// A number, if it is one.
    pub(super) fn number<T: std::str::FromStr>(&self, index: usize) -> Option<T> {
        self.text(index).trim().parse().ok()
    }
}

/// Tables in the making.
#[derive(Default)]
pub(super) struct Tables {
    tables: Vec<Table>,
    /// The number of each column of the last table, as keys refer to them.
    numbers: Vec<(i64, String)>,
    key_numbers: Vec<i64>,
}

impl Tables {
    /// Whether the next row begins another table.
    pub(super) fn is_new(&self, name: &TableName) -> bool {
        self.tables.last().is_none_or(|table| table.name != *name)
    }

    /// Begins a table; `key` is the catalog's list of column numbers, such as `{1,2}`.
    pub(super) fn begin(&mut self, table: Table, key: &str) {
        self.finish_key();
        self.key_numbers = key
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        self.tables.push(table);
    }

    /// Adds a column to the last table.
    pub(super) fn add(&mut self, number: i64, column: Column) {
        self.numbers.push((number, column.name.clone()));
        if let Some(table) = self.tables.last_mut() {
            table.columns.push(column);
        }
    }

    /// The tables.
    pub(super) fn finish(mut self) -> Vec<Table> {
        self.finish_key();
        self.tables
    }

    fn finish_key(&mut self) {
        let numbers = std::mem::take(&mut self.numbers);
        let key = std::mem::take(&mut self.key_numbers);
        if let Some(table) = self.tables.last_mut() {
            table.key = key
                .iter()
                .filter_map(|wanted| {
                    let found = numbers.iter().find(|(number, _)| number == wanted)?;
                    Some(found.1.clone())
                })
                .collect();
        }
    }
}
