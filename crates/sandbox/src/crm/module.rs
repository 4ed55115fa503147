//! Modules: what they are called, what is allowed on them, their fields and their records. Facts:
//! section 5.1.

use anyhow::Context;
use serde_json::{Value, json};

use super::field::{Field, Kind, Place};
use super::table::{Row, Table};

/// Whether a bulk API takes a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bulk {
    /// It is read and written.
    Both,
    /// It is read alone.
    Read,
    /// It is refused, although the metadata may say that the API supports it.
    Refused,
}

/// One module.
#[derive(Clone, Debug)]
pub(super) struct Module {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) module_name: String,
    pub(super) label: String,
    pub(super) generated_type: String,
    pub(super) status: String,
    pub(super) is_api_supported: bool,
    /// Some modules have no field at all: their metadata is 204.
    pub(super) fields: Vec<Field>,
    pub(super) bulk: Bulk,
    /// The module above a subform.
    pub(super) parent: Option<String>,
    pub(super) table: Table,
    pub(super) next_auto_number: u64,
    pub(super) own_count: usize,
    /// Places of the first and the last name.
    pub(super) names: (Option<usize>, Option<usize>),
}

impl Module {
    pub(super) fn new(name: &str, fields: Vec<Field>) -> Module {
        Module {
            id: 0,
            name: name.to_owned(),
            module_name: name.to_owned(),
            label: name.replace('_', " "),
            generated_type: "default".to_owned(),
            status: "visible".to_owned(),
            is_api_supported: true,
            fields,
            bulk: Bulk::Both,
            parent: None,
            table: Table::default(),
            next_auto_number: 1,
            own_count: 0,
            names: (None, None),
        }
    }

    /// Reads a module as the metadata describes it, with `fields`; `bulk` is `both`, `read` or `refused`.
    pub(super) fn from_json(described: &Value) -> anyhow::Result<Module> {
        let text = |key: &str| described[key].as_str();
        let name = text("api_name").context("`api_name` of the module is missing")?;
        let fields = described["fields"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let fields: Vec<_> = fields
            .iter()
            .map(Field::from_json)
            .collect::<anyhow::Result<_>>()?;
        let mut module = Module::new(name, fields);
        let generated = text("generated_type").unwrap_or("custom");
        generated.clone_into(&mut module.generated_type);
        text("status")
            .unwrap_or("visible")
            .clone_into(&mut module.status);
        if let Some(label) = text("plural_label") {
            label.clone_into(&mut module.label);
        }
        module.is_api_supported = described["api_supported"] != json!(false);
        let parent = &described["parent_module"]["api_name"];
        module.parent = parent.as_str().map(str::to_owned);
        module.bulk = match text("bulk") {
            None | Some("both") => Bulk::Both,
            Some("read") => Bulk::Read,
            Some(_) => Bulk::Refused,
        };
        Ok(module)
    }

    /// Gives ids and places to the module and its fields; the records go.
    pub(super) fn settle(&mut self, id: i64) {
        self.id = id;
        self.own_count = 0;
        for (number, field) in (1..).zip(&mut self.fields) {
            field.id = id + number * 2;
            if let Place::Own(place) = &mut field.place {
                *place = self.own_count;
                self.own_count += 1;
            }
        }
        self.names = (self.own("First_Name"), self.own("Last_Name"));
        let indexed = self.fields.iter().filter(|field| field.finds(true));
        self.table = Table::new(indexed.filter_map(|field| match field.place {
            Place::Own(place) => Some(place),
            _ => None,
        }));
    }

    /// Adds a field, which all records have nothing in; one of that name is replaced in its place.
    pub(super) fn add_field(&mut self, mut field: Field) {
        let known = self
            .fields
            .iter()
            .position(|known| known.name == field.name);
        if let Some(known) = known {
            field.id = self.fields[known].id;
            field.place = self.fields[known].place;
            self.fields[known] = field;
        } else {
            field.id = self.id + (self.fields.len() as i64 + 1) * 2;
            if let Place::Own(place) = &mut field.place {
                *place = self.own_count;
                self.own_count += 1;
            }
            self.fields.push(field);
        }
    }

    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The place of an own field.
    pub(super) fn own(&self, name: &str) -> Option<usize> {
        match self.field(name)?.place {
            Place::Own(place) => Some(place),
            _ => None,
        }
    }

    /// The field by which people tell records apart.
    pub(super) fn display_field(&self) -> Option<&Field> {
        let named = match self.name.as_str() {
            "Leads" | "Contacts" => self.field("Full_Name"),
            _ => None,
        };
        let is_text = |field: &&Field| field.kind == Kind::Text && field.is_mandatory;
        let mandatory = || self.fields.iter().find(is_text);
        named
            .or_else(|| self.field("Name"))
            .or_else(mandatory)
            .or_else(|| self.fields.iter().find(|field| field.kind == Kind::Text))
    }

    /// What people call a record.
    pub(super) fn display_name(&self, row: &Row) -> Option<String> {
        match self.display_field()?.place {
            Place::FullName => self.full_name(row),
            Place::Own(place) => row.cell(place).map(str::to_owned),
            _ => None,
        }
    }

    pub(super) fn full_name(&self, row: &Row) -> Option<String> {
        let cell = |place: Option<usize>| place.and_then(|place| row.cell(place));
        match (cell(self.names.0), cell(self.names.1)) {
            (Some(first), Some(last)) => Some(format!("{first} {last}")),
            (first, last) => first.or(last).map(str::to_owned),
        }
    }

    pub(super) fn is_custom(&self) -> bool {
        self.generated_type == "custom"
    }

    /// As the metadata shows it.
    pub(super) fn describe(&self, parent_id: Option<i64>) -> Value {
        let is_visible = self.status == "visible";
        let can_write = self.bulk == Bulk::Both;
        let parent = self.parent.as_ref().map_or(
            json!({}),
            |parent| json!({"api_name": parent, "id": parent_id.map(|id| id.to_string())}),
        );
        let singular = self.label.strip_suffix('s').unwrap_or(&self.label);
        json!({
            "id": self.id.to_string(), "api_name": self.name, "module_name": self.module_name,
            "singular_label": singular, "plural_label": self.label,
            "api_supported": self.is_api_supported, "viewable": self.is_api_supported,
            "creatable": can_write, "editable": can_write, "deletable": can_write,
            "visible": is_visible, "visibility": i32::from(is_visible), "status": self.status,
            "generated_type": self.generated_type, "parent_module": parent,
            "modified_time": null, "modified_by": null, "quick_create": false,
            "web_link": null, "sequence_number": self.id % 1000,
            "profiles": [{"id": "611000000000015972", "name": "Administrator"}],
        })
    }
}
