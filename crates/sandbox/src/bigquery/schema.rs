//! Schemas as REST has them: `fields` to columns and back, and which change of a schema is allowed.
//! Facts: section 2, "Modes", "Names" and "Schema changes".

use serde_json::{Map, Value, json};

use super::answer::ApiError;
use super::name;
use super::table::{Column, Mode, Type};

/// Levels of RECORD in RECORD that a schema may have.
const DEEPEST: usize = 15;

/// Columns that a table may have.
const MOST_COLUMNS: usize = 10_000;

/// The columns of `{"fields": […]}`.
pub(crate) fn from_json(schema: &Value) -> Result<Vec<Column>, ApiError> {
    let Some(fields) = schema.get("fields").filter(|fields| !fields.is_null()) else {
        return Ok(Vec::new());
    };
    let columns = columns(fields, 1)?;
    if count(&columns) > MOST_COLUMNS {
        return Err(ApiError::invalid(format!(
            "Too many fields: {}. Maximum allowed field count: {MOST_COLUMNS}.",
            count(&columns)
        )));
    }
    Ok(columns)
}

/// `{"fields": […]}` of columns.
pub(crate) fn to_json(columns: &[Column]) -> Value {
    json!({"fields": columns.iter().map(column_to_json).collect::<Vec<_>>()})
}

/// The name of a type in a schema.
pub(crate) fn type_name(kind: &Type) -> &'static str {
    match kind {
        Type::Bool => "BOOLEAN",
        Type::Int64 => "INTEGER",
        Type::Float64 => "FLOAT",
        Type::Numeric => "NUMERIC",
        Type::BigNumeric => "BIGNUMERIC",
        Type::String => "STRING",
        Type::Bytes => "BYTES",
        Type::Timestamp => "TIMESTAMP",
        Type::Date => "DATE",
        Type::Time => "TIME",
        Type::DateTime => "DATETIME",
        Type::Json => "JSON",
        Type::Struct(_) => "RECORD",
    }
}

/// The name of a mode in a schema.
pub(crate) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Nullable => "NULLABLE",
        Mode::Required => "REQUIRED",
        Mode::Repeated => "REPEATED",
    }
}

/// What a new schema of an existing table may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// New columns, NULLABLE or REPEATED.
    pub(crate) additions: bool,
    /// REQUIRED to NULLABLE.
    pub(crate) relaxations: bool,
    /// Columns that the new schema leaves out stay as they are.
    pub(crate) omissions: bool,
}

/// What a `PATCH` or a `PUT` of a table may do.
pub(crate) const BY_PATCH: Allowed = Allowed {
    additions: true,
    relaxations: true,
    omissions: false,
};

/// The columns after a change, in the order of the old ones, with new ones at the end.
pub(crate) fn evolve(
    old: &[Column],
    new: &[Column],
    allowed: Allowed,
    table: &str,
) -> Result<Vec<Column>, ApiError> {
    let refuse = |what: String| {
        ApiError::invalid(format!(
            "Provided Schema does not match Table {table}. {what}"
        ))
    };
    let find = |columns: &[Column], name: &str| {
        columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name))
    };
    let mut evolved = Vec::with_capacity(new.len());
    for column in old {
        let Some(place) = find(new, &column.name) else {
            if allowed.omissions && column.mode != Mode::Required {
                evolved.push(column.clone());
                continue;
            }
            return Err(refuse(format!(
                "Field {} is missing in new schema",
                column.name
            )));
        };
        evolved.push(evolve_column(column, &new[place], allowed, table)?);
    }
    for column in new {
        if find(old, &column.name).is_some() {
            continue;
        }
        if !allowed.additions {
            return Err(refuse(format!(
                "Cannot add fields (field: {})",
                column.name
            )));
        }
        if column.mode == Mode::Required {
            return Err(refuse(format!(
                "Cannot add required fields to an existing schema. (field: {})",
                column.name
            )));
        }
        evolved.push(column.clone());
    }
    Ok(evolved)
}

