//! Bad input and faults: each has a message and an exit code, and the newest good state stays the newest.

use std::fs;

use singer_test::bin::Run;
use singer_test::poll;

use crate::project::{Project, TAP, TARGET};

/// A project whose newest state is 7.
fn with_a_state(keys: &str) -> Project {
    let project = Project::new(keys);
    project.run().expect_code(0);
    assert_eq!(project.bookmarks(), ["7"]);
    project
}

#[test]
fn a_program_that_is_not_there_is_a_recorded_failure() {
    let project = with_a_state("");
    fs::remove_file(project.folder.file("target.sh")).unwrap();
    project
        .run()
        .expect_code(2)
        .expect_log("the program of stage `target` is not there")
        .expect_log("hint:");
    let summary = project.summary();
    assert_eq!(summary["outcome"], "failed");
    assert_eq!(summary["exit_code"], 2);
    assert_eq!(summary["fault"]["stage"], "target");
    assert_eq!(project.bookmarks(), ["7"]);
}

#[test]
fn a_program_without_its_interpreter_says_so() {
    let project = with_a_state("");
    project.folder.write("tap.sh", "#!/no/such/python\n");
    project
        .run()
        .expect_code(2)
        .expect_log("cannot start")
        .expect_log("interpreter");
    assert_eq!(project.summary()["fault"]["stage"], "tap");
    // The target was started first, and got no argument of a second run.
    assert_eq!(project.bookmarks(), ["7"]);
}

#[test]
fn a_catalog_that_does_not_parse_is_a_recorded_failure() {
    let project = with_a_state("");
    project.configure(r#"tap = { exec = "./tap.sh", catalog = "catalog.json" }"#);
    project.folder.write("catalog.json", "{\"streams\": [");
    project.run().expect_code(2).expect_log("catalog");
    assert_eq!(project.summary()["fault"]["stage"], "tap");
    assert_eq!(project.bookmarks(), ["7"]);
}

#[test]
fn a_state_that_does_not_parse_is_an_error_before_any_run() {
    let project = with_a_state("");
    let path = ".antiphon/pipelines/p/state/00000001.json";
    project.folder.write(path, "{\"version\": 1, ");
    let ended = project.run();
    assert!(matches!(ended.code(), Some(1 | 2)), "{}", ended.stderr);
    ended.expect_log("`p` was not run");
    assert_eq!(project.summaries().len(), 1);
    assert_eq!(project.folder.read(path), "{\"version\": 1, ");
}

#[test]
fn a_tap_that_writes_garbage_is_told_by_its_target() {
    let project = with_a_state("");
    project.script("tap.sh", "echo 'Connecting to the database...'");
    project.script(
        "target.sh",
        r#"while read -r line; do case "$line" in {*) ;; *) echo "CRITICAL target: not JSON" >&2; exit 1 ;; esac; done"#,
    );
    project
        .run()
        .expect_code(1)
        .expect_log("`p` failed: `target` (exit code 1): not JSON");
    assert_eq!(project.bookmarks(), ["7"]);
}

#[test]
fn a_target_that_prints_nothing_leaves_the_state_alone() {
    let project = with_a_state("");
    project.script("target.sh", "cat > /dev/null; echo '{}'; echo");
    project.run().expect_code(0);
    let summary = project.summary();
    assert_eq!(summary["state_after"], 1);
    assert_eq!(summary["warnings"], serde_json::json!([]));
}

#[test]
fn a_target_that_prints_garbage_is_warned_of_and_its_states_are_taken() {
    let project = with_a_state("");
    let body = format!("echo loaded; echo '[1]'; echo '{{\"a\":'\n{TARGET}");
    project.script("target.sh", &body);
    project
        .run_to("8")
        .expect_code(0)
        .expect_log("a line that is no state");
    assert_eq!(project.bookmarks(), ["7", "8"]);
    let warning = project.summary()["warnings"][0].to_string();
    assert!(warning.contains("3 were ignored"), "{warning}");
}

#[test]
fn a_state_that_goes_backwards_is_refused() {
    let project = with_a_state("");
    let ended = project.run_to("6");
    ended
        .expect_code(1)
        .expect_log("`id` of the stream `a` lies before that of version 1")
        .expect_log("state_backwards = \"accept\"");
    assert_eq!(project.bookmarks(), ["7"]);
    assert_eq!(project.summary()["fault"]["stage"], "target");

    project.configure("state_backwards = \"warn\"");
    project.run_to("6").expect_code(0).expect_log("backwards");
    assert_eq!(project.bookmarks(), ["7", "6"]);
    project.configure("state_backwards = \"accept\"");
    project.run_to("5").expect_code(0);
    assert_eq!(project.bookmarks(), ["7", "6", "5"]);
}

#[test]
fn a_lost_bookmark_is_a_warning() {
    let project = with_a_state("");
    project.script(
        "tap.sh",
        r#"echo '{"type":"STATE","value":{"bookmarks":{"b":{}}}}'"#,
    );
    project
        .run()
        .expect_code(0)
        .expect_log("the bookmark of the stream `a` is gone");
}

#[test]
fn a_store_that_fails_in_the_middle_loses_no_state() {
    let project = with_a_state("");
    let states = project.folder.file(".antiphon/pipelines/p/state");
    let away = project.folder.file("state.away");
    // From the first record on there is a file where the store has its folder of states.
    project.script(
        "target.sh",
        &format!(
            "mv .antiphon/pipelines/p/state state.away\ntouch .antiphon/pipelines/p/state\n{TARGET}"
        ),
    );
    let ended = project.run_to("8");
    assert!(matches!(ended.code(), Some(1 | 2 | 75)), "{}", ended.stderr);
    ended
        .expect_log("a state of the target could not be stored")
        .expect_log("the newest state is kept in");
    fs::remove_file(&states).unwrap();
    fs::rename(&away, &states).unwrap();
    assert_eq!(project.bookmarks(), ["7"]);
    assert_eq!(project.summary()["fault"]["stage"], "antiphon");

    project.script("target.sh", TARGET);
    project
        .run_to("9")
        .expect_code(0)
        .expect_log("is stored now, as version 3");
    // Whoever comes after a put without an answer repeats the newest version first.
    assert_eq!(project.bookmarks(), ["7", "7", "8", "9"]);
    assert_eq!(project.files(".antiphon/work/p"), [""; 0]);
}

#[test]
fn a_store_that_is_out_of_reach_is_an_error_before_any_run() {
    let project = Project::new("");
    let toml = project.folder.read("antiphon.toml");
    let store = "[store]\nurl = \"s3://bucket\"\nendpoint = \"http://127.0.0.1:9\"\nregion = \"us-east-1\"\n";
    project
        .folder
        .write("antiphon.toml", format!("{store}{toml}"));
    let ended = project
        .antiphon(&["run", "p"])
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "b")
        // Each request is tried again for half a minute.
        .patience(std::time::Duration::from_secs(180))
        .finish();
    ended.expect_code(75).expect_log("`p` was not run");
    assert!(!project.folder.file("tap.args").exists());
}

