//! `tabledata.insertAll`: rows at once, into the streaming buffer. Facts: section 4.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::BigQuery;
use super::access::Resource;
use super::answer::{Answer, ApiError};
use super::decode::{Decoder, Flaw, JsonForm};
use super::request::WholeBody;
use super::table::{Row, Table, TableName};
use super::table_api::TablePath;
use crate::faults::CallFaults;

/// The ids of rows that came lately, by table.
#[derive(Default)]
pub(crate) struct InsertIds(HashMap<TableName, HashMap<String, u64>>);

impl InsertIds {
    /// True if the id did not come before within the time.
    fn is_new(&mut self, table: &TableName, id: &str, now_ms: u64, window_ms: u64) -> bool {
        let known = self.0.entry(table.clone()).or_default();
        if known.len() > 100_000 {
            known.retain(|_, time| *time + window_ms > now_ms);
        }
        let is_new = known.get(id).is_none_or(|time| *time + window_ms <= now_ms);
        if is_new {
            known.insert(id.to_owned(), now_ms);
        }
        is_new
    }

    pub(crate) fn forget_table(&mut self, table: &TableName) {
        self.0.remove(table);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Insertion<'a> {
    #[serde(default)]
    skip_invalid_rows: bool,
    #[serde(default)]
    ignore_unknown_values: bool,
    template_suffix: Option<String>,
    #[serde(borrow, default)]
    rows: Vec<InsertedRow<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InsertedRow<'a> {
    insert_id: Option<String>,
    #[serde(borrow)]
    json: &'a RawValue,
}

pub(crate) async fn insert_all(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, dataset, table)): TablePath,
    call: Option<Extension<CallFaults>>,
    body: WholeBody,
) -> Answer {
    let call = call.map(|call| call.0).unwrap_or_default();
    let options = &bigquery.options;
    let limit = call.byte_limit.unwrap_or(options.insert_bytes);
    if body.0.len() > limit {
        return Err(ApiError::new(
            413,
            "uploadTooLarge",
            format!("Request payload size exceeds the limit: {limit} bytes."),
        ));
    }
    let insertion: Insertion<'_> = serde_json::from_slice(&body.0)
        .map_err(|_| ApiError::new(400, "parseError", "Parse Error: the body is no insertion"))?;
    if insertion.template_suffix.is_some() {
        return Err(ApiError::not_simulated("`templateSuffix`"));
    }
    if insertion.rows.is_empty() {
        return Err(ApiError::invalid("No rows present in the request."));
    }
    if insertion.rows.len() > options.insert_rows {
        return Err(ApiError::invalid(format!(
            "too many rows present in the request, limit: {} row count: {}.",
            options.insert_rows,
            insertion.rows.len()
        )));
    }
    if options.no_billing {
        return Err(ApiError::new(
            403,
            "accessDenied",
            "Access Denied: BigQuery BigQuery: Streaming insert is not allowed in the free tier",
        ));
    }
    let name = TableName::new(&project, &dataset, &table);
    let (stored, refused) = store(&bigquery, &name, &insertion, call)?;
    bigquery.tally(&name, stored, refused.len(), body.0.len());
    let mut answer = json!({"kind": "bigquery#tableDataInsertAllResponse"});
    if !refused.is_empty() {
        answer["insertErrors"] = Value::Array(refused);
    }
    Ok(Json(answer))
}

/// Stores what may be stored; returns how many rows, and the errors of the others.
fn store(
    bigquery: &BigQuery,
    name: &TableName,
    insertion: &Insertion<'_>,
    call: CallFaults,
) -> Result<(usize, Vec<Value>), ApiError> {
    let now_ms = bigquery.now_ms();
    let mut store = bigquery.store();
    store
        .access
        .require("bigquery.tables.updateData", Resource::Table(name))?;
    let table = store.table(name)?;
    let decoder = Decoder {
        json: JsonForm::Text,
        ignore_unknown: insertion.ignore_unknown_values,
        excess: bigquery.excess(),
    };
    let mut rows = Vec::with_capacity(insertion.rows.len());
    let mut refused = Vec::new();
    for (index, row) in insertion.rows.iter().enumerate() {
        let fails = call
            .failed_record
            .is_some_and(|every| (index + 1) % every == 0);
        match read(&decoder, row, table, bigquery.options.row_bytes, fails) {
            Ok(values) => rows.push((
                index,
                row.insert_id.as_deref(),
                Row {
                    values,
                    streamed_at: Some(now_ms / 1000),
                },
            )),
            Err(flaw) => refused.push(error(index, "invalid", &flaw.location, &flaw.message)),
        }
    }
    if !refused.is_empty() && !insertion.skip_invalid_rows {
        // The innocent ones are not stored either.
        refused.extend(
            rows.iter()
                .map(|(index, _, _)| error(*index, "stopped", "", "")),
        );
        return Ok((0, refused));
    }
    let window_ms = bigquery.options.insert_id_seconds * 1000;
    let stored = rows.len();
    let mut fresh = Vec::with_capacity(stored);
    for (_, id, row) in rows {
        let is_new = id.is_none_or(|id| store.insert_ids.is_new(name, id, now_ms, window_ms));
        if is_new {
            fresh.push(row);
        }
    }
    store.table_mut(name)?.rows.extend(fresh);
    store.writes.rows_moved(name);
    Ok((stored, refused))
}

fn read(
    decoder: &Decoder,
    row: &InsertedRow<'_>,
    table: &Table,
    row_limit: usize,
    fails: bool,
) -> Result<Vec<super::value::Value>, Flaw> {
    let flaw = |message: String| Flaw {
        location: String::new(),
        message,
    };
    if fails {
        return Err(flaw("a fault of the sandbox refuses this row".to_owned()));
    }
    let text = row.json.get();
    if text.len() > row_limit {
        return Err(flaw(format!(
            "Maximum allowed row size exceeded. Allowed: {row_limit} Row size: {}",
            text.len()
        )));
    }
    decoder.row(text, &table.columns)
}

fn error(index: usize, reason: &str, location: &str, message: &str) -> Value {
    json!({"index": index, "errors": [
        {"reason": reason, "location": location, "debugInfo": "", "message": message}]})
}
