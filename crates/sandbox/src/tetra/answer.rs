//! Refusals in the shapes of the platform. Facts: section 4.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::json;

/// Says why a query was refused, which the platform does not.
pub(super) const REASON_HEADER: HeaderName = HeaderName::from_static("x-sandbox-reason");

/// What a call answers: a response, or a refusal.
pub(super) type Answer = Result<Response, ApiError>;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ApiError {
    /// A status with the usual body.
    Status(u16, Cow<'static, str>),
    /// 400 with an empty object: a query that the engine does not take. The reason goes into a header.
    Query(Cow<'static, str>),
    /// A call over a limit, with the seconds of `Retry-After`.
    Throttled(u16, Option<u64>),
    /// 501 for what the real platform knows and the stand-in does not.
    NotSimulated(Cow<'static, str>),
}

impl ApiError {
    pub(super) fn new(status: u16, message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::Status(status, message.into())
    }

    pub(super) fn query(reason: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::Query(reason.into())
    }

    pub(super) fn not_simulated(what: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::NotSimulated(what.into())
    }

    /// A body that could not be read to its end.
    pub(super) fn unread(status: StatusCode) -> ApiError {
        let message = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "Payload content length greater than maximum allowed",
            _ => "Invalid request payload",
        };
        ApiError::new(status.as_u16(), message)
    }

    pub(super) fn no_file(id: &str) -> ApiError {
        ApiError::new(404, format!("File not found: {id}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            ApiError::Status(status, message) => refusal(status, &message),
            ApiError::Query(reason) => {
                let mut response = (StatusCode::BAD_REQUEST, Json(json!({}))).into_response();
                let reason: String = reason.chars().filter(char::is_ascii).collect();
                if let Ok(reason) = HeaderValue::from_str(&reason) {
                    response.headers_mut().insert(REASON_HEADER, reason);
                }
                response
            }
            ApiError::Throttled(status, retry_after) => {
                let mut response = refusal(status, "Too many requests");
                if let Some(seconds) = retry_after {
                    let headers = response.headers_mut();
                    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
                response
            }
            ApiError::NotSimulated(what) => {
                let message = format!("the sandbox does not simulate {what}");
                let body = json!({"sandbox": "not implemented", "message": message});
                (StatusCode::NOT_IMPLEMENTED, Json(body)).into_response()
            }
        }
    }
}

/// The usual body with a status; gateways answer with a page.
pub(super) fn refusal(status: u16, message: &str) -> Response {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = code.canonical_reason().unwrap_or("Error");
    if matches!(status, 502..=504) {
        let page = format!("<html><head><title>{status} {error}</title></head></html>\n");
        return (code, Html(page)).into_response();
    }
    let body = json!({"statusCode": status, "error": error, "message": message});
    (code, Json(body)).into_response()
}
