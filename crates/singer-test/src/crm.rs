//! A stand-in of Zoho CRM for each test, in the test's own process: a module of members in small pages, modules
//! that copies of them go to, and tokens for whoever asks. The question that a test ends with is whether each
//! member has one copy, value by value.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use sandbox::crm::{Crm as Inside, Deletion};
use sandbox::zoho::Accounts;
use sandbox::{Options, Sandbox, Status};
use serde_json::{Map, Value, json};
use singer_core::value::time::parse_timestamp;

use crate::poll;
use crate::runtime::wait;

/// The module that is read, which is the stream's name as well.
pub const MODULE: &str = "Members";

/// The module that copies go to, in which `Source_Id` is unique.
pub const COPIES: &str = "Copies";

/// A module that takes the same copy twice without a word.
pub const LOOSE_COPIES: &str = "Loose_Copies";

/// Rows of a page of a bulk read.
pub const PAGE_ROWS: usize = 50;

/// The field of a copy that holds the id of its member.
pub const SOURCE_ID: &str = "Source_Id";

/// The fields that copies share with members.
pub const FIELDS: [&str; 11] = [
    "Last_Name",
    "Email",
    "Phone",
    "Visits",
    "Serial",
    "Score",
    "Active",
    "Born",
    "Seen_At",
    "Stage",
    "Notes",
];

/// The time of the first member's last change; each further one is a second later.
const FIRST: &str = "2026-01-05T08:00:00Z";

/// A running stand-in.
pub struct Crm {
    sandbox: Sandbox,
}

/// Records by an id.
pub type Records = BTreeMap<String, Map<String, Value>>;

impl Crm {
    /// So many members, and limits that no test reaches by itself.
    pub fn start(members: usize) -> Crm {
        Crm::start_with(members, |_| {})
    }

    /// The same with other options.
    pub fn start_with(members: usize, change: impl FnOnce(&mut Options)) -> Crm {
        let mut options = Options::default();
        options.crm.page_rows = PAGE_ROWS;
        options.crm.credits = 5_000_000;
        options.crm.downloads = 100_000;
        options.crm.job_polls = 0;
        // Each run is a process of its own, and there are more of them than ten in ten minutes.
        options.zoho.tokens_per_window = 10_000;
        options.zoho.active_tokens = 10_000;
        change(&mut options);
        let crm = Crm {
            sandbox: wait(sandbox::start(options)).expect("the sandbox starts"),
        };
        crm.make_module(MODULE, &[]);
        let unique = json!({"api_name": SOURCE_ID, "data_type": "text", "json_type": "string", "length": 40,
            "unique": {"casesensitive": "false"}});
        crm.make_module(COPIES, &[unique]);
        let loose = json!({"api_name": SOURCE_ID, "data_type": "text", "json_type": "string", "length": 40});
        crm.make_module(LOOSE_COPIES, &[loose]);
        crm.add(members);
        crm
    }

    /// The base URL of accounts, the API and uploads.
    pub fn url(&self) -> String {
        self.sandbox.crm_url()
    }

    /// A config of the tap.
    pub fn tap_config(&self) -> Value {
        let mut config = self.account();
        extend(
            &mut config,
            &json!({
                "page_size": PAGE_ROWS, "patience_seconds": 20, "job_timeout_seconds": 60,
                "failed_job_pause_seconds": 0, "work_folder": ".",
            }),
        );
        config
    }

    /// A config of the target, without streams.
    pub fn target_config(&self) -> Value {
        let mut config = self.account();
        extend(
            &mut config,
            &json!({
                "upload_url": self.url(), "patience_seconds": 20, "job_timeout_seconds": 60,
                "rejects_path": "rejects.jsonl", "journal_path": "journal",
            }),
        );
        config
    }

    /// The part of a config that says who asks.
    pub fn account(&self) -> Value {
        json!({
            "client_id": "sandbox-client", "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh", "accounts_url": self.sandbox.zoho_url(),
            "api_url": self.url(), "token_cache_path": "tokens.json",
        })
    }

    /// The stand-in itself.
    pub fn inside(&self) -> &Inside {
        self.sandbox.crm()
    }

    /// The stand-in of Zoho accounts.
    pub fn accounts(&self) -> &Accounts {
        self.sandbox.zoho()
    }

    /// Makes a module with the fields of members and some more.
    pub fn make_module(&self, name: &str, more: &[Value]) {
        let mut fields = members_fields();
        fields.extend_from_slice(more);
        let described = json!({
            "api_name": name, "singular_label": name, "plural_label": name, "api_supported": true,
            "generated_type": "custom", "fields": fields,
        });
        let made = self.inside().create_module(&described);
        made.expect("a module can be made");
    }

