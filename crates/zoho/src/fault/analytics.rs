//! The codes of Zoho Analytics. A code and its constant decide, not the status: limits come with status
//! 200 as well, and one number may stand for several things.

use singer_net::Answer;

use super::body::{self, Said, by_status};
use super::{Class, Fault, Service};

/// Zoho Analytics.
#[derive(Debug, Clone, Copy)]
pub struct Analytics;

/// A row of the table.
struct Known {
    code: &'static str,
    /// The constant, where the number alone does not say enough; it may begin with this.
    constant: Option<&'static str>,
    class: Class,
    hint: Option<&'static str>,
}

const fn known(code: &'static str, class: Class, hint: &'static str) -> Known {
    let hint = if hint.is_empty() { None } else { Some(hint) };
    Known {
        code,
        constant: None,
        class,
        hint,
    }
}

const fn only(
    code: &'static str,
    constant: &'static str,
    class: Class,
    hint: &'static str,
) -> Known {
    Known {
        constant: Some(constant),
        ..known(code, class, hint)
    }
}

const UNITS: &str =
    "the organisation has used up its API units of the day: run again tomorrow, or raise the plan";
const ORG: &str = "look at `org_id`: the workspace belongs to another organisation";
const LOAD: &str = "run again later, or with fewer jobs side by side";
const SCOPES: &str = "the refresh token lacks a scope: the target needs `ZohoAnalytics.metadata.read`, `ZohoAnalytics.modeling.create`, `ZohoAnalytics.modeling.update`, `ZohoAnalytics.data.read`, `ZohoAnalytics.data.create`, `ZohoAnalytics.data.update` and `ZohoAnalytics.data.delete`; make a new code with all of them and exchange it";
const CONFIG: &str = "the request's CONFIG was refused: this is a defect of this program, or a setting with a value that Analytics does not know";
const CRITERIA: &str =
    "the criteria name columns of the view: look whether one of them was renamed or deleted";
const READ_ONLY: &str =
    "rows of this view cannot be changed: name a table of your own in `view` or `view_id`";
const LOOKUP: &str = "look at the lookup columns of the table in Analytics";
const CALLBACK: &str = "Analytics must reach `callback.public_url` over the public network";
const DEFECT: &str = "this is a defect of this program; a new run starts the job anew";
const TYPES: &str = "the type of the column in Analytics does not fit the values: change it there, or let `on_error` set such cells empty";

use Class::{Broken, Busy, Data, Denied, Exists, Expired, Fatal, Missing, Quota, Throttled, Token};

