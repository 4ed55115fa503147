//! The settings that all connectors of a sort share: names, defaults and words stand here once.

use serde_json::json;

use super::{Setting, Shape};

/// The proxy: a secret, as its URL may hold a password. The runtime reads it before any connector.
pub(crate) const PROXY: &str = "proxy";

/// Where a time-based replication starts when there is no bookmark; every tap has it.
pub fn start_date() -> Setting {
    Setting::date_time("start_date")
        .about("Where an incremental stream starts when the state has no bookmark for it.")
}

/// The user agent of requests; every tap has it.
pub fn user_agent() -> Setting {
    Setting::text("user_agent")
        .about("The user agent of requests; the binary's name and version if left out.")
}

/// What every connector that speaks HTTP takes. A connector adds its own base URLs.
pub fn http() -> Vec<Setting> {
    vec![
        Setting::integer("attempts")
            .default(5)
            .flag()
            .about("How often a request is tried before it counts as failed."),
        Setting::number("request_timeout_seconds")
            .default(60)
            .about("How long one request may take."),
        Setting::secret(PROXY)
            .about("The proxy for all requests, such as `http://user:password@proxy:3128`; the environment's proxy if left out."),
        Setting::text("ca_file")
            .about("A PEM file of certificate authorities to trust beside the system's."),
    ]
}

/// Who asks a service of Zoho, and where: what the connectors of Zoho share.
pub fn zoho() -> Vec<Setting> {
    vec![
        Setting::text("client_id")
            .required()
            .about("The client id of a self client, made in the API console of the account's data centre."),
        Setting::secret("client_secret")
            .required()
            .about("Its secret."),
        Setting::secret("refresh_token")
            .required()
            .about("The refresh token that the code of the self client was exchanged for."),
        Setting::word(
            "data_center",
            &["us", "eu", "in", "au", "jp", "ca", "sa", "cn", "uk", "ae"],
        )
        .default("us")
        .in_starter()
        .about("Where the account lives. Tokens of one data centre are worthless in all others."),
        Setting::text("accounts_url")
            .about("The base URL of the accounts server, if it is not that of the data centre."),
        Setting::text("token_cache_path").about(
            "The file (mode 0600) in which access tokens are kept from run to run, since Zoho gives out ten in ten minutes; if left out one below the user's cache folder, `\"none\"` for no file.",
        ),
    ]
}

/// Where Zoho CRM is and how much may be spent there: what the connectors of CRM share beside [`zoho`].
pub fn zoho_crm() -> Vec<Setting> {
    vec![
        Setting::text("api_url")
            .about("The base URL of CRM's API, if it is not that of the data centre."),
        Setting::word("environment", &["production", "sandbox"])
            .default("production")
            .about("Which copy of the organisation's data is meant: the one that people work with, or a sandbox of it."),
        Setting::integer("min_credits")
            .default(0)
            .about("So many API credits are left to others: no call is made that would leave less. CRM tells what is left once half of a day's credits are used."),
        Setting::number("patience_seconds")
            .default(900)
            .about("How long throttling is waited out before the run ends with 75."),
    ]
}

/// Where CRM takes files; for connectors that upload.
pub fn zoho_crm_uploads() -> Setting {
    Setting::text("upload_url")
        .about("The base URL of CRM's upload host, if it is not that of the data centre.")
}

/// What every target takes beside its own settings; the runtime adds and reads them. `streams` is
/// not among them, since what stands in it is the target's own.
pub fn target_settings() -> Vec<Setting> {
    vec![
        Setting::object(
            "batch",
            vec![
                Setting::integer("max_records").about("Records in a batch at most."),
                Setting::integer("max_bytes").about("Bytes of records in a batch at most."),
                Setting::number("max_age_seconds")
                    .about("How long a record waits for its batch to fill."),
            ],
        )
        .about("How large a batch may be; each target has its own defaults and its service's limits."),
        Setting::integer("parallel").about("Requests or jobs in flight at most."),
        Setting::text("rejects_path").about(
            "Where refused records are written; `<binary>.rejects.jsonl` in the working folder if left out.",
        ),
        Setting::new(
            "max_rejects",
            Shape::Either(vec![Shape::Integer, Shape::Text]),
        )
        .about("How many records may be refused before the run fails: a number or a percentage such as `\"5%\"`; no limit if left out."),
        Setting::boolean("add_record_metadata")
            .default(json!(false))
            .about("Adds the `_sdc_*` columns to every record."),
        Setting::boolean("validate_records")
            .default(json!(true))
            .about("Checks every record against its schema."),
        Setting::boolean("allow_empty")
            .default(json!(false))
            .about("Lets a full table without any record delete or clear what the destination has."),
    ]
}
