//! Window functions: a value for each row out of the rows around it.

use std::borrow::Cow;
use std::collections::HashMap;

use super::aggregate::{Accumulator, AggregateCall};
use super::compare::Key;
use super::error::{Result, invalid};
use super::expr::{Env, Expr, Frame};
use super::relation::{SortKey, compare_keys};
use crate::bigquery::value::Value;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum WindowFunction {
    RowNumber,
    Rank,
    DenseRank,
    Ntile,
    Lag,
    Lead,
    FirstValue,
    LastValue,
    Aggregate(AggregateCall),
}

/// A call of a function with OVER.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WindowCall {
    pub(super) function: WindowFunction,
    pub(super) arguments: Vec<Expr>,
    pub(super) ignore_nulls: bool,
    pub(super) partition: Vec<Expr>,
    pub(super) order: Vec<SortKey>,
    pub(super) bounds: Bounds,
}

/// Which rows of its partition a row's value is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) by_rows: bool,
    pub(super) start: Bound,
    pub(super) end: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    First,
    /// So many rows after the current one, or before it.
    Current(i64),
    Last,
}

impl WindowCall {
    pub(super) fn parts(&self) -> Vec<&Expr> {
        let inner = match &self.function {
            WindowFunction::Aggregate(call) => call.parts(),
            _ => Vec::new(),
        };
        let keys = self.order.iter().map(|key| &key.expr);
        let own = self.arguments.iter().chain(&self.partition).chain(keys);
        own.chain(inner).collect()
    }

    pub(super) fn parts_mut(&mut self) -> Vec<&mut Expr> {
        let inner = match &mut self.function {
            WindowFunction::Aggregate(call) => call.parts_mut(),
            _ => Vec::new(),
        };
        let keys = self.order.iter_mut().map(|key| &mut key.expr);
        let own = self
            .arguments
            .iter_mut()
            .chain(&mut self.partition)
            .chain(keys);
        own.chain(inner).collect()
    }

