//! The forms in which a line may hold a text: as it is, escaped as in JSON or Python, encoded as in a URL.

/// How often a line is decoded: JSON within JSON within a URL is about as far as loggers go.
const DEPTH: u32 = 3;

/// Where the bytes of a decoded line come from.
pub(super) struct Origin<'a> {
    /// For each byte where it begins in the line, and one more: the line's end. Empty for the line itself.
    starts: &'a [usize],
}

impl Origin<'_> {
    pub(super) fn start(&self, at: usize) -> usize {
        self.starts.get(at).copied().unwrap_or(at)
    }

    /// Where what ends before this byte ends in the line.
    pub(super) fn end(&self, at: usize) -> usize {
        self.starts.get(at).copied().unwrap_or(at)
    }
}

/// Calls `look` with the line and with all that it decodes to.
pub(super) fn forms(line: &[u8], look: &mut impl FnMut(&[u8], &Origin<'_>)) {
    look(line, &Origin { starts: &[] });
    if memchr::memchr3(b'\\', b'%', b'+', line).is_some() {
        let starts: Vec<usize> = (0..=line.len()).collect();
        decoded(line, &starts, DEPTH, look);
    }
}

fn decoded(text: &[u8], starts: &[usize], depth: u32, look: &mut impl FnMut(&[u8], &Origin<'_>)) {
    if depth == 0 {
        return;
    }
    let decoders: [(u8, Decoder); 3] = [(b'\\', escaped), (b'%', percent), (b'+', form)];
    for (sign, decoder) in decoders {
        if memchr::memchr(sign, text).is_none() {
            continue;
        }
        let mut bytes = Vec::with_capacity(text.len());
        let mut origins = Vec::with_capacity(starts.len());
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let (piece, length) = decoder(rest).unwrap_or((Piece::Byte(rest[0]), 1));
            let before = bytes.len();
            match piece {
                Piece::Byte(byte) => bytes.push(byte),
                Piece::Letter(letter) => {
                    bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            origins.resize(origins.len() + bytes.len() - before, starts[at]);
            at += length;
        }
        if bytes != text {
            origins.push(starts[text.len()]);
            look(&bytes, &Origin { starts: &origins });
            decoded(&bytes, &origins, depth - 1, look);
        }
    }
}

/// Reads one piece at the beginning of a text, and says how long it is there.
type Decoder = fn(&[u8]) -> Option<(Piece, usize)>;

enum Piece {
    Byte(u8),
    Letter(char),
}

/// `\n`, `\"`, `\u00e9`, `\xe9` and the like.
fn escaped(text: &[u8]) -> Option<(Piece, usize)> {
    let [b'\\', sign, ..] = text else {
        return None;
    };
    let byte = |byte| Some((Piece::Byte(byte), 2));
    match sign {
        b'"' | b'\\' | b'/' | b'\'' => byte(*sign),
        b'n' => byte(b'\n'),
        b'r' => byte(b'\r'),
        b't' => byte(b'\t'),
        b'b' => byte(8),
        b'f' => byte(12),
        b'x' => Some((Piece::Letter(char::from(hex(text.get(2..4)?)? as u8)), 4)),
        b'u' => {
            let first = hex(text.get(2..6)?)?;
            if let Some(letter) = char::from_u32(first) {
                return Some((Piece::Letter(letter), 6));
            }
            // Two halves of one letter.
            let second = match text.get(6..12)? {
                [b'\\', b'u', digits @ ..] => hex(digits)?,
                _ => return None,
            };
            let units = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
            let letter = char::decode_utf16(units).next()?.ok()?;
            Some((Piece::Letter(letter), 12))
        }
        _ => None,
    }
}

/// `%2F`
fn percent(text: &[u8]) -> Option<(Piece, usize)> {
    match text {
        [b'%', high, low, ..] => Some((Piece::Byte(hex(&[*high, *low])? as u8), 3)),
        _ => None,
    }
}

/// As [`percent`], with `+` for a space.
fn form(text: &[u8]) -> Option<(Piece, usize)> {
    match text {
        [b'+', ..] => Some((Piece::Byte(b' '), 1)),
        _ => percent(text),
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}
