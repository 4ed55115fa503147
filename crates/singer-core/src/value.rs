//! Values as JSON text: strings, integers of any size, decimals with every digit, RFC 3339 times.
//!
//! These functions append to a buffer and allocate nothing; taps call them once per field.

use crate::scan::find_escape;

pub mod time;

/// Appends a JSON string with its quotes.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

/// Appends the inside of a JSON string: what stands between its quotes.
pub fn write_escaped(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut clean = 0;
    let mut at = 0;
    while let Some(found) = find_escape(bytes, at) {
        out.extend_from_slice(&bytes[clean..found]);
        at = found + 1;
        clean = at;
        let short = match bytes[found] {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            8 => b'b',
            12 => b'f',
            other => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(other >> 4)]);
                out.push(HEX[usize::from(other & 15)]);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(&bytes[clean..]);
}

/// Two digits for each number below 100.
const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Appends two decimal digits of a number below 100.
fn write_pair(out: &mut Vec<u8>, number: u32) {
    let at = (number as usize % 100) * 2;
    out.extend_from_slice(&PAIRS[at..at + 2]);
}

/// Appends an integer.
pub fn write_integer(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    while rest >= 100 {
        let pair = (rest % 100) as usize * 2;
        rest /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if rest >= 10 {
        let pair = rest as usize * 2;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        digits[at] = b'0' + rest as u8;
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Whether a text is a whole number in JSON's spelling, of any size.
pub fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    match digits {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Whether a text is a number in JSON's spelling, of any size and precision: no `NaN`, no leading
/// zero, no plus sign, no point without digits on both sides.
pub fn is_number(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let all_digits =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_integer(whole)
        && fraction.is_none_or(all_digits)
        && (exponent.is_empty() || {
            let digits = exponent.trim_start_matches(['e', 'E']);
            exponent.len() - digits.len() == 1
                && all_digits(digits.strip_prefix(['+', '-']).unwrap_or(digits))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_written_as_serde_json_writes_them() {
        for text in [
            "",
            "plain",
            "longer than eight bytes and clean",
            "q\"b\\n\nt\tr\r\u{8}\u{c}\u{1}\u{1f}\u{7f}",
            "the ninth byte \" and \\ others \n",
            "é😀é😀é😀é😀\"é😀",
        ] {
            let mut out = Vec::new();
            write_string(&mut out, text);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                serde_json::to_string(text).unwrap()
            );
        }
    }

    #[test]
    fn integers_are_written_whole() {
        for number in [0, 7, 10, 99, 100, 12_345, -1, -100, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_integer(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    #[test]
    fn numbers_are_told_from_what_only_looks_like_one() {
        for good in [
            "0",
            "-0",
            "12",
            "0.10",
            "-1.5e+10",
            "1E5",
            "123456789012345678901234567890.5",
        ] {
            assert!(is_number(good), "{good}");
        }
        for bad in [
            "", "-", "01", "+1", ".5", "5.", "1e", "1ee5", "NaN", "Infinity", "1 ", "0x1",
        ] {
            assert!(!is_number(bad), "{bad}");
        }
        assert!(is_integer("-170141183460469231731687303715884105728"));
        assert!(!is_integer("1.0"));
    }
}
