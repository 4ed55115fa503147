//! Stand-ins of Zoho accounts, Data Store and Analytics for each test, in the test's own process and on one
//! port: a table of trips in small pages, an empty workspace, and tokens for whoever asks. The question that
//! a test ends with is whether the view holds what the table holds.

use std::collections::BTreeMap;
use std::net::TcpListener;

use sandbox::analytics::Analytics;
use sandbox::datastore::{DataStore, Environment};
use sandbox::zoho::Accounts;
use sandbox::{Options, Sandbox, Status};
use serde_json::{Map, Value, json};
use singer_core::value::time::parse_timestamp;

use crate::poll;
use crate::runtime::wait;

/// The sample's large table, which is the view's name as well.
pub const TABLE: &str = "Trips";

/// Rows of a page of a bulk read.
pub const PAGE_ROWS: usize = 50;

/// The time zone of the project, and its offset, which is the same all year.
const TIME_ZONE: &str = "Asia/Kolkata";
const OFFSET: &str = "+05:30";

const MICROSECONDS: i64 = 1_000_000;

/// Running stand-ins of Zoho's products.
pub struct Zoho {
    sandbox: Sandbox,
}

/// Rows by ROWID.
pub type Rows = BTreeMap<i64, Map<String, Value>>;

impl Zoho {
    /// So many trips in each environment, and jobs that take no longer than they must.
    pub fn start(rows: usize) -> Zoho {
        Zoho::start_with(rows, |_| {})
    }

    /// The same with other options.
    pub fn start_with(rows: usize, change: impl FnOnce(&mut Options)) -> Zoho {
        let mut options = Options::default();
        options.datastore.rows = rows;
        options.datastore.page_rows = PAGE_ROWS;
        options.datastore.job_polls = 0;
        options.analytics.job_ms = 20;
        // Each run is a process of its own, and there are more of them than ten in ten minutes.
        options.zoho.tokens_per_window = 10_000;
        options.zoho.active_tokens = 10_000;
        change(&mut options);
        Zoho {
            sandbox: wait(sandbox::start(options)).expect("the sandbox starts"),
        }
    }

    /// The base URL of all three.
    pub fn url(&self) -> String {
        self.sandbox.zoho_url()
    }

    /// A config of the tap for the trips of Production, read in pages by bulk jobs.
    pub fn tap_config(&self) -> Value {
        let mut config = self.account();
        extend(
            &mut config,
            &json!({
                "api_url": self.url(), "project_id": "4000000006007", "environment": "Production",
                "time_zone": TIME_ZONE, "page_size": PAGE_ROWS, "small_table_rows": 0,
                "patience_seconds": 20, "job_timeout_seconds": 60,
                "work_folder": ".", "deletions_path": "rowids", "journal_path": "journal",
            }),
        );
        config
    }

    /// A config of the target for the first workspace, with small batches.
    pub fn target_config(&self) -> Value {
        let mut config = self.account();
        extend(
            &mut config,
            &json!({
                "analytics_url": self.url(), "workspace_id": self.analytics().workspace(),
                "patience_seconds": 20, "job_timeout_seconds": 60, "rejects_path": "rejects.jsonl",
                "batch": {"max_records": 60},
                "calls_per_minute": {"rows": 100_000, "bulk": 100_000, "metadata": 100_000},
            }),
        );
        config
    }

    /// The part of a config that says who asks.
    pub fn account(&self) -> Value {
        json!({
            "client_id": "sandbox-client", "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh", "accounts_url": self.url(),
            "token_cache_path": "tokens.json",
        })
    }

    /// The stand-in of Zoho accounts.
    pub fn accounts(&self) -> &Accounts {
        self.sandbox.zoho()
    }

    /// The stand-in of Data Store.
    pub fn datastore(&self) -> &DataStore {
        self.sandbox.datastore()
    }

    /// The stand-in of Analytics.
    pub fn analytics(&self) -> &Analytics {
        self.sandbox.analytics()
    }

    /// Replaces the faults in force.
    pub fn set_faults(&self, specs: &[&str]) {
        self.sandbox
            .set_faults(specs)
            .expect("the faults are known");
    }

    /// How often the faults in force have struck.
    pub fn struck(&self) -> u64 {
        let faults = self.status().active_faults;
        faults.iter().map(|fault| fault.struck).sum()
    }

    /// Waits until the faults in force have struck so often.
    #[track_caller]
    pub fn wait_for_strikes(&self, count: u64) {
        poll::until("a fault has struck", || self.struck() >= count);
    }

    /// Counters and the last requests.
    pub fn status(&self) -> Status {
        self.sandbox.status()
    }

    /// How many of the last requests had such a path, by a part of it.
    pub fn requests(&self, method: &str, path: &str) -> usize {
        let requests = self.status().activity.last_requests.into_iter();
        requests
            .filter(|request| request.method == method && request.path.contains(path))
            .count()
    }

    /// The ids of the trips of Production, in their order.
    pub fn ids(&self) -> Vec<i64> {
        self.rows().into_keys().collect()
    }

    /// The trips of Production.
    pub fn rows(&self) -> Rows {
        self.rows_of(Environment::Production)
    }

    /// The trips of an environment.
    pub fn rows_of(&self, environment: Environment) -> Rows {
        by_id(self.datastore().dump(environment, TABLE))
    }

    /// Gives these rows other values, changed at a time that the service writes so
    /// (`2025-02-03 10:00:00:000`): one that has passed, as a run reads no further than its start.
    pub fn revise(&self, ids: &[i64], revision: u64, modified: &str) {
        let row = |id: &i64| {
            json!({"ROWID": id.to_string(), "Km": revision, "Note": format!("revision {revision},\nof \"{id}\""),
                "Toll": null, "Done": revision.is_multiple_of(2), "MODIFIEDTIME": modified})
        };
        let rows: Vec<Value> = ids.iter().map(row).collect();
        self.put(&json!(rows));
    }

