//! When a run is due: without IO, so that every clock can be tried.
//!
//! A pipeline remembers one moment, up to which its times count as done. Whatever happened since (the
//! process was down, the machine slept, the clock was set forward), the newest due time behind that
//! moment means one run and never a burst. A clock that is set back repeats nothing: the times that were
//! done stay done, until the clock has passed them again. Only a step back of more than three hours is
//! taken for a correction, as cron does, and counts from there.

use std::time::Duration;

use chrono::{DateTime, Local, TimeDelta, TimeZone, Utc};
use croner::Cron;
use singer_core::{Result, fnv};

use crate::spec::{LocalTime, Pipeline, schedule};

/// What happens to a time that was missed for longer than the schedule's period at that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    WithinPeriod,
    /// One run makes up for it all the same, and for a pipeline that never ran.
    Run,
}

/// The schedule of one pipeline and how far it is done.
#[derive(Debug, Clone)]
pub(super) struct Timetable {
    cron: Cron,
    zone: Zone,
    /// The pipeline's own moment behind each due time.
    offset: TimeDelta,
    /// Everything up to here is done; unknown until the history was read.
    done: Option<DateTime<Utc>>,
    /// From one moment to another there is nothing to do: most looks end here.
    quiet: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zone {
    Utc,
    Local,
    #[cfg(test)]
    Berlin,
}

/// What a look at the clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing to do.
    Wait,
    /// A run, for this due time; so many more were missed before it.
    Run { due: DateTime<Utc>, missed: u32 },
    /// That time was missed too long ago.
    TooLate { due: DateTime<Utc> },
    /// The clock was set far back; it counts from there.
    SetBack,
}

/// A step back of more than this is a correction of the clock.
const CORRECTION: TimeDelta = TimeDelta::hours(3);
/// So many missed times are counted.
const MOST_MISSED: u32 = 1000;
/// How long after its moment a run still counts as on time.
const ON_TIME: TimeDelta = TimeDelta::minutes(1);

impl Timetable {
    /// The timetable of a pipeline; none if it has no schedule. `now` is where the gaps between its times
    /// are looked at.
    ///
    /// # Errors
    /// Of kind `Config` for a schedule that cannot be read.
    pub(super) fn of(
        pipeline: &Pipeline,
        jitter: Duration,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>> {
        let Some(text) = &pipeline.schedule else {
            return Ok(None);
        };
        let zone = match pipeline.local_time {
            LocalTime::Utc => Zone::Utc,
            LocalTime::Local => Zone::Local,
        };
        Self::new(text, zone, &pipeline.name, jitter, now).map(Some)
    }

    fn new(
        text: &str,
        zone: Zone,
        name: &str,
        jitter: Duration,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let mut table = Self {
            cron: schedule::parse(text)?,
            zone,
            offset: TimeDelta::zero(),
            done: None,
            quiet: None,
        };
        let period = table.shortest_period(now);
        table.offset = offset(name, jitter, period);
        Ok(table)
    }

    /// Whether it is known how far it is done.
    pub(super) fn is_known(&self) -> bool {
        self.done.is_some()
    }

    /// The pipeline's own moment behind each due time.
    #[cfg(test)]
    pub(super) fn offset(&self) -> TimeDelta {
        self.offset
    }

    /// Learns from the history: the start of the last run, if there was any.
    pub(super) fn learn(
        &mut self,
        last_start: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        late: Late,
    ) {
        self.quiet = None;
        self.done = Some(match (last_start, late) {
            (Some(start), _) => start,
            // What never ran begins with its next time, or with the one before.
            (None, Late::Run) => self
                .previous(now)
                .map_or(now, |due| due - TimeDelta::seconds(1)),
            (None, Late::WithinPeriod) => now,
        });
    }

    /// Takes over from the timetable that stood here before the file changed.
    pub(super) fn inherit(&mut self, old: &Self, now: DateTime<Utc>) {
        self.quiet = None;
        // Times of a new schedule that lie in the past were never promised.
        self.done = if old.cron.as_str() == self.cron.as_str() && old.zone == self.zone {
            old.done
        } else {
            old.done.map(|done| done.max(now - self.offset))
        };
    }

    /// Looks at the clock. What it says is done from now on.
    pub(super) fn look(&mut self, now: DateTime<Utc>, late: Late) -> Look {
        if self.quiet_until(now).is_some() {
            return Look::Wait;
        }
        let look = self.look_closely(now, late);
        self.quiet = self.next(now).map(|next| (now, next));
        look
    }

    /// The end of the quiet time that this moment is in.
    fn quiet_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (from, to) = self.quiet?;
        (from <= now && now < to).then_some(to)
    }

