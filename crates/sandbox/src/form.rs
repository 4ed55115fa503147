//! Names and values as forms and query strings carry them, `a=b&c=d` with percent signs.

use std::collections::HashMap;

use axum::http::{HeaderMap, header};

/// The fields of a form or of a query string; what is no pair is left out.
pub(crate) fn fields(text: &str) -> HashMap<String, String> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        Some((unescape(name)?, unescape(value)?))
    };
    text.split('&').filter_map(pair).collect()
}

/// Whether a body is said to be a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
}

/// Writes a text so that it can stand in a query string.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                u8::try_from(value).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_unescaped() {
        assert_eq!(unescape("a%3Ab+c").as_deref(), Some("a:b c"));
        assert_eq!(unescape("%zz"), None);
        assert_eq!(unescape(&escape("ü &=")).as_deref(), Some("ü &="));
        assert_eq!(fields("a=1&b&c=%26")["c"], "&");
    }
}
