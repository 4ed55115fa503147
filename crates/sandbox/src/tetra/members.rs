//! What a document says of its file besides what it was brought with. Facts: section 6.

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::content::scramble;
use super::date::{read_ms, write_ms};
use super::options::TetraOptions;
use super::store::{Plan, Stored, Version, fingerprint};

/// When a document is stamped: as it says, or now.
pub(super) fn stamp(
    members: &Map<String, Value>,
    options: &TetraOptions,
    now_ms: i64,
) -> anyhow::Result<i64> {
    let ms = match members.get("indexedAt") {
        Some(time) => {
            let ms = time.as_str().and_then(read_ms);
            ms.context("`indexedAt` is no time")?
        }
        None => now_ms,
    };
    Ok(options.stamped(ms))
}

/// Gives a document what every document has.
pub(super) fn fill_up(members: &mut Map<String, Value>, options: &TetraOptions, created_ms: i64) {
    let id = members["fileId"].as_str().unwrap_or_default().to_owned();
    let category = match members.get("category").and_then(Value::as_str) {
        Some(category) => category.to_uppercase(),
        None if members.contains_key("data") => "IDS".to_owned(),
        None => "RAW".to_owned(),
    };
    let given = [
        ("orgSlug", json!(options.org)),
        ("category", json!(category)),
        (
            "filePath",
            json!(format!("/{}/{category}/{id}", options.org)),
        ),
        ("createdAt", json!(write_ms(created_ms))),
        ("rawFileId", json!(id)),
        ("traceId", json!(id)),
        (
            "source",
            json!({"id": "a-1", "type": "agent", "name": "Lab agent"}),
        ),
        ("metadata", json!({})),
        ("tags", json!([])),
        ("labels", json!([])),
        ("deleted", json!(false)),
        ("outdated", json!(false)),
    ];
    for (name, value) in given {
        if !members.contains_key(name) {
            members.insert(name.to_owned(), value);
        }
    }
    name_kind(members);
}

/// Gives an IDS document the members that name its kind, as its `data` does.
fn name_kind(members: &mut Map<String, Value>) {
    let of_data = |name: &str| {
        let value = members.get("data").and_then(|data| data.get(name));
        value.and_then(Value::as_str).map(str::to_owned)
    };
    let (Some(kind), Some(version)) = (of_data("@idsType"), of_data("@idsVersion")) else {
        return;
    };
    let namespace = of_data("@idsNamespace").unwrap_or_else(|| "common".to_owned());
    for (name, value) in [
        ("ids", format!("{namespace}/{kind}:{version}")),
        ("idsType", kind),
        ("idsVersion", version),
    ] {
        if !members.contains_key(name) {
            members.insert(name.to_owned(), json!(value));
        }
    }
}

/// The member `file`, of which only the path can be given.
pub(super) fn file_member(
    members: &mut Map<String, Value>,
    stored: &Stored,
    version: &Version,
    options: &TetraOptions,
) {
    let path = members["filePath"].as_str().unwrap_or_default();
    let is_json = match &stored.content {
        Plan::Data { .. } => true,
        Plan::Fixed(content) => content.is_json(),
    };
    let kind = if is_json {
        "application/json"
    } else {
        "application/octet-stream"
    };
    let key = format!(
        "{}/{}",
        members["fileId"].as_str().unwrap_or_default(),
        path.trim_start_matches('/')
    );
    let checksum = format!(
        "{:016x}{:016x}",
        scramble(fingerprint(&version.id)),
        scramble(version.size)
    );
    let mut file = json!({
        "bucket": bucket(&options.org),
        "path": key,
        "tsEncodedPath": crate::form::escape(&key),
        "checksum": checksum,
        "size": version.size,
        "type": if is_json { "json" } else { "raw" },
        "version": version.id,
        "s3ContentType": kind,
    });
    if stored.is_gzip {
        file["s3ContentEncoding"] = json!("gzip");
    }
    if let (Value::Object(file), Some(Value::Object(given))) = (&mut file, members.get("file")) {
        for (name, value) in given {
            if !file.contains_key(name) {
                file.insert(name.clone(), value.clone());
            }
        }
    }
    members.insert("file".to_owned(), file);
}

/// The bucket in which the organisation's files are.
pub(super) fn bucket(org: &str) -> String {
    format!("{org}-prod-datalake")
}
