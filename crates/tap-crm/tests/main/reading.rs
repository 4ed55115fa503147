//! Whole modules: pages, parts of fields, estimates, credits, callbacks.

use serde_json::{Value, json};

use crate::script::{
    Rows, Script, activates, done, file, last_state, leads, messages, nothing, refuses, says,
};

const TWO_PAGES: &[Rows] = &[
    &[
        ("11", "Ada", "2026-02-11T09:30:00+05:30"),
        ("12", "", "2026-02-11T09:30:01+05:30"),
    ],
    &[("13", "Eve, \n Bob", "2026-02-11T09:30:02+05:30")],
];

#[test]
fn a_module_is_read_page_by_page_and_its_version_activated() {
    let script = Script::of(TWO_PAGES, |_| None);
    let finished = script.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(0);
    let leads = leads(&finished);
    assert_eq!(
        leads,
        [
            ("11".to_owned(), json!("Ada")),
            ("12".to_owned(), Value::Null),
            ("13".to_owned(), json!("Eve, \n Bob")),
        ]
    );
    let first = &messages(&finished).records("Leads")[0].clone();
    assert_eq!(first["Modified_Time"], "2026-02-11T04:00:00Z");
    assert!(activates(&finished));
    let created = script.asked_for("POST bulk/v8/read");
    assert_eq!(created.len(), 2);
    assert_eq!(
        created[0].body["query"],
        json!({"module": {"api_name": "Leads"}, "fields": ["id", "Last_Name", "Company", "Modified_Time"]})
    );
    let later = &created[1].body["query"];
    assert_eq!(
        later.as_object().map(|query| query.len()),
        Some(1),
        "nothing but the token"
    );
}

#[test]
fn an_interrupted_module_goes_on_with_the_job_of_its_page() {
    let script = Script::of(TWO_PAGES, |asked| {
        let breaks = asked.line == "GET bulk/v8/read/8/result" && asked.times == 0;
        breaks.then(|| refuses(500, "INTERNAL_ERROR", &json!({})))
    });
    let broken = script.sync("FULL_TABLE", &json!({}), None);
    assert_ne!(broken.code(), Some(0));
    let state = last_state(&broken);
    let reading = &state["bookmarks"]["Leads"]["reading"];
    assert_eq!((&reading["page"], &reading["rows"]), (&json!(2), &json!(2)));
    assert_eq!(reading["parts"][0]["job"], "8");

    let finished = script.sync("FULL_TABLE", &json!({}), Some(&state));
    finished.expect_code(0);
    assert_eq!(
        leads(&finished).len(),
        1,
        "the first page is not read again"
    );
    assert_eq!(
        script.asked_for("POST bulk/v8/read").len(),
        2,
        "no job is made again"
    );
    assert_eq!(
        last_state(&finished)["bookmarks"]["Leads"]["version"],
        Value::Null
    );
}

#[test]
fn a_state_of_other_fields_begins_anew() {
    let script = Script::of(TWO_PAGES, |asked| {
        let breaks = asked.line == "GET bulk/v8/read/8/result" && asked.times == 0;
        breaks.then(|| refuses(500, "INTERNAL_ERROR", &json!({})))
    });
    let broken = script.sync("FULL_TABLE", &json!({}), None);
    let fields = json!({"fields": {"Leads": ["Last_Name"]}});
    let finished = script.sync("FULL_TABLE", &fields, Some(&last_state(&broken)));
    finished.expect_code(0);
    assert_eq!(leads(&finished).len(), 3);
}

#[test]
fn more_fields_than_a_job_reads_are_joined_by_id_whatever_their_order() {
    // The second job gives its rows in another order, and cuts its pages elsewhere.
    let script = Script::of(TWO_PAGES, |asked| {
        let query = &asked.body["query"];
        match asked.line.as_str() {
            "POST bulk/v8/read" => {
                let is_second = query["fields"].as_array().is_some_and(|fields| {
                    fields.contains(&json!("Company")) && !fields.contains(&json!("Last_Name"))
                }) || query["page_token"] == "second";
                let id = match (is_second, query["page_token"].is_string()) {
                    (true, false) => "101",
                    (true, true) => "102",
                    (false, _) => return None,
                };
                Some(says(
                    201,
                    &json!({"data": [{"status": "success", "details": {"id": id}}]}),
                ))
            }
            "GET bulk/v8/read/101" => Some(done("101", 1, Some("second"))),
            "GET bulk/v8/read/102" => Some(done("102", 2, None)),
            "GET bulk/v8/read/101/result" => Some(file("Id,Company\n13,third\n")),
            "GET bulk/v8/read/102/result" => Some(file("Company,Id\nsecond,12\nfirst,11\n")),
            _ => None,
        }
    });
    let changes =
        json!({"bulk_fields": 2, "fields": {"Leads": ["Last_Name", "Company", "Modified_Time"]}});
    let finished = script.sync("FULL_TABLE", &changes, None);
    finished.expect_code(0);
    let messages = messages(&finished);
    let mut found: Vec<(String, String, String)> = messages
        .records("Leads")
        .into_iter()
        .map(|record| {
            let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
            assert!(record["Modified_Time"].is_string());
            (text("id"), text("Last_Name"), text("Company"))
        })
        .collect();
    found.sort();
    let expected = [
        ("11", "Ada", "first"),
        ("12", "", "second"),
        ("13", "Eve, \n Bob", "third"),
    ];
    assert_eq!(
        found,
        expected.map(|(id, name, company)| (id.to_owned(), name.to_owned(), company.to_owned()))
    );
}

