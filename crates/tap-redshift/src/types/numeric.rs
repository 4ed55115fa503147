//! The binary form of `numeric`: groups of four decimal digits, printed with every digit.

use singer_core::value::write_integer;

use super::binary::Malformed;

/// What a binary `numeric` turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numeric {
    /// A number, whose digits were appended.
    Finite,
    /// Not a number; nothing was appended, this is its text.
    Special(&'static str),
}

const NEGATIVE: u16 = 0x4000;

/// Appends the number with exactly its declared digits behind the point.
pub(super) fn write_numeric(out: &mut Vec<u8>, raw: &[u8]) -> Result<Numeric, Malformed> {
    let (header, digits) = raw.split_first_chunk::<8>().ok_or(Malformed)?;
    let [a, b, c, d, e, f, g, h] = *header;
    let count = usize::from(u16::from_be_bytes([a, b]));
    let weight = i32::from(i16::from_be_bytes([c, d]));
    let sign = u16::from_be_bytes([e, f]);
    let scale = usize::from(u16::from_be_bytes([g, h]));
    match sign {
        0 | NEGATIVE => {}
        0xC000 => return Ok(Numeric::Special("NaN")),
        0xD000 => return Ok(Numeric::Special("Infinity")),
        0xF000 => return Ok(Numeric::Special("-Infinity")),
        _ => return Err(Malformed),
    }
    if digits.len() != count * 2 || scale > 0x3FFF {
        return Err(Malformed);
    }
    // The group of a power of 10,000; groups that are not sent are zero.
    let group = |place: i32| -> u16 {
        usize::try_from(place)
            .ok()
            .and_then(|place| digits.get(place * 2..place * 2 + 2))
            .map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]) % 10_000)
    };
    if sign == NEGATIVE {
        out.push(b'-');
    }
    write_integer(out, i64::from(if weight < 0 { 0 } else { group(0) }));
    for place in 1..=weight {
        out.extend_from_slice(&four_digits(group(place)));
    }
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + scale;
        let mut place = weight + 1;
        // A number below one may begin some groups behind the point.
        while place < 0 && out.len() < end {
            out.extend_from_slice(b"0000");
            place += 1;
        }
        while out.len() < end {
            out.extend_from_slice(&four_digits(group(place)));
            place += 1;
        }
        out.truncate(end);
    }
    Ok(Numeric::Finite)
}

fn four_digits(group: u16) -> [u8; 4] {
    let digit = |divisor: u16| b'0' + (group / divisor % 10) as u8;
    [digit(1000), digit(100), digit(10), digit(1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(weight: i16, sign: u16, scale: u16, groups: &[u16]) -> Result<String, Malformed> {
        let mut raw = (groups.len() as u16).to_be_bytes().to_vec();
        raw.extend_from_slice(&weight.to_be_bytes());
        raw.extend_from_slice(&sign.to_be_bytes());
        raw.extend_from_slice(&scale.to_be_bytes());
        for group in groups {
            raw.extend_from_slice(&group.to_be_bytes());
        }
        let mut out = Vec::new();
        Ok(match write_numeric(&mut out, &raw)? {
            Numeric::Finite => String::from_utf8(out).unwrap(),
            Numeric::Special(text) => text.to_owned(),
        })
    }

    #[test]
    fn every_digit_is_printed() {
        assert_eq!(number(0, 0, 0, &[]), Ok("0".to_owned()));
        assert_eq!(number(0, 0, 4, &[12, 3400]), Ok("12.3400".to_owned()));
        assert_eq!(
            number(1, NEGATIVE, 2, &[1, 0, 500]),
            Ok("-10000.05".to_owned())
        );
        assert_eq!(number(2, 0, 0, &[7]), Ok("700000000".to_owned()));
        assert_eq!(number(-2, 0, 8, &[5]), Ok("0.00000005".to_owned()));
        assert_eq!(number(-3, 0, 5, &[]), Ok("0.00000".to_owned()));
        assert_eq!(number(0, 0xC000, 0, &[]), Ok("NaN".to_owned()));
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(number(0, 1, 0, &[1]), Err(Malformed));
        let mut out = Vec::new();
        assert_eq!(write_numeric(&mut out, &[0; 7]), Err(Malformed));
        assert_eq!(
            write_numeric(&mut out, &[0, 2, 0, 0, 0, 0, 0, 0, 0, 1]),
            Err(Malformed)
        );
    }
}
