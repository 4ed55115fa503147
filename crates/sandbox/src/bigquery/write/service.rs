//! The calls of `google.cloud.bigquery.storage.v1.BigQueryWrite`, over HTTP/2 without TLS at the root
//! of the sandbox's port, where clients of gRPC look for them.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::post;
use futures_util::stream::{self, Stream as Futures, StreamExt};
use prost::Message;
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;

use super::append::Connection;
use super::message::{
    AppendRowsRequest, AppendRowsResponse, Appended, BatchCommitWriteStreamsRequest,
    BatchCommitWriteStreamsResponse, CreateWriteStreamRequest, FinalizeWriteStreamRequest,
    FinalizeWriteStreamResponse, FlushRowsRequest, FlushRowsResponse, GetWriteStreamRequest,
    StorageError, TableFieldSchema, TableSchema, Timestamp, WriteStream,
};
use super::status::{StorageCode, WriteError};
use super::{DEFAULT_STREAM, Stream, StreamKind, parse_stream, parse_table, table_path};
use crate::bigquery::BigQuery;
use crate::bigquery::access::Resource;
use crate::bigquery::store::Store;
use crate::bigquery::table::{Column, Mode, Type};
use crate::faults::{GrpcFault, GrpcForm, Moment};
use crate::line::Line;

/// The path of the service, before the name of a call.
const SERVICE: &str = "/google.cloud.bigquery.storage.v1.BigQueryWrite";

/// The largest message that is read at all; what may be appended is a setting.
const LARGEST_MESSAGE: usize = 128 << 20;

/// The full view of a stream, with the schema of its table.
const VIEW_FULL: i32 = 2;

pub(crate) fn routes(bigquery: Arc<BigQuery>) -> Router {
    let path = |call: &str| format!("{SERVICE}/{call}");
    Router::new()
        .route(&path("CreateWriteStream"), post(create))
        .route(&path("GetWriteStream"), post(get))
        .route(&path("FinalizeWriteStream"), post(finalize))
        .route(&path("BatchCommitWriteStreams"), post(commit))
        .route(&path("FlushRows"), post(flush))
        .route(&path("AppendRows"), post(append))
        .with_state(bigquery)
}

/// The schema of a table as this API has it.
pub(crate) fn table_schema(columns: &[Column]) -> TableSchema {
    TableSchema {
        fields: columns.iter().map(field_schema).collect(),
    }
}

async fn create(State(bigquery): State<Arc<BigQuery>>, request: Request) -> Response {
    unary(bigquery, "CreateWriteStream", request, create_stream).await
}

async fn get(State(bigquery): State<Arc<BigQuery>>, request: Request) -> Response {
    unary(bigquery, "GetWriteStream", request, get_stream).await
}

async fn finalize(State(bigquery): State<Arc<BigQuery>>, request: Request) -> Response {
    unary(bigquery, "FinalizeWriteStream", request, finalize_stream).await
}

async fn commit(State(bigquery): State<Arc<BigQuery>>, request: Request) -> Response {
    unary(bigquery, "BatchCommitWriteStreams", request, commit_streams).await
}

async fn flush(State(bigquery): State<Arc<BigQuery>>, request: Request) -> Response {
    unary(bigquery, "FlushRows", request, flush_rows).await
}

async fn append(State(bigquery): State<Arc<BigQuery>>, request: Request) -> Response {
    if let Err(status) = enter(&bigquery, &request) {
        return status.into_http();
    }
    let line = line_of(&request);
    let codec = ProstCodec::<AppendRowsResponse, AppendRowsRequest>::default();
    let mut grpc = Grpc::new(codec).max_decoding_message_size(LARGEST_MESSAGE);
    let service = AppendService { bigquery, line };
    grpc.streaming(service, request).await.map(Body::new)
}

/// One call with one message each way.
struct Call<Handler> {
    bigquery: Arc<BigQuery>,
    name: &'static str,
    line: Option<Line>,
    handler: Handler,
}

impl<Asked, Answered, Handler> UnaryService<Asked> for Call<Handler>
where
    Handler: Fn(&BigQuery, Asked) -> Result<Answered, WriteError>,
{
    type Response = Answered;
    type Future = Ready<Result<tonic::Response<Answered>, Status>>;

    fn call(&mut self, request: tonic::Request<Asked>) -> Self::Future {
        let fault = self.bigquery.faults.strike_grpc(&format!("/{}", self.name));
        if let Some(fault) = fault.filter(|fault| fault.moment == Moment::Before) {
            return ready(Err(strike(&fault, self.line.as_ref())));
        }
        let answer = (self.handler)(&self.bigquery, request.into_inner());
        if let Some(fault) = fault {
            return ready(Err(strike(&fault, self.line.as_ref())));
        }
        ready(answer.map(tonic::Response::new).map_err(Status::from))
    }
}

