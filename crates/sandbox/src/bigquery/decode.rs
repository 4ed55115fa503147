//! Rows as JSON to values, strictly by the type of the column: for load jobs and for insertAll, which
//! differ in how a JSON column is written. Numbers are read from their text, with every digit.
//! Facts: section 3, and the messages of section 5.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::literal::{self, Decimal, Excess};
use super::table::{Column, Mode, Type};
use super::value::Value;
use super::{base64, schema};

/// How rows are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoder {
    /// insertAll takes a text with JSON in it for a JSON column, a load job the JSON itself.
    pub(crate) json: JsonForm,
    /// Fields that the table does not have are left out instead of refused.
    pub(crate) ignore_unknown: bool,
    /// What becomes of digits that NUMERIC has no place for.
    pub(crate) excess: Excess,
}

/// How a JSON column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonForm {
    Bare,
    Text,
}

/// What is wrong with a row: in which field, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) location: String,
    pub(crate) message: String,
}

/// An object whose values are still text, in the order in which they came.
pub(crate) struct Fields<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<From: Deserializer<'de>>(from: From) -> Result<Self, From::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<Map: MapAccess<'de>>(
                self,
                mut map: Map,
            ) -> Result<Fields<'de>, Map::Error> {
                let mut fields = Vec::with_capacity(map.size_hint().unwrap_or(16));
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }

        from.deserialize_map(Collect)
    }
}

/// A key that is copied only if it has escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<From: Deserializer<'de>>(from: From) -> Result<Self, From::Error> {
        struct Take;

        impl<'de> Visitor<'de> for Take {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<Error>(self, text: &'de str) -> Result<Key<'de>, Error> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<Error>(self, text: &str) -> Result<Key<'de>, Error> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }

        from.deserialize_str(Take)
    }
}

impl Decoder {
    /// One row from the text of its object.
    pub(crate) fn row(&self, text: &str, columns: &[Column]) -> Result<Vec<Value>, Flaw> {
        let fields: Fields<'_> = serde_json::from_str(text).map_err(|error| Flaw {
            location: String::new(),
            message: format!(
                "Parser terminated before end of string: {}",
                error_kind(&error)
            ),
        })?;
        let mut values = self.record(&fields, columns, "")?;
        values.shrink_to_fit();
        Ok(values)
    }

    fn record(
        &self,
        fields: &Fields<'_>,
        columns: &[Column],
        path: &str,
    ) -> Result<Vec<Value>, Flaw> {
        let mut values: Vec<Option<Value>> = vec![None; columns.len()];
        for (key, raw) in &fields.0 {
            let Some(place) = columns
                .iter()
                .position(|column| column.name.eq_ignore_ascii_case(key))
            else {
                if self.ignore_unknown {
                    continue;
                }
                let location = join(path, key);
                return Err(Flaw {
                    message: format!("No such field: {location}."),
                    location,
                });
            };
            let location = join(path, &columns[place].name);
            if values[place].is_some() {
                return Err(Flaw {
                    message: format!("Duplicate field: {location}."),
                    location,
                });
            }
            values[place] = Some(self.field(raw.get(), &columns[place], &location)?);
        }
        let complete = |(column, value): (&Column, Option<Value>)| match (value, column.mode) {
            (Some(value), _) => Ok(value),
            (None, Mode::Nullable) => Ok(Value::Null),
            (None, Mode::Repeated) => Ok(Value::Array(Vec::new())),
            (None, Mode::Required) => {
                let location = join(path, &column.name);
                Err(Flaw {
                    message: format!("Missing required field: {location}."),
                    location,
                })
            }
        };
        columns.iter().zip(values).map(complete).collect()
    }

    fn field(&self, text: &str, column: &Column, location: &str) -> Result<Value, Flaw> {
        if column.mode == Mode::Repeated {
            return self.repeated(text, column, location);
        }
        // JSON null in a JSON column of a load job is NULL as well.
        if text == "null" {
            return if column.mode == Mode::Required {
                Err(Flaw {
                    location: location.to_owned(),
                    message: format!(
                        "Only optional fields can be set to NULL. Field: {location}; Value: NULL"
                    ),
                })
            } else {
                Ok(Value::Null)
            };
        }
        self.single(text, column, location)
    }

    fn repeated(&self, text: &str, column: &Column, location: &str) -> Result<Value, Flaw> {
        let flaw = |message: &str| Flaw {
            location: location.to_owned(),
            message: format!("{message} Field: {location}."),
        };
        if text == "null" {
            return Err(flaw("Only optional fields can be set to NULL."));
        }
        let elements: Vec<&RawValue> = serde_json::from_str(text)
            .map_err(|_| flaw("Repeated field must be imported as a JSON array."))?;
        let element = |raw: &RawValue| {
            if raw.get() == "null" {
                Err(flaw("Null value in a repeated field is not allowed."))
            } else {
                self.single(raw.get(), column, location)
            }
        };
        elements
            .into_iter()
            .map(element)
            .collect::<Result<_, _>>()
            .map(Value::Array)
    }

    /// A value that is neither null nor one of many.
    fn single(&self, text: &str, column: &Column, location: &str) -> Result<Value, Flaw> {
        if let Type::Struct(columns) = &column.kind {
            let fields: Fields<'_> = serde_json::from_str(text).map_err(|_| Flaw {
                location: location.to_owned(),
                message: format!("This field: {location} is not a record."),
            })?;
            return self.record(&fields, columns, location).map(Value::Struct);
        }
        if column.kind == Type::Json {
            return self.json(text).ok_or_else(|| Flaw {
                location: location.to_owned(),
                message: format!("Invalid JSON value. Field: {location}."),
            });
        }
        if text.starts_with(['[', '{']) {
            return Err(Flaw {
                location: location.to_owned(),
                message: format!(
                    "Array or object specified for non-repeated field of a plain type: {location}."
                ),
            });
        }
        let quoted = text.starts_with('"');
        let plain: Cow<'_, str> = if quoted {
            serde_json::from_str::<Key<'_>>(text)
                .map(|key| key.0)
                .unwrap_or(Cow::Borrowed(text))
        } else {
            Cow::Borrowed(text)
        };
        let form = if quoted { Form::Quoted } else { Form::Bare };
        scalar(&plain, form, column, self.excess).ok_or_else(|| Flaw {
            location: location.to_owned(),
            // The service shows the value; a client has to keep it out of its log.
            message: format!(
                "Could not convert value to {}. Field: {location}; Value: {plain}",
                schema::type_name(&column.kind).to_ascii_lowercase()
            ),
        })
    }

    fn json(&self, text: &str) -> Option<Value> {
        match self.json {
            JsonForm::Bare => compact_json(text),
            JsonForm::Text if text.starts_with('"') => {
                let inner: String = serde_json::from_str(text).ok()?;
                compact_json(&inner)
            }
            JsonForm::Text => None,
        }
        .map(Value::Json)
    }
}

