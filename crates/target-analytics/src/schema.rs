//! From a SCHEMA to columns: what each property becomes in a new table, and how it meets the columns of
//! a table that is there.

use singer_core::schema::{Property, TypeSet};
use singer_runtime::target::{Problem, Stream};

use crate::config::{Chosen, Mode, OnDelete};
use crate::encode::{Cell, Source};
use crate::model::{Column, DataType, NewColumn};

#[cfg(test)]
mod tests;

/// The column that says when a row vanished.
pub(crate) const DELETED_AT: &str = "_sdc_deleted_at";

/// The column that says which version of a full table a row was in last.
pub(crate) const TABLE_VERSION: &str = "_sdc_table_version";

/// Text up to this length becomes a column of one line.
const PLAIN_LENGTH: u64 = 250;

/// What a property holds, as far as its schema says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Integer,
    Number,
    Boolean,
    DateTime,
    Date,
    Time,
    Text,
    Nested,
    Any,
}

/// A column that the stream wants to write.
#[derive(Debug, Clone)]
struct Wanted<'a> {
    /// What people know it by.
    property: &'a str,
    source: Source,
    column: &'a str,
    sort: Sort,
    /// Its type, if it has to be created.
    kind: DataType,
    is_key: bool,
    always: bool,
}

/// The columns of a stream, and what is to be done first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns {
    /// What is written.
    pub(crate) cells: Vec<Cell>,
    /// What has to be created.
    pub(crate) create: Vec<NewColumn>,
    /// The columns by which rows are found.
    pub(crate) matching: Vec<String>,
    /// What is good to know.
    pub(crate) notes: Vec<String>,
    /// What stands against it.
    pub(crate) problems: Vec<Problem>,
    /// Whether a property says which rows were deleted at the source.
    has_marks: bool,
}

/// Plans the columns of a stream; `table` holds those of the table, if there is one.
pub(crate) fn plan(
    stream: &Stream,
    chosen: &Chosen,
    mode: Mode,
    table: Option<&[Column]>,
) -> Columns {
    let mut columns = Columns {
        has_marks: chosen.on_delete != OnDelete::Ignore,
        ..Columns::default()
    };
    let wanted = wanted(stream, chosen, mode, &mut columns.problems);
    check_names(&wanted, &mut columns.problems);
    for wanted in &wanted {
        match table.and_then(|table| find(table, wanted.column)) {
            Some(column) => columns.meet(wanted, column, stream, chosen),
            None => columns.miss(wanted, stream, chosen, table.is_some()),
        }
    }
    columns.check_mandatory(table.unwrap_or_default(), mode, stream);
    columns.match_keys(stream, chosen, mode);
    if mode == Mode::Row && columns.cells.len() > 300 {
        columns.problems.push(Problem {
            kind: "too many columns",
            message: format!(
                "a row would have {} columns, and a call about one row takes 300",
                columns.cells.len()
            ),
            hint: Some("use `mode` `upsert`".to_owned()),
        });
    }
    columns
}

/// The column of this name; spelled in another case only if no other is.
fn find<'a>(table: &'a [Column], name: &str) -> Option<&'a Column> {
    let exact = table.iter().find(|column| column.name == name);
    exact.or_else(|| {
        let lower = name.to_lowercase();
        table
            .iter()
            .find(|column| column.name.to_lowercase() == lower)
    })
}

