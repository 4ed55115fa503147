//! What the loader accepts and how it refuses the rest.

use serde_json::json;
use singer_core::{Kind, SecretSource};

use super::*;

#[derive(Debug, serde::Deserialize)]
struct Config {
    host: String,
    port: u16,
    password: SecretSource,
    streams: Option<Map<String, Value>>,
    schema: Option<Value>,
}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        vec![
            Setting::text("host").required(),
            Setting::integer("port").default(5439).flag(),
            Setting::secret("password").required(),
            Setting::boolean("quick").default(false),
            Setting::date_time("start_date"),
            Setting::new(
                "schema",
                Shape::Either(vec![Shape::Text, Shape::list(Shape::Text)]),
            ),
            Setting::word("mode", &["stream", "cursor"]),
            Setting::map(
                "streams",
                vec![
                    Setting::new("fields", Shape::map(Shape::Text)),
                    Setting::text("kind").default("account"),
                    Setting::object("filter", vec![Setting::text("column").required()]),
                ],
            ),
            Setting::switch("full"),
        ]
    }
}

fn file(content: &str) -> tempfile::Config {
    tempfile::Config::new(content)
}

/// A config file that is gone when the test is done.
mod tempfile {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    pub(super) struct Config(pub(super) PathBuf);

    impl Config {
        pub(super) fn new(content: &str) -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let name = format!(
                "singer-runtime-config-{}-{}.json",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            );
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, content).unwrap();
            Self(path)
        }
    }

    impl Drop for Config {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).unwrap();
        }
    }
}

fn load_files(contents: &[&str]) -> Result<Document> {
    let files: Vec<_> = contents.iter().map(|content| file(content)).collect();
    let sources: Vec<Source> = files
        .iter()
        .map(|file| Source::File(file.0.clone()))
        .collect();
    load("tap-x", &Config::settings(), &sources, &[], &|_| None)
}

/// The message, its causes and its hints, with the file's name cut out.
fn complaint(error: &Error) -> Vec<String> {
    let mut lines = Vec::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        let mut line = error.to_string();
        if let Some((start, rest)) = line.split_once(" in `/") {
            let rest = rest.split_once('`').map_or("", |(_, rest)| rest);
            line = format!("{start}{rest}");
        }
        lines.push(line);
        if let Some(error) = error.downcast_ref::<Error>() {
            lines.extend(error.hints().iter().map(|hint| format!("hint: {hint}")));
        }
        next = error.source();
    }
    lines
}

