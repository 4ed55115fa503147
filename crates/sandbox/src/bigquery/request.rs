//! What the handlers read of a request: its body, which may be zipped, and its parameters.

use std::collections::HashMap;
use std::io::Read;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};

use super::answer::ApiError;
use crate::body::{self, BodyError};
use crate::server::declared_length;

/// The largest body that is read at all.
const BODY_LIMIT: usize = 1 << 30;

/// Query parameters by name.
pub(crate) type Parameters = axum::extract::Query<HashMap<String, String>>;

/// A whole body, unzipped if `Content-Encoding` says so.
pub(crate) struct WholeBody(pub(crate) Vec<u8>);

impl<State: Send + Sync> FromRequest<State> for WholeBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &State) -> Result<WholeBody, ApiError> {
        let declared = declared_length(request.headers());
        let is_zipped = has_gzip(request.headers());
        let bytes = match body::collect(request.into_body(), declared, BODY_LIMIT).await {
            Ok(bytes) => bytes,
            Err(BodyError::TooLarge) => return Err(too_large()),
            Err(BodyError::Broken) => {
                return Err(ApiError::invalid(
                    "the body ended before its declared length",
                ));
            }
        };
        if is_zipped {
            unzip(&bytes).map(WholeBody)
        } else {
            Ok(WholeBody(bytes))
        }
    }
}

impl WholeBody {
    /// The body as a JSON object.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, ApiError> {
        object(&self.0)
    }
}

/// Bytes as a JSON object.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|_| ApiError::new(400, "parseError", "Parse Error: the body is no JSON object"))
}

/// Unzips bytes.
pub(crate) fn unzip(bytes: &[u8]) -> Result<Vec<u8>, ApiError> {
    let mut unzipped = Vec::with_capacity(bytes.len() * 4);
    MultiGzDecoder::new(bytes)
        .read_to_end(&mut unzipped)
        .map_err(|_| ApiError::invalid("Error while reading data: the gzip stream is broken."))?;
    Ok(unzipped)
}

/// The refusal of a body over a limit.
pub(crate) fn too_large() -> ApiError {
    ApiError::new(
        413,
        "uploadTooLarge",
        "Request payload size exceeds the limit",
    )
}

/// Refuses names that the service does not know, and those that the stand-in does not.
pub(crate) fn check_names(
    object: &Map<String, Value>,
    known: &[&str],
    not_simulated: &[&str],
    what: &str,
) -> Result<(), ApiError> {
    for (name, value) in object {
        if known.contains(&name.as_str()) || value.is_null() {
            continue;
        }
        if not_simulated.contains(&name.as_str()) {
            return Err(ApiError::not_simulated(format!("`{name}` of {what}")));
        }
        return Err(ApiError::invalid(format!(
            "Invalid JSON payload received. Unknown name \"{name}\" at '{what}': Cannot find field."
        )));
    }
    Ok(())
}

/// A 64-bit number, which this API writes as text.
pub(crate) fn int64(value: &Value, name: &str) -> Result<Option<i64>, ApiError> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.parse()
        .map(Some)
        .map_err(|_| ApiError::invalid(format!("Invalid value for {name}: it is no 64-bit number")))
}

fn has_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"gzip"))
}
