//! Bulk reads over the wire: jobs, pages, criteria, results, callbacks, and what can go wrong.

use std::io::Read;

use flate2::read::DeflateDecoder;
use sandbox::Options;
use sandbox::datastore::{Comparators, Order, Written};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{Answer, Trial};

struct Bulk {
    trial: Trial,
    token: String,
}

impl Bulk {
    async fn with(change: impl FnOnce(&mut Options)) -> Bulk {
        let trial = Trial::with_options(change).await;
        let token = trial.zoho_token().await;
        Bulk { trial, token }
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        self.trial.datastore(&self.token, method, path, &body).await
    }

    async fn create(&self, query: Value) -> String {
        let body = json!({"table_identifier": "Trips", "query": query});
        let answer = self.send("POST", "/bulk/read", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let job = answer.json();
        assert_eq!(job["data"]["status"], "In-Progress");
        job["data"]["job_id"].as_str().unwrap().to_owned()
    }

    /// Looks at a job until it has ended.
    async fn ended(&self, job: &str) -> Value {
        loop {
            let answer = self
                .send("GET", &format!("/bulk/read/{job}"), Value::Null)
                .await;
            let job = answer.json()["data"].clone();
            if job["status"] != "In-Progress" {
                return job;
            }
        }
    }

    async fn download(&self, job: &str) -> Answer {
        let path = format!("/bulk/read/{job}/download");
        self.send("GET", &path, Value::Null).await
    }

    /// The rows of one page, and the last look at its job.
    async fn read(&self, query: Value) -> (Vec<String>, Value) {
        let job = self.create(query).await;
        let ended = self.ended(&job).await;
        let zip = self.download(&job).await;
        let lines = unzip(&zip.body).lines().map(str::to_owned).collect();
        (lines, ended["results"]["details"][0].clone())
    }
}

/// The text of the one file of a ZIP.
fn unzip(zip: &[u8]) -> String {
    assert!(zip.starts_with(b"PK\x03\x04"));
    let name = usize::from(u16::from_le_bytes([zip[26], zip[27]]));
    assert_eq!(&zip[30..30 + name], b"Table-Trips.csv");
    let mut text = String::new();
    DeflateDecoder::new(&zip[30 + name..])
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn only(column: &str, comparator: &str, value: &str) -> Value {
    json!({"select_columns": ["ROWID"], "criteria": {"group_operator": "and",
        "group": [{"column_name": column, "comparator": comparator, "value": value}]}})
}

#[tokio::test]
async fn a_job_goes_from_in_progress_to_a_zip() {
    let bulk = Bulk::with(|_| {}).await;
    let job = bulk
        .create(json!({"select_columns": ["ROWID", "MODIFIEDTIME", "Note", "Km"]}))
        .await;
    let first = bulk
        .send("GET", &format!("/bulk/read/{job}"), Value::Null)
        .await
        .json();
    assert_eq!(first["data"]["status"], "In-Progress");
    assert_eq!(bulk.download(&job).await.status, 403);
    let ended = bulk.ended(&job).await;
    let details = &ended["results"]["details"][0];
    assert_eq!(
        (&details["records_processed"], &details["more_records"]),
        (&json!(250), &json!(false))
    );
    let url = ended["results"]["download_url"].as_str().unwrap();
    assert!(url.starts_with("http://sandbox/baas/v1/project/4000000006007/bulk/read/"));
    let zip = bulk.download(&job).await;
    assert_eq!(zip.header("content-type"), Some("application/zip"));
    let text = unzip(&zip.body);
    // The header has an order of its own, and texts keep their line ends.
    assert!(
        text.starts_with("Note,Km,MODIFIEDTIME,ROWID\n"),
        "{}",
        text.lines().next().unwrap()
    );
    assert!(text.contains("\"two pallets,\nsecond stop \"\"dock 4\"\"\""));
    assert_eq!(
        bulk.trial.sandbox.datastore().jobs_view()[0].records,
        Some(250)
    );
}

#[tokio::test]
async fn pages_are_read_until_there_are_no_more_records() {
    let bulk = Bulk::with(|options| options.datastore.page_rows = 100).await;
    let mut ids = Vec::new();
    for page in 1.. {
        let (lines, details) = bulk
            .read(json!({"page": page, "select_columns": ["ROWID"]}))
            .await;
        ids.extend(lines.into_iter().skip(1));
        if details["more_records"] == false {
            break;
        }
    }
    assert_eq!(ids.len(), 250);
    ids.dedup();
    assert_eq!(ids.len(), 250);
    let (lines, details) = bulk
        .read(json!({"page": 9, "select_columns": ["ROWID"]}))
        .await;
    assert_eq!((lines.len(), &details["records_processed"]), (1, &json!(0)));
}

#[tokio::test]
async fn rows_may_come_in_any_order_and_still_once() {
    let bulk = Bulk::with(|options| {
        options.datastore.page_rows = 150;
        options.datastore.order = Order::Scattered;
        options.datastore.booleans = Written::Text;
    })
    .await;
    let only = |page: usize| json!({"page": page, "select_columns": ["ROWID"]});
    let (first, details) = bulk.read(only(1)).await;
    assert_eq!(details["more_records"], "true");
    let (second, _) = bulk.read(only(2)).await;
    let mut ids: Vec<_> = first.into_iter().skip(1).collect();
    assert!(!ids.is_sorted());
    ids.extend(second.into_iter().skip(1));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 250);
}

#[tokio::test]
async fn criteria_choose_rows() {
    let bulk = Bulk::with(|_| {}).await;
    for (column, comparator, value, count) in [
        ("Driver", "starts_with", "R", 42),
        ("Km", "equal", "7", 1),
        ("Km", "greater_than", "245", 3),
        ("Km", "between", "1,3", 3),
        ("Km", "not_in", "1,2,3", 228),
        ("MODIFIEDTIME", "less_than", "2024-01-01 05:30:07:500", 2),
        ("MODIFIEDTIME", "greater_equal", "2024-01-01 05:59:03", 1),
        ("Note", "contains", "dock", 27),
        ("ROWID", "greater_than", "0", 250),
    ] {
        let (lines, _) = bulk.read(only(column, comparator, value)).await;
        assert_eq!(lines.len(), count + 1, "{column} {comparator}");
    }
}

#[tokio::test]
async fn what_the_service_does_not_take_is_invalid_input() {
    let bulk = Bulk::with(|options| {
        options.datastore.system_criteria = false;
        options.datastore.comparators = Comparators::Seen;
    })
    .await;
    for query in [
        only("MODIFIEDTIME", "greater_than", "2024-01-01 00:00:00"),
        only("ROWID", "equal", "1"),
        only("Km", "less_than", "1"),
        only("Km", "equal", "many"),
        only("Kilometres", "equal", "1"),
        json!({"select_columns": ["Kilometres"]}),
        json!({"page": 0}),
        json!({"criteria": {"group": []}}),
    ] {
        let body = json!({"table_identifier": "Trips", "query": query});
        let answer = bulk.send("POST", "/bulk/read", body).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["data"]["error_code"], "INVALID_INPUT");
    }
    let answer = bulk.send("POST", "/bulk/read", json!({})).await;
    assert_eq!(answer.json()["data"]["error_code"], "MISSING_VALUE");
}

