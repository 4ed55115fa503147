//! What becomes of a stream when catalog and source agree, and when they do not.

use serde_json::json;

use super::*;
use crate::tap::Replication;

/// A table as discovery shows it: a key, a time, two columns, one that cannot be read.
fn found() -> Entry {
    let at = |field: &str, inclusion: &str, sql: &str| {
        json!({"breadcrumb": ["properties", field],
            "metadata": {"inclusion": inclusion, "selected-by-default": true, "sql-datatype": sql}})
    };
    entry(json!({
        "tap_stream_id": "dev.public.a",
        "stream": "a",
        "schema": {"type": "object", "required": ["id", "name"], "properties": {
            "name": {"type": ["null", "string"]},
            "id": {"type": "integer", "maximum": 9},
            "at": {"type": ["null", "string"], "format": "date-time"},
            "odd": {},
        }},
        "metadata": [
            {"breadcrumb": [], "metadata": {"selected-by-default": false, "table-key-properties": ["id"],
                "valid-replication-keys": ["at"], "is-view": false}},
            at("name", "available", "varchar(9)"), at("id", "automatic", "bigint"),
            at("at", "available", "timestamp"), at("odd", "unsupported", "point"),
        ],
    }))
}

fn entry(value: Value) -> Entry {
    serde_json::from_value(value).unwrap()
}

fn plan_with(wanted: &Entry, found: &Entry, state: &str) -> Result<Plan> {
    Basis {
        state: &State::parse(state).unwrap(),
        start_date: None,
        started_at: DateTime::from_timestamp_millis(1000).unwrap(),
    }
    .plan(wanted, found)
}

fn plan(wanted: &Entry, found: &Entry) -> Result<Plan> {
    plan_with(wanted, found, "{}")
}

#[test]
fn the_schema_shows_what_is_read_and_keys_are_read_anyway() {
    let mut wanted = found();
    wanted.set_field_metadata("name", "selected", false);
    wanted.set_field_metadata("id", "selected", false);
    wanted.set_field_metadata("at", "selected", false);
    wanted.set_stream_metadata("replication-key", "at");
    let plan = plan(&wanted, &found()).unwrap();
    assert_eq!(plan.fields, ["id", "at"]);
    assert_eq!(
        plan.schema,
        json!({"type": "object", "required": ["id"], "properties": {
            "id": {"type": "integer", "maximum": 9},
            "at": {"type": ["null", "string"], "format": "date-time"}}})
    );
    assert_eq!(plan.key_properties, ["id"]);
    let at = Replication::Incremental {
        key: "at".to_owned(),
        start: None,
    };
    assert_eq!(plan.replication, at);
}

#[test]
fn a_lost_or_retyped_selected_column_is_named() {
    let mut now = found();
    now.set_property("name", json!({"type": "integer"}));
    now.set_field_metadata("name", "sql-datatype", "int");
    let mut wanted = found();
    wanted.set_property("gone", json!({"type": "string"}));
    let error = plan(&wanted, &now).unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected);
    assert_eq!(
        error.message(),
        "the source of the stream `dev.public.a` has changed: \
         `name` was `varchar(9)` and is `int` now, `gone` is gone"
    );
    wanted.set_field_metadata("name", "selected", false);
    wanted.set_field_metadata("gone", "selected", false);
    assert_eq!(plan(&wanted, &now).unwrap().fields, ["id", "at"]);
}

#[test]
fn columns_that_a_tap_adds_by_itself_come_and_go() {
    let mut other = found();
    other.set_property("_sdc_deleted_at", json!({"type": ["null", "string"]}));
    other.set_field_metadata("_sdc_deleted_at", "inclusion", "automatic");
    assert_eq!(plan(&other, &found()).unwrap().fields, ["name", "id", "at"]);
    let fields = plan(&found(), &other).unwrap().fields;
    assert_eq!(fields, ["name", "id", "at", "_sdc_deleted_at"]);
}

#[test]
fn the_same_type_of_the_source_in_another_form_is_no_change() {
    let mut now = found();
    now.set_property("at", json!({"type": "string", "format": "date"}));
    assert!(plan(&found(), &now).is_ok());
    now.set_field_metadata("at", "sql-datatype", "date");
    assert!(plan(&found(), &now).is_err());
    let mut wider = found();
    wider.set_property("id", json!({"type": ["null", "integer"], "maximum": 99}));
    wider.set_field_metadata("id", "sql-datatype", "numeric");
    assert!(plan(&found(), &wider).is_ok());
}

#[test]
fn a_new_column_is_taken_only_if_the_catalog_says_so() {
    let mut now = found();
    now.set_property("extra", json!({"type": "string"}));
    assert_eq!(plan(&found(), &now).unwrap().fields, ["name", "id", "at"]);
    let mut wanted = found();
    wanted.set_stream_metadata("select-new-columns", true);
    assert_eq!(
        plan(&wanted, &now).unwrap().fields,
        ["name", "id", "at", "extra"]
    );
}

#[test]
fn a_catalog_written_by_hand_needs_no_columns() {
    let wanted =
        entry(json!({"tap_stream_id": "dev.public.a", "replication_method": "FULL_TABLE"}));
    let plan = plan(&wanted, &found()).unwrap();
    assert_eq!(plan.fields, ["name", "id", "at"]);
    assert_eq!(plan.replication, Replication::FullTable { version: 1000 });
}

#[test]
fn a_person_names_the_key_of_a_view() {
    let mut view = found();
    view.set_stream_metadata("is-view", true);
    view.set_stream_metadata("table-key-properties", json!([]));
    view.set_stream_metadata("view-key-properties", json!([]));
    let mut wanted = view.clone();
    wanted.set_stream_metadata("view-key-properties", json!(["name"]));
    assert_eq!(plan(&wanted, &view).unwrap().key_properties, ["name"]);
    wanted.set_stream_metadata("view-key-properties", json!(["nam"]));
    assert_eq!(
        plan(&wanted, &view).unwrap_err().message(),
        "the key `nam` of the stream `dev.public.a` is no field of it"
    );
}

#[test]
fn the_name_in_the_messages_is_the_catalogs() {
    let mut wanted = found();
    wanted.set("stream", "renamed");
    let plan = plan(&wanted, &found()).unwrap();
    assert_eq!(
        (plan.id.as_str(), plan.stream.as_str()),
        ("dev.public.a", "renamed")
    );
}

#[test]
fn an_interrupted_full_table_resumes_with_its_version() {
    let state = r#"{"bookmarks":{"dev.public.a":{"version":7,"last_pk_fetched":{"id":3}}}}"#;
    let plan = plan_with(&found(), &found(), state).unwrap();
    assert_eq!(plan.replication, Replication::FullTable { version: 7 });
    assert_eq!(plan.bookmark["last_pk_fetched"], json!({"id": 3}));
}

#[test]
fn where_schemas_are_samples_the_catalog_says_which_fields_there_are() {
    let mut sampled = found();
    sampled.set_stream_metadata(SAMPLED_SCHEMA, true);
    let wanted = sampled.clone();
    let mut now = sampled;
    now.set(
        "schema",
        json!({"properties": {"id": {"type": "integer"}, "name": {"type": "integer"}, "new": {}}}),
    );
    let plan = plan(&wanted, &now).unwrap();
    assert_eq!(plan.fields, ["name", "id", "at"]);
    assert_eq!(
        plan.schema["properties"]["name"]["type"],
        json!(["null", "string"])
    );
}
