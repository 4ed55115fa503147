//! The plan of a query, a tree of steps that make rows out of rows, and its run.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::aggregate::{Accumulator, AggregateCall};
use super::compare::{Key, order};
use super::error::{Result, SqlError, SqlErrorKind};
use super::expr::{Env, Expr, Frame, Shared};
use super::matching::Matcher;
use super::window::WindowCall;
use crate::bigquery::table::TableName;
use crate::bigquery::value::Value;

/// Rows of a step; those of a table are borrowed from it.
pub(super) type Rows<'a> = Vec<Cow<'a, [Value]>>;

/// A step of a plan.
#[derive(Debug)]
pub(super) enum Relation {
    /// One row without columns, for a SELECT without FROM.
    One,
    Table {
        name: TableName,
        width: usize,
        /// The REPEATED columns, which are empty and not NULL where nothing was stored.
        arrays: Vec<usize>,
    },
    /// A query that has a name or looks at nothing around it: it runs once.
    Once(Shared<Relation>, Shared<OnceCell<Rc<Vec<Vec<Value>>>>>),
    Values(Vec<Vec<Expr>>),
    Unnest {
        input: Box<Relation>,
        array: Expr,
        width: usize,
        with_offset: bool,
        /// Whether a row without elements stays, as in a LEFT JOIN.
        keeps_empty: bool,
    },
    Join(Box<Join>),
    Filter(Box<Relation>, Expr),
    Lookup(Box<Lookup>),
    Project(Box<Relation>, Vec<Expr>),
    Aggregate {
        input: Box<Relation>,
        keys: Vec<Expr>,
        calls: Vec<AggregateCall>,
    },
    Window(Box<Relation>, Vec<WindowCall>),
    Sort(Box<Relation>, Vec<SortKey>),
    /// Leaves only the first columns.
    Cut(Box<Relation>, usize),
    Limit {
        input: Box<Relation>,
        limit: usize,
        offset: usize,
    },
    Distinct(Box<Relation>),
    Union(Vec<Relation>),
}

#[derive(Debug)]
pub(super) struct Join {
    pub(super) left: Relation,
    pub(super) right: Relation,
    pub(super) left_width: usize,
    pub(super) right_width: usize,
    pub(super) keeps_left: bool,
    pub(super) keeps_right: bool,
    pub(super) matcher: Matcher,
}

/// A filter of a query inside of another one, by values of the row around: its rows are found by a table of keys.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) input: Relation,
    pub(super) inner: Vec<Expr>,
    pub(super) outer: Vec<Expr>,
    pub(super) index: OnceCell<Index>,
}

#[derive(Debug)]
pub(super) struct Index {
    rows: Vec<Vec<Value>>,
    places: HashMap<Key<'static>, Vec<usize>>,
}

/// One key of ORDER BY.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SortKey {
    pub(super) expr: Expr,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

/// Compares rows by the values of their keys.
pub(super) fn compare_keys(left: &[Value], right: &[Value], keys: &[SortKey]) -> Ordering {
    for ((left, right), key) in left.iter().zip(right).zip(keys) {
        let nulls = (*left == Value::Null, *right == Value::Null);
        let found = match nulls {
            (true, true) => Ordering::Equal,
            (true, false) if key.nulls_first => Ordering::Less,
            (true, false) => Ordering::Greater,
            (false, true) if key.nulls_first => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) if key.descending => order(right, left),
            (false, false) => order(left, right),
        };
        if found.is_ne() {
            return found;
        }
    }
    Ordering::Equal
}

impl Relation {
    /// Wraps a step in one that leaves out what does not satisfy a condition.
    pub(super) fn filter(self, condition: Option<Expr>) -> Relation {
        match condition {
            Some(condition) => Relation::Filter(Box::new(self), condition),
            None => self,
        }
    }

    /// Makes a step that runs once however often it is asked.
    pub(super) fn once(self) -> Relation {
        let cache = Shared(Rc::new(OnceCell::new()));
        Relation::Once(Shared(Rc::new(self)), cache)
    }

    /// Another use of the same step.
    pub(super) fn again(&self) -> Option<Relation> {
        match self {
            Relation::Once(inner, cache) => Some(Relation::Once(inner.clone(), cache.clone())),
            _ => None,
        }
    }

