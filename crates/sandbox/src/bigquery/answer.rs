//! Refusals in the shape in which Google answers them, over REST and in the status of a job.

use std::borrow::Cow;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What a call answers: a body, or a refusal.
pub(crate) type Answer = Result<Json<Value>, ApiError>;

/// A refusal: the code of the answer, the reason that clients decide by, and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) message: String,
    pub(crate) location: Option<String>,
}

impl ApiError {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> ApiError {
        ApiError {
            code,
            reason: Cow::Borrowed(reason),
            message: message.into(),
            location: None,
        }
    }

    /// 400 `invalid`: the request is not one that could ever be carried out.
    pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "invalid", message)
    }

    /// 400 `invalidQuery`.
    pub(crate) fn invalid_query(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "invalidQuery", message)
    }

    /// 404 `notFound`, with `what` as in `Table p:d.t`.
    pub(crate) fn not_found(what: impl std::fmt::Display) -> ApiError {
        ApiError::new(404, "notFound", format!("Not found: {what}"))
    }

    /// 409 `duplicate`, with `what` as in `Table p:d.t`.
    pub(crate) fn duplicate(what: impl std::fmt::Display) -> ApiError {
        ApiError::new(409, "duplicate", format!("Already Exists: {what}"))
    }

    /// 501 for what the real service may know and the stand-in does not.
    pub(crate) fn not_simulated(what: impl std::fmt::Display) -> ApiError {
        ApiError::new(
            501,
            "notImplemented",
            format!("the sandbox does not simulate {what}"),
        )
    }

    /// The same with the place that it is about.
    pub(crate) fn at(mut self, location: impl Into<String>) -> ApiError {
        self.location = Some(location.into());
        self
    }

    /// As `errorResult` and the elements of `errors` have it.
    pub(crate) fn to_proto(&self) -> Value {
        let mut proto = json!({"reason": self.reason, "message": self.message});
        if let Some(location) = &self.location {
            proto["location"] = json!(location);
        }
        proto
    }

    /// The body of an answer.
    pub(crate) fn body(&self) -> Value {
        let domain = match &*self.reason {
            "rateLimitExceeded" | "quotaExceeded" => "usageLimits",
            _ => "global",
        };
        let mut error = json!({
            "message": self.message, "domain": domain, "reason": self.reason,
        });
        if let Some(location) = &self.location {
            error["location"] = json!(location);
            error["locationType"] = json!("parameter");
        }
        json!({"error": {
            "code": self.code, "message": self.message, "errors": [error],
            "status": status_name(self.code),
        }})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.body())).into_response()
    }
}

/// The name that goes with a code.
fn status_name(code: u16) -> &'static str {
    match code {
        400 | 413 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ALREADY_EXISTS",
        412 => "FAILED_PRECONDITION",
        429 => "RESOURCE_EXHAUSTED",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}
