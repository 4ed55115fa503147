//! A stand-in of Pendo's Engage API, written from the facts page `pendo.md` of the project, whose
//! section numbers the modules cite. State and routes are here, each endpoint in its module.

mod access;
mod aggregation;
mod answer;
mod batch;
mod bulk;
mod deletion;
mod expression;
mod flight;
mod metadata;
mod options;
mod person;
mod schema;
mod value;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use anyhow::Context;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use self::deletion::Deletions;
use self::flight::InFlight;
pub use self::options::{
    Create, Dates, Denial, Duplicates, EmptyList, EmptyString, ErrorShape, Mode, NullValue,
    PendoOptions, WrongValue,
};
pub use self::schema::Kind;
use self::schema::Schema;
use crate::store::{Row, Table};

/// The stand-in of Pendo: its settings, schemas and kept tables.
pub struct Pendo {
    options: PendoOptions,
    kinds: [KindState; 3],
    deletions: Mutex<Deletions>,
}

/// What is known of one kind. Where both locks are needed, the schema's is taken first.
struct KindState {
    kind: Kind,
    schema: RwLock<Schema>,
    table: Mutex<Table>,
    in_flight: InFlight,
}

/// The values of one id: group, then field. As numbers they are as exact as a float.
pub type Values = BTreeMap<String, BTreeMap<String, Value>>;

/// The values of one id as JSON text, with every digit: group, then field.
pub type RawValues = BTreeMap<String, BTreeMap<String, Box<RawValue>>>;

impl Pendo {
    pub(crate) fn new(options: PendoOptions) -> anyhow::Result<Pendo> {
        let schemas = options.schema.as_deref().map(read_json).transpose()?;
        let ids = options.ids.as_deref().map(read_json).transpose()?;
        let state = |kind: Kind| -> anyhow::Result<KindState> {
            let given = schemas
                .as_ref()
                .and_then(|schemas| schemas.get(kind.name()));
            let schema = match given {
                Some(given) => Schema::from_json(given)
                    .with_context(|| format!("cannot use the schema of kind `{}`", kind.name()))?,
                None => Schema::built_in(kind),
            };
            let mut table = Table::default();
            if let Some(known) = ids.as_ref().and_then(|ids| ids.get(kind.name())) {
                let known: Vec<String> = serde_json::from_value(known.clone())
                    .with_context(|| format!("the ids of kind `{}` are no list", kind.name()))?;
                for id in known {
                    table.row_or_new(&id);
                }
            }
            Ok(KindState {
                kind,
                schema: RwLock::new(schema),
                table: Mutex::new(table),
                in_flight: InFlight::default(),
            })
        };
        Ok(Pendo {
            kinds: [
                state(Kind::Visitor)?,
                state(Kind::Account)?,
                state(Kind::ParentAccount)?,
            ],
            deletions: Mutex::default(),
            options,
        })
    }

    /// Makes ids known, so that bulk calls update them; returns how many were new.
    pub fn add_ids<Id: AsRef<str>>(&self, kind: Kind, ids: impl IntoIterator<Item = Id>) -> usize {
        let mut table = self.of(kind).table();
        let before = table.len();
        for id in ids {
            table.row_or_new(id.as_ref());
        }
        table.len() - before
    }

    /// How many ids of a kind are known.
    pub fn id_count(&self, kind: Kind) -> usize {
        self.of(kind).table().len()
    }

    /// All ids of a kind with their values, in the order of the ids. Times are epoch milliseconds.
    pub fn dump(&self, kind: Kind) -> BTreeMap<String, Values> {
        self.peek(kind, usize::MAX).into_iter().collect()
    }

    /// As [`Pendo::dump`], with the values as the JSON text that is kept.
    pub fn dump_raw(&self, kind: Kind) -> BTreeMap<String, RawValues> {
        let state = self.of(kind);
        let schema = state.schema.read().unwrap_or_else(PoisonError::into_inner);
        let table = state.table();
        table
            .rows()
            .map(|row| (row.id.to_string(), values_of(&schema, row)))
            .collect()
    }

