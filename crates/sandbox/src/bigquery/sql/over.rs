//! Calls of aggregates and of windows, with the clauses that go with them.

use sqlparser::ast::{
    self, DuplicateTreatment, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, NullTreatment, OrderBySort, WindowFrameBound, WindowFrameUnits, WindowType,
};

use super::aggregate::{Aggregate, AggregateCall};
use super::bind::{Binder, Typed};
use super::coerce::{coerce, constant, no_signature};
use super::error::{Result, invalid, unsupported};
use super::expr::Expr;
use super::kind::Kind;
use super::relation::SortKey;
use super::window::{Bound, Bounds, WindowCall, WindowFunction};
use crate::bigquery::value::Value;

impl Binder<'_> {
    pub(super) fn aggregate(
        &mut self,
        function: Aggregate,
        call: &ast::Function,
        name: &str,
        whole: &ast::Expr,
    ) -> Result<AggregateCall> {
        let FunctionArguments::List(list) = &call.args else {
            return Err(no_signature(name, &[]).at(whole));
        };
        // Names of the SELECT's own columns do not count inside of an aggregate.
        let aliases = std::mem::take(&mut self.aliases);
        let bound = self.aggregate_arguments(function, list, call, name, whole);
        self.aliases = aliases;
        let bound = bound?;
        let nested = bound.parts().iter().any(|part| {
            let mut found = false;
            part.visit(&mut |part| found |= matches!(part, Expr::Aggregate(_)));
            found
        });
        if nested && call.over.is_none() {
            return Err(invalid("Aggregations of aggregations are not allowed").at(whole));
        }
        Ok(bound)
    }

    pub(super) fn aggregate_arguments(
        &mut self,
        function: Aggregate,
        list: &ast::FunctionArgumentList,
        call: &ast::Function,
        name: &str,
        whole: &ast::Expr,
    ) -> Result<AggregateCall> {
        let mut bound = AggregateCall {
            function,
            arguments: Vec::new(),
            distinct: list.duplicate_treatment == Some(DuplicateTreatment::Distinct),
            ignore_nulls: call.null_treatment == Some(NullTreatment::IgnoreNulls),
            order: Vec::new(),
            limit: None,
            kind: Kind::Int64,
        };
        if let [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] = list.args.as_slice()
            && function == Aggregate::Count
        {
            bound.function = Aggregate::CountAll;
            return Ok(bound);
        }
        let mut kinds = Vec::new();
        for argument in &list.args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument else {
                return Err(unsupported("this argument").at(whole));
            };
            let argument = self.bind(argument)?;
            kinds.push(argument.kind);
            bound.arguments.push(argument.expr);
        }
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => {
                    bound.ignore_nulls = *treatment == NullTreatment::IgnoreNulls;
                }
                FunctionArgumentClause::OrderBy(keys) => bound.order = self.sort_keys(keys)?,
                FunctionArgumentClause::Limit(limit) => {
                    let limit = self.bind(limit)?;
                    bound.limit = Some(count(&constant(&limit.expr, &self.env)?)?);
                }
                _ => return Err(unsupported(format!("this clause of {name}")).at(whole)),
            }
        }
        let is_list = matches!(function, Aggregate::ArrayAgg | Aggregate::StringAgg);
        if (!bound.order.is_empty() || bound.limit.is_some()) && !is_list {
            return Err(unsupported(format!("ORDER BY and LIMIT in {name}")).at(whole));
        }
        let refs: Vec<&Kind> = kinds.iter().collect();
        bound.kind =
            result_of(function, &refs).ok_or_else(|| no_signature(name, &refs).at(whole))?;
        if bound.distinct && !kinds[0].has_equality() {
            return Err(invalid(format!(
                "Aggregate functions with DISTINCT cannot be used with arguments of type {}",
                kinds[0]
            ))
            .at(whole));
        }
        Ok(bound)
    }

    pub(super) fn sort_keys(&mut self, keys: &[ast::OrderByExpr]) -> Result<Vec<SortKey>> {
        let mut bound = Vec::new();
        for key in keys {
            let value = self.bind(&key.expr)?;
            if !value.kind.has_order() {
                return Err(invalid(format!(
                    "ORDER BY does not support expressions of type {}",
                    value.kind
                ))
                .at(&key.expr));
            }
            bound.push(sort_key(key, value.expr)?);
        }
        Ok(bound)
    }

    pub(super) fn window(
        &mut self,
        name: &str,
        call: &ast::Function,
        over: &WindowType,
        whole: &ast::Expr,
    ) -> Result<Typed> {
        let spec = match over {
            WindowType::WindowSpec(spec) => spec.clone(),
            WindowType::NamedWindow(window) => {
                let known = self
                    .windows
                    .iter()
                    .find(|(known, _)| known.eq_ignore_ascii_case(&window.value));
                known.map(|(_, spec)| spec.clone()).ok_or_else(|| {
                    invalid(format!("Unrecognized window alias {}", window.value)).at_name(window)
                })?
            }
        };
        if spec.window_name.is_some() {
            return Err(unsupported("a window made of another one").at(whole));
        }
        let (function, arguments, kind) = self.window_function(name, call, whole)?;
        let mut partition = Vec::new();
        for expr in &spec.partition_by {
            let value = self.bind(expr)?;
            if !value.kind.has_equality() || value.kind == Kind::Float64 {
                return Err(invalid(format!(
                    "Partitioning by expressions of type {} is not allowed",
                    value.kind
                ))
                .at(expr));
            }
            partition.push(value.expr);
        }
        let order = self.sort_keys(&spec.order_by)?;
        let needs_order = !matches!(
            function,
            WindowFunction::RowNumber
                | WindowFunction::Aggregate(_)
                | WindowFunction::FirstValue
                | WindowFunction::LastValue
        );
        if needs_order && order.is_empty() {
            return Err(invalid(format!(
                "Window ORDER BY is required for analytic function {name}"
            ))
            .at(whole));
        }
        let bounds = self.bounds(spec.window_frame.as_ref(), order.is_empty(), whole)?;
        let call = WindowCall {
            function,
            arguments,
            ignore_nulls: self.ignores_nulls(call),
            partition,
            order,
            bounds,
        };
        Ok(Typed::new(Expr::Window(Box::new(call)), kind))
    }

    pub(super) fn ignores_nulls(&self, call: &ast::Function) -> bool {
        let inside = match &call.args {
            FunctionArguments::List(list) => list.clauses.iter().any(|clause| {
                matches!(
                    clause,
                    FunctionArgumentClause::IgnoreOrRespectNulls(NullTreatment::IgnoreNulls)
                )
            }),
            _ => false,
        };
        inside || call.null_treatment == Some(NullTreatment::IgnoreNulls)
    }

    pub(super) fn window_function(
        &mut self,
        name: &str,
        call: &ast::Function,
        whole: &ast::Expr,
    ) -> Result<(WindowFunction, Vec<Expr>, Kind)> {
        if let Some(function) = Aggregate::named(name) {
            let call = self.aggregate(function, call, name, whole)?;
            let kind = call.kind.clone();
            return Ok((WindowFunction::Aggregate(call), Vec::new(), kind));
        }
        let function = match name {
            "ROW_NUMBER" => WindowFunction::RowNumber,
            "RANK" => WindowFunction::Rank,
            "DENSE_RANK" => WindowFunction::DenseRank,
            "NTILE" => WindowFunction::Ntile,
            "LAG" => WindowFunction::Lag,
            "LEAD" => WindowFunction::Lead,
            "FIRST_VALUE" => WindowFunction::FirstValue,
            "LAST_VALUE" => WindowFunction::LastValue,
            _ => return Err(unsupported(format!("the window function {name}")).at(whole)),
        };
        let mut plain = call.clone();
        if let FunctionArguments::List(list) = &mut plain.args {
            list.clauses.retain(|clause| {
                !matches!(clause, FunctionArgumentClause::IgnoreOrRespectNulls(_))
            });
        }
        let mut values = Vec::new();
        for argument in self.plain_arguments(&plain)? {
            values.push(self.bind(argument)?);
        }
        let takes = match function {
            WindowFunction::Ntile | WindowFunction::FirstValue | WindowFunction::LastValue => 1..=1,
            WindowFunction::Lag | WindowFunction::Lead => 1..=3,
            _ => 0..=0,
        };
        if !takes.contains(&values.len()) {
            return Err(no_signature(
                name,
                &values.iter().map(|value| &value.kind).collect::<Vec<_>>(),
            )
            .at(whole));
        }
        let kind = match values.first() {
            Some(first) if function != WindowFunction::Ntile => first.kind.clone(),
            _ => Kind::Int64,
        };
        if values.len() == 3 {
            let default = values.remove(2);
            values.push(coerce(default, &kind, whole)?);
        }
        Ok((
            function,
            values.into_iter().map(|value| value.expr).collect(),
            kind,
        ))
    }

    pub(super) fn bounds(
        &mut self,
        frame: Option<&ast::WindowFrame>,
        unordered: bool,
        whole: &ast::Expr,
    ) -> Result<Bounds> {
        let Some(frame) = frame else {
            return Ok(Bounds {
                by_rows: false,
                start: Bound::First,
                end: if unordered {
                    Bound::Last
                } else {
                    Bound::Current(0)
                },
            });
        };
        let by_rows = frame.units == WindowFrameUnits::Rows;
        let mut bound = |bound: &WindowFrameBound| -> Result<Bound> {
            let (distance, sign) = match bound {
                WindowFrameBound::CurrentRow => return Ok(Bound::Current(0)),
                WindowFrameBound::Preceding(None) => return Ok(Bound::First),
                WindowFrameBound::Following(None) => return Ok(Bound::Last),
                WindowFrameBound::Preceding(Some(distance)) => (distance, -1),
                WindowFrameBound::Following(Some(distance)) => (distance, 1),
            };
            let distance = self.bind(distance)?;
            match constant(&distance.expr, &self.env)? {
                Value::Int64(distance) if by_rows && distance >= 0 => {
                    Ok(Bound::Current(sign * distance))
                }
                _ => Err(unsupported("this window frame").at(whole)),
            }
        };
        let start = bound(&frame.start_bound)?;
        let end = frame.end_bound.as_ref().map(&mut bound).transpose()?;
        if frame.units == WindowFrameUnits::Groups {
            return Err(unsupported("GROUPS in a window").at(whole));
        }
        Ok(Bounds {
            by_rows,
            start,
            end: end.unwrap_or(Bound::Current(0)),
        })
    }
}

