//! The one error type of the lower floors: a kind that says what happens next, a message, hints.

use std::fmt;

/// The result of everything in the lower floors.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What happens next after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Wrong usage, config, catalog or state file: nothing was written (exit code 2).
    Config,
    /// The service refuses these credentials or rights (exit code 1).
    Auth,
    /// The service throttles beyond the configured patience (exit code 75).
    RateLimited,
    /// The service is out of reach or broken for the moment (exit code 75).
    Transient,
    /// The service or its schema refuses these data for good (exit code 1).
    Rejected,
    /// The other side broke the protocol: a malformed message, an answer of an unknown shape (exit code 1).
    Protocol,
    /// A person or a supervisor asked to stop (exit code 130 or 143).
    Interrupted,
    /// A defect or a local fault such as a full disk (exit code 1).
    Internal,
}

/// An error with its kind, the thing that was being done, and what a person can do about it.
///
/// The message has no full stop and names things in backticks; the cause is attached, never pasted.
pub struct Error {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A new error of a kind. The message says what was being done and to what.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
            source: None,
        }
    }

    /// Wrong usage, config, catalog or state file.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// Credentials or rights.
    pub fn auth(message: impl Into<String>) -> Self {
        Self::new(Kind::Auth, message)
    }

    /// Out of reach for the moment.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(Kind::Transient, message)
    }

    /// Data refused for good.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(Kind::Rejected, message)
    }

    /// A broken message or answer.
    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new(Kind::Protocol, message)
    }

    /// A stop was asked for.
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "stopped on request")
    }

    /// A defect or a local fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// The same error with its cause attached.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with one more line on what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same error with the place where it was found before its message: `line 42: …`.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// An error that says the same, for one more who waits for the same thing: kind, message, causes and
    /// hints. A cause of another type is there by its text, with the kind of the error above it.
    #[must_use]
    pub fn copy(&self) -> Self {
        let source = self.source.as_deref();
        Self {
            kind: self.kind,
            message: self.message.clone(),
            hints: self.hints.clone(),
            source: source.map(|cause| copy_cause(cause, self.kind).into()),
        }
    }

    /// What happens next.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What was being done, without causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What a person can do, one line each.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

fn copy_cause(cause: &(dyn std::error::Error + 'static), above: Kind) -> Error {
    if let Some(error) = cause.downcast_ref::<Error>() {
        return error.copy();
    }
    Error {
        kind: above,
        message: cause.to_string(),
        hints: Vec::new(),
        source: cause.source().map(|cause| copy_cause(cause, above).into()),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        let mut cause = self
            .source
            .as_deref()
            .map(|source| source as &dyn std::error::Error);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_attached_and_not_pasted() {
        let error = Error::transient("cannot read `a`").with_source(Error::internal("disk"));
        assert_eq!(error.to_string(), "cannot read `a`");
        assert_eq!(format!("{error:?}"), "Transient: cannot read `a`: disk");
    }

    #[test]
    fn a_copy_says_the_same() {
        #[derive(Debug)]
        struct Foreign(Error);
        impl fmt::Display for Foreign {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a library gave up")
            }
        }
        impl std::error::Error for Foreign {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let inner = Error::auth("the key is old").with_hint("make a new one");
        let error = Error::transient("cannot read `a`")
            .with_hint("run again")
            .with_hint("or later")
            .with_source(Foreign(inner));
        let copy = error.copy().copy();
        assert_eq!(format!("{copy:?}"), format!("{error:?}"));
        assert_eq!(
            (copy.kind(), copy.message()),
            (error.kind(), error.message())
        );
        assert_eq!(copy.hints(), ["run again", "or later"]);
        let cause = |error: &dyn std::error::Error| {
            error.source().and_then(|it| it.source()).map(|it| {
                let error = it.downcast_ref::<Error>().unwrap();
                (error.kind(), error.hints().to_vec(), error.source.is_none())
            })
        };
        assert_eq!(cause(&copy), cause(&error));
        assert_eq!(cause(&copy).unwrap().1, ["make a new one"]);
    }
}
