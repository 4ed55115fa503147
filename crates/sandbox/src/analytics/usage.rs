//! What calls cost and how often they may come. Facts: sections 5.1 and 5.2.

use std::collections::VecDeque;

use super::answer::Failure;
use super::options::{AnalyticsOptions, RowUnits, UnitRounding};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;

/// The group that a call is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Rows,
    Bulk,
    Metadata,
}

/// Units in thousandths, so that tenths and single rows add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Units(pub(crate) u64);

impl Units {
    pub(crate) const NONE: Units = Units(0);

    /// Whole units and a tenth.
    pub(crate) const fn tenths(tenths: u64) -> Units {
        Units(tenths * 100)
    }

    /// The units of so many rows.
    pub(crate) fn of_rows(rows: usize, per_thousand: u64, rounding: UnitRounding) -> Units {
        let rows = rows as u64;
        match rounding {
            UnitRounding::Up => Units(rows.div_ceil(1000) * per_thousand * 1000),
            UnitRounding::Exact => Units(rows * per_thousand),
        }
    }

    pub(crate) fn as_text(self) -> String {
        format!("{}", self.0 as f64 / 1000.0)
    }
}

/// What each kind of call costs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cost {
    Look,
    CreateTable,
    AddColumn,
    ChangeDesign,
    AddRow,
    UpdateRow,
    DeleteRow,
    /// Counted otherwise, or not at all.
    Nothing,
}

impl Cost {
    pub(crate) fn units(self, row_units: RowUnits) -> Units {
        let tenths = match (self, row_units) {
            (Cost::Nothing, _) => 0,
            (Cost::Look, _) => 1,
            (Cost::CreateTable, _) => 50,
            (Cost::AddColumn, _) => 150,
            (Cost::ChangeDesign, _) | (_, RowUnits::One) => 10,
            (Cost::AddRow | Cost::DeleteRow, RowUnits::Tenths) => 1,
            (Cost::UpdateRow, RowUnits::Tenths) => 3,
        };
        Units::tenths(tenths)
    }
}

/// How often calls may come and what they may cost; a control request can change it. 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) row_calls: u32,
    pub(crate) bulk_calls: u32,
    pub(crate) metadata_calls: u32,
    pub(crate) calls: u32,
    pub(crate) units: u64,
}

impl Limits {
    pub(crate) fn new(options: &AnalyticsOptions) -> Limits {
        Limits {
            row_calls: options.row_calls,
            bulk_calls: options.bulk_calls,
            metadata_calls: options.metadata_calls,
            calls: options.calls,
            units: options.units.unwrap_or_else(|| options.plan.units()),
        }
    }
}

/// What was used.
#[derive(Debug)]
pub(crate) struct Usage {
    pub(crate) limits: Limits,
    calls: VecDeque<(u64, Group)>,
    /// How many of them each group has.
    counts: [usize; 3],
    day: u64,
    pub(crate) used: Units,
}

impl Usage {
    pub(crate) fn new(limits: Limits) -> Usage {
        Usage {
            limits,
            calls: VecDeque::new(),
            counts: [0; 3],
            day: 0,
            used: Units::NONE,
        }
    }

    /// Counts a call, and refuses it if it is one too many; a refused one is not counted.
    pub(crate) fn count_call(&mut self, group: Group, now_ms: u64) -> Result<(), Failure> {
        while let Some((at, old)) = self.calls.front().copied()
            && at + MINUTE_MS <= now_ms
        {
            self.calls.pop_front();
            self.counts[old as usize] -= 1;
        }
        let of_group = self.counts[group as usize];
        let most = match group {
            Group::Rows => self.limits.row_calls,
            Group::Bulk => self.limits.bulk_calls,
            Group::Metadata => self.limits.metadata_calls,
        };
        let is_over = |count: usize, most: u32| most > 0 && count >= most as usize;
        if is_over(of_group, most) || is_over(self.calls.len(), self.limits.calls) {
            let message = "The number of API calls in a minute is exceeded";
            return Err(Failure::new(6045, message));
        }
        self.calls.push_back((now_ms, group));
        self.counts[group as usize] += 1;
        Ok(())
    }

    /// Refuses if the units of the day are used up, or are by the cost.
    pub(crate) fn charge(&mut self, cost: Units, now_ms: u64) -> Result<(), Failure> {
        self.turn_day(now_ms);
        let most = self.limits.units * 1000;
        if most > 0 && (self.used.0 >= most || self.used.0 + cost.0 > most) && cost > Units::NONE {
            let message = "The API units of the day are used up";
            return Err(Failure::new(6043, message));
        }
        self.used.0 += cost.0;
        Ok(())
    }

    /// Refuses if nothing is left.
    pub(crate) fn check_left(&mut self, now_ms: u64) -> Result<(), Failure> {
        self.turn_day(now_ms);
        if self.limits.units > 0 && self.used.0 >= self.limits.units * 1000 {
            let message = "The API units of the day are used up";
            return Err(Failure::new(6043, message));
        }
        Ok(())
    }

    /// Calls of the last minute.
    pub(crate) fn recent_calls(&self, now_ms: u64) -> usize {
        let recent = |(at, _): &&(u64, Group)| at + MINUTE_MS > now_ms;
        self.calls.iter().filter(recent).count()
    }

    fn turn_day(&mut self, now_ms: u64) {
        let day = now_ms / DAY_MS;
        if day != self.day {
            (self.day, self.used) = (day, Units::NONE);
        }
    }

    /// Sets the units that the day has seen.
    pub(crate) fn set_used(&mut self, units: u64, now_ms: u64) {
        self.turn_day(now_ms);
        self.used = Units(units * 1000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> Usage {
        Usage::new(Limits {
            row_calls: 3,
            bulk_calls: 2,
            metadata_calls: 3,
            calls: 4,
            units: 10,
        })
    }

    #[test]
    fn calls_are_counted_by_group_and_all_together() {
        let mut usage = usage();
        let mut count = |group, now_ms| usage.count_call(group, now_ms).map_err(|it| it.code);
        assert_eq!(count(Group::Bulk, 0), Ok(()));
        assert_eq!(count(Group::Bulk, 1), Ok(()));
        assert_eq!(count(Group::Bulk, 2), Err(6045));
        assert_eq!(count(Group::Rows, 3), Ok(()));
        assert_eq!(count(Group::Rows, 4), Ok(()));
        assert_eq!(count(Group::Metadata, 5), Err(6045));
        assert_eq!(count(Group::Bulk, 60_000), Ok(()));
    }

    #[test]
    fn units_are_of_a_day() {
        let mut usage = usage();
        let upsert = Units::of_rows(1, 15, UnitRounding::Up);
        assert_eq!(usage.charge(upsert, 0).unwrap_err().code, 6043);
        let exact = Units::of_rows(100, 15, UnitRounding::Exact);
        assert!(usage.charge(exact, 0).is_ok());
        assert_eq!(usage.used.as_text(), "1.5");
        usage.set_used(10, 0);
        assert!(usage.charge(Units::NONE, 0).is_ok());
        assert_eq!(usage.check_left(0).unwrap_err().code, 6043);
        assert!(usage.charge(Units::tenths(1), DAY_MS).is_ok());
    }
}