static CODES: &[Known] = &[
    // Quota and load.
    known(
        "6001",
        Quota,
        "the plan's rows are used up: delete rows in Analytics, or raise the plan",
    ),
    known("6043", Quota, UNITS),
    known("6044", Quota, UNITS),
    known("6045", Throttled, LOAD),
    known("7005", Broken, ""),
    known("7092", Busy, "an import into the table is running"),
    known("7198", Busy, "the design of the table is being changed"),
    // The earlier call may have added the row already.
    only(
        "8062",
        "ADD_ROW_REQUEST_STILL_IN_PROGRESS",
        Broken,
        "an earlier call for the same row is not finished",
    ),
    known(
        "8132",
        Busy,
        "all export jobs of the organisation are taken: others may be exporting",
    ),
    known(
        "8134",
        Busy,
        "all import jobs of the organisation are taken: others may be importing",
    ),
    known("10001", Busy, "another import into the table is running"),
    known(
        "18072",
        Busy,
        "a data source of Analytics is filling the table",
    ),
    known(
        "18073",
        Busy,
        "a data source of Analytics is filling the workspace",
    ),
    // Access and addressing.
    known(
        "8535",
        Token,
        "or the refresh token lacks a scope of Zoho Analytics: `ZohoAnalytics.metadata.read`, `ZohoAnalytics.modeling.create`, `ZohoAnalytics.data.create` and their kin",
    ),
    known("8540", Denied, SCOPES),
    known(
        "7301",
        Denied,
        "the token's user has no permission for this: let an administrator of the workspace share it for import and design",
    ),
    known("8083", Fatal, "set `org_id`"),
    known("8084", Fatal, ORG),
    known("7387", Fatal, ORG),
    known(
        "7389",
        Missing,
        "look at `org_id`, and whether the organisation lives in this data centre",
    ),
    known(
        "7103",
        Missing,
        "look at `org_id` and `workspace_id`, and whether the token's user sees the workspace",
    ),
    known(
        "7104",
        Missing,
        "look whether the view was deleted, or is not shared with the token's user",
    ),
    known(
        "7105",
        Missing,
        "look whether the view was deleted, or is not shared with the token's user",
    ),
    known(
        "7319",
        Fatal,
        "the view is in another workspace: look at `workspace_id` and `view_id`",
    ),
    known("7179", Missing, "the workspace has no view yet"),
    known(
        "7565",
        Denied,
        "the token's user has to confirm the e-mail address in Zoho first",
    ),
    known(
        "8241",
        Fatal,
        "the view is tagged with a data warning: take the tag away in Analytics",
    ),
    // Schema.
    known(
        "7107",
        Missing,
        "a column is not in the table: look whether it was renamed or deleted, also in `matching_columns`",
    ),
    known("7111", Exists, "another view of the workspace has the name"),
    known("7157", Exists, "the table has a column of that name"),
    known("7126", Fatal, "a column has no name"),
    known(
        "7127",
        Fatal,
        "the name of a column is longer than Analytics takes",
    ),
    known(
        "7128",
        Fatal,
        "two columns have the same name, or differ in case alone",
    ),
    known(
        "7143",
        Fatal,
        "a column that counts by itself takes no default",
    ),
    known("7144", Missing, "the folder is not in the workspace"),
    known(
        "7146",
        Fatal,
        "Analytics does not know the type of a column",
    ),
    known("7413", Fatal, "the table has no name"),
    known("7183", Fatal, LOOKUP),
    known("7184", Fatal, LOOKUP),
    known("7280", Exists, LOOKUP),
    known("7395", Fatal, LOOKUP),
    known(
        "7478",
        Fatal,
        "the table would have more columns than Analytics takes: leave some out in the catalog",
    ),
    known(
        "8173",
        Fatal,
        "more than ten columns cannot be added at once",
    ),
    known("7137", Fatal, READ_ONLY),
    known("7397", Fatal, READ_ONLY),
    known("7439", Fatal, READ_ONLY),
    known("7164", Fatal, READ_ONLY),
    known("7165", Fatal, READ_ONLY),
    known("7405", Fatal, READ_ONLY),
    known(
        "101021",
        Fatal,
        "the table takes no single rows: use another `mode` than `row`",
    ),
    // Data and import.
    known("7203", Data, "the file is empty"),
    known("7208", Data, "a line has more cells than the header"),
    known(
        "7232",
        Data,
        "a cell does not fit its column: `on_error` says whether the import goes on without it",
    ),
    known(
        "7235",
        Fatal,
        "no column of the file is in the table: look at the names of the columns",
    ),
    known("7248", Data, "the file cannot be read as CSV"),
    known("7507", Data, TYPES),
    known("7511", Data, "a mandatory column has no value"),
    known(
        "7512",
        Fatal,
        "Analytics does not know the pattern of the dates",
    ),
    known(
        "7515",
        Data,
        "a lookup column has a value without a row in its parent table: load the parent first",
    ),
    known(
        "7336",
        Fatal,
        "a job takes a hundred batches: use larger ones",
    ),
    known("7337", Fatal, DEFECT),
    only(
        "7338",
        "BATCH_IMPORT_INVALID_KEY",
        Expired,
        "Analytics has forgotten the job: it has to be made anew",
    ),
    known("7340", Fatal, DEFECT),
    known(
        "8046",
        Fatal,
        "a column that was selected is not in the file",
    ),
    known("8547", Fatal, "no column or more than 300 were selected"),
    known("8119", Fatal, CONFIG),
    only("8125", "CALLBACKURL", Fatal, CALLBACK),
    only("8126", "CALLBACKURL", Fatal, CALLBACK),
    only("8127", "CALLBACKURL", Fatal, CALLBACK),
    known("8137", Missing, "Analytics no longer knows the job"),
    known(
        "8138",
        Denied,
        "the job belongs to another user: take the token of the one who made it",
    ),
    known(
        "8139",
        Fatal,
        "the data are longer than Analytics takes at once: use smaller batches",
    ),
    known("8148", Fatal, CONFIG),
    known("8149", Fatal, CONFIG),
    // Single rows, and CONFIG.
    known(
        "8016",
        Fatal,
        "none of the columns is in the table: look whether they were renamed or deleted",
    ),
    known("8130", Fatal, CONFIG),
    known("8131", Fatal, CONFIG),
    known("7327", Fatal, CRITERIA),
    known("7330", Fatal, CRITERIA),
    known("7331", Fatal, CRITERIA),
    known("7332", Fatal, CRITERIA),
    known("7333", Fatal, CRITERIA),
    known("8054", Fatal, CRITERIA),
    known("8077", Fatal, CONFIG),
    known("8504", Fatal, CONFIG),
    known(
        "8079",
        Fatal,
        "a setting that the mode needs is missing, such as `matching_columns` for `upsert`",
    ),
    known("8080", Fatal, CONFIG),
    known(
        "8507",
        Fatal,
        "the request's CONFIG is longer than Analytics takes: use smaller batches or fewer columns",
    ),
    known("8509", Fatal, CONFIG),
    known("8516", Fatal, CONFIG),
];

impl Service for Analytics {
    const NAME: &'static str = "Zoho Analytics";

    fn judge(answer: &Answer) -> Result<(), Fault> {
        body::judge(answer, classify)
    }
}

fn classify(answer: &Answer, said: &Said) -> (Class, Option<&'static str>) {
    let code = said.code.as_deref().unwrap_or_default();
    let constant = said.constant.as_deref();
    if code == "OAUTH_SCOPE_MISMATCH" || constant == Some("OAUTH_SCOPE_MISMATCH") {
        return (Denied, Some(SCOPES));
    }
    let is_it = |known: &&Known| {
        known.code == code
            && match (known.constant, constant) {
                (Some(wanted), Some(constant)) => constant.starts_with(wanted),
                _ => true,
            }
    };
    if let Some(known) = CODES.iter().find(is_it) {
        return (known.class, known.hint);
    }
    match by_status(answer, said) {
        (Token, None) => (
            Token,
            Some("or the refresh token lacks a scope of Zoho Analytics"),
        ),
        classified => classified,
    }
}
