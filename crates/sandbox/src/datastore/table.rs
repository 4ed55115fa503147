//! Tables: rows as short runs of bytes in the order of their ids, so that a million of them fit.

use std::collections::{HashMap, HashSet};

use super::column::{Column, DataType, System};
use super::zone::Zone;
use crate::cells::{Cells, pack};

/// One table of one environment.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    pub(super) modified_ms: i64,
    /// In the order of their ids.
    rows: Vec<Row>,
    /// Values of unique columns with the rows that have them; by the place of the column.
    unique: HashMap<usize, HashMap<String, i64>>,
}

/// One row. The cells are those of the columns that people made.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) creator: i64,
    pub(super) created_ms: i64,
    pub(super) modified_ms: i64,
    cells: Box<[u8]>,
}

/// A column as requests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    System(System),
    Own(usize),
}

/// A value to compare with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Integer(i64),
    Number(f64),
    Text(&'a str),
}

impl Table {
    pub(super) fn new(id: i64, name: &str, columns: Vec<Column>) -> Table {
        let is_unique = |(place, column): (usize, &Column)| column.is_unique.then_some(place);
        let unique = columns.iter().enumerate().filter_map(is_unique);
        Table {
            id,
            name: name.to_owned(),
            unique: unique.map(|place| (place, HashMap::new())).collect(),
            columns,
            modified_ms: 0,
            rows: Vec::new(),
        }
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn row(&self, id: i64) -> Option<&Row> {
        self.position(id).ok().map(|position| &self.rows[position])
    }

    /// Rows from the first whose id is greater.
    pub(super) fn rows_after(&self, id: i64) -> &[Row] {
        let first = self.rows.partition_point(|row| row.id <= id);
        &self.rows[first..]
    }

    /// The row that has a value in a unique column.
    pub(super) fn owner(&self, column: usize, value: &str) -> Option<i64> {
        self.unique.get(&column)?.get(value).copied()
    }

    /// Puts a row in its place; one with the same id is replaced.
    pub(super) fn put(&mut self, row: Row) {
        self.modified_ms = self.modified_ms.max(row.modified_ms);
        match self.position(row.id) {
            Ok(position) => {
                let old = std::mem::replace(&mut self.rows[position], row.clone());
                self.forget_values(&old);
            }
            Err(position) => self.rows.insert(position, row.clone()),
        }
        for (place, values) in &mut self.unique {
            if let Some(value) = row.cell(*place) {
                values.insert(value.to_owned(), row.id);
            }
        }
    }

    /// Takes a row out.
    fn remove(&mut self, id: i64) -> Option<Row> {
        let row = self.rows.remove(self.position(id).ok()?);
        self.forget_values(&row);
        Some(row)
    }

    /// Takes rows out, in one pass over the table.
    pub(super) fn remove_many(&mut self, ids: &[i64]) -> Vec<Row> {
        if let [id] = ids {
            return self.remove(*id).into_iter().collect();
        }
        let ids: HashSet<i64> = ids.iter().copied().collect();
        let gone: Vec<Row> = self
            .rows
            .extract_if(.., |row| ids.contains(&row.id))
            .collect();
        for row in &gone {
            self.forget_values(row);
        }
        gone
    }

    /// Takes all rows out.
    pub(super) fn truncate(&mut self) {
        self.rows = Vec::new();
        self.unique.values_mut().for_each(HashMap::clear);
    }

    /// The column of a name, which is case-sensitive.
    pub(super) fn place(&self, name: &str) -> Option<Place> {
        System::from_name(name).map(Place::System).or_else(|| {
            let own = self.columns.iter().position(|column| column.name == name);
            own.map(Place::Own)
        })
    }

    /// All columns, those of the system first.
    pub(super) fn places(&self) -> Vec<Place> {
        let system = System::ALL.into_iter().map(Place::System);
        system
            .chain((0..self.columns.len()).map(Place::Own))
            .collect()
    }

    pub(super) fn name_of(&self, place: Place) -> &str {
        match place {
            Place::System(system) => system.name(),
            Place::Own(own) => &self.columns[own].name,
        }
    }

    pub(super) fn type_of(&self, place: Place) -> DataType {
        match place {
            Place::System(system) => system.data_type(),
            Place::Own(own) => self.columns[own].data_type,
        }
    }

    /// A value in the form in which it is compared; system times are those of the zone's clock.
    pub(super) fn scalar<'row>(&self, row: &'row Row, place: Place, zone: Zone) -> Scalar<'row> {
        let own = match place {
            Place::System(System::RowId) => return Scalar::Integer(row.id),
            Place::System(System::CreatorId) => return Scalar::Integer(row.creator),
            Place::System(System::CreatedTime) => {
                return Scalar::Integer(zone.local_ms(row.created_ms));
            }
            Place::System(System::ModifiedTime) => {
                return Scalar::Integer(zone.local_ms(row.modified_ms));
            }
            Place::Own(own) => own,
        };
        let Some(text) = row.cell(own) else {
            return Scalar::Null;
        };
        match self.columns[own].data_type {
            DataType::Int | DataType::BigInt | DataType::ForeignKey => {
                text.parse().map_or(Scalar::Null, Scalar::Integer)
            }
            DataType::Double | DataType::Decimal => {
                text.parse().map_or(Scalar::Null, Scalar::Number)
            }
            _ => Scalar::Text(text),
        }
    }

    fn position(&self, id: i64) -> Result<usize, usize> {
        // Most rows are put behind the last one.
        match self.rows.last() {
            Some(last) if last.id < id => Err(self.rows.len()),
            _ => self.rows.binary_search_by_key(&id, |row| row.id),
        }
    }

    fn forget_values(&mut self, row: &Row) {
        for (place, values) in &mut self.unique {
            if let Some(value) = row.cell(*place) {
                values.remove(value);
            }
        }
    }
}

