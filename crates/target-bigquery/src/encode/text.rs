//! Strings: the text between the quotes of a JSON string, checked and unescaped.

use std::borrow::Cow;

use memchr::memchr;
use singer_core::scan::{self, Escape};

use super::unfit::Unfit;

/// What stands between the quotes of a scanned string, still escaped.
pub(super) fn inner(json: &[u8]) -> &[u8] {
    json.get(1..json.len().saturating_sub(1))
        .unwrap_or_default()
}

/// The text of what stands between quotes; borrowed if it has no escapes.
pub(super) fn plain(raw: &[u8]) -> Result<Cow<'_, [u8]>, Unfit> {
    if memchr(b'\\', raw).is_none() {
        return Ok(Cow::Borrowed(raw));
    }
    let mut text = Vec::with_capacity(raw.len());
    write_plain(raw, &mut text)?;
    Ok(Cow::Owned(text))
}

/// The same as a `str`, for texts that are short and rarely escaped.
pub(super) fn plain_str(raw: &[u8]) -> Result<Cow<'_, str>, Unfit> {
    match plain(raw)? {
        Cow::Borrowed(text) => std::str::from_utf8(text)
            .map(Cow::Borrowed)
            .map_err(|_| Unfit::Format),
        Cow::Owned(text) => String::from_utf8(text)
            .map(Cow::Owned)
            .map_err(|_| Unfit::Format),
    }
}

/// Appends the text of what stands between quotes.
pub(super) fn write_plain(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    let mut rest = raw;
    while let Some(found) = memchr(b'\\', rest) {
        let (clean, escaped) = rest.split_at(found);
        out.extend_from_slice(clean);
        let escape = scan::escape(escaped)?;
        match escape {
            Escape::Simple(byte) => out.push(byte),
            Escape::Unicode(letter, _) => {
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        rest = escaped.get(escape.length()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Checks that what stands between quotes is a text: every half of a surrogate pair has the other.
pub(super) fn check(raw: &[u8]) -> Result<(), Unfit> {
    let mut rest = raw;
    while let Some(found) = memchr(b'\\', rest) {
        let escaped = rest.get(found..).unwrap_or_default();
        let length = scan::escape(escaped)?.length();
        rest = escaped.get(length..).unwrap_or_default();
    }
    Ok(())
}

/// Characters of what stands between quotes.
pub(super) fn length(raw: &[u8]) -> Result<u64, Unfit> {
    Ok(characters(&plain(raw)?))
}

/// Characters of a text.
pub(super) fn characters(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count() as u64
}
