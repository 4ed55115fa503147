//! BigQuery's jobs and uploads, by plain HTTP, and the faults that befall them.

use serde_json::{Value, json};

use crate::support::{Answer, Trial};

const NONE: Value = Value::Null;
const UPLOAD: &str = "/bigquery/upload/bigquery/v2/projects/p/jobs";

async fn trial() -> Trial {
    with(|_| {}).await
}

async fn with(change: impl FnOnce(&mut sandbox::bigquery::BigQueryOptions)) -> Trial {
    let trial = Trial::with_bigquery(change).await;
    trial.sandbox.bigquery().create_dataset("p", "d", "US");
    trial
}

fn load(id: &str, more: &Value) -> Value {
    let mut job = json!({"jobReference": {"projectId": "p", "jobId": id, "location": "US"},
        "configuration": {"load": {
            "destinationTable": {"projectId": "p", "datasetId": "d", "tableId": "t"},
            "sourceFormat": "NEWLINE_DELIMITED_JSON",
            "schema": {"fields": [{"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
                {"name": "name", "type": "STRING"}]}}}});
    for (key, value) in more.as_object().unwrap() {
        job["configuration"]["load"][key] = value.clone();
    }
    job
}

async fn multipart(trial: &Trial, job: &Value, data: &[u8]) -> Answer {
    let mut body = format!("--B\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{job}\r\n--B\r\ncontent-type: */*\r\n\r\n").into_bytes();
    body.extend_from_slice(data);
    body.extend_from_slice(b"\r\n--B--\r\n");
    let headers = [("content-type", "multipart/related; boundary=B")];
    let path = format!("{UPLOAD}?uploadType=multipart");
    trial.send("POST", &path, &headers, &body).await.unwrap()
}

async fn look(trial: &Trial, id: &str) -> Value {
    let path = format!("/jobs/{id}?location=US");
    trial.bigquery("GET", &path, &NONE).await.json()
}

fn rows(trial: &Trial) -> Vec<Value> {
    trial.sandbox.bigquery().dump("p", "d", "t")
}

#[tokio::test]
async fn a_load_is_done_when_it_is_looked_at() {
    let trial = trial().await;
    let data = b"{\"id\":1,\"name\":\"a\"}\n\n{\"id\":\"2\"}\n";
    let job = multipart(&trial, &load("j1", &json!({})), data)
        .await
        .json();
    assert_eq!(job["status"]["state"], "PENDING");
    assert_eq!(
        job["jobReference"],
        json!({"projectId": "p", "jobId": "j1", "location": "US"})
    );
    assert!(rows(&trial).is_empty());
    let job = look(&trial, "j1").await;
    assert_eq!(job["status"], json!({"state": "DONE"}));
    let load = &job["statistics"]["load"];
    assert_eq!(
        (&load["outputRows"], &load["badRecords"]),
        (&json!("2"), &json!("0"))
    );
    assert_eq!(load["inputFileBytes"], data.len().to_string());
    assert_eq!(rows(&trial)[1], json!({"id": 2, "name": null}));
    assert_eq!(trial.sandbox.bigquery().tables()[0].jobs_today, 1);
}

#[tokio::test]
async fn one_bad_row_fails_all_of_a_load_and_burns_its_id() {
    let trial = trial().await;
    let job = load("j1", &json!({}));
    multipart(&trial, &job, b"{\"id\":1}\n{\"id\":\"x\"}\n").await;
    let failed = look(&trial, "j1").await;
    let status = &failed["status"];
    assert_eq!(status["errorResult"]["reason"], "invalid");
    assert!(
        status["errors"][1]["message"]
            .as_str()
            .unwrap()
            .contains("row starting at position 9")
    );
    assert!(rows(&trial).is_empty());
    let again = multipart(&trial, &job, b"{\"id\":1}\n").await;
    assert_eq!(again.status, 409);
    let error = again.json();
    assert_eq!(error["error"]["errors"][0]["reason"], "duplicate");
    assert_eq!(error["error"]["message"], "Already Exists: Job p:US.j1");
    let lenient = load("j2", &json!({"maxBadRecords": 1}));
    multipart(&trial, &lenient, b"{\"id\":1}\n{\"id\":\"x\"}\n").await;
    let done = look(&trial, "j2").await;
    assert_eq!(done["statistics"]["load"]["badRecords"], "1");
    assert!(done["status"].get("errorResult").is_none());
    assert_eq!(rows(&trial).len(), 1);
}

#[tokio::test]
async fn dispositions_decide_about_rows_and_schema() {
    let trial = with(|options| {
        options.loads = 100;
        options.job_polls = 0;
    })
    .await;
    let run = |id: &'static str, more: Value, data: &'static str| {
        let trial = &trial;
        async move {
            let job = multipart(trial, &load(id, &more), data.as_bytes())
                .await
                .json();
            job["status"]["errorResult"]["reason"]
                .as_str()
                .unwrap_or("")
                .to_owned()
        }
    };
    assert_eq!(
        run(
            "a",
            json!({"createDisposition": "CREATE_NEVER"}),
            "{\"id\":1}"
        )
        .await,
        "notFound"
    );
    assert_eq!(run("b", json!({}), "{\"id\":1}").await, "");
    assert_eq!(
        run(
            "c",
            json!({"writeDisposition": "WRITE_EMPTY"}),
            "{\"id\":2}"
        )
        .await,
        "duplicate"
    );
    let wider =
        json!({"fields": [{"name": "id", "type": "INTEGER"}, {"name": "x", "type": "DATE"}]});
    assert_eq!(
        run("d", json!({"schema": wider}), "{\"id\":2}").await,
        "invalid"
    );
    let options = json!(["ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION"]);
    let addition = json!({"schema": wider, "schemaUpdateOptions": options});
    assert_eq!(
        run("e", addition, "{\"id\":2,\"x\":\"2026-01-01\"}").await,
        ""
    );
    assert_eq!(
        rows(&trial)[1],
        json!({"id": 2, "name": null, "x": "2026-01-01"})
    );
    let data_only = json!({"writeDisposition": "WRITE_TRUNCATE_DATA"});
    assert_eq!(run("f", data_only, "{\"id\":3}").await, "");
    assert_eq!(rows(&trial), [json!({"id": 3, "name": null, "x": null})]);
    assert_eq!(
        run(
            "g",
            json!({"writeDisposition": "WRITE_TRUNCATE"}),
            "{\"id\":4}"
        )
        .await,
        ""
    );
    assert_eq!(rows(&trial), [json!({"id": 4, "name": null})]);
    let unknown = json!({"ignoreUnknownValues": true});
    assert_eq!(run("h", unknown, "{\"id\":5,\"q\":1}").await, "");
    assert_eq!(run("i", json!({}), "{\"id\":5,\"q\":1}").await, "invalid");
}

#[tokio::test]
async fn an_upload_is_resumed_where_it_broke() {
    let trial = trial().await;
    let line = format!("{{\"id\":1,\"name\":\"{}\"}}\n", "x".repeat(1000));
    let data = line.repeat(600).into_bytes();
    let headers = [
        ("x-upload-content-type", "application/octet-stream"),
        ("content-type", "application/json"),
    ];
    let path = format!("{UPLOAD}?uploadType=resumable");
    let job = load("j1", &json!({})).to_string();
    let begun = trial
        .send("POST", &path, &headers, job.as_bytes())
        .await
        .unwrap();
    let location = begun.header("location").unwrap().to_owned();
    let path = location.split_once("://sandbox").unwrap().1.to_owned();
    let put = |range: String, chunk: Vec<u8>, faults: &'static str| {
        let (trial, path) = (&trial, &path);
        async move {
            let mut headers = vec![("content-range", range.as_str())];
            if !faults.is_empty() {
                headers.push(("x-sandbox-fault", faults));
            }
            trial.send("PUT", path, &headers, &chunk).await
        }
    };
    let odd = put("bytes 0-9/*".to_owned(), data[..10].to_vec(), "")
        .await
        .unwrap();
    assert_eq!(odd.status, 400);
    let status = put("bytes */*".to_owned(), Vec::new(), "").await.unwrap();
    assert_eq!((status.status, status.header("range")), (308, None));
    let whole = format!("bytes 0-{}/{}", data.len() - 1, data.len());
    put(whole, data.clone(), "upload-cut:bytes=300000")
        .await
        .unwrap_err();
    let status = put("bytes */*".to_owned(), Vec::new(), "").await.unwrap();
    assert_eq!(status.header("range"), Some("bytes=0-262143"));
    let rest = format!("bytes 262144-{}/{}", data.len() - 1, data.len());
    put(rest, data[262_144..].to_vec(), "reset:when=after")
        .await
        .unwrap_err();
    let done = put(format!("bytes */{}", data.len()), Vec::new(), "")
        .await
        .unwrap();
    assert_eq!(done.status, 200);
    assert_eq!(done.json()["jobReference"]["jobId"], "j1");
    look(&trial, "j1").await;
    assert_eq!(rows(&trial).len(), 600);
    trial
        .send("POST", "/_sandbox/bigquery/uploads/expire", &[], b"")
        .await
        .unwrap();
    assert_eq!(
        put("bytes */*".to_owned(), Vec::new(), "")
            .await
            .unwrap()
            .status,
        404
    );
}

