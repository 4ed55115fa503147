//! A hand-made client of the Storage Write API: the messages that the tests need, over tonic's generic
//! client. It shares nothing with the stand-in.

use axum::http::uri::PathAndQuery;
use futures_util::stream;
use prost::{Message, Oneof};
use sandbox::Sandbox;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Stream {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(int32, tag = "2")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "5")]
    pub(crate) schema: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Schema {
    #[prost(message, repeated, tag = "1")]
    pub(crate) fields: Vec<SchemaField>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SchemaField {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(int32, tag = "2")]
    pub(crate) kind: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Create {
    #[prost(string, tag = "1")]
    pub(crate) parent: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) stream: Option<Stream>,
}

/// A request that is one name: to finalize and to get.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Named {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

/// An answer that is one number: of finalized and of flushed rows.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Count {
    #[prost(int64, tag = "1")]
    pub(crate) count: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Flush {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) offset: Option<Count>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Commit {
    #[prost(string, tag = "1")]
    pub(crate) parent: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) streams: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Committed {
    #[prost(message, optional, tag = "1")]
    pub(crate) time: Option<Count>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) errors: Vec<Problem>,
}

/// A `StorageError`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Problem {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) entity: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Append {
    #[prost(string, tag = "1")]
    pub(crate) stream: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) offset: Option<Count>,
    #[prost(message, optional, tag = "4")]
    pub(crate) rows: Option<Data>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Data {
    #[prost(message, optional, tag = "1")]
    pub(crate) schema: Option<WriterSchema>,
    #[prost(message, optional, tag = "2")]
    pub(crate) rows: Option<Rows>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriterSchema {
    #[prost(message, optional, tag = "1")]
    pub(crate) descriptor: Option<Descriptor>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Rows {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(crate) rows: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Descriptor {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) fields: Vec<Field>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) nested: Vec<Descriptor>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Field {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(int32, tag = "3")]
    pub(crate) number: i32,
    #[prost(int32, tag = "4")]
    pub(crate) label: i32,
    #[prost(int32, tag = "5")]
    pub(crate) kind: i32,
    #[prost(string, tag = "6")]
    pub(crate) type_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Appended {
    #[prost(oneof = "Outcome", tags = "1, 2")]
    pub(crate) outcome: Option<Outcome>,
    #[prost(message, optional, tag = "3")]
    pub(crate) schema: Option<Schema>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) row_errors: Vec<BadRow>,
    #[prost(string, tag = "5")]
    pub(crate) stream: String,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Outcome {
    #[prost(message, tag = "1")]
    Stored(Stored),
    #[prost(message, tag = "2")]
    Failed(Failed),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Stored {
    #[prost(message, optional, tag = "1")]
    pub(crate) offset: Option<Count>,
}

/// A `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Failed {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Detail>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Detail {
    #[prost(string, tag = "1")]
    pub(crate) url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BadRow {
    #[prost(int64, tag = "1")]
    pub(crate) index: i64,
    #[prost(string, tag = "3")]
    pub(crate) message: String,
}

impl Appended {
    /// The offset of a stored request, or the status and the storage code of a failed one.
    pub(crate) fn result(&self) -> Result<Option<i64>, (i32, i32)> {
        match self.outcome.as_ref().unwrap() {
            Outcome::Stored(stored) => Ok(stored.offset.as_ref().map(|offset| offset.count)),
            Outcome::Failed(failed) => Err((failed.code, storage_code(&failed.details))),
        }
    }
}

/// The code of the `StorageError` in the details of a status.
pub(crate) fn code_in(status: &Status) -> i32 {
    storage_code(&Failed::decode(status.details()).unwrap().details)
}

fn storage_code(details: &[Detail]) -> i32 {
    let url = "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError";
    details
        .iter()
        .find(|detail| detail.url == url)
        .map_or(0, |detail| {
            Problem::decode(detail.value.as_slice()).unwrap().code
        })
}

/// A client with a connection of its own.
pub(crate) struct Client(Grpc<Channel>);

impl Client {
    pub(crate) async fn new(sandbox: &Sandbox) -> Client {
        let endpoint = Endpoint::from_shared(sandbox.grpc_url()).unwrap();
        Client(Grpc::new(endpoint.connect().await.unwrap()))
    }

    /// A call with one message each way.
    pub(crate) async fn call<Asked, Answered>(
        &mut self,
        name: &str,
        message: Asked,
    ) -> Result<Answered, Status>
    where
        Asked: Message + 'static,
        Answered: Message + Default + 'static,
    {
        self.0.ready().await.unwrap();
        let codec = ProstCodec::<Asked, Answered>::default();
        self.0
            .unary(Request::new(message), path(name), codec)
            .await
            .map(Response::into_inner)
    }

    /// Sends requests on one append connection; the last result may be the end of the call.
    pub(crate) async fn append(&mut self, requests: Vec<Append>) -> Vec<Result<Appended, Status>> {
        let count = requests.len();
        self.0.ready().await.unwrap();
        let codec = ProstCodec::<Append, Appended>::default();
        let requests = Request::new(tokio_stream::iter(requests));
        let answers = self.0.streaming(requests, path("AppendRows"), codec).await;
        let mut answers: Streaming<Appended> = match answers {
            Ok(answers) => answers.into_inner(),
            Err(status) => return vec![Err(status)],
        };
        let mut seen = Vec::new();
        while seen.len() < count {
            match answers.message().await {
                Ok(Some(answer)) => seen.push(Ok(answer)),
                Ok(None) => break,
                Err(status) => {
                    seen.push(Err(status));
                    break;
                }
            }
        }
        seen
    }

    /// Opens an append connection whose requests come one by one.
    pub(crate) async fn open(
        &mut self,
        requests: tokio::sync::mpsc::Receiver<Append>,
    ) -> Streaming<Appended> {
        self.0.ready().await.unwrap();
        let codec = ProstCodec::<Append, Appended>::default();
        let requests = stream::unfold(requests, |mut requests| async move {
            requests.recv().await.map(|request| (request, requests))
        });
        let requests = Request::new(Box::pin(requests));
        let answers = self.0.streaming(requests, path("AppendRows"), codec).await;
        answers.unwrap().into_inner()
    }

    pub(crate) async fn create(&mut self, table: &str, kind: i32) -> String {
        let stream = Stream {
            kind,
            ..Stream::default()
        };
        let create = Create {
            parent: table.to_owned(),
            stream: Some(stream),
        };
        let made: Stream = self.call("CreateWriteStream", create).await.unwrap();
        made.name
    }
}

fn path(name: &str) -> PathAndQuery {
    format!("/google.cloud.bigquery.storage.v1.BigQueryWrite/{name}")
        .parse()
        .unwrap()
}
