//! What requests name as a field: the id, a field of the module, or one behind a lookup; and its value
//! in the forms of the CSV, of JSON and of comparisons. Facts: sections 3.1, 4 and 6.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::field::{AUTO_PREFIX, Kind, Place};
use super::module::Module;
use super::store::{Store, User};
use super::table::Row;
use super::zone::Zone;
use crate::text::push_cell;

/// A field as requests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Id,
    /// Whether a lead was converted: `$converted`.
    Converted,
    /// The place in the module's list.
    Field(usize),
    /// A field of the record that a lookup points to.
    Parent {
        via: usize,
        module: usize,
        field: Option<usize>,
    },
    User {
        via: usize,
        attribute: Attribute,
    },
}

/// What is known of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Id,
    FirstName,
    LastName,
    Email,
}

/// A value to compare with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Integer(i64),
    Number(f64),
    Text(Cow<'a, str>),
}

/// A record with its cells taken apart.
pub(super) struct Opened<'a> {
    pub(super) row: &'a Row,
    pub(super) cells: Vec<Option<&'a str>>,
}

impl<'a> Opened<'a> {
    pub(super) fn new(row: &'a Row) -> Opened<'a> {
        Opened {
            row,
            cells: row.cells().collect(),
        }
    }

    fn cell(&self, place: usize) -> Option<&'a str> {
        self.cells.get(place).copied().flatten()
    }
}

impl Column {
    /// The field of a name, if the module has it.
    pub(super) fn of(store: &Store, module: &Module, name: &str) -> Option<Column> {
        let place =
            |module: &Module, name: &str| module.fields.iter().position(|field| field.name == name);
        if name.eq_ignore_ascii_case("id") {
            return Some(Column::Id);
        }
        if name == "$converted" {
            return (module.name == "Leads").then_some(Column::Converted);
        }
        let Some((lookup, behind)) = name.split_once('.') else {
            return place(module, name).map(Column::Field);
        };
        let via = place(module, lookup)?;
        let field = &module.fields[via];
        if field.kind == Kind::User {
            let attribute = match behind {
                "id" => Attribute::Id,
                "first_name" => Attribute::FirstName,
                "last_name" => Attribute::LastName,
                "email" => Attribute::Email,
                _ => return None,
            };
            return Some(Column::User { via, attribute });
        }
        let module = store.place(field.lookup.as_deref()?)?;
        let field = if behind.eq_ignore_ascii_case("id") {
            None
        } else {
            Some(place(&store.modules[module], behind)?)
        };
        Some(Column::Parent { via, module, field })
    }

    /// How its values are compared.
    pub(super) fn kind(self, store: &Store, module: &Module) -> Kind {
        match self {
            Column::Id => Kind::Record,
            Column::Converted => Kind::Boolean,
            Column::Field(field) => module.fields[field].kind,
            Column::Parent { field: None, .. } => Kind::Record,
            Column::Parent {
                module,
                field: Some(field),
                ..
            } => store.modules[module].fields[field].kind,
            Column::User {
                attribute: Attribute::Id,
                ..
            } => Kind::User,
            Column::User { .. } => Kind::Text,
        }
    }