#[tokio::test]
async fn gzip_is_recognised() {
    use std::io::Write;
    let trial = trial().await;
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    zipped.write_all(b"{\"id\":1}\n").unwrap();
    multipart(&trial, &load("j1", &json!({})), &zipped.finish().unwrap()).await;
    look(&trial, "j1").await;
    assert_eq!(rows(&trial).len(), 1);
}

#[tokio::test]
async fn jobs_need_a_known_place_and_a_good_id() {
    let trial = trial().await;
    trial
        .sandbox
        .bigquery()
        .create_dataset("p", "far", "asia-south1");
    let mut job = load("j1", &json!({}));
    job["configuration"]["load"]["destinationTable"]["datasetId"] = json!("far");
    assert_eq!(multipart(&trial, &job, b"{\"id\":1}").await.status, 404);
    job["jobReference"]["location"] = json!("ASIA-south1");
    assert_eq!(multipart(&trial, &job, b"{\"id\":1}").await.status, 200);
    assert_eq!(trial.bigquery("GET", "/jobs/j1", &NONE).await.status, 404);
    let found = trial
        .bigquery("GET", "/jobs/j1?location=asia-south1", &NONE)
        .await;
    assert_eq!(found.json()["status"]["state"], "DONE");
    job["jobReference"]["jobId"] = json!("a:b");
    assert_eq!(multipart(&trial, &job, b"{\"id\":1}").await.status, 400);
    let mut missing = load("j2", &json!({}));
    missing["configuration"]["load"]["destinationTable"]["datasetId"] = json!("none");
    assert_eq!(multipart(&trial, &missing, b"{\"id\":1}").await.status, 404);
}

