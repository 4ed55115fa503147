//! IDS artifacts: the list of kinds and the files of each. Facts: sections 2 and 6.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::Tetra;
use super::answer::{Answer, ApiError};
use super::sample::{KINDS, Kind, NAMESPACE, data};
use crate::form;

/// Members of an IDS document that the index does not hold.
pub(super) const NOT_SEARCHED: [&str; 1] = ["datacubes"];

pub(super) async fn list(State(tetra): State<Arc<Tetra>>, headers: HeaderMap) -> Answer {
    tetra.enter(&headers)?;
    let described = |kind: Kind| json!({"namespace": NAMESPACE, "slug": kind.slug, "version": kind.version, "name": kind.slug});
    Ok(Json(json!(KINDS.map(described))).into_response())
}

pub(super) async fn file(
    State(tetra): State<Arc<Tetra>>,
    Path((namespace, slug, version, file)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    tetra.enter(&headers)?;
    let is_asked = |kind: &Kind| kind.slug == slug && kind.version == version;
    let kind = KINDS.into_iter().find(is_asked);
    let kind = kind.filter(|_| namespace == NAMESPACE);
    let kind = kind.ok_or_else(|| ApiError::new(404, "Artifact not found"))?;
    Ok(match file.as_str() {
        "schema" => Json(schema(kind)).into_response(),
        "mapping" => {
            Json(json!({"mapping": {}, "nonSearchableFields": NOT_SEARCHED})).into_response()
        }
        "expected" => Json(data(kind, 1, 1_714_953_600_000)).into_response(),
        "readme" => {
            let text = format!("# {}\n\nA made-up kind of document.\n", kind.slug);
            ([(header::CONTENT_TYPE, "text/markdown")], text).into_response()
        }
        _ => return Err(ApiError::new(404, "Artifact file not found")),
    })
}

pub(super) async fn schemas(
    State(tetra): State<Arc<Tetra>>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Answer {
    tetra.enter(&headers)?;
    let parameters = form::fields(parameters.as_deref().unwrap_or_default());
    let asks_for = |name: &str, value: &str| {
        let wanted = parameters.get(name);
        wanted.is_none_or(|wanted| wanted == value)
    };
    let asked = KINDS
        .into_iter()
        .filter(|kind| asks_for("type", kind.slug) && asks_for("version", kind.version));
    let schemas: Vec<Value> = asked.map(schema).collect();
    Ok(Json(json!(schemas)).into_response())
}

/// The schema of a kind: no member but those that are named.
fn schema(kind: Kind) -> Value {
    let text = json!({"type": "string"});
    let number = json!({"type": "number"});
    let value = object(json!({"value": {"type": ["number", "null"]}, "unit": text}));
    let peak = object(
        json!({"name": text, "retention_time": number, "area": {"type": "integer"},
        "is_manual": {"type": "boolean"}}),
    );
    let mut members = json!({
        "@idsNamespace": {"type": "string", "const": NAMESPACE},
        "@idsType": {"type": "string", "const": kind.slug},
        "@idsVersion": {"type": "string", "const": kind.version, "pattern": "^v[0-9]+\\.[0-9]+\\.[0-9]+$"},
        "revision": {"type": "integer"},
        "samples": array(object(json!({"id": text, "name": text, "barcode": {"type": ["string", "null"]}}))),
        "related_files": array(object(json!({"name": text, "path": text,
            "pointer": object(json!({"fileKey": text, "version": text, "bucket": text, "type": text}))}))),
        "datacubes": array(object(json!({"index": {"type": "integer"}, "name": text,
            "measures": array(object(json!({"name": text, "unit": text, "value": array(number.clone())}))),
            "dimensions": array(object(json!({"name": text, "unit": text, "scale": array(number.clone())})))}))),
    });
    let more = match (kind.slug, kind.version) {
        ("lcuv-hplc", "v1.0.0") => json!({
            "runs": array(object(json!({"id": text, "time": text, "injection_volume": number, "status": text}))),
            "peaks": array(peak),
        }),
        ("lcuv-hplc", _) => json!({
            "runs": array(object(json!({"id": text, "time": object(json!({"start": text, "stop": text})),
                "injection": object(json!({"volume": value})),
                "status": object(json!({"code": {"type": "integer"}, "text": text}))}))),
            "results": array(object(json!({"peak": peak}))),
            "users": array(object(json!({"name": text}))),
        }),
        _ => json!({
            "plate": object(json!({"id": text, "well_count": {"type": "integer"}})),
            "wells": array(object(json!({"name": text, "value": number}))),
            "temperature": value,
        }),
    };
    if let (Value::Object(members), Value::Object(more)) = (&mut members, more) {
        members.extend(more);
    }
    let mut schema = object(members);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["$id"] = json!(format!("{NAMESPACE}/{}:{}", kind.slug, kind.version));
    schema["required"] = json!(["@idsNamespace", "@idsType", "@idsVersion"]);
    schema
}

fn object(members: Value) -> Value {
    json!({"type": "object", "properties": members, "additionalProperties": false})
}

fn array(items: Value) -> Value {
    json!({"type": "array", "items": items})
}
