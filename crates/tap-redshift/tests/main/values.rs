//! Values of every type of PostgreSQL, through COPY and through a cursor, which must agree.

use serde_json::{Value, json};
use singer_test::database::Database;
use singer_test::stream::Messages;

use crate::kit::Tap;

/// The raw line of the record of a stream, in which no number was rounded by a reader.
fn raw_record(tap: &Tap, pattern: &str) -> String {
    let ended = tap.run(&["--select", pattern]).finish();
    ended.expect_code(0);
    let text = ended.text();
    let line = text
        .lines()
        .find(|line| line.starts_with("{\"type\":\"RECORD\""));
    let line = line.expect("there is a record");
    let (_, record) = line.split_once("\"record\":").unwrap();
    record.trim_end_matches('}').to_owned()
}

const EVERYTHING: &str = "
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN positive AS integer CHECK (value > 0);
CREATE DOMAIN very_positive AS positive;
CREATE TYPE pair AS (a integer, b text);
CREATE EXTENSION citext;
CREATE TABLE everything (
    c01 boolean, c02 smallint, c03 integer, c04 bigint, c05 real, c06 double precision,
    c07 numeric, c08 numeric(18,4), c09 text, c10 varchar(20), c11 char(5), c12 bytea,
    c13 date, c14 time, c15 timetz, c16 timestamp, c17 timestamptz, c18 uuid, c19 json, c20 jsonb,
    c21 integer[], c22 text[], c23 integer[][], c24 mood, c25 interval, c26 inet, c27 cidr,
    c28 macaddr, c29 int4range, c30 daterange, c31 positive, c32 very_positive, c33 citext,
    c34 money, c35 bit(3), c36 varbit, c37 xml, c38 tsvector, c39 point, c40 box[], c41 pair,
    c42 oid, c43 inet[], c44 mood[], c45 numeric[], c46 \"char\", c47 name, c48 oidvector
);
INSERT INTO everything VALUES (
    true, -3, 2147483647, -9223372036854775808, 0.1, 1e300,
    123456789012345678901234567890.1234567890, 12.5, E'q\"\\\\\\n\\té😀\\x01', 'v', 'ab', '\\x00ff',
    '2024-02-29', '12:30:01.5', '12:30:01+02', '2024-02-29 12:00:00.123456',
    '2024-02-29 12:00:00+05:30', 'AAAAAAAA-2222-3333-4444-555555555555', E'{\"a\":\\n [1,2.50]}',
    '{\"z\":1e2}', '{1,NULL,3}', '{a,\"b,\\\"c\",NULL,\"NULL\"}', '{{1,2},{3,4}}', 'happy',
    '1 year 2 days 03:04:05', '10.1.2.3', '10.0.0.0/8', '08:00:2b:01:02:03', '[1,5)',
    '[2024-01-01,2024-02-01)', 5, 6, 'CiText', '12.34', '101', '1101', '<a>é</a>', 'a fat cat',
    '(1,2)', '{(2,2),(1,1);(3,3),(0,0)}', '(1,\"x y\")', 4294967295, '{10.1.2.3,::1}',
    '{sad,happy}', '{1.50,NULL}', 'q', 'nm', '1 2 3'
);";

const EXPECTED: &str = r#"{"c01":true,"c02":-3,"c03":2147483647,"c04":-9223372036854775808,"c05":0.1,"c06":1e+300,"c07":123456789012345678901234567890.1234567890,"c08":12.5000,"c09":"q\"\\\n\té😀\u0001","c10":"v","c11":"ab   ","c12":"00ff","c13":"2024-02-29","c14":"12:30:01.500000","c15":"12:30:01+02:00","c16":"2024-02-29T12:00:00.123456Z","c17":"2024-02-29T06:30:00Z","c18":"aaaaaaaa-2222-3333-4444-555555555555","c19":{"a":  [1,2.50]},"c20":{"z": 100},"c21":[1,null,3],"c22":["a","b,\"c",null,"NULL"],"c23":[[1,2],[3,4]],"c24":"happy","c25":"1 year 2 days 03:04:05","c26":"10.1.2.3","c27":"10.0.0.0/8","c28":"08:00:2b:01:02:03","c29":"[1,5)","c30":"[2024-01-01,2024-02-01)","c31":5,"c32":6,"c33":"CiText","c34":"$12.34","c35":"101","c36":"1101","c37":"<a>é</a>","c38":"'a' 'cat' 'fat'","c39":"(1,2)","c40":["(2,2),(1,1)","(3,3),(0,0)"],"c41":"(1,\"x y\")","c42":4294967295,"c43":["10.1.2.3","::1"],"c44":["sad","happy"],"c45":[1.50,null],"c46":"q","c47":"nm","c48":"1 2 3""#;

