//! Metadata with pieces that are missing, of another type, or unknown.

use super::*;

fn field(value: Value) -> Field {
    Field::of(&value).unwrap()
}

#[tokio::test]
async fn modules_are_listed_with_what_is_known_of_them() {
    let stage = Stage::of(|_, _| {
        ok(&json!({"modules": [
            {"id": "6110000000002179", "api_name": "Deals", "module_name": "Potentials", "plural_label": "Deals",
             "api_supported": true, "viewable": true, "creatable": true, "editable": "false", "status": "visible",
             "generated_type": "default", "parent_module": {}, "modified_time": null, "a_newer_key": [1]},
            {"id": 6110000000002180_i64, "api_name": "Lines", "generated_type": "subform",
             "parent_module": {"api_name": "Quotes", "id": "1"}},
            {"api_name": "Links", "generated_type": "linking", "parent_module": "Deals"},
            {"api_name": "New", "generated_type": "galactic"},
            {"plural_label": "without a name"}, null, "Deals",
        ]}))
    })
    .await;
    let modules = stage.crm.modules().await.unwrap();
    assert_eq!(stage.lines(), ["GET /crm/v8/settings/modules"]);
    let wanted = Module {
        id: "6110000000002179".to_owned(),
        api_name: "Deals".to_owned(),
        label: "Deals".to_owned(),
        is_api_supported: true,
        is_viewable: true,
        is_creatable: true,
        is_editable: false,
        generated_type: GeneratedType::Default,
        status: Some("visible".to_owned()),
        parent_module: None,
    };
    assert_eq!(modules[0], wanted);
    assert_eq!(modules[1].id, "6110000000002180");
    assert_eq!(modules[1].generated_type, GeneratedType::Subform);
    assert_eq!(modules[1].parent_module.as_deref(), Some("Quotes"));
    assert_eq!(modules[2].generated_type, GeneratedType::Linking);
    assert_eq!(modules[2].parent_module.as_deref(), Some("Deals"));
    let other = GeneratedType::Other("galactic".to_owned());
    assert_eq!((modules.len(), &modules[3].generated_type), (4, &other));
}

#[tokio::test]
async fn one_module_is_described_by_its_name() {
    let stage = Stage::of(|number, _| match number {
        0 => ok(&json!({"modules": [{"api_name": "Leads"}]})),
        _ => nothing(),
    })
    .await;
    let found = stage.crm.module("Leads").await.unwrap();
    assert_eq!(found.unwrap().api_name, "Leads");
    assert_eq!(stage.crm.module("a b").await.unwrap(), None);
    let wanted = [
        "GET /crm/v8/settings/modules/Leads",
        "GET /crm/v8/settings/modules/a%20b",
    ];
    assert_eq!(stage.lines(), wanted);
}

#[tokio::test]
async fn a_module_without_metadata_has_no_fields() {
    let stage = Stage::of(|number, _| match number {
        0 => nothing(),
        1 => ok(&json!({"fields": null})),
        2 => ok(&json!({"fields": [{"api_name": "Name"}, {}, 3]})),
        3 => ok(&json!({"fields": "none"})),
        _ => ok(&json!([])),
    })
    .await;
    assert_eq!(stage.crm.fields("Links").await.unwrap(), None);
    assert_eq!(stage.crm.fields("Links").await.unwrap(), Some(Vec::new()));
    assert_eq!(stage.crm.fields("Links").await.unwrap().unwrap().len(), 1);
    for _ in 0..2 {
        let fault = stage.crm.fields("Links").await.unwrap_err();
        let error = fault.into_error("cannot discover");
        assert_eq!(error.kind(), Kind::Protocol);
    }
    let wanted = "GET /crm/v8/settings/fields?module=Links&type=all";
    assert_eq!(stage.lines()[0], wanted);
}

#[test]
fn a_whole_field_is_read_whole() {
    let read = field(json!({
        "id": "6110000000002565", "api_name": "Stage", "field_label": "Stage", "display_label": "Phase",
        "data_type": "picklist", "json_type": "string", "length": 120, "decimal_place": null,
        "custom_field": false, "system_mandatory": true, "read_only": false, "field_read_only": false,
        "visible": true, "type": "used", "virtual_field": false, "display_type": -1,
        "view_type": {"view": true, "edit": true, "create": true, "quick_create": true},
        "operation_type": {"web_view": true, "api_create": true, "api_update": false},
        "unique": {}, "lookup": {}, "multiselectlookup": {}, "subform": null, "formula": {},
        "crypt": null, "external": null,
        "pick_list_values": [
            {"id": "1", "actual_value": "Negotiation", "display_value": "Verhandlung", "type": "used"},
            {"display_value": "Old", "type": "unused"}, {"id": "3"}, null,
        ],
    }));
    let wanted = Field {
        id: "6110000000002565".to_owned(),
        api_name: "Stage".to_owned(),
        label: "Stage".to_owned(),
        data_type: DataType::PickList,
        json_type: Some("string".to_owned()),
        length: Some(120),
        decimal_place: None,
        is_read_only: false,
        is_mandatory: true,
        is_used: true,
        is_custom: false,
        is_unique: false,
        is_encrypted: false,
        api_create: true,
        api_update: false,
        pick_list_values: vec![
            PickListValue {
                actual_value: "Negotiation".to_owned(),
                display_value: "Verhandlung".to_owned(),
                is_used: true,
            },
            PickListValue {
                actual_value: "Old".to_owned(),
                display_value: "Old".to_owned(),
                is_used: false,
            },
        ],
        lookup_module: None,
        return_type: None,
    };
    assert_eq!(read, wanted);
}

