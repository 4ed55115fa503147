//! One notice for each change that could be told: a model of a person who hears, run by run.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::history::{Kind, Outcome};
use crate::spec::Thresholds;

const THRESHOLDS: Thresholds = Thresholds {
    failed: true,
    rejects: Some(10),
    rejects_percent: None,
    slower_than: None,
    slower_than_median: None,
    no_records: false,
    schema_changed: true,
};

/// What a run is like, and whether notices can be sent after it.
#[derive(Debug, Clone)]
struct Step {
    fails_at: Option<&'static str>,
    has_rejects: bool,
    schema: &'static str,
    is_reachable: bool,
}

fn good() -> Step {
    Step {
        fails_at: None,
        has_rejects: false,
        schema: "a",
        is_reachable: true,
    }
}

fn failing(stage: &'static str) -> Step {
    Step {
        fails_at: Some(stage),
        ..good()
    }
}

fn rejecting() -> Step {
    Step {
        has_rejects: true,
        ..good()
    }
}

fn lost(step: Step) -> Step {
    Step {
        is_reachable: false,
        ..step
    }
}

fn run_of(number: usize, step: &Step) -> Brief {
    Brief {
        run: format!("run-{number:04}"),
        kind: Kind::Sync,
        is_partial: false,
        started_at: DateTime::UNIX_EPOCH + TimeDelta::hours(number as i64),
        duration_seconds: 60.0,
        outcome: match step.fails_at {
            Some(_) => Outcome::Failed,
            None => Outcome::Succeeded,
        },
        exit_code: 0,
        stage: step.fails_at.map(str::to_owned),
        words: None,
        records: Some(100),
        rejects: if step.has_rejects { 11 } else { 0 },
        state_before: None,
        state_after: None,
        schemas: BTreeMap::from([("s".to_owned(), step.schema.to_owned())]),
    }
}

/// What was told after each run.
fn play(steps: &[Step]) -> Vec<Option<Event>> {
    let mut status = Status::default();
    let mut before: Vec<Brief> = Vec::new();
    let mut told = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let run = run_of(number, step);
        let findings = conditions::judge(&run, &before, &status.conditions(), &THRESHOLDS);
        status.advance(&run, findings);
        // It goes through the store between two runs.
        let stored = serde_json::to_vec(&status).unwrap();
        status = serde_json::from_slice(&stored).unwrap();
        let due = status.due().filter(|_| step.is_reachable);
        if due.is_some() {
            status.settle();
            assert_eq!(status.due(), None);
        }
        told.push(due);
        before.push(run);
    }
    told
}

use Event::{Failed, Recovered, Warning};

#[test]
fn one_notice_when_it_begins_and_one_when_it_ends() {
    let steps = [
        good(),
        failing("tap"),
        failing("tap"),
        failing("tap"),
        good(),
        good(),
    ];
    let told = play(&steps);
    assert_eq!(
        told,
        [None, Some(Failed), None, None, Some(Recovered), None]
    );
}

#[test]
fn a_fault_at_another_stage_is_another_fault_once() {
    let steps = ["tap", "target", "tap", "target"].map(failing);
    assert_eq!(play(&steps), [Some(Failed), Some(Failed), None, None]);
}

#[test]
fn a_failed_run_says_nothing_of_the_rejects_before() {
    let steps = [rejecting(), failing("tap"), rejecting(), good()];
    assert_eq!(
        play(&steps),
        [Some(Warning), Some(Failed), None, Some(Recovered)]
    );
}

#[test]
fn what_could_not_be_told_is_told_after_the_next_run_with_what_is_new() {
    let steps = [
        lost(failing("tap")),
        lost(failing("tap")),
        failing("tap"),
        good(),
    ];
    assert_eq!(play(&steps), [None, None, Some(Failed), Some(Recovered)]);
    // It has passed in the meantime: that much is told.
    let steps = [lost(failing("tap")), good(), good()];
    assert_eq!(play(&steps), [None, Some(Recovered), None]);
    let steps = [failing("tap"), lost(good()), good(), good()];
    assert_eq!(play(&steps), [Some(Failed), None, Some(Recovered), None]);
    // Nobody wants to hear of an end that is none any more.
    let steps = [failing("tap"), lost(good()), failing("tap"), failing("tap")];
    assert_eq!(play(&steps), [Some(Failed), None, Some(Failed), None]);
}

