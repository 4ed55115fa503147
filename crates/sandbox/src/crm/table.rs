//! The records of a module: short runs of bytes in the order of their ids, so that a million of them
//! fit, with an index for each field by which records are found.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::cells::{Cells, pack};

/// One record. The cells are those of the module's own fields, in their kept forms.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) id: i64,
    /// Seconds since 1970.
    pub(super) created: i64,
    pub(super) modified: i64,
    /// Places in the list of the users.
    pub(super) created_by: u8,
    pub(super) modified_by: u8,
    pub(super) is_converted: bool,
    cells: Box<[u8]>,
}

/// The records of a module.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// In the order of their ids.
    rows: Vec<Row>,
    /// By the place of an own field.
    indexes: Vec<(usize, Index)>,
    pub(super) last_change: i64,
}

/// Who has which value: hashes alone, to be short; the records themselves are looked at afterwards.
#[derive(Clone, Debug, Default)]
struct Index {
    first: HashMap<u64, i64>,
    /// Further records with the same hash.
    others: HashMap<u64, Vec<i64>>,
}

impl Row {
    pub(super) fn new(id: i64, now: i64, user: u8, cells: &[Option<String>]) -> Row {
        Row {
            id,
            created: now,
            modified: now,
            created_by: user,
            modified_by: user,
            is_converted: false,
            cells: pack(cells),
        }
    }

    pub(super) fn set_cells(&mut self, cells: &[Option<String>]) {
        self.cells = pack(cells);
    }

    /// The cells in the order of the own fields; nothing stands for null.
    pub(super) fn cells(&self) -> Cells<'_> {
        Cells::of(&self.cells)
    }

    pub(super) fn cell(&self, place: usize) -> Option<&str> {
        self.cells().nth(place).flatten()
    }

    /// The cells, to be changed; fields that were added since have none.
    pub(super) fn owned_cells(&self, count: usize) -> Vec<Option<String>> {
        let mut cells: Vec<_> = self.cells().map(|cell| cell.map(str::to_owned)).collect();
        cells.resize(count, None);
        cells
    }
}

impl Table {
    /// An empty one with indexes of these own fields.
    pub(super) fn new(indexed: impl Iterator<Item = usize>) -> Table {
        Table {
            indexes: indexed.map(|place| (place, Index::default())).collect(),
            ..Table::default()
        }
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn row(&self, id: i64) -> Option<&Row> {
        self.position(id)
            .ok()
            .and_then(|position| self.rows.get(position))
    }

    /// Rows from the first whose id is greater.
    pub(super) fn rows_after(&self, id: i64) -> &[Row] {
        let first = self.rows.partition_point(|row| row.id <= id);
        self.rows.get(first..).unwrap_or_default()
    }

    /// The record with the smallest id that has a value, whatever the case of its letters.
    pub(super) fn owner(&self, place: usize, value: &str) -> Option<i64> {
        let has_it = |id: i64| {
            let cell = self.row(id).and_then(|row| row.cell(place));
            cell.is_some_and(|cell| is_same(cell, value))
        };
        let Some((_, index)) = self.indexes.iter().find(|(known, _)| *known == place) else {
            let mut rows = self.rows.iter();
            return rows
                .find(|row| row.cell(place).is_some_and(|cell| is_same(cell, value)))
                .map(|row| row.id);
        };
        let hash = hash_of(value);
        let first = index.first.get(&hash).copied();
        let others = index.others.get(&hash).into_iter().flatten().copied();
        first
            .into_iter()
            .chain(others)
            .filter(|id| has_it(*id))
            .min()
    }

    /// Puts a record in its place; one with the same id is replaced.
    pub(super) fn put(&mut self, row: Row) {
        self.last_change = self.last_change.max(row.modified);
        let position = self.position(row.id);
        if let Ok(position) = position {
            self.forget(position);
        }
        for (place, index) in &mut self.indexes {
            if let Some(value) = row.cell(*place) {
                index.add(hash_of(value), row.id);
            }
        }
        match position {
            Ok(position) => self.rows[position] = row,
            Err(position) => self.rows.insert(position, row),
        }
    }

    /// Takes a record out.
    pub(super) fn remove(&mut self, id: i64) -> Option<Row> {
        let position = self.position(id).ok()?;
        self.forget(position);
        Some(self.rows.remove(position))
    }

    fn position(&self, id: i64) -> Result<usize, usize> {
        // Most records are put behind the last one.
        match self.rows.last() {
            Some(last) if last.id < id => Err(self.rows.len()),
            _ => self.rows.binary_search_by_key(&id, |row| row.id),
        }
    }

    fn forget(&mut self, position: usize) {
        let row = &self.rows[position];
        for (place, index) in &mut self.indexes {
            if let Some(value) = row.cell(*place) {
                index.remove(hash_of(value), row.id);
            }
        }
    }
}

impl Index {
    fn add(&mut self, hash: u64, id: i64) {
        if *self.first.entry(hash).or_insert(id) != id {
            self.others.entry(hash).or_default().push(id);
        }
    }

    fn remove(&mut self, hash: u64, id: i64) {
        if self.first.get(&hash) == Some(&id) {
            self.first.remove(&hash);
        }
        if let Some(others) = self.others.get_mut(&hash) {
            others.retain(|other| *other != id);
            if others.is_empty() {
                self.others.remove(&hash);
            }
        }
    }
}

fn is_same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
}

fn hash_of(value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    for byte in value.bytes() {
        byte.to_ascii_lowercase().hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, value: &str) -> Row {
        Row::new(id, 1, 0, &[None, Some(value.to_owned())])
    }

    #[test]
    fn records_are_found_by_a_value_in_any_case() {
        let mut table = Table::new([1].into_iter());
        for (id, value) in [(5, "a@x"), (3, "A@X"), (9, "b@x")] {
            table.put(row(id, value));
        }
        assert_eq!(table.owner(1, "a@X"), Some(3));
        table.remove(3);
        assert_eq!(table.owner(1, "a@x"), Some(5));
        table.put(row(5, "c@x"));
        assert_eq!(table.owner(1, "a@x"), None);
        assert_eq!(table.owner(1, "C@x"), Some(5));
        let ids: Vec<_> = table.rows_after(0).iter().map(|row| row.id).collect();
        assert_eq!(ids, [5, 9]);
    }

    #[test]
    fn a_field_that_came_later_is_empty() {
        assert_eq!(row(1, "x").owned_cells(4).len(), 4);
        assert_eq!(row(1, "x").cell(3), None);
    }
}