#[tokio::test]
async fn a_result_lives_for_a_day() {
    let bulk = Bulk::with(|_| {}).await;
    let job = bulk.create(json!({})).await;
    let finish = "/datastore/jobs/finish";
    bulk.trial.control("POST", finish, &Value::Null).await;
    assert_eq!(bulk.download(&job).await.status, 200);
    bulk.trial.sandbox.zoho().advance(86_400);
    let token = bulk.trial.zoho_token().await;
    let bulk = Bulk { token, ..bulk };
    let answer = bulk.download(&job).await;
    assert_eq!(
        (answer.status, &answer.json()["data"]["error_code"]),
        (410, &json!("EXPIRED"))
    );
    bulk.trial.sandbox.zoho().advance(7 * 86_400);
    let token = bulk.trial.zoho_token().await;
    let bulk = Bulk { token, ..bulk };
    let answer = bulk
        .send("GET", &format!("/bulk/read/{job}"), Value::Null)
        .await;
    assert_eq!(answer.json()["data"]["error_code"], "EXPIRED_LOG");
}

#[tokio::test]
async fn jobs_fail_and_hang_when_faults_say_so() {
    let bulk = Bulk::with(|options| {
        options.datastore.job_ms = 1;
        options.datastore.jobs = Some(1);
    })
    .await;
    let faults = ["job-fail:times=1,path=Trips"];
    bulk.trial.sandbox.set_faults(&faults).unwrap();
    let job = bulk.create(json!({})).await;
    let ended = bulk.ended(&job).await;
    assert_eq!(ended["status"], "Failed");
    assert_eq!(ended["results"].get("download_url"), None);
    bulk.trial.sandbox.set_faults(&["job-hang"]).unwrap();
    let job = bulk.create(json!({})).await;
    for _ in 0..5 {
        let look = bulk
            .send("GET", &format!("/bulk/read/{job}"), Value::Null)
            .await;
        assert_eq!(look.json()["data"]["status"], "In-Progress");
    }
    // The one place is taken.
    let body = json!({"table_identifier": "Trips"});
    let answer = bulk.send("POST", "/bulk/read", body).await;
    assert_eq!(
        (answer.status, &answer.json()["data"]["error_code"]),
        (429, &json!("TOO_MANY_REQUESTS"))
    );
}

