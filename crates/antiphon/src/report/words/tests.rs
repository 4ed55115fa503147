//! Last words as our programs, singer-python and the SDK say them.

use super::*;

fn said(lines: &[&str]) -> LastWords {
    let mut words = Words::default();
    for line in lines {
        words.hear(line);
    }
    words.last()
}

fn message(lines: &[&str]) -> String {
    said(lines).message
}

#[test]
fn our_last_lines_are_taken_apart() {
    let words = said(&[
        "ERROR the stream failed stream=a",
        "CRITICAL tap-redshift: cannot sync the stream `a`",
        "  cause: the connection was closed",
        "  cause: os error 104",
        "  hint: run again later",
    ]);
    assert_eq!(
        words,
        LastWords {
            message: "cannot sync the stream `a`".to_owned(),
            causes: vec![
                "the connection was closed".to_owned(),
                "os error 104".to_owned()
            ],
            hints: vec!["run again later".to_owned()],
            is_broken_pipe: false,
        }
    );
}

#[test]
fn our_json_says_the_same() {
    let words = said(&[
        r#"{"ts":"…","level":"info","app_name":"tap-x","message":"started"}"#,
        r#"{"level":"critical","app_name":"tap-x","message":"no access","causes":["403"],"hints":["ask"]}"#,
    ]);
    assert_eq!(words.message, "no access");
    assert_eq!(
        (words.causes, words.hints),
        (vec!["403".to_owned()], vec!["ask".to_owned()])
    );
}

#[test]
fn errors_of_other_makers_are_found() {
    for line in [
        "CRITICAL no access",
        "CRITICAL tap_x: no access",
        "FATAL: no access",
        "ERROR no access",
        "ERROR:root:no access",
        "[ERROR] no access",
        "2026-01-02T03:04:05.678Z ERROR no access",
        "[2026-01-02 03:04:05,678] ERROR no access",
        "2026-01-02 03:04:05,678 | ERROR    | tap-x                | no access",
        "2026-01-02 03:04:05,678 - root - CRITICAL - no access",
        "time=2026-01-02 03:04:05 name=tap_x level=CRITICAL message=no access",
        r#"{"levelname": "ERROR", "message": "no access"}"#,
        r#"{"level": "error", "event": "no access", "logger": "tap-x"}"#,
    ] {
        let lines = ["INFO begins", line, "INFO goodbye"];
        assert_eq!(message(&lines), "no access", "{line}");
    }
}

#[test]
fn what_is_critical_counts_more_than_an_error_and_the_last_counts() {
    assert_eq!(message(&["CRITICAL one", "ERROR two"]), "one");
    assert_eq!(message(&["ERROR one", "ERROR two", "INFO three"]), "two");
    assert_eq!(message(&["CRITICAL one", "CRITICAL two"]), "two");
}

#[test]
fn causes_belong_to_the_error_right_before_them_alone() {
    let words = said(&["CRITICAL one", "INFO bye", "  cause: of nothing"]);
    assert_eq!((words.message.as_str(), words.causes.len()), ("one", 0));
    let words = said(&["CRITICAL one", "  cause: a", "ERROR two", "  cause: b"]);
    assert_eq!(words.causes, ["a"]);
}

#[test]
fn the_last_line_of_a_traceback_is_what_python_means() {
    let traceback = [
        "INFO begins",
        "Traceback (most recent call last):",
        "  File \"tap.py\", line 1, in <module>",
        "    main()",
        "requests.exceptions.HTTPError: 401 Client Error: Unauthorized",
    ];
    assert_eq!(
        message(&traceback),
        "requests.exceptions.HTTPError: 401 Client Error: Unauthorized"
    );
    let chained = [
        "Traceback (most recent call last):",
        "  File \"tap.py\", line 1, in <module>",
        "KeyError: 'id'",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        "  File \"tap.py\", line 9, in <module>",
        "ValueError: no id",
    ];
    assert_eq!(message(&chained), "ValueError: no id");
    let explained = said(&[
        "CRITICAL cannot sync",
        "Traceback (most recent call last):",
        "  File \"tap.py\", line 1, in <module>",
        "ValueError: no id",
    ]);
    assert_eq!(explained.message, "cannot sync");
    assert_eq!(explained.causes, ["ValueError: no id"]);
}

#[test]
fn a_traceback_that_only_repeats_the_error_is_no_cause_of_it() {
    let words = said(&[
        "CRITICAL [Errno 2] No such file or directory: 'x'",
        "Traceback (most recent call last):",
        "  File \"tap.py\", line 1, in <module>",
        "FileNotFoundError: [Errno 2] No such file or directory: 'x'",
    ]);
    assert!(words.causes.is_empty());
}

#[test]
fn without_any_error_the_last_line_that_says_something_counts() {
    assert_eq!(
        message(&["INFO a", "Segmentation fault", "", "  "]),
        "Segmentation fault"
    );
    assert_eq!(message(&["INFO tap-x: done"]), "done");
    assert_eq!(message(&[]), "");
}

#[test]
fn a_pipe_that_broke_is_a_symptom_unless_something_else_was_critical() {
    let broken = |lines: &[&str]| said(lines).is_broken_pipe;
    assert!(broken(&["WARN stopped: the reader of stdout has gone"]));
    assert!(broken(&[
        "Exception ignored in: <_io.TextIOWrapper name='<stdout>'>",
        "BrokenPipeError: [Errno 32] Broken pipe",
    ]));
    assert!(broken(&[
        "CRITICAL [Errno 32] Broken pipe",
        "Traceback (most recent call last):",
        "  File \"tap.py\", line 1, in <module>",
        "BrokenPipeError: [Errno 32] Broken pipe",
    ]));
    assert!(broken(&["Error: write EPIPE"]));
    assert!(!broken(&[
        "CRITICAL the token is no longer good",
        "Exception ignored in: <_io.TextIOWrapper name='<stdout>'>",
        "BrokenPipeError: [Errno 32] Broken pipe",
    ]));
}
