//! What `antiphon.toml` may say, and what is told about one that is broken.

use std::path::Path;
use std::time::Duration;

use singer_core::{Kind, SecretSource};

use super::sections::read_project;
use super::*;

/// Every key at least once.
const WHOLE: &str = r#"
[store]
url = "s3://bucket/prefix"
work = "/var/tmp/antiphon"
lease = "90s"
endpoint = "http://127.0.0.1:5000"
region = "eu-west-1"
profile = "data"
ca_file = "ca.pem"

[retention]
runs = 50
states = 20
age = "30d"

[defaults]
notify = "ops"
timeout = "2h"
environment = { TZ = "UTC", LANG = "C" }

[notify.ops]
type = "sns"
topic_arn = "arn:aws:sns:eu-west-1:123456789012:ops"
region = "eu-west-1"
endpoint = "http://127.0.0.1:5000"
profile = "data"
timeout = 20
failed = false
rejects = "2.5%"
slower_than = "1h"
slower_than_median = 3
no_records = true
schema_changed = true

[notify.hook]
type = "webhook"
url = { env = "HOOK_URL" }
headers = { Authorization = { file = "token" } }
secret = { command = "pass hook" }
proxy = "http://proxy:3128"
ca_file = "ca.pem"
rejects = 10
rejects_percent = 1

[notify.mail]
type = "email"
host = "mail.example.com"
port = 2525
tls = "tls"
user = "antiphon"
password = "hunter2"
from = "Antiphon <antiphon@example.com>"
to = ["ops@example.com"]
ca_file = "ca.pem"

[notify.pager]
type = "command"
command = "page-me"

[pipelines.accounts]
tap = { exec = "tap-redshift", config = ["tap.json", "ENV", { password = { env = "PW" }, port = 5439 }], catalog = "catalog.json", args = ["--jobs", "2"] }
map = [{ exec = "map-records", config = "map.json" }, "./second.sh"]
target = { exec = "target-pendo", config = "target.json", rejects_path = "refused.jsonl" }
schedule = "*/15 * * * *"
local_time = true
timeout = "30m"
grace = "10s"
retries = 5
retry_wait = "1m30s"
retry_on = [1, 9]
notify = ["mail", "pager"]
count = "lines"
state_backwards = "warn"
environment = { TZ = "Europe/Zurich", PGPASSWORD = { env = "PW" } }

[pipelines.visitors]
tap = "tap-x"
target = "target-y"
"#;

fn read(text: &str) -> Project {
    read_project(Path::new("/p/antiphon.toml"), text).unwrap()
}

