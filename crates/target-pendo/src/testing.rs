//! What the tests share: a target that talks to a Pendo of a few lines, and what such a one answers.

use std::sync::Arc;

use serde_json::{Value, json};
use singer_runtime::context::Context;
use singer_runtime::target::{Batch, Stream, Target};
pub(crate) use singer_test::server::{Reply, Seen, Server, ok};

use crate::Pendo;
use crate::config::Config;

/// The ids of the records in the body of a request, in order.
pub(crate) fn sent_ids(seen: &Seen) -> Vec<String> {
    let records: Vec<Value> = serde_json::from_str(&seen.body).unwrap();
    records
        .iter()
        .map(|record| {
            let id = record.as_object().unwrap().values().next().unwrap();
            id.as_str().unwrap().to_owned()
        })
        .collect()
}

/// A target that talks to this server; `extra` overrides its config.
pub(crate) async fn connected(server: &Server, extra: Value) -> Pendo {
    connected_in(server, extra, Context::for_tests("target-pendo")).await
}

/// The same, in a context of the test's own.
pub(crate) async fn connected_in(server: &Server, extra: Value, context: Context) -> Pendo {
    Pendo::connect(config(&server.base, extra), context)
        .await
        .unwrap()
}

/// A status with a text.
pub(crate) fn status(status: u16, body: &str) -> Reply {
    Reply::Answer(status, "", body.to_owned())
}

/// A report that every record was taken.
pub(crate) fn all_taken(seen: &Seen) -> Reply {
    let count = sent_ids(seen).len();
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
