//! BigQuery on the page: its tables, the last jobs, and the first rows. What the tables hold is made
//! up, so it may be shown.

use serde_json::Value;

use super::table::{JOBS_SHOWN, ROWS_SHOWN, TABLES_LISTED, TABLES_SHOWN, busiest, first_rows};
use super::{count, escape, put, size};
use crate::bigquery::{BigQuery, JobView, TableView};
use crate::control::Status;

/// A longer text is cut on the page.
const TEXT_SHOWN: usize = 60;

/// Curves and figures of the tables that records came for, the busiest first.
pub(super) fn figures(html: &mut String, status: &Status, tables: &[TableView]) {
    let tables = tables.iter().map(|table| {
        let name = format!("bigquery/{}.{}", table.dataset, table.table);
        (name, table.rows)
    });
    busiest(html, status, tables);
}

/// The lists of tables and jobs, and the first rows.
pub(super) fn cards(html: &mut String, tables: &[TableView], bigquery: &BigQuery) {
    tables_card(html, tables);
    jobs_card(html, &bigquery.jobs());
    for table in tables
        .iter()
        .filter(|table| table.rows > 0)
        .take(TABLES_SHOWN)
    {
        rows_card(html, table, bigquery);
    }
}

fn tables_card(html: &mut String, tables: &[TableView]) {
    if tables.is_empty() {
        return;
    }
    html.push_str(
        r#"<section class="card"><h2>BigQuery tables</h2><div class="scroll" data-scroll="bigquery-tables"><table><tr><th>table</th><th class="number">rows</th><th class="number">size</th><th class="number">columns</th><th class="number">jobs today</th></tr>"#,
    );
    for table in tables.iter().take(TABLES_LISTED) {
        put(
            html,
            format_args!(
                r#"<tr><td class="path">{}.{}.<wbr>{}</td><td class="number">{}</td><td class="number">{}</td><td class="number">{}</td><td class="number">{}</td></tr>"#,
                escape(&table.project),
                escape(&table.dataset),
                escape(&table.table),
                count(table.rows as u64),
                size(table.bytes),
                table.columns.len(),
                table.jobs_today
            ),
        );
    }
    html.push_str("</table></div></section>");
}

fn jobs_card(html: &mut String, jobs: &[JobView]) {
    if jobs.is_empty() {
        return;
    }
    html.push_str(
        r#"<section class="card"><h2>Last BigQuery jobs</h2><div class="scroll" data-scroll="bigquery-jobs"><table><tr><th>state</th><th>kind</th><th>job</th><th>table</th><th>outcome</th></tr>"#,
    );
    for job in jobs.iter().take(JOBS_SHOWN) {
        let class = match (job.state.as_str(), &job.error) {
            ("DONE", None) => "good",
            ("DONE", Some(_)) => "bad",
            _ => "warn",
        };
        let outcome = match &job.error {
            Some((reason, _)) => reason.clone(),
            None => figures_of(&job.statistics),
        };
        put(
            html,
            format_args!(
                r#"<tr><td><span class="mark {class}">{}</span></td><td>{}</td><td class="path">{}</td><td class="path">{}</td><td>{}</td></tr>"#,
                escape(&job.state),
                escape(&job.kind),
                escape(&job.id),
                escape(job.table.as_deref().unwrap_or_default()),
                escape(&outcome)
            ),
        );
    }
    html.push_str("</table></div></section>");
}

/// What a job did, in a few words.
fn figures_of(statistics: &Value) -> String {
    let number = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(rows) = number(&statistics["outputRows"]).or(number(&statistics["copiedRows"])) {
        return format!("{rows} rows");
    }
    let changed = &statistics["dmlStats"];
    if changed.is_object() {
        return format!(
            "+{} ~{} −{}",
            changed["insertedRowCount"].as_str().unwrap_or("0"),
            changed["updatedRowCount"].as_str().unwrap_or("0"),
            changed["deletedRowCount"].as_str().unwrap_or("0")
        );
    }
    number(&statistics["statementType"]).unwrap_or_default()
}

fn rows_card(html: &mut String, table: &TableView, bigquery: &BigQuery) {
    let rows = bigquery.peek(&table.project, &table.dataset, &table.table, ROWS_SHOWN);
    let name = format!("{}.{}", table.dataset, table.table);
    let columns = table.columns.iter();
    first_rows(html, "bigquery", &name, columns, &rows, TEXT_SHOWN);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_is_told_in_a_few_words() {
        assert_eq!(figures_of(&json!({"outputRows": "7"})), "7 rows");
        let stats = json!({"dmlStats": {"insertedRowCount": "1", "updatedRowCount": "2"}});
        assert_eq!(figures_of(&stats), "+1 ~2 −0");
        assert_eq!(figures_of(&json!({"statementType": "SELECT"})), "SELECT");
        assert_eq!(figures_of(&Value::Null), "");
    }
}
