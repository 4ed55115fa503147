//! Records that were deleted. Facts: section 7.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::Crm;
use super::answer::{Answer, ApiError, nothing};
use super::credits::CALL;
use super::record_api::{readable, scopes_of, since_of};
use super::store::{Deleted, Deletion};
use crate::form;

/// Rows of one page.
const PER_PAGE: usize = 200;

/// Generated types whose deletions are told.
const TYPES: [&str; 2] = ["default", "custom"];

pub(super) async fn list(
    State(crm): State<Arc<Crm>>,
    Path((version, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let scopes = scopes_of(&crm, &name);
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    crm.enter(&version, &headers, &scopes, CALL)?;
    let query = form::fields(query.as_deref().unwrap_or_default());
    let store = crm.look();
    let module = readable(&crm, &store, &name, &headers)?;
    if !TYPES.contains(&module.generated_type.as_str()) {
        return Err(ApiError::field("INVALID_MODULE", &name));
    }
    let wanted = match query.get("type").map(String::as_str) {
        None | Some("all") => None,
        Some("recycle") => Some(Deletion::Recycle),
        Some("permanent") => Some(Deletion::Permanent),
        Some(_) => {
            return Err(ApiError::bad(
                "PATTERN_NOT_MATCHED",
                json!({"param": "type"}),
            ));
        }
    };
    let number = |name: &str, usual: usize| match query.get(name).map(|text| text.parse()) {
        None => Ok(usual),
        Some(Ok(number)) if number > 0 => Ok(number),
        Some(_) => Err(ApiError::field("INVALID_DATA", name)),
    };
    let page = number("page", 1)?;
    let per_page = number("per_page", PER_PAGE)?;
    if per_page > PER_PAGE {
        return Err(ApiError::limit("per_page", PER_PAGE));
    }
    let since = since_of(&headers)?;
    let is_wanted = |deleted: &Deleted| {
        wanted.is_none_or(|wanted| deleted.deletion == wanted)
            && since.is_none_or(|since| deleted.deleted >= since)
    };
    let mut all = store.deleted(&name, crm.now());
    drop(store);
    all.retain(is_wanted);
    // The newest first.
    all.reverse();
    let skipped = (page - 1).saturating_mul(per_page);
    let rest = all.get(skipped..).unwrap_or_default();
    let shown = rest.get(..per_page).unwrap_or(rest);
    if shown.is_empty() {
        return Ok(nothing());
    }
    let user = crm.creator();
    let data: Vec<Value> = shown
        .iter()
        .map(|deleted| {
            let is_recycled = deleted.deletion == Deletion::Recycle;
            json!({"id": deleted.id.to_string(), "display_name": deleted.name,
                "type": if is_recycled { "recycle" } else { "permanent" },
                "deleted_time": crm.zone.text(deleted.deleted), "deleted_by": user,
                "created_by": if is_recycled { user.clone() } else { Value::Null }})
        })
        .collect();
    let info = json!({"per_page": per_page, "count": shown.len(), "page": page,
        "more_records": rest.len() > shown.len()});
    Ok(Json(json!({"data": data, "info": info})).into_response())
}
