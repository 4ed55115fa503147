//! Data Store on the page: its tables, the last bulk reads, the tokens, events, and the first rows. What
//! the tables hold is made up, so it may be shown.

use super::table::{JOBS_SHOWN, ROWS_SHOWN, figures_list, first_rows};
use super::{count, escape, put};
use crate::datastore::{DataStore, Environment, JobView, TableView};
use crate::zoho::Accounts;

/// A longer text is cut on the page.
const TEXT_SHOWN: usize = 40;

/// All cards, once anybody has asked Zoho for something: until then they would be in the way of others.
pub(super) fn cards(html: &mut String, accounts: &Accounts, datastore: &DataStore) {
    let tokens = accounts.token_counts();
    let jobs = datastore.jobs_view();
    if tokens.issued == 0 && tokens.throttled == 0 && jobs.is_empty() {
        return;
    }
    figures_card(html, accounts, datastore);
    tables_card(html, datastore);
    jobs_card(html, &jobs);
    let tables = datastore.tables(Environment::Production);
    for table in tables.iter().filter(|table| table.rows > 0) {
        rows_card(html, table, datastore);
    }
}

fn figures_card(html: &mut String, accounts: &Accounts, datastore: &DataStore) {
    let tokens = accounts.token_counts();
    let events = datastore.event_counts();
    let (_, lost) = datastore.callback_counts();
    html.push_str(
        r#"<section class="card"><div class="head"><h2>Zoho tokens and events</h2></div>"#,
    );
    let figures = [
        ("tokens issued", tokens.issued, false),
        ("still good", tokens.active as u64, false),
        ("throttled", tokens.throttled, true),
        ("events taken", events.delivered, false),
        ("waiting", events.queued as u64, false),
        ("given up", events.dropped, true),
        ("callbacks lost", lost, true),
    ];
    figures_list(html, &figures);
    html.push_str("</section>");
}

fn tables_card(html: &mut String, datastore: &DataStore) {
    html.push_str(
        r#"<section class="card"><h2>Data Store tables</h2><div class="scroll" data-scroll="datastore-tables"><table><tr><th>table</th><th>environment</th><th class="number">rows</th><th>last change</th></tr>"#,
    );
    for environment in [Environment::Production, Environment::Development] {
        for table in datastore.tables(environment) {
            put(
                html,
                format_args!(
                    r#"<tr><td class="path">{}</td><td>{}</td><td class="number">{}</td><td>{}</td></tr>"#,
                    escape(&table.table),
                    environment.name(),
                    count(table.rows as u64),
                    escape(table.last_change.as_deref().unwrap_or_default())
                ),
            );
        }
    }
    html.push_str("</table></div></section>");
}

fn jobs_card(html: &mut String, jobs: &[JobView]) {
    if jobs.is_empty() {
        return;
    }
    html.push_str(
        r#"<section class="card"><h2>Last bulk reads</h2><div class="scroll" data-scroll="datastore-jobs"><table><tr><th>state</th><th>job</th><th>table</th><th class="number">page</th><th>outcome</th></tr>"#,
    );
    for job in jobs.iter().take(JOBS_SHOWN) {
        let class = match job.status.as_str() {
            "Completed" => "good",
            "Failed" => "bad",
            _ => "warn",
        };
        put(
            html,
            format_args!(
                r#"<tr><td><span class="mark {class}">{}</span></td><td class="path">{}</td><td class="path">{}</td><td class="number">{}</td><td>{}</td></tr>"#,
                escape(&job.status),
                job.id,
                escape(&job.table),
                job.page,
                escape(&outcome(job))
            ),
        );
    }
    html.push_str("</table></div></section>");
}

/// What came of a job, in a few words.
fn outcome(job: &JobView) -> String {
    match (&job.error, job.records) {
        (Some(error), _) => error.clone(),
        (None, Some(records)) if job.more_records == Some(true) => {
            format!("{} rows, more behind them", count(records as u64))
        }
        (None, Some(records)) => format!("{} rows", count(records as u64)),
        (None, None) => String::new(),
    }
}

fn rows_card(html: &mut String, table: &TableView, datastore: &DataStore) {
    let rows = datastore.peek(Environment::Production, &table.table, ROWS_SHOWN);
    let columns = table.columns.iter();
    first_rows(html, "datastore", &table.table, columns, &rows, TEXT_SHOWN);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bulk_read_is_told_in_a_few_words() {
        let mut job = JobView {
            id: 1,
            environment: "Production".to_owned(),
            table: "Trips".to_owned(),
            page: 1,
            status: "Completed".to_owned(),
            records: Some(200_000),
            more_records: Some(true),
            error: None,
        };
        assert_eq!(outcome(&job), "200\u{202f}000 rows, more behind them");
        job.more_records = Some(false);
        assert_eq!(outcome(&job), "200\u{202f}000 rows");
        job.error = Some("no".to_owned());
        assert_eq!(outcome(&job), "no");
    }
}
