//! The suite that every target must pass.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_test::target::{Subject, WithoutKey, conforms};

use crate::kit::Crm;

/// An empty CRM of its own for each scenario.
#[derive(Default)]
struct Leads {
    world: RefCell<Option<Crm>>,
}

impl Subject for Leads {
    fn binary(&self) -> &'static str {
        "target-crm-bulkwrite"
    }

    fn fresh(&self) -> Value {
        let crm = Crm::start();
        let mut config = crm.target_config();
        config["streams"] = json!({"*": {"module": "Leads", "find_by": "External_Id"}});
        self.world.replace(Some(crm));
        config
    }

    fn stream(&self) -> &'static str {
        "leads"
    }

    fn schema(&self) -> Value {
        json!({"type": "object", "properties": {
            "External_Id": {"type": "string"},
            "Last_Name": {"type": ["null", "string"]},
            "Company": {"type": ["null", "string"]},
            "Description": {"type": ["null", "string"]},
            "Email": {"type": ["null", "string"]},
            "No_of_Employees": {"type": ["null", "integer"]},
        }})
    }

    fn key(&self) -> &'static str {
        "External_Id"
    }

    fn record(&self, number: u64, revision: u64) -> Value {
        json!({
            "External_Id": format!("{number:08x}"), "Last_Name": format!("Lead {number}"),
            "Company": format!("Firm {revision}"), "Description": format!("of {revision}"),
            "Email": format!("lead-{number}@example.org"), "No_of_Employees": number + revision,
        })
    }

    fn text(&self) -> &'static str {
        "Description"
    }

    fn stored(&self) -> BTreeMap<String, Value> {
        let world = self.world.borrow();
        let leads = world.as_ref().expect("a config was made").leads();
        let mut stored = BTreeMap::new();
        for lead in leads {
            let mut members = json!({});
            for field in [
                "Last_Name",
                "Company",
                "Description",
                "Email",
                "No_of_Employees",
            ] {
                if let Some(value) = lead.get(field).filter(|value| !value.is_null()) {
                    members[field] = value.clone();
                }
            }
            let key = lead["External_Id"].as_str().unwrap_or_default().to_owned();
            assert!(
                stored.insert(key.clone(), members).is_none(),
                "two leads of {key}"
            );
        }
        stored
    }

    fn refused(&self, number: u64) -> Value {
        let mut record = self.record(number, 1);
        // It fits the schema, and the service knows that it is no address.
        record["Email"] = json!("nobody");
        record
    }

    fn without_key(&self) -> WithoutKey {
        WithoutKey::Appends
    }
}

#[test]
fn upserts_pass_the_suite_of_all_targets() {
    conforms(&Leads::default());
}
