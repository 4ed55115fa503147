//! File documents by their id, soft deletion, known names, and how people get tokens. Facts: sections
//! 1.3 and 2.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::Tetra;
use super::answer::{Answer, ApiError};
use super::date::write_ms;
use super::store::Version;
use super::token::{EMAIL, PASSWORD, USER, wanted_seconds};
use crate::form;

/// The document of a file, deleted ones included.
pub(super) async fn get(
    State(tetra): State<Arc<Tetra>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    tetra.enter(&headers)?;
    let store = tetra.look();
    let file = store.file(&id).ok_or_else(|| ApiError::no_file(&id))?;
    let mut document = tetra.shown(file.newest());
    document["deleted"] = json!(file.deleted_ms.is_some());
    Ok(Json(document).into_response())
}

pub(super) async fn versions(
    State(tetra): State<Arc<Tetra>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    tetra.enter(&headers)?;
    let store = tetra.look();
    let file = store.file(&id).ok_or_else(|| ApiError::no_file(&id))?;
    let version = |version: &Version| json!({"version": version.id, "size": version.size, "createdAt": write_ms(version.created_ms)});
    let versions: Vec<Value> = file.versions.iter().rev().map(version).collect();
    Ok(Json(json!({"fileId": id, "versions": versions})).into_response())
}

pub(super) async fn delete(
    State(tetra): State<Arc<Tetra>>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Answer {
    tetra.enter(&headers)?;
    let parameters = form::fields(parameters.as_deref().unwrap_or_default());
    let id = parameters.get("fileId").map_or("", String::as_str);
    if tetra.delete(&[id]) == 0 {
        return Err(ApiError::no_file(id));
    }
    Ok(Json(json!({"fileId": id, "deleted": true})).into_response())
}

pub(super) async fn metadata_tags(State(tetra): State<Arc<Tetra>>, headers: HeaderMap) -> Answer {
    tetra.enter(&headers)?;
    let mut names = BTreeSet::new();
    let mut tags = BTreeSet::new();
    for text in tetra.texts() {
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(metadata) = document["metadata"].as_object() {
            names.extend(metadata.keys().cloned());
        }
        let known = document["tags"].as_array().map_or(&[][..], Vec::as_slice);
        tags.extend(known.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    Ok(Json(json!({"metadata": names, "tags": tags})).into_response())
}

/// A new token for the person whose token the request carries.
pub(super) async fn new_token(
    State(tetra): State<Arc<Tetra>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Json<Value>, JsonRejection>,
) -> Answer {
    tetra.enter(&headers)?;
    let Json(body) = body.map_err(|error| ApiError::unread(error.status()))?;
    if id != USER {
        return Err(ApiError::new(403, "User may not create tokens for others"));
    }
    if body.get("userId").is_some_and(|user| *user != USER) {
        return Err(ApiError::new(400, "userId differs from that of the path"));
    }
    let seconds = wanted_seconds(&body)?;
    let now_ms = tetra.now_ms();
    let token = tetra.tokens.issue(now_ms, Some(seconds));
    let expires = write_ms(now_ms + seconds * 1000);
    Ok(Json(json!({"token": token, "expiresAt": expires})).into_response())
}

pub(super) async fn login(
    State(tetra): State<Arc<Tetra>>,
    body: Result<Json<Value>, JsonRejection>,
) -> Answer {
    let Json(body) = body.map_err(|error| ApiError::unread(error.status()))?;
    if tetra.options.single_sign_on {
        return Err(ApiError::new(403, "Password login is disabled"));
    }
    if body["email"] != EMAIL || body["password"] != PASSWORD {
        return Err(ApiError::new(401, "Invalid email or password"));
    }
    let token = tetra.tokens.issue(tetra.now_ms(), Some(24 * 3600));
    Ok(Json(json!({"token": token, "userId": USER})).into_response())
}
