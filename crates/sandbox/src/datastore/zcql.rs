//! ZCQL: one SELECT on one table, within the limits of the service. Facts: section 2.5.

mod parse;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::Value;

use self::parse::{Expression, Function, Item, Literal, RawTest, Select};
use super::DataStore;
use super::answer::{Answer, ApiError, success_text};
use super::column::DataType;
use super::condition::{Condition, Operand, Test, operand, order_of};
use super::options::Written;
use super::render::Style;
use super::table::{Place, Row, Scalar, Table};
use super::zone::Zone;
use crate::text::push_text;

const SCOPE: &[&str] = &["ZohoCatalyst.zcql.CREATE"];

/// Rows of one answer.
const ROWS: usize = 300;

/// Columns that one query may name.
const COLUMNS: usize = 20;

pub(super) async fn query(
    State(datastore): State<Arc<DataStore>>,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let context = datastore.enter(&project, &headers, SCOPE)?;
    let body: Value = serde_json::from_slice(&body)
        .map_err(|_| ApiError::invalid("The request body is not valid JSON"))?;
    let text = body["query"]
        .as_str()
        .ok_or_else(|| ApiError::new(400, "MISSING_VALUE", "query is missing"))?;
    let select = parse::parse(text)?;
    let store = datastore.look();
    let table = store
        .tables(context.environment)
        .iter()
        .find(|table| table.name == select.table)
        .ok_or_else(|| ApiError::query(format!("No such Table {} exists", select.table)))?;
    let data = run(
        &select,
        table,
        &context.style,
        datastore.options.limit_origin,
    )?;
    Ok(success_text(&data, ""))
}

/// The rows of a query as a JSON array.
fn run(
    select: &Select,
    table: &Table,
    style: &Style,
    limit_origin: usize,
) -> Result<String, ApiError> {
    let condition = match &select.condition {
        Some(expression) => Some(bind(expression, table)?),
        None => None,
    };
    let matching = table.rows().iter().filter(|row| {
        let condition = condition.as_ref();
        condition.is_none_or(|condition| condition.holds(table, row, style.zone))
    });
    if select
        .items
        .iter()
        .any(|item| matches!(item, Item::Call { .. }))
    {
        let rows: Vec<&Row> = matching.collect();
        return aggregate(select, table, &rows, style);
    }
    let places = places_of(select, table)?;
    let (offset, count) = window(select, limit_origin)?;
    let order = order_by(select, table)?;
    let rows: Vec<&Row> = if order.is_empty() {
        matching.skip(offset).take(count).collect()
    } else {
        let mut rows: Vec<&Row> = matching.collect();
        rows.sort_by(|left, right| compare(table, &order, style.zone, left, right));
        rows.into_iter().skip(offset).take(count).collect()
    };
    let mut data = String::from("[");
    for (number, row) in rows.into_iter().enumerate() {
        if number > 0 {
            data.push(',');
        }
        data.push('{');
        push_text(&mut data, &table.name);
        data.push(':');
        style.object(&mut data, table, row, &places);
        data.push('}');
    }
    data.push(']');
    Ok(data)
}

fn places_of(select: &Select, table: &Table) -> Result<Vec<Place>, ApiError> {
    let mut places = Vec::new();
    let mut named = 0;
    for item in &select.items {
        match item {
            Item::All => places.extend(table.places()),
            Item::Column(name) => {
                named += 1;
                places.push(place(table, name)?);
            }
            Item::Call { .. } => {}
        }
    }
    if named > COLUMNS {
        return Err(ApiError::query(format!(
            "A maximum of {COLUMNS} columns can be selected in a query"
        )));
    }
    Ok(places)
}

/// How many rows are left out, and how many are answered.
fn window(select: &Select, limit_origin: usize) -> Result<(usize, usize), ApiError> {
    let Some((offset, count)) = select.limit else {
        return Ok((0, ROWS));
    };
    if count > ROWS {
        return Err(ApiError::query(format!(
            "The maximum number of rows in a query is {ROWS}"
        )));
    }
    let offset = offset.map_or(0, |offset| offset.saturating_sub(limit_origin));
    Ok((offset, count))
}

fn order_by(select: &Select, table: &Table) -> Result<Vec<(Place, bool)>, ApiError> {
    let order = select.order.iter();
    order
        .map(|(name, is_descending)| Ok((place(table, name)?, *is_descending)))
        .collect()
}

fn compare(
    table: &Table,
    order: &[(Place, bool)],
    zone: Zone,
    left: &Row,
    right: &Row,
) -> std::cmp::Ordering {
    let by = |(place, is_descending): &(Place, bool)| {
        let order = order_of(
            &table.scalar(left, *place, zone),
            &table.scalar(right, *place, zone),
        );
        if *is_descending {
            order.reverse()
        } else {
            order
        }
    };
    let unequal = order.iter().map(by).find(|order| order.is_ne());
    unequal.unwrap_or_else(|| left.id.cmp(&right.id))
}

