//! What the tests of tokens and requests share: surroundings whose clock and secrets can be set, what Zoho's
//! servers answer, and a log that is kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use singer_core::surroundings::{ReadSecret, Wait};
use singer_core::{Error, Secret, SecretSource, Surroundings};
use singer_net::{HttpConfig, Url};
pub(crate) use singer_test::server::{Reply, Seen, Server, json as status, ok};
use tokio::sync::watch;

use crate::{AccountConfig, DataCenter};

/// A process that a test sets up.
#[derive(Debug)]
pub(crate) struct Around {
    now: Mutex<DateTime<Utc>>,
    variables: HashMap<&'static str, String>,
    secrets: Mutex<HashMap<String, String>>,
    stop: watch::Sender<bool>,
}

impl Around {
    /// At noon, with these variables.
    pub(crate) fn new(variables: &[(&'static str, &str)]) -> Arc<Self> {
        let noon = DateTime::parse_from_rfc3339("2026-01-01T12:00:00Z");
        Arc::new(Self {
            now: Mutex::new(noon.unwrap().to_utc()),
            variables: variables
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            secrets: Mutex::default(),
            stop: watch::channel(false).0,
        })
    }

    /// Lets so many seconds pass.
    pub(crate) fn pass(&self, seconds: i64) {
        *self.now.lock().unwrap() += TimeDelta::seconds(seconds);
    }

    /// What `{"env": name}` reads from now on.
    pub(crate) fn set_secret(&self, name: &str, value: &str) {
        let mut secrets = self.secrets.lock().unwrap();
        secrets.insert(name.to_owned(), value.to_owned());
    }

    /// Asks for a stop.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Surroundings for Around {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap()
    }

    fn secret<'a>(&'a self, source: &'a SecretSource) -> ReadSecret<'a> {
        let read = match source {
            SecretSource::Text(secret) => Ok(secret.clone()),
            SecretSource::Env(name) => (self.secrets.lock().unwrap().get(name))
                .map(Secret::new)
                .ok_or_else(|| Error::config(format!("`{name}` is not set"))),
            _ => Err(Error::internal("not in these tests")),
        };
        Box::pin(async { read })
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn user_agent(&self) -> &str {
        "test/1"
    }

    fn stop_requested(&self) -> bool {
        *self.stop.borrow()
    }

    fn stopped(&self) -> Wait<'_> {
        let mut stop = self.stop.subscribe();
        Box::pin(async move {
            assert!(stop.wait_for(|stop| *stop).await.is_ok());
        })
    }
}

/// A client whose accounts server is here, and which keeps no file.
pub(crate) fn config(server: &Server) -> AccountConfig {
    AccountConfig {
        client_id: "1000.CLIENT".to_owned(),
        client_secret: SecretSource::Text(Secret::new("secret+hunter2")),
        refresh_token: SecretSource::Text(Secret::new("1000.refresh&hunter2")),
        data_center: DataCenter::Eu,
        accounts_url: Some(server.base.clone()),
        token_cache_path: Some("none".to_owned()),
    }
}

pub(crate) fn http() -> HttpConfig {
    HttpConfig {
        attempts: 3,
        request_timeout_seconds: 5.0,
        proxy: None,
        ca_file: None,
    }
}

/// All that an error would ever show.
pub(crate) fn shown(error: &Error) -> String {
    let mut text = format!("{error:?} {:?}", error.hints());
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<Error>() {
            write!(text, " {:?}", error.hints()).unwrap();
        }
        next = cause.source();
    }
    text
}

/// A folder that is gone after the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("antiphon-zoho-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A server that gives `token-0-hunter2`, `token-1-hunter2`, … for an hour each.
pub(crate) async fn server_of_tokens() -> Server {
    Server::start(|number, _| token(number)).await
}

/// The URL of a path of a server.
pub(crate) fn url_of(server: &Server, path: &str) -> Url {
    Url::parse(&server.url(path)).unwrap()
}

/// A token with a number, for an hour.
pub(crate) fn token(number: usize) -> Reply {
    ok(&json!({
        "access_token": format!("token-{number}-hunter2"),
        "api_domain": "https://www.zohoapis.eu", "expires_in": 3600, "token_type": "Bearer",
    }))
}

/// A page as a gateway sends it.
pub(crate) fn page(status: u16) -> Reply {
    let body = "<html><h1>Gateway</h1></html>".to_owned();
    Reply::Answer(status, "content-type: text/html\r\n", body)
}

thread_local! {
    static EVENTS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the events of each thread as one text.
struct Events;

/// All events of this thread since it was made.
pub(crate) struct Log;

impl Log {
    /// Keeps the events of this thread from now on.
    pub(crate) fn keep() -> Self {
        static ONCE: Once = Once::new();
        // One for the whole process: what a place logs is decided once for all of its threads.
        ONCE.call_once(|| tracing::subscriber::set_global_default(Events).unwrap());
        EVENTS.take();
        Self
    }

    pub(crate) fn text(&self) -> String {
        EVENTS.with_borrow(Clone::clone)
    }
}

impl tracing::Subscriber for Events {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                write!(self.0, "{field}={value:?} ").unwrap();
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        EVENTS.with_borrow_mut(|events| events.push_str(&text.0));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
