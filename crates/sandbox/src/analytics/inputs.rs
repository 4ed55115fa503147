//! Reading what a call brings along: CONFIG, FILE and DATA in the query, in form fields or in parts of a
//! `multipart/form-data` body. Facts: section 1.2.

use bytes::Bytes;
use memchr::memmem;

use crate::form::fields;

/// What a call brought along.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) config: Option<String>,
    pub(crate) file: Option<Bytes>,
    pub(crate) data: Option<String>,
}

/// Whether CONFIG is looked for in the parts of a body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PartConfig {
    Read,
    Ignored,
}

/// Puts the query and the body together. What stands in the body wins.
pub(crate) fn read_inputs(
    query: &str,
    content_type: &str,
    body: &Bytes,
    part_config: PartConfig,
) -> Inputs {
    let mut query = fields(query);
    let mut inputs = Inputs {
        config: query.remove("CONFIG"),
        data: query.remove("DATA"),
        file: None,
    };
    let kind = content_type.trim_start().to_ascii_lowercase();
    if kind.starts_with("multipart/form-data") {
        for (name, content) in parts(content_type, body) {
            match name.as_str() {
                "CONFIG" if part_config == PartConfig::Read => {
                    inputs.config = Some(String::from_utf8_lossy(&content).into_owned());
                }
                "FILE" => inputs.file = Some(content),
                "DATA" => inputs.data = Some(String::from_utf8_lossy(&content).into_owned()),
                _ => {}
            }
        }
    } else if kind.starts_with("application/x-www-form-urlencoded") {
        let mut form = fields(&String::from_utf8_lossy(body));
        inputs.config = form.remove("CONFIG").or(inputs.config);
        inputs.data = form.remove("DATA").or(inputs.data);
    }
    inputs
}

/// The parts of a body with their names.
fn parts(content_type: &str, body: &Bytes) -> Vec<(String, Bytes)> {
    let Some(boundary) = parameter(content_type, "boundary") else {
        return Vec::new();
    };
    let opening = format!("--{boundary}");
    let closing = format!("\r\n--{boundary}");
    let mut parts = Vec::new();
    let mut at = match memmem::find(body, opening.as_bytes()) {
        Some(place) => place + opening.len(),
        None => return parts,
    };
    let finder = memmem::Finder::new(closing.as_bytes());
    while body.get(at..at + 2) == Some(b"\r\n") {
        let begin = at + 2;
        let Some(head_length) = memmem::find(&body[begin..], b"\r\n\r\n") else {
            break;
        };
        let content = begin + head_length + 4;
        let Some(length) = finder.find(&body[content..]) else {
            break;
        };
        let head = String::from_utf8_lossy(&body[begin..begin + head_length]);
        if let Some(name) = part_name(&head) {
            parts.push((name, body.slice(content..content + length)));
        }
        at = content + length + closing.len();
    }
    parts
}

fn part_name(head: &str) -> Option<String> {
    let disposition = head.lines().find(|line| {
        line.to_ascii_lowercase()
            .starts_with("content-disposition:")
    })?;
    parameter(disposition, "name")
}

/// A parameter behind a semicolon, with or without quotes.
fn parameter(header: &str, name: &str) -> Option<String> {
    header.split(';').skip(1).find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let found = key.trim().eq_ignore_ascii_case(name);
        found.then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_and_a_query_are_decoded() {
        let body = Bytes::from_static(b"DATA=a%2Cb%0A1%2B1&CONFIG=%7B%22a%22%3A+1%7D");
        let inputs = read_inputs(
            "CONFIG=%7B%7D&x",
            "application/x-www-form-urlencoded",
            &body,
            PartConfig::Read,
        );
        assert_eq!(inputs.config.as_deref(), Some("{\"a\": 1}"));
        assert_eq!(inputs.data.as_deref(), Some("a,b\n1+1"));
    }

    #[test]
    fn zohos_own_client_puts_everything_into_the_query() {
        let query = "CONFIG=%7B%7D&DATA=%5B%7B%22a%22%3A+1%7D%5D";
        let inputs = read_inputs(query, "", &Bytes::new(), PartConfig::Read);
        assert_eq!(inputs.config.as_deref(), Some("{}"));
        assert_eq!(inputs.data.as_deref(), Some("[{\"a\": 1}]"));
    }

    #[test]
    fn parts_are_found_by_name() {
        let body = Bytes::from_static(b"--B\r\nContent-Disposition: form-data; name=\"CONFIG\"\r\n\r\n{}\r\n--B\r\ncontent-disposition: form-data; name=FILE; filename=\"x.csv\"\r\nContent-Type: text/csv\r\n\r\na\r\n\r\n1\r\n\r\n--B--\r\n");
        let kind = "multipart/form-data; boundary=B";
        let inputs = read_inputs("", kind, &body, PartConfig::Read);
        assert_eq!(inputs.config.as_deref(), Some("{}"));
        assert_eq!(inputs.file.as_deref(), Some(b"a\r\n\r\n1\r\n".as_slice()));
        let inputs = read_inputs("", kind, &body, PartConfig::Ignored);
        assert_eq!(inputs.config, None);
    }
}
