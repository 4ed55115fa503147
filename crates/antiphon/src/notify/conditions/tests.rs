//! What stands, run by run.

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;

use super::*;

fn quiet() -> Thresholds {
    Thresholds {
        failed: false,
        rejects: None,
        rejects_percent: None,
        slower_than: None,
        slower_than_median: None,
        no_records: false,
        schema_changed: false,
    }
}

fn run(number: i64) -> Brief {
    Brief {
        run: format!("run-{number:04}"),
        kind: Kind::Sync,
        is_partial: false,
        started_at: DateTime::UNIX_EPOCH + TimeDelta::hours(number),
        duration_seconds: 10.0,
        outcome: Outcome::Succeeded,
        exit_code: 0,
        stage: None,
        words: None,
        records: Some(100),
        rejects: 0,
        state_before: None,
        state_after: None,
        schemas: BTreeMap::new(),
    }
}

fn with_schemas(number: i64, schemas: &[(&str, &str)]) -> Brief {
    Brief {
        schemas: schemas
            .iter()
            .map(|(stream, schema)| ((*stream).to_owned(), (*schema).to_owned()))
            .collect(),
        ..run(number)
    }
}

fn finding(
    run: &Brief,
    before: &[Brief],
    thresholds: &Thresholds,
    condition: Condition,
) -> Finding {
    judge(run, before, &BTreeSet::new(), thresholds).conditions[&condition].clone()
}

fn stands(finding: &Finding) -> bool {
    matches!(finding, Finding::Stands(_))
}

#[test]
fn failed_timed_out_and_died_are_failures_and_good_ones_are_not() {
    let thresholds = Thresholds {
        failed: true,
        ..quiet()
    };
    for (outcome, wanted) in [
        (Outcome::Failed, true),
        (Outcome::TimedOut, true),
        (Outcome::Died, true),
        (Outcome::Succeeded, false),
        (Outcome::Rejects, false),
    ] {
        let run = Brief { outcome, ..run(1) };
        let found = finding(&run, &[], &thresholds, Condition::Failed);
        assert_eq!(stands(&found), wanted, "{outcome:?}");
    }
    let stopped = Brief {
        outcome: Outcome::Interrupted,
        ..run(1)
    };
    let replay = Brief {
        kind: Kind::Replay,
        ..run(1)
    };
    assert!(!counts(&stopped) && !counts(&replay) && counts(&run(1)));
}

#[test]
fn rejects_count_by_number_and_by_share() {
    let number = Thresholds {
        rejects: Some(3),
        ..quiet()
    };
    let share = Thresholds {
        rejects_percent: Some(5.0),
        ..quiet()
    };
    let with = |rejects, records| Brief {
        rejects,
        records,
        ..run(1)
    };
    let found = |run: &Brief, thresholds| finding(run, &[], thresholds, Condition::Rejects);
    assert_eq!(found(&with(3, None), &number), Finding::Clear);
    assert!(stands(&found(&with(4, None), &number)));
    assert_eq!(found(&with(5, Some(100)), &share), Finding::Clear);
    assert_eq!(
        found(&with(1234, Some(20_000)), &share),
        Finding::Stands("1,234 rejects of 20,000 records, 6.2 %, more than 5 %".to_owned())
    );
    assert!(stands(&found(&with(2, Some(0)), &share)));
    // Nobody counted the records: the share is not known.
    assert_eq!(found(&with(2, None), &share), Finding::Unknown);
    assert_eq!(found(&with(0, None), &share), Finding::Clear);
    let failed = Brief {
        outcome: Outcome::Failed,
        ..with(1, Some(1))
    };
    assert_eq!(found(&failed, &number), Finding::Unknown);
}

