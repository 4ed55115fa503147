//! Calls of functions: which one is meant, and whether it takes its arguments.

use sqlparser::ast::{
    self, DuplicateTreatment, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, NullTreatment, OrderBySort, Spanned, TrimWhereField, WindowFrameBound,
    WindowFrameUnits, WindowType,
};

use super::aggregate::{Aggregate, AggregateCall};
use super::bind::{Binder, Typed, coerce, compare, constant, no_signature, operate, unify};
use super::cast::castable;
use super::error::{Result, invalid, unsupported};
use super::expr::{Comparison, Expr, Function};
use super::functions::{
    ARRAY_CONCAT, ARRAY_LENGTH, ARRAY_REVERSE, ARRAY_TO_STRING, DEFINITIONS, GREATEST, LEAST, SPLIT,
};
use super::kind::Kind;
use super::number::Operation;
use super::relation::SortKey;
use super::window::{Bound, Bounds, WindowCall, WindowFunction};
use crate::bigquery::value::Value;

impl Binder<'_> {
    pub(super) fn function(&mut self, call: &ast::Function, whole: &ast::Expr) -> Result<Typed> {
        let name = call.name.to_string().to_ascii_uppercase();
        if let Some(plain) = name.strip_prefix("SAFE.") {
            let mut inner = call.clone();
            inner.name = ast::ObjectName::from(vec![ast::Ident::new(plain)]);
            let value = self.function(&inner, whole)?;
            return Ok(Typed::new(Expr::Safe(Box::new(value.expr)), value.kind));
        }
        if call.filter.is_some()
            || !call.within_group.is_empty()
            || call.parameters != FunctionArguments::None
        {
            return Err(unsupported("this form of a call").at(whole));
        }
        if let Some(over) = &call.over {
            return self.window(&name, call, over, whole);
        }
        if let Some(function) = Aggregate::named(&name) {
            let call = self.aggregate(function, call, &name, whole)?;
            let kind = call.kind.clone();
            return Ok(Typed::new(Expr::Aggregate(Box::new(call)), kind));
        }
        if let FunctionArguments::Subquery(query) = &call.args {
            return match name.as_str() {
                "ARRAY" => {
                    let (query, kind) = self.one_column(query, "ARRAY", whole)?;
                    Ok(Typed::new(
                        Expr::ArrayOf(query),
                        Kind::Array(Box::new(kind)),
                    ))
                }
                _ => Err(unsupported(format!("{name} of a query")).at(whole)),
            };
        }
        let arguments = self.plain_arguments(call)?;
        if let Some(moved) = self.moment(&name, &arguments, whole)? {
            return Ok(moved);
        }
        let mut values = Vec::new();
        for argument in arguments {
            values.push(self.bind(argument)?);
        }
        self.named(&name, values, whole)
    }

    /// The arguments of a call that has nothing but arguments.
    pub(super) fn plain_arguments<'c>(
        &self,
        call: &'c ast::Function,
    ) -> Result<Vec<&'c ast::Expr>> {
        let list = match &call.args {
            FunctionArguments::None => return Ok(Vec::new()),
            FunctionArguments::List(list) => list,
            FunctionArguments::Subquery(_) => {
                return Err(unsupported("a query as an argument").at(call));
            }
        };
        if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
            return Err(unsupported("this form of a call").at(call));
        }
        let plain = |argument: &'c FunctionArg| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
            _ => Err(unsupported("arguments with names").at(call)),
        };
        list.args.iter().map(plain).collect()
    }

    fn named(&mut self, name: &str, mut values: Vec<Typed>, whole: &ast::Expr) -> Result<Typed> {
        let operation = match name.strip_prefix("SAFE_").unwrap_or(name) {
            "MOD" => Some(Operation::Remainder),
            "DIV" => Some(Operation::Quotient),
            "ADD" => Some(Operation::Add),
            "SUBTRACT" => Some(Operation::Subtract),
            "MULTIPLY" => Some(Operation::Multiply),
            "DIVIDE" => Some(Operation::Divide),
            _ => None,
        };
        match (name, values.len()) {
            ("IF", 3) => {
                let (results, kind) = unify(values.split_off(1), "IF", whole)?;
                let condition = coerce(values.remove(0), &Kind::Bool, whole)?.expr;
                let mut results = results.into_iter().map(|result| result.expr);
                let (yes, no) = (results.next(), results.next());
                let yes = yes.unwrap_or_else(Expr::null);
                let no = no.unwrap_or_else(Expr::null);
                Ok(Typed::new(
                    Expr::Case(vec![(condition, yes)], Box::new(no)),
                    kind,
                ))
            }
            ("IFNULL", 2) | ("COALESCE", 1..) => {
                let (values, kind) = unify(values, name, whole)?;
                let values = values.into_iter().map(|value| value.expr).collect();
                Ok(Typed::new(Expr::Coalesce(values), kind))
            }
            ("NULLIF", 2) => {
                let (mut values, kind) = unify(values, name, whole)?;
                let right = values.remove(1);
                let left = values.remove(0);
                let same = compare(Comparison::Equal, left.clone(), right, whole)?;
                let expr = Expr::Case(vec![(same, Expr::null())], Box::new(left.expr));
                Ok(Typed::new(expr, kind))
            }
            ("GREATEST" | "LEAST", 1..) => {
                let (values, kind) = unify(values, name, whole)?;
                if !kind.has_order() {
                    return Err(no_signature(name, &[&kind]).at(whole));
                }
                let function = if name == "GREATEST" { GREATEST } else { LEAST };
                let values = values.into_iter().map(|value| value.expr).collect();
                Ok(Typed::new(Expr::Call(function, values), kind))
            }
            (_, 2)
                if operation.is_some()
                    && (name.starts_with("SAFE_") || name.len() == 3 && name != "ADD") =>
            {
                let right = values.remove(1);
                let operation = operation.unwrap_or(Operation::Divide);
                let result = operate(operation, values.remove(0), right, whole)?;
                Ok(match name.starts_with("SAFE_") {
                    true => Typed::new(Expr::Safe(Box::new(result.expr)), result.kind),
                    false => result,
                })
            }
            ("TO_JSON_STRING", 1) => {
                let value = values.remove(0);
                let expr = Expr::ToJson(Box::new(value.expr), value.kind);
                Ok(Typed::new(expr, Kind::String))
            }
            ("SPLIT", 1 | 2) => {
                let values = values
                    .into_iter()
                    .map(|value| coerce(value, &Kind::String, whole));
                let values = values.map(|value| value.map(|value| value.expr));
                let expr = Expr::Call(SPLIT, values.collect::<Result<_>>()?);
                Ok(Typed::new(expr, Kind::Array(Box::new(Kind::String))))
            }
            ("CONCAT", 1..) => self.concat(values, whole),
            _ if name.starts_with("ARRAY_") => self.of_array(name, values, whole),
            ("ROUND", 1 | 2) if values[0].kind.is_decimal() => {
                let name = format!("ROUND_{}", values[0].kind);
                self.scalar(&name, values, whole)
            }
            ("ROUND", 2) => Err(unsupported("ROUND of FLOAT64 to a place").at(whole)),
            _ => self.scalar(name, values, whole),
        }
    }

    /// CONCAT takes whatever turns into text; `||` does not.
    fn concat(&mut self, values: Vec<Typed>, whole: &ast::Expr) -> Result<Typed> {
        let text = |value: Typed| {
            let other = !matches!(value.kind, Kind::String | Kind::Bytes | Kind::Null);
            if !other || !castable(&value.kind, &Kind::String) {
                return value;
            }
            let expr = Expr::Cast {
                value: Box::new(value.expr),
                from: value.kind,
                to: Kind::String,
                limit: None,
            };
            Typed::new(expr, Kind::String)
        };
        self.scalar("CONCAT", values.into_iter().map(text).collect(), whole)
    }

    fn of_array(&mut self, name: &str, mut values: Vec<Typed>, whole: &ast::Expr) -> Result<Typed> {
        let kinds: Vec<Kind> = values.iter().map(|value| value.kind.clone()).collect();
        let is_array = |kind: &Kind| matches!(kind, Kind::Array(_) | Kind::Null);
        let text = Kind::Array(Box::new(Kind::String));
        let (function, kind): (Function, Kind) = match (name, kinds.as_slice()) {
            ("ARRAY_LENGTH", [array]) if is_array(array) => (ARRAY_LENGTH, Kind::Int64),
            ("ARRAY_REVERSE", [array]) if is_array(array) => (ARRAY_REVERSE, array.clone()),
            ("ARRAY_CONCAT", [_, ..]) if kinds.iter().all(is_array) => {
                let (unified, kind) = unify(values, name, whole)?;
                values = unified;
                (ARRAY_CONCAT, kind)
            }
            ("ARRAY_TO_STRING", [array, rest @ ..])
                if array.same(&text)
                    && matches!(rest, [Kind::String] | [Kind::String, Kind::String]) =>
            {
                (ARRAY_TO_STRING, Kind::String)
            }
            ("ARRAY_LENGTH" | "ARRAY_REVERSE" | "ARRAY_CONCAT", _) => {
                let kinds: Vec<&Kind> = kinds.iter().collect();
                return Err(no_signature(name, &kinds).at(whole));
            }
            _ => return Err(unsupported(format!("the function {name}")).at(whole)),
        };
        let values = values.into_iter().map(|value| value.expr).collect();
        Ok(Typed::new(Expr::Call(function, values), kind))
    }

    /// A function with a fixed list of signatures: one that fits exactly goes before others.
    pub(super) fn scalar(
        &mut self,
        name: &str,
        values: Vec<Typed>,
        whole: &impl Spanned,
    ) -> Result<Typed> {
        let mut known = false;
        for exact in [true, false] {
            for definition in DEFINITIONS
                .iter()
                .filter(|known| known.function.name == name)
            {
                known = true;
                let Some(parameters) = definition.parameters_for(values.len()) else {
                    continue;
                };
                let fits = values.iter().zip(&parameters).all(|(value, parameter)| {
                    value.kind.same(parameter)
                        || value.kind == Kind::Null
                        || !exact && value.kind.coerces(parameter, value.literal)
                });
                if fits {
                    let arguments = values
                        .into_iter()
                        .zip(parameters)
                        .map(|(value, parameter)| {
                            coerce(value, parameter, whole).map(|value| value.expr)
                        });
                    let arguments = arguments.collect::<Result<_>>()?;
                    let expr = Expr::Call(definition.function, arguments);
                    return Ok(Typed::new(expr, definition.result.clone()));
                }
            }
        }
        if !known {
            return Err(unsupported(format!("the function {name}")).at(whole));
        }
        let kinds: Vec<&Kind> = values.iter().map(|value| &value.kind).collect();
        Err(no_signature(name, &kinds).at(whole))
    }

    /// What the parser has forms of its own for.
    pub(super) fn special(&mut self, expr: &ast::Expr) -> Result<Typed> {
        match expr {
            ast::Expr::Extract {
                field, expr: value, ..
            } => self.extract(&field.to_string(), value, expr),
            ast::Expr::Substring {
                expr: value,
                substring_from: Some(from),
                substring_for,
                ..
            } => {
                let mut values = vec![self.bind(value)?, self.bind(from)?];
                if let Some(count) = substring_for {
                    values.push(self.bind(count)?);
                }
                self.scalar("SUBSTR", values, expr)
            }
            ast::Expr::Trim {
                trim_where,
                trim_what: None,
                expr: value,
                trim_characters,
            } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "LTRIM",
                    Some(TrimWhereField::Trailing) => "RTRIM",
                    _ => "TRIM",
                };
                let mut values = vec![self.bind(value)?];
                for letters in trim_characters.iter().flatten() {
                    values.push(self.bind(letters)?);
                }
                self.scalar(name, values, expr)
            }
            ast::Expr::Ceil { expr: value, .. } => {
                let value = self.bind(value)?;
                self.scalar("CEIL", vec![value], expr)
            }
            ast::Expr::Floor { expr: value, .. } => {
                let value = self.bind(value)?;
                self.scalar("FLOOR", vec![value], expr)
            }
            ast::Expr::IsUnknown(inner) => {
                let inner = self.condition(inner, "IS UNKNOWN")?;
                Ok(Typed::bool(Expr::IsNull(Box::new(inner))))
            }
            other => Err(unsupported("this expression").at(other)),
        }
    }

    fn aggregate(
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

    fn aggregate_arguments(
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

    fn window(
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

    fn ignores_nulls(&self, call: &ast::Function) -> bool {
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

    fn window_function(
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

    fn bounds(
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
