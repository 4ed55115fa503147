//! Settings by stream, and what applies in the end.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use singer_core::{Error, Result};
use singer_runtime::setting::{ByStream, Setting, Shape};

/// Rows of one job at most.
pub(crate) const MOST_ROWS: usize = 25_000;

/// The settings of one stream.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct StreamConfig {
    /// The module's API name.
    #[serde(default)]
    pub module: Option<String>,
    /// What becomes of rows.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// The field by which records are found.
    #[serde(default)]
    pub find_by: Option<String>,
    /// Fields by property.
    #[serde(default)]
    pub fields: Option<BTreeMap<String, FieldConfig>>,
    /// Values of fields that records do not have.
    #[serde(default)]
    pub defaults: BTreeMap<String, String>,
    /// Whether empty cells leave the CRM's values alone.
    #[serde(default)]
    pub ignore_empty: Option<bool>,
    /// Rows of one job.
    #[serde(default)]
    pub chunk_records: Option<usize>,
    /// What becomes of values that a picklist does not list.
    #[serde(default)]
    pub unknown_picklist: Option<UnknownPicklist>,
    /// What becomes of rows that were deleted at the source.
    #[serde(default)]
    pub on_delete: Option<OnDelete>,
    /// The field that marks them.
    #[serde(default)]
    pub deleted_field: Option<String>,
}

/// What becomes of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Each is a new record.
    Insert,
    /// Each changes a record that is there.
    Update,
    /// Each changes a record that is there, or is a new one.
    Upsert,
}

impl Operation {
    /// Its name in a config and to the service.
    pub fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Upsert => "upsert",
        }
    }
}

/// Where a property goes: a field's name, or more than that.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum FieldConfig {
    /// A field; an empty name leaves the property out.
    Name(String),
    /// A field and how it is written.
    Full {
        /// The field's API name.
        field: String,
        /// For lookups: the field of the other module by which its record is found.
        #[serde(default)]
        find_by: Option<String>,
        /// What stands in place of an empty cell.
        #[serde(default)]
        default: Option<String>,
    },
}

/// One property that goes to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// The field's API name.
    pub field: String,
    /// By which field a lookup finds its record.
    pub find_by: Option<String>,
    /// What stands in place of an empty cell.
    pub default: Option<String>,
}

impl FieldConfig {
    fn mapped(&self) -> Mapped {
        match self {
            Self::Name(field) => Mapped {
                field: field.clone(),
                find_by: None,
                default: None,
            },
            Self::Full {
                field,
                find_by,
                default,
            } => Mapped {
                field: field.clone(),
                find_by: find_by.clone(),
                default: default.clone(),
            },
        }
    }
}

/// What becomes of values that a picklist does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPicklist {
    /// The row is rejected.
    Reject,
    /// They are sent: the field decides.
    Send,
}

/// What becomes of rows that were deleted at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// They are not sent.
    Ignore,
    /// They are sent with a mark in a field.
    Flag,
}

/// What applies to one stream.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The module's API name; the stream's name if there is none.
    pub module: Option<String>,
    /// What becomes of rows.
    pub operation: Operation,
    /// The field by which records are found.
    pub find_by: Option<String>,
    /// Properties that are mapped by name; `None` if every property goes to the field of its name.
    pub fields: Option<BTreeMap<String, Mapped>>,
    /// Values of fields that records do not have.
    pub defaults: BTreeMap<String, String>,
    /// Whether empty cells leave the CRM's values alone.
    pub ignore_empty: bool,
    /// Rows of one job.
    pub chunk_records: usize,
    /// What becomes of values that a picklist does not list.
    pub unknown_picklist: UnknownPicklist,
    /// What becomes of rows that were deleted at the source.
    pub on_delete: OnDelete,
    /// The field that marks them.
    pub deleted_field: Option<String>,
}

impl Chosen {
    pub(crate) fn new(config: StreamConfig) -> Self {
        let fields = config.fields.map(|fields| {
            let fields = fields.iter();
            fields
                .map(|(property, field)| (property.clone(), field.mapped()))
                .collect()
        });
        Self {
            module: config.module,
            operation: config.operation.unwrap_or(Operation::Upsert),
            find_by: config.find_by,
            fields,
            defaults: config.defaults,
            ignore_empty: config.ignore_empty.unwrap_or(true),
            chunk_records: config.chunk_records.unwrap_or(MOST_ROWS),
            unknown_picklist: config.unknown_picklist.unwrap_or(UnknownPicklist::Reject),
            on_delete: config.on_delete.unwrap_or(OnDelete::Ignore),
            deleted_field: config.deleted_field,
        }
    }
}

