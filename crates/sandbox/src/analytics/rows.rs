//! The rows of a table, held compactly: the cells of all rows one behind another in a few large pieces,
//! and an index over the matching columns that is kept from one import to the next.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Bytes of one piece.
const PIECE: usize = 4 << 20;

/// Dead bytes from which on the rows are copied together.
const MUCH_DEAD: usize = 64 << 20;

/// Where a row begins.
#[derive(Clone, Copy, Debug)]
struct Place {
    piece: u32,
    offset: u32,
}

/// Rows in their order. A cell without bytes is empty.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pieces: Vec<Vec<u8>>,
    places: Vec<Place>,
    dead: usize,
    index: Option<Index>,
}

/// Which rows have a key; told by the hash of its cells and then compared.
#[derive(Debug)]
struct Index {
    columns: Vec<usize>,
    first: HashMap<u64, u32, BuildHasherDefault<Ready>>,
    /// The next row with the same hash, by row.
    next: Vec<u32>,
}

const NONE: u32 = u32::MAX;

/// Passes on what is a hash already.
#[derive(Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// The cells of a row, one after another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cells<'rows> {
    rest: &'rows [u8],
    left: usize,
}

impl<'rows> Iterator for Cells<'rows> {
    type Item = &'rows [u8];

    fn next(&mut self) -> Option<&'rows [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (length, rest) = take_number(self.rest);
        let (cell, rest) = rest.split_at(length);
        self.rest = rest;
        Some(cell)
    }
}

/// Memory for the cells of one row, to be filled again and again.
#[derive(Default)]
pub(crate) struct Row {
    /// The cells that have ended, and what there is of the next.
    pub(crate) bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Row {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(crate) fn push(&mut self, cell: &[u8]) {
        self.bytes.extend_from_slice(cell);
        self.end();
    }

    /// Ends the cell whose bytes were written one after another.
    pub(crate) fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn cells(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut begin = 0;
        self.ends.iter().map(move |end| {
            let cell = &self.bytes[begin..*end];
            begin = *end;
            cell
        })
    }
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes that the rows take.
    pub(crate) fn bytes(&self) -> usize {
        let all: usize = self.pieces.iter().map(Vec::len).sum();
        all - self.dead
    }

    pub(crate) fn cells(&self, row: usize) -> Cells<'_> {
        cells_at(&self.pieces, self.places[row])
    }

    /// One cell; columns that came after the row are empty.
    pub(crate) fn cell(&self, row: usize, column: usize) -> &[u8] {
        self.cells(row).nth(column).unwrap_or_default()
    }