    fn look_closely(&mut self, now: DateTime<Utc>, late: Late) -> Look {
        let Some(done) = self.done else {
            return Look::Wait;
        };
        if done - now > CORRECTION {
            self.done = Some(now);
            return Look::SetBack;
        }
        let Some(due) = self.previous(now - self.offset).filter(|due| *due > done) else {
            return Look::Wait;
        };
        self.done = Some(due);
        let period = self
            .previous(due - TimeDelta::seconds(1))
            .map_or(TimeDelta::MAX, |before| due - before);
        let waited = now - self.offset - due;
        if waited > ON_TIME && waited > period && late == Late::WithinPeriod {
            return Look::TooLate { due };
        }
        Look::Run {
            due,
            missed: self.missed_between(done, due),
        }
    }

    /// The next moment at which [`Self::look`] will have something to say.
    pub(super) fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if let Some(next) = self.quiet_until(now) {
            return Some(next);
        }
        let from = self.done.map_or(now, |done| done.max(now - self.offset));
        Some(self.following(from)? + self.offset)
    }

    fn missed_between(&self, done: DateTime<Utc>, due: DateTime<Utc>) -> u32 {
        let mut at = done;
        let mut missed = 0;
        while let Some(next) = self.following(at).filter(|next| *next < due) {
            at = next;
            missed += 1;
            if missed == MOST_MISSED {
                break;
            }
        }
        missed
    }

    /// The shortest of the next gaps.
    fn shortest_period(&self, now: DateTime<Utc>) -> TimeDelta {
        const LOOKED_AT: usize = 24;
        let times = std::iter::successors(self.following(now), |time| self.following(*time));
        let times: Vec<_> = times.take(LOOKED_AT).collect();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.min().unwrap_or(TimeDelta::MAX)
    }

    /// The first due time after a moment.
    fn following(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        fn at<Z: TimeZone>(cron: &Cron, moment: DateTime<Z>) -> Option<DateTime<Utc>> {
            let found = cron.find_next_occurrence(&moment, false).ok()?;
            Some(found.with_timezone(&Utc))
        }
        match self.zone {
            Zone::Utc => at(&self.cron, moment),
            Zone::Local => at(&self.cron, moment.with_timezone(&Local)),
            #[cfg(test)]
            Zone::Berlin => at(&self.cron, moment.with_timezone(&tests::Berlin)),
        }
    }

    /// The last due time before or at a moment.
    fn previous(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        fn at<Z: TimeZone>(cron: &Cron, moment: DateTime<Z>) -> Option<DateTime<Utc>> {
            let found = cron.find_previous_occurrence(&moment, true).ok()?;
            Some(found.with_timezone(&Utc))
        }
        match self.zone {
            Zone::Utc => at(&self.cron, moment),
            Zone::Local => at(&self.cron, moment.with_timezone(&Local)),
            #[cfg(test)]
            Zone::Berlin => at(&self.cron, moment.with_timezone(&tests::Berlin)),
        }
    }
}

/// A moment of its own for each name, always the same, so that many pipelines that are due at once do
/// not start at once. Spread over the jitter, and over half the period at most.
fn offset(name: &str, jitter: Duration, period: TimeDelta) -> TimeDelta {
    let jitter = TimeDelta::from_std(jitter).unwrap_or(TimeDelta::MAX);
    let spread = jitter.min(period / 2).num_milliseconds();
    let hash = fnv::mix(fnv::START, name.bytes());
    // Its low bits alone tell names apart badly that differ in the last letter.
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    match u64::try_from(spread) {
        Ok(spread) if spread > 0 => TimeDelta::milliseconds((mixed % spread) as i64),
        _ => TimeDelta::zero(),
    }
}

#[cfg(test)]
pub(super) mod tests;
