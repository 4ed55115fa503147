//! What a bulk write is asked to do with one file: checked against the module and the header of the
//! file when the job is created. Facts: section 8.2.

use serde_json::{Value, json};

use super::Crm;
use super::answer::ApiError;
use super::bulk_read::module_name;
use super::csv::Rows;
use super::field::{Field, Kind};
use super::module::{Bulk, Module};
use super::options::FindBy;
use super::store::Store;
use super::version::Version;
use super::zone;

/// What is done with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Insert,
    Update,
    Upsert,
}

impl Operation {
    pub(super) fn from_name(name: &str) -> Option<Operation> {
        match name {
            "insert" => Some(Operation::Insert),
            "update" => Some(Operation::Update),
            "upsert" => Some(Operation::Upsert),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Operation::Insert => "insert",
            Operation::Update => "update",
            Operation::Upsert => "upsert",
        }
    }
}

/// What a cell goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Id,
    /// The place in the module's list.
    Field(usize),
}

/// One column.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) index: Option<usize>,
    /// By what the record behind a lookup is found.
    pub(super) find_by: Option<String>,
    /// As chrono has it.
    pub(super) format: Option<String>,
    pub(super) default: Option<String>,
    pub(super) parent_column: Option<usize>,
    /// As it was asked for.
    shown: Value,
}

/// One file and its module.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) module: String,
    pub(super) module_id: i64,
    pub(super) operation: Operation,
    pub(super) ignore_empty: bool,
    /// The place in the mappings of the column by which records are found.
    pub(super) key: Option<usize>,
    pub(super) find_by: Option<String>,
    pub(super) mappings: Vec<Mapping>,
    /// Whether the request had mappings.
    pub(super) is_mapped: bool,
    /// A mandatory field that no column goes into: the job fails.
    pub(super) unmapped: Option<String>,
    pub(super) file_name: String,
}

impl Plan {
    /// Mappings as job details show them.
    pub(super) fn shown(&self) -> Vec<&Value> {
        self.mappings.iter().map(|mapping| &mapping.shown).collect()
    }
}

/// What the plan of a resource is made from.
pub(super) struct Planner<'a> {
    pub(super) crm: &'a Crm,
    pub(super) store: &'a Store,
    pub(super) version: Version,
    pub(super) operation: Operation,
    pub(super) ignore_empty: bool,
    /// `$.resource[0]`, for refusals.
    pub(super) path: String,
}

