//! The runner is killed without a word, at every stage of a run. The stages end, no state is lost or
//! moved back, the next run takes over without a person, and what died is in the history.

use std::fs;

use singer_test::bin::{Run, Signal};
use singer_test::poll;

use crate::project::{Project, TAP, TARGET, lives};

/// Stops at the place that the file `stop-at` names until the file `go` is there.
const PLACES: &str = r#"
place() { if [ "$(cat stop-at)" = "$1" ]; then echo $$ > place.pid; while [ ! -e go ]; do sleep 0.01; done; fi; }
"#;

fn staged() -> Project {
    let tap = format!(
        r#"{PLACES}
echo $$ > tap.pid
place tap-starts
# As any tap, it goes on from where it was.
case "$(cat "${{2:-/dev/null}}")" in *:9*) ;; *) echo '{{"type":"STATE","value":{{"bookmarks":{{"a":{{"replication_key":"id","replication_key_value":8}}}}}}}}' ;; esac
place tap-after-a-state
echo '{{"type":"STATE","value":{{"bookmarks":{{"a":{{"replication_key":"id","replication_key_value":9}}}}}}}}'
"#
    );
    let target = format!(
        r#"{PLACES}
echo $$ > target.pid
place target-starts
while read -r line; do
    place target-before-a-state
    echo "$line" | sed 's/.*"value"://; s/}}$//'
    place target-after-a-state
done
place target-at-the-end
"#
    );
    let project = Project::of(TAP, TARGET, "grace = \"400ms\"");
    project.folder.write("stop-at", "");
    project.run_to("7").expect_code(0);
    project.script("tap.sh", &tap);
    project.script("target.sh", &target);
    project
}

