//! One value against the shape of its setting: problems with key, place and kind, never the value.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde_json::{Map, Number, Value};
use singer_core::nearest::nearest;
use singer_core::{Error, Result};

use crate::setting::{Flag, Setting, Shape};

/// One thing that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The key that it is about, with the keys around it; empty if it is about none.
    pub(super) key: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// No problem is fine; one is the error; of many the error names the number, and each is a cause.
pub(super) fn all_of(problems: Vec<Problem>, subject: &str) -> Result<()> {
    let count = problems.len();
    let causes = problems
        .into_iter()
        .rev()
        .fold(None, |inner: Option<Error>, problem| {
            let mut error = Error::config(problem.message);
            if let Some(hint) = problem.hint {
                error = error.with_hint(hint);
            }
            Some(match inner {
                Some(inner) => error.with_source(inner),
                None => error,
            })
        });
    match causes {
        None => Ok(()),
        Some(only) if count == 1 => Err(only),
        Some(first) => {
            Err(Error::config(format!("{subject} has {count} problems")).with_source(first))
        }
    }
}

/// The keys of one object that pass, their values in the form that serde expects.
pub(super) fn object(
    settings: &[Setting],
    object: Map<String, Value>,
    place: &str,
    problems: &mut Vec<Problem>,
) -> Map<String, Value> {
    members(settings, object, "", place, problems)
}

/// The value in the form that serde expects; `None` if it is null or a problem was found.
pub(super) fn value(
    shape: &Shape,
    value: Value,
    key: &str,
    place: &str,
    problems: &mut Vec<Problem>,
) -> Option<Value> {
    if value.is_null() {
        return None;
    }
    let found = kind_of(&value);
    let checked = match (shape, value) {
        (Shape::Any, value) => Some(value),
        (Shape::Text, value @ Value::String(_)) => Some(value),
        (Shape::Word(words), Value::String(text)) => words
            .contains(&text.as_str())
            .then_some(Value::String(text)),
        (Shape::Secret, value) => is_secret(&value).then_some(value),
        (Shape::Integer, value) => integer(&value),
        (Shape::Number, value) => number(value),
        (Shape::Boolean, value) => boolean(&value),
        (Shape::DateTime, Value::String(text)) => date_time(&text).map(Value::String),
        (Shape::List(of), Value::Array(items)) => {
            let items = items.into_iter().enumerate().filter_map(|(index, item)| {
                self::value(of, item, &format!("{key}[{index}]"), place, problems)
            });
            return Some(Value::Array(items.collect()));
        }
        (Shape::Object(settings), Value::Object(object)) => {
            let object = members(settings, object, key, place, problems);
            return Some(Value::Object(object));
        }
        (Shape::Map(of), Value::Object(object)) => {
            let entries = object.into_iter().filter_map(|(name, item)| {
                let item = self::value(of, item, &format!("{key}.{name}"), place, problems)?;
                Some((name, item))
            });
            return Some(Value::Object(entries.collect()));
        }
        (Shape::Either(shapes), value) => return either(shapes, value, key, place, problems),
        _ => None,
    };
    if checked.is_none() {
        problems.push(Problem {
            key: key.to_owned(),
            message: format!("`{key}`{place} must be {}, found {found}", shape.noun()),
            hint: None,
        });
    }
    checked
}

/// Fills in defaults and collects the required keys that are not there, at every depth.
pub(super) fn complete(
    settings: &[Setting],
    values: &mut Map<String, Value>,
    prefix: &str,
    missing: &mut Vec<String>,
) {
    for setting in settings
        .iter()
        .filter(|setting| setting.flag != Flag::Switch)
    {
        let key = join(prefix, setting.name);
        if let Some(value) = values.get_mut(setting.name) {
            complete_value(&setting.shape, value, &key, missing);
        } else if let Some(default) = &setting.default {
            values.insert(setting.name.to_owned(), default.clone());
        } else if setting.required {
            missing.push(key);
        }
    }
}

/// What a value is called in an error.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn complete_value(shape: &Shape, value: &mut Value, key: &str, missing: &mut Vec<String>) {
    match (shape, value) {
        (Shape::Object(settings), Value::Object(object)) => {
            complete(settings, object, key, missing);
        }
        (Shape::Map(of), Value::Object(object)) => {
            for (name, item) in object.iter_mut() {
                complete_value(of, item, &join(key, name), missing);
            }
        }
        (Shape::List(of), Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                complete_value(of, item, &format!("{key}[{index}]"), missing);
            }
        }
        (Shape::Either(shapes), value) => {
            let fits = |shape: &&Shape| {
                let mut problems = Vec::new();
                self::value(shape, value.clone(), key, "", &mut problems);
                problems.is_empty()
            };
            if let Some(shape) = shapes.iter().find(fits) {
                complete_value(shape, value, key, missing);
            }
        }
        _ => {}
    }
}

