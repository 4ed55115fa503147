//! Refusals of faults that stand in front of Zoho's services, in the shapes that these have.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::json;

use super::Accounts;
use crate::faults::{Reason, Refusal};

/// The throttle's text in the language of a made-up account: clients may not go by it.
const TOO_MANY: &str =
    "Vous avez effectué trop de requêtes continuellement. Veuillez réessayer ultérieurement.";

/// Whether a path belongs to a service of Zoho whose refusals are made here.
pub(crate) fn is_zoho(path: &str) -> bool {
    ["/oauth/", "/baas/"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// What a fault answers in front of a path.
pub(crate) fn refuse(accounts: &Accounts, path: &str, refusal: Refusal) -> Response {
    let mut response = match refusal.reason {
        _ if refusal.named.is_some() => named(refusal),
        Reason::Broken => broken(refusal.status),
        reason if path.starts_with("/oauth/") => match (reason, refusal.status) {
            (Reason::Throttled, 429) => throttled(accounts.options.throttle_status),
            (Reason::Throttled, status) => throttled(status),
            _ => Json(json!({"error": "invalid_code"})).into_response(),
        },
        reason => data_store(reason, refusal.status),
    };
    if let Some(seconds) = refusal.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The throttle of the token endpoint.
pub(super) fn throttled(status: u16) -> Response {
    let body =
        json!({"error_description": TOO_MANY, "error": "Access Denied", "status": "failure"});
    (status_of(status), Json(body)).into_response()
}

/// Gateways and broken servers answer HTML, whatever was asked for.
fn broken(status: u16) -> Response {
    let status = status_of(status);
    let page = format!(
        "<html><head><title>{}</title></head><body><h1>{status}</h1></body></html>\n",
        status.as_u16()
    );
    (status, Html(page)).into_response()
}

/// A refusal with a code of the product's own.
fn named(refusal: Refusal) -> Response {
    let code = refusal.named.unwrap_or_default();
    let message = format!("Refused by a fault of the sandbox: {code}");
    let body = json!({"status": "failure", "data": {"error_code": code, "message": message}});
    (status_of(refusal.status), Json(body)).into_response()
}

fn data_store(reason: Reason, status: u16) -> Response {
    let (code, message) = match reason {
        Reason::Throttled => (
            "TOO_MANY_REQUESTS",
            "The concurrency limit of the feature DATASTORE has been reached",
        ),
        Reason::ScopeMissing => ("OAUTH_SCOPE_MISMATCH", "invalid oauth scope"),
        Reason::KeyExpired | Reason::Broken => ("INVALID_TOKEN", "invalid oauth token"),
    };
    let body = json!({"status": "failure", "data": {"error_code": code, "message": message}});
    (status_of(status), Json(body)).into_response()
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