#[test]
fn a_runner_that_is_killed_loses_nothing_at_any_stage() {
    let mut table = vec![format!(
        "{:24} {:12} {:12} {}",
        "killed at", "before", "after", "next run"
    )];
    for place in [
        "tap-starts",
        "tap-after-a-state",
        "target-starts",
        "target-before-a-state",
        "target-after-a-state",
        "target-at-the-end",
    ] {
        let project = staged();
        let before = project.bookmarks();
        project.folder.write("stop-at", place);
        let running = project.antiphon(&["run", "p"]).start();
        let stopped = project.process("place.pid");
        if place.ends_with("after-a-state") {
            poll::until("the state is stored", || project.bookmarks().len() > 1);
        }
        let stages = [project.process("tap.pid"), project.process("target.pid")];
        running.signal(Signal::Kill);
        assert_eq!(running.finish().signal(), Some(9));
        for stage in stages.into_iter().chain([stopped]) {
            poll::until("the stages have ended", || !lives(stage));
        }
        let after = project.bookmarks();
        assert!(after.starts_with(&before), "{place}: {after:?}");

        project.folder.write("stop-at", "");
        project
            .run()
            .expect_code(0)
            .expect_log("taken over from a runner that died");
        let next = project.bookmarks();
        assert!(next.starts_with(&after), "{place}: {next:?}");
        assert_eq!(next.last().unwrap(), "9", "{place}");
        let outcomes: Vec<String> = project
            .summaries()
            .iter()
            .map(|summary| summary["outcome"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(outcomes, ["succeeded", "died", "succeeded"], "{place}");
        table.push(format!(
            "{place:24} {:12} {:12} {}",
            before.join(","),
            after.join(","),
            next.join(",")
        ));
    }
    println!("{}", table.join("\n"));
}

#[test]
fn whoever_takes_over_ends_the_stages_that_are_left() {
    let project = Project::of(
        "trap '' TERM HUP; echo $$ >> tap.pids; [ -e once ] && exit 0; touch once; while :; do sleep 0.01; done",
        TARGET,
        "grace = \"10s\"",
    );
    let running = project.antiphon(&["run", "p"]).start();
    let tap = project.process("tap.pids");
    running.signal(Signal::Kill);
    running.finish();
    // The guard waits ten seconds before it kills: the next run must not start beside the old tap.
    project.script(
        "tap.sh",
        &format!(
            "[ -e /proc/{tap} ] && ! grep -q '^State:.Z' /proc/{tap}/status && touch beside; exit 0"
        ),
    );
    project.configure("grace = \"100ms\"");
    project.run().expect_code(0);
    assert!(!project.folder.file("beside").exists());
    assert!(!lives(tap));
}

/// Takes over from a run that was killed, and says what it was.
#[track_caller]
fn assert_taken_over(project: &Project, before: &[String]) {
    let died = project.bookmarks();
    assert!(died.starts_with(before), "{died:?}");
    project
        .run_to("9")
        .expect_code(0)
        .expect_log("taken over from a runner that died");
    let states = project.bookmarks();
    assert!(states.starts_with(&died), "{states:?}");
    assert_eq!(states.last().unwrap(), "9");
    let outcomes: Vec<String> = project
        .summaries()
        .iter()
        .map(|summary| summary["outcome"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(outcomes, ["succeeded", "died", "succeeded"]);
    assert_eq!(project.files(".antiphon/work/p"), [""; 0]);
}

#[test]
fn a_runner_that_is_killed_between_its_lease_and_its_stages_loses_nothing() {
    let project = Project::new("");
    project.run_to("7").expect_code(0);
    let before = project.bookmarks();
    // The lease is taken, and no stage is started before the secret is there.
    let slow = "echo $$ > secret.pid; exec sleep 600";
    project.configure(&format!("environment.TOKEN = {{ command = '{slow}' }}"));
    fs::remove_file(project.folder.file("tap.args")).unwrap();
    let running = project.antiphon(&["run", "p"]).start();
    let secret = project.process("secret.pid");
    running.signal(Signal::Kill);
    // It has no guard yet, and holds the runner's stderr open.
    Run::program("kill")
        .args(["-9", &secret.to_string()])
        .finish();
    assert_eq!(running.finish().signal(), Some(9));
    assert!(!project.folder.file("tap.args").exists());
    project.configure("");
    assert_taken_over(&project, &before);
}

#[test]
fn a_runner_that_is_killed_between_its_stages_and_the_record_loses_nothing() {
    // The runner waits for the rejects that it is about to count: nobody writes into this pipe.
    let pipe = r#"folder=$(dirname "$ANTIPHON_REPORT"); mkfifo "$folder/rejects.jsonl"; echo "$folder" > folder; echo $$ > target.pid"#;
    let project = Project::new("");
    project.run_to("7").expect_code(0);
    let before = project.bookmarks();
    project.script("target.sh", &format!("{TARGET}\n{pipe}"));
    let running = project.antiphon(&["run", "p"]).env("VALUE", "8").start();
    let target = project.process("target.pid");
    poll::until("the stages have ended", || !lives(target));
    running.signal(Signal::Kill);
    assert_eq!(running.finish().signal(), Some(9));
    assert_eq!(project.bookmarks(), ["7", "8"]);
    assert_eq!(project.summaries().len(), 1);
    let folder = project.folder.read("folder");
    fs::remove_file(std::path::Path::new(folder.trim()).join("rejects.jsonl")).unwrap();
    project.script("target.sh", TARGET);
    assert_taken_over(&project, &before);
}

#[test]
fn a_runner_that_loses_its_lease_ends_its_stages_and_writes_nothing_more() {
    let tap = format!(
        "{TAP}\necho $$ > tap.pid\ntrap 'echo asked > asked; exit 143' TERM\nwhile [ ! -e go ]; do sleep 0.01; done\n{TAP}"
    );
    for keys in ["", "retries = 3\nretry_wait = \"600s\""] {
        let project = Project::of(&tap, TARGET, keys);
        let toml = project.folder.read("antiphon.toml");
        let store = "[store]\nlease = \"3s\"\n";
        project
            .folder
            .write("antiphon.toml", format!("{store}{toml}"));
        if !keys.is_empty() {
            // It waits between two attempts while it loses its lease.
            project.script("tap.sh", &format!("{TAP}\necho $$ > tap.pid\nexit 75"));
        }
        let running = project.antiphon(&["run", "p"]).start();
        let tap = project.process("tap.pid");
        poll::until("the first state is stored", || {
            project.bookmarks().len() == 1
        });
        if !keys.is_empty() {
            poll::until("the tap has ended", || !lives(tap));
        }
        // Another runner elsewhere has the next number.
        let locks = ".antiphon/pipelines/p/lock";
        let newest = project.files(locks).into_iter().max().unwrap();
        let own = project.folder.read(&format!("{locks}/{newest}"));
        let mut other: serde_json::Value = serde_json::from_str(&own).unwrap();
        let fence = other["fence"].as_u64().unwrap() + 1;
        other["fence"] = fence.into();
        other["holder"]["host"] = "elsewhere".into();
        other["holder"]["run"] = "another".into();
        other["holder"]["process"] = "boot/space/1".into();
        project
            .folder
            .write(&format!("{locks}/{fence:08}.json"), other.to_string());
        running.finish().expect_code(75);
        assert!(!lives(tap));
        assert_eq!(project.folder.file("asked").exists(), keys.is_empty());
        assert_eq!(project.bookmarks(), ["7"]);
        assert_eq!(project.summaries().len(), 0, "{keys}");
        assert!(
            !project
                .folder
                .file(".antiphon/pipelines/p/index.json")
                .exists()
        );
        let there = project.folder.read(&format!("{locks}/{fence:08}.json"));
        assert_eq!(there, other.to_string());
    }
}
