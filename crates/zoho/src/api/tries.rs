//! When a request is made again: what each class of refusal asks for, until attempts or patience end.

use std::time::{Duration, Instant};

use singer_core::{Result, Secret};
use singer_net::{Backoff, Gate, backoff};

use super::Repeat;
use crate::Account;
use crate::fault::{Class, Fault};
use crate::pause::rest;

/// No pause after throttling is longer, unless the service asks for it.
const LONGEST_THROTTLE: Duration = Duration::from_secs(120);

/// No wait for a busy slot is longer.
const LONGEST_BUSY: Duration = Duration::from_secs(60);

/// Tokens of other processes may be old as well; after so many something else is wrong.
const MOST_RENEWALS: u32 = 3;

/// How long is waited, and how often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Attempts at a service that is broken.
    pub(super) attempts: u32,
    /// How long throttling and busy slots are waited out.
    pub(super) patience: Duration,
    /// The pause after the first throttling; four times as long after each further one.
    pub(super) throttled: Duration,
    /// The wait after the first busy slot; doubled after each further one.
    pub(super) busy: Duration,
    /// The waits for a service that is broken.
    pub(super) broken: Backoff,
}

/// The attempts at one request.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    what: &'a str,
    repeat: Repeat,
    pace: Pace,
    start: Instant,
    broken: u32,
    throttled: u32,
    busy: u32,
    renewed: u32,
    /// The token of this attempt was made for it, since the one before was refused.
    has_new_token: bool,
}

impl<'a> Tries<'a> {
    pub(super) fn new(what: &'a str, repeat: Repeat, pace: Pace) -> Self {
        Self {
            what,
            repeat,
            pace,
            start: Instant::now(),
            broken: 0,
            throttled: 0,
            busy: 0,
            renewed: 0,
            has_new_token: false,
        }
    }

    /// What is left of the patience.
    pub(super) fn patience(&self) -> Duration {
        self.pace.patience.saturating_sub(self.start.elapsed())
    }

    /// Does what has to be done before the request is made again, or says that it is not.
    pub(super) async fn after(
        &mut self,
        fault: Fault,
        token: &Secret,
        account: &Account,
        gate: &Gate,
    ) -> Result<(), Fault> {
        match fault.class {
            Class::Token => self.renew(fault, token, account).await,
            Class::Throttled => {
                self.throttled += 1;
                let growth = 4_u32.saturating_pow(self.throttled - 1);
                let pause = (self.pace.throttled.saturating_mul(growth)).min(LONGEST_THROTTLE);
                let pause = fault.after.unwrap_or(pause);
                // So that those who waited together do not come back together.
                let apart = (pause / 4)
                    .min(self.pace.throttled)
                    .mul_f64(backoff::chance());
                if pause.saturating_add(apart) > self.patience() {
                    return Err(self.given_up(fault));
                }
                gate.pause(pause);
                self.wait(&fault, self.throttled, pause + apart, account)
                    .await
            }
            Class::Busy => {
                self.busy += 1;
                let growth = 2_u32.saturating_pow(self.busy - 1);
                let wait = (self.pace.busy.saturating_mul(growth)).min(LONGEST_BUSY);
                let wait = fault.after.unwrap_or(wait);
                if wait > self.patience() {
                    return Err(self.given_up(fault));
                }
                self.wait(&fault, self.busy, wait, account).await
            }
            Class::Broken if self.may_repeat(&fault) && self.broken + 1 < self.pace.attempts => {
                self.broken += 1;
                let chance = backoff::chance();
                let wait = self.pace.broken.wait(self.broken, fault.after, chance);
                if wait > self.pace.patience.max(self.pace.broken.cap) {
                    return Err(self.given_up(fault));
                }
                self.wait(&fault, self.broken, wait, account).await
            }
            _ => Err(fault),
        }
    }

    /// Whether another attempt does no harm.
    fn may_repeat(&self, fault: &Fault) -> bool {
        self.repeat == Repeat::Safely || fault.was_never_sent()
    }

    /// Gets another token. One that was made for this request and is refused as well ends it.
    async fn renew(
        &mut self,
        fault: Fault,
        token: &Secret,
        account: &Account,
    ) -> Result<(), Fault> {
        if self.has_new_token || self.renewed == MOST_RENEWALS {
            let doubt = account.doubt();
            let hint = match fault.hint {
                Some(hint) => format!("{doubt}; {hint}"),
                None => doubt,
            };
            return Err(Fault {
                class: Class::Denied,
                hint: Some(hint),
                ..fault
            });
        }
        self.renewed += 1;
        tracing::debug!(what = self.what, "the token was refused");
        let renewed = account.renew_within(token, self.patience()).await?;
        self.has_new_token = renewed.is_new;
        Ok(())
    }

    async fn wait(
        &self,
        fault: &Fault,
        attempt: u32,
        wait: Duration,
        account: &Account,
    ) -> Result<(), Fault> {
        let wait_milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(what = self.what, attempt, wait_milliseconds, error = %fault, "trying again");
        Ok(rest(&**account.surroundings(), wait).await?)
    }

    fn given_up(&self, fault: Fault) -> Fault {
        let waited = format!("it was tried for {} s", self.start.elapsed().as_secs());
        let hint = match fault.hint {
            Some(hint) => format!("{hint}; {waited}"),
            None => format!("{waited}; run again later"),
        };
        Fault {
            hint: Some(hint),
            ..fault
        }
    }
}
