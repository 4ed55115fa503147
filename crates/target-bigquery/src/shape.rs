//! What a stream is at its destination: mode, method, key, columns, and what the target adds.

use singer_core::schema::Schema;
use singer_runtime::target::{Problem, Stream};

use crate::config::{self, Chosen, Dedupe, Digits, Method, Mode, OnDelete, OnTypeConflict};
use crate::encode::{ExtraKind, Fractions, Numbers, Options};
use crate::model::{Kind, Mode as FieldMode};
use crate::place::{Place, Route};
use crate::schema::{self, Arrays, Column, DateTimes, Decimal, Nested, OnConflict, SchemaOptions};
use crate::sql;
use crate::table::TableSpec;
use crate::warehouse::Warehouse;

/// The most columns of a primary key that the service takes.
const MOST_KEYS: usize = 16;

/// The most columns of a table that takes changes.
const MOST_CHANGE_COLUMNS: usize = 2_000;

/// A stream at its destination.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) mode: Mode,
    pub(crate) method: Method,
    pub(crate) route: Route,
    pub(crate) spec: TableSpec,
    /// The properties that identify a row.
    pub(crate) key: Vec<usize>,
    /// The columns that identify a row.
    pub(crate) key_columns: Vec<String>,
    /// The column by which the newer row is told.
    pub(crate) order_by: Option<String>,
    /// The same as a property.
    pub(crate) order_property: Option<usize>,
    /// The property that says when a row was deleted.
    pub(crate) deleted: Option<usize>,
    pub(crate) on_delete: Option<OnDelete>,
    pub(crate) dedupe: Dedupe,
    pub(crate) partition_fixed: bool,
    pub(crate) options: Options,
    /// What is good to know before, such as properties whose columns are called otherwise.
    pub(crate) notes: Vec<String>,
}

