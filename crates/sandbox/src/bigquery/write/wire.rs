//! The wire format of protocol buffers: fields with their numbers, and numbers in their forms.

/// The value of one field, as far as the wire tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// Takes the next field of a message; `None` at its end, an error if it is broken.
pub(crate) fn next_field<'a>(rest: &mut &'a [u8]) -> Result<Option<(u32, Wire<'a>)>, Broken> {
    if rest.is_empty() {
        return Ok(None);
    }
    let key = varint(rest)?;
    let number = u32::try_from(key >> 3).map_err(|_| Broken)?;
    let value = match key & 7 {
        0 => Wire::Varint(varint(rest)?),
        1 => Wire::Fixed64(fixed64(rest)?),
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| Broken)?;
            let (bytes, after) = rest.split_at_checked(length).ok_or(Broken)?;
            *rest = after;
            Wire::Bytes(bytes)
        }
        5 => Wire::Fixed32(fixed32(rest)?),
        _ => return Err(Broken),
    };
    if number == 0 {
        return Err(Broken);
    }
    Ok(Some((number, value)))
}

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

pub(crate) fn varint(rest: &mut &[u8]) -> Result<u64, Broken> {
    let mut value = 0u64;
    for place in 0..10 {
        let (byte, after) = rest.split_first().ok_or(Broken)?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Broken)
}

pub(crate) fn fixed64(rest: &mut &[u8]) -> Result<u64, Broken> {
    let (bytes, after) = rest.split_first_chunk::<8>().ok_or(Broken)?;
    *rest = after;
    Ok(u64::from_le_bytes(*bytes))
}

pub(crate) fn fixed32(rest: &mut &[u8]) -> Result<u32, Broken> {
    let (bytes, after) = rest.split_first_chunk::<4>().ok_or(Broken)?;
    *rest = after;
    Ok(u32::from_le_bytes(*bytes))
}

/// Undoes the zigzag of `sint32` and `sint64`.
pub(crate) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// A little-endian two's complement number with `scale` digits behind the point, as text.
pub(crate) fn scaled_text(bytes: &[u8], scale: usize) -> Option<String> {
    if bytes.is_empty() || bytes.len() > 32 {
        return None;
    }
    let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut magnitude: Vec<u8> = bytes.to_vec();
    if is_negative {
        let mut carry = true;
        for byte in &mut magnitude {
            let (negated, over) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (negated, over);
        }
    }
    let mut digits: Vec<char> = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut remainder = 0u32;
        for byte in magnitude.iter_mut().rev() {
            let value = remainder << 8 | u32::from(*byte);
            *byte = (value / 10) as u8;
            remainder = value % 10;
        }
        digits.push(char::from_digit(remainder, 10)?);
    }
    while digits.len() <= scale {
        digits.push('0');
    }
    digits.insert(scale, '.');
    if is_negative {
        digits.push('-');
    }
    Some(digits.into_iter().rev().collect())
}

/// Microseconds since midnight from a packed time.
pub(crate) fn packed_time(packed: i64) -> Option<i64> {
    let packed = u64::try_from(packed).ok()?;
    let part = |shift: u32, bits: u32| ((packed >> shift) & ((1 << bits) - 1)) as i64;
    let (micros, second, minute, hour) = (part(0, 20), part(20, 6), part(26, 6), part(32, 5));
    let good = micros < 1_000_000 && second < 60 && minute < 60 && hour < 24 && packed >> 37 == 0;
    good.then_some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

/// Year, month, day and microseconds since midnight from a packed civil time.
pub(crate) fn packed_datetime(packed: i64) -> Option<(i32, u32, u32, i64)> {
    let bits = u64::try_from(packed).ok()?;
    let time = packed_time(i64::try_from(bits & ((1 << 37) - 1)).ok()?)?;
    let day = u32::try_from((bits >> 37) & 31).ok()?;
    let month = u32::try_from((bits >> 42) & 15).ok()?;
    let year = i32::try_from(bits >> 46).ok()?;
    Some((year, month, day, time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_taken_one_by_one() {
        let mut rest: &[u8] = &[0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 1, 0, 0, 0];
        assert_eq!(next_field(&mut rest), Ok(Some((1, Wire::Varint(150)))));
        assert_eq!(next_field(&mut rest), Ok(Some((2, Wire::Bytes(b"hi")))));
        assert_eq!(next_field(&mut rest), Ok(Some((3, Wire::Fixed32(1)))));
        assert_eq!(next_field(&mut rest), Ok(None));
        let mut cut: &[u8] = &[0x12, 0x05, b'h'];
        assert_eq!(next_field(&mut cut), Err(Broken));
        assert_eq!((zigzag(1), zigzag(2), zigzag(u64::MAX)), (-1, 1, i64::MIN));
    }

    #[test]
    fn scaled_bytes_are_decimal_numbers() {
        let text = |number: i128| scaled_text(&number.to_le_bytes(), 9).unwrap();
        assert_eq!(text(12_500_000_000), "12.500000000");
        assert_eq!(text(-1), "-0.000000001");
        assert_eq!(text(0), "0.000000000");
        assert_eq!(scaled_text(&[0xff], 0).unwrap(), "-1.");
    }

    #[test]
    fn civil_times_are_packed_bits() {
        let time = 5 | 6 << 20 | 7 << 26 | 8 << 32;
        assert_eq!(
            packed_time(time),
            Some((8 * 3600 + 7 * 60 + 6) * 1_000_000 + 5)
        );
        let packed = time | 29 << 37 | 2 << 42 | 2024 << 46;
        assert_eq!(
            packed_datetime(packed),
            Some((2024, 2, 29, (8 * 3600 + 7 * 60 + 6) * 1_000_000 + 5))
        );
        assert_eq!(packed_time(63 << 26), None);
    }
}
