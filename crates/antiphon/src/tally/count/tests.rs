//! Counting against the real parser, over pieces of any size.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// `name records bytes batches` of each stream.
fn counted(blocks: &[&[u8]]) -> Vec<String> {
    let mut tally = Tally::default();
    for block in blocks {
        tally.take(block);
    }
    tally.end();
    tally
        .streams()
        .map(|it| format!("{} {} {} {}", it.stream, it.records, it.bytes, it.batches))
        .collect()
}

#[test]
fn records_are_counted_whatever_their_envelope_looks_like() {
    for line in [
        r#"{"type":"RECORD","stream":"a","record":{"id":1}}"#,
        r#"{"type": "RECORD", "stream": "a", "record": {"id": 1}, "version": 7}"#,
        r#" { "stream" : "a" , "type" : "record" , "record" : { } } "#,
        r#"{"record":{"type":"STATE","stream":"b"},"stream":"a","type":"RECORD"}"#,
        r#"{"record":{"a":"\"stream\":\"b\""},"type":"RECORD","stream":"a"}"#,
        r#"{"version":1,"time_extracted":"x","stream":"\u0061","type":"RECORD","record":{}}"#,
        r#"{"ty\u0070e":"x","type":"RECORD","stream":"a","record":{}}"#,
        "{\"type\":\"RECORD\",\"stream\":\"a\",\"record\":{}}\r",
    ] {
        let length = line.len() + 1;
        let bytes = format!("{line}\n");
        assert_eq!(
            counted(&[bytes.as_bytes()]),
            [format!("a 1 {length} 0")],
            "{line}"
        );
    }
}

#[test]
fn what_is_no_record_is_not_counted() {
    let lines = [
        r#"{"type":"STATE","value":{"type":"RECORD","stream":"a"}}"#,
        r#"{"type":"ACTIVATE_VERSION","stream":"a","version":1}"#,
        r#"{"stream":"a","record":{}}"#,
        r#"{"type":"RECORD","stream":7,"record":{}}"#,
        r#"{"type":"RECORD","record":{}}"#,
        r#"["type","RECORD","stream","a"]"#,
        "Traceback (most recent call last):",
        "",
        "{",
        "\u{0}",
        r#"{"type":"RECORD","str"#,
    ];
    assert!(counted(&[lines.join("\n").as_bytes()]).is_empty());
    assert!(counted(&[b"\xff\xfe\n\n\r\n"]).is_empty());
    assert!(counted(&[]).is_empty());
}

#[test]
fn names_are_told_apart_by_what_they_mean() {
    let lines = [
        r#"{"type":"RECORD","stream":"naïve \"x\" 😀","record":{}}"#,
        r#"{"type":"RECORD","stream":"na\u00efve \"x\" \ud83d\ude00","record":{}}"#,
        r#"{"type":"RECORD","stream":"other","record":{}}"#,
    ];
    let counted = counted(&[lines.join("\n").as_bytes()]);
    assert_eq!(counted.len(), 2);
    assert!(
        counted[0].starts_with("naïve \"x\" 😀 2 "),
        "{}",
        counted[0]
    );
}

#[test]
fn a_last_line_without_an_end_and_a_byte_order_mark_are_taken() {
    let line = "{\"type\":\"RECORD\",\"stream\":\"a\",\"record\":{}}";
    let bytes = format!("\u{feff}{line}\r\n\n{line}");
    assert_eq!(
        counted(&[bytes.as_bytes()]),
        [format!("a 2 {} 0", 2 * line.len() + 5)]
    );
    // A last line that is cut where its stream is known has come as a record: the target judges it.
    assert_eq!(counted(&[&line.as_bytes()[..35]]), ["a 1 35 0"]);
}