/// A key of ORDER BY; NULLs come first going up and last going down, unless it is said otherwise.
pub(super) fn sort_key(key: &ast::OrderByExpr, expr: Expr) -> Result<SortKey> {
    let descending = match &key.options.sort {
        None | Some(OrderBySort::Asc) => false,
        Some(OrderBySort::Desc) => true,
        Some(OrderBySort::Using(_)) => return Err(unsupported("ORDER BY USING").at(&key.expr)),
    };
    Ok(SortKey {
        expr,
        descending,
        nulls_first: key.options.nulls_first.unwrap_or(!descending),
    })
}

/// A number of rows.
pub(super) fn count(value: &Value) -> Result<usize> {
    match value {
        Value::Int64(number) => usize::try_from(*number)
            .map_err(|_| invalid("LIMIT and OFFSET expect a non-negative integer")),
        _ => Err(invalid(
            "LIMIT and OFFSET expect an integer literal or parameter",
        )),
    }
}

/// The type of an aggregate over arguments of these types; none if it does not take them.
fn result_of(function: Aggregate, kinds: &[&Kind]) -> Option<Kind> {
    let (first, rest) = kinds.split_first()?;
    let first = if **first == Kind::Null {
        &Kind::Int64
    } else {
        *first
    };
    let is_text = matches!(first, Kind::String | Kind::Bytes);
    match (function, rest) {
        (Aggregate::Count, []) => Some(Kind::Int64),
        (Aggregate::CountIf, []) => (*first == Kind::Bool).then_some(Kind::Int64),
        (Aggregate::Sum, []) => first.is_number().then(|| first.clone()),
        (Aggregate::Avg, []) if *first == Kind::Int64 => Some(Kind::Float64),
        (Aggregate::Avg, []) => first.is_number().then(|| first.clone()),
        (Aggregate::Min | Aggregate::Max, []) => first.has_order().then(|| first.clone()),
        (Aggregate::AnyValue, []) => Some(first.clone()),
        (Aggregate::ArrayAgg, []) => {
            let nested = matches!(first, Kind::Array(_));
            (!nested).then(|| Kind::Array(Box::new(first.clone())))
        }
        (Aggregate::StringAgg, []) => is_text.then(|| first.clone()),
        (Aggregate::StringAgg, [separator]) => {
            (is_text && separator.same(first)).then(|| first.clone())
        }
        (Aggregate::LogicalAnd | Aggregate::LogicalOr, []) => {
            (*first == Kind::Bool).then_some(Kind::Bool)
        }
        _ => None,
    }
}
