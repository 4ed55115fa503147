//! Every fault as a client sees it, by flag, by control request and by header.

use std::time::{Duration, Instant};

use sandbox::Options;
use sandbox::pendo::Kind;
use serde_json::json;

use crate::support::{Answer, Trial};

const BULK: &str = "/metadata/visitor/custom/value";
const BODY: &str = r#"[{"visitorId":"a","values":{"nps":1}},{"visitorId":"b","values":{"nps":2}}]"#;

async fn trial() -> Trial {
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["a", "b"]);
    trial
}

async fn strike(trial: &Trial, faults: &str) -> std::io::Result<Answer> {
    trial.pendo_with("POST", BULK, BODY, faults).await
}

fn is_applied(trial: &Trial) -> bool {
    !trial.sandbox.pendo().dump(Kind::Visitor)["a"].is_empty()
}

#[tokio::test]
async fn throttling_names_its_reason_and_may_say_how_long() {
    let trial = trial().await;
    let answer = strike(&trial, "throttle").await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (429, None));
    let answer = strike(&trial, "throttle:retry-after=2").await.unwrap();
    assert_eq!(answer.header("retry-after"), Some("2"));
    let answer = strike(&trial, "throttle:status=403").await.unwrap();
    assert_eq!(
        (answer.status, answer.json()["reason"].clone()),
        (403, json!("rateLimitExceeded"))
    );
    assert!(!is_applied(&trial));
}

#[tokio::test]
async fn errors_have_bodies_of_several_forms_and_apply_nothing() {
    let trial = trial().await;
    let mut bodies = Vec::new();
    for status in [500, 502, 503, 504, 413, 408] {
        let answer = strike(&trial, &format!("error:status={status}"))
            .await
            .unwrap();
        assert_eq!(answer.status, status);
        bodies.push(answer.text().to_owned());
    }
    assert!(bodies[0].starts_with('{') && bodies[1].starts_with("<html>"));
    assert!(!is_applied(&trial));
}

#[tokio::test]
async fn a_key_expires_after_a_number_of_requests() {
    let trial = trial().await;
    trial
        .sandbox
        .set_faults(&["expire:after=2", "expire:after=4,status=403"])
        .unwrap();
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(strike(&trial, "").await.unwrap().status);
    }
    assert_eq!(statuses, [200, 200, 401, 401, 401]);
}

#[tokio::test]
async fn a_burst_of_errors_passes() {
    let trial = trial().await;
    trial
        .sandbox
        .set_faults(&["error:status=503,after=1,times=2"])
        .unwrap();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(strike(&trial, "").await.unwrap().status);
    }
    assert_eq!(statuses, [200, 503, 503, 200]);
}

#[tokio::test]
async fn a_reset_leaves_no_answer_and_may_come_after_the_write() {
    let trial = trial().await;
    strike(&trial, "reset").await.unwrap_err();
    assert!(!is_applied(&trial));
    strike(&trial, "reset:when=after").await.unwrap_err();
    assert!(is_applied(&trial));
    let status = trial.sandbox.status();
    assert_eq!(status.activity.statuses[&0], 2);
    assert_eq!(status.activity.last_requests[0].faults, ["reset"]);
}

