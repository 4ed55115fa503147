//! The whole way of a notice: from a recorded run over the status in the store to whoever is told.

use std::path::Path;

use singer_core::Error;
use singer_runtime::clock::Clock;
use singer_runtime::context::Context;
use singer_runtime::stop::Stop;
use singer_test::folder::Folder;

use super::*;
use crate::history::{Counts, Fault, Kind, Outcome};

/// A project in a folder, with these tables under `[notify]`.
pub(super) struct Project {
    pub(super) folder: Folder,
    pub(super) session: Session,
}

impl Project {
    pub(super) async fn new(notifiers: &str) -> Self {
        let folder = Folder::new();
        let names: Vec<String> = notifiers
            .lines()
            .filter_map(|line| line.strip_prefix("[notify."))
            .map(|line| format!("\"{}\"", line.split([']', '.']).next().unwrap()))
            .collect();
        let file = folder.write(
            "antiphon.toml",
            format!(
                "[pipelines.accounts]\ntap = {{ exec = \"true\" }}\ntarget = {{ exec = \"true\" }}\nnotify = [{}]\n{notifiers}",
                names.join(", ")
            ),
        );
        let context = Context::new("antiphon", Clock::system(), Stop::default());
        let session = Session::open(Some(&file), context).await.unwrap();
        Self { folder, session }
    }

    pub(super) fn notifier(&self) -> &Notifier {
        self.session.project.notifiers.values().next().unwrap()
    }

    pub(super) async fn test(&self) -> Result<()> {
        let notice = Notice::test(&self.notifier().name, &place(&self.session));
        deliver(&self.session, self.notifier(), &notice).await
    }

    /// Records a run and looks at it, as the runner does.
    async fn ran(&self, outcome: Outcome) -> Summary {
        let summary = self.record(outcome).await;
        self.look(&summary).await;
        summary
    }

    async fn record(&self, outcome: Outcome) -> Summary {
        let run = history::new_run(&self.session);
        let work = history::begin_work(&self.session, "accounts", &run, Kind::Sync).unwrap();
        std::fs::write(work.join("log.txt"), "one\ntwo\nthree\n").unwrap();
        let summary = summary(&run, outcome);
        history::record(&self.session, &summary, &work)
            .await
            .unwrap();
        summary
    }

    async fn look(&self, summary: &Summary) {
        let pipeline = self.session.project.pipeline("accounts").unwrap();
        after(&self.session, pipeline, summary).await;
    }

    /// The events that a command has written, one a line.
    fn heard(&self) -> String {
        self.folder.read("heard").replace('\n', " ")
    }
}

fn summary(run: &str, outcome: Outcome) -> Summary {
    let fault = Fault {
        stage: "target".to_owned(),
        ended: "exit code 1".to_owned(),
        message: "the key is not good".to_owned(),
        causes: vec!["401 unauthorized".to_owned()],
        hints: vec!["make a new one".to_owned()],
    };
    let counts = Counts {
        records: Some(1204),
        ..Counts::default()
    };
    Summary {
        run: run.to_owned(),
        pipeline: "accounts".to_owned(),
        kind: Kind::Sync,
        select: Vec::new(),
        host: "worker-1".to_owned(),
        started_at: singer_runtime::clock::Clock::system().now(),
        duration_seconds: 12.0,
        outcome,
        exit_code: u8::from(!outcome.is_good()),
        attempts: 1,
        fault: (!outcome.is_good()).then_some(fault),
        warnings: Vec::new(),
        stages: Vec::new(),
        streams: [("account".to_owned(), counts)].into_iter().collect(),
        rejects: 0,
        state_before: Some(41),
        state_after: Some(42),
    }
}

fn told(error: Error) -> String {
    exit::summary_line(&error.into())
}

const LISTEN: &str = "[notify.ops]\ntype = \"command\"\ncommand = \"echo $ANTIPHON_EVENT >> heard; cat > last.json\"\n";

