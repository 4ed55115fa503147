//! What is written in which order, and when a STATE follows.

use super::*;

#[tokio::test]
async fn everything_is_written_and_the_last_state_printed() {
    let trial = Trial::new(World::default());
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
    let mut writes = trial.world.writes();
    writes.sort();
    assert_eq!(writes, ["a 1 2", "a 3"]);
    assert_eq!(ended.states.last(), Some(&printed(2)));
    let log = trial.world.log();
    assert_eq!(log[..2], ["open a id,n", "prepare a"]);
    let last_two: Vec<&str> = log.iter().rev().take(2).map(String::as_str).collect();
    assert_eq!(last_two, ["close a", "sync"]);
    assert!(ended.rejects.is_empty() && !trial.rejects_path().exists());
}

#[tokio::test]
async fn empty_states_and_empty_inputs_print_nothing() {
    for input in [
        "",
        "\n\n",
        "{\"type\":\"STATE\",\"value\":{}}\n{\"type\":\"state\",\"value\":null}",
    ] {
        let trial = Trial::new(World::default());
        let ended = trial.run(input).await;
        assert_eq!((ended.code(), ended.states.len()), (0, 0));
    }
    let trial = Trial::new(World::default());
    assert_eq!(trial.run(&state(1)).await.states, [printed(1)]);
}

#[tokio::test]
async fn a_state_waits_for_every_stream_and_is_printed_while_the_input_goes_on() {
    let trial = Trial::new(World {
        gate: Semaphore::new(0),
        ..World::default()
    });
    let (sender, input) = feed();
    let world = Arc::clone(&trial.world);
    let states = tokio::spawn(async move {
        let ended = trial.run_on(input).await;
        ended.states
    });
    let lines = [
        schema("a"),
        schema("b"),
        record("a", 1),
        record("b", 2),
        record("b", 3),
        state(1),
    ];
    sender.send(lines.concat()).unwrap();
    until(|| world.log().iter().any(|line| line == "begin b 2 3")).await;
    world.gate.add_permits(1);
    until(|| world.writes().len() == 1).await;
    // Record 1 of stream a is still in an open batch: no sync, no state.
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!world.log().contains(&"sync".to_owned()));
    sender.send(record("a", 4)).unwrap();
    world.gate.add_permits(1);
    until(|| world.log().contains(&"sync".to_owned())).await;
    drop(sender);
    assert_eq!(states.await.unwrap(), [printed(1)]);
}

#[tokio::test]
async fn batches_are_handed_over_by_age_while_the_input_is_silent() {
    let mut world = World::default();
    world.limits.max_age = Duration::from_millis(20);
    let trial = Trial::new(world);
    let world = Arc::clone(&trial.world);
    let (sender, input) = feed();
    let run = tokio::spawn(async move { trial.run_on(input).await.states });
    sender
        .send([schema("a"), record("a", 1), state(1)].concat())
        .unwrap();
    until(|| world.log().contains(&"sync".to_owned())).await;
    assert_eq!(world.writes(), ["a 1"]);
    drop(sender);
    assert_eq!(run.await.unwrap(), [printed(1)]);
}

#[tokio::test]
async fn batches_are_cut_by_bytes() {
    let mut world = World::default();
    world.limits.max_records = 1000;
    let trial = Trial::new(world).with("batch", json!({"max_bytes": 40}));
    let lines: String = (1..=5).map(|id| record("a", id)).collect();
    trial.run(&(schema("a") + &lines)).await;
    let mut writes = trial.world.writes();
    writes.sort();
    assert_eq!(writes, ["a 1 2", "a 3 4", "a 5"]);
}

#[tokio::test]
async fn of_one_key_in_a_batch_the_last_wins_and_two_batches_never_overlap() {
    let trial = Trial::new(World {
        gate: Semaphore::new(0),
        ..World::default()
    });
    let world = Arc::clone(&trial.world);
    let ids = [1, 1, 2, 1, 3, 4, 5];
    let input: String = ids.iter().map(|id| record("a", *id)).collect();
    let run =
        tokio::spawn(async move { trial.run(&(schema("a") + &input + &state(1))).await.states });
    until(|| world.log().iter().any(|line| line == "begin a 1 2")).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    // The second batch has row 1 as well; those behind it keep their order and wait too.
    let begun = |world: &World| {
        let log = world.log();
        log.iter().filter(|line| line.starts_with("begin")).count()
    };
    assert_eq!(begun(&world), 1);
    world.gate.add_permits(1);
    until(|| begun(&world) == 3).await;
    world.gate.add_permits(10);
    assert_eq!(run.await.unwrap(), [printed(1)]);
    assert_eq!(world.writes()[0], "a 1 2");
}

