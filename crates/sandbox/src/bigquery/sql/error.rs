//! Why a statement was not run, in the words of the service.

use sqlparser::ast::{Ident, Spanned};
use sqlparser::tokenizer::Span;

/// What an answer does with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SqlErrorKind {
    /// The service refuses it too: 400 `invalidQuery`.
    Invalid,
    /// A table or dataset is missing: 404 `notFound`.
    NotFound,
    /// A table is there already: 409 `duplicate`.
    Duplicate,
    /// The stand-in does not run this exactly: 501.
    Unsupported,
}

/// An error of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlError {
    pub(crate) kind: SqlErrorKind,
    pub(crate) message: String,
}

pub(crate) type Result<T> = std::result::Result<T, SqlError>;

impl SqlError {
    pub(crate) fn new(kind: SqlErrorKind, message: impl Into<String>) -> SqlError {
        SqlError {
            kind,
            message: message.into(),
        }
    }

    /// Adds the place in the text that the error is about.
    pub(super) fn at(self, place: &impl Spanned) -> SqlError {
        self.at_span(place.span())
    }

    /// Adds the place of a name.
    pub(super) fn at_name(self, name: &Ident) -> SqlError {
        self.at_span(name.span)
    }

    fn at_span(mut self, span: Span) -> SqlError {
        if span != Span::empty() && !self.message.ends_with(']') {
            self.message = format!(
                "{} at [{}:{}]",
                self.message, span.start.line, span.start.column
            );
        }
        self
    }
}

pub(super) fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlErrorKind::Invalid, message)
}

pub(super) fn unsupported(what: impl AsRef<str>) -> SqlError {
    let message = format!("the sandbox does not simulate {}", what.as_ref());
    SqlError::new(SqlErrorKind::Unsupported, message)
}
