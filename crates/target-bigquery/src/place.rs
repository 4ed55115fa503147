//! Where rows go: a data set and a table, either of which may depend on a column's value.

use singer_core::scan::{ValueKind, unescape_lossy};
use singer_core::schema::Schema;
use singer_core::{Error, Result};
use singer_runtime::target::Record;

use crate::encode::RowError;
use crate::names;

/// A table by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The data set.
    pub dataset: String,
    /// The table.
    pub table: String,
}

impl Place {
    /// A table of a data set.
    pub fn new(dataset: impl Into<String>, table: impl Into<String>) -> Self {
        Self {
            dataset: dataset.into(),
            table: table.into(),
        }
    }

    /// Another table beside this one.
    pub fn beside(&self, table: String) -> Self {
        Self {
            dataset: self.dataset.clone(),
            table,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.dataset, self.table)
    }
}

/// Where the rows of a stream go.
#[derive(Debug, Clone)]
pub struct Route {
    dataset: Template,
    table: Template,
    /// The values that a column in a name may have.
    tenants: Option<Vec<String>>,
}

/// A name in which `{column}` stands for a value.
#[derive(Debug, Clone)]
struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    /// A property by its place in the layout.
    Column(usize),
}

impl Template {
    fn parse(key: &str, text: &str, schema: &Schema) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let wrong = || Error::config(format!("`{key}` has a brace that is not closed"));
            let (column, after) = after.split_once('}').ok_or_else(wrong)?;
            let index = schema.layout().index(column).ok_or_else(|| {
                Error::config(format!(
                    "`{key}` names the column `{column}`, which the stream does not have"
                ))
            })?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Column(index));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.parts.iter().filter_map(|part| match part {
            Part::Column(index) => Some(*index),
            Part::Text(_) => None,
        })
    }

    fn is_fixed(&self) -> bool {
        self.columns().next().is_none()
    }
}

impl Route {
    /// Reads the two names of a config. A table's name that is the stream's own is mapped to what
    /// BigQuery takes; one of the config must be good as it is.
    pub fn new(
        dataset: &str,
        table: Option<&str>,
        tenants: Option<Vec<String>>,
        stream: &str,
        schema: &Schema,
    ) -> Result<Self> {
        let own;
        let table = match table {
            Some(table) => table,
            None => {
                own = names::table_id(stream)?;
                &own
            }
        };
        let route = Self {
            dataset: Template::parse("dataset", dataset, schema)?,
            table: Template::parse("table", table, schema)?,
            tenants,
        };
        if route.dataset.is_fixed() {
            names::dataset_id(dataset)?;
        }
        if route.table.is_fixed() {
            let taken = names::table_id(table)?;
            if taken != table {
                return Err(Error::config(format!(
                    "`table` has characters that no table of BigQuery takes: `{table}`"
                ))
                .with_hint(format!("`{taken}` would do")));
            }
        }
        Ok(route)
    }

    /// The one table, if it depends on no row.
    pub fn fixed(&self) -> Option<Place> {
        (self.dataset.is_fixed() && self.table.is_fixed())
            .then(|| Place::new(self.dataset.text.clone(), self.table.text.clone()))
    }

    /// The properties that the names depend on.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns: Vec<usize> = self.dataset.columns().chain(self.table.columns()).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// As people wrote it.
    pub fn text(&self) -> String {
        format!("{}.{}", self.dataset.text, self.table.text)
    }

    /// Where a row goes. What stands in a name is checked, so that no value leads anywhere else.
    pub fn of(&self, record: &Record<'_>, schema: &Schema) -> Result<Place, RowError> {
        let dataset = self.fill(&self.dataset, record, schema)?;
        let table = self.fill(&self.table, record, schema)?;
        let wrong = |column: Option<usize>, what: &str| RowError {
            field: column.map_or_else(String::new, |index| schema.layout().name(index).to_owned()),
            reason: format!("its value makes no name of a {what}"),
            code: "tenant",
        };
        if names::dataset_id(&dataset).is_err() {
            return Err(wrong(self.dataset.columns().next(), "data set"));
        }
        if names::table_id(&table).ok().as_ref() != Some(&table) {
            return Err(wrong(self.table.columns().next(), "table"));
        }
        Ok(Place { dataset, table })
    }

