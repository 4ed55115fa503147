//! Records and keys as JSON for the rejects file, where every line must be JSON.

use std::borrow::Cow;

use singer_core::scan::{self, unescape_lossy};
use singer_core::schema::Schema;
use singer_core::value::write_string;

/// Appends a scanned value; `NaN`, `Infinity` and `-Infinity` outside strings become strings.
pub(crate) fn write_finite(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len());
    let mut at = 0;
    let mut copied = 0;
    while at < text.len() {
        match text[at] {
            b'"' => at = end_of_string(text, at),
            b'N' | b'I' => {
                let signed = at > copied && text[at - 1] == b'-';
                let start = if signed { at - 1 } else { at };
                let end = at + if text[at] == b'N' { 3 } else { 8 };
                out.extend_from_slice(&text[copied..start]);
                out.push(b'"');
                out.extend_from_slice(&text[start..end]);
                out.push(b'"');
                at = end;
                copied = end;
            }
            _ => at += 1,
        }
    }
    out.extend_from_slice(&text[copied..]);
}

fn end_of_string(text: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Appends several objects as one: of a property that comes again, the last value counts.
pub(crate) fn write_merged<'a>(out: &mut Vec<u8>, objects: impl Iterator<Item = &'a [u8]>) {
    let mut properties: Vec<(Cow<'a, str>, &'a [u8])> = Vec::new();
    for object in objects {
        let scanned = scan::scan_object(object, 0, 0, |key, value| {
            let name = unescape_lossy(&object[key.0..key.1]);
            let text = &object[value.start..value.end];
            match properties.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = text,
                None => properties.push((name, text)),
            }
        });
        debug_assert!(scanned.is_ok(), "records of a batch were scanned before");
    }
    out.push(b'{');
    for (index, (name, text)) in properties.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write_finite(out, text);
    }
    out.push(b'}');
}

/// Appends the key of a record, whose fields `field` gives, as an object; `null` if there is none.
pub(crate) fn write_key<'a>(
    out: &mut Vec<u8>,
    schema: &Schema,
    field: impl Fn(usize) -> Option<&'a [u8]>,
) {
    if schema.key_properties().is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    out.push(b'{');
    for (index, name) in schema.key_properties().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        match schema.layout().index(name).and_then(&field) {
            Some(text) => write_finite(out, text),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_becomes_text_and_strings_stay() {
        let mut out = Vec::new();
        let text = br#"{"I":[NaN, -Infinity,Infinity,-1],"N\"NaN":"-Infinity \\"}"#;
        write_finite(&mut out, text);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"I":["NaN", "-Infinity","Infinity",-1],"N\"NaN":"-Infinity \\"}"#
        );
    }

    #[test]
    fn objects_merge_property_by_property() {
        let mut out = Vec::new();
        let objects: [&[u8]; 2] = [br#"{"a":1,"x":[1]}"#, br#"{"b":NaN,"\u0061":2}"#];
        write_merged(&mut out, objects.into_iter());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"a":2,"x":[1],"b":"NaN"}"#
        );
    }
}
