//! What is stored, to the last digit, by each method; and tables that change or do not fit.

use serde_json::{Value, json};
use singer_test::bigquery::PROJECT;

use crate::kit::{World, printed, row, rows, schema, schema_of, state};

const METHODS: [&str; 3] = ["load", "storage_write", "streaming"];

/// Every type, and how it stands in the dump.
fn everything() -> (Value, Value, Value) {
    let schema = json!({"properties": {
        "id": {"type": "integer"},
        "yes": {"type": ["null", "boolean"]},
        "big": {"type": ["null", "integer"]},
        "ratio": {"type": ["null", "number"]},
        "price": {"type": ["null", "number"], "multipleOf": 0.0001},
        "exact": {"type": ["null", "string"], "format": "singer.decimal", "x-singer-precision": 60, "x-singer-scale": 30},
        "on": {"type": ["null", "string"], "format": "date"},
        "at": {"type": ["null", "string"], "format": "date-time"},
        "hour": {"type": ["null", "string"], "format": "time"},
        "free": {"type": ["null", "object", "array", "string"]},
        "tags": {"type": ["null", "array"], "items": {"type": "string"}},
        "numbers": {"type": ["null", "array"], "items": {"type": "integer"}},
        "address": {"type": ["null", "object"], "properties": {
            "city": {"type": ["null", "string"]}, "since": {"type": ["null", "string"], "format": "date"},
            "geo": {"type": ["null", "object"], "properties": {"lat": {"type": ["null", "number"]}}}}},
        "lines": {"type": ["null", "array"], "items": {"type": "object", "properties": {
            "sku": {"type": ["null", "string"]}, "count": {"type": ["null", "integer"]}}}},
    }});
    let record = json!({
        "id": 1, "yes": true, "big": -9_223_372_036_854_775_808i64, "ratio": 0.1,
        "price": 12_345_678.123_4, "on": "0001-01-01",
        "exact": "123456789012345678901234567890.123456789012345678901234567891",
        "at": "2026-03-04T05:06:07.123456+05:30", "hour": "23:59:59.999999",
        "free": {"b": [1, 2.5, null, "x"], "a": {"": "Zoë \u{1f680}"}},
        "tags": ["a", "b\n"], "numbers": [1, -2, 3],
        "address": {"city": "Köln", "since": "9999-12-31", "geo": {"lat": -0.5}},
        "lines": [{"sku": "s1", "count": 2}, {"sku": null, "count": -1}],
    });
    let stored = json!({
        "id": 1, "yes": true, "big": -9_223_372_036_854_775_808i64, "ratio": 0.1,
        "price": "12345678.1234", "on": "0001-01-01",
        "exact": "123456789012345678901234567890.123456789012345678901234567891",
        "at": "2026-03-03T23:36:07.123456Z", "hour": "23:59:59.999999",
        "free": {"a": {"": "Zoë \u{1f680}"}, "b": [1, 2.5, null, "x"]},
        "tags": ["a", "b\n"], "numbers": [1, -2, 3],
        "address": {"city": "Köln", "since": "9999-12-31", "geo": {"lat": -0.5}},
        "lines": [{"sku": "s1", "count": 2}, {"sku": null, "count": -1}],
    });
    (schema, record, stored)
}

