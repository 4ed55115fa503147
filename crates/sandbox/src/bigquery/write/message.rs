//! The messages of the Storage Write API, with the field numbers of its public definition.

use std::collections::HashMap;

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

impl Timestamp {
    pub(crate) fn from_ms(ms: u64) -> Timestamp {
        Timestamp {
            seconds: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
            nanos: i32::try_from(ms % 1000 * 1_000_000).unwrap_or(0),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Int64Value {
    #[prost(int64, tag = "1")]
    pub(crate) value: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StorageError {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) entity: String,
    #[prost(string, tag = "3")]
    pub(crate) error_message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RowError {
    #[prost(int64, tag = "1")]
    pub(crate) index: i64,
    #[prost(int32, tag = "2")]
    pub(crate) code: i32,
    #[prost(string, tag = "3")]
    pub(crate) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TableSchema {
    #[prost(message, repeated, tag = "1")]
    pub(crate) fields: Vec<TableFieldSchema>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TableFieldSchema {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(int32, tag = "2")]
    pub(crate) kind: i32,
    #[prost(int32, tag = "3")]
    pub(crate) mode: i32,
    #[prost(message, repeated, tag = "4")]
    pub(crate) fields: Vec<TableFieldSchema>,
    #[prost(string, tag = "6")]
    pub(crate) description: String,
    #[prost(int64, tag = "7")]
    pub(crate) max_length: i64,
    #[prost(int64, tag = "8")]
    pub(crate) precision: i64,
    #[prost(int64, tag = "9")]
    pub(crate) scale: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteStream {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(int32, tag = "2")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "3")]
    pub(crate) create_time: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    pub(crate) commit_time: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    pub(crate) table_schema: Option<TableSchema>,
    #[prost(int32, tag = "7")]
    pub(crate) write_mode: i32,
    #[prost(string, tag = "8")]
    pub(crate) location: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CreateWriteStreamRequest {
    #[prost(string, tag = "1")]
    pub(crate) parent: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) write_stream: Option<WriteStream>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetWriteStreamRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(int32, tag = "3")]
    pub(crate) view: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FinalizeWriteStreamRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FinalizeWriteStreamResponse {
    #[prost(int64, tag = "1")]
    pub(crate) row_count: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchCommitWriteStreamsRequest {
    #[prost(string, tag = "1")]
    pub(crate) parent: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) write_streams: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchCommitWriteStreamsResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) commit_time: Option<Timestamp>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) stream_errors: Vec<StorageError>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FlushRowsRequest {
    #[prost(string, tag = "1")]
    pub(crate) write_stream: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) offset: Option<Int64Value>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FlushRowsResponse {
    #[prost(int64, tag = "1")]
    pub(crate) offset: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AppendRowsRequest {
    #[prost(string, tag = "1")]
    pub(crate) write_stream: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) offset: Option<Int64Value>,
    #[prost(oneof = "AppendedRows", tags = "4, 5")]
    pub(crate) rows: Option<AppendedRows>,
    #[prost(string, tag = "6")]
    pub(crate) trace_id: String,
    #[prost(map = "string, int32", tag = "7")]
    pub(crate) missing_value_interpretations: HashMap<String, i32>,
    #[prost(int32, tag = "8")]
    pub(crate) default_missing_value_interpretation: i32,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum AppendedRows {
    #[prost(message, tag = "4")]
    Proto(ProtoData),
    /// Arrow, which is looked at by nobody here.
    #[prost(bytes = "vec", tag = "5")]
    Arrow(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ProtoData {
    #[prost(message, optional, tag = "1")]
    pub(crate) writer_schema: Option<ProtoSchema>,
    #[prost(message, optional, tag = "2")]
    pub(crate) rows: Option<ProtoRows>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ProtoSchema {
    #[prost(message, optional, tag = "1")]
    pub(crate) proto_descriptor: Option<Descriptor>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ProtoRows {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(crate) serialized_rows: Vec<Vec<u8>>,
}

/// `google.protobuf.DescriptorProto`, as much of it as rows need.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Descriptor {
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) fields: Vec<FieldDescriptor>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) nested: Vec<Descriptor>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) enums: Vec<EnumDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FieldDescriptor {
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub(crate) number: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    pub(crate) label: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub(crate) kind: Option<i32>,
    #[prost(string, optional, tag = "6")]
    pub(crate) type_name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct EnumDescriptor {
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) values: Vec<EnumValueDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct EnumValueDescriptor {
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) number: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AppendRowsResponse {
    #[prost(oneof = "Appended", tags = "1, 2")]
    pub(crate) response: Option<Appended>,
    #[prost(message, optional, tag = "3")]
    pub(crate) updated_schema: Option<TableSchema>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) row_errors: Vec<RowError>,
    #[prost(string, tag = "5")]
    pub(crate) write_stream: String,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Appended {
    #[prost(message, tag = "1")]
    Result(AppendResult),
    #[prost(message, tag = "2")]
    Error(RpcStatus),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AppendResult {
    #[prost(message, optional, tag = "1")]
    pub(crate) offset: Option<Int64Value>,
}
