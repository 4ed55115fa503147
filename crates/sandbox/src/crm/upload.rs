//! Uploads for bulk writes, as the content host takes them. Facts: section 8.1.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

use super::answer::{ApiError, status_of, upload_unauthorised};
use super::credits::CALL;
use super::version::Version;
use super::{Crm, multipart, unzip};
use crate::body::{self, BodyError};
use crate::faults::CallFaults;
use crate::server::declared_length;

const SCOPE: &[&str] = &["ZohoFiles.files.ALL"];

/// Bytes around the file in a body.
const AROUND: usize = 64 << 10;

/// A file that was uploaded.
pub(super) struct Upload {
    pub(super) zip: Arc<Vec<u8>>,
    pub(super) created_ms: i64,
}

pub(super) async fn upload(
    State(crm): State<Arc<Crm>>,
    Path(version): Path<String>,
    faults: Option<Extension<CallFaults>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let limit = faults
        .and_then(|faults| faults.byte_limit)
        .unwrap_or(crm.options.upload_bytes);
    match take(&crm, &version, &parts.headers, body, limit).await {
        Ok(response) => response,
        Err(refusal) => refusal.answer(&crm),
    }
}

/// Why an upload is refused.
enum Refusal {
    Unauthorised,
    /// The status is what the error says.
    Plain(ApiError),
    /// The status may be 200.
    Uploaded(ApiError),
    /// A header that is not there, or not as it should be.
    Header(&'static str),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Refusal {
        Refusal::Plain(error)
    }
}

impl Refusal {
    fn answer(self, crm: &Crm) -> Response {
        let status = status_of(crm.options.upload_status);
        match self {
            Refusal::Unauthorised => upload_unauthorised(),
            Refusal::Plain(error) => error.into_response(),
            Refusal::Uploaded(error) => (status, Json(error.body())).into_response(),
            Refusal::Header(name) => {
                let error = ApiError::bad("MANDATORY_NOT_FOUND", json!({"api_name": name}));
                let mut response = (status, Json(error.body())).into_response();
                let text = format!("header {name} is absent or wrong");
                if let Ok(value) = HeaderValue::from_str(&text) {
                    response.headers_mut().insert("x-error", value);
                }
                response
            }
        }
    }
}

async fn take(
    crm: &Crm,
    version: &str,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Response, Refusal> {
    let entered = enter(crm, version, headers);
    let boundary = multipart::boundary(headers);
    let declared = declared_length(headers);
    let (Ok(()), Some(boundary)) = (&entered, boundary) else {
        body::drain(body).await;
        entered?;
        return Err(Refusal::Uploaded(ApiError::bad(
            "INVALID_FILE_FORMAT",
            json!({}),
        )));
    };
    let too_large = || {
        Refusal::Plain(ApiError::new(
            413,
            "FILE_TOO_LARGE",
            json!({"max_size": limit}),
        ))
    };
    let whole = match body::collect(body, declared, limit + AROUND).await {
        Ok(whole) => whole,
        Err(BodyError::TooLarge) => return Err(too_large()),
        Err(BodyError::Broken) => return Err(ApiError::bad("INVALID_REQUEST", json!({})).into()),
    };
    let wrong_file = || Refusal::Uploaded(ApiError::bad("INVALID_FILE_FORMAT", json!({})));
    let parts = multipart::parts(&whole, &boundary).ok_or_else(wrong_file)?;
    let file = parts.iter().find(|part| part.name == "file");
    let file = file.ok_or_else(|| {
        Refusal::Uploaded(ApiError::bad(
            "MANDATORY_NOT_FOUND",
            json!({"api_name": "file"}),
        ))
    })?;
    if file.content.len() > limit {
        return Err(too_large());
    }
    let is_zip = unzip::entries(file.content).is_some_and(|entries| !entries.is_empty());
    if file.file_name.is_none() || !is_zip {
        return Err(wrong_file());
    }
    let created_ms = crm.now_ms();
    let mut jobs = crm.jobs();
    let id = jobs.next_id();
    jobs.uploads.insert(
        id,
        Upload {
            zip: Arc::new(file.content.to_vec()),
            created_ms,
        },
    );
    let details =
        json!({"file_id": id.to_string(), "created_time": crm.zone.text(created_ms / 1000)});
    let body = json!({"status": "success", "code": "FILE_UPLOAD_SUCCESS",
        "message": "file uploaded.", "details": details});
    Ok(Json(body).into_response())
}

/// Looks at the token and at the headers that the host wants.
fn enter(crm: &Crm, version: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    if Version::from_name(version).is_none() {
        return Err(ApiError::new(404, "INVALID_URL_PATTERN", json!({})).into());
    }
    match crm.accounts.authorize(headers, SCOPE) {
        Ok(_) => {}
        Err(denied @ crate::zoho::AuthDenied::ScopeMismatch { .. }) => {
            return Err(ApiError::from(denied).into());
        }
        Err(_) => return Err(Refusal::Unauthorised),
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("feature") {
        Some("bulk-write") => {}
        Some(_) => {
            let error = ApiError::bad("NOT_SUPPORTED_FEATURE", json!({}));
            return Err(Refusal::Uploaded(error));
        }
        None => return Err(Refusal::Header("feature")),
    }
    if text("x-crm-org").and_then(|org| org.parse().ok()) != Some(crm.options.zgid) {
        return Err(Refusal::Header("X-CRM-ORG"));
    }
    if !crm.credits().take(CALL, crm.options.credits, crm.now_ms()) {
        return Err(ApiError::too_many().into());
    }
    Ok(())
}