    /// Adds so many trips, created and changed at a time; returns their ids.
    pub fn add(&self, count: usize, at: &str) -> Vec<i64> {
        let row = |number| json!({"Driver": format!("Added {number}"), "Km": number, "CREATEDTIME": at, "MODIFIEDTIME": at});
        let rows: Vec<Value> = (0..count).map(row).collect();
        self.put(&json!(rows))
    }

    /// Puts rows into the trips of Production.
    pub fn put(&self, rows: &Value) -> Vec<i64> {
        // On the runtime, which posts the events of the changes.
        let put = wait(async { self.datastore().put(Environment::Production, TABLE, rows) });
        put.expect("the rows fit the table")
    }

    /// Deletes trips of Production.
    pub fn delete(&self, ids: &[i64]) {
        wait(async { self.datastore().delete(Environment::Production, TABLE, ids) });
    }

    /// Posts the last events once more; returns how many.
    pub fn resend_events(&self, count: usize) -> usize {
        wait(async { self.datastore().resend_events(count) })
    }

    /// The rows of the view; fails the test if two of them have one ROWID.
    #[track_caller]
    pub fn stored(&self) -> Rows {
        let dumped = self.analytics().dump(TABLE);
        let count = dumped.len();
        let stored = by_id(dumped);
        assert_eq!(
            stored.len(),
            count,
            "rows of the view with a ROWID of their own"
        );
        stored
    }

    /// Fails the test unless the view holds every trip of Production, value by value, and nothing else.
    #[track_caller]
    pub fn assert_equal(&self) {
        let (rows, stored) = (self.rows(), self.stored());
        assert_same(&rows, &stored);
        assert_eq!(stored.len(), rows.len(), "rows of the view");
    }

    /// Stops listening.
    pub fn stop(self) {
        wait(self.sandbox.stop()).expect("the sandbox stops");
    }
}

/// Fails the test unless each of these rows of a table is in the view as it is in the table.
#[track_caller]
pub fn assert_same(rows: &Rows, stored: &Rows) {
    let missing = rows.keys().filter(|id| !stored.contains_key(*id)).count();
    assert_eq!(missing, 0, "rows that never arrived, of {}", rows.len());
    for (id, row) in rows {
        for (column, wanted) in row {
            let cell = stored[id].get(column).unwrap_or(&Value::Null);
            assert!(
                is_same(wanted, cell),
                "`{column}` of {id} is {cell} in the view, and {wanted} in the table"
            );
        }
    }
}

/// A port of this machine that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// Puts keys over those of an object.
pub fn extend(object: &mut Value, more: &Value) {
    for (key, value) in more.as_object().expect("keys of an object") {
        object[key] = value.clone();
    }
}

fn by_id(rows: Vec<Value>) -> Rows {
    let mut found = Rows::new();
    for row in rows {
        let Value::Object(row) = row else {
            panic!("a row is an object")
        };
        let id = row.get("ROWID").map(text).unwrap_or_default();
        found.insert(id.parse().expect("a row has its ROWID"), row);
    }
    found
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a cell of the view is a value of the table: times in UTC and to the second, numbers by their
/// value, everything else to the letter.
fn is_same(wanted: &Value, cell: &Value) -> bool {
    let (wanted, cell) = (text(wanted), text(cell));
    if wanted == cell {
        return true;
    }
    if let (Some(wanted), Some(cell)) = (local_time(&wanted), utc_time(&cell)) {
        return wanted.div_euclid(MICROSECONDS) == cell.div_euclid(MICROSECONDS);
    }
    let number = |text: &str| {
        text.contains('.')
            .then(|| text.parse::<f64>().ok())
            .flatten()
    };
    let whole = |text: &str| number(text).or_else(|| text.parse().ok());
    match (number(&wanted), number(&cell)) {
        (Some(wanted), _) => whole(&cell) == Some(wanted),
        (_, Some(cell)) => whole(&wanted) == Some(cell),
        (None, None) => false,
    }
}

/// The instant of a time as the service writes it: `2025-02-03 10:00:00[:123]` in the project's zone.
pub fn local_time(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(' ')?;
    let time = match time.matches(':').count() {
        3 => {
            let (seconds, milliseconds) = time.rsplit_once(':')?;
            format!("{seconds}.{milliseconds}")
        }
        2 => time.to_owned(),
        _ => return None,
    };
    parse_timestamp(&format!("{date}T{time}{OFFSET}"))
}

fn utc_time(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(' ')?;
    parse_timestamp(&format!("{date}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_by_what_they_mean() {
        for (wanted, cell) in [
            (
                json!("2024-01-01 05:30:07:001"),
                json!("2024-01-01 00:00:07"),
            ),
            (json!("12.50"), json!("12.5")),
            (json!(3.0), json!("3")),
            (json!(""), json!(null)),
            (json!(true), json!("true")),
            (json!(9_007_199_254_740_993_i64), json!("9007199254740993")),
        ] {
            assert!(is_same(&wanted, &cell), "{wanted} {cell}");
        }
        for (wanted, cell) in [
            (
                json!("2024-01-01 05:30:07:001"),
                json!("2024-01-01 05:30:07"),
            ),
            (json!(9_007_199_254_740_993_i64), json!("9007199254740992")),
            (json!("12.50"), json!("12.51")),
            (json!("a"), json!(null)),
        ] {
            assert!(!is_same(&wanted, &cell), "{wanted} {cell}");
        }
    }
}
