//! `GET /v1/datalake/retrieve`: the content of a file, or a link to it. Facts: section 5.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer::{Answer, ApiError};
use super::content::Content;
use super::{Tetra, count};
use crate::form;
use crate::server::Held;

pub(super) async fn retrieve(
    State(tetra): State<Arc<Tetra>>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Answer {
    tetra.enter(&headers)?;
    let Some(flying) = tetra.retrieving.enter(tetra.options.concurrency) else {
        return Err(tetra.throttled());
    };
    if !tetra
        .retrieves
        .admits(tetra.options.retrieves, tetra.now_ms())
    {
        return Err(tetra.throttled());
    }
    let parameters = form::fields(parameters.as_deref().unwrap_or_default());
    let Some(id) = parameters.get("fileId").filter(|id| !id.is_empty()) else {
        return Err(ApiError::new(400, "fileId is required"));
    };
    let wants_link = parameters
        .get("getPresigned")
        .is_some_and(|text| text == "true");
    let (path, stored) = {
        let store = tetra.look();
        let file = store.file(id).filter(|file| file.can_be_had());
        let file = file.ok_or_else(|| ApiError::no_file(id))?;
        let path = file.newest().path().to_owned();
        let stored = (!wants_link).then(|| (file.content(), file.stored.is_gzip));
        (path, stored)
    };
    let held = Held(Arc::new(flying));
    let mut response = match stored {
        None => {
            count(&tetra.counters.links);
            Json(json!({"url": tetra.link(id, &path, &headers)})).into_response()
        }
        Some((content, is_gzip)) => {
            count(&tetra.counters.retrieves);
            download(&tetra, content, is_gzip, Some(held.clone()))
        }
    };
    response.extensions_mut().insert(held);
    Ok(response)
}

/// A content as it stands in the storage.
pub(super) fn download(
    tetra: &Tetra,
    content: Content,
    is_gzip: bool,
    held: Option<Held>,
) -> Response {
    let (length, body) = if is_gzip {
        content.squeezed_body(held)
    } else {
        let length = content.length();
        (length, content.body(0, length, held))
    };
    let mut response = with_type(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if is_gzip && tetra.options.encoding_header {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Part of a content, from a place to before another.
pub(super) fn part(content: Content, from: u64, to: u64, held: Option<Held>) -> Response {
    let length = content.length();
    let mut response = with_type(content.body(from, to, held));
    *response.status_mut() = axum::http::StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(to - from));
    let range = format!("bytes {from}-{}/{length}", to.saturating_sub(1));
    if let Ok(range) = HeaderValue::from_str(&range) {
        headers.insert(header::CONTENT_RANGE, range);
    }
    response
}

fn with_type(body: Body) -> Response {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
