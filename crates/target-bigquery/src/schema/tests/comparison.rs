//! Tests of the comparison with a table.

use serde_json::json;

use super::*;

fn table(fields: serde_json::Value) -> Vec<Field> {
    serde_json::from_value(fields).unwrap()
}

/// What becomes of one property and one column: the column that is written, and whether it widened.
fn met(property: serde_json::Value, field: serde_json::Value) -> String {
    let mut field = field;
    field["name"] = json!("x");
    let changes = compare(
        &planned(json!({ "x": property })),
        &table(json!([field])),
        &CompareOptions::default(),
    );
    assert!(changes.problems.is_empty());
    let column = &changes.columns[0].field;
    let sign = if changes.widen.is_empty() {
        ""
    } else {
        " widened"
    };
    format!("{} {}{sign}", column.name, sql_type(column))
}

#[test]
fn values_go_to_the_tables_type_where_they_fit() {
    for (property, field, wanted) in [
        (
            json!({"type": "integer"}),
            json!({"type": "STRING"}),
            "x STRING",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}}),
            json!({"type": "STRING"}),
            "x STRING",
        ),
        (
            json!({"type": "integer"}),
            json!({"type": "FLOAT"}),
            "x FLOAT64",
        ),
        (
            json!({"type": "number"}),
            json!({"type": "INTEGER"}),
            "x INT64",
        ),
        (
            json!({"type": "number"}),
            json!({"type": "NUMERIC"}),
            "x NUMERIC",
        ),
        (
            json!({"type": "number", "multipleOf": 0.01}),
            json!({"type": "FLOAT64"}),
            "x FLOAT64",
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!({"type": "DATETIME"}),
            "x DATETIME",
        ),
        (
            json!({"type": "string", "format": "date"}),
            json!({"type": "TIMESTAMP"}),
            "x TIMESTAMP",
        ),
        (json!({"type": "string"}), json!({"type": "JSON"}), "x JSON"),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!({"type": "JSON"}),
            "x JSON",
        ),
        (
            json!({"type": "string"}),
            json!({"type": "GEOGRAPHY"}),
            "x GEOGRAPHY",
        ),
        (
            json!({"type": "string"}),
            json!({"type": "STRING", "maxLength": "9"}),
            "x STRING(9)",
        ),
        (
            json!({"type": "number", "multipleOf": 0.01}),
            json!({"type": "NUMERIC", "precision": "9", "scale": "2"}),
            "x NUMERIC(9, 2)",
        ),
    ] {
        assert_eq!(
            met(property.clone(), field.clone()),
            wanted,
            "{property} {field}"
        );
    }
}

#[test]
fn types_widen_where_nothing_is_lost() {
    for (property, field, wanted) in [
        (
            json!({"type": "number", "multipleOf": 0.01}),
            json!({"type": "INTEGER"}),
            "x NUMERIC widened",
        ),
        (
            json!({"type": "string", "format": "singer.decimal"}),
            json!({"type": "INTEGER"}),
            "x BIGNUMERIC widened",
        ),
        (
            json!({"type": "string", "format": "singer.decimal"}),
            json!({"type": "NUMERIC"}),
            "x BIGNUMERIC widened",
        ),
    ] {
        assert_eq!(
            met(property.clone(), field.clone()),
            wanted,
            "{property} {field}"
        );
    }
}

#[test]
fn lists_do_not_widen() {
    let list = json!({"type": "array", "items": {"type": "number", "multipleOf": 0.01}});
    let field = json!({"type": "INTEGER", "mode": "REPEATED"});
    assert_eq!(met(list, field), "x ARRAY<INT64>");
}

#[test]
fn values_that_do_not_fit_go_to_a_column_beside_it() {
    for (property, field, wanted) in [
        (
            json!({"type": "string"}),
            json!({"type": "INTEGER"}),
            "x__string STRING",
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!({"type": "DATE"}),
            "x__timestamp TIMESTAMP",
        ),
        (
            json!({"type": "boolean"}),
            json!({"type": "INTEGER"}),
            "x__boolean BOOL",
        ),
        (json!({}), json!({"type": "INTEGER"}), "x__json JSON"),
        (
            json!({"type": "string"}),
            json!({"type": "STRING", "mode": "REPEATED"}),
            "x__string STRING",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!({"type": "STRING"}),
            "x__string_list ARRAY<STRING>",
        ),
        (
            json!({"type": "string"}),
            json!({"type": "RECORD", "fields": [{"name": "a", "type": "STRING"}]}),
            "x__string STRING",
        ),
    ] {
        assert_eq!(
            met(property.clone(), field.clone()),
            wanted,
            "{property} {field}"
        );
    }
}

