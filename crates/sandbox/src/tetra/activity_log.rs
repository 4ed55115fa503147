//! `GET /v1/datalake/queryActivityLog`: what was done to files. The facts name the parameters; the shape
//! of the answer is made up. Facts: section 2.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::Tetra;
use super::answer::{Answer, ApiError};
use super::date::{read_ms, write_ms};
use super::store::Action;
use super::token::USER;
use crate::form;

/// Actions of one answer.
const PAGE: usize = 100;

pub(super) async fn query(
    State(tetra): State<Arc<Tetra>>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Answer {
    tetra.enter(&headers)?;
    let parameters = form::fields(parameters.as_deref().unwrap_or_default());
    let time = |name: &str, open: i64| match parameters.get(name) {
        None => Ok(open),
        Some(text) => {
            read_ms(text).ok_or_else(|| ApiError::new(400, format!("{name} must be a valid date")))
        }
    };
    let (from, to) = (time("from", i64::MIN)?, time("to", i64::MAX)?);
    let first: u64 = match parameters.get("next") {
        None => 0,
        Some(next) => next
            .parse()
            .map_err(|_| ApiError::new(400, "next must be a valid token"))?,
    };
    let wanted = parameters.get("action").map(String::as_str);
    let store = tetra.look();
    let is_asked = |action: &&Action| {
        (from..to).contains(&action.at_ms) && wanted.is_none_or(|wanted| wanted == action.name)
    };
    let mut asked = store.actions_from(first).iter().filter(is_asked);
    let page: Vec<Value> = asked.by_ref().take(PAGE).map(told).collect();
    let next = asked.next().map(|action| action.number.to_string());
    Ok(Json(json!({"activities": page, "next": next})).into_response())
}

fn told(action: &Action) -> Value {
    json!({
        "id": action.number.to_string(),
        "action": action.name,
        "timestamp": write_ms(action.at_ms),
        "entity": {"type": "file", "id": &*action.file_id},
        "user": {"id": USER},
    })
}
