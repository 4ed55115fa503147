//! What the Tetra Data Platform refuses to the letter, and the readings of what its facts leave open.

use sandbox::tetra::{Reprocess, Total, Tracking};
use serde_json::{Value, json};

use crate::support::Trial;
use crate::tetra_support::{HEADERS, SEARCH, follow, ids_of};

async fn statuses(trial: &Trial, bodies: &[Value]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for body in bodies {
        let answer = trial.search(body).await;
        if answer.status == 400 {
            assert_eq!(answer.text(), "{}", "{body}");
        }
        statuses.push(answer.status);
    }
    statuses
}

#[tokio::test]
async fn a_search_is_said_to_be_json() {
    let trial = Trial::with_tetra(|_| {}).await;
    for (kind, status) in [
        (None, 415),
        (Some("text/plain"), 415),
        (Some("application/json; charset=utf-8"), 200),
    ] {
        let mut headers = HEADERS[..2].to_vec();
        headers.extend(kind.map(|kind| ("content-type", kind)));
        let answer = trial.send("POST", SEARCH, &headers, b"{}").await.unwrap();
        assert_eq!(answer.status, status, "{kind:?}");
        if status == 415 {
            assert_eq!(answer.json()["statusCode"], 415);
        }
    }
    let any = Trial::with_tetra(|options| options.any_content_type = true).await;
    let answer = any.send("POST", SEARCH, &HEADERS[..2], b"{}").await;
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test]
async fn search_after_is_the_sort_of_a_hit_and_nothing_else() {
    let trial = Trial::with_tetra(|_| {}).await;
    let sort = json!(["indexedAt", "fileId"]);
    let after = |after: Value| json!({"sort": sort, "search_after": after, "size": 1});
    let text = after(json!(["2024-05-06T00:00:00.000Z", "a"]));
    let bodies = [
        text.clone(),
        after(json!([1_714_953_600_000.5, "a"])),
        after(json!([1_714_953_600_000_i64, 7])),
        after(json!([true, "a"])),
        after(json!([1_714_953_600_000_i64])),
        after(json!([1_714_953_600_000_i64, "a", "b"])),
        after(Value::Null),
        json!({"sort": ["file.size", "fileId"], "search_after": ["12", "a"]}),
        json!({"sort": ["filePath", "fileId"], "search_after": [12, "a"]}),
        json!({"sort": sort, "search_after": [0, "a"], "from": 5}),
    ];
    assert_eq!(statuses(&trial, &bodies).await, [400; 10]);
    assert_eq!(
        statuses(&trial, &[after(json!([1_714_953_600_000_i64, "a"]))]).await,
        [200]
    );
    let texts = Trial::with_tetra(|options| options.after_texts = true).await;
    assert_eq!(statuses(&texts, &[text]).await, [200]);
}

#[tokio::test]
async fn bodies_and_parameters_are_read_strictly() {
    let trial = Trial::with_tetra(|_| {}).await;
    let refused = [
        json!({"size": null}),
        json!({"from": null}),
        json!({"from": -1}),
        json!({"track_total_hits": -1}),
        json!({"track_total_hits": 1.5}),
        json!({"pit": {"id": "x"}}),
        json!({"sort": ["no.such.field"]}),
        json!({"query": {"term": {"indexedAt": "soon"}}}),
        json!({"query": {"range": {"indexedAt": {"gte": "2024-05-06 01:00:00Z"}}}}),
        json!({"query": {"range": {"indexedAt": {"gte": "2024-5-6"}}}}),
        json!({"query": {"match": {"filePath": {"query": "a", "operator": "nor"}}}}),
        json!({"query": {"nested": {"path": "labels", "ignore_unmapped": true, "query":
            {"nested": {"path": "labels.none", "query": {"match_all": {}}}}}}}),
    ];
    assert_eq!(statuses(&trial, &refused).await, [400; 12]);
    let other = [
        json!({"min_score": 2}),
        json!({"version": true}),
        json!({"sort": [{"indexedAt": {"order": "asc", "format": "yyyy"}}]}),
        json!({"query": {"term": {"fileId": {"value": "A", "case_insensitive": true}}}}),
        json!({"query": {"match": {"filePath": {"query": "rum", "fuzziness": "AUTO"}}}}),
        json!({"query": {"range": {"indexedAt": {"gte": "2024-05-06", "time_zone": "Europe/Berlin"}}}}),
    ];
    assert_eq!(statuses(&trial, &other).await, [501; 6]);
    let taken = [
        json!({"query": {"range": {"indexedAt": {"gte": "2024-05", "lt": "2024-05-06T01+02:00"}}}}),
        json!({"sort": [{"no.such.field": {"order": "asc", "unmapped_type": "keyword"}}, "fileId"]}),
    ];
    assert_eq!(statuses(&trial, &taken).await, [200; 2]);
    for parameters in ["index=raw,ids", "index[]=raw", "scroll=1m", "size=5"] {
        let path = format!("{SEARCH}?{parameters}");
        let answer = trial.search_at(&path, &json!({})).await;
        assert_eq!(answer.status, 400, "{parameters}");
    }
}