    /// The value in the form in which it is kept.
    pub(super) fn kept<'a>(
        self,
        store: &'a Store,
        module: &'a Module,
        opened: &Opened<'a>,
    ) -> Option<Cow<'a, str>> {
        match self {
            Column::Id => Some(opened.row.id.to_string().into()),
            Column::Converted => Some(opened.row.is_converted.to_string().into()),
            Column::Field(field) => kept_field(store, module, opened, field),
            Column::Parent {
                via,
                module: target,
                field,
            } => {
                let id = kept_field(store, module, opened, via)?;
                let target = &store.modules[target];
                let row = target.table.row(id.parse().ok()?)?;
                match field {
                    None => Some(id),
                    Some(field) => kept_field(store, target, &Opened::new(row), field),
                }
            }
            Column::User { via, attribute } => {
                let id = kept_field(store, module, opened, via)?;
                let user = store.user(id.parse().ok()?)?;
                Some(match attribute {
                    Attribute::Id => id,
                    Attribute::FirstName => user.first.into(),
                    Attribute::LastName => user.last.into(),
                    Attribute::Email => user.email.as_str().into(),
                })
            }
        }
    }

    /// The value to compare.
    pub(super) fn scalar<'a>(
        self,
        store: &'a Store,
        module: &'a Module,
        row: &'a Row,
    ) -> Scalar<'a> {
        if let Column::Field(field) = self {
            match module.fields[field].place {
                Place::CreatedTime => return Scalar::Integer(row.created),
                Place::ModifiedTime => return Scalar::Integer(row.modified),
                _ => {}
            }
        }
        if self == Column::Id {
            return Scalar::Integer(row.id);
        }
        let Some(text) = self.kept(store, module, &Opened::new(row)) else {
            return Scalar::Null;
        };
        match self.kind(store, module) {
            Kind::Integer | Kind::BigInt | Kind::DateTime | Kind::Record | Kind::User => {
                text.parse().map_or(Scalar::Null, Scalar::Integer)
            }
            Kind::Decimal => text.parse().map_or(Scalar::Null, Scalar::Number),
            _ => Scalar::Text(text),
        }
    }

    /// The value as a cell of a bulk read shows it.
    pub(super) fn write_cell(
        self,
        out: &mut String,
        store: &Store,
        module: &Module,
        opened: &Opened<'_>,
        zone: Zone,
    ) {
        // Times are most of the work of a large read: they do not become texts in between.
        if let Column::Field(field) = self {
            match module.fields[field].place {
                Place::CreatedTime => return zone.write(out, opened.row.created),
                Place::ModifiedTime => return zone.write(out, opened.row.modified),
                _ => {}
            }
        }
        let Some(kept) = self.kept(store, module, opened) else {
            return;
        };
        let is_joined = matches!(self, Column::Field(field) if module.fields[field].name == "Tag");
        match self.kind(store, module) {
            Kind::DateTime => match kept.parse() {
                Ok(seconds) => zone.write(out, seconds),
                Err(_) => out.push_str(&kept),
            },
            Kind::Multi => push_cell(out, &kept.replace(';', store.multi_separator)),
            _ if is_joined => push_cell(out, &kept.replace(';', store.multi_separator)),
            Kind::AutoNumber => {
                out.push_str(AUTO_PREFIX);
                out.push_str(&kept);
            }
            _ => push_cell(out, &kept),
        }
    }

    /// The value as JSON; `names` says whether lookups tell the names of what they point to.
    pub(super) fn value(
        self,
        store: &Store,
        module: &Module,
        opened: &Opened<'_>,
        zone: Zone,
        names: Names,
    ) -> Value {
        let Some(kept) = self.kept(store, module, opened) else {
            return Value::Null;
        };
        if self == Column::Id {
            return json!(kept);
        }
        if let Column::Field(field) = self {
            let field = &module.fields[field];
            if field.name == "Tag" {
                let tag =
                    |name: &str| json!({"name": name, "id": tag_id(name), "color_code": null});
                return kept.split(';').map(tag).collect();
            }
            if field.kind == Kind::Record
                && let Some(target) = &field.lookup
            {
                return record_value(store, target, &kept, names);
            }
        }
        match self.kind(store, module) {
            Kind::DateTime => json!(zone.text(kept.parse().unwrap_or_default())),
            Kind::Multi => kept.split(';').collect(),
            Kind::Integer | Kind::Decimal => {
                serde_json::from_str(&kept).unwrap_or_else(|_| json!(kept))
            }
            Kind::Boolean => json!(kept == "true"),
            Kind::AutoNumber => json!(format!("{AUTO_PREFIX}{kept}")),
            Kind::User => user_value(store, &kept, names),
            _ => json!(kept),
        }
    }
}

/// Whether lookups tell the names of what they point to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Shown,
    Left,
}

fn record_value(store: &Store, target: &str, id: &str, names: Names) -> Value {
    if names == Names::Left {
        return json!({"id": id});
    }
    let target = store.module(target);
    let name = target.and_then(|module| {
        let row = module.table.row(id.parse().ok()?)?;
        module.display_name(row)
    });
    json!({"name": name, "id": id})
}

fn user_value(store: &Store, id: &str, names: Names) -> Value {
    match store.user(id.parse().unwrap_or_default()) {
        Some(user) if names == Names::Shown => {
            json!({"name": user.name(), "id": id, "email": user.email})
        }
        _ => json!({"id": id}),
    }
}

fn tag_id(name: &str) -> String {
    let sum: i64 = name.bytes().map(i64::from).sum();
    (611_000_000_000_700_000 + sum).to_string()
}

fn kept_field<'a>(
    store: &'a Store,
    module: &'a Module,
    opened: &Opened<'a>,
    field: usize,
) -> Option<Cow<'a, str>> {
    let row = opened.row;
    let user = |place: u8| store.users.get(usize::from(place)).map(User::id_text);
    match module.fields[field].place {
        Place::CreatedTime => Some(row.created.to_string().into()),
        Place::ModifiedTime => Some(row.modified.to_string().into()),
        Place::CreatedBy => user(row.created_by).map(Cow::from),
        Place::ModifiedBy => user(row.modified_by).map(Cow::from),
        Place::FullName => module.full_name(row).map(Cow::from),
        Place::Own(place) => opened.cell(place).map(Cow::from),
    }
}
