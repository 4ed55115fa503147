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

/// What a person reads: the message, its causes, its hints.
fn told(text: &str) -> String {
    let error = read_project(Path::new("/p/antiphon.toml"), text).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let explained = singer_runtime::exit::explain(&error.into());
    let mut lines = vec![explained.message];
    lines.extend(
        explained
            .causes
            .iter()
            .map(|cause| format!("cause: {cause}")),
    );
    lines.extend(explained.hints.iter().map(|hint| format!("hint: {hint}")));
    lines.join("\n")
}

/// A pipeline that is whole, for what is broken around it.
const GOOD: &str = "\npipelines.good = { tap = 'x', target = 'y' }\n";

/// A broken file (put before [`GOOD`] if it begins with `+`) and what is told.
const BROKEN: &[(&str, &str)] = &[
    (
        "",
        "/p/antiphon.toml: the file has no pipelines\nhint: `antiphon new TAP TARGET` writes a first one",
    ),
    (
        "[pipelines]",
        "/p/antiphon.toml line 1: `pipelines` holds no pipeline",
    ),
    (
        "pipelines = 3",
        "/p/antiphon.toml line 1: `pipelines` must be a table of pipelines, found a number",
    ),
    (
        "pipelines.a = 'x'",
        "/p/antiphon.toml line 1: `pipelines.a` must be a table, found a text",
    ),
    (
        "[pipelines.a]\ntap = 'x'",
        "/p/antiphon.toml line 1: `pipelines.a` has no `target`\nhint: target = { exec = \"target-…\", config = \"target.json\" }",
    ),
    (
        "[pipelines.a.tap]\nconfig = 'x'\n[pipelines.a]\ntarget = 'y'",
        "/p/antiphon.toml line 1: `pipelines.a.tap` has no `exec`",
    ),
    (
        "[pipelines.a]\ntap = { exec = 7 }\ntarget = 'y'",
        "/p/antiphon.toml line 2: `pipelines.a.tap.exec` must be a text, found a number",
    ),
    (
        "[pipelines.a]\ntap = ''\ntarget = ['y']",
        "/p/antiphon.toml has 2 faults\ncause: line 2: `pipelines.a.tap` is empty\ncause: line 3: `pipelines.a.target` must be a program or a table `{ exec, config, args }`, found a list",
    ),
    (
        "[pipelines.a]\ntap = { exec = 'x', confg = 'y' }\ntarget = 'y'",
        "/p/antiphon.toml line 2: unknown key `pipelines.a.tap.confg`\nhint: did you mean `config`?",
    ),
    (
        "[pipelines.a]\ntap = { exec = 'x', rejects_path = 'y' }\ntarget = { exec = 'y', catalog = 'c' }",
        "/p/antiphon.toml has 2 faults\ncause: line 2: `pipelines.a.tap.rejects_path`: only a target leaves records that were refused\ncause: line 3: `pipelines.a.target.catalog`: the catalog belongs to the tap",
    ),
    (
        "[pipelines.a]\ntap = { exec = 'x', args = '-v' }\ntarget = { exec = 'y', args = [1] }",
        "/p/antiphon.toml has 2 faults\ncause: line 2: `pipelines.a.tap.args` must be a list of texts, found a text\ncause: line 3: `pipelines.a.target.args[0]` must be a text, found a number",
    ),
    (
        "[pipelines.a]\ntap = { exec = 'x', config = [true] }\ntarget = { exec = 'y', config = { a = [99999999999999999999] } }",
        "/p/antiphon.toml has 2 faults\ncause: line 2: `pipelines.a.tap.config[0]` must be a path, \"ENV\", a table, or a list of these, found a boolean\ncause: line 3: `pipelines.a.target.config.a[0]` must be a number that JSON knows, of at most 64 bits",
    ),
    (
        "[pipelines.a]\ntap = 'x'\nmap = ['m', { args = [] }]\ntarget = 'y'",
        "/p/antiphon.toml line 3: `pipelines.a.map[1]` has no `exec`",
    ),
    (
        "[pipelines.'a b']\ntap = 'x'\ntarget = 'y'",
        "/p/antiphon.toml line 1: `pipelines.\"a b\"` is no name of a pipeline: letters, digits, `_`, `-` and `.`, at most 100, the first a letter or a digit",
    ),
    (
        "[pipelines.'..']\ntap = 'x'\ntarget = 'y'",
        "/p/antiphon.toml line 1: `pipelines.\"..\"` is no name of a pipeline: letters, digits, `_`, `-` and `.`, at most 100, the first a letter or a digit",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\n[pipelines.A]\ntap = 'x'\ntarget = 'y'",
        "/p/antiphon.toml line 4: `pipelines.A` differs from another pipeline in capitals alone, which some folders cannot tell apart",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\ntimout = 4",
        "/p/antiphon.toml line 4: unknown key `pipelines.a.timout`\nhint: did you mean `timeout`?",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\ntimeout = '5 minutes'",
        "/p/antiphon.toml line 4: `pipelines.a.timeout` must be a duration such as \"90s\", \"15m\", \"1h30m\" or a number of seconds",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\ntimeout = 0",
        "/p/antiphon.toml line 4: `pipelines.a.timeout` must be longer than nothing",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\ngrace = true",
        "/p/antiphon.toml line 4: `pipelines.a.grace` must be a duration such as \"90s\", \"15m\", \"1h30m\" or a number of seconds, found a boolean",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\nretries = -1\nretry_on = [0, 'x', 256]",
        "/p/antiphon.toml has 4 faults\ncause: line 4: `pipelines.a.retries` must be a whole number from 0 to 100\ncause: line 5: `pipelines.a.retry_on[0]` must be a whole number from 1 to 255\ncause: line 5: `pipelines.a.retry_on[1]` must be a whole number from 1 to 255, found a text\ncause: line 5: `pipelines.a.retry_on[2]` must be a whole number from 1 to 255",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\ncount = 'line'\nstate_backwards = 'fail'",
        "/p/antiphon.toml has 2 faults\ncause: line 4: `pipelines.a.count` must be `auto`, `lines` or `metrics` (did you mean `lines`?)\ncause: line 5: `pipelines.a.state_backwards` must be `refuse`, `warn` or `accept`",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\nshards = 4",
        "/p/antiphon.toml line 4: `pipelines.a.shards` is reserved: this version runs a pipeline in one piece",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\nschedule = '0 0 30 2 *'",
        "/p/antiphon.toml line 4: `pipelines.a.schedule` is no schedule: that day never comes",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\nschedule = '@hourlie'",
        "/p/antiphon.toml line 4: `pipelines.a.schedule` is no schedule: there is no such word\nhint: did you mean `@hourly`?",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\nschedule = '0 61 * * *'",
        "/p/antiphon.toml line 4: `pipelines.a.schedule` is no schedule: number out of bounds",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\nlocal_time = 'yes'",
        "/p/antiphon.toml line 4: `pipelines.a.local_time` must be true or false, found a text",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\nenvironment = { A = 1, 'B=C' = 'x', D = { nev = 'x' }, E = { env = 'a', file = 'b' } }",
        "/p/antiphon.toml has 4 faults\ncause: line 4: `pipelines.a.environment.A` must be a text, { env = \"NAME\" }, { file = \"PATH\" } or { command = \"…\" }, found a number\ncause: line 4: `pipelines.a.environment.\"B=C\"` is no name of a variable\ncause: line 4: `pipelines.a.environment.D` must be a text, { env = \"NAME\" }, { file = \"PATH\" } or { command = \"…\" }\ncause: line 4: `pipelines.a.environment.E` must be a text, { env = \"NAME\" }, { file = \"PATH\" } or { command = \"…\" }",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntarget = 'y'\nnotify = ['opps', 'team']\n[notify.ops]\ntype = 'command'\ncommand = 'true'",
        "/p/antiphon.toml has 2 faults\ncause: line 4: `pipelines.a.notify[0]` names `opps`, and there is no such notifier (did you mean `ops`?)\ncause: line 4: `pipelines.a.notify[1]` names `team`, and there is no such notifier (a table `[notify.team]` would make it one)",
    ),
    (
        "+defaults.tap = 'x'\ndefaults.timeot = 4\ndefaults.grace = 'x'",
        "/p/antiphon.toml has 3 faults\ncause: line 3: `defaults.tap` is a stage: each pipeline has its own\ncause: line 4: unknown key `defaults.timeot` (did you mean `timeout`?)\ncause: line 5: `defaults.grace` must be a duration such as \"90s\", \"15m\", \"1h30m\" or a number of seconds",
    ),
    (
        "+[store]\nurl = 's3://'",
        "/p/antiphon.toml line 4: `store.url` must be `s3://BUCKET/PREFIX`, without keys or options",
    ),
    (
        "+[store]\nurl = 's3://key:secret@bucket/x'",
        "/p/antiphon.toml line 4: `store.url` must be `s3://BUCKET/PREFIX`, without keys or options",
    ),
    (
        "+[store]\nurl = 'az://bucket'",
        "/p/antiphon.toml line 4: `store.url` must be a folder, `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`",
    ),
    (
        "+[store]\nurl = 'file://x'",
        "/p/antiphon.toml line 4: `store.url` must be a folder by its whole path: `file:///var/lib/antiphon`",
    ),
    (
        "+[store]\nregion = 'eu'\ncredentials = 'c.json'",
        "/p/antiphon.toml has 2 faults\ncause: line 4: `store.region` is for s3:// stores, and `store.url` names another kind\ncause: line 5: `store.credentials` is for gs:// stores, and `store.url` names another kind",
    ),
    (
        "+[store]\nurl = 's3://b'\nlease = '30s'",
        "/p/antiphon.toml line 5: `store.lease`: a lease of 30 s is not longer than the longest `grace`, 30 s\nhint: a runner that lost its lease must have ended its stages before another starts them: set `store.lease` higher, or `grace` lower",
    ),
    (
        "+[store]\nurl = 's3://b'\nendpoint = 'localhost:9000'\nleese = 3",
        "/p/antiphon.toml has 2 faults\ncause: line 5: `store.endpoint` must be a URL that begins with https:// or http://\ncause: line 6: unknown key `store.leese` (did you mean `lease`?)",
    ),
    (
        "+[retention]\nruns = 1\nage = 0",
        "/p/antiphon.toml has 2 faults\ncause: line 4: `retention.runs` must be a whole number from 10 to 1000000\ncause: line 5: `retention.age` must be longer than nothing",
    ),
    (
        "+[notify]\nops = 'x'",
        "/p/antiphon.toml line 4: `notify.ops` must be a table, found a text",
    ),
    (
        "+[notify.ops]\ncommand = 'x'",
        "/p/antiphon.toml line 3: `notify.ops` has no `type`",
    ),
    (
        "+[notify.ops]\ntype = 'mail'",
        "/p/antiphon.toml line 4: `notify.ops.type` must be `sns`, `webhook`, `email` or `command`\nhint: did you mean `email`?",
    ),
    (
        "+[notify.ops]\ntype = 'sns'\ntopic_arn = 'ops'\nhost = 'x'",
        "/p/antiphon.toml has 2 faults\ncause: line 5: `notify.ops.topic_arn` must be the ARN of a topic: `arn:aws:sns:REGION:ACCOUNT:NAME`\ncause: line 6: `notify.ops.host` is no key of a notifier of type `sns` (it is one of type `email`; `sns` has: topic_arn, region, endpoint, profile, proxy, ca_file)",
    ),
    (
        "+[notify.ops]\ntype = 'webhook'\nurl = 'example.com/hunter2'\nheaders = { 'a b' = 'c' }",
        "/p/antiphon.toml has 2 faults\ncause: line 5: `notify.ops.url` must be a URL that begins with https:// or http://\ncause: line 6: `notify.ops.headers.\"a b\"` is no name of a header",
    ),
    (
        "+[notify.ops]\ntype = 'email'\nhost = 'h'\nfrom = 'ops'\nto = []\nport = 0",
        "/p/antiphon.toml has 3 faults\ncause: line 6: `notify.ops.from` must be a mail address: `ops@example.com` or `Ops <ops@example.com>`\ncause: line 7: `notify.ops.to` is empty\ncause: line 8: `notify.ops.port` must be a whole number from 1 to 65535",
    ),
    (
        "+[notify.ops]\ntype = 'email'\nhost = 'h'\nfrom = 'a@b'\nto = 'a@b'\ntls = 'none'\npassword = 'hunter2'",
        "/p/antiphon.toml line 9: `notify.ops.password` would be sent in the clear\nhint: set `tls` to `starttls` or `tls`, or leave the password out",
    ),
    (
        "+[notify.ops]\ntype = 'command'\ncommand = 'x'\nrejects = '500%'\nslower_than_median = 1\nfailed = 'no'",
        "/p/antiphon.toml has 3 faults\ncause: line 6: `notify.ops.rejects` must be a number, or a share from \"0%\" to \"100%\"\ncause: line 7: `notify.ops.slower_than_median` must be a number above 1\ncause: line 8: `notify.ops.failed` must be true or false, found a text",
    ),
    (
        "+[notify.ops]\ntype = 'command'\ncommand = 'x'\nrejects = '5%'\nrejects_percent = 101",
        "/p/antiphon.toml has 2 faults\ncause: line 7: `notify.ops.rejects_percent` says again what `rejects` says\ncause: line 7: `notify.ops.rejects_percent` must be a number of percent from 0 to 100",
    ),
    (
        "+[pipline.a]\ntap = 'x'",
        "/p/antiphon.toml line 3: unknown key `pipline`\nhint: did you mean `pipelines`?",
    ),
    (
        "[pipelines.a]\ntap = x",
        "/p/antiphon.toml line 2, column 7: string values must be quoted, expected literal string\nhint: this is no TOML; texts need quotes, and a table begins with `[its.name]`",
    ),
    (
        "[pipelines.a]\ntap = 'x'\ntap = 'y'",
        "/p/antiphon.toml line 3, column 1: duplicate key",
    ),
    (
        "[pipelines.a]\npassword = \"hunter2",
        "/p/antiphon.toml line 2, column 20: invalid basic string, expected `\"`\nhint: this is no TOML; texts need quotes, and a table begins with `[its.name]`",
    ),
    (
        "[pipelines.a\ntap = 'x'",
        "/p/antiphon.toml line 1, column 13: unclosed table, expected `]`\nhint: this is no TOML; texts need quotes, and a table begins with `[its.name]`",
    ),
];

