//! Batches against a CRM of a few lines: files, jobs, verdicts, and what goes wrong on the way.

use serde_json::Value;
use singer_core::Kind;
use singer_runtime::exit;
use singer_runtime::target::Verdict;

use super::*;
use crate::testing::{Reply, Script, Server, batch, details, error, keyed, stream};

mod inserts;

const JOB: &str = "GET /crm/bulk/v8/write/";
const RESULT: &str = "GET /v8/crm/";
const CREATE: &str = "POST /crm/bulk/v8/write";
const UPLOAD: &str = "POST /crm/v8/upload";
const COQL: &str = "POST /crm/v8/coql";

/// Properties of the usual stream.
fn properties() -> Value {
    json!({"Email": {}, "Last_Name": {}, "Fax": {}})
}

/// Writes records by upsert; returns the server and what became of them.
async fn upsert(
    script: Script,
    settings: Value,
    records: &[&str],
) -> (Server, anyhow::Result<Outcome>) {
    let server = Server::start(script).await;
    let stream = stream(&properties());
    let writer = server.writer(&stream, settings, json!({})).await;
    writer.prepare().await.unwrap();
    let outcome = writer.write(batch(&stream, records)).await;
    (server, outcome)
}

fn result(rows: &str) -> Reply {
    Reply::Zip(format!(
        "Email,Last_Name,Fax,STATUS,RECORD_ID,ERRORS\n{rows}"
    ))
}

const TWO: [&str; 2] = [
    r#"{"Email": "a@x", "Last_Name": "A", "Fax": null}"#,
    r#"{"Email": "b@x", "Last_Name": "B"}"#,
];

#[tokio::test]
async fn a_batch_is_one_file_and_one_job() {
    let (server, outcome) = upsert(Vec::new(), json!({}), &TWO).await;
    let outcome = outcome.unwrap();
    assert_eq!((outcome.sent, outcome.refusals.len()), (2, 0));
    assert_eq!(
        server.tables(),
        ["Email,Last_Name,Fax\n\"a@x\",\"A\",\n\"b@x\",\"B\",\n"]
    );
    let upload = &server.seen(UPLOAD)[0];
    let head = upload.head.to_lowercase();
    assert!(head.contains("feature: bulk-write"), "{head}");
    assert!(head.contains("x-crm-org: 55"), "{head}");
    assert!(head.contains("zoho-oauthtoken t"), "{head}");
    let job = &server.jobs()[0];
    assert_eq!(
        *job,
        json!({
            "operation": "upsert", "character_encoding": "UTF-8", "ignore_empty": true,
            "resource": [{
                "type": "data", "module": {"api_name": "Contacts"}, "file_id": "101",
                "file_names": ["Contacts-0.csv"], "find_by": "Email", "ignore_empty": true,
                "field_mappings": [
                    {"api_name": "Email", "index": 0},
                    {"api_name": "Last_Name", "index": 1},
                    {"api_name": "Fax", "index": 2},
                ],
            }],
        })
    );
}

#[tokio::test]
async fn mappings_say_formats_lookups_and_defaults() {
    let server = Server::start(Vec::new()).await;
    let stream = stream(&json!({
        "Email": {}, "Birthday": {}, "Last_Call": {}, "Account_Name": {}, "src": {},
    }));
    let settings = json!({
        "fields": {"*": "*", "src": {"field": "Lead_Source", "default": "Web"}},
        "defaults": {"Layout": "9"}, "ignore_empty": false,
    });
    let writer = server.writer(&stream, settings, json!({})).await;
    let record = r#"{"Email": "a@x", "Birthday": "1980-01-02", "Last_Call": "2026-01-15T12:00:00Z",
        "Account_Name": "7", "src": null}"#;
    writer.write(batch(&stream, &[record])).await.unwrap();
    let job = &server.jobs()[0];
    assert_eq!(job["ignore_empty"], json!(false));
    assert_eq!(
        job["resource"][0]["field_mappings"],
        json!([
            {"api_name": "Email", "index": 0},
            {"api_name": "Birthday", "index": 1, "format": "yyyy-MM-dd"},
            {"api_name": "Last_Call", "index": 2, "format": "yyyy-MM-dd HH:mm:ss"},
            {"api_name": "Account_Name", "index": 3, "find_by": "id"},
            {"api_name": "Lead_Source", "index": 4, "default_value": {"value": "Web"}},
            {"api_name": "Layout", "default_value": {"value": "9"}},
        ])
    );
    assert!(server.tables()[0].ends_with("\"a@x\",1980-01-02,2026-01-15 13:00:00,\"7\",\n"));
}

