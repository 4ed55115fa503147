//! Metadata schemas of the three kinds: groups, fields, types, and the fields that exist at the
//! start. Facts: sections 2 and 4.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::store::Column;

/// Most fields that one kind may have; columns are 16 bits wide.
const FIELD_LIMIT: usize = 10_000;

/// Custom fields of the demo's accounts.
const ACCOUNT_FIELDS: &[(&str, &str)] = &[
    ("name", "string"),
    ("plan", "string"),
    ("mrr", "float"),
    ("seats", "integer"),
    ("is_trial", "boolean"),
    ("country", "string"),
    ("industry", "string"),
    ("renewal_date", "time"),
    ("owner_email", "string"),
    ("health", "float"),
    ("updated_at", "time"),
];

/// Custom fields of the demo's visitors.
const VISITOR_FIELDS: &[(&str, &str)] = &[
    ("full_name", "string"),
    ("role", "string"),
    ("language", "string"),
    ("is_admin", "boolean"),
    ("signup_date", "time"),
    ("last_login", "time"),
    ("sessions_30d", "integer"),
    ("nps", "integer"),
    ("score", "float"),
    ("updated_at", "time"),
];

/// What Pendo keeps by itself; one type is not decided yet, as the real schema shows it too.
const AUTO_FIELDS: &[(&str, &str)] = &[
    ("id", "string"),
    ("firstvisit", "time"),
    ("lastvisit", "time"),
    ("lastupdated", "time"),
    ("accountid", "string"),
    ("accountids", "list"),
    ("lastservername", ""),
];

/// The flags that a client may set one by one.
pub(crate) const FLAGS: [&str; 2] = ["blacklistguides", "donotprocess"];

/// A kind of thing with metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person who uses the product.
    Visitor,
    /// An organisation that visitors belong to.
    Account,
    /// An organisation of accounts.
    ParentAccount,
}

impl Kind {
    /// All kinds, in the order of their tables.
    pub const ALL: [Kind; 3] = [Kind::Visitor, Kind::Account, Kind::ParentAccount];

    /// The kind of a path segment.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name in paths and answers.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Visitor => "visitor",
            Kind::Account => "account",
            Kind::ParentAccount => "parentAccount",
        }
    }
}

/// One metadata field.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) display_name: String,
    /// The type word; empty while it is not decided.
    pub(crate) type_name: String,
    pub(crate) element_type: String,
    pub(crate) deleted: bool,
    /// False for a field that came into being by being sent: its type is a guess.
    pub(crate) checked: bool,
}

impl Field {
    pub(crate) fn new(group: &str, name: &str, type_name: &str) -> Field {
        Field {
            group: group.to_owned(),
            name: name.to_ascii_lowercase(),
            display_name: name.to_owned(),
            type_name: type_name.to_owned(),
            element_type: if type_name == "list" {
                "string".to_owned()
            } else {
                String::new()
            },
            deleted: false,
            checked: true,
        }
    }

    fn from_json(group: &str, name: &str, value: &Value) -> Field {
        // Real answers mix both spellings.
        let text = |upper: &str, lower: &str| {
            value
                .get(upper)
                .or_else(|| value.get(lower))
                .and_then(Value::as_str)
                .unwrap_or("")
        };
        let display_name = text("DisplayName", "displayName");
        Field {
            display_name: if display_name.is_empty() {
                name
            } else {
                display_name
            }
            .to_owned(),
            element_type: text("ElementType", "elementType").to_owned(),
            deleted: value
                .get("isDeleted")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            ..Field::new(group, name, text("Type", "type"))
        }
    }

    fn to_json(&self) -> Value {
        if self.group.starts_with("auto") {
            return json!({"Type": self.type_name, "DisplayName": self.display_name});
        }
        json!({
            "Type": self.type_name,
            "DisplayName": self.display_name,
            "ElementType": self.element_type,
            "ElementFormat": "",
            "Dirty": false,
            "isHidden": false,
            "isDeleted": self.deleted,
            "isCalculated": false,
            "isPerApp": false,
            "neverIndex": false,
        })
    }
}

/// The fields of one kind; a field's place is its column in the kind's table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    fields: Vec<Field>,
    groups: BTreeMap<String, BTreeMap<String, Column>>,
}

impl Schema {
    /// The fields that the demo needs, one deleted field, and those that Pendo keeps itself.
    pub(crate) fn built_in(kind: Kind) -> Schema {
        let mut schema = Schema::with_own_fields();
        let fields = match kind {
            Kind::Visitor => VISITOR_FIELDS,
            Kind::Account => ACCOUNT_FIELDS,
            Kind::ParentAccount => &[("name", "string")],
        };
        for (name, type_name) in fields {
            schema.add_own(Field::new("custom", name, type_name));
        }
        schema.add_own(Field {
            deleted: true,
            ..Field::new("custom", "legacy_tier", "string")
        });
        schema
    }

    /// Reads the form that `GET /metadata/schema/{kind}` answers.
    pub(crate) fn from_json(value: &Value) -> anyhow::Result<Schema> {
        let mut schema = Schema::with_own_fields();
        for (group, fields) in value
            .as_object()
            .context("a schema is an object of groups")?
        {
            let fields = fields
                .as_object()
                .with_context(|| format!("group `{group}` is no object"))?;
            for (name, field) in fields {
                if schema.column(group, name).is_none() {
                    schema.add(Field::from_json(group, name, field))?;
                }
            }
        }
        Ok(schema)
    }

