//! Streams that fail, services that are out of reach, stops, outputs that close.

use super::*;

fn fail_stream_b(answer: Answer) -> World {
    World {
        answer: Box::new(move |batch| {
            if batch.stream().name == "b" {
                return answer.clone();
            }
            Answer::Taken
        }),
        ..World::default()
    }
}

/// Two records of b between records of a, with states around them.
fn two_streams() -> String {
    [
        schema("a"),
        schema("b"),
        record("a", 1),
        record("a", 2),
        state(1),
        record("b", 3),
        record("b", 4),
        state(2),
        record("a", 5),
        record("b", 6),
        state(3),
    ]
    .concat()
}

#[tokio::test]
async fn a_stream_that_fails_holds_the_state_and_the_others_go_on() {
    for answer in [Answer::Failed(Kind::Rejected), Answer::Panic] {
        let trial = Trial::new(fail_stream_b(answer));
        let ended = trial.run(&two_streams()).await;
        assert_eq!(ended.code(), 1);
        assert!(
            ended.error().starts_with("stream `b` failed"),
            "{}",
            ended.error()
        );
        assert_eq!(ended.states, [printed(1)]);
        assert_eq!(trial.world.writes(), ["a 1 2", "a 5"]);
    }
}

#[tokio::test]
async fn a_service_out_of_reach_is_worth_another_run() {
    for kind in [Kind::Transient, Kind::RateLimited] {
        let trial = Trial::new(fail_stream_b(Answer::Failed(kind)));
        let ended = trial.run(&two_streams()).await;
        assert_eq!((ended.code(), ended.states), (75, vec![printed(1)]));
    }
}

#[tokio::test]
async fn wrong_credentials_stop_the_run() {
    let trial = Trial::new(World {
        answer: Box::new(|_| Answer::Failed(Kind::Auth)),
        ..World::default()
    });
    let mut input = two_streams();
    input.extend((10..1000).map(|id| record("a", id)));
    let ended = trial.run(&input).await;
    assert_eq!((ended.code(), ended.states.len()), (1, 0));
    assert!(ended.error().contains("the service said no"));
    let begun = trial
        .world
        .log()
        .iter()
        .filter(|line| line.starts_with("begin"))
        .count();
    assert!(begun <= 8, "{begun} batches were begun");
}

#[tokio::test]
async fn a_stop_writes_what_was_read_and_prints_its_state() {
    let trial = Trial::new(World {
        gate: Semaphore::new(0),
        ..World::default()
    });
    let world = Arc::clone(&trial.world);
    let stop = trial.context.stop().clone();
    let (sender, input) = feed();
    let run = tokio::spawn(async move { trial.run_on(input).await });
    let lines = [
        schema("a"),
        record("a", 1),
        record("a", 2),
        state(1),
        record("a", 3),
        state(2),
    ];
    sender.send(lines.concat()).unwrap();
    until(|| world.log().iter().any(|line| line == "begin a 1 2")).await;
    stop.request(Reason::Terminate);
    tokio::time::sleep(Duration::from_millis(30)).await;
    world.gate.add_permits(2);
    // The input stays open and silent: the run ends all the same.
    let ended = run.await.unwrap();
    assert_eq!(ended.code(), 143);
    assert_eq!(ended.states.last(), Some(&printed(2)));
    assert_eq!(world.writes(), ["a 1 2", "a 3"]);
    assert!(!world.log().iter().any(|line| line.starts_with("activate")));
    drop(sender);
}

#[tokio::test]
async fn after_a_sync_that_failed_no_state_is_printed_any_more() {
    let trial = Trial::new(World {
        sync_fails_once: AtomicBool::new(true),
        gate: Semaphore::new(1),
        ..World::default()
    });
    let world = Arc::clone(&trial.world);
    let lines = [
        schema("a"),
        record("a", 1),
        record("a", 2),
        state(1),
        record("a", 3),
        record("a", 4),
        state(2),
    ];
    let run = tokio::spawn(async move { trial.run(&lines.concat()).await });
    // The second batch is in flight while the sync for the first one fails.
    until(|| {
        let log = world.log();
        ["sync", "begin a 3 4"]
            .iter()
            .all(|wanted| log.iter().any(|line| line == wanted))
    })
    .await;
    world.gate.add_permits(1);
    let ended = run.await.unwrap();
    assert_eq!((ended.code(), ended.states.len()), (1, 0));
    assert!(ended.error().contains("the memory cannot be written"));
    assert_eq!(world.writes(), ["a 1 2", "a 3 4"]);
}

#[tokio::test]
async fn a_closed_output_is_an_error() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let trial = Trial::new(World::default());
    trial.run("").await;
    let world = trial.config["world"].as_u64().unwrap();
    let mut options = Options::new("target-fake", 4, |_| None).unwrap();
    options.rejects_path = trial.rejects_path();
    let job = Job {
        options,
        arguments: TargetArguments::default(),
        progress: Progress::Never,
        input: Box::new(io::Cursor::new(state(1))),
        out: Box::new(Closed),
    };
    let error = job
        .run::<Fake>(Config { world }, trial.context.clone())
        .await
        .unwrap_err();
    assert_eq!(exit::code(&error, None), 1);
    assert_eq!(error.to_string(), "the reader of stdout has gone");
}

#[tokio::test]
async fn an_input_that_breaks_is_an_error_and_what_came_before_is_safe() {
    struct Breaking(io::Cursor<Vec<u8>>);
    impl Read for Breaking {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("broken")),
                count => Ok(count),
            }
        }
    }
    let trial = Trial::new(World::default());
    let text = schema("a") + &record("a", 1) + &state(1);
    let input = Breaking(io::Cursor::new(text.into_bytes()));
    let ended = trial.run_on(Box::new(input)).await;
    assert_eq!((ended.code(), ended.states.clone()), (1, vec![printed(1)]));
    assert!(ended.error().starts_with("cannot read the input"));
}
