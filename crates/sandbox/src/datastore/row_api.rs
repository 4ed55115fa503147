//! Rows: pages, single ones, and their changes. Facts: section 2.4.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::answer::{Answer, ApiError, success, success_text};
use super::store::{Action, Changed};
use super::table::Row;
use super::{Context, DataStore};
use crate::text::push_text;

const READ: &[&str] = &["ZohoCatalyst.tables.rows.READ"];
const CREATE: &[&str] = &["ZohoCatalyst.tables.rows.CREATE"];
const UPDATE: &[&str] = &["ZohoCatalyst.tables.rows.UPDATE"];
const DELETE: &[&str] = &["ZohoCatalyst.tables.rows.DELETE"];

/// Rows of a page that does not say how many.
const USUAL_ROWS: usize = 200;

/// Rows that one call may delete.
const DELETED_AT_ONCE: usize = 200;

type Parameters = Query<HashMap<String, String>>;

pub(super) async fn page(
    State(datastore): State<Arc<DataStore>>,
    Path((project, table)): Path<(String, String)>,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Answer {
    let context = datastore.enter(&project, &headers, READ)?;
    let count = match parameters.get("max_rows") {
        None => USUAL_ROWS,
        Some(text) => text
            .parse()
            .ok()
            .filter(|count| (1..=datastore.options.max_rows).contains(count))
            .ok_or_else(|| ApiError::invalid("Invalid value for max_rows"))?,
    };
    let after = match parameters.get("next_token").map(String::as_str) {
        None | Some("") => i64::MIN,
        Some(token) => {
            read_token(token).ok_or_else(|| ApiError::invalid("Invalid value for next_token"))?
        }
    };
    let store = datastore.look();
    let table = store.known(context.environment, &table)?;
    let rest = table.rows_after(after);
    let rows = rest.get(..count).unwrap_or(rest);
    let mut data = String::from("[");
    let places = table.places();
    for (number, row) in rows.iter().enumerate() {
        if number > 0 {
            data.push(',');
        }
        context.style.object(&mut data, table, row, &places);
    }
    data.push(']');
    let beside = match rows.last() {
        Some(last) if rest.len() > rows.len() => {
            let mut beside = String::from(",\"more_records\":true,\"next_token\":");
            push_text(&mut beside, &write_token(last.id));
            beside
        }
        _ => ",\"more_records\":false".to_owned(),
    };
    Ok(success_text(&data, &beside))
}

pub(super) async fn get(
    State(datastore): State<Arc<DataStore>>,
    Path((project, table, row)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    let context = datastore.enter(&project, &headers, READ)?;
    let store = datastore.look();
    let table = store.known(context.environment, &table)?;
    let found = row.parse().ok().and_then(|id| table.row(id));
    let found = found.ok_or_else(|| ApiError::no_such("row"))?;
    Ok(success_text(&context.style.whole(table, found), ""))
}

pub(super) async fn insert(
    State(datastore): State<Arc<DataStore>>,
    Path((project, table)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let context = datastore.enter(&project, &headers, CREATE)?;
    let objects = read_objects(&body)?;
    let now_ms = datastore.now_ms();
    let rows = datastore
        .change()
        .insert(context.environment, &table, &objects, now_ms)?;
    changed(&datastore, &context, &table, Action::Insert, rows)
}

pub(super) async fn update(
    State(datastore): State<Arc<DataStore>>,
    Path((project, table)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let context = datastore.enter(&project, &headers, UPDATE)?;
    let objects = read_objects(&body)?;
    let now_ms = datastore.now_ms();
    let rows = datastore
        .change()
        .update(context.environment, &table, &objects, now_ms)?;
    changed(&datastore, &context, &table, Action::Update, rows)
}

pub(super) async fn delete_one(
    State(datastore): State<Arc<DataStore>>,
    Path((project, table, row)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    delete(&datastore, &project, &table, &headers, &row)
}

pub(super) async fn delete_many(
    State(datastore): State<Arc<DataStore>>,
    Path((project, table)): Path<(String, String)>,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Answer {
    let ids = parameters.get("ids").map_or("", String::as_str);
    delete(&datastore, &project, &table, &headers, ids)
}

pub(super) async fn truncate(
    State(datastore): State<Arc<DataStore>>,
    Path((project, table)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let context = datastore.enter(&project, &headers, DELETE)?;
    datastore.change().truncate(context.environment, &table)?;
    Ok(success(&Value::Null))
}

fn delete(
    datastore: &Arc<DataStore>,
    project: &str,
    table: &str,
    headers: &HeaderMap,
    ids: &str,
) -> Answer {
    let context = datastore.enter(project, headers, DELETE)?;
    let ids: Option<Vec<i64>> = ids.split(',').map(|id| id.trim().parse().ok()).collect();
    let ids = ids
        .filter(|ids| ids.len() <= DELETED_AT_ONCE)
        .ok_or_else(|| ApiError::invalid("Invalid value for ids"))?;
    let now_ms = datastore.now_ms();
    let changes = datastore
        .change()
        .delete(context.environment, table, &ids, now_ms)?;
    datastore.tell(context.environment, changes);
    let ids: Vec<Value> = ids.into_iter().map(|id| context.style.id(id)).collect();
    Ok(success(&json!({"ROWID": ids, "count": ids.len()})))
}

/// Answers the rows that were changed, and lets their events go out.
fn changed(
    datastore: &Arc<DataStore>,
    context: &Context,
    named: &str,
    action: Action,
    rows: Vec<Row>,
) -> Result<Response, ApiError> {
    let (name, data) = {
        let store = datastore.look();
        let table = store.known(context.environment, named)?;
        let rows: Vec<String> = rows
            .iter()
            .map(|row| context.style.whole(table, row))
            .collect();
        (table.name.clone(), format!("[{}]", rows.join(",")))
    };
    let change = |row: Row| Changed {
        table: name.clone(),
        action,
        row,
    };
    datastore.tell(context.environment, rows.into_iter().map(change).collect());
    Ok(success_text(&data, ""))
}

/// The rows of a body: an array of objects, or one object.
fn read_objects(body: &[u8]) -> Result<Vec<Map<String, Value>>, ApiError> {
    let refusal = || ApiError::invalid("The request body is not a valid array of rows");
    let elements = match serde_json::from_slice(body).map_err(|_| refusal())? {
        Value::Array(elements) if !elements.is_empty() => elements,
        object @ Value::Object(_) => vec![object],
        _ => return Err(refusal()),
    };
    elements
        .into_iter()
        .map(|element| match element {
            Value::Object(object) => Ok(object),
            _ => Err(refusal()),
        })
        .collect()
}

/// A token says behind which row the next page begins; to a client it is a text like any other.
fn write_token(id: i64) -> String {
    format!("{:016x}", id.rotate_left(23))
}

fn read_token(token: &str) -> Option<i64> {
    let bits = u64::from_str_radix(token, 16).ok()?;
    Some(bits.cast_signed().rotate_right(23))
}
