//! What may be shown of a URL, of an answer's text, of a secret.

use std::borrow::Cow;

use reqwest::Url;
use singer_core::Secret;

/// What stands in the place of what must not be shown.
pub const HIDDEN: &str = "***";

/// A URL without user, password and the values of its query.
pub fn url(url: &Url) -> String {
    let mut text = format!("{}{}", url.origin().ascii_serialization(), url.path());
    for (index, (name, _)) in url.query_pairs().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(&name);
        text.push('=');
        text.push_str(HIDDEN);
    }
    text
}

/// A service's words without what could be a row's value or a secret: whatever stands in quotes and
/// is not one of `names`, whatever has an `@`, and words with digits that are longer than a status
/// or a limit. One line of at most `limit` characters.
pub fn words(text: &str, names: &[&str], limit: usize) -> String {
    let mut out = String::new();
    let mut rest = text;
    // Only so much is looked at; a megabyte of HTML is not read to show three hundred characters.
    let mut budget = limit.saturating_mul(4);
    while let Some(first) = rest.chars().next() {
        if out.chars().count() >= limit || budget == 0 {
            out.push('…');
            break;
        }
        let (taken, shown) = token(rest, first, names);
        budget = budget.saturating_sub(taken);
        rest = rest.get(taken..).unwrap_or_default();
        if shown == " " && (out.is_empty() || out.ends_with(' ')) {
            continue;
        }
        out.push_str(&shown);
    }
    out.trim_end().to_owned()
}

/// How many bytes the next token of a text has, and what is shown of it.
fn token<'a>(text: &'a str, first: char, names: &[&str]) -> (usize, Cow<'a, str>) {
    if first.is_whitespace() || first.is_control() {
        return (first.len_utf8(), Cow::Borrowed(" "));
    }
    if matches!(first, '"' | '\'' | '`') {
        let inside = text.get(first.len_utf8()..).unwrap_or_default();
        if let Some(length) = inside.find(first) {
            let quoted = inside.get(..length).unwrap_or_default();
            let shown = if names.iter().any(|name| name.eq_ignore_ascii_case(quoted)) {
                quoted
            } else {
                HIDDEN
            };
            return (length + 2, Cow::Owned(format!("{first}{shown}{first}")));
        }
        return (first.len_utf8(), Cow::Owned(first.to_string()));
    }
    let length = text
        .find(|c: char| {
            c.is_whitespace()
                || c.is_control()
                || matches!(c, '"' | '\'' | '`' | ',' | ';' | '(' | ')')
        })
        .unwrap_or(text.len())
        .max(first.len_utf8());
    let word = text.get(..length).unwrap_or_default();
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
    let known = names.iter().any(|name| name.eq_ignore_ascii_case(bare));
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    let value = word.contains('@') || digits > 6 || (digits > 0 && letters > 0);
    if value && !known {
        (length, Cow::Borrowed(HIDDEN))
    } else {
        (length, Cow::Borrowed(word))
    }
}

/// The first 16 bytes of SHA-256 over a purpose and a secret: tells whether it is the same secret as
/// before, and nothing else.
pub fn fingerprint(purpose: &str, secret: &Secret) -> [u8; 16] {
    let rustls::SupportedCipherSuite::Tls13(suite) =
        rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256
    else {
        unreachable!("the suite's name says TLS 1.3");
    };
    let mut hash = suite.common.hash_provider.start();
    hash.update(purpose.as_bytes());
    hash.update(&[0]);
    hash.update(secret.expose().as_bytes());
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&hash.finish().as_ref()[..16]);
    fingerprint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_neither_user_nor_query_values() {
        let secret = Url::parse("https://u:p@h:8443/a%20b?token=abc&create=true").unwrap();
        assert_eq!(url(&secret), "https://h:8443/a%20b?token=***&create=***");
    }

    #[test]
    fn words_keep_the_message_and_lose_the_values() {
        let names = ["plan_tier", "seats2"];
        for (text, wanted) in [
            (
                "field \"plan_tier\" cannot take \"gold plated\"",
                "field \"plan_tier\" cannot take \"***\"",
            ),
            (
                "bad value ana@example.org, field seats2",
                "bad value ***, field seats2",
            ),
            ("limit 500 exceeded (413)", "limit 500 exceeded (413)"),
            (
                "id 3f2b8c1e-0000-4000-8000-000000000000 unknown",
                "id *** unknown",
            ),
            ("two\n\n  lines\u{1b}[31m", "two lines ***"),
            ("unbalanced ' quote", "unbalanced ' quote"),
            ("", ""),
        ] {
            assert_eq!(words(text, &names, 300), wanted, "{text}");
        }
    }

    #[test]
    fn words_end_at_their_limit() {
        let shown = words(&"word ".repeat(10_000), &[], 20);
        assert!(shown.chars().count() <= 26, "{shown}");
        assert!(shown.ends_with('…'));
    }

    #[test]
    fn a_fingerprint_depends_on_secret_and_purpose_and_shows_neither() {
        let secret = Secret::new("abc");
        let one = fingerprint("memory", &secret);
        assert_eq!(one, fingerprint("memory", &secret));
        assert_ne!(one, fingerprint("other", &secret));
        assert_ne!(one, fingerprint("memory", &Secret::new("abd")));
    }
}
