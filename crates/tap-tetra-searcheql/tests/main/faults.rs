//! What the platform does wrong, and what is wrong about who asks.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use singer_test::server::{Reply, json as answer, ok};

use crate::kit::{Platform, messages, numbers};

/// A fault of the first so many searches of windows.
fn first(platform: &Platform, times: usize, reply: Reply) {
    let count = AtomicUsize::new(0);
    platform.fault(move |seen| {
        let is_one = seen.line.contains("searchEql") && seen.body.contains("\"range\"");
        (is_one && count.fetch_add(1, Ordering::SeqCst) < times).then(|| reply.clone())
    });
}

#[test]
fn a_part_of_an_answer_is_never_taken_for_the_whole() {
    for part in [
        json!({"timed_out": true, "hits": {"total": 0, "hits": []}}),
        json!({"timed_out": false, "_shards": {"failed": 1}, "hits": {"total": 0, "hits": []}}),
        // An engine does not count a shard as failed of which it has no copy at hand.
        json!({"_shards": {"total": 5, "successful": 4, "failed": 0}, "hits": {"total": 0, "hits": []}}),
    ] {
        let platform = Platform::of(9);
        first(&platform, 1, ok(&part));
        assert_eq!(
            numbers(&messages(&platform.sync(json!({}), json!({}), None))).len(),
            9
        );
        first(&platform, 99, ok(&part));
        platform.sync(json!({}), json!({}), None).expect_code(75);
    }
}

#[test]
fn a_page_that_comes_again_ends_the_stream() {
    let platform = Platform::of(20);
    let page = std::sync::Mutex::new(None::<Reply>);
    let hits: Vec<Value> = (0..7)
        .map(|number| json!({"_id": format!("{number}"), "_source": {"indexedAt": "2024-05-01T00:00:00Z"}, "sort": [1, format!("{number}")]}))
        .collect();
    let same = ok(&json!({"hits": {"total": {"value": 20, "relation": "eq"}, "hits": hits}}));
    platform.fault(move |seen| {
        let is_one = seen.line.contains("searchEql") && seen.body.contains("\"range\"");
        is_one.then(|| page.lock().unwrap().get_or_insert(same.clone()).clone())
    });
    let finished = platform.sync(json!({}), json!({}), None);
    finished.expect_code(1).expect_log("does not advance");
}

#[test]
fn pages_that_are_too_large_are_asked_for_in_halves() {
    let platform = Platform::of(20);
    platform.fault(|seen| {
        let body: Value = serde_json::from_str(&seen.body).unwrap_or_default();
        let is_large = seen.body.contains("\"range\"") && body["size"].as_u64() > Some(2);
        is_large.then(|| answer(413, &json!({})))
    });
    assert_eq!(
        numbers(&messages(&platform.sync(json!({}), json!({}), None))).len(),
        20
    );
}

#[test]
fn pages_grow_again_once_the_platform_has_calmed_down() {
    let platform = Platform::of(80);
    let count = AtomicUsize::new(0);
    platform.fault(move |seen| {
        let is_window = seen.body.contains("\"range\"");
        let is_broken = is_window && count.fetch_add(1, Ordering::SeqCst) < 2;
        is_broken.then(|| Reply::Answer(502, "retry-after: 0\r\n", String::new()))
    });
    let read = messages(&platform.sync(json!({"page_size": 16}), json!({}), None));
    assert_eq!(numbers(&read).len(), 80);
    let sizes = platform.searches().into_iter();
    let sizes: Vec<u64> = sizes.filter_map(|body| body["size"].as_u64()).collect();
    assert_eq!(sizes.get(..3), Some(&[16, 8, 4][..]));
    assert_eq!(sizes.last(), Some(&16), "{sizes:?}");
}

#[test]
fn a_count_that_the_engine_did_not_make_is_none() {
    let platform = Platform::of(1);
    first(
        &platform,
        99,
        ok(&json!({"hits": {"total": -1, "hits": []}})),
    );
    messages(&platform.sync(json!({}), json!({}), None));
}

#[test]
fn a_query_that_is_refused_names_its_stream_and_not_the_others() {
    let platform = Platform::of(3);
    platform.fault(|seen| {
        seen.body.contains("nonsense").then(|| {
            Reply::Answer(
                400,
                "content-type: application/json\r\nts-request-id: req-7\r\n",
                "{}".to_owned(),
            )
        })
    });
    let streams = json!({"streams": {"files": {}, "odd": {"query": {"term": {"nonsense": 1}}}}});
    let finished = platform
        .run(streams.clone(), json!({}))
        .args(["--select", "odd"])
        .finish();
    finished
        .expect_code(2)
        .expect_log("the stream `odd`")
        .expect_log("req-7")
        .expect_log("nonsense");
    assert_eq!(
        numbers(&messages(&platform.sync(streams, json!({}), None))).len(),
        3
    );
}

#[test]
fn a_token_is_read_again_when_it_is_refused_and_goes_to_its_own_host_alone() {
    let platform = Platform::of(3);
    let token = platform.folder.write("token", "old");
    let path = token.clone();
    platform.fault(move |seen| {
        if seen.line.contains("/bucket/") {
            assert!(!seen.head.contains("ts-auth-token") && !seen.head.contains("x-org-slug"));
            return None;
        }
        assert!(seen.head.contains("x-org-slug: acme"));
        (seen.head.contains("ts-auth-token: old")).then(|| {
            std::fs::write(&path, "new").unwrap();
            answer(401, &json!({"statusCode": 401, "message": "Invalid token"}))
        })
    });
    let secret = json!({"auth_token": {"file": token}});
    let finished = platform.sync(secret.clone(), json!({"retrieve": "json"}), None);
    assert_eq!(numbers(&messages(&finished)).len(), 3);
    platform.fault(|_| Some(answer(401, &json!({"message": "Invalid token"}))));
    let refused = platform.sync(secret, json!({}), None);
    refused.expect_code(1).expect_log("Invalid token");
    assert!(!refused.text().contains("new"));
}

#[test]
fn another_organisation_is_told_by_its_setting() {
    let platform = Platform::of(1);
    platform.fault(|_| Some(answer(403, &json!({"message": "Forbidden"}))));
    platform
        .sync(json!({}), json!({}), None)
        .expect_code(1)
        .expect_log("`acme` (`org_slug`)");
}

#[test]
fn throttling_is_waited_out() {
    let platform = Platform::of(3);
    first(
        &platform,
        6,
        Reply::Answer(429, "retry-after: 0\r\n", String::new()),
    );
    assert_eq!(
        numbers(&messages(&platform.sync(json!({}), json!({}), None))).len(),
        3
    );
}

#[test]
fn a_query_with_a_key_twice_is_refused_before_anything_is_asked() {
    let platform = Platform::of(1);
    let text = r#"{"auth_token": "t", "org_slug": "a", "streams": {"files": {"query": {"bool": {
        "must": {"term": {"category": "IDS"}}, "must": {"term": {"a": 1}}}}}}}"#;
    let finished = singer_test::bin::Run::of("tap-tetra-searcheql")
        .arg("--config")
        .arg(platform.folder.write("twice.json", text))
        .args(["--select", "files"])
        .finish();
    finished
        .expect_code(2)
        .expect_log("has the key `streams.files.query.bool.must` twice");
    assert_eq!(platform.server.count(), 0);
}
