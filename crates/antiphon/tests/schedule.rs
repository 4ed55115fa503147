//! `antiphon schedule`: what it prints for cron and systemd, and the scheduler at work.

#![expect(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test fails the test"
)]

use std::fs;
use std::process::Command;

use singer_test::bin::{Run, Running, Signal};
use singer_test::folder::Folder;
use singer_test::poll;

/// A project with a tap and a target in sh; the tap notes each start.
fn project(schedules: &[(&str, &str)]) -> Folder {
    let folder = Folder::new();
    folder.write(
        "tap",
        "#!/bin/sh\necho started >> starts\necho '{\"type\":\"STATE\",\"value\":{\"bookmarks\":{\"a\":{}}}}'\n",
    );
    folder.write(
        "target",
        "#!/bin/sh\nsed -n 's/.*\"value\":\\(.*\\)}$/\\1/p'\n",
    );
    for name in ["tap", "target"] {
        let done = Command::new("chmod")
            .arg("+x")
            .arg(folder.file(name))
            .status();
        assert!(done.unwrap().success());
    }
    folder.write("antiphon.toml", toml(schedules));
    folder
}

fn toml(schedules: &[(&str, &str)]) -> String {
    let pipeline = |(name, schedule): &(&str, &str)| {
        let schedule = if schedule.is_empty() {
            String::new()
        } else {
            format!("schedule = \"{schedule}\"\n")
        };
        format!(
            "[pipelines.{name}]\ntap = {{ exec = \"./tap\" }}\ntarget = {{ exec = \"./target\" }}\n{schedule}\n"
        )
    };
    schedules.iter().map(pipeline).collect()
}

fn schedule(folder: &Folder, args: &[&str]) -> Run {
    Run::of("antiphon")
        .arg("schedule")
        .args(args)
        .folder(folder.path())
}

#[test]
fn cron_gets_a_line_for_each_pipeline_with_a_schedule() {
    let folder = project(&[("a", "*/5 * * * *"), ("b", "@daily"), ("c", "")]);
    let ended = schedule(&folder, &["--format", "cron", "--user", "etl"]).finish();
    ended.expect_code(0);
    let text = ended.text();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(" etl ")).collect();
    let file = fs::canonicalize(folder.file("antiphon.toml")).unwrap();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("*/5 * * * * etl /"), "{text}");
    assert!(
        lines[0].ends_with(&format!(" --file {} run a --quiet", file.display())),
        "{text}"
    );
    assert!(lines[1].starts_with("@daily etl /"), "{text}");
    for line in ["SHELL=/bin/sh", "CRON_TZ=UTC"] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    schedule(&folder, &["--format", "cron", "c"])
        .finish()
        .expect_code(2)
        .expect_log("the pipeline `c` has no `schedule`");
    schedule(&folder, &["--format", "cron", "bb"])
        .finish()
        .expect_code(2)
        .expect_log("there is no pipeline `bb`");
    schedule(&folder, &[])
        .finish()
        .expect_code(2)
        .expect_log("--format");
}

#[test]
fn systemd_gets_units_that_it_accepts() {
    let folder = project(&[("a", "0 0 13 * 5"), ("b-c", "*/20 * * * *")]);
    let units = folder.file("units");
    fs::create_dir(&units).unwrap();
    let output = units.to_string_lossy();
    let ended = schedule(&folder, &["--format", "systemd", "--output", &output]).finish();
    ended.expect_code(0);
    assert!(
        ended
            .text()
            .ends_with("enable --now antiphon-a.timer antiphon-b-c.timer\n")
    );
    let timer = fs::read_to_string(units.join("antiphon-a.timer")).unwrap();
    assert!(
        timer.contains("OnCalendar=*-*-13 0:0:00 UTC\nOnCalendar=Fri *-*-* 0:0:00 UTC\n"),
        "{timer}"
    );
    let service = fs::read_to_string(units.join("antiphon-b-c.service")).unwrap();
    assert!(service.contains(" run b-c --quiet\n") && service.contains("SuccessExitStatus=3\n"));
    let mut files: Vec<_> = fs::read_dir(&units)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 4);
    // With units of its own alone: those of the machine are nobody's business here.
    let verify = Command::new("systemd-analyze")
        .arg("verify")
        .args(&files)
        .output();
    match verify {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let about_ours: Vec<&str> = said
                .lines()
                .filter(|line| line.contains("antiphon-"))
                .collect();
            assert!(about_ours.is_empty(), "{said}");
        }
        Err(_) => println!("no systemd here: the units were not verified"),
    }
}

