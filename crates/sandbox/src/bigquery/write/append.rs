//! AppendRows: what becomes of one request of a connection. Facts: section 7.

use prost::Message;
use tonic::Code;

use super::changes::{self, Change};
use super::message::{
    AppendResult, AppendRowsRequest, AppendRowsResponse, Appended, AppendedRows, Descriptor,
    Int64Value, ProtoRows, RowError,
};
use super::plan::{DecodedRow, RowPlan};
use super::service;
use super::status::{StorageCode, WriteError};
use super::{DEFAULT_STREAM, Stream, StreamKind, parse_stream, table_path};
use crate::bigquery::BigQuery;
use crate::bigquery::access::Resource;
use crate::bigquery::store::Store;
use crate::bigquery::table::{Column, Row, Table, TableName};
use crate::bigquery::value::Value;

/// How many bad rows an answer names.
const ERRORS_SHOWN: usize = 1000;

/// The most columns of a table that takes changes, and of its key.
const MOST_COLUMNS: usize = 2000;
const MOST_KEY: usize = 16;

/// What a connection remembers from request to request.
#[derive(Default)]
pub(crate) struct Connection {
    pub(crate) stream: String,
    descriptor: Option<Descriptor>,
    /// The plan with the columns that it was made for.
    plan: Option<(RowPlan, Vec<Column>)>,
    /// The columns that the connection was last told of.
    columns: Option<Vec<Column>>,
    /// Whether its rows say what they change.
    has_changes: Option<bool>,
}

/// How a request ends: with an answer, or with the end of the call.
pub(crate) type Reply = Result<AppendRowsResponse, WriteError>;

/// An error inside of an answer, after which the connection goes on, or one that ends it.
enum Failure {
    Answer(WriteError),
    End(WriteError),
    Rows(Vec<RowError>),
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Failure {
        Failure::Answer(error)
    }
}

impl Connection {
    /// Takes one request.
    pub(crate) fn append(&mut self, bigquery: &BigQuery, request: AppendRowsRequest) -> Reply {
        if request.encoded_len() > bigquery.options.append_bytes {
            return Err(WriteError::invalid(format!(
                "AppendRows request too large: {} limit {}",
                request.encoded_len(),
                bigquery.options.append_bytes
            )));
        }
        if !request.write_stream.is_empty() {
            self.enter(&request.write_stream)?;
        }
        if self.stream.is_empty() {
            return Err(WriteError::invalid(
                "Invalid stream name: the first request of a connection has to name its stream.",
            ));
        }
        let mut response = AppendRowsResponse {
            write_stream: self.stream.clone(),
            ..AppendRowsResponse::default()
        };
        match self.store_rows(bigquery, request, &mut response) {
            Ok(offset) => {
                let offset = offset.map(|value| Int64Value { value });
                response.response = Some(Appended::Result(AppendResult { offset }));
            }
            Err(Failure::Answer(error)) => {
                response.response = Some(Appended::Error(error.to_proto()));
            }
            Err(Failure::Rows(errors)) => {
                let error = WriteError::invalid(
                    "Errors found while processing rows. Please refer to the row_errors field for details. The list may not be complete because of the size limitations.",
                );
                response.response = Some(Appended::Error(error.to_proto()));
                response.row_errors = errors;
            }
            Err(Failure::End(error)) => return Err(error),
        }
        Ok(response)
    }

    /// Turns to another stream, which only a connection to default streams may do.
    fn enter(&mut self, name: &str) -> Result<(), WriteError> {
        if self.stream == name {
            return Ok(());
        }
        let is_default =
            |name: &str| parse_stream(name).is_some_and(|(_, id)| id == DEFAULT_STREAM);
        if !self.stream.is_empty() {
            if !is_default(&self.stream) || !is_default(name) {
                return Err(WriteError::invalid(
                    "Only connections to default streams may change to another stream.",
                ));
            }
            self.descriptor = None;
        }
        name.clone_into(&mut self.stream);
        self.plan = None;
        self.columns = None;
        Ok(())
    }

