//! Calls of functions: which one is meant, and whether it takes its arguments.

use sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, TrimWhereField,
};

use super::aggregate::Aggregate;
use super::bind::{Binder, Typed};
use super::cast::castable;
use super::coerce::{coerce, compare, no_signature, operate, unify};
use super::compare::Comparison;
use super::error::{Result, unsupported};
use super::expr::{Expr, Function};
use super::functions::{
    ARRAY_CONCAT, ARRAY_LENGTH, ARRAY_REVERSE, ARRAY_TO_STRING, DEFINITIONS, GREATEST, LEAST, SPLIT,
};
use super::kind::Kind;
use super::number::Operation;

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
}
