//! Listing ids through the aggregation call, over the wire.

use sandbox::pendo::{EmptyList, Kind};
use serde_json::{Value, json};

use crate::support::{Answer, Trial};

async fn aggregate(trial: &Trial, pipeline: Value) -> Answer {
    let body = json!({
        "response": {"mimeType": "application/json"},
        "request": {"requestId": "r", "pipeline": pipeline},
    });
    trial.pendo("POST", "/aggregation", &body.to_string()).await
}

fn ids(answer: &Answer, key: &str) -> Vec<String> {
    let rows = answer.json()["results"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    rows.iter()
        .map(|row| row[key].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn keyset_paging_lists_every_id_once() {
    let trial = Trial::with(|pendo| pendo.anonymous = 50).await;
    let known: Vec<String> = (0..105).map(|number| format!("v-{number:03}\"ü")).collect();
    trial
        .sandbox
        .pendo()
        .add_ids(Kind::Visitor, known.iter().rev());
    let mut listed = Vec::new();
    for _ in 0..100 {
        let last = listed.last().map_or("", String::as_str);
        let answer = aggregate(
            &trial,
            json!([
                {"source": {"visitors": {"identified": true}}},
                {"select": {"visitorId": "visitorId"}},
                {"filter": format!("visitorId > {}", json!(last))},
                {"sort": ["visitorId"]},
                {"limit": 10},
            ]),
        )
        .await;
        let page = ids(&answer, "visitorId");
        let is_last = page.len() < 10;
        listed.extend(page);
        if is_last {
            break;
        }
    }
    assert_eq!(listed, known);
}

#[tokio::test]
async fn anonymous_visitors_come_along_unless_they_are_left_out() {
    let trial = Trial::with(|pendo| pendo.anonymous = 3).await;
    trial.sandbox.pendo().add_ids(Kind::Visitor, ["a", "b"]);
    let count = async |pipeline: Value| {
        aggregate(&trial, pipeline).await.json()["results"][0]["count"]
            .as_u64()
            .unwrap()
    };
    let all = json!({"source": {"visitors": null}});
    assert_eq!(count(json!([all, {"count": null}])).await, 5);
    assert_eq!(
        count(json!([all, {"identified": "visitorId"}, {"count": null}])).await,
        2
    );
    assert_eq!(
        count(json!([all, {"identified": "!visitorId"}, {"count": null}])).await,
        3
    );
    assert_eq!(
        count(json!([{"source": {"visitors": {"identified": true}}}, {"count": null}])).await,
        2
    );
    let sorted = aggregate(&trial, json!([all, {"sort": ["visitorId"]}, {"limit": 4}])).await;
    assert_eq!(ids(&sorted, "visitorId")[3], "a");
}

#[tokio::test]
async fn stages_run_in_their_order() {
    let trial = Trial::start().await;
    trial
        .sandbox
        .pendo()
        .add_ids(Kind::Account, ["a", "b", "c", "d"]);
    let source = json!({"source": {"accounts": {"appId": -323232}}});
    let list = async |stages: Vec<Value>| {
        let mut pipeline = vec![source.clone()];
        pipeline.extend(stages);
        ids(&aggregate(&trial, json!(pipeline)).await, "accountId")
    };
    let after = json!({"filter": "accountId > \"a\""});
    assert_eq!(list(vec![json!({"limit": 2}), after.clone()]).await, ["b"]);
    assert_eq!(
        list(vec![after.clone(), json!({"limit": 2})]).await,
        ["b", "c"]
    );
    assert_eq!(
        list(vec![json!({"sort": ["-accountId"]}), json!({"limit": 2})]).await,
        ["d", "c"]
    );
    assert_eq!(
        list(vec![json!({"limit": 2}), json!({"sort": ["-accountId"]})]).await,
        ["b", "a"]
    );
    assert_eq!(list(vec![json!({"limit": 0})]).await, Vec::<String>::new());
    let swapped = json!({"select": {"accountId": "metadata.auto.id", "x": "accountId"}});
    assert_eq!(
        list(vec![swapped, json!({"filter": "x >= \"c\""})]).await,
        ["c", "d"]
    );
}

#[tokio::test]
async fn a_membership_check_answers_the_known_ids_of_a_batch() {
    let trial = Trial::with(|pendo| pendo.anonymous = 2).await;
    trial
        .sandbox
        .pendo()
        .add_ids(Kind::Visitor, ["a", "b\"q", "c", "d"]);
    let filter =
        r#"visitorId == "zz" || visitorId == "d" || visitorId == "b\"q" || visitorId == "d""#;
    for source in [json!({"identified": true}), json!(null)] {
        let pipeline = json!([
            {"source": {"visitors": source}},
            {"filter": filter},
            {"select": {"id": "visitorId"}},
            {"sort": ["id"]},
        ]);
        assert_eq!(ids(&aggregate(&trial, pipeline).await, "id"), ["b\"q", "d"]);
        let counted =
            json!([{"source": {"visitors": source}}, {"filter": filter}, {"count": null}]);
        assert_eq!(
            aggregate(&trial, counted).await.json()["results"],
            json!([{"count": 2}])
        );
    }
}

#[tokio::test]
async fn rows_carry_metadata_and_paths_lead_into_it() {
    let trial = Trial::start().await;
    trial
        .sandbox
        .pendo()
        .add_ids(Kind::Account, ["a", "b", "c"]);
    let values = r#"[{"accountId":"a","values":{"plan":"gold","seats":5}},{"accountId":"b","values":{"plan":"free","seats":7}}]"#;
    trial
        .pendo("POST", "/metadata/account/custom/value", values)
        .await;
    let source = json!({"source": {"accounts": null}});
    let row = aggregate(
        &trial,
        json!([source, {"filter": "metadata.custom.plan == \"gold\""}]),
    )
    .await;
    let row = &row.json()["results"][0];
    assert_eq!(row["accountId"], "a");
    assert_eq!(row["metadata"]["custom"]["seats"], 5);
    assert!(row["metadata"]["auto"]["lastupdated"].is_i64());
    let selected = aggregate(
        &trial,
        json!([
            source,
            {"filter": "metadata.custom.seats >= 5 && (metadata.custom.plan == \"free\" || accountId == \"a\")"},
            {"select": {"id": "accountId", "seats": "metadata.custom.seats", "none": "metadata.custom.mrr"}},
            {"sort": ["-seats"]},
        ]),
    )
    .await;
    let expected =
        json!([{"id": "b", "seats": 7, "none": null}, {"id": "a", "seats": 5, "none": null}]);
    assert_eq!(selected.json()["results"], expected);
}

#[tokio::test]
async fn nothing_found_is_null_or_absent_or_an_empty_list() {
    for (empty_list, expected) in [
        (EmptyList::Null, json!({"results": null})),
        (EmptyList::Absent, json!({})),
        (EmptyList::List, json!({"results": []})),
    ] {
        let trial = Trial::with(|pendo| pendo.empty_list = empty_list).await;
        assert_eq!(
            aggregate(&trial, json!([{"source": {"visitors": null}}]))
                .await
                .json(),
            expected
        );
    }
}

#[tokio::test]
async fn a_page_has_a_ceiling_and_a_filter_a_length() {
    let trial = Trial::with(|pendo| {
        pendo.page_limit = 3;
        pendo.max_filter_bytes = 50;
    })
    .await;
    trial
        .sandbox
        .pendo()
        .add_ids(Kind::Visitor, ["a", "b", "c", "d", "e"]);
    let source = json!({"source": {"visitors": null}});
    let page = aggregate(&trial, json!([source, {"limit": 1000}])).await;
    assert_eq!(ids(&page, "visitorId"), ["a", "b", "c"]);
    let counted = aggregate(&trial, json!([source, {"count": null}])).await;
    assert_eq!(counted.json()["results"][0]["count"], 5);
    let filter = "visitorId == \"a\" || ".repeat(10) + "visitorId == \"b\"";
    assert_eq!(
        aggregate(&trial, json!([source, {"filter": filter}]))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_span_of_time_keeps_visitors_by_their_last_visit() {
    let trial = Trial::start().await;
    trial
        .sandbox
        .pendo()
        .add_ids(Kind::Visitor, ["a", "b", "c"]);
    let rows = aggregate(
        &trial,
        json!([{"source": {"visitors": null}}, {"sort": ["metadata.auto.lastvisit"]}]),
    )
    .await;
    let visits: Vec<i64> = rows.json()["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["metadata"]["auto"]["lastvisit"].as_i64().unwrap())
        .collect();
    assert!(visits.is_sorted());
    let source = json!({"source": {"visitors": {"startTime": visits[1], "endTime": visits[2]}}});
    let found = aggregate(&trial, json!([source, {"count": null}])).await;
    assert_eq!(found.json()["results"][0]["count"], 1);
}

#[tokio::test]
async fn wrong_pipelines_are_400_and_unknown_parts_501() {
    let trial = Trial::start().await;
    let source = json!({"source": {"visitors": null}});
    for (pipeline, status) in [
        (json!([]), 400),
        (json!({}), 400),
        (json!([{"limit": 1}]), 400),
        (json!([source, {"filter": "visitorId = 1"}]), 400),
        (json!([source, {"filter": 1}]), 400),
        (json!([source, {"limit": "1"}]), 400),
        (json!([source, {"limit": 1, "sort": []}]), 400),
        (json!([source, {"group": {}}]), 501),
        (json!([source, {"eval": {}}]), 501),
        (json!([{"source": {"events": null}}]), 501),
        (json!([{"source": {"visitors": {"unheard": 1}}}]), 501),
    ] {
        let answer = aggregate(&trial, pipeline.clone()).await;
        assert_eq!(answer.status, status, "{pipeline}");
    }
    assert_eq!(trial.pendo("POST", "/aggregation", "{").await.status, 400);
    let csv = json!({"response": {"mimeType": "text/csv"}, "request": {"pipeline": [source]}});
    assert_eq!(
        trial
            .pendo("POST", "/aggregation", &csv.to_string())
            .await
            .status,
        501
    );
}
