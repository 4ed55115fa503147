//! What may be done how often, by the name of a table, so that making it anew changes nothing.
//! Facts: sections 2, 5 and 6.

use std::collections::{HashMap, VecDeque};

use super::answer::ApiError;
use super::table::TableName;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// The window in which changes and loads of one table are counted, in milliseconds.
const WINDOW_MS: u64 = 10_000;

/// How often something may be done; the numbers of the flags, which a control request can change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) table_jobs_per_day: u32,
    pub(crate) metadata_updates: u32,
    pub(crate) loads: u32,
    pub(crate) queued_dml: u32,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    table_jobs: HashMap<TableName, (u64, u32)>,
    metadata: HashMap<TableName, VecDeque<u64>>,
    loads: HashMap<TableName, VecDeque<u64>>,
}

impl Quotas {
    /// Counts a job that changes a table, and refuses it if it is one too many. A refused one counts
    /// as well.
    pub(crate) fn count_table_job(
        &mut self,
        table: &TableName,
        limits: &Limits,
        now_ms: u64,
    ) -> Result<(), ApiError> {
        let day = now_ms / DAY_MS;
        let (counted_day, count) = self.table_jobs.entry(table.clone()).or_insert((day, 0));
        if *counted_day != day {
            (*counted_day, *count) = (day, 0);
        }
        *count += 1;
        if *count > limits.table_jobs_per_day {
            return Err(ApiError::new(
                403,
                "quotaExceeded",
                "Quota exceeded: Your table exceeded quota for imports or query appends per table. For more information, see https://cloud.google.com/bigquery/docs/troubleshoot-quotas",
            )
            .at("load_job_per_table.long"));
        }
        Ok(())
    }

    /// Counts a load into a table, and refuses it if they come too fast.
    pub(crate) fn count_load(
        &mut self,
        table: &TableName,
        limits: &Limits,
        now_ms: u64,
    ) -> Result<(), ApiError> {
        if within(&mut self.loads, table, limits.loads, now_ms) {
            return Ok(());
        }
        Err(ApiError::new(
            403,
            "rateLimitExceeded",
            "Exceeded rate limits: too many table update operations for this table. For more information, see https://cloud.google.com/bigquery/docs/troubleshoot-quotas",
        ))
    }

    /// Counts a change of the metadata of a table, and refuses it if they come too fast.
    pub(crate) fn count_metadata(
        &mut self,
        table: &TableName,
        limits: &Limits,
        now_ms: u64,
    ) -> Result<(), ApiError> {
        if within(&mut self.metadata, table, limits.metadata_updates, now_ms) {
            return Ok(());
        }
        Err(ApiError::new(
            403,
            "rateLimitExceeded",
            "Exceeded rate limits: too many table update operations for this table. For more information, see https://cloud.google.com/bigquery/docs/troubleshoot-quotas",
        ))
    }

    /// Jobs of today by table.
    pub(crate) fn jobs_today(&self, table: &TableName, now_ms: u64) -> u32 {
        match self.table_jobs.get(table) {
            Some((day, count)) if *day == now_ms / DAY_MS => *count,
            _ => 0,
        }
    }
}

fn within(
    done: &mut HashMap<TableName, VecDeque<u64>>,
    table: &TableName,
    limit: u32,
    now_ms: u64,
) -> bool {
    let times = done.entry(table.clone()).or_default();
    while times.front().is_some_and(|time| time + WINDOW_MS <= now_ms) {
        times.pop_front();
    }
    if times.len() >= limit as usize {
        return false;
    }
    times.push_back(now_ms);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        table_jobs_per_day: 2,
        metadata_updates: 5,
        loads: 5,
        queued_dml: 20,
    };

    #[test]
    fn jobs_are_counted_by_table_and_day() {
        let mut quotas = Quotas::default();
        let table = TableName::new("p", "d", "t");
        for expected in [true, true, false] {
            let counted = quotas.count_table_job(&table, &LIMITS, 5);
            assert_eq!(counted.is_ok(), expected);
        }
        let other = TableName::new("p", "d", "u");
        assert!(quotas.count_table_job(&other, &LIMITS, 5).is_ok());
        assert_eq!(quotas.jobs_today(&table, 5), 3);
        assert!(quotas.count_table_job(&table, &LIMITS, DAY_MS).is_ok());
    }

    #[test]
    fn changes_are_counted_over_ten_seconds() {
        let mut quotas = Quotas::default();
        let table = TableName::new("p", "d", "t");
        for second in 0..5 {
            assert!(
                quotas
                    .count_metadata(&table, &LIMITS, second * 1000)
                    .is_ok()
            );
        }
        let error = quotas.count_metadata(&table, &LIMITS, 9999).unwrap_err();
        assert_eq!(error.reason, "rateLimitExceeded");
        assert!(quotas.count_metadata(&table, &LIMITS, 10_000).is_ok());
        assert!(quotas.count_load(&table, &LIMITS, 10_000).is_ok());
    }
}
