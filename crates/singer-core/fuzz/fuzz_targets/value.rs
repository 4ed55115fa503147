//! The text of database values: what is written as a JSON value is one, and times survive a round
//! trip.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use singer_core::number;
use singer_core::value::time::{self, Fraction};
use singer_core::value::{is_integer, is_number, write_integer, write_string};

fuzz_target!(|bytes: &[u8]| {
    if let Some(Ok(integer)) = bytes.get(..8).map(<[u8; 8]>::try_from) {
        check_integers(i64::from_le_bytes(integer));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_strings(text);
        check_numbers(text);
        check_times(text);
    }
});

fn check_strings(text: &str) {
    let mut out = Vec::new();
    write_string(&mut out, text);
    assert_eq!(
        serde_json::from_slice::<String>(&out).expect("it is JSON"),
        text
    );
}

fn check_numbers(text: &str) {
    let is_json = !text.contains(char::is_whitespace)
        && serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_number());
    assert_eq!(is_number(text), is_json);
    if !is_json {
        return;
    }
    assert_eq!(is_integer(text), !text.contains(['.', 'e', 'E']));
    assert!(number::compare(text.as_bytes(), text.as_bytes()).is_eq());
    if let Ok(integer) = text.parse::<i64>() {
        assert!(number::is_whole(text.as_bytes()));
        let zero = number::compare(text.as_bytes(), b"0.0e1");
        assert_eq!(zero, integer.cmp(&0));
    }
}

fn check_integers(integer: i64) {
    let mut out = Vec::new();
    write_integer(&mut out, integer);
    assert_eq!(out, integer.to_string().as_bytes());
    // As a time stamp in microseconds, and as a date in days.
    for fraction in [Fraction::AsNeeded, Fraction::Always] {
        out.clear();
        if time::write_timestamp(&mut out, integer, fraction) {
            let text = std::str::from_utf8(&out).expect("digits are text");
            assert_eq!(time::parse_timestamp(text), Some(integer));
        } else {
            assert!(out.is_empty());
        }
    }
    let days = integer % 4_000_000;
    out.clear();
    if time::write_date(&mut out, days) {
        let text = std::str::from_utf8(&out).expect("digits are text");
        assert_eq!(time::parse_date(text), Some(days));
    }
}

fn check_times(text: &str) {
    if let Some(micros) = time::parse_timestamp(text) {
        let mut out = Vec::new();
        if time::write_timestamp(&mut out, micros, Fraction::Always) {
            let written = std::str::from_utf8(&out).expect("digits are text");
            assert_eq!(time::parse_timestamp(written), Some(micros));
        }
    }
    if let Some((micros, _)) = time::parse_time(text) {
        let mut out = Vec::new();
        time::write_time(&mut out, micros, Fraction::AsNeeded);
        let written = std::str::from_utf8(&out).expect("digits are text");
        assert_eq!(time::parse_time(written), Some((micros, None)));
    }
}
