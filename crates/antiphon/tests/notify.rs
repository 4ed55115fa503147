//! Notices end to end: a pipeline fails, stays so, and is well again; who is told, and what it costs. SNS is
//! tested against moto, with a queue that listens to the topic.

use serde_json::Value;
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;
use singer_test::mail::{MailServer, Manners};
use singer_test::moto::{self, Moto};

/// A project whose tap fails as long as there is a file `fail`, and that tells these notifiers.
struct Project {
    folder: Folder,
    variables: Vec<(String, String)>,
}

const TAP: &str = r#"#!/bin/sh
echo '{"type":"SCHEMA","stream":"account","schema":{"properties":{"id":{"type":"integer"}}},"key_properties":["id"]}'
echo '{"type":"RECORD","stream":"account","record":{"id":1}}'
if [ -e fail ]; then echo 'ERROR the source is gone' >&2; exit 1; fi
echo '{"type":"STATE","value":{"bookmarks":{"account":1}}}'
"#;

const TARGET: &str = r#"#!/bin/sh
while read -r line; do case "$line" in *'"STATE"'*) echo '{"bookmarks":{"account":1}}';; esac; done
"#;

impl Project {
    fn new(notifiers: &str) -> Self {
        let folder = Folder::new();
        for (name, script) in [("tap.sh", TAP), ("target.sh", TARGET)] {
            let path = folder.write(name, script);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(path, mode).expect("a script can be made executable");
        }
        let names: Vec<String> = notifiers
            .lines()
            .filter_map(|line| line.strip_prefix("[notify."))
            .map(|line| format!("\"{}\"", line.trim_end_matches(']')))
            .collect();
        folder.write(
            "antiphon.toml",
            format!(
                "[pipelines.accounts]\ntap = {{ exec = \"./tap.sh\" }}\n\
                 target = {{ exec = \"./target.sh\" }}\nretries = 0\ncount = \"metrics\"\nnotify = [{}]\n{notifiers}",
                names.join(", ")
            ),
        );
        Self {
            folder,
            variables: Vec::new(),
        }
    }

    fn with(mut self, variables: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        self.variables = variables.collect();
        self
    }

    fn call(&self, args: &[&str]) -> Finished {
        let mut run = Run::of("antiphon").folder(self.folder.path()).args(args);
        for (name, value) in &self.variables {
            run = run.env(name, value);
        }
        run.finish()
    }

    fn succeed(&self) {
        drop(std::fs::remove_file(self.folder.file("fail")));
        self.call(&["run", "accounts"]).expect_code(0);
    }

    fn fail(&self) -> Finished {
        self.folder.write("fail", "");
        let ended = self.call(&["run", "accounts"]);
        ended.expect_code(1);
        ended
    }

    fn heard(&self) -> String {
        self.folder.read("heard").replace('\n', " ")
    }
}

fn last_id(project: &Project) -> String {
    let runs = project.folder.file(".antiphon");
    let mut found = Vec::new();
    let mut folders = vec![runs];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name() == "summary.json" {
                let parent = entry
                    .path()
                    .parent()
                    .expect("a file has a folder")
                    .to_owned();
                let name = parent.file_name().expect("a folder has a name");
                found.push(name.to_string_lossy().into_owned());
            } else if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    found.pop().expect("a run was recorded")
}

#[test]
fn one_notice_on_failure_none_while_it_lasts_one_on_recovery() {
    let project = Project::new(
        "[notify.ops]\ntype = \"command\"\ncommand = \"echo $ANTIPHON_EVENT >> heard; cat > notice.json\"\n",
    );
    project.succeed();
    assert_eq!(project.heard(), "");
    project.fail();
    assert_eq!(project.heard(), "failed ");
    let run = last_id(&project);
    let notice: Value = serde_json::from_str(&project.folder.read("notice.json")).unwrap();
    assert_eq!(notice["pipeline"], "accounts");
    assert_eq!(notice["run"], run.as_str());
    assert_eq!(notice["fault"]["stage"], "tap");
    assert_eq!(notice["fault"]["message"], "the source is gone");
    assert_eq!(notice["last_good"]["state"], 1);
    let tail = notice["log_tail"].to_string();
    assert!(tail.contains("the source is gone"), "{tail}");
    // What the notice says to type works.
    let command = notice["commands"]["logs"].as_str().unwrap();
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let log = project.call(&words);
    log.expect_code(0);
    assert!(log.text().contains("the source is gone"), "{}", log.text());
    project.fail();
    project.fail();
    assert_eq!(project.heard(), "failed ");
    project.succeed();
    assert_eq!(project.heard(), "failed recovered ");
    let notice: Value = serde_json::from_str(&project.folder.read("notice.json")).unwrap();
    assert_eq!(notice["failed_runs"], 3);
    project.succeed();
    assert_eq!(project.heard(), "failed recovered ");
}

