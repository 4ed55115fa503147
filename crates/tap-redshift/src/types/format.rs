//! The settings that say how values are written.

use serde::Deserialize;

/// How values are written where there is a choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Formats {
    /// `decimal`
    pub(crate) decimal: DecimalFormat,
    /// `special_values`
    pub(crate) special: SpecialValues,
    /// `binary`
    pub(crate) binary: BinaryFormat,
    /// `trim_char`: whether trailing blanks of `char(n)` are dropped.
    pub(crate) trim_char: bool,
}

/// How a decimal is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DecimalFormat {
    /// As a JSON number with every digit.
    #[default]
    Number,
    /// As a JSON string of format `singer.decimal`.
    String,
}

/// What becomes of values that JSON or RFC 3339 cannot express.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SpecialValues {
    /// They become null and are counted.
    #[default]
    Null,
    /// They become the text that the server prints.
    Text,
}

/// How bytes are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BinaryFormat {
    /// Two lower-case digits a byte.
    #[default]
    Hex,
    /// RFC 4648 base64 with padding.
    Base64,
}

impl BinaryFormat {
    /// The word of JSON schema's `contentEncoding`.
    pub(super) fn encoding(self) -> &'static str {
        match self {
            Self::Hex => "base16",
            Self::Base64 => "base64",
        }
    }

    /// Appends bytes as a JSON string.
    pub(super) fn write(self, out: &mut Vec<u8>, bytes: &[u8]) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        out.push(b'"');
        match self {
            Self::Hex => {
                for byte in bytes {
                    out.push(HEX[usize::from(byte >> 4)]);
                    out.push(HEX[usize::from(byte & 15)]);
                }
            }
            Self::Base64 => bytes.chunks(3).for_each(|chunk| write_base64(out, chunk)),
        }
        out.push(b'"');
    }
}

/// Appends up to three bytes as four characters.
fn write_base64(out: &mut Vec<u8>, chunk: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
    let word = byte(0) << 16 | byte(1) << 8 | byte(2);
    for at in 0..4 {
        if at <= chunk.len() {
            out.push(ALPHABET[(word >> (18 - 6 * at)) as usize & 63]);
        } else {
            out.push(b'=');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_hex_or_base64() {
        let written = |format: BinaryFormat, bytes: &[u8]| {
            let mut out = Vec::new();
            format.write(&mut out, bytes);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(BinaryFormat::Hex, b"\x00\xffA"), r#""00ff41""#);
        for (bytes, wanted) in [
            (&b""[..], r#""""#),
            (b"f", r#""Zg==""#),
            (b"fo", r#""Zm8=""#),
            (b"foo", r#""Zm9v""#),
            (b"foob", r#""Zm9vYg==""#),
        ] {
            assert_eq!(written(BinaryFormat::Base64, bytes), wanted);
        }
    }
}
