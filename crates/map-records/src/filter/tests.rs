//! Facts about filters: exact numbers, bounds, and words without values.

use std::time::Duration;

use proptest::prelude::*;
use singer_core::Kind;

use super::*;

fn watch() -> Watch {
    Watch::new(
        singer_runtime::clock::Clock::system(),
        Duration::from_millis(50),
    )
}

/// What a filter makes of a record: JSON texts, or what went wrong.
fn run(code: &str, record: &str) -> Result<Vec<String>, String> {
    let filter = Filter::new(code, "it").map_err(|error| error.message().to_owned())?;
    let record = value::read(record, 4).expect("the record is JSON");
    let mut results = Vec::new();
    filter.run(&watch(), Instant::now(), record, |result| {
        let mut text = Vec::new();
        value::write(&mut text, &result, 0).map_err(|error| filter.said(error.words()))?;
        results.push(String::from_utf8(text).expect("JSON is UTF-8"));
        Ok::<(), String>(())
    })?;
    Ok(results)
}

fn one(code: &str, record: &str) -> String {
    let mut results = run(code, record).expect("the filter works");
    assert_eq!(results.len(), 1);
    results.remove(0)
}

#[test]
fn a_value_that_is_given_up_leaves_nothing_behind_unless_it_is_nested_without_bounds() {
    let text = bytes::Bytes::from(vec![b'x'; 100]);
    let list = |value: Val| std::iter::once(value).collect::<Val>();
    value::let_go(list(Val::TStr(Box::new(text.clone()))));
    assert!(
        text.is_unique(),
        "each record that fails would keep its bytes"
    );

    let mut deep = Val::Null;
    for _ in 0..2_000_000 {
        deep = list(deep);
    }
    value::let_go(deep);
}

#[test]
fn numbers_of_any_size_pass_through_a_filter() {
    let record = r#"{"a":123456789012345678901234567890,"b":-0.1000000000000000000000000000001,"c":1E400,"d":9007199254740993,"e":-0,"f":1.10}"#;
    assert_eq!(one(".", record), record);
    assert_eq!(one(".g = 1 | del(.g)", record), record);
    assert_eq!(
        one("{sum: (.a + 1), less: (.d - 1), twice: (.a * 2)}", record),
        r#"{"sum":123456789012345678901234567891,"less":9007199254740992,"twice":246913578024691357802469135780}"#
    );
}