#[test]
fn every_type_arrives_to_the_last_digit_by_each_method() {
    let (schema, record, stored) = everything();
    let mut seen = Vec::new();
    for method in METHODS {
        for key in [&["id"][..], &[]] {
            let world = World::new();
            let nulls: Value = record
                .as_object()
                .expect("an object")
                .keys()
                .map(|name| (name.clone(), Value::Null))
                .collect::<serde_json::Map<_, _>>()
                .into();
            let mut nulls = nulls;
            nulls["id"] = json!(2);
            let input = schema_of("orders", &schema, key) + &row(&record) + &row(&nulls);
            world
                .feed(&json!({"method": method}), &(input + &state(1)))
                .expect_code(0);
            let rows = world.bigquery.by("orders", "id");
            for (column, value) in stored.as_object().expect("an object") {
                assert_eq!(&rows["1"][column], value, "{method}: {column}");
            }
            assert_eq!(rows["2"]["tags"], json!([]), "{method}");
            assert_eq!(rows["2"]["address"], Value::Null, "{method}");
            seen.push(world.bigquery.columns("orders"));
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_replaced_table_has_the_same_types() {
    let (schema, record, stored) = everything();
    let world = World::new();
    let input = schema_of("orders", &schema, &[]) + &row(&record) + &state(1);
    world
        .feed(
            &json!({"method": "storage_write", "mode": "replace"}),
            &input,
        )
        .expect_code(0);
    let rows = world.bigquery.by("orders", "id");
    for (column, value) in stored.as_object().expect("an object") {
        assert_eq!(&rows["1"][column], value, "{column}");
    }
}

#[test]
fn a_schema_that_changes_in_the_middle_adds_columns() {
    for method in METHODS {
        let world = World::new();
        let narrow = json!({"properties": {"id": {"type": "integer"}}});
        let wide = json!({"properties": {"id": {"type": "integer"}, "city": {"type": ["null", "string"]},
            "box": {"type": ["null", "object"], "properties": {"a": {"type": ["null", "integer"]}}}}});
        let wider = json!({"properties": {"id": {"type": "integer"}, "city": {"type": ["null", "string"]},
            "box": {"type": ["null", "object"], "properties": {"a": {"type": ["null", "integer"]},
                "b": {"type": ["null", "string"]}}}}});
        let input = schema_of("orders", &narrow, &["id"])
            + &row(&json!({"id": 1}))
            + &schema_of("orders", &wide, &["id"])
            + &row(&json!({"id": 2, "city": "x", "box": {"a": 1}}))
            + &schema_of("orders", &wider, &["id"])
            + &row(&json!({"id": 3, "city": "y", "box": {"a": 2, "b": "z"}}))
            + &schema_of("orders", &narrow, &["id"])
            + &row(&json!({"id": 4}))
            + &state(1);
        let ended = world.feed(&json!({"method": method}), &input);
        ended.expect_code(0);
        assert_eq!(printed(&ended), [1]);
        let stored = world.bigquery.by("orders", "id");
        assert_eq!(stored.len(), 4, "{method}");
        assert_eq!(stored["2"]["box"], json!({"a": 1, "b": null}), "{method}");
        assert_eq!(stored["3"]["box"], json!({"a": 2, "b": "z"}), "{method}");
        assert_eq!(stored["4"]["city"], Value::Null, "{method}");
    }
}

#[test]
fn a_type_that_does_not_fit_stops_the_stream_before_anything_is_written() {
    let world = World::new();
    world
        .feed(&json!({}), &(schema() + &rows(0..2, 1)))
        .expect_code(0);
    let other = json!({"properties": {"id": {"type": "integer"}, "revision": {"type": ["null", "boolean"]}}});
    let input = schema_of("orders", &other, &["id"]) + &row(&json!({"id": 5, "revision": true}));
    let ended = world.feed(&json!({}), &(input.clone() + &state(1)));
    ended.expect_code(2).expect_log("`revision`");
    assert!(printed(&ended).is_empty());
    world.assert_orders(0..2, 1);
    // Beside it, if that is wanted.
    let variant = json!({"on_type_conflict": "variant"});
    world.feed(&variant, &(input + &state(1))).expect_code(0);
    let stored = world.bigquery.by("orders", "id");
    let extra = stored["5"]
        .as_object()
        .expect("an object")
        .iter()
        .find(|(name, _)| name.starts_with("revision__"));
    assert_eq!(
        extra.map(|(_, value)| value),
        Some(&json!(true)),
        "{stored:?}"
    );
    assert_eq!(stored["1"]["revision"], 1);
}

#[test]
fn wider_types_make_the_column_wider_where_bigquery_can() {
    let world = World::new();
    let of = |kind: Value| json!({"properties": {"id": {"type": "integer"}, "n": kind}});
    let first = schema_of("orders", &of(json!({"type": ["null", "integer"]})), &["id"]);
    world
        .feed(&json!({}), &(first + &row(&json!({"id": 1, "n": 7}))))
        .expect_code(0);
    let decimal = of(json!({"type": ["null", "number"], "multipleOf": 0.01}));
    let second = schema_of("orders", &decimal, &["id"]);
    world
        .feed(&json!({}), &(second + &row(&json!({"id": 2, "n": 7.25}))))
        .expect_code(0);
    let stored = world.bigquery.by("orders", "id");
    assert_eq!(
        (&stored["1"]["n"], &stored["2"]["n"]),
        (&json!("7"), &json!("7.25"))
    );
}

#[test]
fn names_that_bigquery_does_not_take_are_mapped_and_told() {
    for method in METHODS {
        let world = World::new();
        let schema = json!({"properties": {"id": {"type": "integer"}, "first name": {"type": "string"},
            "größe": {"type": "integer"}, "2nd": {"type": "string"}, "_partition_x": {"type": "string"},
            "Id ": {"type": "string"}}});
        let record = json!({"id": 1, "first name": "a", "größe": 3, "2nd": "b", "_partition_x": "c", "Id ": "d"});
        let ended = world.feed(
            &json!({"method": method, "streams": {"shop/orders!": {"table": "odd"}}}),
            &(schema_of("shop/orders!", &schema, &["id"])
                + &crate::kit::row_of("shop/orders!", &record)),
        );
        ended.expect_code(0);
        let stored = world.bigquery.rows("odd");
        let row = stored[0].as_object().expect("a row");
        assert_eq!(row["first_name"], "a");
        assert_eq!(row["_2nd"], "b");
        assert_eq!(row.len(), 6, "{row:?}");
        assert!(
            row.values().all(|value| !value.is_null()),
            "{method} {row:?}"
        );
    }
}

#[test]
fn a_table_that_was_there_keeps_what_its_owner_made_of_it() {
    let world = World::new();
    let body = json!({"schema": {"fields": [
        {"name": "NAME", "type": "STRING", "mode": "NULLABLE", "description": "what it is called"},
        {"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
        {"name": "own", "type": "DATE", "mode": "NULLABLE"},
        {"name": "revision", "type": "NUMERIC", "mode": "REQUIRED"}]}});
    let inside = world.bigquery.inside();
    inside
        .create_table(PROJECT, "raw.orders", &body)
        .expect("a table can be made");
    for method in METHODS {
        let input = schema() + &rows(0..3, 1) + &state(1);
        world
            .feed(&json!({"method": method, "mode": "append"}), &input)
            .expect_code(0);
    }
    let rows = world.bigquery.rows("orders");
    assert_eq!(rows.len(), 9);
    assert!(
        rows.iter()
            .all(|row| row["NAME"].is_string() && row["revision"] == "1")
    );
    // It may be null in the stream.
    assert_eq!(world.bigquery.columns("orders")["revision"], "NUMERIC");
}
