//! The calls that change designs: tables, columns, and views that go. Facts: sections 2.2 and 2.3.

use serde_json::{Map, Value, json};

use super::Analytics;
use super::answer::{Answer, Failure};
use super::call::Call;
use super::config::{Config, bad_value, missing};
use super::datatype::DataType;
use super::endpoint::Place;
use super::store::Store;
use super::table::{Column, View};

/// The longest name of a column or a table.
const LONGEST_NAME: usize = 100;

/// The most columns of a table (not published).
const MOST_COLUMNS: usize = 500;

/// The most columns of one call.
const COLUMNS_A_CALL: usize = 10;

/// What an added column is described by.
const COLUMN_KEYS: [&str; 7] = [
    "columnName",
    "dataType",
    "isMandatory",
    "default",
    "description",
    "geoRole",
    "isHidden",
];

pub(crate) fn create_table(
    analytics: &Analytics,
    call: &Call,
    workspace: &str,
) -> Result<Answer, Failure> {
    let config = Config::required(call.inputs.config.as_deref(), &["tableDesign"])?;
    let design = config.object("tableDesign")?;
    let design = design.ok_or_else(|| missing("tableDesign"))?.clone();
    let mut store = analytics.store();
    store.workspace(workspace)?;
    store.require("create-table")?;
    let id = add_design(&mut store, workspace, design, call.now_ms)?;
    Ok(Answer::success("Create table", json!({"viewId": id})))
}

/// Makes a table from its design.
pub(crate) fn add_design(
    store: &mut Store,
    workspace: &str,
    design: Map<String, Value>,
    now_ms: u64,
) -> Result<String, Failure> {
    let known = ["TABLENAME", "TABLEDESCRIPTION", "FOLDERNAME", "COLUMNS"];
    let design = Config::from_map(design, &known)?;
    let name = design.text("TABLENAME")?.unwrap_or_default().trim();
    if name.is_empty() {
        return Err(Failure::new(7413, "The name of the table is missing"));
    }
    check_length(name)?;
    let folder = design.text("FOLDERNAME")?.map(Store::folder).transpose()?;
    let list = design.list("COLUMNS")?.ok_or_else(|| missing("COLUMNS"))?;
    if list.is_empty() {
        return Err(Failure::new(8547, "A table has at least one column"));
    }
    if list.len() > MOST_COLUMNS {
        return Err(Failure::new(7478, "The table has too many columns"));
    }
    let columns = list
        .iter()
        .map(|entry| designed_column(store, workspace, entry));
    let columns: Vec<Column> = columns.collect::<Result<_, _>>()?;
    for (place, column) in columns.iter().enumerate() {
        let before = columns.iter().take(place);
        if before
            .clone()
            .any(|other| other.name.eq_ignore_ascii_case(&column.name))
        {
            let message = format!("The column `{}` is there twice", column.name);
            return Err(Failure::new(7128, message));
        }
    }
    store.check_name_free(workspace, name)?;
    let id = store.add_table(workspace, name, columns, now_ms);
    if let Some(view) = store.views.get_mut(&id) {
        view.description = design
            .text("TABLEDESCRIPTION")?
            .unwrap_or_default()
            .to_owned();
        view.folder = folder.unwrap_or_else(|| view.folder.clone());
    }
    Ok(id)
}

/// A column as the design of a table has it.
fn designed_column(store: &Store, workspace: &str, entry: &Value) -> Result<Column, Failure> {
    let known = [
        "COLUMNNAME",
        "DATATYPE",
        "MANDATORY",
        "DESCRIPTION",
        "DEFAULT",
        "LOOKUPCOLUMN",
        "ISHIDE",
        "GEOROLE",
        "PII",
    ];
    let object = entry.as_object().cloned();
    let entry = Config::from_map(object.ok_or_else(|| bad_value("COLUMNS"))?, &known)?;
    let lookup = entry.object("LOOKUPCOLUMN")?.cloned();
    let lookup = lookup.map(|lookup| {
        let lookup = Config::from_map(lookup, &["TABLENAME", "COLUMNNAME"])?;
        let text = |key| lookup.required_text(key).map(str::to_owned);
        Ok((text("TABLENAME")?, text("COLUMNNAME")?))
    });
    let column = Column {
        id: String::new(),
        name: column_name(entry.text("COLUMNNAME")?)?,
        kind: data_type(entry.required_text("DATATYPE")?)?,
        is_mandatory: yes_or_no(&entry, "MANDATORY")?,
        default: entry.text("DEFAULT")?.unwrap_or_default().to_owned(),
        description: entry.text("DESCRIPTION")?.unwrap_or_default().to_owned(),
        is_hidden: yes_or_no(&entry, "ISHIDE")?,
        lookup: lookup.transpose()?,
    };
    check_column(store, workspace, &column)?;
    Ok(column)
}

fn check_column(store: &Store, workspace: &str, column: &Column) -> Result<(), Failure> {
    if column.kind == DataType::AutoNumber && !column.default.is_empty() {
        return Err(Failure::new(7143, "An AUTO_NUMBER column has no default"));
    }
    let Some((table, parent)) = &column.lookup else {
        return Ok(());
    };
    let parents = store.view_named(workspace, table);
    let found = parents.and_then(|view| view.columns.iter().find(|it| it.name == *parent));
    match found {
        None => Err(Failure::new(7395, "The lookup column is not present")),
        Some(parent) if parent.kind != column.kind => Err(Failure::new(
            7183,
            "The types of the column and its lookup column differ",
        )),
        Some(_) => Ok(()),
    }
}

