//! Control requests for the Tetra Data Platform under `/_sandbox/tetra`: look at files, add, index again,
//! delete, move the clock, end tokens.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Tetra;

/// How many files the summary lists.
const FILES_SHOWN: usize = 200;

/// The largest body: many files.
const BODY_LIMIT: usize = 512 << 20;

/// Files by their ids, or so many.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    #[serde(default)]
    ids: Vec<String>,
    count: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    #[serde(default)]
    advance_seconds: u64,
    #[serde(default)]
    advance_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// For ever if left out.
    seconds: Option<i64>,
    /// Ends all that were good before.
    #[serde(default)]
    end_others: bool,
}

pub(crate) fn routes(tetra: Arc<Tetra>) -> Router {
    Router::new()
        .route("/tetra", get(summary))
        .route("/tetra/files", post(add).delete(delete))
        .route("/tetra/reindex", post(reindex))
        .route("/tetra/relabel", post(relabel))
        .route("/tetra/vanish", post(vanish))
        .route("/tetra/clock", post(change_clock))
        .route("/tetra/tokens", post(new_token).delete(end_tokens))
        .route("/dump/tetra", get(dump))
        .route("/dump/tetra/{id}", get(dump_one))
        .route("/dump/tetra/{id}/content", get(content))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(tetra)
}

async fn summary(State(tetra): State<Arc<Tetra>>) -> Response {
    Json(json!({
        "files": tetra.file_count(),
        "newest": tetra.newest(FILES_SHOWN),
        "counts": tetra.counts(),
        "now_ms": tetra.now_ms(),
    }))
    .into_response()
}

/// An array of files, or `{"count": N}` of the sample.
async fn add(State(tetra): State<Arc<Tetra>>, Json(body): Json<Value>) -> Response {
    if let Some(count) = body["count"].as_u64() {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        return Json(json!({"ids": tetra.add_some(count)})).into_response();
    }
    match tetra.add(&body) {
        Ok(ids) => Json(json!({"ids": ids})).into_response(),
        Err(error) => answer(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    }
}

async fn delete(State(tetra): State<Arc<Tetra>>, Json(which): Json<Which>) -> Response {
    Json(json!({"deleted": tetra.delete(&which.ids)})).into_response()
}

async fn reindex(State(tetra): State<Arc<Tetra>>, Json(which): Json<Which>) -> Response {
    let count = match which.count {
        Some(count) => tetra.reindex_some(count).len(),
        None => tetra.reindex(&which.ids),
    };
    Json(json!({"reindexed": count})).into_response()
}

async fn relabel(State(tetra): State<Arc<Tetra>>, Json(which): Json<Which>) -> Response {
    Json(json!({"reindexed": tetra.relabel(&which.ids)})).into_response()
}

async fn vanish(State(tetra): State<Arc<Tetra>>, Json(which): Json<Which>) -> Response {
    Json(json!({"vanished": tetra.vanish(&which.ids)})).into_response()
}

async fn change_clock(
    State(tetra): State<Arc<Tetra>>,
    Json(change): Json<ClockChange>,
) -> Response {
    tetra.advance(change.advance_seconds);
    tetra.advance_ms(change.advance_ms);
    Json(json!({"now_ms": tetra.now_ms()})).into_response()
}

async fn new_token(State(tetra): State<Arc<Tetra>>, Json(wanted): Json<NewToken>) -> Response {
    if wanted.end_others {
        tetra.end_tokens();
    }
    Json(json!({"token": tetra.issue_token(wanted.seconds)})).into_response()
}

async fn end_tokens(State(tetra): State<Arc<Tetra>>) -> Response {
    Json(json!({"ended": tetra.end_tokens()})).into_response()
}

async fn dump(
    State(tetra): State<Arc<Tetra>>,
    Query(form): Query<HashMap<String, String>>,
) -> Response {
    match form.get("format").map(String::as_str) {
        Some("count") => Json(tetra.file_count()).into_response(),
        Some("files") => Json(tetra.files()).into_response(),
        None | Some("json") => listed(tetra.texts()),
        Some(_) => answer(
            StatusCode::BAD_REQUEST,
            "the formats are `json`, `files` and `count`",
        ),
    }
}

/// A JSON array of texts, put together while it is read.
fn listed(texts: Vec<Arc<str>>) -> Response {
    let length: usize = texts.iter().map(|text| text.len() + 1).sum();
    let opened = std::iter::once("[").chain(std::iter::repeat(","));
    let close = if texts.is_empty() { "[]" } else { "]" };
    let items = texts.into_iter().zip(opened);
    let items = items.map(|(text, before)| Bytes::from(format!("{before}{text}")));
    let all = items.chain(std::iter::once(Bytes::from_static(close.as_bytes())));
    let chunks = stream::iter(all.map(Ok::<Bytes, std::io::Error>));
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_LENGTH, (length + 1).max(2).to_string()),
    ];
    (headers, Body::from_stream(chunks)).into_response()
}

async fn dump_one(State(tetra): State<Arc<Tetra>>, Path(id): Path<String>) -> Response {
    match tetra.document(&id) {
        Some(document) => Json(document).into_response(),
        None => no_file(),
    }
}

/// The content, made while it is read.
async fn content(State(tetra): State<Arc<Tetra>>, Path(id): Path<String>) -> Response {
    match tetra.content_of(&id) {
        Some(content) => {
            let length = content.length();
            let told = [(header::CONTENT_LENGTH, length.to_string())];
            (told, content.body(0, length, None)).into_response()
        }
        None => no_file(),
    }
}

fn no_file() -> Response {
    answer(StatusCode::NOT_FOUND, "there is no such file")
}

fn answer(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"message": message}))).into_response()
}
