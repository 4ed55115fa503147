//! Change data capture: rows that say UPSERT or DELETE, laid over a table by its key. Of two changes to
//! one key the one with the greater sequence number wins, whenever it comes. Facts: section 7.

use std::collections::HashMap;

use crate::bigquery::encode;
use crate::bigquery::table::{Row, Table};
use crate::bigquery::value::Value;

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Upsert,
    Delete,
}

impl Change {
    pub(crate) fn parse(text: Option<&str>) -> Result<Change, String> {
        match text {
            Some("UPSERT") => Ok(Change::Upsert),
            Some("DELETE") => Ok(Change::Delete),
            Some(_) => Err("_CHANGE_TYPE is neither UPSERT nor DELETE".to_owned()),
            None => Err("_CHANGE_TYPE is missing".to_owned()),
        }
    }
}

/// A sequence number: one to four groups, compared from the left.
pub(crate) type Sequence = Vec<u64>;

/// Reads a sequence number; one that is missing is smaller than all others.
pub(crate) fn parse_sequence(text: Option<&str>) -> Result<Sequence, String> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    let group = |group: &str| {
        let good =
            (1..=16).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_hexdigit());
        good.then(|| u64::from_str_radix(group, 16).ok()).flatten()
    };
    let groups: Option<Sequence> = text.split('/').map(group).collect();
    groups.filter(|groups| groups.len() <= 4).ok_or_else(|| {
        "_CHANGE_SEQUENCE_NUMBER is no list of one to four groups of hexadecimal digits".to_owned()
    })
}

/// What is known of the changes of one table.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// When changes were streamed last.
    pub(crate) last_ms: u64,
    /// The greatest sequence number by key, also of keys whose row is gone.
    sequences: HashMap<String, Sequence>,
    /// Where the row of a key is; empty if that is to be found out anew.
    positions: Option<HashMap<String, usize>>,
}

impl Changes {
    /// Says that rows are no longer where they were.
    pub(crate) fn rows_moved(&mut self) {
        self.positions = None;
    }

    /// Lays one change over the table. `key` are the places of the key's columns.
    pub(crate) fn apply(
        &mut self,
        table: &mut Table,
        key: &[usize],
        change: Change,
        sequence: Sequence,
        values: Vec<Value>,
    ) {
        let name = key_of(&values, key);
        let known = self.sequences.get(&name);
        if known.is_some_and(|known| sequence < *known) {
            return;
        }
        self.sequences.insert(name.clone(), sequence);
        let positions = self
            .positions
            .get_or_insert_with(|| index(&table.rows, key));
        match (change, positions.get(&name).copied()) {
            (Change::Upsert, Some(place)) => table.rows[place] = Row::new(values),
            (Change::Upsert, None) => {
                positions.insert(name, table.rows.len());
                table.rows.push(Row::new(values));
            }
            (Change::Delete, Some(place)) => {
                positions.remove(&name);
                table.rows.swap_remove(place);
                if let Some(moved) = table.rows.get(place) {
                    positions.insert(key_of(&moved.values, key), place);
                }
            }
            (Change::Delete, None) => {}
        }
    }
}

fn index(rows: &[Row], key: &[usize]) -> HashMap<String, usize> {
    rows.iter()
        .enumerate()
        .map(|(place, row)| (key_of(&row.values, key), place))
        .collect()
}

/// The values of a key as one text in which no two keys are the same.
fn key_of(values: &[Value], key: &[usize]) -> String {
    let mut name = String::new();
    for place in key {
        let value = values.get(*place).unwrap_or(&Value::Null);
        let text = encode::text(value);
        let mark = if *value == Value::Null { '-' } else { ':' };
        name.push_str(&text.len().to_string());
        name.push(mark);
        name.push_str(&text);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, name: &str) -> Vec<Value> {
        vec![Value::Int64(id), Value::String(name.to_owned())]
    }

    fn names(table: &Table) -> Vec<String> {
        table
            .rows
            .iter()
            .map(|row| encode::text(&row.values[1]))
            .collect()
    }

    fn sequence(text: &str) -> Sequence {
        parse_sequence(Some(text)).unwrap()
    }

    #[test]
    fn the_greatest_number_wins_whenever_it_comes() {
        let mut changes = Changes::default();
        let mut table = Table::default();
        let mut apply = |change, number: &str, values| {
            changes.apply(&mut table, &[0], change, sequence(number), values);
            names(&table)
        };
        assert_eq!(apply(Change::Upsert, "9", row(1, "a")), ["a"]);
        assert_eq!(apply(Change::Upsert, "10", row(1, "b")), ["b"]);
        assert_eq!(apply(Change::Upsert, "f", row(1, "old")), ["b"]);
        assert_eq!(apply(Change::Upsert, "10", row(1, "again")), ["again"]);
        assert_eq!(apply(Change::Upsert, "10/1", row(2, "c")), ["again", "c"]);
        assert_eq!(apply(Change::Delete, "11", row(1, "")), ["c"]);
        assert_eq!(apply(Change::Upsert, "10", row(1, "late")), ["c"]);
        assert_eq!(apply(Change::Upsert, "10/2", row(2, "d")), ["d"]);
        assert_eq!(apply(Change::Upsert, "12", row(1, "back")), ["d", "back"]);
    }

    #[test]
    fn a_number_is_one_to_four_groups() {
        assert_eq!(sequence("16/B374D848"), [0x16, 0xb374_d848]);
        for bad in ["", "g", "1/2/3/4/5", "1//2", "12345678901234567"] {
            assert!(parse_sequence(Some(bad)).is_err(), "{bad}");
        }
    }
}
