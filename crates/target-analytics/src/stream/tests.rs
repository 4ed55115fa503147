//! Streams from their SCHEMA to confirmed rows, against a server that answers what a test says.

use serde_json::{Value, json};
use singer_core::Kind;
use singer_runtime::exit;
use singer_runtime::target::Target;

use super::*;
use crate::testing::{Reply, Server, batch, batch_by, done, failed, failure, ok, stream};

mod odd;

const IMPORT: &str = "POST /restapi/v2/bulk/workspaces/1/views/7/data";
const JOB: &str = "GET /restapi/v2/bulk/workspaces/1/importjobs/9";
const LAST: &str = "GET /restapi/v2/workspaces/1/views/7/importdetails";
const VIEWS: &str = "GET /restapi/v2/workspaces/1/views";
const METADATA: &str = "GET /restapi/v2/workspaces/1/views/7/metadata";
const COLUMNS: &str = "POST /restapi/v2/workspaces/1/views/7/columns";
const TABLES: &str = "POST /restapi/v2/workspaces/1/tables";
const PUT_ROWS: &str = "PUT /restapi/v2/workspaces/1/views/7/rows";
const DELETE_ROWS: &str = "DELETE /restapi/v2/workspaces/1/views/7/rows";

fn two_columns() -> Arc<Stream> {
    let text = json!({"type": ["null", "string"], "maxLength": 100});
    stream("t", &json!({"id": {"type": "integer"}, "a": text}))
}

fn records(stream: &Arc<Stream>, count: usize) -> Arc<Batch> {
    let records: Vec<String> = (0..count)
        .map(|id| format!(r#"{{"id": {id}, "a": "v{id}"}}"#))
        .collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    batch_by(stream, &[0], &records)
}

fn kind(error: &anyhow::Error) -> Kind {
    exit::kind(error)
}

#[tokio::test]
async fn rows_are_upserted_by_one_import_and_confirmed_once_it_is_done() {
    let running = ok(json!({"jobId": "9", "jobCode": "1002", "jobStatus": "JOB IN PROGRESS"}));
    let server = Server::start(vec![(JOB, vec![running, done(2, 2, "")])]).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({})).await;
    let outcome = writer.write(records(&stream, 2)).await.unwrap();
    assert_eq!((outcome.sent, outcome.refusals.len()), (2, 0));
    let sent = server.seen(IMPORT);
    assert_eq!(sent.len(), 1);
    let csv = sent[0].csv();
    let mut lines: Vec<&str> = csv.lines().collect();
    lines.sort_unstable();
    assert!(
        lines.contains(&"\"id\",\"a\"") || lines.contains(&"\"a\",\"id\""),
        "{csv}"
    );
    assert_eq!(sent[0].config()["importType"], "updateadd");
    assert_eq!(sent[0].config()["matchingColumns"], json!(["id"]));
    assert!(sent[0].head.to_lowercase().contains("zanalytics-orgid: 55"));
    assert_eq!(server.seen(JOB).len(), 2);
}

#[tokio::test]
async fn batches_that_wait_go_into_one_import_if_their_columns_are_the_same() {
    let first = done(1, 1, "");
    let server = Server::start(vec![(JOB, vec![first, done(4, 4, ""), done(1, 1, "")])]).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({})).await;
    let lone = batch_by(&stream, &[0], &[r#"{"id": 9}"#]);
    let (one, two, three, four) = tokio::join!(
        writer.write(records(&stream, 1)),
        writer.write(records(&stream, 2)),
        writer.write(records(&stream, 2)),
        writer.write(lone),
    );
    for outcome in [&one, &two, &three, &four] {
        assert!(outcome.as_ref().unwrap().refusals.is_empty());
    }
    assert_eq!(server.seen(IMPORT).len(), 3);
    assert_eq!(server.seen(IMPORT)[2].csv(), "\"id\"\n9\n");
}

#[tokio::test]
async fn an_import_that_fails_says_why_to_each_batch_that_was_in_it() {
    let server = Server::start(vec![(IMPORT, vec![failure(8540); 2])]).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({})).await;
    let (alone, first, second) = tokio::join!(
        writer.write(records(&stream, 1)),
        writer.write(records(&stream, 2)),
        writer.write(records(&stream, 2)),
    );
    assert_eq!(server.seen(IMPORT).len(), 2);
    let first = exit::explain(&first.unwrap_err());
    assert_eq!(exit::explain(&second.unwrap_err()), first);
    assert_eq!(exit::explain(&alone.unwrap_err()), first);
    assert!(first.causes[0].contains("`8540`"), "{first:?}");
    assert!(first.hints[0].contains("lacks a scope"), "{first:?}");
}

#[tokio::test]
async fn a_row_that_was_left_out_is_rejected_in_the_services_words() {
    let errors = "<nobr>[Line: 3 Field: FIELD] (v1) -ERROR: too long for column a</nobr><br>";
    let stream = two_columns();
    let field = stream.schema.layout().index("a").unwrap() + 1;
    let errors = errors.replace("FIELD", &field.to_string());
    let server = Server::start(vec![(JOB, vec![done(3, 2, &errors)])]).await;
    let writer = server.writer(&stream, json!({})).await;
    let outcome = writer.write(records(&stream, 3)).await.unwrap();
    assert_eq!(outcome.sent, 2);
    let refusal = &outcome.refusals[0];
    assert_eq!(refusal.index, 1);
    assert_eq!(refusal.reason, "column `a`: ERROR: too long for column a");
    assert_eq!(server.seen(IMPORT).len(), 1, "nothing is sent again");
}

#[tokio::test]
async fn rows_beyond_those_that_are_named_are_found_by_sending_the_rest_again() {
    let stream = two_columns();
    let field = stream.schema.layout().index("a").unwrap() + 1;
    let errors = format!("[Line: 2 Field: {field}] (v0) -ERROR: x<br>");
    let replies = vec![
        done(4, 2, &errors),
        done(3, 2, ""),
        done(1, 1, ""),
        done(2, 1, ""),
        done(1, 0, ""),
        done(1, 1, ""),
    ];
    let server = Server::start(vec![(JOB, replies)]).await;
    let writer = server.writer(&stream, json!({})).await;
    let outcome = writer.write(records(&stream, 4)).await.unwrap();
    let refused: Vec<usize> = outcome.refusals.iter().map(|it| it.index).collect();
    assert_eq!((outcome.sent, refused), (2, vec![0, 2]));
}

#[tokio::test]
async fn what_was_counted_and_what_was_sent_must_agree() {
    let server = Server::start(vec![(JOB, vec![done(1, 1, "")])]).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({})).await;
    let error = writer.write(records(&stream, 2)).await.unwrap_err();
    assert_eq!(kind(&error), Kind::Protocol);
    assert!(format!("{error:#}").contains("read 1 rows"), "{error:#}");
}

