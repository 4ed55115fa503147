//! A catalog in words: what changed, stream by stream, and what there is.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use serde_json::Value;
use singer_core::catalog::{Catalog, Entry, Inclusion};

use super::edit::{method_of, quoted};

/// What each stream is called: its table with the schema before it, or its table, if no other stream
/// bears that name; else its id.
pub(super) fn labels(catalog: &Catalog) -> Vec<String> {
    let names: Vec<Vec<String>> = catalog.streams.iter().map(Entry::names).collect();
    let mut bearers: HashMap<&str, usize> = HashMap::new();
    for names in &names {
        for name in names.iter().map(String::as_str).collect::<HashSet<_>>() {
            *bearers.entry(name).or_default() += 1;
        }
    }
    names
        .iter()
        .map(|names| {
            let best = names.get(3).or_else(|| names.first());
            let best = best.filter(|name| bearers.get(name.as_str()) == Some(&1));
            best.or_else(|| names.first()).cloned().unwrap_or_default()
        })
        .collect()
}

/// What changed in one stream; `None` if nothing that can be told.
pub(super) fn change(before: &Entry, after: &Entry) -> Option<String> {
    let mut parts = Vec::new();
    let is_selected = after.is_selected();
    let turned = before.is_selected() != is_selected;
    let mut first = Vec::new();
    if turned {
        first.push(
            if is_selected {
                "selected"
            } else {
                "deselected"
            }
            .to_owned(),
        );
    }
    let (old, new) = (replication(before), replication(after));
    if old != new || turned && is_selected {
        let old = if old != new { old } else { None };
        first.extend(new.map(|new| match old {
            Some(old) => format!("{new} (was {old})"),
            None => new,
        }));
    }
    if !first.is_empty() {
        parts.push(first.join(", "));
    }
    let keys = after.key_properties();
    if before.key_properties() != keys {
        parts.push(format!("key: {}", keys.join(", ")));
    }
    let columns = |from: &Entry, to: &Entry| -> Vec<String> {
        let names = after.properties().map(|(name, _)| name);
        names
            .filter(|name| from.is_field_selected(name) && !to.is_field_selected(name))
            .cloned()
            .collect()
    };
    for (names, what) in [
        (columns(before, after), "excluded"),
        (columns(after, before), "taken in"),
    ] {
        if !names.is_empty() {
            let noun = if names.len() == 1 {
                "column"
            } else {
                "columns"
            };
            parts.push(format!(
                "{} {noun} {what}: {}",
                names.len(),
                names.join(", ")
            ));
        }
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// `INCREMENTAL by updated_at`
fn replication(entry: &Entry) -> Option<String> {
    let method = method_of(entry)?.to_ascii_uppercase();
    Some(match entry.replication_key() {
        Some(key) if method == "INCREMENTAL" => format!("{method} by {key}"),
        _ => method,
    })
}

/// `3 of 12 streams are selected`
pub(super) fn total(entries: &[Entry]) -> String {
    let selected = entries.iter().filter(|entry| entry.is_selected()).count();
    let verb = if selected == 1 { "is" } else { "are" };
    let noun = if entries.len() == 1 {
        "stream"
    } else {
        "streams"
    };
    format!("{selected} of {} {noun} {verb} selected", entries.len())
}

/// The streams as a table, the selected ones marked.
pub(super) fn table(catalog: &Catalog) -> String {
    let head = ["", "stream", "replication", "key", "columns", "rows"].map(str::to_owned);
    let mut rows = vec![head];
    for (entry, label) in catalog.streams.iter().zip(labels(catalog)) {
        let columns = entry.properties().count();
        let read = entry
            .properties()
            .filter(|(name, _)| entry.is_field_selected(name))
            .count();
        let unread = entry
            .properties()
            .filter(|(name, _)| entry.inclusion(name) == Inclusion::Unsupported)
            .count();
        let mut of_columns = if read == columns {
            columns.to_string()
        } else {
            format!("{read} of {columns}")
        };
        if unread > 0 {
            let _always = write!(of_columns, " ({unread} unsupported)");
        }
        let count = entry.stream_metadata("row-count");
        let count = count.or_else(|| entry.get("row_count"));
        rows.push([
            if entry.is_selected() { "*" } else { "" }.to_owned(),
            label,
            replication(entry).unwrap_or_else(|| "-".to_owned()),
            match entry.key_properties().as_slice() {
                [] => "-".to_owned(),
                keys => keys.join(", "),
            },
            of_columns,
            count
                .filter(|count| !count.is_null())
                .map_or_else(|| "-".to_owned(), Value::to_string),
        ]);
    }
    aligned(&rows)
}

/// Rows in columns; the last column stands to the right.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _always = if column + 1 == N {
                write!(line, "{cell:>width$}")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The streams for `--format json`.
pub(super) fn json(catalog: &Catalog) -> Value {
    let streams = catalog.streams.iter().map(|entry| {
        let columns = entry.properties().map(|(name, _)| name);
        let (read, left): (Vec<_>, Vec<_>) =
            columns.partition(|name| entry.is_field_selected(name));
        serde_json::json!({
            "tap_stream_id": entry.id(),
            "stream": entry.stream(),
            "selected": entry.is_selected(),
            "replication_method": method_of(entry),
            "replication_key": entry.replication_key(),
            "valid_replication_keys": entry.valid_replication_keys(),
            "key_properties": entry.key_properties(),
            "columns": read,
            "columns_left_out": left,
            "row_count": entry.stream_metadata("row-count"),
        })
    });
    streams.collect()
}

/// What a glob can be, for hints: the names of all streams.
pub(super) fn all_names(catalog: &Catalog) -> String {
    const SHOWN: usize = 20;
    let labels = labels(catalog);
    let shown = quoted(labels.iter().take(SHOWN).map(String::as_str));
    match labels.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more; `--list` shows all"),
    }
}
