//! Every class of answer, from servers of a few lines.

use serde_json::json;
use singer_core::Kind as ErrorKind;

use super::*;
use crate::testing::{Reply, Server, connected, ok, status};

async fn read_schema(server: &Server) -> Result<Value> {
    let pendo = connected(server, json!({})).await;
    pendo.api().read_schema(Kind::Visitor).await
}

async fn set_values(server: &Server) -> (Result<Answered>, Tally) {
    let pendo = connected(server, json!({})).await;
    let tally = Tally::default();
    let place = Place {
        kind: Kind::Account,
        group: Group::Custom,
        create: true,
        id_key: "accountId",
    };
    let body = Bytes::from_static(b"[]");
    let answered = pendo
        .api()
        .set_values(place, body, &["seats"], &tally)
        .await;
    (answered, tally)
}

#[tokio::test]
async fn requests_carry_the_key_and_go_where_the_pages_say() {
    let server = Server::start(|_, _| ok(&json!({"updated": 0, "failed": 0}))).await;
    let pendo = connected(&server, json!({})).await;
    pendo.api().verify_key().await.unwrap();
    pendo.api().read_schema(Kind::ParentAccount).await.unwrap();
    let field = NewField {
        name: "seats".to_owned(),
        display_name: "Seats".to_owned(),
        kind: "number",
    };
    pendo
        .api()
        .create_fields(Kind::Visitor, Group::Custom, &[field])
        .await
        .unwrap();
    set_values(&server).await.0.unwrap();
    let seen = server.seen();
    let lines: Vec<&str> = seen.iter().map(|seen| seen.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "GET /api/v1/token/verify",
            "GET /api/v1/metadata/schema/parentAccount",
            "POST /api/v1/metadata/schema/visitor/custom",
            "POST /api/v1/metadata/account/custom/value?create=true",
        ]
    );
    assert_eq!(
        seen[2].body,
        r#"[{"name":"seats","displayname":"Seats","type":"number"}]"#
    );
    assert!(
        seen.iter()
            .all(|seen| seen.head.contains("x-pendo-integration-key: the-key"))
    );
}