#[test]
fn a_field_may_lack_everything_but_its_name() {
    let bare = field(json!({"api_name": "X", "operation_type": null, "pick_list_values": {}}));
    assert_eq!((bare.label.as_str(), bare.id.as_str()), ("X", ""));
    assert_eq!(bare.data_type, DataType::Other(String::new()));
    assert_eq!((bare.json_type, bare.length), (None, None));
    assert!(bare.api_create && bare.api_update && bare.is_used);
    assert!(!bare.is_read_only && !bare.is_mandatory && !bare.is_unique);
    // Without a type the one of JSON says something.
    for (json_type, wanted) in [
        ("integer", DataType::Integer),
        ("double", DataType::Double),
        ("boolean", DataType::Boolean),
        ("string", DataType::Other(String::new())),
    ] {
        let read = field(json!({"api_name": "X", "json_type": json_type}));
        assert_eq!(read.data_type, wanted);
    }
    for nameless in [
        json!({"data_type": "text"}),
        json!({"api_name": ""}),
        json!(7),
    ] {
        assert_eq!(Field::of(&nameless), None);
    }
}

#[test]
fn a_lookup_names_its_module_in_either_shape() {
    for (lookup, wanted) in [
        (
            json!({"module": {"api_name": "Accounts", "id": "61"}}),
            Some("Accounts"),
        ),
        (json!({"module": "Accounts"}), Some("Accounts")),
        (json!({"module": null}), None),
        (json!({}), None),
        (json!(null), None),
    ] {
        let read = field(json!({"api_name": "X", "data_type": "lookup", "lookup": lookup}));
        assert_eq!(read.lookup_module.as_deref(), wanted);
    }
}

#[test]
fn switches_and_marks_come_in_several_shapes() {
    let read = field(json!({
        "api_name": "X", "id": 6110000000002565_i64, "length": "255", "decimal_place": "2",
        "read_only": "TRUE", "unique": {"casesensitive": "false"}, "crypt": {"mode": "decryption"},
        "type": "unused", "custom_field": true,
    }));
    assert_eq!(read.id, "6110000000002565");
    assert_eq!((read.length, read.decimal_place), (Some(255), Some(2)));
    assert!(read.is_read_only && read.is_unique && read.is_encrypted && read.is_custom);
    assert!(!read.is_used);
    let read = field(json!({"api_name": "X", "field_read_only": true, "unique": true}));
    assert!(read.is_read_only && read.is_unique);
}

#[test]
fn a_formula_tells_what_it_yields_if_it_does() {
    for (key, told, wanted) in [
        (
            "formula",
            json!({"return_type": "double"}),
            Some(DataType::Double),
        ),
        ("formula", json!({}), None),
        (
            "rollup_summary",
            json!({"return_type": "datetime"}),
            Some(DataType::DateTime),
        ),
    ] {
        let read = field(json!({"api_name": "X", "data_type": key, (key): told}));
        assert_eq!(read.return_type, wanted);
    }
}

#[test]
fn every_type_has_a_name_and_every_name_a_type() {
    for name in [
        "text",
        "textarea",
        "email",
        "phone",
        "website",
        "picklist",
        "autonumber",
        "multiselectpicklist",
        "integer",
        "bigint",
        "double",
        "percent",
        "currency",
        "boolean",
        "date",
        "datetime",
        "lookup",
        "ownerlookup",
        "userlookup",
        "profilelookup",
        "formula",
        "rollup_summary",
        "subform",
        "fileupload",
        "imageupload",
        "profileimage",
        "multiselectlookup",
        "multiuserlookup",
        "address",
        "consent_lookup",
        "RRULE",
        "ALARM",
        "event_reminder",
        "multireminder",
    ] {
        let known = DataType::of(name);
        assert!(!matches!(known, DataType::Other(_)), "{name}");
        assert_eq!(known.name(), name);
        assert_eq!(DataType::of(&name.to_uppercase()), known);
    }
    assert_eq!(DataType::of("hologram").name(), "hologram");
}

#[tokio::test]
async fn the_organisation_gives_what_uploads_and_times_need() {
    let stage = Stage::of(|number, _| match number {
        0 => ok(&json!({"org": [{
            "id": "6110000000000155", "zgid": 704881200, "company_name": "Nordlys AS", "type": "production",
            "time_zone": "Europe/Oslo", "mc_status": false,
            "license_details": {"paid_type": "Enterprise", "users_license_purchased": 25},
        }]})),
        _ => ok(&json!({"org": []})),
    })
    .await;
    let wanted = Organisation {
        id: "6110000000000155".to_owned(),
        zgid: "704881200".to_owned(),
        time_zone: Some("Europe/Oslo".to_owned()),
        edition: Some("enterprise".to_owned()),
        users: Some(25),
        kind: Some("production".to_owned()),
    };
    assert_eq!(stage.crm.organisation().await.unwrap(), wanted);
    assert_eq!(stage.lines(), ["GET /crm/v8/org"]);
    let error = stage.crm.organisation().await.unwrap_err().into_error("x");
    assert_eq!(error.kind(), Kind::Protocol);
}

#[tokio::test]
async fn a_count_is_a_number_and_nothing_is_none() {
    let stage = Stage::of(|number, _| match number {
        0 => ok(&json!({"count": 1466})),
        1 => nothing(),
        _ => ok(&json!({"count": "many"})),
    })
    .await;
    assert_eq!(stage.crm.count("Deals").await.unwrap(), 1466);
    assert_eq!(stage.crm.count("Deals").await.unwrap(), 0);
    assert!(stage.crm.count("Deals").await.is_err());
    assert_eq!(stage.lines()[0], "GET /crm/v8/Deals/actions/count");
    assert_eq!(stage.crm.credits().spent()[0].calls, 3);
}
