//! What the tests share: a Pendo of a few lines, which answers what a test says and keeps what came.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use singer_runtime::context::Context;
use singer_runtime::target::{Batch, Stream, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Pendo;
use crate::config::Config;

/// What a test's Pendo answers.
pub(crate) enum Reply {
    /// A status, headers (each with its line end), a body.
    Answer(u16, &'static str, String),
    /// The connection ends without a word.
    Drop,
}

/// What came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method and path.
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Seen {
    /// The ids of the records in the body, in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        let records: Vec<Value> = serde_json::from_str(&self.body).unwrap();
        records
            .iter()
            .map(|record| {
                let id = record.as_object().unwrap().values().next().unwrap();
                id.as_str().unwrap().to_owned()
            })
            .collect()
    }
}

/// A Pendo on a port of its own.
pub(crate) struct Server {
    pub(crate) base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Answers each request with what `answer` makes of it and of its number, from 0.
    pub(crate) async fn start(
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

    /// What came in so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// A target that talks to this server; `extra` overrides its config.
    pub(crate) async fn pendo(&self, extra: Value) -> Pendo {
        self.pendo_in(extra, Context::for_tests("target-pendo"))
            .await
    }

    /// The same, in a context of the test's own.
    pub(crate) async fn pendo_in(&self, extra: Value, context: Context) -> Pendo {
        Pendo::connect(config(&self.base, extra), context)
            .await
            .unwrap()
    }
}

/// Two hundred with a JSON body.
pub(crate) fn ok(body: &Value) -> Reply {
    Reply::Answer(200, "content-type: application/json\r\n", body.to_string())
}

/// A status with a text.
pub(crate) fn status(status: u16, body: &str) -> Reply {
    Reply::Answer(status, "", body.to_owned())
}

/// A report that every record was taken.
pub(crate) fn all_taken(seen: &Seen) -> Reply {
    let count = seen.ids().len();
    ok(&json!({"total": count, "updated": count, "failed": 0}))
}

/// A config as the loader would build it.
pub(crate) fn config(base: &str, extra: Value) -> Config {
    let mut config = json!({
        "integration_key": "the-key", "base_url": base, "region": "us", "batch_records": 500,
        "request_delay": 0, "rate_limit_pause_seconds": 0.05, "patience_seconds": 900, "attempts": 3,
        "request_timeout_seconds": 5, "memory_path": "unused",
    });
    for (key, value) in extra.as_object().unwrap() {
        config[key] = value.clone();
    }
    serde_json::from_value(config).unwrap()
}

/// A stream with these properties and the key `id`.
pub(crate) fn stream(name: &str, properties: &Value) -> Arc<Stream> {
    Arc::new(Stream {
        name: name.to_owned(),
        schema: singer_core::schema::Schema::new(
            &json!({"properties": properties}).to_string(),
            Some(r#"["id"]"#),
            None,
        )
        .unwrap(),
        guessed: false,
    })
}

/// A batch of records of a stream.
pub(crate) fn batch(stream: &Arc<Stream>, records: &[&str]) -> Arc<Batch> {
    Arc::new(Batch::from_records(Arc::clone(stream), &[0], records).unwrap())
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
        let Reply::Answer(status, headers, body) = answer(number, &seen) else {
            return;
        };
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
                assert_eq!(rest.len(), length, "no pipelining");
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