    pub(crate) fn to_json(&self) -> Value {
        let field = |column: &Column| self.fields[usize::from(*column)].to_json();
        let group = |columns: &BTreeMap<String, Column>| -> Value {
            columns
                .iter()
                .map(|(name, column)| (name.clone(), field(column)))
                .collect()
        };
        self.groups
            .iter()
            .map(|(name, columns)| (name.clone(), group(columns)))
            .collect()
    }

    pub(crate) fn field(&self, column: Column) -> &Field {
        &self.fields[usize::from(column)]
    }

    /// Finds a field by name in any capitalisation, deleted ones included.
    pub(crate) fn column(&self, group: &str, name: &str) -> Option<Column> {
        let columns = self.groups.get(group)?;
        columns
            .get(name)
            .or_else(|| columns.get(&name.to_ascii_lowercase()))
            .copied()
    }

    /// Finds a field that has not been deleted.
    pub(crate) fn live_column(&self, group: &str, name: &str) -> Option<Column> {
        self.column(group, name)
            .filter(|column| !self.field(*column).deleted)
    }

    /// Whether so many more fields can be added.
    pub(crate) fn check_room(&self, count: usize) -> anyhow::Result<()> {
        if self.fields.len() + count > FIELD_LIMIT {
            bail!("no kind holds more than {FIELD_LIMIT} fields here");
        }
        Ok(())
    }

    /// Adds a field, or brings a deleted one of that name back as it was.
    pub(crate) fn create(&mut self, field: Field) -> anyhow::Result<()> {
        if let Some(column) = self.column(&field.group, &field.name) {
            self.fields[usize::from(column)].deleted = false;
            return Ok(());
        }
        self.add(field)
    }

    /// Marks a field as deleted; false if there is none.
    pub(crate) fn delete(&mut self, group: &str, name: &str) -> bool {
        let Some(column) = self.live_column(group, name) else {
            return false;
        };
        self.fields[usize::from(column)].deleted = true;
        true
    }

    fn with_own_fields() -> Schema {
        let mut schema = Schema::default();
        // One group per application besides the general one.
        for group in ["auto", "auto__323232"] {
            for (name, type_name) in AUTO_FIELDS {
                schema.add_own(Field::new(group, name, type_name));
            }
        }
        for flag in FLAGS {
            schema.add_own(Field::new("pendo", flag, "boolean"));
        }
        schema.groups.entry("agent".to_owned()).or_default();
        schema.groups.entry("custom".to_owned()).or_default();
        schema
    }

    fn add_own(&mut self, field: Field) {
        self.add(field).expect("the built-in fields are few");
    }

    fn add(&mut self, field: Field) -> anyhow::Result<()> {
        self.check_room(1)?;
        let column = Column::try_from(self.fields.len()).context("too many fields")?;
        self.groups
            .entry(field.group.clone())
            .or_default()
            .insert(field.name.clone(), column);
        self.fields.push(field);
        Ok(())
    }
}

/// Whether a name can be a field's: letters, digits, underscore, not a digit first.
pub(crate) fn is_field_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first_fits = name
        .bytes()
        .next()
        .is_some_and(|first| !first.is_ascii_digit());
    first_fits && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_in_answers_is_mixed_as_in_the_real_ones() {
        let json = Schema::built_in(Kind::Account).to_json();
        let mrr = &json["custom"]["mrr"];
        assert_eq!(mrr["Type"], "float");
        assert_eq!(mrr["isDeleted"], false);
        assert!(mrr.get("type").is_none());
        assert_eq!(json["custom"]["legacy_tier"]["isDeleted"], true);
        assert_eq!(json["auto"]["lastservername"]["Type"], "");
        assert!(json["auto__323232"].is_object());
        assert!(json["agent"].as_object().unwrap().is_empty());
    }

    #[test]
    fn names_are_found_in_any_capitalisation() {
        let schema = Schema::built_in(Kind::Visitor);
        assert_eq!(
            schema.column("custom", "Full_NAME"),
            schema.column("custom", "full_name")
        );
        assert!(schema.column("custom", "full_name").is_some());
        assert!(schema.column("agent", "full_name").is_none());
    }

    #[test]
    fn a_deleted_field_comes_back_by_being_created() {
        let mut schema = Schema::built_in(Kind::Visitor);
        assert!(schema.live_column("custom", "legacy_tier").is_none());
        schema
            .create(Field::new("custom", "legacy_tier", "number"))
            .unwrap();
        let column = schema.live_column("custom", "legacy_tier").unwrap();
        assert_eq!(schema.field(column).type_name, "string");
        assert!(schema.delete("custom", "legacy_tier"));
        assert!(!schema.delete("custom", "legacy_tier"));
    }

    #[test]
    fn a_schema_survives_its_own_json() {
        let first = Schema::built_in(Kind::Account).to_json();
        let again = Schema::from_json(&first).unwrap().to_json();
        assert_eq!(first, again);
    }

    #[test]
    fn field_names_are_letters_digits_and_underscores() {
        for name in ["a", "_a", "Plan_2"] {
            assert!(is_field_name(name), "{name}");
        }
        for name in ["", "2a", "a-b", "a b", "é"] {
            assert!(!is_field_name(name), "{name}");
        }
    }
}
