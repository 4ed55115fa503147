//! A small BigQueryWrite service with faults to order: connections that break, errors in an answer
//! or at the end, rows and streams that it remembers.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::storage::BoxFuture;
use crate::storage::wire::{
    Any, AppendResult, AppendRowsResponse, BatchCommitWriteStreamsRequest,
    BatchCommitWriteStreamsResponse, CreateWriteStreamRequest, FinalizeWriteStreamRequest,
    FinalizeWriteStreamResponse, Int64Value, PENDING, RowError, RpcStatus, StorageError, Time,
    WriteStream,
};

/// The whole request as the public description has it.
#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct Whole {
    #[prost(string, tag = "1")]
    pub(in crate::storage) write_stream: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::storage) offset: Option<Int64Value>,
    #[prost(message, optional, tag = "4")]
    pub(in crate::storage) proto_rows: Option<Data>,
    #[prost(string, tag = "6")]
    pub(in crate::storage) trace_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct Data {
    #[prost(message, optional, tag = "1")]
    pub(in crate::storage) schema: Option<Schema>,
    #[prost(message, optional, tag = "2")]
    pub(in crate::storage) rows: Option<Rows>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct Schema {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::storage) descriptor: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct Rows {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(in crate::storage) rows: Vec<Bytes>,
}

/// What goes wrong with one call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    /// The connection breaks, and nothing was done.
    BreakBefore,
    /// The connection breaks, and all was done.
    BreakAfter,
    /// An error in the answer.
    Answer(Code, i32),
    /// An error that ends the call.
    End(Code, i32),
    /// Rows are refused, and the call ends after that.
    RefuseAndEnd,
    /// No answer comes.
    Hang,
    /// The count of a stream is wrong by this.
    Miscount(i64),
    /// The answer has neither a time nor an error.
    Silent,
}

/// An append that came in.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) stream: String,
    pub(super) offset: Option<i64>,
    pub(super) described: bool,
    pub(super) size: usize,
}

#[derive(Debug, Default)]
struct Stream {
    kind: i32,
    rows: Vec<Bytes>,
    finalized: bool,
    committed: bool,
}

#[derive(Debug, Default)]
pub(super) struct State {
    streams: HashMap<String, Stream>,
    /// Rows that a query would see.
    pub(super) visible: Vec<Bytes>,
    pub(super) seen: Vec<Seen>,
    /// Metadata of every call.
    pub(super) metadata: Vec<(String, Option<String>)>,
    /// Append calls.
    pub(super) calls: usize,
    /// Faults by the number of the append, and by method.
    pub(super) appends: HashMap<usize, Fault>,
    pub(super) unary: HashMap<&'static str, VecDeque<Fault>>,
    /// Appends are answered once so many came in.
    pub(super) hold_until: usize,
    /// Bytes of requests without an answer, now and at most.
    open: usize,
    pub(super) most_open: usize,
}