#[test]
fn a_changed_schema_is_told_once_and_has_no_end() {
    let changed = |step: Step| Step {
        schema: "b",
        ..step
    };
    let steps = [good(), changed(good()), changed(good())];
    assert_eq!(play(&steps), [None, Some(Warning), None]);
    // Of runs that fail, it is told with the failure and not again.
    let steps = [
        good(),
        changed(failing("tap")),
        changed(failing("tap")),
        changed(good()),
    ];
    let told = play(&steps);
    assert_eq!(told[1..3], [Some(Failed), None]);
    assert_eq!(told[3], Some(Recovered));
}

#[test]
fn an_episode_knows_its_runs() {
    let mut status = Status::default();
    let steps = [failing("tap"), rejecting(), failing("tap"), good()];
    for (number, step) in steps.iter().enumerate() {
        let run = run_of(number, step);
        let findings = conditions::judge(&run, &[], &status.conditions(), &THRESHOLDS);
        status.advance(&run, findings);
    }
    let recovered = status.pending.recovered.unwrap();
    assert_eq!(
        (recovered.episode.runs, recovered.episode.failed_runs),
        (3, 2)
    );
    assert_eq!(recovered.episode.since.run, "run-0000");
    let lasted = recovered.at - recovered.episode.since.at;
    assert_eq!(lasted, TimeDelta::minutes(181));
    assert!(!recovered.episode.is_told);
}

fn any_step() -> impl Strategy<Value = Step> {
    (
        prop_oneof![3 => Just(None), 2 => Just(Some("tap")), 1 => Just(Some("target"))],
        proptest::bool::weighted(0.3),
        prop_oneof![9 => Just("a"), 1 => Just("b")],
        proptest::bool::weighted(0.7),
    )
        .prop_map(|(fails_at, has_rejects, schema, is_reachable)| Step {
            fails_at,
            has_rejects,
            schema,
            is_reachable,
        })
}

/// What a person would note on paper: which faults are there, which of them are news, what was heard.
#[derive(Default)]
struct Person {
    faults: BTreeSet<String>,
    news: BTreeSet<String>,
    has_passed: bool,
    heard: Option<Event>,
}

impl Person {
    /// What stands is read off the run alone: a failing run leaves the question of rejects open.
    fn see(&mut self, step: &Step) {
        let was_ill = !self.faults.is_empty();
        let mut now = BTreeSet::new();
        match step.fails_at {
            Some(stage) => {
                let earlier = self
                    .faults
                    .iter()
                    .filter(|fault| fault.starts_with("fault"));
                now.extend(earlier.cloned());
                now.insert(format!("fault at {stage}"));
                if step.has_rejects || self.faults.contains("rejects") {
                    now.insert("rejects".to_owned());
                }
            }
            None if step.has_rejects => drop(now.insert("rejects".to_owned())),
            None => {}
        }
        self.news.extend(now.difference(&self.faults).cloned());
        self.news.retain(|news| now.contains(news));
        if now.is_empty() {
            self.has_passed |= was_ill;
        } else {
            self.has_passed = false;
        }
        self.faults = now;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_person_hears_of_each_change_once(steps in proptest::collection::vec(any_step(), 1..40)) {
        let calm: Vec<Step> = steps.into_iter().map(|step| Step { schema: "a", ..step }).collect();
        let told = play(&calm);
        let mut person = Person::default();
        for (step, told) in calm.iter().zip(told) {
            person.see(step);
            let wanted = match (person.has_passed, person.news.is_empty()) {
                _ if !step.is_reachable => None,
                (true, _) => Some(Recovered),
                (false, true) => None,
                (false, false) if step.fails_at.is_some() => Some(Failed),
                (false, false) => Some(Warning),
            };
            prop_assert_eq!(told, wanted, "{:?}", step);
            if told.is_some() {
                person.heard = told;
                person.news.clear();
                person.has_passed = false;
            }
            // Who was reached last knows how it is.
            if step.is_reachable {
                let thinks_ill = matches!(person.heard, Some(Failed | Warning));
                prop_assert_eq!(thinks_ill, !person.faults.is_empty());
            }
        }
    }

    #[test]
    fn where_all_is_told_each_end_has_a_beginning(steps in proptest::collection::vec(any_step(), 1..40)) {
        let steps: Vec<Step> = steps.into_iter().map(|step| Step { is_reachable: true, ..step }).collect();
        let mut is_ill = false;
        for (step, told) in steps.iter().zip(play(&steps)) {
            match told {
                Some(Recovered) => {
                    prop_assert!(is_ill);
                    is_ill = false;
                }
                Some(Failed) => is_ill = true,
                Some(_) if step.has_rejects => is_ill = true,
                _ => {}
            }
        }
    }
}