#[test]
fn a_conflict_can_be_a_problem_that_names_all_there_is_to_know() {
    let options = CompareOptions {
        on_conflict: OnConflict::Error,
        ..CompareOptions::default()
    };
    let wanted = planned(json!({"x": {"type": "string"}}));
    let changes = compare(
        &wanted,
        &table(json!([{"name": "X", "type": "DATE"}])),
        &options,
    );
    assert_eq!(
        changes.problems[0].message,
        "column `X` is DATE in the table, and property `x` leads to STRING"
    );
    assert!(changes.columns.is_empty());
}

#[test]
fn an_earlier_variant_is_used_again() {
    let wanted = planned(json!({"x": {"type": "string"}}));
    let fields =
        table(json!([{"name": "x", "type": "DATE"}, {"name": "x__string", "type": "STRING"}]));
    let changes = compare(&wanted, &fields, &CompareOptions::default());
    assert!(changes.is_empty());
    assert_eq!(changes.columns[0].field.name, "x__string");
    assert_eq!(changes.columns[0].property, "x");
}

#[test]
fn names_meet_without_case_and_keep_the_tables_spelling() {
    let wanted = planned(json!({"userId": {"type": "integer"}, "größe": {"type": "integer"}}));
    let fields =
        table(json!([{"name": "USERID", "type": "INT64"}, {"name": "Größe", "type": "INT64"}]));
    let changes = compare(&wanted, &fields, &CompareOptions::default());
    assert!(changes.is_empty());
    assert_eq!(changes.columns[0].field.name, "USERID");
    assert_eq!(changes.columns[1].field.name, "Größe");
}

#[test]
fn new_columns_are_added_at_the_end_also_inside_records() {
    let wanted = planned(json!({
        "id": {"type": "integer"},
        "who": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
        "new": {"type": "array", "items": {"type": "string"}},
    }));
    let fields = table(json!([
        {"name": "id", "type": "INTEGER", "policyTags": {"names": ["p"]}},
        {"name": "who", "type": "RECORD", "fields": [{"name": "A", "type": "STRING", "collation": "und:ci"}]},
        {"name": "other", "type": "GEOGRAPHY"},
    ]));
    let changes = compare(&wanted, &fields, &CompareOptions::default());
    let paths: Vec<&str> = changes.add.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["who.b", "new"]);
    assert_eq!(
        serde_json::to_value(&changes.schema).unwrap(),
        json!([
            {"name": "id", "type": "INTEGER", "mode": "NULLABLE", "policyTags": {"names": ["p"]}},
            {"name": "who", "type": "RECORD", "mode": "NULLABLE", "fields": [
                {"name": "A", "type": "STRING", "mode": "NULLABLE", "collation": "und:ci"},
                {"name": "b", "type": "STRING", "mode": "NULLABLE"},
            ]},
            {"name": "other", "type": "GEOGRAPHY", "mode": "NULLABLE"},
            {"name": "new", "type": "STRING", "mode": "REPEATED"},
        ])
    );
}

#[test]
fn an_added_key_is_nullable() {
    let schema = schema(json!({"id": {"type": "integer"}}), &["id"]);
    let wanted = plan(&schema, &SchemaOptions::default()).unwrap();
    let changes = compare(&wanted, &[], &CompareOptions::default());
    assert_eq!(changes.add[0].1.mode, Mode::Nullable);
}

#[test]
fn required_columns_without_values_are_relaxed() {
    let wanted = planned(
        json!({"a": {"type": ["null", "string"]}, "b": {"type": "string"}, "c": {"type": "string"}}),
    );
    let fields = table(json!([
        {"name": "a", "type": "STRING", "mode": "REQUIRED"},
        {"name": "b", "type": "STRING", "mode": "REQUIRED"},
        {"name": "c", "type": "DATE", "mode": "REQUIRED"},
        {"name": "gone", "type": "STRING", "mode": "REQUIRED"},
        {"name": "ours", "type": "STRING", "mode": "REQUIRED"},
    ]));
    let mut options = CompareOptions {
        extras: &["OURS"],
        ..CompareOptions::default()
    };
    let changes = compare(&wanted, &fields, &options);
    assert_eq!(changes.relax, ["a", "c", "gone"]);
    let modes: Vec<Mode> = changes.schema.iter().map(|field| field.mode).collect();
    assert_eq!(modes[..2], [Mode::Nullable, Mode::Required]);
    assert_eq!(changes.columns[0].field.mode, Mode::Nullable);

    options.relaxations = false;
    options.additions = false;
    let kinds: Vec<&str> = compare(&wanted, &fields, &options)
        .problems
        .iter()
        .map(|problem| problem.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            "column required",
            "column missing",
            "column required",
            "column required"
        ]
    );
}

