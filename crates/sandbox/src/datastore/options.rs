//! Settings of the Data Store stand-in. Limits have the numbers of the facts; what the facts leave
//! open is a setting, so that a client can be tried against each reading.

use clap::{Args, ValueEnum};

/// Settings of the Data Store stand-in.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Zoho Catalyst Data Store")]
pub struct DataStoreOptions {
    /// The id of the project
    #[arg(
        id = "datastore-project",
        long = "datastore-project",
        value_name = "ID",
        default_value_t = 4_000_000_006_007
    )]
    pub project: i64,

    /// The id of the organisation; a request that names another one is refused
    #[arg(
        id = "datastore-org",
        long = "datastore-org",
        value_name = "ID",
        default_value_t = 700_012
    )]
    pub org: i64,

    /// The time zone of the project, in which it writes its times
    #[arg(
        id = "datastore-time-zone",
        long = "datastore-time-zone",
        value_name = "NAME",
        default_value = "Asia/Kolkata"
    )]
    pub time_zone: String,

    /// The environment that answers a request without the header
    #[arg(id = "datastore-environment", long = "datastore-environment", value_enum, default_value_t = Environment::Production)]
    pub environment: Environment,

    /// What the tables hold at the start
    #[arg(id = "datastore-sample", long = "datastore-sample", value_enum, default_value_t = Sample::Fleet)]
    pub sample: Sample,

    /// Rows of the sample's large table; Development has as many of them as it may
    #[arg(
        id = "datastore-rows",
        long = "datastore-rows",
        value_name = "N",
        default_value_t = 250
    )]
    pub rows: usize,

    /// Rows of one page of a bulk read
    #[arg(
        id = "datastore-page-rows",
        long = "datastore-page-rows",
        value_name = "N",
        default_value_t = 200_000
    )]
    pub page_rows: usize,

    /// The greatest `max_rows` of a page of rows (open)
    #[arg(
        id = "datastore-max-rows",
        long = "datastore-max-rows",
        value_name = "N",
        default_value_t = 300
    )]
    pub max_rows: usize,

    /// Looks at a bulk read until it is completed: 0 begins it at once
    #[arg(
        id = "datastore-job-polls",
        long = "datastore-job-polls",
        value_name = "N",
        default_value_t = 1
    )]
    pub job_polls: u32,

    /// Milliseconds after which a bulk read is carried out even if nobody looks at it
    #[arg(
        id = "datastore-job-ms",
        long = "datastore-job-ms",
        value_name = "N",
        default_value_t = 1000
    )]
    pub job_ms: u64,

    /// Bulk reads that may run at the same time (open); as many as come if left out
    #[arg(id = "datastore-jobs", long = "datastore-jobs", value_name = "N")]
    pub jobs: Option<usize>,

    /// Requests that are answered at the same time (open); as many as come if left out
    #[arg(
        id = "datastore-concurrency",
        long = "datastore-concurrency",
        value_name = "N"
    )]
    pub concurrency: Option<usize>,

    /// Seconds that the result of a bulk read can be had
    #[arg(
        id = "datastore-link-seconds",
        long = "datastore-link-seconds",
        value_name = "N",
        default_value_t = 86_400
    )]
    pub link_seconds: u64,

    /// The order of the rows of a bulk read (open)
    #[arg(id = "datastore-order", long = "datastore-order", value_enum, default_value_t = Order::RowId)]
    pub order: Order,

    /// Which comparators a bulk read's criteria may use (open)
    #[arg(id = "datastore-comparators", long = "datastore-comparators", value_enum, default_value_t = Comparators::All)]
    pub comparators: Comparators,

    /// Whether criteria may be on ROWID and the other system columns (open)
    #[arg(id = "datastore-system-criteria", long = "datastore-system-criteria", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub system_criteria: bool,

    /// How booleans are written in JSON (open: both are seen)
    #[arg(id = "datastore-booleans", long = "datastore-booleans", value_enum, default_value_t = Written::Json)]
    pub booleans: Written,

    /// How numbers other than ids are written in JSON (open: both are seen)
    #[arg(id = "datastore-numbers", long = "datastore-numbers", value_enum, default_value_t = Written::Json)]
    pub numbers: Written,

    /// End the lines of a result with CR LF (open)
    #[arg(id = "datastore-csv-crlf", long = "datastore-csv-crlf")]
    pub csv_crlf: bool,

    /// Begin a result with a byte order mark (open)
    #[arg(id = "datastore-csv-bom", long = "datastore-csv-bom")]
    pub csv_bom: bool,

    /// The origin of the offset in ZCQL's LIMIT (open: 0 now, 1 in the oldest docs)
    #[arg(
        id = "datastore-limit-origin",
        long = "datastore-limit-origin",
        value_name = "N",
        default_value_t = 0
    )]
    pub limit_origin: usize,

    /// Where the `params` of a callback go (open)
    #[arg(id = "datastore-callback-params", long = "datastore-callback-params", value_enum, default_value_t = CallbackParams::Both)]
    pub callback_params: CallbackParams,

    /// What the event of a deleted row holds (open)
    #[arg(id = "datastore-deleted", long = "datastore-deleted", value_enum, default_value_t = Deleted::Id)]
    pub deleted: Deleted,

    /// Post an event for each changed row to this URL
    #[arg(id = "datastore-events", long = "datastore-events", value_name = "URL")]
    pub events: Option<String>,

    /// The shape of the events
    #[arg(id = "datastore-events-shape", long = "datastore-events-shape", value_enum, default_value_t = Shape::Signals)]
    pub events_shape: Shape,

    /// The header that carries the secret of the events
    #[arg(
        id = "datastore-events-header",
        long = "datastore-events-header",
        value_name = "NAME",
        default_value = "catalyst-codelib-secret-key"
    )]
    pub events_header: String,

    /// The secret of the events
    #[arg(
        id = "datastore-events-secret",
        long = "datastore-events-secret",
        value_name = "SECRET",
        default_value = ""
    )]
    pub events_secret: String,
}

/// Which copy of the data is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Environment {
    /// The small copy that people try things with
    Development,
    /// The real data
    Production,
}

impl Environment {
    /// Both of them.
    pub const ALL: [Environment; 2] = [Environment::Development, Environment::Production];

    /// As the header has it.
    pub fn name(self) -> &'static str {
        match self {
            Environment::Development => "Development",
            Environment::Production => "Production",
        }
    }

    /// The environment of a name.
    pub fn from_name(name: &str) -> Option<Environment> {
        Environment::ALL
            .into_iter()
            .find(|environment| environment.name().eq_ignore_ascii_case(name))
    }
}

/// What the tables hold at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sample {
    /// Nothing: there are no tables
    None,
    /// A haulier: `Trips`, `Trucks`, and the empty `Depots`
    Fleet,
}

/// The order of the rows of a bulk read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// By ROWID
    RowId,
    /// None that anybody could go by, and the same for each page
    Scattered,
}

/// Which comparators criteria may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Comparators {
    /// Those that are seen in samples: `equal`, `greater_than` and `starts_with`
    Seen,
    /// Those of the sibling APIs as well
    All,
}

/// How a value is written in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Written {
    /// As its own JSON type
    Json,
    /// As a string
    Text,
}

/// Where the `params` of a callback go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CallbackParams {
    /// Into the query string
    Query,
    /// Into the body
    Body,
    /// Into both
    Both,
}

/// What the event of a deleted row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Deleted {
    /// The ROWID alone
    Id,
    /// The whole row
    Row,
}

/// The shape of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// As a webhook target of Signals gets it
    Signals,
    /// As the function of an event listener gets it
    Listener,
}
