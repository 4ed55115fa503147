//! Random schemas and records: what is encoded is read back as the same values, and a refused row
//! leaves nothing behind.

use proptest::prelude::*;

use super::*;

/// A property's schema with a value that may or may not be one of it.
fn property() -> BoxedStrategy<(Value, Value)> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6f64).prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |double| {
            serde_json::Number::from_f64(double).map(Value::Number)
        }),
    ];
    let text = prop_oneof![
        "\\PC{0,12}",
        "[\u{0}-\u{1f}\"\\\\é😀a]{0,200}",
        (1..9999u32, 1..13u32, 1..29u32).prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}")),
        (1..9999u32, 0..24u32, 0..1_000_000u32)
            .prop_map(|(y, h, f)| format!("{y:04}-03-01T{h:02}:00:00.{f:06}Z")),
        (0..24u32, 0..60u32).prop_map(|(h, m)| format!("{h:02}:{m:02}:00")),
        any::<i64>().prop_map(|number| number.to_string()),
        "[A-Za-z0-9+/]{4}",
    ]
    .prop_map(Value::from);
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        text
    ];
    let scalar_schema = prop::sample::select(vec![
        json!({"type": ["null", "boolean"]}),
        json!({"type": "integer"}),
        json!({"type": "number"}),
        json!({"type": "number", "multipleOf": 0.01}),
        json!({"type": "string"}),
        json!({"type": "string", "format": "date-time"}),
        json!({"type": "string", "format": "date"}),
        json!({"type": "string", "format": "time"}),
        json!({"type": "string", "format": "singer.decimal"}),
        json!({"type": "string", "contentEncoding": "base64"}),
        json!({"type": "string", "contentEncoding": "base16"}),
        json!({}),
    ]);
    (scalar_schema, scalar)
        .prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|parts| {
                    let schema = parts
                        .first()
                        .map_or(json!({}), |(schema, _)| schema.clone());
                    let values: Vec<Value> = parts.into_iter().map(|(_, value)| value).collect();
                    (json!({"type": "array", "items": schema}), json!(values))
                }),
                prop::collection::btree_map("[a-z é-]{1,4}", inner, 0..5).prop_map(|parts| {
                    let schema: serde_json::Map<String, Value> = parts
                        .iter()
                        .map(|(name, part)| (name.clone(), part.0.clone()))
                        .collect();
                    let value: serde_json::Map<String, Value> = parts
                        .into_iter()
                        .map(|(name, part)| (name, part.1))
                        .collect();
                    (
                        json!({"type": "object", "properties": schema}),
                        json!(value),
                    )
                }),
            ]
        })
        .boxed()
}

/// Whether a line and a message say the same of a value of this column.
fn agree(column: &Column, line: &Value, message: Option<&Value>) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    if column.is_repeated() {
        let (lines, messages) = (list(line), message.map(list).unwrap_or_default());
        let mut one = column.clone();
        one.field.mode = crate::model::Mode::Nullable;
        return lines.len() == messages.len()
            && lines
                .iter()
                .zip(&messages)
                .all(|(line, message)| agree(&one, line, Some(message)));
    }
    let Some(message) = message else {
        return line.is_null();
    };
    let whole = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    match column.field.kind {
        Kind::Record => column.columns.iter().all(|inner| {
            let name = &inner.field.name;
            agree(inner, &line[name], message.get(name))
        }),
        Kind::Json => serde_json::from_str::<Value>(message.as_str().unwrap()).unwrap() == *line,
        Kind::Integer => whole(line) == message.as_i64(),
        Kind::Float => match line.as_f64() {
            // The reader of the line is not exact in the last digit.
            Some(line) => message
                .as_f64()
                .is_some_and(|message| (message - line).abs() <= line.abs() * 1e-15),
            None => message.is_string(),
        },
        Kind::Timestamp => {
            let mut text = Vec::new();
            temporal::write_timestamp(message.as_i64().unwrap(), &mut text);
            line.as_str().unwrap().as_bytes() == text
        }
        Kind::Date => {
            let mut text = Vec::new();
            temporal::write_date(message.as_i64().unwrap(), &mut text);
            line.as_str().unwrap().as_bytes() == text
        }
        Kind::Bytes => {
            let mut bytes = Vec::new();
            bytes::decode(
                line.as_str().unwrap().as_bytes(),
                Default::default(),
                &mut bytes,
            )
            .unwrap();
            json!(bytes) == *message
        }
        _ => line == message,
    }
}

