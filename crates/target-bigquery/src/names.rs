//! Names: what a property is called as a column, and which texts may be the name of a dataset, of a
//! table, or a part of a job's id.
//!
//! Only the plain set of column names is used (letters, digits, `_`): the flexible names that the
//! service has besides are not taken everywhere.

use std::collections::BTreeMap;

use singer_core::{Error, Result};
use singer_runtime::target::Problem;

#[cfg(test)]
mod tests;

/// Characters of a column's name at most.
pub(crate) const COLUMN_LENGTH: usize = 300;
/// Characters of a dataset's, a table's and a job's name at most.
const ID_LENGTH: usize = 1024;
/// What a column's name must not begin with, in whatever case.
const RESERVED: [&str; 8] = [
    "_TABLE_",
    "_FILE_",
    "_PARTITION",
    "_ROW_TIMESTAMP",
    "__ROOT__",
    "_COLIDENTIFIER",
    "_CHANGE_TYPE",
    "_CHANGE_SEQUENCE_NUMBER",
];

/// The columns of some properties, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnNames {
    /// Property and column.
    names: Vec<(String, String)>,
}

impl ColumnNames {
    /// Names the columns of these properties. Of two whose names become one, that which needed no
    /// change keeps it and the other gets a suffix that depends on nothing but its own name; if that
    /// does not decide it, the two are a problem. The order of the properties does not matter.
    ///
    /// # Errors
    /// The problems, each with the names of the properties that became one.
    pub fn new<'a>(
        properties: impl IntoIterator<Item = &'a str>,
    ) -> std::result::Result<Self, Vec<Problem>> {
        let mut names: Vec<(String, String)> = properties
            .into_iter()
            .map(|property| (property.to_owned(), column(property)))
            .collect();
        let mut problems = Vec::new();
        for group in groups(&names) {
            let exact: Vec<usize> = group
                .iter()
                .copied()
                .filter(|index| names[*index].0 == names[*index].1)
                .collect();
            match exact.as_slice() {
                [keeper] => {
                    for index in group.into_iter().filter(|index| index != keeper) {
                        let (property, column) = &mut names[index];
                        *column = with_suffix(column, property);
                    }
                }
                _ => problems.push(collision(&names, &group)),
            }
        }
        // A suffix may meet a name that somebody chose.
        if problems.is_empty() {
            problems.extend(groups(&names).iter().map(|group| collision(&names, group)));
        }
        if problems.is_empty() {
            Ok(Self { names })
        } else {
            Err(problems)
        }
    }

    /// The column of the property with this place.
    pub fn column(&self, index: usize) -> &str {
        &self.names[index].1
    }

    /// Properties whose columns are called otherwise, with those columns.
    pub fn changed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names
            .iter()
            .filter(|(property, column)| property != column)
            .map(|(property, column)| (property.as_str(), column.as_str()))
    }
}

/// The column that a property would have if it stood alone.
pub fn column(property: &str) -> String {
    let mut name: String = property
        .chars()
        .map(|letter| if is_plain(letter) { letter } else { '_' })
        .collect();
    if RESERVED
        .iter()
        .any(|prefix| starts_with_any_case(&name, prefix))
    {
        // Not another `_`: that could make a reserved name of one that is not.
        name.insert(0, 'x');
    }
    if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        name.insert(0, '_');
    }
    // Letters of other scripts are all `_` now, and the names of many columns would be one.
    let lost = property
        .chars()
        .any(|letter| !letter.is_ascii() && letter.is_alphanumeric());
    if lost || name.len() > COLUMN_LENGTH {
        name = with_suffix(&name, property);
    }
    name
}

/// Whether two columns are one to the service.
pub fn same_column(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
        || (!one.is_ascii() && one.to_lowercase() == other.to_lowercase())
}

/// A dataset's name: letters, digits and `_`.
///
/// # Errors
/// [`singer_core::Kind::Config`] if it is none.
pub fn dataset_id(text: &str) -> Result<String> {
    if text.is_empty() || text.len() > ID_LENGTH || !text.chars().all(is_plain) {
        return Err(
            Error::config(format!("`{text}` is not a name of a dataset")).with_hint(
                "letters, digits and `_`, at most 1,024; the project has a setting of its own",
            ),
        );
    }
    Ok(text.to_owned())
}

/// A table's name made of any text: letters, digits and `_`, the rest becomes `_`.
///
/// # Errors
/// [`singer_core::Kind::Config`] if nothing is left of it or it is too long.
pub fn table_id(text: &str) -> Result<String> {
    if !text.chars().any(char::is_alphanumeric) || text.len() > ID_LENGTH {
        return Err(Error::config(format!(
            "`{text}` gives no name of a table: letters and digits are wanted, at most 1,024 bytes"
        ))
        .with_hint("name the table of this stream in the config"));
    }
    let name: String = text
        .chars()
        .map(|letter| if is_plain(letter) { letter } else { '_' })
        .collect();
    if text
        .chars()
        .any(|letter| !letter.is_ascii() && letter.is_alphanumeric())
    {
        return Ok(with_suffix_within(&name, text, ID_LENGTH));
    }
    Ok(name)
}

/// A part of a job's id made of any text: letters, digits, `_` and `-`, at most 200 characters.
pub fn job_id_part(text: &str) -> String {
    text.chars()
        .take(200)
        .map(|letter| match letter {
            '-' => '-',
            letter if is_plain(letter) => letter,
            _ => '_',
        })
        .collect()
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn starts_with_any_case(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn with_suffix(column: &str, property: &str) -> String {
    with_suffix_within(column, property, COLUMN_LENGTH)
}

/// A name of ASCII with eight digits that depend on `source`, cut so that both fit.
fn with_suffix_within(name: &str, source: &str, length: usize) -> String {
    let kept = name.get(..length - 9).unwrap_or(name);
    format!("{kept}_{:08x}", hash(source))
}

/// FNV-1a with 32 bits: it must be the same in every release, as it is part of names.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// The places of names that are one, for each such name.
fn groups(names: &[(String, String)]) -> Vec<Vec<usize>> {
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, (_, column)) in names.iter().enumerate() {
        by_name
            .entry(column.to_ascii_lowercase())
            .or_default()
            .push(index);
    }
    by_name.retain(|_, group| group.len() > 1);
    by_name.into_values().collect()
}

fn collision(names: &[(String, String)], group: &[usize]) -> Problem {
    let mut properties: Vec<String> = group
        .iter()
        .map(|index| format!("`{}`", names[*index].0))
        .collect();
    properties.sort_unstable();
    let column = group.first().map_or("", |index| names[*index].1.as_str());
    Problem {
        kind: "column names",
        message: format!(
            "properties {} would all be column `{column}`: names of columns have letters, digits and `_` and are compared without case",
            properties.join(" and ")
        ),
        hint: Some(
            "rename one of them ahead of this target, or leave it out in the catalog".to_owned(),
        ),
    }
}