#[test]
fn a_store_that_cannot_be_written_is_an_error_before_any_run() {
    let project = Project::new("");
    let toml = project.folder.read("antiphon.toml");
    let toml = format!("[store]\nurl = \"/proc/antiphon\"\nwork = \"work\"\n{toml}");
    project.folder.write("antiphon.toml", toml);
    let ended = project.run();
    assert!(matches!(ended.code(), Some(1 | 2)), "{}", ended.stderr);
    ended.expect_log("/proc/antiphon");
    assert!(!project.folder.file("tap.args").exists());
}

#[test]
fn two_runs_at_once_are_one_run_and_one_line() {
    let project = Project::of(
        &format!("{TAP}\ntouch ready\nwhile [ ! -e go ]; do sleep 0.01; done"),
        TARGET,
        "",
    );
    let first = project.antiphon(&["run", "p"]).start();
    project.wait_for("ready");
    let second = project.run();
    second.expect_code(75).expect_log("already running");
    assert_eq!(second.stderr.lines().count(), 1, "{}", second.stderr);
    project.folder.write("go", "");
    first.finish().expect_code(0);
    assert_eq!(project.summaries().len(), 1);
}

/// A small disk that was mounted on a folder, until it is dropped.
struct Disk(std::path::PathBuf);

impl Disk {
    /// `None` where nothing can be mounted.
    fn mount(folder: &std::path::Path) -> Option<Self> {
        let mount = Run::program("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(folder);
        (mount.finish().code() == Some(0)).then(|| Self(folder.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Run::program("umount").arg("-l").arg(&self.0).finish();
    }
}

#[test]
fn a_full_disk_in_the_middle_of_a_run_loses_no_state() {
    let project = with_a_state("");
    let first = ".antiphon/pipelines/p/state/00000001.json";
    let version = project.folder.read(first);
    let Some(disk) = Disk::mount(&project.folder.file(".antiphon/pipelines/p/state")) else {
        println!("skipped: no disk can be mounted here");
        return;
    };
    project.folder.write(first, version);
    // The first state finds room, then the disk is full, and the second does not.
    project.script(
        "tap.sh",
        &format!("{TAP}\nwhile [ ! -e full ]; do sleep 0.01; done\nVALUE=9; {TAP}"),
    );
    let running = project.antiphon(&["run", "p"]).env("VALUE", "8").start();
    poll::until("the first state is stored", || {
        project.bookmarks() == ["7", "8"]
    });
    let filler = disk.0.join("filler");
    let written = fs::write(&filler, vec![b'x'; 128 << 10]);
    assert!(written.is_err(), "the disk is not full");
    project.folder.write("full", "");
    running
        .finish()
        .expect_code(1)
        .expect_log("is full")
        .expect_log("make room there")
        .expect_log("the newest state is kept in");
    assert_eq!(project.bookmarks(), ["7", "8"]);

    fs::remove_file(filler).unwrap();
    project.script("tap.sh", TAP);
    project
        .run_to("10")
        .expect_code(0)
        .expect_log("is stored now, as version 4");
    assert_eq!(project.bookmarks(), ["7", "8", "8", "9", "10"]);
}
