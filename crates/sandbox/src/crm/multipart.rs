//! The parts of a `multipart/form-data` body.

use axum::http::{HeaderMap, header};
use memchr::memmem;

/// One part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'body> {
    pub(super) name: String,
    pub(super) file_name: Option<String>,
    pub(super) content: &'body [u8],
}

/// What stands between the parts, if a request has any.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let parameters = kind.strip_prefix("multipart/form-data")?;
    let boundary = parameters
        .split(';')
        .find_map(|part| part.trim().strip_prefix("boundary="))?;
    Some(boundary.trim_matches('"').to_owned())
}

/// Takes a body apart; nothing if it is not whole.
pub(super) fn parts<'body>(body: &'body [u8], boundary: &str) -> Option<Vec<Part<'body>>> {
    let mark = format!("--{boundary}");
    let between = format!("\r\n--{boundary}");
    let mut rest = body.get(memmem::find(body, mark.as_bytes())? + mark.len()..)?;
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        let head_end = memmem::find(rest, b"\r\n\r\n")?;
        let head = std::str::from_utf8(rest.get(..head_end)?).ok()?;
        let behind = rest.get(head_end + 4..)?;
        let end = memmem::find(behind, between.as_bytes())?;
        parts.push(Part {
            name: parameter(head, "name")?,
            file_name: parameter(head, "filename"),
            content: behind.get(..end)?,
        });
        rest = behind.get(end + between.len()..)?;
    }
    Some(parts)
}

/// A parameter of the header `Content-Disposition`.
fn parameter(head: &str, name: &str) -> Option<String> {
    let line = head.lines().find(|line| {
        line.to_ascii_lowercase()
            .starts_with("content-disposition:")
    })?;
    let value = line.split(';').find_map(|part| {
        let (found, value) = part.trim().split_once('=')?;
        (found == name).then_some(value)
    })?;
    Some(value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_taken_apart() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\nContent-Type: application/zip\r\n\r\nPK\r\n--\x00\r\n--x--\r\n";
        let parts = parts(body, "x").unwrap();
        assert_eq!(parts.len(), 1);
        assert_eq!(
            (parts[0].name.as_str(), parts[0].content),
            ("file", &b"PK\r\n--\x00"[..])
        );
        assert_eq!(parts[0].file_name.as_deref(), Some("a.zip"));
    }

    #[test]
    fn a_body_without_its_end_is_none() {
        assert_eq!(
            parts(
                b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nPK",
                "x"
            ),
            None
        );
    }
}
