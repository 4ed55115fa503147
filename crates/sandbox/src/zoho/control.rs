//! Control requests for Zoho accounts under `/_sandbox/zoho`: move the clock, end tokens, change what
//! they open, look at how many there are.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::Accounts;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    advance_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revocation {
    refresh_token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowance {
    refresh_token: String,
    /// All scopes if left out.
    #[serde(default)]
    scopes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCode {
    code: String,
    seconds: Option<u64>,
}

pub(crate) fn routes(accounts: Arc<Accounts>) -> Router {
    Router::new()
        .route("/zoho", get(summary))
        .route("/zoho/clock", post(change_clock))
        .route("/zoho/tokens/expire", post(expire_tokens))
        .route("/zoho/tokens/revoke", post(revoke))
        .route("/zoho/tokens/allow", post(allow))
        .route("/zoho/codes", post(add_code))
        .with_state(accounts)
}

async fn summary(State(accounts): State<Arc<Accounts>>) -> Response {
    Json(json!({"tokens": accounts.token_counts(), "now_ms": accounts.now_ms()})).into_response()
}

async fn change_clock(
    State(accounts): State<Arc<Accounts>>,
    Json(change): Json<ClockChange>,
) -> Response {
    accounts.advance(change.advance_seconds);
    Json(json!({"now_ms": accounts.now_ms()})).into_response()
}

async fn expire_tokens(State(accounts): State<Arc<Accounts>>) -> Response {
    accounts.end_access_tokens();
    Json(json!({"status": "ok"})).into_response()
}

async fn revoke(
    State(accounts): State<Arc<Accounts>>,
    Json(revocation): Json<Revocation>,
) -> Response {
    if accounts.revoke(&revocation.refresh_token) {
        return Json(json!({"status": "ok"})).into_response();
    }
    let body = json!({"message": "there is no such token"});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

async fn allow(
    State(accounts): State<Arc<Accounts>>,
    Json(allowance): Json<Allowance>,
) -> Response {
    let scopes: Vec<&str> = allowance.scopes.iter().map(String::as_str).collect();
    accounts.allow(&allowance.refresh_token, &scopes);
    Json(json!({"status": "ok"})).into_response()
}

async fn add_code(State(accounts): State<Arc<Accounts>>, Json(new): Json<NewCode>) -> Response {
    let seconds = new.seconds.unwrap_or(accounts.options.code_seconds);
    accounts.add_code(&new.code, seconds);
    Json(json!({"status": "ok"})).into_response()
}
