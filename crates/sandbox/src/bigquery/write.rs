//! The Storage Write API. Facts: section 7.

use std::sync::Arc;

use axum::Router;

use super::BigQuery;
use super::table::TableName;

/// Write streams and what CDC knows of tables.
#[derive(Default)]
pub(crate) struct Writes {}

impl Writes {
    pub(crate) fn forget_table(&mut self, _table: &TableName) {}
    pub(crate) fn rows_moved(&mut self, _table: &TableName) {}
    pub(crate) fn had_changes(&self, _table: &TableName, _now_ms: u64, _seconds: u64) -> bool {
        false
    }
}

pub(crate) fn routes(_bigquery: Arc<BigQuery>) -> Router {
    Router::new()
}