/// Whether a line holds the value that came in, for types that keep their values as they are.
fn keeps(column: &Column, given: &Value, line: &Value) -> bool {
    if given.is_null() || column.is_repeated() {
        return true;
    }
    match column.field.kind {
        Kind::Json | Kind::Boolean => given == line,
        Kind::String if given.is_string() => given == line,
        Kind::Float if given.is_number() => given.as_f64() == line.as_f64(),
        Kind::Record => column
            .columns
            .iter()
            .all(|inner| keeps(inner, &given[&inner.property], &line[&inner.field.name])),
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn lines_and_messages_say_the_same(parts in prop::collection::vec(property(), 1..5)) {
        let names = ["a", "b", "c", "d", "e"];
        let mut properties = serde_json::Map::new();
        let mut record = serde_json::Map::new();
        for (name, (schema, value)) in names.iter().zip(parts) {
            properties.insert((*name).to_owned(), schema);
            record.insert((*name).to_owned(), value);
        }
        let document = json!({"type": "object", "properties": properties});
        let schema = Schema::new(&document.to_string(), None, None).unwrap();
        // Names inside may be one: that is told, and there is nothing to encode.
        let Ok(columns) = plan(&schema, &SchemaOptions::default()) else { return Ok(()) };
        let stream = Arc::new(Stream { name: "s".to_owned(), schema, guessed: false });
        let text = Value::Object(record).to_string();
        let record: Value = serde_json::from_str(&text).unwrap();
        let batch = Batch::from_records(stream, &[], &[&text]).unwrap();
        let read = batch.record(0);

        let encoder = ProtoEncoder::new(&columns, &[], Options::default());
        let (mut lines, mut message) = (b"x".to_vec(), b"x".to_vec());
        let one = ndjson(&read, &columns, &[], &Options::default(), &mut lines);
        let other = encoder.encode(&read, &[], &mut message);
        prop_assert_eq!(&one, &other);
        if one.is_err() {
            prop_assert_eq!(lines, b"x".to_vec());
            prop_assert_eq!(message, b"x".to_vec());
            return Ok(());
        }
        let line: Value = serde_json::from_slice(&lines[1..]).unwrap();
        let message = decoder::decode(&descriptor(&columns, &[]), &message[1..]);
        for column in &columns {
            let name = &column.field.name;
            prop_assert!(agree(column, &line[name], message.get(name)), "{} {}", line, message);
            prop_assert!(keeps(column, &record[&column.property], &line[name]), "{} {}", text, line);
        }
    }

    #[test]
    fn no_number_makes_the_encoders_panic(text in "-?(0|[1-9][0-9]{0,45})(\\.[0-9]{1,45})?([eE][+-]?[0-9]{1,25})?") {
        for kind in [Kind::Integer, Kind::Float, Kind::Numeric, Kind::BigNumeric, Kind::Json, Kind::String] {
            both(&of_kind(kind), &text).ok();
        }
    }

    #[test]
    fn no_text_makes_the_encoders_panic(value in prop_oneof![
        "\\PC{0,40}|[-0-9T:.+Z ]{0,40}".prop_map(|text| json!(text).to_string()),
        "\"(\\\\u[0-9a-f]{4}|[a-zé]){0,8}\"",
    ]) {
        for kind in [Kind::String, Kind::Timestamp, Kind::Date, Kind::Time, Kind::DateTime, Kind::Bytes, Kind::Integer, Kind::Numeric, Kind::Json] {
            both(&of_kind(kind), &value).ok();
        }
    }

    #[test]
    fn decimals_keep_their_value(text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?([eE]-?[0-4])?") {
        if let Ok((line, _)) = both(&of_kind(Kind::BigNumeric), &text) {
            let line = line.as_str().unwrap().as_bytes().to_vec();
            prop_assert_eq!(singer_core::number::compare(&line, text.as_bytes()), std::cmp::Ordering::Equal);
        } else {
            prop_assert!(false, "{} fits", text);
        }
    }
}
