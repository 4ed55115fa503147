//! What looks like a secret by the words before it, and by its own shape.

use memchr::memmem;

use super::{HIDDEN, Range};

/// Finds what looks like a secret in a line.
pub(super) fn find(line: &str, hidden: &mut Vec<Range>) {
    let bytes = line.as_bytes();
    for at in memchr::memchr2_iter(b'=', b':', bytes) {
        if bytes[at] == b':' && bytes[at..].starts_with(b"://") {
            hidden.extend(password_of_url(bytes, at + 3));
        } else {
            hidden.extend(value_of_key(bytes, at));
        }
    }
    for (word, scheme) in [("earer ", "Bearer"), ("asic ", "Basic")] {
        for at in memmem::find_iter(bytes, word) {
            hidden.extend(credentials(bytes, at, word.len(), scheme));
        }
    }
    for prefix in ["AKIA", "ASIA"] {
        for start in memmem::find_iter(bytes, prefix) {
            let is_of_key = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
            let end = end_of(bytes, start, is_of_key);
            if end - start == 20 {
                hidden.push((start, end));
            }
        }
    }
}

/// Whether a key by its name holds what nobody is to see.
pub(super) fn is_secret_key(key: &str) -> bool {
    const KEYS_OF_DATA: [&str; 10] = [
        "replication_key",
        "primary_key",
        "foreign_key",
        "sort_key",
        "partition_key",
        "cluster_key",
        "dist_key",
        "public_key",
        "bookmark_key",
        "record_key",
    ];
    let key: String = key
        .chars()
        .map(|letter| match letter {
            '-' | '.' | ' ' => '_',
            letter => letter.to_ascii_lowercase(),
        })
        .collect();
    if KEYS_OF_DATA.iter().any(|other| key.ends_with(other)) {
        return false;
    }
    [
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "token",
        "secret",
        "credentials",
        "authorization",
    ]
    .iter()
    .any(|end| key.ends_with(end))
        || [
            "apikey",
            "_key",
            "accesskey",
            "privatekey",
            "secretkey",
            "_pass",
            "_pat",
            "signature",
        ]
        .iter()
        .any(|end| key.ends_with(end))
        || key.contains("password")
        || key.contains("private_key")
        || key.contains("client_secret")
}

/// `user:password@` of a URL.
fn password_of_url(bytes: &[u8], start: usize) -> Option<Range> {
    let is_of_host = |byte: &u8| !byte.is_ascii_whitespace() && !b"/?#\"'<>\\`".contains(byte);
    let end = end_of(bytes, start, is_of_host);
    let at = start + memchr::memrchr(b'@', bytes.get(start..end)?)?;
    let password = start + memchr::memchr(b':', bytes.get(start..at)?)? + 1;
    (password < at).then_some((password, at))
}

/// The value of `password=…`, `"token": "…"`, `Authorization: …`; `at` is the sign between the two.
fn value_of_key(bytes: &[u8], at: usize) -> Option<Range> {
    let (key, is_quoted) = key_before(bytes, at)?;
    if !is_secret_key(key) {
        return None;
    }
    let is_header = key.to_ascii_lowercase().ends_with("authorization");
    let mut start = at + 1;
    let may_have_space = bytes[at] == b':' || is_quoted || bytes.get(at - 1) == Some(&b' ');
    while may_have_space && bytes.get(start) == Some(&b' ') {
        start += 1;
    }
    let (start, quote) = quote_at(bytes, start);
    // `the token: expected a text` is no secret; `api_key: abc` is.
    let is_word = !key.contains(['_', '-']) && !key.eq_ignore_ascii_case("password");
    if bytes[at] == b':' && !is_quoted && quote.is_none() && is_word && !is_header {
        return None;
    }
    let end = match quote {
        Some(quote) => end_of_quoted(bytes, start, quote),
        None if is_header => bytes.len(),
        None => end_of(bytes, start, |byte| {
            !byte.is_ascii_whitespace() && !b"&,;)]}\"'<>\\".contains(byte)
        }),
    };
    let value = bytes.get(start..end)?;
    const NOTHING: [&[u8]; 9] = [
        b"", b"null", b"None", b"true", b"false", b"True", b"False", b"{", b"[",
    ];
    let is_open = value.starts_with(b"{") || value.starts_with(b"[");
    if NOTHING.contains(&value) || value == HIDDEN.as_bytes() || is_open && quote.is_none() {
        return None;
    }
    Some((start, end))
}

/// The key that ends before a sign, and whether it stands in quotes.
fn key_before(bytes: &[u8], at: usize) -> Option<(&str, bool)> {
    let mut end = at;
    while end > 0 && bytes[end - 1] == b' ' && at - end < 2 {
        end -= 1;
    }
    let mut is_quoted = false;
    if end > 0 && matches!(bytes[end - 1], b'"' | b'\'') {
        is_quoted = true;
        end -= 1;
        while end > 0 && bytes[end - 1] == b'\\' {
            end -= 1;
        }
    }
    let is_of_key = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.".contains(*byte);
    let length = bytes[..end]
        .iter()
        .rev()
        .take(64)
        .take_while(is_of_key)
        .count();
    let key = std::str::from_utf8(&bytes[end - length..end]).ok()?;
    (key.len() >= 3).then_some((key, is_quoted))
}

/// The quote that begins a value, and how many `\` stand before it.
fn quote_at(bytes: &[u8], start: usize) -> (usize, Option<(u8, usize)>) {
    let escapes = end_of(bytes, start, |byte| *byte == b'\\') - start;
    match bytes.get(start + escapes) {
        Some(quote @ (b'"' | b'\'')) => (start + escapes + 1, Some((*quote, escapes))),
        _ => (start, None),
    }
}

/// The end of a value in quotes: the next quote that has no more `\` before it than the first had.
fn end_of_quoted(bytes: &[u8], start: usize, (quote, escapes): (u8, usize)) -> usize {
    let mut from = start;
    while let Some(next) = memchr::memchr(quote, &bytes[from..]) {
        let end = from + next;
        let before = bytes[start..end].iter().rev();
        let escaped = before.take_while(|byte| **byte == b'\\').count();
        if escaped <= escapes || escaped.is_multiple_of(2) && escapes == 0 {
            return end - escaped.min(escapes);
        }
        from = end + 1;
    }
    bytes.len()
}

/// What follows `Bearer` and `Basic`, unless it is a word of plain text.
fn credentials(bytes: &[u8], at: usize, length: usize, scheme: &str) -> Option<Range> {
    let first = at.checked_sub(1)?;
    if !bytes[first].eq_ignore_ascii_case(&scheme.as_bytes()[0]) {
        return None;
    }
    let start = end_of(bytes, at + length, |byte| *byte == b' ');
    let end = end_of(bytes, start, |byte| {
        byte.is_ascii_alphanumeric() || b"+/=._~-:".contains(byte)
    });
    let value = &bytes[start..end];
    let is_word = value
        .iter()
        .all(|byte| byte.is_ascii_lowercase() || b"-.:".contains(byte));
    let least = if is_word { 16 } else { SHORTEST_CREDENTIALS };
    (value.len() >= least).then_some((start, end))
}

/// `Basic auth` and `Bearer token` are words.
const SHORTEST_CREDENTIALS: usize = 4;

fn end_of(bytes: &[u8], start: usize, is_part: impl Fn(&u8) -> bool) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    start + rest.iter().take_while(|byte| is_part(byte)).count()
}
