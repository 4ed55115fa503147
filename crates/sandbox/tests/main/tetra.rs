//! The Tetra Data Platform over the wire: searches, pages, and what the index does meanwhile.

use std::collections::BTreeSet;

use sandbox::tetra::{Deleted, EqualKeys, Total};
use serde_json::{Value, json};

use crate::support::Trial;
use crate::tetra_support::{HEADERS, SEARCH, ids_of};

fn indexed(id: &str, time: &str) -> Value {
    json!({"document": {"fileId": id, "category": "RAW", "indexedAt": time}})
}

#[tokio::test]
async fn the_usual_query_finds_what_the_truth_holds() {
    let trial = Trial::with_tetra(|_| {}).await;
    let (from, to) = ("2024-05-06T01:00:00.000Z", "2024-05-06T02:00:00.000Z");
    let query = json!({"bool": {"filter": [
        {"term": {"category": "IDS"}},
        {"term": {"source.type": "empower"}},
        {"range": {"indexedAt": {"gte": from, "lt": to}}},
    ]}});
    let body = json!({"size": 1000, "track_total_hits": true, "query": query,
        "_source": ["fileId", "indexedAt", "file.version", "idsType"],
        "sort": [{"indexedAt": "asc"}, {"fileId": "asc"}]});
    let answer = trial.search(&body).await;
    assert!(answer.header("ts-request-id").is_some());
    let answer = answer.json();
    let truth: BTreeSet<String> = trial
        .sandbox
        .tetra()
        .dump()
        .iter()
        .filter(|document| {
            let time = document["indexedAt"].as_str().unwrap();
            document["category"] == "IDS"
                && document["source"]["type"] == "empower"
                && (from..to).contains(&time)
        })
        .map(|document| document["fileId"].as_str().unwrap().to_owned())
        .collect();
    assert!(truth.len() > 10);
    let found: BTreeSet<String> = ids_of(&answer).into_iter().collect();
    assert_eq!(found, truth);
    assert_eq!(answer["hits"]["total"], truth.len());
    let hit = &answer["hits"]["hits"][0];
    assert_eq!(hit["_source"].as_object().unwrap().len(), 4);
    assert_eq!(hit["_source"]["file"].as_object().unwrap().len(), 1);
    assert!(hit["sort"][0].is_i64());
    assert_eq!(hit["_index"], "acme-prod_ids");
    assert_eq!(answer["_shards"]["failed"], 0);
}

#[tokio::test]
async fn pages_cover_a_window_once_though_times_are_equal() {
    let trial = Trial::with_tetra(|_| {}).await;
    let mut seen = Vec::new();
    let mut body = json!({"size": 7, "query": {"match_all": {}}, "_source": ["fileId"],
        "sort": ["indexedAt", {"fileId": {"order": "asc"}}]});
    loop {
        let answer = trial.search(&body).await.json();
        let ids = ids_of(&answer);
        let Some(last) = answer["hits"]["hits"].as_array().unwrap().last() else {
            break;
        };
        body["search_after"] = last["sort"].clone();
        seen.extend(ids);
    }
    assert_eq!(seen.len(), 240);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 240);
    // By the time alone, files are lost between pages.
    let mut count = 0;
    let mut body = json!({"size": 7, "sort": ["indexedAt"], "_source": false});
    loop {
        let answer = trial.search(&body).await.json();
        let hits = answer["hits"]["hits"].as_array().unwrap();
        let Some(last) = hits.last() else { break };
        count += hits.len();
        body["search_after"] = last["sort"].clone();
    }
    assert!(count < 240, "{count}");
}