#[test]
fn slow_is_longer_than_a_limit_or_than_the_usual() {
    let limit = Thresholds {
        slower_than: Some(Duration::from_secs(600)),
        ..quiet()
    };
    let factor = Thresholds {
        slower_than_median: Some(3.0),
        ..quiet()
    };
    let took = |duration_seconds| Brief {
        duration_seconds,
        ..run(99)
    };
    let found = |run: &Brief, before: &[Brief], thresholds| {
        finding(run, before, thresholds, Condition::Slow)
    };
    assert_eq!(found(&took(600.0), &[], &limit), Finding::Clear);
    assert_eq!(
        found(&took(720.0), &[], &limit),
        Finding::Stands("it took 12 min, longer than 10 min".to_owned())
    );
    let before: Vec<Brief> = (0..5).map(run).collect();
    assert!(stands(&found(&took(30.1), &before, &factor)));
    assert_eq!(found(&took(30.0), &before, &factor), Finding::Clear);
    // Four runs are too few, whatever they took.
    assert_eq!(found(&took(999.0), &before[1..], &factor), Finding::Clear);
    let refresh = Brief {
        kind: Kind::FullRefresh,
        ..took(999.0)
    };
    assert_eq!(found(&refresh, &before, &factor), Finding::Unknown);
}

#[test]
fn no_records_matters_only_where_there_used_to_be_some() {
    let thresholds = Thresholds {
        no_records: true,
        ..quiet()
    };
    let with = |number, records| Brief {
        records,
        ..run(number)
    };
    let none = with(99, Some(0));
    let found = |before: &[Brief]| finding(&none, before, &thresholds, Condition::NoRecords);
    assert_eq!(found(&[]), Finding::Clear);
    assert!(stands(&found(&[with(1, Some(7))])));
    // What nobody counted is left out.
    assert!(stands(&found(&[with(1, Some(7)), with(2, None)])));
    // It is quiet now and then.
    assert_eq!(found(&[with(1, Some(7)), with(2, Some(0))]), Finding::Clear);
    let replay = Brief {
        kind: Kind::Replay,
        ..with(2, Some(0))
    };
    assert!(stands(&found(&[with(1, Some(7)), replay])));
    // Once it stands, it stands until there are records.
    let before = [with(1, Some(7)), with(2, Some(0))];
    let standing = BTreeSet::from([Condition::NoRecords]);
    let again = judge(&none, &before, &standing, &thresholds);
    assert!(stands(&again.conditions[&Condition::NoRecords]));
    let unknown = judge(&with(99, None), &before, &standing, &thresholds);
    assert_eq!(unknown.conditions[&Condition::NoRecords], Finding::Unknown);
}

#[test]
fn schemas_are_compared_with_those_of_the_last_good_run() {
    let thresholds = Thresholds {
        schema_changed: true,
        ..quiet()
    };
    let change =
        |run: &Brief, before: &[Brief]| judge(run, before, &BTreeSet::new(), &thresholds).schema;
    let first = with_schemas(1, &[("account", "a"), ("contact", "c")]);
    assert!(change(&first, &[]).is_empty());
    assert!(change(&first, &[run(0)]).is_empty());
    let next = with_schemas(2, &[("account", "b"), ("lead", "l")]);
    let found = change(&next, std::slice::from_ref(&first));
    assert_eq!(
        found.changed,
        BTreeMap::from([("account".into(), "b".into())])
    );
    assert_eq!(found.new, BTreeMap::from([("lead".into(), "l".into())]));
    assert_eq!(found.gone, BTreeSet::from(["contact".to_owned()]));
    // A run that failed half way has not come to every stream, and is nothing to compare with.
    let failed = Brief {
        outcome: Outcome::Failed,
        ..with_schemas(2, &[("account", "b")])
    };
    let found = change(&failed, std::slice::from_ref(&first));
    assert_eq!(found.changed.len(), 1);
    assert!(found.gone.is_empty());
    assert!(
        change(
            &with_schemas(3, &[("account", "a"), ("contact", "c")]),
            &[first.clone(), failed]
        )
        .is_empty()
    );
    // Streams that were not selected are not gone, and not new when they come back.
    let partial = Brief {
        is_partial: true,
        ..with_schemas(2, &[("account", "a")])
    };
    assert!(change(&partial, std::slice::from_ref(&first)).is_empty());
    let back = with_schemas(3, &[("account", "a"), ("contact", "c")]);
    assert!(change(&back, &[first.clone(), partial.clone()]).is_empty());
    let lost = with_schemas(3, &[("account", "a")]);
    assert_eq!(change(&lost, &[first, partial]).gone.len(), 1);
}

