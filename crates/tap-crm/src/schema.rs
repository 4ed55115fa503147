//! Modules as streams: data types to JSON schema, and what the catalog says of each field.

use serde_json::{Value, json};
use singer_core::catalog::Entry;
use singer_core::nearest::nearest;
use singer_core::pattern::is_match;
use singer_core::{Error, Result};
use zoho::crm::{DataType, Environment, Field, GeneratedType};

use crate::cell::Kind;
use crate::config::{Config, MultiSelect};
use crate::query::Criteria;

/// The key of every module.
pub(crate) const ID: &str = "id";
/// When a record was changed last: the only replication key there is.
pub(crate) const MODIFIED_TIME: &str = "Modified_Time";
/// When a record was deleted; a property of ours.
pub(crate) const DELETED_AT: &str = "_sdc_deleted_at";

/// Modules that the service lists as supported, and whose bulk reads it refuses.
const REFUSED_MODULES: [&str; 9] = [
    "Notes",
    "Attachments",
    "Emails",
    "CTI_Entry",
    "Email_Analytics",
    "Email_Template_Analytics",
    "Functions__s",
    "Email_Sentiment",
    "Locking_Information__s",
];

/// Fields that claim a type which can be read, and that bulk reads refuse; with their modules, if not all.
const REFUSED_FIELDS: [(&str, &[&str]); 9] = [
    ("CTI_Entry", &["Calls"]),
    ("Comments", &["Cases", "Solutions"]),
    ("Participants", &["Events"]),
    ("Pricing_Details", &["Price_Books"]),
    ("Invoiced_Items", &[]),
    ("Quoted_Items", &[]),
    ("Ordered_Items", &[]),
    ("Purchase_Items", &[]),
    ("nearby_distance__s", &[]),
];

/// A module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// Its API name, which is the stream's.
    pub(crate) name: String,
    /// Its fields, the key first.
    pub(crate) columns: Vec<Column>,
}

/// A field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its API name; a dot leads to a field of a parent record.
    pub(crate) name: String,
    /// What it holds, or why it cannot be read.
    pub(crate) kind: Result<Kind, &'static str>,
    data_type: String,
    length: Option<u64>,
    is_mandatory: bool,
    is_unique: bool,
}

/// Why a module cannot be a stream, if it cannot.
pub(crate) fn refusal(module: &zoho::crm::Module) -> Option<&'static str> {
    if !module.is_api_supported {
        return Some("the API does not serve it");
    }
    if REFUSED_MODULES.contains(&module.api_name.as_str()) {
        return Some("the service does not read it in bulk");
    }
    (module.generated_type == GeneratedType::Web).then_some("it is a web page")
}

impl Module {
    /// A module of these fields, as far as the config wants them.
    pub(crate) fn new(name: &str, fields: Vec<Field>, config: &Config) -> Self {
        let patterns = config.fields.get(name);
        let is_wanted = |field: &str| {
            field == MODIFIED_TIME
                || patterns.is_none_or(|patterns| patterns.iter().any(|one| is_match(one, field)))
        };
        let key = Column {
            name: ID.to_owned(),
            kind: Ok(Kind::Id),
            data_type: "id".to_owned(),
            length: None,
            is_mandatory: false,
            is_unique: true,
        };
        let mut columns = vec![key];
        for field in fields {
            let is_new = columns.iter().all(|column| column.name != field.api_name);
            if is_new && !field.api_name.eq_ignore_ascii_case(ID) && is_wanted(&field.api_name) {
                columns.push(Column::new(name, field));
            }
        }
        let dotted = patterns.into_iter().flatten();
        for field in dotted.filter(|field| field.contains('.') && !field.contains(['*', '?'])) {
            columns.push(Column {
                name: field.clone(),
                kind: Ok(Kind::Text),
                data_type: "parent".to_owned(),
                length: None,
                is_mandatory: false,
                is_unique: false,
            });
        }
        Self {
            name: name.to_owned(),
            columns,
        }
    }

    /// A field by its name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether its changes can be told by time.
    pub(crate) fn is_timed(&self) -> bool {
        self.column(MODIFIED_TIME)
            .is_some_and(|column| column.kind == Ok(Kind::DateTime))
    }