#[test]
fn every_key_is_read() {
    let project = read(WHOLE);
    assert_eq!(project.folder, Path::new("/p"));
    let store = &project.store;
    assert_eq!(store.url, "s3://bucket/prefix");
    assert_eq!(store.lease, Duration::from_secs(90));
    assert_eq!(store.ca_file.as_deref(), Some(Path::new("/p/ca.pem")));
    assert_eq!(project.retention.runs, 50);
    assert_eq!(project.retention.age, Duration::from_secs(30 * 86_400));

    let accounts = project.pipeline("accounts").unwrap();
    assert_eq!(accounts.tap.label, "tap");
    assert_eq!(accounts.tap.args, ["--jobs", "2"]);
    assert_eq!(
        accounts.catalog.as_deref(),
        Some(Path::new("/p/catalog.json"))
    );
    let [
        ConfigSource::File(file),
        ConfigSource::Environment,
        ConfigSource::Inline(inline),
    ] = accounts.tap.config.as_slice()
    else {
        panic!("{:?}", accounts.tap.config);
    };
    assert_eq!(file, Path::new("/p/tap.json"));
    assert_eq!(
        inline.to_string(),
        r#"{"password":{"env":"PW"},"port":5439}"#
    );
    let labels: Vec<&str> = accounts.maps.iter().map(|map| &*map.label).collect();
    assert_eq!(labels, ["map", "map-2"]);
    assert_eq!(accounts.maps[1].exec, "./second.sh");
    assert_eq!(
        accounts.target.rejects_path.as_deref(),
        Some(Path::new("/p/refused.jsonl"))
    );
    assert_eq!(accounts.local_time, LocalTime::Local);
    assert_eq!(accounts.timeout, Some(Duration::from_secs(1800)));
    assert_eq!(accounts.grace, Duration::from_secs(10));
    assert_eq!(accounts.retry_wait, Duration::from_secs(90));
    assert_eq!(accounts.retry_on, [1, 9]);
    assert_eq!(accounts.notify, ["mail", "pager"]);
    assert_eq!(accounts.count, Count::Lines);
    assert_eq!(accounts.backwards, Backwards::Warn);
    let names: Vec<&String> = accounts.environment.keys().collect();
    assert_eq!(names, ["LANG", "PGPASSWORD", "TZ"]);
    assert_eq!(
        accounts.environment["TZ"],
        SecretSource::Text(singer_core::Secret::new("Europe/Zurich"))
    );

    let ops = &project.notifiers["ops"];
    assert!(!ops.thresholds.failed && ops.thresholds.no_records);
    assert_eq!(ops.thresholds.rejects_percent, Some(2.5));
    assert_eq!(ops.timeout, Duration::from_secs(20));
    let Channel::Webhook { headers, .. } = &project.notifiers["hook"].channel else {
        panic!("{:?}", project.notifiers["hook"]);
    };
    assert_eq!(
        headers["Authorization"],
        SecretSource::File("/p/token".to_owned())
    );
    assert!(!format!("{project:?}").contains("hunter2"));
}

#[test]
fn what_is_left_out_has_a_default() {
    let project = read("pipelines.a = { tap = 'tap-x', target = 'target-y' }");
    assert_eq!(project.store.url, "/p/.antiphon");
    assert_eq!(project.store.work, Path::new("/p/.antiphon/work"));
    assert_eq!(project.store.lease, Duration::from_secs(60));
    assert_eq!(
        (project.retention.runs, project.retention.states),
        (1000, 200)
    );
    let pipeline = project.pipeline("a").unwrap();
    assert_eq!(pipeline.timeout, None);
    assert_eq!(pipeline.grace, Duration::from_secs(30));
    assert_eq!(pipeline.retries, 2);
    assert_eq!(pipeline.retry_wait, Duration::from_secs(30));
    assert_eq!(pipeline.backwards, Backwards::Refuse);
    assert_eq!(pipeline.count, Count::Auto);
    assert!(pipeline.notify.is_empty() && pipeline.maps.is_empty());
}

#[test]
fn a_pipeline_takes_what_the_defaults_say_and_may_say_otherwise() {
    let project = read(WHOLE);
    let visitors = project.pipeline("visitors").unwrap();
    assert_eq!(visitors.notify, ["ops"]);
    assert_eq!(visitors.timeout, Some(Duration::from_secs(7200)));
    assert_eq!(visitors.environment.len(), 2);
    let project = read(
        "defaults = { timeout = '1h', schedule = '@daily' }
         [pipelines.a]
         tap = 'x'
         target = 'y'
         timeout = 'none'
         schedule = 'none'",
    );
    let pipeline = project.pipeline("a").unwrap();
    assert_eq!((pipeline.timeout, &pipeline.schedule), (None, &None));
}

#[test]
fn stores_are_folders_and_buckets() {
    let url = |url: &str| {
        let text = format!("pipelines.a = {{ tap = 'x', target = 'y' }}\nstore.url = {url:?}");
        read(&text).store.url
    };
    assert_eq!(url("kept"), "/p/kept");
    assert_eq!(url("/var/lib/antiphon"), "/var/lib/antiphon");
    assert_eq!(url("file:///var/lib/antiphon"), "/var/lib/antiphon");
    assert_eq!(url("gs://bucket"), "gs://bucket");
}

#[test]
fn an_unknown_pipeline_is_told_with_the_nearest() {
    let error = read(WHOLE).pipeline("acounts").unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert_eq!(error.hints(), ["did you mean `accounts`?"]);
}