#[tokio::test]
async fn an_index_fails_that_cannot_sort() {
    let trial = Trial::with_tetra(|_| {}).await;
    let body = json!({"sort": ["data.plate.well_count", "fileId"], "size": 1_000});
    let answer = trial.search(&body).await.json();
    assert_eq!(answer["_shards"]["failed"], 20);
    assert_eq!(answer["hits"]["total"], 120);
}

#[tokio::test]
async fn a_phrase_has_its_words_in_order() {
    let trial = Trial::with_tetra(|options| options.files = 0).await;
    let tetra = trial.sandbox.tetra();
    tetra
        .add(&json!([{"document": {"fileId": "a", "filePath": "/lab two/run 1.raw"}}]))
        .unwrap();
    let phrase = |text: &str| json!({"match_phrase": {"filePath": text}});
    assert_eq!(trial.ids(&phrase("two run")).await, ["a"]);
    assert!(trial.ids(&phrase("run two")).await.is_empty());
    assert!(trial.ids(&phrase("lab run")).await.is_empty());
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_in_the_usual_shape() {
    let trial = Trial::with_tetra(|_| {}).await;
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        trial.send(method, path, headers, body).await.unwrap()
    };
    let login = ask("POST", "/tetra/login", &[HEADERS[2]], b"{").await;
    assert_eq!(
        (login.status, &login.json()["error"]),
        (400, &json!("Bad Request"))
    );
    // The token is looked at before the body.
    let token = ask("POST", "/tetra/v1/users/u-1/token", &[HEADERS[2]], b"{").await;
    assert_eq!(token.status, 401);
    let other = json!({"userId": "u-2", "tokenExpiry": 4});
    let other = trial.tetra("POST", "/v1/users/u-1/token", &other).await;
    assert_eq!(other.status, 400);
    let method = ask("GET", SEARCH, &HEADERS, b"").await;
    assert_eq!(
        (method.status, &method.json()["statusCode"]),
        (404, &json!(404))
    );
}

#[tokio::test]
async fn what_was_refused_is_not_counted_as_hits() {
    let trial = Trial::with_tetra(|options| {
        options.answer_bytes = Some(20_000);
        options.reindex_per_page = 2;
    })
    .await;
    let large = json!({"size": 200, "sort": ["indexedAt", "fileId"]});
    assert_eq!(trial.search(&large).await.status, 413);
    let counts = trial.sandbox.tetra().counts();
    assert_eq!((counts.hits, counts.reindexed_by_pages), (0, 0));
}

#[tokio::test]
async fn a_reset_begins_the_minute_anew() {
    let trial = Trial::with_tetra(|options| options.searches = Some(1)).await;
    assert_eq!(trial.search(&json!({})).await.status, 200);
    assert_eq!(trial.search(&json!({})).await.status, 502);
    trial.control("POST", "/reset", &Value::Null).await;
    assert_eq!(trial.search(&json!({})).await.status, 200);
}

#[tokio::test]
async fn totals_may_not_be_asked_for() {
    let body = json!({"size": 1, "track_total_hits": 100});
    let ignoring = Trial::with_tetra(|options| {
        options.total = Total::Object;
        options.tracking = Tracking::Ignored;
    })
    .await;
    let total = ignoring.search(&body).await.json()["hits"]["total"].clone();
    assert_eq!(total, json!({"value": 240, "relation": "eq"}));
    let refusing = Trial::with_tetra(|options| options.tracking = Tracking::Refused).await;
    assert_eq!(statuses(&refusing, &[body, json!({})]).await, [400, 200]);
}

#[tokio::test]
async fn labels_may_change_under_the_same_stamp() {
    for stamps in [true, false] {
        let trial = Trial::with_tetra(|options| options.label_stamps = stamps).await;
        let tetra = trial.sandbox.tetra();
        let before = tetra.files()[2].clone();
        tetra.relabel(&[&before.file_id]);
        let after = tetra.document(&before.file_id).unwrap();
        let labels = after["labels"].as_array().unwrap();
        assert!(labels.iter().any(|label| label["name"] == "reviewed"));
        assert_eq!(tetra.files()[2].indexed_ms != before.indexed_ms, stamps);
        let all = trial.ids(&json!({"match_all": {}})).await;
        assert_eq!(all.len(), 240);
        let reviewed =
            json!({"nested": {"path": "labels", "query": {"term": {"labels.name": "reviewed"}}}});
        assert_eq!(trial.ids(&reviewed).await, [before.file_id]);
    }
}

