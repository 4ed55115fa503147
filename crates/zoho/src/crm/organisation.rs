//! The organisation as the service tells it.

use serde_json::Value;

use super::value::{number, text};

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    /// Its id; empty if it has none.
    pub id: String,
    /// The id that uploads name in `X-CRM-ORG`.
    pub zgid: String,
    /// Its time zone by the IANA name.
    pub time_zone: Option<String>,
    /// The edition that was bought, in small letters: `free`, `standard`, `professional`, `enterprise`, `ultimate`.
    pub edition: Option<String>,
    /// The users that were bought.
    pub users: Option<u64>,
    /// Whether it is the real one or a copy, as the service calls it (`production`, …).
    pub kind: Option<String>,
}

impl Organisation {
    /// What an element of `org` says; nothing without a `zgid`.
    pub fn of(value: &Value) -> Option<Self> {
        let license = value.get("license_details").unwrap_or(&Value::Null);
        Some(Self {
            id: text(value, "id").unwrap_or_default(),
            zgid: text(value, "zgid")?,
            time_zone: text(value, "time_zone"),
            edition: text(license, "paid_type").map(|edition| edition.to_ascii_lowercase()),
            users: number(license, "users_license_purchased"),
            kind: text(value, "type"),
        })
    }
}