fn evolve_column(
    old: &Column,
    new: &Column,
    allowed: Allowed,
    table: &str,
) -> Result<Column, ApiError> {
    let refuse = |what: String| {
        ApiError::invalid(format!(
            "Provided Schema does not match Table {table}. {what}"
        ))
    };
    let kind = match (&old.kind, &new.kind) {
        (Type::Struct(old), Type::Struct(new)) => Type::Struct(evolve(old, new, allowed, table)?),
        (old_kind, new_kind) if old_kind == new_kind => old_kind.clone(),
        (old_kind, new_kind) => {
            return Err(refuse(format!(
                "Field {} has changed type from {} to {}",
                old.name,
                type_name(old_kind),
                type_name(new_kind)
            )));
        }
    };
    let mode = match (old.mode, new.mode) {
        (old_mode, new_mode) if old_mode == new_mode => old_mode,
        (Mode::Required, Mode::Nullable) if allowed.relaxations => Mode::Nullable,
        // A load that does not say REQUIRED again changes nothing.
        (Mode::Nullable, Mode::Required) if allowed.omissions => Mode::Nullable,
        (old_mode, new_mode) => {
            return Err(refuse(format!(
                "Field {} has changed mode from {} to {}",
                old.name,
                mode_name(old_mode),
                mode_name(new_mode)
            )));
        }
    };
    Ok(Column {
        name: old.name.clone(),
        kind,
        mode,
        description: new.description.clone().or_else(|| old.description.clone()),
        digits: new.digits.or(old.digits),
        max_length: new.max_length.or(old.max_length),
    })
}

fn count(columns: &[Column]) -> usize {
    columns
        .iter()
        .map(|column| match &column.kind {
            Type::Struct(fields) => 1 + count(fields),
            _ => 1,
        })
        .sum()
}

