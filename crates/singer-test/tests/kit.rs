//! The kit itself: what tests believe about processes, pipes and servers, tried with plain shells.

use sandbox::pendo::Kind;
use singer_test::bin::{Run, Signal};
use singer_test::database::Database;
use singer_test::pendo::Pendo;
use singer_test::pipe::{self, Cut};
use singer_test::poll;

fn shell(script: &str) -> Run {
    Run::program("/bin/sh").args(["-c", script])
}

#[test]
fn a_run_is_read_to_its_end() {
    let ended = shell("cat; echo done >&2; exit 3").stdin("a\nb\n").finish();
    ended.expect_code(3).expect_log("done");
    assert_eq!(ended.text(), "a\nb\n");
}

#[test]
fn nothing_but_path_and_home_is_inherited() {
    let ended = shell("env").env("GIVEN", "1").finish();
    let text = ended.text();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    assert!(names.contains(&"GIVEN"));
    assert!(
        !names.iter().any(|name| name.starts_with("CARGO")),
        "{names:?}"
    );
}

#[test]
fn a_signal_reaches_the_program() {
    let running =
        shell("trap 'echo stopped; exit 9' TERM; echo ready; while :; do sleep 0.01; done").start();
    running.wait_for_lines(1);
    running.signal(Signal::Terminate);
    let ended = running.finish();
    ended.expect_code(9);
    assert_eq!(ended.text(), "ready\nstopped\n");
}

#[test]
fn a_killed_program_ends_by_the_signal() {
    let mut running = shell("echo ready; cat").held_stdin().start();
    running.wait_for_lines(1);
    assert!(running.feed("a\n"));
    running.wait_for_lines(2);
    assert!(!running.has_ended());
    assert_eq!(running.kill().signal(), Some(9));
}

#[test]
fn a_cut_pipe_passes_what_it_says_and_kills_the_first_half() {
    let lines = "i=0; while :; do echo line $i; i=$((i+1)); done";
    let ended = pipe::run(shell(lines), shell("cat"), Cut::AfterLines(3));
    assert_eq!(ended.target.text(), "line 0\nline 1\nline 2\n");
    assert_eq!(ended.tap.signal(), Some(9));
    let ended = pipe::run(shell(lines), shell("cat"), Cut::AfterBytes(9));
    assert_eq!(ended.target.text(), "line 0\nli");
    let ended = pipe::run(shell("echo a; echo b"), shell("cat"), Cut::Never);
    assert_eq!(ended.expect_success().target.text(), "a\nb\n");
    assert_eq!(ended.tap.text(), "a\nb\n");
}

#[test]
fn a_second_half_that_dies_ends_the_first() {
    let ended = pipe::run(
        shell("while :; do echo x; done"),
        shell("exit 4"),
        Cut::Never,
    );
    ended.target.expect_code(4);
    assert_ne!(ended.tap.code(), Some(0));
}

#[test]
fn each_database_is_empty_and_its_own() {
    let first = Database::new();
    first.execute("CREATE TABLE t (x text); INSERT INTO t VALUES ('one')");
    assert_eq!(first.value("SELECT x FROM t"), "one");
    if !first.takes_one_connection() {
        assert!(
            Database::new()
                .column("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
                .is_empty()
        );
        first.hold_lock("t", || assert!(!first.waits_for_lock("t")));
    }
}

#[test]
fn a_pendo_knows_what_it_was_told() {
    let pendo = Pendo::start();
    pendo.set_fields(Kind::Account, &[("name", "string")]);
    pendo.know(Kind::Account, ["a", "b"]);
    assert_eq!(pendo.dump(Kind::Account).len(), 2);
    assert!(pendo.custom(Kind::Account).is_empty());
    assert_eq!(pendo.applied(Kind::Account), 0);
    pendo.assert_no_overlaps();
    pendo.stop();
}

#[test]
fn a_condition_that_never_holds_is_noticed() {
    let patience = std::time::Duration::from_millis(20);
    assert!(!poll::holds_within(patience, || false));
    assert!(poll::holds_within(patience, || true));
}
