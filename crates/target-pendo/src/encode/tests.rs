//! Bodies, byte for byte.

use serde_json::json;
use singer_runtime::target::Stream;
use std::sync::Arc;

use super::*;
use crate::config::{Choices, StreamConfig};
use crate::model::{Group, Kind};
use crate::schema::{MetadataSchema, Plan};
use crate::testing::{batch, stream};

fn accounts() -> Arc<Stream> {
    stream(
        "accounts",
        &json!({"id": {}, "Plan": {}, "n": {}, "tags": {}, "_sdc_deleted_at": {}}),
    )
}

fn encoder(config: serde_json::Value) -> (Arc<Stream>, Encoder) {
    let stream = accounts();
    let config: StreamConfig = serde_json::from_value(config).unwrap();
    let chosen = config.choices.over(&Choices::default());
    let schema = MetadataSchema::parse(&json!({"agent": {
        "plan": {"Type": "string"}, "n": {"Type": "integer"}, "tags": {"Type": "list"}}}));
    let mapping = Plan {
        stream: &stream,
        config: &config,
        chosen: &chosen,
        kind: Kind::Account,
        group: Group::Agent,
        schema: &schema,
    }
    .mapping();
    assert_eq!(mapping.problems, []);
    let deleted = stream.schema.layout().index("_sdc_deleted_at");
    let encoder = Encoder::new("accountId", 0, mapping.columns, deleted, &chosen);
    (stream, encoder)
}

fn body(config: serde_json::Value, records: &[&str]) -> (String, Encoded) {
    let (stream, encoder) = encoder(config);
    let encoded = encoder.encode(&batch(&stream, records));
    let rows: Vec<usize> = (0..encoded.rows.len()).collect();
    let body = String::from_utf8(encoded.body(&rows).to_vec()).unwrap();
    serde_json::from_str::<serde_json::Value>(&body).unwrap();
    (body, encoded)
}

#[test]
fn a_missing_property_is_left_alone_and_a_null_clears() {
    let (body, _) = body(
        json!({}),
        &[
            r#"{"id": "a", "Plan": "gold \"é\"", "n": 3, "tags": ["x"]}"#,
            r#"{"id": 12, "Plan": null}"#,
            r#"{"n": 5.0, "id": "b"}"#,
        ],
    );
    assert_eq!(
        body,
        concat!(
            r#"[{"accountId":"a","values":{"plan":"gold \"é\"","n":3,"tags":["x"]}},"#,
            r#"{"accountId":"12","values":{"plan":null}},"#,
            r#"{"accountId":"b","values":{"n":5}}]"#
        )
    );
}

#[test]
fn nulls_follow_their_policy_and_the_fields_type() {
    let nulls = [r#"{"id": "a", "Plan": null, "n": null, "tags": null}"#];
    let (empty, _) = body(json!({"null_policy": "empty"}), &nulls);
    assert_eq!(
        empty,
        r#"[{"accountId":"a","values":{"plan":"","n":null,"tags":[]}}]"#
    );
    let (omitted, encoded) = body(json!({"null_policy": "omit"}), &nulls);
    assert_eq!((omitted.as_str(), encoded.empty), ("[]", 1));
    let (created, _) = body(
        json!({"null_policy": "omit", "create_missing": true}),
        &nulls,
    );
    assert_eq!(created, r#"[{"accountId":"a","values":{}}]"#);
}

#[test]
fn a_row_that_was_deleted_is_cleared_only_if_asked() {
    let rows = [r#"{"id": "a", "Plan": "x", "_sdc_deleted_at": "2026-01-01T00:00:00Z"}"#];
    let (kept, _) = body(json!({}), &rows);
    assert_eq!(kept, r#"[{"accountId":"a","values":{"plan":"x"}}]"#);
    let (cleared, _) = body(json!({"on_delete": "clear"}), &rows);
    assert_eq!(
        cleared,
        r#"[{"accountId":"a","values":{"plan":null,"n":null,"tags":null}}]"#
    );
    let alive = [r#"{"id": "a", "Plan": "x", "_sdc_deleted_at": null}"#];
    let (kept, _) = body(json!({"on_delete": "clear"}), &alive);
    assert_eq!(kept, r#"[{"accountId":"a","values":{"plan":"x"}}]"#);
}

#[test]
fn what_cannot_be_converted_is_refused_alone_and_shows_no_value() {
    let (body, encoded) = body(
        json!({}),
        &[
            r#"{"id": "a", "n": "hunter2"}"#,
            r#"{"id": "b", "n": 1}"#,
            r#"{"id": null, "n": 1}"#,
            r#"{"id": "", "n": 1}"#,
            r#"{"n": 1}"#,
            r#"{"id": 1.5, "n": 1}"#,
        ],
    );
    assert_eq!(body, r#"[{"accountId":"b","values":{"n":1}}]"#);
    assert_eq!(encoded.rows[0].index, 1);
    let reasons: Vec<(usize, &str)> = encoded
        .refusals
        .iter()
        .map(|refusal| (refusal.index, refusal.reason.as_str()))
        .collect();
    assert_eq!(
        reasons,
        [
            (
                0,
                "column `n` cannot go to the field `n` (integer): it is text, and `coerce_strings` is off"
            ),
            (2, "the id is null"),
            (3, "the id is empty"),
            (4, "the id is missing"),
            (5, "the id is a number with a fraction"),
        ]
    );
    // Only the first of them has an id.
    assert_eq!(encoded.refused().count(), 1);
}

#[test]
fn one_id_has_one_spelling() {
    let (body, _) = body(json!({}), &[r#"{"id": "a\u002fb\/\u00e9\"", "n": 1}"#]);
    assert_eq!(body, r#"[{"accountId":"a/b/é\"","values":{"n":1}}]"#);
}

#[test]
fn the_hash_covers_names_and_values_after_conversion_and_not_the_id() {
    let (_, encoded) = body(
        json!({"only_changed": true}),
        &[
            r#"{"id": "a", "n": 5}"#,
            r#"{"n": 5.0, "id": "b"}"#,
            r#"{"id": "c", "n": 6}"#,
            r#"{"id": "d", "Plan": "5"}"#,
            r#"{"id": "e", "n": 5, "Plan": null}"#,
        ],
    );
    let hashes: Vec<u64> = encoded.rows.iter().map(|row| row.hash).collect();
    assert_eq!(hashes[0], hashes[1]);
    for other in &hashes[2..] {
        assert_ne!(*other, hashes[0]);
    }
}

#[test]
fn parts_of_a_batch_make_bodies_too() {
    let (_, encoded) = body(
        json!({}),
        &[
            r#"{"id":"a","n":1}"#,
            r#"{"id":"b","n":2}"#,
            r#"{"id":"c","n":3}"#,
        ],
    );
    let part = String::from_utf8(encoded.body(&[0, 2]).to_vec()).unwrap();
    assert_eq!(
        part,
        r#"[{"accountId":"a","values":{"n":1}},{"accountId":"c","values":{"n":3}}]"#
    );
    assert_eq!(encoded.id(1), b"b");
}
