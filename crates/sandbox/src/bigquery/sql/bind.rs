//! From the words of a statement to expressions: names become places, and types are made to agree.

use std::rc::Rc;

use sqlparser::ast::{
    self, AccessExpr, BinaryOperator, CastKind, InTarget, Subscript, UnaryOperator,
};

use super::coerce::{check_equality, coerce, compare, no_signature, operate, unify};
use super::compare::Comparison;
use super::error::{Result, SqlError, invalid, unsupported};
use super::expr::{Env, Expr, Shared};
use super::kind::{Kind, supertype};
use super::literal;
use super::member::Members;
use super::number::Operation;
use super::query::Cte;
use super::scan::Scan;
use super::schema::kind_of;
use super::scope::{Origins, Scope};
use crate::bigquery::value::Value;

/// An expression with its type.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    pub(super) expr: Expr,
    pub(super) kind: Kind,
    /// Whether it was written as a literal or given as a parameter, which turn into more types.
    pub(super) literal: bool,
}

impl Typed {
    pub(super) fn new(expr: Expr, kind: Kind) -> Typed {
        Typed {
            expr,
            kind,
            literal: false,
        }
    }

    pub(super) fn literal(value: Value, kind: Kind) -> Typed {
        Typed {
            expr: Expr::Literal(value),
            kind,
            literal: true,
        }
    }

    pub(super) fn bool(expr: Expr) -> Typed {
        Typed::new(expr, Kind::Bool)
    }

    pub(super) fn weight(&self) -> (&Kind, bool) {
        (&self.kind, self.literal)
    }
}

/// Reads one statement against the tables that there are.
pub(super) struct Binder<'a> {
    pub(super) env: Env<'a>,
    /// The query being read is the last one; those around it come before.
    pub(super) scopes: Vec<Scope>,
    pub(super) ctes: Vec<Cte>,
    pub(super) scans: Vec<Scan>,
    /// The columns that were used since somebody looked.
    pub(super) touched: Origins,
    /// The outermost scope that a name was found in since somebody looked.
    pub(super) lowest: usize,
    pub(super) next_parameter: usize,
    pub(super) view_depth: usize,
    /// The windows that a query gave names to.
    pub(super) windows: Vec<(String, ast::WindowSpec)>,
    /// The names that a SELECT gives to its columns, for the clauses that may use them.
    pub(super) aliases: Vec<Aliases>,
}

/// What a SELECT calls its columns, and how many scopes there are where the names count.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    pub(super) level: usize,
    pub(super) columns: Vec<(String, Typed, Origins)>,
}