#[tokio::test]
async fn a_copy_replaces_a_table_in_one_step() {
    let trial = with(|options| options.job_polls = 0).await;
    multipart(&trial, &load("j1", &json!({})), b"{\"id\":1}\n{\"id\":2}").await;
    let copy = |id: &str, write: &str| {
        json!({"jobReference": {"jobId": id},
        "configuration": {"copy": {
            "sourceTable": {"projectId": "p", "datasetId": "d", "tableId": "t"},
            "destinationTable": {"projectId": "p", "datasetId": "d", "tableId": "u"},
            "writeDisposition": write}}})
    };
    for (id, write, count, failure) in [
        ("c1", "WRITE_EMPTY", 2, Value::Null),
        ("c2", "WRITE_EMPTY", 2, json!("duplicate")),
        ("c3", "WRITE_APPEND", 4, Value::Null),
        ("c4", "WRITE_TRUNCATE", 2, Value::Null),
    ] {
        let job = trial
            .bigquery("POST", "/jobs", &copy(id, write))
            .await
            .json();
        assert_eq!(job["status"]["errorResult"]["reason"], failure, "{id}");
        assert_eq!(
            trial.sandbox.bigquery().row_count("p", "d", "u"),
            Some(count),
            "{id}"
        );
    }
}

#[tokio::test]
async fn a_table_has_its_jobs_a_day_by_name() {
    let trial = with(|options| {
        options.table_jobs_per_day = 2;
        options.job_polls = 0;
    })
    .await;
    multipart(&trial, &load("j1", &json!({})), b"{\"id\":1}").await;
    multipart(&trial, &load("j2", &json!({})), b"{\"id\":\"x\"}").await;
    trial.sandbox.bigquery().drop_table("p", "d", "t");
    let refused = multipart(&trial, &load("j3", &json!({})), b"{\"id\":1}").await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.json()["error"]["errors"][0]["reason"],
        "quotaExceeded"
    );
    trial.sandbox.bigquery().advance(86_400);
    assert_eq!(
        multipart(&trial, &load("j3", &json!({})), b"{\"id\":1}")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn loads_that_come_too_fast_fail() {
    let trial = with(|options| options.job_polls = 0).await;
    let mut last = NONE;
    for id in ["a", "b", "c", "d", "e", "f"] {
        last = multipart(&trial, &load(id, &json!({})), b"{\"id\":1}")
            .await
            .json();
    }
    assert_eq!(last["status"]["errorResult"]["reason"], "rateLimitExceeded");
    assert_eq!(rows(&trial).len(), 5);
}

#[tokio::test]
async fn a_job_may_hang_fail_or_be_cancelled() {
    let trial = trial().await;
    let faults = [
        "job-hang:path=/load/,times=1",
        "job-fail:reason=serialize,after=1,times=1",
    ];
    trial.sandbox.set_faults(&faults).unwrap();
    multipart(&trial, &load("j1", &json!({})), b"{\"id\":1}").await;
    for _ in 0..5 {
        assert_eq!(look(&trial, "j1").await["status"]["state"], "RUNNING");
    }
    trial
        .bigquery("POST", "/jobs/j1/cancel?location=US", &NONE)
        .await;
    assert_eq!(
        look(&trial, "j1").await["status"]["errorResult"]["reason"],
        "stopped"
    );
    multipart(&trial, &load("j2", &json!({})), b"{\"id\":1}").await;
    let failed = look(&trial, "j2").await;
    assert_eq!(failed["status"]["errorResult"]["reason"], "invalidQuery");
    assert!(failed.to_string().contains("Could not serialize access"));
    assert!(rows(&trial).is_empty());
    multipart(&trial, &load("j3", &json!({})), b"{\"id\":1}").await;
    assert_eq!(look(&trial, "j3").await["status"], json!({"state": "DONE"}));
}

#[tokio::test]
async fn a_job_nobody_looks_at_is_carried_out_in_time() {
    let trial = trial().await;
    multipart(&trial, &load("j1", &json!({})), b"{\"id\":1}").await;
    assert!(rows(&trial).is_empty());
    trial.sandbox.bigquery().advance(3);
    assert_eq!(rows(&trial).len(), 1);
}

#[tokio::test]
async fn faults_answer_as_google_does() {
    let trial = trial().await;
    let send = |fault: &'static str| {
        let trial = &trial;
        async move {
            let headers = [("x-sandbox-fault", fault)];
            let path = "/bigquery/bigquery/v2/projects/p/datasets/d";
            trial.send("GET", path, &headers, b"").await.unwrap()
        }
    };
    let throttled = send("throttle:status=403").await.json();
    assert_eq!(
        throttled["error"]["errors"][0]["reason"],
        "rateLimitExceeded"
    );
    let quota = send("error:status=403,reason=quotaExceeded").await.json();
    assert_eq!(quota["error"]["errors"][0]["reason"], "quotaExceeded");
    assert_eq!(
        send("expire").await.json()["error"]["status"],
        "UNAUTHENTICATED"
    );
    let euc = send("error:status=400,reason=eucHeader").await.json();
    assert_eq!(euc["error"]["message"], "invalid euc header");
    let missing = send("error:status=404,reason=notFound").await;
    assert_eq!(missing.json()["error"]["status"], "NOT_FOUND");
    assert!(send("error:status=502").await.text().starts_with("<html>"));
}

