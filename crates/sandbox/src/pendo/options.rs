//! Settings of the Pendo stand-in. What the public pages leave open is a setting here, so that a
//! client can be tried against each reading.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Settings of the Pendo stand-in.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pendo")]
pub struct PendoOptions {
    /// An integration key with write access; may be repeated
    #[arg(long = "pendo-key", value_name = "KEY", default_value = "sandbox-key")]
    pub keys: Vec<String>,

    /// An integration key that may only read: 403 on writes; may be repeated
    #[arg(
        long = "pendo-read-only-key",
        value_name = "KEY",
        default_value = "sandbox-read-only-key"
    )]
    pub read_only_keys: Vec<String>,

    /// What is done with bulk calls
    #[arg(long = "pendo-mode", value_enum, default_value_t = Mode::Store)]
    pub mode: Mode,

    /// Fields that exist at the start: a JSON file with the answer of `GET /metadata/schema/{kind}`
    /// for each kind; without it the fields of the demo's accounts and visitors
    #[arg(long = "pendo-schema", value_name = "FILE")]
    pub schema: Option<PathBuf>,

    /// Ids that are known at the start: a JSON file with a list of ids for each kind
    #[arg(long = "pendo-ids", value_name = "FILE")]
    pub ids: Option<PathBuf>,

    /// Take unknown ids as if each call asked for `create=true`
    #[arg(long = "pendo-create-unknown")]
    pub create_unknown: bool,

    /// What `create=true` in a call does (open)
    #[arg(long = "pendo-create", value_enum, default_value_t = Create::Allow)]
    pub create: Create,

    /// How a wrong value or an unmapped field is answered (open: the batch fails in most reports)
    #[arg(long = "pendo-wrong-value", value_enum, default_value_t = WrongValue::Batch)]
    pub wrong_value: WrongValue,

    /// The shape of the elements of `errors` (open)
    #[arg(long = "pendo-error-shape", value_enum, default_value_t = ErrorShape::Id)]
    pub error_shape: ErrorShape,

    /// What `null` as a value does (open)
    #[arg(long = "pendo-null", value_enum, default_value_t = NullValue::Clear)]
    pub null: NullValue,

    /// What an empty string does (open)
    #[arg(long = "pendo-empty-string", value_enum, default_value_t = EmptyString::Typed)]
    pub empty_string: EmptyString,

    /// What a date field takes (open)
    #[arg(long = "pendo-dates", value_enum, default_value_t = Dates::Both)]
    pub dates: Dates,

    /// How one id twice in one call is answered (open)
    #[arg(long = "pendo-duplicates", value_enum, default_value_t = Duplicates::InOrder)]
    pub duplicates: Duplicates,

    /// How empty lists are written: `missing`, `errors` and the `results` of an aggregation (open)
    #[arg(long = "pendo-empty-list", value_enum, default_value_t = EmptyList::Null)]
    pub empty_list: EmptyList,

    /// The body of an answer to a bad key (open)
    #[arg(long = "pendo-denial", value_enum, default_value_t = Denial::Text)]
    pub denial: Denial,

    /// The key of the id in bulk records of kind `parentAccount` (open)
    #[arg(
        long = "pendo-parent-id-key",
        value_name = "KEY",
        default_value = "parentAccountId"
    )]
    pub parent_id_key: String,

    /// Bodies over this many bytes are answered with 413 (open)
    #[arg(long = "pendo-max-body-bytes", value_name = "N", default_value_t = 32 << 20)]
    pub max_body_bytes: usize,

    /// Records a second that the service is said to handle: a call that would run over
    /// `--pendo-call-seconds` is answered with 408 at once, after the part that fits was applied
    #[arg(long = "pendo-records-per-second", value_name = "N")]
    pub records_per_second: Option<usize>,

    /// The longest call, in simulated seconds
    #[arg(long = "pendo-call-seconds", value_name = "N", default_value_t = 300)]
    pub call_seconds: usize,

    /// The most rows that one aggregation answers (open: 50,000 and 100,000 are reported)
    #[arg(long = "pendo-page-limit", value_name = "N", default_value_t = 100_000)]
    pub page_limit: usize,

    /// The longest filter expression in bytes (open)
    #[arg(long = "pendo-max-filter-bytes", value_name = "N", default_value_t = 256 << 10)]
    pub max_filter_bytes: usize,

    /// Anonymous visitors, which an aggregation lists unless it asks for identified ones
    #[arg(long = "pendo-anonymous", value_name = "N", default_value_t = 0)]
    pub anonymous: usize,

    /// Status requests until a bulk deletion is done (open)
    #[arg(long = "pendo-delete-polls", value_name = "N", default_value_t = 2)]
    pub delete_polls: usize,

    /// Count records whose id is in flight in two calls at once (costs time)
    #[arg(long = "pendo-watch-overlaps")]
    pub watch_overlaps: bool,
}

/// What is done with bulk calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Check and keep every value
    Store,
    /// Parse and count the records, keep nothing, know every id
    Discard,
    /// Count without parsing, keep nothing, know every id
    Drain,
}

/// What `create=true` in a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Create {
    /// Unknown ids are created and counted as updated
    Allow,
    /// As `allow`, in group `agent` only
    AgentOnly,
    /// The parameter changes nothing
    Ignore,
}

/// How a wrong value or an unmapped field is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WrongValue {
    /// 400 for the batch, of which nothing is applied
    Batch,
    /// 200, the record stands in `errors`
    Record,
}

/// The shape of the elements of `errors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ErrorShape {
    /// `{"id": …, "error": …}`
    Id,
    /// `{"visitorId": …, "error": …}`
    KindId,
    /// The bare id
    Text,
    /// `{"error": …}` without the id
    Anonymous,
}

/// What `null` as a value does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NullValue {
    /// It empties the field
    Clear,
    /// It is left out
    Ignore,
    /// It is a wrong value
    Refuse,
}

/// What an empty string does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmptyString {
    /// It is a text like any other: kept in a text field, a wrong value in another
    Typed,
    /// It empties the field, whatever its type
    Clear,
}

/// What a date field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dates {
    /// ISO 8601 text and epoch milliseconds
    Both,
    /// ISO 8601 text only
    Iso8601,
    /// Epoch milliseconds only
    EpochMs,
}

/// How one id twice in one call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Duplicates {
    /// Both are applied in the order of the array
    InOrder,
    /// The batch fails with 400
    Refuse,
}

/// How empty lists are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmptyList {
    /// `null`
    Null,
    /// Left out
    Absent,
    /// `[]`
    List,
}

/// The body of an answer to a bad key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Denial {
    /// The text `Authentication Failed`
    Text,
    /// Nothing
    Empty,
    /// A JSON object
    Json,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::PendoOptions;

    pub(crate) fn defaults() -> PendoOptions {
        crate::Options::default().pendo
    }
}