#[tokio::test]
async fn faults_spoil_a_result() {
    let bulk = Bulk::with(|_| {}).await;
    let job = bulk
        .create(json!({"select_columns": ["ROWID", "Km"]}))
        .await;
    bulk.ended(&job).await;
    let whole = bulk.download(&job).await.body;
    let with = async |fault: &str| {
        bulk.trial.sandbox.set_faults(&[fault]).unwrap();
        bulk.download(&job).await
    };
    assert_eq!(with("zip-cut").await.body.len(), whole.len() / 2);
    let bomb = with("zip-bomb:megabytes=64").await.body;
    assert!(bomb.len() < 512 << 10);
    assert_eq!(unzip(&bomb).len(), 64 << 20);
    let entries = with("zip-bomb:entries=100").await.body;
    assert_eq!(
        u16::from_le_bytes([entries[entries.len() - 12], entries[entries.len() - 11]]),
        101
    );
    let text = unzip(&with("csv-cells:row=2").await.body);
    assert_eq!(text.lines().nth(2).unwrap().split(',').count(), 3);
    let text = unzip(&with("csv-cells:row=2,as=short").await.body);
    assert_eq!(text.lines().nth(2).unwrap().split(',').count(), 1);
    assert_eq!(with("link-expired").await.status, 410);
}

#[tokio::test]
async fn a_callback_comes_at_every_change() {
    let bulk = Bulk::with(|options| {
        options.datastore.job_ms = 1;
        options.datastore.job_polls = 100;
    })
    .await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let body = json!({"table_identifier": "Trips", "callback": {"url": url,
        "headers": {"x-secret": "s"}, "params": {"run": "1 2"}}});
    bulk.send("POST", "/bulk/read", body).await;
    for status in ["In-Progress", "Completed"] {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = crate::datastore_events::read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("POST /hook?run=1%202 HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(head.contains("x-secret: s"));
        let job: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&job["status"], &job["run"]),
            (&json!(status), &json!("1 2"))
        );
    }
}
