//! Every route over a store, by plain HTTP.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use singer_test::bin::Signal;
use singer_test::poll;

use crate::project::Project;

/// A pipeline that ended well and then failed, with two versions of its state.
fn failing() -> (Project, String) {
    let project = Project::new(&["accounts", "never"]);
    project.run("accounts", 2, "succeeded", json!({}));
    let fault = json!({
        "stage": "tap", "ended": "exit code 1", "message": "it broke <b>\"hard\"</b>",
        "causes": ["the <cause>"], "hints": ["do <this>"],
    });
    let failed = project.run(
        "accounts",
        3,
        "failed",
        json!({"fault": fault, "exit_code": 1, "state_before": 2, "state_after": 2}),
    );
    project.state("accounts", 1, &json!({"bookmarks": {"a.b": {"at": "<1>"}}}));
    project.state("accounts", 2, &json!({"bookmarks": {"a.b": {"at": "<2>"}}}));
    (project, failed)
}

#[test]
fn each_page_shows_its_part_of_the_store() {
    let (project, failed) = failing();
    let server = project.serve();
    server.get("/").expect(200).says(&[
        ">accounts</a>",
        "failed",
        "it broke &lt;b&gt;",
        "never run",
        "tap-x → target-y",
        "15 * * * *",
        &format!("/pipelines/accounts/runs/{failed}"),
    ]);
    server.get("/pipelines/accounts").expect(200).says(&[
        "cause: the &lt;cause&gt;",
        "hint: do &lt;this&gt;",
        &format!("antiphon logs {failed}"),
        "The last good run was",
        "Duration of the last 2 runs",
        "public.account",
        "/pipelines/accounts/states/1..2",
    ]);
    server
        .get("/pipelines/never")
        .expect(200)
        .says(&["No runs yet"]);
    let run = server
        .get(&format!("/pipelines/accounts/runs/{failed}"))
        .expect(200);
    run.says(&[
        "worker-3",
        "failed first",
        "CRITICAL tap-x: it broke &lt;b&gt;",
        "1,237",
    ]);
    let log = server
        .get(&format!("/pipelines/accounts/runs/{failed}/log"))
        .expect(200);
    assert_eq!(log.header("content-type"), "text/plain; charset=utf-8");
    log.says(&["10:00:00 tap | INFO began\n", "it broke <b>\n"]);
    server
        .get("/pipelines/accounts/states")
        .expect(200)
        .says(&["version 2", "printed by the target"]);
    server
        .get("/pipelines/accounts/states/1")
        .expect(200)
        .says(&["a.b › at", "&lt;1&gt;", "revert 1"]);
    let diff = server.get("/pipelines/accounts/states/1..2").expect(200);
    diff.says(&["a.b › at", "changed", "&lt;1&gt;", "&lt;2&gt;"]);
}

#[test]
fn no_page_holds_a_secret_a_folder_or_anything_from_elsewhere() {
    let (project, failed) = failing();
    let server = project.serve();
    let run = format!("/pipelines/accounts/runs/{failed}");
    for path in [
        "/",
        "/pipelines/accounts",
        &run,
        "/pipelines/accounts/states/1",
        "/nothing",
    ] {
        let answer = server.get(path);
        assert!(
            !answer.body.contains("hunter2") && !answer.body.contains("/opt/hidden"),
            "{path}"
        );
        assert!(
            !answer.body.contains("src=") && !answer.body.contains("@import"),
            "{path}"
        );
        let shown = answer.body.split("<script").next().unwrap();
        for link in shown.split("href=\"").skip(1) {
            let inside = ["/", "#", "?", "data:"]
                .iter()
                .any(|start| link.starts_with(start));
            assert!(inside && !link.starts_with("//"), "{path}: {link:.60}");
        }
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'nonce-"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert!(answer.body.len() < 100_000);
    }
}

#[test]
fn what_is_not_there_is_a_page_that_helps() {
    let (project, _) = failing();
    project.put("secret.txt", "SECRET");
    let server = project.serve();
    server
        .get("/pipelines/acounts")
        .expect(404)
        .says(&["Did you mean", "/pipelines/accounts\""]);
    server
        .get("/pipelines/accounts/states/9")
        .expect(404)
        .says(&["antiphon history accounts"]);
    server
        .get("/elsewhere")
        .expect(404)
        .says(&["All pipelines"]);
    for path in [
        "/pipelines/..%2f..",
        "/pipelines/..",
        "/pipelines/%ff",
        "/pipelines/accounts/runs/..%2f..%2f..%2fsecret.txt",
        "/pipelines/accounts/runs/..%2f..%2f..%2fsecret.txt/log",
        "/pipelines/accounts/runs/%2e%2e/log",
        "/pipelines/accounts/runs/nothing",
        "/pipelines/accounts/states/-1",
        "/pipelines/accounts/states/1..",
        "/pipelines/accounts/states/..",
        "/pipelines/accounts/states/1..99",
        "/pipelines/accounts/states/99999999999999999999999",
        "/login",
    ] {
        let answer = server.get(path).expect(404);
        assert!(!answer.body.contains("SECRET"), "{path}");
    }
}

