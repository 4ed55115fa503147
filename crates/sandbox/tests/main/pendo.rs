//! The documented behaviour of the Pendo stand-in, over the wire. Test names state the facts.

use sandbox::pendo::{Create, Denial, Duplicates, EmptyList, ErrorShape, Kind, Mode, WrongValue};
use serde_json::json;

use crate::support::Trial;

#[tokio::test]
async fn a_bulk_call_merges_values_and_lists_missing_ids_under_200() {
    let trial = Trial::start().await;
    trial
        .sandbox
        .pendo()
        .add_ids(Kind::Visitor, ["v-1", "ana@example.org"]);
    let answer = trial
        .bulk(
            r#"[{"visitorId":"v-1","values":{"full_name":"Ana Ünal","nps":9,"is_admin":true}},
                {"visitorId":"v-404","values":{"nps":1}},
                {"visitorId":"ana@example.org","values":{"last_login":"2024-02-29T12:30:00Z"}}]"#,
        )
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"total": 3, "updated": 2, "failed": 1, "missing": ["v-404"], "errors": null, "kind": "visitor"})
    );
    trial
        .bulk(r#"[{"visitorId":"v-1","values":{"NPS":10}}]"#)
        .await;
    let dump = trial.sandbox.pendo().dump(Kind::Visitor);
    assert_eq!(
        json!(dump["v-1"]),
        json!({"custom": {"full_name": "Ana Ünal", "is_admin": true, "nps": 10}})
    );
    assert_eq!(
        dump["ana@example.org"]["custom"]["last_login"],
        1_709_209_800_000_i64
    );
    assert!(!dump.contains_key("v-404"));
}

