//! One visitor or account, and what Pendo itself knows about it. Facts: sections 2 and 5.3.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::schema::{Kind, Schema};
use super::{Pendo, answer, values_of};
use crate::store::Row;

/// When the first visits of the stand-in's visitors may have been: 2021-01-01, in milliseconds.
const FIRST_VISITS_FROM: i64 = 1_609_459_200_000;
/// And over how many days they spread.
const VISIT_DAYS: u64 = 1_400;
const DAY_MILLIS: i64 = 86_400_000;

/// There is no list of visitors or accounts; only an aggregation lists them.
pub(crate) async fn no_list() -> Response {
    answer::not_found()
}

pub(crate) async fn get_visitor(
    State(pendo): State<Arc<Pendo>>,
    Path(id): Path<String>,
) -> Response {
    get_one(&pendo, Kind::Visitor, &id)
}

pub(crate) async fn get_account(
    State(pendo): State<Arc<Pendo>>,
    Path(id): Path<String>,
) -> Response {
    get_one(&pendo, Kind::Account, &id)
}

fn get_one(pendo: &Pendo, kind: Kind, id: &str) -> Response {
    let state = pendo.of(kind);
    let schema = state.schema.read().unwrap_or_else(PoisonError::into_inner);
    let table = state.table();
    let Some(row) = table.row(id) else {
        return answer::not_found();
    };
    let metadata = metadata_of(&schema, row);
    let last_start = visits(&row.id).1;
    let answer = match kind {
        Kind::Visitor => json!({
            "id": id, "accountIds": [], "lastStartTime": last_start, "metadata": metadata, "account": {},
        }),
        _ => json!({"id": id, "metadata": metadata}),
    };
    Json(answer).into_response()
}

/// The `metadata` object of a row: kept groups, and the group `auto`.
pub(crate) fn metadata_of(schema: &Schema, row: &Row) -> Value {
    let mut metadata: Map<String, Value> = ["agent", "auto", "custom", "pendo"]
        .map(|group| (group.to_owned(), Value::Object(Map::new())))
        .into_iter()
        .collect();
    for (group, values) in values_of::<Value>(schema, row) {
        metadata.insert(group, values.into_iter().collect());
    }
    metadata.insert("auto".to_owned(), auto_of(row));
    metadata.into()
}

fn auto_of(row: &Row) -> Value {
    let (first, last) = visits(&row.id);
    json!({
        "id": &*row.id,
        "firstvisit": first,
        "lastvisit": last,
        "lastupdated": row.written_at.unwrap_or(last),
        "accountid": "",
        "accountids": [],
    })
}

/// First and last visit, made up from the id so that they are the same in every run.
pub(crate) fn visits(id: &str) -> (i64, i64) {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let days = |number: u64| i64::try_from(number % VISIT_DAYS).unwrap_or(0);
    let first = FIRST_VISITS_FROM + days(hash) * DAY_MILLIS;
    (first, first + days(hash >> 32) / 4 * DAY_MILLIS)
}