    /// The rows, given the row of the query around this one.
    pub(super) fn run<'a>(
        &'a self,
        env: &Env<'a>,
        outer: Option<&'a Frame<'a>>,
    ) -> Result<Rows<'a>> {
        match self {
            Relation::One => Ok(vec![Cow::Owned(Vec::new())]),
            Relation::Table {
                name,
                width,
                arrays,
            } => scan(env, name, *width, arrays),
            Relation::Once(inner, cache) => {
                if let Some(rows) = cache.0.get() {
                    return Ok(borrowed(rows));
                }
                let rows = inner.0.run(env, None)?;
                let rows = rows.into_iter().map(Cow::into_owned).collect();
                Ok(borrowed(cache.0.get_or_init(|| Rc::new(rows))))
            }
            Relation::Values(rows) => rows
                .iter()
                .map(|row| values(row, &Frame::new(&[], outer), env).map(Cow::Owned))
                .collect(),
            Relation::Unnest { .. } => self.unnest(env, outer),
            Relation::Join(join) => join.run(env, outer),
            Relation::Filter(input, condition) => {
                let mut rows = Vec::new();
                for row in input.run(env, outer)? {
                    if condition.holds(&Frame::new(&row, outer), env)? {
                        rows.push(row);
                    }
                }
                Ok(rows)
            }
            Relation::Lookup(lookup) => lookup.run(env, outer),
            Relation::Project(input, exprs) => {
                let places = moved_columns(exprs);
                let rows = input.run(env, outer)?.into_iter();
                let rows = rows.map(|row| match (row, &places) {
                    (Cow::Owned(mut row), Some(places)) => Ok(moved(&mut row, places)),
                    (row, _) => values(exprs, &Frame::new(&row, outer), env),
                });
                rows.map(|row| row.map(Cow::Owned)).collect()
            }
            Relation::Aggregate { input, keys, calls } => {
                aggregate(&input.run(env, outer)?, keys, calls, env, outer)
            }
            Relation::Window(input, calls) => {
                let rows = input.run(env, outer)?;
                let found = calls.iter().map(|call| call.values(&rows, env, outer));
                let found: Vec<Vec<Value>> = found.collect::<Result<_>>()?;
                let mut wide: Vec<Vec<Value>> = rows.into_iter().map(Cow::into_owned).collect();
                for values in found {
                    for (row, value) in wide.iter_mut().zip(values) {
                        row.push(value);
                    }
                }
                Ok(wide.into_iter().map(Cow::Owned).collect())
            }
            Relation::Sort(input, keys) => sort(input.run(env, outer)?, keys, env, outer),
            Relation::Cut(input, width) => {
                let rows = input.run(env, outer)?.into_iter().map(|row| {
                    let mut row = row.into_owned();
                    row.truncate(*width);
                    Cow::Owned(row)
                });
                Ok(rows.collect())
            }
            Relation::Limit {
                input,
                limit,
                offset,
            } => {
                let rows = input.run(env, outer)?;
                Ok(rows.into_iter().skip(*offset).take(*limit).collect())
            }
            Relation::Distinct(input) => {
                let rows = input.run(env, outer)?;
                let mut seen = HashSet::new();
                let new = rows.iter().map(|row| seen.insert(key(row)));
                let new: Vec<bool> = new.collect();
                drop(seen);
                let rows = rows.into_iter().zip(new).filter(|(_, new)| *new);
                Ok(rows.map(|(row, _)| row).collect())
            }
            Relation::Union(parts) => {
                let mut rows = Vec::new();
                for part in parts {
                    rows.extend(part.run(env, outer)?);
                }
                Ok(rows)
            }
        }
    }

    fn unnest<'a>(&'a self, env: &Env<'a>, outer: Option<&'a Frame<'a>>) -> Result<Rows<'a>> {
        let Relation::Unnest {
            input,
            array,
            width,
            with_offset,
            keeps_empty,
        } = self
        else {
            return Ok(Vec::new());
        };
        let mut rows: Rows<'a> = Vec::new();
        for row in input.run(env, outer)? {
            let elements = match array.eval(&Frame::new(&row, outer), env)?.into_owned() {
                Value::Array(elements) => elements,
                _ => Vec::new(),
            };
            if elements.is_empty() && *keeps_empty {
                let mut wide = row.to_vec();
                wide.resize(*width + 1 + usize::from(*with_offset), Value::Null);
                rows.push(Cow::Owned(wide));
            }
            for (place, element) in elements.into_iter().enumerate() {
                let mut wide = row.to_vec();
                wide.push(element);
                if *with_offset {
                    wide.push(Value::Int64(i64::try_from(place).unwrap_or(i64::MAX)));
                }
                rows.push(Cow::Owned(wide));
            }
        }
        Ok(rows)
    }
}