/// Whether two names are of one column.
fn is_same(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

fn wanted<'a>(
    stream: &'a Stream,
    chosen: &'a Chosen,
    mode: Mode,
    problems: &mut Vec<Problem>,
) -> Vec<Wanted<'a>> {
    let schema = &stream.schema;
    for property in chosen.columns.keys() {
        if schema.layout().index(property).is_none() && !stream.guessed {
            problems.push(Problem {
                kind: "property missing",
                message: format!(
                    "`columns` names the property `{property}`, which the SCHEMA lacks"
                ),
                hint: None,
            });
        }
    }
    let keys = chosen.matching_columns.as_deref();
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    for (index, property) in schema.properties().iter().enumerate() {
        if property.name == DELETED_AT && chosen.on_delete == OnDelete::Delete {
            // A row that has it is deleted: the column would be empty for good.
            continue;
        }
        let column = chosen.columns.get(&property.name);
        let column = column.map_or(property.name.as_str(), String::as_str);
        let is_key = match keys {
            _ if mode == Mode::Append || mode == Mode::Replace => false,
            Some(keys) => keys.iter().any(|key| is_same(key, column)),
            None => schema.key_properties().contains(&property.name),
        };
        let sort = sort_of(property);
        let kind = chosen.types.get(column).cloned();
        wanted.push(Wanted {
            property: &property.name,
            source: Source::Property(index),
            column,
            sort,
            kind: kind.unwrap_or_else(|| kind_of(property, sort, is_key)),
            is_key,
            always: mode == Mode::Append || mode == Mode::Replace,
        });
    }
    let finds_rows = matches!(mode, Mode::Upsert | Mode::Row);
    if finds_rows && chosen.on_delete != OnDelete::Ignore {
        add_own(&mut wanted, TABLE_VERSION, Source::Version, Sort::Integer);
    }
    if finds_rows && chosen.on_delete == OnDelete::Flag {
        add_own(&mut wanted, DELETED_AT, Source::Nothing, Sort::DateTime);
        // A row that came back is marked no more.
        if let Some(mark) = wanted.iter_mut().find(|it| it.property == DELETED_AT) {
            mark.always = true;
        }
    }
    wanted
}

/// Adds a column of our own, unless the stream has it.
fn add_own(wanted: &mut Vec<Wanted<'_>>, name: &'static str, source: Source, sort: Sort) {
    if wanted.iter().any(|it| it.property == name) {
        return;
    }
    wanted.push(Wanted {
        property: name,
        source,
        column: name,
        sort,
        kind: match sort {
            Sort::Integer => DataType::Number,
            _ => DataType::DateTime,
        },
        is_key: false,
        always: true,
    });
}

fn sort_of(property: &Property) -> Sort {
    let types = property.types.without_null();
    let only = |all: TypeSet| all.contains(types) && !types.is_empty();
    let format = property.format.as_deref();
    if types.is_empty() || property.types == TypeSet::ANY {
        Sort::Any
    } else if only(TypeSet::INTEGER) {
        Sort::Integer
    } else if only(TypeSet::NUMBER.union(TypeSet::INTEGER)) {
        Sort::Number
    } else if only(TypeSet::BOOLEAN) {
        Sort::Boolean
    } else if only(TypeSet::STRING) {
        match format {
            Some("date-time") => Sort::DateTime,
            Some("date") => Sort::Date,
            Some("time") => Sort::Time,
            Some("singer.decimal") => Sort::Number,
            _ => Sort::Text,
        }
    } else if format == Some("singer.decimal") {
        Sort::Number
    } else if only(TypeSet::OBJECT.union(TypeSet::ARRAY)) {
        Sort::Nested
    } else {
        Sort::Text
    }
}

/// The type of a new column.
fn kind_of(property: &Property, sort: Sort, is_key: bool) -> DataType {
    match sort {
        Sort::Integer => DataType::Number,
        Sort::Number => DataType::Decimal,
        Sort::Boolean => DataType::Boolean,
        Sort::DateTime => DataType::DateTime,
        Sort::Date => DataType::Date,
        Sort::Time => DataType::Time,
        // A key is compared and looked up: a long text may be neither.
        Sort::Text if is_key => DataType::Plain,
        Sort::Text => match property.schema.get("maxLength").and_then(|it| it.as_u64()) {
            Some(length) if length <= PLAIN_LENGTH => DataType::Plain,
            _ => DataType::MultiLine,
        },
        Sort::Any if is_key => DataType::Plain,
        Sort::Nested | Sort::Any => DataType::MultiLine,
    }
}

