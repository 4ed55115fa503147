//! `_source`: which part of a document comes back. Facts: sections 3.1 and 4.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::answer::ApiError;

/// The part of a document that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Projection {
    Whole,
    Nothing,
    Part {
        /// Everything if empty.
        includes: Vec<String>,
        excludes: Vec<String>,
    },
}

impl Projection {
    /// Reads `_source`.
    pub(super) fn read(value: Option<&Value>) -> Result<Projection, ApiError> {
        Ok(match value {
            None | Some(Value::Bool(true)) => Projection::Whole,
            Some(Value::Bool(false)) => Projection::Nothing,
            Some(Value::Object(members)) => {
                super::query::known(members, &["includes", "include", "excludes", "exclude"])?;
                let list = |names: [&str; 2]| {
                    let value = names.into_iter().find_map(|name| members.get(name));
                    value.map_or(Ok(Vec::new()), names_of)
                };
                Projection::Part {
                    includes: list(["includes", "include"])?,
                    excludes: list(["excludes", "exclude"])?,
                }
            }
            Some(names) => Projection::Part {
                includes: names_of(names)?,
                excludes: Vec::new(),
            },
        })
    }

    /// The part of a document, of whose members names in quotes and values are given, as a text; `None`
    /// if none is wanted. What is wanted as a whole is not read.
    pub(super) fn of<'a>(
        &self,
        members: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<String> {
        let names = match self {
            Projection::Nothing => return None,
            Projection::Whole => None,
            Projection::Part { includes, excludes } => Some(Names { includes, excludes }),
        };
        let mut part = String::from("{");
        for (quoted, text) in members {
            let kept = match &names {
                None => Some(Cow::Borrowed(text)),
                Some(names) => names.member(&unquoted(quoted), text),
            };
            let Some(kept) = kept else { continue };
            if part.len() > 1 {
                part.push(',');
            }
            part.push_str(quoted);
            part.push(':');
            part.push_str(&kept);
        }
        part.push('}');
        Some(part)
    }
}

fn unquoted(name: &str) -> Cow<'_, str> {
    if name.contains('\\') {
        return serde_json::from_str(name).unwrap_or_default();
    }
    name.trim_matches('"').into()
}

fn names_of(value: &Value) -> Result<Vec<String>, ApiError> {
    let name = |value: &Value| {
        let name = value.as_str().map(str::to_owned);
        name.ok_or_else(|| ApiError::query("`_source` is no list of names"))
    };
    match value {
        Value::Array(items) => items.iter().map(name).collect(),
        other => Ok(vec![name(other)?]),
    }
}

/// The names of a part, while a document is walked through.
struct Names<'a> {
    includes: &'a [String],
    excludes: &'a [String],
}

impl Names<'_> {
    /// What is left of a member of a document.
    fn member<'a>(&self, name: &str, text: &'a str) -> Option<Cow<'a, str>> {
        let takes_all = self.includes.is_empty();
        let is_wanted = takes_all || names(self.includes, name);
        let is_touched = names(self.excludes, name) || reach_below(self.excludes, name);
        if is_wanted && !is_touched {
            return Some(text.into());
        }
        if !is_wanted && !reach_below(self.includes, name) {
            return None;
        }
        let value = serde_json::from_str(text).ok()?;
        let left = self.filter(value, name, takes_all)?;
        Some(left.to_string().into())
    }

    /// What is left of a value at a path; `None` if nothing is. `is_inside` says that something above it
    /// is wanted.
    fn filter(&self, value: Value, path: &str, is_inside: bool) -> Option<Value> {
        if names(self.excludes, path) {
            return None;
        }
        let is_wanted = is_inside || names(self.includes, path);
        if !is_wanted && !reach_below(self.includes, path) {
            return None;
        }
        match value {
            Value::Object(members) => {
                let was_empty = members.is_empty();
                let mut kept = Map::new();
                for (name, value) in members {
                    let below = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    if let Some(value) = self.filter(value, &below, is_wanted) {
                        kept.insert(name, value);
                    }
                }
                (!kept.is_empty() || (was_empty && is_wanted)).then_some(Value::Object(kept))
            }
            Value::Array(items) => {
                let was_empty = items.is_empty();
                let keep = |item: Value| self.filter(item, path, is_wanted);
                let kept: Vec<Value> = items.into_iter().filter_map(keep).collect();
                (!kept.is_empty() || (was_empty && is_wanted)).then_some(Value::Array(kept))
            }
            scalar => is_wanted.then_some(scalar),
        }
    }
}

