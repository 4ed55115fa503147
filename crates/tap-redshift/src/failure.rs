//! What the server and the driver report, as the house's errors: what happens next, and a hint for
//! the person who reads it.

use std::error::Error as StdError;

use singer_core::{Error, Kind};
use tokio_postgres::error::{DbError, SqlState};

/// An error with what a reader may try against it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// For the person.
    pub(crate) error: Error,
    /// For the loop.
    pub(crate) remedy: Remedy,
}

/// What may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing: it fails again.
    None,
    /// A new connection, from the last row that was read.
    Reconnect,
    /// A new connection and a new look at the table.
    Rediscover,
    /// The server does not know this kind of COPY.
    WithoutCopy,
    /// Fewer rows in one FETCH.
    SmallerFetch,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let remedy = match error.kind() {
            Kind::Transient => Remedy::Reconnect,
            _ => Remedy::None,
        };
        Self { error, remedy }
    }
}

/// The result of what may be worth another try.
pub(crate) type Attempt<T> = std::result::Result<T, Failure>;

/// Judges an error of the driver; `doing` says what was being done and to what.
pub(crate) fn judge(error: tokio_postgres::Error, doing: impl Into<String>) -> Failure {
    let doing = doing.into();
    if let Some(answer) = error.as_db_error() {
        return judge_answer(answer, doing);
    }
    let text = cause_texts(&error);
    if let Some(tag) = unknown_authentication(&text) {
        return failure(unknown_authentication_error(&doing, tag), Remedy::None);
    }
    if text.contains("password missing") {
        let error = Error::config(format!("{doing}: the server asks for a password"))
            .with_hint("set `password`");
        return failure(error, Remedy::None);
    }
    if let Some(refused) = certificate_error(&error) {
        let error = Error::config(format!("{doing}: the server's certificate is not trusted"))
            .with_source(refused)
            .with_hint("name the certificate authority in `sslrootcert`; Amazon's bundle is at https://s3.amazonaws.com/redshift-downloads/amazon-trust-ca-bundle.crt")
            .with_hint("through a tunnel the host name differs: `sslmode` `verify-ca` checks the authority alone");
        return failure(error, Remedy::None);
    }
    if text.contains("server does not support TLS") {
        let error = Error::config(format!("{doing}: the server offers no TLS"))
            .with_source(error)
            .with_hint("`sslmode` `disable` or `prefer` connects without encryption");
        return failure(error, Remedy::None);
    }
    if text.starts_with("authentication error") {
        return failure(Error::auth(doing).with_source(error), Remedy::None);
    }
    if text.contains("invalid utf-8") {
        let error = Error::rejected(format!("{doing}: a text is not UTF-8")).with_source(error);
        return failure(error, Remedy::None);
    }
    let transient = Error::transient(doing).with_source(error);
    let transient = if text.contains("lookup address") {
        transient.with_hint("check `host`")
    } else {
        transient
    };
    failure(transient, Remedy::Reconnect)
}

fn failure(error: Error, remedy: Remedy) -> Failure {
    Failure { error, remedy }
}

