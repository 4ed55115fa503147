//! Tests of waiting for a job, on a clock that only moves when everybody waits.

use std::cell::{Cell, RefCell};

use singer_core::Kind;

use super::*;
use crate::testing::Around;

fn waiting() -> Waiting {
    Waiting {
        first: Duration::from_secs(2),
        most: Duration::from_secs(10),
        deadline: Duration::from_secs(60),
        bell: None,
    }
}

/// Waits for a job that is done at the `done`th question; returns also when it was asked, in seconds.
async fn run(waiting: &Waiting, around: &Around, done: usize) -> (Result<&'static str>, Vec<u64>) {
    let begin = Instant::now();
    let asked = RefCell::new(Vec::new());
    let result = wait("the job `7`", waiting, around, || {
        asked.borrow_mut().push(begin.elapsed().as_secs());
        let progress = if asked.borrow().len() >= done {
            Progress::Done("rows")
        } else {
            Progress::Running("In-Progress".to_owned())
        };
        std::future::ready(Ok(progress))
    })
    .await;
    (result, asked.into_inner())
}

#[tokio::test(start_paused = true)]
async fn questions_become_rarer_up_to_a_bound() {
    let (result, asked) = run(&waiting(), &Around::new(&[]), 6).await;
    assert_eq!(result.unwrap(), "rows");
    assert_eq!(asked, [2, 6, 14, 24, 34, 44]);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_job_is_asked_once_more() {
    let (result, asked) = run(&waiting(), &Around::new(&[]), usize::MAX).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert_eq!(
        error.message(),
        "the job `7` is not done after 60 s; the service calls it `In-Progress`"
    );
    assert_eq!(asked.last(), Some(&60));

    let (result, _) = run(&waiting(), &Around::new(&[]), asked.len()).await;
    assert_eq!(result.unwrap(), "rows");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_before_the_first_question_still_asks() {
    let mut short = waiting();
    short.deadline = Duration::from_secs(1);
    let (result, asked) = run(&short, &Around::new(&[]), 1).await;
    assert_eq!((result.unwrap(), asked), ("rows", vec![1]));
}

#[tokio::test(start_paused = true)]
async fn the_bell_brings_the_next_question_at_once() {
    let bell = Arc::new(Notify::new());
    let mut waiting = waiting();
    waiting.bell = Some(Arc::clone(&bell));
    waiting.first = Duration::from_secs(10);
    let ring = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        bell.notify_waiters();
    };
    let around = Around::new(&[]);
    let ((result, asked), ()) = tokio::join!(run(&waiting, &around, 2), ring);
    assert_eq!(result.unwrap(), "rows");
    assert_eq!(asked, [3, 13]);
}

#[tokio::test(start_paused = true)]
async fn a_bell_that_rings_during_a_question_is_heard() {
    let bell = Arc::new(Notify::new());
    let mut waiting = waiting();
    waiting.bell = Some(Arc::clone(&bell));
    let begin = Instant::now();
    let questions = Cell::new(0);
    wait("the job", &waiting, &*Around::new(&[]), || {
        questions.set(questions.get() + 1);
        bell.notify_waiters();
        std::future::ready(Ok(match questions.get() {
            1 => Progress::Running("queued".to_owned()),
            _ => Progress::Done(()),
        }))
    })
    .await
    .unwrap();
    assert_eq!(begin.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_stop_request_ends_a_wait_and_a_question() {
    for asks_forever in [false, true] {
        let around = Around::new(&[]);
        let begin = Instant::now();
        let waiting = waiting();
        let wait = wait("the job", &waiting, &*around, || async move {
            if asks_forever {
                std::future::pending::<()>().await;
            }
            Ok(Progress::<()>::Running(String::new()))
        });
        let stop = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            around.stop();
        };
        let (result, ()) = tokio::join!(wait, stop);
        assert_eq!(result.unwrap_err().kind(), Kind::Interrupted);
        assert_eq!(begin.elapsed(), Duration::from_secs(5));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_question_ends_the_wait() {
    let result = wait("the job", &waiting(), &*Around::new(&[]), || {
        std::future::ready(Err::<Progress<()>, _>(Error::protocol("failed")))
    })
    .await;
    assert_eq!(result.unwrap_err().message(), "failed");
}

#[test]
fn words_of_the_service_are_kept_short() {
    let error = never_ends("the job", &waiting(), &"x\n".repeat(500));
    assert!(error.message().len() < 150);
    assert!(!error.message().contains('\n'));
}
