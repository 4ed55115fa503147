//! Integration keys: who may read and who may write. Facts: section 1.2.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{Denial, Pendo};

/// The header that carries the key.
pub(crate) const KEY_HEADER: &str = "x-pendo-integration-key";

/// Lets a request pass if its key allows it.
pub(crate) async fn check_key(
    State(pendo): State<Arc<Pendo>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(key) = request.headers().get(KEY_HEADER) else {
        return deny(StatusCode::UNAUTHORIZED, pendo.options.denial);
    };
    let holds = |keys: &[String]| keys.iter().any(|known| known.as_bytes() == key.as_bytes());
    if holds(&pendo.options.keys) {
        return next.run(request).await;
    }
    if !holds(&pendo.options.read_only_keys) {
        return deny(StatusCode::FORBIDDEN, pendo.options.denial);
    }
    // An aggregation reads, although it is posted.
    let reads = matches!(*request.method(), Method::GET | Method::HEAD)
        || request.uri().path().ends_with("/aggregation");
    if reads {
        return next.run(request).await;
    }
    let body = json!({"code": 403, "message": "the integration key has no write access"});
    (StatusCode::FORBIDDEN, Json(body)).into_response()
}

/// Answers a good key with 200; which body the real service sends is not known.
pub(crate) async fn verify() -> Response {
    Json(json!({})).into_response()
}

/// The answer to a key that is missing, unknown or expired.
pub(crate) fn deny(status: StatusCode, denial: Denial) -> Response {
    match denial {
        Denial::Text => (status, "Authentication Failed").into_response(),
        Denial::Empty => status.into_response(),
        Denial::Json => {
            let body = json!({"code": status.as_u16(), "message": "Authentication Failed"});
            (status, Json(body)).into_response()
        }
    }
}
