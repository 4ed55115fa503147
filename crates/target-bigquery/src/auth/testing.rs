//! What the tests of credentials share: a key, options, and a server of a few lines that plays token
//! endpoint, metadata server or identity provider, and keeps what came.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use singer_core::{Error, Result, Secret, SecretSource};
use singer_net::{HttpConfig, Url};
use singer_runtime::clock::Clock;
use singer_runtime::context::Context;
use singer_runtime::stop::Stop;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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

/// What came in.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Method and path.
    pub(super) line: String,
    pub(super) head: String,
    pub(super) body: String,
}

impl Seen {
    /// The fields of a form.
    pub(super) fn form(&self) -> HashMap<String, String> {
        let url = Url::parse(&format!("http://h/?{}", self.body)).unwrap();
        url.query_pairs().into_owned().collect()
    }
}

/// A status, headers (each with its line end), a body.
pub(super) type Reply = (u16, &'static str, String);

/// A server on a port of its own.
pub(super) struct Server {
    pub(super) base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Answers each request with what `answer` makes of it and of its number, from 0.
    pub(super) async fn start(
        answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move { serve(socket, &log, &*answer).await });
            }
        });
        Self { base, seen }
    }

    /// Gives `token-0-hunter2`, `token-1-hunter2`, … for an hour each.
    pub(super) async fn of_tokens() -> Self {
        Self::start(|number, _| token(number)).await
    }

    /// The URL of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// The host and port.
    pub(super) fn host(&self) -> String {
        self.base.replace("http://", "")
    }

    /// What came in so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Method and path of what came in so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

/// A token with a number, for an hour.
pub(super) fn token(number: usize) -> Reply {
    ok(&json!({
        "access_token": format!("token-{number}-hunter2"), "expires_in": 3600, "token_type": "Bearer",
    }))
}

/// Two hundred with a JSON body.
pub(super) fn ok(body: &Value) -> Reply {
    (200, "content-type: application/json\r\n", body.to_string())
}

/// An error of OAuth.
pub(super) fn oauth_error(status: u16, code: &str, description: &str) -> Reply {
    let body = json!({"error": code, "error_description": description});
    (status, "retry-after: 0\r\n", body.to_string())
}

async fn serve(
    mut socket: TcpStream,
    log: &Mutex<Vec<Seen>>,
    answer: &(dyn Fn(usize, &Seen) -> Reply + Send + Sync),
) {
    let mut bytes = Vec::new();
    while let Some(seen) = read(&mut socket, &mut bytes).await {
        let number = {
            let mut log = log.lock().unwrap();
            log.push(seen.clone());
            log.len() - 1
        };
        let (status, headers, body) = answer(number, &seen);
        let reply = format!(
            "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        if socket.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Seen> {
    let mut chunk = vec![0; 65536];
    loop {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if rest.len() >= length {
                bytes.clear();
                let line = head.lines().next().unwrap();
                return Some(Seen {
                    line: line.trim_end_matches(" HTTP/1.1").to_owned(),
                    head: head.to_owned(),
                    body: rest.to_owned(),
                });
            }
        }
        match socket.read(&mut chunk).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&chunk[..count]),
            _ => return None,
        }
    }
}
