//! Control requests for CRM under `/_sandbox/crm`: look at modules, records, jobs and credits, change
//! records as people do, make modules and fields, deny permissions, block records, use credits up.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Crm, Deletion};

/// How many jobs the summary lists.
const JOBS_SHOWN: usize = 200;

/// The largest body: records of a large module.
const BODY_LIMIT: usize = 512 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    rows: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    ids: Vec<Value>,
    #[serde(default)]
    permanent: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Blocked {
    ids: Vec<Value>,
    code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    field: String,
    code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Denied {
    module: String,
    action: String,
    code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Used {
    credits: u64,
}

type Parameters = Query<HashMap<String, String>>;

pub(crate) fn routes(crm: Arc<Crm>) -> Router {
    Router::new()
        .route("/crm", get(summary))
        .route("/crm/modules", post(create_module))
        .route("/crm/permissions", post(deny).delete(allow))
        .route("/crm/credits", post(use_credits))
        .route("/crm/block", post(block))
        .route("/crm/{module}/fields", post(add_field))
        .route("/crm/{module}/refuse", post(refuse_field))
        .route("/crm/{module}/records", post(put).delete(delete))
        .route("/crm/{module}/restore", post(restore))
        .route("/crm/{module}/change", post(change))
        .route("/crm/{module}/add", post(add))
        .route("/dump/crm/{module}", get(dump))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(crm)
}

async fn summary(State(crm): State<Arc<Crm>>) -> Response {
    let jobs: Vec<_> = crm.jobs_view().into_iter().take(JOBS_SHOWN).collect();
    let (taken, failed) = crm.callback_counts();
    Json(
        json!({"modules": crm.modules(), "jobs": jobs, "credits": crm.credits_view(),
        "uploads": crm.upload_count(), "callbacks": {"taken": taken, "failed": failed}}),
    )
    .into_response()
}

async fn create_module(State(crm): State<Arc<Crm>>, Json(described): Json<Value>) -> Response {
    outcome(crm.create_module(&described))
}

async fn add_field(
    State(crm): State<Arc<Crm>>,
    Path(module): Path<String>,
    Json(described): Json<Value>,
) -> Response {
    outcome(crm.add_field(&module, &described))
}

async fn refuse_field(
    State(crm): State<Arc<Crm>>,
    Path(module): Path<String>,
    Json(refused): Json<Refused>,
) -> Response {
    outcome(crm.refuse_field(&module, &refused.field, &refused.code))
}

async fn deny(State(crm): State<Arc<Crm>>, Json(denied): Json<Denied>) -> Response {
    outcome(crm.deny(&denied.module, &denied.action, &denied.code))
}

async fn allow(State(crm): State<Arc<Crm>>) -> Response {
    crm.allow_all();
    done()
}

async fn use_credits(State(crm): State<Arc<Crm>>, Json(used): Json<Used>) -> Response {
    if crm.use_credits(used.credits) {
        Json(crm.credits_view()).into_response()
    } else {
        answer(StatusCode::BAD_REQUEST, "there are not as many credits")
    }
}

async fn block(State(crm): State<Arc<Crm>>, Json(blocked): Json<Blocked>) -> Response {
    crm.block(&ids_of(&blocked.ids), &blocked.code);
    done()
}

async fn put(
    State(crm): State<Arc<Crm>>,
    Path(module): Path<String>,
    Json(records): Json<Value>,
) -> Response {
    match crm.put(&module, &records) {
        Ok(ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            Json(json!({"ids": ids})).into_response()
        }
        Err(error) => answer(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    }
}

async fn delete(
    State(crm): State<Arc<Crm>>,
    Path(module): Path<String>,
    Json(body): Json<Ids>,
) -> Response {
    let deletion = if body.permanent {
        Deletion::Permanent
    } else {
        Deletion::Recycle
    };
    Json(json!({"deleted": crm.delete(&module, &ids_of(&body.ids), deletion)})).into_response()
}

async fn restore(
    State(crm): State<Arc<Crm>>,
    Path(module): Path<String>,
    Json(body): Json<Ids>,
) -> Response {
    Json(json!({"restored": crm.restore(&module, &ids_of(&body.ids))})).into_response()
}

async fn change(
    State(crm): State<Arc<Crm>>,
    Path(module): Path<String>,
    Json(amount): Json<Amount>,
) -> Response {
    Json(json!({"changed": crm.change_some(&module, amount.rows)})).into_response()
}

async fn add(
    State(crm): State<Arc<Crm>>,
    Path(module): Path<String>,
    Json(amount): Json<Amount>,
) -> Response {
    if module != "Leads" {
        return answer(
            StatusCode::BAD_REQUEST,
            "only `Leads` has sample records to add",
        );
    }
    Json(json!({"added": crm.add_leads(amount.rows)})).into_response()
}

async fn dump(
    State(crm): State<Arc<Crm>>,
    Path(module): Path<String>,
    Query(form): Parameters,
) -> Response {
    let Some(count) = crm.record_count(&module) else {
        return answer(StatusCode::NOT_FOUND, "there is no such module");
    };
    match form.get("format").map(String::as_str) {
        Some("count") => Json(count).into_response(),
        None | Some("json") => Json(crm.dump(&module)).into_response(),
        Some(_) => answer(
            StatusCode::BAD_REQUEST,
            "the formats are `json` and `count`",
        ),
    }
}

/// Ids as numbers or as texts.
fn ids_of(ids: &[Value]) -> Vec<i64> {
    let id = |id: &Value| match id {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    ids.iter().filter_map(id).collect()
}

fn outcome(result: anyhow::Result<()>) -> Response {
    match result {
        Ok(()) => done(),
        Err(error) => answer(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    }
}

fn done() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

fn answer(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"message": message}))).into_response()
}
