//! Writers that keep rows out of sight until a version is activated, and batches that end at states.

use super::*;

fn replacing(how: Replaces) -> Trial {
    Trial::new(World {
        replaces: how,
        ..World::default()
    })
}

fn activations(trial: &Trial) -> Vec<String> {
    let log = trial.world.log();
    let activations = log.iter().filter(|line| line.starts_with("activate "));
    activations.cloned().collect()
}

#[tokio::test]
async fn rows_without_a_version_are_one_that_is_activated_at_the_end_before_any_state() {
    let trial = replacing(Replaces::Resumable);
    let input: String = [
        schema("a"),
        record("a", 1),
        state(1),
        record("a", 2),
        record("a", 3),
        state(2),
    ]
    .concat();
    let ended = trial.run(&input).await;
    assert_eq!(ended.code(), 0);
    assert_eq!(ended.states, [printed(2)]);
    let version = trial.context.started_at().timestamp_millis();
    assert_eq!(activations(&trial), [format!("activate a {version} 3")]);
}

#[tokio::test]
async fn without_a_state_after_the_last_row_nothing_is_replaced_and_the_run_fails() {
    let trial = replacing(Replaces::Resumable);
    let input: String = [schema("a"), record("a", 1), state(1), record("a", 2)].concat();
    let ended = trial.run(&input).await;
    assert_eq!(ended.code(), 1);
    assert!(
        ended.error().contains("no STATE follows"),
        "{}",
        ended.error()
    );
    assert!(ended.states.is_empty() && activations(&trial).is_empty());
}

#[tokio::test]
async fn a_version_of_the_tap_is_activated_as_ever_also_when_records_were_refused() {
    let trial = replacing(Replaces::Resumable);
    let wrong = r#"{"type":"RECORD","stream":"a","record":{"id":2,"n":5},"version":7}"#;
    let wrong = format!("{wrong}\n");
    let input: String = [
        schema("a"),
        versioned("a", 1, 7),
        wrong,
        activate("a", 7),
        state(1),
    ]
    .concat();
    let ended = trial.run(&input).await;
    assert_eq!(ended.code(), 3);
    assert_eq!(activations(&trial), ["activate a 7 1"]);
    assert_eq!(ended.states, [printed(1)]);
}

#[tokio::test]
async fn a_half_full_batch_ends_at_a_state_where_the_writer_wants_it() {
    let mut world = World {
        cuts_at_states: true,
        ..World::default()
    };
    world.limits.max_records = 4;
    let trial = Trial::new(world);
    let input: String = [
        schema("a"),
        record("a", 1),
        state(1),
        record("a", 2),
        state(2),
        record("a", 3),
        state(3),
    ]
    .concat();
    assert_eq!(trial.run(&input).await.code(), 0);
    let mut writes = trial.world.writes();
    writes.sort();
    assert_eq!(writes, ["a 1 2", "a 3"]);
}

#[tokio::test]
async fn a_version_whose_rows_all_came_in_a_run_before_is_activated() {
    let trial = replacing(Replaces::Resumable);
    let input: String = [schema("a"), activate("a", 7), activate("a", 7), state(1)].concat();
    let ended = trial.run(&input).await;
    assert_eq!(activations(&trial), ["activate a 7 0"]);
    assert_eq!(ended.states, [printed(1)]);
}

#[tokio::test]
async fn a_version_that_one_run_must_write_holds_states_back_until_it_is_activated() {
    for (how, states) in [
        (Replaces::Whole, vec![]),
        (Replaces::Resumable, vec![printed(1)]),
    ] {
        let trial = replacing(how);
        let input: String = [schema("a"), versioned("a", 1, 7), state(1)].concat();
        let ended = trial.run(&input).await;
        assert_eq!(ended.states, states);
    }
    let trial = replacing(Replaces::Whole);
    let input: String = [
        schema("a"),
        versioned("a", 1, 7),
        state(1),
        activate("a", 7),
        state(2),
    ]
    .concat();
    // The first may be printed too, once the version is active and before the second is read.
    let ended = trial.run(&input).await;
    assert_eq!(ended.states.last(), Some(&printed(2)));
}