#[test]
fn a_key_whose_value_is_wrong_is_not_said_to_be_lacking() {
    let error = load_files(&[r#"{"host": 5, "password": "p"}"#]).unwrap_err();
    assert_eq!(complaint(&error), ["`host` must be a text, found a number"]);
    let nested = r#"{"host": "a", "password": "p", "streams": {"s": {"filter": {"column": 1}}}}"#;
    assert_eq!(
        complaint(&load_files(&[nested]).unwrap_err()),
        ["`streams.s.filter.column` must be a text, found a number"]
    );
}

#[tokio::test]
async fn a_proxy_is_read_from_where_the_config_says() {
    for (given, read) in [
        (json!("http://a"), Ok("http://a")),
        (json!({"command": "echo http://u:p@b"}), Ok("http://u:p@b")),
        (
            json!({"env": "NO_SUCH_VARIABLE_HERE"}),
            Err("`proxy` in the config: "),
        ),
    ] {
        let mut document = Document::of(Map::from_iter([("proxy".to_owned(), given)]));
        match (document.read_proxy().await, read) {
            (Ok(()), Ok(url)) => assert_eq!(document.text("proxy"), Some(url)),
            (Err(error), Err(start)) => assert!(error.message().starts_with(start), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn later_files_override_key_by_key_and_null_counts_as_not_given() {
    let document = load_files(&[
        r#"{"host": "a", "password": "p", "port": 1}"#,
        r#"{"host": "b", "port": null}"#,
    ])
    .unwrap();
    let config: Config = document.build().unwrap();
    assert_eq!((config.host.as_str(), config.port), ("b", 1));
    assert_eq!(document.get("quick"), Some(&json!(false)));
    assert_eq!(config.schema, None);
}

#[test]
fn numbers_and_booleans_may_be_texts() {
    let document = load_files(&[
        r#"{"host": "a", "password": {"env": "P"}, "port": " 5440 ", "quick": "TRUE"}"#,
    ])
    .unwrap();
    assert_eq!(document.get("quick"), Some(&json!(true)));
    let config: Config = document.build().unwrap();
    assert_eq!(config.port, 5440);
    assert_eq!(config.password, SecretSource::Env("P".to_owned()));
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    let error = load_files(&[
        r#"{"host": "a", "password": "p", "streams": {"account": {"fieldz": {"a": "b"}}}}"#,
    ])
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert_eq!(
        complaint(&error),
        [
            "unknown key `streams.account.fieldz`",
            "hint: did you mean `fields`?"
        ]
    );
}

#[test]
fn all_problems_are_reported_at_once_and_no_value_is_shown() {
    let error = load_files(&[
        r#"{"hosst": "hunter2", "port": "hunter2", "password": ["hunter2"], "mode": "hunter2",
            "schema": 7, "full": true, "start_date": "hunter2"}"#,
    ])
    .unwrap_err();
    let lines = complaint(&error);
    assert_eq!(
        lines,
        [
            "the config has 8 problems",
            "unknown key `hosst`",
            "hint: did you mean `host`?",
            "`port` must be an integer, found a text",
            "`password` must be a secret: a text, {\"env\": \"NAME\"}, {\"file\": \"PATH\"} or {\"command\": \"…\"}, found a list",
            "`mode` must be one of `stream`, `cursor`, found a text",
            "`schema` must be a text, or a list, each item a text, found a number",
            "`full` is no key of the config",
            "hint: it is a switch of the command line: `--full`",
            "`start_date` must be a date-time such as 2026-01-31T00:00:00Z, found a text",
            "the config lacks `host`",
            "hint: `--about` lists all keys",
        ]
    );
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn required_keys_inside_objects_are_required_only_where_the_object_is() {
    let error =
        load_files(&[r#"{"host": "a", "password": "p", "streams": {"b": {"filter": {}}}}"#])
            .unwrap_err();
    assert_eq!(
        complaint(&error)[0],
        "the config lacks `streams.b.filter.column`"
    );
    let document =
        load_files(&[r#"{"host": "a", "password": "p", "streams": {"b": {}}}"#]).unwrap();
    let config: Config = document.build().unwrap();
    assert_eq!(config.streams.unwrap()["b"], json!({"kind": "account"}));
}

#[test]
fn the_environment_beats_files_and_a_flag_beats_all() {
    let files = file(r#"{"host": "a", "password": "p", "port": 1, "mode": "stream"}"#);
    let environment = |name: &str| match name {
        "TAP_X_HOST" => Some("123".to_owned()),
        "TAP_X_PORT" => Some("2".to_owned()),
        "TAP_X_SCHEMA" => Some(r#"["one"]"#.to_owned()),
        "TAP_X_PASSWORD" => Some(r#"{"file": "secret"}"#.to_owned()),
        "TAP_X_MODE" => Some(String::new()),
        _ => None,
    };
    let document = load(
        "tap-x",
        &Config::settings(),
        &[Source::Environment, Source::File(files.0.clone())],
        &[("port".to_owned(), "3".to_owned())],
        &environment,
    )
    .unwrap();
    let config: Config = document.build().unwrap();
    assert_eq!((config.host.as_str(), config.port), ("123", 3));
    assert_eq!(config.schema, Some(json!(["one"])));
    assert_eq!(config.password, SecretSource::File("secret".to_owned()));
    assert_eq!(document.text("mode"), Some("stream"));
}

#[test]
fn without_a_config_the_environment_is_only_hinted_at() {
    let environment = |name: &str| (name == "TAP_X_HOST").then(|| "a".to_owned());
    let error = load("tap-x", &Config::settings(), &[], &[], &environment).unwrap_err();
    assert_eq!(
        complaint(&error),
        [
            "the config lacks `host`, `password`",
            "hint: `TAP_X_HOST` is set in the environment: add `--config ENV` to use it"
        ]
    );
}

#[test]
fn broken_files_are_named_with_line_and_column() {
    let error = load_files(&["{\"host\": \"hunter2\",\n  \"port\" 5}"]).unwrap_err();
    assert!(
        error
            .message()
            .ends_with("is not JSON at line 2, column 10")
    );
    assert!(!format!("{error:?}").contains("hunter2"));
    let error = load_files(&["[]"]).unwrap_err();
    assert!(error.message().ends_with("holds a list, not an object"));
    let error = load_files(&[" \n"]).unwrap_err();
    assert!(error.message().ends_with("is empty"));
}

#[test]
fn a_number_out_of_range_names_its_key() {
    let document = load_files(&[r#"{"host": "a", "password": "p", "port": 70000}"#]).unwrap();
    let error = document.build::<Config>().unwrap_err();
    assert_eq!(
        error.message(),
        "`port` in the config has a value that cannot be used: u16 is expected"
    );
}

#[test]
fn start_dates_of_older_configs_are_read() {
    for (given, read) in [
        ("2020-01-02T03:04:05Z", "2020-01-02T03:04:05Z"),
        ("2020-01-02T03:04:05+01:00", "2020-01-02T03:04:05+01:00"),
        ("2020-01-02T03:04:05+00:00Z", "2020-01-02T03:04:05+00:00"),
        ("2020-01-02 03:04:05.5", "2020-01-02T03:04:05.500Z"),
        ("2020-01-02", "2020-01-02T00:00:00Z"),
    ] {
        let config = format!(r#"{{"host": "a", "password": "p", "start_date": "{given}"}}"#);
        let document = load_files(&[&config]).unwrap();
        assert_eq!(document.text("start_date"), Some(read));
    }
}
