//! Control requests for Zoho Analytics under `/_sandbox`: look at views, rows and jobs, take permissions
//! and slots away, set units and limits, end jobs, move the clock.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Analytics, is_known_code};

/// How many jobs the summary lists.
const JOBS_SHOWN: usize = 200;

/// The largest body: rows that are put into a table.
const BODY_LIMIT: usize = 256 << 20;

/// What a control request changes; each key by itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// Permissions to take away.
    #[serde(default)]
    deny: Vec<String>,
    /// Permissions to give back.
    #[serde(default)]
    grant: Vec<String>,
    email_verified: Option<bool>,
    foreign_slots: Option<usize>,
    units_used: Option<u64>,
    units_limit: Option<u64>,
    /// Calls a minute: of rows, bulk, metadata, and all together.
    call_limits: Option<[u32; 4]>,
    advance_seconds: Option<u64>,
    /// Drops batch jobs that are open.
    #[serde(default)]
    lapse_batches: bool,
    /// Ends jobs that wait.
    #[serde(default)]
    finish_jobs: bool,
    /// Forgets jobs that are over.
    #[serde(default)]
    forget_jobs: bool,
}

/// What a control request changes of a view.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewChange {
    /// The code that changes of its rows are refused with; 0 ends that.
    refuse: Option<u32>,
    view_type: Option<String>,
    design_locked: Option<bool>,
    /// Rows to add, as objects of texts.
    #[serde(default)]
    rows: Vec<Value>,
}

pub(crate) fn routes(analytics: Arc<Analytics>) -> Router {
    Router::new()
        .route("/analytics", get(summary).post(change))
        .route("/analytics/tables", post(create))
        .route("/analytics/workspaces/{org}/{id}/{name}", post(workspace))
        .route(
            "/analytics/views/{name}",
            post(change_view).delete(drop_view),
        )
        .route("/dump/analytics/{name}", get(dump))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(analytics)
}

async fn summary(State(analytics): State<Arc<Analytics>>) -> Response {
    Json(shown(&analytics)).into_response()
}

fn shown(analytics: &Analytics) -> Value {
    let jobs: Vec<_> = analytics.jobs().into_iter().take(JOBS_SHOWN).collect();
    json!({"now_ms": analytics.now_ms(), "org": analytics.org(),
        "workspace": analytics.workspace(), "views": analytics.views(), "jobs": jobs,
        "usage": analytics.usage(), "denied": analytics.denied()})
}

async fn change(State(analytics): State<Arc<Analytics>>, Json(change): Json<Change>) -> Response {
    for (names, is_granted) in [(&change.deny, false), (&change.grant, true)] {
        for name in names {
            if let Err(error) = analytics.set_permission(name, is_granted) {
                return answer(StatusCode::BAD_REQUEST, &format!("{error:#}"));
            }
        }
    }
    if let Some(is_verified) = change.email_verified {
        analytics.set_email_verified(is_verified);
    }
    if let Some(count) = change.foreign_slots {
        analytics.set_foreign_slots(count);
    }
    if let Some([rows, bulk, metadata, all]) = change.call_limits {
        analytics.set_call_limits(rows, bulk, metadata, all);
    }
    if let Some(units) = change.units_limit {
        analytics.set_units_limit(units);
    }
    if let Some(seconds) = change.advance_seconds {
        analytics.advance(seconds);
    }
    if let Some(units) = change.units_used {
        analytics.set_units_used(units);
    }
    if change.lapse_batches {
        analytics.lapse_batches();
    }
    if change.finish_jobs {
        analytics.finish_jobs();
    }
    if change.forget_jobs {
        analytics.forget_jobs();
    }
    Json(shown(&analytics)).into_response()
}

async fn create(State(analytics): State<Arc<Analytics>>, Json(design): Json<Value>) -> Response {
    match analytics.create_table(&design) {
        Ok(id) => Json(json!({"viewId": id})).into_response(),
        Err(error) => answer(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    }
}

async fn workspace(
    State(analytics): State<Arc<Analytics>>,
    Path((org, id, name)): Path<(String, String, String)>,
) -> Response {
    analytics.add_workspace(&org, &id, &name);
    Json(json!({"status": "ok"})).into_response()
}

async fn change_view(
    State(analytics): State<Arc<Analytics>>,
    Path(name): Path<String>,
    Json(change): Json<ViewChange>,
) -> Response {
    match apply(&analytics, &name, &change) {
        Ok(()) => Json(json!({"status": "ok", "rows": analytics.row_count(&name)})).into_response(),
        Err(error) => answer(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    }
}

fn apply(analytics: &Analytics, name: &str, change: &ViewChange) -> anyhow::Result<()> {
    if let Some(code) = change.refuse {
        if code != 0 && !is_known_code(code) {
            anyhow::bail!("the code {code} is not known");
        }
        analytics.set_refusal(name, Some(code).filter(|code| *code != 0))?;
    }
    if let Some(view_type) = &change.view_type {
        analytics.set_view_type(name, view_type)?;
    }
    if let Some(is_locked) = change.design_locked {
        analytics.set_design_locked(name, is_locked)?;
    }
    analytics.put_rows(name, &change.rows)?;
    Ok(())
}

async fn drop_view(State(analytics): State<Arc<Analytics>>, Path(name): Path<String>) -> Response {
    if analytics.drop_view(&name) {
        Json(json!({"status": "ok"})).into_response()
    } else {
        answer(StatusCode::NOT_FOUND, "there is no such view")
    }
}

async fn dump(
    State(analytics): State<Arc<Analytics>>,
    Path(name): Path<String>,
    Query(form): Query<HashMap<String, String>>,
) -> Response {
    let Some(count) = analytics.row_count(&name) else {
        return answer(StatusCode::NOT_FOUND, "there is no such view");
    };
    match form.get("format").map(String::as_str) {
        Some("count") => Json(count).into_response(),
        Some("fingerprint") => Json(analytics.fingerprint(&name)).into_response(),
        None | Some("json") => Json(analytics.dump(&name)).into_response(),
        Some(_) => answer(
            StatusCode::BAD_REQUEST,
            "the formats are `json`, `count` and `fingerprint`",
        ),
    }
}

fn answer(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"message": message}))).into_response()
}
