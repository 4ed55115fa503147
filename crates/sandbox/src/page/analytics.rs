//! Zoho Analytics on the page: its views, the last import jobs, units and slots. What the views hold is
//! made up, so it may be shown.

use super::table::{JOBS_SHOWN, ROWS_SHOWN, TABLES_LISTED, TABLES_SHOWN, busiest, first_rows};
use super::{count, escape, put, size};
use crate::analytics::{Analytics, ImportJobView, UsageView, ViewState};
use crate::control::Status;

/// A longer text is cut on the page.
const TEXT_SHOWN: usize = 60;

/// Curves and figures of the views that records came for, the busiest first.
pub(super) fn figures(html: &mut String, status: &Status, views: &[ViewState]) {
    let views = views.iter();
    let views = views.map(|view| (format!("analytics/{}", view.name), view.rows));
    busiest(html, status, views);
}

/// The lists of views and jobs, and the first rows.
pub(super) fn cards(html: &mut String, views: &[ViewState], analytics: &Analytics) {
    views_card(html, views, &analytics.usage());
    jobs_card(html, &analytics.jobs());
    let shown = views.iter().filter(|view| view.rows > 0);
    for view in shown.take(TABLES_SHOWN) {
        rows_card(html, view, analytics);
    }
}

fn views_card(html: &mut String, views: &[ViewState], usage: &UsageView) {
    if views.is_empty() {
        return;
    }
    let units = match usage.units_limit {
        0 => format!("{} units today", usage.units),
        limit => format!("{} of {} units today", usage.units, count(limit)),
    };
    put(
        html,
        format_args!(
            r#"<section class="card"><div class="head"><h2>Zoho Analytics views</h2><span class="soft">{units}, {} of {} import slots taken, {} calls in the last minute</span></div><div class="scroll" data-scroll="analytics-views"><table><tr><th>view</th><th class="number">rows</th><th class="number">size</th><th class="number">columns</th><th>last import</th></tr>"#,
            usage.slots + usage.foreign_slots,
            usage.slots_limit,
            usage.calls
        ),
    );
    for view in views.iter().take(TABLES_LISTED) {
        put(
            html,
            format_args!(
                r#"<tr><td class="path">{}.<wbr>{}</td><td class="number">{}</td><td class="number">{}</td><td class="number">{}</td><td>{}</td></tr>"#,
                escape(&view.workspace),
                escape(&view.name),
                count(view.rows as u64),
                size(view.bytes as u64),
                view.columns.len(),
                last_import(view)
            ),
        );
    }
    html.push_str("</table></div></section>");
}

fn last_import(view: &ViewState) -> String {
    match &view.last_import {
        None => String::new(),
        Some(last) => {
            let (class, word) = if !last.is_success {
                ("bad", "failed")
            } else if last.successful_rows < last.rows {
                ("warn", "in part")
            } else {
                ("good", "done")
            };
            format!(
                r#"<span class="mark {class}">{word}</span> {} of {} rows"#,
                count(last.successful_rows as u64),
                count(last.rows as u64)
            )
        }
    }
}

fn jobs_card(html: &mut String, jobs: &[ImportJobView]) {
    if jobs.is_empty() {
        return;
    }
    html.push_str(
        r#"<section class="card"><h2>Last Zoho Analytics imports</h2><div class="scroll" data-scroll="analytics-jobs"><table><tr><th>state</th><th>type</th><th>job</th><th>view</th><th class="number">batches</th><th class="number">looks</th><th>outcome</th></tr>"#,
    );
    for job in jobs.iter().take(JOBS_SHOWN) {
        let class = match job.state.as_str() {
            "done" => "good",
            "failed" | "gone" => "bad",
            _ => "warn",
        };
        let outcome = match job.error_code {
            Some(code) => format!("code {code}"),
            None => format!(
                "{} of {} rows",
                count(job.successful_rows as u64),
                count(job.rows as u64)
            ),
        };
        put(
            html,
            format_args!(
                r#"<tr><td><span class="mark {class}">{}</span></td><td>{}</td><td class="path">{}</td><td class="path">{}</td><td class="number">{}</td><td class="number">{}</td><td>{outcome}</td></tr>"#,
                escape(&job.state),
                escape(&job.import_type),
                escape(&job.id),
                escape(&job.table),
                job.batches
                    .map(|batches| batches.to_string())
                    .unwrap_or_default(),
                job.looks
            ),
        );
    }
    html.push_str("</table></div></section>");
}

fn rows_card(html: &mut String, view: &ViewState, analytics: &Analytics) {
    let rows = analytics.peek(&view.name, ROWS_SHOWN);
    let columns = view.columns.iter().map(|(column, _)| column);
    first_rows(html, "analytics", &view.name, columns, &rows, TEXT_SHOWN);
}