async fn unary<Asked, Answered>(
    bigquery: Arc<BigQuery>,
    name: &'static str,
    request: Request,
    handler: fn(&BigQuery, Asked) -> Result<Answered, WriteError>,
) -> Response
where
    Asked: Message + Default + 'static,
    Answered: Message + 'static,
{
    if let Err(status) = enter(&bigquery, &request) {
        return status.into_http();
    }
    let line = line_of(&request);
    let mut grpc = Grpc::new(ProstCodec::<Answered, Asked>::default());
    let call = Call {
        bigquery,
        name,
        line,
        handler,
    };
    grpc.unary(call, request).await.map(Body::new)
}

struct AppendService {
    bigquery: Arc<BigQuery>,
    line: Option<Line>,
}

type Answers = Pin<Box<dyn Futures<Item = Result<AppendRowsResponse, Status>> + Send>>;

impl StreamingService<AppendRowsRequest> for AppendService {
    type Response = AppendRowsResponse;
    type ResponseStream = Answers;
    type Future = Ready<Result<tonic::Response<Answers>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<AppendRowsRequest>>) -> Self::Future {
        let open = Open {
            bigquery: Arc::clone(&self.bigquery),
            line: self.line.clone(),
            requests: request.into_inner(),
            connection: Connection::default(),
        };
        let answers = stream::unfold(Some(open), |open| async move {
            let mut open = open?;
            match open.requests.next().await? {
                Ok(request) => match open.take(request) {
                    Ok(answer) => Some((Ok(answer), Some(open))),
                    Err(status) => Some((Err(status), None)),
                },
                Err(status) => Some((Err(status), None)),
            }
        });
        ready(Ok(tonic::Response::new(Box::pin(answers))))
    }
}

/// An append connection.
struct Open {
    bigquery: Arc<BigQuery>,
    line: Option<Line>,
    requests: Streaming<AppendRowsRequest>,
    connection: Connection,
}

impl Open {
    /// Answers one request, unless a fault does.
    fn take(&mut self, request: AppendRowsRequest) -> Result<AppendRowsResponse, Status> {
        let name = if request.write_stream.is_empty() {
            self.connection.stream.clone()
        } else {
            request.write_stream.clone()
        };
        self.bigquery.settle();
        let fault = self
            .bigquery
            .faults
            .strike_grpc(&format!("/AppendRows/{name}"));
        let answered = match &fault {
            Some(fault) if fault.moment == Moment::Before => None,
            _ => Some(self.connection.append(&self.bigquery, request)),
        };
        match (fault, answered) {
            (Some(fault), _) if fault.form == GrpcForm::Response => {
                let error = WriteError::new(Code::from_i32(fault.code), "a fault of the sandbox");
                Ok(AppendRowsResponse {
                    response: Some(Appended::Error(error.to_proto())),
                    write_stream: name,
                    ..AppendRowsResponse::default()
                })
            }
            (Some(fault), _) => Err(strike(&fault, self.line.as_ref())),
            (None, Some(answer)) => answer.map_err(Status::from),
            (None, None) => Err(Status::internal("no answer was made")),
        }
    }
}

/// The status of a fault; the connection breaks first if that is what it is about.
fn strike(fault: &GrpcFault, line: Option<&Line>) -> Status {
    if let (GrpcForm::Reset, Some(line)) = (fault.form, line) {
        line.reset();
    }
    Status::new(Code::from_i32(fault.code), "a fault of the sandbox")
}

/// Looks at the token of a call, after what is due was done.
fn enter(bigquery: &BigQuery, request: &Request) -> Result<(), Status> {
    bigquery.settle();
    bigquery
        .store()
        .access
        .check_bearer(
            request.headers(),
            bigquery.options.anonymous,
            bigquery.now_ms(),
        )
        .map_err(|error| WriteError::from(error).into())
}

fn line_of(request: &Request) -> Option<Line> {
    request
        .extensions()
        .get::<ConnectInfo<Line>>()
        .map(|info| info.0.clone())
}