#[tokio::test]
async fn with_abort_one_row_at_fault_fails_the_stream() {
    let server = Server::start(vec![(
        JOB,
        vec![failed(7232, "[Line: 2 Field: 1] (hunter2) -ERROR: bad")],
    )])
    .await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({"on_error": "abort"})).await;
    let error = writer.write(records(&stream, 2)).await.unwrap_err();
    assert_eq!(kind(&error), Kind::Rejected);
    assert!(!format!("{error:#}").contains("hunter2"));
}

#[tokio::test]
async fn rows_without_a_key_are_appended_all_or_none() {
    let stream = two_columns();
    let field = stream.schema.layout().index("a").unwrap() + 1;
    let errors = format!("[Line: 2 Field: {field}] (v0) -ERROR: bad");
    let server = Server::start(vec![(JOB, vec![failed(7232, &errors), done(1, 1, "")])]).await;
    let writer = server.writer(&stream, json!({"mode": "append"})).await;
    let outcome = writer.write(records(&stream, 2)).await.unwrap();
    assert_eq!((outcome.sent, outcome.refusals[0].index), (1, 0));
    assert_eq!(outcome.refusals[0].code.as_deref(), Some("7232"));
    let sent = server.seen(IMPORT);
    assert_eq!(sent[0].config()["onError"], "abort");
    assert!(!sent[1].csv().contains("v0"));
}

#[tokio::test]
async fn an_append_without_an_answer_is_looked_up_before_anything_else() {
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    let last = |total: u32| {
        ok(
            json!({"viewName": "t", "lastImportTime": now.timestamp_millis().to_string(),
            "lastImportStatus": "Success", "rows": {"total": total.to_string(), "success": total.to_string()}}),
        )
    };
    let script = vec![
        (IMPORT, vec![Reply::Drop]),
        (LAST, vec![ok(json!({})), last(2)]),
    ];
    let server = Server::start(script).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({"mode": "append"})).await;
    let outcome = writer.write(records(&stream, 2)).await.unwrap();
    assert_eq!(outcome.sent, 2);
    assert_eq!(server.seen(IMPORT).len(), 1, "nothing is sent twice");
}

