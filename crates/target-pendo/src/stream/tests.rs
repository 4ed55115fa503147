//! A stream from its plan to its memory.

use serde_json::json;
use singer_runtime::context::Context;
use singer_runtime::target::Target;

use super::*;
use crate::memory::tests::Folder;
use crate::testing::{
    Server, all_taken, batch, connected, connected_in, ok, sent_ids, status, stream,
};

async fn server() -> Server {
    Server::start(|_, seen| {
        if seen.line.starts_with("GET") {
            ok(&json!({"custom": {"n": {"Type": "integer"}}}))
        } else if seen.line.contains("/schema/") {
            ok(&json!({}))
        } else if seen.body.contains("refuse") {
            status(500, "")
        } else {
            all_taken(seen)
        }
    })
    .await
}

fn accounts() -> Arc<Stream> {
    stream(
        "accounts",
        &json!({"id": {"type": "string"}, "n": {"type": "integer"}}),
    )
}

async fn written(writer: &StreamWriter, records: &[&str]) -> (u64, u64) {
    let outcome = writer.write(batch(&accounts(), records)).await.unwrap();
    (outcome.sent, outcome.unchanged)
}

#[tokio::test]
async fn a_stream_whose_rows_could_be_anything_is_a_problem() {
    let server = server().await;
    let pendo = connected(&server, json!({})).await;
    let invoices = stream("invoices", &json!({"id": {}, "n": {}}));
    let writer = StreamWriter::open(pendo.clone(), Arc::clone(&invoices))
        .await
        .unwrap();
    let plan = writer.plan();
    assert_eq!(plan.problems[0].kind, "kind unclear");
    assert!(
        plan.problems[0]
            .hint
            .as_ref()
            .unwrap()
            .contains("streams.invoices.kind")
    );
    assert_eq!(server.seen().len(), 0);
    assert!(writer.key().is_empty());
    assert!(writer.write(batch(&invoices, &[])).await.is_err());
}

#[tokio::test]
async fn the_plan_says_where_rows_go_and_fields_are_created_only_when_it_is_time() {
    let server = server().await;
    let pendo = connected(&server, json!({"create_fields": true})).await;
    let users = stream(
        "users",
        &json!({"id": {}, "n": {}, "Fresh": {"type": "boolean"}}),
    );
    let writer = pendo.open(Arc::clone(&users)).await.unwrap();
    let plan = writer.plan();
    assert_eq!(plan.destination, "visitor metadata, group `custom`");
    assert_eq!(plan.creates, ["field `fresh` (boolean)"]);
    assert_eq!(plan.problems, []);
    let shown = writer.preview(&batch(&users, &[r#"{"id":"a","n":1,"Fresh":true}"#]));
    assert_eq!(shown.len(), 1);
    assert!(shown[0].contains("x-pendo-integration-key: ***"));
    assert!(shown[0].ends_with(r#"[{"visitorId":"a","values":{"n":1,"fresh":true}}]"#));
    assert_eq!(server.seen().len(), 1, "a plan only reads");
    writer.prepare().await.unwrap();
    assert_eq!(
        server.seen()[1].line,
        "POST /api/v1/metadata/schema/visitor/custom"
    );
}

#[tokio::test]
async fn only_changed_records_are_sent_and_full_sends_all() {
    let folder = Folder::new();
    let server = server().await;
    let config = json!({"only_changed": true, "memory_path": folder.path("m").to_str().unwrap()});
    let records = [r#"{"id":"a","n":1}"#, r#"{"id":"b","n":1}"#];
    let pendo = connected(&server, config.clone()).await;
    let writer = pendo.open(accounts()).await.unwrap();
    writer.prepare().await.unwrap();
    assert_eq!(written(&writer, &records).await, (2, 0));
    pendo.sync(0, "").await.unwrap();
    drop(writer);
    // A new SCHEMA in the middle of a run keeps the memory.
    let writer = pendo.open(accounts()).await.unwrap();
    writer.prepare().await.unwrap();
    assert_eq!(written(&writer, &records).await, (0, 2));
    pendo.close().await.unwrap();
    drop((pendo, writer));

    let pendo = connected(&server, config.clone()).await;
    let writer = pendo.open(accounts()).await.unwrap();
    writer.prepare().await.unwrap();
    let changed = [
        r#"{"id":"a","n":1}"#,
        r#"{"id":"b","n":2}"#,
        r#"{"id":"c","n":1}"#,
    ];
    assert_eq!(written(&writer, &changed).await, (2, 1));
    assert_eq!(sent_ids(server.seen().last().unwrap()), ["b", "c"]);
    drop((pendo, writer));

    let context = Context::for_tests("target-pendo").with_switches(vec![FULL.to_owned()]);
    let pendo = connected_in(&server, config, context).await;
    let writer = pendo.open(accounts()).await.unwrap();
    writer.prepare().await.unwrap();
    assert_eq!(written(&writer, &changed).await, (3, 0));
}

#[tokio::test]
async fn what_was_not_confirmed_is_sent_again() {
    let folder = Folder::new();
    let server = server().await;
    let config = json!({"only_changed": true, "attempts": 1, "memory_path": folder.path("m").to_str().unwrap()});
    let pendo = connected(&server, config).await;
    let writer = pendo.open(accounts()).await.unwrap();
    writer.prepare().await.unwrap();
    let records = [r#"{"id":"a","n":1}"#];
    assert_eq!(written(&writer, &records).await, (1, 0));
    let failing = [r#"{"id":"a","n":2}"#, r#"{"id":"refuse","n":1}"#];
    assert!(writer.write(batch(&accounts(), &failing)).await.is_err());
    // Pendo may have either value now.
    assert_eq!(written(&writer, &records).await, (1, 0));
}

#[tokio::test]
async fn a_run_without_memory_makes_the_memory_forget() {
    let folder = Folder::new();
    let server = server().await;
    let with = |only_changed: bool| json!({"only_changed": only_changed, "memory_path": folder.path("m").to_str().unwrap()});
    let records = [r#"{"id":"a","n":1}"#];
    for (only_changed, wanted) in [
        (true, (1, 0)),
        (true, (0, 1)),
        (false, (1, 0)),
        (true, (1, 0)),
    ] {
        let pendo = connected(&server, with(only_changed)).await;
        let writer = pendo.open(accounts()).await.unwrap();
        writer.prepare().await.unwrap();
        assert_eq!(written(&writer, &records).await, wanted);
        pendo.close().await.unwrap();
    }
}

#[test]
fn a_long_body_is_shown_in_part() {
    let body = format!("[{}]", "é".repeat(3000));
    let shown = shorten(body.as_bytes(), 7);
    assert!(shown.len() < 2100);
    assert!(shown.ends_with("(7 records, 6002 bytes)"));
    assert_eq!(shorten(b"[]", 0), "[]");
}