#[test]
fn it_only_reads() {
    let (project, _) = failing();
    let server = project.serve();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for path in ["/", "/pipelines/accounts", "/login", "/nothing"] {
            let answer = server.ask(method, path, &[], "").expect(405);
            assert_eq!(answer.header("allow"), "GET, HEAD");
        }
    }
    let (head, get) = (
        server.ask("HEAD", "/healthz", &[], ""),
        server.get("/healthz"),
    );
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    assert_eq!(server.ask("HEAD", "/", &[], "").expect(200).body, "");
    assert_eq!(server.ask("HEAD", "/nothing", &[], "").expect(404).body, "");
}

#[test]
fn a_running_pipeline_is_shown_live_and_as_a_fragment() {
    let project = Project::new(&["accounts"]);
    let run = project.running("accounts", 98_765);
    let server = project.serve();
    for path in [
        "/",
        "/pipelines/accounts",
        &format!("/pipelines/accounts/runs/{run}"),
    ] {
        let whole = server.get(path).expect(200);
        let whole = whole.says(&["unning", "98,765", "data-refresh=\"3\"", "<html"]);
        assert!(!whole.body.contains("runner has gone"));
        let fragment = server
            .ask("GET", path, &[("X-Fragment", "1")], "")
            .expect(200);
        assert!(
            fragment.body.starts_with("<div id=\"live\""),
            "{}",
            fragment.body
        );
        fragment.says(&["98,765"]);
    }
    let page = server.get(&format!("/pipelines/accounts/runs/{run}"));
    page.says(&["tap | INFO page 1"]);
    fs::remove_dir_all(project.store().join("pipelines/accounts/lock")).unwrap();
    server
        .get("/pipelines/accounts")
        .expect(200)
        .says(&["its runner has gone", "antiphon run accounts"]);
}

#[test]
fn open_rejects_are_told_by_reason_and_never_by_content() {
    let project = Project::new(&["accounts"]);
    let run = project.run("accounts", 2, "rejects", json!({"rejects": 3}));
    let line = |id: u32, reason: &str| {
        let record = json!({"mail": "CONTENT@example"});
        json!({"stream": "public.account", "key": {"id": id}, "record": record, "reason": reason,
               "code": "E1", "line": id, "attempts": 1, "at": "2026-01-02T10:00:00Z", "run_id": "r"})
        .to_string()
    };
    let reasons = [
        "no \"CONTENT@example\"",
        "no \"other\"",
        "field `plan` is missing",
    ];
    let lines: Vec<String> = (0..)
        .zip(reasons)
        .map(|(id, reason)| line(id, reason))
        .collect();
    let key = format!("pipelines/accounts/runs/{run}/rejects.jsonl");
    project.put(&key, lines.join("\n"));
    let server = project.serve();
    let page = server.get("/pipelines/accounts").expect(200);
    let page = page.says(&[
        "Open rejects",
        "no “…”",
        "field `plan` is missing",
        "rejects accounts replay",
    ]);
    assert!(!page.body.contains("CONTENT"));
    server
        .get("/metrics")
        .says(&["antiphon_pipeline_rejects_open{pipeline=\"accounts\"} 3\n"]);
    project.put(&key, &lines[0]);
    poll::until("the count follows the file", || {
        server
            .get("/metrics")
            .body
            .contains("antiphon_pipeline_rejects_open{pipeline=\"accounts\"} 1\n")
    });
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let (project, _) = failing();
    project.running("never", 5);
    let server = project.serve();
    let answer = server.get("/metrics").expect(200);
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let (mut known, mut series) = (BTreeSet::new(), BTreeSet::new());
    for line in answer.body.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            assert_eq!(kind, "gauge");
            assert!(known.insert(name.to_owned()), "{name} is declared twice");
            assert!(answer.body.contains(&format!("# HELP {name} ")));
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (labelled, value) = line.rsplit_once(' ').unwrap();
        value.parse::<f64>().unwrap();
        let name = labelled.split('{').next().unwrap();
        assert!(known.contains(name), "{name} has no TYPE before it");
        assert!(
            series.insert(labelled.to_owned()),
            "{labelled} is there twice"
        );
    }
    for line in [
        "antiphon_pipeline_last_run_outcome{pipeline=\"accounts\",outcome=\"failed\"} 1",
        "antiphon_pipeline_last_run_outcome{pipeline=\"accounts\",outcome=\"succeeded\"} 0",
        "antiphon_pipeline_last_run_duration_seconds{pipeline=\"accounts\"} 61.5",
        // 2026-01-03T10:01:01.5Z and a day before.
        "antiphon_pipeline_last_run_timestamp_seconds{pipeline=\"accounts\"} 1767434461.5",
        "antiphon_pipeline_last_success_timestamp_seconds{pipeline=\"accounts\"} 1767348061.5",
        "antiphon_pipeline_running{pipeline=\"accounts\"} 0",
        "antiphon_pipeline_running{pipeline=\"never\"} 1",
        "antiphon_pipeline_state_version{pipeline=\"accounts\"} 2",
        "antiphon_pipeline_recent_runs{pipeline=\"accounts\",outcome=\"failed\"} 1",
        "antiphon_pipelines 2",
    ] {
        assert!(
            answer.body.lines().any(|found| found == line),
            "{line}\nin\n{}",
            answer.body
        );
    }
}