impl Shape {
    /// Reads what a stream and its settings come to, or what stands against it.
    pub(crate) fn new(
        warehouse: &Warehouse,
        stream: &Stream,
        chosen: &Chosen,
    ) -> Result<Self, Vec<Problem>> {
        let schema = &stream.schema;
        let method = warehouse.config.method;
        let mut problems = Vec::new();
        let key = key_of(schema, chosen, &mut problems);
        let mode = mode_of(chosen, method, !key.is_empty(), stream.guessed);
        let columns =
            schema::plan(schema, &schema_options(chosen, stream)).map_err(|mut found| {
                found.append(&mut problems);
                found
            })?;
        if key.is_empty() && matches!(mode, Mode::Upsert | Mode::AppendDedupe) {
            problems.push(Problem {
                kind: "key missing",
                message: "the stream has no key, and the mode needs one".to_owned(),
                hint: Some(format!(
                    "set `streams.{}.key`, or `mode` to `append`",
                    stream.name
                )),
            });
        }
        let is_key = |column: &Column| key.contains(&column.index);
        for column in &columns {
            // BigQuery compares neither of these.
            let comparable = !matches!(column.field.kind, Kind::Json | Kind::Record | Kind::Float)
                && column.field.mode != FieldMode::Repeated;
            if is_key(column) && !comparable && !stream.guessed && mode != Mode::Append {
                problems.push(Problem {
                    kind: "key type",
                    message: format!(
                        "the key column `{}` is {}, and rows are not told apart by such values",
                        column.field.name,
                        column.field.kind.word()
                    ),
                    hint: Some("choose other columns with `key`, or `mode` `append`".to_owned()),
                });
            }
        }
        let named = |property: &str| {
            let column = columns.iter().find(|column| column.property == property);
            column.map(|column| column.field.name.clone())
        };
        let order = order_of(schema, chosen, &mut problems);
        let route = Route::new(
            &chosen.dataset,
            chosen.table.as_deref(),
            chosen.tenants.clone(),
            &stream.name,
            schema,
        );
        let route = match route {
            Ok(route) => route,
            Err(error) => {
                problems.push(Problem {
                    kind: "name",
                    message: error.message().to_owned(),
                    hint: error.hints().first().cloned(),
                });
                return Err(problems);
            }
        };
        let mut column_of = |key: &str, property: &str| {
            let column = named(property);
            if column.is_none() {
                problems.push(Problem {
                    kind: "column missing",
                    message: format!("`{key}` names `{property}`, which the stream does not have"),
                    hint: None,
                });
            }
            column
        };
        let partition = chosen.partition_by.as_ref().and_then(|partition| {
            let column = column_of("partition_by", &partition.field)?;
            Some((partition.clone(), column))
        });
        let cluster = chosen
            .cluster_by
            .iter()
            .filter_map(|property| column_of("cluster_by", property))
            .collect();
        let key_columns: Vec<String> = key
            .iter()
            .filter_map(|index| named(schema.layout().name(*index)))
            .collect();
        let order_by = order.as_deref().and_then(named);
        let changes = method == Method::StorageWrite && mode == Mode::Upsert;
        check_changes(changes, &key_columns, &columns, &mut problems);
        let mut notes = Vec::new();
        if changes && let Some(property) = &order {
            check_order(chosen, property, &columns, &mut problems, &mut notes);
        }
        if chosen.on_delete == Some(OnDelete::Hard) && mode == Mode::AppendDedupe {
            problems.push(Problem {
                kind: "on_delete",
                message: "`append_dedupe` keeps the newest version of a row, also one that is marked as deleted"
                    .to_owned(),
                hint: Some("use `on_delete` `soft`, or `mode` `upsert`".to_owned()),
            });
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let spec = TableSpec {
            extras: extras(schema, chosen, mode),
            // What is declared to be a key is believed by those who plan queries, also where it is none.
            keys: if key_columns.len() <= MOST_KEYS && matches!(mode, Mode::Upsert | Mode::Replace)
            {
                key_columns.clone()
            } else {
                Vec::new()
            },
            needs_key: changes,
            partition,
            cluster,
            max_staleness: chosen.max_staleness.filter(|_| changes),
            on_conflict: match chosen.on_type_conflict {
                OnTypeConflict::Error => OnConflict::Error,
                OnTypeConflict::Variant => OnConflict::Variant,
            },
            guessed: stream.guessed,
            wanted: columns,
        };
        let renamed = schema::renamed(&spec.wanted).into_iter();
        notes.extend(
            renamed.map(|(property, column)| {
                format!("property `{property}` goes to column `{column}`")
            }),
        );
        Ok(Self {
            mode,
            method: method_of(method, mode, !key.is_empty()),
            route,
            spec,
            key,
            key_columns,
            order_property: order
                .as_deref()
                .and_then(|name| schema.layout().index(name)),
            order_by,
            deleted: schema.layout().index(sql::DELETED_AT),
            on_delete: chosen.on_delete,
            dedupe: chosen.dedupe.clone(),
            partition_fixed: chosen.partition_fixed,
            options: match chosen.digits {
                Digits::Exact => Options::default(),
                Digits::Round => Options {
                    numbers: Numbers::Round,
                    fractions: Fractions::Cut,
                    ..Options::default()
                },
            },
            notes,
        })
    }

    /// Whether batches become MERGE statements.
    pub(crate) fn merges(&self) -> bool {
        self.method == Method::Load
            && (self.mode == Mode::Upsert || self.mode == Mode::Replace && !self.key.is_empty())
    }

    /// Whether rows go as changes.
    pub(crate) fn sends_changes(&self) -> bool {
        self.method == Method::StorageWrite && self.mode == Mode::Upsert
    }

    /// Whether rows go through the table's default stream: as changes, or where one that comes twice is
    /// deleted later like any other superseded row. Streams of our own are not made without need, since a
    /// project may make only so many an hour.
    pub(crate) fn uses_default_stream(&self) -> bool {
        self.sends_changes()
            || (self.method == Method::StorageWrite && self.mode == Mode::AppendDedupe)
    }

    /// The properties that must not be null: those by which rows find their own kind.
    pub(crate) fn needed(&self) -> Vec<usize> {
        if self.merges() || self.sends_changes() || self.mode == Mode::AppendDedupe {
            self.key.clone()
        } else {
            Vec::new()
        }
    }

    /// Whether it matters that a batch is not written twice.
    pub(crate) fn is_journaled(&self) -> bool {
        !self.merges() && !self.uses_default_stream() && self.method != Method::Streaming
    }

    /// The properties that tell rows apart: two tenants may have a key in common. Where each record is a
    /// row of its own there are none.
    pub(crate) fn identity(&self) -> Vec<usize> {
        if !self.merges() && !self.sends_changes() {
            return Vec::new();
        }
        let mut identity = self.key.clone();
        for column in self.route.columns() {
            if !identity.contains(&column) {
                identity.push(column);
            }
        }
        identity
    }

    /// Whether rows that say they were deleted are deleted here too.
    pub(crate) fn deletes_rows(&self) -> bool {
        self.on_delete == Some(OnDelete::Hard)
    }

    /// The table that is going to be created, in words.
    pub(crate) fn table_words(&self, place: &Place) -> String {
        let mut words = format!(
            "table `{place}` with {} columns",
            self.spec.wanted.len() + self.spec.extras.len()
        );
        if let Some((_, column)) = &self.spec.partition {
            words.push_str(&format!(", partitioned by `{column}`"));
        }
        if !self.spec.cluster.is_empty() {
            words.push_str(&format!(
                ", clustered by `{}`",
                self.spec.cluster.join("`, `")
            ));
        }
        words
    }
}

fn key_of(schema: &Schema, chosen: &Chosen, problems: &mut Vec<Problem>) -> Vec<usize> {
    let names = chosen.key.as_deref().unwrap_or(schema.key_properties());
    let mut key = Vec::new();
    for name in names {
        match schema.layout().index(name) {
            Some(index) => key.push(index),
            None => problems.push(Problem {
                kind: "key missing",
                message: format!("`key` names `{name}`, which the stream does not have"),
                hint: None,
            }),
        }
    }
    key
}

fn mode_of(chosen: &Chosen, method: Method, has_key: bool, guessed: bool) -> Mode {
    let usual = if has_key && method != Method::Streaming {
        Mode::Upsert
    } else {
        Mode::Append
    };
    match chosen.mode.unwrap_or(usual) {
        // Refused rows that are sent again must not take the place of all others.
        Mode::Replace if guessed => usual,
        mode => mode,
    }
}

/// A table that is replaced and has a key is filled by MERGE, so that a row which came twice stands once.
fn method_of(method: Method, mode: Mode, has_key: bool) -> Method {
    match mode {
        Mode::Replace if has_key => Method::Load,
        _ => method,
    }
}

fn order_of(schema: &Schema, chosen: &Chosen, problems: &mut Vec<Problem>) -> Option<String> {
    let wanted = chosen.dedupe.order_by.as_ref().or(chosen.order_by.as_ref());
    let Some(wanted) = wanted else {
        return schema
            .bookmark_properties()
            .iter()
            .find(|name| schema.layout().index(name).is_some())
            .cloned();
    };
    if schema.layout().index(wanted).is_none() {
        problems.push(Problem {
            kind: "column missing",
            message: format!("`order_by` names `{wanted}`, which the stream does not have"),
            hint: None,
        });
        return None;
    }
    Some(wanted.clone())
}

fn schema_options(chosen: &Chosen, stream: &Stream) -> SchemaOptions {
    SchemaOptions {
        nested: match chosen.nested {
            config::Nested::Record => Nested::Record,
            config::Nested::Json => Nested::Json,
        },
        arrays: match chosen.arrays {
            config::Arrays::Repeated => Arrays::Repeated,
            config::Arrays::Json => Arrays::Json,
        },
        date_times: match chosen.date_times {
            config::DateTimes::Timestamp => DateTimes::Timestamp,
            config::DateTimes::Datetime => DateTimes::DateTime,
        },
        decimal: decimal_of(chosen.decimal),
        number: decimal_of(chosen.number),
        // REQUIRED says nothing that the key does not say, and is in the way of later changes.
        key_mode: FieldMode::Nullable,
        guessed: stream.guessed,
        ..SchemaOptions::default()
    }
}

fn decimal_of(number: config::NumberType) -> Decimal {
    match number {
        config::NumberType::Auto => Decimal::Auto,
        config::NumberType::Numeric => Decimal::Numeric,
        config::NumberType::Bignumeric => Decimal::BigNumeric,
        config::NumberType::Float => Decimal::Float,
        config::NumberType::String => Decimal::String,
    }
}

fn extras(schema: &Schema, chosen: &Chosen, mode: Mode) -> Vec<(&'static str, ExtraKind)> {
    let mut extras = Vec::new();
    let lacks = |name: &str| schema.layout().index(name).is_none();
    if chosen.on_delete.is_some() {
        if lacks(sql::TABLE_VERSION) {
            extras.push((sql::TABLE_VERSION, ExtraKind::Integer));
        }
        if chosen.on_delete == Some(OnDelete::Soft) && lacks(sql::DELETED_AT) {
            extras.push((sql::DELETED_AT, ExtraKind::Timestamp));
        }
    }
    if mode == Mode::AppendDedupe {
        if lacks(sql::BATCHED_AT) {
            extras.push((sql::BATCHED_AT, ExtraKind::Timestamp));
        }
        extras.push((sql::ROW_ID, ExtraKind::Text));
    }
    extras
}

fn check_changes(changes: bool, keys: &[String], columns: &[Column], problems: &mut Vec<Problem>) {
    if !changes {
        return;
    }
    if keys.len() > MOST_KEYS {
        problems.push(Problem {
            kind: "key",
            message: format!(
                "{} columns identify a row, and changes take {MOST_KEYS}",
                keys.len()
            ),
            hint: Some("use `method` `load`".to_owned()),
        });
    }
    if columns.len() > MOST_CHANGE_COLUMNS {
        problems.push(Problem {
            kind: "columns",
            message: format!(
                "there are {} columns, and a table that takes changes has {MOST_CHANGE_COLUMNS}",
                columns.len()
            ),
            hint: Some("use `method` `load`".to_owned()),
        });
    }
}

/// Changes are ordered by a number, which not every type has.
fn check_order(
    chosen: &Chosen,
    property: &str,
    columns: &[Column],
    problems: &mut Vec<Problem>,
    notes: &mut Vec<String>,
) {
    let column = columns.iter().find(|column| column.property == property);
    let Some(column) = column.filter(|column| !orders_changes(&column.field.kind)) else {
        return;
    };
    let words = format!(
        "changes are not ordered by `{property}`, which is {}: integers, dates and times order them",
        column.field.kind.word()
    );
    if chosen.order_by.is_none() && chosen.dedupe.order_by.is_none() {
        notes.push(format!("{words}; the change that comes last wins"));
        return;
    }
    problems.push(Problem {
        kind: "order_by",
        message: words,
        hint: Some("use another column, or `method` `load`".to_owned()),
    });
}

/// Types whose values the number of a change can hold.
pub(crate) fn orders_changes(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Integer | Kind::Timestamp | Kind::DateTime | Kind::Date
    )
}
