//! What a service's refusal means and what is to be done about it: one table of codes for each service.

use std::time::Duration;

use singer_core::{Error, Kind};
use singer_net::{Answer, client};

pub mod analytics;
pub mod catalyst;
pub mod crm;

pub(crate) mod body;
mod details;

pub use body::without_markup;

#[cfg(test)]
mod tests;

pub use details::Details;

/// A service of Zoho: how it says that something is wrong.
pub trait Service: Send + Sync + 'static {
    /// Its name in errors.
    const NAME: &'static str;

    /// Whether an answer is a success; else what it says, classified.
    fn judge(answer: &Answer) -> Result<(), Fault>;
}

/// What is to be done after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The service broke or cannot be reached; whether it acted is not known.
    Broken,
    /// Too much at once: it did not act; to be tried again after a pause.
    Throttled,
    /// Something else holds what is needed (a job slot, a locked table): it did not act; worth a long wait.
    Busy,
    /// The token is no longer good.
    Token,
    /// The token lacks a scope, or the user a right: no new token will help.
    Denied,
    /// What was bought is used up until the next day or month.
    Quota,
    /// The data are at fault.
    Data,
    /// Not there: a table, a view, a job.
    Missing,
    /// It is there already.
    Exists,
    /// Too old: a link or a job that has to be made anew.
    Expired,
    /// Anything else that will not heal by itself.
    Fatal,
}

/// A refusal.
#[derive(Debug)]
pub struct Fault {
    /// What is to be done.
    pub class: Class,
    /// The service's code, as text.
    pub code: Option<String>,
    /// The service's constant beside the code (`META_DBOBJECT_NAME_DUPLICATED`), if it has one.
    pub constant: Option<String>,
    /// What the code is about: a field, a place in the request, a limit.
    pub details: Details,
    /// The service's words, without markup and without values of rows.
    pub words: String,
    /// The status of the answer; nothing if there was none.
    pub status: Option<u16>,
    /// How long the service asks to be left alone.
    pub after: Option<Duration>,
    /// What to do, for people.
    pub hint: Option<String>,
    /// The error below, when there was no answer, or when a token could not be had.
    pub source: Option<Error>,
}

impl Fault {
    /// Whether its code is this one.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Whether the service may have acted nevertheless.
    pub fn is_unclear(&self) -> bool {
        self.class == Class::Broken
    }

    /// Whether no connection stood, so that the service certainly saw nothing.
    pub fn was_never_sent(&self) -> bool {
        self.source.as_ref().is_some_and(client::was_never_sent)
    }

    /// The same as [`Fault::into_error`], with the scope that a token needs which may not do this.
    pub fn into_error_of_scope(self, what: &str, scope: &str) -> Error {
        let is_denied = self.class == Class::Denied;
        let error = self.into_error(what);
        if is_denied {
            return error.with_hint(format!(
                "the refresh token needs the scope `{scope}`; scopes are chosen when the code is generated, so make a new one"
            ));
        }
        error
    }

    /// The error of having tried to do this ("cannot submit the import of `Trips`").
    pub fn into_error(self, what: &str) -> Error {
        let kind = self.kind();
        let hint = self.hint.clone();
        let cause = match self.source {
            Some(source) => source,
            None => Error::new(kind, self.to_string()),
        };
        let error = Error::new(kind, what).with_source(cause);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// What happens next: what the error below says if it comes from this side, else by the class.
    fn kind(&self) -> Kind {
        if let Some(source) = &self.source {
            let kind = source.kind();
            let is_ours = matches!(
                kind,
                Kind::Interrupted | Kind::Config | Kind::Auth | Kind::RateLimited | Kind::Internal
            );
            if is_ours || self.class == Class::Fatal {
                return kind;
            }
        }
        match self.class {
            Class::Broken | Class::Busy => Kind::Transient,
            Class::Throttled | Class::Quota => Kind::RateLimited,
            Class::Token | Class::Denied => Kind::Auth,
            Class::Data => Kind::Rejected,
            Class::Missing | Class::Exists | Class::Expired | Class::Fatal => Kind::Protocol,
        }
    }

    /// A fault that no answer tells of.
    pub(crate) fn without_answer(class: Class, source: Error) -> Self {
        Self {
            class,
            code: None,
            constant: None,
            details: Details::default(),
            words: source.message().to_owned(),
            status: None,
            after: None,
            hint: None,
            source: Some(source),
        }
    }
}

impl std::fmt::Display for Fault {
    /// Status, code, constant and words on one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.status, &self.code) {
            (Some(status), _) => write!(f, "the service answered {status}")?,
            (None, Some(_)) => f.write_str("the service answered")?,
            (None, None) => return f.write_str(&self.words),
        }
        if let Some(code) = &self.code {
            let comma = if self.status.is_some() { "," } else { "" };
            write!(f, "{comma} code `{code}`")?;
        }
        if let Some(constant) = &self.constant {
            write!(f, ", `{constant}`")?;
        }
        for (name, value) in self.details.iter() {
            write!(f, ", {name} `{value}`")?;
        }
        write!(f, ": {}", self.words)
    }
}

impl From<Error> for Fault {
    /// An error below the service: no token, no URL. The service did not act.
    fn from(error: Error) -> Self {
        Self::without_answer(Class::Fatal, error)
    }
}