/// Judges an error answer of the server, by its text where Redshift's codes are not dependable.
fn judge_answer(answer: &DbError, doing: String) -> Failure {
    let code = answer.code();
    let message = answer.message();
    let has = |text: &str| message.contains(text);
    let error = |kind: Kind| Error::new(kind, doing.clone()).with_source(cause(answer));

    if has("exceeds the limit of") && has("single node") {
        return failure(
            error(Kind::Rejected).with_hint("set `fetch_rows` to 1000 or less"),
            Remedy::SmallerFetch,
        );
    }
    if has("maximum size allowed for the total set of cursor data") {
        return failure(
            error(Kind::Rejected)
                .with_hint("use `fetch_mode` `stream`, which needs no room on the leader node"),
            Remedy::None,
        );
    }
    if has("could not open relation") {
        return failure(error(Kind::Transient), Remedy::Rediscover);
    }
    if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::UNDEFINED_COLUMN {
        return failure(
            error(Kind::Rejected).with_hint("it was dropped or renamed since discovery"),
            Remedy::Rediscover,
        );
    }
    match code.code() {
        "28000" | "28P01" => failure(
            error(Kind::Auth)
                .with_hint("check `user` and `password`")
                .with_hint("temporary IAM credentials expire: let `password` be a `command` that asks for new ones"),
            Remedy::None,
        ),
        "3D000" => failure(error(Kind::Config).with_hint("check `dbname`"), Remedy::None),
        "42501" => failure(
            error(Kind::Rejected)
                .with_hint("GRANT USAGE on the schema and SELECT on the table to the user"),
            Remedy::None,
        ),
        "57014" => failure(
            error(Kind::Transient).with_hint(
                "the statement was cancelled: by `statement_timeout_seconds`, by a rule of the workload manager, or by a person",
            ),
            Remedy::None,
        ),
        "53300" => failure(
            error(Kind::Transient).with_hint("lower `--jobs`, or raise the server's connections"),
            Remedy::Reconnect,
        ),
        "0A000" => failure(error(Kind::Rejected), Remedy::WithoutCopy),
        "42601" => failure(error(Kind::Protocol), Remedy::WithoutCopy),
        "22023" if has("extra_float_digits") || has("parameter") => {
            failure(error(Kind::Config), Remedy::None)
        }
        "40001" | "40P01" | "57P01" | "57P02" | "57P03" | "57P05" | "XX000" => {
            failure(error(Kind::Transient), Remedy::Reconnect)
        }
        other if other.starts_with("08") || other.starts_with("53") => {
            failure(error(Kind::Transient), Remedy::Reconnect)
        }
        _ if has("1023") && has("isolation") => failure(error(Kind::Transient), Remedy::Reconnect),
        _ => failure(error(Kind::Rejected), Remedy::None),
    }
}

/// The server's words as a cause, without what may be a row's value.
fn cause(answer: &DbError) -> Error {
    let code = answer.code().code();
    // Data exceptions and violated constraints quote the value at fault.
    let message = if code.starts_with("22") || code.starts_with("23") {
        singer_net::redact::words(answer.message(), &["extra_float_digits"], 300)
    } else {
        answer.message().to_owned()
    };
    Error::protocol(format!("the server answered {code}: {message}"))
}

/// The texts of an error and its causes on one line.
fn cause_texts(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The number of an authentication request that the driver does not know.
fn unknown_authentication(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("unknown authentication tag")?;
    rest.trim_matches([' ', '`', '\'']).parse().ok()
}

fn unknown_authentication_error(doing: &str, tag: u32) -> Error {
    let (what, hint) = match tag {
        13 => (
            "the user's password is stored as a SHA-256 digest of Redshift's own",
            "set the password again as MD5 (ALTER USER … PASSWORD 'md5…'), or use temporary IAM credentials",
        ),
        14 => (
            "the user signs in through an identity provider",
            "use a database user with an MD5 password, or temporary IAM credentials",
        ),
        _ => (
            "the server asks for a kind of authentication that is not supported",
            "use a user with an MD5 or SCRAM password",
        ),
    };
    Error::auth(format!("{doing}: {what} (authentication kind {tag})")).with_hint(hint)
}

/// The certificate error among the causes, if that is what it was.
fn certificate_error(error: &(dyn StdError + 'static)) -> Option<rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .or_else(|| error.downcast_ref::<rustls::Error>());
        if let Some(found @ rustls::Error::InvalidCertificate(_)) = inner {
            return Some(found.clone());
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authentication_kinds_of_redshift_are_explained() {
        assert_eq!(
            unknown_authentication("x: unknown authentication tag `13`"),
            Some(13)
        );
        let error = unknown_authentication_error("cannot connect to `h:5439`", 13);
        assert_eq!(error.kind(), Kind::Auth);
        assert!(error.message().contains("SHA-256"));
        assert!(error.hints()[0].contains("MD5"));
    }
}
