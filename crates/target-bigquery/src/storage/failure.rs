//! What a failed call means: the code, the service's own code, and what is to be done next. An
//! error inside an answer and one that ends a stream become the same thing here.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use prost::Message;
use singer_core::{Error, Secret};
use singer_net::redact;
use tonic::{Code, Status};

use super::wire::{Any, RetryInfo, RpcStatus, StorageError};

const STORAGE_ERROR: &str = "google.cloud.bigquery.storage.v1.StorageError";
const RETRY_INFO: &str = "google.rpc.RetryInfo";
/// So much of the service's words is shown.
const WORDS: usize = 300;

/// The service's own code, where it gives one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageCode {
    /// There is no such table, or not yet.
    TableNotFound,
    /// The stream was committed before.
    StreamAlreadyCommitted,
    /// There is no such stream.
    StreamNotFound,
    /// The stream is of another type than the call needs.
    InvalidStreamType,
    /// The stream is not in the state that the call needs.
    InvalidStreamState,
    /// The stream takes no more rows.
    StreamFinalized,
    /// The rows have a column that the service does not know, or not yet.
    ExtraFields,
    /// There are rows at this offset.
    OffsetAlreadyExists,
    /// The stream does not reach to this offset.
    OffsetOutOfRange,
    /// Any other.
    Other(i32),
}

impl From<i32> for StorageCode {
    fn from(code: i32) -> Self {
        match code {
            1 => Self::TableNotFound,
            2 => Self::StreamAlreadyCommitted,
            3 => Self::StreamNotFound,
            4 => Self::InvalidStreamType,
            5 => Self::InvalidStreamState,
            6 => Self::StreamFinalized,
            7 => Self::ExtraFields,
            8 => Self::OffsetAlreadyExists,
            9 => Self::OffsetOutOfRange,
            other => Self::Other(other),
        }
    }
}

/// What is to be done after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Try again after a while.
    Passing,
    /// Try again after a while; the service is asked too much.
    Busy,
    /// The token is not good.
    Token,
    /// A right is missing.
    Denied,
    /// The table is missing, or the service has not heard of it yet.
    Missing,
    /// A column is missing, or the service has not heard of it yet.
    Column,
    /// The rows are there.
    Exists,
    /// Rows before these are not there.
    Gap,
    /// The stream takes no more rows.
    Over,
    /// The stream was committed before.
    Committed,
    /// Another attempt ends the same way.
    Final,
}

/// A failed call, as the source of an [`Error`].
#[derive(Debug, Clone)]
pub struct Failure {
    code: Code,
    storage: Option<StorageCode>,
    words: String,
    /// How long the service wants to be left alone.
    pub(super) after: Option<Duration>,
    /// The connection broke, so that what was sent may still arrive.
    pub(super) lost: bool,
    /// The certificate of the server is not trusted.
    pub(super) untrusted: bool,
    /// The token that the call was made with.
    pub(super) token: Option<Secret>,
}

impl Failure {
    fn new(code: Code, message: &str, details: &[Any]) -> Self {
        let storage: Option<StorageError> = details.iter().find_map(|any| any.open(STORAGE_ERROR));
        let retry: Option<RetryInfo> = details.iter().find_map(|any| any.open(RETRY_INFO));
        let message = match &storage {
            Some(storage) if message.is_empty() => &storage.error_message,
            _ => message,
        };
        Self {
            code,
            storage: storage.as_ref().map(|storage| storage.code.into()),
            words: redact::words(message, &[], WORDS),
            after: retry.and_then(|retry| retry.retry_delay).map(|delay| {
                Duration::from_secs(delay.seconds.max(0).unsigned_abs())
                    + Duration::from_nanos(delay.nanos.max(0).unsigned_abs().into())
            }),
            lost: false,
            untrusted: false,
            token: None,
        }
    }

    /// A failure that the client found by itself, with a broken connection's meaning.
    pub(super) fn lost(words: &str) -> Self {
        Self {
            lost: true,
            ..Self::new(Code::Unavailable, words, &[])
        }
    }

    /// The service ended a stream without a word.
    pub(super) fn ended() -> Self {
        Self::new(Code::Unavailable, "the service closed the connection", &[])
    }

    /// An error among those of a commit.
    pub(super) fn of_stream(error: &StorageError) -> Self {
        Self {
            storage: Some(error.code.into()),
            ..Self::new(Code::FailedPrecondition, &error.error_message, &[])
        }
    }

    /// The same failure of a call that was made with this token.
    pub(super) fn with_token(mut self, token: Option<&Secret>) -> Self {
        self.token = token.cloned();
        self
    }

    /// The gRPC code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The service's own code.
    pub fn storage_code(&self) -> Option<StorageCode> {
        self.storage
    }

    /// What is to be done next. The service's own code says more than that of the call.
    pub(super) fn class(&self) -> Class {
        if self.lost {
            return if self.untrusted {
                Class::Final
            } else {
                Class::Passing
            };
        }
        match self.storage {
            Some(StorageCode::TableNotFound) => return Class::Missing,
            Some(StorageCode::StreamAlreadyCommitted) => return Class::Committed,
            Some(StorageCode::StreamNotFound | StorageCode::StreamFinalized) => return Class::Over,
            Some(StorageCode::InvalidStreamState) => return Class::Over,
            Some(StorageCode::ExtraFields) => return Class::Column,
            Some(StorageCode::OffsetAlreadyExists) => return Class::Exists,
            Some(StorageCode::OffsetOutOfRange) => return Class::Gap,
            Some(StorageCode::InvalidStreamType | StorageCode::Other(_)) | None => {}
        }
        match self.code {
            Code::Aborted
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unavailable => Class::Passing,
            Code::ResourceExhausted => Class::Busy,
            Code::Unauthenticated => Class::Token,
            Code::PermissionDenied => Class::Denied,
            Code::NotFound => Class::Missing,
            Code::AlreadyExists => Class::Exists,
            Code::OutOfRange => Class::Gap,
            _ => Class::Final,
        }
    }
}

