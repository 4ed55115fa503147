//! The Tetra Data Platform on the page: how files arrive, what was asked for, and the files that changed last.
//! What they hold is made up, so it may be shown.

use super::chart::sparkline;
use super::table::{cell, cut, figures_list};
use super::{count, escape, put, size};
use crate::activity::SECONDS_KEPT;
use crate::tetra::{FileView, Tetra};

/// How many files are listed.
const FILES_SHOWN: usize = 12;
/// A longer path is cut on the page.
const PATH_SHOWN: usize = 48;

/// All cards, once there are files or anybody has asked for some.
pub(super) fn cards(html: &mut String, tetra: &Tetra) {
    let counts = tetra.counts();
    let latest = tetra.latest(FILES_SHOWN);
    if latest.is_empty() && counts.searches == 0 && counts.unauthorized == 0 {
        return;
    }
    arrivals_card(html, tetra);
    let figures = [
        ("searches", counts.searches, false),
        ("hits", counts.hits, false),
        ("links", counts.links, false),
        ("downloads", counts.downloads + counts.retrieves, false),
        (
            "at once",
            counts.peak_retrieves.max(counts.peak_downloads) as u64,
            false,
        ),
        ("throttled", counts.throttled, true),
        ("refused tokens", counts.unauthorized, true),
        ("expired links", counts.expired, true),
        ("tokens sent to the storage", counts.leaks, true),
    ];
    html.push_str(r#"<section class="card half"><div class="head"><h2>Tetra requests</h2></div>"#);
    figures_list(html, &figures);
    html.push_str("</section>");
    files_card(html, &latest);
}

fn arrivals_card(html: &mut String, tetra: &Tetra) {
    let arrivals = tetra.arrivals(SECONDS_KEPT);
    let rate = arrivals.last().copied().unwrap_or(0);
    put(
        html,
        format_args!(
            r#"<section class="card half"><div class="head"><h2>Tetra files</h2><span class="rate">{} in the last second</span></div>"#,
            count(rate)
        ),
    );
    sparkline(html, &arrivals, "files");
    let last_minute = arrivals.iter().sum();
    let figures = [
        ("files", tetra.file_count() as u64, false),
        ("of the last minute", last_minute, false),
    ];
    figures_list(html, &figures);
    html.push_str("</section>");
}

fn files_card(html: &mut String, files: &[FileView]) {
    if files.is_empty() {
        return;
    }
    html.push_str(
        r#"<section class="card"><h2>Tetra <span class="soft">indexed or deleted last</span></h2><div class="scroll" data-scroll="tetra-files"><table><tr><th>state</th><th>kind</th><th>path</th><th class="number">size</th><th class="number">versions</th><th>indexed</th></tr>"#,
    );
    for file in files {
        let (class, state) = state(file);
        put(
            html,
            format_args!(
                r#"<tr><td><span class="mark {class}">{state}</span></td><td>{}</td>"#,
                escape(file.ids_type.as_deref().unwrap_or(&file.category)),
            ),
        );
        cell(html, &cut(&file.path, PATH_SHOWN));
        put(
            html,
            format_args!(
                r#"<td class="number">{}</td><td class="number">{}</td><td>{}</td></tr>"#,
                size(file.size),
                count(file.versions as u64),
                time(file.indexed_ms)
            ),
        );
    }
    html.push_str("</table></div></section>");
}

/// What a search knows of a file.
fn state(file: &FileView) -> (&'static str, &'static str) {
    match (file.is_deleted, file.is_found) {
        (true, _) => ("bad", "deleted"),
        (false, true) => ("good", "found"),
        (false, false) => ("warn", "waiting"),
    }
}

fn time(ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default();
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_waits_until_it_is_found() {
        let mut file = FileView {
            file_id: "1".to_owned(),
            category: "RAW".to_owned(),
            path: "/a".to_owned(),
            ids_type: None,
            indexed_ms: 0,
            arrived_ms: 0,
            versions: 1,
            size: 1,
            is_deleted: false,
            is_found: false,
        };
        assert_eq!(state(&file).1, "waiting");
        file.is_found = true;
        assert_eq!(state(&file).1, "found");
        file.is_deleted = true;
        assert_eq!(state(&file).1, "deleted");
        assert_eq!(time(1_714_953_600_000), "2024-05-06 00:00:00");
    }
}