impl<'a> Binder<'a> {
    pub(super) fn new(env: Env<'a>) -> Binder<'a> {
        Binder {
            env,
            scopes: Vec::new(),
            ctes: Vec::new(),
            scans: Vec::new(),
            touched: Origins::new(),
            lowest: usize::MAX,
            next_parameter: 0,
            view_depth: 0,
            windows: Vec::new(),
            aliases: Vec::new(),
        }
    }

    /// An expression that has to be a condition.
    pub(super) fn condition(&mut self, expr: &ast::Expr, clause: &str) -> Result<Expr> {
        let typed = self.bind(expr)?;
        match typed.kind {
            Kind::Bool | Kind::Null => Ok(typed.expr),
            other => Err(invalid(format!(
                "{clause} should return type BOOL, but returns {other}"
            ))
            .at(expr)),
        }
    }

    pub(super) fn bind(&mut self, expr: &ast::Expr) -> Result<Typed> {
        match expr {
            ast::Expr::Nested(inner) => self.bind(inner),
            ast::Expr::Value(value) => self.literal(value),
            ast::Expr::Identifier(name)
                if name.value.starts_with('@') && name.quote_style.is_none() =>
            {
                self.parameter(name.value.trim_start_matches('@'))
                    .map_err(|e| e.at_name(name))
            }
            ast::Expr::Identifier(name) => self.resolve(name),
            ast::Expr::CompoundIdentifier(path) => self.resolve_path(path),
            ast::Expr::CompoundFieldAccess { root, access_chain } => {
                self.access(root, access_chain)
            }
            ast::Expr::TypedString(typed) => {
                let (kind, _) = kind_of(&typed.data_type)?;
                let text = literal::string(&typed.value.value)?;
                literal::typed(&text, &kind).map_err(|error| error.at(expr))
            }
            ast::Expr::BinaryOp { left, op, right } => self.binary(left, op, right, expr),
            ast::Expr::UnaryOp { op, expr: inner } => self.unary(*op, inner, expr),
            ast::Expr::IsNull(inner) => {
                Ok(Typed::bool(Expr::IsNull(Box::new(self.bind(inner)?.expr))))
            }
            ast::Expr::IsNotNull(inner) => {
                let inner = Expr::IsNull(Box::new(self.bind(inner)?.expr));
                Ok(Typed::bool(Expr::Not(Box::new(inner))))
            }
            ast::Expr::IsTrue(inner) => self.is(inner, true, false),
            ast::Expr::IsNotTrue(inner) => self.is(inner, true, true),
            ast::Expr::IsFalse(inner) => self.is(inner, false, false),
            ast::Expr::IsNotFalse(inner) => self.is(inner, false, true),
            ast::Expr::IsDistinctFrom(left, right) => {
                let same = self.not_distinct(left, right)?;
                Ok(Typed::bool(Expr::Not(Box::new(same))))
            }
            ast::Expr::IsNotDistinctFrom(left, right) => {
                Ok(Typed::bool(self.not_distinct(left, right)?))
            }
            ast::Expr::Between {
                expr: value,
                negated,
                low,
                high,
            } => {
                let (value, low, high) = (self.bind(value)?, self.bind(low)?, self.bind(high)?);
                let above = compare(Comparison::GreaterOrEqual, value.clone(), low, expr)?;
                let below = compare(Comparison::LessOrEqual, value, high, expr)?;
                Ok(negate(Expr::And(vec![above, below]), *negated))
            }
            ast::Expr::In {
                expr: value,
                target,
                negated,
                global: false,
            } => {
                let found = self.in_target(value, target, expr)?;
                Ok(negate(found, *negated))
            }
            ast::Expr::Like {
                negated,
                any: false,
                expr: value,
                pattern,
                escape_char: None,
            } => {
                let arguments = vec![self.bind(value)?, self.bind(pattern)?];
                let like = self.scalar("LIKE", arguments, expr)?;
                Ok(negate(like.expr, *negated))
            }
            ast::Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(operand.as_deref(), conditions, else_result.as_deref(), expr),
            ast::Expr::Cast {
                kind,
                expr: value,
                data_type,
                format: None,
            } => {
                let safe = matches!(kind, CastKind::SafeCast);
                if !safe && *kind != CastKind::Cast {
                    return Err(invalid("Syntax error: Unexpected \"::\"").at(expr));
                }
                let value = self.bind(value)?;
                self.cast(value, data_type, safe)
                    .map_err(|error| error.at(expr))
            }
            ast::Expr::Exists { subquery, negated } => {
                let (query, _) = self.subquery(subquery)?;
                Ok(negate(Expr::Exists(query), *negated))
            }
            ast::Expr::Subquery(query) => {
                let (query, kind) = self.one_column(query, "Scalar", expr)?;
                Ok(Typed::new(Expr::Scalar(query), kind))
            }
            ast::Expr::Tuple(values) => self.structure(values, &[], expr),
            ast::Expr::Struct { values, fields } => self.structure(values, fields, expr),
            ast::Expr::Array(array) => self.array(&array.elem, None, expr),
            ast::Expr::Function(function) => self.function(function, expr),
            ast::Expr::Interval(_) => {
                Err(unsupported("INTERVAL outside of date arithmetic").at(expr))
            }
            other => self.special(other),
        }
    }

    fn literal(&mut self, value: &ast::ValueWithSpan) -> Result<Typed> {
        match &value.value {
            ast::Value::Placeholder(mark) if mark == "?" => {
                let place = self.next_parameter;
                self.next_parameter += 1;
                let found = self
                    .env
                    .context
                    .parameters
                    .iter()
                    .filter(|p| p.name.is_none())
                    .nth(place);
                let found = found.ok_or_else(|| {
                    invalid("Query parameter number exceeds the number of parameters given")
                })?;
                Ok(Typed::literal(
                    found.value.clone(),
                    Kind::of_column(&found.column),
                ))
            }
            ast::Value::Placeholder(mark) => self.parameter(mark.trim_start_matches('@')),
            other => literal::read(other),
        }
        .map_err(|error: SqlError| error.at(value))
    }

    fn parameter(&self, name: &str) -> Result<Typed> {
        let named = |given: &&super::Parameter| {
            given
                .name
                .as_deref()
                .is_some_and(|known| known.eq_ignore_ascii_case(name))
        };
        let found = self.env.context.parameters.iter().find(named);
        let found = found.ok_or_else(|| invalid(format!("Query parameter '{name}' not found")))?;
        Ok(Typed::literal(
            found.value.clone(),
            Kind::of_column(&found.column),
        ))
    }

    fn access(&mut self, root: &ast::Expr, chain: &[AccessExpr]) -> Result<Typed> {
        let mut path = match root {
            ast::Expr::Identifier(name) => vec![name.clone()],
            ast::Expr::CompoundIdentifier(path) => path.clone(),
            _ => Vec::new(),
        };
        let mut chain = chain.iter().peekable();
        while !path.is_empty()
            && let Some(AccessExpr::Dot(ast::Expr::Identifier(name))) = chain.peek()
        {
            path.push(name.clone());
            chain.next();
        }
        let mut value = if path.is_empty() {
            self.bind(root)?
        } else {
            self.resolve_path(&path)?
        };
        for access in chain {
            value = match access {
                AccessExpr::Dot(ast::Expr::Identifier(name)) => self.field(value, name)?,
                AccessExpr::Subscript(Subscript::Index { index }) => self.element(value, index)?,
                _ => return Err(unsupported("this access to a part of a value")),
            };
        }
        Ok(value)
    }

    fn element(&mut self, array: Typed, index: &ast::Expr) -> Result<Typed> {
        let Kind::Array(element) = array.kind else {
            return Err(unsupported("a subscript of what is not an array").at(index));
        };
        let (first, safe, inner) = match index {
            ast::Expr::Function(call) => {
                let name = call.name.to_string().to_ascii_uppercase();
                let (first, safe) = match name.as_str() {
                    "OFFSET" => (0, false),
                    "ORDINAL" => (1, false),
                    "SAFE_OFFSET" => (0, true),
                    "SAFE_ORDINAL" => (1, true),
                    _ => (0, false),
                };
                match self.plain_arguments(call)?.as_slice() {
                    [inner] if name.ends_with("OFFSET") || name.ends_with("ORDINAL") => {
                        (first, safe, (*inner).clone())
                    }
                    _ => (0, false, index.clone()),
                }
            }
            other => (0, false, other.clone()),
        };
        let index = self.bind(&inner)?;
        let index = coerce(index, &Kind::Int64, &inner)?;
        let expr = Expr::Element {
            array: Box::new(array.expr),
            index: Box::new(index.expr),
            first,
            safe,
        };
        Ok(Typed::new(expr, *element))
    }

    fn binary(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        whole: &ast::Expr,
    ) -> Result<Typed> {
        if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
            let word = if *op == BinaryOperator::And {
                "AND"
            } else {
                "OR"
            };
            let parts = vec![self.logical(left, word)?, self.logical(right, word)?];
            return Ok(Typed::bool(match op {
                BinaryOperator::And => Expr::And(parts),
                _ => Expr::Or(parts),
            }));
        }
        if let ast::Expr::Interval(interval) = right {
            let name = match op {
                BinaryOperator::Plus => "ADD",
                BinaryOperator::Minus => "SUB",
                _ => return Err(unsupported("this arithmetic with INTERVAL").at(whole)),
            };
            let value = self.bind(left)?;
            return self.shift_by_interval(value, name, interval, whole);
        }
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let operation = match op {
            BinaryOperator::Eq => {
                return Ok(Typed::bool(compare(Comparison::Equal, left, right, whole)?));
            }
            BinaryOperator::NotEq => {
                return Ok(Typed::bool(compare(
                    Comparison::NotEqual,
                    left,
                    right,
                    whole,
                )?));
            }
            BinaryOperator::Lt => {
                return Ok(Typed::bool(compare(Comparison::Less, left, right, whole)?));
            }
            BinaryOperator::LtEq => {
                return Ok(Typed::bool(compare(
                    Comparison::LessOrEqual,
                    left,
                    right,
                    whole,
                )?));
            }
            BinaryOperator::Gt => {
                return Ok(Typed::bool(compare(
                    Comparison::Greater,
                    left,
                    right,
                    whole,
                )?));
            }
            BinaryOperator::GtEq => {
                return Ok(Typed::bool(compare(
                    Comparison::GreaterOrEqual,
                    left,
                    right,
                    whole,
                )?));
            }
            BinaryOperator::StringConcat => return self.scalar("CONCAT", vec![left, right], whole),
            BinaryOperator::Plus => Operation::Add,
            BinaryOperator::Minus => Operation::Subtract,
            BinaryOperator::Multiply => Operation::Multiply,
            BinaryOperator::Divide => Operation::Divide,
            BinaryOperator::BitwiseAnd => Operation::BitAnd,
            BinaryOperator::BitwiseOr => Operation::BitOr,
            BinaryOperator::BitwiseXor => Operation::BitXor,
            BinaryOperator::PGBitwiseShiftLeft => Operation::ShiftLeft,
            BinaryOperator::PGBitwiseShiftRight => Operation::ShiftRight,
            other => return Err(unsupported(format!("the operator {other}")).at(whole)),
        };
        operate(operation, left, right, whole)
    }

