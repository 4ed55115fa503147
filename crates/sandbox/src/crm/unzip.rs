//! Reading the ZIP files that clients upload, by the directory at their end.

use std::io::Read;

use flate2::read::DeflateDecoder;
use memchr::memmem;

/// The largest file that is unpacked.
const MOST_BYTES: u64 = 2 << 30;

/// One file of a ZIP.
#[derive(Debug, Clone)]
pub(super) struct Entry<'zip> {
    pub(super) name: String,
    method: u16,
    packed: &'zip [u8],
}

/// The files of a ZIP; nothing if it is none, or not whole.
pub(super) fn entries(zip: &[u8]) -> Option<Vec<Entry<'_>>> {
    if !zip.starts_with(b"PK\x03\x04") {
        return None;
    }
    let end = zip.get(memmem::rfind(zip, b"PK\x05\x06")?..)?;
    let count = number(end, 10, 2)?;
    let mut rest = zip.get(number(end, 16, 4)?..)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        if !rest.starts_with(b"PK\x01\x02") {
            return None;
        }
        let (name_length, extra, comment) = (
            number(rest, 28, 2)?,
            number(rest, 30, 2)?,
            number(rest, 32, 2)?,
        );
        let name = rest.get(46..46 + name_length)?;
        let local = zip.get(number(rest, 42, 4)?..)?;
        // The lengths of the name and of the extra part are those of the local head.
        let begins = 30 + number(local, 26, 2)? + number(local, 28, 2)?;
        entries.push(Entry {
            name: String::from_utf8_lossy(name).into_owned(),
            method: u16::try_from(number(rest, 10, 2)?).ok()?,
            packed: local.get(begins..begins + number(rest, 20, 4)?)?,
        });
        rest = rest.get(46 + name_length + extra + comment..)?;
    }
    Some(entries)
}

impl Entry<'_> {
    /// The unpacked file.
    pub(super) fn content(&self) -> Option<Vec<u8>> {
        match self.method {
            0 => Some(self.packed.to_vec()),
            8 => {
                let mut content = Vec::new();
                let mut decoder = DeflateDecoder::new(self.packed).take(MOST_BYTES);
                decoder.read_to_end(&mut content).ok()?;
                Some(content)
            }
            _ => None,
        }
    }
}

/// A number of so many bytes, the smallest first.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + length)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Packer;

    #[test]
    fn what_was_packed_is_unpacked() {
        let mut packer = Packer::new("a.csv".to_owned());
        packer.add(|out| out.push_str("a,b\n1,2\n"));
        let zip = packer.finish().zip();
        let entries = entries(&zip).unwrap();
        assert_eq!(entries[0].name, "a.csv");
        assert_eq!(entries[0].content().unwrap(), b"a,b\n1,2\n");
    }

    #[test]
    fn half_a_zip_is_none() {
        let mut packer = Packer::new("a.csv".to_owned());
        packer.add(|out| out.push_str("a,b\n1,2\n"));
        let zip = packer.finish().zip();
        assert!(entries(&zip[..zip.len() / 2]).is_none());
        assert!(entries(b"a,b\n").is_none());
    }
}