#[test]
fn notifiers_that_hang_or_fail_change_no_exit_code_and_take_nothing_from_others() {
    let project = Project::new(
        "[notify.hanging]\ntype = \"command\"\ntimeout = \"300ms\"\ncommand = \"sleep 600\"\n\
         [notify.failing]\ntype = \"command\"\ncommand = \"echo about to fail; exit 9\"\n\
         [notify.gone]\ntype = \"webhook\"\ntimeout = \"300ms\"\nurl = \"http://127.0.0.1:1/T0-secret\"\n\
         [notify.works]\ntype = \"command\"\ncommand = \"echo $ANTIPHON_EVENT >> heard\"\n",
    );
    let ended = project.fail();
    for text in [
        "notifier=hanging",
        "did not take the notice within 0.3 s",
        "the command of the notifier `failing` ended with exit code 9",
        "about to fail",
        "notifier=gone",
    ] {
        ended.expect_log(text);
    }
    assert!(!ended.stderr.contains("T0-secret"), "{}", ended.stderr);
    assert_eq!(project.heard(), "failed ");
    // The final report stays the last word.
    assert!(
        ended.stderr.contains("CRITICAL antiphon"),
        "{}",
        ended.stderr
    );
    project.succeed();
    assert_eq!(project.heard(), "failed recovered ");
}

#[test]
fn a_dry_run_and_a_busy_pipeline_tell_nobody() {
    let project = Project::new(
        "[notify.ops]\ntype = \"command\"\ncommand = \"echo $ANTIPHON_EVENT >> heard\"\n",
    );
    project.folder.write("fail", "");
    project.call(&["run", "--dry-run", "accounts"]);
    assert_eq!(project.heard(), "");
}

#[test]
fn notify_test_says_whether_it_works() {
    let server = MailServer::start(Manners::default());
    let project = Project::new(&format!(
        "[notify.mail]\ntype = \"email\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         from = \"antiphon@example.org\"\nto = \"ana@example.org\"\n\
         [notify.broken]\ntype = \"command\"\ncommand = \"exit 1\"\n\
         [notify.away]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\ntimeout = \"300ms\"\n",
        server.port()
    ));
    let ended = project.call(&["notify", "test", "mail"]);
    ended.expect_code(0);
    assert!(
        ended
            .text()
            .contains("a test notice went to `mail` (ana@example.org)")
    );
    assert_eq!(server.letters().len(), 1);
    let ended = project.call(&["notify", "test", "broken"]);
    ended
        .expect_code(1)
        .expect_log("CRITICAL antiphon: cannot send a notice to `broken`");
    project.call(&["notify", "test", "away"]).expect_code(75);
    let ended = project.call(&["notify", "test", "mial"]);
    ended.expect_code(2).expect_log("did you mean `mail`?");
}

fn sns(moto: &Moto, topic: &str) -> String {
    format!(
        "[notify.ops]\ntype = \"sns\"\ntopic_arn = \"{topic}\"\nendpoint = \"{}\"\n",
        moto.endpoint()
    )
}