#[tokio::test]
async fn a_batch_of_unknown_ids_only_is_200() {
    let trial = Trial::start().await;
    let answer = trial
        .bulk(r#"[{"visitorId":"x","values":{"nps":1}}]"#)
        .await;
    assert_eq!(
        (answer.status, answer.json()["failed"].clone()),
        (200, json!(1))
    );
}

#[tokio::test]
async fn visitor_ids_differ_by_case() {
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["Ana"]);
    assert_eq!(
        trial
            .bulk(r#"[{"visitorId":"ana","values":{"nps":1}}]"#)
            .await
            .json()["missing"],
        json!(["ana"])
    );
}

#[tokio::test]
async fn empty_lists_are_written_as_set() {
    for (empty_list, expected) in [
        (
            EmptyList::Null,
            json!({"total": 0, "updated": 0, "failed": 0, "missing": null, "errors": null, "kind": "visitor"}),
        ),
        (
            EmptyList::Absent,
            json!({"total": 0, "updated": 0, "failed": 0, "kind": "visitor"}),
        ),
        (
            EmptyList::List,
            json!({"total": 0, "updated": 0, "failed": 0, "missing": [], "errors": [], "kind": "visitor"}),
        ),
    ] {
        let trial = Trial::with(|pendo| pendo.empty_list = empty_list).await;
        assert_eq!(trial.bulk("[]").await.json(), expected);
    }
}

#[tokio::test]
async fn create_makes_unknown_ids_known_as_far_as_set() {
    let body = r#"[{"visitorId":"new","values":{"nps":1}}]"#;
    for (create, group, updated) in [
        (Create::Allow, "custom", 1),
        (Create::Allow, "agent", 1),
        (Create::AgentOnly, "custom", 0),
        (Create::AgentOnly, "agent", 1),
        (Create::Ignore, "agent", 0),
    ] {
        let trial = Trial::with(|pendo| pendo.create = create).await;
        let path = format!("/metadata/visitor/{group}/value?create=true");
        assert_eq!(
            trial.pendo("POST", &path, body).await.json()["updated"],
            updated,
            "{create:?} {group}"
        );
    }
    let trial = Trial::with(|pendo| pendo.create_unknown = true).await;
    assert_eq!(trial.bulk(body).await.json()["updated"], 1);
    let trial = Trial::start().await;
    let answer = trial
        .pendo("POST", "/metadata/visitor/custom/value?create=false", body)
        .await;
    assert_eq!(answer.json()["updated"], 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_record_fails_its_batch_and_applies_nothing() {
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["a", "b"]);
    for wrong in [
        r#"{"visitorId":"b","values":{"nps":"nine"}}"#,
        r#"{"visitorId":"b","values":{"unmapped":1}}"#,
        r#"{"visitorId":"b","values":{"legacy_tier":"deleted field"}}"#,
        r#"{"visitorId":"b","values":{"full_name":{"first":"A"}}}"#,
        r#"{"visitorId":"b","values":{"full_name":["A"]}}"#,
        r#"{"visitorId":"b","values":{"signup_date":"soon"}}"#,
        r#"{"visitorId":"b"}"#,
        r#"{"visitorId":"b","values":{"nps":9}"#,
    ] {
        let body = format!(r#"[{{"visitorId":"a","values":{{"nps":9}}}},{wrong}]"#);
        assert_eq!(trial.bulk(&body).await.status, 400, "{wrong}");
    }
    assert_eq!(trial.bulk("{}").await.status, 400);
    assert!(trial.sandbox.pendo().dump(Kind::Visitor)["a"].is_empty());
}

#[tokio::test]
async fn wrong_values_may_stand_in_errors_instead_in_any_shape() {
    for (shape, expected) in [
        (ErrorShape::Id, json!("b")),
        (ErrorShape::KindId, json!("b")),
        (ErrorShape::Text, json!("b")),
        (ErrorShape::Anonymous, json!(null)),
    ] {
        let trial = Trial::with(|pendo| {
            pendo.wrong_value = WrongValue::Record;
            pendo.error_shape = shape;
        })
        .await;
        trial.sandbox.pendo().add_ids(Kind::Visitor, ["a", "b"]);
        let body =
            r#"[{"visitorId":"a","values":{"nps":9}},{"visitorId":"b","values":{"nps":"x"}}]"#;
        let answer = trial.bulk(body).await.json();
        assert_eq!(
            (&answer["updated"], &answer["failed"]),
            (&json!(1), &json!(1))
        );
        let error = &answer["errors"][0];
        let id = match shape {
            ErrorShape::Text => error,
            ErrorShape::KindId => &error["visitorId"],
            ErrorShape::Id | ErrorShape::Anonymous => &error["id"],
        };
        assert_eq!(*id, expected, "{shape:?}");
        assert_eq!(
            trial.sandbox.pendo().dump(Kind::Visitor)["a"]["custom"]["nps"],
            9
        );
    }
}

#[tokio::test]
async fn agent_fields_come_into_being_and_custom_fields_do_not() {
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Account, ["a"]);
    let body = r#"[{"accountId":"a","values":{"Team_Size":3,"tags":["x","y"]}}]"#;
    assert_eq!(
        trial
            .pendo("POST", "/metadata/account/custom/value", body)
            .await
            .status,
        400
    );
    assert_eq!(
        trial
            .pendo("POST", "/metadata/account/agent/value", body)
            .await
            .json()["updated"],
        1
    );
    let schema = trial
        .pendo("GET", "/metadata/schema/account", "")
        .await
        .json();
    assert_eq!(schema["agent"]["team_size"]["Type"], "float");
    assert_eq!(schema["agent"]["tags"]["Type"], "list");
    assert_eq!(
        trial.sandbox.pendo().dump(Kind::Account)["a"]["agent"]["team_size"],
        3
    );
}

#[tokio::test]
async fn wrong_kinds_and_groups_and_the_list_paths_are_404() {
    let trial = Trial::start().await;
    for (method, path) in [
        ("POST", "/metadata/person/custom/value"),
        ("POST", "/metadata/visitor/auto/value"),
        ("POST", "/metadata/visitor/pendo/value"),
        ("GET", "/metadata/schema/person"),
        ("GET", "/visitor"),
        ("GET", "/account"),
        ("GET", "/visitor/unknown"),
        ("GET", "/metadata/visitor/custom/value/unknown/nps"),
        ("PUT", "/metadata/visitor/custom/value/unknown/nps"),
        ("PUT", "/metadata/visitor/auto/value/v/id"),
    ] {
        assert_eq!(
            trial.pendo(method, path, "1").await.status,
            404,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn what_is_not_simulated_is_501_and_says_so() {
    let trial = Trial::start().await;
    for (method, path) in [
        ("GET", "/pendo/api/v1/metadata/dependencies"),
        ("GET", "/pendo/api/v1/visitor/v/history"),
        ("DELETE", "/pendo/api/v1/token/verify"),
        ("GET", "/pendo/other"),
        ("GET", "/creator/v2.1/data"),
    ] {
        let headers = [("x-pendo-integration-key", "sandbox-key")];
        let answer = trial.send(method, path, &headers, b"").await.unwrap();
        assert_eq!(answer.status, 501, "{path}");
        assert!(
            answer.json()["message"].as_str().unwrap().contains(path),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn keys_are_checked_and_read_only_keys_may_not_write() {
    let trial = Trial::start().await;
    let verify = "/pendo/api/v1/token/verify";
    let status = |method: &'static str, path: &'static str, key: &'static str| {
        let trial = &trial;
        async move {
            let headers = [("X-Pendo-Integration-Key", key)];
            let headers = if key.is_empty() {
                &headers[..0]
            } else {
                &headers[..]
            };
            trial
                .send(method, path, headers, b"[]")
                .await
                .unwrap()
                .status
        }
    };
    let bulk = "/pendo/api/v1/metadata/visitor/custom/value";
    assert_eq!(status("GET", verify, "").await, 401);
    assert_eq!(status("GET", verify, "wrong").await, 403);
    assert_eq!(status("GET", verify, "sandbox-key").await, 200);
    assert_eq!(status("GET", verify, "sandbox-read-only-key").await, 200);
    assert_eq!(status("POST", bulk, "sandbox-key").await, 200);
    assert_eq!(status("POST", bulk, "sandbox-read-only-key").await, 403);
    assert_eq!(
        status("POST", "/pendo/api/v1/aggregation", "sandbox-read-only-key").await,
        400
    );
}

#[tokio::test]
async fn a_denial_has_the_body_that_is_set() {
    for (denial, body) in [
        (Denial::Text, "Authentication Failed"),
        (Denial::Empty, ""),
        (
            Denial::Json,
            r#"{"code":401,"message":"Authentication Failed"}"#,
        ),
    ] {
        let trial = Trial::with(|pendo| pendo.denial = denial).await;
        let answer = trial
            .send("GET", "/pendo/api/v1/token/verify", &[], b"")
            .await
            .unwrap();
        assert_eq!(answer.text(), body);
    }
}

#[tokio::test]
async fn single_values_are_bare_json_and_ids_are_percent_encoded() {
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["a/b ü@x::y"]);
    let path = "/metadata/visitor/custom/value/a%2Fb%20%C3%BC%40x%3A%3Ay/role";
    assert_eq!(trial.pendo("GET", path, "").await.text(), "null");
    assert_eq!(trial.pendo("PUT", path, r#""admin""#).await.status, 200);
    assert_eq!(trial.pendo("GET", path, "").await.text(), r#""admin""#);
    assert_eq!(trial.pendo("PUT", path, "5").await.status, 400);
    assert_eq!(trial.pendo("PUT", path, "admin").await.status, 400);
    assert_eq!(
        trial
            .pendo("PUT", &path.replace("role", "unmapped"), "5")
            .await
            .status,
        400
    );
    assert_eq!(trial.pendo("PUT", path, "null").await.status, 200);
    assert_eq!(trial.pendo("GET", path, "").await.text(), "null");
}

#[tokio::test]
async fn flags_of_group_pendo_are_booleans() {
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["v"]);
    let flag = "/metadata/visitor/pendo/value/v/donotprocess";
    assert_eq!(trial.pendo("PUT", flag, "true").await.status, 200);
    assert_eq!(trial.pendo("PUT", flag, "1").await.status, 400);
    assert_eq!(
        trial
            .pendo("PUT", "/metadata/visitor/pendo/value/v/other", "true")
            .await
            .status,
        404
    );
    assert_eq!(
        trial.sandbox.pendo().dump(Kind::Visitor)["v"]["pendo"]["donotprocess"],
        true
    );
}

#[tokio::test]
async fn fields_are_created_deleted_and_brought_back() {
    let trial = Trial::start().await;
    let create = |body: &'static str| trial.pendo("POST", "/metadata/schema/visitor/custom", body);
    let answer = create(r#"[{"name":"Team","displayname":"The team","type":"string"}]"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["custom"]["team"]["DisplayName"], "The team");
    for wrong in [
        r#"[{"name":"a-b","type":"string"}]"#,
        r#"[{"name":"ok","type":"list"}]"#,
        r#"[{"name":"ok"}]"#,
        r#"{"name":"ok","type":"string"}"#,
    ] {
        assert_eq!(create(wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(
        trial
            .pendo("DELETE", "/metadata/schema/visitor/custom/team", "")
            .await
            .status,
        200
    );
    let schema = trial
        .pendo("GET", "/metadata/schema/visitor", "")
        .await
        .json();
    assert_eq!(schema["custom"]["team"]["isDeleted"], true);
    let answer = create(r#"[{"name":"team","displayname":"","type":"string"}]"#).await;
    assert_eq!(answer.json()["custom"]["team"]["isDeleted"], false);
}

#[tokio::test]
async fn one_visitor_or_account_is_read_by_id() {
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["v"]);
    trial.sandbox.pendo().add_ids(Kind::Account, ["a"]);
    trial
        .bulk(r#"[{"visitorId":"v","values":{"nps":9}}]"#)
        .await;
    let visitor = trial.pendo("GET", "/visitor/v", "").await.json();
    assert_eq!(visitor["id"], "v");
    assert_eq!(visitor["metadata"]["custom"]["nps"], 9);
    assert!(visitor["lastStartTime"].is_i64() && visitor["accountIds"].is_array());
    assert_eq!(trial.pendo("GET", "/account/a", "").await.json()["id"], "a");
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let trial = Trial::with(|pendo| pendo.max_body_bytes = 1_000).await;
    let record = r#"{"visitorId":"v","values":{}}"#;
    let body = |records: usize| format!("[{}]", vec![record; records].join(","));
    assert_eq!(trial.bulk(&body(30)).await.status, 200);
    assert_eq!(trial.bulk(&body(3_000)).await.status, 413);
}

#[tokio::test]
async fn a_call_over_five_simulated_minutes_is_408_and_has_applied_its_beginning() {
    let trial = Trial::with(|pendo| {
        pendo.records_per_second = Some(1);
        pendo.call_seconds = 3;
        pendo.create_unknown = true;
    })
    .await;
    let body = |ids: std::ops::Range<usize>| {
        let records: Vec<_> = ids
            .map(|id| json!({"visitorId": id.to_string(), "values": {"nps": 1}}))
            .collect();
        json!(records).to_string()
    };
    assert_eq!(trial.bulk(&body(0..3)).await.status, 200);
    assert_eq!(trial.bulk(&body(10..15)).await.status, 408);
    let known: Vec<_> = trial
        .sandbox
        .pendo()
        .dump(Kind::Visitor)
        .into_keys()
        .collect();
    assert_eq!(known, ["0", "1", "10", "11", "12", "2"]);
}

#[tokio::test]
async fn one_id_twice_is_applied_in_order_and_counted_or_refused() {
    let body = r#"[{"visitorId":"v","values":{"nps":1}},{"visitorId":"v","values":{"nps":2}}]"#;
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["v"]);
    assert_eq!(trial.bulk(body).await.json()["updated"], 2);
    assert_eq!(
        trial.sandbox.pendo().dump(Kind::Visitor)["v"]["custom"]["nps"],
        2
    );
    trial.bulk(body).await;
    assert_eq!(
        trial.sandbox.status().activity.tables["pendo/visitor"].duplicates,
        2
    );
    let trial = Trial::with(|pendo| pendo.duplicates = Duplicates::Refuse).await;
    assert_eq!(trial.bulk(body).await.status, 400);
}

#[tokio::test]
async fn one_id_in_two_calls_at_once_is_noticed() {
    let trial = Trial::with(|pendo| pendo.watch_overlaps = true).await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["v", "w"]);
    trial.sandbox.set_faults(&["slow:ms=300,times=1"]).unwrap();
    let body = r#"[{"visitorId":"v","values":{"nps":1}},{"visitorId":"w","values":{}}]"#;
    let (_, overlapping) = tokio::join!(trial.bulk(body), async {
        // Values are applied before the slow answer goes out: the first call is in flight then.
        while trial.sandbox.pendo().dump(Kind::Visitor)["v"].is_empty() {
            tokio::task::yield_now().await;
        }
        trial.bulk(body).await
    });
    assert_eq!(overlapping.status, 200);
    let overlaps = || trial.sandbox.status().activity.tables["pendo/visitor"].overlaps;
    assert_eq!(overlaps(), 2);
    trial.bulk(body).await;
    assert_eq!(overlaps(), 2);
}

#[tokio::test]
async fn the_id_key_of_parent_accounts_is_a_setting() {
    let trial = Trial::with(|pendo| pendo.parent_id_key = "id".to_owned()).await;
    let path = "/metadata/parentAccount/custom/value?create=true";
    let answer = trial
        .pendo("POST", path, r#"[{"id":"p","values":{"name":"P"}}]"#)
        .await;
    assert_eq!(answer.json()["updated"], 1);
    let answer = trial
        .pendo("POST", path, r#"[{"parentAccountId":"p","values":{}}]"#)
        .await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn discard_and_drain_count_and_keep_nothing() {
    for mode in [Mode::Discard, Mode::Drain] {
        let trial = Trial::with(|pendo| pendo.mode = mode).await;
        let record = r#"{"visitorId":"v","values":{"whatever":{"nested":[1,2]}}}"#;
        let body = format!("[{}]", vec![record; 5_000].join(","));
        let answer = trial.bulk(&body).await.json();
        assert_eq!(
            (&answer["total"], &answer["updated"]),
            (&json!(5_000), &json!(5_000)),
            "{mode:?}"
        );
        assert_eq!(
            trial.sandbox.status().activity.tables["pendo/visitor"].records,
            5_000
        );
        assert_eq!(trial.sandbox.pendo().id_count(Kind::Visitor), 0);
    }
    let trial = Trial::with(|pendo| pendo.mode = Mode::Discard).await;
    assert_eq!(trial.bulk("[{").await.status, 400);
}

#[tokio::test]
async fn a_deletion_is_done_after_some_status_requests() {
    let trial = Trial::start().await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["a", "b"]);
    let submitted = trial
        .pendo("POST", "/bulkdelete/visitor", r#"{"visitors":["a","x"]}"#)
        .await
        .json();
    assert_eq!(submitted["status"], "running");
    let path = format!("/bulkdelete/{}", submitted["id"].as_str().unwrap());
    assert_eq!(
        trial.pendo("GET", &path, "").await.json()["status"],
        "running"
    );
    assert_eq!(trial.sandbox.pendo().id_count(Kind::Visitor), 2);
    let done = trial.pendo("GET", &path, "").await.json();
    assert_eq!(
        (&done["status"], &done["removed"]),
        (&json!("done"), &json!(1))
    );
    assert_eq!(trial.sandbox.pendo().id_count(Kind::Visitor), 1);
    assert_eq!(
        trial
            .pendo("GET", "/bulkdelete", "")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(trial.pendo("GET", "/bulkdelete/9", "").await.status, 404);
    assert_eq!(
        trial
            .pendo("POST", "/bulkdelete/visitor", "[]")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn schema_and_ids_come_from_files() {
    let folder = std::env::temp_dir().join(format!("sandbox-files-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (schema, ids) = (folder.join("schema.json"), folder.join("ids.json"));
    std::fs::write(
        &schema,
        r#"{"visitor": {"custom": {"Level": {"type": "integer"}}}}"#,
    )
    .unwrap();
    std::fs::write(&ids, r#"{"visitor": ["v"], "account": ["a", "b"]}"#).unwrap();
    let trial = Trial::with(|pendo| {
        pendo.schema = Some(schema.clone());
        pendo.ids = Some(ids.clone());
    })
    .await;
    assert_eq!(
        trial
            .bulk(r#"[{"visitorId":"v","values":{"level":3}}]"#)
            .await
            .json()["updated"],
        1
    );
    assert_eq!(
        trial
            .bulk(r#"[{"visitorId":"v","values":{"nps":3}}]"#)
            .await
            .status,
        400
    );
    assert_eq!(trial.sandbox.pendo().id_count(Kind::Account), 2);
    std::fs::remove_dir_all(&folder).unwrap();
    let mut options = sandbox::Options::default();
    options.pendo.schema = Some(schema);
    let error = sandbox::start(options).await.err().unwrap();
    assert!(format!("{error:#}").contains("schema.json"), "{error:#}");
}
