//! A shape in the making: properties meet fields one by one, and every problem is kept until all are known.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use singer_core::schema::Property;
use singer_runtime::target::Problem;
use zoho::crm::{DataType, Field};

use super::{ID, Meeting, Shape, field};
use crate::config::{Mapped, OnDelete, Operation, UnknownPicklist};
use crate::encode::{Cell, Form};

/// The field that chooses a layout, which no list of fields has.
const LAYOUT: &str = "Layout";

/// When a record was deleted at the source.
const DELETED_AT: &str = "_sdc_deleted_at";

/// Columns of a file at most.
const MOST_COLUMNS: usize = 200;

/// Names that a problem shows of a list.
const SHOWN: usize = 10;

/// A shape in the making.
pub(super) struct Draft<'a> {
    meeting: Meeting<'a>,
    by_name: HashMap<&'a str, &'a Field>,
    find_by: Option<String>,
    cells: Vec<Cell>,
    cell_defaults: BTreeMap<String, String>,
    notes: Vec<String>,
    problems: Vec<Problem>,
    left_out: Vec<String>,
}

/// Who wants a property in a field: the config by name, or nobody in particular.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Named,
    ByItself,
}

impl<'a> Draft<'a> {
    pub(super) fn new(meeting: Meeting<'a>) -> Self {
        let fields = meeting.fields.iter();
        Self {
            meeting,
            by_name: fields
                .map(|field| (field.api_name.as_str(), field))
                .collect(),
            find_by: meeting.chosen.find_by.clone(),
            cells: Vec::new(),
            cell_defaults: BTreeMap::new(),
            notes: Vec::new(),
            problems: Vec::new(),
            left_out: Vec::new(),
        }
    }

    fn problem(&mut self, kind: &'static str, message: String, hint: Option<&str>) {
        self.problems.push(Problem {
            kind,
            message,
            hint: hint.map(str::to_owned),
        });
    }

    fn operation(&self) -> Operation {
        self.meeting.chosen.operation
    }

    /// Where a property goes, and who says so.
    fn wish(&self, property: &str) -> Option<(Mapped, Wish)> {
        let by_itself = || {
            let field = Mapped {
                field: property.to_owned(),
                find_by: None,
                default: None,
            };
            // What a tap adds about its records is nobody's field.
            (!property.starts_with("_sdc_")).then_some((field, Wish::ByItself))
        };
        let Some(fields) = &self.meeting.chosen.fields else {
            return by_itself();
        };
        match fields.get(property) {
            Some(mapped) if mapped.field.is_empty() => None,
            Some(mapped) => Some((mapped.clone(), Wish::Named)),
            None if fields.contains_key("*") => by_itself(),
            None => None,
        }
    }

    /// Without `find_by` the field of the one key property is taken, if records can be found by it.
    pub(super) fn choose_key(&mut self) {
        let fields = self.meeting.fields;
        if self.operation() == Operation::Insert || self.find_by.is_some() {
            return;
        }
        let keys = self.meeting.stream.schema.key_properties();
        if let [key] = keys
            && let Some((mapped, _)) = self.wish(key)
        {
            let is_unique = |field: &Field| field.api_name == mapped.field && field.is_unique;
            if mapped.field == ID || fields.iter().any(is_unique) {
                self.find_by = Some(mapped.field);
                return;
            }
        }
        self.problem(
            "key missing",
            format!(
                "`{}` needs a field by which records are found, and the stream's key is none",
                self.operation().word()
            ),
            Some("set `find_by` to `id` or to a unique field"),
        );
    }

    pub(super) fn map_all(&mut self) {
        let layout = self.meeting.stream.schema.properties();
        for (place, property) in layout.iter().enumerate() {
            let Some((mapped, wish)) = self.wish(&property.name) else {
                continue;
            };
            if self.cells.iter().any(|cell| cell.field == mapped.field) {
                let message = format!("two properties go to the field `{}`", mapped.field);
                self.problem("field twice", message, Some("`fields` leaves one out"));
                continue;
            }
            self.map(place, property, &mapped, wish);
        }
        self.report_unknown_names();
        if !self.left_out.is_empty() {
            let names = shown(&self.left_out);
            self.notes
                .push(format!("left out, as they cannot be written: {names}"));
        }
    }

    /// Names in `fields` that no property has.
    fn report_unknown_names(&mut self) {
        let Some(fields) = &self.meeting.chosen.fields else {
            return;
        };
        let layout = self.meeting.stream.schema.layout();
        let known: HashSet<&str> = layout.names().collect();
        for name in fields.keys() {
            if name != "*" && !known.contains(name.as_str()) {
                self.notes
                    .push(format!("`fields` names `{name}`, which the stream lacks"));
            }
        }
    }