#[test]
fn a_topic_hears_of_failure_and_recovery() {
    let Some(moto) = moto::shared() else { return };
    let topic = moto.create_topic("notify-alarms");
    let queue = moto.create_queue("notify-alarms");
    moto.subscribe(&topic, &queue);
    let project = Project::new(&sns(moto, &topic)).with(moto.variables());
    project.fail();
    project.fail();
    let messages = moto.receive(&queue);
    assert_eq!(messages.len(), 1);
    let text = &messages[0].body;
    assert!(
        text.starts_with("The pipeline `accounts` failed."),
        "{text}"
    );
    assert!(text.contains("the source is gone"), "{text}");
    assert!(text.contains("antiphon history accounts"), "{text}");
    let attributes = &messages[0].attributes;
    assert_eq!(attributes["event"]["StringValue"], "failed");
    assert_eq!(attributes["pipeline"]["StringValue"], "accounts");
    project.succeed();
    let messages = moto.receive(&queue);
    assert_eq!(messages.len(), 1);
    assert!(
        messages[0].body.contains("is well again"),
        "{}",
        messages[0].body
    );
    assert_eq!(messages[0].attributes["event"]["StringValue"], "recovered");
}

#[test]
fn a_topic_that_keeps_order_hears_too() {
    let Some(moto) = moto::shared() else { return };
    let topic = moto.create_topic("notify-ordered.fifo");
    let queue = moto.create_queue("notify-ordered.fifo");
    moto.subscribe(&topic, &queue);
    let project = Project::new(&sns(moto, &topic)).with(moto.variables());
    project.fail();
    let messages = moto.receive(&queue);
    assert_eq!(messages.len(), 1);
    let group = messages[0].attributes["MessageGroupId"].as_str().unwrap();
    assert_eq!(group.len(), 64);
}

#[test]
fn a_topic_that_is_not_there_is_told() {
    let Some(moto) = moto::shared() else { return };
    let topic = "arn:aws:sns:us-east-1:123456789012:nobody";
    let project = Project::new(&sns(moto, topic)).with(moto.variables());
    let ended = project.call(&["notify", "test", "ops"]);
    ended
        .expect_code(1)
        .expect_log(&format!("there is no topic `{topic}`"))
        .expect_log("NotFound")
        .expect_log("hint: look at `topic_arn`");
}

#[test]
fn our_signature_is_the_one_that_aws_computes() {
    let Some(moto) = Moto::start() else { return };
    let topic = moto.create_topic("notify-closed");
    let queue = moto.create_queue("notify-closed");
    moto.subscribe(&topic, &queue);
    let (key, secret) = moto.require_permissions("runner", &["sns:Publish"]);
    let test = |key: &str, secret: &str| {
        let folder = Folder::new();
        let profile = folder.write(
            "credentials",
            format!("[team]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"),
        );
        let variables = [
            ("AWS_SHARED_CREDENTIALS_FILE", profile.display().to_string()),
            ("AWS_CONFIG_FILE", "/nonexistent".to_owned()),
        ];
        let notifier = format!("{}profile = \"team\"\n", sns(&moto, &topic));
        let project = Project::new(&notifier).with(variables);
        project.call(&["notify", "test", "ops"])
    };
    test(&key, &secret).expect_code(0);
    let ended = test(&key, "not-the-secret");
    ended
        .expect_code(1)
        .expect_log("does not take the credentials");
    assert!(!ended.stderr.contains("not-the-secret"), "{}", ended.stderr);
    let ended = test("AKIAUNKNOWN", &secret);
    ended
        .expect_code(1)
        .expect_log("does not take the credentials");
}

#[test]
fn who_may_not_publish_is_told_what_is_missing() {
    let Some(moto) = Moto::start() else { return };
    let topic = moto.create_topic("notify-forbidden");
    let (key, secret) = moto.require_permissions("reader", &["sns:ListTopics"]);
    let variables = moto.variables().map(|(name, value)| match name {
        "AWS_ACCESS_KEY_ID" => (name, key.clone()),
        "AWS_SECRET_ACCESS_KEY" => (name, secret.clone()),
        _ => (name, value),
    });
    let project = Project::new(&sns(&moto, &topic)).with(variables);
    let ended = project.call(&["notify", "test", "ops"]);
    ended
        .expect_code(1)
        .expect_log("not allowed to publish to")
        .expect_log("sns:Publish");
}