fn create_stream(
    bigquery: &BigQuery,
    request: CreateWriteStreamRequest,
) -> Result<WriteStream, WriteError> {
    let Some(table) = parse_table(&request.parent) else {
        return Err(WriteError::invalid("Invalid parent: a table is expected."));
    };
    let kind = match request.write_stream.map(|stream| stream.kind) {
        Some(1) => StreamKind::Committed,
        Some(2) => StreamKind::Pending,
        Some(3) => StreamKind::Buffered,
        _ => return Err(WriteError::invalid("Stream type must be specified.")),
    };
    let now_ms = bigquery.now_ms();
    let mut store = bigquery.store();
    store
        .access
        .require("bigquery.tables.updateData", Resource::Table(&table))?;
    if store.table(&table).is_err() {
        return Err(WriteError::not_found(
            StorageCode::TableNotFound,
            &request.parent,
        ));
    }
    let id = store.next_id();
    let name = format!("{}/streams/sandbox{id:08}", table_path(&table));
    let stream = Stream {
        table,
        kind,
        created_ms: now_ms,
        held: Vec::new(),
        row_count: 0,
        flushed: 0,
        is_finalized: false,
        committed_ms: None,
    };
    store.writes.streams.insert(name.clone(), stream);
    describe(&store, &name, VIEW_FULL)
}

fn get_stream(
    bigquery: &BigQuery,
    request: GetWriteStreamRequest,
) -> Result<WriteStream, WriteError> {
    describe(&bigquery.store(), &request.name, request.view)
}

fn finalize_stream(
    bigquery: &BigQuery,
    request: FinalizeWriteStreamRequest,
) -> Result<FinalizeWriteStreamResponse, WriteError> {
    let mut store = bigquery.store();
    let stream = find(&mut store, &request.name)?;
    stream.is_finalized = true;
    Ok(FinalizeWriteStreamResponse {
        row_count: stream.row_count,
    })
}

/// Makes the rows of all streams visible, or of none.
fn commit_streams(
    bigquery: &BigQuery,
    request: BatchCommitWriteStreamsRequest,
) -> Result<BatchCommitWriteStreamsResponse, WriteError> {
    let Some(table) = parse_table(&request.parent) else {
        return Err(WriteError::invalid("Invalid parent: a table is expected."));
    };
    if request.write_streams.is_empty() {
        return Err(WriteError::invalid("No stream is named."));
    }
    let now_ms = bigquery.now_ms();
    let mut store = bigquery.store();
    store
        .access
        .require("bigquery.tables.updateData", Resource::Table(&table))?;
    if store.table(&table).is_err() {
        return Err(WriteError::not_found(
            StorageCode::TableNotFound,
            &request.parent,
        ));
    }
    let stream_errors: Vec<StorageError> = request
        .write_streams
        .iter()
        .filter_map(|name| {
            let stream = store.writes.streams.get(name);
            let stream = stream.filter(|stream| stream.table == table);
            let (code, what) = match stream {
                None => (StorageCode::StreamNotFound, "was not found"),
                Some(stream) if stream.kind != StreamKind::Pending => {
                    (StorageCode::InvalidStreamType, "is not a pending one")
                }
                Some(stream) if stream.committed_ms.is_some() => {
                    (StorageCode::StreamAlreadyCommitted, "is already committed")
                }
                Some(stream) if !stream.is_finalized => {
                    (StorageCode::InvalidStreamState, "is not finalized")
                }
                Some(_) => return None,
            };
            Some(StorageError {
                code: code as i32,
                entity: name.clone(),
                error_message: format!("Stream {what}. Entity: {name}"),
            })
        })
        .collect();
    if !stream_errors.is_empty() {
        return Ok(BatchCommitWriteStreamsResponse {
            commit_time: None,
            stream_errors,
        });
    }
    let mut rows = Vec::new();
    for name in &request.write_streams {
        if let Some(stream) = store.writes.streams.get_mut(name) {
            stream.committed_ms = Some(now_ms);
            rows.append(&mut stream.held);
        }
    }
    let content = store.table_mut(&table)?;
    content.rows.append(&mut rows);
    content.record.modified_ms = now_ms;
    store.writes.rows_moved(&table);
    Ok(BatchCommitWriteStreamsResponse {
        commit_time: Some(Timestamp::from_ms(now_ms)),
        stream_errors,
    })
}

