//! What arrives: whole modules, changes by queries and by bulk jobs, fields that do not fit into one job or are
//! refused, deletions, and what is told by callbacks instead of questions.

use serde_json::{Value, json};
use singer_test::crm::{COPIES, Crm, LOOSE_COPIES, MODULE, PAGE_ROWS, assert_same};
use singer_test::stream::{Cut, Messages};
use singer_test::zoho::free_port;
use suite::proxy::Proxy;

use crate::pair::{LATEST, METHODS, Method, Pair, ROWS, WAYS, Way};

#[test]
fn a_whole_module_arrives_value_by_value() {
    for way in WAYS {
        for method in METHODS {
            let pair = Pair::new(method, way);
            let ended = pair.sync_equal();
            assert_eq!(ended.records(), ROWS);
            let jobs = pair.crm.requests("POST", "/bulk/v8/read");
            assert_eq!(jobs, ROWS.div_ceil(PAGE_ROWS));
            assert_eq!(pair.crm.requests("POST", "/bulk/v8/write"), 1);
        }
    }
}

#[test]
fn changes_arrive_by_queries_and_by_bulk_jobs_alike() {
    let mut records = Vec::new();
    for small in [20_000, 0] {
        let pair = Pair::new(Method::Incremental, Way::Upsert)
            .tap_keys(&json!({"small_change_rows": small}));
        pair.sync_equal();
        pair.revise(&pair.crm.ids()[10..35], 2);
        let ended = pair.sync_equal();
        assert_eq!(ended.records(), 25);
        let queries = pair.crm.requests("POST", "/coql");
        assert_eq!(queries > 0, small > 0, "{queries} queries");
        let messages = Messages::parse(&ended.map.stdout, Cut::Never);
        let mut seen: Vec<Value> = messages.records(MODULE).into_iter().cloned().collect();
        for record in &mut seen {
            // Other stand-ins, other ids of whoever did it.
            let members = record.as_object_mut().expect("an object");
            members
                .retain(|name, _| !name.ends_with("_By") && name != "Owner" && name != "Source_Id");
            // Each has its note, and that its id.
            members.remove("Notes");
        }
        seen.sort_by_key(|record| record["Last_Name"].to_string());
        records.push(seen);
        // Nothing new changes nothing.
        let before = pair.state();
        assert_eq!(pair.sync_equal().records(), 0);
        assert_eq!(pair.state(), before);
        pair.crm.revise(&pair.crm.ids()[..5], 3, LATEST);
        pair.look_further();
        assert_eq!(pair.sync_equal().records(), 5);
    }
    assert_eq!(records[0], records[1]);
}

#[test]
fn fields_over_the_limit_of_a_job_are_joined_by_id() {
    for method in METHODS {
        // Two pages in four parts: the service gives ten files a minute.
        let pair =
            Pair::over(Crm::start(80), method, Way::Upsert).tap_keys(&json!({"bulk_fields": 5}));
        let ended = pair.sync_equal();
        assert_eq!(ended.records(), 80);
        assert_eq!(pair.crm.requests("POST", "/bulk/v8/read"), 8);
        // Queries have a limit too.
        let pair = pair.tap_keys(&json!({"query_fields": 4}));
        pair.revise(&pair.crm.ids()[3..9], 2);
        pair.sync_equal();
    }
}

#[test]
fn fields_that_are_refused_are_left_out_with_a_warning() {
    let pair = Pair::new(Method::Incremental, Way::Upsert);
    for (field, code) in [
        ("Phone", "FIELD_NOT_SUPPORTED"),
        ("Born", "FIELD_NOT_AVAILABLE"),
    ] {
        pair.crm
            .inside()
            .refuse_field(MODULE, field, code)
            .expect("a field of the module");
    }
    let ended = pair.sync();
    ended.tap.expect_log("field=Phone").expect_log("field=Born");
    let (members, copies) = (pair.crm.members(), pair.crm.copies(COPIES));
    assert_eq!(copies.len(), ROWS);
    for (id, member) in &members {
        assert_eq!(member["Last_Name"], copies[id]["Last_Name"]);
        assert!(copies[id].get("Phone").is_none_or(Value::is_null));
    }
}

#[test]
fn windows_are_read_one_after_the_other() {
    let slices = json!({"start_date": "2026-01-05T08:00:00Z", "window_days": 10});
    for small in [20_000, 0] {
        let pair = Pair::new(Method::Incremental, Way::Upsert)
            .tap_keys(&slices)
            .tap_keys(&json!({"small_change_rows": small}));
        pair.crm
            .revise(&pair.crm.ids()[..7], 2, "2026-01-20T00:00:00+00:00");
        let ended = pair.sync_equal();
        assert_eq!(ended.records(), ROWS);
    }
}