impl Row {
    pub(super) fn new(id: i64, creator: i64, now_ms: i64, cells: &[Option<String>]) -> Row {
        Row {
            id,
            creator,
            created_ms: now_ms,
            modified_ms: now_ms,
            cells: pack(cells),
        }
    }

    pub(super) fn set_cells(&mut self, cells: &[Option<String>]) {
        self.cells = pack(cells);
    }

    /// The cells in the order of the columns; nothing stands for null.
    pub(super) fn cells(&self) -> Cells<'_> {
        Cells::of(&self.cells)
    }

    pub(super) fn cell(&self, place: usize) -> Option<&str> {
        self.cells().nth(place).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, cells: &[Option<&str>]) -> Row {
        let cells: Vec<_> = cells.iter().map(|cell| cell.map(str::to_owned)).collect();
        Row::new(id, 1, 1000, &cells)
    }

    #[test]
    fn cells_of_any_length_come_back() {
        let long = "ü".repeat(10_000);
        let cells = [
            Some("a"),
            None,
            Some(""),
            Some(long.as_str()),
            long.get(..126),
        ];
        let row = row(1, &cells);
        assert_eq!(row.cells().collect::<Vec<_>>(), cells);
        assert_eq!(row.cell(3), Some(long.as_str()));
        assert_eq!(row.cell(9), None);
    }

    #[test]
    fn rows_stand_in_the_order_of_their_ids() {
        let mut column = Column::new("Plate", DataType::Varchar);
        column.is_unique = true;
        let mut table = Table::new(1, "Trucks", vec![column]);
        for (id, plate) in [(5, "e"), (9, "i"), (7, "g")] {
            table.put(row(id, &[Some(plate)]));
        }
        table.put(row(7, &[Some("new")]));
        let ids: Vec<_> = table.rows_after(5).iter().map(|row| row.id).collect();
        assert_eq!(ids, [7, 9]);
        assert_eq!(table.owner(0, "g"), None);
        assert_eq!(table.owner(0, "new"), Some(7));
        assert!(table.remove(7).is_some());
        assert_eq!(table.owner(0, "new"), None);
        assert!(table.row(7).is_none());
    }
}
