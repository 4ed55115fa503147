//! The cells of a row as one short run of bytes, so that a million rows fit into memory.

/// The cells of a row, one after the other.
pub(crate) struct Cells<'row> {
    rest: &'row [u8],
}

impl<'row> Cells<'row> {
    /// The cells that were packed.
    pub(crate) fn of(packed: &'row [u8]) -> Cells<'row> {
        Cells { rest: packed }
    }
}

impl<'row> Iterator for Cells<'row> {
    type Item = Option<&'row str>;

    fn next(&mut self) -> Option<Option<&'row str>> {
        let mut length = 0usize;
        loop {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            length = length << 7 | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let Some(length) = length.checked_sub(1) else {
            return Some(None);
        };
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(text).ok().map(Some)
    }
}

/// Each cell is its length and one, in groups of seven bits, and its bytes; a null is 0.
pub(crate) fn pack(cells: &[Option<String>]) -> Box<[u8]> {
    let bytes = cells.iter().flatten().map(|cell| cell.len() + 2);
    let mut packed = Vec::with_capacity(bytes.sum::<usize>() + cells.len());
    for cell in cells {
        let length = cell.as_ref().map_or(0, |cell| cell.len() + 1);
        for group in (1..5).rev() {
            if length >> (7 * group) > 0 {
                packed.push((length >> (7 * group)) as u8 & 0x7f | 0x80);
            }
        }
        packed.push(length as u8 & 0x7f);
        packed.extend_from_slice(cell.as_deref().unwrap_or_default().as_bytes());
    }
    packed.into_boxed_slice()
}
