//! The mapping: what fits, what is created, what is a problem and how it is told.

use serde_json::json;

use super::*;

fn pendo() -> MetadataSchema {
    MetadataSchema::parse(&json!({
        "custom": {
            "plan_tier": {"Type": "string", "DisplayName": "Plan tier", "isDeleted": false},
            "seats": {"type": "integer"},
            "mrr": {"Type": "float"},
            "is_trial": {"Type": "boolean"},
            "renewal": {"Type": "time"},
            "open": {"Type": ""},
            "strange": {"Type": "hologram", "sample": 1},
            "gone": {"Type": "string", "isDeleted": true},
            "broken": "no object",
        },
        "agent": {"role": {"Type": "string"}, "tags": {"Type": "list", "ElementType": "string"}},
        "auto__323232": {"lastvisit": {"Type": "time"}},
        "odd": null,
    }))
}

fn stream(properties: Value, keys: Value) -> Stream {
    Stream {
        name: "accounts".to_owned(),
        schema: singer_core::schema::Schema::new(
            &json!({"properties": properties}).to_string(),
            Some(&keys.to_string()),
            None,
        )
        .unwrap(),
        guessed: false,
    }
}

fn map(properties: Value, config: Value, group: Group) -> Mapping {
    let config: StreamConfig = serde_json::from_value(config).unwrap();
    let chosen = config.choices.over(&crate::config::Choices::default());
    Plan {
        stream: &stream(properties, json!(["id"])),
        config: &config,
        chosen: &chosen,
        kind: Kind::Account,
        group,
        schema: &pendo(),
    }
    .mapping()
}

fn kinds(mapping: &Mapping) -> Vec<&'static str> {
    mapping
        .problems
        .iter()
        .map(|problem| problem.kind)
        .collect()
}

#[test]
fn names_match_in_any_case_and_pendos_spelling_is_sent() {
    let mapping = map(
        json!({"id": {"type": "string"}, "Plan_Tier": {"type": ["null", "string"]}, "n": {"type": "integer"},
               "_sdc_batched_at": {"type": "string"}, "note": {"type": "string"}}),
        json!({"fields": {"n": "SEATS", "note": "", "*": "*"}}),
        Group::Custom,
    );
    assert_eq!(mapping.problems, []);
    assert_eq!(mapping.id, Some(0));
    let fields: Vec<(&str, &str)> = mapping
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.field.as_str()))
        .collect();
    assert_eq!(fields, [("Plan_Tier", "plan_tier"), ("n", "seats")]);
}

#[test]
fn columns_that_the_fields_do_not_list_are_not_sent() {
    let mapping = map(
        json!({"id": {"type": "string"}, "plan_tier": {"type": "string"}, "n": {"type": "integer"},
               "unknown_to_pendo": {"type": "string"}}),
        json!({"fields": {"n": "seats"}}),
        Group::Custom,
    );
    assert_eq!(mapping.problems, []);
    assert_eq!(mapping.columns.len(), 1);
    assert_eq!(mapping.columns[0].name, "n");
}

#[test]
fn every_problem_is_told_at_once_with_the_page_where_to_solve_it() {
    let mapping = map(
        json!({"id": {"type": "string"}, "gone": {"type": "string"}, "absent": {"type": "boolean"},
               "seats": {"type": ["null", "string"]}, "renewal": {"type": "string"}, "has space": {},
               "strange": {"type": "integer"}, "is_trial": {"type": "string", "format": "date-time"}}),
        json!({"fields": {"nowhere": "plan_tier", "*": "*"}}),
        Group::Custom,
    );
    assert_eq!(
        kinds(&mapping),
        [
            "column missing",
            "field missing",
            "field missing",
            "type conflict",
            "type conflict",
            "field name",
            "type conflict"
        ]
    );
    let missing = &mapping.problems[2];
    assert_eq!(
        missing.message,
        "the column `absent` (boolean) has no field `absent` in Pendo"
    );
    assert!(
        missing
            .hint
            .as_ref()
            .unwrap()
            .contains("Data Mappings > Account")
    );
    let conflict = &mapping.problems[3];
    assert_eq!(
        conflict.message,
        "the column `seats` (string) cannot go to the field `seats` (integer)"
    );
    assert!(conflict.hint.as_ref().unwrap().contains("coerce_strings"));
    assert_eq!(
        mapping.columns.len(),
        1,
        "the field of an unknown type takes anything"
    );
}

