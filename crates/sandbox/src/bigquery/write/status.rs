//! Errors of the Storage Write API: a status of gRPC with a `StorageError` in its details, at the end
//! of a call or inside of an answer.

use prost::Message;
use tonic::{Code, Status};

use super::message::{Any, RpcStatus, StorageError};
use crate::bigquery::answer::ApiError;

const STORAGE_ERROR_URL: &str = "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError";

/// The codes of a `StorageError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StorageCode {
    TableNotFound = 1,
    StreamAlreadyCommitted = 2,
    StreamNotFound = 3,
    InvalidStreamType = 4,
    InvalidStreamState = 5,
    StreamFinalized = 6,
    SchemaMismatchExtraFields = 7,
    OffsetAlreadyExists = 8,
    OffsetOutOfRange = 9,
}

/// An error of a call or of one message.
#[derive(Debug, Clone)]
pub(crate) struct WriteError {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) storage: Option<(StorageCode, String)>,
}

impl WriteError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> WriteError {
        WriteError {
            code,
            message: message.into(),
            storage: None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> WriteError {
        WriteError::new(Code::InvalidArgument, message)
    }

    /// The same with a `StorageError` about an entity in its details.
    pub(crate) fn with(mut self, code: StorageCode, entity: &str) -> WriteError {
        self.storage = Some((code, entity.to_owned()));
        self
    }

    /// NOT_FOUND of a table or a stream.
    pub(crate) fn not_found(code: StorageCode, entity: &str) -> WriteError {
        WriteError::new(
            Code::NotFound,
            format!("Requested entity was not found. Entity: {entity}"),
        )
        .with(code, entity)
    }

    /// The status as a part of an answer.
    pub(crate) fn to_proto(&self) -> RpcStatus {
        let details = self.storage.iter().map(|(code, entity)| Any {
            type_url: STORAGE_ERROR_URL.to_owned(),
            value: StorageError {
                code: *code as i32,
                entity: entity.clone(),
                error_message: self.message.clone(),
            }
            .encode_to_vec(),
        });
        RpcStatus {
            code: self.code as i32,
            message: self.message.clone(),
            details: details.collect(),
        }
    }
}

impl From<WriteError> for Status {
    fn from(error: WriteError) -> Status {
        let details = error.to_proto().encode_to_vec();
        Status::with_details(error.code, error.message, details.into())
    }
}

impl From<ApiError> for WriteError {
    fn from(error: ApiError) -> WriteError {
        let code = match error.code {
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::NotFound,
            _ => Code::InvalidArgument,
        };
        WriteError::new(code, error.message)
    }
}
