//! `tabledata.list`: the rows of a table, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::BigQuery;
use super::access::Resource;
use super::answer::{Answer, ApiError};
use super::encode::{self, Instants};
use super::request::Parameters;
use super::table::TableName;
use super::table_api::{self, TablePath};

/// The most rows of a page.
const PAGE: usize = 50_000;

pub(crate) async fn list(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, dataset, table)): TablePath,
    parameters: Parameters,
) -> Answer {
    if parameters.contains_key("selectedFields") {
        return Err(ApiError::not_simulated("`selectedFields`"));
    }
    let name = TableName::new(&project, &dataset, &table);
    let store = bigquery.store();
    store
        .access
        .require("bigquery.tables.getData", Resource::Table(&name))?;
    let table = store.table(&name)?;
    let start = match (parameters.get("pageToken"), parameters.get("startIndex")) {
        (Some(token), _) => table_api::parse_token(token)?,
        (None, Some(index)) => index
            .parse()
            .map_err(|_| ApiError::invalid("Invalid value for startIndex"))?,
        (None, None) => 0,
    };
    let size = table_api::page_size(&parameters)?.unwrap_or(PAGE).min(PAGE);
    let instants = instants(&parameters);
    let rows: Vec<Value> = table
        .rows
        .iter()
        .skip(start)
        .take(size)
        .map(|row| encode::wire_row(row, &table.columns, instants))
        .collect();
    let end = start + rows.len();
    let mut answer = json!({
        "kind": "bigquery#tableDataList", "etag": table.etag(),
        "totalRows": table.rows.len().to_string(), "rows": rows,
    });
    if end < table.rows.len() && size > 0 {
        answer["pageToken"] = json!(table_api::page_token(end));
    }
    Ok(Json(answer))
}

/// Which form of instants the parameters ask for.
pub(crate) fn instants(parameters: &std::collections::HashMap<String, String>) -> Instants {
    let asked = parameters
        .get("formatOptions.useInt64Timestamp")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if asked {
        Instants::Micros
    } else {
        Instants::Seconds
    }
}
