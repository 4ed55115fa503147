//! The line decoder against serde_json: what it takes is JSON, what it refuses is not a message, and
//! its spans hold the values that serde_json finds.
//!
//! Three differences are known and wanted: `NaN` and `Infinity` are taken and marked, half a
//! surrogate pair is taken, and nesting is bounded a little differently.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use singer_core::line::{self, Line};
use singer_core::scan::{Fields, ValueKind, scan_value, skip_space};
use singer_core::schema::Schema;
use singer_core::validate::Validator;

fuzz_target!(|text: &[u8]| {
    check_values(text);
    check_message(text);
});

/// Whether serde_json can be asked: it knows the text's words and bounds.
fn is_comparable(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    let has = |word: &[u8]| lower.windows(word.len()).any(|window| window == word);
    let depth = text
        .iter()
        .filter(|byte| matches!(byte, b'[' | b'{'))
        .count();
    !has(b"\\ud") && !has(b"nan") && !has(b"infinity") && depth < 100
}

fn check_values(text: &[u8]) {
    let scanned = scan_value(text, skip_space(text, 0), 0);
    let is_whole = |end: usize| skip_space(text, end) == text.len();
    let is_json = scanned.is_ok_and(|value| is_whole(value.end));
    if std::str::from_utf8(text).is_ok() && is_comparable(text) {
        assert_eq!(serde_json::from_slice::<Value>(text).is_ok(), is_json);
    }
}

fn check_message(text: &[u8]) {
    let schema = Schema::new(
        r#"{"properties":{"id":{"type":"integer","minimum":0},"a":{"type":["null","string"],"maxLength":3},
            "b":{"type":"object","properties":{"c":{"type":"number"}},"required":["c"]},"é":{}}}"#,
        Some(r#"["id"]"#),
        None,
    )
    .expect("the schema is one");
    let mut fields = Fields::default();
    let parsed = line::parse(text, &mut fields, |stream| {
        (stream == "s").then_some(schema.layout())
    });
    let expected = serde_json::from_slice::<Map<String, Value>>(text).ok();
    match parsed {
        Ok(Line::Record(record)) if record.scanned => {
            let bytes = record.record.as_bytes();
            // Whatever stands there, judging it never panics.
            let judged = Validator::new(&schema).check(bytes, &fields);
            let Some(message) = expected.filter(|_| is_comparable(text)) else {
                return;
            };
            let Value::Object(wanted) = &message["record"] else {
                panic!("a record is an object");
            };
            for (field, name) in fields.as_slice().iter().zip(schema.layout().names()) {
                let found = field.is_present().then(|| {
                    let span = &bytes[field.start as usize..field.end as usize];
                    serde_json::from_slice::<Value>(span).expect("a span is JSON")
                });
                assert_eq!(found.as_ref(), wanted.get(name));
                assert_eq!(
                    found.map(|value| kind_of(&value)),
                    field.is_present().then_some(field.kind)
                );
            }
            assert_eq!(judged.is_ok(), fits(wanted));
        }
        Ok(_) => {
            if is_comparable(text) {
                assert!(expected.is_some(), "a message is a JSON object");
            }
        }
        Err(_) => {
            if let Some(message) = expected.filter(|_| is_comparable(text)) {
                let kind = message.get("type").and_then(Value::as_str);
                let has = |key: &str| message.contains_key(key);
                assert!(kind != Some("STATE") || !has("value"), "a STATE is taken");
                let is_record = message.get("record").is_some_and(Value::is_object)
                    && message.get("stream").is_some_and(Value::is_string);
                let is_plain = kind == Some("RECORD") && is_record && !has("version");
                assert!(!is_plain, "a RECORD is taken");
            }
        }
    }
}

fn kind_of(value: &Value) -> ValueKind {
    match value {
        Value::Null => ValueKind::Null,
        Value::Bool(_) => ValueKind::Boolean,
        Value::Number(number) if number.to_string().contains(['.', 'e', 'E']) => ValueKind::Number,
        Value::Number(_) => ValueKind::Integer,
        Value::String(_) => ValueKind::String,
        Value::Array(_) => ValueKind::Array,
        Value::Object(_) => ValueKind::Object,
    }
}

/// The schema above, judged on the tree.
fn fits(record: &Map<String, Value>) -> bool {
    let id = record.get("id").is_none_or(|id| {
        let text = id.to_string();
        let is_whole = singer_core::number::is_whole(text.as_bytes());
        let is_zero = text
            .trim_start_matches('-')
            .split(['e', 'E'])
            .next()
            .is_some_and(|digits| digits.bytes().all(|byte| matches!(byte, b'0' | b'.')));
        id.is_number() && is_whole && (is_zero || !text.starts_with('-'))
    });
    let a = record.get("a").is_none_or(|a| match a {
        Value::Null => true,
        Value::String(text) => text.chars().count() <= 3,
        _ => false,
    });
    let b = record
        .get("b")
        .is_none_or(|b| b.get("c").is_some_and(Value::is_number));
    id && a && b
}
