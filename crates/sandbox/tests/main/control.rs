//! The control requests and the page.

use sandbox::Options;
use sandbox::pendo::Kind;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Answer, Trial};

async fn control(trial: &Trial, method: &str, path: &str, body: &str) -> Answer {
    trial
        .send(method, &format!("/_sandbox{path}"), &[], body.as_bytes())
        .await
        .unwrap()
}

#[tokio::test]
async fn ids_become_known_from_a_list_or_from_lines() {
    let trial = Trial::start().await;
    let answer = control(&trial, "POST", "/pendo/account/ids", r#"["a","b","a"]"#).await;
    assert_eq!(answer.json(), json!({"added": 2, "known": 2}));
    let answer = control(&trial, "POST", "/pendo/account/ids", "b\r\nc\n\nd").await;
    assert_eq!(answer.json(), json!({"added": 2, "known": 4}));
    let count = control(&trial, "GET", "/dump/pendo/account?format=count", "").await;
    assert_eq!(count.text(), "4");
    let ids = control(&trial, "GET", "/dump/pendo/account?format=ids", "").await;
    assert_eq!(ids.json(), json!(["a", "b", "c", "d"]));
    assert_eq!(
        control(&trial, "POST", "/pendo/person/ids", "[]")
            .await
            .status,
        404
    );
    assert_eq!(
        control(&trial, "POST", "/pendo/account/ids", "[1]")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_dump_holds_every_value_by_group() {
    let trial = Trial::start().await;
    control(&trial, "POST", "/pendo/account/ids", r#"["a","b"]"#).await;
    let body = r#"[{"accountId":"a","values":{"plan":"gold","mrr":12345678901234567890.12}}]"#;
    trial
        .pendo("POST", "/metadata/account/custom/value", body)
        .await;
    let dump = control(&trial, "GET", "/dump/pendo/account", "").await;
    assert_eq!(
        dump.text(),
        r#"{"a":{"custom":{"mrr":12345678901234567890.12,"plan":"gold"}},"b":{}}"#
    );
    assert_eq!(
        control(&trial, "GET", "/dump/pendo/account?format=xml", "")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn the_state_counts_services_and_not_itself() {
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["a"]);
    trial
        .bulk(r#"[{"visitorId":"a","values":{}},{"visitorId":"b","values":{}}]"#)
        .await;
    trial.pendo("GET", "/nothing", "").await;
    control(&trial, "GET", "/health", "").await;
    let state = control(&trial, "GET", "/state", "").await.json();
    assert_eq!(state["requests"], 2);
    assert_eq!(state["statuses"], json!({"200": 1, "501": 1}));
    assert_eq!(state["known"]["pendo/visitor"], 1);
    let table = &state["tables"]["pendo/visitor"];
    assert_eq!(
        (&table["records"], &table["updated"], &table["missing"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(
        state["last_requests"][1]["path"],
        "/pendo/api/v1/metadata/visitor/custom/value"
    );
    assert!(!state.to_string().contains("sandbox-key"));
}

#[tokio::test]
async fn a_reset_forgets_everything() {
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["a"]);
    trial
        .bulk(r#"[{"visitorId":"a","values":{"nps":1}}]"#)
        .await;
    trial
        .pendo(
            "POST",
            "/metadata/schema/visitor/custom",
            r#"[{"name":"x","type":"string"}]"#,
        )
        .await;
    assert_eq!(control(&trial, "POST", "/reset", "").await.status, 200);
    let status = trial.sandbox.status();
    assert_eq!(
        (status.activity.requests, status.known["pendo/visitor"]),
        (0, 0)
    );
    assert!(
        trial.sandbox.pendo().schema(Kind::Visitor)["custom"]
            .get("x")
            .is_none()
    );
}

#[tokio::test]
async fn a_schema_can_be_replaced() {
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["a"]);
    trial
        .bulk(r#"[{"visitorId":"a","values":{"nps":1}}]"#)
        .await;
    let headers = [("content-type", "application/json")];
    let schema = br#"{"custom":{"level":{"Type":"integer"}}}"#;
    let answer = trial
        .send("POST", "/_sandbox/pendo/visitor/schema", &headers, schema)
        .await
        .unwrap();
    assert_eq!(answer.json()["custom"]["level"]["Type"], "integer");
    assert_eq!(
        trial
            .bulk(r#"[{"visitorId":"a","values":{"nps":1}}]"#)
            .await
            .status,
        400
    );
    assert_eq!(
        trial
            .bulk(r#"[{"visitorId":"a","values":{"level":1}}]"#)
            .await
            .json()["updated"],
        1
    );
}

#[tokio::test]
async fn the_page_shows_what_arrived_and_escapes_it() {
    let trial = Trial::start().await;
    let empty = trial.send("GET", "/", &[], b"").await.unwrap();
    assert!(empty.text().contains("Nothing has arrived yet"));
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["<script>"]);
    trial
        .bulk(r#"[{"visitorId":"<script>","values":{"full_name":"<b>{{script}}"}}]"#)
        .await;
    trial.sandbox.set_faults(&["slow:ms=1"]).unwrap();
    let page = trial.send("GET", "/", &[], b"").await.unwrap();
    let text = page.text();
    assert!(text.contains("pendo/visitor") && text.contains("slow:ms=1"));
    assert!(text.contains("&lt;b&gt;{{script}}") && !text.contains("<b>{{"));
    let view = control(&trial, "GET", "/view", "").await;
    assert!(text.contains(view.text().split("</section>").next().unwrap()));
}

#[tokio::test]
async fn http_2_is_spoken_without_tls_to_those_who_begin_with_it() {
    let trial = Trial::start().await;
    let mut stream = tokio::net::TcpStream::connect(trial.sandbox.addr())
        .await
        .unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(&settings).await.unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "the server's first frame are its settings");
}

#[tokio::test]
async fn a_stopped_sandbox_no_longer_listens() {
    let sandbox = sandbox::start(Options::default()).await.unwrap();
    let address = sandbox.addr();
    sandbox.stop().await.unwrap();
    tokio::net::TcpStream::connect(address).await.unwrap_err();
}
