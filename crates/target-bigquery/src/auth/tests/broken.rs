//! Documents that cannot be used, and what is said of them.

use serde_json::{Value, json};
use singer_core::{Kind, Secret, SecretSource};
use singer_test::folder::Folder;

use super::super::testing::*;
use super::super::{AuthOptions, TokenExchange};

/// The error of a file with this text.
async fn error_of(text: &[u8]) -> String {
    let folder = Folder::new();
    let path = folder.write("key.json", text);
    let options = AuthOptions {
        token_exchange: TokenExchange::Exchange,
        ..with_file(&path)
    };
    let error = connect(options).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let shown = shown(&error);
    assert!(shown.contains("key.json` of `credentials_path`"), "{shown}");
    assert_hidden(&shown);
    shown
}

/// The error of a service account in which a key has another value; null takes it away.
async fn error_with(key: &str, value: Value) -> String {
    let mut document = service_account("https://h/token");
    document[key] = value;
    error_of(document.to_string().as_bytes()).await
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said() {
    let large = vec![b' '; (1 << 20) + 1];
    for (text, wanted) in [
        (&b""[..], "is empty"),
        (b"{\"private_key\": \"hunter2\",", "is not JSON at line 1"),
        (b"[\"hunter2\"]", "no object"),
        (b"\xff\xfe", "is not UTF-8"),
        (&large, "is larger than 1048576 bytes"),
        (b"{}", "has no `type`"),
        (
            b"{\"installed\": {\"client_secret\": \"hunter2\"}}",
            "OAuth client",
        ),
        (
            b"{\"type\": \"gdch_service_account\"}",
            "`gdch_service_account`",
        ),
    ] {
        let shown = error_of(text).await;
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
}

#[tokio::test]
async fn a_missing_file_and_a_folder_are_named() {
    let folder = Folder::new();
    let error = connect(with_file(&folder.file("gone.json")))
        .await
        .unwrap_err();
    assert!(
        error
            .message()
            .contains("gone.json` of `credentials_path` is not there")
    );
    let error = connect(with_file(folder.path())).await.unwrap_err();
    assert!(
        error
            .message()
            .starts_with("cannot read the credentials file")
    );
    let mut options = options();
    options.environment.google_application_credentials = Some("/no/such/key.json".to_owned());
    let error = connect(options).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(
        error
            .message()
            .contains("`GOOGLE_APPLICATION_CREDENTIALS` is not there")
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_service_account_is_said() {
    let pkcs1 = openssl(&["rsa", "-traditional"], key());
    let locked = openssl(&["pkcs8", "-topk8", "-passout", "pass:hunter2"], key());
    let curve = openssl(
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ],
        "",
    );
    let cut: String = key().lines().take(5).collect::<Vec<_>>().join("\n");
    for (name, value, wanted) in [
        ("client_email", Value::Null, "has no `client_email`"),
        ("private_key", Value::Null, "has no `private_key`"),
        ("private_key", json!(" "), "has an empty `private_key`"),
        (
            "private_key",
            json!(["hunter2"]),
            "`private_key` that is no text",
        ),
        ("private_key", json!("hunter2"), "is no PEM text"),
        ("private_key", json!(cut), "is no PEM text"),
        ("private_key", json!(pkcs1), "openssl pkcs8 -topk8"),
        ("private_key", json!(locked), "is encrypted"),
        ("private_key", json!(curve), "is no RSA key"),
        (
            "token_uri",
            json!("http://h.example/token"),
            "does not begin with https://",
        ),
        (
            "token_uri",
            json!("https://u:hunter2@h/token"),
            "has a user name",
        ),
        ("token_uri", json!("hunter2"), "is no URL"),
        ("type", json!("other"), "`other`, which is not taken"),
    ] {
        let shown = error_with(name, value).await;
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_workload_identity_is_said() {
    let document = |source: Value| {
        json!({
            "type": "external_account", "audience": "a", "token_url": "https://h/sts",
            "subject_token_type": "t", "credential_source": source,
        })
    };
    for (source, wanted) in [
        (Value::Null, "has no `credential_source`"),
        (json!({}), "neither `file` nor `url`"),
        (
            json!({"executable": {"command": "echo hunter2"}}),
            "from a program",
        ),
        (
            json!({"environment_id": "aws1", "url": "http://h"}),
            "from AWS",
        ),
        (json!({"certificate": {}}), "from a certificate"),
        (
            json!({"url": "http://h.example/"}),
            "does not begin with https://",
        ),
        (
            json!({"file": "f", "format": {"type": "json"}}),
            "has no `subject_token_field_name`",
        ),
    ] {
        let shown = error_of(document(source).to_string().as_bytes()).await;
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    let inner = json!({
        "type": "impersonated_service_account", "source_credentials": user("https://h"),
        "service_account_impersonation_url": "https://h/a@b:generateAccessToken",
    });
    let mut outer = inner.clone();
    outer["source_credentials"] = inner;
    let shown = error_of(outer.to_string().as_bytes()).await;
    assert!(shown.contains("`delegates`"), "{shown}");
}

#[tokio::test]
async fn a_subject_token_that_is_gone_is_named_when_it_is_needed() {
    let folder = Folder::new();
    let path = folder.file("subject");
    let document = json!({
        "type": "external_account", "audience": "a", "token_url": "https://h/sts",
        "subject_token_type": "t", "credential_source": {"file": path},
    });
    let tokens = connect(with_document(&document)).await.unwrap();
    let error = tokens.token().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Auth);
    assert!(shown(&error).contains("subject` is not there"));
}

#[tokio::test]
async fn http_is_taken_for_a_local_service() {
    let mut options = with_document(&user("http://tokens.local/token"));
    assert!(connect(options.clone()).await.is_err());
    options.endpoint_is_local = true;
    connect(options).await.unwrap();
}

#[tokio::test]
async fn a_path_in_the_place_of_a_document_is_pointed_out() {
    for text in ["keys/hunter2.json", "two hunter2"] {
        let options = AuthOptions {
            credentials: Some(SecretSource::Text(Secret::new(text))),
            ..options()
        };
        let error = connect(options).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(shown(&error).contains("`credentials_path`"));
        assert_hidden(&shown(&error));
    }
}
