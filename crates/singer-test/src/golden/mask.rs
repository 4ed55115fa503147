//! Hides what differs from run to run in what a program printed: points in time, durations, rates,
//! ids of runs and processes. Everything else of a golden must be equal to the letter.

use serde_json::Value;

/// Keys whose values differ from run to run, in JSON and in `key=value`.
const VOLATILE: [&str; 14] = [
    "at",
    "duration",
    "duration_seconds",
    "elapsed_seconds",
    "pid",
    "rate",
    "records_per_second",
    "run_id",
    "seconds",
    "time_extracted",
    "timestamp",
    "ts",
    "version",
    "wait_milliseconds",
];

const HIDDEN: &str = "…";

/// The name behind which the id of a request stands.
const REQUEST_ID: &str = "ts-request-id";

/// The text with everything volatile hidden.
pub(super) fn hide(text: &str) -> String {
    let text = &hide_runs(text);
    let mut hidden = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (body, end) = match line.strip_suffix('\n') {
            Some(body) => (body, "\n"),
            None => (line, ""),
        };
        hidden.push_str(&hide_line(body));
        hidden.push_str(end);
    }
    hidden
}

/// Ids of runs, such as `20260102T030405.678Z-1a2b`, wherever they stand.
fn hide_runs(text: &str) -> String {
    const SHAPE: &[u8] = b"00000000T000000.000Z-";
    let mut hidden = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let bytes = rest.as_bytes();
        let is_run = bytes.len() >= SHAPE.len()
            && SHAPE.iter().zip(bytes).all(|(shape, byte)| match shape {
                b'0' => byte.is_ascii_digit(),
                other => other == byte,
            });
        if is_run {
            hidden.push_str("RUN");
            let after = rest.get(SHAPE.len()..).unwrap_or_default();
            rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        } else {
            hidden.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    hidden
}

fn hide_line(line: &str) -> String {
    let brace = line.find('{').unwrap_or(line.len());
    let (head, tail) = line.split_at(brace);
    match serde_json::from_str::<Value>(tail) {
        Ok(mut value) => {
            hide_value(&mut value);
            hide_words(head) + &value.to_string()
        }
        Err(_) => hide_words(line),
    }
}

fn hide_value(value: &mut Value) {
    match value {
        Value::Object(members) => {
            // A timer's value is a duration; a counter's is not.
            let is_timer = members.get("type").and_then(Value::as_str) == Some("timer");
            for (key, value) in members {
                if VOLATILE.contains(&key.as_str()) || (is_timer && key == "value") {
                    *value = Value::from(HIDDEN);
                } else {
                    hide_value(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_value),
        Value::String(text) => *text = hide_words(text),
        _ => {}
    }
}

/// Hides point in times and durations among words, keeping what stands between the words.
fn hide_words(text: &str) -> String {
    let is_break = |letter: char| letter.is_whitespace() || matches!(letter, '(' | ')' | ',' | ';');
    let mut hidden = String::with_capacity(text.len());
    let mut before = "";
    for piece in text.split_inclusive(is_break) {
        let word = piece.trim_end_matches(is_break);
        let (_, rest) = piece.split_at(word.len());
        // Requests are counted, and a further case would count on.
        if before == REQUEST_ID {
            hidden.push_str(HIDDEN);
        } else {
            hidden.push_str(&hide_word(word));
        }
        hidden.push_str(rest);
        before = word;
    }
    hidden
}

fn hide_word(word: &str) -> String {
    if let Some((key, value)) = word.split_once('=')
        && (VOLATILE.contains(&key) || is_time(value))
    {
        return format!("{key}={HIDDEN}");
    }
    if is_time(word) || is_duration(word) {
        HIDDEN.to_owned()
    } else {
        word.to_owned()
    }
}

/// Today's times only: a time in a test's own data is part of what the golden must show.
fn is_time(word: &str) -> bool {
    word.len() >= "0000-00-00T00:00:00".len()
        && word.starts_with("20")
        && word.as_bytes().get(10) == Some(&b'T')
        && word
            .get(..4)
            .and_then(|year| year.parse::<u32>().ok())
            .is_some_and(|year| year >= 2026)
}

fn is_duration(word: &str) -> bool {
    let number = word
        .strip_suffix("ms")
        .or_else(|| word.strip_suffix("µs"))
        .or_else(|| {
            // Seconds are durations only with a fraction: `5s` may well be a setting.
            word.strip_suffix('s').filter(|number| number.contains('.'))
        });
    number.is_some_and(|number| number.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_hidden() {
        for (text, masked) in [
            (
                "INFO done duration=0.53 rows=5",
                "INFO done duration=… rows=5",
            ),
            ("took 12ms (1.5s), 3 rows", "took … (…), 3 rows"),
            (
                "to=2026-11-23T07:00:00Z from=2016-11-23T07:00:00Z",
                "to=… from=2016-11-23T07:00:00Z",
            ),
            (
                "refused (ts-request-id `a-b`): no",
                "refused (ts-request-id …): no",
            ),
            ("2026-11-23T07:00:00.1Z INFO up", "… INFO up"),
            (
                r#"METRIC: {"type":"timer","value":0.1,"tags":{"status":"ok"}}"#,
                r#"METRIC: {"type":"timer","value":"…","tags":{"status":"ok"}}"#,
            ),
        ] {
            assert_eq!(hide(text), masked);
        }
    }

    #[test]
    fn all_else_stays_to_the_letter() {
        for text in [
            "CRITICAL x: cannot read `a b`\n  cause: {not json\n",
            r#"{"type":"counter","value":3}"#,
            "wait 5s at most, since 2016-01-01T00:00:00Z",
            "",
            "\n\n",
        ] {
            assert_eq!(hide(text), text);
        }
    }
}