/// The service.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) endpoint: String,
    state: Arc<Mutex<State>>,
    cut: Arc<watch::Sender<u64>>,
    /// An append call is over for the service.
    pub(super) over: Arc<Notify>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::default(),
            cut: Arc::new(watch::Sender::new(0)),
            over: Arc::default(),
        };
        let (sender, receiver) = mpsc::channel(4);
        let service = fake.clone();
        tokio::spawn(Server::builder().serve_with_incoming(service, ReceiverStream::new(receiver)));
        let cut = fake.cut.subscribe();
        tokio::spawn(async move {
            while let Ok((mut outside, _)) = listener.accept().await {
                outside.set_nodelay(true).unwrap();
                let (mut inside, served) = tokio::io::duplex(1 << 16);
                if sender.send(Ok::<_, std::io::Error>(served)).await.is_err() {
                    return;
                }
                let mut cut = cut.clone();
                cut.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut outside, &mut inside) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        fake
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Breaks every connection.
    pub(super) fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    async fn broken<T>(&self) -> T {
        self.cut();
        pending().await
    }

    fn remember(&self, metadata: &tonic::metadata::MetadataMap) {
        let text = |key| {
            let value = metadata.get(key)?;
            value.to_str().ok().map(str::to_owned)
        };
        let routing = text("x-goog-request-params").unwrap_or_default();
        self.state().metadata.push((routing, text("authorization")));
    }

    /// Reads requests and answers them until the call ends.
    async fn converse(
        self,
        first: Whole,
        mut requests: Streaming<Whole>,
        answers: mpsc::Sender<Result<AppendRowsResponse, Status>>,
    ) {
        let mut held = Vec::new();
        let mut next = Some(first);
        while let Some(request) = next {
            let size = request.encoded_len();
            let fault = self.note(&request, size);
            let answer = match fault {
                Some(Fault::BreakBefore) => self.broken().await,
                Some(Fault::BreakAfter) => {
                    self.append(&request);
                    self.broken().await
                }
                Some(Fault::Hang) => {
                    while let Ok(Some(_)) = requests.message().await {}
                    break;
                }
                Some(Fault::Answer(code, storage)) => Ok(AppendRowsResponse {
                    error: Some(rpc(code, storage)),
                    ..AppendRowsResponse::default()
                }),
                Some(Fault::End(code, storage)) => Err(status(code, storage)),
                Some(Fault::RefuseAndEnd) => {
                    let answer = self.append(&request);
                    held.push(Ok(answer));
                    Err(status(Code::InvalidArgument, 0))
                }
                _ => Ok(self.append(&request)),
            };
            let ends = answer.is_err();
            held.extend(Some(answer));
            if ends || self.release() {
                for answer in held.drain(..) {
                    if answers.send(answer).await.is_err() {
                        break;
                    }
                }
            }
            if ends {
                break;
            }
            next = requests.message().await.ok().flatten();
        }
        self.over.notify_one();
    }

    /// Whether answers may go out; then no request is open any more.
    fn release(&self) -> bool {
        let mut state = self.state();
        let release = state.seen.len() >= state.hold_until;
        if release {
            state.open = 0;
        }
        release
    }

    fn note(&self, request: &Whole, size: usize) -> Option<Fault> {
        let mut state = self.state();
        let number = state.seen.len();
        let data = request.proto_rows.as_ref();
        state.seen.push(Seen {
            stream: request.write_stream.clone(),
            offset: request.offset.map(|offset| offset.value),
            described: data.is_some_and(|data| data.schema.is_some()),
            size,
        });
        state.open += size;
        state.most_open = state.most_open.max(state.open);
        state.appends.remove(&number)
    }

    /// What a good service does: rows that begin with `bad` are refused.
    fn append(&self, request: &Whole) -> AppendRowsResponse {
        let mut state = self.state();
        let data = request.proto_rows.clone().unwrap();
        let rows = data.rows.unwrap().rows;
        let error = |code, storage| AppendRowsResponse {
            error: Some(rpc(code, storage)),
            ..AppendRowsResponse::default()
        };
        let offset = request.offset.map(|offset| offset.value);
        if let Some(offset) = offset {
            let Some(stream) = state.streams.get(&request.write_stream) else {
                return error(Code::NotFound, 3);
            };
            match offset.cmp(&(stream.rows.len() as i64)) {
                std::cmp::Ordering::Less => return error(Code::AlreadyExists, 8),
                std::cmp::Ordering::Greater => return error(Code::OutOfRange, 9),
                std::cmp::Ordering::Equal if stream.finalized => {
                    return error(Code::FailedPrecondition, 6);
                }
                std::cmp::Ordering::Equal => {}
            }
        }
        let bad: Vec<RowError> = (0..)
            .zip(&rows)
            .filter(|(_, row)| row.starts_with(b"bad"))
            .map(|(index, _)| RowError {
                index,
                code: 1,
                message: "a field is wrong".into(),
            })
            .collect();
        if !bad.is_empty() {
            return AppendRowsResponse {
                row_errors: bad,
                ..error(Code::InvalidArgument, 0)
            };
        }
        match state.streams.get_mut(&request.write_stream) {
            Some(stream) => {
                stream.rows.extend(rows.clone());
                if stream.kind != PENDING {
                    state.visible.extend(rows);
                }
            }
            None => state.visible.extend(rows),
        }
        AppendRowsResponse {
            append_result: Some(AppendResult {
                offset: request.offset.map(|offset| Int64Value {
                    value: offset.value,
                }),
            }),
            ..AppendRowsResponse::default()
        }
    }

    /// One call with one answer, with its faults.
    async fn unary<A>(
        &self,
        method: &'static str,
        act: impl Fn(&mut State, i64) -> Result<A, Status>,
        silent: Option<A>,
    ) -> Result<Response<A>, Status> {
        let fault = self
            .state()
            .unary
            .get_mut(method)
            .and_then(VecDeque::pop_front);
        let answer = match fault {
            Some(Fault::BreakBefore) => self.broken().await,
            Some(Fault::BreakAfter) => {
                act(&mut self.state(), 0)?;
                self.broken().await
            }
            Some(Fault::Hang) => pending().await,
            Some(Fault::Answer(code, storage) | Fault::End(code, storage)) => {
                Err(status(code, storage))
            }
            Some(Fault::Miscount(by)) => act(&mut self.state(), by),
            Some(Fault::Silent) => Ok(silent.unwrap()),
            Some(Fault::RefuseAndEnd) | None => act(&mut self.state(), 0),
        };
        answer.map(Response::new)
    }

    async fn route(self, request: http::Request<Body>) -> http::Response<Body> {
        match request.uri().path().rsplit('/').next() {
            Some("AppendRows") => {
                let mut grpc = Grpc::new(ProstCodec::<AppendRowsResponse, Whole>::default())
                    .max_decoding_message_size(usize::MAX);
                grpc.streaming(self, request).await
            }
            Some("CreateWriteStream") => {
                Grpc::new(ProstCodec::default())
                    .unary(Create(self), request)
                    .await
            }
            Some("FinalizeWriteStream") => {
                Grpc::new(ProstCodec::default())
                    .unary(Finalize(self), request)
                    .await
            }
            Some("BatchCommitWriteStreams") => {
                Grpc::new(ProstCodec::default())
                    .unary(Commit(self), request)
                    .await
            }
            _ => Status::unimplemented("no such method").into_http(),
        }
    }
}

impl Service<http::Request<Body>> for Fake {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let fake = self.clone();
        Box::pin(async move { Ok(fake.route(request).await) })
    }
}

