//! The wire format of protobuf: tags, varints and lengths.

/// The wire type of booleans and integers.
pub(super) const VARINT: u32 = 0;
/// The wire type of doubles.
pub(super) const FIXED_64: u32 = 1;
/// The wire type of what has a length ahead of it.
pub(super) const DELIMITED: u32 = 2;

/// What stands ahead of a field.
pub(super) fn tag(number: u32, wire_type: u32) -> u32 {
    (number << 3) | wire_type
}

/// Appends an integer in groups of seven bits, the lowest first.
pub(super) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends what `write` appends with its length ahead of it. The length gets one byte at first; a
/// longer one moves what was written.
pub(super) fn write_delimited<T, E>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<T, E>,
) -> Result<T, E> {
    let at = out.len();
    out.push(0);
    let result = write(out)?;
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
        return Ok(result);
    }
    let end = out.len();
    write_varint(length as u64, out);
    let size = out.len() - end;
    // The length now stands at the end: the last `size` bytes go to the front, in place of the one.
    let mut varint = [0u8; 10];
    varint[..size].copy_from_slice(&out[end..]);
    out.copy_within(at + 1..end, at + size);
    out.truncate(end + size - 1);
    out[at..at + size].copy_from_slice(&varint[..size]);
    Ok(result)
}

/// What is behind the length at the start.
pub(super) fn behind_length(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    bytes.get(length..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_any_size_stand_ahead() {
        for (length, head) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (20_000, &[0xa0, 0x9c, 1]),
        ] {
            let text: Vec<u8> = (0..length).map(|byte: u32| byte as u8).collect();
            let mut out = b"xy".to_vec();
            write_delimited(&mut out, |out| {
                out.extend_from_slice(&text);
                Ok::<_, ()>(())
            })
            .unwrap();
            assert_eq!(out[..2], *b"xy");
            assert_eq!(out[2..2 + head.len()], *head);
            assert_eq!(out[2 + head.len()..], text);
            assert_eq!(behind_length(&out[2..]), text);
        }
    }
}
