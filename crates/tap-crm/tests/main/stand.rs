//! What only this tap does, over the stand-in: the same record whichever way it came, deletions, odd files.

use serde_json::json;

use crate::kit::Stand;
use crate::script::{last_state, messages};

fn leads(change: impl FnOnce(&mut sandbox::crm::CrmOptions)) -> Stand {
    Stand::with(|options| {
        options.crm.sample = sandbox::crm::CrmSample::Leads;
        options.crm.rows = 300;
        change(&mut options.crm);
    })
}

#[test]
fn it_proves_what_it_may() {
    let stand = leads(|_| {});
    let finished = stand
        .run(&json!({"modules": ["Leads", "Contacts"]}))
        .arg("--check")
        .finish();
    finished.expect_code(0);
    assert!(
        finished.stderr.contains("2 modules can be read"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_record_is_the_same_by_a_bulk_job_and_by_a_query() {
    let stand = leads(|_| {});
    let by_bulk = stand.sync("Leads", &json!({}), None);
    let bulk = messages(&by_bulk);
    let since = json!({"bookmarks": {"Leads": {
        "replication_key": "Modified_Time", "replication_key_value": "2000-01-01T00:00:00Z"}}});
    let by_query = stand.sync("Leads", &json!({}), Some(&since));
    assert!(
        by_query.stderr.contains("read by queries"),
        "{}",
        by_query.stderr
    );
    let query = messages(&by_query);
    let (bulk, query) = (bulk.by_key("Leads"), query.by_key("Leads"));
    assert_eq!(bulk.len(), 300);
    for (id, record) in &bulk {
        assert_eq!(Some(record), query.get(id), "{id}");
    }
}

#[test]
fn odd_files_are_read_like_others_and_parts_are_joined() {
    let stand = leads(|crm| {
        crm.csv_bom = true;
        crm.csv_crlf = true;
        crm.id_header = "ID".to_owned();
        crm.page_rows = 120;
        crm.downloads = 1000;
    });
    let plain = messages(&stand.sync("Leads", &json!({}), None));
    let joined = messages(&stand.sync("Leads", &json!({"bulk_fields": 25}), None));
    assert_eq!(plain.by_key("Leads").len(), 300);
    assert_eq!(plain.by_key("Leads"), joined.by_key("Leads"));
}

#[test]
fn a_deletion_is_told_once_by_the_run_whose_window_it_is_in() {
    let stand = leads(|_| {});
    let settings = json!({"include_deleted": true, "window_lag_seconds": 0});
    let mut state = last_state(&stand.sync("Leads", &settings, None));
    let wanted: Vec<String> = stand
        .crm()
        .peek("Leads", 2)
        .iter()
        .map(|record| record["id"].as_str().expect("an id").to_owned())
        .collect();
    let ids: Vec<i64> = wanted
        .iter()
        .map(|id| id.parse().expect("digits"))
        .collect();
    stand
        .crm()
        .delete("Leads", &ids, sandbox::crm::Deletion::Recycle);
    // A window ends with a whole second, so the first run may be too early by the rest of one.
    let mut told: Vec<String> = Vec::new();
    for _ in 0..50 {
        let finished = stand.sync("Leads", &settings, Some(&state));
        state = last_state(&finished);
        for record in messages(&finished).records("Leads") {
            assert!(record["_sdc_deleted_at"].is_string());
            told.push(record["id"].as_str().expect("an id").to_owned());
        }
        if told.len() >= 2 {
            break;
        }
    }
    told.sort();
    assert_eq!(told, wanted);
}

#[test]
fn refused_fields_and_modules_are_told_by_their_names() {
    let stand = leads(|_| {});
    stand
        .crm()
        .refuse_field("Leads", "Company", "FIELD_NOT_SUPPORTED")
        .expect("a field of the sample");
    let finished = stand.sync("Leads", &json!({}), None);
    assert!(
        finished.stderr.contains("field=Company"),
        "{}",
        finished.stderr
    );
    stand
        .crm()
        .deny("Contacts", "read", "NO_PERMISSION")
        .expect("a module of the sample");
    let denied = stand
        .run(&json!({}))
        .args(["--select", "Contacts"])
        .finish();
    denied.expect_code(1);
    assert!(denied.stderr.contains("NO_PERMISSION"), "{}", denied.stderr);
}

#[test]
fn criteria_choose_records() {
    let stand = leads(|_| {});
    let all = messages(&stand.sync("Leads", &json!({}), None));
    let records = all.records("Leads");
    let company = records
        .iter()
        .find_map(|record| record["Company"].as_str())
        .expect("a company");
    let wanted = records
        .iter()
        .filter(|record| record["Company"] == company)
        .count();
    let criteria = json!({"criteria": {"Leads": {
        "field": {"api_name": "Company"}, "comparator": "equal", "value": company,
    }}});
    let chosen = messages(&stand.sync("Leads", &criteria, None));
    assert_eq!(chosen.records("Leads").len(), wanted);
}
