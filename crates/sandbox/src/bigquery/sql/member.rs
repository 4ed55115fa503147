//! Queries inside of expressions, and the sets that IN looks among.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashSet;
use std::rc::Rc;

use super::compare::{Key, equal, has_null};
use super::error::Result;
use super::expr::{Env, Frame, Shared};
use super::relation::Relation;
use crate::bigquery::value::Value;

/// A query inside of an expression. One that does not look at the rows around it runs once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subquery {
    pub(super) plan: Shared<Relation>,
    pub(super) correlated: bool,
    pub(super) answer: Shared<OnceCell<Answer>>,
}

impl Subquery {
    pub(super) fn run(&self, frame: &Frame<'_>, env: &Env<'_>) -> Result<Answer> {
        if let Some(answer) = self.answer.0.get() {
            return Ok(answer.clone());
        }
        let rows = self.plan.0.run(env, Some(frame))?;
        let rows = rows.into_iter().map(Cow::into_owned).collect();
        let answer = Answer {
            rows: Rc::new(rows),
            members: OnceCell::new(),
        };
        if self.correlated {
            return Ok(answer);
        }
        answer.members();
        Ok(self.answer.0.get_or_init(|| answer).clone())
    }
}

/// The rows of a query, and its first column as a set.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) rows: Rc<Vec<Vec<Value>>>,
    members: OnceCell<Rc<Members>>,
}

impl Answer {
    pub(super) fn members(&self) -> Rc<Members> {
        let members = self.members.get_or_init(|| {
            let values = self.rows.iter().filter_map(|row| row.first().cloned());
            Rc::new(Members::new(values))
        });
        Rc::clone(members)
    }
}

/// The values that IN looks among.
#[derive(Debug, Default)]
pub(super) struct Members {
    known: HashSet<Key<'static>>,
    /// Those with a NULL, which may be equal.
    nullish: Vec<Value>,
}

impl Members {
    pub(super) fn new(values: impl Iterator<Item = Value>) -> Members {
        let mut members = Members::default();
        for value in values {
            if has_null(&value) {
                members.nullish.push(value);
            } else {
                members.known.insert(Key(vec![Cow::Owned(value)]));
            }
        }
        members
    }

    /// `needle IN members`, with NULL for unknown.
    pub(super) fn contain(&self, needle: &Value) -> Option<bool> {
        if self.known.is_empty() && self.nullish.is_empty() {
            return Some(false);
        }
        let not_a_number = matches!(needle, Value::Float64(number) if number.is_nan());
        let mut found = Some(false);
        if has_null(needle) {
            let known = self.known.iter().filter_map(|key| key.0.first());
            for value in known {
                found = or(found, equal(needle, value));
            }
        } else if !not_a_number && self.known.contains(&Key(vec![Cow::Borrowed(needle)])) {
            return Some(true);
        }
        for value in &self.nullish {
            found = or(found, equal(needle, value));
        }
        found
    }
}

/// OR over what may be unknown.
pub(super) fn or(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}