#[tokio::test]
async fn each_kind_of_query_finds_its_documents() {
    let trial = Trial::with_tetra(|options| options.files = 0).await;
    let tetra = trial.sandbox.tetra();
    let files = json!([
        {"document": {"fileId": "a", "category": "RAW", "filePath": "/in/Run 1.raw", "tags": ["x", "y"],
            "createdAt": "2024-05-01T10:00:00Z", "labels": [{"name": "project", "value": "p-7"}, {"name": "site", "value": "p-8"}],
            "metadata": {"batch": "B1"}}},
        {"document": {"fileId": "b", "filePath": "/in/run 2.raw", "createdAt": "2024-05-02T10:00:00Z",
            "labels": [{"name": "project", "value": "p-8"}],
            "data": {"@idsType": "t", "count": 5, "ok": true, "runs": [{"n": 1, "s": "u"}, {"n": 2, "s": "v"}]}}},
    ]);
    tetra.add(&files).unwrap();
    let nested = |path: &str, query: Value| json!({"nested": {"path": path, "query": query, "ignore_unmapped": true}});
    for (query, expected) in [
        (json!({"match_all": {}}), vec!["a", "b"]),
        (json!({"term": {"fileId": {"value": "a"}}}), vec!["a"]),
        (json!({"terms": {"fileId": ["b", "c"]}}), vec!["b"]),
        (json!({"ids": {"values": ["b"]}}), vec!["b"]),
        (json!({"term": {"tags": "y"}}), vec!["a"]),
        (json!({"term": {"metadata.batch": "B1"}}), vec!["a"]),
        (json!({"exists": {"field": "data.count"}}), vec!["b"]),
        (json!({"prefix": {"filePath": "/in/R"}}), vec!["a"]),
        (
            json!({"prefix": {"filePath": {"value": "/IN/r", "case_insensitive": true}}}),
            vec!["a", "b"],
        ),
        (
            json!({"wildcard": {"filePath": "*un ?.raw"}}),
            vec!["a", "b"],
        ),
        (json!({"match": {"filePath": "RUN"}}), vec!["a", "b"]),
        (
            json!({"match": {"filePath": {"query": "run 2", "operator": "and"}}}),
            vec!["b"],
        ),
        (
            json!({"range": {"data.count": {"gt": 4, "lte": 5}}}),
            vec!["b"],
        ),
        (
            json!({"range": {"createdAt": {"gte": "2024-05-02||/d"}}}),
            vec!["b"],
        ),
        (
            json!({"range": {"createdAt": {"lte": "2024-05-01"}}}),
            vec!["a"],
        ),
        (json!({"range": {"indexedAt": {"lt": "now-1d/d"}}}), vec![]),
        (json!({"term": {"data.ok": true}}), vec!["b"]),
        // Objects in lists are nested: from outside they are not seen, and each is looked at by itself.
        (json!({"term": {"labels.value": "p-7"}}), vec![]),
        (
            nested(
                "labels",
                json!({"bool": {"filter": [{"term": {"labels.name": "project"}}, {"term": {"labels.value": "p-8"}}]}}),
            ),
            vec!["b"],
        ),
        (
            nested("data.runs", json!({"range": {"data.runs.n": {"gte": 2}}})),
            vec!["b"],
        ),
        (
            json!({"bool": {"should": [{"term": {"fileId": "a"}}, {"term": {"data.count": 5}}], "minimum_should_match": 1,
            "must_not": [{"term": {"tags": "x"}}]}}),
            vec!["b"],
        ),
        (
            json!({"bool": {"must": {"term": {"fileId": "a"}}, "should": [{"term": {"fileId": "z"}}]}}),
            vec!["a"],
        ),
        (
            json!({"constant_score": {"filter": {"term": {"category": "RAW"}}}}),
            vec!["a"],
        ),
    ] {
        let found: BTreeSet<String> = trial.ids(&query).await.into_iter().collect();
        let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn what_the_engine_does_not_take_is_400_without_a_word() {
    let trial = Trial::with_tetra(|_| {}).await;
    for body in [
        json!({"query": {"trem": {"fileId": "a"}}}),
        json!({"query": {"term": {"fileId": "a"}, "match_all": {}}}),
        json!({"query": {"range": {"indexedAt": {"gte": "yesterday"}}}}),
        json!({"query": {"bool": {"filters": []}}}),
        json!({"quarry": {}}),
        json!({"size": 10_001}),
        json!({"size": 1, "from": 10_000}),
        json!({"from": 1, "sort": ["fileId"], "search_after": ["a"]}),
        json!({"sort": ["indexedAt", "fileId"], "search_after": ["a"]}),
        json!({"search_after": ["a"]}),
        json!({"query": {"nested": {"path": "nowhere", "query": {"match_all": {}}}}}),
        json!([]),
    ] {
        let answer = trial.search(&body).await;
        assert_eq!((answer.status, answer.text()), (400, "{}"), "{body}");
        assert!(answer.header("x-sandbox-reason").is_some());
    }
    let other = trial
        .search(&json!({"query": {"query_string": {"query": "*"}}}))
        .await;
    assert_eq!(other.status, 501);
    assert_eq!(trial.search(&json!({"aggs": {}})).await.status, 501);
    let minus = json!({"from": -1, "sort": ["fileId"], "search_after": [""], "size": 1});
    assert_eq!(trial.search(&minus).await.status, 200);
}

#[tokio::test]
async fn keys_that_come_twice_are_taken_or_refused() {
    let twice = br#"{"size":10000,"query":{"bool":{"must":{"term":{"category":"IDS"}},"must":{"match_all":{}}}}}"#;
    for (equal_keys, status) in [(EqualKeys::Last, 200), (EqualKeys::Refuse, 400)] {
        let trial = Trial::with_tetra(|options| options.equal_keys = equal_keys).await;
        let answer = trial.send("POST", SEARCH, &HEADERS, twice).await.unwrap();
        assert_eq!(answer.status, status);
        if status == 200 {
            assert_eq!(answer.json()["hits"]["total"], 240);
        }
    }
}

#[tokio::test]
async fn indices_are_chosen_and_fail_without_a_nested_path() {
    let trial = Trial::with_tetra(|_| {}).await;
    let body =
        json!({"query": {"nested": {"path": "data.wells", "query": {"match_all": {}}}}, "size": 1});
    let all = trial.search(&body).await.json();
    assert_eq!(all["_shards"]["failed"], 20);
    assert_eq!(all["hits"]["total"], 40);
    let ids = trial
        .search_at(&format!("{SEARCH}?index=ids"), &body)
        .await
        .json();
    assert_eq!(ids["_shards"]["failed"], 0);
    let raw = trial.search_at(&format!("{SEARCH}?index=raw"), &body).await;
    assert_eq!(raw.status, 400);
    let two = format!("{SEARCH}?index=raw&index=processed");
    let two = trial.search_at(&two, &json!({"size": 0})).await.json();
    assert_eq!(two["hits"]["total"], 120);
    let wrong = format!("{SEARCH}?index=RAWS");
    assert_eq!(trial.search_at(&wrong, &json!({})).await.status, 400);
}

#[tokio::test]
async fn totals_come_in_both_forms() {
    let trial = Trial::with_tetra(|options| options.total = Total::Object).await;
    let total = async |tracked: Value| {
        let body = json!({"size": 1, "track_total_hits": tracked});
        trial.search(&body).await.json()["hits"]["total"].clone()
    };
    assert_eq!(
        total(json!(true)).await,
        json!({"value": 240, "relation": "eq"})
    );
    assert_eq!(
        total(json!(100)).await,
        json!({"value": 100, "relation": "gte"})
    );
    assert_eq!(total(json!(false)).await, Value::Null);
}

#[tokio::test]
async fn a_document_is_found_a_while_after_its_stamp() {
    let trial = Trial::with_tetra(|options| {
        options.files = 0;
        options.index_ms = 3_000;
    })
    .await;
    let tetra = trial.sandbox.tetra();
    let all = json!({"match_all": {}});
    let ids = tetra.add(&json!([{"text": "one"}])).unwrap();
    assert!(trial.ids(&all).await.is_empty());
    assert!(!tetra.files()[0].is_found);
    tetra.advance(3);
    assert_eq!(trial.ids(&all).await, ids);
    // Indexed again, the document before is found until the new one is.
    let before = tetra.document(&ids[0]).unwrap();
    tetra.reindex(&ids);
    let body = json!({"query": all});
    let found = trial.search(&body).await.json()["hits"]["hits"][0]["_source"].clone();
    assert_eq!(found["indexedAt"], before["indexedAt"]);
    tetra.advance(3);
    let found = trial.search(&body).await.json()["hits"]["hits"][0]["_source"].clone();
    assert!(found["indexedAt"].as_str() > before["indexedAt"].as_str());
    assert_ne!(found["file"]["version"], before["file"]["version"]);
    // A late one has a stamp of the past.
    let mut late = indexed("late", "2024-05-01T00:00:00Z");
    late["found_in_ms"] = json!(60_000);
    tetra
        .add(&json!([late, indexed("early", "2024-05-01T00:00:00Z")]))
        .unwrap();
    let may = json!({"range": {"indexedAt": {"lt": "2024-06-01"}}});
    assert_eq!(trial.ids(&may).await, ["early"]);
    tetra.advance(60);
    assert_eq!(trial.ids(&may).await, ["early", "late"]);
}

#[tokio::test]
async fn files_are_indexed_again_while_pages_are_read() {
    let trial = Trial::with_tetra(|options| options.reindex_per_page = 2).await;
    let window = json!({"range": {"indexedAt": {"lt": "2024-06-01"}}});
    let mut body =
        json!({"size": 50, "query": window, "sort": ["indexedAt", "fileId"], "_source": false});
    let mut seen = BTreeSet::new();
    loop {
        let answer = trial.search(&body).await.json();
        let hits = answer["hits"]["hits"].as_array().unwrap().clone();
        let Some(last) = hits.last() else { break };
        body["search_after"] = last["sort"].clone();
        seen.extend(ids_of(&answer));
    }
    let moved = trial.sandbox.tetra().counts().reindexed_by_pages;
    assert!(moved >= 8, "{moved}");
    // What moved out of the window before it was read is in the next one.
    assert!(seen.len() < 240);
    seen.extend(
        trial
            .ids(&json!({"range": {"indexedAt": {"gte": "2024-06-01"}}}))
            .await,
    );
    assert_eq!(seen.len(), 240);
}

#[tokio::test]
async fn deleted_files_disappear_and_stand_in_the_log() {
    let trial = Trial::with_tetra(|_| {}).await;
    let tetra = trial.sandbox.tetra();
    let id = tetra.files()[3].file_id.clone();
    assert_eq!(tetra.delete(&[&id]), 1);
    assert_eq!(tetra.delete(&[&id]), 0);
    assert!(trial.ids(&json!({"term": {"fileId": id}})).await.is_empty());
    let log = "/v1/datalake/queryActivityLog?action=file.delete&from=2024-01-01T00:00:00Z";
    let log = trial.tetra("GET", log, &Value::Null).await.json();
    assert_eq!(log["activities"].as_array().unwrap().len(), 1);
    assert_eq!(log["activities"][0]["entity"]["id"], id);
    let page = trial
        .tetra("GET", "/v1/datalake/queryActivityLog", &Value::Null)
        .await
        .json();
    assert_eq!(page["activities"].as_array().unwrap().len(), 100);
    let next = format!(
        "/v1/datalake/queryActivityLog?next={}",
        page["next"].as_str().unwrap()
    );
    let page = trial.tetra("GET", &next, &Value::Null).await.json();
    assert_eq!(page["activities"][0]["id"], "101");
    let shown = Trial::with_tetra(|options| options.deleted = Deleted::Shown).await;
    let id = shown.sandbox.tetra().files()[3].file_id.clone();
    shown.sandbox.tetra().delete(&[&id]);
    assert_eq!(shown.ids(&json!({"term": {"deleted": true}})).await, [id]);
}

#[tokio::test]
async fn half_answers_and_pages_that_stand_still_come_by_faults() {
    let trial = Trial::with_tetra(|_| {}).await;
    trial
        .sandbox
        .set_faults(&[
            "search-partial:times=1",
            "search-partial:as=shards,after=1,times=1",
            "search-stuck:after=2",
        ])
        .unwrap();
    let mut body = json!({"size": 10, "sort": ["indexedAt", "fileId"]});
    let late = trial.search(&body).await.json();
    assert_eq!(late["timed_out"], true);
    let failed = trial.search(&body).await.json();
    assert_eq!(
        (&failed["timed_out"], &failed["_shards"]["failed"]),
        (&json!(false), &json!(5))
    );
    assert!(failed["hits"]["total"].as_u64().unwrap() < 200);
    let first = trial.search(&body).await.json();
    body["search_after"] = first["hits"]["hits"][9]["sort"].clone();
    let same = trial.search(&body).await.json();
    assert_eq!(ids_of(&first), ids_of(&same));
}

#[tokio::test]
async fn files_arrive_by_themselves_as_time_goes_by() {
    let trial = Trial::with_tetra(|options| {
        options.files = 0;
        options.arriving_ms = Some(1_000);
    })
    .await;
    let tetra = trial.sandbox.tetra();
    tetra.advance(100);
    let count = trial.ids(&json!({"match_all": {}})).await.len();
    assert!((100..=110).contains(&count), "{count}");
    let view = trial.send("GET", "/_sandbox/view", &[], b"").await.unwrap();
    assert!(view.text().contains("Tetra"), "{}", view.text());
}

#[tokio::test]
async fn some_documents_are_late_by_themselves() {
    let trial = Trial::with_tetra(|options| {
        options.files = 0;
        options.late_every = 3;
        options.late_ms = 60_000;
    })
    .await;
    let tetra = trial.sandbox.tetra();
    tetra.add_some(9);
    let all = json!({"match_all": {}});
    assert_eq!(trial.ids(&all).await.len(), 6);
    tetra.advance(60);
    assert_eq!(trial.ids(&all).await.len(), 9);
}

#[tokio::test]
async fn an_answer_may_be_too_large() {
    let trial = Trial::with_tetra(|options| options.answer_bytes = Some(20_000)).await;
    assert_eq!(trial.search(&json!({"size": 200})).await.status, 413);
    assert_eq!(trial.search(&json!({"size": 5})).await.status, 200);
}
