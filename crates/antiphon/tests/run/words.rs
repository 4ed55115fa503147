//! What stages say while they run: on stderr, in the log, in the summary; and what passes between them.

use crate::project::{Project, TAP, TARGET};

/// Says all kinds of things on stderr before it does what the usual tap does.
fn talkative() -> String {
    format!(
        r#"
printf ' 10%%\r 99%%\r\n' >&2
echo "INFO connecting with $PIN_TOKEN" >&2
echo "INFO GET https://me:hunter2@db.example/x?api_key=abc123" >&2
printf '\033[31mWARNING red\033[0m \377\n' >&2
echo 'INFO METRIC: {{"type":"counter","metric":"record_count","value":5,"tags":{{"endpoint":"a"}}}}' >&2
{TAP}
echo 'INFO METRIC: {{"type":"counter","metric":"record_count","value":2,"tags":{{"endpoint":"a"}}}}' >&2
printf 'no end' >&2
"#
    )
}

const SECRET: &str = "environment = { PIN_TOKEN = \"of the environment\" }";

fn log(project: &Project) -> Vec<String> {
    let run = project.summary()["run"].as_str().unwrap().to_owned();
    let text = project
        .folder
        .read(&format!(".antiphon/pipelines/p/runs/{run}/log.txt"));
    text.lines()
        .map(|line| line.split_once(' ').unwrap().1.to_owned())
        .collect()
}

#[test]
fn every_line_is_shown_and_kept_with_its_stage_and_without_secrets() {
    let project = Project::of(&talkative(), TARGET, SECRET);
    let finished = project.run();
    finished.expect_code(0);
    let wanted = [
        " 99%",
        "INFO connecting with ***",
        "INFO GET https://me:***@db.example/x?api_key=***",
        "WARNING red \u{fffd}",
        "no end",
    ];
    let log = log(&project);
    for line in wanted {
        finished.expect_log(&format!("tap     | {line}\n"));
        assert!(log.contains(&format!("tap     {line}")), "{log:#?}");
    }
    assert!(!finished.stderr.contains('\u{1b}'));
    // Counters are increments.
    assert_eq!(project.summary()["streams"]["a"]["records"], 7);
}

#[test]
fn between_foreign_stages_records_are_counted_as_they_pass() {
    let project = Project::of(TAP, TARGET, "count = \"auto\"");
    project.run().expect_code(0);
    let summary = project.summary();
    let stream = &summary["streams"]["a"];
    assert_eq!(stream["records"], 1);
    assert_eq!(stream["bytes"], 49);
    assert_eq!(stream["schema"].as_str().unwrap().len(), 16);
    assert_eq!(project.bookmarks(), ["7"]);
}

#[test]
fn a_quiet_run_shows_nothing_and_keeps_everything() {
    let project = Project::of(&talkative(), TARGET, SECRET);
    let finished = project.antiphon(&["run", "p", "--quiet"]).finish();
    finished.expect_code(0);
    assert_eq!(finished.stderr, "");
    assert!(log(&project).contains(&"tap     no end".to_owned()));
}

#[test]
fn the_last_words_of_a_failed_stage_are_the_fault_without_secrets() {
    let tap = r#"
echo "Traceback (most recent call last):" >&2
echo '  File "tap.py", line 1, in <module>' >&2
echo "ValueError: no access with '$PIN_TOKEN'" >&2
exit 1
"#;
    let project = Project::of(tap, TARGET, SECRET);
    project.run().expect_code(1);
    let fault = &project.summary()["fault"];
    assert_eq!(fault["stage"], "tap");
    assert_eq!(fault["message"], "ValueError: no access with '***'");
}
