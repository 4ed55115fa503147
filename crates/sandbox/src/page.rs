//! The page at `/`: what arrived, how fast, and which faults struck. The server renders the view; the
//! script only swaps in a newer one, so the page works without it too. No asset comes from elsewhere.

mod analytics;
mod bigquery;
mod chart;
mod crm;
mod datastore;
mod peek;
mod table;
mod tetra;

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Html;
use axum::routing::get;

use crate::activity::{RequestEntry, TableCounters};
use crate::control::{self, Status};
use crate::server::World;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// How many requests the page lists.
const REQUESTS_SHOWN: usize = 14;

pub(crate) fn routes(world: Arc<World>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/_sandbox/view", get(view))
        .with_state(world)
}

async fn page(State(world): State<Arc<World>>) -> Html<String> {
    // The view goes in last: what it shows comes from requests and could name a placeholder.
    let page = PAGE
        .replace("{{style}}", STYLE)
        .replace("{{script}}", SCRIPT);
    Html(page.replacen("{{view}}", &render(&world), 1))
}

async fn view(State(world): State<Arc<World>>) -> Html<String> {
    Html(render(&world))
}

fn render(world: &World) -> String {
    let status = control::status(world);
    let mut html = String::with_capacity(16 << 10);
    tiles(&mut html, &status);
    for (name, known) in &status.known {
        match status.activity.tables.get(name) {
            Some(counters) => table::card(&mut html, name, ("known ids", *known), counters),
            None if *known > 0 => {
                let none = TableCounters::default();
                table::card(&mut html, name, ("known ids", *known), &none);
            }
            None => {}
        }
    }
    let tables = world.bigquery.tables();
    bigquery::figures(&mut html, &status, &tables);
    let views = world.analytics.views();
    analytics::figures(&mut html, &status, &views);
    let modules = world.crm.modules();
    crm::figures(&mut html, &status, &modules);
    if status.activity.requests == 0 {
        first_steps(&mut html);
    }
    faults_card(&mut html, &status);
    requests_card(&mut html, &status.activity.last_requests);
    bigquery::cards(&mut html, &tables, &world.bigquery);
    analytics::cards(&mut html, &views, &world.analytics);
    crm::cards(&mut html, &modules, &world.crm);
    datastore::cards(&mut html, &world.accounts, &world.datastore);
    tetra::cards(&mut html, &world.tetra);
    peek::cards(&mut html, &world.pendo);
    html
}