#[test]
fn the_table_of_types_holds() {
    let types = [
        json!({"type": "string"}),
        json!({"type": "integer"}),
        json!({"type": "number"}),
        json!({"type": "boolean"}),
        json!({"type": "string", "format": "date"}),
        json!({"type": "string", "format": "singer.decimal"}),
        json!({"type": "array"}),
        json!({"type": "object"}),
        json!({}),
        json!({"type": "null"}),
    ];
    // Which of the types above each field takes, plain and with `coerce_strings`, `epoch_ms`, `reject`.
    for (field, plain, coerced, epoch, reject) in [
        (
            "plan_tier",
            "yyyyyyyyyy",
            "yyyyyyyyyy",
            "yyyyyyyyyy",
            "yyyyyynnyy",
        ),
        (
            "seats",
            "nyynnynnyy",
            "yyynnynnyy",
            "nyynnynnyy",
            "nyynnynnyy",
        ),
        (
            "mrr",
            "nyynnynnyy",
            "yyynnynnyy",
            "nyynnynnyy",
            "nyynnynnyy",
        ),
        (
            "is_trial",
            "nnnynynnyy",
            "yynynynnyy",
            "nnnynynnyy",
            "nnnynynnyy",
        ),
        (
            "renewal",
            "nnnnyynnyy",
            "ynnnyynnyy",
            "nynnyynnyy",
            "nnnnyynnyy",
        ),
        (
            "open",
            "yyyyyyyyyy",
            "yyyyyyyyyy",
            "yyyyyyyyyy",
            "yyyyyyynyy",
        ),
    ] {
        for (config, wanted) in [
            (json!({}), plain),
            (json!({"coerce_strings": true}), coerced),
            (json!({"date_format": "epoch_ms"}), epoch),
            (json!({"nested": "reject"}), reject),
        ] {
            let got: String = types
                .iter()
                .map(|kind| {
                    let mapping = map(
                        json!({"id": {"type": "string"}, field: kind}),
                        config.clone(),
                        Group::Custom,
                    );
                    if mapping.problems.is_empty() {
                        'y'
                    } else {
                        'n'
                    }
                })
                .collect();
            assert_eq!(got, wanted, "{field} {config}");
        }
    }
}

#[test]
fn missing_custom_fields_are_created_only_if_asked() {
    let mapping = map(
        json!({"id": {"type": "string"}, "A": {"type": ["null", "boolean"]}, "b": {"type": ["integer", "null"]},
               "c": {"type": "string", "format": "date-time"}, "d": {"type": ["string", "integer"]},
               "e": {"type": "string", "format": "singer.decimal"}}),
        json!({"create_fields": true}),
        Group::Custom,
    );
    assert_eq!(mapping.problems, []);
    let created: Vec<(&str, &str, &str)> = mapping
        .creates
        .iter()
        .map(|field| (field.name.as_str(), field.display_name.as_str(), field.kind))
        .collect();
    assert_eq!(
        created,
        [
            ("a", "A", "boolean"),
            ("b", "b", "number"),
            ("c", "c", "time"),
            ("d", "d", "string"),
            ("e", "e", "number")
        ]
    );
}

#[test]
fn agent_fields_come_into_being_and_may_be_lists() {
    let mapping = map(
        json!({"id": {"type": "string"}, "fresh": {"type": "string"}, "tags": {"type": "array"}}),
        json!({}),
        Group::Agent,
    );
    assert_eq!(mapping.problems, []);
    assert_eq!(mapping.creates, []);
    assert_eq!(
        mapping.columns[1].conversion.to,
        FieldType::List(Scalar::Text)
    );
}

#[test]
fn an_id_is_never_guessed() {
    let schema = pendo();
    for (keys, config, wanted) in [
        (json!([]), json!({}), Some("id unclear")),
        (json!(["a", "b"]), json!({}), Some("id unclear")),
        (json!(["a", "b"]), json!({"id": "b"}), None),
        (json!([]), json!({"id": "absent"}), Some("id missing")),
    ] {
        let config: StreamConfig = serde_json::from_value(config).unwrap();
        let stream = stream(
            json!({"a": {"type": "string"}, "b": {"type": "string"}, "plan_tier": {"type": "string"}}),
            keys,
        );
        let mapping = Plan {
            stream: &stream,
            config: &config,
            chosen: &Chosen::default(),
            kind: Kind::Visitor,
            group: Group::Custom,
            schema: &schema,
        }
        .mapping();
        assert_eq!(
            mapping
                .problems
                .iter()
                .map(|problem| problem.kind)
                .find(|kind| kind.starts_with("id")),
            wanted
        );
    }
}

#[test]
fn two_columns_never_share_a_field() {
    let mapping = map(
        json!({"id": {"type": "string"}, "plan_tier": {"type": "string"}, "PLAN_TIER": {"type": "string"}}),
        json!({}),
        Group::Custom,
    );
    assert_eq!(kinds(&mapping), ["field taken twice"]);
}