/// Makes the rows of a buffered stream visible, up to an offset and with it.
fn flush_rows(
    bigquery: &BigQuery,
    request: FlushRowsRequest,
) -> Result<FlushRowsResponse, WriteError> {
    let name = &request.write_stream;
    let mut store = bigquery.store();
    let stream = find(&mut store, name)?;
    if stream.kind != StreamKind::Buffered {
        return Err(WriteError::invalid("Stream is not a buffered one.")
            .with(StorageCode::InvalidStreamType, name));
    }
    let Some(offset) = request.offset.map(|offset| offset.value) else {
        return Err(WriteError::invalid("Offset must be specified."));
    };
    if offset >= stream.row_count || offset < 0 {
        return Err(WriteError::new(
            Code::OutOfRange,
            format!(
                "The offset is beyond stream, expected offset below {}, received {offset}",
                stream.row_count
            ),
        )
        .with(StorageCode::OffsetOutOfRange, name));
    }
    if offset < stream.flushed {
        return Err(WriteError::new(
            Code::AlreadyExists,
            format!("The offset {offset} is already flushed"),
        )
        .with(StorageCode::OffsetAlreadyExists, name));
    }
    let count = usize::try_from(offset + 1 - stream.flushed).unwrap_or(0);
    stream.flushed = offset + 1;
    let mut rows: Vec<_> = stream.held.drain(..count.min(stream.held.len())).collect();
    let table = stream.table.clone();
    store.table_mut(&table)?.rows.append(&mut rows);
    store.writes.rows_moved(&table);
    Ok(FlushRowsResponse { offset })
}

fn find<'a>(store: &'a mut Store, name: &str) -> Result<&'a mut Stream, WriteError> {
    let Some((table, id)) = parse_stream(name) else {
        return Err(WriteError::invalid(format!("Invalid stream name: {name}")));
    };
    if id == DEFAULT_STREAM {
        return Err(
            WriteError::invalid("The default stream does not know this operation.")
                .with(StorageCode::InvalidStreamType, name),
        );
    }
    store
        .access
        .require("bigquery.tables.updateData", Resource::Table(&table))?;
    store
        .writes
        .streams
        .get_mut(name)
        .ok_or_else(|| WriteError::not_found(StorageCode::StreamNotFound, name))
}

fn describe(store: &Store, name: &str, view: i32) -> Result<WriteStream, WriteError> {
    let Some((table, id)) = parse_stream(name) else {
        return Err(WriteError::invalid(format!("Invalid stream name: {name}")));
    };
    let content = store
        .table(&table)
        .map_err(|_| WriteError::not_found(StorageCode::TableNotFound, name))?;
    let stream = store.writes.streams.get(name);
    if stream.is_none() && id != DEFAULT_STREAM {
        return Err(WriteError::not_found(StorageCode::StreamNotFound, name));
    }
    let kind = match stream.map(|stream| stream.kind) {
        None | Some(StreamKind::Committed) => 1,
        Some(StreamKind::Pending) => 2,
        Some(StreamKind::Buffered) => 3,
    };
    let created_ms = stream.map_or(content.record.created_ms, |stream| stream.created_ms);
    let dataset = store.dataset(&table.project, &table.dataset)?;
    Ok(WriteStream {
        name: name.to_owned(),
        kind,
        create_time: Some(Timestamp::from_ms(created_ms)),
        commit_time: stream
            .and_then(|stream| stream.committed_ms)
            .map(Timestamp::from_ms),
        table_schema: (view == VIEW_FULL).then(|| table_schema(&content.columns)),
        write_mode: 1,
        location: dataset.location.to_ascii_lowercase(),
    })
}

fn field_schema(column: &Column) -> TableFieldSchema {
    let kind = match &column.kind {
        Type::String => 1,
        Type::Int64 => 2,
        Type::Float64 => 3,
        Type::Struct(_) => 4,
        Type::Bytes => 5,
        Type::Bool => 6,
        Type::Timestamp => 7,
        Type::Date => 8,
        Type::Time => 9,
        Type::DateTime => 10,
        Type::Numeric => 12,
        Type::BigNumeric => 13,
        Type::Json => 15,
    };
    let mode = match column.mode {
        Mode::Nullable => 1,
        Mode::Required => 2,
        Mode::Repeated => 3,
    };
    let fields = match &column.kind {
        Type::Struct(fields) => fields.iter().map(field_schema).collect(),
        _ => Vec::new(),
    };
    let (precision, scale) = column.digits.unwrap_or((0, 0));
    let max_length = column.max_length.and_then(|length| length.try_into().ok());
    TableFieldSchema {
        name: column.name.clone(),
        kind,
        mode,
        fields,
        description: column.description.clone().unwrap_or_default(),
        max_length: max_length.unwrap_or(0),
        precision: i64::from(precision),
        scale: i64::from(scale),
    }
}