#[tokio::test]
async fn a_notice_goes_out_when_it_begins_and_when_it_ends() {
    let project = Project::new(LISTEN).await;
    project.ran(Outcome::Succeeded).await;
    assert_eq!(project.heard(), "");
    let good = project.ran(Outcome::Rejects).await;
    let first = project.ran(Outcome::Failed).await;
    assert_eq!(project.heard(), "failed ");
    let notice: serde_json::Value =
        serde_json::from_str(&project.folder.read("last.json")).unwrap();
    assert_eq!(
        notice["subject"],
        "antiphon: accounts failed (target: the key is not good)"
    );
    assert_eq!(notice["run"], first.run.as_str());
    assert_eq!(notice["last_good"]["run"], good.run.as_str());
    assert_eq!(notice["last_good"]["state"], 42);
    assert_eq!(
        notice["log_tail"],
        serde_json::json!(["one", "two", "three"])
    );
    assert_eq!(notice["conditions"][0]["condition"], "failed");
    assert_eq!(notice["fault"]["causes"][0], "401 unauthorized");
    let text = notice["text"].as_str().unwrap();
    for part in [
        "target (exit code 1): the key is not good",
        "cause: 401 unauthorized",
        "hint: make a new one",
        "account: 1,204 records",
        "  three\n",
        &format!("antiphon logs {}", first.run),
        "antiphon state accounts list",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    project.ran(Outcome::TimedOut).await;
    project.ran(Outcome::Interrupted).await;
    assert_eq!(project.heard(), "failed ");
    project.ran(Outcome::Succeeded).await;
    assert_eq!(project.heard(), "failed recovered ");
    let notice: serde_json::Value =
        serde_json::from_str(&project.folder.read("last.json")).unwrap();
    assert_eq!(
        (&notice["failed_runs"], &notice["first_run"]),
        (&2.into(), &first.run.as_str().into())
    );
    assert!(
        notice["subject"]
            .as_str()
            .unwrap()
            .ends_with(", 2 failed runs")
    );
}

#[tokio::test]
async fn a_run_that_nobody_looked_at_is_found_by_the_next_one() {
    let project = Project::new(LISTEN).await;
    project.ran(Outcome::Succeeded).await;
    // The runner dies between recording this run and looking at it.
    project.record(Outcome::Failed).await;
    project.ran(Outcome::Succeeded).await;
    assert_eq!(project.heard(), "recovered ");
    let notice = project.folder.read("last.json");
    assert!(
        notice.contains("Nobody could be told while it lasted"),
        "{notice}"
    );
}

#[tokio::test]
async fn what_is_due_is_stored_before_it_is_told() {
    // The command sees in the store what a crash would leave behind: a notice that is still to be sent.
    let project = Project::new(
        "[notify.ops]\ntype = \"command\"\ncommand = \"cp $(find . -name alarms.json) while.json\"\n",
    )
    .await;
    project.ran(Outcome::Failed).await;
    let read = |text: &str| serde_json::from_str::<Alarms>(text).unwrap().notifiers["ops"].clone();
    let during = read(&project.folder.read("while.json"));
    assert_eq!(during.due(), Some(status::Event::Failed));
    let kept = project
        .session
        .store
        .get(&Memory::new(&project.session, "accounts").key())
        .await
        .unwrap()
        .unwrap();
    let after = read(std::str::from_utf8(&kept.bytes).unwrap());
    assert_eq!(after.due(), None);
    // A runner that is killed in between leaves the first: the next run tells again.
    project
        .session
        .store
        .put(
            &Memory::new(&project.session, "accounts").key(),
            project.folder.read("while.json").into(),
        )
        .await
        .unwrap();
    std::fs::remove_file(project.folder.file("while.json")).unwrap();
    project.ran(Outcome::Failed).await;
    assert_ne!(project.folder.read("while.json"), "");
}

#[tokio::test]
async fn what_cannot_be_delivered_is_told_after_the_next_run() {
    let project = Project::new(
        "[notify.ops]\ntype = \"command\"\ncommand = \"test -e open && echo $ANTIPHON_EVENT >> heard\"\n[notify.other]\ntype = \"command\"\ncommand = \"echo other >> heard\"\n",
    )
    .await;
    project.ran(Outcome::Failed).await;
    // One that fails takes nothing from the other.
    assert_eq!(project.heard(), "other ");
    project.folder.write("open", "");
    project.ran(Outcome::Failed).await;
    assert_eq!(project.heard(), "other failed ");
    project.ran(Outcome::Failed).await;
    assert_eq!(project.heard(), "other failed ");
}

#[tokio::test]
async fn a_status_that_cannot_be_read_begins_anew() {
    let project = Project::new(LISTEN).await;
    let broken = "{\"notifiers\": 7".into();
    project
        .session
        .store
        .put(&Memory::new(&project.session, "accounts").key(), broken)
        .await
        .unwrap();
    project.ran(Outcome::Failed).await;
    project.ran(Outcome::Succeeded).await;
    assert_eq!(project.heard(), "failed recovered ");
}

#[tokio::test]
async fn a_store_that_is_lost_is_told_once_and_its_return_too() {
    let project = Project::new(LISTEN).await;
    project.ran(Outcome::Succeeded).await;
    let pipelines = project.session.store.folder().unwrap().join("pipelines");
    let aside = pipelines.with_extension("aside");
    std::fs::rename(&pipelines, &aside).unwrap();
    std::fs::write(&pipelines, "not a folder").unwrap();
    let pipeline = project.session.project.pipeline("accounts").unwrap();
    for _ in 0..3 {
        let run = history::new_run(&project.session);
        let error = Error::transient("the store is out of reach");
        no_run(&project.session, pipeline, &run, Kind::Sync, &error).await;
        assert_eq!(project.heard(), "failed ");
    }
    let notice = project.folder.read("last.json");
    assert!(notice.contains("the store is out of reach"), "{notice}");
    std::fs::remove_file(&pipelines).unwrap();
    std::fs::rename(&aside, &pipelines).unwrap();
    project.ran(Outcome::Succeeded).await;
    assert_eq!(project.heard(), "failed recovered ");
    project.ran(Outcome::Succeeded).await;
    assert_eq!(project.heard(), "failed recovered ");
    assert!(!Memory::new(&project.session, "accounts").spare().exists());
}

#[tokio::test]
async fn a_notifier_that_hangs_is_given_up_in_time_and_killed() {
    let project = Project::new(
        "[notify.ops]\ntype = \"command\"\ntimeout = \"300ms\"\ncommand = \"sleep 600 & echo $! > child; wait\"\n",
    )
    .await;
    let error = told(project.test().await.unwrap_err());
    assert!(
        error.contains("`ops` did not take the notice within 0.3 s"),
        "{error}"
    );
    let child = project.folder.read("child").trim().to_owned();
    let gone = || {
        // A process that ended and was not waited for yet has no command line.
        let path = format!("/proc/{child}/cmdline");
        std::fs::read(Path::new(&path))
            .unwrap_or_default()
            .is_empty()
    };
    singer_test::poll::until("the group is gone", gone);
}

#[tokio::test]
async fn a_long_text_gives_up_its_log_first() {
    let project = Project::new(LISTEN).await;
    let mut notice = Notice::test("ops", &place(&project.session));
    notice.event = status::Event::Failed;
    notice.facts.log_tail = vec!["x".repeat(400); 20];
    let whole = notice.text();
    let shorter = notice.text_within(whole.len() - 1);
    assert!(shorter.len() < whole.len() && shorter.contains("To look further"));
    assert!(notice.text_within(10).len() <= 10);
}