#[test]
fn scripts_get_json() {
    let (project, failed) = failing();
    let server = project.serve();
    let answer = server.get("/api/pipelines").expect(200);
    assert_eq!(answer.header("content-type"), "application/json");
    let value: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(value["pipelines"][0]["name"], "accounts");
    assert_eq!(value["pipelines"][0]["runs"][1]["outcome"], "failed");
    let value: Value = serde_json::from_str(&server.get("/api/pipelines/accounts").body).unwrap();
    assert_eq!(value["summaries"][0]["run"], failed.as_str());
    server
        .get("/api/pipelines/nothing")
        .expect(404)
        .says(&["\"error\""]);
}

#[test]
fn a_store_out_of_reach_is_told_with_the_last_good_read_and_comes_back() {
    let (project, failed) = failing();
    let server = project.serve();
    server.get("/").expect(200);
    server.get("/healthz").expect(200).says(&["ok"]);
    let aside = project.folder.file("aside");
    fs::rename(project.store(), &aside).unwrap();
    poll::until("the page notices", || server.get("/").status == 503);
    let page = server.get("/").expect(503);
    page.says(&[
        "The store cannot be read",
        "The last good read was",
        ">accounts</a>",
        "role=\"alert\"",
    ]);
    let run = format!("/pipelines/accounts/runs/{failed}");
    for path in [
        "/pipelines/accounts",
        &run,
        "/pipelines/accounts/states/1..2",
    ] {
        server
            .get(path)
            .expect(503)
            .says(&["The store cannot be read", "The last good read was"]);
    }
    server
        .get("/healthz")
        .expect(503)
        .says(&["the store cannot be read"]);
    server.get("/metrics").expect(503);
    server
        .get("/api/pipelines")
        .expect(503)
        .says(&["\"error\""]);
    fs::rename(&aside, project.store()).unwrap();
    server.get("/").expect(200).says(&["failed"]);
    server.get("/healthz").expect(200);
}

#[test]
fn one_broken_file_does_not_hide_the_other_pipelines() {
    let (project, _) = failing();
    project.put("pipelines/never/live.json", "{");
    let server = project.serve();
    server
        .get("/")
        .expect(200)
        .says(&["it broke", "pipelines/never/live.json"]);
    server
        .get("/metrics")
        .says(&["antiphon_pipeline_readable{pipeline=\"never\"} 0\n"]);
}

#[test]
fn hundreds_of_pipelines_and_a_thousand_runs_are_paged() {
    let names: Vec<String> = (0..300)
        .map(|number| format!("tenant-{number:03}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let project = Project::new(&names);
    let last = project.run("tenant-299", 28, "failed", json!({}));
    let mut newest = Vec::new();
    for number in 0..1_000 {
        let run = format!("20250101T{number:06}.000Z-1a");
        let summary = Project::summary("tenant-000", 1, "succeeded", &json!({"run": run}));
        project.put(
            &format!("pipelines/tenant-000/runs/{run}/summary.json"),
            summary.to_string(),
        );
        newest.push(summary);
    }
    let index = json!({"runs": newest[900..], "last_good": newest[999]});
    project.put("pipelines/tenant-000/index.json", index.to_string());
    let server = project.serve();
    let page = server
        .get("/")
        .expect(200)
        .says(&["Page 1 of 10, 300 pipelines", &last]);
    assert!(page.body.len() < 100_000, "{}", page.body.len());
    server.get("/?page=2").expect(200).says(&["Page 2 of 10"]);
    server
        .get("/?q=tenant-29&show=failing")
        .expect(200)
        .says(&["tenant-299"]);
    server.get("/?page=minus&q=%ff").expect(200);
    let page = server.get("/pipelines/tenant-000?page=3").expect(200);
    let page = page.says(&["Page 3 of 40, 1,000 runs"]);
    assert!(page.body.len() < 100_000, "{}", page.body.len());
}

#[test]
fn a_signal_ends_it_quietly() {
    let project = Project::new(&["accounts"]);
    for signal in [Signal::Terminate, Signal::Interrupt] {
        let server = project.serve();
        server.get("/healthz").expect(200);
        // A browser keeps its connection open.
        let _open = std::net::TcpStream::connect(&server.address).unwrap();
        server.program.signal(signal);
        let ended = server.program.finish();
        ended.expect_code(0);
        assert!(!ended.stderr.contains("CRITICAL") && ended.stdout.is_empty());
    }
}
