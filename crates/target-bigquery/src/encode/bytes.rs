//! Bytes in a string: base64 with padding (RFC 4648) or two hexadecimal digits each.

use super::unfit::Unfit;
use crate::schema::BytesSpelling;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const NONE: u8 = 0xff;
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut at = 0;
    while at < 64 {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// Appends the bytes that a text spells.
pub(super) fn decode(text: &[u8], spelling: BytesSpelling, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let decoded = match spelling {
        BytesSpelling::Base64 => decode_base64(text, out),
        BytesSpelling::Hex => decode_hex(text, out),
    };
    decoded.ok_or(Unfit::Format)
}

/// Appends the base64 of the bytes that a text spells, and says how many they are.
pub(super) fn write_base64(
    text: &[u8],
    spelling: BytesSpelling,
    out: &mut Vec<u8>,
) -> Result<u64, Unfit> {
    match spelling {
        BytesSpelling::Base64 => {
            let size = check_base64(text).ok_or(Unfit::Format)?;
            out.extend_from_slice(text);
            Ok(size)
        }
        BytesSpelling::Hex => {
            for six in text.chunks(6) {
                let mut bytes = [0u8; 3];
                let mut count = 0;
                for (byte, pair) in bytes.iter_mut().zip(six.chunks(2)) {
                    *byte = hex_byte(pair).ok_or(Unfit::Format)?;
                    count += 1;
                }
                encode_chunk(bytes, count, out);
            }
            Ok(text.len() as u64 / 2)
        }
    }
}

fn encode_chunk(bytes: [u8; 3], count: usize, out: &mut Vec<u8>) {
    let [a, b, c] = bytes.map(u32::from);
    let word = (a << 16) | (b << 8) | c;
    for place in 0..4 {
        if place > count {
            out.push(b'=');
        } else {
            out.push(ALPHABET[(word >> (18 - 6 * place)) as usize & 63]);
        }
    }
}

/// The text's letters and how many `=` are behind them.
fn letters(text: &[u8]) -> Option<(&[u8], usize)> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let letters = text
        .strip_suffix(b"==")
        .or_else(|| text.strip_suffix(b"="))
        .unwrap_or(text);
    Some((letters, text.len() - letters.len()))
}

fn check_base64(text: &[u8]) -> Option<u64> {
    let (letters, padding) = letters(text)?;
    let is_known = letters
        .iter()
        .all(|letter| VALUES[usize::from(*letter)] != NONE);
    is_known.then_some((text.len() / 4 * 3 - padding) as u64)
}

fn decode_base64(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (letters, _) = letters(text)?;
    for four in letters.chunks(4) {
        let mut word = 0u32;
        for letter in four {
            let value = VALUES[usize::from(*letter)];
            if value == NONE {
                return None;
            }
            word = (word << 6) | u32::from(value);
        }
        word <<= 6 * (4 - four.len());
        let bytes = word.to_be_bytes();
        out.extend_from_slice(bytes.get(1..four.len()).unwrap_or_default());
    }
    Some(())
}

fn decode_hex(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    for pair in text.chunks(2) {
        out.push(hex_byte(pair)?);
    }
    Some(())
}

fn hex_byte(pair: &[u8]) -> Option<u8> {
    let [high, low] = pair else { return None };
    let digit = |letter: u8| char::from(letter).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(text: &str, spelling: BytesSpelling) -> Option<String> {
        let mut out = Vec::new();
        write_base64(text.as_bytes(), spelling, &mut out).ok()?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn both_spellings_give_the_same_bytes() {
        for (hex, wanted, bytes) in [
            ("", "", &b""[..]),
            ("66", "Zg==", b"f"),
            ("666F", "Zm8=", b"fo"),
            ("666f6f", "Zm9v", b"foo"),
            ("666f6f62", "Zm9vYg==", b"foob"),
            ("00ff10", "AP8Q", b"\x00\xff\x10"),
        ] {
            assert_eq!(base64(hex, BytesSpelling::Hex).as_deref(), Some(wanted));
            assert_eq!(
                base64(wanted, BytesSpelling::Base64).as_deref(),
                Some(wanted)
            );
            for (text, spelling) in [(hex, BytesSpelling::Hex), (wanted, BytesSpelling::Base64)] {
                let mut out = Vec::new();
                decode(text.as_bytes(), spelling, &mut out).unwrap();
                assert_eq!(out, bytes);
            }
        }
    }

    #[test]
    fn what_is_no_spelling_is_refused() {
        for text in [
            "Zg", "Zg=", "Z===", "====", "Zm9v\n", "Zm-_", "=Zg=", "Zg==Zg==",
        ] {
            assert_eq!(base64(text, BytesSpelling::Base64), None, "{text}");
            let decoded = decode(text.as_bytes(), BytesSpelling::Base64, &mut Vec::new());
            assert!(decoded.is_err(), "{text}");
        }
        for text in ["6", "6g", "666"] {
            assert_eq!(base64(text, BytesSpelling::Hex), None, "{text}");
            assert!(decode(text.as_bytes(), BytesSpelling::Hex, &mut Vec::new()).is_err());
        }
    }
}