#[tokio::test]
async fn a_second_run_of_a_pipeline_may_make_another_file() {
    let trial = Trial::with_tetra(|options| options.reprocess = Reprocess::File).await;
    let tetra = trial.sandbox.tetra();
    let files = tetra.files();
    let ids = files.iter().find(|file| file.category == "IDS").unwrap();
    let raw = files.iter().find(|file| file.category == "RAW").unwrap();
    tetra.reindex(&[&ids.file_id, &raw.file_id]);
    assert_eq!(tetra.file_count(), 241);
    let old = trial.ids(&json!({"term": {"outdated": true}})).await;
    assert_eq!(old, std::slice::from_ref(&ids.file_id));
    let new = tetra.newest(1).remove(0);
    let new = tetra.document(&new.file_id).unwrap();
    let old = tetra.document(&ids.file_id).unwrap();
    assert_eq!(new["rawFileId"], old["rawFileId"]);
    assert_eq!(new["data"]["revision"], 2);
    assert_eq!(new["outdated"], false);
    assert!(old["data"]["revision"].is_null());
}

#[tokio::test]
async fn a_file_arrives_when_it_comes_whatever_its_stamp_says() {
    let trial = Trial::with_tetra(|options| {
        options.files = 0;
        options.index_ms = 60_000;
        options.indexed_seconds = true;
    })
    .await;
    let tetra = trial.sandbox.tetra();
    let old = json!({"document": {"fileId": "a", "indexedAt": "2024-05-06T00:00:00Z"}});
    // An index that failed never shows its file.
    let never = json!({"document": {"fileId": "b"}, "found_in_ms": i64::MAX});
    tetra.add(&json!([old, never])).unwrap();
    assert_eq!(tetra.arrivals(60).iter().sum::<u64>(), 2);
    tetra.advance(86_400);
    let body = json!({"size": 10});
    assert_eq!(ids_of(&trial.search(&body).await.json()), ["a"]);
    let info = trial
        .tetra("GET", "/v1/fileinfo/file/b", &Value::Null)
        .await;
    assert_eq!(info.status, 200);
    // Two documents of one second: only the newest counts as found.
    let ids = tetra
        .add(&json!([{"text": "x", "found_in_ms": 0}]))
        .unwrap();
    tetra.reindex(&ids);
    let view = tetra.newest(1).remove(0);
    assert!(!view.is_found);
}

#[tokio::test]
async fn the_page_shows_what_was_asked_for() {
    let trial = Trial::with_tetra(|options| options.files = 0).await;
    let tetra = trial.sandbox.tetra();
    let ids = tetra.add_some(6);
    tetra.delete(&ids[5..]);
    trial.search(&json!({"size": 3})).await;
    let link = trial.link(&ids[0]).await;
    follow(&link, &[]).await.unwrap();
    let direct = format!("/v1/datalake/retrieve?fileId={}", ids[1]);
    trial.tetra("GET", &direct, &Value::Null).await;
    follow(&link, &[HEADERS[0]]).await.unwrap();
    tetra.advance(301);
    follow(&link, &[]).await.unwrap();
    let headers = [("ts-auth-token", "other"), HEADERS[1]];
    let answer = trial.send("POST", SEARCH, &headers, b"{}").await.unwrap();
    assert_eq!(answer.status, 401);
    tetra.add_some(1);
    let page = trial.send("GET", "/_sandbox/view", &[], b"").await.unwrap();
    let page = page.text().to_owned();
    for (label, figure) in [
        ("files", 6),
        ("of the last minute", 1),
        ("searches", 1),
        ("hits", 3),
        ("links", 1),
        ("downloads", 2),
        ("at once", 1),
        ("throttled", 0),
        ("refused tokens", 1),
        ("expired links", 1),
        ("tokens sent to the storage", 1),
    ] {
        let is_plain = page.contains(&format!("<dt>{label}</dt><dd>{figure}</dd>"));
        let attention = format!("<dt>{label}</dt><dd class=\"attention\">{figure}</dd>");
        assert!(is_plain || page.contains(&attention), "{label}: {page}");
    }
}

#[tokio::test]
async fn a_source_is_the_document_or_the_part_that_was_asked_for() {
    for small in [false, true] {
        let trial = Trial::with_tetra(|options| options.small_categories = small).await;
        let tetra = trial.sandbox.tetra();
        let all = json!({"size": 300, "sort": ["indexedAt", "fileId"]});
        let hits = trial.search(&all).await.json()["hits"]["hits"].clone();
        let mut truth = tetra.dump();
        let key = |document: &Value| {
            (
                document["indexedAt"].to_string(),
                document["fileId"].to_string(),
            )
        };
        truth.sort_by_key(key);
        for (hit, document) in hits.as_array().unwrap().iter().zip(&truth) {
            assert_eq!(&hit["_source"], document);
        }
        let part = json!({"size": 1, "_source": {"includes": ["cat*", "source.t*"], "excludes": ["*Path"]}});
        let part = trial.search(&part).await.json()["hits"]["hits"][0]["_source"].clone();
        let category = if small { "raw" } else { "RAW" };
        assert_eq!(
            part,
            json!({"category": category, "source": {"type": "empower"}})
        );
    }
}
