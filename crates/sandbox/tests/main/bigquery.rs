//! BigQuery's datasets, tables, rows, tokens and permissions, by plain HTTP.

use sandbox::bigquery::Denied;
use serde_json::{Value, json};

use crate::support::{Answer, Trial};

const NONE: Value = Value::Null;

fn reason(answer: &Answer) -> (u16, String) {
    let error = answer.json();
    let reason = error["error"]["errors"][0]["reason"].as_str().unwrap();
    (answer.status, reason.to_owned())
}

async fn trial() -> Trial {
    let trial = Trial::start().await;
    let body = json!({"datasetReference": {"projectId": "p", "datasetId": "d"}, "location": "asia-south1"});
    let answer = trial.bigquery("POST", "/datasets", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    trial
}

fn table(fields: Value) -> Value {
    json!({"tableReference": {"projectId": "p", "datasetId": "d", "tableId": "t"},
        "schema": {"fields": fields}})
}

fn id_and_name() -> Value {
    json!([{"name": "id", "type": "INTEGER", "mode": "REQUIRED"}, {"name": "name", "type": "STRING"}])
}

#[tokio::test]
async fn a_dataset_is_made_once_and_deleted_when_empty() {
    let trial = trial().await;
    let body = json!({"datasetReference": {"datasetId": "d"}});
    let again = trial.bigquery("POST", "/datasets", &body).await;
    assert_eq!(reason(&again), (409, "duplicate".to_owned()));
    assert_eq!(again.json()["error"]["status"], "ALREADY_EXISTS");
    let bad = json!({"datasetReference": {"datasetId": "a-b"}});
    assert_eq!(trial.bigquery("POST", "/datasets", &bad).await.status, 400);
    let labels = json!({"labels": {"loader": "x"}, "description": "about"});
    let patched = trial.bigquery("PATCH", "/datasets/d", &labels).await.json();
    assert_eq!(patched["labels"]["loader"], "x");
    assert_eq!(patched["location"], "asia-south1");
    let made = table(id_and_name());
    trial.bigquery("POST", "/datasets/d/tables", &made).await;
    let full = trial.bigquery("DELETE", "/datasets/d", &NONE).await;
    assert_eq!(reason(&full), (400, "resourceInUse".to_owned()));
    let gone = trial
        .bigquery("DELETE", "/datasets/d?deleteContents=true", &NONE)
        .await;
    assert_eq!(gone.status, 204);
    let missing = trial.bigquery("GET", "/datasets/d", &NONE).await;
    assert_eq!(reason(&missing), (404, "notFound".to_owned()));
    assert_eq!(missing.json()["error"]["message"], "Not found: Dataset p:d");
}

#[tokio::test]
async fn a_table_returns_what_was_said_about_it() {
    let trial = trial().await;
    let mut body = table(json!([
        {"name": "id", "type": "INT64", "mode": "REQUIRED"},
        {"name": "at", "type": "TIMESTAMP"}, {"name": "amount", "type": "NUMERIC", "precision": "20", "scale": "4"}]));
    body["timePartitioning"] =
        json!({"type": "MONTH", "field": "at", "expirationMs": "7776000000"});
    body["clustering"] = json!({"fields": ["id"]});
    body["tableConstraints"] = json!({"primaryKey": {"columns": ["id"]}});
    body["maxStaleness"] = json!("0-0 0 0:10:0");
    body["labels"] = json!({"loader": "target-bigquery"});
    body["expirationTime"] = json!("4102444800000");
    body["description"] = json!("messages");
    let made = trial.bigquery("POST", "/datasets/d/tables", &body).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let seen = trial
        .bigquery("GET", "/datasets/d/tables/t", &NONE)
        .await
        .json();
    for key in [
        "timePartitioning",
        "clustering",
        "tableConstraints",
        "maxStaleness",
        "labels",
        "expirationTime",
        "description",
    ] {
        assert_eq!(seen[key], body[key], "{key}");
    }
    assert_eq!(seen["schema"]["fields"][0]["type"], "INTEGER");
    assert_eq!(
        (&seen["numRows"], &seen["numBytes"]),
        (&json!("0"), &json!("0"))
    );
    assert_eq!(
        (&seen["location"], &seen["id"]),
        (&json!("asia-south1"), &json!("p:d.t"))
    );
    let list = trial
        .bigquery("GET", "/datasets/d/tables?maxResults=1", &NONE)
        .await
        .json();
    assert_eq!(list["tables"][0]["tableReference"]["tableId"], "t");
    assert!(list.get("nextPageToken").is_none());
    let again = trial.bigquery("POST", "/datasets/d/tables", &body).await;
    assert_eq!(reason(&again), (409, "duplicate".to_owned()));
    assert_eq!(
        trial
            .bigquery("DELETE", "/datasets/d/tables/t", &NONE)
            .await
            .status,
        204
    );
    let missing = trial.bigquery("GET", "/datasets/d/tables/t", &NONE).await;
    assert_eq!(missing.json()["error"]["message"], "Not found: Table p:d.t");
}

#[tokio::test]
async fn bad_tables_are_refused() {
    let trial = trial().await;
    for (key, value) in [
        ("labels", json!({"Big": "x"})),
        ("clustering", json!({"fields": ["missing"]})),
        ("timePartitioning", json!({"type": "DAY", "field": "name"})),
        (
            "tableConstraints",
            json!({"primaryKey": {"columns": ["nothing"]}}),
        ),
        ("maxStaleness", json!("10 minutes")),
        ("expirationTime", json!("1")),
        ("titel", json!("typo")),
    ] {
        let mut body = table(id_and_name());
        body[key] = value;
        let answer = trial.bigquery("POST", "/datasets/d/tables", &body).await;
        assert_eq!(answer.status, 400, "{key}");
        trial.sandbox.bigquery().advance(10);
    }
    let mut view = table(json!([]));
    view["view"] = json!({"query": "SELECT 1"});
    assert_eq!(
        trial
            .bigquery("POST", "/datasets/d/tables", &view)
            .await
            .status,
        501
    );
}

#[tokio::test]
async fn a_patch_is_checked_against_the_etag_and_the_old_schema() {
    let trial = trial().await;
    let made = trial
        .bigquery("POST", "/datasets/d/tables", &table(id_and_name()))
        .await
        .json();
    let wider = json!({"schema": {"fields": [{"name": "id", "type": "INTEGER"},
        {"name": "name", "type": "STRING"}, {"name": "tags", "type": "STRING", "mode": "REPEATED"}]}});
    let path = "/bigquery/v2/projects/p/datasets/d/tables/t";
    let etag = made["etag"].as_str().unwrap();
    let send = |etag: String, body: Value| {
        let trial = &trial;
        async move {
            trial
                .send(
                    "PATCH",
                    path,
                    &[("if-match", &etag)],
                    body.to_string().as_bytes(),
                )
                .await
                .unwrap()
        }
    };
    let changed = send(etag.to_owned(), wider.clone()).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(changed.json()["schema"]["fields"][0]["mode"], "NULLABLE");
    let stale = send(etag.to_owned(), wider).await;
    assert_eq!(reason(&stale), (412, "conditionNotMet".to_owned()));
    let narrower = json!({"schema": {"fields": [{"name": "id", "type": "INTEGER"}]}});
    let refused = trial
        .bigquery("PATCH", "/datasets/d/tables/t", &narrower)
        .await;
    assert_eq!(reason(&refused), (400, "invalid".to_owned()));
    assert!(refused.text().contains("missing in new schema"));
}

#[tokio::test]
async fn metadata_changes_are_limited_and_the_limit_can_be_lifted() {
    let trial = trial().await;
    trial
        .bigquery("POST", "/datasets/d/tables", &table(id_and_name()))
        .await;
    let change = |n: usize| json!({"description": n.to_string()});
    for n in 0..4 {
        let answer = trial
            .bigquery("PATCH", "/datasets/d/tables/t", &change(n))
            .await;
        assert_eq!(answer.status, 200);
    }
    let refused = trial
        .bigquery("PATCH", "/datasets/d/tables/t", &change(5))
        .await;
    assert_eq!(reason(&refused), (403, "rateLimitExceeded".to_owned()));
    trial.sandbox.bigquery().advance(10);
    let later = trial
        .bigquery("PATCH", "/datasets/d/tables/t", &change(6))
        .await;
    assert_eq!(later.status, 200);
    let limits = br#"{"metadata_updates": 1}"#;
    let headers = [("content-type", "application/json")];
    let set = trial
        .send("POST", "/_sandbox/bigquery/limits", &headers, limits)
        .await
        .unwrap();
    assert_eq!(set.json()["metadata_updates"], 1);
    assert_eq!(
        trial
            .bigquery("PATCH", "/datasets/d/tables/t", &change(7))
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn one_bad_row_stops_the_others_unless_it_is_skipped() {
    let trial = trial().await;
    trial
        .bigquery("POST", "/datasets/d/tables", &table(id_and_name()))
        .await;
    let rows = json!([{"json": {"id": 1}}, {"json": {"id": "x"}}, {"json": {"id": 3, "more": 1}}]);
    let path = "/datasets/d/tables/t/insertAll";
    let answer = trial.bigquery("POST", path, &json!({"rows": rows})).await;
    assert_eq!(answer.status, 200);
    let errors = answer.json()["insertErrors"].clone();
    let seen: Vec<_> = errors
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            (
                error["index"].as_u64().unwrap(),
                error["errors"][0]["reason"].clone(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (1, json!("invalid")),
            (2, json!("invalid")),
            (0, json!("stopped"))
        ]
    );
    assert!(trial.sandbox.bigquery().dump("p", "d", "t").is_empty());
    let skip = json!({"rows": rows, "skipInvalidRows": true, "ignoreUnknownValues": true});
    trial.bigquery("POST", path, &skip).await;
    assert_eq!(
        trial.sandbox.bigquery().dump("p", "d", "t"),
        [
            json!({"id": 1, "name": null}),
            json!({"id": 3, "name": null})
        ]
    );
    let seen = trial
        .bigquery("GET", "/datasets/d/tables/t", &NONE)
        .await
        .json();
    assert_eq!(seen["streamingBuffer"]["estimatedRows"], "2");
    trial.sandbox.bigquery().advance(1801);
    let seen = trial
        .bigquery("GET", "/datasets/d/tables/t", &NONE)
        .await
        .json();
    assert!(seen.get("streamingBuffer").is_none());
}

#[tokio::test]
async fn an_insert_id_is_noticed_for_a_minute() {
    let trial = trial().await;
    trial
        .bigquery("POST", "/datasets/d/tables", &table(id_and_name()))
        .await;
    let body = json!({"rows": [{"insertId": "a", "json": {"id": 1}}]});
    let path = "/datasets/d/tables/t/insertAll";
    let count = || trial.sandbox.bigquery().row_count("p", "d", "t").unwrap();
    for expected in [1, 1] {
        trial.bigquery("POST", path, &body).await;
        assert_eq!(count(), expected);
    }
    trial.sandbox.bigquery().advance(60);
    trial.bigquery("POST", path, &body).await;
    assert_eq!(count(), 2);
    let many: Vec<Value> = (0..50_001).map(|_| json!({"json": {"id": 1}})).collect();
    assert_eq!(
        trial
            .bigquery("POST", path, &json!({"rows": many}))
            .await
            .status,
        400
    );
    let large = json!({"rows": [{"json": {"id": 1, "name": "x".repeat(10 << 20)}}]});
    assert_eq!(trial.bigquery("POST", path, &large).await.status, 413);
}

#[tokio::test]
async fn rows_are_listed_page_by_page() {
    let trial = trial().await;
    trial
        .bigquery("POST", "/datasets/d/tables", &table(id_and_name()))
        .await;
    let rows: Vec<Value> = (0..3)
        .map(|id| json!({"json": {"id": id, "name": "n"}}))
        .collect();
    let path = "/datasets/d/tables/t/insertAll";
    trial.bigquery("POST", path, &json!({"rows": rows})).await;
    let first = trial
        .bigquery("GET", "/datasets/d/tables/t/data?maxResults=2", &NONE)
        .await
        .json();
    assert_eq!(first["totalRows"], "3");
    assert_eq!(first["rows"][1], json!({"f": [{"v": "1"}, {"v": "n"}]}));
    let token = first["pageToken"].as_str().unwrap();
    let path = format!("/datasets/d/tables/t/data?pageToken={token}");
    let last = trial.bigquery("GET", &path, &NONE).await.json();
    assert_eq!(last["rows"].as_array().unwrap().len(), 1);
    assert!(last.get("pageToken").is_none());
}

#[tokio::test]
async fn a_denied_permission_is_named() {
    let trial = trial().await;
    trial.sandbox.bigquery().deny(vec![Denied {
        permission: "bigquery.tables.create".to_owned(),
        resource: Some("p:d".to_owned()),
    }]);
    let refused = trial
        .bigquery("POST", "/datasets/d/tables", &table(id_and_name()))
        .await;
    assert_eq!(reason(&refused), (403, "accessDenied".to_owned()));
    assert!(
        refused
            .text()
            .contains("Permission bigquery.tables.create denied on dataset p:d")
    );
    trial.sandbox.bigquery().deny(Vec::new());
    trial
        .bigquery("POST", "/datasets/d/tables", &table(id_and_name()))
        .await;
    let deny = br#"{"deny": [{"permission": "bigquery.tables.updateData"}]}"#;
    let headers = [("content-type", "application/json")];
    trial
        .send("POST", "/_sandbox/bigquery/permissions", &headers, deny)
        .await
        .unwrap();
    let asked = json!({"permissions": ["bigquery.tables.get", "bigquery.tables.updateData"]});
    let held = trial
        .bigquery("POST", "/datasets/d/tables/t:testIamPermissions", &asked)
        .await;
    assert_eq!(held.json(), json!({"permissions": ["bigquery.tables.get"]}));
}

#[tokio::test]
async fn tokens_are_asked_for_and_end() {
    let trial = Trial::with_bigquery(|options| options.anonymous = false).await;
    let bare = trial.bigquery("GET", "/datasets", &NONE).await;
    assert_eq!(bare.status, 401);
    let with = |token: String| {
        let trial = &trial;
        async move {
            let bearer = format!("Bearer {token}");
            let headers = [("authorization", bearer.as_str())];
            let path = "/bigquery/v2/projects/p/datasets";
            trial.send("GET", path, &headers, b"").await.unwrap().status
        }
    };
    assert_eq!(with("sandbox-token-1".to_owned()).await, 200);
    assert_eq!(with("expired-token".to_owned()).await, 401);
    let path = "/computeMetadata/v1/instance/service-accounts/default/token";
    assert_eq!(trial.send("GET", path, &[], b"").await.unwrap().status, 403);
    let flavor = [("metadata-flavor", "Google")];
    let token = trial.send("GET", path, &flavor, b"").await.unwrap().json();
    let token = token["access_token"].as_str().unwrap().to_owned();
    assert_eq!(with(token.clone()).await, 200);
    trial.sandbox.bigquery().advance(3600);
    assert_eq!(with(token).await, 401);
    let project = "/computeMetadata/v1/project/project-id";
    let answer = trial.send("GET", project, &flavor, b"").await.unwrap();
    assert_eq!(answer.text(), "sandbox-project");
}

#[tokio::test]
async fn an_assertion_without_sense_is_an_invalid_grant() {
    let trial = Trial::start().await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c";
    let answer = trial
        .send("POST", "/bigquery/token", &form, body)
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.json()["error"].clone()),
        (400, json!("invalid_grant"))
    );
    let body = b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=x&subject_token_type=y&audience=z";
    let answer = trial.send("POST", "/v1/token", &form, body).await.unwrap();
    assert_eq!(answer.json()["token_type"], "Bearer");
}