#[tokio::test]
async fn a_job_that_is_lost_is_sent_again_where_that_does_no_harm() {
    let lost = ok(json!({"jobId": "9", "jobCode": "1005", "jobStatus": "JOB NOT FOUND"}));
    let server = Server::start(vec![(JOB, vec![lost, done(2, 2, "")])]).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({})).await;
    assert_eq!(writer.write(records(&stream, 2)).await.unwrap().sent, 2);
    assert_eq!(server.seen(IMPORT).len(), 2);
}

#[tokio::test]
async fn used_up_units_end_the_run_for_now() {
    let server = Server::start(vec![(IMPORT, vec![failure(6043)])]).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({})).await;
    let error = writer.write(records(&stream, 1)).await.unwrap_err();
    assert_eq!(kind(&error), Kind::RateLimited);
}

#[tokio::test]
async fn config_moves_into_the_query_where_the_body_is_not_read() {
    let script = vec![
        (IMPORT, vec![failure(8504), ok(json!({"jobId": "9"}))]),
        (JOB, vec![done(1, 1, "")]),
    ];
    let server = Server::start(script).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({})).await;
    for _ in 0..2 {
        assert_eq!(writer.write(records(&stream, 1)).await.unwrap().sent, 1);
    }
    let sent = server.seen(IMPORT);
    let queries: Vec<bool> = sent
        .iter()
        .map(|seen| seen.query.starts_with("CONFIG="))
        .collect();
    assert_eq!(queries, [false, true, true]);
    assert_eq!(sent[1].config()["importType"], "updateadd");
    assert_eq!(sent[1].csv(), sent[0].csv());
}

#[tokio::test]
async fn a_missing_table_is_created_with_its_columns() {
    let script = vec![
        (VIEWS, vec![failure(7179)]),
        (TABLES, vec![ok(json!({"viewId": "7"}))]),
        (JOB, vec![done(1, 1, "")]),
    ];
    let server = Server::start(script).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({})).await;
    assert_eq!(writer.plan().creates[0], "table `t`");
    writer.write(records(&stream, 1)).await.unwrap();
    let design = server.seen(TABLES)[0].config()["tableDesign"].clone();
    assert_eq!(design["TABLENAME"], "t");
    let columns = design["COLUMNS"].as_array().unwrap();
    let key = json!({"COLUMNNAME": "id", "DATATYPE": "NUMBER", "MANDATORY": "Yes"});
    assert!(columns.contains(&key), "{columns:?}");
}

#[tokio::test]
async fn a_table_that_somebody_else_created_is_taken() {
    let there = ok(json!({"views": [{"viewId": "7", "viewName": "t", "viewType": "Table"}]}));
    let script = vec![
        (VIEWS, vec![failure(7179), there]),
        (TABLES, vec![failure(7111)]),
    ];
    let server = Server::start(script).await;
    let stream = two_columns();
    server.writer(&stream, json!({})).await;
    assert_eq!(server.seen(TABLES).len(), 1);
}

#[tokio::test]
async fn missing_columns_are_added_and_one_that_is_there_by_now_is_taken() {
    let column = |name: &str, kind: &str| json!({"columnName": name, "dataType": kind});
    let few = ok(json!({"columns": [column("id", "NUMBER")]}));
    let all = ok(json!({"columns": [column("id", "NUMBER"), column("a", "PLAIN")]}));
    let script = vec![(METADATA, vec![few, all]), (COLUMNS, vec![failure(7157)])];
    let server = Server::start(script).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({})).await;
    assert_eq!(writer.plan().creates, ["column `a` (PLAIN)"]);
    assert_eq!(server.seen(COLUMNS).len(), 1);
}

#[tokio::test]
async fn an_organization_that_does_not_fit_is_looked_up_once() {
    let views = ok(json!({"views": [{"viewId": "7", "viewName": "t", "viewType": "Table"}]}));
    let all = ok(
        json!({"ownedWorkspaces": [{"workspaceId": "1", "workspaceName": "Ops", "orgId": "77"}], "sharedWorkspaces": []}),
    );
    let script = vec![
        (VIEWS, vec![failure(8084), views]),
        ("GET /restapi/v2/workspaces", vec![all]),
    ];
    let server = Server::start(script).await;
    let target = server.target(json!({})).await;
    let stream = two_columns();
    target.open(Arc::clone(&stream)).await.unwrap();
    let heads: Vec<bool> = server
        .seen(VIEWS)
        .iter()
        .filter(|seen| seen.line == VIEWS)
        .map(|seen| seen.head.to_lowercase().contains("zanalytics-orgid: 77"))
        .collect();
    assert_eq!(heads, [false, true]);
}