fn column_name(name: Option<&str>) -> Result<String, Failure> {
    let name = name.unwrap_or_default().trim();
    if name.is_empty() {
        return Err(Failure::new(7126, "The name of the column is empty"));
    }
    check_length(name)?;
    Ok(name.to_owned())
}

fn check_length(name: &str) -> Result<(), Failure> {
    if name.chars().count() > LONGEST_NAME {
        return Err(Failure::new(7127, "The name is too long"));
    }
    Ok(())
}

fn data_type(name: &str) -> Result<DataType, Failure> {
    DataType::from_name(name)
        .ok_or_else(|| Failure::new(7146, format!("The data type `{name}` is unknown")))
}

fn yes_or_no(entry: &Config, key: &str) -> Result<bool, Failure> {
    match entry.text(key) {
        Ok(None) => Ok(false),
        Ok(Some("Yes" | "yes" | "YES" | "true")) => Ok(true),
        Ok(Some("No" | "no" | "NO" | "false")) => Ok(false),
        Ok(Some(_)) => Err(bad_value(key)),
        Err(_) => entry.flag(key).map(|flag| flag.unwrap_or(false)),
    }
}

/// A table whose design may be changed now.
fn changeable<'store>(
    store: &'store mut Store,
    place: &Place,
) -> Result<&'store mut View, Failure> {
    store.require("change-design")?;
    let view = store.view(&place.workspace, &place.view)?;
    if !view.is_table() {
        return Err(Failure::new(7439, "The view is not a table"));
    }
    store.check_design_free(view)?;
    store.view_mut(&place.workspace, &place.view)
}

pub(crate) fn add_columns(
    analytics: &Analytics,
    call: &Call,
    place: &Place,
) -> Result<Answer, Failure> {
    let known = [&["columns"], &COLUMN_KEYS[..]].concat();
    let config = Config::required(call.inputs.config.as_deref(), &known)?;
    let several = config.list("columns")?;
    let columns = match several {
        Some(list) if list.len() > COLUMNS_A_CALL => {
            let message = format!("One call adds up to {COLUMNS_A_CALL} columns");
            return Err(Failure::new(8173, message));
        }
        Some(list) if list.is_empty() => {
            return Err(Failure::new(8547, "`columns` takes at least one entry"));
        }
        Some(list) => list.iter().map(added_column).collect::<Result<_, _>>()?,
        None => vec![column_of(&config)?],
    };
    let mut store = analytics.store();
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let ids: Vec<String> = names.iter().map(|_| store.new_id()).collect();
    let view = changeable(&mut store, place)?;
    for (number, name) in names.iter().enumerate() {
        let is_known = view
            .columns
            .iter()
            .any(|column| column.name.eq_ignore_ascii_case(name));
        let is_twice = names.iter().take(number).any(|it| it == name);
        if is_known || is_twice {
            let message = format!("A column named `{name}` exists already");
            return Err(Failure::new(7157, message));
        }
    }
    if view.columns.len() + columns.len() > MOST_COLUMNS {
        return Err(Failure::new(7478, "The table has too many columns"));
    }
    for (mut column, id) in columns.into_iter().zip(&ids) {
        column.id.clone_from(id);
        view.columns.push(column);
    }
    let data = match (several, ids.first()) {
        (None, Some(id)) => json!({"columnId": id}),
        _ => json!({}),
    };
    Ok(Answer::success("Add column", data))
}

fn added_column(entry: &Value) -> Result<Column, Failure> {
    let object = entry.as_object().cloned();
    let object = object.ok_or_else(|| bad_value("columns"))?;
    column_of(&Config::from_map(object, &COLUMN_KEYS)?)
}

fn column_of(entry: &Config) -> Result<Column, Failure> {
    let kind = data_type(entry.required_text("dataType")?)?;
    let default = entry.text("default")?.unwrap_or_default().to_owned();
    if kind == DataType::AutoNumber && !default.is_empty() {
        return Err(Failure::new(7143, "An AUTO_NUMBER column has no default"));
    }
    Ok(Column {
        id: String::new(),
        name: column_name(entry.text("columnName")?)?,
        kind,
        is_mandatory: entry.flag("isMandatory")?.unwrap_or(false),
        default,
        description: entry.text("description")?.unwrap_or_default().to_owned(),
        is_hidden: entry.flag("isHidden")?.unwrap_or(false),
        lookup: None,
    })
}

pub(crate) fn rename_column(
    analytics: &Analytics,
    call: &Call,
    place: &Place,
    id: &str,
) -> Result<Answer, Failure> {
    let config = Config::required(call.inputs.config.as_deref(), &["columnName"])?;
    let name = column_name(config.text("columnName")?)?;
    let mut store = analytics.store();
    let view = changeable(&mut store, place)?;
    let Some(number) = view.columns.iter().position(|column| column.id == id) else {
        return Err(Failure::new(
            7107,
            format!("The column {id} is not present"),
        ));
    };
    let mut others = view.columns.iter().filter(|column| column.id != id);
    if others.any(|column| column.name.eq_ignore_ascii_case(&name)) {
        let message = format!("A column named `{name}` exists already");
        return Err(Failure::new(7157, message));
    }
    view.columns[number].name = name;
    Ok(Answer::NoContent)
}

pub(crate) fn delete_view(
    analytics: &Analytics,
    call: &Call,
    place: &Place,
) -> Result<Answer, Failure> {
    let config = Config::optional(call.inputs.config.as_deref(), &["deleteDependentViews"])?;
    config.flag("deleteDependentViews")?;
    let mut store = analytics.store();
    store.require("delete-view")?;
    let view = store.view(&place.workspace, &place.view)?;
    store.check_design_free(view)?;
    store.views.remove(&place.view);
    Ok(Answer::NoContent)
}
