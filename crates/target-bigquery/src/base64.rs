//! Base64 in both alphabets: keys, signatures, BYTES.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The standard alphabet, padded with `=`.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = encode_with(STANDARD, bytes);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// The alphabet of URLs and tokens, without padding.
pub fn encode_url(bytes: &[u8]) -> String {
    encode_with(URL_SAFE, bytes)
}

/// The bytes of a text in the standard alphabet; the padding must be there.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let bare = text
        .strip_suffix("==")
        .or_else(|| text.strip_suffix('='))
        .unwrap_or(text);
    decode_with(b'+', b'/', bare)
}

/// The bytes of a text in the alphabet of URLs and tokens, without padding.
pub fn decode_url(text: &str) -> Option<Vec<u8>> {
    decode_with(b'-', b'_', text)
}

fn encode_with(alphabet: &[u8; 64], bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..=group.len() {
            let digit = bits >> (18 - 6 * index) & 63;
            text.push(char::from(alphabet[digit as usize]));
        }
    }
    text
}

fn decode_with(digit_62: u8, digit_63: u8, text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for character in group {
            let digit = match character {
                b'A'..=b'Z' => character - b'A',
                b'a'..=b'z' => character - b'a' + 26,
                b'0'..=b'9' => character - b'0' + 52,
                other if *other == digit_62 => 62,
                other if *other == digit_63 => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(digit);
        }
        match group.len() {
            4 => bytes.extend_from_slice(&bits.to_be_bytes()[1..]),
            3 => bytes.extend_from_slice(&(bits << 6).to_be_bytes()[1..3]),
            2 => bytes.extend_from_slice(&(bits << 12).to_be_bytes()[1..2]),
            _ => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_go_both_ways() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
            let bare = text.trim_end_matches('=');
            assert_eq!(encode_url(bytes.as_bytes()), bare);
            assert_eq!(decode_url(bare).unwrap(), bytes.as_bytes());
        }
    }

    #[test]
    fn the_alphabets_differ_in_two_characters() {
        let bytes = [0xfb, 0xff, 0xfe];
        assert_eq!(encode(&bytes), "+//+");
        assert_eq!(encode_url(&bytes), "-__-");
        assert_eq!(decode("+//+").unwrap(), bytes);
        assert_eq!(decode_url("-__-").unwrap(), bytes);
        assert_eq!(decode("-__-"), None);
        assert_eq!(decode_url("+//+"), None);
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for text in ["Z", "Zg", "Zg=", "Z===", "Zm9v\n", "Zm 9", "Zg==Zg==", "é="] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode_url("Zm9vY"), None);
        assert_eq!(decode_url("Zg=="), None);
    }
}
