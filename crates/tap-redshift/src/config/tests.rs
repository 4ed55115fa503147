//! The checks of a config, and the defaults that depend on the host.

use serde_json::{Value, json};

use super::*;

fn config(changes: Value) -> Config {
    let mut document = serde_json::Map::new();
    for setting in Config::settings() {
        if let Some(default) = setting.default {
            document.insert(setting.name.to_owned(), default);
        }
    }
    for (key, value) in [
        ("host", "db.example"),
        ("dbname", "dev"),
        ("user", "IAM:ana"),
    ] {
        document.insert(key.to_owned(), json!(value));
    }
    if let Value::Object(changes) = changes {
        document.extend(changes);
    }
    serde_json::from_value(Value::Object(document)).unwrap()
}

#[test]
fn remote_hosts_are_verified_and_local_ones_are_not_encrypted() {
    for (host, mode) in [
        ("c.us-east-1.redshift.amazonaws.com", TlsMode::VerifyFull),
        ("10.0.0.1", TlsMode::VerifyFull),
        ("127.0.0.1", TlsMode::Disable),
        ("::1", TlsMode::Disable),
        ("localhost", TlsMode::Disable),
        ("/run/postgresql", TlsMode::Disable),
    ] {
        assert_eq!(config(json!({"host": host})).tls_mode(), mode, "{host}");
    }
    let asked = config(json!({"host": "localhost", "sslmode": "verify-ca"}));
    assert_eq!(asked.tls_mode(), TlsMode::VerifyCa);
}

#[test]
fn unload_is_refused_with_what_to_use() {
    let error = config(json!({"fetch_mode": "unload"}))
        .validate()
        .unwrap_err();
    assert!(error.message().contains("`unload` is not there yet"));
    assert!(error.hints()[0].contains("cursor"));
}

#[test]
fn a_key_filter_has_one_source() {
    let pendo = json!({"integration_key": "k", "base_url": "https://app.pendo.io",
        "kind": "account", "id_format": "uuid", "page_size": 10});
    for (filter, valid) in [
        (json!({"column": "id", "file": "ids.txt"}), true),
        (json!({"column": "id", "pendo": pendo}), true),
        (
            json!({"column": "id", "pendo": pendo, "file": "ids.txt"}),
            false,
        ),
        (json!({"column": "id"}), false),
    ] {
        let config = config(json!({"key_filter": filter}));
        assert_eq!(config.validate().is_ok(), valid, "{filter}");
    }
}

#[test]
fn numbers_that_make_no_sense_are_named() {
    for (key, value) in [
        ("fetch_rows", 0),
        ("connect_timeout_seconds", 0),
        ("attempts", 0),
    ] {
        let error = config(json!({key: value})).validate().unwrap_err();
        assert!(error.message().contains(key), "{key}");
    }
    assert!(config(json!({"schema": []})).validate().is_err());
    assert!(config(json!({"schema": "public"})).validate().is_ok());
    assert!(config(json!({"schema": ["a", "b.c"]})).validate().is_ok());
}
