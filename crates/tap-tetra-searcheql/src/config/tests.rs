//! Tests of the settings.

use serde_json::{Value, json};

use super::*;

/// A config with these changes.
pub(crate) fn config(changes: Value) -> Result<Config> {
    let mut all = json!({
        "base_url": "http://127.0.0.1:1", "auth_token": "t", "org_slug": "acme", "lag_seconds": 300,
        "overlap_memory": 2000, "page_size": 1000, "retrieve": "none", "presigned": true,
        "presigned_life_seconds": 300, "parallel": 10, "on_missing": "skip", "on_failure": "stop",
        "type_conflict": "error", "rejects_path": "r", "deletions": "ignore", "deletions_path": "d", "sample_size": 50, "patience_seconds": 60.0,
        "rate_limit_pause_seconds": 0.01, "streams": {"results": {}},
        "attempts": 3, "request_timeout_seconds": 5.0,
    });
    if let (Value::Object(all), Value::Object(changes)) = (&mut all, changes) {
        all.extend(changes);
    }
    let config: Config = serde_json::from_value(all).expect("the shape fits");
    config.validate()?;
    Ok(config)
}

fn with_query(query: Value) -> Result<Config> {
    config(json!({"streams": {"results": {"query": query}}}))
}

#[test]
fn queries_of_the_engine_are_taken() {
    for query in [
        json!({"match_all": {}}),
        json!({"term": {"category": "IDS"}}),
        json!({"term": {"category": {"value": "IDS"}}}),
        json!({"bool": {"filter": [{"terms": {"idsType": ["a", "b"]}}, {"exists": {"field": "data"}}],
            "must_not": {"term": {"outdated": true}}, "minimum_should_match": 1}}),
        json!({"range": {"createdAt": {"gte": "2024-01-01T00:00:00Z"}}}),
        json!({"nested": {"path": "labels", "query": {"bool": {"filter": [
            {"term": {"labels.name": "project"}}]}}}}),
    ] {
        with_query(query.clone()).unwrap_or_else(|error| panic!("{query}: {error}"));
    }
}

#[test]
fn what_is_wrong_with_a_query_is_named_by_its_place() {
    for (query, message) in [
        (json!([]), "`streams.results.query` must be an object"),
        (
            json!({"query": {"match_all": {}}, "size": 10}),
            "`streams.results.query` is a whole search body",
        ),
        (
            json!({"bool": {"must": {"must": {"term": {"a": 1}}}}}),
            "`streams.results.query.bool.must.must` is no query clause",
        ),
        (
            json!({"bool": {"filter": [{"term": {"a": 1}}, {"trem": {"a": 1}}]}}),
            "`streams.results.query.bool.filter[1].trem` is no query clause",
        ),
        (
            json!({"bool": {"filters": []}}),
            "`streams.results.query.bool.filters` is no key of `bool`",
        ),
        (
            json!({"term": {"a": 1}, "range": {}}),
            "`streams.results.query` must hold exactly one clause, found 2",
        ),
        (
            json!({"term": {"a": 1, "b": 2}}),
            "`streams.results.query.term` must be about exactly one field, found 2",
        ),
        (
            json!({"term": {"a": ["x", "y"]}}),
            "`streams.results.query.term.a` must be a value",
        ),
        (
            json!({"range": {"a": {"from": 1}}}),
            "`streams.results.query.range.a.from` is no key of `range`",
        ),
        (
            json!({"range": {"a": {}}}),
            "`streams.results.query.range.a` has no bound",
        ),
        (
            json!({"nested": {"query": {"match_all": {}}}}),
            "`streams.results.query.nested` has no `path`",
        ),
        (
            json!({"exists": "a"}),
            "`streams.results.query.exists` has no `field`",
        ),
    ] {
        let error = with_query(query.clone()).unwrap_err();
        assert_eq!(error.message(), message, "{query}");
    }
    let error = with_query(json!({"bool": {"must": {"must": {}}}})).unwrap_err();
    assert!(
        error.hints()[0].contains("once, with a list"),
        "{:?}",
        error.hints()
    );
}

#[test]
fn a_path_that_an_index_lacks_does_not_fail_the_search() {
    let query =
        json!({"bool": {"filter": [{"nested": {"path": "labels", "query": {"match_all": {}}}}]}});
    let config = with_query(query).unwrap();
    let (name, stream) = config.streams.iter().next().unwrap();
    let filter = config.stream(name, stream).filter;
    assert_eq!(
        filter["bool"]["filter"][0]["nested"]["ignore_unmapped"],
        json!(true)
    );
}

#[test]
fn settings_that_cannot_be_meant_are_named() {
    for (changes, message) in [
        (json!({"parallel": 0}), "`parallel` must be at least 1"),
        (
            json!({"page_size": 10_001}),
            "`page_size` must be from 1 to 10000",
        ),
        (json!({"streams": {}}), "`streams` has no stream"),
        (
            json!({"streams": {"a*": {}}}),
            "`streams.a*` is no name of a stream",
        ),
        (
            json!({"streams": {"a": {"source": []}}}),
            "`streams.a.source` is empty",
        ),
        (
            json!({"streams": {"a": {"json_as": "record"}}}),
            "`streams.a` says what becomes of JSON documents, and retrieves none",
        ),
        (
            json!({"streams": {"a": {"retrieve": "json", "json_field": "fileId"}}}),
            "`streams.a.json_field` is no name for the documents",
        ),
        (json!({"org_slug": " "}), "`org_slug` is empty"),
    ] {
        let error = config(changes.clone()).unwrap_err();
        assert_eq!(error.message(), message, "{changes}");
    }
}

#[test]
fn a_stream_takes_from_the_top_what_it_does_not_say() {
    let config = config(json!({"retrieve": "file", "parallel": 3, "streams": {
        "a": {}, "b": {"retrieve": "json", "page_size": 7, "index": "ids"}}}))
    .unwrap();
    let streams: Vec<Stream> = (config.streams.iter())
        .map(|(name, stream)| config.stream(name, stream))
        .collect();
    assert_eq!(streams[0].retrieve, Retrieve::File);
    assert_eq!(streams[0].max_file_bytes, u64::MAX);
    assert_eq!(streams[1].max_file_bytes, MAX_DOCUMENT_BYTES);
    assert_eq!((streams[1].page_size, streams[1].indices.len()), (7, 1));
    assert_eq!(streams[1].json_field.as_deref(), Some("data"));
    assert_eq!(config.overlap_seconds(), 300);
}

#[test]
fn no_two_streams_write_into_one_folder() {
    let two = |other: Value| {
        let files = json!({"retrieve": "file"});
        config(json!({"streams": {"Raw:a": files, "raw_A": other}}))
    };
    let error = two(json!({"retrieve": "file"})).unwrap_err();
    assert!(error.message().contains("the folder of another stream"));
    two(json!({"retrieve": "file", "download_dir": "other"})).unwrap();
    two(json!({})).unwrap();
}
