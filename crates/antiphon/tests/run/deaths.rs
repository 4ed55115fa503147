//! The runner is killed without a word, at every stage of a run. The stages end, no state is lost or
//! moved back, the next run takes over without a person, and what died is in the history.

use singer_test::bin::Signal;
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
