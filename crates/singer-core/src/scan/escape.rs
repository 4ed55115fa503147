//! Escapes in JSON strings: one of them, or those of a whole text. What to make of half a surrogate pair,
//! which the scanner lets pass, is left to the caller.

use std::borrow::Cow;

use memchr::memchr;

/// What an escape stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// A character of ASCII, by a backslash and a letter or sign.
    Simple(u8),
    /// Any character, by four hexadecimal digits or twice as many, and how many bytes spell it.
    Unicode(char, usize),
}

impl Escape {
    /// How many bytes spell it, from its backslash on.
    pub fn length(self) -> usize {
        match self {
            Self::Simple(_) => 2,
            Self::Unicode(_, length) => length,
        }
    }
}

/// Why an escape stands for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EscapeError {
    /// JSON has no such escape.
    Unknown,
    /// Half of a surrogate pair, which no text has.
    HalfSurrogate,
}

/// What the escape means whose backslash is the first byte. Both halves of a surrogate pair are one escape.
///
/// # Errors
/// If it is none, or half of a surrogate pair.
#[inline]
pub fn escape(escaped: &[u8]) -> Result<Escape, EscapeError> {
    // Two forms, since a byte is pushed much faster than a character is encoded, and is far more frequent.
    Ok(Escape::Simple(match escaped.get(1) {
        Some(sign @ (b'"' | b'\\' | b'/')) => *sign,
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'u') => {
            let (character, length) = unicode(escaped)?;
            return Ok(Escape::Unicode(character, length));
        }
        _ => return Err(EscapeError::Unknown),
    }))
}

/// The text of a scanned string without quotes, its escapes resolved. Half a surrogate pair becomes
/// U+FFFD, as it has no UTF-8 form.
pub fn unescape_lossy(raw: &[u8]) -> Cow<'_, str> {
    let Some(mut found) = memchr(b'\\', raw) else {
        // Nearly always it is UTF-8, and to look for that alone is far quicker.
        return match std::str::from_utf8(raw) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(raw),
        };
    };
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        let (clean, escaped) = rest.split_at(found);
        text.extend_from_slice(clean);
        let length = match escape(escaped) {
            Ok(Escape::Simple(byte)) => {
                text.push(byte);
                2
            }
            Ok(Escape::Unicode(character, length)) => {
                push(&mut text, character);
                length
            }
            Err(EscapeError::HalfSurrogate) => {
                push(&mut text, char::REPLACEMENT_CHARACTER);
                UNIT
            }
            // No scanned string has one: it stays as it is.
            Err(EscapeError::Unknown) => {
                text.push(b'\\');
                1
            }
        };
        rest = escaped.get(length..).unwrap_or_default();
        match memchr(b'\\', rest) {
            Some(next) => found = next,
            None => break,
        }
    }
    text.extend_from_slice(rest);
    Cow::Owned(String::from_utf8_lossy(&text).into_owned())
}

fn push(text: &mut Vec<u8>, character: char) {
    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Bytes of `\uXXXX`.
const UNIT: usize = 6;

fn unicode(escaped: &[u8]) -> Result<(char, usize), EscapeError> {
    let first = unit(escaped).ok_or(EscapeError::Unknown)?;
    if let 0xd800..0xdc00 = first {
        let second = escaped.get(UNIT..).and_then(unit);
        let Some(second @ 0xdc00..0xe000) = second else {
            return Err(EscapeError::HalfSurrogate);
        };
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        let character = char::from_u32(code).ok_or(EscapeError::HalfSurrogate)?;
        return Ok((character, 2 * UNIT));
    }
    let character = char::from_u32(first).ok_or(EscapeError::HalfSurrogate)?;
    Ok((character, UNIT))
}

/// The number that the digits of `\uXXXX` spell.
fn unit(escaped: &[u8]) -> Option<u32> {
    let digits = escaped.get(..UNIT)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |sum, digit| {
        Some(sum * 16 + char::from(*digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_escape_of_json_is_known_and_no_other() {
        for (text, wanted) in [
            (r#"\"x"#, Ok(Escape::Simple(b'"'))),
            (r"\\u0041", Ok(Escape::Simple(b'\\'))),
            (r"\/", Ok(Escape::Simple(b'/'))),
            (r"\b", Ok(Escape::Simple(8))),
            (r"\f", Ok(Escape::Simple(12))),
            (r"\n", Ok(Escape::Simple(b'\n'))),
            (r"\r", Ok(Escape::Simple(b'\r'))),
            (r"\t", Ok(Escape::Simple(b'\t'))),
            (r"\u0022", Ok(Escape::Unicode('"', 6))),
            (r"\u00E9\u00e9", Ok(Escape::Unicode('é', 6))),
            (r"\ud83d\uDE00x", Ok(Escape::Unicode('😀', 12))),
            (r"\x", Err(EscapeError::Unknown)),
            (r"\", Err(EscapeError::Unknown)),
            (r"\u12", Err(EscapeError::Unknown)),
            (r"\u12g4", Err(EscapeError::Unknown)),
            (r"\u+123", Err(EscapeError::Unknown)),
            (r"\ud83d", Err(EscapeError::HalfSurrogate)),
            (r"\ud83d\ud83d\ude00", Err(EscapeError::HalfSurrogate)),
            (r"\ud83d\u0041", Err(EscapeError::HalfSurrogate)),
            (r"\ude00\ud83d", Err(EscapeError::HalfSurrogate)),
        ] {
            assert_eq!(escape(text.as_bytes()), wanted, "{text}");
        }
    }

    #[test]
    fn escapes_resolve() {
        assert_eq!(
            unescape_lossy(br#"a\n\"\u00e9\ud83d\ude00\ud83d"#),
            "a\n\"é😀\u{fffd}"
        );
        assert_eq!(unescape_lossy(br"\ud83d\u0041b"), "\u{fffd}Ab");
        assert!(matches!(unescape_lossy(b"plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn what_is_no_escape_stays_as_it_is() {
        for text in [r"a\x\", r"\u12", r"\é"] {
            assert_eq!(unescape_lossy(text.as_bytes()), text);
        }
    }
}
