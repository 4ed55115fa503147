//! Values to JSON: as the REST API answers rows, and as plain objects for dumps.

use serde_json::{Map, Value as Json, json};

use super::base64;
use super::literal;
use super::table::{Column, Mode, Row, Type};
use super::value::Value;

/// How the REST API writes instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instants {
    /// Seconds as a float.
    Seconds,
    /// Microseconds, as `formatOptions.useInt64Timestamp` asks for.
    Micros,
}

/// A row as `{"f": [{"v": …}]}`.
pub(crate) fn wire_row(row: &Row, columns: &[Column], instants: Instants) -> Json {
    let empty = Value::Null;
    let cells = columns.iter().enumerate().map(|(place, column)| {
        let value = row.values.get(place).unwrap_or(&empty);
        json!({"v": wire(value, column, instants)})
    });
    json!({"f": cells.collect::<Vec<_>>()})
}

/// A row as an object of its columns.
pub(crate) fn plain_row(row: &Row, columns: &[Column]) -> Json {
    Json::Object(plain_fields(&row.values, columns))
}

fn plain_fields(values: &[Value], columns: &[Column]) -> Map<String, Json> {
    let empty = Value::Null;
    let field = |(place, column): (usize, &Column)| {
        let value = values.get(place).unwrap_or(&empty);
        (column.name.clone(), plain(value, column))
    };
    columns.iter().enumerate().map(field).collect()
}

/// A value for a reader: numbers as numbers where JSON holds them, instants as RFC 3339.
pub(crate) fn plain(value: &Value, column: &Column) -> Json {
    match value {
        // An absent array reads back as an empty one.
        Value::Null if column.mode == Mode::Repeated => json!([]),
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int64(value) => json!(value),
        Value::Float64(value) if value.is_finite() => json!(value),
        Value::Json(text) => serde_json::from_str(text).unwrap_or(Json::Null),
        Value::Array(values) => values
            .iter()
            .map(|value| plain(value, column))
            .collect::<Vec<_>>()
            .into(),
        Value::Struct(values) => match &column.kind {
            Type::Struct(columns) => Json::Object(plain_fields(values, columns)),
            _ => Json::Null,
        },
        other => json!(text(other)),
    }
}

fn wire(value: &Value, column: &Column, instants: Instants) -> Json {
    match value {
        Value::Null if column.mode == Mode::Repeated => json!([]),
        Value::Null => Json::Null,
        Value::Timestamp(micros) => match instants {
            Instants::Micros => json!(micros.to_string()),
            Instants::Seconds => json!(seconds(*micros)),
        },
        Value::Array(values) => {
            let element = |value| json!({"v": wire(value, column, instants)});
            values.iter().map(element).collect::<Vec<_>>().into()
        }
        Value::Struct(values) => match &column.kind {
            Type::Struct(columns) => {
                let row = Row::new(values.clone());
                wire_row(&row, columns, instants)
            }
            _ => Json::Null,
        },
        other => json!(text(other)),
    }
}

/// A plain value as text.
pub(crate) fn text(value: &Value) -> String {
    let or_empty = |text: Option<String>| text.unwrap_or_default();
    match value {
        Value::Null | Value::Array(_) | Value::Struct(_) => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Int64(value) => value.to_string(),
        Value::Float64(value) if value.is_nan() => "NaN".to_owned(),
        Value::Float64(value) if value.is_infinite() && *value > 0.0 => "Infinity".to_owned(),
        Value::Float64(value) if value.is_infinite() => "-Infinity".to_owned(),
        Value::Float64(value) => json!(value).to_string(),
        Value::Numeric(text) | Value::String(text) | Value::Json(text) => text.clone(),
        Value::Bytes(bytes) => base64::encode(bytes),
        Value::Timestamp(micros) => or_empty(literal::format_timestamp(*micros)),
        Value::Date(days) => or_empty(literal::format_date(*days)),
        Value::Time(micros) => literal::format_time(*micros),
        Value::DateTime(micros) => or_empty(literal::format_datetime(*micros)),
    }
}

/// Seconds in the form of a float with an exponent.
fn seconds(micros: i64) -> String {
    let text = format!("{:E}", micros as f64 / 1e6);
    let (mantissa, exponent) = text.split_once('E').unwrap_or((&text, "0"));
    if mantissa.contains('.') {
        format!("{mantissa}E{exponent}")
    } else {
        format!("{mantissa}.0E{exponent}")
    }
}

/// Bytes of a value, as the service counts the size of a table.
pub(crate) fn logical_bytes(value: &Value) -> u64 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int64(_)
        | Value::Float64(_)
        | Value::Timestamp(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::DateTime(_) => 8,
        Value::Numeric(_) => 16,
        Value::String(text) | Value::Json(text) => 2 + text.len() as u64,
        Value::Bytes(bytes) => 2 + bytes.len() as u64,
        Value::Array(values) | Value::Struct(values) => values.iter().map(logical_bytes).sum(),
    }
}

/// Bytes of some rows.
pub(crate) fn rows_bytes(rows: &[Row]) -> u64 {
    rows.iter()
        .flat_map(|row| &row.values)
        .map(logical_bytes)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_values_are_texts_and_plain_ones_are_not() {
        let columns = [
            Column::new("id", Type::Int64, Mode::Required),
            Column::new("at", Type::Timestamp, Mode::Nullable),
            Column::new("tags", Type::String, Mode::Repeated),
            Column::new(
                "r",
                Type::Struct(vec![Column::new("x", Type::Float64, Mode::Nullable)]),
                Mode::Nullable,
            ),
            Column::new("late", Type::String, Mode::Nullable),
        ];
        let row = Row::new(vec![
            Value::Int64(7),
            Value::Timestamp(1_767_225_600_000_000),
            Value::Array(vec![Value::String("a".to_owned())]),
            Value::Struct(vec![Value::Float64(1.5)]),
        ]);
        assert_eq!(
            wire_row(&row, &columns, Instants::Seconds),
            json!({"f": [{"v": "7"}, {"v": "1.7672256E9"}, {"v": [{"v": "a"}]},
                {"v": {"f": [{"v": "1.5"}]}}, {"v": null}]})
        );
        assert_eq!(
            plain_row(&row, &columns),
            json!({"id": 7, "at": "2026-01-01T00:00:00Z", "tags": ["a"], "r": {"x": 1.5}, "late": null})
        );
    }
}
