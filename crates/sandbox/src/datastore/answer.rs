//! Answers in the envelope of the service: `status` and `data`. Facts: sections 2.1 and 6.

use std::borrow::Cow;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::zoho::AuthDenied;

/// What a call answers: a response, or a refusal.
pub(super) type Answer = Result<Response, ApiError>;

/// A refusal: the status, the code that clients decide by, and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: Cow<'static, str>,
}

impl ApiError {
    pub(super) fn new(
        status: u16,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> ApiError {
        ApiError {
            status,
            code,
            message: message.into(),
        }
    }

    /// 400 `INVALID_INPUT`.
    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(400, "INVALID_INPUT", message)
    }

    /// 400 `ZCQL_QUERY_ERROR`.
    pub(super) fn query(message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(400, "ZCQL_QUERY_ERROR", message)
    }

    /// 404 `INVALID_ID`, with `what` as in `table 4000000093001`.
    pub(super) fn no_such(what: impl std::fmt::Display) -> ApiError {
        ApiError::new(
            404,
            "INVALID_ID",
            format!("No such {what} with the given id exists"),
        )
    }

    /// 501 for what the real service may know and the stand-in does not.
    pub(super) fn not_simulated(what: impl std::fmt::Display) -> ApiError {
        let message = format!("the sandbox does not simulate {what}");
        ApiError::new(501, "NOT_SIMULATED", message)
    }
}

impl From<AuthDenied> for ApiError {
    fn from(denied: AuthDenied) -> ApiError {
        match denied {
            AuthDenied::Missing => ApiError::new(401, "UNAUTHORISED", "unauthorised access"),
            AuthDenied::Invalid => ApiError::new(401, "INVALID_TOKEN", "invalid oauth token"),
            AuthDenied::ScopeMismatch { needed } => ApiError::new(
                401,
                "OAUTH_SCOPE_MISMATCH",
                format!("invalid oauth scope to access this URL: {needed}"),
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let data = json!({"error_code": self.code, "message": self.message});
        (status, Json(json!({"status": "failure", "data": data}))).into_response()
    }
}

/// A success with a body that was put together as a value.
pub(super) fn success(data: &Value) -> Response {
    Json(json!({"status": "success", "data": data})).into_response()
}

/// A success with `data`, and what stands beside it, as JSON text.
pub(super) fn success_text(data: &str, beside: &str) -> Response {
    let body = format!(r#"{{"status":"success","data":{data}{beside}}}"#);
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
