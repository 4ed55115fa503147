//! The columns of a schema against those of a table: what is to be added, relaxed and widened, what
//! stands against it, and what is written where.

use singer_runtime::target::Problem;

use super::fit::{Fit, fit};
use super::{Column, MAX_COLUMNS, count, has_default, sql_type, too_many};
use crate::model::{Field, Mode};
use crate::names::same_column;

/// What happens to a column whose values do not fit the table's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// They go to a column beside it, called `<name>__<type>`, or `<name>__<type>_list` if it is
    /// REPEATED. A column of the key has none: it is a problem.
    #[default]
    Variant,
    /// The stream cannot be written.
    Error,
}

/// What may be done to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompareOptions<'a> {
    /// Values that do not fit.
    pub on_conflict: OnConflict,
    /// Whether columns may be added.
    pub additions: bool,
    /// Whether REQUIRED may become NULLABLE.
    pub relaxations: bool,
    /// Whether types may become wider.
    pub widenings: bool,
    /// Columns that are written besides those of the schema.
    pub extras: &'a [&'a str],
    /// Whether the schema is guessed: types are then the table's.
    pub guessed: bool,
}

impl Default for CompareOptions<'_> {
    fn default() -> Self {
        Self {
            on_conflict: OnConflict::Variant,
            additions: true,
            relaxations: true,
            widenings: true,
            extras: &[],
            guessed: false,
        }
    }
}

/// What a table lacks for a schema. Paths are names of columns with points between them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Fields that are to be added.
    pub add: Vec<(String, Field)>,
    /// Fields that are to become NULLABLE.
    pub relax: Vec<String>,
    /// Columns whose type is to become wider, by `ALTER COLUMN … SET DATA TYPE`.
    pub widen: Vec<Widening>,
    /// What stands against it.
    pub problems: Vec<Problem>,
    /// The columns as they are to be written, once all changes are made.
    pub columns: Vec<Column>,
    /// The whole schema with additions and relaxations, for `tables.patch`. Types are still those
    /// from before the widenings, so the patch goes first.
    pub schema: Vec<Field>,
}

/// A type that becomes wider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widening {
    /// The column.
    pub path: String,
    /// The field as it is.
    pub from: Field,
    /// The field as it is to be.
    pub to: Field,
}

impl Changes {
    /// Whether the table is as the schema needs it.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.relax.is_empty() && self.widen.is_empty()
    }
}

/// Compares the columns of a schema with the fields of a table. Names are compared without case.
pub fn compare(wanted: &[Column], table: &[Field], options: &CompareOptions<'_>) -> Changes {
    let mut comparison = Comparison {
        options,
        changes: Changes::default(),
    };
    let mut schema = table.to_vec();
    let columns = comparison.level("", wanted, &mut schema);
    let mut changes = comparison.changes;
    changes.columns = columns;
    let count: usize = schema.iter().map(count).sum();
    if count > MAX_COLUMNS && !changes.add.is_empty() {
        changes.problems.push(too_many(count));
    }
    changes.schema = schema;
    changes
}

struct Comparison<'a> {
    options: &'a CompareOptions<'a>,
    changes: Changes,
}

