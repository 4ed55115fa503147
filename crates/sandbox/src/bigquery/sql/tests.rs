//! What the engine does with the statements of loaders.

mod changes;
mod definitions;
mod queries;

use std::collections::BTreeMap;

use super::{Context, Outcome, Result, SqlErrorKind, Tables, run};
use crate::bigquery::table::{Table, TableName};
use crate::bigquery::value::Value;

/// Tables in a map, with one dataset `p.d`.
#[derive(Debug, Default, Clone)]
struct Shelf {
    tables: BTreeMap<TableName, Table>,
}

impl Tables for Shelf {
    fn get(&self, name: &TableName) -> Option<&Table> {
        self.tables.get(name)
    }

    fn get_mut(&mut self, name: &TableName) -> Option<&mut Table> {
        self.tables.get_mut(name)
    }

    fn put(&mut self, name: &TableName, table: Table) {
        self.tables.insert(name.clone(), table);
    }

    fn remove(&mut self, name: &TableName) -> Option<Table> {
        self.tables.remove(name)
    }

    fn dataset_exists(&self, project: &str, dataset: &str) -> bool {
        (project, dataset) == ("p", "d")
    }
}

fn context() -> Context {
    Context {
        default_project: "p".to_owned(),
        default_dataset: Some(("p".to_owned(), "d".to_owned())),
        // 2026-01-02 03:04:05.678901
        now_micros: 1_767_323_045_678_901,
        ..Context::default()
    }
}

impl Shelf {
    /// Tables made by a script.
    fn with(script: &str) -> Shelf {
        let mut shelf = Shelf::default();
        shelf.run(script);
        shelf
    }

    fn try_run(&mut self, text: &str) -> Result<Outcome> {
        run(text, self, &context())
    }

    fn run(&mut self, text: &str) -> Outcome {
        self.try_run(text)
            .unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    /// The rows of a query, in a short form.
    fn rows(&mut self, text: &str) -> Vec<String> {
        let outcome = self.run(text);
        outcome.rows.iter().map(|row| short(&row.values)).collect()
    }

    fn error(&mut self, text: &str) -> (SqlErrorKind, String) {
        match self.try_run(text) {
            Ok(outcome) => panic!("{text}: {outcome:?}"),
            Err(error) => (error.kind, error.message),
        }
    }
}

fn short(values: &[Value]) -> String {
    let values: Vec<String> = values.iter().map(one).collect();
    values.join("|")
}

fn one(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Array(values) => format!("[{}]", short(values)),
        Value::Struct(values) => format!("({})", short(values)),
        Value::Json(text) => format!("json {text}"),
        Value::Bytes(bytes) => format!("{bytes:?}"),
        other => super::cast::text(other).unwrap(),
    }
}

/// The one value of a query over no table.
fn value(expression: &str) -> String {
    Shelf::default()
        .rows(&format!("SELECT {expression}"))
        .join(";")
}

fn refusal(expression: &str) -> (SqlErrorKind, String) {
    Shelf::default().error(&format!("SELECT {expression}"))
}