fn columns(fields: &Value, depth: usize) -> Result<Vec<Column>, ApiError> {
    let Some(fields) = fields.as_array() else {
        return Err(ApiError::invalid("Invalid value for: fields is not a list"));
    };
    if depth > DEEPEST {
        return Err(ApiError::invalid(format!(
            "Schema is nested too deeply: at most {DEEPEST} levels are allowed."
        )));
    }
    let mut columns: Vec<Column> = Vec::with_capacity(fields.len());
    for field in fields {
        let column = column(field, depth)?;
        if columns
            .iter()
            .any(|known| known.name.eq_ignore_ascii_case(&column.name))
        {
            return Err(ApiError::invalid(format!(
                "Duplicate field name: {}",
                column.name
            )));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn column(field: &Value, depth: usize) -> Result<Column, ApiError> {
    let Some(name) = field.get("name").and_then(Value::as_str) else {
        return Err(ApiError::invalid("Field is missing required property name"));
    };
    name::check_column(name)?;
    if field.get("defaultValueExpression").is_some() {
        return Err(ApiError::not_simulated("default values of columns"));
    }
    let description = field.get("description").and_then(Value::as_str);
    if description.is_some_and(|text| text.chars().count() > 1024) {
        return Err(ApiError::invalid(format!(
            "The description of field {name} is too long: at most 1024 characters are allowed."
        )));
    }
    let kind = kind(field, name, depth)?;
    let mode = match field.get("mode").and_then(Value::as_str) {
        None => Mode::Nullable,
        Some(mode) => match mode.to_ascii_uppercase().as_str() {
            "NULLABLE" | "" => Mode::Nullable,
            "REQUIRED" => Mode::Required,
            "REPEATED" => Mode::Repeated,
            _ => {
                return Err(ApiError::invalid(format!(
                    "Invalid value for mode: {mode} is not a valid value"
                )));
            }
        },
    };
    let precision = number(field, "precision")?;
    let scale = number(field, "scale")?;
    let digits = digits(&kind, precision, scale, name)?;
    let max_length = number(field, "maxLength")?;
    if max_length == Some(0) || (max_length.is_some() && !holds_length(&kind)) {
        return Err(ApiError::invalid(format!(
            "Field {name} cannot have a maxLength of this value or type."
        )));
    }
    Ok(Column {
        description: description.map(str::to_owned),
        digits,
        max_length,
        ..Column::new(name, kind, mode)
    })
}

fn holds_length(kind: &Type) -> bool {
    matches!(kind, Type::String | Type::Bytes)
}

fn kind(field: &Value, name: &str, depth: usize) -> Result<Type, ApiError> {
    let Some(text) = field.get("type").and_then(Value::as_str) else {
        return Err(ApiError::invalid(format!(
            "Field {name} is missing required property type"
        )));
    };
    Ok(match text.to_ascii_uppercase().as_str() {
        "STRING" => Type::String,
        "BYTES" => Type::Bytes,
        "INTEGER" | "INT64" => Type::Int64,
        "FLOAT" | "FLOAT64" => Type::Float64,
        "BOOLEAN" | "BOOL" => Type::Bool,
        "TIMESTAMP" => Type::Timestamp,
        "DATE" => Type::Date,
        "TIME" => Type::Time,
        "DATETIME" => Type::DateTime,
        "NUMERIC" => Type::Numeric,
        "BIGNUMERIC" => Type::BigNumeric,
        "JSON" => Type::Json,
        "RECORD" | "STRUCT" => {
            let fields = columns(field.get("fields").unwrap_or(&Value::Null), depth + 1)
                .map_err(|_| record_error(field, name, depth))?;
            if fields.is_empty() {
                return Err(record_error(field, name, depth));
            }
            Type::Struct(fields)
        }
        known @ ("GEOGRAPHY" | "INTERVAL" | "RANGE") => {
            return Err(ApiError::not_simulated(format!("columns of type {known}")));
        }
        _ => {
            return Err(ApiError::invalid(format!(
                "Invalid value for type: {text} is not a valid value"
            )));
        }
    })
}

/// What is wrong inside a RECORD, or that nothing is inside.
fn record_error(field: &Value, name: &str, depth: usize) -> ApiError {
    match field.get("fields").map(|fields| columns(fields, depth + 1)) {
        Some(Err(error)) => error,
        _ => ApiError::invalid(format!("Field {name} is type RECORD but has no schema")),
    }
}

/// A 64-bit number, which this API writes as text.
fn number<Number: std::str::FromStr>(field: &Value, key: &str) -> Result<Option<Number>, ApiError> {
    let text = match field.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    text.parse()
        .map(Some)
        .map_err(|_| ApiError::invalid(format!("Invalid value for {key}: {text}")))
}

fn digits(
    kind: &Type,
    precision: Option<u32>,
    scale: Option<u32>,
    name: &str,
) -> Result<Option<(u32, u32)>, ApiError> {
    let (whole, most_scale) = match kind {
        Type::Numeric => (29, 9),
        Type::BigNumeric => (38, 38),
        _ if precision.is_some() || scale.is_some() => {
            return Err(ApiError::invalid(format!(
                "Field {name} cannot have a precision or scale: its type is no decimal one."
            )));
        }
        _ => return Ok(None),
    };
    let Some(precision) = precision else {
        return if scale.is_some() {
            Err(ApiError::invalid(format!(
                "Field {name} has a scale without a precision."
            )))
        } else {
            Ok(None)
        };
    };
    let scale = scale.unwrap_or(0);
    if scale > most_scale || precision < scale.max(1) || precision > whole + scale {
        return Err(ApiError::invalid(format!(
            "Field {name} has precision {precision} and scale {scale}, which its type does not allow."
        )));
    }
    Ok(Some((precision, scale)))
}

fn column_to_json(column: &Column) -> Value {
    let mut field = Map::new();
    field.insert("name".to_owned(), json!(column.name));
    field.insert("type".to_owned(), json!(type_name(&column.kind)));
    field.insert("mode".to_owned(), json!(mode_name(column.mode)));
    if let Some(description) = &column.description {
        field.insert("description".to_owned(), json!(description));
    }
    if let Some((precision, scale)) = column.digits {
        field.insert("precision".to_owned(), json!(precision.to_string()));
        if scale > 0 {
            field.insert("scale".to_owned(), json!(scale.to_string()));
        }
    }
    if let Some(length) = column.max_length {
        field.insert("maxLength".to_owned(), json!(length.to_string()));
    }
    if let Type::Struct(fields) = &column.kind {
        let fields = fields.iter().map(column_to_json).collect();
        field.insert("fields".to_owned(), Value::Array(fields));
    }
    Value::Object(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(fields: Value) -> Result<Vec<Column>, ApiError> {
        from_json(&json!({"fields": fields}))
    }

    #[test]
    fn a_schema_comes_back_with_the_older_type_names() {
        let fields = json!([
            {"name": "id", "type": "INT64", "mode": "REQUIRED", "description": "key"},
            {"name": "amount", "type": "NUMERIC", "precision": "20", "scale": "4"},
            {"name": "fields", "type": "STRUCT", "mode": "REPEATED", "fields": [
                {"name": "label", "type": "STRING", "maxLength": "10"}]},
        ]);
        let back = to_json(&parse(fields).unwrap());
        assert_eq!(back["fields"][0]["type"], "INTEGER");
        assert_eq!(back["fields"][1]["precision"], "20");
        assert_eq!(back["fields"][2]["fields"][0]["maxLength"], "10");
        assert_eq!(back["fields"][2]["fields"][0]["mode"], "NULLABLE");
    }

    #[test]
    fn bad_schemas_are_refused() {
        for fields in [
            json!([{"name": "a", "type": "TEXT"}]),
            json!([{"name": "a", "type": "STRING"}, {"name": "A", "type": "STRING"}]),
            json!([{"name": "r", "type": "RECORD"}]),
            json!([{"name": "r", "type": "RECORD", "fields": [{"name": "1", "type": "STRING"}]}]),
            json!([{"name": "a", "type": "NUMERIC", "precision": "40"}]),
            json!([{"name": "a", "type": "STRING", "precision": "1"}]),
        ] {
            assert_eq!(parse(fields.clone()).unwrap_err().code, 400, "{fields}");
        }
        let wide = json!([{"name": "a", "type": "GEOGRAPHY"}]);
        assert_eq!(parse(wide).unwrap_err().code, 501);
    }

    #[test]
    fn a_patch_adds_and_relaxes_and_nothing_else() {
        let old = parse(
            json!([{"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
            {"name": "r", "type": "RECORD", "fields": [{"name": "a", "type": "STRING"}]}]),
        )
        .unwrap();
        let patch = |fields: Value| evolve(&old, &parse(fields).unwrap(), BY_PATCH, "p:d.t");
        let nested = json!({"name": "r", "type": "RECORD", "fields": [
            {"name": "b", "type": "STRING"}, {"name": "a", "type": "STRING"}]});
        let evolved = patch(
            json!([nested, {"name": "ID", "type": "INTEGER"}, {"name": "x", "type": "DATE"}]),
        )
        .unwrap();
        let back = to_json(&evolved);
        assert_eq!(back["fields"][0]["name"], "id");
        assert_eq!(back["fields"][0]["mode"], "NULLABLE");
        assert_eq!(back["fields"][1]["fields"][1]["name"], "b");
        assert_eq!(back["fields"][2]["name"], "x");
        for fields in [
            json!([{"name": "id", "type": "INTEGER", "mode": "REQUIRED"}]),
            json!([nested, {"name": "id", "type": "STRING", "mode": "REQUIRED"}]),
            json!([nested, {"name": "id", "type": "INTEGER", "mode": "REPEATED"}]),
            json!([nested, {"name": "id", "type": "INTEGER"}, {"name": "x", "type": "DATE", "mode": "REQUIRED"}]),
        ] {
            assert_eq!(
                patch(fields.clone()).unwrap_err().reason,
                "invalid",
                "{fields}"
            );
        }
    }
}
