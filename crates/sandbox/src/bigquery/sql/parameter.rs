//! Query parameters, from the JSON of the REST API.

use serde_json::Value as Json;

use super::Parameter;
use super::cast::cast;
use super::error::{Result, invalid, unsupported};
use super::kind::Kind;
use crate::bigquery::base64;
use crate::bigquery::table::{Column, Mode, Type};
use crate::bigquery::value::Value;

/// Reads `[{"name": …, "parameterType": …, "parameterValue": …}]`; without names they are positional.
pub(super) fn read(parameters: &Json) -> Result<Vec<Parameter>> {
    let list = parameters.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(one).collect()
}

fn one(parameter: &Json) -> Result<Parameter> {
    let name = parameter["name"].as_str().filter(|name| !name.is_empty());
    let column = column(name.unwrap_or("parameter"), &parameter["parameterType"])?;
    Ok(Parameter {
        name: name.map(str::to_owned),
        value: value(&parameter["parameterValue"], &column)?,
        column,
    })
}

fn column(name: &str, written: &Json) -> Result<Column> {
    let text = written["type"].as_str().unwrap_or_default();
    let kind = match text.to_ascii_uppercase().as_str() {
        "ARRAY" => {
            let element = column(name, &written["arrayType"])?;
            if element.mode == Mode::Repeated {
                return Err(invalid("Arrays of arrays are not supported"));
            }
            return Ok(Column {
                mode: Mode::Repeated,
                ..element
            });
        }
        "STRUCT" | "RECORD" => {
            let fields = written["structTypes"].as_array();
            let fields = fields.map(Vec::as_slice).unwrap_or_default();
            let field = |field: &Json| {
                let name = field["name"].as_str().unwrap_or_default();
                column(name, &field["type"])
            };
            Type::Struct(fields.iter().map(field).collect::<Result<_>>()?)
        }
        "BOOL" | "BOOLEAN" => Type::Bool,
        "INT64" | "INTEGER" => Type::Int64,
        "FLOAT64" | "FLOAT" => Type::Float64,
        "NUMERIC" | "DECIMAL" => Type::Numeric,
        "BIGNUMERIC" | "BIGDECIMAL" => Type::BigNumeric,
        "STRING" => Type::String,
        "BYTES" => Type::Bytes,
        "TIMESTAMP" => Type::Timestamp,
        "DATE" => Type::Date,
        "TIME" => Type::Time,
        "DATETIME" => Type::DateTime,
        "JSON" => Type::Json,
        "" => return Err(invalid("Query parameter has no type")),
        other => return Err(unsupported(format!("parameters of type {other}"))),
    };
    Ok(Column::new(name, kind, Mode::Nullable))
}

fn value(given: &Json, column: &Column) -> Result<Value> {
    if column.mode == Mode::Repeated {
        let element = Column {
            mode: Mode::Nullable,
            ..column.clone()
        };
        let values = given["arrayValues"].as_array();
        let values = values.map(Vec::as_slice).unwrap_or_default();
        let values = values.iter().map(|given| value(given, &element));
        return Ok(Value::Array(values.collect::<Result<_>>()?));
    }
    if let Type::Struct(fields) = &column.kind {
        let values = &given["structValues"];
        if values.is_null() {
            return Ok(Value::Null);
        }
        let fields = fields
            .iter()
            .map(|field| value(&values[&field.name], field));
        return Ok(Value::Struct(fields.collect::<Result<_>>()?));
    }
    let text = match &given["value"] {
        Json::Null => return Ok(Value::Null),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let bad = || {
        invalid(format!(
            "Invalid value for query parameter of type {}",
            Kind::of_column(column)
        ))
    };
    match &column.kind {
        Type::String => Ok(Value::String(text)),
        Type::Json => super::json::normal(&text).map(Value::Json),
        Type::Bytes => base64::decode(&text).map(Value::Bytes).ok_or_else(bad),
        _ => cast(
            &Value::String(text),
            &Kind::String,
            &Kind::of_column(column),
        ),
    }
}
