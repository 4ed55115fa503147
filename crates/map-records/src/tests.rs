//! Facts about schemas and records, without a process around them.

use serde_json::{Value, json};
use singer_core::{Kind, Result};
use singer_runtime::map::Then;

use super::*;

fn map(streams: Value) -> anyhow::Result<MapRecords> {
    let config = json!({
        "streams": streams,
        "on_error": "stop",
        "rejects_path": "r.jsonl",
        "record_timeout_seconds": 5,
    });
    MapRecords::new(
        serde_json::from_value(config).unwrap(),
        &Context::for_tests("map-records"),
    )
}

const SCHEMA: &str = r#"{"type":"object","required":["id","email"],"properties":{"id":{"type":"integer","maximum":99999999999999999999999},"email":{"type":"string"},"n":{"type":["null","number"]},"x_1":{},"x_2":{}},"additionalProperties": false}"#;

fn open(rule: Value) -> Result<Opened<MapRecords>> {
    open_with(rule, SCHEMA)
}

fn open_with(rule: Value, schema: &str) -> Result<Opened<MapRecords>> {
    let map = map(json!({"s": rule})).expect("the config can be used");
    map.open(
        "s",
        SchemaMessage {
            schema,
            key_properties: Some(r#"["id"]"#),
            bookmark_properties: Some(r#"["n"]"#),
        },
    )
}

/// What records become under one rule: one list for each.
fn apply(rule: Value, records: &[&str]) -> Vec<std::result::Result<Vec<String>, Failure>> {
    let opened = open(rule).expect("the rule goes with the schema");
    let clock = Clock::system();
    let mut watch = Watch::new(clock, Duration::from_secs(5));
    let apply_one = |record: &&str| {
        let mut bytes = Vec::new();
        let mut out = Outputs::new(&mut bytes, b"", b"");
        let stream = &opened.stream;
        let result = MapRecords::apply(&mut watch, stream, record, Instant::now(), &mut out);
        let text = String::from_utf8(bytes).unwrap();
        result.map(|()| text.lines().map(str::to_owned).collect())
    };
    records.iter().map(apply_one).collect()
}

fn one(rule: Value, record: &str) -> std::result::Result<Vec<String>, Failure> {
    apply(rule, &[record]).remove(0)
}

#[test]
fn the_schema_follows_names_and_declarations_and_keeps_the_rest() {
    let opened = open(json!({
        "filter": ".", "schema": {"email": {"type": "integer"}, "score": "integer", "at": "date-time"},
        "rename": {"id": "key", "n": "m"}, "drop": ["x_*"],
    }))
    .unwrap();
    assert_eq!(
        opened.schema,
        r#"{"type":"object","required":["key"],"properties":{"key":{"type":"integer","maximum":99999999999999999999999},"email":{"type":"integer"},"m":{"type":["null","number"]},"score":{"type":["null","integer"]},"at":{"type":["null","string"],"format":"date-time"}},"additionalProperties":false}"#
    );
    assert_eq!(opened.key_properties.as_deref(), Some(r#"["key"]"#));
    assert_eq!(opened.bookmark_properties.as_deref(), Some(r#"["m"]"#));
}

#[test]
fn without_a_filter_what_is_required_stays_required() {
    let opened = open(json!({"rename": {"email": "mail"}, "drop": ["n"]})).unwrap();
    assert!(
        opened.schema.contains(r#""required":["id","mail"]"#),
        "{}",
        opened.schema
    );
    assert_eq!(opened.bookmark_properties.as_deref(), Some("[]"));
}

#[test]
fn a_pattern_spares_the_key_and_what_is_declared_or_renamed() {
    let opened = open(json!({
        "filter": ".", "schema": {"n": "number"}, "rename": {"x_1": "x"}, "drop": ["*"],
    }))
    .unwrap();
    assert_eq!(
        opened.schema,
        r#"{"type":"object","required":["id"],"properties":{"id":{"type":"integer","maximum":99999999999999999999999},"n":{"type":["null","number"]},"x":{}},"additionalProperties":false}"#
    );
}

#[test]
fn rules_that_do_not_go_with_a_stream_are_errors_of_the_config() {
    for (rule, words) in [
        (
            json!({"drop": ["id"]}),
            "`streams.s.drop` names `id`, which is the key",
        ),
        (
            json!({"rename": {"n": "email"}}),
            "`email` and `n` would be one field",
        ),
        (
            json!({"filter": ".", "schema": {"m": {}}, "rename": {"n": "m"}}),
            "would be one field",
        ),
    ] {
        let error = open(rule).err().unwrap();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().contains(words), "{error}");
    }
    // Names may change places.
    open(json!({"rename": {"n": "email", "email": "n"}})).unwrap();
    let error = open_with(json!({"drop": ["a"]}), "{}").err().unwrap();
    assert_eq!(error.kind(), Kind::Protocol);
}

#[test]
fn rules_that_contradict_themselves_are_errors_of_the_config() {
    for (rule, words) in [
        (
            json!({"rename": {"a": "b", "c": "b"}}),
            "gives `a` and `c` the same name `b`",
        ),
        (
            json!({"rename": {"a": ""}}),
            "`streams.s.rename.a` is empty",
        ),
        (
            json!({"rename": {"a": "b"}, "drop": ["a"]}),
            "both renames and drops `a`",
        ),
        (
            json!({"filter": ".", "schema": {"a": {}}, "drop": ["a"]}),
            "both declares and drops `a`",
        ),
        (json!({"schema": {"a": {}}}), "there is no filter"),
        (
            json!({"filter": ".", "schema": {"a": "text"}}),
            "must be a JSON schema or the word",
        ),
        (json!({"filter": ".", "filter_path": "x"}), "are both given"),
        (
            json!({"filter_path": "/no/such/file.jq"}),
            "cannot read `/no/such/file.jq`",
        ),
        (
            json!({"filter": ["def f: .;", "g"]}),
            "there is no `g` at line 2, column 1",
        ),
    ] {
        let error = map(json!({"s": rule})).unwrap_err();
        assert!(format!("{error:#}").contains(words), "{error:#}");
    }
}

#[test]
fn a_name_wins_over_patterns_and_of_these_the_first() {
    let map =
        map(json!({"a*": {"drop": ["1"]}, "*": {"drop": ["2"]}, "ab": {"drop": ["3"]}})).unwrap();
    let rule = |stream: &str| config::find(&map.rules, stream).unwrap().name.clone();
    assert_eq!([rule("ab"), rule("ac"), rule("b")], ["ab", "a*", "*"]);
}

#[test]
fn values_are_copied_as_they_stand() {
    let record = r#"{ "id" : 123456789012345678901234567890 , "email":"a\u00e9", "n": 1.10e+400,"x_1":[1, 2], "x_2":{"a" :1},"more":0.30}"#;
    assert_eq!(
        one(
            json!({"rename": {"email": "e\"mail", "more": "less"}, "drop": ["x_2"]}),
            record
        )
        .unwrap(),
        [
            r#"{"id":123456789012345678901234567890,"e\"mail":"a\u00e9","n":1.10e+400,"x_1":[1, 2],"less":0.30}"#
        ]
    );
    assert_eq!(one(json!({"drop": ["*"]}), r#"{"n":1}"#).unwrap(), ["{}"]);
}

#[test]
fn escaped_names_are_the_names_they_mean() {
    assert_eq!(
        one(
            json!({"rename": {"email": "mail"}, "drop": ["n"]}),
            r#"{"\u0065mail":"a","\u006e":1,"id":2}"#
        )
        .unwrap(),
        [r#"{"mail":"a","id":2}"#]
    );
}

#[test]
fn names_change_after_the_filter() {
    assert_eq!(
        one(
            json!({"filter": ".email |= ascii_downcase | ., (.id += 1 | .n = null)", "rename": {"email": "mail"}, "drop": ["x_1"]}),
            r#"{"id":1,"email":"A","n":1.0,"x_1":1,"x_2":123456789012345678901}"#
        )
        .unwrap(),
        [
            r#"{"id":1,"mail":"a","n":1.0,"x_2":123456789012345678901}"#,
            r#"{"id":2,"mail":"a","n":null,"x_2":123456789012345678901}"#
        ]
    );
}

#[test]
fn what_the_schema_does_not_say_stops_with_both_shapes() {
    for (filter, words) in [
        (
            ".score = 1",
            "yields `score`, which the SCHEMA does not have",
        ),
        (
            ".email = null",
            "yields `email` as null, and in the SCHEMA it is string",
        ),
        (
            ".n = \"secret\"",
            "yields `n` as string, and in the SCHEMA it is number or null",
        ),
        (
            ".id = 1.5",
            "yields `id` as number, and in the SCHEMA it is integer",
        ),
    ] {
        for on_error in ["stop", "reject", "pass"] {
            let failure = one(
                json!({"filter": filter, "on_error": on_error, "drop": ["x_*"]}),
                r#"{"id":1,"email":"secret","n":1}"#,
            )
            .unwrap_err();
            assert_eq!(failure.then, Then::Stop);
            assert!(failure.reason.ends_with(words), "{}", failure.reason);
            assert_eq!(
                failure.hints[0],
                "the SCHEMA says: `id` integer, `email` string, `n` number or null"
            );
            assert!(
                failure.hints[1].starts_with("the filter yields: `email` "),
                "{failure:?}"
            );
            assert!(!format!("{:?}", failure.hints).contains("secret"));
        }
    }
}

#[test]
fn what_differs_from_the_schema_by_itself_is_not_the_filters_fault() {
    assert_eq!(
        one(
            json!({"filter": ".n = 2"}),
            r#"{"id":"text","email":null,"unknown":true}"#
        )
        .unwrap(),
        [r#"{"id":"text","email":null,"unknown":true,"n":2}"#]
    );
}

#[test]
fn after_the_first_records_a_difference_is_that_of_a_record() {
    let good = r#"{"id":1,"email":"a","n":1}"#;
    let mut records = vec![good; 100];
    records.push(r#"{"id":2,"email":"a","n":2}"#);
    let results = apply(
        json!({"filter": "if .n == 2 then .n = \"x\" else . end", "on_error": "reject"}),
        &records,
    );
    assert!(results[..100].iter().all(std::result::Result::is_ok));
    assert_eq!(results[100].as_ref().unwrap_err().then, Then::Reject);
}

#[test]
fn a_failure_is_dealt_with_as_the_config_says() {
    for (on_error, then) in [
        ("stop", Then::Stop),
        ("reject", Then::Reject),
        ("pass", Then::Pass),
    ] {
        for (filter, words) in [
            (".email.x", "failed: cannot index string with `x`"),
            (
                "., 1",
                "yields integer where a record is wanted, which is an object",
            ),
            ("{n}", "yields a record without its key `id`"),
        ] {
            let failure = one(
                json!({"filter": filter, "on_error": on_error}),
                r#"{"id":1,"email":"a","n":1}"#,
            )
            .unwrap_err();
            assert_eq!(failure.then, then);
            assert!(failure.reason.ends_with(words), "{}", failure.reason);
        }
    }
}

#[test]
fn a_record_that_passes_is_renamed_and_nothing_of_the_filter_is_left() {
    let opened =
        open(json!({"filter": "., error(\"no\")", "on_error": "pass", "rename": {"n": "m"}}))
            .unwrap();
    let mut watch = Watch::new(Clock::system(), Duration::from_secs(5));
    let mut bytes = Vec::new();
    let mut out = Outputs::new(&mut bytes, b"<", b">");
    let record = r#"{"id":1,"email":"A","n":1}"#;
    let result = MapRecords::apply(&mut watch, &opened.stream, record, Instant::now(), &mut out);
    assert_eq!(result.unwrap_err().then, Then::Pass);
    assert_eq!(out.count(), 1);
    assert_eq!(bytes, b"<{\"id\":1,\"email\":\"A\",\"m\":1}>\n");
}

/// Filters of many sorts: those whose fields are known, and those that may touch any.
const FILTERS: &[&str] = &[
    ".",
    "empty",
    ".a |= ascii_downcase",
    ".a = .b",
    ".n += 1",
    ".n *= .m // 2",
    "del(.a)",
    "del(.a, .o.x)",
    ". + {a: .n, s: 1}",
    "{id, a}",
    "{id, n: (.n + 1), \"s\": \"x\\(.a)\"}",
    "select(.n > 1)",
    "select(.a | startswith(\"x\"))",
    "if .n > 1 then .a = \"big\" elif .n == null then empty else . end",
    "if has(\"o\") then .o.x = 1 else .s = 0 end",
    ".o[.a] = 1",
    ".o.x as $x | .s = $x",
    "., (.id += 1)",
    "(.a, .b) |= \"y\"",
    "(.a | strings) |= ascii_upcase",
    ".l[1:] |= map(. + 1)",
    ".s = (reduce .l[] as $x (0; . + $x))",
    ".n // .m | {id: 1, n: .}",
    ".a? // \"none\" | {id: 2, a: .}",
    "with_entries(.value |= tostring) | .id = 3",
    ". as $r | .s = ($r | length)",
    ".s = length",
    "to_entries | from_entries",
    "def up: ascii_upcase; .a |= up",
    "del(.[\"a\"]) | .s = keys_unsorted",
    "del(.id)",
    ".id |= empty",
    "error(\"no\")",
    ".a.b.c",
    "try error(\"x\") catch .",
];

const RECORDS: &[&str] = &[
    r#"{"id":1,"a":"x","b":"y","n":2,"m":3,"o":{"x":1},"l":[1,2,3],"big":123456789012345678901234567890}"#,
    r#"{"big":1.100,"l":[],"o":null,"n":null,"b":null,"a":"X\u00e9\n","id":2}"#,
    r#"{"id":3}"#,
    r#"{ "id" : 4, "\u0061" : "escaped", "n" : 1.5, "more" : [ 1, 2 ] }"#,
    r#"{"a":1,"id":5,"a":"twice","n":0,"big":1,"big":2}"#,
    r#"{"a":"no key"}"#,
    "{}",
];

#[test]
fn a_filter_yields_the_same_whether_it_sees_the_record_or_what_it_touches() {
    const SCHEMA: &str =
        r#"{"properties":{"id":{},"a":{},"b":{},"n":{},"m":{},"o":{},"l":{},"big":{},"s":{}}}"#;
    let parse = |line: &String| serde_json::from_str::<Value>(line).unwrap();
    for filter in FILTERS {
        let rule =
            json!({"filter": filter, "on_error": "reject", "rename": {"b": "bee"}, "drop": ["m"]});
        let opened = open_with(rule, SCHEMA).unwrap();
        let mut watch = Watch::new(Clock::system(), Duration::from_secs(5));
        let mut apply = |record: &str| {
            let mut bytes = Vec::new();
            let mut out = Outputs::new(&mut bytes, b"", b"");
            let stream = &opened.stream;
            let result = MapRecords::apply(&mut watch, stream, record, Instant::now(), &mut out);
            let text = String::from_utf8(bytes).unwrap();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            result.map(|()| lines).map_err(|failure| failure.reason)
        };
        let whole: Vec<_> = RECORDS.iter().map(|record| apply(record)).collect();
        opened.stream.plan.check.skip();
        for (record, whole) in RECORDS.iter().zip(whole) {
            let part = apply(record);
            match (&whole, &part) {
                (Ok(whole), Ok(part)) => {
                    let [whole, part] =
                        [whole, part].map(|lines| lines.iter().map(parse).collect::<Vec<_>>());
                    assert_eq!(whole, part, "{filter} {record}");
                }
                _ => assert_eq!(whole, part, "{filter} {record}"),
            }
        }
    }
}

#[test]
fn what_a_filter_does_not_touch_keeps_every_byte() {
    let mut records = vec![r#"{"id":1,"email":"A","n":1}"#; 100];
    records.push(r#"{"id" : 123456789012345678901234567890,"x_2":{ "a" : 1e400 },"email":"A\u00e9","n":1.10}"#);
    let results = apply(
        json!({"filter": ".email |= ascii_downcase", "rename": {"n": "m"}}),
        &records,
    );
    assert_eq!(
        results[100].as_ref().unwrap(),
        &[r#"{"id":123456789012345678901234567890,"x_2":{ "a" : 1e400 },"email":"aé","m":1.10}"#]
    );
}