/// Whether any pattern names a path; a star stands for any letters, dots too.
fn names(patterns: &[String], path: &str) -> bool {
    let is_named =
        |pattern: &String| pattern == path || (pattern.contains('*') && fits(pattern, path));
    !path.is_empty() && patterns.iter().any(is_named)
}

/// Whether any pattern may name something below a path.
fn reach_below(patterns: &[String], path: &str) -> bool {
    let reaches = |pattern: &String| {
        let rest = pattern.strip_prefix(path);
        pattern.contains('*') || rest.is_some_and(|rest| rest.starts_with('.'))
    };
    path.is_empty() || patterns.iter().any(reaches)
}

fn fits(pattern: &str, path: &str) -> bool {
    let letters = |text: &str| text.chars().collect::<Vec<char>>();
    super::matching::fits(&letters(pattern), &letters(path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(source: Value) -> Value {
        let document = json!({"fileId": "1", "file": {"version": "v", "size": 3},
            "data": {"runs": [{"a": 1, "b": 2}, {"b": 3}], "none": []}, "labels": []});
        let projection = Projection::read(Some(&source)).unwrap();
        let members = document.as_object().unwrap().iter();
        let texts: Vec<(String, String)> = members
            .map(|(name, value)| (json!(name).to_string(), value.to_string()))
            .collect();
        let texts = texts
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let part = projection.of(texts);
        part.map_or(Value::Null, |part| serde_json::from_str(&part).unwrap())
    }

    #[test]
    fn dotted_names_come_back_nested() {
        assert_eq!(
            part(json!(["fileId", "file.version"])),
            json!({"fileId": "1", "file": {"version": "v"}})
        );
        assert_eq!(
            part(json!("data.runs.a")),
            json!({"data": {"runs": [{"a": 1}]}})
        );
        assert_eq!(
            part(json!(["data"])),
            json!({"data": {"runs": [{"a": 1, "b": 2}, {"b": 3}], "none": []}})
        );
        assert_eq!(
            part(json!(["file.*", "nothing"])),
            json!({"file": {"version": "v", "size": 3}})
        );
        assert_eq!(part(json!(["nothing"])), json!({}));
        assert_eq!(part(json!(false)), Value::Null);
    }

    #[test]
    fn a_star_stands_for_any_letters() {
        let version = json!({"file": {"version": "v"}});
        for pattern in ["*.version", "file.v*n", "f*.version", "*ersion", "f*sion"] {
            assert_eq!(part(json!([pattern])), version, "{pattern}");
        }
        assert_eq!(part(json!(["*.a"])), json!({"data": {"runs": [{"a": 1}]}}));
        assert_eq!(part(json!(["dat*.no*"])), json!({"data": {"none": []}}));
        assert_eq!(part(json!("*")).as_object().unwrap().len(), 4);
        let left = part(json!({"excludes": ["*.b", "file.*", "l*"]}));
        assert_eq!(
            left,
            json!({"fileId": "1", "data": {"runs": [{"a": 1}], "none": []}})
        );
    }

    #[test]
    fn what_is_excluded_goes_with_all_below() {
        let left = part(json!({"excludes": ["data", "file.size"]}));
        assert_eq!(
            left,
            json!({"fileId": "1", "file": {"version": "v"}, "labels": []})
        );
        assert!(Projection::read(Some(&json!([1]))).is_err());
    }
}
