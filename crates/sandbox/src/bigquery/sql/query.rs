//! Queries: WITH, set operations, ORDER BY and LIMIT around what `select` makes of a SELECT.

use std::cell::OnceCell;
use std::rc::Rc;

use sqlparser::ast::{
    self, LimitClause, OrderByKind, SetExpr, SetOperator, SetQuantifier, Spanned,
};

use super::bind::Binder;
use super::coerce::constant;
use super::error::{Result, invalid, unsupported};
use super::expr::{Expr, Shared};
use super::kind::{Kind, supertype};
use super::member::Subquery;
use super::over::{count, sort_key};
use super::relation::{Relation, SortKey};
use super::scope::{Origins, same_name};

/// A query that WITH gives a name to.
#[derive(Debug)]
pub(super) struct Cte {
    pub(super) name: String,
    pub(super) query: BoundQuery,
}

/// A query that can be run.
#[derive(Debug)]
pub(super) struct BoundQuery {
    pub(super) relation: Relation,
    pub(super) columns: Vec<Output>,
    /// Whether it is a SELECT AS STRUCT or AS VALUE, whose one column is the row.
    pub(super) is_row: bool,
    /// Whether it looks at the rows of a query around it.
    pub(super) correlated: bool,
}

/// A column of a query.
#[derive(Debug, Clone)]
pub(super) struct Output {
    pub(super) name: Option<String>,
    pub(super) kind: Kind,
    pub(super) origins: Origins,
    pub(super) stored: Option<(usize, usize)>,
    /// Whether it is a literal, which an INSERT takes for more types.
    pub(super) literal: bool,
}

impl Binder<'_> {
    /// Reads a query.
    pub(super) fn query(&mut self, query: &ast::Query) -> Result<BoundQuery> {
        let other = query.fetch.is_some()
            || !query.locks.is_empty()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        if other {
            return Err(unsupported("this clause of a query").at(query));
        }
        let known = self.ctes.len();
        let outer = std::mem::replace(&mut self.lowest, usize::MAX);
        let bound = self.query_with_names(query);
        self.ctes.truncate(known);
        let correlated = self.lowest < self.scopes.len();
        self.lowest = self.lowest.min(outer);
        let mut bound = bound?;
        bound.correlated = correlated;
        if !correlated && !self.scopes.is_empty() {
            bound.relation = bound.relation.once();
        }
        Ok(bound)
    }

    fn query_with_names(&mut self, query: &ast::Query) -> Result<BoundQuery> {
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                self.cte(cte, with.recursive)?;
            }
        }
        let mut bound = match &*query.body {
            SetExpr::Select(select) => self.select(select, query.order_by.as_ref())?,
            body => {
                let bound = self.body(body)?;
                self.order_outputs(bound, query.order_by.as_ref())?
            }
        };
        if let Some(limit) = &query.limit_clause {
            bound.relation = self.limit(bound.relation, limit)?;
        }
        Ok(bound)
    }

    fn cte(&mut self, cte: &ast::Cte, recursive: bool) -> Result<()> {
        if recursive {
            return Err(unsupported("WITH RECURSIVE").at(cte));
        }
        if !cte.alias.columns.is_empty() || cte.from.is_some() || cte.materialized.is_some() {
            return Err(unsupported("this form of WITH").at(cte));
        }
        let mut query = self.query(&cte.query)?;
        if query.correlated {
            return Err(unsupported("WITH that looks at a query around it").at(cte));
        }
        if query.relation.again().is_none() {
            query.relation = query.relation.once();
        }
        let name = cte.alias.name.value.clone();
        self.ctes.push(Cte { name, query });
        Ok(())
    }

    fn limit(&mut self, relation: Relation, clause: &LimitClause) -> Result<Relation> {
        let LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        } = clause
        else {
            return Err(invalid("Syntax error: Expected end of input but got \",\""));
        };
        if !limit_by.is_empty() {
            return Err(invalid("Syntax error: Unexpected keyword BY"));
        }
        let mut number = |expr: &ast::Expr| {
            let bound = self.bind(expr)?;
            count(&constant(&bound.expr, &self.env)?).map_err(|error| error.at(expr))
        };
        Ok(Relation::Limit {
            input: Box::new(relation),
            limit: limit
                .as_ref()
                .map(&mut number)
                .transpose()?
                .unwrap_or(usize::MAX),
            offset: offset
                .as_ref()
                .map(|offset| number(&offset.value))
                .transpose()?
                .unwrap_or(0),
        })
    }

    fn body(&mut self, body: &SetExpr) -> Result<BoundQuery> {
        match body {
            SetExpr::Select(select) => self.select(select, None),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => self.set_operation(left, *op, *set_quantifier, right),
            other => Err(unsupported("this kind of query").at(other)),
        }
    }

    fn set_operation(
        &mut self,
        left: &SetExpr,
        op: SetOperator,
        quantifier: SetQuantifier,
        right: &SetExpr,
    ) -> Result<BoundQuery> {
        let distinct = match (op, quantifier) {
            (SetOperator::Union, SetQuantifier::All) => false,
            (SetOperator::Union, SetQuantifier::Distinct) => true,
            (_, SetQuantifier::None) => {
                return Err(
                    invalid("Syntax error: Expected keyword ALL or keyword DISTINCT").at(right),
                );
            }
            _ => return Err(unsupported(format!("{op} {quantifier}")).at(right)),
        };
        let (left, right_query) = (self.body(left)?, self.body(right)?);
        if left.columns.len() != right_query.columns.len() {
            return Err(invalid(format!(
                "Queries in UNION {quantifier} have mismatched column count; query 1 has {} column, query 2 has {} columns",
                left.columns.len(),
                right_query.columns.len()
            ))
            .at(right));
        }
        let mut columns = Vec::new();
        for (place, (first, second)) in left.columns.iter().zip(&right_query.columns).enumerate() {
            let kind = supertype(&[(&first.kind, false), (&second.kind, false)]);
            let kind = kind.ok_or_else(|| {
                invalid(format!(
                    "Column {} in UNION {quantifier} has incompatible types: {}, {}",
                    place + 1,
                    first.kind,
                    second.kind
                ))
                .at(right)
            })?;
            columns.push(Output {
                name: first.name.clone(),
                kind,
                origins: first.origins.union(&second.origins).copied().collect(),
                stored: None,
                literal: false,
            });
        }
        let is_row = left.is_row && right_query.is_row;
        let parts = vec![cast_rows(left, &columns), cast_rows(right_query, &columns)];
        let mut relation = Relation::Union(parts);
        if distinct {
            relation = Relation::Distinct(Box::new(relation));
        }
        Ok(BoundQuery {
            relation,
            columns,
            is_row,
            correlated: false,
        })
    }

    /// ORDER BY over the columns of a query, by name or number.
    fn order_outputs(
        &mut self,
        mut bound: BoundQuery,
        order: Option<&ast::OrderBy>,
    ) -> Result<BoundQuery> {
        let mut keys = Vec::new();
        for key in order_keys(order)? {
            let place = match &key.expr {
                ast::Expr::Identifier(name) => bound
                    .columns
                    .iter()
                    .position(|column| {
                        column
                            .name
                            .as_deref()
                            .is_some_and(|n| same_name(n, &name.value))
                    })
                    .ok_or_else(|| {
                        invalid(format!("Unrecognized name: {}", name.value)).at_name(name)
                    })?,
                other => ordinal(other, bound.columns.len())?
                    .ok_or_else(|| unsupported("ORDER BY of an expression over a set operation"))?,
            };
            self.touched
                .extend(bound.columns[place].origins.iter().copied());
            keys.push(sort_key(key, Expr::column(place))?);
        }
        if !keys.is_empty() {
            bound.relation = Relation::Sort(Box::new(bound.relation), keys);
        }
        Ok(bound)
    }

    /// A query inside of an expression, whose columns are all used.
    pub(super) fn subquery(&mut self, query: &ast::Query) -> Result<(Subquery, Vec<Output>)> {
        let aliases = std::mem::take(&mut self.aliases);
        let bound = self.query(query);
        self.aliases = aliases;
        let bound = bound?;
        for column in &bound.columns {
            self.touched.extend(column.origins.iter().copied());
        }
        let subquery = Subquery {
            plan: Shared(Rc::new(bound.relation)),
            correlated: bound.correlated,
            answer: Shared(Rc::new(OnceCell::new())),
        };
        Ok((subquery, bound.columns))
    }

    /// A query that has to have one column.
    pub(super) fn one_column(
        &mut self,
        query: &ast::Query,
        what: &str,
        place: &impl Spanned,
    ) -> Result<(Subquery, Kind)> {
        let (subquery, mut columns) = self.subquery(query)?;
        match columns.pop() {
            Some(column) if columns.is_empty() => Ok((subquery, column.kind)),
            _ => Err(invalid(match what {
                "IN" => "Subquery of type IN must have only one output column".to_owned(),
                "ARRAY" => "ARRAY subquery cannot have more than one column unless using SELECT AS STRUCT to build STRUCT values".to_owned(),
                _ => "Scalar subquery cannot have more than one column unless using SELECT AS STRUCT to build STRUCT values".to_owned(),
            })
            .at(place)),
        }
    }
}