    fn fill(
        &self,
        template: &Template,
        record: &Record<'_>,
        schema: &Schema,
    ) -> Result<String, RowError> {
        let mut name = String::new();
        for part in &template.parts {
            let index = match part {
                Part::Text(text) => {
                    name.push_str(text);
                    continue;
                }
                Part::Column(index) => *index,
            };
            let wrong = |reason: &str| RowError {
                field: schema.layout().name(index).to_owned(),
                reason: reason.to_owned(),
                code: "tenant",
            };
            let (kind, text) = record
                .field(index)
                .ok_or_else(|| wrong("the row's place depends on it, and it is missing"))?;
            let value = match kind {
                ValueKind::String => {
                    let inner = text
                        .get(1..text.len().saturating_sub(1))
                        .unwrap_or_default();
                    unescape_lossy(inner).into_owned()
                }
                ValueKind::Integer => String::from_utf8_lossy(text).into_owned(),
                _ => {
                    return Err(wrong(
                        "the row's place depends on it, and it is neither text nor an integer",
                    ));
                }
            };
            if value.is_empty() {
                return Err(wrong("the row's place depends on it, and it is empty"));
            }
            if self
                .tenants
                .as_ref()
                .is_some_and(|tenants| !tenants.contains(&value))
            {
                return Err(wrong("its value is not among `tenants`"));
            }
            name.push_str(&value);
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use singer_runtime::target::{Batch, Stream};

    use super::*;

    fn schema() -> Schema {
        let properties = r#"{"properties":{"id":{"type":"integer"},"org":{}}}"#;
        Schema::new(properties, Some(r#"["id"]"#), None).unwrap()
    }

    fn route(dataset: &str, table: Option<&str>, tenants: Option<&[&str]>) -> Result<Route> {
        let tenants = tenants.map(|all| all.iter().map(|it| (*it).to_owned()).collect());
        Route::new(dataset, table, tenants, "public.messages", &schema())
    }

    fn place(route: &Route, record: &str) -> Result<Place, RowError> {
        let stream = Arc::new(Stream {
            name: "s".to_owned(),
            schema: schema(),
            guessed: false,
        });
        let batch = Batch::from_records(stream, &[], &[record]).unwrap();
        route.of(&batch.record(0), &schema())
    }

    #[test]
    fn a_column_in_a_name_is_filled_by_the_row() {
        let route = route("org_{org}", Some("m"), None).unwrap();
        assert_eq!(route.fixed(), None);
        assert_eq!(route.columns(), [1]);
        let found = place(&route, r#"{"id":1,"org":7}"#).unwrap();
        assert_eq!(found, Place::new("org_7", "m"));
        let found = place(&route, r#"{"id":1,"org":"a_b"}"#).unwrap();
        assert_eq!(found, Place::new("org_a_b", "m"));
    }

    #[test]
    fn values_that_make_no_name_are_refused() {
        let route = route("org_{org}", Some("m"), None).unwrap();
        for record in [
            r#"{"id":1}"#,
            r#"{"id":1,"org":null}"#,
            r#"{"id":1,"org":""}"#,
            r#"{"id":1,"org":"a.b"}"#,
            r#"{"id":1,"org":"a-b"}"#,
            r#"{"id":1,"org":"a`b"}"#,
            r#"{"id":1,"org":{"a":1}}"#,
        ] {
            let error = place(&route, record).unwrap_err();
            assert_eq!((error.code, error.field.as_str()), ("tenant", "org"));
        }
    }

    #[test]
    fn only_listed_tenants_are_taken_if_there_is_a_list() {
        let route = route("org_{org}", None, Some(&["7"])).unwrap();
        assert!(place(&route, r#"{"id":1,"org":7}"#).is_ok());
        assert!(place(&route, r#"{"id":1,"org":8}"#).is_err());
    }

    #[test]
    fn names_of_a_config_are_checked() {
        let fixed = route("d", None, None).unwrap().fixed().unwrap();
        assert_eq!(fixed.dataset, "d");
        for (dataset, table) in [
            ("a-b", None),
            ("d", Some("a.b")),
            ("d_{", None),
            ("d_{nope}", None),
        ] {
            assert!(route(dataset, table, None).is_err(), "{dataset}");
        }
    }
}
