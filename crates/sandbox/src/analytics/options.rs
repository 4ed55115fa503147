//! Settings of the stand-in of Zoho Analytics. Limits have the numbers of the facts; what the facts
//! leave open is a setting, so that a client can be tried against each reading.

use clap::{Args, ValueEnum};

/// Settings of the stand-in of Zoho Analytics.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Zoho Analytics")]
pub struct AnalyticsOptions {
    /// The organisation that is there from the start
    #[arg(
        id = "analytics-org",
        long = "analytics-org",
        value_name = "ID",
        default_value = "55522777"
    )]
    pub org: String,

    /// The workspace that is there from the start
    #[arg(
        id = "analytics-workspace",
        long = "analytics-workspace",
        value_name = "ID",
        default_value = "260000000001003"
    )]
    pub workspace: String,

    /// Its name
    #[arg(
        id = "analytics-workspace-name",
        long = "analytics-workspace-name",
        value_name = "NAME",
        default_value = "Ops"
    )]
    pub workspace_name: String,

    /// Row calls a minute; 0 is no limit, as with the three below
    #[arg(
        id = "analytics-row-calls",
        long = "analytics-row-calls",
        value_name = "N",
        default_value_t = 100
    )]
    pub row_calls: u32,

    /// Imports, exports and looks at jobs a minute
    #[arg(
        id = "analytics-bulk-calls",
        long = "analytics-bulk-calls",
        value_name = "N",
        default_value_t = 40
    )]
    pub bulk_calls: u32,

    /// Metadata calls a minute
    #[arg(
        id = "analytics-metadata-calls",
        long = "analytics-metadata-calls",
        value_name = "N",
        default_value_t = 60
    )]
    pub metadata_calls: u32,

    /// All calls a minute
    #[arg(
        id = "analytics-calls",
        long = "analytics-calls",
        value_name = "N",
        default_value_t = 100
    )]
    pub calls: u32,

    /// The HTTP status with which too many calls are refused (seen with all three)
    #[arg(id = "analytics-throttle-status", long = "analytics-throttle-status", value_enum, default_value_t = ThrottleStatus::Rotate)]
    pub throttle_status: ThrottleStatus,

    /// The plan, which says how many units a day has
    #[arg(id = "analytics-plan", long = "analytics-plan", value_enum, default_value_t = Plan::Standard)]
    pub plan: Plan,

    /// Units a day, if not those of the plan; 0 is no limit
    #[arg(id = "analytics-units", long = "analytics-units", value_name = "N")]
    pub units: Option<u64>,

    /// Rows that the plan holds; 0 is no limit
    #[arg(
        id = "analytics-plan-rows",
        long = "analytics-plan-rows",
        value_name = "N",
        default_value_t = 0
    )]
    pub plan_rows: u64,

    /// Units of the row calls (two official texts differ)
    #[arg(id = "analytics-row-units", long = "analytics-row-units", value_enum, default_value_t = RowUnits::Tenths)]
    pub row_units: RowUnits,

    /// Whether the rows of an import are rounded up to thousands for its units (open)
    #[arg(id = "analytics-unit-rounding", long = "analytics-unit-rounding", value_enum, default_value_t = UnitRounding::Up)]
    pub unit_rounding: UnitRounding,

    /// Import jobs at a time
    #[arg(
        id = "analytics-import-slots",
        long = "analytics-import-slots",
        value_name = "N",
        default_value_t = 5
    )]
    pub import_slots: usize,

    /// Looks at a job until it is over; 0 and 1 end it with the first
    #[arg(
        id = "analytics-job-polls",
        long = "analytics-job-polls",
        value_name = "N",
        default_value_t = 1
    )]
    pub job_polls: u32,

    /// Milliseconds after which a job is over even if nobody looks at it
    #[arg(
        id = "analytics-job-ms",
        long = "analytics-job-ms",
        value_name = "N",
        default_value_t = 2000
    )]
    pub job_ms: u64,

    /// Seconds that a job can be read after it is over
    #[arg(
        id = "analytics-job-seconds",
        long = "analytics-job-seconds",
        value_name = "N",
        default_value_t = 3600
    )]
    pub job_seconds: u64,

    /// Seconds without a batch after which an open batch job lapses (open)
    #[arg(
        id = "analytics-batch-seconds",
        long = "analytics-batch-seconds",
        value_name = "N",
        default_value_t = 3600
    )]
    pub batch_seconds: u64,

    /// Batches of one job
    #[arg(
        id = "analytics-batches",
        long = "analytics-batches",
        value_name = "N",
        default_value_t = 100
    )]
    pub batches: u32,

    /// The largest file of a synchronous import in bytes
    #[arg(
        id = "analytics-sync-bytes",
        long = "analytics-sync-bytes",
        value_name = "N",
        default_value_t = 20_000_000
    )]
    pub sync_bytes: usize,

    /// The largest file of an import job, and of a batch, in bytes
    #[arg(
        id = "analytics-bulk-bytes",
        long = "analytics-bulk-bytes",
        value_name = "N",
        default_value_t = 100_000_000
    )]
    pub bulk_bytes: usize,

    /// The longest URL in bytes (open); a longer one is 414
    #[arg(
        id = "analytics-url-bytes",
        long = "analytics-url-bytes",
        value_name = "N",
        default_value_t = 8192
    )]
    pub url_bytes: usize,

    /// Where CONFIG is looked for beside a file (open for some hosts)
    #[arg(id = "analytics-config-place", long = "analytics-config-place", value_enum, default_value_t = ConfigPlace::Any)]
    pub config_place: ConfigPlace,

    /// How an error code is written (seen both ways)
    #[arg(id = "analytics-error-code", long = "analytics-error-code", value_enum, default_value_t = ErrorCode::Number)]
    pub error_code: ErrorCode,

    /// The code that an organisation which does not fit the workspace is refused with
    #[arg(id = "analytics-org-mismatch", long = "analytics-org-mismatch", value_name = "CODE", default_value_t = 7387, value_parser = org_mismatch)]
    pub org_mismatch: u32,

    /// The scope that opens the state of a job (two official texts differ)
    #[arg(id = "analytics-job-scope", long = "analytics-job-scope", value_enum, default_value_t = JobScope::Either)]
    pub job_scope: JobScope,

    /// The code that a missing scope is refused with (seen with both)
    #[arg(id = "analytics-scope-code", long = "analytics-scope-code", value_name = "CODE", default_value_t = 8540, value_parser = scope_code)]
    pub scope_code: u32,

    /// Leave `…/metadata` of views out (open for some hosts)
    #[arg(id = "analytics-no-metadata", long = "analytics-no-metadata")]
    pub no_metadata: bool,

    /// What an empty cell does to the old value in UPDATEADD (open)
    #[arg(id = "analytics-empty-cell", long = "analytics-empty-cell", value_enum, default_value_t = EmptyCell::Clear)]
    pub empty_cell: EmptyCell,

    /// What becomes of two rows with one key in a file of UPDATEADD (open)
    #[arg(id = "analytics-twins", long = "analytics-twins", value_enum, default_value_t = Twins::Last)]
    pub twins: Twins,

    /// What becomes of milliseconds (open)
    #[arg(id = "analytics-milliseconds", long = "analytics-milliseconds", value_enum, default_value_t = Milliseconds::Keep)]
    pub milliseconds: Milliseconds,

    /// What becomes of characters outside the basic plane (open)
    #[arg(id = "analytics-emoji", long = "analytics-emoji", value_enum, default_value_t = Emoji::Keep)]
    pub emoji: Emoji,

    /// Whether numbers may have an exponent (open)
    #[arg(id = "analytics-exponent", long = "analytics-exponent", value_enum, default_value_t = Exponent::Refuse)]
    pub exponent: Exponent,

    /// The longest text in a PLAIN column in characters (open)
    #[arg(
        id = "analytics-plain-chars",
        long = "analytics-plain-chars",
        value_name = "N",
        default_value_t = 253
    )]
    pub plain_chars: usize,

    /// What becomes of a text that is too long for a PLAIN column (open)
    #[arg(id = "analytics-long-text", long = "analytics-long-text", value_enum, default_value_t = LongText::Refuse)]
    pub long_text: LongText,

    /// What an import that is aborted leaves behind of the rows before the bad one (open)
    #[arg(id = "analytics-aborted-rows", long = "analytics-aborted-rows", value_enum, default_value_t = AbortedRows::Drop)]
    pub aborted_rows: AbortedRows,

    /// Refuse callback URLs with a private address, as the service does
    #[arg(id = "analytics-public-callbacks", long = "analytics-public-callbacks")]
    pub public_callbacks: bool,

    /// For measuring: rows of imports are counted and dropped
    #[arg(id = "analytics-drain", long = "analytics-drain")]
    pub drain: bool,
}

