//! CRM on the page: its modules, jobs and credits, and the first records. What the modules hold is made
//! up, so it may be shown.

use serde_json::Value;

use super::table::busiest;
use super::{count, escape, put};
use crate::control::Status;
use crate::crm::{Crm, CrmJobView, ModuleView};

/// How many modules show records.
const MODULES_SHOWN: usize = 3;
/// How many jobs are listed.
const JOBS_SHOWN: usize = 12;
/// How many records of a module are shown.
const RECORDS_SHOWN: usize = 6;
/// Fields that are shown of a record, where it has them.
const FIELDS_SHOWN: [&str; 12] = [
    "id",
    "Last_Name",
    "First_Name",
    "Company",
    "Account_Name",
    "Email",
    "Phone",
    "Mobile",
    "City",
    "Score",
    "External_Id",
    "Modified_Time",
];
/// A longer text is cut on the page.
const TEXT_SHOWN: usize = 40;

/// Curves and figures of the modules that records came for, the busiest first.
pub(super) fn figures(html: &mut String, status: &Status, modules: &[ModuleView]) {
    let modules = modules.iter();
    let modules = modules.map(|module| (format!("crm/{}", module.module), module.records));
    busiest(html, status, modules);
}

/// The lists of modules and jobs, the credits, and the first records.
pub(super) fn cards(html: &mut String, modules: &[ModuleView], crm: &Crm) {
    let jobs = crm.jobs_view();
    let filled: Vec<&ModuleView> = modules.iter().filter(|module| module.records > 0).collect();
    let credits = crm.credits_view();
    if filled.is_empty() && jobs.is_empty() && credits.used_ever == 0 {
        return;
    }
    put(
        html,
        format_args!(
            r#"<section class="card"><h2>Zoho CRM <span class="soft">{} credits used, {} left</span></h2><div class="scroll" data-scroll="crm-modules"><table><tr><th>module</th><th class="number">records</th><th class="number">fields</th><th>last change</th></tr>"#,
            count(credits.used),
            count(credits.remaining)
        ),
    );
    for module in &filled {
        put(
            html,
            format_args!(
                r#"<tr><td class="path">{}</td><td class="number">{}</td><td class="number">{}</td><td>{}</td></tr>"#,
                escape(&module.module),
                count(module.records as u64),
                module.fields.len(),
                escape(module.last_change.as_deref().unwrap_or_default())
            ),
        );
    }
    html.push_str("</table></div></section>");
    jobs_card(html, &jobs);
    for module in filled.iter().take(MODULES_SHOWN) {
        records_card(html, module, crm);
    }
}

fn jobs_card(html: &mut String, jobs: &[CrmJobView]) {
    if jobs.is_empty() {
        return;
    }
    html.push_str(
        r#"<section class="card"><h2>Last CRM jobs</h2><div class="scroll" data-scroll="crm-jobs"><table><tr><th>state</th><th>operation</th><th>job</th><th>module</th><th>outcome</th></tr>"#,
    );
    for job in jobs.iter().take(JOBS_SHOWN) {
        let class = match job.state.as_str() {
            "COMPLETED" if job.skipped == 0 => "good",
            "FAILED" | "FAILURE" => "bad",
            _ => "warn",
        };
        put(
            html,
            format_args!(
                r#"<tr><td><span class="mark {class}">{}</span></td><td>{}</td><td class="path">{}</td><td class="path">{}</td><td>{}</td></tr>"#,
                escape(&job.state),
                escape(&job.operation),
                job.id,
                escape(&job.module),
                escape(&outcome_of(job))
            ),
        );
    }
    html.push_str("</table></div></section>");
}

/// What a job did, in a few words.
fn outcome_of(job: &CrmJobView) -> String {
    if let Some(error) = &job.error {
        return error.clone();
    }
    if job.operation != "read" {
        return format!("+{} ~{} −{}", job.added, job.updated, job.skipped);
    }
    let more = if job.more_records {
        ", more to come"
    } else {
        ""
    };
    format!("{} records{more}", count(job.rows as u64))
}

fn records_card(html: &mut String, module: &ModuleView, crm: &Crm) {
    let is_there =
        |field: &&str| *field == "id" || module.fields.iter().any(|known| known == field);
    let fields: Vec<&str> = FIELDS_SHOWN.into_iter().filter(is_there).collect();
    let name = escape(&module.module);
    put(
        html,
        format_args!(
            r#"<section class="card"><h2>crm/{name} <span class="soft">first records</span></h2><div class="scroll" data-scroll="crm-{name}"><table><tr>"#
        ),
    );
    for field in &fields {
        put(html, format_args!("<th>{}</th>", escape(field)));
    }
    html.push_str("</tr>");
    for record in crm.peek(&module.module, RECORDS_SHOWN) {
        html.push_str("<tr>");
        for field in &fields {
            put(
                html,
                format_args!(
                    r#"<td class="value">{}</td>"#,
                    escape(&show(&record[*field]))
                ),
            );
        }
        html.push_str("</tr>");
    }
    html.push_str("</table></div></section>");
}

fn show(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(lookup) => lookup
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        other => other.to_string(),
    };
    if text.chars().count() <= TEXT_SHOWN {
        return text;
    }
    text.chars().take(TEXT_SHOWN).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_told_in_a_few_words() {
        let mut job = CrmJobView {
            id: 1,
            operation: "upsert".to_owned(),
            module: "Leads".to_owned(),
            state: "COMPLETED".to_owned(),
            rows: 3,
            added: 1,
            updated: 2,
            skipped: 0,
            more_records: false,
            error: None,
        };
        assert_eq!(outcome_of(&job), "+1 ~2 −0");
        job.operation = "read".to_owned();
        job.more_records = true;
        assert_eq!(outcome_of(&job), "3 records, more to come");
        job.error = Some("INTERNAL_SERVER_ERROR".to_owned());
        assert_eq!(outcome_of(&job), "INTERNAL_SERVER_ERROR");
    }
}