/// Whether a value stood in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Quoted,
    Bare,
}

/// A value of a plain type from its text; `None` if the type does not hold it.
pub(crate) fn scalar(text: &str, form: Form, column: &Column, excess: Excess) -> Option<Value> {
    let is_number = form == Form::Bare && !matches!(text, "true" | "false");
    Some(match &column.kind {
        Type::Bool => match text.to_ascii_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return None,
        },
        Type::Int64 => Value::Int64(text.parse().ok()?),
        Type::Float64 => Value::Float64(float(text)?),
        Type::Numeric | Type::BigNumeric => {
            Value::Numeric(literal::parse_decimal(text, decimal(column, excess))?)
        }
        Type::String => {
            let fits = column
                .max_length
                .is_none_or(|longest| text.chars().count() as u64 <= longest);
            Value::String(fits.then(|| text.to_owned())?)
        }
        Type::Bytes if form == Form::Quoted => {
            let bytes = base64::decode(text)?;
            let fits = column
                .max_length
                .is_none_or(|longest| bytes.len() as u64 <= longest);
            Value::Bytes(fits.then_some(bytes)?)
        }
        Type::Timestamp if is_number => Value::Timestamp(literal::parse_epoch_seconds(text)?),
        Type::Timestamp => Value::Timestamp(literal::parse_timestamp(text)?),
        Type::Date if form == Form::Quoted => Value::Date(literal::parse_date(text)?),
        Type::Time if form == Form::Quoted => Value::Time(literal::parse_time(text)?),
        Type::DateTime if form == Form::Quoted => Value::DateTime(literal::parse_datetime(text)?),
        Type::Bytes | Type::Date | Type::Time | Type::DateTime | Type::Json | Type::Struct(_) => {
            return None;
        }
    })
}

/// The digits that a decimal column holds.
pub(crate) fn decimal(column: &Column, excess: Excess) -> Decimal {
    let is_big = column.kind == Type::BigNumeric;
    // Too many digits for BIGNUMERIC are rounded without a word.
    let excess = if is_big { Excess::Round } else { excess };
    match column.digits {
        Some((precision, scale)) => Decimal {
            whole: (precision - scale) as usize,
            scale: scale as usize,
            excess,
        },
        None if is_big => Decimal {
            whole: 39,
            scale: 38,
            excess,
        },
        None => Decimal {
            whole: 29,
            scale: 9,
            excess,
        },
    }
}

/// JSON without white space between tokens; numbers beyond 64 bits become floats, as the service
/// keeps them.
pub(crate) fn compact_json(text: &str) -> Option<String> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    let text = value.get();
    let mut compact = String::with_capacity(text.len());
    let mut number = String::new();
    let mut in_text = false;
    let mut escaped = false;
    for character in text.chars() {
        if in_text {
            compact.push(character);
            in_text = escaped || character != '"';
            escaped = character == '\\' && !escaped;
            continue;
        }
        if matches!(character, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')
            && (!number.is_empty() || matches!(character, '0'..='9' | '-'))
        {
            number.push(character);
            continue;
        }
        push_number(&mut compact, &mut number);
        in_text = character == '"';
        if !character.is_ascii_whitespace() {
            compact.push(character);
        }
    }
    push_number(&mut compact, &mut number);
    Some(compact)
}

fn push_number(compact: &mut String, number: &mut String) {
    if number.is_empty() {
        return;
    }
    let is_whole = number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
    match number.parse::<f64>() {
        Ok(float) if !is_whole => {
            // The shortest text that gives the same float.
            compact.push_str(&serde_json::to_string(&float).unwrap_or_else(|_| number.clone()));
        }
        _ => compact.push_str(number),
    }
    number.clear();
}

fn float(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "infinity" | "+infinity" | "inf" | "+inf" => Some(f64::INFINITY),
        "-infinity" | "-inf" => Some(f64::NEG_INFINITY),
        lower if lower.contains(['i', 'n']) => None,
        _ => text.parse::<f64>().ok().filter(|float| float.is_finite()),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// What kind of error it is, without a part of the text.
fn error_kind(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "unexpected end",
        serde_json::error::Category::Data => "no object",
        _ => "no JSON",
    }
}

#[cfg(test)]
mod tests;
