//! The suite that every tap must pass, over the stand-in of the CRM.

use serde_json::{Value, json};
use singer_test::tap::{Stream, Subject, conforms};

use crate::kit::Stand;

#[test]
fn it_conforms() {
    let stand = Stand::with(|options| {
        options.crm.page_rows = 20_000;
        options.crm.credits = 5_000_000;
        options.crm.downloads = 100_000;
        options.zoho.tokens_per_window = 1000;
    });
    for (module, rows) in [("Items", 31_000), ("Changes", 32_000)] {
        stand.module(
            module,
            &json!([{"api_name": "What", "data_type": "text", "json_type": "string", "length": 255}]),
        );
        let records: Vec<Value> = (0..rows)
            .map(|number| {
                let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
                let time = format!("2024-01-01T{hour:02}:{minute:02}:{second:02}+00:00");
                let what = format!("what {number} {}", "é".repeat(40));
                json!({"What": what, "Created_Time": time, "Modified_Time": time})
            })
            .collect();
        stand.put(module, &Value::from(records));
    }
    let stream = |name: &str, key: Option<&str>, rows| Stream {
        id: name.to_owned(),
        name: name.to_owned(),
        property: "What".to_owned(),
        replication_key: key.map(str::to_owned),
        rows,
    };
    let mut config = stand.config();
    config["page_size"] = 20_000.into();
    conforms(&Subject {
        binary: "tap-crm",
        config,
        args: Vec::new(),
        full: stream("Items", None, 31_000),
        incremental: stream("Changes", Some("Modified_Time"), 32_000),
    });
}