    /// The stream as a catalog shows it.
    pub(crate) fn entry(&self, config: &Config, rows: Option<u64>) -> Entry {
        let database = match config.crm.environment {
            Environment::Production => "production",
            Environment::Sandbox => "sandbox",
        };
        let mut entry = Entry::new(&self.name, &self.name);
        entry.set("table_name", self.name.as_str());
        entry.set("database_name", database);
        entry.set_stream_metadata("selected-by-default", false);
        entry.set_stream_metadata("is-view", false);
        entry.set_stream_metadata("database-name", database);
        entry.set_stream_metadata("table-key-properties", json!([ID]));
        if let Some(rows) = rows {
            entry.set_stream_metadata("row-count", rows);
        }
        if self.is_timed() {
            entry.set_stream_metadata("valid-replication-keys", json!([MODIFIED_TIME]));
            entry.set_stream_metadata("replication-key", MODIFIED_TIME);
        } else {
            entry.set_stream_metadata("valid-replication-keys", json!([]));
        }
        for column in &self.columns {
            column.describe(&mut entry, config.multi_select);
        }
        if config.include_deleted && self.is_timed() && self.column(DELETED_AT).is_none() {
            entry.set_property(
                DELETED_AT,
                json!({"type": ["null", "string"], "format": "date-time"}),
            );
            entry.set_field_metadata(DELETED_AT, "inclusion", "automatic");
        }
        entry
    }

    /// Whether the fields that the config names for this very module are there. What is named for several modules
    /// by a pattern may be lacking in some.
    ///
    /// # Errors
    /// Of kind `Config`, naming the field.
    pub(crate) fn check_fields(&self, config: &Config, fields: &[Field]) -> Result<()> {
        let own = config
            .fields
            .iter()
            .find(|(module, _)| *module == self.name);
        for name in own.into_iter().flat_map(|(_, names)| names) {
            let base = name.split('.').next().unwrap_or_default();
            let is_free = name.contains(['*', '?', '$']) || base == DELETED_AT;
            let is_known =
                base.eq_ignore_ascii_case(ID) || fields.iter().any(|field| field.api_name == base);
            if !is_free && !is_known {
                return Err(self.unknown("fields", base, fields));
            }
        }
        Ok(())
    }

    /// The error of a setting that names a field that the module lacks.
    fn unknown(&self, setting: &str, name: &str, fields: &[Field]) -> Error {
        let error = Error::config(format!(
            "`{setting}.{}` names a field `{name}` that the module does not have",
            self.name
        ));
        let names = fields.iter().map(|field| field.api_name.as_str());
        match nearest(name, names) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error,
        }
    }

    /// Whether the criteria of the config fit the fields: names, and comparators by type.
    ///
    /// # Errors
    /// Of kind `Config`, naming the field.
    pub(crate) fn check(&self, criteria: &Criteria, fields: &[Field]) -> Result<()> {
        for leaf in criteria.leaves() {
            let base = leaf.field.split('.').next().unwrap_or_default();
            let known = fields.iter().find(|field| field.api_name == base);
            let Some(field) = known.filter(|_| base != ID) else {
                if base.eq_ignore_ascii_case(ID) {
                    continue;
                }
                return Err(self.unknown("criteria", base, fields));
            };
            let takes = comparators(field);
            if base == leaf.field && !takes.contains(&leaf.comparator) {
                return Err(Error::config(format!(
                    "`criteria.{}`: the field `{base}` takes no comparator `{}`",
                    self.name, leaf.comparator
                ))
                .with_hint(format!("it takes `{}`", takes.join("`, `"))));
            }
        }
        Ok(())
    }
}

/// The comparators that the service takes for fields of a type.
fn comparators(field: &Field) -> Vec<&'static str> {
    let mut takes = vec!["equal"];
    let kind = kind_of(&field.data_type, field.return_type.as_ref());
    if kind != Ok(Kind::Boolean) {
        takes.extend(["not_equal", "in", "not_in"]);
    }
    if let Ok(Kind::Integer | Kind::Number | Kind::Date | Kind::DateTime) = kind {
        takes.extend(["less_than", "less_equal", "greater_than", "greater_equal"]);
    }
    if let Ok(Kind::Date | Kind::DateTime) = kind {
        takes.extend(["between", "not_between"]);
    }
    if let Ok(Kind::Text | Kind::Choices) = kind {
        takes.extend(["contains", "not_contains", "starts_with", "ends_with"]);
    }
    takes
}