fn members(
    settings: &[Setting],
    object: Map<String, Value>,
    prefix: &str,
    place: &str,
    problems: &mut Vec<Problem>,
) -> Map<String, Value> {
    let mut checked = Map::new();
    for (name, item) in object {
        let key = join(prefix, &name);
        let known = settings.iter().find(|setting| setting.name == name);
        match known {
            Some(setting) if setting.flag == Flag::Switch => problems.push(Problem {
                key: key.clone(),
                message: format!("`{key}`{place} is no key of the config"),
                hint: Some(format!(
                    "it is a switch of the command line: `--{}`",
                    name.replace('_', "-")
                )),
            }),
            Some(setting) => {
                if let Some(item) = value(&setting.shape, item, &key, place, problems) {
                    checked.insert(name, item);
                }
            }
            None => problems.push(unknown(&key, &name, settings, place)),
        }
    }
    checked
}

fn unknown(key: &str, name: &str, settings: &[Setting], place: &str) -> Problem {
    let names = settings
        .iter()
        .filter(|setting| setting.flag != Flag::Switch)
        .map(|setting| setting.name);
    let hint = match nearest(name, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known keys: {}", names.collect::<Vec<_>>().join(", ")),
    };
    Problem {
        key: key.to_owned(),
        message: format!("unknown key `{key}`{place}"),
        hint: Some(hint),
    }
}

/// The first shape that fits. If none does, the complaint is that of the alternative with the same
/// outer form, where there is one: it names the key inside that is wrong.
fn either(
    shapes: &[Shape],
    value: Value,
    key: &str,
    place: &str,
    problems: &mut Vec<Problem>,
) -> Option<Value> {
    let mut inner = None;
    for shape in shapes {
        let mut found = Vec::new();
        let checked = self::value(shape, value.clone(), key, place, &mut found);
        if found.is_empty() {
            return checked;
        }
        let same_form = matches!(
            (shape, &value),
            (Shape::Object(_) | Shape::Map(_), Value::Object(_))
                | (Shape::List(_), Value::Array(_))
        );
        if same_form && inner.is_none() {
            inner = Some(found);
        }
    }
    problems.extend(inner.unwrap_or_else(|| {
        let noun = Shape::Either(shapes.to_vec()).noun();
        vec![Problem {
            key: key.to_owned(),
            message: format!("`{key}`{place} must be {noun}, found {}", kind_of(&value)),
            hint: None,
        }]
    }));
    None
}

/// A key with the keys around it.
pub(super) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        return name.to_owned();
    }
    format!("{prefix}.{name}")
}

fn is_secret(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Object(form) => {
            form.len() == 1
                && form.iter().all(|(name, value)| {
                    ["env", "file", "command"].contains(&name.as_str()) && value.is_string()
                })
        }
        _ => false,
    }
}

fn integer(value: &Value) -> Option<Value> {
    match value {
        Value::Number(number) if !number.is_f64() => Some(value.clone()),
        Value::String(text) => {
            let text = text.trim();
            let number = text
                .parse::<i64>()
                .map(Number::from)
                .or_else(|_| text.parse::<u64>().map(Number::from));
            Some(Value::Number(number.ok()?))
        }
        _ => None,
    }
}

fn number(value: Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value),
        Value::String(_) => integer(&value).or_else(|| {
            let number = value.as_str()?.trim().parse().ok()?;
            Some(Value::Number(Number::from_f64(number)?))
        }),
        _ => None,
    }
}

fn boolean(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(_) => Some(value.clone()),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => {
            Some(Value::Bool(false))
        }
        _ => None,
    }
}

/// RFC 3339, and what older configs hold: a date alone, a time without offset (UTC), an offset with
/// a `Z` behind it.
fn date_time(text: &str) -> Option<String> {
    let text = text.trim();
    if DateTime::parse_from_rfc3339(text).is_ok() {
        return Some(text.to_owned());
    }
    let bare = text.strip_suffix('Z').unwrap_or(text);
    if DateTime::parse_from_rfc3339(bare).is_ok() {
        return Some(bare.to_owned());
    }
    let time = NaiveDateTime::parse_from_str(&bare.replace(' ', "T"), "%Y-%m-%dT%H:%M:%S%.f")
        .ok()
        .or_else(|| {
            NaiveDate::parse_from_str(bare, "%Y-%m-%d")
                .ok()?
                .and_hms_opt(0, 0, 0)
        })?;
    let time: DateTime<Utc> = time.and_utc();
    Some(time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}
