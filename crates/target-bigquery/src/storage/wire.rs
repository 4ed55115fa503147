//! The messages of the Storage Write API, written by hand with the field numbers of its public
//! description, and the codec that encodes an append without copying its rows first.

use bytes::{BufMut, Bytes};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// The field of an append request that holds rows as protobuf.
const PROTO_ROWS: u32 = 4;
/// Inside it: the schema, the rows.
const WRITER_SCHEMA: u32 = 1;
const ROWS: u32 = 2;
/// Inside the schema, the descriptor; inside the rows, one row.
const DESCRIPTOR: u32 = 1;
const ROW: u32 = 1;

/// What an append request says beside its rows.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Head {
    #[prost(string, tag = "1")]
    pub(super) write_stream: String,
    #[prost(message, optional, tag = "2")]
    pub(super) offset: Option<Int64Value>,
    #[prost(string, tag = "6")]
    pub(super) trace_id: String,
}

/// A number that may be absent.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Int64Value {
    #[prost(int64, tag = "1")]
    pub(super) value: i64,
}

/// One append request. The rows stay where they are until the request is written out.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) head: Head,
    /// The encoded descriptor: bytes and a message look the same on the wire.
    pub(super) descriptor: Option<Bytes>,
    pub(super) data: Bytes,
    /// Begin and end of each row in `data`.
    pub(super) spans: Vec<(u32, u32)>,
}

impl Append {
    /// The exact size of the encoded request.
    pub(super) fn size(&self) -> usize {
        size(
            self.head.encoded_len(),
            self.descriptor.as_ref().map(Bytes::len),
            self.rows_size(),
        )
    }

    fn rows_size(&self) -> usize {
        let row = |(from, to): &(u32, u32)| row_size((to - from) as usize);
        self.spans.iter().map(row).sum()
    }

    fn write(&self, out: &mut impl BufMut) {
        self.head.encode_raw(out);
        let rows = self.rows_size();
        let descriptor = self.descriptor.as_ref();
        block(PROTO_ROWS, data_size(descriptor.map(Bytes::len), rows), out);
        if let Some(descriptor) = descriptor {
            block(WRITER_SCHEMA, block_size(descriptor.len()), out);
            block(DESCRIPTOR, descriptor.len(), out);
            out.put_slice(descriptor);
        }
        block(ROWS, rows, out);
        for (from, to) in &self.spans {
            block(ROW, (to - from) as usize, out);
            out.put_slice(
                self.data
                    .get(*from as usize..*to as usize)
                    .expect("the ends of rows were checked"),
            );
        }
    }
}

/// The size of a request with this head, this descriptor and rows of this size in all.
pub(super) fn size(head: usize, descriptor: Option<usize>, rows: usize) -> usize {
    head + block_size(data_size(descriptor, rows))
}

/// What one row adds to `rows` of [`size`].
pub(super) fn row_size(length: usize) -> usize {
    block_size(length)
}

fn data_size(descriptor: Option<usize>, rows: usize) -> usize {
    descriptor.map_or(0, |length| block_size(block_size(length))) + block_size(rows)
}

/// A field with a length in front; every field number here fits into one byte.
fn block_size(length: usize) -> usize {
    key_len(PROTO_ROWS) + encoded_len_varint(length as u64) + length
}

fn block(field: u32, length: usize, out: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

/// Writes appends, reads their answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct AppendCodec;

impl Codec for AppendCodec {
    type Encode = Append;
    type Decode = AppendRowsResponse;
    type Encoder = AppendCodec;
    type Decoder = AppendCodec;

    fn encoder(&mut self) -> Self::Encoder {
        *self
    }

    fn decoder(&mut self) -> Self::Decoder {
        *self
    }
}

impl Encoder for AppendCodec {
    type Item = Append;
    type Error = Status;

    fn encode(&mut self, item: Append, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // One allocation of the right size: a buffer that grows would copy megabytes each time.
        out.reserve(item.size());
        item.write(out);
        Ok(())
    }
}

impl Decoder for AppendCodec {
    type Item = AppendRowsResponse;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        AppendRowsResponse::decode(buf)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

/// The answer to one append.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendRowsResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) append_result: Option<AppendResult>,
    #[prost(message, optional, tag = "2")]
    pub(super) error: Option<RpcStatus>,
    /// A schema that the service has just learned of; only its presence matters here.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) updated_schema: Option<Bytes>,
    #[prost(message, repeated, tag = "4")]
    pub(super) row_errors: Vec<RowError>,
}

/// Where the rows were put.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct AppendResult {
    #[prost(message, optional, tag = "1")]
    pub(super) offset: Option<Int64Value>,
}