    fn store_rows(
        &mut self,
        bigquery: &BigQuery,
        request: AppendRowsRequest,
        response: &mut AppendRowsResponse,
    ) -> Result<Option<i64>, Failure> {
        let Some((name, id)) = parse_stream(&self.stream) else {
            return Err(Failure::End(WriteError::invalid(format!(
                "Invalid stream name: {}",
                self.stream
            ))));
        };
        let id = id.to_owned();
        let now_ms = bigquery.now_ms();
        let mut store = bigquery.store();
        let table = find(&store, &name, &id, &self.stream).map_err(Failure::End)?;
        let proto = match request.rows {
            Some(AppendedRows::Proto(proto)) => proto,
            Some(AppendedRows::Arrow(_)) => {
                return Err(Failure::End(WriteError::new(
                    Code::Unimplemented,
                    "the sandbox does not simulate rows in Arrow",
                )));
            }
            None => return Err(WriteError::invalid("Rows must be specified.").into()),
        };
        if let Some(schema) = proto
            .writer_schema
            .and_then(|schema| schema.proto_descriptor)
            && self.descriptor.as_ref() != Some(&schema)
        {
            self.descriptor = Some(schema);
            self.plan = None;
        }
        let lag_ms = bigquery.options.schema_lag_seconds * 1000;
        let present = table.columns.clone();
        let columns = store.writes.known_columns(&name, &present, lag_ms, now_ms);
        self.learn(&columns, response);
        let table = store.table(&name).map_err(WriteError::from)?;
        let keys = key_places(table);
        let plan = self.plan(&name, columns, bigquery)?;
        let has_changes = plan.has_changes;
        check_changes(has_changes, &id, table)?;
        let expected = request.offset.map(|offset| offset.value);
        let stream = store.writes.streams.get(&self.stream);
        check_offset(stream, expected, &self.stream)?;
        let rows = proto.rows.unwrap_or_default();
        let bytes: usize = rows.serialized_rows.iter().map(Vec::len).sum();
        if self.has_changes.is_some_and(|before| before != has_changes) {
            return Err(WriteError::invalid(
                "Rows with and rows without _CHANGE_TYPE cannot be sent on one connection.",
            )
            .into());
        }
        self.has_changes = Some(has_changes);
        if bigquery.options.drain {
            let count = rows.serialized_rows.len();
            let offset = store.writes.streams.get_mut(&self.stream).map(|stream| {
                let offset = stream.row_count;
                stream.row_count += i64::try_from(count).unwrap_or(i64::MAX);
                offset
            });
            drop(store);
            bigquery.tally(&name, count, 0, bytes);
            return Ok(offset);
        }
        let plan = self.plan.as_ref().map(|(plan, _)| plan);
        let mut decoded = decode(plan, &rows, &keys)?;
        if let Some((_, planned)) = &self.plan
            && *planned != present
        {
            realign(&mut decoded, planned, &present);
        }
        let count = decoded.len();
        let offset = if has_changes {
            change(&mut store, &name, &keys, decoded, now_ms)?;
            None
        } else {
            put(&mut store, &name, &self.stream, decoded, now_ms)?
        };
        drop(store);
        bigquery.tally(&name, count, 0, bytes);
        Ok(offset)
    }

    /// Tells the client of columns that it was not told of before.
    fn learn(&mut self, columns: &[Column], response: &mut AppendRowsResponse) {
        let is_news = self.columns.as_ref().is_some_and(|told| told != columns);
        if is_news {
            response.updated_schema = Some(service::table_schema(columns));
        }
        if is_news || self.columns.is_none() {
            self.columns = Some(columns.to_vec());
        }
    }

    fn plan(
        &mut self,
        name: &TableName,
        columns: Vec<Column>,
        bigquery: &BigQuery,
    ) -> Result<&RowPlan, WriteError> {
        let is_fresh = self
            .plan
            .as_ref()
            .is_some_and(|(_, planned)| *planned == columns);
        if !is_fresh {
            let Some(descriptor) = &self.descriptor else {
                return Err(WriteError::invalid(
                    "Proto schema must be specified on the first request of a connection.",
                ));
            };
            let path = table_path(name);
            let plan = RowPlan::new(descriptor, &columns, &path, bigquery.excess())?;
            self.plan = Some((plan, columns));
        }
        match &self.plan {
            Some((plan, _)) => Ok(plan),
            None => Err(WriteError::invalid("no schema")),
        }
    }
}

/// The table of a stream, if both are there and may be written.
fn find<'a>(
    store: &'a Store,
    name: &TableName,
    id: &str,
    path: &str,
) -> Result<&'a Table, WriteError> {
    if !store
        .access
        .allows("bigquery.tables.updateData", Resource::Table(name))
    {
        return Err(WriteError::new(
            Code::PermissionDenied,
            format!(
                "Permission 'TABLES_UPDATE_DATA' denied on resource '{}' (or it may not exist).",
                table_path(name)
            ),
        ));
    }
    let table = store
        .table(name)
        .map_err(|_| WriteError::not_found(StorageCode::TableNotFound, path))?;
    if id != DEFAULT_STREAM && !store.writes.streams.contains_key(path) {
        return Err(WriteError::not_found(StorageCode::StreamNotFound, path));
    }
    Ok(table)
}

