//! What properties become, and how they meet columns.

use serde_json::{Value, json};

use super::*;
use crate::config::StreamConfig;
use crate::testing::stream;

fn chosen(extra: Value) -> Chosen {
    let config: StreamConfig = serde_json::from_value(extra).unwrap();
    Chosen::new(config)
}

fn column(name: &str, kind: DataType) -> Column {
    Column {
        name: name.to_owned(),
        kind,
        nullable: true,
        has_default: false,
        computed: false,
    }
}

fn kinds(problems: &[Problem]) -> Vec<&'static str> {
    problems.iter().map(|problem| problem.kind).collect()
}

#[test]
fn a_new_table_has_the_types_of_the_schema() {
    let stream = stream(
        "t",
        &json!({
            "id": {"type": "integer"},
            "price": {"type": ["null", "number"]},
            "exact": {"type": ["null", "string"], "format": "singer.decimal"},
            "on": {"type": "boolean"},
            "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
            "day": {"type": "string", "format": "date"},
            "hour": {"type": "string", "format": "time"},
            "short": {"type": "string", "maxLength": 250},
            "long": {"type": "string", "maxLength": 251},
            "list": {"type": "array"},
            "mixed": {"type": ["string", "integer"]},
            "any": {},
        }),
    );
    let planned = plan(
        &stream,
        &chosen(json!({"types": {"price": "CURRENCY"}})),
        Mode::Upsert,
        None,
    );
    assert_eq!(planned.problems, []);
    let design: Vec<(&str, &str)> = planned
        .create
        .iter()
        .map(|column| (column.name.as_str(), column.kind.word()))
        .collect();
    for (name, kind) in [
        ("id", "NUMBER"),
        ("price", "CURRENCY"),
        ("exact", "DECIMAL_NUMBER"),
        ("on", "BOOLEAN"),
        ("at", "DATE"),
        ("day", "DATE_AS_DATE"),
        ("hour", "TIME"),
        ("short", "PLAIN"),
        ("long", "MULTI_LINE"),
        ("list", "MULTI_LINE"),
        ("mixed", "MULTI_LINE"),
        ("any", "MULTI_LINE"),
    ] {
        assert!(design.contains(&(name, kind)), "{name} {kind}: {design:?}");
    }
    let mandatory: Vec<&str> = planned
        .create
        .iter()
        .filter(|column| column.mandatory)
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(mandatory, ["id"]);
    assert_eq!(planned.matching, ["id"]);
}

#[test]
fn columns_that_others_write_are_left_alone() {
    let stream = stream(
        "t",
        &json!({"id": {"type": "integer"}, "sum": {"type": "number"}}),
    );
    let mut sum = column("sum", DataType::Decimal);
    sum.computed = true;
    let table = [column("id", DataType::Number), sum.clone()];
    let planned = plan(&stream, &chosen(json!({})), Mode::Upsert, Some(&table));
    assert_eq!(planned.cells.len(), 1);
    assert!(planned.notes[0].contains("`sum` is computed"));
    // By a key that nobody writes no row is found.
    let table = [column("id", DataType::AutoNumber), sum];
    let planned = plan(&stream, &chosen(json!({})), Mode::Upsert, Some(&table));
    assert_eq!(kinds(&planned.problems), ["key column", "no key"]);
}

#[test]
fn types_that_hold_no_value_are_conflicts_and_those_that_hold_some_are_notes() {
    let stream = stream(
        "t",
        &json!({"id": {"type": "string"}, "a": {"type": "boolean"}, "b": {"type": "number"}}),
    );
    let table = [
        column("id", DataType::Number),
        column("a", DataType::DateTime),
        column("b", DataType::Number),
    ];
    let planned = plan(&stream, &chosen(json!({})), Mode::Upsert, Some(&table));
    assert_eq!(kinds(&planned.problems), ["type conflict"]);
    let message = &planned.problems[0].message;
    assert_eq!(message, "property `a` is a boolean, and column `a` is DATE");
    assert_eq!(planned.notes.len(), 2, "{:?}", planned.notes);
}

