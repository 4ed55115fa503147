//! Texts as strings of JSON and as cells of CSV.

use serde_json::json;

/// Writes a text as a JSON string.
pub(crate) fn push_text(out: &mut String, text: &str) {
    let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&json!(text).to_string());
    }
}

/// Writes a cell, in quotes if it needs them.
pub(crate) fn push_cell(out: &mut String, text: &str) {
    let needs_quotes = |byte: u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    let has_edge = text.starts_with(' ') || text.ends_with(' ');
    if !has_edge && !text.bytes().any(needs_quotes) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for (count, part) in text.split('"').enumerate() {
        if count > 0 {
            out.push_str("\"\"");
        }
        out.push_str(part);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_have_to_be() {
        let written = |text: &str| {
            let mut out = String::new();
            push_cell(&mut out, text);
            out
        };
        assert_eq!(written("plain"), "plain");
        assert_eq!(written("a,b"), "\"a,b\"");
        assert_eq!(written("say \"no\"\r\n"), "\"say \"\"no\"\"\r\n\"");
        assert_eq!(written(" x"), "\" x\"");
    }

    #[test]
    fn json_strings_are_escaped() {
        let mut out = String::new();
        push_text(&mut out, "a\"b\\c\n\u{1}ü");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&out).unwrap(),
            "a\"b\\c\n\u{1}ü"
        );
    }
}