/// Why one row was refused.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RowError {
    #[prost(int64, tag = "1")]
    pub(super) index: i64,
    #[prost(int32, tag = "2")]
    pub(super) code: i32,
    #[prost(string, tag = "3")]
    pub(super) message: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
}

impl Any {
    /// The message inside, if it is of this type and well formed.
    pub(super) fn open<M: Message + Default>(&self, kind: &str) -> Option<M> {
        let name = self.type_url.rsplit('/').next()?;
        (name == kind)
            .then(|| M::decode(self.value.clone()).ok())
            .flatten()
    }
}

/// The service's own words for what went wrong.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StorageError {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) entity: String,
    #[prost(string, tag = "3")]
    pub(super) error_message: String,
}

/// How long the service wants to be left alone.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(super) retry_delay: Option<Time>,
}

/// `google.protobuf.Duration` and `google.protobuf.Timestamp` look the same on the wire.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Time {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// A stream of our own.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteStream {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    /// [`COMMITTED`] or [`PENDING`].
    #[prost(int32, tag = "2")]
    pub(super) kind: i32,
    /// When it was committed, if it was.
    #[prost(message, optional, tag = "4")]
    pub(super) commit_time: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GetWriteStreamRequest {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// Rows are visible when acknowledged.
pub(super) const COMMITTED: i32 = 1;
/// Rows are visible once the stream is committed.
pub(super) const PENDING: i32 = 2;

#[derive(Clone, PartialEq, Message)]
pub(super) struct CreateWriteStreamRequest {
    #[prost(string, tag = "1")]
    pub(super) parent: String,
    #[prost(message, optional, tag = "2")]
    pub(super) write_stream: Option<WriteStream>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FinalizeWriteStreamRequest {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct FinalizeWriteStreamResponse {
    #[prost(int64, tag = "1")]
    pub(super) row_count: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchCommitWriteStreamsRequest {
    #[prost(string, tag = "1")]
    pub(super) parent: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) write_streams: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchCommitWriteStreamsResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) commit_time: Option<Time>,
    #[prost(message, repeated, tag = "2")]
    pub(super) stream_errors: Vec<StorageError>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::fake::Whole;

    #[test]
    fn a_request_is_what_the_description_says_and_its_size_is_exact() {
        let long = vec![7_u8; 70_000];
        let mut data = b"onetwo".to_vec();
        data.extend_from_slice(&long);
        for descriptor in [None, Some(Bytes::from(vec![1_u8; 300]))] {
            let append = Append {
                head: Head {
                    write_stream: "projects/p/streams/s".into(),
                    offset: Some(Int64Value { value: 0 }),
                    trace_id: "run".into(),
                },
                descriptor: descriptor.clone(),
                data: Bytes::from(data.clone()),
                spans: vec![(0, 3), (3, 3), (3, 6), (6, 70_006)],
            };
            let mut out = Vec::new();
            append.write(&mut out);
            assert_eq!(out.len(), append.size());
            let whole = Whole::decode(out.as_slice()).unwrap();
            assert_eq!(whole.write_stream, "projects/p/streams/s");
            assert_eq!(whole.offset, Some(Int64Value { value: 0 }));
            assert_eq!(whole.trace_id, "run");
            let inside = whole.proto_rows.unwrap();
            assert_eq!(inside.schema.map(|schema| schema.descriptor), descriptor);
            let rows = inside.rows.unwrap().rows;
            assert_eq!(rows, [b"one".as_slice(), b"", b"two", &long]);
        }
    }
}