#[tokio::test]
async fn a_key_that_is_refused_ends_it_at_once_with_hints() {
    for (code, body) in [(401, ""), (403, "no"), (200, "Authentication Failed")] {
        let server = Server::start(move |_, _| status(code, body)).await;
        let error = read_schema(&server).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth, "{code}");
        let hints = error.hints().join("\n");
        assert!(hints.contains("write access") && hints.contains("region"));
        assert!(!format!("{error:?}").contains("the-key"));
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_empty_key_is_a_fault_of_the_config_and_is_not_sent() {
    for key in ["", " \n"] {
        let config = crate::testing::config("http://127.0.0.1:1", json!({"integration_key": key}));
        let error = Api::new(&config, &Context::for_tests("target-pendo"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("integration_key"));
    }
}

#[tokio::test]
async fn a_check_finds_out_whether_the_key_may_write_without_writing() {
    use singer_runtime::target::Target;
    for (code, writes) in [(200, true), (400, true), (403, false)] {
        let server = Server::start(move |_, seen| match seen.line.starts_with("POST") {
            true => status(code, ""),
            false => ok(&json!({})),
        })
        .await;
        let pendo = connected(
            &server,
            json!({"streams": {"users": {}, "x": {"kind": "visitor"}}}),
        )
        .await;
        let checked = pendo.check().await;
        assert_eq!(checked.is_ok(), writes, "{checked:?}");
        let posts: Vec<String> = server
            .seen()
            .iter()
            .filter(|seen| seen.line.starts_with("POST"))
            .map(|seen| format!("{} {}", seen.line, seen.body))
            .collect();
        assert_eq!(posts, ["POST /api/v1/metadata/visitor/custom/value []"]);
    }
}

#[tokio::test]
async fn a_key_that_was_replaced_is_read_again() {
    let folder = crate::memory::tests::Folder::new();
    let path = folder.path("key");
    std::fs::write(&path, "old\n").unwrap();
    let rotated = path.clone();
    let server = Server::start(move |_, seen| {
        if seen.head.contains("key: new") {
            return ok(&json!({}));
        }
        std::fs::write(&rotated, "new\n").unwrap();
        status(403, "")
    })
    .await;
    let pendo = connected(
        &server,
        json!({"integration_key": {"file": path.to_str().unwrap()}}),
    )
    .await;
    pendo.api().read_schema(Kind::Visitor).await.unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn throttling_pauses_and_goes_on() {
    for (code, headers, body) in [
        (429, "", "Too Many Requests"),
        (429, "retry-after: 0\r\n", ""),
        (403, "", r#"{"reason":"rateLimitExceeded"}"#),
    ] {
        let server = Server::start(move |number, _| match number {
            0 => Reply::Answer(code, headers, body.to_owned()),
            _ => ok(&json!({})),
        })
        .await;
        read_schema(&server).await.unwrap();
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn one_throttled_request_pauses_all() {
    let server = Server::start(|number, _| match number {
        0 => Reply::Answer(429, "retry-after: 0.3\r\n", String::new()),
        _ => ok(&json!({})),
    })
    .await;
    let pendo = connected(&server, json!({})).await;
    let start = std::time::Instant::now();
    let api = pendo.api();
    let throttled = api.read_schema(Kind::Visitor);
    let other = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        api.read_schema(Kind::Account).await.unwrap();
        start.elapsed()
    };
    let (throttled, waited) = tokio::join!(throttled, other);
    throttled.unwrap();
    assert!(waited >= Duration::from_millis(290), "{waited:?}");
}

#[tokio::test]
async fn patience_ends_with_the_kind_that_says_run_again_later() {
    for (code, kind) in [(429, ErrorKind::RateLimited), (503, ErrorKind::Transient)] {
        let server = Server::start(move |_, _| status(code, "")).await;
        let error = read_schema(&server).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(server.seen().len(), 3);
    }
}

#[tokio::test]
async fn a_pause_beyond_the_patience_is_not_waited_for() {
    for (code, kind) in [(429, ErrorKind::RateLimited), (503, ErrorKind::Transient)] {
        let server =
            Server::start(move |_, _| Reply::Answer(code, "retry-after: 3600\r\n", String::new()))
                .await;
        let pendo = connected(&server, json!({"patience_seconds": 600})).await;
        let tried = pendo.api().read_schema(Kind::Visitor);
        let error = tokio::time::timeout(Duration::from_secs(20), tried)
            .await
            .expect("the hour is not waited for")
            .unwrap_err();
        assert_eq!(error.kind(), kind);
        // Nor does it hold up any other request.
        let other = pendo.api().read_schema(Kind::Account);
        let error = tokio::time::timeout(Duration::from_secs(20), other).await;
        assert_eq!(error.expect("the gate is open").unwrap_err().kind(), kind);
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_counted() {
    let server = Server::start(|number, _| match number {
        0 => status(500, "<html>"),
        1 => Reply::Drop,
        _ => ok(&json!({"total": 0, "updated": 0, "failed": 0})),
    })
    .await;
    let (answered, tally) = set_values(&server).await;
    assert!(matches!(answered, Ok(Answered::Report(_))));
    assert_eq!(tally.requests.into_inner(), 3);
    assert_eq!(tally.retried.into_inner(), 2);
    assert_eq!(tally.bytes.into_inner(), 6);
}

#[tokio::test]
async fn success_without_counts_confirms_nothing() {
    for body in ["", "OK", "{}", "[]", r#"{"total":3}"#] {
        let server = Server::start(move |_, _| status(200, body)).await;
        let error = set_values(&server).await.0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
        assert!(error.hints()[0].contains("--check"));
        assert_eq!(server.seen().len(), 3);
    }
}

#[tokio::test]
async fn wrong_paths_and_redirects_are_faults_of_the_config() {
    for code in [404, 301] {
        let server = Server::start(move |_, _| status(code, "")).await;
        let error = read_schema(&server).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.hints()[0].contains("base_url"));
    }
}

#[tokio::test]
async fn limits_and_faults_of_the_body_go_to_the_writer() {
    let answer = |code| async move {
        let server =
            Server::start(move |_, _| status(code, r#"{"message":"seats: cannot take 'gold'"}"#))
                .await;
        let answered = set_values(&server).await.0.unwrap();
        assert_eq!(server.seen().len(), 1);
        answered
    };
    assert!(matches!(answer(408).await, Answered::TooSlow));
    assert!(matches!(answer(413).await, Answered::TooBig));
    let Answered::Malformed { code, reason } = answer(400).await else {
        panic!("malformed");
    };
    assert_eq!(
        (code.as_str(), reason.as_str()),
        ("400", "seats: cannot take '***'")
    );
}