#[test]
fn whole_results_of_floats_are_written_as_integers() {
    assert_eq!(one(".a / 2", r#"{"a":4}"#), "2");
    assert_eq!(one(".a / 2", r#"{"a":5}"#), "2.5");
    assert_eq!(one(".a | floor", r#"{"a":2.75}"#), "2");
}

#[test]
fn texts_keep_their_characters() {
    let record = r#"{"a":"\"\\/\b\f\n\r\té\ud83d\ude00","b":["x",{"é":null}],"":true}"#;
    let back: serde_json::Value = serde_json::from_str(&one(".", record)).unwrap();
    assert_eq!(
        back,
        serde_json::from_str::<serde_json::Value>(record).unwrap()
    );
    assert_eq!(
        one(
            r#".b[1]["é"] | length"#,
            r#"{"b":[0,{"\u00e9":"\u00e9b"}]}"#
        ),
        "2"
    );
}

#[test]
fn a_filter_yields_none_one_or_several() {
    assert_eq!(run("empty", "{}").unwrap(), Vec::<String>::new());
    assert_eq!(run(".a[]", r#"{"a":[1,2]}"#).unwrap(), ["1", "2"]);
}

#[test]
fn what_runs_without_end_is_ended() {
    for code in [
        "repeat(.)",
        "last(repeat(.))",
        "def f: f; f",
        "def f: ., f; last(f)",
        "[range(infinite)] | length",
        "reduce range(infinite) as $i (0; . + 1)",
        "until(false; .)",
        "[recurse(.)] | length",
        "try (def f: f; f) catch 1",
        "first(range(infinite) | select(. < 0))",
        "label $out | def f: f; f",
        r#"def f: if . == null then f else f end; {"a": [.[]?, (f)]}"#,
    ] {
        let error = run(code, "{}").unwrap_err();
        assert!(
            error.contains("did not end within 0.05 s"),
            "{code}: {error}"
        );
    }
}

#[test]
fn what_calls_itself_without_end_is_ended_before_the_stack_is() {
    let run = std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(|| run("def f: 1 + f; f", "{}"))
        .unwrap();
    let error = run.join().unwrap().unwrap_err();
    assert!(
        error.contains("calls itself too often") || error.contains("did not end"),
        "{error}"
    );
}

#[test]
fn the_environment_is_out_of_reach_and_nothing_prints_or_ends_the_process() {
    for code in [
        "env",
        "$ENV",
        "debug",
        "stderr",
        "halt",
        "halt_error",
        "input",
        "inputs",
    ] {
        let error = run(code, "{}").unwrap_err();
        assert!(
            error.contains("does not compile: there is no"),
            "{code}: {error}"
        );
    }
    assert!(run(r#"include "x"; ."#, "{}").is_err());
}

#[test]
fn now_is_the_clock_of_the_runtime() {
    let filter = Filter::new("{now: (now | todate)}", "it").unwrap();
    let clock = singer_runtime::clock::Clock::fixed(Default::default());
    let watch = Watch::new(clock, Duration::from_secs(5));
    let mut text = Vec::new();
    let run = filter.run(&watch, Instant::now(), Val::Null, |result| {
        value::write(&mut text, &result, 0).map_err(|error| error.words().to_owned())
    });
    run.unwrap();
    assert_eq!(text, br#"{"now":"1970-01-01T00:00:00Z"}"#);
}

#[test]
fn a_filter_that_does_not_compile_is_shown_with_its_place() {
    for (code, message, mark) in [
        (
            ".a |= asci_downcase",
            "there is no `asci_downcase` at line 1, column 7",
            6,
        ),
        (
            "def f: 1;\n  .a | )",
            "something that does not belong here at line 2, column 8",
            7,
        ),
        (
            ".a | (",
            "a closing parenthesis is expected at line 1, column 7",
            6,
        ),
        (
            "\"abc",
            "a closing quote is expected at line 1, column 5",
            4,
        ),
        (
            "if . then 1",
            "else or end is expected at line 1, column 12",
            11,
        ),
        (". | $x", "there is no variable `$x` at line 1, column 5", 4),
        (
            "map(.; .)",
            "`map` does not take 2 arguments at line 1, column 1",
            0,
        ),
        (
            ".a b",
            "something that does not belong here at line 1, column 4",
            3,
        ),
        (". |", "an expression is expected at line 1, column 4", 3),
    ] {
        let error = Filter::new(code, "`streams.x.filter`").unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert_eq!(
            error.message(),
            format!("`streams.x.filter` does not compile: {message}")
        );
        let shown = &error.hints()[0];
        let (_, below) = shown.split_once('\n').unwrap();
        assert_eq!(below.find('^'), Some("  hint: ".len() + mark), "{shown}");
    }
    let error = Filter::new(".a |= asci_downcase", "it").unwrap_err();
    assert_eq!(error.hints()[1], "did you mean `ascii_downcase`?");
    let error = Filter::new(" ", "it").unwrap_err();
    assert!(error.message().contains("it is empty"), "{error}");
}

#[test]
fn failures_are_told_without_values() {
    const RECORD: &str = r#"{"id":1,"n":4711,"secret":"hunter2","list":["hunter2"],"yes":true}"#;
    for (code, words) in [
        (".n.x", "cannot index number with `x`"),
        (".n[.secret]", "cannot index number with string"),
        (
            ".secret | ascii_downcase | explode | .x",
            "cannot index array with `x`",
        ),
        (".n | ascii_downcase", "cannot use number as string"),
        (".list | ascii_downcase", "cannot use array as string"),
        (".secret - .n", "cannot calculate string - number"),
        (".secret | fromjson", "cannot parse string as JSON"),
        (".yes | length", "a boolean has no length"),
        (".secret | tonumber", "cannot parse string as JSON"),
        (r#".secret | test("(")"#, "invalid regular expression"),
        (r#"error("no mail address")"#, "no mail address"),
        (
            "error(.secret)",
            "it raised an error whose text may hold values of the record",
        ),
        ("error({a: .secret})", "it raised an error that is no text"),
        (
            ".secret | strptime(\"%Y\")",
            "it raised an error whose text may hold values of the record",
        ),
        (
            ".secret | fromdate",
            "it raised an error whose text may hold values of the record",
        ),
        (
            "(.secret, 1) |= 2 | .n + 1 |= 3",
            "a place to change was expected, and a value was found",
        ),
    ] {
        let error = run(code, RECORD).unwrap_err();
        assert!(
            error.ends_with(&format!("failed: {words}")),
            "{code}: {error}"
        );
        assert!(
            !error.contains("hunter2") && !error.contains("4711"),
            "{error}"
        );
    }
}

#[test]
fn what_is_no_json_is_refused() {
    for (code, words) in [
        ("{a: nan}", "yields a number that is not finite"),
        ("{a: infinite}", "yields a number that is not finite"),
        (r#"{a: ("x" | tobytes)}"#, "yields bytes that are no text"),
        (
            r#"{a: ("/w==" | @base64d)}"#,
            "yields bytes that are no text",
        ),
        ("{(1): 2}", "yields an object with a key that is no text"),
        (
            "reduce range(300) as $i (1; [.])",
            "yields a value that is nested too deeply",
        ),
    ] {
        let error = run(code, "{}").unwrap_err();
        assert!(error.ends_with(words), "{code}: {error}");
    }
}

#[test]
fn a_long_filter_is_shown_in_part() {
    let code = format!(".a\n  | .b  # {}", "x".repeat(200));
    let error = run(&code, r#"{"a":1}"#).unwrap_err();
    assert!(error.starts_with("the filter `.a | .b # xxx"), "{error}");
    assert!(error.contains("x…` failed: "), "{error}");
}

proptest! {
    #[test]
    fn every_text_and_number_comes_back_as_it_was(text in any::<String>(), whole in any::<i128>(), float in any::<f64>()) {
        let text = serde_json::to_string(&text).unwrap();
        let float = if float.is_finite() { float } else { 0.5 };
        let record = format!(r#"{{"t":{text},"w":{whole},"f":{float:e},"l":[{text}, {whole}]}}"#);
        let back = one(".", &record);
        let parsed = |json: &str, key: &str| {
            let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
            fields[key].clone()
        };
        prop_assert_eq!(parsed(&back, "t"), parsed(&record, "t"));
        let number = format!("{float:e}");
        prop_assert!(back.contains(&format!("\"w\":{whole},")) && back.contains(&format!("\"f\":{number},")), "{}", back);
    }
}

#[test]
fn the_fields_that_a_filter_touches_are_known_where_its_text_shows_them() {
    let touched = |code: &str| {
        let filter = Filter::new(code, "it").unwrap();
        filter.touched().map(|touched| {
            let names: Vec<&str> = touched
                .names
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            (names.join(" "), touched.keeps_the_rest)
        })
    };
    for (code, names, keeps_the_rest) in [
        (".", "", true),
        ("select(.a > 1) | .b |= ascii_downcase", "a b", true),
        (".a = .b + .c | del(.d.e, .f)", "a b c d f", true),
        (". + {a: 1, b: .c}", "a b c", true),
        ("if .a then empty else .b += 1 end, .", "a b", true),
        ("{a, b: .c[.d], e: [.f]}", "a c d f", false),
        ("empty", "", false),
    ] {
        assert_eq!(
            touched(code),
            Some((names.to_owned(), keeps_the_rest)),
            "{code}"
        );
    }
    for code in [
        "keys",
        ".[]",
        ". as $r | .a = $r.b",
        "def f: .; f",
        ".a = .",
        "., .a",
        "..",
        "length",
        "with_entries(.)",
        ". == {}",
        ".[.a]",
        "[.]",
        "{a: .}",
        ". + .a",
        "(.a // .) |= 1",
        "tojson",
        ".a[.]",
        "to_entries",
        "map(.)",
        "\"\\(.)\"",
        "error",
        "try error catch .",
    ] {
        assert_eq!(touched(code), None, "{code}");
    }
}