impl StreamingService<Whole> for Fake {
    type Response = AppendRowsResponse;
    type ResponseStream = ReceiverStream<Result<AppendRowsResponse, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Whole>>) -> Self::Future {
        let fake = self.clone();
        Box::pin(async move {
            fake.remember(request.metadata());
            fake.state().calls += 1;
            let mut requests = request.into_inner();
            let (sender, receiver) = mpsc::channel(64);
            // Like the real service, not even the headers come before the first request.
            if let Some(first) = requests.message().await? {
                tokio::spawn(fake.converse(first, requests, sender));
            }
            Ok(Response::new(ReceiverStream::new(receiver)))
        })
    }
}

type Unary<A> = BoxFuture<'static, Result<Response<A>, Status>>;

struct Create(Fake);
struct Finalize(Fake);
struct Commit(Fake);

impl UnaryService<CreateWriteStreamRequest> for Create {
    type Response = WriteStream;
    type Future = Unary<WriteStream>;

    fn call(&mut self, request: Request<CreateWriteStreamRequest>) -> Self::Future {
        let fake = self.0.clone();
        boxed(async move {
            fake.remember(request.metadata());
            let request = request.into_inner();
            let kind = request.write_stream.map_or(0, |stream| stream.kind);
            let create = |state: &mut State, _| {
                let name = format!("{}/streams/s{}", request.parent, state.streams.len());
                let stream = Stream {
                    kind,
                    ..Stream::default()
                };
                state.streams.insert(name.clone(), stream);
                Ok(WriteStream {
                    name,
                    kind,
                    commit_time: None,
                })
            };
            fake.unary("CreateWriteStream", create, None).await
        })
    }
}

impl UnaryService<FinalizeWriteStreamRequest> for Finalize {
    type Response = FinalizeWriteStreamResponse;
    type Future = Unary<FinalizeWriteStreamResponse>;

    fn call(&mut self, request: Request<FinalizeWriteStreamRequest>) -> Self::Future {
        let fake = self.0.clone();
        boxed(async move {
            fake.remember(request.metadata());
            let request = request.into_inner();
            let finalize = |state: &mut State, by| {
                let Some(stream) = state.streams.get_mut(&request.name) else {
                    return Err(status(Code::NotFound, 3));
                };
                stream.finalized = true;
                Ok(FinalizeWriteStreamResponse {
                    row_count: stream.rows.len() as i64 + by,
                })
            };
            fake.unary("FinalizeWriteStream", finalize, None).await
        })
    }
}

impl UnaryService<BatchCommitWriteStreamsRequest> for Commit {
    type Response = BatchCommitWriteStreamsResponse;
    type Future = Unary<BatchCommitWriteStreamsResponse>;

    fn call(&mut self, request: Request<BatchCommitWriteStreamsRequest>) -> Self::Future {
        let fake = self.0.clone();
        boxed(async move {
            fake.remember(request.metadata());
            let request = request.into_inner();
            let commit = |state: &mut State, _| Ok(commit(state, &request.write_streams));
            let silent = BatchCommitWriteStreamsResponse::default();
            fake.unary("BatchCommitWriteStreams", commit, Some(silent))
                .await
        })
    }
}

fn commit(state: &mut State, names: &[String]) -> BatchCommitWriteStreamsResponse {
    let mut answer = BatchCommitWriteStreamsResponse::default();
    for name in names {
        let code = match state.streams.get_mut(name) {
            None => 3,
            Some(stream) if stream.committed => 2,
            Some(stream) if !stream.finalized => 5,
            Some(stream) => {
                stream.committed = true;
                let rows = stream.rows.clone();
                state.visible.extend(rows);
                continue;
            }
        };
        answer.stream_errors.push(StorageError {
            code,
            ..StorageError::default()
        });
    }
    if answer.stream_errors.is_empty() {
        answer.commit_time = Some(Time {
            seconds: 1,
            nanos: 0,
        });
    }
    answer
}

fn boxed<T>(future: impl Future<Output = T> + Send + 'static) -> BoxFuture<'static, T> {
    Box::pin(future)
}

fn rpc(code: Code, storage: i32) -> RpcStatus {
    let error = StorageError {
        code: storage,
        ..StorageError::default()
    };
    RpcStatus {
        code: code as i32,
        message: "the service says so".into(),
        details: (storage != 0)
            .then(|| Any {
                type_url: "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError"
                    .into(),
                value: error.encode_to_vec().into(),
            })
            .into_iter()
            .collect(),
    }
}

fn status(code: Code, storage: i32) -> Status {
    let details = rpc(code, storage).encode_to_vec();
    Status::with_details(code, "the service says so", details.into())
}
