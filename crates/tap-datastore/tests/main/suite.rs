//! The suite that every tap must pass.

use sandbox::datastore::Environment;
use serde_json::{Value, json};
use singer_test::tap::{Stream, Subject, conforms};

use crate::kit::Store;

#[test]
fn it_conforms() {
    let store = Store::with(0, 20_000, |options| options.zoho.tokens_per_window = 1000);
    for (table, rows) in [("Item", 31_000), ("Change", 32_000)] {
        let columns = json!([{"column_name": "What", "data_type": "varchar", "max_length": 200}]);
        let made = store
            .inside()
            .create_table(&json!({"table_name": table, "columns": columns}));
        made.expect("a table");
        let rows: Vec<Value> = (0..rows)
            .map(|number| {
                let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
                let time = format!("2024-01-01 {hour:02}:{minute:02}:{second:02}:000");
                let what = format!("what {number} {}", "é".repeat(40));
                json!({"What": what, "CREATEDTIME": time, "MODIFIEDTIME": time})
            })
            .collect();
        let put = store
            .inside()
            .put(Environment::Production, table, &Value::from(rows));
        put.expect("rows");
    }
    let mut config = store.config();
    config["page_size"] = 20_000.into();
    config["lookback_seconds"] = 0.into();
    let stream = |name: &str, key: Option<&str>, rows| Stream {
        id: name.to_owned(),
        name: name.to_owned(),
        property: "What".to_owned(),
        replication_key: key.map(str::to_owned),
        rows,
    };
    conforms(&Subject {
        binary: "tap-datastore",
        config,
        args: Vec::new(),
        full: stream("Item", None, 31_000),
        incremental: stream("Change", Some("MODIFIEDTIME"), 32_000),
    });
}
