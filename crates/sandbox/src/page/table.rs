//! Tables on the page, whichever service they are of: the curve and figures of one, and its first rows.

use serde_json::Value;

use super::chart::sparkline;
use super::{count, escape, put};
use crate::activity::TableCounters;
use crate::control::Status;

/// How many tables of a service have a curve, and how many show rows.
pub(super) const TABLES_SHOWN: usize = 6;
/// How many tables of a service are listed.
pub(super) const TABLES_LISTED: usize = 40;
/// How many jobs of a service are listed.
pub(super) const JOBS_SHOWN: usize = 12;
/// How many rows of a table are shown.
pub(super) const ROWS_SHOWN: usize = 6;
/// How many columns of a table are shown.
const COLUMNS_SHOWN: usize = 12;

/// Curves and figures of those tables, each with the number of its rows, that records came for; the busiest first.
pub(super) fn busiest(
    html: &mut String,
    status: &Status,
    tables: impl Iterator<Item = (String, usize)>,
) {
    let mut busy: Vec<(String, usize, &TableCounters)> = tables
        .filter_map(|(name, rows)| {
            let counters = status.activity.tables.get(&name)?;
            Some((name, rows, counters))
        })
        .collect();
    busy.sort_by_key(|(_, _, counters)| std::cmp::Reverse(counters.records));
    for (name, rows, counters) in busy.into_iter().take(TABLES_SHOWN) {
        card(html, &name, ("rows", rows), counters);
    }
}

/// The curve and the figures of a table; `kept` says what it holds, and how much of it.
pub(super) fn card(html: &mut String, name: &str, kept: (&str, usize), counters: &TableCounters) {
    let rate = counters.per_second.last().copied().unwrap_or(0);
    put(
        html,
        format_args!(
            r#"<section class="card half"><div class="head"><h2>{}</h2><span class="rate">{} records/s</span></div>"#,
            escape(name),
            count(rate)
        ),
    );
    sparkline(html, &counters.per_second, "records");
    let figures = [
        ("received", counters.records, false),
        ("updated", counters.updated, false),
        ("missing", counters.missing, true),
        ("errors", counters.errors, true),
        (kept.0, kept.1 as u64, false),
    ];
    figures_list(html, &figures);
    html.push_str("</section>");
}

/// Figures with their labels; the last member says whether one above zero is a problem.
pub(super) fn figures_list(html: &mut String, figures: &[(&str, u64, bool)]) {
    html.push_str("<dl>");
    for (label, figure, is_problem) in figures {
        let class = if *is_problem && *figure > 0 {
            r#" class="attention""#
        } else {
            ""
        };
        put(
            html,
            format_args!(
                "<div><dt>{label}</dt><dd{class}>{}</dd></div>",
                count(*figure)
            ),
        );
    }
    html.push_str("</dl>");
}

/// The first rows of a table; a text that is longer than `longest` is cut.
pub(super) fn first_rows<'column>(
    html: &mut String,
    service: &str,
    name: &str,
    columns: impl Iterator<Item = &'column String>,
    rows: &[Value],
    longest: usize,
) {
    let name = escape(name);
    put(
        html,
        format_args!(
            r#"<section class="card"><h2>{service}/{name} <span class="soft">first rows</span></h2><div class="scroll" data-scroll="{service}-{name}"><table><tr>"#
        ),
    );
    let columns: Vec<&String> = columns.take(COLUMNS_SHOWN).collect();
    for column in &columns {
        put(html, format_args!("<th>{}</th>", escape(column)));
    }
    html.push_str("</tr>");
    for row in rows {
        html.push_str("<tr>");
        for column in &columns {
            cell(html, &cut(&text_of(&row[*column]), longest));
        }
        html.push_str("</tr>");
    }
    html.push_str("</table></div></section>");
}

/// A value in a row of a table.
pub(super) fn cell(html: &mut String, text: &str) {
    put(
        html,
        format_args!(r#"<td class="value">{}</td>"#, escape(text)),
    );
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A text of so many letters at most, and a mark where some are missing.
pub(super) fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_texts_in_the_order_of_the_columns() {
        let mut html = String::new();
        let columns = ["b".to_owned(), "a<".to_owned()];
        let rows = [
            json!({"a<": null, "b": "x".repeat(5)}),
            json!({"a<": 1, "b": "&"}),
        ];
        first_rows(&mut html, "datastore", "T", columns.iter(), &rows, 4);
        let (head, rows) = html.split_once("<table>").unwrap();
        assert!(
            head.contains(r#"<h2>datastore/T "#) && head.contains(r#"data-scroll="datastore-T""#)
        );
        let cell = |text| format!(r#"<td class="value">{text}</td>"#);
        assert_eq!(
            rows,
            format!(
                "<tr><th>b</th><th>a&lt;</th></tr><tr>{}{}</tr><tr>{}{}</tr></table></div></section>",
                cell("xxxx…"),
                cell(""),
                cell("&amp;"),
                cell("1")
            )
        );
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        assert_eq!(cut(&"ü".repeat(60), 60), "ü".repeat(60));
        assert_eq!(cut(&"ü".repeat(100), 60).chars().count(), 61);
    }

    #[test]
    fn only_problems_call_for_attention() {
        let mut html = String::new();
        figures_list(
            &mut html,
            &[("a", 1, false), ("b", 0, true), ("c", 2, true)],
        );
        assert_eq!(html.matches("attention").count(), 1);
        assert!(html.contains(r#"<dt>c</dt><dd class="attention">2</dd>"#));
    }
}
