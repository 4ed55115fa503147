//! `tap-crm` over records that Zoho's SDK reads, and over what it changes: each record that the tap emits is
//! the one that the SDK has, whichever way the tap took.

use std::collections::{BTreeMap, BTreeSet};

use sandbox::crm::{Deletion, Separator};
use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::stream::{Cut, Messages};

use crate::case::{Case, assert_same, environment, program};

/// A bookmark before everything: what has changed since is read by queries.
const BEFORE: &str = "2000-01-01T00:00:00Z";

#[test]
fn the_tap_emits_the_records_that_the_sdk_reads() {
    let Some(case) = Case::with(|_| {}) else {
        return;
    };
    for module in ["Leads", "Contacts", "Accounts"] {
        emits_all(&case, module, &json!({}));
    }
    // More fields than a job reads are joined by id; ten files are downloaded in a minute, and no more.
    emits_all(&case, "Leads", &json!({"bulk_fields": 25}));
}

#[test]
fn the_tap_emits_them_in_other_readings_of_the_service() {
    let Some(case) = Case::with(|options| {
        let crm = &mut options.crm;
        crm.multi_separator = Separator::Comma;
        crm.csv_crlf = true;
        crm.csv_bom = true;
        crm.id_header = "id".to_owned();
        crm.coql_fields = 50;
    }) else {
        return;
    };
    emits_all(&case, "Leads", &json!({"multi_select_separator": ","}));
    emits_all(
        &case,
        "Leads",
        &json!({"multi_select": "array", "multi_select_separator": ","}),
    );
}

/// Reads a whole module by bulk jobs, and all changes since ever by queries.
#[track_caller]
fn emits_all(case: &Case, module: &str, settings: &Value) {
    let wanted = case.records(module);
    let separator = settings["multi_select_separator"].as_str().unwrap_or(";");
    let since = json!({"bookmarks": {module: {
        "replication_key": "Modified_Time", "replication_key_value": BEFORE}}});
    for state in [None, Some(since)] {
        let ended = sync(case, module, settings, state.as_ref());
        let is_query = ended.stderr.contains("read by queries");
        assert_eq!(is_query, state.is_some(), "{}", ended.stderr);
        let messages = Messages::parse(&ended.stdout, Cut::Never);
        messages.assert_sound();
        assert_eq!(messages.key_properties(module), ["id"]);
        let found = once_each(&messages, module);
        assert!(
            found.keys().eq(wanted.keys()),
            "{} records of {}",
            found.len(),
            wanted.len()
        );
        for (id, record) in found {
            assert_same(record, &wanted[&id], separator);
        }
    }
}

#[test]
fn the_tap_follows_what_the_sdk_changes() {
    let Some(case) = Case::with(|_| {}) else {
        return;
    };
    for small_change_rows in [30_000, 0] {
        follows(&case, small_change_rows);
    }
}

