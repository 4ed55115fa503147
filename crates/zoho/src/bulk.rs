//! A job of a bulk service: submitted by the connector, waited for here by asking again and again, or
//! until a callback says that it is worth asking.
//!
//! A callback is only a hint: nobody vouches for what it says, so it shortens a wait and decides nothing.

use std::sync::Arc;
use std::time::Duration;

use singer_core::{Error, Result, Surroundings};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

pub mod bells;

#[cfg(test)]
mod tests;

/// How much of the service's word for a state is shown.
const WORD_CHARS: usize = 60;

/// How a job is waited for.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The wait before the first question; doubled after each, up to `most`.
    pub first: Duration,
    /// The longest wait between two questions.
    pub most: Duration,
    /// After this time the job counts as one that never ends.
    pub deadline: Duration,
    /// Rung by a callback: the next question comes at once.
    pub bell: Option<Arc<Notify>>,
}

impl Waiting {
    /// For a job that an earlier run made: most likely it has ended, and if not, it has had its time.
    #[must_use]
    pub fn of_an_earlier_run(self) -> Self {
        Self {
            first: Duration::ZERO,
            deadline: self.deadline / 2,
            ..self
        }
    }
}

/// What a job's state means.
#[derive(Debug)]
pub enum Progress<T> {
    /// It is not done, with the service's word for its state.
    Running(String),
    /// It is done.
    Done(T),
}

/// Asks until a job is done; asks once more before it gives up at the deadline. `what` names the job in errors.
///
/// A question that is under way when a stop is requested is dropped, so `ask` must do no harm half done.
///
/// # Errors
/// That of `ask`; of kind `Transient` at the deadline; of kind `Interrupted` after a stop request.
pub async fn wait<T, F>(
    what: &str,
    waiting: &Waiting,
    surroundings: &dyn Surroundings,
    ask: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<Progress<T>>> + Send,
{
    tokio::select! {
        biased;
        done = ask_until_done(what, waiting, ask) => done,
        () = surroundings.stopped() => Err(Error::interrupted()),
    }
}

async fn ask_until_done<T, F>(
    what: &str,
    waiting: &Waiting,
    mut ask: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<Progress<T>>> + Send,
{
    let end = Instant::now() + waiting.deadline;
    let mut pause = waiting.first.min(waiting.most);
    // Listened to from before each question on, so that what rings during one is not lost.
    let mut rung = listen(waiting);
    loop {
        let next = end.min(Instant::now() + pause);
        tokio::select! {
            () = ring(rung) => {}
            () = tokio::time::sleep_until(next) => pause = pause.saturating_mul(2).min(waiting.most),
        }
        rung = listen(waiting);
        let last = Instant::now() >= end;
        match ask().await? {
            Progress::Done(result) => return Ok(result),
            Progress::Running(word) if last => return Err(never_ends(what, waiting, &word)),
            Progress::Running(word) => {
                tracing::debug!(job = what, state = %shown(&word), "not done");
            }
        }
    }
}

fn listen(waiting: &Waiting) -> Option<Notified<'_>> {
    waiting.bell.as_deref().map(Notify::notified)
}

/// Ends when the bell rings; never without a bell.
async fn ring(rung: Option<Notified<'_>>) {
    match rung {
        Some(rung) => rung.await,
        None => std::future::pending().await,
    }
}

fn never_ends(what: &str, waiting: &Waiting, word: &str) -> Error {
    let seconds = waiting.deadline.as_secs();
    let word = shown(word);
    Error::transient(format!(
        "{what} is not done after {seconds} s; the service calls it `{word}`"
    ))
}

fn shown(word: &str) -> String {
    let clean = word.chars().filter(|letter| !letter.is_control());
    clean.take(WORD_CHARS).collect()
}