    fn logical(&mut self, expr: &ast::Expr, word: &str) -> Result<Expr> {
        let typed = self.bind(expr)?;
        match typed.kind {
            Kind::Bool | Kind::Null => Ok(typed.expr),
            other => Err(invalid(format!(
                "No matching signature for operator {word} for argument types: {other}. Supported signature: BOOL {word} BOOL"
            ))
            .at(expr)),
        }
    }

    fn unary(&mut self, op: UnaryOperator, inner: &ast::Expr, whole: &ast::Expr) -> Result<Typed> {
        match op {
            UnaryOperator::Not => Ok(negate(self.logical(inner, "NOT")?, true)),
            UnaryOperator::Plus => self.bind(inner),
            UnaryOperator::Minus => {
                if let ast::Expr::Value(value) = inner
                    && let ast::Value::Number(text, _) = &value.value
                {
                    return literal::number(&format!("-{text}")).map_err(|error| error.at(whole));
                }
                let value = self.bind(inner)?;
                let zero = Typed::literal(Value::Int64(0), Kind::Int64);
                operate(Operation::Subtract, zero, value, whole)
            }
            other => Err(unsupported(format!("the operator {other}")).at(whole)),
        }
    }

    fn is(&mut self, inner: &ast::Expr, wanted: bool, negated: bool) -> Result<Typed> {
        let inner = self.logical(inner, "IS")?;
        Ok(negate(Expr::Is(Box::new(inner), wanted), negated))
    }

