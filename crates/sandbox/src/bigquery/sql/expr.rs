//! Expressions whose names are resolved and whose types agree, and their evaluation over a row.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use sqlparser::tokenizer::Span;

use super::aggregate::AggregateCall;
use super::cast::{cast, constrain};
use super::compare::{Comparison, compare, equal, order};
use super::error::{Result, SqlErrorKind, invalid, unsupported};
use super::kind::Kind;
use super::member::{Members, Subquery, or};
use super::number::{Operation, arithmetic};
use super::window::WindowCall;
use super::{Context, Tables};
use crate::bigquery::table::Column;
use crate::bigquery::value::Value;

/// An expression over the values of a frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Literal(Value),
    Column(Place),
    Field(Box<Expr>, usize),
    /// An element of an array, counted from `first`; outside of it NULL if `safe`, or an error.
    Element {
        array: Box<Expr>,
        index: Box<Expr>,
        first: i64,
        safe: bool,
    },
    Call(Function, Vec<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    IsNull(Box<Expr>),
    /// IS TRUE and IS FALSE: never NULL.
    Is(Box<Expr>, bool),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    NotDistinct(Box<Expr>, Box<Expr>),
    Arithmetic(Operation, Kind, Box<Expr>, Box<Expr>),
    Case(Vec<(Expr, Expr)>, Box<Expr>),
    Coalesce(Vec<Expr>),
    Cast {
        value: Box<Expr>,
        from: Kind,
        to: Kind,
        limit: Option<Box<Column>>,
    },
    /// NULL where the expression fails.
    Safe(Box<Expr>),
    InList(Box<Expr>, Vec<Expr>),
    InSet(Box<Expr>, Shared<Members>),
    InArray(Box<Expr>, Box<Expr>),
    InQuery(Box<Expr>, Subquery),
    Exists(Subquery),
    Scalar(Subquery),
    ArrayOf(Subquery),
    Struct(Vec<Expr>),
    Array(Vec<Expr>),
    /// TO_JSON_STRING of a value of a type.
    ToJson(Box<Expr>, Kind),
    /// Stands only between the reading of a SELECT and the making of its plan.
    Aggregate(Box<AggregateCall>),
    /// As an aggregate.
    Window(Box<WindowCall>),
}

/// A column of the row, or of the row of a query around this one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// How many queries further out.
    pub(super) depth: usize,
    pub(super) index: usize,
    pub(super) label: Label,
}

/// How a statement wrote a name, for messages; two of them never differ.
#[derive(Debug, Clone)]
pub(super) struct Label(pub(super) Rc<str>, pub(super) Span);

impl PartialEq for Label {
    fn eq(&self, _: &Label) -> bool {
        true
    }
}

/// Something that is the same only as itself.
#[derive(Debug)]
pub(super) struct Shared<T>(pub(super) Rc<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        Shared(Rc::clone(&self.0))
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Shared<T>) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// A function of the service.
#[derive(Clone, Copy)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// Whether any NULL makes the result NULL; then `call` sees none.
    pub(super) strict: bool,
    pub(super) call: fn(&[Cow<'_, Value>], &Env<'_>) -> Result<Value>,
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// What a statement runs in.
#[derive(Clone, Copy)]
pub(super) struct Env<'a> {
    pub(super) tables: &'a dyn Tables,
    pub(super) context: &'a Context,
}

/// The row that an expression looks at: one or, for a join, two parts, and the row of the query around.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    left: &'a [Value],
    right: &'a [Value],
    split: usize,
    parent: Option<&'a Frame<'a>>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(row: &'a [Value], parent: Option<&'a Frame<'a>>) -> Frame<'a> {
        Frame {
            left: row,
            right: &[],
            split: usize::MAX,
            parent,
        }
    }

    /// A row of two parts, of which the left one has `split` columns.
    pub(super) fn pair(
        left: &'a [Value],
        split: usize,
        right: &'a [Value],
        parent: Option<&'a Frame<'a>>,
    ) -> Frame<'a> {
        Frame {
            left,
            right,
            split,
            parent,
        }
    }

    fn get(&self, place: &Place) -> &'a Value {
        let mut frame = *self;
        for _ in 0..place.depth {
            match frame.parent {
                Some(parent) => frame = *parent,
                None => return &Value::Null,
            }
        }
        let found = if place.index < frame.split {
            frame.left.get(place.index)
        } else {
            frame.right.get(place.index - frame.split)
        };
        found.unwrap_or(&Value::Null)
    }
}

impl Expr {
    pub(super) fn null() -> Expr {
        Expr::Literal(Value::Null)
    }