impl Comparison<'_> {
    /// The columns of one level as they are to be written. `fields` is what the table has there, and
    /// afterwards what it will have.
    fn level(&mut self, path: &str, wanted: &[Column], fields: &mut Vec<Field>) -> Vec<Column> {
        let mut columns: Vec<Column> = Vec::with_capacity(wanted.len());
        for column in wanted {
            if let Some(column) = self.column(path, column, wanted, fields) {
                columns.push(column);
            }
        }
        // A row without a value for these would be refused.
        for field in fields
            .iter_mut()
            .filter(|field| field.mode == Mode::Required && !has_default(field))
        {
            let is_written = columns
                .iter()
                .any(|column| same_column(&column.field.name, &field.name))
                || (path.is_empty()
                    && self
                        .options
                        .extras
                        .iter()
                        .any(|extra| same_column(extra, &field.name)));
            if !is_written {
                self.relax(path, field, "no property fills it");
            }
        }
        columns
    }

    fn column(
        &mut self,
        path: &str,
        wanted: &Column,
        all: &[Column],
        fields: &mut Vec<Field>,
    ) -> Option<Column> {
        let found = position(fields, &wanted.field.name)
            // The table may have a name from beyond the plain set.
            .or_else(|| position(fields, &wanted.property));
        let Some(found) = found else {
            return self.add(path, wanted.clone(), fields);
        };
        if self.options.guessed {
            return Some(guessed(wanted, &fields[found]));
        }
        match fit(wanted, &fields[found]) {
            Fit::AsItIs => self.as_it_is(path, wanted, &mut fields[found]),
            Fit::Fields => self.record(path, wanted, &mut fields[found]),
            Fit::Widen(to) => {
                let mut column = self.as_it_is(path, wanted, &mut fields[found])?;
                // Inside a RECORD a type can only be changed with the whole RECORD, and in a list
                // not at all.
                if self.options.widenings && path.is_empty() && !wanted.is_repeated() {
                    let to = Field {
                        mode: fields[found].mode,
                        ..*to
                    };
                    self.changes.widen.push(Widening {
                        path: fields[found].name.clone(),
                        from: fields[found].clone(),
                        to: to.clone(),
                    });
                    column.field = to;
                }
                Some(column)
            }
            Fit::Conflict => self.conflict(path, wanted, all, fields, found),
        }
    }

    /// A column whose values are written in the type that the table has.
    fn as_it_is(&mut self, path: &str, wanted: &Column, field: &mut Field) -> Option<Column> {
        self.relax_nullable(path, wanted, field);
        Some(Column {
            field: field.clone(),
            columns: Vec::new(),
            ..wanted.clone()
        })
    }

    fn record(&mut self, path: &str, wanted: &Column, field: &mut Field) -> Option<Column> {
        self.relax_nullable(path, wanted, field);
        let inside = join(path, &field.name);
        let columns = self.level(&inside, &wanted.columns, &mut field.fields);
        Some(Column {
            field: field.clone(),
            columns,
            ..wanted.clone()
        })
    }

    fn add(&mut self, path: &str, mut column: Column, fields: &mut Vec<Field>) -> Option<Column> {
        if !self.options.additions {
            let name = join(path, &column.field.name);
            self.changes.problems.push(Problem {
                kind: "column missing",
                message: format!(
                    "the table has no column `{name}` ({}) for property `{}`",
                    sql_type(&column.field),
                    column.property
                ),
                hint: Some("add the column, or allow this target to".to_owned()),
            });
            return None;
        }
        // Rows that are there already have no value.
        if column.field.mode == Mode::Required {
            column.field.mode = Mode::Nullable;
        }
        self.changes
            .add
            .push((join(path, &column.field.name), column.field.clone()));
        fields.push(column.field.clone());
        Some(column)
    }

    fn conflict(
        &mut self,
        path: &str,
        wanted: &Column,
        all: &[Column],
        fields: &mut Vec<Field>,
        found: usize,
    ) -> Option<Column> {
        let word = wanted.field.kind.word().to_lowercase();
        let many = if wanted.is_repeated() { "_list" } else { "" };
        let name = format!("{}__{word}{many}", wanted.field.name);
        let is_taken = name.len() > crate::names::COLUMN_LENGTH
            || all
                .iter()
                .any(|other| same_column(&other.field.name, &name));
        // Rows under two columns of one key would no longer meet.
        if self.options.on_conflict == OnConflict::Error || wanted.is_key || is_taken {
            self.changes
                .problems
                .push(conflict(path, wanted, &fields[found]));
            return None;
        }
        let mut variant = wanted.clone();
        variant.field.name = name;
        match position(fields, &variant.field.name) {
            None => self.add(path, variant, fields),
            Some(place) => match fit(&variant, &fields[place]) {
                Fit::Fields => self.record(path, &variant, &mut fields[place]),
                Fit::AsItIs | Fit::Widen(_) => self.as_it_is(path, &variant, &mut fields[place]),
                Fit::Conflict => {
                    self.changes
                        .problems
                        .push(conflict(path, &variant, &fields[place]));
                    None
                }
            },
        }
    }

    fn relax_nullable(&mut self, path: &str, wanted: &Column, field: &mut Field) {
        if field.mode == Mode::Required && wanted.nullable {
            self.relax(path, field, "the schema admits null");
        }
    }

    fn relax(&mut self, path: &str, field: &mut Field, why: &str) {
        let name = join(path, &field.name);
        if !self.options.relaxations {
            self.changes.problems.push(Problem {
                kind: "column required",
                message: format!("the table's column `{name}` is REQUIRED, and {why}"),
                hint: Some("make it NULLABLE, or allow this target to".to_owned()),
            });
            return;
        }
        field.mode = Mode::Nullable;
        self.changes.relax.push(name);
    }
}

/// A column of an unknown type takes that of the table, with all that is inside.
fn guessed(wanted: &Column, field: &Field) -> Column {
    let mut column = Column::new(&wanted.property, wanted.index, field.clone());
    mark_guessed(&mut column);
    column
}

fn mark_guessed(column: &mut Column) {
    column.guessed = true;
    column.columns.iter_mut().for_each(mark_guessed);
}

fn conflict(path: &str, wanted: &Column, field: &Field) -> Problem {
    let name = join(path, &field.name);
    Problem {
        kind: "type conflict",
        message: format!(
            "column `{name}` is {} in the table, and property `{}` leads to {}",
            sql_type(field),
            wanted.property,
            sql_type(&wanted.field)
        ),
        hint: Some(
            if wanted.is_key {
                "it is of the key: change the schema in the catalog, or the table's column"
            } else {
                "change the schema in the catalog, rename the table's column, or let values go to a column beside it (`variant`)"
            }
            .to_owned(),
        ),
    }
}

fn position(fields: &[Field], name: &str) -> Option<usize> {
    fields
        .iter()
        .position(|field| same_column(&field.name, name))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
