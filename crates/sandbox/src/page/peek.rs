//! The first rows of each kept table. What the tables hold is made up, so it may be shown.

use chrono::DateTime;
use serde_json::Value;

use super::table::{cell, cut};
use super::{escape, put};
use crate::pendo::{Kind, Pendo};

/// How many rows a card shows.
const ROWS_SHOWN: usize = 8;
/// A longer text is cut on the page.
const TEXT_SHOWN: usize = 60;

pub(super) fn cards(html: &mut String, pendo: &Pendo) {
    for kind in Kind::ALL {
        let rows = pendo.peek(kind, ROWS_SHOWN);
        if rows.is_empty() {
            continue;
        }
        let schema = pendo.schema(kind);
        let columns = columns(&rows);
        put(
            html,
            format_args!(
                r#"<section class="card"><h2>pendo/{} <span class="soft">first rows</span></h2><div class="scroll" data-scroll="{0}"><table><tr><th>id</th>"#,
                kind.name()
            ),
        );
        for (group, name) in &columns {
            // Most values are custom ones; only the others say where they belong.
            let group = if *group == "custom" {
                String::new()
            } else {
                format!("{group}.")
            };
            put(
                html,
                format_args!("<th>{}{}</th>", escape(&group), escape(name)),
            );
        }
        html.push_str("</tr>");
        for (id, values) in &rows {
            put(
                html,
                format_args!(r#"<tr><td class="id">{}</td>"#, escape(id)),
            );
            for (group, name) in &columns {
                let value = values.get(*group).and_then(|values| values.get(*name));
                let is_time = schema[*group][*name]["Type"] == "time";
                let text = value.map(|value| show(value, is_time)).unwrap_or_default();
                cell(html, &text);
            }
            html.push_str("</tr>");
        }
        html.push_str("</table></div></section>");
    }
}

/// Group and name of the fields that any of the rows has, in the order in which they turn up.
fn columns(rows: &[(String, crate::pendo::Values)]) -> Vec<(&str, &str)> {
    let mut columns = Vec::new();
    for (group, values) in rows.iter().flat_map(|(_, values)| values) {
        for name in values.keys() {
            if !columns.contains(&(group.as_str(), name.as_str())) {
                columns.push((group.as_str(), name.as_str()));
            }
        }
    }
    columns
}

fn show(value: &Value, is_time: bool) -> String {
    if let Some(time) = value
        .as_i64()
        .filter(|_| is_time)
        .and_then(DateTime::from_timestamp_millis)
    {
        return time.format("%Y-%m-%d %H:%M").to_string();
    }
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    cut(&text, TEXT_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable_and_long_texts_are_cut() {
        assert_eq!(
            show(&1_709_209_800_000_i64.into(), true),
            "2024-02-29 12:30"
        );
        assert_eq!(show(&5.into(), false), "5");
        assert_eq!(
            show(&"ü".repeat(100).into(), false).chars().count(),
            TEXT_SHOWN + 1
        );
    }
}