fn starts(folder: &Folder) -> usize {
    folder.read("starts").lines().count()
}

fn scheduler(folder: &Folder, args: &[&str]) -> Running {
    let args = [&["--run", "--jitter", "0"], args].concat();
    schedule(folder, &args).start()
}

#[test]
fn a_time_that_was_missed_is_run_once_and_sigterm_ends_the_scheduler() {
    // Once a year: nothing comes due by the clock while this test lasts, but for one night of the year.
    let folder = project(&[("a", "@yearly")]);
    let running = scheduler(&folder, &["--catch-up"]);
    running.wait_for_log("ended");
    assert_eq!(starts(&folder), 1);
    running.signal(Signal::Terminate);
    running.finish().expect_code(143).expect_log("starts");
    // The history says that it ran: a scheduler that starts anew has nothing to make up for.
    let running = scheduler(&folder, &["--catch-up", "--verbose"]);
    running.wait_for_log("what is due was started");
    running.signal(Signal::Terminate);
    running.finish().expect_code(143);
    assert_eq!(starts(&folder), 1);
}

#[test]
fn no_more_runs_work_at_once_than_there_are_jobs() {
    let folder = project(&[("a", "@yearly"), ("b", "@yearly"), ("c", "@yearly")]);
    // Each holds the place until it may go on; two at once would meet there.
    folder.write(
        "tap",
        "#!/bin/sh\nmkdir place || echo met >> starts\necho started >> starts\n\
         until [ -e go ]; do sleep 0.02; done\nrmdir place\n",
    );
    let running = scheduler(&folder, &["--catch-up", "--verbose", "--jobs", "1"]);
    running.wait_for_log("what is due was started");
    poll::until("one has started", || starts(&folder) > 0);
    folder.write("go", "");
    poll::until("all have started", || starts(&folder) >= 3);
    running.signal(Signal::Terminate);
    running.finish().expect_code(143);
    assert_eq!(folder.read("starts"), "started\n".repeat(3));
}

#[test]
fn a_changed_file_is_read_anew_and_a_broken_one_leaves_the_old() {
    let folder = project(&[("a", "@yearly")]);
    folder.write("next-1", toml(&[("a", "@yearly"), ("b", "@yearly")]));
    folder.write("next-2", "[pipelines.a\n");
    // The scheduler looks at the file when a run has ended, at the latest.
    folder.write(
        "tap",
        "#!/bin/sh\necho started >> starts\nn=$(wc -l < starts)\n\
         cp next-$n new && mv new antiphon.toml\n",
    );
    let running = scheduler(&folder, &["--catch-up"]);
    running.wait_for_log("was read anew");
    running.wait_for_log("has changed and cannot be used; the old one holds");
    assert_eq!(starts(&folder), 2);
    running.signal(Signal::Terminate);
    running.finish().expect_code(143);
}

#[test]
fn a_pipeline_that_runs_elsewhere_is_left_out() {
    let folder = project(&[("a", "@yearly")]);
    folder.write(
        "tap",
        "#!/bin/sh\necho started >> starts\nuntil [ -e go ]; do sleep 0.02; done\n",
    );
    let by_hand = Run::of("antiphon")
        .args(["run", "a"])
        .folder(folder.path())
        .start();
    poll::until("the tap has started", || starts(&folder) == 1);
    let running = scheduler(&folder, &["--catch-up"]);
    running.wait_for_log("left out: another run holds its lock");
    running.signal(Signal::Terminate);
    running.finish().expect_code(143);
    folder.write("go", "");
    by_hand.finish().expect_code(0);
    assert_eq!(starts(&folder), 1);
}

#[test]
fn a_run_at_work_is_drained_when_the_scheduler_is_stopped() {
    let folder = project(&[("a", "@yearly")]);
    folder.write(
        "tap",
        "#!/bin/sh\ntrap 'echo drained >> starts; exit 0' TERM\necho started >> starts\nwhile :; do sleep 0.05; done\n",
    );
    let mut running = scheduler(&folder, &["--catch-up"]);
    poll::until("the tap has started", || starts(&folder) == 1);
    running.signal(Signal::Terminate);
    poll::until("the scheduler has ended", || running.has_ended());
    running.finish().expect_code(143);
    assert_eq!(folder.read("starts"), "started\ndrained\n");
}

#[test]
fn without_a_schedule_there_is_nothing_to_keep() {
    let folder = project(&[("a", "")]);
    schedule(&folder, &["--run"])
        .finish()
        .expect_code(2)
        .expect_log("no pipeline has a `schedule`");
}