impl AnalyticsOptions {
    /// The same without limits of calls and units, which would hold up a test.
    pub(crate) fn generous(self) -> AnalyticsOptions {
        AnalyticsOptions {
            row_calls: 0,
            bulk_calls: 0,
            metadata_calls: 0,
            calls: 0,
            units: Some(0),
            ..self
        }
    }
}

fn org_mismatch(text: &str) -> Result<u32, String> {
    match text {
        "7387" => Ok(7387),
        "8084" => Ok(8084),
        "7103" => Ok(7103),
        _ => Err("the codes are 7387, 8084 and 7103".to_owned()),
    }
}

fn scope_code(text: &str) -> Result<u32, String> {
    match text {
        "8540" => Ok(8540),
        "8535" => Ok(8535),
        _ => Err("the codes are 8540 and 8535".to_owned()),
    }
}

/// The HTTP status of a refusal for too many calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ThrottleStatus {
    /// 200, 400 and 429 in turns
    Rotate,
    /// Always 200
    #[value(name = "200")]
    Ok,
    /// Always 400
    #[value(name = "400")]
    BadRequest,
    /// Always 429
    #[value(name = "429")]
    TooMany,
}

/// A plan that can be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Plan {
    /// 1,000 units a day
    Free,
    /// 4,000 units a day
    Basic,
    /// 10,000 units a day
    Standard,
    /// 30,000 units a day
    Premium,
    /// 100,000 units a day
    Enterprise,
}

