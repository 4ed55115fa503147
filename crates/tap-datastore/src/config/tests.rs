//! Tests of the settings.

use serde_json::{Value, json};

use super::*;

fn config(changes: Value) -> Result<Config> {
    let mut all = json!({
        "client_id": "1000.A", "client_secret": "s", "refresh_token": "r", "data_center": "eu",
        "project_id": "4000", "time_zone": "Europe/Berlin", "lookback_seconds": 3600,
        "small_table_rows": 600, "deletions": "ignore", "deletions_path": "d", "empty_cells": "null",
        "page_size": 200_000, "parallel_jobs": 4, "job_timeout_seconds": 60, "patience_seconds": 60,
        "listen_path": "/events", "listen_header": "h", "journal_path": "j", "listen_backlog": 10,
        "event_rows": "auto", "attempts": 3, "request_timeout_seconds": 5,
    });
    if let (Value::Object(all), Value::Object(changes)) = (&mut all, changes) {
        all.extend(changes);
    }
    let config: Config = serde_json::from_value(all).unwrap();
    config.validate().map(|()| config)
}

fn refusal(changes: Value) -> (String, Vec<String>) {
    let error = config(changes).unwrap_err();
    (error.message().to_owned(), error.hints().to_vec())
}

#[test]
fn a_zone_that_does_not_exist_is_answered_with_the_nearest() {
    for (typed, meant) in [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Kolkata", "Asia/Kolkata"),
    ] {
        let (message, hints) = refusal(json!({"time_zone": typed}));
        assert_eq!(message, format!("`time_zone`: there is no zone `{typed}`"));
        assert_eq!(hints, [format!("did you mean `{meant}`?")]);
    }
}

#[test]
fn modes_and_their_needs_are_checked() {
    for (changes, message) in [
        (
            json!({"listen": "127.0.0.1:0"}),
            "`listen` needs a `listen_secret`",
        ),
        (
            json!({"listen": "a", "row": "T/1"}),
            "`listen` and `row` exclude each other",
        ),
        (
            json!({"listen_certificate": "c.pem"}),
            "`listen_certificate` and `listen_key` go together",
        ),
        (
            json!({"callback": {"listen": "a", "public_url": "hooks", "secret": "s"}}),
            "`callback.public_url` is no URL",
        ),
        (json!({"page_size": 0}), "`page_size` must be at least 1"),
        (
            json!({"data_center": "ae"}),
            "Catalyst is not known to be in the data centre `ae`",
        ),
    ] {
        assert_eq!(refusal(changes).0, message);
    }
}

#[test]
fn tables_are_chosen_by_pattern() {
    let all = config(json!({})).unwrap();
    assert!(all.wants_table("Trips"));
    let some = config(json!({"tables": ["Tr*", "Cars"]})).unwrap();
    assert!(some.wants_table("Trips") && some.wants_table("Cars"));
    assert!(!some.wants_table("Drivers"));
}

#[test]
fn a_callback_is_answered_on_the_path_of_its_public_url() {
    let callback = json!({"listen": "a", "public_url": "https://h.example/a/bulk", "secret": "s"});
    let config = config(json!({"callback": callback})).unwrap();
    let callback = config.callback.unwrap();
    assert_eq!(callback.path().unwrap(), "/a/bulk");
    assert_eq!(callback.header(), SECRET_HEADER);
}
