//! `--check`: proves each permission that a run needs, one by one, without changing anything. What would
//! write is only planned (`dryRun`), which asks for the same permissions.

use singer_core::{Error, Kind, Result};

use crate::api::Fault;
use crate::config::{Method, Mode, StreamConfig};
use crate::place::Place;
use crate::sql;
use crate::warehouse::{Warehouse, lacks};

const EDITOR: &str = "roles/bigquery.dataEditor";
const JOB_USER: &str = "roles/bigquery.jobUser";
const USER: &str = "roles/bigquery.user";

/// A table that nobody has, to plan its creation.
const PROBE: &str = "_antiphon_check";

/// What was found out.
#[derive(Default)]
struct Findings {
    missing: Vec<Error>,
    /// What could not be tried, as an emulator does not plan it.
    untried: Vec<&'static str>,
}

/// Says in one line what works, or fails with what does not.
pub(crate) async fn check(warehouse: &Warehouse) -> Result<String> {
    let mut findings = Findings::default();
    let project = warehouse.api.project();
    // The first request shows whether the credentials are any good.
    let location = warehouse.config.location.as_deref();
    plan(
        warehouse,
        &mut findings,
        "SELECT 1",
        location,
        "bigquery.jobs.create",
        JOB_USER,
    )
    .await?;
    let datasets = datasets(warehouse);
    for dataset in &datasets {
        check_dataset(warehouse, &mut findings, dataset).await?;
    }
    let Findings { missing, untried } = findings;
    if let Some(first) = missing.into_iter().reduce(join) {
        return Err(first);
    }
    let mut words = format!(
        "{} may write to {} of the project `{project}` at `{}`",
        warehouse.tokens.describe(),
        match datasets.as_slice() {
            [] => "data sets by column".to_owned(),
            [dataset] => format!("the data set `{dataset}`"),
            many => format!("{} data sets", many.len()),
        },
        warehouse.api.base(),
    );
    if !untried.is_empty() {
        words.push_str(&format!("; not tried: {}", untried.join(", ")));
    }
    Ok(words)
}

/// One error out of two: the first leads, the other is what else is to be done.
fn join(first: Error, second: Error) -> Error {
    let hints = second.hints().to_vec();
    let first = first.with_hint(format!("and: {}", second.message()));
    hints
        .into_iter()
        .fold(first, |error, hint| error.with_hint(hint))
}

/// The data sets that are known before there are rows: those named as they are, and those of `tenants`.
fn datasets(warehouse: &Warehouse) -> Vec<String> {
    let config = &warehouse.config;
    let general = &config.general;
    let streams = config.streams.iter().map(|(_, stream)| stream);
    let mut datasets: Vec<String> = streams
        .chain([general])
        .flat_map(|stream| datasets_of(stream, general))
        .collect();
    datasets.sort_unstable();
    datasets.dedup();
    datasets
}

fn datasets_of(stream: &StreamConfig, general: &StreamConfig) -> Vec<String> {
    let mut datasets = Vec::new();
    let tenants = stream.tenants.as_ref().or(general.tenants.as_ref());
    if let Some(name) = stream.dataset.as_ref().or(general.dataset.as_ref()) {
        expand(name, tenants.map_or(&[], Vec::as_slice), &mut datasets);
    }
    datasets
}

/// A name that depends on one column, with each value that the column may have.
fn expand(name: &str, tenants: &[String], datasets: &mut Vec<String>) {
    let parts = name.split_once('{').and_then(|(before, rest)| {
        let (_, after) = rest.split_once('}')?;
        Some((before, after))
    });
    match parts {
        None => datasets.push(name.to_owned()),
        Some((before, after)) if !after.contains('{') => {
            datasets.extend(
                tenants
                    .iter()
                    .map(|tenant| format!("{before}{tenant}{after}")),
            );
        }
        Some(_) => {}
    }
}

