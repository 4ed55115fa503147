//! Units: what Analytics charges for, as far as its pages say so, counted while it is spent.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::config::Mode;

/// What was spent, in hundredths of a unit, by what it was spent on.
#[derive(Debug, Default)]
pub struct Units {
    imports: AtomicU64,
    rows: AtomicU64,
    metadata: AtomicU64,
}

/// Units for 1,000 rows, in hundredths.
const APPENDED: u64 = 1_000;
const UPSERTED: u64 = 1_500;

/// One call about a row, in hundredths: added, changed, deleted.
const ADDED_ROW: u64 = 10;
const CHANGED_ROW: u64 = 30;

/// A call about tables and columns costs between a tenth of a unit and five; most are cheap.
const METADATA: u64 = 10;
const ADDED_COLUMNS: u64 = 1_500;

impl Units {
    /// Rows were imported; each thousand that is begun counts.
    pub fn import(&self, mode: Mode, rows: u64) {
        let thousands = rows.div_ceil(1_000);
        self.imports
            .fetch_add(thousands * per_thousand(mode), Ordering::Relaxed);
    }

    /// A row was added or deleted.
    pub fn row_added(&self) {
        self.rows.fetch_add(ADDED_ROW, Ordering::Relaxed);
    }

    /// Rows were changed by one call.
    pub fn row_changed(&self) {
        self.rows.fetch_add(CHANGED_ROW, Ordering::Relaxed);
    }

    /// Something was asked or said about tables and columns.
    pub fn metadata(&self) {
        self.metadata.fetch_add(METADATA, Ordering::Relaxed);
    }

    /// Columns were added.
    pub fn columns_added(&self) {
        self.metadata.fetch_add(ADDED_COLUMNS, Ordering::Relaxed);
    }

    /// Everything so far, as text with two digits.
    pub fn total(&self) -> String {
        let all = [&self.imports, &self.rows, &self.metadata];
        text(all.iter().map(|part| part.load(Ordering::Relaxed)).sum())
    }

    /// Says in the log what was spent.
    pub fn tell(&self) {
        tracing::info!(
            imports = text(self.imports.load(Ordering::Relaxed)),
            rows = text(self.rows.load(Ordering::Relaxed)),
            metadata = text(self.metadata.load(Ordering::Relaxed)),
            total = self.total(),
            "units spent, by the published prices"
        );
    }
}

fn per_thousand(mode: Mode) -> u64 {
    match mode {
        Mode::Append | Mode::Replace => APPENDED,
        Mode::Upsert => UPSERTED,
        Mode::Row => 1_000 * CHANGED_ROW,
    }
}

/// What rows of a stream cost, for `--dry-run`; `remaining` is what the plan has left today.
pub(crate) fn price(mode: Mode, remaining: Option<&str>) -> Value {
    let per_thousand = match mode {
        // A row that is not there yet is added by the same call.
        Mode::Row => text(1_000 * CHANGED_ROW),
        mode => text(per_thousand(mode)),
    };
    json!({
        "units_per_1000_rows": per_thousand,
        "units_left_today": remaining,
    })
}

fn text(hundredths: u64) -> String {
    match hundredths % 100 {
        0 => (hundredths / 100).to_string(),
        rest => format!("{}.{rest:02}", hundredths / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thousand_that_is_begun_counts() {
        let units = Units::default();
        units.import(Mode::Upsert, 1_001);
        units.import(Mode::Replace, 1);
        units.row_changed();
        units.row_added();
        assert_eq!(units.total(), "40.40");
        units.metadata();
        units.columns_added();
        assert_eq!(units.total(), "55.50");
    }
}
