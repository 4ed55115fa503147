//! Tables and their columns. Facts: sections 2.2 and 2.3.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::answer::{Answer, ApiError, success};
use super::column::System;
use super::render::Style;
use super::store::CREATOR;
use super::table::Table;
use super::{Context, DataStore, PROJECT_NAME};

const TABLES: &[&str] = &["ZohoCatalyst.tables.READ"];
const COLUMNS: &[&str] = &["ZohoCatalyst.tables.columns.READ"];

pub(super) async fn list(
    State(datastore): State<Arc<DataStore>>,
    Path(project): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let context = datastore.enter(&project, &headers, TABLES)?;
    let store = datastore.look();
    let tables = store.tables(context.environment).iter();
    let described: Vec<_> = tables
        .map(|table| datastore.describe(table, &context))
        .collect();
    Ok(success(&json!(described)))
}

pub(super) async fn get(
    State(datastore): State<Arc<DataStore>>,
    Path((project, table)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let context = datastore.enter(&project, &headers, TABLES)?;
    let store = datastore.look();
    let table = store.known(context.environment, &table)?;
    Ok(success(&datastore.describe(table, &context)))
}

pub(super) async fn columns(
    State(datastore): State<Arc<DataStore>>,
    Path((project, table)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let context = datastore.enter(&project, &headers, COLUMNS)?;
    let store = datastore.look();
    let table = store.known(context.environment, &table)?;
    Ok(success(&json!(describe_columns(table, &context.style))))
}

pub(super) async fn column(
    State(datastore): State<Arc<DataStore>>,
    Path((project, table, column)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    let context = datastore.enter(&project, &headers, COLUMNS)?;
    let store = datastore.look();
    let table = store.known(context.environment, &table)?;
    let id: Option<i64> = column.parse().ok();
    let is_asked = |described: &&Value| {
        described["column_name"] == column.as_str()
            || id.is_some_and(|id| described["column_id"] == context.style.id(id))
    };
    let described = describe_columns(table, &context.style);
    let found = described.iter().find(is_asked);
    found
        .map(success)
        .ok_or_else(|| ApiError::no_such(format!("column {column}")))
}

/// System columns first, then those that people made.
pub(super) fn describe_columns(table: &Table, style: &Style) -> Vec<Value> {
    let id = |id: i64| style.id(id);
    let system = System::ALL
        .iter()
        .map(|system| system.describe(table.id, id));
    let own = (5..)
        .zip(&table.columns)
        .map(|(sequence, column)| column.describe(table.id, sequence, id));
    system.chain(own).collect()
}

impl DataStore {
    fn describe(&self, table: &Table, context: &Context) -> Value {
        let style = &context.style;
        json!({
            "project_id": self.project_details(style),
            "table_name": table.name, "table_id": style.id(table.id),
            "modified_by": self.user_details(style, &context.caller.email),
            "modified_time": self.zone.display(table.modified_ms),
            "table_scope": "GLOBAL",
        })
    }

    pub(super) fn project_details(&self, style: &Style) -> Value {
        json!({"project_name": PROJECT_NAME, "id": style.id(self.options.project)})
    }

    pub(super) fn user_details(&self, style: &Style, email: &str) -> Value {
        json!({
            "zuid": style.id(10_087), "is_confirmed": false, "email_id": email,
            "first_name": "Ana", "last_name": "Ito", "user_type": "Admin",
            "user_id": style.id(CREATOR),
        })
    }
}
