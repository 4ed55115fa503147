//! `tap-crm` into `target-crm-bulkwrite`: to Zoho's SDK the copy of a module is the module.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_test::pipe::{self, Cut};

use crate::case::{Case, assert_same, text_of};
use crate::tap::tap;
use crate::target::target;

/// Fields that are copied under their own names.
const COPIED: [&str; 9] = [
    "Last_Name",
    "Description",
    "No_of_Employees",
    "Annual_Revenue",
    "Email_Opt_Out",
    "Interests",
    "Birthday",
    "Last_Called",
    "Wagon_No",
];

#[test]
fn a_copy_is_the_same_to_the_sdk() {
    let Some(case) = Case::with(|_| {}) else {
        return;
    };
    case.sandbox
        .crm()
        .create_module(&copies())
        .expect("the module is made");
    let mut names = json!({"*": "", "id": "Lead_Id"});
    for name in COPIED {
        names[name] = json!(name);
    }
    let wanted: Vec<&str> = COPIED.into_iter().collect();
    // Twice, since what is there is found again.
    for _ in 0..2 {
        let source = tap(&case, &json!({"fields": {"Leads": wanted}})).args(["--select", "Leads"]);
        let streams = json!({"Leads": {"module": "Copies", "find_by": "Lead_Id", "fields": names}});
        let sink = target(&case, &streams);
        pipe::run(source, sink, Cut::Never).expect_success();
        assert_copied(&case);
    }
}

/// A module for copies of leads, as the metadata would describe it.
fn copies() -> Value {
    let field = |name: &str, kind: &str| json!({"api_name": name, "data_type": kind});
    let picks: Vec<Value> = ["Freight", "Storage", "Customs", "Night Shift"]
        .iter()
        .map(|value| json!({"actual_value": value, "display_value": value}))
        .collect();
    json!({"api_name": "Copies", "plural_label": "Copies", "api_supported": true,
    "generated_type": "custom", "fields": [
        {"api_name": "Lead_Id", "data_type": "text", "length": 40, "unique": {"casesensitive": "false"}},
        field("Last_Name", "text"), field("Description", "textarea"),
        field("No_of_Employees", "integer"), field("Annual_Revenue", "currency"),
        field("Email_Opt_Out", "boolean"), field("Birthday", "date"),
        field("Last_Called", "datetime"), field("Wagon_No", "bigint"),
        {"api_name": "Interests", "data_type": "multiselectpicklist", "pick_list_values": picks},
        field("Created_Time", "datetime"), field("Modified_Time", "datetime"),
    ]})
}

#[track_caller]
fn assert_copied(case: &Case) {
    let (leads, copies) = (case.records("Leads"), case.records("Copies"));
    let mut found: BTreeMap<String, &Value> = BTreeMap::new();
    for copy in copies.values() {
        let id = text_of(&copy["Lead_Id"]);
        assert!(found.insert(id, copy).is_none(), "a copy is doubled");
    }
    assert!(found.keys().eq(leads.keys()), "{} copies", found.len());
    for (id, lead) in &leads {
        let part = COPIED
            .iter()
            .map(|name| ((*name).to_owned(), lead[*name].clone()));
        let part = Value::Object(part.collect());
        assert_same(&part, found[id], ";");
    }
}
