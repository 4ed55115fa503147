//! Kept tables: rows by id, each a compact run of cells, in the order of their ids when asked.
//! A cell's value is JSON text; what its column means is known to the service that owns the table.

use std::collections::HashMap;
use std::sync::Arc;

/// The number of a column, given out by the service that owns the table.
pub(crate) type Column = u16;

/// Bytes in front of each cell's text: column and length.
const CELL_HEAD: usize = 6;

/// One kept row.
pub(crate) struct Row {
    pub(crate) id: Arc<str>,
    /// When the row was last written, in epoch milliseconds; `None` until then.
    pub(crate) written_at: Option<i64>,
    /// The last call that touched the row, to notice an id that comes twice in one call.
    pub(crate) touched_by: u64,
    cells: Box<[u8]>,
    live: bool,
}

impl Row {
    /// The cells in the order of their last write.
    pub(crate) fn cells(&self) -> Cells<'_> {
        Cells { rest: &self.cells }
    }

    /// The JSON text of one column.
    pub(crate) fn cell(&self, column: Column) -> Option<&str> {
        self.cells()
            .find(|(found, _)| *found == column)
            .map(|(_, text)| text)
    }

    /// Sets the given columns and leaves the others alone; an empty text empties the column.
    pub(crate) fn merge(&mut self, changes: &[(Column, impl AsRef<str>)]) {
        let added: usize = changes
            .iter()
            .map(|(_, text)| text.as_ref().len() + CELL_HEAD)
            .sum();
        let mut merged = Vec::with_capacity(self.cells.len() + added);
        for (column, text) in self.cells() {
            if !changes.iter().any(|(changed, _)| *changed == column) {
                push_cell(&mut merged, column, text);
            }
        }
        for (position, (column, text)) in changes.iter().enumerate() {
            let repeated = changes
                .iter()
                .skip(position + 1)
                .any(|(later, _)| later == column);
            if !repeated && !text.as_ref().is_empty() {
                push_cell(&mut merged, *column, text.as_ref());
            }
        }
        self.cells = merged.into_boxed_slice();
    }
}

/// The cells of a row, as pairs of column and JSON text.
pub(crate) struct Cells<'row> {
    rest: &'row [u8],
}

impl<'row> Iterator for Cells<'row> {
    type Item = (Column, &'row str);

    fn next(&mut self) -> Option<Self::Item> {
        let (column, rest) = self.rest.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
        self.rest = rest;
        Some((
            Column::from_ne_bytes(*column),
            std::str::from_utf8(text).ok()?,
        ))
    }
}

fn push_cell(cells: &mut Vec<u8>, column: Column, text: &str) {
    let length = u32::try_from(text.len()).expect("a body limit keeps one value under 4 GiB");
    cells.extend_from_slice(&column.to_ne_bytes());
    cells.extend_from_slice(&length.to_ne_bytes());
    cells.extend_from_slice(text.as_bytes());
}

/// Rows by id.
#[derive(Default)]
pub(crate) struct Table {
    positions: HashMap<Arc<str>, u32>,
    rows: Vec<Row>,
    /// Positions in the order of the ids; emptied when an id comes or goes.
    order: Option<Arc<[u32]>>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }

    pub(crate) fn row(&self, id: &str) -> Option<&Row> {
        self.positions
            .get(id)
            .and_then(|position| self.rows.get(*position as usize))
    }

    pub(crate) fn row_mut(&mut self, id: &str) -> Option<&mut Row> {
        let position = *self.positions.get(id)?;
        self.rows.get_mut(position as usize)
    }

    /// The row of an id, which is made if the table does not know it.
    pub(crate) fn row_or_new(&mut self, id: &str) -> &mut Row {
        let position = match self.positions.get(id) {
            Some(position) => *position as usize,
            None => self.insert(id),
        };
        &mut self.rows[position]
    }

    /// Forgets a row; false if there was none.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let Some(position) = self.positions.remove(id) else {
            return false;
        };
        if let Some(row) = self.rows.get_mut(position as usize) {
            row.live = false;
            row.cells = Box::default();
        }
        self.order = None;
        true
    }

    /// Rows in the order in which they came.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.live)
    }

    /// Rows in the order of their ids, from the first id that is greater than `after`.
    pub(crate) fn rows_after(&mut self, after: Option<&str>) -> impl Iterator<Item = &Row> {
        let order = Arc::clone(
            self.order
                .get_or_insert_with(|| sorted_positions(&self.rows)),
        );
        let rows = &self.rows;
        let start = after.map_or(0, |after| {
            order.partition_point(|position| &*rows[*position as usize].id <= after)
        });
        (start..order.len()).map(move |place| &rows[order[place] as usize])
    }

    fn insert(&mut self, id: &str) -> usize {
        let id: Arc<str> = Arc::from(id);
        let position = self.rows.len();
        let number = u32::try_from(position).expect("memory ends before four billion rows");
        self.positions.insert(Arc::clone(&id), number);
        self.rows.push(Row {
            id,
            written_at: None,
            touched_by: 0,
            cells: Box::default(),
            live: true,
        });
        self.order = None;
        position
    }
}

fn sorted_positions(rows: &[Row]) -> Arc<[u32]> {
    let mut order: Vec<u32> = (0u32..)
        .zip(rows)
        .filter(|(_, row)| row.live)
        .map(|(position, _)| position)
        .collect();
    order.sort_unstable_by(|left, right| rows[*left as usize].id.cmp(&rows[*right as usize].id));
    order.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_changes_the_named_columns_only() {
        let mut table = Table::default();
        table.row_or_new("a").merge(&[(1, "\"gold\""), (2, "25")]);
        table.row_or_new("a").merge(&[(2, "26"), (3, "true")]);
        let row = table.row("a").unwrap();
        assert_eq!(row.cell(1), Some("\"gold\""));
        assert_eq!(row.cell(2), Some("26"));
        assert_eq!(row.cell(3), Some("true"));
    }

    #[test]
    fn an_empty_text_empties_the_column() {
        let mut table = Table::default();
        table.row_or_new("a").merge(&[(1, "1"), (2, "2")]);
        table.row_or_new("a").merge(&[(1, "")]);
        assert_eq!(
            table.row("a").unwrap().cells().collect::<Vec<_>>(),
            [(2, "2")]
        );
    }

    #[test]
    fn of_one_column_twice_the_later_text_wins() {
        let mut table = Table::default();
        table.row_or_new("a").merge(&[(1, "1"), (1, "2")]);
        assert_eq!(
            table.row("a").unwrap().cells().collect::<Vec<_>>(),
            [(1, "2")]
        );
    }

    #[test]
    fn rows_come_in_the_order_of_their_ids() {
        let mut table = Table::default();
        for id in ["b", "a", "d", "c"] {
            table.row_or_new(id);
        }
        assert!(table.remove("c"));
        assert!(!table.remove("c"));
        let ids = |table: &mut Table, after: Option<&str>| {
            table
                .rows_after(after)
                .map(|row| row.id.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&mut table, None), ["a", "b", "d"]);
        assert_eq!(ids(&mut table, Some("a")), ["b", "d"]);
        table.row_or_new("c");
        assert_eq!(ids(&mut table, Some("bb")), ["c", "d"]);
        assert_eq!(table.len(), 4);
    }
}