#[tokio::test]
async fn each_row_that_failed_is_a_reject_with_its_code_and_field() {
    let rows =
        "a@x,A,,SKIPPED,,MANDATORY_NOT_FOUND-Last_Name:INVALID_DATA-Fax\nb@x,B,,UPDATED,2,\n";
    let script = vec![
        (JOB, vec![details("COMPLETED", [0, 1, 1, 2])]),
        (RESULT, vec![result(rows)]),
    ];
    let (_, outcome) = upsert(script, json!({}), &TWO).await;
    let outcome = outcome.unwrap();
    assert_eq!(outcome.sent, 1);
    let refusal = &outcome.refusals[0];
    assert_eq!(
        (refusal.index, refusal.verdict, refusal.code.as_deref()),
        (0, Verdict::Rejected, Some("MANDATORY_NOT_FOUND"))
    );
    assert_eq!(
        refusal.reason,
        "field `Last_Name`: MANDATORY_NOT_FOUND; field `Fax`: INVALID_DATA"
    );
}

#[tokio::test]
async fn a_job_that_completed_is_not_believed() {
    let failing: [(Script, &str); 4] = [
        // Counts that the result does not have.
        (
            vec![(JOB, vec![details("COMPLETED", [0, 2, 0, 2])])],
            "its result 2 and 0",
        ),
        // Another number of rows.
        (
            vec![(JOB, vec![details("COMPLETED", [1, 0, 0, 1])])],
            "a job read 1 rows",
        ),
        // No result, although rows were skipped.
        (
            vec![
                (JOB, vec![details("COMPLETED", [1, 0, 1, 2])]),
                (RESULT, vec![error(404, "RESOURCE_NOT_FOUND")]),
            ],
            "has no result",
        ),
        // A result of other rows.
        (
            vec![(RESULT, vec![result("z@x,,,ADDED,,\ny@x,,,ADDED,,\n")])],
            "whose key the file does not have",
        ),
    ];
    for (script, words) in failing {
        let (_, outcome) = upsert(script, json!({}), &TWO).await;
        let error = outcome.unwrap_err();
        assert_eq!(exit::kind(&error), Kind::Protocol);
        assert!(format!("{error:?}").contains(words), "{error:?}");
    }
    // Without a result the counts are enough if every row was written.
    let script = vec![
        (JOB, vec![details("COMPLETED", [1, 1, 0, 2])]),
        (RESULT, vec![error(404, "RESOURCE_NOT_FOUND")]),
    ];
    let (_, outcome) = upsert(script, json!({}), &TWO).await;
    assert_eq!(outcome.unwrap().sent, 2);
}

#[tokio::test]
async fn rows_that_were_not_reached_are_sent_again_and_not_for_ever() {
    let first = "a@x,A,,UPDATED,1,\nb@x,B,,unprocessed,,\n";
    let script = vec![
        (
            JOB,
            vec![
                details("IN PROGRESS", [0, 0, 0, 0]),
                details("COMPLETED", [0, 1, 0, 2]),
                Reply::Usual,
            ],
        ),
        (RESULT, vec![result(first), Reply::Usual]),
    ];
    let (server, outcome) = upsert(script, json!({}), &TWO).await;
    assert_eq!(outcome.unwrap().sent, 2);
    assert_eq!(server.tables()[1], "Email,Last_Name,Fax\n\"b@x\",\"B\",\n");
    let script = vec![
        (JOB, vec![details("COMPLETED", [0, 0, 0, 1])]),
        (RESULT, vec![result("a@x,A,,UNPROCESSED,,\n")]),
    ];
    let (server, outcome) = upsert(script, json!({}), TWO.get(..1).unwrap()).await;
    assert_eq!(exit::kind(&outcome.unwrap_err()), Kind::Transient);
    assert_eq!(server.jobs().len(), 3);
}

