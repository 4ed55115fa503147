//! Imports into Zoho Analytics in all three forms, and what befalls them.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::analytics::{Fleet, VIEWS, code};
use crate::support::Answer;

const BULK: &str = "/restapi/v2/bulk/workspaces/260000000001003";

fn config(import_type: &str, more: &Value) -> Value {
    let mut config = json!({"importType": import_type, "fileType": "csv", "autoIdentify": "false",
        "delimiter": 0, "quoted": 2, "commentChar": "#", "onError": "abort",
        "columnDateFormat": {"Seen": "yyyy-MM-dd HH:mm:ss"}});
    if import_type == "updateadd" {
        config["matchingColumns"] = json!(["ROWID"]);
    }
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn none() -> Value {
    json!({})
}

async fn sync(fleet: &Fleet, id: &str, config: &Value, file: &str) -> Answer {
    fleet
        .upload(&format!("{VIEWS}/{id}/data"), config, file)
        .await
}

async fn submit(fleet: &Fleet, id: &str, config: &Value, file: &str) -> Answer {
    fleet
        .upload(&format!("{BULK}/views/{id}/data"), config, file)
        .await
}

async fn batch(fleet: &Fleet, id: &str, key: &str, is_last: bool, file: &str) -> Answer {
    let config = config(
        "truncateadd",
        &json!({"batchKey": key, "isLastBatch": is_last}),
    );
    fleet
        .upload(&format!("{BULK}/views/{id}/data/batch"), &config, file)
        .await
}

async fn look(fleet: &Fleet, job: &str) -> Value {
    let path = format!("{BULK}/importjobs/{job}");
    fleet.call("GET", &path, &Value::Null).await.json()["data"].clone()
}

fn job_of(answer: &Answer) -> String {
    answer.json()["data"]["jobId"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", answer.text()))
        .to_owned()
}

fn key_of(answer: &Answer) -> String {
    answer.json()["data"]["batchKey"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", answer.text()))
        .to_owned()
}

fn drivers(fleet: &Fleet) -> Vec<String> {
    let driver = |row: &Value| row["Driver"].as_str().unwrap_or("-").to_owned();
    fleet.rows().iter().map(driver).collect()
}

#[tokio::test]
async fn a_synchronous_import_answers_its_counts() {
    let fleet = Fleet::start().await;
    let id = fleet.trips();
    let file = "ROWID,Driver,Seen,Ghost\n1,Rui,2025-02-03 04:05:06,x\n2,\"E\"\"va\",,\n";
    let answer = sync(&fleet, &id, &config("append", &none()), file)
        .await
        .json();
    let summary = &answer["data"]["importSummary"];
    assert_eq!(
        (&summary["totalRowCount"], &summary["successRowCount"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(summary["selectedColumnCount"], 3);
    assert_eq!(answer["data"]["columnDetails"]["ROWID"], "Number");
    assert_eq!(drivers(&fleet), ["Rui", "E\"va"]);
    // Absent columns keep their values, empty cells clear theirs.
    let file = "ROWID,Driver\n2,\n3,Ana\n3,Zoe\n";
    sync(&fleet, &id, &config("updateadd", &none()), file).await;
    assert_eq!(drivers(&fleet), ["Rui", "-", "Zoe"]);
    assert_eq!(fleet.rows()[0]["Seen"], "2025-02-03 04:05:06");
    let details = format!("{VIEWS}/{id}/importdetails");
    let details = fleet.call("GET", &details, &Value::Null).await.json();
    assert_eq!(
        details["data"]["rows"],
        json!({"total": "3", "success": "3", "warning": "0", "failed": "0"})
    );
}

#[tokio::test]
async fn what_is_wrong_with_an_import_has_a_code() {
    let fleet = Fleet::start().await;
    let id = fleet.trips();
    let good = "ROWID\n1\n";
    for (import_type, change, file, expected) in [
        ("append", none(), "", 7203),
        ("append", none(), "Ghost\n1\n", 7235),
        ("append", none(), "ROWID\n1,2\n", 7208),
        ("append", none(), "ROWID,Seen\n1,soon\n", 7232),
        ("append", none(), "ROWID,Driver\n,Rui\n", 7511),
        ("delete", none(), good, 8119),
        (
            "updateadd",
            json!({"matchingColumns": ["Nope"]}),
            good,
            7107,
        ),
        ("updateadd", json!({"matchingColumns": null}), good, 8079),
        ("append", json!({"selectedColumns": ["Nope"]}), good, 8046),
        ("append", json!({"surprise": true}), good, 8080),
        ("append", json!({"dateFormat": "qq"}), good, 7512),
    ] {
        let answer = sync(&fleet, &id, &config(import_type, &change), file).await;
        assert_eq!(code(&answer), expected, "{change} {file}");
    }
    assert!(fleet.rows().is_empty());
    let big = format!("ROWID\n{}", "1\n".repeat(11_000_000));
    assert_eq!(
        code(&sync(&fleet, &id, &config("append", &none()), &big).await),
        8139
    );
}

#[tokio::test]
async fn a_job_is_polled_to_its_end() {
    let fleet = Fleet::with(|options| (options.job_polls, options.job_ms) = (3, 600_000)).await;
    let id = fleet.trips();
    let append = config("append", &none());
    let job = job_of(&submit(&fleet, &id, &append, "ROWID\n1\n").await);
    assert!(fleet.rows().is_empty());
    assert_eq!(look(&fleet, &job).await["jobCode"], "1001");
    // Meanwhile the table is locked.
    assert_eq!(
        code(&submit(&fleet, &id, &append, "ROWID\n1\n").await),
        10001
    );
    let column = json!({"columnName": "X", "dataType": "PLAIN"});
    let columns = format!("{VIEWS}/{id}/columns");
    assert_eq!(code(&fleet.call("POST", &columns, &column).await), 7092);
    assert_eq!(look(&fleet, &job).await["jobCode"], "1002");
    let done = look(&fleet, &job).await;
    assert_eq!(
        (&done["jobCode"], &done["jobStatus"]),
        (&json!("1004"), &json!("JOB COMPLETED"))
    );
    assert_eq!(done["jobInfo"]["importSummary"]["successRowCount"], 1);
    assert_eq!(fleet.rows().len(), 1);
    fleet.trial.sandbox.analytics().advance(3600);
    // The token has aged as well.
    let fleet = Fleet {
        token: fresh(&fleet).await,
        ..fleet
    };
    assert_eq!(look(&fleet, &job).await["jobCode"], "1005");
    assert_eq!(look(&fleet, "1").await["jobCode"], "1005");
}

async fn fresh(fleet: &Fleet) -> String {
    let form = "grant_type=refresh_token&client_id=sandbox-client&client_secret=sandbox-secret&refresh_token=sandbox-refresh";
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let answer = fleet
        .trial
        .send("POST", "/oauth/v2/token", &kind, form.as_bytes());
    let answer = answer.await.unwrap().json();
    answer["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_aborted_replacement_leaves_the_table_empty() {
    let fleet = Fleet::start().await;
    let id = fleet.trips();
    sync(&fleet, &id, &config("append", &none()), "ROWID\n1\n2\n").await;
    let file = "ROWID,Seen\n3,2025-02-03 00:00:00\n4,soon\n";
    let job = job_of(&submit(&fleet, &id, &config("truncateadd", &none()), file).await);
    let failed = look(&fleet, &job).await;
    assert_eq!(
        (&failed["jobCode"], &failed["jobInfo"]["errorCode"]),
        (&json!("1003"), &json!("7232"))
    );
    let message = failed["jobInfo"]["errorMessage"].as_str().unwrap();
    assert!(
        message.starts_with("<nobr>[Line: 3 Field: 2] (soon) -ERROR: "),
        "{message}"
    );
    assert!(fleet.rows().is_empty());
    let skip = config("append", &json!({"onError": "skiprow"}));
    let job = job_of(&submit(&fleet, &id, &skip, file).await);
    let done = look(&fleet, &job).await;
    let summary = &done["jobInfo"]["importSummary"];
    assert_eq!(
        (
            &summary["totalRowCount"],
            &summary["successRowCount"],
            &summary["warnings"]
        ),
        (&json!(2), &json!(1), &json!(1))
    );
}

#[tokio::test]
async fn a_batched_replacement_is_seen_with_its_last_batch() {
    let fleet = Fleet::start().await;
    let id = fleet.trips();
    sync(&fleet, &id, &config("append", &none()), "ROWID\n1\n2\n").await;
    let first = batch(&fleet, &id, "start", false, "ROWID\n3\n").await;
    let job = job_of(&first);
    assert_eq!(look(&fleet, &job).await["jobCode"], "1002");
    let other = fleet.trial.sandbox.analytics().create_table(&json!({"TABLENAME": "Other", "COLUMNS": [{"COLUMNNAME": "ROWID", "DATATYPE": "NUMBER"}]})).unwrap();
    let key = key_of(&first);
    assert_eq!(
        code(&batch(&fleet, &other, &key, false, "ROWID\n4\n").await),
        7340
    );
    assert_eq!(
        code(&batch(&fleet, &id, "nonsense", false, "ROWID\n4\n").await),
        7338
    );
    let second = batch(&fleet, &id, &key, false, "ROWID\n4\n").await;
    assert_eq!(
        code(&batch(&fleet, &id, &key, false, "ROWID\n4\n").await),
        7338
    );
    assert_eq!(fleet.rows().len(), 2);
    let key = key_of(&second);
    assert_eq!(
        job_of(&batch(&fleet, &id, &key, true, "ROWID\n5\n").await),
        job
    );
    assert_eq!(
        code(&batch(&fleet, &id, &key, true, "ROWID\n6\n").await),
        7337
    );
    assert_eq!(
        look(&fleet, &job).await["jobInfo"]["importSummary"]["totalRowCount"],
        3
    );
    let ids: Vec<Value> = fleet
        .rows()
        .iter()
        .map(|row| row["ROWID"].clone())
        .collect();
    assert_eq!(ids, ["3", "4", "5"]);
}

#[tokio::test]
async fn an_open_batch_job_holds_its_slot_until_it_lapses() {
    let fleet = Fleet::with(|options| (options.import_slots, options.batches) = (2, 2)).await;
    let id = fleet.trips();
    let path = format!("{BULK}/views/{id}/data/batch");
    let upsert = |key: &str| config("updateadd", &json!({"batchKey": key, "isLastBatch": false}));
    let first = fleet.upload(&path, &upsert("start"), "ROWID\n1\n").await;
    // Other types come into the table batch by batch.
    assert_eq!(fleet.rows().len(), 1);
    let analytics = fleet.trial.sandbox.analytics();
    analytics.set_foreign_slots(1);
    let second = fleet
        .upload(&path, &upsert(&key_of(&first)), "ROWID\n2\n")
        .await;
    assert_eq!(
        code(
            &fleet
                .upload(&path, &upsert(&key_of(&second)), "ROWID\n3\n")
                .await
        ),
        7336
    );
    let new = config("append", &json!({"tableName": "New", "importType": null}));
    assert_eq!(
        code(&fleet.upload(&format!("{BULK}/data"), &new, "A\n1\n").await),
        8134
    );
    assert_eq!(analytics.lapse_batches(), 1);
    assert_eq!(look(&fleet, &job_of(&first)).await["jobCode"], "1005");
    let made = fleet
        .upload(&format!("{BULK}/data"), &new, "A,B\n1,x\n")
        .await;
    let done = look(&fleet, &job_of(&made)).await;
    assert_eq!(
        done["jobInfo"]["importSummary"]["importOperation"],
        "created"
    );
    assert_eq!(analytics.dump("New"), [json!({"A": "1", "B": "x"})]);
}

#[tokio::test]
async fn faults_befall_imports() {
    let fleet = Fleet::start().await;
    let id = fleet.trips();
    let append = config("append", &none());
    let sandbox = &fleet.trial.sandbox;
    let file = "ROWID\n1\n2\n3\n4\n";
    sandbox
        .set_faults(&[
            "import-fail:code=7005,times=1",
            "import-partial:every-record=4,after=1,times=1",
            "import-lost:after=2,times=1",
            "import-hang:after=3,times=1,polls=5",
        ])
        .unwrap();
    let job = job_of(&submit(&fleet, &id, &append, file).await);
    assert_eq!(look(&fleet, &job).await["jobInfo"]["errorCode"], "7005");
    let job = job_of(&submit(&fleet, &id, &append, file).await);
    let summary = look(&fleet, &job).await["jobInfo"]["importSummary"].clone();
    assert_eq!(
        (&summary["totalRowCount"], &summary["successRowCount"]),
        (&json!(4), &json!(3))
    );
    let job = job_of(&submit(&fleet, &id, &append, file).await);
    assert_eq!(look(&fleet, &job).await["jobCode"], "1005");
    assert_eq!(fleet.rows().len(), 7);
    let job = job_of(&submit(&fleet, &id, &append, file).await);
    for _ in 0..4 {
        assert_ne!(look(&fleet, &job).await["jobCode"], "1004");
    }
    assert_eq!(look(&fleet, &job).await["jobCode"], "1004");
    sandbox
        .set_faults(&["analytics-error:code=7005,when=after"])
        .unwrap();
    assert_eq!(code(&submit(&fleet, &id, &append, file).await), 7005);
    assert_eq!(sandbox.analytics().jobs().len(), 5);
}

#[tokio::test]
async fn a_callback_tells_the_end_of_a_job() {
    let fleet = Fleet::with(|options| options.job_ms = 1).await;
    let id = fleet.trips();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/done", listener.local_addr().unwrap());
    let append = config("append", &json!({"callbackUrl": url}));
    let job = job_of(&submit(&fleet, &id, &append, "ROWID\n1\n").await);
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"}}") {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    let text = String::from_utf8(request).unwrap();
    assert!(
        text.starts_with("POST /done ") && text.contains(&job) && text.contains("\"1004\""),
        "{text}"
    );
}

#[tokio::test]
async fn units_are_charged_by_thousands_of_rows() {
    let fleet = Fleet::start().await;
    let id = fleet.trips();
    let analytics = fleet.trial.sandbox.analytics();
    analytics.set_units_limit(30);
    let upsert = config("updateadd", &none());
    for _ in 0..2 {
        assert_eq!(code(&sync(&fleet, &id, &upsert, "ROWID\n1\n").await), 0);
    }
    assert_eq!(analytics.usage().units, 30.0);
    let page = fleet.trial.send("GET", "/", &[], b"").await.unwrap();
    for shown in [
        "Zoho Analytics views",
        "30 of 30 units today",
        "analytics/Trips",
    ] {
        assert!(page.text().contains(shown), "{shown}");
    }
    assert_eq!(
        code(&submit(&fleet, &id, &upsert, "ROWID\n2\n").await),
        6043
    );
    assert_eq!(fleet.rows().len(), 1);
}

#[tokio::test]
async fn a_view_is_exported_with_a_byte_order_mark() {
    let fleet = Fleet::start().await;
    let id = fleet.trips();
    sync(
        &fleet,
        &id,
        &config("append", &none()),
        "ROWID,Driver\n1,\"a,b\"\n",
    )
    .await;
    let path = format!("{BULK}/views/{id}/data");
    let job = job_of(
        &fleet
            .call("GET", &path, &json!({"responseFormat": "csv"}))
            .await,
    );
    let path = format!("{BULK}/exportjobs/{job}");
    assert_eq!(
        fleet.call("GET", &path, &Value::Null).await.json()["data"]["jobCode"],
        "1004"
    );
    let csv = fleet
        .call("GET", &format!("{path}/data"), &Value::Null)
        .await;
    assert_eq!(
        csv.text(),
        "\u{feff}ROWID,Driver,Seen,Km\r\n1,\"a,b\",,\r\n"
    );
}

#[tokio::test]
async fn what_is_open_can_be_set() {
    use sandbox::analytics::{AbortedRows, ConfigPlace, EmptyCell, Twins};

    let fleet = Fleet::with(|options| {
        options.empty_cell = EmptyCell::Keep;
        options.twins = Twins::First;
        options.aborted_rows = AbortedRows::Keep;
    })
    .await;
    let id = fleet.trips();
    sync(
        &fleet,
        &id,
        &config("append", &none()),
        "ROWID,Driver\n1,Rui\n",
    )
    .await;
    let file = "ROWID,Driver\n1,\n2,Eva\n2,Zoe\n";
    sync(&fleet, &id, &config("updateadd", &none()), file).await;
    assert_eq!(drivers(&fleet), ["Rui", "Eva"]);
    sync(&fleet, &id, &config("append", &none()), "ROWID\n3\nx\n").await;
    assert_eq!(fleet.rows().len(), 3);
    let fleet = Fleet::with(|options| options.config_place = ConfigPlace::Query).await;
    let id = fleet.trips();
    let answer = sync(&fleet, &id, &config("append", &none()), "ROWID\n1\n").await;
    assert_eq!(code(&answer), 8504);
}

#[tokio::test]
async fn a_bad_row_in_a_batched_replacement_changes_nothing() {
    let fleet = Fleet::start().await;
    let id = fleet.trips();
    sync(&fleet, &id, &config("append", &none()), "ROWID\n1\n").await;
    let first = batch(&fleet, &id, "start", false, "ROWID\n2\n").await;
    let bad = batch(&fleet, &id, &key_of(&first), false, "ROWID\nsoon\n").await;
    let failed = look(&fleet, &job_of(&first)).await;
    assert_eq!(failed["jobCode"], "1003");
    let late = batch(&fleet, &id, &key_of(&bad), true, "ROWID\n3\n").await;
    assert_eq!(code(&late), 7338);
    assert_eq!(fleet.rows().len(), 1);
    // The slot and the table are free again.
    let next = batch(&fleet, &id, "start", true, "ROWID\n4\n5\n").await;
    assert_eq!(look(&fleet, &job_of(&next)).await["jobCode"], "1004");
    assert_eq!(fleet.rows().len(), 2);
    let again = batch(&fleet, &id, &key_of(&next), true, "ROWID\n6\n").await;
    assert_eq!(code(&again), 7337);
}

#[tokio::test]
async fn time_ends_jobs_and_batches() {
    let fleet = Fleet::with(|options| {
        options.job_polls = 1000;
        options.job_ms = 60_000;
        options.batch_seconds = 120;
    })
    .await;
    let id = fleet.trips();
    let analytics = fleet.trial.sandbox.analytics();
    let job = job_of(&submit(&fleet, &id, &config("append", &none()), "ROWID\n1\n").await);
    assert_ne!(look(&fleet, &job).await["jobCode"], "1004");
    analytics.advance(60);
    assert_eq!(look(&fleet, &job).await["jobCode"], "1004");
    let open = batch(&fleet, &id, "start", false, "ROWID\n2\n").await;
    analytics.advance(60);
    assert_eq!(analytics.usage().slots, 1);
    let open = batch(&fleet, &id, &key_of(&open), false, "ROWID\n3\n").await;
    analytics.advance(119);
    assert_eq!(analytics.usage().slots, 1);
    analytics.advance(1);
    assert_eq!(analytics.usage().slots, 0);
    let late = batch(&fleet, &id, &key_of(&open), true, "ROWID\n4\n").await;
    assert_eq!(code(&late), 7338);
    assert_eq!(fleet.rows().len(), 1);
}

#[tokio::test]
async fn files_come_as_json_and_data_as_text_too() {
    let fleet = Fleet::start().await;
    let id = fleet.trips();
    let json = json!({"importType": "append", "fileType": "json", "autoIdentify": true});
    let file = r#"[{"ROWID": 1, "Driver": "Rui"}, {"ROWID": 2, "Km": 1.5}]"#;
    assert_eq!(code(&sync(&fleet, &id, &json, file).await), 0);
    let config = "%7B%22importType%22%3A%22append%22%2C%22autoIdentify%22%3A%22true%22%7D";
    let form = format!("CONFIG={config}&DATA=ROWID%3BDriver%0A3%3BEva%0A");
    let kind = "application/x-www-form-urlencoded";
    let path = format!("{VIEWS}/{id}/data");
    let answer = fleet.send("POST", &path, kind, form.as_bytes()).await;
    assert_eq!(code(&answer), 0, "{}", answer.text());
    assert_eq!(drivers(&fleet), ["Rui", "-", "Eva"]);
    assert_eq!(fleet.rows()[1]["Km"], "1.5");
    // CONFIG beside a file may stand in the query, as the official clients send it.
    let body =
        "--B\r\ncontent-disposition: form-data; name=\"FILE\"\r\n\r\nROWID\n4\n\r\n--B--\r\n";
    let path = format!("{path}?CONFIG={config}");
    let kind = "multipart/form-data; boundary=\"B\"";
    let answer = fleet.send("POST", &path, kind, body.as_bytes()).await;
    assert_eq!(code(&answer), 0, "{}", answer.text());
}

#[tokio::test]
async fn rights_and_states_of_a_view_stop_imports() {
    let fleet = Fleet::start().await;
    let id = fleet.trips();
    let analytics = fleet.trial.sandbox.analytics();
    let file = "ROWID\n1\n";
    for import_type in ["append", "updateadd", "truncateadd"] {
        analytics.set_permission(import_type, false).unwrap();
        let answer = submit(&fleet, &id, &config(import_type, &none()), file).await;
        assert_eq!((answer.status, code(&answer)), (403, 7301));
        analytics.set_permission(import_type, true).unwrap();
    }
    let append = config("append", &none());
    analytics.set_refusal("Trips", Some(18072)).unwrap();
    assert_eq!(code(&submit(&fleet, &id, &append, file).await), 18072);
    analytics.set_refusal("Trips", None).unwrap();
    analytics.set_view_type("Trips", "QueryTable").unwrap();
    assert_eq!(code(&submit(&fleet, &id, &append, file).await), 7137);
    let metadata = format!("{VIEWS}/{id}/metadata");
    assert_eq!(
        code(&fleet.call("GET", &metadata, &Value::Null).await),
        7397
    );
    assert_eq!(code(&submit(&fleet, "1", &append, file).await), 7104);
    assert_eq!(analytics.jobs().len(), 0);
}

#[tokio::test]
async fn lookups_defaults_and_numbers_are_filled_and_checked() {
    let fleet = Fleet::start().await;
    let analytics = fleet.trial.sandbox.analytics();
    let trucks = json!({"TABLENAME": "Trucks", "COLUMNS": [
        {"COLUMNNAME": "ROWID", "DATATYPE": "NUMBER"}]});
    analytics.create_table(&trucks).unwrap();
    analytics
        .put_rows("Trucks", &[json!({"ROWID": "7"})])
        .unwrap();
    let trips = json!({"TABLENAME": "Trips", "COLUMNS": [
        {"COLUMNNAME": "ROWID", "DATATYPE": "NUMBER"},
        {"COLUMNNAME": "Nr", "DATATYPE": "AUTO_NUMBER"},
        {"COLUMNNAME": "Driver", "DATATYPE": "PLAIN", "DEFAULT": "n/a"},
        {"COLUMNNAME": "Truck", "DATATYPE": "NUMBER",
            "LOOKUPCOLUMN": {"TABLENAME": "Trucks", "COLUMNNAME": "ROWID"}}]});
    let id = analytics.create_table(&trips).unwrap();
    let orphan = sync(
        &fleet,
        &id,
        &config("append", &none()),
        "ROWID,Truck\n1,8\n",
    )
    .await;
    assert_eq!(code(&orphan), 7515);
    for import_type in ["append", "updateadd"] {
        let file = format!("ROWID,Truck,Nr\n{},7,99\n", import_type.len());
        let answer = sync(&fleet, &id, &config(import_type, &none()), &file).await;
        assert_eq!(code(&answer), 0, "{}", answer.text());
    }
    assert_eq!(
        fleet.rows(),
        [
            json!({"ROWID": "6", "Nr": "1", "Driver": "n/a", "Truck": "7"}),
            json!({"ROWID": "9", "Nr": "2", "Driver": "n/a", "Truck": "7"}),
        ]
    );
}