#[test]
fn a_dry_run_tells_credits_and_writes_nothing() {
    let script = Script::of(TWO_PAGES, |_| None);
    let finished = script
        .run(&json!({}))
        .args(["--select", "Leads", "--dry-run"])
        .finish();
    finished.expect_code(0);
    assert!(finished.stdout.is_empty());
    assert!(
        finished.stderr.contains("would read"),
        "{}",
        finished.stderr
    );
    assert!(
        finished.stderr.contains("credits=56"),
        "{}",
        finished.stderr
    );
    assert!(script.asked_for("POST bulk").is_empty());
}

#[test]
fn the_floor_of_credits_is_never_crossed() {
    let script = Script::of(TWO_PAGES, |asked| {
        let is_fields = asked.line.starts_with("GET settings/fields");
        is_fields.then(|| {
            let fields = json!({"fields": [{"api_name": "Last_Name", "data_type": "text"}]});
            let (status, headers, body) = says(200, &fields);
            (
                status,
                format!("{headers}\r\nX-API-CREDITS-REMAINING: 120"),
                body,
            )
        })
    });
    let finished = script.sync("FULL_TABLE", &json!({"min_credits": 100}), None);
    finished.expect_code(75);
    assert!(
        finished.stderr.contains("min_credits"),
        "{}",
        finished.stderr
    );
    assert!(script.asked_for("POST bulk").is_empty());
}

#[test]
fn a_callback_is_asked_for_with_the_secret_in_its_url() {
    let script = Script::of(TWO_PAGES, |asked| {
        // The job calls back before it is asked for, and its URL answers as one with a secret does.
        if asked.line == "POST bulk/v8/read" {
            let url = asked.body["callback"]["url"].as_str().unwrap_or_default();
            assert!(url.ends_with("/crm?secret=s3cret"), "{url}");
        }
        None
    });
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address").port()
    };
    let callback = json!({"callback": {
        "listen": format!("127.0.0.1:{port}"), "public_url": format!("http://127.0.0.1:{port}/crm"), "secret": "s3cret",
    }});
    let calls = std::thread::spawn(move || {
        // As often as it takes until the run has both jobs: a call that is early is remembered.
        for _ in 0..200 {
            for id in ["7", "8"] {
                call(
                    port,
                    &format!("{{\"data\":[{{\"id\":\"{id}\",\"state\":\"COMPLETED\"}}]}}"),
                );
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let began = std::time::Instant::now();
    let finished = script.sync("FULL_TABLE", &callback, None);
    finished.expect_code(0);
    assert_eq!(leads(&finished).len(), 3);
    assert!(began.elapsed().as_secs() < 15, "the callbacks rang");
    drop(calls);
}

fn call(port: u16, body: &str) {
    use std::io::Write;
    if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) {
        let length = body.len();
        // Nobody may listen yet, or any more.
        let _ignored = write!(
            stream,
            "POST /crm?secret=s3cret HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
    }
}

#[test]
fn discovery_leaves_out_modules_without_fields_and_those_that_are_refused() {
    let script = Script::of(TWO_PAGES, |asked| match asked.line.as_str() {
        "GET settings/modules" => Some(says(
            200,
            &json!({"modules": [
                {"api_name": "Leads", "api_supported": true}, {"api_name": "Empty", "api_supported": true},
                {"api_name": "Notes", "api_supported": true}, {"api_name": "Web", "api_supported": false},
                {"api_name": "Secret", "api_supported": true},
            ]}),
        )),
        "GET settings/fields?module=Empty&type=all" => Some(nothing()),
        "GET settings/fields?module=Secret&type=all" => {
            Some(refuses(400, "NO_PERMISSION", &json!({})))
        }
        _ => None,
    });
    let finished = script.run(&json!({})).arg("--discover").finish();
    finished.expect_code(0);
    let catalog: Value = serde_json::from_slice(&finished.stdout).expect("a catalog");
    let streams = catalog["streams"].as_array().expect("streams");
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0]["tap_stream_id"], "Leads");
    let named = script
        .run(&json!({"modules": ["Notes"]}))
        .arg("--check")
        .finish();
    assert_ne!(named.code(), Some(0));
    assert!(named.stderr.contains("cannot be read"), "{}", named.stderr);
}

#[test]
fn criteria_that_do_not_fit_the_module_end_the_run_by_their_name() {
    let script = Script::of(TWO_PAGES, |_| None);
    let criteria = json!({"criteria": {"Leads": {
        "field": {"api_name": "Last_Nam"}, "comparator": "equal", "value": "x",
    }}});
    let finished = script.sync("FULL_TABLE", &criteria, None);
    finished.expect_code(2);
    assert!(
        finished.stderr.contains("did you mean `Last_Name`?"),
        "{}",
        finished.stderr
    );
}
