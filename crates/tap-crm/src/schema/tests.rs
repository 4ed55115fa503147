//! Streams of modules with every type.

use super::*;

fn fields(list: Value) -> Vec<Field> {
    list.as_array()
        .unwrap()
        .iter()
        .filter_map(Field::of)
        .collect()
}

fn config(changes: &Value) -> Config {
    let mut keys = json!({
        "client_id": "c", "client_secret": "s", "refresh_token": "r", "data_center": "eu",
        "include_deleted": false, "window_lag_seconds": 30, "small_change_rows": 30_000,
        "query_fields": 50, "multi_select": "text", "multi_select_separator": ";",
        "page_size": 200_000, "bulk_fields": 200, "parallel_jobs": 4,
        "job_timeout_seconds": 60, "failed_job_pause_seconds": 1,
        "attempts": 1, "request_timeout_seconds": 5,
    });
    if let (Value::Object(keys), Value::Object(changes)) = (&mut keys, changes) {
        keys.extend(changes.clone());
    }
    serde_json::from_value(keys).unwrap()
}

fn entry(list: Value, changes: &Value) -> Entry {
    let config = config(changes);
    Module::new("Leads", fields(list), &config).entry(&config, Some(7))
}

#[test]
fn types_become_json_schemas() {
    let null = |kind: &str| json!({"type": ["null", kind]});
    for (field, wanted) in [
        (
            json!({"data_type": "picklist", "pick_list_values": [{"actual_value": "a"}]}),
            null("string"),
        ),
        (json!({"data_type": "email", "length": 100}), null("string")),
        (json!({"data_type": "bigint"}), null("integer")),
        (json!({"data_type": "currency"}), null("number")),
        (json!({"data_type": "boolean"}), null("boolean")),
        (
            json!({"data_type": "date"}),
            json!({"type": ["null", "string"], "format": "date"}),
        ),
        (json!({"data_type": "ownerlookup"}), null("string")),
        (json!({"data_type": "multiselectpicklist"}), null("string")),
        (
            json!({"data_type": "formula", "formula": {"return_type": "currency"}}),
            null("number"),
        ),
        (json!({"data_type": "formula"}), null("string")),
        (json!({"data_type": "rollup_summary"}), null("string")),
        (json!({"data_type": "hologram"}), null("string")),
        (json!({"json_type": "double"}), null("number")),
        (json!({}), null("string")),
        (json!({"data_type": "subform"}), json!({})),
        (json!({"data_type": "address"}), json!({})),
    ] {
        let mut field = field;
        field["api_name"] = "F".into();
        let entry = entry(json!([field]), &json!({}));
        assert_eq!(entry.property("F"), Some(&wanted), "{field}");
        let is_unsupported = wanted == json!({});
        assert_eq!(
            entry.field_metadata("F", "inclusion"),
            Some(&json!(if is_unsupported {
                "unsupported"
            } else {
                "available"
            })),
            "{field}"
        );
    }
}

#[test]
fn only_a_module_that_tells_its_changes_is_incremental() {
    let timed = json!([{"api_name": "Modified_Time", "data_type": "datetime"}]);
    let with = entry(timed.clone(), &json!({"include_deleted": true}));
    assert_eq!(
        with.stream_metadata("replication-key"),
        Some(&json!("Modified_Time"))
    );
    assert!(with.property(DELETED_AT).is_some());
    for list in [
        json!([]),
        json!([{"api_name": "Modified_Time", "data_type": "text"}]),
    ] {
        let without = entry(list, &json!({"include_deleted": true}));
        assert_eq!(without.stream_metadata("replication-key"), None);
        assert_eq!(
            without.stream_metadata("valid-replication-keys"),
            Some(&json!([]))
        );
        assert!(without.property(DELETED_AT).is_none());
    }
}

#[test]
fn the_key_is_there_once_whatever_the_metadata_call_it() {
    let list =
        json!([{"api_name": "Id", "data_type": "bigint"}, {"api_name": "A", "data_type": "text"}]);
    let entry = entry(list, &json!({}));
    let names: Vec<&String> = entry.properties().map(|(name, _)| name).collect();
    assert_eq!(names, ["id", "A"]);
    assert_eq!(entry.property("id"), Some(&json!({"type": ["string"]})));
}

#[test]
fn the_config_chooses_fields_and_adds_those_of_parents() {
    let list = json!([
        {"api_name": "Last_Name", "data_type": "text"},
        {"api_name": "Email", "data_type": "email"},
        {"api_name": "Modified_Time", "data_type": "datetime"},
    ]);
    let chosen = entry(
        list,
        &json!({"fields": {"Leads": ["Last*", "Owner.last_name"]}}),
    );
    let names: Vec<&String> = chosen.properties().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["id", "Last_Name", "Modified_Time", "Owner.last_name"]
    );
}

#[test]
fn what_bulk_reads_refuse_by_name_is_unsupported_with_the_reason() {
    let refused = entry(
        json!([{"api_name": "Quoted_Items", "data_type": "text"}]),
        &json!({}),
    );
    assert_eq!(
        refused.field_metadata("Quoted_Items", "crm.unsupported"),
        Some(&json!("the service does not read it in bulk"))
    );
    let notes =
        zoho::crm::Module::of(&json!({"api_name": "Notes", "api_supported": true})).unwrap();
    assert!(refusal(&notes).is_some());
    let leads =
        zoho::crm::Module::of(&json!({"api_name": "Leads", "api_supported": true})).unwrap();
    assert_eq!(refusal(&leads), None);
}

#[test]
fn criteria_must_fit_the_fields() {
    let list = fields(json!([
        {"api_name": "Stage", "data_type": "picklist"},
        {"api_name": "Open", "data_type": "boolean"},
        {"api_name": "Owner", "data_type": "ownerlookup"},
    ]));
    let module = Module::new("Leads", list.clone(), &config(&json!({})));
    let check = |field: &str, comparator: &str, value: Value| {
        let leaf = json!({"field": {"api_name": field}, "comparator": comparator, "value": value});
        let criteria = Criteria::parse("criteria.Leads", &leaf).unwrap();
        module
            .check(&criteria, &list)
            .map_err(|error| error.message().to_owned())
    };
    assert_eq!(check("Stage", "starts_with", json!("x")), Ok(()));
    assert_eq!(check("Owner.last_name", "contains", json!("x")), Ok(()));
    assert_eq!(check("id", "equal", json!("1")), Ok(()));
    assert_eq!(
        check("Stag", "equal", json!("x")),
        Err("`criteria.Leads` names a field `Stag` that the module does not have".to_owned())
    );
    assert_eq!(
        check("Open", "in", json!([true])),
        Err("`criteria.Leads`: the field `Open` takes no comparator `in`".to_owned())
    );
}

#[test]
fn a_field_that_the_config_names_for_the_module_must_be_there() {
    let check = |names: Value| {
        let config = config(&json!({"fields": names}));
        let all = fields(
            json!([{"api_name": "Last_Name", "data_type": "text"}, {"api_name": "Owner", "data_type": "ownerlookup"}]),
        );
        Module::new("Leads", all.clone(), &config).check_fields(&config, &all)
    };
    check(json!({"Leads": ["Last_Name", "Owner.last_name", "Last*", "id", "$converted"]})).unwrap();
    // Of several modules each may lack some.
    check(json!({"*": ["Last_Name", "Company"]})).unwrap();
    for name in ["Last_Nam", "Ownr.last_name"] {
        let error = check(json!({"Leads": [name]})).unwrap_err();
        assert!(
            error.message().contains("`fields.Leads` names a field"),
            "{error}"
        );
    }
}