impl Planner<'_> {
    /// Finds the module of a resource, if bulk writes take it.
    pub(super) fn module(&self, resource: &Value) -> Result<&Module, ApiError> {
        let name = module_name(self.version, &resource["module"])
            .ok_or_else(|| ApiError::missing_key(&format!("{}.module", self.path)))?;
        let module = self
            .store
            .module(name)
            .filter(|module| module.is_api_supported)
            .ok_or_else(|| ApiError::field("MODULE_NOT_AVAILABLE", name))?;
        if module.bulk != Bulk::Both {
            return Err(ApiError::field("MODULE_NOT_SUPPORTED", name));
        }
        Ok(module)
    }

    /// Makes the plan; `text` is the CSV.
    pub(super) fn plan(
        &self,
        resource: &Value,
        module: &Module,
        file_name: &str,
        text: &str,
    ) -> Result<Plan, ApiError> {
        let header = Rows::new(text).next();
        let header = header.ok_or_else(|| ApiError::bad("FILE_NOT_SUPPORTED", json!({})))?;
        let mappings = match &resource["field_mappings"] {
            Value::Null => header
                .iter()
                .enumerate()
                .map(|(index, name)| self.named(module, index, name))
                .collect::<Result<Vec<_>, _>>()?,
            Value::Array(mappings) => mappings
                .iter()
                .map(|mapping| self.mapped(module, header.len(), mapping))
                .collect::<Result<Vec<_>, _>>()?,
            _ => return Err(ApiError::field("INVALID_DATA", "field_mappings")),
        };
        let limit = self.crm.options.write_columns;
        if mappings.len() > limit || header.len() > limit {
            return Err(ApiError::bad(
                "HEADER_LIMIT_EXCEEDED",
                json!({"max_limit": limit}),
            ));
        }
        let find_by = resource["find_by"].as_str();
        let key = self.key(module, &mappings, find_by)?;
        let is_mapped_field = |field: &Field| mappings.iter().any(|known| known.name == field.name);
        let unmapped = module
            .fields
            .iter()
            .find(|field| field.is_mandatory && !is_mapped_field(field))
            .filter(|_| self.operation != Operation::Update)
            .map(|field| field.name.clone());
        let own = resource["ignore_empty"].as_bool();
        Ok(Plan {
            module: module.name.clone(),
            module_id: module.id,
            operation: self.operation,
            ignore_empty: own.unwrap_or(self.ignore_empty),
            key,
            find_by: find_by.map(str::to_owned),
            mappings,
            is_mapped: !resource["field_mappings"].is_null(),
            unmapped,
            file_name: file_name.to_owned(),
        })
    }

    /// The column by which records are found.
    fn key(
        &self,
        module: &Module,
        mappings: &[Mapping],
        find_by: Option<&str>,
    ) -> Result<Option<usize>, ApiError> {
        let Some(find_by) = find_by else {
            if self.operation == Operation::Insert {
                return Ok(None);
            }
            return Err(ApiError::missing_key(&format!("{}.find_by", self.path)));
        };
        let takes_checks = self.crm.options.find_by == FindBy::DuplicateCheck;
        let is_good = find_by == "id"
            || module
                .field(find_by)
                .is_some_and(|field| field.finds(takes_checks));
        if !is_good {
            return Err(ApiError::field("INVALID_FIELD", find_by));
        }
        let key = mappings.iter().position(|mapping| mapping.name == find_by);
        match key {
            Some(key) => Ok(Some(key)),
            None => Err(ApiError::field("MANDATORY_FIELDS_NOT_MAPPED", find_by)),
        }
    }

    /// A column that its header names, as `Account_Name.id` does for a lookup.
    fn named(&self, module: &Module, index: usize, header: &str) -> Result<Mapping, ApiError> {
        let (name, find_by) = match header.split_once('.') {
            Some((name, find_by)) => (name, Some(find_by.to_owned())),
            None => (header, None),
        };
        let target = target(module, name)?;
        let find_by = match target {
            Target::Field(field) => {
                let field = &module.fields[field];
                let is_lookup = matches!(field.kind, Kind::Record | Kind::User);
                find_by.or_else(|| is_lookup.then(|| "id".to_owned()))
            }
            Target::Id => None,
        };
        let shown = json!({"api_name": name, "index": index, "format": null,
            "find_by": find_by, "default_value": null});
        Ok(Mapping {
            name: name.to_owned(),
            target,
            index: Some(index),
            find_by,
            format: None,
            default: None,
            parent_column: None,
            shown,
        })
    }

    fn mapped(&self, module: &Module, columns: usize, given: &Value) -> Result<Mapping, ApiError> {
        let path = format!("{}.field_mappings", self.path);
        let name = given["api_name"]
            .as_str()
            .ok_or_else(|| ApiError::missing_key(&format!("{path}.api_name")))?;
        let default = &given["default_value"]["value"];
        let default = match default {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let shown = json!({"api_name": name, "index": given["index"],
            "format": given["format"], "find_by": given["find_by"],
            "default_value": given["default_value"]});
        let index = match &given["index"] {
            Value::Null if default.is_some() => None,
            Value::Null => return Err(ApiError::missing_key(&format!("{path}.index"))),
            index => {
                let found = index.as_u64().and_then(|index| usize::try_from(index).ok());
                let found = found.filter(|index| *index < columns);
                let details = json!({"api_name": name, "index": index});
                Some(found.ok_or_else(|| ApiError::bad("COLUMN_INDEX_NOT_FOUND", details))?)
            }
        };
        // The layout chooses what people see: it is no field.
        let target = if name == "Layout" && index.is_none() {
            Target::Id
        } else {
            target(module, name)?
        };
        let find_by = given["find_by"].as_str().map(str::to_owned);
        let format = self.format(name, &given["format"])?;
        if let Target::Field(field) = target {
            let field = &module.fields[field];
            let is_lookup = matches!(field.kind, Kind::Record | Kind::User);
            let is_child = !given["parent_column_index"].is_null();
            if is_child && find_by.is_some() {
                return Err(ApiError::field("COEXISTENCE_NOT_ALLOWED", name));
            }
            if is_lookup && index.is_some() && find_by.is_none() && !is_child {
                return Err(ApiError::missing_key(&format!("{path}.find_by")));
            }
            self.check_lookup(field, find_by.as_deref())?;
        }
        let parent_column = given["parent_column_index"].as_u64();
        Ok(Mapping {
            name: name.to_owned(),
            target,
            index,
            find_by,
            format,
            default,
            parent_column: parent_column.and_then(|column| usize::try_from(column).ok()),
            shown,
        })
    }

    fn format(&self, name: &str, format: &Value) -> Result<Option<String>, ApiError> {
        let Some(format) = format.as_str() else {
            return Ok(None);
        };
        if format.contains('#') {
            // A pattern of numbers.
            return Ok(Some(format.to_owned()));
        }
        let translated = zone::pattern(format)
            .filter(|pattern| self.crm.options.offset_format || !pattern.contains("%:z"));
        let refusal = || ApiError::field("INVALID_FORMAT", name);
        translated.map(Some).ok_or_else(refusal)
    }

    /// Refuses a lookup by a field that does not tell records apart.
    fn check_lookup(&self, field: &Field, find_by: Option<&str>) -> Result<(), ApiError> {
        let Some(find_by) = find_by.filter(|find_by| *find_by != "id") else {
            return Ok(());
        };
        let is_good = match field.kind {
            Kind::User => find_by == "email",
            Kind::Record => {
                let parent = field
                    .lookup
                    .as_deref()
                    .and_then(|name| self.store.module(name));
                parent.is_some_and(|parent| {
                    let is_display = parent
                        .display_field()
                        .is_some_and(|display| display.name == find_by);
                    is_display || parent.field(find_by).is_some_and(|field| field.finds(true))
                })
            }
            _ => false,
        };
        if is_good {
            Ok(())
        } else {
            Err(ApiError::field("INVALID_FIELD", &field.name))
        }
    }
}

/// What a name means in the module, if it can be written.
fn target(module: &Module, name: &str) -> Result<Target, ApiError> {
    if name.eq_ignore_ascii_case("id") {
        return Ok(Target::Id);
    }
    let place = module.fields.iter().position(|field| field.name == name);
    let place = place.ok_or_else(|| ApiError::field("INVALID_FIELD_NAME", name))?;
    if module.fields[place].is_writable() {
        Ok(Target::Field(place))
    } else {
        Err(ApiError::field("INVALID_FIELD", name))
    }
}