/// Some records are changed and added by the SDK, and some deleted, between two runs of the tap.
#[track_caller]
fn follows(case: &Case, small_change_rows: u64) {
    let settings = json!({
        "include_deleted": true, "window_lag_seconds": 0, "small_change_rows": small_change_rows,
    });
    let first = sync(case, "Leads", &settings, None);
    let messages = Messages::parse(&first.stdout, Cut::Never);
    let state = messages.last_state().expect("a state").clone();
    let before = case.records("Leads");
    let known: BTreeSet<&String> = before.keys().collect();
    let there: Vec<&Value> = before
        .values()
        .filter(|lead| lead["External_Id"].is_string())
        .collect();
    let change = |lead: &&Value| {
        json!({"External_Id": lead["External_Id"], "Last_Name": "Changed, \"twice\"\n",
            "Company": lead["Company"], "Interests": "Customs;Freight"})
    };
    let mut rows: Vec<Value> = there[..20].iter().map(change).collect();
    rows.extend((0..10).map(|number| {
        json!({"External_Id": format!("new {small_change_rows} {number}"), "Last_Name": "New",
            "Company": "Nordlys", "Interests": ""})
    }));
    let results = case.write("Leads", "upsert", "External_Id", &rows);
    let is_done = |row: &Value| row["STATUS"] == "UPDATED" || row["STATUS"] == "ADDED";
    assert!(results.iter().all(is_done), "{results:?}");
    let gone: BTreeSet<String> = there[30..35]
        .iter()
        .map(|lead| lead["id"].as_str().expect("an id").to_owned())
        .collect();
    let ids: Vec<i64> = gone.iter().filter_map(|id| id.parse().ok()).collect();
    let deleted = case.sandbox.crm().delete("Leads", &ids, Deletion::Recycle);
    assert_eq!(deleted, 5);
    case.next_second();

    let second = sync(case, "Leads", &settings, Some(&state));
    let is_query = second.stderr.contains("read by queries");
    assert_eq!(is_query, small_change_rows > 0, "{}", second.stderr);
    let messages = Messages::parse(&second.stdout, Cut::Never);
    let wanted = case.records("Leads");
    let times = case.deleted("Leads");
    let (mut found, mut told) = (BTreeSet::new(), BTreeSet::new());
    for record in messages.records("Leads") {
        let id = record["id"].as_str().expect("an id").to_owned();
        if record["_sdc_deleted_at"].is_string() {
            assert_eq!(record["_sdc_deleted_at"], times[&id]);
            told.insert(id);
        } else {
            assert_same(record, &wanted[&id], ";");
            found.insert(id);
        }
    }
    assert_eq!(told, gone);
    let changed = there[..20].iter().map(|lead| &lead["id"]);
    let changed = changed.map(|id| id.as_str().expect("an id").to_owned());
    let added = wanted.keys().filter(|id| !known.contains(id)).cloned();
    let expected: BTreeSet<String> = changed.chain(added).collect();
    assert_eq!(expected.len(), 30);
    assert!(
        found.is_superset(&expected),
        "{} of {} records that changed",
        found.len(),
        expected.len()
    );
}

#[test]
fn singer_check_tap_finds_our_messages_valid() {
    let Some(classic) = environment("classic") else {
        return;
    };
    let Some(case) = Case::with(|_| {}) else {
        return;
    };
    for settings in [json!({}), json!({"multi_select": "array"})] {
        let messages = sync(&case, "Leads", &settings, None);
        let verdict = program(&classic, "singer-check-tap")
            .stdin(messages.stdout)
            .finish();
        verdict.expect_code(0);
        let text = verdict.text();
        assert!(
            text.contains("The output is valid.") && text.contains("450 record messages"),
            "{text}"
        );
    }
}

/// A run of the tap over one module.
#[track_caller]
fn sync(case: &Case, module: &str, settings: &Value, state: Option<&Value>) -> Finished {
    let mut run = tap(case, settings).args(["--select", module]);
    if let Some(state) = state {
        run = run
            .arg("--state")
            .arg(case.folder.write_json("state.json", state));
    }
    let ended = run.finish();
    ended.expect_code(0);
    ended
}

/// The tap in the folder of a case.
pub(crate) fn tap(case: &Case, settings: &Value) -> Run {
    let mut all = json!({
        "failed_job_pause_seconds": 0, "job_timeout_seconds": 120, "work_folder": case.folder.path(),
    });
    let more = settings.as_object().expect("settings are an object");
    all.as_object_mut()
        .expect("a config is an object")
        .extend(more.clone());
    Run::of("tap-crm")
        .arg("--config")
        .arg(case.config("tap-crm.json", all))
        .folder(case.folder.path())
}

/// The records of a stream by id, each of which comes once.
#[track_caller]
fn once_each<'a>(messages: &'a Messages, module: &str) -> BTreeMap<String, &'a Value> {
    let mut found = BTreeMap::new();
    for record in messages.records(module) {
        let id = record["id"].as_str().expect("an id is a text").to_owned();
        assert!(found.insert(id, record).is_none(), "a record comes twice");
    }
    found
}
