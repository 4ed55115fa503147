//! Answers that several endpoints share. Error bodies are JSON in some places and text in others,
//! as with the real service, so that no client comes to rely on one form.

use axum::Json;
use axum::extract::OriginalUri;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// 400 for what the client got wrong.
pub(crate) fn bad_request(message: &str) -> Response {
    (
        StatusCode::BAD_REQUEST,
        Json(json!({"code": 400, "message": message})),
    )
        .into_response()
}

/// 404 for a kind, group, field, id or path that does not exist.
pub(crate) fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

/// 408 for a call that would run over the longest call.
pub(crate) fn timed_out() -> Response {
    (StatusCode::REQUEST_TIMEOUT, "Request Timeout\n").into_response()
}

/// 413 for a body over the limit.
pub(crate) fn too_large() -> Response {
    (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large\n").into_response()
}

/// 501 with what was asked for: the real service may know it, the sandbox does not.
pub(crate) async fn not_simulated(OriginalUri(uri): OriginalUri, method: Method) -> Response {
    let asked = format!("{method} {}", uri.path());
    unknown(&format!("the sandbox does not simulate `{asked}`"))
}

/// 501 for a part of a request that the sandbox does not know.
pub(crate) fn unknown(message: &str) -> Response {
    (
        StatusCode::NOT_IMPLEMENTED,
        Json(json!({"sandbox": "not implemented", "message": message})),
    )
        .into_response()
}