    /// Replaces the faults in force.
    pub fn set_faults(&self, specs: &[&str]) {
        let set = self.sandbox.set_faults(specs);
        set.expect("the faults are known");
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

    /// Adds so many members, each changed a second after the one before; returns their ids.
    pub fn add(&self, count: usize) -> Vec<i64> {
        let from = self.ids().len();
        let members: Vec<Value> = (from..from + count).map(member).collect();
        self.put(MODULE, &json!(members))
    }

    /// Gives these members other values, changed at a time.
    pub fn revise(&self, ids: &[i64], revision: u64, modified: &str) {
        let member = |id: &i64| {
            json!({"id": id.to_string(), "Visits": revision, "Notes": format!("revision {revision},\nof \"{id}\""),
                "Phone": null, "Active": revision.is_multiple_of(2), "Modified_Time": modified})
        };
        let members: Vec<Value> = ids.iter().map(member).collect();
        self.put(MODULE, &json!(members));
    }

    /// Puts records into a module.
    pub fn put(&self, module: &str, records: &Value) -> Vec<i64> {
        // On the runtime, as some of what follows a change is posted.
        let put = wait(async { self.inside().put(module, records) });
        put.expect("the records fit the module")
    }

    /// Deletes members.
    pub fn delete(&self, ids: &[i64]) {
        wait(async { self.inside().delete(MODULE, ids, Deletion::Recycle) });
    }

    /// The ids of the members in their order.
    pub fn ids(&self) -> Vec<i64> {
        let members = self.members();
        members
            .keys()
            .map(|id| id.parse().expect("an id is a number"))
            .collect()
    }

    /// The members by their ids.
    #[track_caller]
    pub fn members(&self) -> Records {
        by(self.dump(MODULE), "id")
    }

    /// Copies by the ids of their members; fails the test if two are of one member.
    #[track_caller]
    pub fn copies(&self, module: &str) -> Records {
        let dumped = self.dump(module);
        let count = dumped.len();
        let copies = by(dumped, SOURCE_ID);
        assert_eq!(
            copies.len(),
            count,
            "copies in `{module}`: some are there twice"
        );
        copies
    }

    /// All records of a module.
    pub fn dump(&self, module: &str) -> Vec<Map<String, Value>> {
        let dumped = json!(self.inside().dump(module));
        let dumped = dumped.as_array().cloned().unwrap_or_default();
        let object = |record| match record {
            Value::Object(record) => record,
            other => panic!("a record is an object, and not {other}"),
        };
        dumped.into_iter().map(object).collect()
    }

    /// Fails the test unless each member has one copy, value by value, and nobody else has one.
    #[track_caller]
    pub fn assert_equal(&self, module: &str) {
        let (members, copies) = (self.members(), self.copies(module));
        assert_same(&members, &copies);
        assert_eq!(copies.len(), members.len(), "copies in `{module}`");
    }

    /// Stops listening.
    pub fn stop(self) {
        wait(self.sandbox.stop()).expect("the sandbox stops");
    }
}

/// Fails the test unless each of these members has a copy with its values.
#[track_caller]
pub fn assert_same(members: &Records, copies: &Records) {
    let missing = members
        .keys()
        .filter(|id| !copies.contains_key(*id))
        .count();
    assert_eq!(missing, 0, "members without a copy, of {}", members.len());
    for (id, member) in members {
        for field in FIELDS {
            let wanted = member.get(field).unwrap_or(&Value::Null);
            let found = copies[id].get(field).unwrap_or(&Value::Null);
            assert_eq!(
                wanted, found,
                "`{field}` of {id}, as it is and as it was copied"
            );
        }
    }
}

/// How many seconds ago a time was, for what takes its end as a distance from now.
#[track_caller]
pub fn seconds_since(time: &str) -> i64 {
    let then = parse_timestamp(time).expect("a time") / 1_000_000;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("it is later than 1970").as_secs();
    i64::try_from(now).expect("it is not that late") - then
}

/// The time of the last change of a member by its number.
pub fn changed_at(number: usize) -> String {
    let seconds = number % 60;
    let minutes = number / 60 % 60;
    let hours = 8 + number / 3600;
    let date = FIRST.split_once('T').map_or("", |(date, _)| date);
    format!("{date}T{hours:02}:{minutes:02}:{seconds:02}+00:00")
}

/// Puts keys over those of an object.
pub use crate::zoho::extend;

fn member(number: usize) -> Value {
    let time = changed_at(number);
    let stage = ["Open", "Won", "Lost"][number % 3];
    let mut member = json!({
        "Last_Name": format!("Zoë \"{number}\", née\nO'Neil \u{1f40e}"),
        "Email": format!("member-{number}@example.org"), "Phone": format!("+47 {number:08}"),
        "Visits": number, "Serial": (9_007_199_254_740_993_u64 + number as u64).to_string(), "Score": format!("{number}.25"),
        "Active": number.is_multiple_of(2), "Born": format!("19{:02}-02-03", number % 100),
        "Seen_At": "2025-07-01T10:00:00+02:00", "Stage": stage, "Notes": "x;y,\t\"z\"",
        "Created_Time": time, "Modified_Time": time,
    });
    if number.is_multiple_of(5) {
        for field in ["Phone", "Score", "Born", "Notes"] {
            member[field] = Value::Null;
        }
    }
    member
}

fn members_fields() -> Vec<Value> {
    let field = |name: &str, kind: &str, json_type: &str, length: u32| json!({"api_name": name, "data_type": kind, "json_type": json_type, "length": length});
    let mut stage = field("Stage", "picklist", "string", 120);
    let value = |value: &str| json!({"actual_value": value, "display_value": format!("the {value}"), "type": "used"});
    stage["pick_list_values"] = json!([value("Open"), value("Won"), value("Lost")]);
    vec![
        field("Created_Time", "datetime", "string", 120),
        field("Modified_Time", "datetime", "string", 120),
        field("Last_Name", "text", "string", 120),
        field("Email", "email", "string", 100),
        field("Phone", "phone", "string", 30),
        field("Visits", "integer", "integer", 9),
        field("Serial", "bigint", "string", 18),
        field("Score", "double", "double", 16),
        field("Active", "boolean", "boolean", 5),
        field("Born", "date", "string", 20),
        field("Seen_At", "datetime", "string", 120),
        stage,
        field("Notes", "textarea", "string", 2000),
    ]
}

#[track_caller]
fn by(records: Vec<Map<String, Value>>, field: &str) -> Records {
    let mut found = Records::new();
    for record in records {
        let id = match record.get(field) {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => panic!("a record comes without its `{field}`"),
        };
        found.insert(id, record);
    }
    found
}
