//! Tests of records.

use super::*;
use crate::config::tests::config;

fn stream(changes: serde_json::Value) -> Stream {
    let config = config(serde_json::json!({"streams": {"s": changes}})).unwrap();
    let (name, stream) = config.streams.iter().next().unwrap();
    config.stream(name, stream)
}

fn names(stream: &Stream, source: &str, document: Option<&str>) -> Result<Vec<String>> {
    let source = Document::parse(source.as_bytes()).unwrap();
    let document = document.map(|text| Document::parse(text.as_bytes()).unwrap());
    Ok(fields(stream, source, document)?
        .into_iter()
        .map(|field| field.name)
        .collect())
}

#[test]
fn white_space_goes_and_what_is_not_finite_is_null() {
    let mut out = Vec::new();
    write_compact(
        &mut out,
        b"{ \"a b\" : [ 1.50,\n NaN, -Infinity ,\"x\\\" N I\" ] , \"n\": -2e9 }",
    );
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"a b":[1.50,null,null,"x\" N I"],"n":-2e9}"#
    );
}

#[test]
fn what_is_no_json_is_no_document() {
    for text in [&b"{} {}"[..], b"", b"{\"a\": \"\xff\"}", b"{", b"not JSON"] {
        assert!(Document::parse(text).is_none());
    }
    assert!(
        Document::parse(b"\xef\xbb\xbf {\"a\": 1} \n")
            .unwrap()
            .is_object()
    );
}

#[test]
fn fields_come_from_the_search_and_the_document() {
    let source = r#"{"fileId": "f", "data": {"old": 1}, "file": {"size": 1, "path": {"a": 2}}, "metadata": {"x": "y"}}"#;
    let document = Some(r#"{"fileId": "other", "samples": []}"#);
    let plain = stream(serde_json::json!({"retrieve": "json"}));
    assert_eq!(
        names(&plain, source, document).unwrap(),
        ["fileId", "file", "metadata", "data"]
    );
    let record = stream(serde_json::json!({"retrieve": "json", "json_as": "record"}));
    assert_eq!(
        names(&record, source, document).unwrap(),
        ["fileId", "samples"]
    );
    let flat = stream(serde_json::json!({"flatten": true}));
    assert_eq!(
        names(&flat, source, None).unwrap(),
        [
            "fileId",
            "data__old",
            "file__size",
            "file__path__a",
            "metadata"
        ]
    );
    let twice = r#"{"a__b": 1, "a": {"b": 2}}"#;
    let error = names(&flat, twice, None).unwrap_err();
    assert!(error.message().contains("`a__b`"));
}