    /// A column of the row itself, with nothing to say in messages.
    pub(super) fn column(index: usize) -> Expr {
        Expr::Column(Place {
            depth: 0,
            index,
            label: Label(Rc::from(""), Span::empty()),
        })
    }

    /// Whether the row satisfies it: NULL does not.
    pub(super) fn holds(&self, frame: &Frame<'_>, env: &Env<'_>) -> Result<bool> {
        Ok(matches!(self.eval(frame, env)?.as_ref(), Value::Bool(true)))
    }

    fn truth(&self, frame: &Frame<'_>, env: &Env<'_>) -> Result<Option<bool>> {
        Ok(match self.eval(frame, env)?.as_ref() {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// The value over a row.
    pub(super) fn eval<'v>(&'v self, frame: &Frame<'v>, env: &Env<'_>) -> Result<Cow<'v, Value>> {
        Ok(match self {
            Expr::Literal(value) => Cow::Borrowed(value),
            Expr::Column(place) => Cow::Borrowed(frame.get(place)),
            Expr::Field(value, index) => field(value.eval(frame, env)?, *index),
            Expr::Coalesce(values) => {
                for value in values {
                    let value = value.eval(frame, env)?;
                    if *value != Value::Null {
                        return Ok(value);
                    }
                }
                Cow::Owned(Value::Null)
            }
            Expr::Case(branches, otherwise) => {
                for (condition, result) in branches {
                    if condition.holds(frame, env)? {
                        return result.eval(frame, env);
                    }
                }
                return otherwise.eval(frame, env);
            }
            Expr::Cast {
                value,
                from,
                to,
                limit,
            } => {
                let value = value.eval(frame, env)?;
                let value = if from.same(to) {
                    value
                } else {
                    Cow::Owned(cast(&value, from, to)?)
                };
                match limit {
                    Some(column) => Cow::Owned(constrain(value.into_owned(), column)?),
                    None => value,
                }
            }
            Expr::Safe(inner) => match inner.eval(frame, env) {
                Err(error) if error.kind == SqlErrorKind::Invalid => Cow::Owned(Value::Null),
                other => other?,
            },
            other => Cow::Owned(other.compute(frame, env)?),
        })
    }

    fn compute(&self, frame: &Frame<'_>, env: &Env<'_>) -> Result<Value> {
        Ok(match self {
            Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::Is(..)
            | Expr::Compare(..)
            | Expr::NotDistinct(..)
            | Expr::InList(..)
            | Expr::InSet(..)
            | Expr::InArray(..)
            | Expr::InQuery(..)
            | Expr::Exists(_) => self.logic(frame, env)?.map_or(Value::Null, Value::Bool),
            Expr::Call(function, arguments) => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    let value = argument.eval(frame, env)?;
                    if function.strict && *value == Value::Null {
                        return Ok(Value::Null);
                    }
                    values.push(value);
                }
                (function.call)(&values, env)?
            }
            Expr::Arithmetic(operation, kind, left, right) => {
                let (left, right) = (left.eval(frame, env)?, right.eval(frame, env)?);
                arithmetic(*operation, kind, &left, &right)?
            }
            Expr::Element {
                array,
                index,
                first,
                safe,
            } => {
                let (array, index) = (array.eval(frame, env)?, index.eval(frame, env)?);
                element(&array, &index, *first, *safe)?
            }
            Expr::Struct(values) => Value::Struct(values_of(values, frame, env)?),
            Expr::Array(values) => Value::Array(values_of(values, frame, env)?),
            Expr::Scalar(query) => {
                let answer = query.run(frame, env)?;
                match answer.rows.as_slice() {
                    [] => Value::Null,
                    [row] => row.first().cloned().unwrap_or(Value::Null),
                    _ => return Err(invalid("Scalar subquery produced more than one element")),
                }
            }
            Expr::ArrayOf(query) => {
                let answer = query.run(frame, env)?;
                let values = answer.rows.iter().filter_map(|row| row.first().cloned());
                Value::Array(values.collect())
            }
            Expr::ToJson(value, kind) => {
                let value = value.eval(frame, env)?;
                Value::String(super::json::text_of(&value, kind)?)
            }
            Expr::Aggregate(_) => return Err(invalid("Aggregate function is not allowed here")),
            Expr::Window(_) => return Err(invalid("Analytic function not allowed here")),
            _ => return Err(unsupported("this expression")),
        })
    }

    fn logic(&self, frame: &Frame<'_>, env: &Env<'_>) -> Result<Option<bool>> {
        Ok(match self {
            Expr::And(parts) => {
                let mut found = Some(true);
                for part in parts {
                    match part.truth(frame, env)? {
                        Some(false) => return Ok(Some(false)),
                        Some(true) => {}
                        None => found = None,
                    }
                }
                found
            }
            Expr::Or(parts) => {
                let mut found = Some(false);
                for part in parts {
                    found = or(found, part.truth(frame, env)?);
                    if found == Some(true) {
                        break;
                    }
                }
                found
            }
            Expr::Not(inner) => inner.truth(frame, env)?.map(|flag| !flag),
            Expr::IsNull(inner) => Some(*inner.eval(frame, env)? == Value::Null),
            Expr::Is(inner, wanted) => Some(inner.truth(frame, env)? == Some(*wanted)),
            Expr::Compare(comparison, left, right) => {
                let (left, right) = (left.eval(frame, env)?, right.eval(frame, env)?);
                comparison.holds(compare(&left, &right))
            }
            Expr::NotDistinct(left, right) => {
                let (left, right) = (left.eval(frame, env)?, right.eval(frame, env)?);
                Some(order(&left, &right).is_eq())
            }
            Expr::InList(needle, list) => {
                let needle = needle.eval(frame, env)?;
                let mut found = Some(false);
                for value in list {
                    found = or(found, equal(&needle, value.eval(frame, env)?.as_ref()));
                }
                found
            }
            Expr::InSet(needle, members) => members.0.contain(&*needle.eval(frame, env)?),
            Expr::InArray(needle, array) => {
                let needle = needle.eval(frame, env)?;
                match array.eval(frame, env)?.as_ref() {
                    Value::Array(values) => {
                        let mut found = Some(false);
                        for value in values {
                            found = or(found, equal(&needle, value));
                        }
                        found
                    }
                    _ => Some(false),
                }
            }
            Expr::InQuery(needle, query) => {
                let needle = needle.eval(frame, env)?;
                query.run(frame, env)?.members().contain(&needle)
            }
            Expr::Exists(query) => Some(!query.run(frame, env)?.rows.is_empty()),
            _ => return Err(unsupported("this condition")),
        })
    }

    /// Its value if it looks at no row and no table.
    pub(super) fn constant(&self, env: &Env<'_>) -> Option<Value> {
        let mut fixed = true;
        self.visit(&mut |part| {
            fixed &= !matches!(
                part,
                Expr::Column(_)
                    | Expr::InQuery(..)
                    | Expr::Exists(_)
                    | Expr::Scalar(_)
                    | Expr::ArrayOf(_)
                    | Expr::Aggregate(_)
                    | Expr::Window(_)
            );
        });
        let frame = Frame::new(&[], None);
        fixed
            .then(|| self.eval(&frame, env).ok().map(Cow::into_owned))
            .flatten()
    }

    /// Shows every part of the expression, outer ones first; not what is inside of queries.
    pub(super) fn visit(&self, see: &mut dyn FnMut(&Expr)) {
        see(self);
        for part in self.parts() {
            part.visit(see);
        }
    }

    /// Replaces parts, outer ones first, by what `replace` makes of them.
    pub(super) fn rewrite(
        &mut self,
        replace: &mut dyn FnMut(&Expr) -> Result<Option<Expr>>,
    ) -> Result<()> {
        if let Some(new) = replace(self)? {
            *self = new;
            return Ok(());
        }
        for part in self.parts_mut() {
            part.rewrite(replace)?;
        }
        Ok(())
    }

    fn parts(&self) -> Vec<&Expr> {
        match self {
            Expr::Literal(_) | Expr::Column(_) | Expr::Exists(_) | Expr::Scalar(_) => Vec::new(),
            Expr::ArrayOf(_) => Vec::new(),
            Expr::Field(inner, _)
            | Expr::Not(inner)
            | Expr::IsNull(inner)
            | Expr::Is(inner, _)
            | Expr::Safe(inner)
            | Expr::ToJson(inner, _)
            | Expr::InSet(inner, _)
            | Expr::InQuery(inner, _) => vec![inner],
            Expr::Cast { value, .. } => vec![value],
            Expr::Element { array, index, .. } => vec![array, index],
            Expr::Compare(_, left, right)
            | Expr::NotDistinct(left, right)
            | Expr::InArray(left, right)
            | Expr::Arithmetic(_, _, left, right) => vec![left, right],
            Expr::Call(_, parts)
            | Expr::And(parts)
            | Expr::Or(parts)
            | Expr::Coalesce(parts)
            | Expr::Struct(parts)
            | Expr::Array(parts) => parts.iter().collect(),
            Expr::InList(needle, list) => list.iter().chain([&**needle]).collect(),
            Expr::Case(branches, otherwise) => branches
                .iter()
                .flat_map(|(condition, result)| [condition, result])
                .chain([&**otherwise])
                .collect(),
            Expr::Aggregate(call) => call.parts(),
            Expr::Window(call) => call.parts(),
        }
    }

    fn parts_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Expr::Literal(_) | Expr::Column(_) | Expr::Exists(_) | Expr::Scalar(_) => Vec::new(),
            Expr::ArrayOf(_) => Vec::new(),
            Expr::Field(inner, _)
            | Expr::Not(inner)
            | Expr::IsNull(inner)
            | Expr::Is(inner, _)
            | Expr::Safe(inner)
            | Expr::ToJson(inner, _)
            | Expr::InSet(inner, _)
            | Expr::InQuery(inner, _) => vec![inner],
            Expr::Cast { value, .. } => vec![value],
            Expr::Element { array, index, .. } => vec![array, index],
            Expr::Compare(_, left, right)
            | Expr::NotDistinct(left, right)
            | Expr::InArray(left, right)
            | Expr::Arithmetic(_, _, left, right) => vec![left, right],
            Expr::Call(_, parts)
            | Expr::And(parts)
            | Expr::Or(parts)
            | Expr::Coalesce(parts)
            | Expr::Struct(parts)
            | Expr::Array(parts) => parts.iter_mut().collect(),
            Expr::InList(needle, list) => list.iter_mut().chain([&mut **needle]).collect(),
            Expr::Case(branches, otherwise) => branches
                .iter_mut()
                .flat_map(|(condition, result)| [condition, result])
                .chain([&mut **otherwise])
                .collect(),
            Expr::Aggregate(call) => call.parts_mut(),
            Expr::Window(call) => call.parts_mut(),
        }
    }

    /// Whether a query inside of it looks at the rows of this one.
    pub(super) fn has_correlated_query(&self) -> bool {
        let mut found = false;
        self.visit(&mut |part| {
            if let Expr::InQuery(_, query)
            | Expr::Exists(query)
            | Expr::Scalar(query)
            | Expr::ArrayOf(query) = part
            {
                found |= query.correlated;
            }
        });
        found
    }

    /// The columns of the row itself that it looks at; none if a query inside may look at any.
    pub(super) fn columns(&self) -> Option<Vec<usize>> {
        let mut columns = Vec::new();
        self.visit(&mut |part| {
            if let Expr::Column(Place {
                depth: 0, index, ..
            }) = part
            {
                columns.push(*index);
            }
        });
        (!self.has_correlated_query()).then_some(columns)
    }

    /// The parts of a condition that all have to hold.
    pub(super) fn conjuncts(self) -> Vec<Expr> {
        match self {
            Expr::And(parts) => parts.into_iter().flat_map(Expr::conjuncts).collect(),
            other => vec![other],
        }
    }

    /// The condition that all of these hold; none for no condition.
    pub(super) fn all(mut parts: Vec<Expr>) -> Option<Expr> {
        match parts.len() {
            0 => None,
            1 => parts.pop(),
            _ => Some(Expr::And(parts)),
        }
    }
}

fn values_of(parts: &[Expr], frame: &Frame<'_>, env: &Env<'_>) -> Result<Vec<Value>> {
    let values = parts.iter().map(|part| part.eval(frame, env));
    values.map(|value| value.map(Cow::into_owned)).collect()
}

fn field(value: Cow<'_, Value>, index: usize) -> Cow<'_, Value> {
    match value {
        Cow::Borrowed(Value::Struct(fields)) => fields
            .get(index)
            .map_or(Cow::Owned(Value::Null), Cow::Borrowed),
        Cow::Owned(Value::Struct(mut fields)) if index < fields.len() => {
            Cow::Owned(fields.swap_remove(index))
        }
        _ => Cow::Owned(Value::Null),
    }
}

fn element(array: &Value, index: &Value, first: i64, safe: bool) -> Result<Value> {
    let (Value::Array(values), Value::Int64(index)) = (array, index) else {
        return Ok(Value::Null);
    };
    let place = index
        .checked_sub(first)
        .and_then(|place| usize::try_from(place).ok());
    match place.and_then(|place| values.get(place)) {
        Some(value) => Ok(value.clone()),
        None if safe => Ok(Value::Null),
        None => Err(invalid(format!("Array index {index} is out of bounds"))),
    }
}