#[tokio::test]
async fn a_version_is_replaced_by_one_batch_job_with_its_last_file() {
    let server = Server::start(vec![(JOB, vec![done(3, 3, "")])]).await;
    let stream = two_columns();
    let extra = json!({"file_bytes": 1_000, "streams": {"t": {"mode": "replace"}}});
    let target = server.target(extra).await;
    let writer = target.open(Arc::clone(&stream)).await.unwrap();
    writer.prepare().await.unwrap();
    let long = format!(r#"{{"id": 1, "a": "{}"}}"#, "x".repeat(900));
    let first = batch(&stream, &[&long, r#"{"id": "no number"}"#]);
    let outcome = writer.write(first).await.unwrap();
    assert_eq!((outcome.sent, outcome.refusals.len()), (1, 1));
    writer
        .write(batch(&stream, &[&long, r#"{"id": 3}"#]))
        .await
        .unwrap();
    assert!(
        server.seen(IMPORT).is_empty(),
        "nothing is sent before the version is activated"
    );
    writer.activate_version(1, Some(4)).await.unwrap();
    let sent = server.seen(IMPORT);
    let keys: Vec<(Value, Value)> = sent
        .iter()
        .map(|seen| {
            (
                seen.config()["batchKey"].clone(),
                seen.config()["isLastBatch"].clone(),
            )
        })
        .collect();
    assert_eq!(
        keys,
        [(json!("start"), json!(false)), (json!("k"), json!(true))]
    );
    assert_eq!(sent[0].config()["importType"], "truncateadd");
    let rows: usize = sent.iter().map(|seen| seen.csv().lines().count() - 1).sum();
    assert_eq!(rows, 3);
}

#[tokio::test]
async fn a_replacement_whose_key_is_forgotten_begins_anew() {
    let script = vec![
        (
            IMPORT,
            vec![failure(7338), ok(json!({"jobId": "9", "batchKey": "k"}))],
        ),
        (JOB, vec![done(1, 1, "")]),
    ];
    let server = Server::start(script).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({"mode": "replace"})).await;
    writer.write(records(&stream, 1)).await.unwrap();
    writer.activate_version(1, Some(1)).await.unwrap();
    assert_eq!(server.seen(IMPORT).len(), 2);
}

#[tokio::test]
async fn a_replacement_that_is_refused_leaves_the_table_and_says_so() {
    let server = Server::start(vec![(
        JOB,
        vec![failed(7232, "[Line: 2 Field: 1] (hunter2) -ERROR: bad")],
    )])
    .await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({"mode": "replace"})).await;
    writer.write(records(&stream, 1)).await.unwrap();
    let error = writer.activate_version(1, Some(1)).await.unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.contains("ERROR: bad") && !text.contains("hunter2"),
        "{text}"
    );
}

#[tokio::test]
async fn an_empty_version_empties_the_table_only_when_it_is_meant() {
    let script = vec![(DELETE_ROWS, vec![ok(json!({"deletedRows": 5}))])];
    let server = Server::start(script).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({"mode": "replace"})).await;
    writer.activate_version(1, Some(0)).await.unwrap();
    assert_eq!(
        server.seen(DELETE_ROWS)[0].config(),
        json!({"deleteAllRows": true})
    );
    let error = writer.activate_version(2, Some(3)).await.unwrap_err();
    assert!(error.to_string().contains("none of its rows"));
}

fn with_deletions() -> Arc<Stream> {
    let time = json!({"type": ["null", "string"], "format": "date-time"});
    stream(
        "t",
        &json!({"id": {"type": "integer"}, "_sdc_deleted_at": time}),
    )
}

#[tokio::test]
async fn rows_that_were_deleted_at_the_source_are_deleted_after_the_import() {
    let script = vec![
        (JOB, vec![done(1, 1, "")]),
        (DELETE_ROWS, vec![ok(json!({"deletedRows": "1"}))]),
        (COLUMNS, vec![ok(json!({}))]),
    ];
    let server = Server::start(script).await;
    let stream = with_deletions();
    let writer = server.writer(&stream, json!({"on_delete": "delete"})).await;
    let rows = [
        r#"{"id": 1, "_sdc_deleted_at": "2025-01-01T00:00:00Z"}"#,
        r#"{"id": 2, "_sdc_deleted_at": null}"#,
    ];
    let outcome = writer.write(batch_by(&stream, &[0], &rows)).await.unwrap();
    assert_eq!((outcome.sent, outcome.cleared), (1, 1));
    assert_eq!(
        server.seen(DELETE_ROWS)[0].config(),
        json!({"criteria": "\"id\" in (1)"})
    );
}

#[tokio::test]
async fn rows_that_vanished_from_a_version_are_deleted_or_marked() {
    let script = vec![
        (DELETE_ROWS, vec![ok(json!({"deletedRows": 3}))]),
        (
            PUT_ROWS,
            vec![ok(json!({"updatedRows": 2, "invalidColumns": {}}))],
        ),
        (COLUMNS, vec![ok(json!({}))]),
    ];
    let server = Server::start(script).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({"on_delete": "delete"})).await;
    assert_eq!(
        writer.activate_version(7, Some(1)).await.unwrap().cleared,
        3
    );
    let criteria = "\"_sdc_table_version\" <> 7 or \"_sdc_table_version\" is null";
    assert_eq!(server.seen(DELETE_ROWS)[0].config()["criteria"], criteria);
    let writer = server.writer(&stream, json!({"on_delete": "flag"})).await;
    assert_eq!(
        writer.activate_version(7, Some(1)).await.unwrap().cleared,
        2
    );
    let config = server.seen(PUT_ROWS)[0].config();
    assert_eq!(
        config["criteria"],
        format!("({criteria}) and \"_sdc_deleted_at\" is null")
    );
    assert!(config["columns"]["_sdc_deleted_at"].is_string());
}

#[tokio::test]
async fn single_rows_say_what_the_call_did() {
    let replies = vec![
        ok(json!({"updatedRows": 1, "invalidColumns": {}})),
        // Added or not: one more question tells.
        ok(json!({"updatedRows": 0, "invalidColumns": {}})),
        ok(json!({"updatedRows": 0, "invalidColumns": {}})),
        ok(json!({"updatedRows": 1, "invalidColumns": ["a"]})),
    ];
    let server = Server::start(vec![(PUT_ROWS, replies)]).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({"mode": "row"})).await;
    let outcome = writer.write(records(&stream, 3)).await.unwrap();
    let refused: Vec<(usize, &str)> = outcome
        .refusals
        .iter()
        .map(|it| (it.index, it.code.as_deref().unwrap()))
        .collect();
    assert_eq!(
        (outcome.sent, refused),
        (1, vec![(1, "row"), (2, "column")])
    );
}