/// How the values of a property meet a column.
enum Fit {
    All,
    /// Some of them may be refused.
    Some(&'static str),
    None,
}

fn fit(sort: Sort, kind: &DataType) -> Fit {
    if kind.is_text() || sort == Sort::Any {
        return Fit::All;
    }
    let is_integer = matches!(kind, DataType::Number | DataType::PositiveNumber);
    match sort {
        Sort::Integer if *kind == DataType::PositiveNumber => {
            Fit::Some("negative numbers are refused")
        }
        Sort::Integer if is_integer || kind.is_decimal() => Fit::All,
        Sort::Number if kind.is_decimal() => Fit::All,
        Sort::Number if is_integer => Fit::Some("numbers with a fraction are refused"),
        Sort::Boolean if *kind == DataType::Boolean => Fit::All,
        Sort::DateTime if *kind == DataType::DateTime => Fit::All,
        Sort::DateTime if *kind == DataType::Date => {
            Fit::Some("times that are not midnight in UTC are refused")
        }
        Sort::Date if matches!(kind, DataType::Date | DataType::DateTime) => Fit::All,
        Sort::Time if *kind == DataType::Time => Fit::All,
        // Ids and times often come as plain text.
        Sort::Text => Fit::Some("texts that are none are refused"),
        _ => Fit::None,
    }
}

impl Columns {
    /// A column that is there.
    fn meet(&mut self, wanted: &Wanted<'_>, column: &Column, stream: &Stream, chosen: &Chosen) {
        let name = &column.name;
        if !column.is_writable() {
            let why = if column.computed {
                "computed"
            } else {
                "counted by the service"
            };
            if wanted.is_key {
                self.problems.push(Problem {
                    kind: "key column",
                    message: format!("column `{name}` is {why} and cannot be written, yet rows are to be found by it"),
                    hint: Some("name other columns in `matching_columns`".to_owned()),
                });
            } else {
                self.notes
                    .push(format!("column `{name}` is {why}: not written"));
            }
            return;
        }
        if *name != wanted.property {
            let property = wanted.property;
            self.notes
                .push(format!("property `{property}` goes to column `{name}`"));
        }
        if let Some(kind) = chosen.types.get(wanted.column)
            && *kind != column.kind
        {
            self.notes.push(format!(
                "column `{name}` stays {}: no call changes the type of a column",
                column.kind
            ));
        }
        let sort = if stream.guessed {
            Sort::Any
        } else {
            wanted.sort
        };
        match fit(sort, &column.kind) {
            Fit::All => {}
            Fit::Some(words) => self
                .notes
                .push(format!("column `{name}` is {}: {words}", column.kind)),
            Fit::None => self.problems.push(Problem {
                kind: "type conflict",
                message: format!(
                    "property `{}` is {}, and column `{name}` is {}",
                    wanted.property,
                    sort.word(),
                    column.kind
                ),
                hint: Some(
                    "send it to another column by `columns`, or make a new column of the right type: no call changes one"
                        .to_owned(),
                ),
            }),
        }
        self.push(wanted, name, column.kind.clone());
    }

    /// A column that is not there.
    fn miss(&mut self, wanted: &Wanted<'_>, stream: &Stream, chosen: &Chosen, has_table: bool) {
        let (property, column) = (wanted.property, wanted.column);
        if has_table && (!chosen.create || stream.guessed) {
            let hint = if stream.guessed {
                "records of a rejects file have no SCHEMA: run the tap once more, which creates it"
            } else {
                "create it, or leave `create` on"
            };
            self.problems.push(Problem {
                kind: "column missing",
                message: format!("there is no column `{column}` for the property `{property}`"),
                hint: Some(hint.to_owned()),
            });
            return;
        }
        if column != property {
            self.notes
                .push(format!("property `{property}` goes to column `{column}`"));
        }
        self.create.push(NewColumn {
            name: column.to_owned(),
            kind: wanted.kind.clone(),
            mandatory: wanted.is_key && !has_table,
        });
        self.push(wanted, column, wanted.kind.clone());
    }

