//! Which rows of two sides belong together: equalities are looked up in a hash table, the rest is tried.

use std::collections::HashMap;

use super::compare::Comparison;
use super::compare::{Key, has_null};
use super::error::Result;
use super::expr::{Env, Expr, Frame};
use crate::bigquery::value::Value;
use std::borrow::Cow;

/// A condition over the columns of a left and a right row, taken apart.
#[derive(Debug)]
pub(super) struct Matcher {
    left_width: usize,
    /// What has to be equal, and whether NULL is equal to NULL.
    keys: Vec<(Expr, Expr, bool)>,
    left_filter: Option<Expr>,
    right_filter: Option<Expr>,
    rest: Option<Expr>,
}

/// Which side of a join an expression looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    None,
    Left,
    Right,
    Both,
}

impl Matcher {
    /// Takes a condition apart; the columns of the right side come after `left_width` others.
    pub(super) fn new(condition: Option<Expr>, left_width: usize) -> Matcher {
        let mut keys = Vec::new();
        let (mut left_filter, mut right_filter, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for part in condition.map(Expr::conjuncts).unwrap_or_default() {
            match part {
                Expr::Compare(Comparison::Equal, left, right)
                    if sides(&left, &right, left_width).is_some() =>
                {
                    let pair = sides(&left, &right, left_width);
                    keys.extend(turned(*left, *right, pair, false));
                }
                Expr::NotDistinct(left, right) if sides(&left, &right, left_width).is_some() => {
                    let pair = sides(&left, &right, left_width);
                    keys.extend(turned(*left, *right, pair, true));
                }
                part => match side(&part, left_width) {
                    Side::Left | Side::None => left_filter.push(part),
                    Side::Right => right_filter.push(part),
                    Side::Both => rest.push(part),
                },
            }
        }
        Matcher {
            left_width,
            keys,
            left_filter: Expr::all(left_filter),
            right_filter: Expr::all(right_filter),
            rest: Expr::all(rest),
        }
    }

    /// The places of the rows that belong together, in the order of the left rows.
    pub(super) fn pairs(
        &self,
        left: &[Cow<'_, [Value]>],
        right: &[Cow<'_, [Value]>],
        env: &Env<'_>,
        outer: Option<&Frame<'_>>,
    ) -> Result<Vec<(usize, usize)>> {
        // The first row of each key, and after each row the next one of the same key.
        let mut first: HashMap<Key<'_>, usize> = HashMap::with_capacity(right.len());
        let mut next: Vec<Option<usize>> = vec![None; right.len()];
        for (place, row) in right.iter().enumerate().rev() {
            let frame = Frame::pair(&[], self.left_width, row, outer);
            if holds(self.right_filter.as_ref(), &frame, env)?
                && let Some(key) = self.key(|(_, right, _)| right, &frame, env)?
            {
                next[place] = first.insert(key, place);
            }
        }
        let mut pairs = Vec::new();
        for (place, row) in left.iter().enumerate() {
            let frame = Frame::pair(row, self.left_width, &[], outer);
            if !holds(self.left_filter.as_ref(), &frame, env)? {
                continue;
            }
            let Some(key) = self.key(|(left, _, _)| left, &frame, env)? else {
                continue;
            };
            let mut candidate = first.get(&key).copied();
            while let Some(other) = candidate {
                let frame = Frame::pair(row, self.left_width, &right[other], outer);
                if holds(self.rest.as_ref(), &frame, env)? {
                    pairs.push((place, other));
                }
                candidate = next[other];
            }
        }
        Ok(pairs)
    }

    /// The key of a row; none where a NULL or NaN, which is equal to nothing, is in it.
    fn key<'v>(
        &'v self,
        side: fn(&(Expr, Expr, bool)) -> &Expr,
        frame: &Frame<'v>,
        env: &Env<'_>,
    ) -> Result<Option<Key<'v>>> {
        let mut values = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            let value = side(key).eval(frame, env)?;
            let strange = match value.as_ref() {
                Value::Float64(number) => number.is_nan(),
                other => has_null(other),
            };
            if strange && !key.2 {
                return Ok(None);
            }
            values.push(value);
        }
        Ok(Some(Key(values)))
    }
}

fn holds(condition: Option<&Expr>, frame: &Frame<'_>, env: &Env<'_>) -> Result<bool> {
    condition.map_or(Ok(true), |condition| condition.holds(frame, env))
}

fn side(expr: &Expr, left_width: usize) -> Side {
    let Some(columns) = expr.columns() else {
        return Side::Both;
    };
    let left = columns.iter().any(|column| *column < left_width);
    let right = columns.iter().any(|column| *column >= left_width);
    match (left, right) {
        (false, false) => Side::None,
        (true, false) => Side::Left,
        (false, true) => Side::Right,
        (true, true) => Side::Both,
    }
}

/// Whether the two expressions look at one side each, and whether the first one at the right.
fn sides(first: &Expr, second: &Expr, left_width: usize) -> Option<bool> {
    match (side(first, left_width), side(second, left_width)) {
        (Side::Left, Side::Right) => Some(false),
        (Side::Right, Side::Left) => Some(true),
        _ => None,
    }
}

fn turned(
    first: Expr,
    second: Expr,
    swapped: Option<bool>,
    null_safe: bool,
) -> Option<(Expr, Expr, bool)> {
    swapped.map(|swapped| match swapped {
        true => (second, first, null_safe),
        false => (first, second, null_safe),
    })
}
