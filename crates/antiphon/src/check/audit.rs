//! What JSON readers disagree about: keys that come twice, numbers that are none, numbers that a
//! reader with doubles loses. Values are walked in their bytes and never shown.

use std::borrow::Cow;
use std::collections::HashSet;

use singer_core::number;
use singer_core::scan::{self, ScanError, Span, ValueKind, unescape_lossy};

/// Something odd in a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Oddity<'a> {
    /// An object has this key twice.
    Twice(Cow<'a, str>),
    /// `NaN` or `Infinity`.
    NotFinite,
    /// A number with more digits than a double holds.
    Lost,
}

/// Walks a value and all that is in it.
pub(super) fn walk<'a>(bytes: &'a [u8], value: Span, report: &mut dyn FnMut(Oddity<'a>)) {
    let text = &bytes[value.start..value.end];
    match value.kind {
        ValueKind::Integer | ValueKind::Number if is_lost(text) => report(Oddity::Lost),
        ValueKind::Object | ValueKind::Array | ValueKind::NotFinite => match text.first() {
            Some(b'{') => walk_object(bytes, value, report),
            Some(b'[') => {
                let mut items = Vec::new();
                // It was scanned before, so that it cannot fail here.
                let _scanned = scan::scan_array(bytes, value.start, 0, |item| items.push(item));
                for item in items {
                    walk(bytes, item, report);
                }
            }
            _ => report(Oddity::NotFinite),
        },
        _ => {}
    }
}

fn walk_object<'a>(bytes: &'a [u8], value: Span, report: &mut dyn FnMut(Oddity<'a>)) {
    let mut members = Vec::new();
    // It was scanned before, so that it cannot fail here.
    let _scanned = scan::scan_object(bytes, value.start, 0, |key, value| {
        members.push((unescape_lossy(&bytes[key.0..key.1]), value));
    });
    if let Some(name) = twice(members.iter().map(|(name, _)| name)) {
        report(Oddity::Twice(name.clone()));
    }
    for (_, value) in members {
        walk(bytes, value, report);
    }
}

/// The first name that comes again.
pub(super) fn twice<'n, T: std::hash::Hash + Eq + 'n>(
    mut names: impl ExactSizeIterator<Item = &'n T> + Clone,
) -> Option<&'n T> {
    const FEW: usize = 16;
    if names.len() > FEW {
        let mut seen = HashSet::with_capacity(names.len());
        return names.find(|name| !seen.insert(*name));
    }
    let all = names.clone();
    names
        .enumerate()
        .find(|(index, name)| all.clone().take(*index).any(|other| other == *name))
        .map(|(_, name)| name)
}

/// Whether a reader that takes numbers for doubles would write another one.
pub(super) fn is_lost(text: &[u8]) -> bool {
    // Fifteen digits always survive.
    if text.len() <= 15 {
        return false;
    }
    let double: Option<f64> = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok());
    match double {
        Some(double) if double.is_finite() => {
            number::compare(text, double.to_string().as_bytes()).is_ne()
        }
        _ => true,
    }
}

/// The outermost keys of a message with their values; `record` is not walked again.
pub(super) fn envelope(line: &[u8], record: Span) -> Result<Vec<(&[u8], Span)>, ScanError> {
    let mut members = Vec::with_capacity(6);
    let mut at = scan::skip_space(line, scan::skip_space(line, 0) + 1);
    while line.get(at) == Some(&b'"') {
        let key = scan::scan_value(line, at, 0)?;
        at = scan::skip_space(line, scan::skip_space(line, key.end) + 1);
        let value = if at == record.start {
            record
        } else {
            scan::scan_value(line, at, 0)?
        };
        members.push((&line[key.start + 1..key.end - 1], value));
        at = scan::skip_space(line, scan::skip_space(line, value.end) + 1);
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oddities(text: &str) -> Vec<Oddity<'_>> {
        let value = scan::scan_value(text.as_bytes(), 0, 0).unwrap();
        let mut found = Vec::new();
        walk(text.as_bytes(), value, &mut |oddity| found.push(oddity));
        found
    }

    #[test]
    fn keys_that_come_twice_are_found_at_every_depth_and_in_every_spelling() {
        let text = r#"{"a":[{"b":1,"\u0062":2}],"c":{"d":NaN},"é":1,"é":2}"#;
        assert_eq!(
            oddities(text),
            [
                Oddity::Twice("é".into()),
                Oddity::Twice("b".into()),
                Oddity::NotFinite
            ]
        );
        let many: Vec<String> = (0..40).map(|number| format!("\"k{number}\":0")).collect();
        assert_eq!(oddities(&format!("{{{}}}", many.join(","))), []);
        assert_eq!(
            oddities(&format!("{{{},\"k7\":0}}", many.join(","))),
            [Oddity::Twice("k7".into())]
        );
    }

    #[test]
    fn numbers_that_a_double_cannot_hold_are_lost() {
        for (text, lost) in [
            ("9007199254740992", false),
            ("9007199254740993", true),
            ("-9223372036854775808", true),
            ("12345678901234567", true),
            ("0.1000000000000000", false),
            ("0.10000000000000001", true),
            ("123456789.123456789", true),
            ("1000000000000000000000", false),
            ("0.000000000000000e999", false),
            ("1e9999999999999999", true),
        ] {
            assert_eq!(is_lost(text.as_bytes()), lost, "{text}");
        }
    }

    #[test]
    fn the_outermost_keys_are_those_around_the_record() {
        let line = br#" { "type" : "RECORD" , "record":{"x":[1]},"record":{}, "version":1 } "#;
        let record = Span {
            start: 32,
            end: 41,
            kind: ValueKind::Object,
        };
        assert_eq!(&line[32..41], br#"{"x":[1]}"#);
        let members = envelope(line, record).unwrap();
        let keys: Vec<&[u8]> = members.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, [&b"type"[..], b"record", b"record", b"version"]);
        assert_eq!(envelope(b"{}", record).unwrap(), []);
    }
}
