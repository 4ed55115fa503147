//! How a stream is read: method, replication key, and where its bookmark lets it start.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use singer_core::catalog::{Entry, Inclusion, Method};
use singer_core::schema::Schema;
use singer_core::{Error, Result};

use super::Replication;

/// Keys of a bookmark.
const VERSION: &str = "version";
const LAST_PK_FETCHED: &str = "last_pk_fetched";
const REPLICATION_KEY: &str = "replication_key";
const REPLICATION_KEY_VALUE: &str = "replication_key_value";

/// The method and the key that catalog and source agree on.
///
/// What the tap forces wins, then the person's word; a key alone means INCREMENTAL.
pub(super) fn method(wanted: &Entry, found: &Entry) -> Result<(Method, Option<String>)> {
    let forced = match wanted.forced_method()? {
        Some(method) => Some(method),
        None => found.forced_method()?,
    };
    let wished = match wanted.wished_method()? {
        Some(method) => Some(method),
        None => found.wished_method()?,
    };
    let key = wanted.replication_key().or_else(|| found.replication_key());
    let by_key = || match key {
        Some(_) => Method::Incremental,
        None => Method::FullTable,
    };
    match forced.or(wished).unwrap_or_else(by_key) {
        Method::FullTable => {
            if wished == Some(Method::Incremental) {
                tracing::warn!(
                    stream = found.id(),
                    "read as a full table: the tap forces it, whatever the catalog asks for"
                );
            }
            Ok((Method::FullTable, None))
        }
        Method::Incremental => {
            let key = valid_key(key, found)?;
            Ok((Method::Incremental, Some(key)))
        }
    }
}

fn valid_key(key: Option<&str>, found: &Entry) -> Result<String> {
    let id = found.id();
    let valid = found.valid_replication_keys();
    let Some(key) = key else {
        return match valid.as_deref() {
            Some([only]) => Ok(only.clone()),
            _ => Err(key_hint(
                Error::config(format!(
                    "the stream `{id}` is to be read incrementally and has no `replication-key`"
                )),
                valid.as_deref(),
            )),
        };
    };
    let is_valid = valid
        .as_ref()
        .is_none_or(|valid| valid.iter().any(|name| name == key));
    let wrong = if found.property(key).is_none() {
        "is no field of it"
    } else if found.inclusion(key) == Inclusion::Unsupported {
        "is a field that cannot be read"
    } else if !is_valid {
        "is not one of its valid keys"
    } else {
        return Ok(key.to_owned());
    };
    Err(key_hint(
        Error::config(format!(
            "the replication key `{key}` of the stream `{id}` {wrong}"
        )),
        valid.as_deref(),
    ))
}

fn key_hint(error: Error, valid: Option<&[String]>) -> Error {
    match valid {
        None => error,
        Some([]) => error.with_hint("it has no valid replication key: choose `FULL_TABLE`"),
        Some(valid) => error.with_hint(format!("valid replication keys: `{}`", valid.join("`, `"))),
    }
}

/// The replication and what is left of the bookmark for it.
pub(super) fn resume(
    id: &str,
    (method, key): (Method, Option<String>),
    schema: &Schema,
    bookmark: Map<String, Value>,
    start_date: Option<&str>,
    now: DateTime<Utc>,
) -> (Replication, Map<String, Value>) {
    match (method, key) {
        (Method::Incremental, Some(key)) => incremental(id, key, schema, bookmark, start_date),
        _ => full_table(id, bookmark, now),
    }
}

fn full_table(
    id: &str,
    bookmark: Map<String, Value>,
    now: DateTime<Utc>,
) -> (Replication, Map<String, Value>) {
    let old = bookmark.get(VERSION).and_then(Value::as_i64);
    let has_position = bookmark
        .get(LAST_PK_FETCHED)
        .is_some_and(|value| !value.is_null());
    if let (Some(version), true) = (old, has_position) {
        tracing::info!(stream = id, version, "resumes an interrupted full table");
        return (Replication::FullTable { version }, bookmark);
    }
    // A version is newer than the one before it, also when the clock was set back in between.
    let version = now
        .timestamp_millis()
        .max(old.map_or(i64::MIN, |old| old + 1));
    (Replication::FullTable { version }, Map::new())
}