fn borrowed<'a>(rows: &'a Rc<Vec<Vec<Value>>>) -> Rows<'a> {
    rows.iter()
        .map(|row| Cow::Borrowed(row.as_slice()))
        .collect()
}

fn scan<'a>(env: &Env<'a>, name: &TableName, width: usize, arrays: &[usize]) -> Result<Rows<'a>> {
    let table = env.tables.get(name).ok_or_else(|| missing(name))?;
    Ok(full_rows(
        table.rows.iter().map(|row| row.values.as_slice()),
        width,
        arrays,
    ))
}

/// Rows of a table with the columns that are younger than they are.
pub(super) fn full_rows<'a>(
    rows: impl Iterator<Item = &'a [Value]>,
    width: usize,
    arrays: &[usize],
) -> Rows<'a> {
    let hollow = |row: &[Value], array: &usize| matches!(row.get(*array), None | Some(Value::Null));
    rows.map(|row| {
        if row.len() == width && !arrays.iter().any(|array| hollow(row, array)) {
            return Cow::Borrowed(row);
        }
        let mut row = row.to_vec();
        row.resize(width, Value::Null);
        for array in arrays {
            if hollow(&row, array) {
                row[*array] = Value::Array(Vec::new());
            }
        }
        Cow::Owned(row)
    })
    .collect()
}

/// The error for a table that is not there.
pub(super) fn missing(name: &TableName) -> SqlError {
    let message = format!("Not found: Table {name} was not found in location US");
    SqlError::new(SqlErrorKind::NotFound, message)
}

fn values(exprs: &[Expr], frame: &Frame<'_>, env: &Env<'_>) -> Result<Vec<Value>> {
    let values = exprs.iter().map(|expr| expr.eval(frame, env));
    values.map(|value| value.map(Cow::into_owned)).collect()
}

/// The columns that a list is made of, if it is made of nothing else and of each but once.
fn moved_columns(exprs: &[Expr]) -> Option<Vec<usize>> {
    let mut seen = HashSet::new();
    let column = |expr: &Expr| match expr {
        Expr::Column(place) if place.depth == 0 && seen.insert(place.index) => Some(place.index),
        _ => None,
    };
    exprs.iter().map(column).collect()
}

/// The values of some columns of a row that nobody else needs.
fn moved(row: &mut [Value], places: &[usize]) -> Vec<Value> {
    let take = |place: &usize| match row.get_mut(*place) {
        Some(value) => std::mem::replace(value, Value::Null),
        None => Value::Null,
    };
    places.iter().map(take).collect()
}

fn key<'r>(row: &'r [Value]) -> Key<'r> {
    Key(row.iter().map(Cow::Borrowed).collect())
}

fn aggregate<'a>(
    rows: &Rows<'_>,
    keys: &[Expr],
    calls: &'a [AggregateCall],
    env: &Env<'_>,
    outer: Option<&Frame<'_>>,
) -> Result<Rows<'a>> {
    let mut groups: HashMap<Key<'_>, usize> = HashMap::new();
    let mut found: Vec<(Vec<Value>, Vec<Accumulator<'a>>)> = Vec::new();
    let begin = || calls.iter().map(Accumulator::new).collect::<Vec<_>>();
    if keys.is_empty() {
        // Without GROUP BY there is one group, even of no rows.
        found.push((Vec::new(), begin()));
    }
    for row in rows {
        let frame = Frame::new(row, outer);
        let place = if keys.is_empty() {
            0
        } else {
            let values = keys.iter().map(|key| key.eval(&frame, env));
            let key = Key(values.collect::<Result<_>>()?);
            let next = found.len();
            let values = key
                .0
                .iter()
                .map(|value| value.clone().into_owned())
                .collect();
            let place = *groups.entry(key).or_insert(next);
            if place == next {
                found.push((values, begin()));
            }
            place
        };
        for accumulator in &mut found[place].1 {
            accumulator.add(&frame, env)?;
        }
    }
    let rows = found.into_iter().map(|(mut row, accumulators)| {
        for accumulator in &accumulators {
            row.push(accumulator.finish()?);
        }
        Ok(Cow::Owned(row))
    });
    rows.collect()
}