    /// Ids of a kind with their values, those that became known first.
    pub fn peek(&self, kind: Kind, count: usize) -> Vec<(String, Values)> {
        let state = self.of(kind);
        let schema = state.schema.read().unwrap_or_else(PoisonError::into_inner);
        let table = state.table();
        table
            .rows()
            .take(count)
            .map(|row| (row.id.to_string(), values_of(&schema, row)))
            .collect()
    }

    /// The metadata schema of a kind, as the API answers it.
    pub fn schema(&self, kind: Kind) -> Value {
        self.of(kind)
            .schema
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .to_json()
    }

    /// Replaces the metadata schema of a kind and forgets the values, whose columns would be others.
    pub fn replace_schema(&self, kind: Kind, schema: &Value) -> anyhow::Result<()> {
        let new = Schema::from_json(schema)?;
        let state = self.of(kind);
        let mut current = state.schema.write().unwrap_or_else(PoisonError::into_inner);
        let mut table = state.table();
        let ids: Vec<Arc<str>> = table.rows().map(|row| Arc::clone(&row.id)).collect();
        *current = new;
        *table = Table::default();
        for id in ids {
            table.row_or_new(&id);
        }
        Ok(())
    }

    /// Returns to the state of the start.
    pub(crate) fn reset(&self) -> anyhow::Result<()> {
        let fresh = Pendo::new(self.options.clone())?;
        for (state, fresh) in self.kinds.iter().zip(fresh.kinds) {
            let mut schema = state.schema.write().unwrap_or_else(PoisonError::into_inner);
            *schema = fresh
                .schema
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            *state.table() = fresh
                .table
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
        }
        *self.deletions() = Deletions::default();
        Ok(())
    }

    fn of(&self, kind: Kind) -> &KindState {
        &self.kinds[kind as usize]
    }

    fn deletions(&self) -> MutexGuard<'_, Deletions> {
        self.deletions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl KindState {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes of section 2, below the service's prefix.
pub(crate) fn routes(pendo: Arc<Pendo>) -> Router {
    let guard = axum::middleware::from_fn_with_state(Arc::clone(&pendo), access::check_key);
    let api = Router::new()
        .route("/metadata/{kind}/{group}/value", post(bulk::set_values))
        .route(
            "/metadata/{kind}/{group}/value/{id}/{field}",
            get(metadata::get_value).put(metadata::set_value),
        )
        .route("/metadata/schema/{kind}", get(metadata::get_schema))
        .route(
            "/metadata/schema/{kind}/{group}",
            post(metadata::create_fields),
        )
        .route(
            "/metadata/schema/{kind}/{group}/{field}",
            delete(metadata::delete_field),
        )
        .route("/visitor", get(person::no_list))
        .route("/account", get(person::no_list))
        .route("/visitor/", get(person::no_list))
        .route("/account/", get(person::no_list))
        .route("/visitor/{id}", get(person::get_visitor))
        .route("/account/{id}", get(person::get_account))
        .route("/aggregation", post(aggregation::aggregate))
        .route("/bulkdelete", get(deletion::list))
        .route(
            "/bulkdelete/{key}",
            get(deletion::status).post(deletion::submit),
        )
        .route("/token/verify", get(access::verify))
        .route_layer(guard)
        .layer(DefaultBodyLimit::max(pendo.options.max_body_bytes))
        .method_not_allowed_fallback(answer::not_simulated)
        .fallback(answer::not_simulated);
    Router::new()
        .nest("/api/v1", api)
        .fallback(answer::not_simulated)
        .with_state(pendo)
}

fn values_of<Form: DeserializeOwned>(
    schema: &Schema,
    row: &Row,
) -> BTreeMap<String, BTreeMap<String, Form>> {
    let mut values: BTreeMap<String, BTreeMap<String, Form>> = BTreeMap::new();
    for (column, text) in row.cells() {
        let field = schema.field(column);
        let value = serde_json::from_str(text).expect("only JSON text is kept");
        values
            .entry(field.group.clone())
            .or_default()
            .insert(field.name.clone(), value);
    }
    values
}

fn read_json(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("`{}` is no JSON", path.display()))
}