    fn map(&mut self, place: usize, property: &Property, mapped: &Mapped, wish: Wish) {
        let name = &mapped.field;
        if name == ID {
            self.map_id(place, wish);
            return;
        }
        let Some(field) = self.by_name.get(name.as_str()).copied() else {
            // What Bulk Read adds of parents is named with a dot, as no field is.
            if wish == Wish::ByItself && name.contains('.') {
                self.left_out.push(name.clone());
                return;
            }
            let module = self.meeting.module;
            let message = format!("the module `{module}` has no field `{name}`");
            let hint = "look at its API name; `fields` renames properties and leaves them out";
            self.problem("field missing", message, Some(hint));
            return;
        };
        if let Some(reason) = field::unwritable(field, self.operation()) {
            if wish == Wish::ByItself && self.find_by.as_ref() != Some(name) {
                self.left_out.push(name.clone());
                return;
            }
            self.problem(
                "field not writable",
                format!("the field `{name}` {reason}"),
                Some("`fields` leaves a property out with an empty text"),
            );
            return;
        }
        let Some(form) = field::form(field, mapped, self.meeting.zone) else {
            let message = format!(
                "the field `{name}` is a date-time, and the organisation's time zone is not known"
            );
            self.problem("time zone missing", message, Some("set `time_zone`"));
            return;
        };
        if !field::takes(&form, property) {
            let given = property.types.without_null().names();
            let kind = field.data_type.name();
            let message = format!(
                "property `{}` is {given}, the field `{name}` is of type `{kind}`",
                property.name
            );
            self.problem("type conflict", message, None);
            return;
        }
        let mut cell = Cell::new(place, name, form);
        self.add_limits(&mut cell, field, property);
        if let Some(default) = &mapped.default {
            self.cell_defaults.insert(name.clone(), default.clone());
        }
        self.cells.push(cell);
    }

    fn map_id(&mut self, place: usize, wish: Wish) {
        if self.find_by.as_deref() == Some(ID) {
            let cell = Cell::new(place, ID, Form::Lookup(ID.to_owned()));
            self.cells.push(cell);
        } else if wish == Wish::Named {
            let message = "the field `id` cannot be written: it only finds records".to_owned();
            self.problem("field not writable", message, Some("set `find_by` to `id`"));
        } else {
            self.left_out.push(ID.to_owned());
        }
    }

    /// What rows are checked against, and what the schema says of it.
    fn add_limits(&mut self, cell: &mut Cell, field: &Field, property: &Property) {
        let name = &field.api_name;
        let most = field.length.and_then(|most| usize::try_from(most).ok());
        if matches!(cell.form, Form::Text)
            && let Some(most) = most.filter(|most| *most > 0)
        {
            cell.max_length = Some(most);
            let declared = property.schema["maxLength"].as_u64();
            if let Some(declared) = declared.filter(|declared| *declared > most as u64) {
                self.notes.push(format!(
                    "property `{}` may have {declared} characters, the field `{name}` takes {most}: longer rows are rejected",
                    property.name
                ));
            }
        }
        let is_listed = matches!(
            field.data_type,
            DataType::PickList | DataType::MultiSelectPickList
        );
        if !is_listed || field.pick_list_values.is_empty() {
            return;
        }
        let listed: HashSet<String> = field
            .pick_list_values
            .iter()
            .map(|value| value.actual_value.clone())
            .collect();
        let declared = property.schema["enum"].as_array().into_iter().flatten();
        let unknown: Vec<String> = declared
            .filter_map(|value| value.as_str())
            .filter(|value| !listed.contains(*value))
            .map(str::to_owned)
            .collect();
        if !unknown.is_empty() {
            self.notes.push(format!(
                "the picklist `{name}` does not list {} of the values that the schema declares: {}",
                unknown.len(),
                shown(&unknown)
            ));
        }
        if self.meeting.chosen.unknown_picklist == UnknownPicklist::Reject {
            cell.listed = Some(Arc::new(listed));
        }
    }

    /// The field that marks rows that were deleted at the source.
    pub(super) fn add_mark(&mut self) {
        let chosen = self.meeting.chosen;
        let (OnDelete::Flag, Some(name)) = (chosen.on_delete, &chosen.deleted_field) else {
            return;
        };
        let layout = self.meeting.stream.schema.layout();
        let Some(property) = layout.names().position(|name| name == DELETED_AT) else {
            return;
        };
        let Some(field) = self.by_name.get(name.as_str()).copied() else {
            let message = format!("`deleted_field` names `{name}`, which the module lacks");
            self.problem("field missing", message, None);
            return;
        };
        let form = match (&field.data_type, self.meeting.zone) {
            (DataType::Boolean, _) => Form::Boolean,
            (DataType::DateTime, Some(zone)) => Form::DateTime(zone),
            (DataType::Text | DataType::TextArea, _) => Form::Text,
            _ => {
                let message = format!("the field `{name}` cannot mark deleted rows");
                let hint = "a checkbox, a date-time or a text is wanted";
                self.problem("type conflict", message, Some(hint));
                return;
            }
        };
        self.cells.retain(|cell| cell.field != *name);
        let mut cell = Cell::new(property, name, form);
        cell.is_mark = true;
        self.cells.push(cell);
    }

