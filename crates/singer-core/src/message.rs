//! Messages as they are written: compact JSON, one a line, upper-case types.

use crate::value::write_string;

/// Appends a SCHEMA line. `schema` is JSON text and is written as it stands.
pub fn write_schema(
    out: &mut Vec<u8>,
    stream: &str,
    schema: &str,
    key_properties: &[String],
    bookmark_properties: &[String],
) {
    out.extend_from_slice(br#"{"type":"SCHEMA","stream":"#);
    write_string(out, stream);
    out.extend_from_slice(br#","schema":"#);
    out.extend_from_slice(schema.as_bytes());
    out.extend_from_slice(br#","key_properties":"#);
    write_names(out, key_properties);
    if !bookmark_properties.is_empty() {
        out.extend_from_slice(br#","bookmark_properties":"#);
        write_names(out, bookmark_properties);
    }
    out.extend_from_slice(b"}\n");
}

/// Appends a RECORD line up to the record itself; the object and [`RECORD_END`] follow.
pub fn write_record_start(
    out: &mut Vec<u8>,
    stream: &str,
    version: Option<i64>,
    time_extracted: Option<&str>,
) {
    out.extend_from_slice(br#"{"type":"RECORD","stream":"#);
    write_string(out, stream);
    if let Some(version) = version {
        out.extend_from_slice(format!(",\"version\":{version}").as_bytes());
    }
    if let Some(time) = time_extracted {
        out.extend_from_slice(br#","time_extracted":"#);
        write_string(out, time);
    }
    out.extend_from_slice(br#","record":"#);
}

/// What ends a RECORD line.
pub const RECORD_END: &[u8] = b"}\n";

/// Appends a STATE line. `value` is JSON text and is written as it stands.
pub fn write_state(out: &mut Vec<u8>, value: &str) {
    out.extend_from_slice(br#"{"type":"STATE","value":"#);
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"}\n");
}

/// Appends an ACTIVATE_VERSION line.
pub fn write_activate_version(out: &mut Vec<u8>, stream: &str, version: i64) {
    out.extend_from_slice(br#"{"type":"ACTIVATE_VERSION","stream":"#);
    write_string(out, stream);
    out.extend_from_slice(format!(",\"version\":{version}}}\n").as_bytes());
}

fn write_names(out: &mut Vec<u8>, names: &[String]) {
    out.push(b'[');
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, name);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{self, Line};
    use crate::scan::Fields;

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = Vec::new();
        write_schema(
            &mut out,
            "a\"b",
            r#"{"properties":{}}"#,
            &["id".to_owned()],
            &["at".to_owned()],
        );
        write_record_start(&mut out, "a\"b", Some(7), Some("2026-01-01T00:00:00Z"));
        out.extend_from_slice(b"{}");
        out.extend_from_slice(RECORD_END);
        write_state(&mut out, "{\"x\":1}");
        write_activate_version(&mut out, "a\"b", -7);
        let mut fields = Fields::default();
        let lines: Vec<String> = out
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(
                |line| match line::parse(line, &mut fields, |_| None).unwrap() {
                    Line::Schema {
                        stream,
                        key_properties,
                        bookmark_properties,
                        ..
                    } => {
                        format!(
                            "{stream} {} {}",
                            key_properties.unwrap(),
                            bookmark_properties.unwrap()
                        )
                    }
                    Line::Record(record) => {
                        format!(
                            "{} {} {}",
                            record.stream,
                            record.version.unwrap(),
                            record.time_extracted.unwrap()
                        )
                    }
                    Line::State { value } => value.to_owned(),
                    Line::ActivateVersion { stream, version } => format!("{stream} {version}"),
                    other => panic!("{other:?}"),
                },
            )
            .collect();
        assert_eq!(
            lines,
            [
                r#"a"b ["id"] ["at"]"#,
                r#"a"b 7 2026-01-01T00:00:00Z"#,
                r#"{"x":1}"#,
                r#"a"b -7"#,
            ]
        );
    }
}
