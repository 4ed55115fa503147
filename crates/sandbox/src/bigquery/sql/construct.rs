//! CASE, CAST, and the making of STRUCTs and ARRAYs.

use sqlparser::ast;

use super::bind::{Binder, Typed};
use super::cast::castable;
use super::coerce::{coerce, compare, unify};
use super::compare::Comparison;
use super::error::{Result, invalid};
use super::expr::Expr;
use super::kind::{Field, Kind};
use super::schema::{column_of, kind_of};
use crate::bigquery::value::Value;

impl Binder<'_> {
    pub(super) fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        branches: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
        whole: &ast::Expr,
    ) -> Result<Typed> {
        let mut conditions = Vec::new();
        let mut results = Vec::new();
        for branch in branches {
            conditions.push(match operand {
                Some(operand) => {
                    let (left, right) = (self.bind(operand)?, self.bind(&branch.condition)?);
                    compare(Comparison::Equal, left, right, &branch.condition)?
                }
                None => self.condition(&branch.condition, "CASE WHEN")?,
            });
            results.push(self.bind(&branch.result)?);
        }
        results.push(match otherwise {
            Some(otherwise) => self.bind(otherwise)?,
            None => Typed::literal(Value::Null, Kind::Null),
        });
        let (mut results, kind) = unify(results, "CASE", whole)?;
        let otherwise = results.pop().map_or_else(Expr::null, |last| last.expr);
        let branches = conditions
            .into_iter()
            .zip(results.into_iter().map(|result| result.expr));
        let expr = Expr::Case(branches.collect(), Box::new(otherwise));
        Ok(Typed::new(expr, kind))
    }

    /// CAST and SAFE_CAST.
    pub(super) fn cast(
        &mut self,
        value: Typed,
        target: &ast::DataType,
        safe: bool,
    ) -> Result<Typed> {
        let (kind, _) = kind_of(target)?;
        if !castable(&value.kind, &kind) {
            return Err(invalid(format!(
                "Invalid cast from {} to {kind}",
                value.kind
            )));
        }
        let column = column_of("CAST", target)?;
        let limited = column.max_length.is_some() || column.digits.is_some();
        let expr = Expr::Cast {
            value: Box::new(value.expr),
            from: value.kind,
            to: kind.clone(),
            limit: limited.then(|| Box::new(column)),
        };
        let expr = if safe {
            Expr::Safe(Box::new(expr))
        } else {
            expr
        };
        Ok(Typed::new(expr, kind))
    }

    pub(super) fn structure(
        &mut self,
        values: &[ast::Expr],
        declared: &[ast::StructField],
        whole: &ast::Expr,
    ) -> Result<Typed> {
        if !declared.is_empty() && declared.len() != values.len() {
            return Err(
                invalid("STRUCT type has a different number of fields than values").at(whole),
            );
        }
        let mut fields = Vec::new();
        let mut exprs = Vec::new();
        let mut literal = true;
        for (place, value) in values.iter().enumerate() {
            let (value, name) = match value {
                ast::Expr::Named { expr, name } => (&**expr, Some(name.value.clone())),
                ast::Expr::Identifier(name) => (value, Some(name.value.clone())),
                ast::Expr::CompoundIdentifier(path) => {
                    (value, path.last().map(|name| name.value.clone()))
                }
                other => (other, None),
            };
            // A tuple has no names for its fields.
            let name = name.filter(|_| !matches!(whole, ast::Expr::Tuple(_)));
            let mut bound = self.bind(value)?;
            let mut name = name;
            if let Some(field) = declared.get(place) {
                let (kind, _) = kind_of(&field.field_type)?;
                bound = coerce(bound, &kind, value)?;
                name = field.field_name.as_ref().map(|name| name.value.clone());
            }
            literal &= bound.literal;
            fields.push(Field {
                name,
                kind: bound.kind,
            });
            exprs.push(bound.expr);
        }
        let expr = match constants(&exprs) {
            Some(values) => Expr::Literal(Value::Struct(values)),
            None => Expr::Struct(exprs),
        };
        Ok(Typed {
            expr,
            kind: Kind::Struct(fields),
            literal: literal && declared.is_empty(),
        })
    }

    /// An array of the given elements, which turn into one type.
    pub(super) fn array(
        &mut self,
        elements: &[ast::Expr],
        declared: Option<Kind>,
        whole: &ast::Expr,
    ) -> Result<Typed> {
        let mut bound = Vec::new();
        for element in elements {
            bound.push(self.bind(element)?);
        }
        let literal = bound.iter().all(|element| element.literal);
        let (bound, kind) = match declared {
            Some(kind) => {
                let coerced = bound
                    .into_iter()
                    .map(|element| coerce(element, &kind, whole));
                (coerced.collect::<Result<Vec<_>>>()?, kind)
            }
            None => unify(bound, "ARRAY", whole)?,
        };
        if matches!(kind, Kind::Array(_)) {
            return Err(invalid("Cannot construct array with element type ARRAY").at(whole));
        }
        let exprs: Vec<Expr> = bound.into_iter().map(|element| element.expr).collect();
        let expr = match constants(&exprs) {
            Some(values) => Expr::Literal(Value::Array(values)),
            None => Expr::Array(exprs),
        };
        Ok(Typed {
            expr,
            kind: Kind::Array(Box::new(kind)),
            literal,
        })
    }
}

fn constants(exprs: &[Expr]) -> Option<Vec<Value>> {
    exprs
        .iter()
        .map(|expr| match expr {
            Expr::Literal(value) => Some(value.clone()),
            _ => None,
        })
        .collect()
}