#[tokio::test]
async fn a_file_that_is_too_large_is_halved_down_to_a_row() {
    let too_large = error(413, "FILE_TOO_LARGE");
    let script = vec![(UPLOAD, vec![too_large.clone(), too_large, Reply::Usual])];
    let (server, outcome) = upsert(script, json!({}), &TWO).await;
    let outcome = outcome.unwrap();
    assert_eq!((outcome.sent, outcome.refusals.len()), (1, 1));
    assert_eq!(outcome.refusals[0].code.as_deref(), Some("size"));
    assert_eq!(server.tables().len(), 1);
}

#[tokio::test]
async fn files_are_cut_at_the_rows_of_the_config() {
    let (server, outcome) = upsert(Vec::new(), json!({"chunk_records": 1}), &TWO).await;
    assert_eq!(outcome.unwrap().sent, 2);
    assert_eq!(server.jobs().len(), 2);
}

#[tokio::test]
async fn an_error_in_an_answer_of_success_is_one() {
    for (status, code) in [(200, "INVALID_FILE_FORMAT"), (400, "NOT_SUPPORTED_FEATURE")] {
        let script = vec![(UPLOAD, vec![error(status, code)])];
        let (server, outcome) = upsert(script, json!({}), &TWO).await;
        let error = format!("{:?}", outcome.unwrap_err());
        assert!(error.contains(code), "{error}");
        assert!(server.jobs().is_empty());
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_uploaded_again() {
    let script = vec![(CREATE, vec![error(400, "INVALID_FILE_ID"), Reply::Usual])];
    let (server, outcome) = upsert(script, json!({}), &TWO).await;
    assert_eq!(outcome.unwrap().sent, 2);
    assert_eq!(server.seen(UPLOAD).len(), 2);
}

#[tokio::test]
async fn a_job_that_failed_says_why() {
    let failed = Reply::Answer(
        200,
        json!({"status": "FAILED", "resource": [{
            "status": "FAILED", "code": "MANDATORY_FIELDS_NOT_MAPPED", "message": "not all are mapped",
        }]}),
    );
    let (server, outcome) = upsert(vec![(JOB, vec![failed])], json!({}), &TWO).await;
    let error = outcome.unwrap_err();
    let words = format!("{error:?}");
    assert!(words.contains("MANDATORY_FIELDS_NOT_MAPPED"), "{words}");
    assert_eq!(server.jobs().len(), 1);
}

#[tokio::test]
async fn a_job_whose_one_part_failed_has_failed_whatever_it_calls_itself() {
    let part = json!({"status": "Failed", "code": "MANDATORY_FIELDS_NOT_MAPPED", "message": "no"});
    let file = json!({"status": "SKIPPED", "total_count": 0, "added_count": 0});
    let mut resource = part.clone();
    resource["file"] = file;
    let failed = Reply::Answer(200, json!({"status": "COMPLETED", "resource": [resource]}));
    let (server, outcome) = upsert(vec![(JOB, vec![failed])], json!({}), &TWO).await;
    let words = format!("{:?}", outcome.unwrap_err());
    assert!(words.contains("MANDATORY_FIELDS_NOT_MAPPED"), "{words}");
    assert_eq!(server.jobs().len(), 1);
}

#[tokio::test]
async fn an_upsert_whose_answer_was_lost_is_asked_for_again() {
    let script = vec![(CREATE, vec![Reply::ActAndDrop, Reply::Usual])];
    let (server, outcome) = upsert(script, json!({}), &TWO).await;
    assert_eq!(outcome.unwrap().sent, 2);
    assert_eq!(server.jobs().len(), 2);
}

#[tokio::test]
async fn credits_are_left_alone() {
    let server = Server::start(vec![(CREATE, vec![error(429, "TOO_MANY_REQUESTS")])]).await;
    let stream = stream(&properties());
    let extra = json!({"patience_seconds": 0.01});
    let writer = server.writer(&stream, json!({}), extra).await;
    let error = writer.write(batch(&stream, &TWO)).await.unwrap_err();
    assert_eq!(exit::kind(&error), Kind::RateLimited);
}

#[tokio::test]
async fn a_callback_is_named_in_the_job() {
    let server = Server::start(Vec::new()).await;
    let stream = stream(&properties());
    let callback = json!({
        "listen": "127.0.0.1:0", "public_url": "https://hooks.example.org/crm",
        "secret": "hunter2", "header": "x-antiphon-secret",
    });
    let writer = server
        .writer(&stream, json!({}), json!({ "callback": callback }))
        .await;
    writer.write(batch(&stream, &TWO)).await.unwrap();
    assert_eq!(
        server.jobs()[0]["callback"],
        json!({"url": "https://hooks.example.org/crm", "method": "post"})
    );
}

#[tokio::test]
async fn null_clears_and_a_missing_property_does_not() {
    let settings = json!({"ignore_empty": false});
    let (server, outcome) = upsert(Vec::new(), settings, &TWO).await;
    assert_eq!(outcome.unwrap().sent, 2);
    assert_eq!(
        server.tables(),
        [
            "Email,Last_Name,Fax\n\"a@x\",\"A\",\n",
            "Email,Last_Name\n\"b@x\",\"B\"\n",
        ]
    );
}

#[tokio::test]
async fn what_stands_against_a_module_is_told_before_the_first_upload() {
    let server = Server::start(vec![(
        "GET /crm/v8/settings/fields",
        vec![Reply::Answer(200, json!({"fields": []}))],
    )])
    .await;
    let stream = stream(&properties());
    let target = server.target(json!({})).await;
    let writer = StreamWriter::open(Arc::clone(&target.home), stream)
        .await
        .unwrap();
    let problems = writer.plan().problems;
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(server.seen(UPLOAD).is_empty());
}

#[tokio::test]
async fn a_dry_run_shows_the_first_rows_and_the_job() {
    let server = Server::start(Vec::new()).await;
    let stream = stream(&properties());
    let writer = server.writer(&stream, json!({}), json!({})).await;
    let requests = writer.preview(&batch(&stream, &TWO));
    assert!(requests[0].contains("\"b@x\",\"B\","), "{}", requests[0]);
    assert!(
        requests[1].contains("\"find_by\":\"Email\""),
        "{}",
        requests[1]
    );
    assert!(server.seen(UPLOAD).is_empty());
}

#[tokio::test]
async fn check_asks_for_each_module_of_the_config() {
    use singer_runtime::target::Target as _;
    let server = Server::start(Vec::new()).await;
    let streams = json!({"streams": {"Contacts": {"find_by": "Email"}, "x*": {}}});
    let words = server.target(streams).await.check().await.unwrap();
    assert!(
        words.contains("`55`") && words.contains("1 modules"),
        "{words}"
    );
    for (streams, wanted) in [
        (
            json!({"Contacts": {"find_by": "Ghost"}}),
            "no field `Ghost`",
        ),
        (json!({"Leads": {}}), "`Leads`"),
    ] {
        let target = server.target(json!({ "streams": streams })).await;
        let error = target.check().await.unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let scope = error(401, "OAUTH_SCOPE_MISMATCH");
    let server = Server::start(vec![(JOB, vec![scope])]).await;
    let error = server.target(json!({})).await.check().await.unwrap_err();
    assert_eq!(exit::kind(&error), Kind::Auth);
}