fn tiles(html: &mut String, status: &Status) {
    let activity = &status.activity;
    let records: u64 = activity.tables.values().map(|table| table.records).sum();
    let rate: u64 = activity
        .tables
        .values()
        .filter_map(|table| table.per_second.last())
        .sum();
    let struck: u64 = activity.faults.values().sum();
    let tiles = [
        (count(records), "records received".to_owned()),
        (count(rate), "records in the last second".to_owned()),
        (
            count(activity.requests),
            format!("requests, {}", size(activity.bytes)),
        ),
        (count(struck), "faults injected".to_owned()),
    ];
    for (value, label) in tiles {
        put(
            html,
            format_args!(r#"<div class="card tile"><b>{value}</b><span>{label}</span></div>"#),
        );
    }
}

fn first_steps(html: &mut String) {
    html.push_str(
        r#"<section class="card"><h2>Nothing has arrived yet</h2><p class="soft">Give a Pendo client this page's address with <code>/pendo</code> as its <code>base_url</code>, and one of the keys it was started with (<code>sandbox-key</code> if none). Give a BigQuery client <code>/bigquery</code> behind this page's address as its endpoint, and the address alone for gRPC. Give a Zoho client the address alone as <code>accounts_url</code> and <code>api_url</code>. Give a client of the Tetra Data Platform <code>/tetra</code> behind it.</p></section>"#,
    );
}

fn faults_card(html: &mut String, status: &Status) {
    html.push_str(r#"<section class="card"><h2>Faults</h2>"#);
    let only_past: Vec<_> = status
        .activity
        .faults
        .iter()
        .filter(|_| status.active_faults.is_empty())
        .map(|(name, struck)| format!("{} × {}", count(*struck), escape(name)))
        .collect();
    if !only_past.is_empty() {
        put(
            html,
            format_args!(r#"<p>None in force. So far: {}</p>"#, only_past.join(", ")),
        );
    } else if status.active_faults.is_empty() {
        html.push_str(
            r#"<p class="soft">None in force. Add one: <code>curl -d '{"add":["throttle:every=10,retry-after=1"]}' …/_sandbox/faults</code></p>"#,
        );
    } else {
        html.push_str(
            r#"<div class="scroll" data-scroll="faults"><table><tr><th>fault</th><th class="number">looked at</th><th class="number">struck</th></tr>"#,
        );
        for fault in &status.active_faults {
            put(
                html,
                format_args!(
                    r#"<tr><td class="path">{}</td><td class="number">{}</td><td class="number">{}</td></tr>"#,
                    escape(&fault.spec),
                    count(fault.seen),
                    count(fault.struck)
                ),
            );
        }
        html.push_str("</table></div>");
    }
    html.push_str("</section>");
}

fn requests_card(html: &mut String, requests: &[RequestEntry]) {
    if requests.is_empty() {
        return;
    }
    html.push_str(
        r#"<section class="card"><h2>Last requests</h2><div class="scroll" data-scroll="requests"><table><tr><th class="number optional">#</th><th>status</th><th>request</th><th class="number">records</th><th class="number optional">size</th><th class="number">took</th><th>faults</th></tr>"#,
    );
    for request in requests.iter().take(REQUESTS_SHOWN) {
        let (class, status) = match request.status {
            0 => ("bad", "reset".to_owned()),
            status @ 200..=399 => ("good", status.to_string()),
            status @ 400..=499 => ("warn", status.to_string()),
            status => ("bad", status.to_string()),
        };
        put(
            html,
            format_args!(
                r#"<tr><td class="number optional soft">{}</td><td><span class="mark {class}">{status}</span></td><td class="path">{} {}</td><td class="number">{}</td><td class="number optional">{}</td><td class="number">{}</td><td>{}</td></tr>"#,
                count(request.number),
                escape(&request.method),
                // A narrow screen breaks the line behind a slash.
                escape(&request.path).replace('/', "/<wbr>"),
                if request.records > 0 {
                    count(request.records)
                } else {
                    String::new()
                },
                if request.bytes > 0 {
                    size(request.bytes)
                } else {
                    String::new()
                },
                duration(request.duration_us),
                escape(&request.faults.join(", ")),
            ),
        );
    }
    html.push_str("</table></div></section>");
}

fn put(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text)
        .expect("writing to a string cannot fail");
}

/// Makes text safe between tags and in quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A number with a thin space between groups of three digits.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

fn duration(microseconds: u64) -> String {
    match microseconds {
        0..10_000 => format!("{:.1} ms", microseconds as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", microseconds / 1_000),
        _ => format!("{:.1} s", microseconds as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(
            escape(r#"<a href="x">'&'"#),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;"
        );
    }

    #[test]
    fn figures_are_short_and_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_500_000), "1.5 MB");
        assert_eq!(duration(1_250), "1.2 ms");
        assert_eq!(duration(50_700), "50 ms");
        assert_eq!(duration(2_500_000), "2.5 s");
    }

    #[test]
    fn the_page_brings_everything_along() {
        for asset in [PAGE, STYLE, SCRIPT] {
            assert!(
                !asset.contains("http:") && !asset.contains("https:") && !asset.contains("//cdn")
            );
        }
        for place in ["{{style}}", "{{view}}", "{{script}}"] {
            assert_eq!(PAGE.matches(place).count(), 1, "{place}");
        }
    }
}