impl Column {
    fn new(module: &str, field: Field) -> Self {
        let is_refused = |(name, modules): &(&str, &[&str])| {
            *name == field.api_name && (modules.is_empty() || modules.contains(&module))
        };
        let kind = if REFUSED_FIELDS.iter().any(is_refused) {
            Err("the service does not read it in bulk")
        } else {
            kind_of(&field.data_type, field.return_type.as_ref())
        };
        Self {
            kind,
            data_type: field.data_type.name().to_owned(),
            length: field.length,
            is_mandatory: field.is_mandatory,
            is_unique: field.is_unique,
            name: field.api_name,
        }
    }

    fn describe(&self, entry: &mut Entry, choices: MultiSelect) {
        let name = &self.name;
        let inclusion = match self.kind {
            Err(reason) => {
                entry.set_property(name, json!({}));
                entry.set_field_metadata(name, "crm.unsupported", reason);
                "unsupported"
            }
            Ok(kind) => {
                entry.set_property(name, schema(kind, name == ID, choices));
                let is_needed = name == ID || (name == MODIFIED_TIME && kind == Kind::DateTime);
                if is_needed { "automatic" } else { "available" }
            }
        };
        entry.set_field_metadata(name, "inclusion", inclusion);
        entry.set_field_metadata(name, "selected-by-default", self.kind.is_ok());
        entry.set_field_metadata(name, "sql-datatype", self.data_type.as_str());
        if let Some(length) = self.length {
            entry.set_field_metadata(name, "crm.length", length);
        }
        if self.is_mandatory {
            entry.set_field_metadata(name, "crm.mandatory", true);
        }
        if self.is_unique && name != ID {
            entry.set_field_metadata(name, "crm.unique", true);
        }
    }
}

/// Without the values of lists and without formats of texts: what stands in records does not keep to them.
fn schema(kind: Kind, is_key: bool, choices: MultiSelect) -> Value {
    let or_null = |kind: &str| json!({"type": ["null", kind]});
    match kind {
        Kind::Id if is_key => json!({"type": ["string"]}),
        Kind::Choices if choices == MultiSelect::Array => {
            json!({"type": ["null", "array"], "items": {"type": ["string"]}})
        }
        Kind::Text | Kind::Id | Kind::Choices => or_null("string"),
        Kind::Integer => or_null("integer"),
        Kind::Number => or_null("number"),
        Kind::Boolean => or_null("boolean"),
        Kind::Date => json!({"type": ["null", "string"], "format": "date"}),
        Kind::DateTime => json!({"type": ["null", "string"], "format": "date-time"}),
    }
}

/// What a field of a type holds, or why it cannot be read. What is not known is text.
fn kind_of(data_type: &DataType, returns: Option<&DataType>) -> Result<Kind, &'static str> {
    Ok(match data_type {
        DataType::Integer | DataType::BigInt => Kind::Integer,
        DataType::Double | DataType::Percent | DataType::Currency => Kind::Number,
        DataType::Boolean => Kind::Boolean,
        DataType::Date => Kind::Date,
        DataType::DateTime => Kind::DateTime,
        DataType::Lookup
        | DataType::OwnerLookup
        | DataType::UserLookup
        | DataType::ProfileLookup => Kind::Id,
        DataType::MultiSelectPickList => Kind::Choices,
        DataType::Formula | DataType::RollupSummary => match returns {
            Some(DataType::Formula | DataType::RollupSummary) | None => Kind::Text,
            Some(returned) => kind_of(returned, None).unwrap_or(Kind::Text),
        },
        DataType::Subform => return Err("the rows of a subform are a module of their own"),
        DataType::FileUpload | DataType::ImageUpload | DataType::ProfileImage => {
            return Err("files are not part of a bulk read");
        }
        DataType::MultiSelectLookup | DataType::MultiUserLookup | DataType::ConsentLookup => {
            return Err("several linked records are not part of a bulk read");
        }
        DataType::Address => return Err("the parts of an address are fields of their own"),
        _ => Kind::Text,
    })
}

#[cfg(test)]
mod tests;