    /// The value of each row, in the order of the rows.
    pub(super) fn values(
        &self,
        rows: &[Cow<'_, [Value]>],
        env: &Env<'_>,
        outer: Option<&Frame<'_>>,
    ) -> Result<Vec<Value>> {
        let mut values = vec![Value::Null; rows.len()];
        let mut groups: HashMap<Key<'_>, Vec<Entry<'_>>> = HashMap::new();
        for (place, row) in rows.iter().enumerate() {
            let frame = Frame::new(row, outer);
            let keys = self.order.iter().map(|key| key.expr.eval(&frame, env));
            let entry = Entry {
                place,
                frame,
                keys: keys
                    .map(|key| key.map(Cow::into_owned))
                    .collect::<Result<_>>()?,
            };
            let group = self.partition.iter().map(|part| part.eval(&frame, env));
            let group = Key(group.collect::<Result<_>>()?);
            groups.entry(group).or_default().push(entry);
        }
        for mut group in groups.into_values() {
            group.sort_by(|left, right| compare_keys(&left.keys, &right.keys, &self.order));
            self.fill(&group, env, &mut values)?;
        }
        Ok(values)
    }

    fn fill(&self, group: &[Entry<'_>], env: &Env<'_>, values: &mut [Value]) -> Result<()> {
        match &self.function {
            WindowFunction::Aggregate(call) => {
                return self.fill_aggregate(call, group, env, values);
            }
            WindowFunction::FirstValue | WindowFunction::LastValue => {
                return self.fill_edge(group, env, values);
            }
            _ => {}
        }
        let (mut rank, mut dense) = (1, 0);
        for (position, entry) in group.iter().enumerate() {
            let number = int(position) + 1;
            if position == 0 || !self.peers(&group[position - 1], entry) {
                rank = number;
                dense += 1;
            }
            values[entry.place] = match self.function {
                WindowFunction::Rank => Value::Int64(rank),
                WindowFunction::DenseRank => Value::Int64(dense),
                WindowFunction::Ntile => self.bucket(position, group, env)?,
                WindowFunction::Lag => self.neighbour(position, -1, group, env)?,
                WindowFunction::Lead => self.neighbour(position, 1, group, env)?,
                _ => Value::Int64(number),
            };
        }
        Ok(())
    }

    fn bucket(&self, position: usize, group: &[Entry<'_>], env: &Env<'_>) -> Result<Value> {
        let count = self.number(0, &group[position], env)?.unwrap_or(0);
        if count < 1 {
            return Err(invalid("The number of buckets of NTILE must be positive"));
        }
        let (size, rest) = (int(group.len()) / count, int(group.len()) % count);
        let (position, long) = (int(position), rest * (size + 1));
        Ok(Value::Int64(if position < long {
            position / (size + 1) + 1
        } else {
            rest + (position - long) / size + 1
        }))
    }

    fn neighbour(
        &self,
        position: usize,
        direction: i64,
        group: &[Entry<'_>],
        env: &Env<'_>,
    ) -> Result<Value> {
        let entry = &group[position];
        let distance = match self.arguments.len() {
            0 | 1 => 1,
            _ => self
                .number(1, entry, env)?
                .filter(|distance| *distance >= 0)
                .ok_or_else(|| {
                    invalid("The offset to the function LAG must not be null or negative")
                })?,
        };
        let place = int(position) + direction * distance;
        let other = usize::try_from(place)
            .ok()
            .and_then(|place| group.get(place));
        let value = match (other, self.arguments.get(2)) {
            (Some(other), _) => self.arguments[0].eval(&other.frame, env)?,
            (None, Some(default)) => default.eval(&entry.frame, env)?,
            (None, None) => Cow::Owned(Value::Null),
        };
        Ok(value.into_owned())
    }

    fn number(&self, argument: usize, entry: &Entry<'_>, env: &Env<'_>) -> Result<Option<i64>> {
        Ok(match self.arguments.get(argument) {
            Some(expr) => match expr.eval(&entry.frame, env)?.as_ref() {
                Value::Int64(number) => Some(*number),
                _ => None,
            },
            None => None,
        })
    }

    fn fill_edge(&self, group: &[Entry<'_>], env: &Env<'_>, values: &mut [Value]) -> Result<()> {
        for (position, entry) in group.iter().enumerate() {
            let (from, to) = self.extent(position, group);
            let mut value = Value::Null;
            let span = group.get(from..to).unwrap_or_default();
            let mut ends = span.iter();
            while let Some(other) = match self.function {
                WindowFunction::FirstValue => ends.next(),
                _ => ends.next_back(),
            } {
                value = self.arguments[0].eval(&other.frame, env)?.into_owned();
                if value != Value::Null || !self.ignore_nulls {
                    break;
                }
            }
            values[entry.place] = value;
        }
        Ok(())
    }

    fn fill_aggregate(
        &self,
        call: &AggregateCall,
        group: &[Entry<'_>],
        env: &Env<'_>,
        values: &mut [Value],
    ) -> Result<()> {
        let mut shown = (0, 0);
        let mut accumulator = Accumulator::new(call);
        let mut last = accumulator.finish()?;
        for (position, entry) in group.iter().enumerate() {
            let (from, to) = self.extent(position, group);
            let to = to.max(from);
            if (from, to) != shown {
                // A window that only grows at its end, which is the usual one, goes on.
                if from != shown.0 || to < shown.1 {
                    accumulator = Accumulator::new(call);
                    shown = (from, from);
                }
                for other in group.get(shown.1..to).unwrap_or_default() {
                    accumulator.add(&other.frame, env)?;
                }
                shown = (from, to);
                last = accumulator.finish()?;
            }
            values[entry.place] = last.clone();
        }
        Ok(())
    }

    /// The rows that belong to the window of a row: from the first to before the second.
    fn extent(&self, position: usize, group: &[Entry<'_>]) -> (usize, usize) {
        let entry = &group[position];
        let clamp = |place: i64| usize::try_from(place).unwrap_or(0).min(group.len());
        let from = match self.bounds.start {
            Bound::First => 0,
            Bound::Last => group.len(),
            Bound::Current(distance) if self.bounds.by_rows => clamp(int(position) + distance),
            Bound::Current(_) => {
                let before = group.get(..position).unwrap_or_default();
                position
                    - before
                        .iter()
                        .rev()
                        .take_while(|other| self.peers(other, entry))
                        .count()
            }
        };
        let to = match self.bounds.end {
            Bound::First => 0,
            Bound::Last => group.len(),
            Bound::Current(distance) if self.bounds.by_rows => clamp(int(position) + distance + 1),
            Bound::Current(_) => {
                let after = group.get(position..).unwrap_or_default();
                position
                    + after
                        .iter()
                        .take_while(|other| self.peers(other, entry))
                        .count()
            }
        };
        (from, to)
    }

    fn peers(&self, left: &Entry<'_>, right: &Entry<'_>) -> bool {
        compare_keys(&left.keys, &right.keys, &self.order).is_eq()
    }
}

/// A row of a partition.
struct Entry<'r> {
    place: usize,
    frame: Frame<'r>,
    keys: Vec<Value>,
}

fn int(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}
