//! What a run does when nothing is wrong: states, arguments, several pipelines, dry runs.

use serde_json::json;

use crate::project::{Project, TAP, TARGET};

#[test]
fn each_state_becomes_a_version_and_the_newest_goes_to_the_tap_byte_for_byte() {
    let project = Project::of(
        r#"
while [ $# -gt 0 ]; do case "$1" in --state) cp "$2" given.json; shift ;; esac; shift; done
echo '{"type":"STATE","value":{"bookmarks": {"a": 1.0}}}'
echo '{"type":"STATE","value":{"bookmarks": {"a":12345678901234567890.10}}}'
"#,
        TARGET,
        "",
    );
    project.run().expect_code(0);
    assert!(!project.folder.file("given.json").exists());
    let numbers: Vec<u64> = project.states().iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2]);
    let summary = project.summary();
    assert_eq!(summary["outcome"], "succeeded");
    assert_eq!(summary["state_before"], json!(null));
    assert_eq!(summary["state_after"], 2);

    project.run().expect_code(0);
    assert_eq!(
        project.folder.read("given.json"),
        "{\"bookmarks\": {\"a\":12345678901234567890.10}}\n"
    );
    // Nothing is left on this machine: what is kept is in the store.
    assert_eq!(project.files(".antiphon/work/p"), [""; 0]);
}

#[test]
fn a_full_refresh_starts_without_a_state_and_keeps_the_old_versions() {
    let project = Project::new("");
    project.run_to("9").expect_code(0);
    let refresh = project.antiphon(&["run", "p", "--full-refresh"]);
    // A bookmark before that of the last version is what a refresh is for.
    refresh.env("VALUE", "3").finish().expect_code(0);
    assert_eq!(project.bookmarks(), ["9", "3"]);
    assert_eq!(project.folder.read("tap.args"), "\n\n");
    assert_eq!(project.summary()["kind"], "full_refresh");
}

#[test]
fn inline_configs_are_private_files_and_the_environment_reaches_the_stages() {
    let project = Project::of(
        r#"
[ "$1" = --config ] && stat -c %a "$2" > mode && cp "$2" config.json
echo "$TOKEN $ANTIPHON_PIPELINE $ANTIPHON_RUN" > variables
"#,
        TARGET,
        r#"tap = { exec = "./tap.sh", config = { password = "hunter2" }, args = ["--last"] }
environment = { TOKEN = "t0ken" }"#,
    );
    let ended = project.run();
    ended.expect_code(0);
    assert_eq!(project.folder.read("mode").trim(), "600");
    assert_eq!(
        project.folder.read("config.json"),
        r#"{"password":"hunter2"}"#
    );
    let run = project.summary()["run"].as_str().unwrap().to_owned();
    assert_eq!(
        project.folder.read("variables").trim(),
        format!("t0ken p {run}")
    );
    assert!(!ended.stderr.contains("hunter2"));
}

#[test]
fn selected_streams_are_marked_in_a_copy_of_the_catalog() {
    let project = Project::of(
        r#"[ "$1" = --catalog ] && cp "$2" used.json"#,
        TARGET,
        r#"tap = { exec = "./tap.sh", catalog = "catalog.json" }"#,
    );
    let catalog = json!({"streams": [{"tap_stream_id": "a"}, {"tap_stream_id": "b"}]});
    project.folder.write_json("catalog.json", &catalog);
    let before = project.folder.read("catalog.json");
    let run = project.antiphon(&["run", "p", "--select", "a*"]).finish();
    run.expect_code(0);
    assert_eq!(project.folder.read("catalog.json"), before);
    let used = project.folder.read("used.json");
    assert!(used.contains(r#""selected":true"#) && used.contains(r#""selected":false"#));
    let run = project.antiphon(&["run", "p", "--select", "z*"]).finish();
    run.expect_code(2)
        .expect_log("no stream of the catalog matches `z*`");
}

#[test]
fn a_temporary_failure_is_tried_again_from_the_newest_state() {
    let project = Project::of(
        r#"
echo "$*" >> tap.args
echo '{"type":"STATE","value":{"bookmarks":{"a":1}}}'
[ -e failed ] || { touch failed; sleep 0.2; echo "CRITICAL tap: throttled" >&2; exit 75; }
"#,
        TARGET,
        "retries = 2\nretry_wait = \"1ms\"",
    );
    project.run().expect_code(0);
    let args = project.folder.read("tap.args");
    let lines: Vec<&str> = args.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].is_empty() && lines[1].starts_with("--state "),
        "{args}"
    );
    let summaries = project.summaries();
    assert_eq!(summaries.len(), 1);
    assert_eq!(summaries[0]["attempts"], 2);
}

