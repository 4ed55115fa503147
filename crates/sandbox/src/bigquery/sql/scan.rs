//! How many bytes a statement reads: the columns that it names, of the rows that constant bounds leave.

use std::collections::BTreeSet;

use super::bind::Binder;
use super::calendar::{DAY, HOUR, Part, truncate};
use super::compare::Comparison;
use super::compare::order;
use super::expr::{Expr, Place};
use crate::bigquery::encode::logical_bytes;
use crate::bigquery::table::{Column, Partitioning, Table, TableName, TimeUnit, Type};
use crate::bigquery::value::Value;

/// One use of a table in a statement.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) name: TableName,
    /// Comparisons of a column with a constant that every row has to satisfy.
    bounds: Vec<(usize, Comparison, Value)>,
    /// Whether all columns are read, as of a table that is changed.
    pub(super) whole: bool,
}

impl Scan {
    pub(super) fn new(name: TableName) -> Scan {
        Scan {
            name,
            bounds: Vec::new(),
            whole: false,
        }
    }
}

impl Binder<'_> {
    /// Remembers the comparisons with constants in a condition that all rows of the last scope satisfy.
    pub(super) fn note_bounds(&mut self, condition: &Expr) {
        let Some(scope) = self.scopes.last() else {
            return;
        };
        let stored: Vec<_> = scope.columns.iter().map(|column| column.stored).collect();
        for part in condition.clone().conjuncts() {
            let Expr::Compare(comparison, left, right) = &part else {
                continue;
            };
            let (place, comparison, value) = match (&**left, &**right) {
                (
                    Expr::Column(Place {
                        depth: 0, index, ..
                    }),
                    value,
                ) => (*index, *comparison, value),
                (
                    value,
                    Expr::Column(Place {
                        depth: 0, index, ..
                    }),
                ) => (*index, turned(*comparison), value),
                _ => continue,
            };
            let (Some(Some((scan, column))), Some(value)) =
                (stored.get(place), value.constant(&self.env))
            else {
                continue;
            };
            self.scans[*scan].bounds.push((*column, comparison, value));
        }
    }

    /// The bytes that the statement reads.
    pub(super) fn bytes(&self) -> u64 {
        let read = |(place, scan): (usize, &Scan)| {
            let Some(table) = self.env.tables.get(&scan.name) else {
                return 0;
            };
            let columns: BTreeSet<usize> = match scan.whole {
                true => (0..table.columns.len()).collect(),
                false => {
                    let used = self.touched.iter().filter(|(scan, _)| *scan == place);
                    used.map(|(_, column)| *column).collect()
                }
            };
            let rows = table
                .rows
                .iter()
                .filter(|row| may_hold(table, &row.values, &scan.bounds));
            let rows = rows.map(|row| {
                let sizes = columns.iter().map(|column| match row.values.get(*column) {
                    Some(value) => logical_bytes(value),
                    None => 0,
                });
                sizes.sum::<u64>()
            });
            rows.sum()
        };
        self.scans.iter().enumerate().map(read).sum()
    }
}

fn turned(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same => same,
    }
}

/// Whether the block of a row may hold rows within the bounds: its partition, or its place in the clusters.
fn may_hold(table: &Table, row: &[Value], bounds: &[(usize, Comparison, Value)]) -> bool {
    let partitioned = match &table.partitioning {
        Some(Partitioning::Time { column, unit, .. }) => {
            let place = column.as_ref().and_then(|column| table.position(column));
            place.map(|place| (place, Some(*unit)))
        }
        Some(Partitioning::Range { column, .. }) => {
            table.position(column).map(|place| (place, None))
        }
        None => None,
    };
    let clustered = table
        .clustering
        .first()
        .and_then(|column| table.position(column));
    bounds.iter().all(|(column, comparison, bound)| {
        let value = row.get(*column).unwrap_or(&Value::Null);
        if let Some((place, unit)) = partitioned
            && place == *column
        {
            let first = unit.map_or_else(|| value.clone(), |unit| partition(value, unit));
            let bound = unit.map_or_else(|| bound.clone(), |unit| partition(bound, unit));
            // Within the partition of the bound there may be rows on either side of it.
            let loose = match comparison {
                Comparison::Less => Comparison::LessOrEqual,
                Comparison::Greater => Comparison::GreaterOrEqual,
                Comparison::NotEqual => return true,
                same => *same,
            };
            return within(&first, loose, &bound);
        }
        if clustered == Some(*column) {
            return within(value, *comparison, bound);
        }
        true
    })
}

fn within(value: &Value, comparison: Comparison, bound: &Value) -> bool {
    if *value == Value::Null || *bound == Value::Null {
        return false;
    }
    let order = order(value, bound);
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

/// The beginning of the partition of a value.
fn partition(value: &Value, unit: TimeUnit) -> Value {
    let begin = |micros: i64| match unit {
        TimeUnit::Hour => Some(micros - micros.rem_euclid(HOUR)),
        TimeUnit::Day => Some(micros - micros.rem_euclid(DAY)),
        TimeUnit::Month => truncate(micros, Part::Month),
        TimeUnit::Year => truncate(micros, Part::Year),
    };
    match value {
        Value::Timestamp(micros) => begin(*micros).map_or(Value::Null, Value::Timestamp),
        Value::DateTime(micros) => begin(*micros).map_or(Value::Null, Value::DateTime),
        Value::Date(days) => begin(i64::from(*days) * DAY).map_or(Value::Null, |micros| {
            super::cast::date(micros.div_euclid(DAY))
        }),
        other => other.clone(),
    }
}

/// Whether rows may be cut into partitions by a column of this type.
pub(super) fn may_partition(column: &Column) -> bool {
    matches!(column.kind, Type::Date | Type::Timestamp | Type::DateTime)
}