#[tokio::test]
async fn a_slow_answer_waits() {
    let trial = trial().await;
    let began = Instant::now();
    assert_eq!(strike(&trial, "slow:ms=80").await.unwrap().status, 200);
    assert!(began.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn a_call_whose_client_goes_away_is_applied_and_counted() {
    let trial = trial().await;
    trial.sandbox.set_faults(&["slow:ms=300"]).unwrap();
    let call = strike(&trial, "");
    let applied = async {
        while !is_applied(&trial) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = call => panic!("the answer is slow"),
        () = applied => {}
    }
    while trial.sandbox.status().activity.requests == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        trial.sandbox.status().activity.tables["pendo/visitor"].updated,
        2
    );
}

#[tokio::test]
async fn latency_holds_every_answer_back() {
    let options = Options {
        latency_ms: 60,
        ..Options::default()
    };
    let trial = Trial {
        sandbox: sandbox::start(options).await.unwrap(),
    };
    let began = Instant::now();
    assert_eq!(trial.pendo("GET", "/token/verify", "").await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn partial_success_fails_every_nth_record_under_200() {
    let trial = trial().await;
    let answer = strike(&trial, "partial:every-record=2")
        .await
        .unwrap()
        .json();
    assert_eq!(
        (&answer["updated"], &answer["failed"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(answer["errors"][0]["id"], "b");
    let dump = trial.sandbox.pendo().dump(Kind::Visitor);
    assert!(!dump["a"].is_empty() && dump["b"].is_empty());
}

#[tokio::test]
async fn a_cut_answer_declares_more_than_it_sends_and_is_applied() {
    let trial = trial().await;
    let whole = strike(&trial, "").await.unwrap();
    let cut = strike(&trial, "cut").await.unwrap();
    let declared: usize = cut.header("content-length").unwrap().parse().unwrap();
    assert_eq!(declared, whole.body.len());
    assert_eq!(cut.body, &whole.body[..declared / 2]);
}

#[tokio::test]
async fn an_empty_answer_has_its_status_and_is_applied() {
    let trial = trial().await;
    let answer = strike(&trial, "empty").await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, ""));
    assert!(is_applied(&trial));
    assert_eq!(
        trial.sandbox.status().activity.tables["pendo/visitor"].updated,
        2
    );
}

#[tokio::test]
async fn limits_of_bytes_and_records_can_be_set_for_a_while() {
    let trial = trial().await;
    assert_eq!(
        strike(&trial, "too-large:bytes=20").await.unwrap().status,
        413
    );
    assert_eq!(
        strike(&trial, "timeout:records=1,applied=0")
            .await
            .unwrap()
            .status,
        408
    );
    assert!(!is_applied(&trial));
    assert_eq!(
        strike(&trial, "timeout:records=1").await.unwrap().status,
        408
    );
    assert!(is_applied(&trial));
    assert!(trial.sandbox.pendo().dump(Kind::Visitor)["b"].is_empty());
    assert_eq!(
        strike(&trial, "timeout:records=2; too-large:bytes=200")
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test]
async fn a_fault_that_is_not_understood_is_501_for_the_request_and_400_for_control() {
    let trial = trial().await;
    let answer = strike(&trial, "explode").await.unwrap();
    assert_eq!(answer.status, 501);
    assert!(answer.text().contains("explode"));
    let answer = trial
        .send(
            "POST",
            "/_sandbox/faults",
            &[],
            br#"{"set":["cut","explode"]}"#,
        )
        .await
        .unwrap();
    assert_eq!(answer.status, 400);
    assert!(trial.sandbox.status().active_faults.is_empty());
    let answer = trial
        .send("POST", "/_sandbox/faults", &[], br#"{"sett":["cut"]}"#)
        .await
        .unwrap();
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn flags_and_control_requests_set_faults() {
    let options = Options {
        faults: vec!["error:times=1".parse().unwrap()],
        ..Options::default()
    };
    let trial = Trial {
        sandbox: sandbox::start(options).await.unwrap(),
    };
    let control = async |body: &str| {
        let answer = trial
            .send("POST", "/_sandbox/faults", &[], body.as_bytes())
            .await
            .unwrap();
        answer
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|fault| fault["spec"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(trial.pendo("GET", "/token/verify", "").await.status, 500);
    assert_eq!(trial.pendo("GET", "/token/verify", "").await.status, 200);
    assert_eq!(
        control(r#"{"add":["cut:path=/x"]}"#).await,
        ["error:times=1", "cut:path=/x"]
    );
    assert_eq!(control(r#"{"set":["empty"]}"#).await, ["empty"]);
    assert_eq!(
        control(r#"{"clear":true,"add":["expire"]}"#).await,
        ["expire"]
    );
    assert_eq!(
        control(r#"{"clear":true}"#).await,
        Vec::<serde_json::Value>::new()
    );
    // A reset returns to the faults of the flags, with fresh counters.
    trial
        .send("POST", "/_sandbox/reset", &[], b"")
        .await
        .unwrap();
    assert_eq!(trial.pendo("GET", "/token/verify", "").await.status, 500);
}