#[test]
fn later_changes_win_over_earlier_ones() {
    let with = |changed: &[(&str, &str)], new: &[(&str, &str)], gone: &[&str]| SchemaChange {
        changed: changed
            .iter()
            .map(|(a, b)| ((*a).into(), (*b).into()))
            .collect(),
        new: new
            .iter()
            .map(|(a, b)| ((*a).into(), (*b).into()))
            .collect(),
        gone: gone.iter().map(|name| (*name).to_owned()).collect(),
    };
    let mut change = with(&[("a", "1")], &[("n", "1")], &["g"]);
    change.merge(with(&[("n", "2")], &[("g", "1")], &["a"]));
    assert_eq!(change, with(&[], &[("n", "2"), ("g", "1")], &["a"]));
}

fn any_run() -> impl Strategy<Value = Brief> {
    let outcome = prop_oneof![
        Just(Outcome::Succeeded),
        Just(Outcome::Rejects),
        Just(Outcome::Failed),
        Just(Outcome::TimedOut),
        Just(Outcome::Died),
    ];
    let kind = prop_oneof![Just(Kind::Sync), Just(Kind::FullRefresh)];
    let schemas = proptest::collection::btree_map("[abc]", "[xy]", 0..3);
    (
        outcome,
        kind,
        any::<bool>(),
        0_u64..40,
        proptest::option::of(0_u64..40),
        0.0_f64..100.0,
        schemas,
    )
        .prop_map(
            |(outcome, kind, is_partial, rejects, records, duration_seconds, schemas)| Brief {
                outcome,
                kind,
                is_partial,
                rejects,
                records,
                duration_seconds,
                schemas,
                ..run(1)
            },
        )
}

fn any_thresholds() -> impl Strategy<Value = Thresholds> {
    (
        any::<bool>(),
        proptest::option::of(0_u64..30),
        proptest::option::of(0.0_f64..100.0),
        proptest::option::of(1_u64..80),
        proptest::option::of(1.0_f64..4.0),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(
                failed,
                rejects,
                rejects_percent,
                slower_than,
                slower_than_median,
                no_records,
                schema_changed,
            )| {
                Thresholds {
                    failed,
                    rejects,
                    rejects_percent,
                    slower_than: slower_than.map(Duration::from_secs),
                    slower_than_median,
                    no_records,
                    schema_changed,
                }
            },
        )
}

proptest! {
    #[test]
    fn nothing_stands_without_a_threshold(run in any_run(), before in proptest::collection::vec(any_run(), 0..8)) {
        let found = judge(&run, &before, &BTreeSet::new(), &quiet());
        prop_assert!(found.conditions.values().all(|finding| *finding == Finding::Clear));
        prop_assert!(found.schema.is_empty());
    }

    #[test]
    fn runs_that_were_not_good_are_nothing_to_compare_with(
        run in any_run(),
        before in proptest::collection::vec(any_run(), 0..12),
        thresholds in any_thresholds(),
    ) {
        let good: Vec<Brief> = before.iter().filter(|other| other.outcome.is_good()).cloned().collect();
        prop_assert_eq!(
            judge(&run, &before, &BTreeSet::new(), &thresholds),
            judge(&run, &good, &BTreeSet::new(), &thresholds)
        );
    }

    #[test]
    fn what_is_worse_stands_as_well(
        run in any_run(),
        before in proptest::collection::vec(any_run(), 0..12),
        thresholds in any_thresholds(),
        more in 1_u64..50,
    ) {
        let found = judge(&run, &before, &BTreeSet::new(), &thresholds);
        let worse = Brief { rejects: run.rejects + more, duration_seconds: run.duration_seconds + more as f64, ..run };
        let worse = judge(&worse, &before, &BTreeSet::new(), &thresholds);
        for (condition, finding) in &found.conditions {
            if stands(finding) {
                prop_assert!(stands(&worse.conditions[condition]), "{condition:?}");
            }
        }
    }

    #[test]
    fn a_run_like_the_one_before_changes_no_schema(
        run in any_run(),
        before in proptest::collection::vec(any_run(), 0..8),
        thresholds in any_thresholds(),
    ) {
        let whole = Brief { outcome: Outcome::Succeeded, is_partial: false, ..run };
        let mut before = before;
        before.push(whole.clone());
        prop_assert!(judge(&whole, &before, &BTreeSet::new(), &thresholds).schema.is_empty());
    }
}