impl Plan {
    /// Units a day.
    pub(crate) fn units(self) -> u64 {
        match self {
            Plan::Free => 1_000,
            Plan::Basic => 4_000,
            Plan::Standard => 10_000,
            Plan::Premium => 30_000,
            Plan::Enterprise => 100_000,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Plan::Free => "Free",
            Plan::Basic => "Basic",
            Plan::Standard => "Standard",
            Plan::Premium => "Premium",
            Plan::Enterprise => "Enterprise",
        }
    }
}

/// What row calls cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RowUnits {
    /// 0.1 to add or to delete, 0.3 to update
    Tenths,
    /// 1 each
    One,
}

/// How rows become units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UnitRounding {
    /// Every thousand that was begun counts
    Up,
    /// To the row
    Exact,
}

/// Where CONFIG is looked for beside a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConfigPlace {
    /// In the query and in a part of the body
    Any,
    /// In the query alone
    Query,
}

/// How an error code is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ErrorCode {
    /// As a number
    Number,
    /// As a text
    Text,
}

/// The scope that opens the state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JobScope {
    /// `data.read` or `data.create`
    Either,
    /// `data.read`
    Read,
    /// `data.create`
    Create,
}

/// What an empty cell does to the old value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmptyCell {
    /// The value goes
    Clear,
    /// The value stays
    Keep,
}

/// What becomes of two rows with one key in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Twins {
    /// The last one counts
    Last,
    /// The first one counts
    First,
    /// Both become rows if the key is new
    Both,
}

/// What becomes of milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Milliseconds {
    /// They are kept
    Keep,
    /// They are cut off
    Drop,
    /// A pattern that has them is a bad one
    Refuse,
}

/// What becomes of characters outside the basic plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Emoji {
    /// They are kept
    Keep,
    /// The cell is a bad one
    Refuse,
    /// A question mark stands in for each
    Replace,
}

/// Whether numbers may have an exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Exponent {
    /// The cell is a bad one
    Refuse,
    /// The number is kept as it is written
    Keep,
}

/// What becomes of a text that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LongText {
    /// The cell is a bad one
    Refuse,
    /// It is cut
    Cut,
    /// It is kept
    Keep,
}

/// What an import that is aborted leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AbortedRows {
    /// Nothing of its rows
    Drop,
    /// The rows before the bad one
    Keep,
}
