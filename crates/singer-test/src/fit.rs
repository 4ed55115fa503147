//! Whether a value fits a JSON schema: the words that taps use, read anew and on purpose not with the
//! code of the programs under test, which would excuse its own mistakes. Unknown words are ignored.

use serde_json::Value;

/// What is wrong with a value, without the value itself.
pub fn check(value: &Value, schema: &Value) -> Result<(), String> {
    at("record", value, schema)
}

fn at(place: &str, value: &Value, schema: &Value) -> Result<(), String> {
    check_type(place, value, schema)?;
    check_alternatives(place, value, schema)?;
    check_range(place, value, schema)?;
    if let (Some(text), Some(format)) =
        (value.as_str(), schema.get("format").and_then(Value::as_str))
        && !fits_format(text, format)
    {
        return Err(format!("{place} is no {format}"));
    }
    if let Some(object) = value.as_object() {
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, value) in object {
            match properties.and_then(|properties| properties.get(name)) {
                Some(schema) => at(&format!("{place}.{name}"), value, schema)?,
                None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                    return Err(format!("{place} has `{name}`, which the schema lacks"));
                }
                None => {}
            }
        }
        for name in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if name.as_str().is_some_and(|name| !object.contains_key(name)) {
                return Err(format!("{place} lacks {name}"));
            }
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
        for (index, item) in items.iter().enumerate() {
            at(&format!("{place}[{index}]"), item, schema)?;
        }
    }
    Ok(())
}

fn check_type(place: &str, value: &Value, schema: &Value) -> Result<(), String> {
    let types: Vec<&str> = match schema.get("type") {
        None => return Ok(()),
        Some(Value::String(word)) => vec![word],
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        Some(_) => return Err(format!("the schema of {place} has an odd type")),
    };
    if types.iter().any(|word| has_type(value, word)) {
        return Ok(());
    }
    Err(format!(
        "{place} is {} where {types:?} is declared",
        type_of(value)
    ))
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if is_whole(number) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn has_type(value: &Value, word: &str) -> bool {
    type_of(value) == word || (word == "number" && value.is_number())
}

fn is_whole(number: &serde_json::Number) -> bool {
    let text = number.to_string();
    number.is_i64()
        || number.is_u64()
        || text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn check_alternatives(place: &str, value: &Value, schema: &Value) -> Result<(), String> {
    match schema.get("anyOf").and_then(Value::as_array) {
        Some(schemas)
            if !schemas
                .iter()
                .any(|schema| at(place, value, schema).is_ok()) =>
        {
            Err(format!("{place} fits no alternative"))
        }
        _ => Ok(()),
    }
}

fn check_range(place: &str, value: &Value, schema: &Value) -> Result<(), String> {
    let Some(number) = value.as_f64() else {
        return Ok(());
    };
    let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
    if bound("minimum").is_some_and(|least| number < least) {
        return Err(format!("{place} is under the minimum"));
    }
    if bound("maximum").is_some_and(|most| number > most) {
        return Err(format!("{place} is over the maximum"));
    }
    Ok(())
}

fn fits_format(text: &str, format: &str) -> bool {
    match format {
        "date-time" => is_date_time(text),
        "date" => is_shape(text, "0000-00-00"),
        "time" => text.get(..8).is_some_and(|head| is_shape(head, "00:00:00")),
        _ => true,
    }
}

/// RFC 3339 with an offset.
fn is_date_time(text: &str) -> bool {
    let Some((head, rest)) = text.split_at_checked("0000-00-00T00:00:00".len()) else {
        return false;
    };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let rest = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            if rest.len() == fraction.len() {
                return false;
            }
            rest
        }
        None => rest,
    };
    is_shape(head, "0000-00-00T00:00:00")
        && (rest == "Z" || is_shape(rest, "+00:00") || is_shape(rest, "-00:00"))
}

/// Whether a text is a shape in which `0` stands for any digit.
fn is_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                _ => byte == wanted,
            })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fitting_values_pass() {
        let schema = json!({"type": "object", "properties": {
            "n": {"type": ["null", "integer"], "minimum": 0}, "x": {"type": "number"},
            "t": {"type": "string", "format": "date-time"}, "d": {"type": "string", "format": "date"},
            "l": {"type": "array", "items": {"type": "string"}}, "any": {},
            "u": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}}});
        for record in [
            json!({"n": null, "x": 1, "t": "2026-01-01T00:00:00Z", "any": [1]}),
            json!({"n": 3, "x": 1.5, "t": "2026-01-01T00:00:00.123456+05:30", "d": "2026-01-01"}),
            json!({"l": ["a"], "u": null}),
        ] {
            check(&record, &schema).unwrap();
        }
    }

    #[test]
    fn each_misfit_is_named() {
        for (schema, value) in [
            (json!({"type": "integer"}), json!(1.5)),
            (json!({"type": ["null", "string"]}), json!(1)),
            (json!({"type": "integer", "maximum": 5}), json!(6)),
            (
                json!({"type": "string", "format": "date-time"}),
                json!("2026-01-01T00:00:00"),
            ),
            (
                json!({"type": "string", "format": "date-time"}),
                json!("2026-01-01 00:00:00Z"),
            ),
            (
                json!({"type": "string", "format": "date-time"}),
                json!("2026-01-01T00:00:00.Z"),
            ),
            (
                json!({"type": "array", "items": {"type": "string"}}),
                json!(["a", 1]),
            ),
            (json!({"required": ["id"]}), json!({})),
            (
                json!({"properties": {}, "additionalProperties": false}),
                json!({"a": 1}),
            ),
            (
                json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
                json!(1),
            ),
        ] {
            check(&value, &schema).unwrap_err();
        }
    }
}
