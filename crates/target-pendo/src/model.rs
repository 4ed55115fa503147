//! What goes over the wire: kinds, groups, fields to create, and the report on a bulk write.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What metadata belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Kind {
    /// A person who uses the product.
    #[serde(rename = "visitor")]
    Visitor,
    /// What visitors belong to.
    #[serde(rename = "account")]
    Account,
    /// What accounts belong to.
    #[serde(rename = "parentAccount")]
    ParentAccount,
}

impl Kind {
    /// The word in paths.
    pub fn word(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::Account => "account",
            Self::ParentAccount => "parentAccount",
        }
    }

    /// The key of the id in a bulk write. That of parent accounts is not documented, so the config
    /// can name another.
    pub fn id_key(self) -> &'static str {
        match self {
            Self::Visitor => "visitorId",
            Self::Account => "accountId",
            Self::ParentAccount => "parentAccountId",
        }
    }
}

/// Which of the writable groups of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Fields that a person created.
    #[default]
    Custom,
    /// Fields that the snippet in the product sends; they come into being when first sent.
    Agent,
}

impl Group {
    /// The word in paths and in the metadata schema.
    pub fn word(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::Agent => "agent",
        }
    }
}

/// A field to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewField {
    /// Its name.
    pub name: String,
    /// What Pendo shows.
    #[serde(rename = "displayname")]
    pub display_name: String,
    /// `string`, `number`, `time` or `boolean`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// What Pendo says about a bulk write. Every part of it was seen absent, null or in another shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many records were taken.
    pub updated: Option<u64>,
    /// How many were not, for whatever reason.
    pub failed: Option<u64>,
    /// Ids that Pendo does not know.
    pub missing: Vec<String>,
    /// What is wrong with others.
    pub errors: Vec<Complaint>,
}

/// One element of a report's errors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complaint {
    /// The record's id, if the element has one.
    pub id: Option<String>,
    /// Pendo's words.
    pub message: Option<String>,
    /// Pendo's code.
    pub code: Option<String>,
}

impl Report {
    /// Reads a report; `None` if the answer counts nothing, so that nothing was confirmed.
    pub fn parse(answer: &Value, id_key: &str) -> Option<Self> {
        let object = answer.as_object()?;
        let total = object.get("total").and_then(count);
        let failed = object.get("failed").and_then(count);
        let updated = object
            .get("updated")
            .and_then(count)
            .or_else(|| Some(total?.saturating_sub(failed?)));
        if updated.is_none() && failed.is_none() {
            return None;
        }
        let elements = |name| object.get(name).map(list).unwrap_or_default();
        Some(Self {
            updated,
            failed,
            missing: elements("missing")
                .iter()
                .filter_map(|element| id_of(element, id_key))
                .collect(),
            errors: elements("errors")
                .iter()
                .map(|element| complaint(element, id_key))
                .collect(),
        })
    }
}

/// A count as a number or as text.
fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| {
            let float = number.as_f64()?;
            (float >= 0.0 && float.fract() == 0.0).then_some(float as u64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The elements of a list; a map from ids to messages is one too, and anything else but null is a
/// list of one.
fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(elements) => elements.clone(),
        Value::Object(map) if !map.is_empty() && map.values().all(Value::is_string) => map
            .iter()
            .map(|(id, message)| serde_json::json!({"id": id, "message": message}))
            .collect(),
        other => vec![other.clone()],
    }
}

fn id_of(element: &Value, id_key: &str) -> Option<String> {
    match element {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        Value::Object(object) => [id_key, "id", "visitorId", "accountId", "parentAccountId"]
            .iter()
            .find_map(|name| id_of(object.get(*name)?, id_key)),
        _ => None,
    }
}

fn complaint(element: &Value, id_key: &str) -> Complaint {
    let text = |names: &[&str]| {
        names.iter().find_map(|name| match element.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    };
    Complaint {
        id: id_of(element, id_key),
        message: match element {
            // An id or a message: whoever knows the ids can tell.
            Value::String(message) => Some(message.clone()),
            _ => text(&["message", "error", "reason", "description", "detail"]),
        },
        code: text(&["code", "status", "type"]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(answer: Value) -> Option<Report> {
        Report::parse(&answer, "visitorId")
    }

    #[test]
    fn absent_null_and_empty_mean_the_same() {
        let plain = Report {
            updated: Some(3),
            failed: Some(0),
            ..Report::default()
        };
        for answer in [
            json!({"total": 3, "updated": 3, "failed": 0}),
            json!({"total": 3, "updated": 3, "failed": 0, "missing": null, "errors": null}),
            json!({"total": "3", "updated": 3.0, "failed": "0", "missing": [], "errors": {}, "kind": "visitor"}),
        ] {
            let errors_are_empty = parse(answer.clone()).unwrap();
            assert_eq!(
                Report {
                    errors: Vec::new(),
                    ..errors_are_empty
                },
                plain,
                "{answer}"
            );
        }
        assert_eq!(
            parse(json!({"total": 5, "failed": 2})).unwrap().updated,
            Some(3)
        );
    }

    #[test]
    fn ids_are_found_in_every_shape() {
        let report = parse(json!({
            "updated": 0, "failed": 6,
            "missing": ["a", 7, {"visitorId": "b"}],
            "errors": ["c", {"id": "d", "message": "bad"}, {"accountId": 8, "error": "worse", "code": 12}, {"odd": 1}, null],
        }))
        .unwrap();
        assert_eq!(report.missing, ["a", "7", "b"]);
        let ids: Vec<Option<&str>> = report
            .errors
            .iter()
            .map(|error| error.id.as_deref())
            .collect();
        assert_eq!(ids, [Some("c"), Some("d"), Some("8"), None, None]);
        assert_eq!(report.errors[1].message.as_deref(), Some("bad"));
        assert_eq!(report.errors[2].code.as_deref(), Some("12"));
        let map = parse(json!({"updated": 0, "errors": {"x": "bad"}})).unwrap();
        assert_eq!(map.errors[0].id.as_deref(), Some("x"));
    }

    #[test]
    fn an_answer_that_counts_nothing_confirms_nothing() {
        for answer in [
            json!({}),
            json!([]),
            json!(null),
            json!({"total": 3}),
            json!({"updated": -1}),
        ] {
            assert_eq!(parse(answer.clone()), None, "{answer}");
        }
    }
}