/// The rows of a query with the types of other columns.
fn cast_rows(query: BoundQuery, columns: &[Output]) -> Relation {
    let same = query
        .columns
        .iter()
        .zip(columns)
        .all(|(from, to)| from.kind.same(&to.kind));
    if same {
        return query.relation;
    }
    let casts = query
        .columns
        .iter()
        .zip(columns)
        .enumerate()
        .map(|(place, (from, to))| Expr::Cast {
            value: Box::new(Expr::column(place)),
            from: from.kind.clone(),
            to: to.kind.clone(),
            limit: None,
        });
    let casts = casts.collect();
    Relation::Project(Box::new(query.relation), casts)
}

/// The keys of ORDER BY.
pub(super) fn order_keys(order: Option<&ast::OrderBy>) -> Result<&[ast::OrderByExpr]> {
    match order.map(|order| &order.kind) {
        None => Ok(&[]),
        Some(OrderByKind::Expressions(keys)) => Ok(keys),
        Some(OrderByKind::All(_)) => Err(unsupported("ORDER BY ALL")),
    }
}

/// The place of a column that is named by its number; none for another expression.
pub(super) fn ordinal(expr: &ast::Expr, columns: usize) -> Result<Option<usize>> {
    let ast::Expr::Value(value) = expr else {
        return Ok(None);
    };
    let ast::Value::Number(text, _) = &value.value else {
        return Ok(None);
    };
    let number: Option<usize> = text.parse().ok();
    match number
        .and_then(|number| number.checked_sub(1))
        .filter(|place| *place < columns)
    {
        Some(place) => Ok(Some(place)),
        None => Err(invalid(format!("Column number item is out of range: {text}")).at(expr)),
    }
}

/// A key over a column of the rows.
pub(super) fn over_column(key: &SortKey, place: usize) -> SortKey {
    SortKey {
        expr: Expr::column(place),
        ..key.clone()
    }
}
