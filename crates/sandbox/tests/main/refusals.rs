//! What the Pendo stand-in keeps out: values that nobody could read back, fields of Pendo itself,
//! bodies beyond its limits.

use sandbox::pendo::Kind;
use serde_json::json;

use crate::support::Trial;

#[tokio::test]
async fn a_value_that_no_reader_takes_is_refused_and_leaves_the_page_whole() {
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["v-1"]);
    for values in [r#"{"score":1e400}"#, r#"{"full_name":"\ud800"}"#] {
        let body = format!(r#"[{{"visitorId":"v-1","values":{values}}}]"#);
        assert_eq!(trial.bulk(&body).await.status, 400, "{values}");
    }
    let page = trial.send("GET", "/", &[], b"").await.unwrap();
    assert_eq!(page.status, 200);
    assert_eq!(trial.pendo("GET", "/visitor/v-1", "").await.status, 200);
}

#[tokio::test]
async fn fields_and_flags_of_pendo_itself_are_out_of_reach() {
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["v-1"]);
    let flag = "/metadata/visitor/pendo/value/v-1/donotprocess";
    for (value, status) in [("null", 400), ("\"true\"", 400), ("1", 400), ("true", 200)] {
        assert_eq!(
            trial.pendo("PUT", flag, value).await.status,
            status,
            "{value}"
        );
    }
    for field in ["auto/lastvisit", "pendo/donotprocess"] {
        let path = format!("/metadata/schema/visitor/{field}");
        assert_eq!(trial.pendo("DELETE", &path, "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_value_of_an_unknown_id_creates_no_field() {
    let trial = Trial::start().await;
    let path = "/metadata/visitor/agent/value/v-404/team";
    assert_eq!(trial.pendo("PUT", path, "\"a\"").await.status, 404);
    assert_eq!(
        trial.sandbox.pendo().schema(Kind::Visitor)["agent"],
        json!({})
    );
}

#[tokio::test]
async fn a_body_with_very_many_new_fields_is_refused_soon() {
    let trial = Trial::start().await;
    let values: Vec<String> = (0..100_000)
        .map(|number| format!("\"f{number}\":1"))
        .collect();
    let body = format!(r#"[{{"visitorId":"v","values":{{{}}}}}]"#, values.join(","));
    let answer = trial
        .pendo("POST", "/metadata/visitor/agent/value", &body)
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        trial.sandbox.pendo().schema(Kind::Visitor)["agent"],
        json!({})
    );
}

#[tokio::test]
async fn every_endpoint_takes_bodies_up_to_the_limit() {
    let trial = Trial::with(|pendo| pendo.max_body_bytes = 4 << 20).await;
    for (path, list) in [
        ("/bulkdelete/visitor", "visitors"),
        ("/bulkdelete/account", "accounts"),
    ] {
        let body = |bytes: usize| format!(r#"{{"{list}":["{}"]}}"#, "x".repeat(bytes));
        assert_eq!(trial.pendo("POST", path, &body(3 << 20)).await.status, 200);
        assert_eq!(trial.pendo("POST", path, &body(5 << 20)).await.status, 413);
    }
}