    fn not_distinct(&mut self, left: &ast::Expr, right: &ast::Expr) -> Result<Expr> {
        let place = left;
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let pair = unify(vec![left, right], "IS DISTINCT FROM", place)?.0;
        Ok(two(pair, Expr::NotDistinct))
    }

    fn in_target(
        &mut self,
        value: &ast::Expr,
        target: &InTarget,
        whole: &ast::Expr,
    ) -> Result<Expr> {
        let needle = self.bind(value)?;
        match target {
            InTarget::List(list) => {
                let mut all = vec![needle];
                for item in list {
                    all.push(self.bind(item)?);
                }
                let (mut all, kind) = unify(all, "IN", whole)?;
                check_equality(&kind, "IN", whole)?;
                let needle = Box::new(all.remove(0).expr);
                let values: Option<Vec<Value>> = all
                    .iter()
                    .map(|item| match &item.expr {
                        Expr::Literal(value) => Some(value.clone()),
                        _ => None,
                    })
                    .collect();
                Ok(match values {
                    Some(values) => {
                        let members = Members::new(values.into_iter());
                        Expr::InSet(needle, Shared(Rc::new(members)))
                    }
                    None => Expr::InList(needle, all.into_iter().map(|item| item.expr).collect()),
                })
            }
            InTarget::Subquery(query) => {
                let (query, kind) = self.one_column(query, "IN", whole)?;
                check_equality(&kind, "IN", whole)?;
                if !needle.kind.coerces(&kind, needle.literal) {
                    // The values of the query would have to change their type, which loaders do not ask for.
                    let found = supertype(&[needle.weight(), (&kind, false)]);
                    return Err(match found {
                        Some(_) => unsupported("IN with a query of a narrower type").at(whole),
                        None => no_signature("IN", &[&needle.kind, &kind]).at(whole),
                    });
                }
                let needle = coerce(needle, &kind, value)?;
                Ok(Expr::InQuery(Box::new(needle.expr), query))
            }
            InTarget::Unnest(array) => {
                let array = self.bind(array)?;
                let kind = match &array.kind {
                    Kind::Array(element) => (**element).clone(),
                    Kind::Null => needle.kind.clone(),
                    other => {
                        return Err(no_signature("IN UNNEST", &[&needle.kind, other]).at(whole));
                    }
                };
                check_equality(&kind, "IN UNNEST", whole)?;
                let wanted = supertype(&[needle.weight(), (&kind, array.literal)]);
                let wanted = wanted
                    .ok_or_else(|| no_signature("IN UNNEST", &[&needle.kind, &kind]).at(whole))?;
                let needle = coerce(needle, &wanted, value)?;
                let array = coerce(array, &Kind::Array(Box::new(wanted)), value)?;
                Ok(Expr::InArray(Box::new(needle.expr), Box::new(array.expr)))
            }
            InTarget::Table { .. } => {
                Err(invalid("Syntax error: Unexpected table name after IN").at(whole))
            }
        }
    }
}

fn negate(expr: Expr, negated: bool) -> Typed {
    Typed::bool(if negated {
        Expr::Not(Box::new(expr))
    } else {
        expr
    })
}

/// Makes an expression of two out of a pair.
fn two(mut pair: Vec<Typed>, make: fn(Box<Expr>, Box<Expr>) -> Expr) -> Expr {
    let right = pair.pop().map_or_else(Expr::null, |typed| typed.expr);
    let left = pair.pop().map_or_else(Expr::null, |typed| typed.expr);
    make(Box::new(left), Box::new(right))
}