fn sort<'a>(
    rows: Rows<'a>,
    keys: &[SortKey],
    env: &Env<'_>,
    outer: Option<&Frame<'_>>,
) -> Result<Rows<'a>> {
    let mut keyed = Vec::with_capacity(rows.len());
    for row in rows {
        let frame = Frame::new(&row, outer);
        let key = keys.iter().map(|key| key.expr.eval(&frame, env));
        let key: Vec<Value> = key
            .map(|key| key.map(Cow::into_owned))
            .collect::<Result<_>>()?;
        keyed.push((key, row));
    }
    keyed.sort_by(|left, right| compare_keys(&left.0, &right.0, keys));
    Ok(keyed.into_iter().map(|(_, row)| row).collect())
}

impl Join {
    fn run<'a>(&'a self, env: &Env<'a>, outer: Option<&'a Frame<'a>>) -> Result<Rows<'a>> {
        let left = self.left.run(env, outer)?;
        let right = self.right.run(env, outer)?;
        let pairs = self.matcher.pairs(&left, &right, env, outer)?;
        let mut rows = Vec::with_capacity(pairs.len());
        let mut right_found = vec![false; right.len()];
        let mut pairs = pairs.into_iter().peekable();
        for (place, row) in left.iter().enumerate() {
            let mut lonely = true;
            while let Some((_, other)) = pairs.next_if(|(left, _)| *left == place) {
                lonely = false;
                right_found[other] = true;
                rows.push(Cow::Owned([row.as_ref(), right[other].as_ref()].concat()));
            }
            if lonely && self.keeps_left {
                let mut wide = row.to_vec();
                wide.resize(self.left_width + self.right_width, Value::Null);
                rows.push(Cow::Owned(wide));
            }
        }
        if self.keeps_right {
            let lonely = right.iter().zip(&right_found).filter(|(_, found)| !**found);
            for (row, _) in lonely {
                let mut wide = vec![Value::Null; self.left_width];
                wide.extend_from_slice(row);
                rows.push(Cow::Owned(wide));
            }
        }
        Ok(rows)
    }
}

impl Lookup {
    fn run<'a>(&'a self, env: &Env<'a>, outer: Option<&'a Frame<'a>>) -> Result<Rows<'a>> {
        let index = match self.index.get() {
            Some(index) => index,
            None => {
                let index = self.build(env)?;
                self.index.get_or_init(|| index)
            }
        };
        let frame = Frame::new(&[], outer);
        let wanted = self.outer.iter().map(|expr| expr.eval(&frame, env));
        let wanted = Key(wanted.collect::<Result<_>>()?);
        if wanted.0.iter().any(|value| **value == Value::Null) {
            return Ok(Vec::new());
        }
        let found = index.places.get(&wanted);
        let rows = found
            .into_iter()
            .flatten()
            .filter_map(|place| index.rows.get(*place));
        Ok(rows.map(|row| Cow::Borrowed(row.as_slice())).collect())
    }

    fn build(&self, env: &Env<'_>) -> Result<Index> {
        let mut index = Index {
            rows: Vec::new(),
            places: HashMap::new(),
        };
        for row in self.input.run(env, None)? {
            let key = values(&self.inner, &Frame::new(&row, None), env)?;
            if !key.contains(&Value::Null) {
                let key = Key(key.into_iter().map(Cow::Owned).collect());
                index.places.entry(key).or_default().push(index.rows.len());
                index.rows.push(row.into_owned());
            }
        }
        Ok(index)
    }
}