/// The settings that a stream takes.
pub(super) fn settings() -> Vec<Setting> {
    vec![
        Setting::text("module").about("The API name of the module; the stream's name if left out."),
        Setting::word("operation", &["insert", "update", "upsert"])
            .about("`upsert` (the default): each row changes the record with its key, or is a new one. `update`: as `upsert`, and a row without a record is listed as missing. `insert`: each row is a new record; with `find_by` those that exist are left as they are."),
        Setting::text("find_by").about("The field by which records are found: `id` or a unique field. The field of the key property if left out; an `insert` has none unless it is set."),
        Setting::new(
            "fields",
            Shape::map(Shape::Either(vec![
                Shape::Text,
                Shape::Object(vec![
                    Setting::text("field").required().about("The API name of the field."),
                    Setting::text("find_by").about("For lookups: `id` (the default), or a field of the other module by which its record is found; `email` for users."),
                    Setting::text("default").about("What stands in place of an empty cell."),
                ]),
            ])),
        )
        .about("Fields by property: these properties alone are sent. `\"*\": \"*\"` adds every other property under its own name, an empty text leaves one out. Without `fields` every property goes to the field of its name; those that the CRM computes are left out."),
        Setting::new("defaults", Shape::map(Shape::Text))
            .about("Values of fields that records do not have, the same for each: `{\"Lead_Source\": \"Import\"}`. `Layout` takes the id of a layout."),
        Setting::boolean("ignore_empty").about("True (the default): empty, null and missing values leave the CRM's values alone. False: null and empty texts clear them; rows with different sets of properties then go into different jobs."),
        Setting::integer("chunk_records").about("Rows of one job at most; 25000 if left out."),
        Setting::word("unknown_picklist", &["reject", "send"])
            .about("What becomes of a value that a picklist does not list: the row is rejected (the default), or it is sent, and the field decides whether it is added or refused."),
        Setting::word("on_delete", &["ignore", "flag"])
            .about("What becomes of rows that come with `_sdc_deleted_at`: they are not sent (the default), as Bulk Write cannot delete, or they are sent with a mark in `deleted_field`."),
        Setting::text("deleted_field").about("The field that marks rows that were deleted at the source: a checkbox, a date-time or a text."),
    ]
}

/// Checks the settings of each stream.
pub(super) fn validate(streams: &ByStream<StreamConfig>) -> Result<()> {
    for (stream, config) in streams.iter() {
        let wrong =
            |key: &str, what: &str| Error::config(format!("`streams.{stream}.{key}` {what}"));
        let names = [
            ("module", &config.module),
            ("find_by", &config.find_by),
            ("deleted_field", &config.deleted_field),
        ];
        for (key, name) in names {
            if name.as_deref().is_some_and(|name| !is_api_name(name)) {
                return Err(wrong(key, "is no API name")
                    .with_hint("letters, digits and `_` as the API settings of the CRM show them, not the label"));
            }
        }
        if config
            .chunk_records
            .is_some_and(|rows| !(1..=MOST_ROWS).contains(&rows))
        {
            return Err(wrong("chunk_records", "must be between 1 and 25000"));
        }
        if config.on_delete == Some(OnDelete::Flag) && config.deleted_field.is_none() {
            return Err(wrong("deleted_field", "is missing for `on_delete` `flag`"));
        }
        let mut taken = BTreeSet::new();
        for (property, field) in config.fields.iter().flatten() {
            let Mapped { field, .. } = field.mapped();
            if field.is_empty() || (property == "*" && field == "*") {
                continue;
            }
            if !is_api_name(&field) {
                return Err(wrong(
                    &format!("fields.{property}"),
                    "is no API name of a field",
                ));
            }
            if !taken.insert(field.clone()) {
                return Err(wrong("fields", &format!("name the field `{field}` twice")));
            }
        }
    }
    Ok(())
}

fn is_api_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
}