#[tokio::test]
async fn problems_are_told_before_anything_is_written() {
    let chart = ok(json!({"views": [{"viewId": "7", "viewName": "t", "viewType": "Chart"}]}));
    let server = Server::start(vec![(VIEWS, vec![chart, failure(7179)])]).await;
    let stream = two_columns();
    let target = server
        .target(json!({"streams": {"t": {"create": false}}}))
        .await;
    let problems = |writer: StreamWriter| -> Vec<&'static str> {
        writer.plan().problems.iter().map(|it| it.kind).collect()
    };
    let writer = target.open(Arc::clone(&stream)).await.unwrap();
    assert_eq!(problems(writer), ["no table"]);
    let writer = target.open(Arc::clone(&stream)).await.unwrap();
    assert_eq!(problems(writer), ["table missing"]);
}

#[tokio::test]
async fn a_preview_shows_config_and_lines_and_no_secret() {
    let server = Server::start(Vec::new()).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({})).await;
    let shown = writer.preview(&records(&stream, 3)).join("\n");
    assert!(
        shown.contains("\"importType\":\"updateadd\"") && shown.contains("\"v2\""),
        "{shown}"
    );
    assert!(!shown.contains("the-secret") && !shown.contains("the-token"));
}

#[tokio::test]
async fn a_check_reads_and_changes_nothing() {
    let server = Server::start(vec![(JOB, vec![failure(8137)])]).await;
    let target = server
        .target(json!({"streams": {"t": {}, "new": {}, "*": {}}}))
        .await;
    let words = target.check().await.unwrap();
    assert!(
        words.contains("1 tables of the config are there, 1 will be created"),
        "{words}"
    );
    let posts = server.seen("POST /restapi");
    assert!(posts.is_empty() && server.seen("PUT").is_empty());
}
