//! The retry loop: the caller judges each attempt, the loop only counts and waits.
//!
//! It is generic over what is tried: a request, a connection to a database, a query.

use std::future::Future;
use std::time::{Duration, Instant};

use singer_core::{Error, Result};

use crate::backoff::{self, Backoff};

/// What the caller makes of one attempt.
#[derive(Debug)]
pub enum Attempt<T> {
    /// It worked.
    Done(T),
    /// It failed in a way that may pass; `after` is the delay that the server asked for.
    Retry {
        /// What is returned if there are no attempts left.
        error: Error,
        /// How long the server wants to be left alone.
        after: Option<Duration>,
    },
    /// It failed for good.
    Fail(Error),
}

impl<T> Attempt<T> {
    /// A failure that may pass, with the usual wait.
    pub fn again(error: Error) -> Self {
        Self::Retry { error, after: None }
    }
}

/// How often and how long something is tried.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Attempts in all, at least one.
    pub attempts: u32,
    /// No attempt begins later than this after the first one began.
    pub patience: Duration,
    /// The waits between attempts.
    pub backoff: Backoff,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            patience: Duration::from_secs(3600),
            backoff: Backoff::default(),
        }
    }
}

impl Retry {
    /// This many attempts, the rest as usual.
    pub fn attempts(attempts: u32) -> Self {
        Self {
            attempts,
            ..Self::default()
        }
    }

    /// Tries until an attempt is done or fails for good, or attempts or patience are used up; then
    /// the last error is returned with the number of attempts as a hint. `attempt` is called with
    /// its number, from 1. Dropping the future between two polls ends the loop.
    pub async fn run<T, F, A>(&self, what: &str, mut attempt: A) -> Result<T>
    where
        A: FnMut(u32) -> F,
        F: Future<Output = Attempt<T>>,
    {
        let start = Instant::now();
        let mut number = 1;
        loop {
            let (error, after) = match attempt(number).await {
                Attempt::Done(value) => return Ok(value),
                Attempt::Fail(error) => return Err(error),
                Attempt::Retry { error, after } => (error, after),
            };
            let wait = self.backoff.wait(number, after, backoff::chance());
            if number >= self.attempts || start.elapsed() + wait > self.patience {
                let hint = if number >= self.attempts {
                    "`attempts` in the config says how often".to_owned()
                } else {
                    format!(
                        "no other attempt begins after {} s",
                        self.patience.as_secs()
                    )
                };
                return Err(match number {
                    1 => error,
                    tried => error.with_hint(format!("it was tried {tried} times; {hint}")),
                });
            }
            tell(what, number, wait, &error);
            tokio::time::sleep(wait).await;
            number += 1;
        }
    }
}

/// Says that there will be another attempt, and why.
fn tell(what: &str, attempt: u32, wait: Duration, error: &Error) {
    let cause = std::error::Error::source(error).map(tracing::field::display);
    let wait_milliseconds = wait.as_millis() as u64;
    // An attempt without a wait of its own waits somewhere else, and that was told there.
    if wait.is_zero() {
        tracing::debug!(what, attempt, %error, cause, "trying again");
    } else {
        tracing::warn!(what, attempt, wait_milliseconds, %error, cause, "trying again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Retry = Retry {
        attempts: 3,
        patience: Duration::from_secs(60),
        backoff: Backoff {
            first: Duration::from_millis(1),
            cap: Duration::from_millis(2),
        },
    };

    fn busy<T>() -> Attempt<T> {
        Attempt::again(Error::transient("busy"))
    }

    #[tokio::test]
    async fn it_tries_until_done() {
        let done = QUICK
            .run("it", |number| async move {
                if number < 3 {
                    busy()
                } else {
                    Attempt::Done(number)
                }
            })
            .await;
        assert_eq!(done.unwrap(), 3);
    }

    #[tokio::test]
    async fn the_last_error_comes_back_once_the_attempts_are_used_up() {
        let mut calls = 0;
        let error = QUICK
            .run("it", |_| {
                calls += 1;
                async { busy::<()>() }
            })
            .await
            .unwrap_err();
        assert_eq!(calls, 3);
        assert_eq!(error.message(), "busy");
        assert!(error.hints()[0].contains("3 times"));
    }

    #[tokio::test]
    async fn what_fails_for_good_is_not_tried_again() {
        let mut calls = 0;
        let error = QUICK
            .run("it", |_| {
                calls += 1;
                async { Attempt::<()>::Fail(Error::auth("no")) }
            })
            .await
            .unwrap_err();
        assert_eq!((calls, error.message()), (1, "no"));
    }

    #[tokio::test]
    async fn a_delay_beyond_the_patience_is_not_waited_for() {
        let start = Instant::now();
        let result = QUICK
            .run("it", |_| async {
                Attempt::<()>::Retry {
                    error: Error::transient("throttled"),
                    after: Some(Duration::from_secs(600)),
                }
            })
            .await;
        assert!(result.is_err());
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