#[test]
fn files_are_counted_apart_and_schemas_have_fingerprints() {
    let schema = json!({"properties": {"id": {"type": ["null", "integer"]}}});
    let lines = [
        json!({"type": "SCHEMA", "stream": "a", "schema": schema, "key_properties": []})
            .to_string(),
        json!({"type": "BATCH", "stream": "a", "encoding": {}, "manifest": ["x"]}).to_string(),
        json!({"type": "SCHEMA", "stream": "b", "schema": {}, "key_properties": []}).to_string(),
    ];
    let mut tally = Tally::default();
    tally.take(lines.join("\n").as_bytes());
    tally.end();
    let streams: Vec<Stream> = tally.streams().collect();
    assert_eq!((streams[0].batches, streams[0].records), (1, 0));
    assert_eq!(streams[0].schema, fingerprint(&schema.to_string()));
    assert_eq!(streams[1].schema, fingerprint("{}"));
    tally.take(b"\n{\"type\":\"SCHEMA\",\"stream\":\"b\",\"schema\":{\"properties\":{}},\"key_properties\":[]}\n");
    let changed = tally.streams().nth(1).unwrap().schema;
    assert_eq!(changed, fingerprint(r#"{"properties":{}}"#));
}

#[test]
fn lines_larger_than_any_buffer_are_counted_and_not_held() {
    let value = "x".repeat(3 * LOOK_AFTER);
    let usual =
        format!("{{\"type\":\"RECORD\",\"stream\":\"a\",\"record\":{{\"v\":\"{value}\"}}}}\n");
    let odd =
        format!("{{\"record\":{{\"v\":\"{value}\"}},\"stream\":\"b\",\"type\":\"RECORD\"}}\n");
    let mut tally = Tally::default();
    for piece in usual.as_bytes().chunks(1000) {
        tally.take(piece);
        assert!(tally.begun.bytes.len() <= LOOK_AFTER + 1000);
    }
    for piece in odd.as_bytes().chunks(4096) {
        tally.take(piece);
    }
    let counted: Vec<(u64, u64)> = tally.streams().map(|it| (it.records, it.bytes)).collect();
    assert_eq!(counted, [(1, usual.len() as u64), (1, odd.len() as u64)]);
}

proptest! {
    /// The quick look and the real parser agree on whatever a tap may write, cut wherever it may be.
    #[test]
    fn the_look_agrees_with_the_parser(
        lines in prop::collection::vec(
            (0..6_usize, "[a-c\u{e9}\"\\\\]{1,3}", any::<bool>(), prop::collection::vec(0..4_usize, 4)),
            0..12,
        ),
        cut in prop::collection::vec(1..40_usize, 1..20),
        ends in any::<bool>(),
    ) {
        let mut text = String::new();
        for (kind, stream, spaced, order) in &lines {
            let kinds = ["RECORD", "record", "STATE", "SCHEMA", "BATCH", "Record"];
            let stream = serde_json::to_string(stream).unwrap();
            let mut parts = [
                format!("\"type\":\"{}\"", kinds[*kind]),
                format!("\"stream\":{stream}"),
                format!("\"record\":{{\"stream\":{stream},\"type\":\"RECORD\"}}"),
                "\"n\":[1,\"}\",{\"type\":\"STATE\"}]".to_owned(),
            ];
            for (at, other) in order.iter().enumerate() {
                parts.swap(at, *other);
            }
            let between = if *spaced { " , " } else { "," };
            text.push_str(&format!("{{{}}}\n", parts.join(between)));
        }
        if !ends {
            text.pop();
        }
        let mut expected: HashMap<String, u64> = HashMap::new();
        for line in text.lines() {
            if let Ok(Line::Record(record)) = line::parse(line.as_bytes(), &mut Fields::default(), |_| None) {
                *expected.entry(record.stream.into_owned()).or_default() += 1;
            }
        }
        let mut tally = Tally::default();
        let mut rest = text.as_bytes();
        for length in cut.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*length).min(rest.len()));
            tally.take(piece);
            rest = after;
        }
        tally.end();
        let found: HashMap<String, u64> = tally
            .streams()
            .filter(|it| it.records > 0)
            .map(|it| (it.stream, it.records))
            .collect();
        prop_assert_eq!(found, expected);
    }
}