#[test]
fn a_failure_that_stays_temporary_ends_with_75() {
    let project = Project::of(
        "exit 9",
        TARGET,
        "retries = 1\nretry_wait = \"1ms\"\nretry_on = [9]",
    );
    project.run().expect_code(75).expect_log("attempt 2 of 2");
    let summary = project.summary();
    assert_eq!(summary["attempts"], 2);
    assert_eq!(summary["fault"]["stage"], "tap");
    assert_eq!(summary["fault"]["ended"], "exit code 9");
}

#[test]
fn records_between_foreign_stages_are_counted_by_a_stage_of_our_own() {
    let project = Project::new("count = \"auto\"");
    project.run().expect_code(0);
    let summary = project.summary();
    assert_eq!(summary["streams"]["a"]["records"], 1);
    assert_eq!(summary["stages"][1]["label"], "tally");
    assert_eq!(project.bookmarks(), ["7"]);
    // It is no fault of the counting stage that its reader leaves.
    project.script("target.sh", "read -r line; echo 'ERROR full' >&2; exit 1");
    project.script("tap.sh", &format!("{TAP}\nyes '{{}}'"));
    project.run().expect_code(1);
    assert_eq!(project.summary()["fault"]["stage"], "target");
}

#[test]
fn several_pipelines_run_side_by_side_and_one_that_fails_leaves_the_others() {
    let project = Project::new("");
    let toml = project.folder.read("antiphon.toml");
    let more = "\n[pipelines.q]\ntap = \"./absent.sh\"\ntarget = \"./target.sh\"\n\
                [pipelines.r]\ntap = \"./loud.sh\"\ntarget = \"./target.sh\"\ncount = \"metrics\"\n";
    project.folder.write("antiphon.toml", toml + more);
    project.script("loud.sh", "echo hello >&2");
    let ended = project.antiphon(&["run", "--all"]).finish();
    ended
        .expect_code(2)
        .expect_log("CRITICAL antiphon: `q` failed: `tap` (not started)")
        .expect_log("r/tap");
    assert_eq!(project.bookmarks(), ["7"]);
    assert_eq!(project.files(".antiphon/pipelines/q/runs").len(), 1);
}

#[test]
fn an_unknown_pipeline_is_wrong_usage() {
    let project = Project::new("");
    project.antiphon(&["run", "pp"]).finish().expect_code(2);
    project.antiphon(&["run"]).finish().expect_code(2);
}

#[test]
fn a_dry_run_shows_the_plan_and_keeps_nothing() {
    let target = r#"
case "$*" in --help) echo "  --dry-run  only show" ;; *--dry-run*) cat > /dev/null; echo "would write 1 record" ;; *) exit 1 ;; esac
"#;
    let project = Project::of(TAP, target, "");
    let ended = project.antiphon(&["run", "p", "--dry-run"]).finish();
    ended.expect_code(0);
    assert_eq!(ended.text(), "would write 1 record\n");
    assert_eq!(project.files(".antiphon/pipelines"), [""; 0]);
    assert_eq!(project.files(".antiphon/work/.dry-run"), [""; 0]);
}

#[test]
fn a_dry_run_refuses_a_target_that_would_write() {
    let project = Project::of(TAP, "touch written", "");
    project.script("target.sh", "[ \"$1\" = --help ] || touch written");
    let ended = project.antiphon(&["run", "p", "--dry-run"]).finish();
    ended.expect_code(2).expect_log("has no `--dry-run`");
    assert!(!project.folder.file("written").exists());
}

#[test]
fn what_a_foreign_target_refuses_is_collected() {
    let project = Project::of(
        TAP,
        r#"cat > /dev/null; echo '{"record":2}' >> refused.jsonl"#,
        r#"target = { exec = "./target.sh", rejects_path = "refused.jsonl" }"#,
    );
    project.folder.write("refused.jsonl", "{\"record\":1}\n");
    project.run().expect_code(3);
    let summary = project.summary();
    assert_eq!(summary["outcome"], "rejects");
    assert_eq!(summary["rejects"], 1);
}