#[tokio::test]
async fn no_more_batches_are_in_flight_than_the_config_allows() {
    let trial = Trial::new(World {
        gate: Semaphore::new(0),
        ..World::default()
    })
    .with("parallel", json!(2));
    let world = Arc::clone(&trial.world);
    let input: String = (1..=20).map(|id| record("a", id)).collect();
    let run = tokio::spawn(async move { trial.run(&(schema("a") + &input)).await.code() });
    let begun = |world: &World| {
        let log = world.log();
        log.iter().filter(|line| line.starts_with("begin")).count()
    };
    until(|| begun(&world) == 2).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(begun(&world), 2);
    world.gate.add_permits(100);
    assert_eq!(run.await.unwrap(), 0);
    assert_eq!(world.writes().len(), 10);
}

#[tokio::test]
async fn a_version_acts_after_its_records_are_durable_and_before_the_state_behind_it() {
    let trial = Trial::new(World::default());
    let input = [
        schema("a"),
        versioned("a", 1, 7),
        versioned("a", 2, 7),
        activate("a", 7),
        state(1),
    ];
    let ended = trial.run(&input.concat()).await;
    assert_eq!(ended.states, [printed(1)]);
    let log = trial.world.log();
    let place = |what: &str| log.iter().position(|line| line == what).unwrap();
    assert!(place("write a 1 2") < place("activate a 7 2"));
    assert!(place("activate a 7 2") < place("sync"));
}

#[tokio::test]
async fn a_version_before_its_records_acts_at_the_end_of_the_input() {
    let trial = Trial::new(World::default());
    let input = [
        schema("a"),
        activate("a", 7),
        versioned("a", 1, 7),
        state(1),
    ];
    let ended = trial.run(&input.concat()).await;
    assert_eq!(ended.states.last(), Some(&printed(1)));
    assert!(trial.world.log().contains(&"activate a 7 1".to_owned()));
}

#[tokio::test]
async fn a_version_without_records_or_of_a_cut_input_does_nothing() {
    let activated = |trial: &Trial| {
        trial
            .world
            .log()
            .iter()
            .any(|line| line.starts_with("activate"))
    };
    let empty = schema("a") + &activate("a", 7) + &activate("a", 7) + &activate("unknown", 1);
    let trial = Trial::new(World::default());
    assert_eq!(trial.run(&empty).await.code(), 0);
    assert!(!activated(&trial));
    let trial = Trial::new(World::default()).with("allow_empty", json!(true));
    trial.run(&empty).await;
    let log = ["open a id,n", "prepare a", "activate a 7 0", "close a"];
    assert_eq!(trial.world.log(), log);
    let trial = Trial::new(World::default());
    let cut = schema("a") + &activate("a", 7) + &versioned("a", 1, 7) + "{\"type\":\"STA";
    assert_eq!(trial.run(&cut).await.code(), 1);
    assert!(!activated(&trial));
    assert_eq!(trial.world.writes(), ["a 1"]);
}

#[tokio::test]
async fn memory_is_bounded_by_cutting_the_largest_batches() {
    let mut world = World::default();
    world.limits.max_records = 1_000_000;
    let trial = Trial::new(world);
    let text = "y".repeat(100_000);
    let mut input = schema("a") + &schema("b");
    for id in 0..600 {
        let stream = if id % 10 == 0 { "b" } else { "a" };
        input += &format!(
            "{{\"type\":\"RECORD\",\"stream\":\"{stream}\",\"record\":{{\"id\":{id},\"n\":\"{text}\"}}}}\n"
        );
    }
    let ended = trial.run(&(input + &state(1))).await;
    assert_eq!(ended.states.last(), Some(&printed(1)));
    let writes = trial.world.writes();
    let rows = |write: &String| write.split(' ').count() - 1;
    assert!(writes.iter().map(rows).max().unwrap() < 260);
    assert_eq!(writes.iter().map(rows).sum::<usize>(), 600);
}