#[test]
fn a_broken_file_is_told_with_line_and_key() {
    let mut wrong = String::new();
    for (text, expected) in BROKEN {
        let text = match text.strip_prefix('+') {
            Some(rest) => format!("{GOOD}{rest}"),
            None => (*text).to_owned(),
        };
        let found = told(&text);
        assert!(!found.contains("hunter2"), "{found}");
        if found != *expected {
            wrong.push_str(&format!(
                "---- {text}\n==== found\n{found}\n==== expected\n{expected}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn whoever_names_pipelines_is_stopped_by_no_other_and_by_all_else() {
    let folder = singer_test::folder::Folder::new();
    let load = |text: &str, name: &str| {
        let file = folder.write(FILE, text);
        Project::load_pipelines(Some(&file), &[name.to_owned()])
    };
    let sound = "[pipelines.a]\ntap = \"t\"\ntarget = \"u\"\n\n";
    for broken in [
        "[pipelines.b]\ntap = \"t\"\ntarget = 1\nschedule = \"never\"\n",
        "[pipelines.b]\nargs = [\n",
        "[pipelines.b]\n= = =\n",
    ] {
        let text = format!("{broken}{sound}[retention]\nruns = 50\n");
        let project = load(&text, "a").unwrap();
        assert_eq!(project.pipelines.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(project.retention.runs, 50);
        assert_eq!(load(&text, "b").unwrap_err().kind(), Kind::Config, "{text}");
        let whole = Project::load(Some(&folder.path().join(FILE)));
        assert_eq!(whole.unwrap_err().kind(), Kind::Config, "{text}");
    }
    let faults = [
        (format!("{sound}[store]\nurl = 1\n"), "line 6"),
        (format!("[pipelines.b]\n\n\n{sound}tapp = 1\n"), "line 8"),
        (sound.replace(".a", ".A") + sound, "differs from another"),
        (format!("{sound}{sound}"), "duplicate key"),
        (sound.replace(".a", ".aa"), "no pipeline `a`"),
    ];
    for (text, told) in faults {
        let project = load(&text, "a");
        let error = project.and_then(|project| project.pipeline("a").cloned());
        let report = singer_runtime::exit::summary_line(&error.unwrap_err().into());
        assert!(report.contains(told), "{text}\n{report}");
    }
}

/// With `UPDATE_GOLDEN=1` the tables are written.
#[test]
fn the_tables_of_the_readme_are_the_keys() {
    const CLOSE: &str = "<!-- /keys -->";
    let page = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let text = std::fs::read_to_string(page).unwrap();
    let mut expected = text.clone();
    for (name, keys) in [
        ("top", keys::TOP),
        ("stages", keys::STAGES),
        ("stage", keys::STAGE),
        ("settings", keys::SETTINGS),
        ("store", keys::STORE),
        ("retention", keys::RETENTION),
        ("notifier", keys::NOTIFIER),
        ("sns", keys::SNS),
        ("webhook", keys::WEBHOOK),
        ("email", keys::EMAIL),
        ("command", keys::COMMAND),
    ] {
        let open = format!("<!-- keys: {name} -->\n");
        let (head, rest) = expected.split_once(&open).unwrap();
        let (_, tail) = rest.split_once(CLOSE).unwrap();
        let mut table =
            "| key | takes | default | what it is for |\n| --- | --- | --- | --- |\n".to_owned();
        for key in keys {
            let cells = [key.form, key.default, key.meaning].map(|cell| cell.replace('|', "\\|"));
            table.push_str(&format!("| `{}` | {} |\n", key.name, cells.join(" | ")));
        }
        expected = format!("{head}{open}{table}{CLOSE}{tail}");
    }
    singer_test::golden::compare(page, &expected);
}
