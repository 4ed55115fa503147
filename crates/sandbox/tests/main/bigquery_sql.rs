//! What surrounds BigQuery's statements: results, costs, buffers, change data capture, permissions.

use sandbox::bigquery::Denied;
use serde_json::{Value, json};

use crate::support::{Answer, Trial};

const NONE: Value = Value::Null;

async fn trial() -> Trial {
    let trial = Trial::with_bigquery(|options| options.job_polls = 0).await;
    let body = json!({"schema": {"fields": [{"name": "id", "type": "INTEGER"}, {"name": "name", "type": "STRING"}]}});
    for path in ["d.t", "d.s"] {
        trial
            .sandbox
            .bigquery()
            .create_table("p", path, &body)
            .unwrap();
    }
    trial
}

async fn query(trial: &Trial, text: &str) -> Answer {
    let body = json!({"query": text, "useLegacySql": false, "location": "US"});
    trial.bigquery("POST", "/queries", &body).await
}

async fn run(trial: &Trial, text: &str) -> Value {
    let answer = query(trial, text).await;
    assert_eq!(answer.status, 200, "{text}: {}", answer.text());
    answer.json()
}

async fn stream(trial: &Trial, table: &str, id: i64) {
    let rows = json!({"rows": [{"json": {"id": id, "name": "streamed"}}]});
    let path = format!("/datasets/d/tables/{table}/insertAll");
    assert_eq!(
        trial
            .bigquery("POST", &path, &rows)
            .await
            .json()
            .get("insertErrors"),
        None
    );
}

#[tokio::test]
async fn a_merge_tells_what_it_did() {
    let trial = trial().await;
    run(
        &trial,
        "INSERT INTO d.t (id, name) VALUES (1, 'a'), (2, 'b')",
    )
    .await;
    run(
        &trial,
        "INSERT INTO d.s (id, name) VALUES (2, 'B'), (3, 'c')",
    )
    .await;
    let merge = "MERGE `p.d.t` T USING `p.d.s` S ON T.id = S.id \
        WHEN MATCHED THEN UPDATE SET name = S.name \
        WHEN NOT MATCHED THEN INSERT (id, name) VALUES (S.id, S.name)";
    let job = json!({"jobReference": {"jobId": "m1", "location": "US"},
        "configuration": {"query": {"query": merge, "useLegacySql": false}}});
    let done = trial.bigquery("POST", "/jobs", &job).await.json();
    let statistics = &done["statistics"]["query"];
    assert_eq!(statistics["statementType"], "MERGE", "{done}");
    assert_eq!(
        statistics["dmlStats"],
        json!({"insertedRowCount": "1", "updatedRowCount": "1", "deletedRowCount": "0"})
    );
    assert_eq!(statistics["numDmlAffectedRows"], "2");
    assert_eq!(trial.bigquery("POST", "/jobs", &job).await.status, 409);
    let select = run(&trial, "SELECT id, name FROM `p.d.t` ORDER BY id").await;
    assert_eq!(select["rows"][1], json!({"f": [{"v": "2"}, {"v": "B"}]}));
    assert_eq!(
        (&select["totalRows"], &select["jobComplete"]),
        (&json!("3"), &json!(true))
    );
    // DML does not count against the jobs of a table.
    assert!(
        trial
            .sandbox
            .bigquery()
            .tables()
            .iter()
            .all(|table| table.jobs_today == 0)
    );
}

#[tokio::test]
async fn a_cap_and_a_dry_run_keep_a_statement_from_running() {
    let trial = trial().await;
    run(&trial, "INSERT INTO d.t (id, name) VALUES (1, 'a')").await;
    let mut body =
        json!({"query": "SELECT id FROM `p.d.t`", "useLegacySql": false, "dryRun": true});
    let tried = trial.bigquery("POST", "/queries", &body).await.json();
    assert_eq!(tried["totalBytesProcessed"], "8");
    body["dryRun"] = json!(false);
    body["maximumBytesBilled"] = json!("1000");
    let refused = trial.bigquery("POST", "/queries", &body).await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.json()["error"]["errors"][0]["reason"],
        "bytesBilledLimitExceeded"
    );
}