    /// Puts the key first.
    pub(super) fn check_key(&mut self) {
        if let Some(find_by) = self.find_by.clone() {
            let Some(place) = self.cells.iter().position(|cell| cell.field == find_by) else {
                let is_told = self
                    .problems
                    .iter()
                    .any(|problem| problem.message.contains(&format!("`{find_by}`")));
                if !is_told {
                    let message =
                        format!("records are found by `{find_by}`, and no property goes to it");
                    self.problem("key missing", message, Some("map one in `fields`"));
                }
                return;
            };
            let field = self.by_name.get(find_by.as_str());
            if find_by != ID && field.is_some_and(|field| !field.is_unique) {
                self.notes.push(format!(
                    "`find_by` names `{find_by}`, which the metadata do not call unique: the service may refuse the job"
                ));
            }
            let mut cell = self.cells.remove(place);
            cell.is_key = true;
            self.cells.insert(0, cell);
            return;
        }
        // Only to find rows again in the result.
        let keys = self.meeting.stream.schema.key_properties();
        let layout = self.meeting.stream.schema.layout();
        if let [key] = keys {
            let place = self
                .cells
                .iter()
                .position(|cell| layout.name(cell.property) == key);
            if let Some(place) = place {
                let cell = self.cells.remove(place);
                self.cells.insert(0, cell);
            }
        }
    }

    pub(super) fn check_mandatory(&mut self) {
        if self.operation() == Operation::Update {
            return;
        }
        let has = |name: &str| {
            self.cells.iter().any(|cell| cell.field == name)
                || self.meeting.chosen.defaults.contains_key(name)
        };
        let missing: Vec<String> = self
            .meeting
            .fields
            .iter()
            .filter(|field| {
                field.is_mandatory
                    && field.is_used
                    && field::unwritable(field, self.operation()).is_none()
            })
            .filter(|field| !has(&field.api_name))
            .map(|field| field.api_name.clone())
            .collect();
        if missing.is_empty() {
            return;
        }
        let names = shown(&missing);
        if self.operation() == Operation::Insert {
            let message = format!("mandatory fields are not mapped: {names}");
            let hint = "map them in `fields`, or give them a value in `defaults`";
            self.problem("mandatory field missing", message, Some(hint));
        } else {
            self.notes.push(format!(
                "mandatory fields are not mapped, so that new records are refused: {names}"
            ));
        }
    }

    pub(super) fn check_defaults(&mut self) {
        let chosen = self.meeting.chosen;
        for name in chosen.defaults.keys() {
            if name == LAYOUT {
                continue;
            }
            match self.by_name.get(name.as_str()).copied() {
                None => {
                    let message = format!("`defaults` names `{name}`, which the module lacks");
                    self.problem("field missing", message, None);
                }
                Some(field) => {
                    if let Some(reason) = field::unwritable(field, self.operation()) {
                        let message = format!("the field `{name}` of `defaults` {reason}");
                        self.problem("field not writable", message, None);
                    }
                }
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<Shape, Vec<Problem>> {
        let meeting = self.meeting;
        let (chosen, schema) = (meeting.chosen, &meeting.stream.schema);
        let columns = self.cells.len();
        if self.problems.is_empty() && columns == 0 {
            let message = "no property goes to a field".to_owned();
            self.problem("nothing to write", message, None);
        }
        if columns > MOST_COLUMNS {
            let message =
                format!("{columns} fields are mapped, and a file has {MOST_COLUMNS} columns");
            let hint = "`fields` names those that are wanted";
            self.problem("too many fields", message, Some(hint));
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let layout = schema.layout();
        let place = |name: &str| layout.names().position(|it| it == name);
        let identity = match (&self.find_by, self.cells.first()) {
            (Some(_), Some(key)) => vec![key.property],
            _ => schema
                .key_properties()
                .iter()
                .filter_map(|name| place(name))
                .collect(),
        };
        let defaults = chosen.defaults.iter();
        let defaults = defaults.filter(|(name, _)| !self.cells.iter().any(|it| it.field == **name));
        let defaults = defaults
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // A value for every record also fills the cells of those that have none.
        for (name, value) in &chosen.defaults {
            if self.cells.iter().any(|cell| cell.field == *name) {
                self.cell_defaults.insert(name.clone(), value.clone());
            }
        }
        Ok(Shape {
            stream: meeting.stream.name.clone(),
            module: meeting.module.to_owned(),
            operation: chosen.operation,
            find_by: self.find_by,
            cells: self.cells,
            cell_defaults: self.cell_defaults,
            defaults,
            ignore_empty: chosen.ignore_empty,
            chunk_records: chosen.chunk_records,
            deleted: place(DELETED_AT),
            on_delete: chosen.on_delete,
            identity,
            notes: self.notes,
        })
    }
}

fn shown(names: &[String]) -> String {
    let some: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("`{}`{more}", some.join("`, `"))
}
