//! Refusals in the shapes of the service. Facts: sections 2, 8.1 and 11.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};

use crate::faults::{Reason, Refusal};
use crate::zoho::AuthDenied;

/// What a call answers: a response, or a refusal.
pub(super) type Answer = Result<Response, ApiError>;

/// A refusal: the status, the code that clients decide by, and what it is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: Cow<'static, str>,
    pub(super) details: Value,
}

impl ApiError {
    /// A refusal with a text that is the code in small letters.
    pub(super) fn new(status: u16, code: &'static str, details: Value) -> ApiError {
        ApiError {
            status,
            code,
            message: code.replace('_', " ").to_ascii_lowercase().into(),
            details,
        }
    }

    /// 400 with a code.
    pub(super) fn bad(code: &'static str, details: Value) -> ApiError {
        ApiError::new(400, code, details)
    }

    /// 400 about a field.
    pub(super) fn field(code: &'static str, name: &str) -> ApiError {
        ApiError::bad(code, json!({"api_name": name}))
    }

    /// 400 about a key that is not there.
    pub(super) fn missing_key(path: &str) -> ApiError {
        let name = path.rsplit('.').next().unwrap_or(path);
        ApiError::bad(
            "MISSING_REQUIRED_KEY",
            json!({"api_name": name, "json_path": path}),
        )
    }

    /// 400 about a parameter that is not there.
    pub(super) fn missing_parameter(name: &str) -> ApiError {
        ApiError::bad("REQUIRED_PARAM_MISSING", json!({"param": name}))
    }

    /// 400 about a parameter that is over a limit.
    pub(super) fn limit(name: &str, limit: usize) -> ApiError {
        ApiError::bad(
            "LIMIT_EXCEEDED",
            json!({"limit": limit, "param_name": name}),
        )
    }

    /// 404 about a job or a result.
    pub(super) fn no_resource(id: &str) -> ApiError {
        ApiError::new(404, "RESOURCE_NOT_FOUND", json!({"resource": id}))
    }

    /// 429.
    pub(super) fn too_many() -> ApiError {
        ApiError::new(429, "TOO_MANY_REQUESTS", json!({}))
    }

    /// 501 for what the real service may know and the stand-in does not.
    pub(super) fn not_simulated(what: impl std::fmt::Display) -> ApiError {
        ApiError {
            message: format!("the sandbox does not simulate {what}").into(),
            ..ApiError::new(501, "NOT_SIMULATED", json!({}))
        }
    }

    /// The object that stands in bodies.
    pub(super) fn body(&self) -> Value {
        json!({"code": self.code, "details": self.details, "message": self.message,
            "status": "error"})
    }
}

impl From<AuthDenied> for ApiError {
    fn from(denied: AuthDenied) -> ApiError {
        let refusal = |code, message: &'static str| ApiError {
            message: message.into(),
            ..ApiError::new(401, code, json!({}))
        };
        match denied {
            AuthDenied::Missing => refusal("AUTHENTICATION_FAILURE", "Authentication failed"),
            AuthDenied::Invalid => refusal("INVALID_TOKEN", "invalid oauth token"),
            AuthDenied::ScopeMismatch { .. } => refusal(
                "OAUTH_SCOPE_MISMATCH",
                "invalid oauth scope to access this URL",
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (status_of(self.status), Json(self.body())).into_response()
    }
}

/// 204, which means that there is nothing.
pub(super) fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// A success with a body that is JSON text already.
pub(super) fn json_text(body: String) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json;charset=UTF-8")],
        body,
    )
        .into_response()
}

/// The answer of the upload host to a token that is not good, in a shape of its own.
pub(super) fn upload_unauthorised() -> Response {
    let body = json!({"ERROR_CODE": 401, "ERROR_MESSAGE": "Unauthorized request"});
    (StatusCode::UNAUTHORIZED, Json(body)).into_response()
}

/// Whether a path is one of the service's.
pub(crate) fn is_crm(path: &str) -> bool {
    path.starts_with("/crm/") || path.contains("/bulk-write/")
}

/// What a fault answers in front of a path.
pub(crate) fn refuse(path: &str, refusal: Refusal) -> Response {
    let status = refusal.status;
    let is_upload = path.ends_with("/upload");
    let mut response = match (refusal.reason, status) {
        (_, status) if refusal.named.is_some() => {
            let code = refusal.named.unwrap_or_default();
            ApiError::new(status, code, json!({})).into_response()
        }
        (Reason::Throttled, _) => ApiError {
            status,
            ..ApiError::too_many()
        }
        .into_response(),
        (Reason::KeyExpired, 401) if is_upload => upload_unauthorised(),
        (Reason::KeyExpired, _) => ApiError {
            status,
            ..AuthDenied::Invalid.into()
        }
        .into_response(),
        (Reason::ScopeMissing, _) => ApiError {
            status,
            ..AuthDenied::ScopeMismatch {
                needed: String::new(),
            }
            .into()
        }
        .into_response(),
        (Reason::Broken, 500) => ApiError::new(500, "INTERNAL_ERROR", json!({})).into_response(),
        (Reason::Broken, _) => {
            // Gateways answer HTML, whatever was asked for.
            let page = format!("<html><body><h1>{status}</h1></body></html>\n");
            (status_of(status), Html(page)).into_response()
        }
    };
    if let Some(seconds) = refusal.retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub(super) fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