fn incremental(
    id: &str,
    key: String,
    schema: &Schema,
    mut bookmark: Map<String, Value>,
    start_date: Option<&str>,
) -> (Replication, Map<String, Value>) {
    let of_other_key = bookmark
        .get(REPLICATION_KEY)
        .and_then(Value::as_str)
        .is_some_and(|old| old != key);
    let of_full_table = bookmark.contains_key(LAST_PK_FETCHED);
    if of_other_key || of_full_table {
        tracing::warn!(
            stream = id,
            replication_key = key,
            "starts anew: the bookmark was made for another replication key or method"
        );
        bookmark.retain(|name, _| name == VERSION);
    }
    let from_bookmark = bookmark
        .get(REPLICATION_KEY_VALUE)
        .filter(|value| !value.is_null())
        .cloned();
    let is_time = schema.properties().iter().any(|property| {
        property.name == key && matches!(property.format.as_deref(), Some("date-time" | "date"))
    });
    let from_config = || start_date.filter(|_| is_time).map(Value::from);
    let start = from_bookmark.or_else(from_config);
    (Replication::Incremental { key, start }, bookmark)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(metadata: Value) -> Entry {
        serde_json::from_value(json!({
            "tap_stream_id": "a",
            "schema": {"properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"},
                "n": {"type": "integer"}, "odd": {}}},
            "metadata": [
                {"breadcrumb": [], "metadata": metadata},
                {"breadcrumb": ["properties", "odd"], "metadata": {"inclusion": "unsupported"}},
            ],
        }))
        .unwrap()
    }

    fn of(metadata: Value) -> Result<(Method, Option<String>)> {
        let entry = found(metadata);
        method(&entry, &entry)
    }

    fn schema() -> Schema {
        let schema = r#"{"properties":{"at":{"type":"string","format":"date-time"},"n":{"type":"integer"}}}"#;
        Schema::new(schema, None, None).unwrap()
    }

    fn resumed(key: Option<&str>, bookmark: Value) -> (Replication, Value) {
        let Value::Object(bookmark) = bookmark else {
            panic!("an object");
        };
        let method = match key {
            Some(_) => Method::Incremental,
            None => Method::FullTable,
        };
        let key = key.map(str::to_owned);
        let now = DateTime::from_timestamp_millis(1000).unwrap();
        let start_date = Some("2020-01-01T00:00:00Z");
        let (replication, rest) = resume("a", (method, key), &schema(), bookmark, start_date, now);
        (replication, rest.into())
    }

    #[test]
    fn forced_wins_then_the_word_then_the_key() {
        let incremental = (Method::Incremental, Some("at".to_owned()));
        let full = (Method::FullTable, None);
        for (metadata, expected) in [
            (json!({"replication-key": "at"}), &incremental),
            (
                json!({"replication-key": "at", "replication-method": "FULL_TABLE"}),
                &full,
            ),
            (
                json!({"replication-key": "at", "replication-method": "INCREMENTAL",
                "forced-replication-method": {"replication-method": "FULL_TABLE"}}),
                &full,
            ),
            (
                json!({"replication-method": "INCREMENTAL", "valid-replication-keys": ["at"]}),
                &incremental,
            ),
            (json!({}), &full),
        ] {
            assert_eq!(&of(metadata.clone()).unwrap(), expected, "{metadata}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_one_is_named_with_those_that_can() {
        for (metadata, message, hint) in [
            (
                json!({"replication-key": "x", "valid-replication-keys": ["at"]}),
                "the replication key `x` of the stream `a` is no field of it",
                "valid replication keys: `at`",
            ),
            (
                json!({"replication-key": "n", "valid-replication-keys": ["at", "id"]}),
                "the replication key `n` of the stream `a` is not one of its valid keys",
                "valid replication keys: `at`, `id`",
            ),
            (
                json!({"replication-method": "INCREMENTAL", "valid-replication-keys": []}),
                "the stream `a` is to be read incrementally and has no `replication-key`",
                "it has no valid replication key: choose `FULL_TABLE`",
            ),
            (
                json!({"replication-key": "odd", "valid-replication-keys": ["at"]}),
                "the replication key `odd` of the stream `a` is a field that cannot be read",
                "valid replication keys: `at`",
            ),
        ] {
            let error = of(metadata).unwrap_err();
            assert_eq!(error.message(), message);
            assert_eq!(error.hints(), [hint]);
        }
    }

    #[test]
    fn a_full_table_resumes_only_with_version_and_position() {
        let whole = json!({"version": 7, "last_pk_fetched": {"id": 3}});
        assert_eq!(
            resumed(None, whole.clone()),
            (Replication::FullTable { version: 7 }, whole)
        );
        for bookmark in [
            json!({}),
            json!({"version": 7}),
            json!({"version": null, "last_pk_fetched": {"id": 3}}),
            json!({"version": 7, "last_pk_fetched": null}),
            json!({"version": 7, "replication_key": "at", "replication_key_value": "x"}),
        ] {
            let anew = (Replication::FullTable { version: 1000 }, json!({}));
            assert_eq!(resumed(None, bookmark), anew);
        }
        let later = resumed(None, json!({"version": 5000}));
        assert_eq!(later.0, Replication::FullTable { version: 5001 });
    }

    #[test]
    fn an_incremental_stream_starts_at_its_bookmark_else_at_the_start_date() {
        let start = |key: &str, bookmark| match resumed(Some(key), bookmark) {
            (Replication::Incremental { start, .. }, rest) => (start, rest),
            other => panic!("{other:?}"),
        };
        let bookmark = json!({"replication_key": "at", "replication_key_value": "v", "version": 7});
        assert_eq!(
            start("at", bookmark.clone()),
            (Some("v".into()), bookmark.clone())
        );
        let date = Some(Value::from("2020-01-01T00:00:00Z"));
        assert_eq!(start("at", json!({})), (date.clone(), json!({})));
        let null = json!({"replication_key": "at", "replication_key_value": null});
        assert_eq!(start("at", null.clone()), (date.clone(), null));
        assert_eq!(start("n", bookmark), (None, json!({"version": 7})));
        let full = json!({"version": 7, "last_pk_fetched": 3});
        assert_eq!(start("at", full), (date, json!({"version": 7})));
    }
}