/// The one row of a query with COUNT, MAX or MIN, keyed by the texts of its calls.
fn aggregate(
    select: &Select,
    table: &Table,
    rows: &[&Row],
    style: &Style,
) -> Result<String, ApiError> {
    let mut data = String::from("[{");
    push_text(&mut data, &table.name);
    data.push_str(":{");
    for (number, item) in select.items.iter().enumerate() {
        let Item::Call {
            function,
            column,
            text,
        } = item
        else {
            return Err(ApiError::query(
                "columns beside a function need a GROUP BY clause",
            ));
        };
        if number > 0 {
            data.push(',');
        }
        push_text(&mut data, text);
        data.push(':');
        let place = match column {
            Some(column) => Some(place(table, column)?),
            None => None,
        };
        call(&mut data, *function, place, table, rows, style);
    }
    data.push_str("}}]");
    Ok(data)
}

fn call(
    data: &mut String,
    function: Function,
    place: Option<Place>,
    table: &Table,
    rows: &[&Row],
    style: &Style,
) {
    let Some(place) = place else {
        push_count(data, rows.len(), style);
        return;
    };
    let known = rows
        .iter()
        .filter(|row| table.scalar(row, place, style.zone) != Scalar::Null);
    let by_value = |left: &&&Row, right: &&&Row| {
        order_of(
            &table.scalar(left, place, style.zone),
            &table.scalar(right, place, style.zone),
        )
    };
    let found = match function {
        Function::Count => {
            push_count(data, known.count(), style);
            return;
        }
        Function::Max => known.max_by(by_value),
        Function::Min => known.min_by(by_value),
    };
    match found {
        None => data.push_str("null"),
        Some(row) => {
            let mut object = String::new();
            style.object(&mut object, table, row, &[place]);
            // The object has the one value behind its name.
            let value: Value = serde_json::from_str(&object).unwrap_or_default();
            data.push_str(&value[table.name_of(place)].to_string());
        }
    }
}

fn push_count(data: &mut String, count: usize, style: &Style) {
    match style.ids {
        Written::Json => data.push_str(&count.to_string()),
        Written::Text => push_text(data, &count.to_string()),
    }
}

/// Gives an expression the columns and the types of its table.
fn bind(expression: &Expression, table: &Table) -> Result<Condition, ApiError> {
    let all = |parts: &[Expression]| -> Result<Vec<Condition>, ApiError> {
        parts.iter().map(|part| bind(part, table)).collect()
    };
    Ok(match expression {
        Expression::All(parts) => Condition::All(all(parts)?),
        Expression::Any(parts) => Condition::Any(all(parts)?),
        Expression::Test {
            column,
            is_negated,
            test,
        } => {
            let place = place(table, column)?;
            let value = |literal: &Literal| value_of(table, place, literal);
            let test = match test {
                RawTest::Null => Test::Null,
                RawTest::Compare(comparison, literal) => {
                    Test::Compare(*comparison, value(literal)?)
                }
                RawTest::In(literals) => {
                    Test::In(literals.iter().map(value).collect::<Result<_, _>>()?)
                }
                RawTest::Between(low, high) => Test::Between(value(low)?, value(high)?),
                RawTest::Like(pattern) => {
                    Test::Like(pattern.split('*').map(str::to_owned).collect())
                }
            };
            let is_null = matches!(test, Test::Null);
            let asked = Condition::Column(place, test);
            match (is_negated, is_null) {
                (false, _) => asked,
                (true, true) => Condition::Not(Box::new(asked)),
                // A null is neither in a list nor out of it.
                (true, false) => Condition::All(vec![
                    Condition::Not(Box::new(asked)),
                    Condition::Not(Box::new(Condition::Column(place, Test::Null))),
                ]),
            }
        }
    })
}

fn value_of(table: &Table, place: Place, literal: &Literal) -> Result<Operand, ApiError> {
    let data_type = table.type_of(place);
    let text = match (literal, data_type) {
        (Literal::Bool(text), DataType::Boolean) => Some(*text),
        (_, DataType::Boolean) | (Literal::Bool(_), _) => None,
        (Literal::Text(text), _) => Some(text.as_str()),
        // Only numbers may stand without quotes.
        (
            Literal::Number(text),
            DataType::Int
            | DataType::BigInt
            | DataType::ForeignKey
            | DataType::Double
            | DataType::Decimal,
        ) => Some(text.as_str()),
        (Literal::Number(_), _) => None,
    };
    text.and_then(|text| operand(table, place, text))
        .ok_or_else(|| {
            ApiError::query(format!(
                "Invalid input value for column {}. {} value expected",
                table.name_of(place),
                data_type.name()
            ))
        })
}

fn place(table: &Table, name: &str) -> Result<Place, ApiError> {
    table
        .place(name)
        .ok_or_else(|| ApiError::query(format!("Unknown column {name}")))
}