impl From<&RpcStatus> for Failure {
    fn from(status: &RpcStatus) -> Self {
        Self::new(Code::from(status.code), &status.message, &status.details)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let details = RpcStatus::decode(status.details()).unwrap_or_default();
        let mut failure = Self::new(status.code(), status.message(), &details.details);
        // Only what the transport found has a cause; what the service said has none.
        let mut cause = status.source();
        failure.lost = cause.is_some();
        while let Some(error) = cause {
            let words = error.to_string();
            failure.untrusted |= words.contains("invalid peer certificate");
            if error.source().is_none() && failure.lost {
                failure.words = redact::words(&words, &[], WORDS);
            }
            cause = error.source();
        }
        failure
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.code)?;
        if let Some(storage) = self.storage {
            write!(f, " ({storage:?})")?;
        }
        write!(f, ": {}", self.words)
    }
}

impl std::error::Error for Failure {}

/// The failed call behind an error, if that was the cause.
pub fn failure_of(error: &Error) -> Option<&Failure> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(failure) = error.downcast_ref() {
            return Some(failure);
        }
        cause = error.source();
    }
    None
}

/// The gRPC code behind an error, if a failed call was the cause.
pub fn code_of(error: &Error) -> Option<Code> {
    failure_of(error).map(Failure::code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded(code: Code, storage: Option<i32>) -> Failure {
        let details = storage.map(|code| Any {
            type_url: format!("type.googleapis.com/{STORAGE_ERROR}"),
            value: StorageError {
                code,
                ..StorageError::default()
            }
            .encode_to_vec()
            .into(),
        });
        Failure::from(&RpcStatus {
            code: code as i32,
            message: "words".into(),
            details: details.into_iter().collect(),
        })
    }

    #[test]
    fn the_codes_mean_what_the_table_says() {
        for (code, storage, class) in [
            (Code::AlreadyExists, None, Class::Exists),
            (Code::AlreadyExists, Some(8), Class::Exists),
            (Code::OutOfRange, None, Class::Gap),
            (Code::OutOfRange, Some(9), Class::Gap),
            (Code::InvalidArgument, None, Class::Final),
            (Code::InvalidArgument, Some(7), Class::Column),
            (Code::NotFound, None, Class::Missing),
            (Code::NotFound, Some(1), Class::Missing),
            (Code::NotFound, Some(3), Class::Over),
            (Code::FailedPrecondition, None, Class::Final),
            (Code::FailedPrecondition, Some(6), Class::Over),
            (Code::FailedPrecondition, Some(5), Class::Over),
            (Code::FailedPrecondition, Some(2), Class::Committed),
            (Code::FailedPrecondition, Some(12), Class::Final),
            (Code::Aborted, None, Class::Passing),
            (Code::Cancelled, None, Class::Passing),
            (Code::DeadlineExceeded, None, Class::Passing),
            (Code::Internal, None, Class::Passing),
            (Code::Unavailable, None, Class::Passing),
            (Code::ResourceExhausted, None, Class::Busy),
            (Code::PermissionDenied, None, Class::Denied),
            (Code::Unauthenticated, None, Class::Token),
            (Code::Unknown, None, Class::Final),
        ] {
            assert_eq!(
                embedded(code, storage).class(),
                class,
                "{code:?} {storage:?}"
            );
        }
    }

    #[test]
    fn a_final_status_with_details_is_the_same_as_an_embedded_error() {
        let details = RpcStatus {
            code: Code::InvalidArgument as i32,
            message: String::new(),
            details: vec![Any {
                type_url: format!("type.googleapis.com/{STORAGE_ERROR}"),
                value: StorageError {
                    code: 7,
                    ..StorageError::default()
                }
                .encode_to_vec()
                .into(),
            }],
        };
        let status = Status::with_details(
            Code::InvalidArgument,
            "words",
            details.encode_to_vec().into(),
        );
        let failure = Failure::from(status);
        assert_eq!(failure.class(), Class::Column);
        assert!(!failure.lost);
        assert_eq!(failure.to_string(), "InvalidArgument (ExtraFields): words");
    }

    #[test]
    fn the_delay_that_the_service_asks_for_is_read() {
        let failure = Failure::from(&RpcStatus {
            code: Code::ResourceExhausted as i32,
            message: String::new(),
            details: vec![Any {
                type_url: format!("type.googleapis.com/{RETRY_INFO}"),
                value: RetryInfo {
                    retry_delay: Some(super::super::wire::Time {
                        seconds: 2,
                        nanos: 500_000_000,
                    }),
                }
                .encode_to_vec()
                .into(),
            }],
        });
        assert_eq!(failure.after, Some(Duration::from_millis(2500)));
    }

    #[test]
    fn the_code_is_found_behind_an_error() {
        let failure = embedded(Code::PermissionDenied, None);
        let error = Error::rejected("no").with_source(failure);
        assert_eq!(code_of(&error), Some(Code::PermissionDenied));
        assert_eq!(code_of(&Error::rejected("no")), None);
    }
}
