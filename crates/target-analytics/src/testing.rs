//! What the tests share: configs, streams and batches of a few words, and an Analytics of a few lines.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use singer_runtime::context::Context;
use singer_runtime::target::{Batch, Stream, Target, Writer};
use singer_test::server;

use crate::Analytics;
use crate::config::{Chosen, Config, StreamConfig};
use crate::shape::Shape;
use crate::stream::StreamWriter;

/// A config as the loader would build it.
pub(crate) fn config(base: &str, extra: Value) -> Config {
    let mut config = json!({
        "client_id": "1000.X", "client_secret": "the-secret", "refresh_token": "the-token",
        "data_center": "us", "accounts_url": base, "analytics_url": base, "token_cache_path": "none",
        "org_id": "55", "workspace_id": "1", "patience_seconds": 5, "job_timeout_seconds": 20,
        "config_in_query": false, "milliseconds": "drop", "supplementary": "keep",
        "batch_bytes": 6 << 20, "file_bytes": 95_000_000,
        "calls_per_minute": {"rows": 10_000, "bulk": 10_000, "metadata": 10_000},
        "attempts": 2, "request_timeout_seconds": 5,
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

/// A batch of records that are told apart by nothing.
pub(crate) fn batch(stream: &Arc<Stream>, records: &[&str]) -> Arc<Batch> {
    batch_by(stream, &[], records)
}

/// A batch of records that these properties tell apart.
pub(crate) fn batch_by(stream: &Arc<Stream>, key: &[usize], records: &[&str]) -> Arc<Batch> {
    Arc::new(Batch::from_records(Arc::clone(stream), key, records).unwrap())
}

/// The shape of a stream whose table is not there yet.
pub(crate) fn shape(stream: &Stream, chosen: Value) -> Shape {
    let chosen: StreamConfig = serde_json::from_value(chosen).unwrap();
    let config = config("http://127.0.0.1:1", json!({}));
    Shape::new(stream, &Chosen::new(chosen), &config, &stream.name, None).unwrap()
}

/// What a test's Analytics answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status and a body.
    Answer(u16, Value),
    /// The connection ends without a word.
    Drop,
}

/// Success with these data.
pub(crate) fn ok(data: Value) -> Reply {
    Reply::Answer(
        200,
        json!({"status": "success", "summary": "x", "data": data}),
    )
}

/// A failure with this code.
pub(crate) fn failure(code: u32) -> Reply {
    let constant = match code {
        7338 => "BATCH_IMPORT_INVALID_KEY",
        _ => "X",
    };
    let data = json!({"errorCode": code, "errorMessage": "no"});
    Reply::Answer(
        400,
        json!({"status": "failure", "summary": constant, "data": data}),
    )
}

/// A job that is done.
pub(crate) fn done(total: u64, success: u64, errors: &str) -> Reply {
    ok(json!({"jobId": "9", "jobCode": "1004", "jobInfo": {
        "importSummary": {"totalRowCount": total, "successRowCount": success, "warnings": 0},
        "importErrors": errors,
    }}))
}

/// A job that failed.
pub(crate) fn failed(code: u32, errors: &str) -> Reply {
    ok(json!({"jobId": "9", "jobCode": "1003",
        "jobInfo": {"errorCode": code.to_string(), "errorMessage": errors}}))
}

/// What came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method and path, without the query.
    pub(crate) line: String,
    /// The query.
    pub(crate) query: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Seen {
    fn new(seen: server::Seen) -> Self {
        let (line, query) = seen.line.split_once('?').unwrap_or((&seen.line, ""));
        Self {
            line: line.to_owned(),
            query: query.to_owned(),
            head: seen.head,
            body: seen.body,
        }
    }

    /// The lines of the file in the body.
    pub(crate) fn csv(&self) -> String {
        let file = self
            .body
            .split("text/csv\r\n\r\n")
            .nth(1)
            .unwrap_or_default();
        file.split("\r\n--antiphon")
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// CONFIG in the body.
    pub(crate) fn config(&self) -> Value {
        let text = match self.body.split("name=\"CONFIG\"\r\n\r\n").nth(1) {
            Some(part) => part.split("\r\n").next().unwrap_or_default().to_owned(),
            None => {
                let query = if self.body.starts_with("CONFIG=") {
                    &self.body
                } else {
                    &self.query
                };
                let url = singer_net::Url::parse(&format!("http://x/?{query}")).unwrap();
                let config = url.query_pairs().next().unwrap().1;
                config.into_owned()
            }
        };
        serde_json::from_str(&text).unwrap()
    }
}

/// Answers by the line of a request, or the beginning of those below `/bulk/`: each of a list in turn, the
/// last again and again.
type Script = Vec<(&'static str, VecDeque<Reply>)>;

/// An Analytics on a port of its own, with a table `t` that has the columns `id` and `a`.
pub(crate) struct Server(server::Server);

impl Server {
    pub(crate) async fn start(script: Vec<(&'static str, Vec<Reply>)>) -> Self {
        let script: Script = script
            .into_iter()
            .map(|(line, replies)| (line, replies.into()))
            .collect();
        let script = Mutex::new(script);
        let answer = move |_: usize, seen: &server::Seen| {
            let line = seen.line.split('?').next().unwrap_or_default();
            match scripted(&script, line).unwrap_or_else(|| usual(line)) {
                Reply::Answer(status, body) => server::json(status, &body),
                Reply::Drop => server::Reply::Drop,
            }
        };
        Self(server::Server::start(answer).await)
    }

    /// What came in so far whose line begins so.
    pub(crate) fn seen(&self, line: &str) -> Vec<Seen> {
        let seen = self.0.seen().into_iter().map(Seen::new);
        seen.filter(|seen| seen.line.starts_with(line)).collect()
    }

    /// A target that talks to this server; `extra` overrides its config.
    pub(crate) async fn target(&self, extra: Value) -> Analytics {
        let config = config(&self.0.base, extra);
        Analytics::connect(config, Context::for_tests("target-analytics"))
            .await
            .unwrap()
    }

    /// The writer of a stream with these settings, ready to write.
    pub(crate) async fn writer(&self, stream: &Arc<Stream>, settings: Value) -> StreamWriter {
        let extra = json!({"streams": {stream.name.clone(): settings}});
        let target = self.target(extra).await;
        let writer = target.open(Arc::clone(stream)).await.unwrap();
        assert_eq!(writer.plan().problems, []);
        writer.prepare().await.unwrap();
        writer
    }
}

fn scripted(script: &Mutex<Script>, line: &str) -> Option<Reply> {
    let mut script = script.lock().unwrap();
    let fits = |start: &str| line == start || start.contains("/bulk/") && line.starts_with(start);
    let (_, replies) = script.iter_mut().find(|(start, _)| fits(start))?;
    match replies.len() {
        0 | 1 => replies.front().cloned(),
        _ => replies.pop_front(),
    }
}

fn usual(line: &str) -> Reply {
    if line.starts_with("POST /oauth") {
        return Reply::Answer(
            200,
            json!({"access_token": "t", "expires_in": 3600, "api_domain": "https://www.zohoapis.com"}),
        );
    }
    let column =
        |name: &str, kind: &str| json!({"columnName": name, "dataType": kind, "isNullable": true});
    if line.ends_with("/metadata") {
        return ok(json!({"columns": [column("id", "NUMBER"), column("a", "PLAIN")]}));
    }
    if line.ends_with("/views") {
        return ok(json!({"views": [{"viewId": "7", "viewName": "t", "viewType": "Table"}]}));
    }
    if line.starts_with("POST") && line.contains("/data") {
        return ok(json!({"jobId": "9", "batchKey": "k"}));
    }
    failure(7103)
}