#[tokio::test]
async fn the_page_and_the_summary_show_tables_and_jobs() {
    let trial = trial().await;
    multipart(
        &trial,
        &load("j1", &json!({})),
        b"{\"id\":1,\"name\":\"<b>\"}",
    )
    .await;
    look(&trial, "j1").await;
    let page = trial.send("GET", "/", &[], b"").await.unwrap();
    let text = page.text();
    assert!(text.contains("BigQuery tables") && text.contains("bigquery/d.t"));
    assert!(text.contains("j1") && text.contains("1 rows"));
    assert!(text.contains("&lt;b&gt;") && !text.contains("<b><"));
    let summary = trial
        .send("GET", "/_sandbox/bigquery", &[], b"")
        .await
        .unwrap()
        .json();
    assert_eq!(summary["tables"][0]["jobs_today"], 1);
    assert_eq!(summary["jobs"][0]["state"], "DONE");
    assert_eq!(summary["datasets"][0]["location"], "US");
    let dump = "/_sandbox/dump/bigquery/p/d/t";
    let count = trial
        .send("GET", &format!("{dump}?format=count"), &[], b"")
        .await
        .unwrap();
    assert_eq!(count.text(), "1");
    let gone = trial
        .send("DELETE", "/_sandbox/bigquery/tables/p/d/t", &[], b"")
        .await
        .unwrap();
    assert_eq!(gone.status, 200);
    assert_eq!(trial.send("GET", dump, &[], b"").await.unwrap().status, 404);
    trial
        .send("POST", "/_sandbox/reset", &[], b"")
        .await
        .unwrap();
    assert!(trial.sandbox.bigquery().jobs().is_empty());
}

#[tokio::test]
async fn mutating_statements_wait_for_each_other_up_to_a_limit() {
    let trial = with(|options| options.queued_dml = 1).await;
    let statement = |id: usize| {
        json!({"jobReference": {"jobId": format!("q{id}"), "location": "US"},
        "configuration": {"query": {"query": "DELETE FROM `p.d.t` WHERE TRUE", "useLegacySql": false}}})
    };
    for id in 0..4 {
        let job = trial.bigquery("POST", "/jobs", &statement(id)).await;
        assert_eq!(job.status, 200, "{}", job.text());
    }
    let last = look(&trial, "q3").await;
    assert_eq!(last["status"]["errorResult"]["reason"], "resourcesExceeded");
    assert!(
        last.to_string()
            .contains("Too many DML statements outstanding")
    );
    let legacy = json!({"query": "SELECT 1"});
    assert_eq!(
        trial.bigquery("POST", "/queries", &legacy).await.status,
        501
    );
}