#[tokio::test]
async fn streamed_rows_cannot_be_changed_for_a_while() {
    let trial = trial().await;
    run(&trial, "INSERT INTO d.t (id, name) VALUES (1, 'a')").await;
    stream(&trial, "t", 2).await;
    run(&trial, "DELETE FROM d.t WHERE id = 1").await;
    for text in [
        "DELETE FROM d.t WHERE TRUE",
        "UPDATE d.t SET name = 'x' WHERE id = 2",
    ] {
        let refused = query(&trial, text).await;
        assert_eq!(
            refused.json()["error"]["errors"][0]["reason"],
            "invalidQuery"
        );
        assert!(
            refused
                .text()
                .contains("would affect rows in the streaming buffer, which is not supported")
        );
    }
    trial.sandbox.bigquery().advance(1801);
    run(&trial, "DELETE FROM d.t WHERE TRUE").await;
    assert!(trial.sandbox.bigquery().dump("p", "d", "t").is_empty());
}

#[tokio::test]
async fn parameters_and_pages_of_results() {
    let trial = trial().await;
    run(
        &trial,
        "INSERT INTO d.t (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    )
    .await;
    let body = json!({"query": "SELECT id FROM `p.d.t` WHERE id IN UNNEST(@ids) ORDER BY id",
        "useLegacySql": false, "maxResults": 1, "parameterMode": "NAMED", "queryParameters": [
            {"name": "ids", "parameterType": {"type": "ARRAY", "arrayType": {"type": "INT64"}},
                "parameterValue": {"arrayValues": [{"value": "1"}, {"value": "3"}]}}]});
    let first = trial.bigquery("POST", "/queries", &body).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let first = first.json();
    assert_eq!(first["rows"], json!([{"f": [{"v": "1"}]}]));
    let id = first["jobReference"]["jobId"].as_str().unwrap();
    let token = first["pageToken"].as_str().unwrap();
    let path = format!("/queries/{id}?location=US&pageToken={token}");
    let last = trial.bigquery("GET", &path, &NONE).await.json();
    assert_eq!(last["rows"], json!([{"f": [{"v": "3"}]}]));
    assert_eq!(last.get("pageToken"), None);
}

#[tokio::test]
async fn definitions_are_limited_and_permitted() {
    let trial = trial().await;
    let etag = || async {
        let table = trial.bigquery("GET", "/datasets/d/tables/t", &NONE).await;
        table.json()["etag"].as_str().unwrap().to_owned()
    };
    let before = etag().await;
    for number in 0..5 {
        run(
            &trial,
            &format!("ALTER TABLE d.t ADD COLUMN c{number} STRING"),
        )
        .await;
    }
    assert_ne!(before, etag().await);
    let refused = query(&trial, "ALTER TABLE d.t ADD COLUMN c5 STRING").await;
    assert_eq!(
        refused.json()["error"]["errors"][0]["reason"],
        "invalidQuery"
    );
    assert!(refused.text().contains("Exceeded rate limits"));
    let seen = trial
        .bigquery("GET", "/datasets/d/tables/t", &NONE)
        .await
        .json();
    assert_eq!(seen["schema"]["fields"].as_array().unwrap().len(), 7);
    let deny = |permission: &str| {
        trial.sandbox.bigquery().deny(vec![Denied {
            permission: permission.to_owned(),
            resource: Some("p:d".to_owned()),
        }]);
    };
    for (permission, text) in [
        ("bigquery.tables.create", "CREATE TABLE d.u (a INT64)"),
        ("bigquery.tables.getData", "SELECT * FROM d.t"),
        ("bigquery.tables.updateData", "DELETE FROM d.t WHERE TRUE"),
        ("bigquery.tables.delete", "DROP TABLE d.t"),
    ] {
        deny(permission);
        let refused = query(&trial, text).await;
        assert_eq!(refused.status, 403, "{text}: {}", refused.text());
        assert!(refused.text().contains(permission), "{text}");
    }
}

#[tokio::test]
async fn the_rows_of_a_query_can_be_kept_in_a_table() {
    let trial = trial().await;
    run(&trial, "INSERT INTO d.t (id, name) VALUES (1, 'a')").await;
    let job = json!({"jobReference": {"location": "US"}, "configuration": {"query": {
        "query": "SELECT id AS number FROM `p.d.t`", "useLegacySql": false,
        "writeDisposition": "WRITE_TRUNCATE",
        "destinationTable": {"projectId": "p", "datasetId": "d", "tableId": "kept"}}}});
    trial.bigquery("POST", "/jobs", &job).await;
    assert_eq!(
        trial.sandbox.bigquery().dump("p", "d", "kept"),
        [json!({"number": 1})]
    );
    let kept = trial.sandbox.bigquery().tables();
    let kept = kept.iter().find(|table| table.table == "kept").unwrap();
    assert_eq!(kept.jobs_today, 1);
}