async fn check_dataset(
    warehouse: &Warehouse,
    findings: &mut Findings,
    dataset: &str,
) -> Result<()> {
    let what = format!("cannot read the data set `{dataset}`");
    let found = match warehouse.api.dataset(dataset).await {
        Ok(found) => found,
        Err(fault) => return findings.take(fault, &what, "bigquery.datasets.get", EDITOR),
    };
    let Some(found) = found else {
        if !warehouse.config.create_dataset {
            findings.missing.push(
                Error::rejected(format!("the data set `{dataset}` is not there"))
                    .with_hint("create it, or leave `create_dataset` on"),
            );
            return Ok(());
        }
        let statement = format!("CREATE SCHEMA {}", sql::name(dataset));
        let location = warehouse.config.location.as_deref();
        return plan(
            warehouse,
            findings,
            &statement,
            location,
            "bigquery.datasets.create",
            USER,
        )
        .await;
    };
    let location = match warehouse.check_location(dataset, found.location) {
        Ok(location) => location,
        Err(error) => {
            findings.missing.push(error);
            return Ok(());
        }
    };
    let location = location.as_deref();
    let tables = match warehouse.api.list_tables(dataset).await {
        Ok(tables) => tables,
        Err(fault) => {
            let what = format!("cannot list the tables of `{dataset}`");
            return findings.take(fault, &what, "bigquery.tables.list", EDITOR);
        }
    };
    let path = |table: &str| sql::path(warehouse.api.project(), &Place::new(dataset, table));
    let statement = format!("CREATE TABLE {} (x INT64)", path(PROBE));
    plan(
        warehouse,
        findings,
        &statement,
        location,
        "bigquery.tables.create",
        EDITOR,
    )
    .await?;
    let Some(table) = own_table(warehouse, dataset, &tables) else {
        return Ok(());
    };
    let statement = format!("SELECT * FROM {} LIMIT 1", path(&table));
    plan(
        warehouse,
        findings,
        &statement,
        location,
        "bigquery.tables.getData",
        EDITOR,
    )
    .await?;
    let statement = format!("DELETE FROM {} WHERE FALSE", path(&table));
    plan(
        warehouse,
        findings,
        &statement,
        location,
        "bigquery.tables.updateData",
        EDITOR,
    )
    .await?;
    let statement = format!(
        "ALTER TABLE {} ADD COLUMN IF NOT EXISTS {PROBE} INT64",
        path(&table)
    );
    plan(
        warehouse,
        findings,
        &statement,
        location,
        "bigquery.tables.update",
        EDITOR,
    )
    .await
}

/// A table that a run would write to, if there is one already.
fn own_table(warehouse: &Warehouse, dataset: &str, tables: &[String]) -> Option<String> {
    let streams = warehouse.config.streams.iter();
    let named = streams.filter_map(|(name, stream)| {
        let own = datasets_of(stream, &warehouse.config.general);
        let is_here = own.iter().any(|own| own == dataset);
        let table = stream.table.clone().unwrap_or_else(|| name.to_owned());
        (is_here && stream.mode != Some(Mode::Replace)).then_some(table)
    });
    let named: Vec<String> = named.collect();
    tables.iter().find(|table| named.contains(table)).cloned()
}

/// Has a statement planned; a refusal is a finding.
async fn plan(
    warehouse: &Warehouse,
    findings: &mut Findings,
    statement: &str,
    location: Option<&str>,
    permission: &'static str,
    role: &str,
) -> Result<()> {
    // Rows by insertAll or by the Storage Write API need no jobs.
    let is_job_alone = permission == "bigquery.jobs.create";
    let needs_jobs = warehouse.config.method == Method::Load;
    match warehouse.api.dry_run(statement, location).await {
        Ok(_) => Ok(()),
        Err(fault) if fault.is("accessDenied") && is_job_alone && !needs_jobs => {
            findings
                .untried
                .push("permissions that only planned statements show");
            Ok(())
        }
        Err(fault) => {
            let what = format!("the permission `{permission}` is not there");
            match &fault {
                Fault::Refused(refused) if refused.reason == "accessDenied" => {
                    findings.take(fault, &what, permission, role)
                }
                // What an emulator does not plan says nothing about permissions.
                Fault::Refused(refused) if refused.status != 401 && !refused.is_quota() => {
                    findings.untried.push(permission);
                    Ok(())
                }
                _ => Err(fault.error("cannot plan a statement")),
            }
        }
    }
}

impl Findings {
    /// Notes what is missing; what is wrong for all ends the check.
    fn take(&mut self, fault: Fault, what: &str, permission: &str, role: &str) -> Result<()> {
        let error = lacks(fault, what, permission, role);
        match error.kind() {
            Kind::Rejected => {
                self.missing.push(error);
                Ok(())
            }
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_sets_of_tenants_are_known_if_the_config_lists_them() {
        let tenants = ["1".to_owned(), "b".to_owned()];
        let all = |name: &str, tenants: &[String]| {
            let mut datasets = Vec::new();
            expand(name, tenants, &mut datasets);
            datasets
        };
        assert_eq!(all("plain", &tenants), ["plain"]);
        assert_eq!(all("org_{id}_x", &tenants), ["org_1_x", "org_b_x"]);
        assert!(all("org_{id}", &[]).is_empty());
        assert!(all("{a}_{b}", &tenants).is_empty());
    }
}
