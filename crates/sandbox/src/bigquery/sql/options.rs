//! What a table has besides columns and rows: partitions, clusters and OPTIONS.

use sqlparser::ast::{self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, SqlOption};

use super::error::{Result, invalid, unsupported};
use super::may_cluster;
use super::scan::may_partition;
use super::schema::text_of;
use crate::bigquery::table::{Mode, Partitioning, Table, TimeUnit, Type};

const DAY_MS: u64 = 86_400_000;

/// The column that a table is cut into partitions by.
pub(super) fn partition_column(table: &Table) -> Option<&str> {
    match table.partitioning.as_ref()? {
        Partitioning::Time { column, .. } => column.as_deref(),
        Partitioning::Range { column, .. } => Some(column),
    }
}

/// PARTITION BY.
pub(super) fn partition(table: &mut Table, by: Option<&Expr>) -> Result<()> {
    let Some(by) = by else {
        return Ok(());
    };
    let (name, arguments) = match by {
        Expr::Identifier(name) => {
            return by_column(
                table,
                Some(&name.value),
                TimeUnit::Day,
                Some(&Type::Date),
                by,
            );
        }
        Expr::Function(call) => (call.name.to_string().to_ascii_uppercase(), arguments(call)),
        _ => {
            return Err(invalid(
                "PARTITION BY expression must be a column or one of the functions for it",
            )
            .at(by));
        }
    };
    let column = match arguments.first() {
        Some(Expr::Identifier(column)) => column.value.as_str(),
        _ => return Err(invalid("PARTITION BY expression must name a column").at(by)),
    };
    let unit = arguments
        .get(1)
        .map(|unit| unit.to_string().to_ascii_uppercase());
    let unit = match unit.as_deref() {
        Some("HOUR") => Some(TimeUnit::Hour),
        Some("DAY") => Some(TimeUnit::Day),
        Some("MONTH") => Some(TimeUnit::Month),
        Some("YEAR") => Some(TimeUnit::Year),
        _ => None,
    };
    match (name.as_str(), unit) {
        ("DATE", None) if arguments.len() == 1 => {
            by_column(table, Some(column), TimeUnit::Day, None, by)
        }
        ("TIMESTAMP_TRUNC", Some(unit)) => {
            by_column(table, Some(column), unit, Some(&Type::Timestamp), by)
        }
        ("DATETIME_TRUNC", Some(unit)) => {
            by_column(table, Some(column), unit, Some(&Type::DateTime), by)
        }
        ("DATE_TRUNC", Some(unit)) if unit != TimeUnit::Hour => {
            by_column(table, Some(column), unit, Some(&Type::Date), by)
        }
        ("RANGE_BUCKET", None) => by_range(table, column, arguments.get(1), by),
        _ => Err(
            invalid("PARTITION BY expression is not one of the forms that are supported").at(by),
        ),
    }
}

fn arguments(call: &ast::Function) -> Vec<Expr> {
    let FunctionArguments::List(list) = &call.args else {
        return Vec::new();
    };
    let plain = list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    plain.collect()
}

fn by_column(
    table: &mut Table,
    name: Option<&str>,
    unit: TimeUnit,
    kind: Option<&Type>,
    place: &Expr,
) -> Result<()> {
    let mut column = None;
    if let Some(name) = name.filter(|name| !name.starts_with("_PARTITION")) {
        let found = table.position(name).map(|found| &table.columns[found]);
        let found = found.ok_or_else(|| invalid(format!("Unrecognized name: {name}")).at(place))?;
        let right = match kind {
            Some(kind) => found.kind == *kind,
            // DATE(column) is for instants and civil times.
            None => matches!(found.kind, Type::Timestamp | Type::DateTime),
        };
        if !right || !may_partition(found) || found.mode == Mode::Repeated {
            return Err(invalid(format!(
                "PARTITION BY column {name} does not have the type that the expression takes"
            ))
            .at(place));
        }
        column = Some(found.name.clone());
    }
    table.partitioning = Some(Partitioning::Time {
        unit,
        column,
        expiration_ms: None,
        require_filter: false,
    });
    Ok(())
}

fn by_range(table: &mut Table, column: &str, range: Option<&Expr>, place: &Expr) -> Result<()> {
    let numbers: Vec<i64> = match range {
        Some(Expr::Function(call))
            if call.name.to_string().eq_ignore_ascii_case("GENERATE_ARRAY") =>
        {
            arguments(call)
                .iter()
                .filter_map(|number| number.to_string().parse().ok())
                .collect()
        }
        _ => Vec::new(),
    };
    let (Some(found), [start, end, interval]) = (table.position(column), numbers.as_slice()) else {
        return Err(
            invalid("RANGE_BUCKET takes a column and GENERATE_ARRAY of three numbers").at(place),
        );
    };
    if table.columns[found].kind != Type::Int64 || *interval < 1 || end <= start {
        return Err(invalid("RANGE_BUCKET takes an INT64 column and a range that grows").at(place));
    }
    table.partitioning = Some(Partitioning::Range {
        column: table.columns[found].name.clone(),
        start: *start,
        end: *end,
        interval: *interval,
    });
    Ok(())
}

