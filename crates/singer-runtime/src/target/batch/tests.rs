//! Batches: what a row keeps, which of one key wins, buffers that are used again.

use singer_core::schema::Schema;

use super::*;

fn stream(schema: &str, key: &str) -> Arc<Stream> {
    Arc::new(Stream {
        name: "s".to_owned(),
        schema: Schema::new(schema, Some(key), None).unwrap(),
        guessed: false,
    })
}

fn texts(batch: &Batch) -> Vec<Vec<Option<String>>> {
    batch
        .records()
        .map(|record| {
            (0..batch.width)
                .map(|property| {
                    record
                        .field(property)
                        .map(|(_, text)| String::from_utf8(text.to_vec()).unwrap())
                })
                .collect()
        })
        .collect()
}

fn json(record: Record<'_>) -> String {
    let mut out = Vec::new();
    record.write_json(&mut out);
    String::from_utf8(out).unwrap()
}

const SCHEMA: &str = r#"{"properties":{"id":{},"a":{},"b":{}}}"#;

#[test]
fn records_keep_their_bytes_and_fields() {
    let stream = stream(SCHEMA, r#"["id"]"#);
    let records = [r#"{"id":1, "a":"x","extra":[1]}"#, r#"{"b":null,"id":2}"#];
    let batch = Batch::from_records(stream, &[0], &records).unwrap();
    assert_eq!(
        texts(&batch),
        [
            [Some("1".to_owned()), Some("\"x\"".to_owned()), None],
            [Some("2".to_owned()), None, Some("null".to_owned())],
        ]
    );
    assert_eq!(json(batch.record(0)), records[0]);
    assert!(batch.record(0).has_extra() && !batch.record(1).has_extra());
    assert_eq!(batch.record(1).line(), 2);
    let mut key = Vec::new();
    batch.record(1).write_key(&mut key);
    assert_eq!(key, br#"{"id":2}"#);
}

#[test]
fn of_one_key_the_last_record_wins_field_by_field() {
    let records = [
        r#"{"id":"k","a":1,"b":1,"x":0}"#,
        r#"{"id":"other","a":5}"#,
        r#"{"id":"\u006b","a":null,"y":NaN}"#,
        r#"{"id":"k","b":3}"#,
    ];
    let batch = Batch::from_records(stream(SCHEMA, r#"["id"]"#), &[0], &records).unwrap();
    assert_eq!(batch.len(), 2);
    assert_eq!(
        texts(&batch)[0],
        [
            Some("\"k\"".to_owned()),
            Some("null".to_owned()),
            Some("3".to_owned())
        ]
    );
    assert_eq!(
        json(batch.record(0)),
        r#"{"id":"k","a":null,"b":3,"x":0,"y":"NaN"}"#
    );
    assert_eq!(
        (batch.record(0).line(), batch.record(0).has_extra()),
        (4, true)
    );
    assert_eq!(json(batch.record(1)), records[1]);
}

#[test]
fn rows_without_a_key_or_with_a_null_in_it_stand_for_themselves() {
    let records = [
        r#"{"id":1}"#,
        r#"{"id":1}"#,
        r#"{"id":null}"#,
        r#"{"id":null}"#,
    ];
    let stream = stream(SCHEMA, "[]");
    let batch = Batch::from_records(Arc::clone(&stream), &[], &records).unwrap();
    assert_eq!(batch.len(), 4);
    let batch = Batch::from_records(stream, &[0], &records).unwrap();
    assert_eq!(batch.len(), 3);
    let mut key = Vec::new();
    batch.record(0).write_key(&mut key);
    assert_eq!(key, b"null");
}

#[test]
fn the_runtimes_own_values_are_fields_and_not_part_of_the_record() {
    let stream = stream(SCHEMA, r#"["id"]"#);
    let mut builder = Builder::new(
        Arc::clone(&stream),
        0,
        key::KeyHasher::new(""),
        vec![0],
        Buffers::default(),
    );
    let record = br#"{"id":1}"#;
    let mut fields = Fields::default();
    fields.scan(record, 0, stream.schema.layout()).unwrap();
    let origin = Origin {
        number: 0,
        line: 1,
        version: Some(7),
        attempts: 2,
    };
    let row = builder.push(record, &fields, origin);
    builder.set(row, 2, ValueKind::Integer, b"42");
    let sealed = builder.seal();
    let row = sealed.batch.record(0);
    assert_eq!(row.field(2), Some((ValueKind::Integer, b"42".as_slice())));
    assert_eq!(json(row), r#"{"id":1}"#);
    assert_eq!((row.version(), row.attempts()), (Some(7), 2));
    assert_eq!(sealed.hashes.len(), 1);
}

#[test]
fn buffers_are_used_again() {
    let stream = stream(SCHEMA, "[]");
    let batch = Batch::from_records(Arc::clone(&stream), &[], &[r#"{"id":1}"#]).unwrap();
    let buffers = Buffers::of(batch, Vec::new());
    assert!(buffers.capacity() > 0);
    let builder = Builder::new(stream, 0, key::KeyHasher::new(""), Vec::new(), buffers);
    assert!(builder.bytes() == 0 && builder.len() == 0);
}
