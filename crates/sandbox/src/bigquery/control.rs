//! Control requests for BigQuery under `/_sandbox`: look at tables, rows and jobs, lower limits, take
//! permissions away, drop tables, move the clock.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::BigQuery;
use super::access::Denied;
use super::quota::Limits;

/// How many jobs the summary lists.
const JOBS_SHOWN: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitChange {
    table_jobs_per_day: Option<u32>,
    metadata_updates: Option<u32>,
    loads: Option<u32>,
    queued_dml: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PermissionChange {
    /// Replaces all denials.
    set: Option<Vec<Denied>>,
    /// Comes on top of those in force.
    #[serde(default)]
    deny: Vec<Denied>,
    /// Ends all denials.
    #[serde(default)]
    clear: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    advance_seconds: u64,
}

pub(crate) fn routes(bigquery: Arc<BigQuery>) -> Router {
    Router::new()
        .route("/bigquery", get(summary))
        .route("/bigquery/limits", post(change_limits))
        .route(
            "/bigquery/permissions",
            get(denied).post(change_permissions),
        )
        .route("/bigquery/clock", post(change_clock))
        .route("/bigquery/tokens/expire", post(expire_tokens))
        .route("/bigquery/uploads/expire", post(expire_uploads))
        .route("/bigquery/jobs/finish", post(finish_jobs))
        .route(
            "/bigquery/tables/{project}/{dataset}/{table}",
            post(create).delete(drop_table),
        )
        .route("/dump/bigquery/{project}/{dataset}/{table}", get(dump))
        .with_state(bigquery)
}

async fn summary(State(bigquery): State<Arc<BigQuery>>) -> Response {
    let tables = bigquery.tables();
    let jobs: Vec<_> = bigquery.jobs().into_iter().take(JOBS_SHOWN).collect();
    let store = bigquery.store();
    let datasets: Vec<Value> = store
        .datasets
        .iter()
        .map(|((project, id), dataset)| {
            json!({"project": project, "dataset": id, "location": dataset.location,
                "tables": dataset.tables.len()})
        })
        .collect();
    let limits = limits_to_json(&store.limits);
    Json(
        json!({"datasets": datasets, "tables": tables, "jobs": jobs, "limits": limits,
        "denied": store.access.denied()}),
    )
    .into_response()
}

async fn dump(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, dataset, table)): Path<(String, String, String)>,
    Query(form): Query<HashMap<String, String>>,
) -> Response {
    let Some(count) = bigquery.row_count(&project, &dataset, &table) else {
        return answer(StatusCode::NOT_FOUND, "there is no such table");
    };
    match form.get("format").map(String::as_str) {
        Some("count") => Json(count).into_response(),
        Some("schema") => Json(bigquery.schema(&project, &dataset, &table)).into_response(),
        None | Some("json") => Json(bigquery.dump(&project, &dataset, &table)).into_response(),
        Some(_) => answer(
            StatusCode::BAD_REQUEST,
            "the formats are `json`, `schema` and `count`",
        ),
    }
}

async fn change_limits(
    State(bigquery): State<Arc<BigQuery>>,
    Json(change): Json<LimitChange>,
) -> Response {
    let mut store = bigquery.store();
    let limits = &mut store.limits;
    let changes = [
        (&mut limits.table_jobs_per_day, change.table_jobs_per_day),
        (&mut limits.metadata_updates, change.metadata_updates),
        (&mut limits.loads, change.loads),
        (&mut limits.queued_dml, change.queued_dml),
    ];
    for (limit, change) in changes {
        *limit = change.unwrap_or(*limit);
    }
    Json(limits_to_json(limits)).into_response()
}

async fn denied(State(bigquery): State<Arc<BigQuery>>) -> Response {
    Json(bigquery.store().access.denied()).into_response()
}

async fn change_permissions(
    State(bigquery): State<Arc<BigQuery>>,
    Json(change): Json<PermissionChange>,
) -> Response {
    let mut store = bigquery.store();
    if let Some(denied) = change.set.or_else(|| change.clear.then(Vec::new)) {
        store.access.set_denied(denied);
    }
    store.access.add_denied(change.deny);
    Json(store.access.denied()).into_response()
}

async fn change_clock(
    State(bigquery): State<Arc<BigQuery>>,
    Json(change): Json<ClockChange>,
) -> Response {
    bigquery.advance(change.advance_seconds);
    Json(json!({"now_ms": bigquery.now_ms()})).into_response()
}

async fn expire_tokens(State(bigquery): State<Arc<BigQuery>>) -> Response {
    bigquery.expire_tokens();
    Json(json!({"status": "ok"})).into_response()
}

async fn expire_uploads(State(bigquery): State<Arc<BigQuery>>) -> Response {
    bigquery.store().uploads.forget();
    Json(json!({"status": "ok"})).into_response()
}

async fn finish_jobs(State(bigquery): State<Arc<BigQuery>>) -> Response {
    bigquery.finish_jobs();
    Json(json!({"status": "ok"})).into_response()
}

async fn create(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, dataset, table)): Path<(String, String, String)>,
    Json(body): Json<Value>,
) -> Response {
    match bigquery.create_table(&project, &format!("{dataset}.{table}"), &body) {
        Ok(()) => Json(json!({"status": "ok"})).into_response(),
        Err(error) => answer(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    }
}

async fn drop_table(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, dataset, table)): Path<(String, String, String)>,
) -> Response {
    if bigquery.drop_table(&project, &dataset, &table) {
        Json(json!({"status": "ok"})).into_response()
    } else {
        answer(StatusCode::NOT_FOUND, "there is no such table")
    }
}

fn limits_to_json(limits: &Limits) -> Value {
    json!({"table_jobs_per_day": limits.table_jobs_per_day,
        "metadata_updates": limits.metadata_updates,
        "loads": limits.loads, "queued_dml": limits.queued_dml})
}

fn answer(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"message": message}))).into_response()
}