/// CLUSTER BY.
pub(super) fn cluster(table: &mut Table, exprs: &[Expr]) -> Result<()> {
    if exprs.len() > 4 {
        return Err(invalid("CLUSTER BY takes up to 4 columns"));
    }
    let mut names = Vec::new();
    for expr in exprs {
        let name = match expr {
            Expr::Identifier(name) => &name.value,
            _ => return Err(invalid("CLUSTER BY takes columns").at(expr)),
        };
        let found = table.position(name).map(|found| &table.columns[found]);
        let found = found.ok_or_else(|| invalid(format!("Unrecognized name: {name}")).at(expr))?;
        if !may_cluster(found) {
            return Err(invalid(format!(
                "CLUSTER BY expression {name} has a type that cannot be clustered by"
            ))
            .at(expr));
        }
        names.push(found.name.clone());
    }
    table.clustering = names;
    Ok(())
}

/// OPTIONS of CREATE, and SET OPTIONS.
pub(super) fn set(table: &mut Table, options: &[SqlOption]) -> Result<()> {
    for option in options {
        let SqlOption::KeyValue { key, value } = option else {
            return Err(invalid(format!("Syntax error: Unexpected option {option}")));
        };
        let is_null = matches!(value, Expr::Value(value) if value.value == ast::Value::Null);
        let number = || {
            value
                .to_string()
                .parse::<f64>()
                .ok()
                .filter(|number| *number >= 0.0)
        };
        match key.to_string().to_ascii_lowercase().as_str() {
            "description" => table.description = text_of(value)?,
            "friendly_name" => table.record.friendly_name = text_of(value)?,
            "labels" => table.labels = labels(value)?,
            "max_staleness" => {
                table.max_staleness = if is_null {
                    None
                } else {
                    Some(staleness(value)?)
                };
            }
            "partition_expiration_days" => match &mut table.partitioning {
                Some(Partitioning::Time { expiration_ms, .. }) => {
                    *expiration_ms = number().map(|days| (days * DAY_MS as f64) as u64);
                }
                _ => {
                    return Err(invalid(
                        "partition_expiration_days is for tables partitioned by time",
                    ));
                }
            },
            "require_partition_filter" => match &mut table.partitioning {
                Some(Partitioning::Time { require_filter, .. }) => {
                    *require_filter = value.to_string().eq_ignore_ascii_case("true");
                }
                _ => {
                    return Err(invalid(
                        "require_partition_filter is for partitioned tables",
                    ));
                }
            },
            other => return Err(unsupported(format!("the option {other}"))),
        }
    }
    Ok(())
}

fn labels(value: &Expr) -> Result<std::collections::BTreeMap<String, String>> {
    let bad = || invalid("labels is an ARRAY<STRUCT<STRING, STRING>>");
    let Expr::Array(array) = value else {
        return Err(bad());
    };
    let mut labels = std::collections::BTreeMap::new();
    for element in &array.elem {
        let pair = match element {
            Expr::Tuple(pair) => pair,
            Expr::Struct { values, .. } => values,
            _ => return Err(bad()),
        };
        let [name, text] = pair.as_slice() else {
            return Err(bad());
        };
        let (Some(name), Some(text)) = (text_of(name)?, text_of(text)?) else {
            return Err(bad());
        };
        labels.insert(name, text);
    }
    Ok(labels)
}

/// An INTERVAL in the form of the REST API: `0-0 0 0:10:0`.
fn staleness(value: &Expr) -> Result<String> {
    let Expr::Interval(interval) = value else {
        return Err(invalid("max_staleness is an INTERVAL").at(value));
    };
    let count: Option<u64> = interval.value.to_string().parse().ok();
    let unit = interval
        .leading_field
        .as_ref()
        .map(|unit| unit.to_string().to_ascii_uppercase());
    match (count, unit.as_deref(), &interval.last_field) {
        (Some(count), Some("HOUR"), None) => Ok(format!("0-0 0 {count}:0:0")),
        (Some(count), Some("MINUTE"), None) => Ok(format!("0-0 0 {}:{}:0", count / 60, count % 60)),
        (Some(count), Some("SECOND"), None) => Ok(format!(
            "0-0 0 {}:{}:{}",
            count / 3600,
            count / 60 % 60,
            count % 60
        )),
        (Some(count), Some("DAY"), None) => Ok(format!("0-0 {count} 0:0:0")),
        _ => Err(unsupported("this INTERVAL as max_staleness").at(value)),
    }
}
