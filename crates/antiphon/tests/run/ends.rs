//! How runs end that do not end by themselves: signals, timeouts, stages that hang or leave.

use singer_test::bin::{Signal, send_signal};
use singer_test::poll;

use crate::project::{Project, TAP, TARGET, lives};

/// Reads on after a signal and prints one more state, as a target does that drains.
const DRAINING: &str = r#"
trap 'echo "{\"bookmarks\":{\"a\":{\"replication_key\":\"id\",\"replication_key_value\":99}}}"; exit 143' HUP INT TERM
while read -r line; do
    case "$line" in *'"STATE"'*) echo "$line" | sed 's/.*"value"://; s/}$//'; touch ready ;; esac
done
"#;

/// Goes on forever after its state.
fn endless() -> String {
    format!("echo $$ > tap.pid\n{TAP}\nwhile :; do sleep 0.01; done")
}

#[test]
fn a_signal_goes_to_the_stages_and_what_they_confirm_is_stored() {
    for (signal, code) in [
        (Signal::Terminate, 143),
        (Signal::Interrupt, 130),
        (Signal::Hangup, 129),
    ] {
        let project = Project::of(&endless(), DRAINING, "");
        let running = project.antiphon(&["run", "p"]).start();
        project.wait_for("ready");
        running.signal(signal);
        running.finish().expect_code(code);
        assert_eq!(project.bookmarks(), ["7", "99"], "{signal:?}");
        assert_eq!(project.summary()["outcome"], "interrupted");
        assert!(!lives(project.process("tap.pid")));
    }
}

#[test]
fn the_second_signal_ends_the_runner_at_once_and_the_guard_the_stages() {
    let project = Project::of(
        "trap '' TERM; echo $$ > tap.pid; while :; do sleep 0.01; done",
        TARGET,
        "grace = \"300ms\"",
    );
    let running = project.antiphon(&["run", "p"]).start();
    let tap = project.process("tap.pid");
    running.signal(Signal::Terminate);
    running.wait_for_log("once more ends at once");
    running.signal(Signal::Terminate);
    running.finish().expect_code(143);
    poll::until("the tap has ended", || !lives(tap));
}

#[test]
fn a_timeout_ends_the_stages_even_if_they_do_not_hear() {
    let project = Project::of(
        &format!("trap '' TERM\n{}", endless()),
        TARGET,
        "timeout = \"4s\"\ngrace = \"200ms\"",
    );
    project
        .run()
        .expect_code(1)
        .expect_log("took longer than its `timeout`")
        .expect_log("killing the stages");
    let summary = project.summary();
    assert_eq!(summary["outcome"], "timed_out");
    assert_eq!(summary["stages"][0]["ended"], "killed by SIGKILL");
    assert_eq!(project.bookmarks(), ["7"]);
    assert!(!lives(project.process("tap.pid")));
}

#[test]
fn a_target_that_hangs_is_ended_by_the_timeout() {
    let project = Project::of(TAP, "cat > /dev/null; exec sleep 600", "timeout = \"1s\"");
    project.run().expect_code(1);
    let summary = project.summary();
    assert_eq!(summary["outcome"], "timed_out");
    assert_eq!(summary["stages"][1]["ended"], "killed by SIGTERM");
}

#[test]
fn the_first_stage_that_failed_is_to_blame() {
    let many = format!("{TAP}\nyes '{{}}'");
    for (tap, target, stage, ended, message) in [
        (
            "echo 'CRITICAL tap: no rights' >&2; exit 1",
            TARGET,
            "tap",
            "exit code 1",
            "no rights",
        ),
        // It has SIGPIPE of its own from `yes`, a symptom.
        (
            many.as_str(),
            "read -r line; echo 'ERROR bad key' >&2; exit 1",
            "target",
            "exit code 1",
            "bad key",
        ),
        (
            many.as_str(),
            "read -r line; exit 0",
            "target",
            "exit code 0",
            "it ended before its input did",
        ),
        (
            "echo hello; kill -9 $$",
            TARGET,
            "tap",
            "killed by SIGKILL (out of memory?)",
            "it ended without a word on stderr",
        ),
        (
            many.as_str(),
            "kill -9 $$",
            "target",
            "killed by SIGKILL (out of memory?)",
            "it ended without a word on stderr",
        ),
    ] {
        let project = Project::of(tap, target, "grace = \"500ms\"");
        project.run().expect_code(1);
        let fault = &project.summary()["fault"];
        assert_eq!(fault["stage"], stage, "{tap} | {target}: {fault}");
        assert_eq!(fault["ended"], ended, "{tap} | {target}");
        assert_eq!(fault["message"], message, "{tap} | {target}");
    }
}

#[test]
fn a_failed_tap_leaves_what_the_target_confirmed() {
    let project = Project::of(&format!("{TAP}\nexit 1"), TARGET, "");
    project.run().expect_code(1);
    assert_eq!(project.bookmarks(), ["7"]);
    assert_eq!(project.summary()["state_after"], 1);
}

#[test]
fn a_tap_that_does_not_notice_that_its_target_died_is_ended() {
    let project = Project::of(
        "echo $$ > tap.pid; exec sleep 600",
        "exit 1",
        "grace = \"300ms\"",
    );
    project
        .run()
        .expect_code(1)
        .expect_log("nobody reads what it writes");
    assert_eq!(project.summary()["fault"]["stage"], "target");
    assert!(!lives(project.process("tap.pid")));
}

#[test]
fn what_the_stages_leave_behind_does_not_hold_up_the_run() {
    let project = Project::of(
        TAP,
        &format!("sleep 600 & echo $! > left.pid\n{TARGET}"),
        "grace = \"300ms\"",
    );
    project.run().expect_code(0);
    assert_eq!(project.bookmarks(), ["7"]);
    let left = project.process("left.pid");
    poll::until("what was left has ended", || !lives(left));
}

#[test]
fn a_tap_that_closes_its_output_may_tidy_up() {
    let project = Project::of(
        &format!("{TAP}\nexec >&-; sleep 0.3; touch tidied"),
        TARGET,
        "",
    );
    project.run().expect_code(0);
    assert!(project.folder.file("tidied").exists());
}

#[test]
fn a_stage_that_is_stopped_hears_the_end() {
    let project = Project::of(&endless(), TARGET, "");
    let running = project.antiphon(&["run", "p"]).start();
    let tap = project.process("tap.pid");
    send_signal(tap, Signal::Stop);
    running.signal(Signal::Terminate);
    running.finish().expect_code(143);
    assert!(!lives(tap));
}