#[test]
fn deletions_are_marked_or_left_out() {
    for is_marked in [true, false] {
        let mut settings = json!({});
        if is_marked {
            settings = json!({"on_delete": "flag", "deleted_field": "Seen_At", "fields": {"*": "*", "Seen_At": ""}});
        }
        let pair = Pair::new(Method::Incremental, Way::Upsert)
            .tap_keys(&json!({"include_deleted": true}))
            .stream_keys(&settings);
        pair.sync();
        let ids = pair.crm.ids();
        pair.crm.delete(&ids[4..7]);
        pair.look_until_now();
        let ended = pair.sync();
        assert_eq!(ended.records(), 3);
        let copies = pair.crm.copies(COPIES);
        assert_eq!(copies.len(), ROWS, "Bulk Write deletes nothing");
        if is_marked {
            let marked = copies
                .iter()
                .filter(|(_, copy)| copy["Seen_At"].is_string());
            let marked: Vec<String> = marked.map(|(id, _)| id.clone()).collect();
            let gone: Vec<String> = ids[4..7].iter().map(i64::to_string).collect();
            assert_eq!(marked, gone);
        } else {
            ended.target.expect_log("Bulk Write deletes nothing");
            assert_same(&pair.crm.members(), &copies);
        }
    }
}

#[test]
fn criteria_and_fields_choose_what_is_read() {
    let criteria = json!({"field": {"api_name": "Stage"}, "comparator": "equal", "value": "Won"});
    let pair = Pair::new(Method::Incremental, Way::Upsert).tap_keys(&json!({
        "criteria": {MODULE: criteria}, "fields": {MODULE: ["Last_Name", "Visits", "Modified_Time"]},
    }));
    pair.sync();
    let copies = pair.crm.copies(COPIES);
    let members = pair.crm.members();
    let won = members.values().filter(|member| member["Stage"] == "Won");
    assert_eq!(copies.len(), won.count());
    for (id, copy) in &copies {
        assert_eq!(copy["Visits"], members[id]["Visits"]);
        assert!(copy.get("Email").is_none_or(Value::is_null));
    }
    // The same by queries.
    pair.revise(&pair.crm.ids()[..6], 2);
    assert_eq!(pair.sync().records(), 2);
}

#[test]
fn callbacks_take_the_place_of_questions_on_both_sides() {
    let (tap_port, target_port) = (free_port(), free_port());
    let crm = Crm::start_with(ROWS, |options| options.crm.job_ms = 40);
    let proxy = Proxy::start(target_port);
    let pair = Pair::over(crm, Method::Incremental, Way::Upsert)
        .tap_keys(
            &json!({"callback": {"listen": format!("127.0.0.1:{tap_port}"), "secret": "shh",
            "public_url": format!("http://127.0.0.1:{tap_port}/reads")}}),
        )
        .target_keys(
            &json!({"callback": {"listen": format!("127.0.0.1:{target_port}"), "secret": "psst",
            "public_url": format!("http://{}/writes", proxy.address)}}),
        )
        .stream_keys(&json!({"chunk_records": 50}));
    let ended = pair.sync_equal();
    assert!(proxy.passed() > 0, "{}", ended.target.stderr);
    // A job is asked for once it has called, and hardly before.
    let questions = pair.crm.requests("GET", "/bulk/v8/read/") - ROWS.div_ceil(PAGE_ROWS);
    assert!(
        questions <= 3 * ROWS.div_ceil(PAGE_ROWS),
        "{questions} questions"
    );
    assert!(!ended.tap.stderr.contains("shh"), "a secret is logged");
    assert!(!ended.target.stderr.contains("psst"), "a secret is logged");
}

#[test]
fn several_modules_go_side_by_side_and_one_that_fails_keeps_nobody_back() {
    let pair = Pair::new(Method::Incremental, Way::Upsert);
    pair.crm.put(
        LOOSE_COPIES,
        &json!([{"Last_Name": "Ada", "Source_Id": "1"}]),
    );
    let streams = json!({
        MODULE: {"module": COPIES, "find_by": "Source_Id", "ignore_empty": false},
        LOOSE_COPIES: {"module": "Nowhere", "find_by": "Source_Id"},
    });
    let tap = pair
        .bare_tap()
        .args(["--select", "Members", "--select", LOOSE_COPIES])
        .finish();
    tap.expect_code(0);
    let map = pair.map().stdin(tap.stdout).finish();
    map.expect_code(0);
    let ended = pair
        .target_with(&json!({"streams": streams}))
        .stdin(map.stdout)
        .finish();
    assert!(matches!(ended.code(), Some(1 | 2)), "{}", ended.stderr);
    ended.expect_log("`Nowhere`");
    // What is wrong with a stream is told before anything is written, or it fails alone.
    if ended.code() == Some(1) {
        pair.assert_equal();
    }
}
