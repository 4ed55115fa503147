//! The settings: their table, the struct that the loader fills, and the checks across keys.

use std::time::Duration;

use serde::Deserialize;
use singer_core::{Error, Result, SecretSource};
use singer_net::HttpConfig;
use singer_runtime::setting::{Setting, Settings};

use crate::types::{BinaryFormat, DecimalFormat, Formats, SpecialValues};

mod table;

/// The config of tap-redshift; what each key means stands in [`Settings::settings`].
#[derive(Debug, Deserialize)]
pub struct Config {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) dbname: String,
    pub(crate) user: String,
    pub(crate) password: Option<SecretSource>,
    pub(crate) schema: Option<Names>,
    pub(crate) databases: Option<Vec<String>>,
    pub(crate) include_external: bool,
    pub(crate) stream_name_format: Option<StreamNameFormat>,
    pub(crate) sslmode: Option<TlsMode>,
    pub(crate) sslrootcert: Option<String>,
    pub(crate) fetch_mode: FetchMode,
    pub(crate) fetch_rows: u32,
    pub(crate) full_table_resume: bool,
    pub(crate) lookback_seconds: u32,
    pub(crate) decimal: DecimalFormat,
    pub(crate) special_values: SpecialValues,
    pub(crate) binary: BinaryFormat,
    pub(crate) trim_char: bool,
    pub(crate) timestamp_zone: String,
    pub(crate) statement_timeout_seconds: Option<u32>,
    pub(crate) connect_timeout_seconds: u32,
    pub(crate) application_name: String,
    pub(crate) key_filter: Option<KeyFilter>,
    #[serde(flatten)]
    pub(crate) http: HttpConfig,
}

/// One name or a list of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Names {
    /// One name.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Names {
    /// The names as a list.
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// What `stream` is called in the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StreamNameFormat {
    /// The table's name alone.
    Table,
    /// Schema and table.
    SchemaTable,
    /// Database, schema and table.
    DatabaseSchemaTable,
}

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted only if the server insists.
    Allow,
    /// Encrypted if the server can.
    Prefer,
    /// Encrypted; the certificate is checked only against an `sslrootcert`.
    Require,
    /// The certificate must come from a trusted authority.
    VerifyCa,
    /// It must also be made for this host.
    VerifyFull,
}

/// How rows are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FetchMode {
    /// One statement whose rows are read as they come.
    Stream,
    /// A server-side cursor.
    Cursor,
    /// Through files in S3; not there yet.
    Unload,
}

/// Which rows are read, by a key that another system knows.
#[derive(Debug, Deserialize)]
pub(crate) struct KeyFilter {
    pub(crate) column: String,
    pub(crate) streams: Option<Vec<String>>,
    pub(crate) file: Option<String>,
    pub(crate) pendo: Option<PendoKeys>,
}

/// Where Pendo's ids come from.
#[derive(Debug, Deserialize)]
pub(crate) struct PendoKeys {
    pub(crate) integration_key: SecretSource,
    pub(crate) base_url: String,
    pub(crate) kind: PendoKind,
    pub(crate) id_format: IdFormat,
    pub(crate) page_size: u32,
}

/// What Pendo is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PendoKind {
    /// Account ids.
    Account,
    /// Ids of identified visitors.
    Visitor,
}

/// Which of Pendo's ids count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IdFormat {
    /// All.
    Any,
    /// Those that have the form of a UUID.
    Uuid,
}

impl Config {
    /// The mode that was asked for, else the default for this host: encrypted and verified, but
    /// not for this machine itself, whose servers rarely have a certificate.
    pub(crate) fn tls_mode(&self) -> TlsMode {
        self.sslmode.unwrap_or_else(|| {
            if self.is_local() {
                TlsMode::Disable
            } else {
                TlsMode::VerifyFull
            }
        })
    }

    /// How values are written.
    pub(crate) fn formats(&self) -> Formats {
        Formats {
            decimal: self.decimal,
            special: self.special_values,
            binary: self.binary,
            trim_char: self.trim_char,
        }
    }

    /// The zone of time stamps without one, if it is not UTC.
    pub(crate) fn foreign_zone(&self) -> Option<&str> {
        let zone = self.timestamp_zone.as_str();
        let utc = ["UTC", "Z", "GMT", "Etc/UTC", "+00:00"];
        (!utc.iter().any(|name| name.eq_ignore_ascii_case(zone))).then_some(zone)
    }

    /// How long connecting may take.
    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.connect_timeout_seconds))
    }

    /// `host:port` for messages.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn is_local(&self) -> bool {
        self.host.starts_with('/')
            || self.host.eq_ignore_ascii_case("localhost")
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        table::settings()
    }

    fn validate(&self) -> Result<()> {
        for (name, value) in [
            ("host", &self.host),
            ("dbname", &self.dbname),
            ("user", &self.user),
        ] {
            if value.trim().is_empty() {
                return Err(Error::config(format!("`{name}` is empty")));
            }
            if value.contains('\0') {
                return Err(Error::config(format!("`{name}` has a zero byte in it")));
            }
        }
        if self.fetch_mode == FetchMode::Unload {
            return Err(
                Error::config("`fetch_mode` `unload` is not there yet").with_hint(
                    "use `stream`, or `cursor` if the server must hold the result meanwhile",
                ),
            );
        }
        if self.fetch_rows == 0 {
            return Err(Error::config("`fetch_rows` must be at least 1"));
        }
        if self.connect_timeout_seconds == 0 {
            return Err(Error::config(
                "`connect_timeout_seconds` must be at least 1",
            ));
        }
        if self
            .schema
            .as_ref()
            .is_some_and(|names| names.as_slice().is_empty())
        {
            return Err(Error::config("`schema` is an empty list")
                .with_hint("leave it out to read every schema that the user may read"));
        }
        if let Some(filter) = &self.key_filter {
            filter.validate()?;
        }
        self.http.validate()
    }
}

impl KeyFilter {
    fn validate(&self) -> Result<()> {
        match (&self.file, &self.pendo) {
            (Some(_), None) => Ok(()),
            (None, Some(pendo)) => {
                if pendo.page_size == 0 {
                    return Err(Error::config(
                        "`key_filter.pendo.page_size` must be at least 1",
                    ));
                }
                singer_net::Base::parse("key_filter.pendo.base_url", &pendo.base_url).map(|_| ())
            }
            _ => Err(Error::config(
                "`key_filter` takes its ids from exactly one of `pendo` and `file`",
            )),
        }
    }
}

#[cfg(test)]
mod tests;
