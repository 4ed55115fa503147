//! Single values, flags and the schema. Facts: sections 2, 3.1 and 4.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::bulk::epoch_millis;
use super::schema::{FLAGS, Field, Kind, is_field_name};
use super::value::{Taken, guess_type, take};
use super::{Pendo, answer};

/// Types of fields that a client may create.
const CREATABLE_TYPES: [&str; 4] = ["string", "number", "time", "boolean"];

#[derive(Deserialize)]
struct NewField {
    name: String,
    #[serde(default)]
    displayname: String,
    #[serde(rename = "type")]
    type_name: String,
}

/// Answers one value as bare JSON; `null` if the field is there and empty.
pub(crate) async fn get_value(
    State(pendo): State<Arc<Pendo>>,
    Path((kind, group, id, field)): Path<(String, String, String, String)>,
) -> Response {
    let Some(kind) = Kind::from_name(&kind) else {
        return answer::not_found();
    };
    let state = pendo.of(kind);
    let schema = state.schema.read().unwrap_or_else(PoisonError::into_inner);
    let Some(column) = schema.live_column(&group, &field) else {
        return answer::not_found();
    };
    let table = state.table();
    let Some(row) = table.row(&id) else {
        return answer::not_found();
    };
    let text = row.cell(column).unwrap_or("null").to_owned();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Sets one value, or one of the two flags of group `pendo`.
pub(crate) async fn set_value(
    State(pendo): State<Arc<Pendo>>,
    Path((kind, group, id, name)): Path<(String, String, String, String)>,
    body: Bytes,
) -> Response {
    let writable = match group.as_str() {
        "custom" | "agent" => true,
        "pendo" => FLAGS.contains(&name.as_str()),
        _ => false,
    };
    let Some(kind) = Kind::from_name(&kind).filter(|_| writable) else {
        return answer::not_found();
    };
    let Ok(value) = serde_json::from_slice::<Box<RawValue>>(&body) else {
        return answer::bad_request("the body is no JSON value");
    };
    if group == "pendo" && !matches!(value.get(), "true" | "false") {
        return answer::bad_request(&format!("flag `{name}` is true or false"));
    }
    let state = pendo.of(kind);
    let mut schema = state.schema.write().unwrap_or_else(PoisonError::into_inner);
    if state.table().row(&id).is_none() {
        return answer::not_found();
    }
    if group == "agent" && is_field_name(&name) && schema.live_column(&group, &name).is_none() {
        let field = Field::new(&group, &name, guess_type(value.get()));
        if let Err(error) = schema.create(Field {
            checked: false,
            ..field
        }) {
            return answer::bad_request(&error.to_string());
        }
    }
    let Some(column) = schema.live_column(&group, &name) else {
        return answer::bad_request(&format!("field `{name}` has no mapping in group `{group}`"));
    };
    let taken = match take(schema.field(column), value.get(), &pendo.options) {
        Ok(taken) => taken,
        Err(refusal) => return answer::bad_request(&refusal.0),
    };
    let mut table = state.table();
    let Some(row) = table.row_mut(&id) else {
        return answer::not_found();
    };
    if let Taken::Keep(text) = taken {
        row.merge(&[(column, text)]);
        row.written_at = Some(epoch_millis());
    }
    StatusCode::OK.into_response()
}

/// Answers the groups and fields of a kind.
pub(crate) async fn get_schema(
    State(pendo): State<Arc<Pendo>>,
    Path(kind): Path<String>,
) -> Response {
    match Kind::from_name(&kind) {
        Some(kind) => Json(pendo.schema(kind)).into_response(),
        None => answer::not_found(),
    }
}

/// Creates fields, or brings deleted ones back. One bad field fails the call, and none is created.
pub(crate) async fn create_fields(
    State(pendo): State<Arc<Pendo>>,
    Path((kind, group)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let kind = Kind::from_name(&kind).filter(|_| group == "custom" || group == "agent");
    let Some(kind) = kind else {
        return answer::not_found();
    };
    let fields: Vec<NewField> = match serde_json::from_slice(&body) {
        Ok(fields) => fields,
        Err(_) => return answer::bad_request("the body is no array of fields with name and type"),
    };
    for field in &fields {
        if !is_field_name(&field.name) {
            return answer::bad_request("a field name is made of letters, digits and underscores");
        }
        if !CREATABLE_TYPES.contains(&field.type_name.as_str()) {
            return answer::bad_request(&format!(
                "field `{}` has a type that is not offered",
                field.name
            ));
        }
    }
    let state = pendo.of(kind);
    let mut schema = state.schema.write().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = schema.check_room(fields.len()) {
        return answer::bad_request(&error.to_string());
    }
    for new in fields {
        let mut field = Field::new(&group, &new.name, &new.type_name);
        if !new.displayname.is_empty() {
            field.display_name = new.displayname;
        }
        if let Err(error) = schema.create(field) {
            return answer::bad_request(&error.to_string());
        }
    }
    Json(schema.to_json()).into_response()
}

/// Deletes a field; a target must never call this, and the request log would show it.
pub(crate) async fn delete_field(
    State(pendo): State<Arc<Pendo>>,
    Path((kind, group, field)): Path<(String, String, String)>,
) -> Response {
    let kind = Kind::from_name(&kind).filter(|_| group == "custom" || group == "agent");
    let Some(kind) = kind else {
        return answer::not_found();
    };
    let state = pendo.of(kind);
    let mut schema = state.schema.write().unwrap_or_else(PoisonError::into_inner);
    if schema.delete(&group, &field) {
        StatusCode::OK.into_response()
    } else {
        answer::not_found()
    }
}