#[test]
fn every_type_arrives_with_every_digit_however_it_is_fetched() {
    let database = Database::new();
    database.execute(EVERYTHING);
    assert_eq!(raw_record(&Tap::of(&database), "*everything"), EXPECTED);
    let cursor = Tap::of(&database).with("fetch_mode", "cursor");
    assert_eq!(raw_record(&cursor, "*everything"), EXPECTED);
    // The records fit their own schema: `select` looks.
    Tap::of(&database).select("*everything");
}

const SPECIAL: &str = "
CREATE TABLE special (id integer PRIMARY KEY, f double precision, n numeric, d date, t timestamp, z timestamptz);
INSERT INTO special VALUES
    (1, 'NaN', 'NaN', 'infinity', '-infinity', '0044-03-15 00:00:00+00 BC'),
    (2, '-Infinity', 1, '10000-01-01', '12345-06-07 08:09:10', 'infinity'),
    (3, 1, 1, '0001-01-01', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59+00');";

fn special(messages: &Messages) -> Vec<Value> {
    let records = messages.records("special");
    records.into_iter().cloned().collect()
}

#[test]
fn values_that_json_lacks_become_null_and_are_counted() {
    let database = Database::new();
    database.execute(SPECIAL);
    for mode in ["stream", "cursor"] {
        let tap = Tap::of(&database).with("fetch_mode", mode);
        assert_eq!(
            special(&tap.select("*special")),
            [
                json!({"id": 1, "f": null, "n": null, "d": null, "t": null, "z": null}),
                json!({"id": 2, "f": null, "n": 1, "d": null, "t": null, "z": null}),
                json!({"id": 3, "f": 1, "n": 1, "d": "0001-01-01",
                    "t": "9999-12-31T23:59:59.999999Z", "z": "9999-12-31T23:59:59Z"}),
            ]
        );
        let ended = tap.run(&["--select", "*special"]).finish();
        ended.expect_log("not finite").expect_log("count=3");
        ended.expect_log("years 1 to 9999").expect_log("count=6");
    }
}

#[test]
fn values_that_json_lacks_become_text_where_that_is_wanted() {
    let database = Database::new();
    database.execute(SPECIAL);
    for mode in ["stream", "cursor"] {
        let tap = Tap::of(&database)
            .with("fetch_mode", mode)
            .with("special_values", "text");
        let records = special(&tap.select("*special"));
        assert_eq!(
            records[..2],
            [
                json!({"id": 1, "f": "NaN", "n": "NaN", "d": "infinity", "t": "-infinity",
                    "z": records[0]["z"]}),
                json!({"id": 2, "f": "-Infinity", "n": 1, "d": "10000-01-01",
                    "t": "12345-06-07 08:09:10", "z": "infinity"}),
            ],
            "{mode}"
        );
        assert!(
            records[0]["z"]
                .as_str()
                .unwrap()
                .starts_with("0044-03-15 00:00:00")
        );
    }
}

#[test]
fn decimals_and_bytes_and_padding_follow_their_settings() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE t (n numeric(30,10), b bytea, c char(4));
         INSERT INTO t VALUES (12345678901234567890.5, '\\x00ff', 'ab')",
    );
    for mode in ["stream", "cursor"] {
        let tap = Tap::of(&database)
            .with("fetch_mode", mode)
            .with("decimal", "string")
            .with("binary", "base64")
            .with("trim_char", true);
        assert_eq!(
            tap.select("*.t").records("t"),
            [&json!({"n": "12345678901234567890.5000000000", "b": "AP8=", "c": "ab"})]
        );
    }
}