/// Whether the state of the stream lets these rows in at this place.
fn check_offset(stream: Option<&Stream>, offset: Option<i64>, path: &str) -> Result<(), Failure> {
    let Some(stream) = stream else {
        return if offset.is_some() {
            Err(Failure::End(WriteError::invalid(
                "The offset must not be set on the default stream.",
            )))
        } else {
            Ok(())
        };
    };
    if stream.is_finalized {
        return Err(WriteError::new(
            Code::FailedPrecondition,
            format!("Stream has been finalized and cannot be appended. Entity: {path}"),
        )
        .with(StorageCode::StreamFinalized, path)
        .into());
    }
    let expected = stream.row_count;
    match offset {
        Some(offset) if offset < expected => Err(WriteError::new(
            Code::AlreadyExists,
            format!("The offset is within stream, expected offset {expected}, received {offset}"),
        )
        .with(StorageCode::OffsetAlreadyExists, path)
        .into()),
        Some(offset) if offset > expected => Err(WriteError::new(
            Code::OutOfRange,
            format!("The offset is beyond stream, expected offset {expected}, received {offset}"),
        )
        .with(StorageCode::OffsetOutOfRange, path)
        .into()),
        _ => Ok(()),
    }
}

/// Whether the table takes rows that say what they change.
fn check_changes(has_changes: bool, id: &str, table: &Table) -> Result<(), Failure> {
    if !has_changes {
        return Ok(());
    }
    let refuse = |what: &str| {
        Err(Failure::Answer(WriteError::invalid(format!(
            "Change data capture: {what}"
        ))))
    };
    if id != DEFAULT_STREAM {
        return refuse("only the default stream takes rows with _CHANGE_TYPE.");
    }
    if table.primary_key.is_empty() || table.primary_key.len() > MOST_KEY {
        return refuse("the table must declare a primary key of at most 16 columns.");
    }
    if table.columns.len() > MOST_COLUMNS {
        return refuse("the table has more than 2000 top-level columns.");
    }
    Ok(())
}

/// Reads all rows, or names the bad ones.
fn decode(
    plan: Option<&RowPlan>,
    rows: &ProtoRows,
    keys: &[usize],
) -> Result<Vec<DecodedRow>, Failure> {
    let Some(plan) = plan else {
        return Err(WriteError::invalid("no schema").into());
    };
    let mut decoded = Vec::with_capacity(rows.serialized_rows.len());
    let mut errors = Vec::new();
    for (index, bytes) in rows.serialized_rows.iter().enumerate() {
        let row = plan.row(bytes, keys).and_then(|row| {
            if plan.has_changes {
                Change::parse(row.change_type.as_deref())?;
                changes::parse_sequence(row.sequence.as_deref())?;
            }
            Ok(row)
        });
        match row {
            Ok(row) => decoded.push(row),
            Err(message) if errors.len() < ERRORS_SHOWN => errors.push(RowError {
                index: i64::try_from(index).unwrap_or(i64::MAX),
                code: 1,
                message,
            }),
            Err(_) => {}
        }
    }
    if errors.is_empty() {
        Ok(decoded)
    } else {
        Err(Failure::Rows(errors))
    }
}

/// Puts values where the table has their columns by now; those of a dropped column are dropped.
fn realign(rows: &mut [DecodedRow], planned: &[Column], present: &[Column]) {
    let places: Vec<Option<usize>> = present
        .iter()
        .map(|column| {
            planned
                .iter()
                .position(|known| known.name.eq_ignore_ascii_case(&column.name))
        })
        .collect();
    for row in rows {
        let value = |place: &Option<usize>| {
            place
                .and_then(|place| row.values.get(place).cloned())
                .unwrap_or(Value::Null)
        };
        row.values = places.iter().map(value).collect();
    }
}

/// Lays changes over a table.
fn change(
    store: &mut Store,
    name: &TableName,
    keys: &[usize],
    rows: Vec<DecodedRow>,
    now_ms: u64,
) -> Result<(), WriteError> {
    let mut changes = store.writes.changes.remove(name).unwrap_or_default();
    changes.last_ms = now_ms;
    let table = store.table_mut(name)?;
    table.record.modified_ms = now_ms;
    for row in rows {
        let change = Change::parse(row.change_type.as_deref()).map_err(WriteError::invalid)?;
        let sequence =
            changes::parse_sequence(row.sequence.as_deref()).map_err(WriteError::invalid)?;
        changes.apply(table, keys, change, sequence, row.values);
    }
    store.writes.changes.insert(name.clone(), changes);
    Ok(())
}

/// Appends rows to a table, or to what a stream holds back; returns the offset of the first.
fn put(
    store: &mut Store,
    name: &TableName,
    path: &str,
    rows: Vec<DecodedRow>,
    now_ms: u64,
) -> Result<Option<i64>, WriteError> {
    let rows = rows.into_iter().map(|row| Row::new(row.values));
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let mut offset = None;
    if let Some(stream) = store.writes.streams.get_mut(path) {
        offset = Some(stream.row_count);
        stream.row_count += count;
        if stream.kind != StreamKind::Committed {
            stream.held.extend(rows);
            return Ok(offset);
        }
    }
    let table = store.table_mut(name)?;
    table.rows.extend(rows);
    table.record.modified_ms = now_ms;
    store.writes.rows_moved(name);
    Ok(offset)
}

fn key_places(table: &Table) -> Vec<usize> {
    table
        .primary_key
        .iter()
        .filter_map(|column| table.position(column))
        .collect()
}