#[test]
fn a_guessed_schema_takes_the_types_of_the_table() {
    let schema = Schema::guessed(["id", "who", "new"], vec![]);
    let options = SchemaOptions {
        guessed: true,
        ..SchemaOptions::default()
    };
    let wanted = plan(&schema, &options).unwrap();
    let fields = table(json!([
        {"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
        {"name": "who", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "a", "type": "DATE"}]},
    ]));
    let options = CompareOptions {
        guessed: true,
        ..CompareOptions::default()
    };
    let changes = compare(&wanted, &fields, &options);
    assert!(changes.relax.is_empty());
    let types: Vec<String> = changes
        .columns
        .iter()
        .map(|column| sql_type(&column.field))
        .collect();
    assert_eq!(types, ["INT64", "ARRAY<STRUCT<`a` DATE>>", "JSON"]);
    assert!(changes.columns[1].columns[0].guessed);
}

#[test]
fn longer_texts_and_larger_decimals_are_widenings() {
    for (has, wants, wanted) in [
        (
            json!({"type": "STRING", "maxLength": "5"}),
            json!({"type": "STRING", "maxLength": "9"}),
            "STRING(9)",
        ),
        (
            json!({"type": "NUMERIC", "precision": "10", "scale": "2"}),
            json!({"type": "NUMERIC", "precision": "10", "scale": "4"}),
            "NUMERIC(12, 4)",
        ),
    ] {
        let field = |mut field: serde_json::Value| -> Field {
            field["name"] = json!("x");
            serde_json::from_value(field).unwrap()
        };
        let column = Column::new("x", 0, field(wants));
        let changes = compare(&[column], &[field(has)], &CompareOptions::default());
        assert_eq!(sql_type(&changes.widen[0].to), wanted);
    }
}

#[test]
fn a_key_has_no_second_column() {
    let schema = schema(json!({"id": {"type": "string"}}), &["id"]);
    let wanted = plan(&schema, &SchemaOptions::default()).unwrap();
    let fields = table(json!([{"name": "id", "type": "INTEGER"}]));
    let changes = compare(&wanted, &fields, &CompareOptions::default());
    assert_eq!(changes.problems[0].kind, "type conflict");
}

#[test]
fn a_required_column_with_a_default_stays_as_it_is() {
    let fields = table(
        json!([{"name": "at", "type": "TIMESTAMP", "mode": "REQUIRED", "defaultValueExpression": "CURRENT_TIMESTAMP()"}]),
    );
    let changes = compare(&[], &fields, &CompareOptions::default());
    assert!(changes.is_empty());
}

#[test]
fn required_columns_inside_stay_where_the_schema_admits_no_null() {
    let wanted = planned(
        json!({"x": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": ["null", "string"]}}}}),
    );
    let fields = table(json!([{"name": "x", "type": "RECORD", "fields": [
        {"name": "a", "type": "STRING", "mode": "REQUIRED"},
        {"name": "b", "type": "STRING", "mode": "REQUIRED"},
    ]}]));
    let changes = compare(&wanted, &fields, &CompareOptions::default());
    assert_eq!(changes.relax, ["x.b"]);
}

#[test]
fn a_table_grows_no_further_than_it_may() {
    let fields: Vec<Field> = (0..MAX_COLUMNS)
        .map(|number| Field::new(format!("c{number}"), Kind::String))
        .collect();
    let wanted = planned(json!({"new": {"type": "string"}}));
    let changes = compare(&wanted, &fields, &CompareOptions::default());
    assert_eq!(changes.problems[0].kind, "too many columns");
    let wanted = planned(json!({"c1": {"type": "string"}}));
    assert!(
        compare(&wanted, &fields, &CompareOptions::default())
            .problems
            .is_empty()
    );
}