#[test]
fn names_are_mapped_and_found_in_another_case() {
    let stream = stream(
        "t",
        &json!({"id": {"type": "integer"}, "CREATED": {"type": "string"}}),
    );
    let table = [
        column("ID", DataType::Number),
        column("Made at", DataType::Plain),
    ];
    let chosen = chosen(json!({"columns": {"CREATED": "Made at"}}));
    let planned = plan(&stream, &chosen, Mode::Upsert, Some(&table));
    assert_eq!(planned.problems, []);
    let names: Vec<&str> = planned
        .cells
        .iter()
        .map(|cell| cell.column.as_str())
        .collect();
    assert!(names.contains(&"ID") && names.contains(&"Made at"));
    assert_eq!(planned.matching, ["ID"]);
}

#[test]
fn what_cannot_work_is_a_problem_before_anything_is_written() {
    let two = stream(
        "t",
        &json!({"id": {}, "a": {"type": "string"}, "A": {"type": "string"}}),
    );
    let problems = |config: Value, mode, table: Option<&[Column]>| {
        kinds(&plan(&two, &chosen(config), mode, table).problems)
    };
    assert_eq!(problems(json!({}), Mode::Append, None), ["column names"]);
    let mapped = json!({"columns": {"a": "b"}});
    assert_eq!(
        problems(mapped.clone(), Mode::Append, None),
        Vec::<&str>::new()
    );
    let table = [column("id", DataType::Plain), column("b", DataType::Plain)];
    let fixed = json!({"columns": {"a": "b"}, "create": false});
    assert_eq!(
        problems(fixed, Mode::Append, Some(&table)),
        ["column missing"]
    );
    let keyed = json!({"columns": {"a": "b"}, "matching_columns": ["nothing"]});
    assert_eq!(
        problems(keyed, Mode::Upsert, None),
        ["key column", "no key"]
    );
    let deleting = json!({"columns": {"a": "b"}, "on_delete": "delete"});
    assert_eq!(problems(deleting, Mode::Append, None), ["no key"]);
    let mut strict = column("must", DataType::Plain);
    strict.nullable = false;
    let table = [strict];
    assert_eq!(
        problems(mapped, Mode::Replace, Some(&table)),
        ["mandatory column"]
    );
}

#[test]
fn marks_of_deletion_are_columns_of_our_own() {
    let stream = stream("t", &json!({"id": {"type": "integer"}}));
    let planned = plan(
        &stream,
        &chosen(json!({"on_delete": "flag"})),
        Mode::Upsert,
        None,
    );
    let names: Vec<&str> = planned
        .create
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["id", TABLE_VERSION, DELETED_AT]);
    assert!(planned.cells[1..].iter().all(|cell| cell.always));
    let planned = plan(
        &stream,
        &chosen(json!({"on_delete": "delete"})),
        Mode::Upsert,
        None,
    );
    assert_eq!(planned.create.len(), 2);
}

#[test]
fn a_mark_whose_rows_are_deleted_needs_no_column() {
    let mark = json!({"type": ["null", "string"], "format": "date-time"});
    let properties = json!({"id": {"type": "integer"}, "_sdc_deleted_at": mark});
    let stream = stream("t", &properties);
    let names = |on_delete: &str, mode: Mode| {
        let chosen = chosen(json!({"on_delete": on_delete}));
        let create = plan(&stream, &chosen, mode, None).create;
        let names = create.into_iter().map(|column| column.name);
        names.collect::<Vec<_>>()
    };
    assert_eq!(names("delete", Mode::Upsert), ["id", TABLE_VERSION]);
    assert_eq!(names("delete", Mode::Replace), ["id"]);
    assert_eq!(names("flag", Mode::Replace), ["id", DELETED_AT]);
}
