//! What the checks across keys refuse.

use serde_json::json;

use super::*;

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

#[test]
fn what_cannot_work_is_refused_by_name() {
    assert!(config(&json!({})).validate().is_ok());
    let callback = |url: &str| json!({"callback": {"listen": "127.0.0.1:0", "public_url": url, "secret": "s"}});
    for (changes, wanted) in [
        (json!({"page_size": 0}), "`page_size` must be at least 1"),
        (
            json!({"query_fields": 2}),
            "`query_fields` must be at least 3",
        ),
        (
            json!({"window_days": 30}),
            "`window_days` needs a `start_date`, where the first slice begins",
        ),
        (
            json!({"multi_select_separator": ""}),
            "`multi_select_separator` must not be empty",
        ),
        (
            json!({"criteria": {"Leads": {"field": {}}}}),
            "`criteria.Leads` needs a `field` of the form {\"api_name\": \"…\"}",
        ),
        (
            callback("https://h/crm?x=1"),
            "`callback.public_url` is no URL without a query",
        ),
    ] {
        assert_eq!(config(&changes).validate().unwrap_err().message(), wanted);
    }
    assert!(config(&callback("https://h/crm")).validate().is_ok());
}

#[test]
fn a_module_that_is_not_there_is_named_with_the_nearest() {
    let config = config(&json!({"modules": ["Lead", "Cont*"]}));
    assert!(config.wants_module("Contacts"));
    assert!(!config.wants_module("Leads"));
    let missing = config.modules_that_lack(&["Leads", "Contacts"]);
    assert_eq!(missing.len(), 1);
    let error = missing[0].1.downcast_ref::<Error>().unwrap();
    assert_eq!(error.hints(), ["did you mean `Leads`?"]);
}
