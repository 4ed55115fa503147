//! What the tests of credentials share: a key, options, and what a token endpoint, a metadata server or an
//! identity provider answers.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use singer_core::{Error, Result, Secret, SecretSource};
use singer_net::HttpConfig;
use singer_runtime::clock::Clock;
use singer_runtime::context::Context;
use singer_runtime::stop::Stop;
pub(super) use singer_test::server::{Reply, Server, ok};

use super::{AuthOptions, Environment, TokenExchange, Tokens};

/// The account of the tests.
pub(super) const EMAIL: &str = "loader@team-1.iam.gserviceaccount.com";

/// A key in PKCS#8 PEM, made for this run.
pub(super) fn key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        let bits = "rsa_keygen_bits:2048";
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", bits], "")
    })
}

/// What `openssl` makes of a text.
pub(super) fn openssl(arguments: &[&str], input: &str) -> String {
    use std::io::Write as _;
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The document of a service account whose token endpoint is here.
pub(super) fn service_account(token_uri: &str) -> Value {
    json!({
        "type": "service_account", "project_id": "team-1", "private_key_id": "key-7",
        "private_key": key(), "client_email": EMAIL, "token_uri": token_uri,
    })
}

/// The document of a person's login.
pub(super) fn user(token_uri: &str) -> Value {
    json!({
        "type": "authorized_user", "client_id": "client-1", "client_secret": "client-hunter2",
        "refresh_token": "1//refresh-hunter2", "quota_project_id": "team-quota", "token_uri": token_uri,
    })
}

/// Options that find nothing.
pub(super) fn options() -> AuthOptions {
    AuthOptions {
        credentials_path: None,
        credentials: None,
        token_exchange: TokenExchange::SelfSigned,
        anonymous: false,
        environment: Environment {
            no_gce_check: true,
            ..Environment::default()
        },
        http: HttpConfig {
            attempts: 3,
            request_timeout_seconds: 5.0,
            proxy: None,
            ca_file: None,
        },
        user_agent: "target-bigquery/test".to_owned(),
        endpoint_is_local: false,
    }
}

/// Options with a document in the config.
pub(super) fn with_document(document: &Value) -> AuthOptions {
    AuthOptions {
        credentials: Some(SecretSource::Text(Secret::new(document.to_string()))),
        ..options()
    }
}

/// Options with a file of credentials.
pub(super) fn with_file(path: &Path) -> AuthOptions {
    AuthOptions {
        credentials_path: Some(path.to_str().unwrap().to_owned()),
        ..options()
    }
}

/// A time that stands still.
pub(super) fn clock() -> Clock {
    Clock::fixed(noon())
}

/// The time of the tests.
pub(super) fn noon() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-01-01T12:00:00Z")
        .unwrap()
        .to_utc()
}

/// Connects at noon.
pub(super) async fn connect(options: AuthOptions) -> Result<Tokens> {
    connect_at(options, clock()).await
}

/// Connects with a clock of the test's own.
pub(super) async fn connect_at(options: AuthOptions, clock: Clock) -> Result<Tokens> {
    let context = Context::new("target-bigquery", clock, Stop::default());
    Tokens::connect(options, context).await
}

/// The token's text.
pub(super) async fn text(tokens: &Tokens) -> String {
    tokens.token().await.unwrap().unwrap().expose().to_owned()
}

/// All that an error would ever show.
pub(super) fn shown(error: &Error) -> String {
    format!("{error:?} {:?}", error.hints())
}

/// Fails if a text shows a secret of the tests or a piece of the key.
pub(super) fn assert_hidden(text: &str) {
    assert!(!text.contains("hunter2"), "{text}");
    let lines = key().lines().filter(|line| !line.contains("-----"));
    for line in lines {
        assert!(!text.contains(line), "{text}");
    }
}

/// A server that gives `token-0-hunter2`, `token-1-hunter2`, … for an hour each.
pub(super) async fn server_of_tokens() -> Server {
    Server::start(|number, _| token(number)).await
}

/// A token with a number, for an hour.
pub(super) fn token(number: usize) -> Reply {
    ok(&token_document(number))
}

/// What such an answer says.
pub(super) fn token_document(number: usize) -> Value {
    json!({
        "access_token": format!("token-{number}-hunter2"), "expires_in": 3600, "token_type": "Bearer",
    })
}

/// An error of OAuth.
pub(super) fn oauth_error(status: u16, code: &str, description: &str) -> Reply {
    let body = json!({"error": code, "error_description": description});
    Reply::Answer(status, "retry-after: 0\r\n", body.to_string())
}
