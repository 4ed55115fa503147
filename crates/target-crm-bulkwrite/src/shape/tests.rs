//! What goes where, and everything that stands against it.

use serde_json::{Value, json};

use super::*;
use crate::testing::{keyed, shape, stream};

fn problems(stream: &Stream, settings: Value) -> Vec<String> {
    let problems = shape(stream, settings).unwrap_err();
    problems
        .into_iter()
        .map(|problem| format!("{}: {}", problem.kind, problem.message))
        .collect()
}

fn names(shape: &Shape) -> Vec<&str> {
    let cells = shape.cells.iter();
    cells.map(|cell| cell.field.as_str()).collect()
}

#[test]
fn the_key_comes_first_and_what_the_crm_computes_is_left_out() {
    let properties = json!({
        "id": {}, "Last_Name": {}, "Full_Name": {}, "Created_Time": {}, "Owner.last_name": {},
        "Fixed": {}, "Lines": {}, "_sdc_batched_at": {}, "Email": {},
    });
    let shape = shape(&stream(&properties), json!({})).unwrap();
    assert_eq!(names(&shape), ["Email", "Last_Name"]);
    assert_eq!(shape.find_by.as_deref(), Some("Email"));
    assert!(shape.cells[0].is_key);
    let note = &shape.notes[0];
    for name in [
        "id",
        "Full_Name",
        "Created_Time",
        "Owner.last_name",
        "Fixed",
        "Lines",
    ] {
        assert!(note.contains(&format!("`{name}`")), "{note}");
    }
}

#[test]
fn all_problems_are_told_at_once_and_by_field() {
    let properties = json!({
        "Email": {}, "Ghost": {}, "Visits": {"type": "array"},
        "a": {}, "b": {}, "c": {}, "d": {},
    });
    let fields = json!({
        "*": "*", "a": "Created_Time", "b": "Fixed", "c": "Lines", "d": "Full_Name",
    });
    let problems = problems(&stream(&properties), json!({ "fields": fields }));
    let wanted = [
        "field missing: the module `Contacts` has no field `Ghost`",
        "type conflict: property `Visits` is array, the field `Visits` is of type `integer`",
        "field not writable: the field `Created_Time` is read-only",
        "field not writable: the field `Fixed` cannot be changed by the API",
        "field not writable: the field `Lines` is of type `subform`, which Bulk Write does not take",
        "field not writable: the field `Full_Name` is of type `formula`, which Bulk Write does not take",
    ];
    for wanted in wanted {
        assert!(problems.iter().any(|it| it == wanted), "{problems:?}");
    }
    assert_eq!(problems.len(), wanted.len());
}

#[test]
fn a_field_may_be_set_on_insert_and_not_on_update() {
    let stream = stream(&json!({"Email": {}, "Last_Name": {}, "Fixed": {}}));
    let insert = shape(&stream, json!({"operation": "insert"})).unwrap();
    assert_eq!(names(&insert), ["Email", "Last_Name", "Fixed"]);
    let update = shape(&stream, json!({"operation": "update"})).unwrap();
    assert_eq!(names(&update), ["Email", "Last_Name"]);
}

#[test]
fn records_must_be_found_by_something_that_is_mapped() {
    let stream = keyed(&json!({"Fax": {}, "Email": {}}), r#"["Fax"]"#);
    assert!(problems(&stream, json!({}))[0].starts_with("key missing: `upsert` needs"));
    let only = json!({"find_by": "Email", "fields": {"Fax": "Fax"}});
    assert!(problems(&stream, only)[0].contains("found by `Email`, and no property"));
    let by_fax = shape(&stream, json!({"find_by": "Fax"})).unwrap();
    assert_eq!(names(&by_fax), ["Fax", "Email"]);
    assert!(
        by_fax
            .notes
            .iter()
            .any(|note| note.contains("do not call unique"))
    );
}

#[test]
fn records_are_found_by_their_id() {
    let stream = keyed(&json!({"Fax": {}, "id": {}}), r#"["id"]"#);
    let shape = shape(&stream, json!({"operation": "update"})).unwrap();
    assert_eq!(names(&shape), ["id", "Fax"]);
    assert_eq!(shape.find_by.as_deref(), Some("id"));
    assert_eq!(shape.lookup_of(&shape.cells[0]), None);
}

#[test]
fn mandatory_fields_stop_an_insert_and_warn_an_upsert() {
    let stream = stream(&json!({"Email": {}}));
    let told = problems(&stream, json!({"operation": "insert"}));
    assert_eq!(
        told,
        ["mandatory field missing: mandatory fields are not mapped: `Last_Name`"]
    );
    let settings = json!({"operation": "insert", "defaults": {"Last_Name": "-"}});
    let insert = shape(&stream, settings).unwrap();
    assert_eq!(insert.defaults["Last_Name"], "-");
    assert!(insert.doubles());
    let upsert = shape(&stream, json!({})).unwrap();
    assert!(upsert.notes.iter().any(|note| note.contains("`Last_Name`")));
    assert!(!upsert.doubles());
}

#[test]
fn lengths_and_values_that_the_schema_declares_are_held_against_the_field() {
    let properties = json!({
        "Email": {}, "Last_Name": {"maxLength": 100},
        "Lead_Source": {"type": "string", "enum": ["Web", "Fair", "Phone"]},
    });
    let shape = shape(&stream(&properties), json!({})).unwrap();
    let has = |text: &str| shape.notes.iter().any(|note| note.contains(text));
    assert!(has(
        "may have 100 characters, the field `Last_Name` takes 8"
    ));
    assert!(has("`Lead_Source` does not list 1 of the values"));
    assert!(has("`Fair`"));
}

#[test]
fn a_time_needs_a_zone() {
    let stream = stream(&json!({"Email": {}, "Last_Call": {}}));
    let fields: Vec<Field> = crate::testing::fields()
        .iter()
        .filter_map(Field::of)
        .collect();
    let told = Shape::new(Meeting {
        stream: &stream,
        chosen: &Chosen::new(crate::config::StreamConfig::default()),
        module: "Contacts",
        fields: &fields,
        zone: None,
    });
    assert_eq!(told.unwrap_err()[0].kind, "time zone missing");
}

#[test]
fn a_file_has_two_hundred_columns() {
    let mut properties = serde_json::Map::new();
    properties.insert("Email".to_owned(), json!({}));
    let mut fields: Vec<Field> = crate::testing::fields()
        .iter()
        .filter_map(Field::of)
        .collect();
    for number in 0..200 {
        let name = format!("F{number}");
        properties.insert(name.clone(), json!({}));
        fields.extend(Field::of(&json!({"api_name": name, "data_type": "text"})));
    }
    let stream = stream(&Value::Object(properties));
    let told = Shape::new(Meeting {
        stream: &stream,
        chosen: &Chosen::new(crate::config::StreamConfig::default()),
        module: "Contacts",
        fields: &fields,
        zone: None,
    });
    assert_eq!(told.unwrap_err()[0].kind, "too many fields");
}

#[test]
fn defaults_must_be_fields_and_layout_is_one() {
    let stream = stream(&json!({"Email": {}}));
    let told = problems(
        &stream,
        json!({"defaults": {"Ghost": "1", "Full_Name": "x"}}),
    );
    assert_eq!(told.len(), 2, "{told:?}");
    let settings = json!({"defaults": {"Layout": "77", "Email": "x@y"}});
    let shape = shape(&stream, settings).unwrap();
    assert_eq!(shape.defaults.keys().collect::<Vec<_>>(), ["Layout"]);
    assert_eq!(shape.cell_defaults["Email"], "x@y");
}