    fn push(&mut self, wanted: &Wanted<'_>, name: &str, kind: DataType) {
        let mut cell = Cell::new(wanted.source, name, kind, wanted.is_key);
        cell.always |= wanted.always;
        cell.is_mark = wanted.property == DELETED_AT && self.has_marks;
        self.cells.push(cell);
    }

    /// Columns that must have a value and get none.
    fn check_mandatory(&mut self, table: &[Column], mode: Mode, stream: &Stream) {
        for column in table {
            let is_left = !column.nullable && column.is_writable() && !column.has_default;
            if !is_left || self.cells.iter().any(|cell| cell.column == column.name) {
                continue;
            }
            let name = &column.name;
            if stream.guessed || matches!(mode, Mode::Upsert | Mode::Row) {
                self.notes.push(format!(
                    "column `{name}` is mandatory and not of the stream: rows that are not there yet are refused"
                ));
            } else {
                self.problems.push(Problem {
                    kind: "mandatory column",
                    message: format!(
                        "column `{name}` is mandatory, and the stream has no such property"
                    ),
                    hint: Some(
                        "map a property to it by `columns`, or give it a default".to_owned(),
                    ),
                });
            }
        }
    }

    /// The columns by which rows are found.
    fn match_keys(&mut self, stream: &Stream, chosen: &Chosen, mode: Mode) {
        let keys = self.cells.iter().filter(|cell| cell.is_key);
        self.matching = keys.map(|cell| cell.column.clone()).collect();
        for column in chosen.matching_columns.iter().flatten() {
            if !self.matching.iter().any(|it| is_same(it, column))
                && matches!(mode, Mode::Upsert | Mode::Row)
                && !self
                    .problems
                    .iter()
                    .any(|problem| problem.kind == "key column")
            {
                self.problems.push(Problem {
                    kind: "key column",
                    message: format!(
                        "`matching_columns` names `{column}`, which no property goes to"
                    ),
                    hint: None,
                });
            }
        }
        if self.matching.is_empty() && mode == Mode::Upsert {
            self.problems.push(Problem {
                kind: "no key",
                message: format!("the stream `{}` has no key to find rows by", stream.name),
                hint: Some("set `matching_columns`, or `mode` to `append` or `replace`".to_owned()),
            });
        }
        if self.matching.is_empty() && mode == Mode::Row && chosen.on_delete != OnDelete::Ignore {
            self.problems.push(Problem {
                kind: "no key",
                message: format!("`on_delete` of the stream `{}` needs a key", stream.name),
                hint: Some("set `matching_columns`".to_owned()),
            });
        }
        if mode == Mode::Append && chosen.on_delete != OnDelete::Ignore {
            self.problems.push(Problem {
                kind: "no key",
                message: "`on_delete` finds no rows where each record is a new row".to_owned(),
                hint: Some("set `mode` to `upsert`, or `on_delete` to `ignore`".to_owned()),
            });
        }
    }
}

impl Sort {
    fn word(self) -> &'static str {
        match self {
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::DateTime => "a date-time",
            Self::Date => "a date",
            Self::Time => "a time",
            Self::Text => "text",
            Self::Nested => "an object or a list",
            Self::Any => "anything",
        }
    }
}

/// Names that are none, or that Analytics may take for one.
fn check_names(wanted: &[Wanted<'_>], problems: &mut Vec<Problem>) {
    let mut seen = std::collections::BTreeMap::new();
    for it in wanted {
        if it.column.trim().is_empty() {
            problems.push(Problem {
                kind: "column names",
                message: "a property without a name has no column".to_owned(),
                hint: Some("name its column in `columns`".to_owned()),
            });
        }
        if let Some(other) = seen.insert(it.column.to_lowercase(), it.property) {
            problems.push(Problem {
                kind: "column names",
                message: format!(
                    "properties `{other}` and `{}` would be one column: names that differ only in case are taken for one",
                    it.property
                ),
                hint: Some("name another column for one of them in `columns`".to_owned()),
            });
        }
    }
}
