//! Due times over clock jumps, daylight saving and restarts, with a clock that stands still.

use chrono::{FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime};

use super::*;

/// A pipeline with this schedule.
pub(in crate::schedule) fn pipeline(name: &str, schedule: &str) -> Pipeline {
    let folder = singer_test::folder::Folder::new();
    let file = folder.write(
        "antiphon.toml",
        format!("[pipelines.{name}]\ntap = {{ exec = \"t\" }}\ntarget = {{ exec = \"u\" }}\nschedule = \"{schedule}\"\n"),
    );
    let project = crate::spec::Project::load(Some(&file)).unwrap();
    project.pipelines[name].clone()
}

/// Berlin in the year 2026: an hour before UTC, two from 29 March to 25 October, both at 01:00 UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Berlin;

fn moment(text: &str) -> DateTime<Utc> {
    format!("{text}Z").parse().unwrap()
}

fn hours(hours: i32) -> FixedOffset {
    FixedOffset::east_opt(hours * 3600).unwrap()
}

impl TimeZone for Berlin {
    type Offset = FixedOffset;

    fn from_offset(_: &FixedOffset) -> Self {
        Self
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<FixedOffset> {
        self.offset_from_local_datetime(&local.and_hms_opt(0, 0, 0).unwrap())
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<FixedOffset> {
        let at = |offset: i32| {
            let utc = *local - TimeDelta::hours(i64::from(offset));
            self.offset_from_utc_datetime(&utc) == hours(offset)
        };
        match (at(2), at(1)) {
            (true, true) => MappedLocalTime::Ambiguous(hours(2), hours(1)),
            (true, false) => MappedLocalTime::Single(hours(2)),
            (false, true) => MappedLocalTime::Single(hours(1)),
            (false, false) => MappedLocalTime::None,
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> FixedOffset {
        self.offset_from_utc_datetime(&utc.and_hms_opt(0, 0, 0).unwrap())
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> FixedOffset {
        let summer =
            moment("2026-03-29T01:00:00").naive_utc()..moment("2026-10-25T01:00:00").naive_utc();
        hours(if summer.contains(utc) { 2 } else { 1 })
    }
}

/// A timetable without jitter whose last run began at a moment.
fn table(schedule: &str, zone: Zone, last: &str) -> Timetable {
    let mut table = Timetable::new(schedule, zone, "a", Duration::ZERO, moment(last)).unwrap();
    table.learn(Some(moment(last)), moment(last), Late::WithinPeriod);
    table
}

fn run(due: &str, missed: u32) -> Look {
    Look::Run {
        due: moment(due),
        missed,
    }
}

/// Everything that a clock which goes on minute by minute brings to run.
fn runs(table: &mut Timetable, from: &str, to: &str) -> Vec<String> {
    let mut now = moment(from);
    let mut runs = Vec::new();
    while now < moment(to) {
        match table.look(now, Late::WithinPeriod) {
            Look::Wait => {}
            Look::Run { due, missed: 0 } => runs.push(due.format("%dT%H:%M").to_string()),
            other => panic!("{other:?} at {now}"),
        }
        now += TimeDelta::minutes(1);
    }
    runs
}

#[test]
fn each_due_time_means_one_run() {
    let mut table = table("*/20 * * * *", Zone::Utc, "2026-01-01T00:05:00");
    assert_eq!(
        table.next(moment("2026-01-01T00:06:00")),
        Some(moment("2026-01-01T00:20:00"))
    );
    assert_eq!(
        runs(&mut table, "2026-01-01T00:05:00", "2026-01-01T01:30:00"),
        ["01T00:20", "01T00:40", "01T01:00", "01T01:20"]
    );
}

#[test]
fn what_was_missed_is_run_once_and_never_in_a_burst() {
    // Down, asleep, or set forward: it looks the same from here.
    let mut table = table("*/20 * * * *", Zone::Utc, "2026-01-01T00:05:00");
    let now = moment("2026-01-01T09:15:30");
    assert_eq!(
        table.look(now, Late::WithinPeriod),
        run("2026-01-01T09:00:00", 26)
    );
    assert_eq!(table.look(now, Late::WithinPeriod), Look::Wait);
    assert_eq!(table.next(now), Some(moment("2026-01-01T09:20:00")));
}

#[test]
fn what_was_missed_longer_ago_than_a_period_is_run_only_on_demand() {
    // Friday at 17:00 was missed, and it is Sunday.
    let friday = || table("0 9-17 * * 1-5", Zone::Utc, "2026-01-02T16:00:05");
    let sunday = moment("2026-01-04T12:00:00");
    let due = moment("2026-01-02T17:00:00");
    let mut one = friday();
    assert_eq!(one.look(sunday, Late::WithinPeriod), Look::TooLate { due });
    assert_eq!(one.look(sunday, Late::WithinPeriod), Look::Wait);
    assert_eq!(
        friday().look(sunday, Late::Run),
        run("2026-01-02T17:00:00", 0)
    );
    let evening = moment("2026-01-02T17:59:00");
    assert_eq!(
        friday().look(evening, Late::WithinPeriod),
        run("2026-01-02T17:00:00", 0)
    );
}

#[test]
fn a_clock_that_is_set_back_repeats_nothing() {
    let mut table = table("*/20 * * * *", Zone::Utc, "2026-01-01T00:00:00");
    assert_eq!(
        table.look(moment("2026-01-01T02:00:01"), Late::WithinPeriod),
        run("2026-01-01T02:00:00", 5)
    );
    // Back by an hour: what was done stays done.
    assert_eq!(
        runs(&mut table, "2026-01-01T01:00:00", "2026-01-01T02:30:00"),
        ["01T02:20"]
    );
    assert_eq!(
        table.next(moment("2026-01-01T01:00:00")),
        Some(moment("2026-01-01T02:40:00"))
    );
    // Back by a year: the clock was wrong before, and counts from there.
    let now = moment("2025-01-01T00:10:00");
    assert_eq!(table.look(now, Late::WithinPeriod), Look::SetBack);
    assert_eq!(
        runs(&mut table, "2025-01-01T00:10:00", "2025-01-01T00:50:00"),
        ["01T00:20", "01T00:40"]
    );
}

#[test]
fn what_never_ran_begins_with_its_next_time() {
    let now = moment("2026-01-01T12:00:00");
    let fresh = |late| {
        let mut table = Timetable::new("0 3 * * *", Zone::Utc, "a", Duration::ZERO, now).unwrap();
        assert_eq!(
            table.look(now, late),
            Look::Wait,
            "its history is not known"
        );
        assert!(!table.is_known());
        table.learn(None, now, late);
        table.look(now, late)
    };
    assert_eq!(fresh(Late::WithinPeriod), Look::Wait);
    assert_eq!(fresh(Late::Run), run("2026-01-01T03:00:00", 0));
}

#[test]
fn daylight_saving_loses_and_doubles_no_daily_run() {
    // 02:30 is not there on 29 March, and twice on 25 October.
    let mut spring = table("30 2 * * *", Zone::Berlin, "2026-03-27T23:00:00");
    let spring = runs(&mut spring, "2026-03-27T23:00:00", "2026-03-30T22:00:00");
    assert_eq!(spring.len(), 3, "{spring:?}");
    assert_eq!(
        (spring[0].as_str(), spring[2].as_str()),
        ("28T01:30", "30T00:30")
    );
    let mut autumn = table("30 2 * * *", Zone::Berlin, "2026-10-23T23:00:00");
    let autumn = runs(&mut autumn, "2026-10-23T23:00:00", "2026-10-26T22:00:00");
    assert_eq!(autumn, ["24T00:30", "25T00:30", "26T01:30"]);
}

#[test]
fn daylight_saving_does_not_stop_what_runs_all_the_time() {
    for (from, to) in [
        ("2026-03-28T23:00:00", "2026-03-29T04:00:00"),
        ("2026-10-24T23:00:00", "2026-10-25T04:00:00"),
    ] {
        let mut table = table("*/30 * * * *", Zone::Berlin, from);
        let found = runs(&mut table, from, to);
        assert_eq!(found.len(), 9, "{found:?}");
    }
}

#[test]
fn a_file_that_changes_keeps_what_is_done() {
    let now = moment("2026-01-01T02:10:00");
    let old = table("*/20 * * * *", Zone::Utc, "2026-01-01T02:00:00");
    let mut same = Timetable::new("*/20 * * * *", Zone::Utc, "a", Duration::ZERO, now).unwrap();
    same.inherit(&old, now);
    assert_eq!(
        same.look(moment("2026-01-01T02:20:00"), Late::WithinPeriod),
        run("2026-01-01T02:20:00", 0)
    );
    let mut other = Timetable::new("5 * * * *", Zone::Utc, "a", Duration::ZERO, now).unwrap();
    other.inherit(&old, now);
    assert_eq!(
        other.look(now, Late::WithinPeriod),
        Look::Wait,
        "02:05 was never promised"
    );
    assert_eq!(other.next(now), Some(moment("2026-01-01T03:05:00")));
}

#[test]
fn hundreds_of_pipelines_start_at_moments_of_their_own() {
    let now = moment("2026-01-01T00:00:00");
    let offset_of = |number: usize, schedule: &str, jitter| {
        let name = format!("tenant-{number}");
        Timetable::new(schedule, Zone::Utc, &name, jitter, now)
            .unwrap()
            .offset()
    };
    let jitter = Duration::from_secs(10);
    let mut seconds = [0; 10];
    for number in 0..300 {
        let offset = offset_of(number, "* * * * *", jitter);
        assert_eq!(
            offset,
            offset_of(number, "* * * * *", jitter),
            "always the same"
        );
        seconds[offset.num_seconds() as usize] += 1;
        let wide = offset_of(number, "* * * * *", Duration::from_secs(3600));
        assert!(wide < TimeDelta::seconds(30), "half the period at most");
    }
    assert!(
        seconds.iter().all(|count| (15..=48).contains(count)),
        "{seconds:?}"
    );
    assert_eq!(offset_of(1, "* * * * *", Duration::ZERO), TimeDelta::zero());
}

#[test]
fn the_moment_of_ones_own_delays_each_run_and_drops_none() {
    let now = moment("2026-01-01T00:00:00");
    let jitter = Duration::from_secs(20);
    let mut table = Timetable::new("* * * * *", Zone::Utc, "b", jitter, now).unwrap();
    table.learn(Some(now), now, Late::WithinPeriod);
    let offset = table.offset();
    assert!(offset > TimeDelta::zero());
    let due = moment("2026-01-01T00:01:00");
    assert_eq!(table.next(now), Some(due + offset));
    assert_eq!(
        table.look(
            due + offset - TimeDelta::milliseconds(1),
            Late::WithinPeriod
        ),
        Look::Wait
    );
    assert_eq!(
        table.look(due + offset, Late::WithinPeriod),
        Look::Run { due, missed: 0 }
    );
    // A run that a person started in between stands for the time before it.
    table.learn(Some(due + TimeDelta::seconds(65)), due, Late::WithinPeriod);
    assert_eq!(
        table.look(due + TimeDelta::seconds(65) + offset, Late::WithinPeriod),
        Look::Wait
    );
}
