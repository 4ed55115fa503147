//! COQL: one `select` on one module and what its lookups point to, within the limits of the service.
//! Facts: section 6.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::answer::{Answer, ApiError, json_text, nothing};
use super::bulk_read::json_object;
use super::column::{Column, Names};
use super::condition::{Comparison, Condition, Operand, Test, operand, order_of};
use super::module::Module;
use super::query::{Expression, RawTest, Select, parse};
use super::record_api::{object, readable};
use super::store::Store;
use super::table::Row;
use super::{Crm, credits};

const SCOPE: &[&str] = &["ZohoCRM.coql.READ"];

/// Rows of one answer: as many if nothing is said, and at most.
const USUAL_ROWS: usize = 200;
const MOST_ROWS: usize = 2_000;

/// Rows that are reached by the offset.
const REACHED: usize = 100_000;

const IN_VALUES: usize = 100;
const ORDER_BY: usize = 10;

pub(super) async fn query(
    State(crm): State<Arc<Crm>>,
    Path(version): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    crm.enter(&version, &headers, SCOPE, 0)?;
    // Zoho's own SDK does not say here that what it sends is JSON.
    let body = json_object(&body)?;
    let text = body["select_query"]
        .as_str()
        .ok_or_else(|| ApiError::field("MANDATORY_NOT_FOUND", "select_query"))?;
    let select = parse(text)?;
    let limit = select.limit.unwrap_or(USUAL_ROWS);
    if limit > MOST_ROWS {
        return Err(ApiError::limit("limit", MOST_ROWS));
    }
    if select.offset.saturating_add(limit) > REACHED {
        return Err(ApiError::limit("offset", REACHED));
    }
    let cost = match limit {
        0..=200 => credits::CALL,
        201..=1_000 => 2 * credits::CALL,
        _ => 3 * credits::CALL,
    };
    if !crm.credits().take(cost, crm.options.credits, crm.now_ms()) {
        return Err(ApiError::too_many());
    }
    let store = crm.look();
    let module = readable(&crm, &store, &select.module, &headers)?;
    let columns = columns_of(&store, module, &select, crm.options.coql_fields)?;
    let condition = bind(&store, module, &select.condition)?;
    let rows = rows_of(&store, module, &select, &condition)?;
    let rest = rows.get(select.offset..).unwrap_or_default();
    let shown = rest.get(..limit).unwrap_or(rest);
    if shown.is_empty() {
        return Ok(nothing());
    }
    let data: Vec<Value> = shown
        .iter()
        .map(|row| object(&store, module, row, &columns, crm.zone, Names::Left))
        .collect();
    let info = json!({"count": shown.len(), "more_records": rest.len() > shown.len()});
    Ok(json_text(json!({"data": data, "info": info}).to_string()))
}

fn column(store: &Store, module: &Module, name: &str) -> Result<Column, ApiError> {
    Column::of(store, module, name)
        .ok_or_else(|| ApiError::bad("INVALID_QUERY", json!({"column_name": name})))
}

fn columns_of(
    store: &Store,
    module: &Module,
    select: &Select,
    limit: usize,
) -> Result<Vec<(String, Column)>, ApiError> {
    if select.columns.len() > limit {
        return Err(ApiError::limit("select", limit));
    }
    let columns = select.columns.iter();
    let columns = columns.map(|name| Ok((name.clone(), column(store, module, name)?)));
    let mut columns = columns.collect::<Result<Vec<_>, ApiError>>()?;
    columns.retain(|(_, column)| *column != Column::Id);
    Ok(columns)
}

fn rows_of<'a>(
    store: &'a Store,
    module: &'a Module,
    select: &Select,
    condition: &Condition,
) -> Result<Vec<&'a Row>, ApiError> {
    if select.order.len() > ORDER_BY {
        return Err(ApiError::limit("order by", ORDER_BY));
    }
    let order = select.order.iter();
    let order =
        order.map(|(name, is_descending)| Ok((column(store, module, name)?, *is_descending)));
    let order = order.collect::<Result<Vec<_>, ApiError>>()?;
    let all = module.table.rows().iter();
    let mut rows: Vec<&Row> = all
        .filter(|row| condition.holds(store, module, row))
        .collect();
    rows.sort_by(|left, right| {
        order
            .iter()
            .map(|(column, is_descending)| {
                let value = |row| column.scalar(store, module, row);
                let order = order_of(&value(left), &value(right));
                if *is_descending {
                    order.reverse()
                } else {
                    order
                }
            })
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok(rows)
}

fn bind(store: &Store, module: &Module, expression: &Expression) -> Result<Condition, ApiError> {
    let parts = |parts: &[Expression]| {
        let parts = parts.iter().map(|part| bind(store, module, part));
        parts.collect::<Result<Vec<_>, _>>()
    };
    match expression {
        Expression::All(inner) => Ok(Condition::All(parts(inner)?)),
        Expression::Any(inner) => Ok(Condition::Any(parts(inner)?)),
        Expression::Test {
            column: name,
            is_negated,
            test,
        } => {
            let column = column(store, module, name)?;
            let tested = Condition::Column(column, test_of(store, module, name, column, test)?);
            Ok(if *is_negated {
                Condition::Not(Box::new(tested))
            } else {
                tested
            })
        }
    }
}

fn test_of(
    store: &Store,
    module: &Module,
    name: &str,
    column: Column,
    test: &RawTest,
) -> Result<Test, ApiError> {
    let kind = column.kind(store, module);
    let value = |text: &String| -> Result<Operand, ApiError> {
        operand(kind, text)
            .ok_or_else(|| ApiError::bad("INVALID_QUERY", json!({"column_name": name})))
    };
    Ok(match test {
        RawTest::Null => Test::Empty,
        RawTest::Compare(comparison, text) => Test::Compare(*comparison, value(text)?),
        RawTest::In(texts) if texts.len() > IN_VALUES => {
            return Err(ApiError::limit("in", IN_VALUES));
        }
        RawTest::In(texts) => Test::In(texts.iter().map(value).collect::<Result<_, _>>()?),
        RawTest::Between(low, high) => Test::Between(value(low)?, value(high)?),
        RawTest::Like(pattern) => {
            let begins = pattern.strip_prefix('%');
            let ends = pattern.strip_suffix('%');
            match (begins, ends) {
                (Some(begins), Some(_)) => {
                    Test::Contains(begins.strip_suffix('%').unwrap_or_default().to_owned())
                }
                (Some(end), None) => Test::EndsWith(end.to_owned()),
                (None, Some(start)) => Test::StartsWith(start.to_owned()),
                (None, None) => Test::Compare(Comparison::Equal, Operand::Text(pattern.clone())),
            }
        }
    })
}