    /// Adds a row.
    pub(crate) fn push<'cell>(&mut self, cells: impl ExactSizeIterator<Item = &'cell [u8]>) {
        let place = self.write(cells);
        self.places.push(place);
        self.index = None;
    }

    /// Adds all rows of another, whose columns stand in the same order.
    pub(crate) fn append(&mut self, other: Rows) {
        let before = u32::try_from(self.pieces.len()).expect("the memory has no such many pieces");
        let moved = other.places.iter().map(|place| Place {
            piece: place.piece + before,
            offset: place.offset,
        });
        self.places.extend(moved);
        self.pieces.extend(other.pieces);
        self.dead += other.dead;
        self.index = None;
    }

    /// Replaces a row.
    pub(crate) fn replace<'cell>(
        &mut self,
        row: usize,
        cells: impl ExactSizeIterator<Item = &'cell [u8]>,
    ) {
        self.index = None;
        self.rewrite(row, cells);
    }

    /// Removes the rows that are asked for; returns how many.
    pub(crate) fn remove(&mut self, is_asked: impl Fn(&Rows, usize) -> bool) -> usize {
        let keep: Vec<bool> = (0..self.len()).map(|row| !is_asked(self, row)).collect();
        let removed = keep.iter().filter(|keep| !**keep).count();
        if removed > 0 {
            self.dead += (0..self.len())
                .filter(|row| !keep[*row])
                .map(|row| self.length(row))
                .sum::<usize>();
            let mut kept = keep.into_iter();
            self.places.retain(|_| kept.next().unwrap_or(true));
            self.index = None;
            self.tidy();
        }
        removed
    }

    /// Rows with these cells in these columns; the index is made if there is none for the columns.
    pub(crate) fn find(&mut self, columns: &[usize], key: &[&[u8]]) -> Vec<usize> {
        let fits = |index: &Index| index.columns == columns;
        if !self.index.as_ref().is_some_and(fits) {
            self.index = Some(self.build_index(columns));
        }
        let Some(index) = &self.index else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut row = index.first.get(&hash(key)).copied().unwrap_or(NONE);
        while row != NONE {
            let number = row as usize;
            let mut cells = columns.iter().map(|column| self.cell(number, *column));
            if key.iter().all(|part| cells.next() == Some(*part)) {
                found.push(number);
            }
            row = index.next[number];
        }
        found
    }

    /// As [`Rows::push`] for a row with a known key: the index is kept.
    pub(crate) fn push_indexed<'cell>(
        &mut self,
        key: &[&[u8]],
        cells: impl ExactSizeIterator<Item = &'cell [u8]>,
    ) {
        let row = u32::try_from(self.len()).unwrap_or(NONE);
        let place = self.write(cells);
        self.places.push(place);
        if let Some(index) = &mut self.index {
            index.add(row, hash(key));
        }
    }

    /// As [`Rows::replace`] for a row whose key stays: the index is kept.
    pub(crate) fn rewrite<'cell>(
        &mut self,
        row: usize,
        cells: impl ExactSizeIterator<Item = &'cell [u8]>,
    ) {
        self.dead += self.length(row);
        self.places[row] = self.write(cells);
    }

    /// Copies the rows together if much of the memory is dead.
    pub(crate) fn tidy(&mut self) {
        if self.dead < MUCH_DEAD || self.dead < self.bytes() {
            return;
        }
        let old = std::mem::take(self);
        for row in 0..old.len() {
            let place = self.write(old.cells(row));
            self.places.push(place);
        }
        self.index = old.index;
    }

    fn build_index(&self, columns: &[usize]) -> Index {
        let mut index = Index {
            columns: columns.to_vec(),
            first: HashMap::default(),
            next: Vec::with_capacity(self.len()),
        };
        index.first.reserve(self.len());
        let mut key: Vec<&[u8]> = Vec::new();
        for row in 0..self.len() {
            key.clear();
            key.extend(columns.iter().map(|column| self.cell(row, *column)));
            index.add(u32::try_from(row).unwrap_or(NONE), hash(&key));
        }
        index
    }

    fn write<'cell>(&mut self, cells: impl ExactSizeIterator<Item = &'cell [u8]>) -> Place {
        if self.pieces.last().is_none_or(|piece| piece.len() >= PIECE) {
            self.pieces.push(Vec::new());
        }
        let piece = self.pieces.len() - 1;
        let bytes = &mut self.pieces[piece];
        let offset = u32::try_from(bytes.len()).expect("a piece is short");
        put_number(bytes, cells.len());
        for cell in cells {
            put_number(bytes, cell.len());
            bytes.extend_from_slice(cell);
        }
        Place {
            piece: u32::try_from(piece).expect("the memory has no such many pieces"),
            offset,
        }
    }

    fn length(&self, row: usize) -> usize {
        let mut cells = self.cells(row);
        let before = cells.rest.len();
        while cells.next().is_some() {}
        before - cells.rest.len()
    }
}

impl Index {
    fn add(&mut self, row: u32, hash: u64) {
        let next = self.first.insert(hash, row).unwrap_or(NONE);
        self.next.push(next);
    }
}

impl ExactSizeIterator for Cells<'_> {
    fn len(&self) -> usize {
        self.left
    }
}

fn cells_at(pieces: &[Vec<u8>], place: Place) -> Cells<'_> {
    let bytes = &pieces[place.piece as usize][place.offset as usize..];
    let (left, rest) = take_number(bytes);
    Cells { rest, left }
}

/// A number with seven bits in each byte, the low ones first.
fn put_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &[u8]) -> (usize, &[u8]) {
    let mut number = 0;
    for (place, byte) in bytes.iter().enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return (number, &bytes[place + 1..]);
        }
    }
    (number, &[])
}

/// A hash of a key; the length of each part counts.
pub(crate) fn hash(key: &[&[u8]]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash: u64 = 0;
    let mut mix = |word: u64| hash = (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    for part in key {
        mix(part.len() as u64);
        for chunk in part.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(u64::from_le_bytes(word));
        }
    }
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&'static str]) -> Vec<&'static [u8]> {
        cells.iter().map(|cell| cell.as_bytes()).collect()
    }

    fn push(rows: &mut Rows, cells: &[&'static str]) {
        rows.push(row(cells).into_iter());
    }

    #[test]
    fn rows_are_found_by_key_after_every_change() {
        let mut rows = Rows::default();
        for number in ["1", "2", "1"] {
            push(&mut rows, &[number, "x"]);
        }
        let mut found = rows.find(&[0], &[b"1"]);
        found.sort_unstable();
        assert_eq!(found, [0, 2]);
        rows.push_indexed(&[b"3"], row(&["3", "y"]).into_iter());
        rows.rewrite(1, row(&["2", "z"]).into_iter());
        assert_eq!(rows.find(&[0], &[b"3"]), [3]);
        assert_eq!(rows.cell(1, 1), b"z");
        assert_eq!(rows.cell(1, 9), b"");
        assert_eq!(rows.remove(|rows, row| rows.cell(row, 0) == b"1"), 2);
        assert_eq!(rows.find(&[0], &[b"3"]), [1]);
        assert_eq!(rows.len(), 2);
        let mut other = Rows::default();
        let long = "l".repeat(300);
        other.push([long.as_bytes()].into_iter());
        rows.append(other);
        assert_eq!(rows.cell(2, 0), long.as_bytes());
        assert!(rows.bytes() > long.len());
    }
}
