//! Ids in few bytes: UUIDs as sixteen, whole numbers as few as they need, all others as their text.

/// What the key of a UUID begins with.
const UUID: u8 = 0x10;
/// What the key of any other text begins with. Keys of whole numbers begin with their length, 1 to 8.
const TEXT: u8 = 0x20;

/// An id as it is stored. The order of keys is that of the files: numbers by size, UUIDs, texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key<'a> {
    pub(crate) tag: u8,
    pub(crate) bytes: &'a [u8],
}

/// Appends the bytes of an id's key and returns its tag. `id` is the inside of a JSON string.
pub(crate) fn pack(id: &[u8], out: &mut Vec<u8>) -> u8 {
    if pack_uuid(id, out) {
        return UUID;
    }
    if let Some(number) = whole_number(id) {
        let bytes = number.to_be_bytes();
        let zeros = (number.leading_zeros() / 8).min(7) as usize;
        out.extend_from_slice(&bytes[zeros..]);
        return (8 - zeros) as u8;
    }
    out.extend_from_slice(id);
    TEXT
}

impl Key<'_> {
    /// Appends the id again, as the inside of a JSON string.
    pub(crate) fn unpack(&self, out: &mut Vec<u8>) {
        match self.tag {
            UUID => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                for (place, byte) in self.bytes.iter().enumerate() {
                    if matches!(place, 4 | 6 | 8 | 10) {
                        out.push(b'-');
                    }
                    out.push(HEX[usize::from(byte >> 4)]);
                    out.push(HEX[usize::from(byte & 15)]);
                }
            }
            TEXT => out.extend_from_slice(self.bytes),
            _ => {
                let number = self
                    .bytes
                    .iter()
                    .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
                out.extend_from_slice(number.to_string().as_bytes());
            }
        }
    }

    /// Appends the key and the hash of its values as an entry of a file.
    pub(crate) fn write_entry(&self, hash: u64, out: &mut Vec<u8>) {
        self.write(out);
        out.extend_from_slice(&hash.to_le_bytes());
    }

    /// Appends the key alone.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.tag);
        if self.tag == TEXT {
            write_number(self.bytes.len() as u64, out);
        }
        out.extend_from_slice(self.bytes);
    }
}

/// Reads an entry from the start of some bytes and moves them on; `None` if there is none.
pub(crate) fn read_entry<'a>(bytes: &mut &'a [u8]) -> Option<(Key<'a>, u64)> {
    let key = read(bytes)?;
    let (hash, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some((key, u64::from_le_bytes(*hash)))
}

/// Reads a key from the start of some bytes and moves them on; `None` if there is none.
pub(crate) fn read<'a>(bytes: &mut &'a [u8]) -> Option<Key<'a>> {
    let (tag, mut rest) = bytes.split_first()?;
    let length = match *tag {
        1..=8 => usize::from(*tag),
        UUID => 16,
        TEXT => usize::try_from(read_number(&mut rest)?).ok()?,
        _ => return None,
    };
    let (key, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(Key {
        tag: *tag,
        bytes: key,
    })
}

/// Appends a number, seven bits a byte.
pub(crate) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads such a number and moves the bytes on.
pub(crate) fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A UUID in the usual spelling; in any other it would not come out as it went in.
fn pack_uuid(id: &[u8], out: &mut Vec<u8>) -> bool {
    if id.len() != 36 {
        return false;
    }
    let start = out.len();
    let mut half = None;
    for (place, byte) in id.iter().enumerate() {
        let digit = match byte {
            b'-' if matches!(place, 8 | 13 | 18 | 23) => continue,
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => {
                out.truncate(start);
                return false;
            }
        };
        half = match half {
            None => Some(digit),
            Some(high) => {
                out.push(high << 4 | digit);
                None
            }
        };
    }
    let whole = out.len() == start + 16;
    if !whole {
        out.truncate(start);
    }
    whole
}

/// A whole number that comes out as it went in.
fn whole_number(id: &[u8]) -> Option<u64> {
    let canonical = id == b"0" || matches!(id, [b'1'..=b'9', ..]);
    if !canonical || !id.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(id).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(id: &str) -> (usize, String) {
        let mut bytes = Vec::new();
        let tag = pack(id.as_bytes(), &mut bytes);
        let key = Key { tag, bytes: &bytes };
        let mut entry = Vec::new();
        key.write_entry(42, &mut entry);
        let mut rest = &entry[..];
        let (read, hash) = read_entry(&mut rest).unwrap();
        assert_eq!((read, hash, rest.len()), (key, 42, 0));
        let mut text = Vec::new();
        read.unpack(&mut text);
        (entry.len(), String::from_utf8(text).unwrap())
    }

    #[test]
    fn ids_come_out_as_they_went_in_and_take_few_bytes() {
        for (id, bytes) in [
            ("3f2b8c1e-1234-4000-8000-00000000000f", 25),
            ("0", 10),
            ("255", 10),
            ("256", 11),
            ("18446744073709551615", 17),
            ("18446744073709551616", 30),
            ("007", 13),
            ("-1", 12),
            ("3F2B8C1E-1234-4000-8000-00000000000F", 46),
            ("3f2b8c1e-1234-4000-8000-0000000000-f", 46),
            ("3f2b8c1e123440008000000000000000f000", 46),
            ("ana@example.org", 25),
            ("", 10),
        ] {
            assert_eq!(round_trip(id), (bytes, id.to_owned()));
        }
    }

    #[test]
    fn numbers_sort_by_size() {
        let mut keys: Vec<(u8, Vec<u8>)> = ["70000", "9", "256", "255"]
            .iter()
            .map(|id| {
                let mut bytes = Vec::new();
                (pack(id.as_bytes(), &mut bytes), bytes)
            })
            .collect();
        keys.sort_unstable();
        let sorted: Vec<String> = keys
            .iter()
            .map(|(tag, bytes)| {
                let mut out = Vec::new();
                Key { tag: *tag, bytes }.unpack(&mut out);
                String::from_utf8(out).unwrap()
            })
            .collect();
        assert_eq!(sorted, ["9", "255", "256", "70000"]);
    }

    proptest! {
        #[test]
        fn any_id_survives(id in "[0-9a-f-]{36}|[0-9]{1,21}|.{0,200}") {
            prop_assert_eq!(round_trip(&id).1, id);
        }

        #[test]
        fn broken_entries_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut rest = &bytes[..];
            while read_entry(&mut rest).is_some() {}
        }
    }
}
