//! Credits: what each kind of call costs, what was spent, what is left, and the floor that is never crossed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use singer_core::{Error, Kind, Result};
use singer_net::Answer;

use crate::api::Toll;
use crate::fault::{Class, Fault};

/// The header that tells what is left; it comes once half of the credits are used.
const REMAINING: &str = "x-api-credits-remaining";

/// A kind of call, which decides what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spend {
    /// Creating a Bulk Read job.
    BulkRead,
    /// Creating a Bulk Write job.
    BulkWrite,
    /// A COQL query with this limit.
    Coql(u32),
    /// A page of the records API or of deleted records.
    Records,
    /// Asking how far a job is.
    Poll,
    /// Modules, fields, the organisation, counts.
    Metadata,
    /// Downloading a result.
    Download,
    /// Uploading a file.
    Upload,
}

/// How many kinds there are.
const KINDS: usize = 8;

impl Spend {
    /// Credits of one call.
    pub const fn cost(self) -> u64 {
        match self {
            Self::BulkRead => 50,
            Self::BulkWrite => 500,
            Self::Coql(0..=200) => 1,
            Self::Coql(201..=1000) => 2,
            Self::Coql(_) => 3,
            Self::Records | Self::Poll | Self::Metadata | Self::Download | Self::Upload => 1,
        }
    }

    /// Its name in summaries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BulkRead => "bulk_read",
            Self::BulkWrite => "bulk_write",
            Self::Coql(_) => "coql",
            Self::Records => "records",
            Self::Poll => "poll",
            Self::Metadata => "metadata",
            Self::Download => "download",
            Self::Upload => "upload",
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::BulkRead => 0,
            Self::BulkWrite => 1,
            Self::Coql(_) => 2,
            Self::Records => 3,
            Self::Poll => 4,
            Self::Metadata => 5,
            Self::Download => 6,
            Self::Upload => 7,
        }
    }
}

/// What one kind of call cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// The kind's name.
    pub kind: &'static str,
    /// Calls.
    pub calls: u64,
    /// Credits.
    pub credits: u64,
}

/// What was spent and what is left, as far as the service tells.
#[derive(Debug)]
pub struct Credits {
    floor: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    spent: [Spent; KINDS],
    /// What the service said last, less what was spent since.
    remaining: Option<u64>,
    /// Of calls under way.
    held: u64,
    /// Counts what begins and what is told, to know which of them came first.
    moment: u64,
    told_at: u64,
}

/// Credits of a call under way: given back when dropped, unless they were spent.
#[derive(Debug)]
#[must_use = "credits that are not spent are given back at once"]
pub struct Held<'a> {
    credits: &'a Credits,
    spend: Spend,
    began: u64,
    /// Attempts that were set aside for.
    attempts: u64,
    /// Of these, those that failed and may have been charged.
    charged: u64,
}

impl Credits {
    /// Of these, `floor` are left to others.
    pub(super) fn new(floor: u64) -> Self {
        Self {
            floor,
            state: Mutex::default(),
        }
    }

    /// Sets aside what a call costs, until it is known whether it was made.
    ///
    /// # Errors
    /// Of kind `RateLimited` if the call would go below the floor. As long as the service has not told
    /// what is left, which it does from half of the credits on, nothing is refused.
    pub fn reserve(&self, spend: Spend) -> Result<Held<'_>> {
        let mut state = self.state();
        self.set_aside(&mut state, spend)?;
        state.moment += 1;
        Ok(Held {
            credits: self,
            spend,
            began: state.moment,
            attempts: 1,
            charged: 0,
        })
    }

    fn set_aside(&self, state: &mut State, spend: Spend) -> Result<()> {
        if let Some(remaining) = state.remaining {
            let free = remaining
                .saturating_sub(state.held)
                .saturating_sub(self.floor);
            if spend.cost() > free {
                return Err(self.refusal(spend, remaining));
            }
        }
        state.held += spend.cost();
        Ok(())
    }

    /// What is left, if the service has told: what it said last, less what was spent since.
    pub fn remaining(&self) -> Option<u64> {
        self.state().remaining
    }

    /// All credits that were spent.
    pub fn total(&self) -> u64 {
        self.state().spent.iter().map(|spent| spent.credits).sum()
    }

    /// What was spent, by kind of call; kinds without calls are left out.
    pub fn spent(&self) -> Vec<Spent> {
        let state = self.state();
        let spent = state.spent.iter().copied();
        spent.filter(|spent| spent.calls > 0).collect()
    }

    fn refusal(&self, spend: Spend, remaining: u64) -> Error {
        let (cost, floor) = (spend.cost(), self.floor);
        let name = spend.name();
        let message = if floor == 0 {
            format!("a call of kind `{name}` costs {cost} credits, and {remaining} are left")
        } else {
            format!(
                "a call of kind `{name}` costs {cost} credits, {remaining} are left, and `min_credits` keeps {floor} of them"
            )
        };
        Error::new(Kind::RateLimited, message).with_hint(
            "credits come back 24 hours after they were spent: run again later, or lower `min_credits`",
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Toll for Held<'_> {
    fn failed(&mut self, fault: &Fault) {
        // What nobody knows to have failed may have been charged; throttled calls and refused tokens are not.
        let is_idle = matches!(fault.class, Class::Throttled | Class::Quota | Class::Token);
        self.charged += u64::from(!is_idle && !fault.was_never_sent());
    }

    fn again(&mut self) -> Result<()> {
        if self.charged == self.attempts {
            let mut state = self.credits.state();
            self.credits.set_aside(&mut state, self.spend)?;
            self.attempts += 1;
        }
        Ok(())
    }
}

impl Held<'_> {
    /// The last attempt is over.
    pub(super) fn ended(self, is_success: bool, told: Option<u64>) {
        let calls = self.charged + u64::from(is_success);
        self.spent(calls, told);
    }

    /// The call was made so many times; the service may have told what is left.
    fn spent(self, calls: u64, told: Option<u64>) {
        if calls == 0 {
            return;
        }
        let cost = self.spend.cost().saturating_mul(calls);
        let mut state = self.credits.state();
        if let Some(spent) = state.spent.get_mut(self.spend.place()) {
            spent.kind = self.spend.name();
            spent.calls += calls;
            spent.credits += cost;
        }
        state.remaining = match (told, state.remaining) {
            // What a call is told that began before another one was told may be the older news.
            (Some(told), Some(left)) if self.began < state.told_at => Some(told.min(left)),
            (Some(told), _) => Some(told),
            (None, left) => left.map(|left| left.saturating_sub(cost)),
        };
        if told.is_some() {
            state.moment += 1;
            state.told_at = state.moment;
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut state = self.credits.state();
        let cost = self.spend.cost().saturating_mul(self.attempts);
        state.held = state.held.saturating_sub(cost);
    }
}

/// What an answer says is left.
pub(crate) fn remaining(answer: &Answer) -> Option<u64> {
    let value = answer.headers.get(REMAINING)?.to_str().ok()?.trim();
    // Below nothing is nothing.
    let is_negative = value.strip_prefix('-').is_some();
    if is_negative {
        return Some(0);
    }
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use singer_net::StatusCode;

    use super::*;

    fn spend(credits: &Credits, spend: Spend, told: Option<u64>) {
        credits.reserve(spend).unwrap().spent(1, told);
    }

    #[test]
    fn each_kind_costs_what_the_service_charges() {
        for (spend, cost) in [
            (Spend::BulkRead, 50),
            (Spend::BulkWrite, 500),
            (Spend::Coql(1), 1),
            (Spend::Coql(200), 1),
            (Spend::Coql(201), 2),
            (Spend::Coql(1000), 2),
            (Spend::Coql(1001), 3),
            (Spend::Coql(2000), 3),
            (Spend::Records, 1),
            (Spend::Poll, 1),
            (Spend::Metadata, 1),
            (Spend::Download, 1),
            (Spend::Upload, 1),
        ] {
            assert_eq!(spend.cost(), cost, "{spend:?}");
        }
    }

    #[test]
    fn what_was_spent_is_counted_by_kind() {
        let credits = Credits::new(0);
        spend(&credits, Spend::BulkRead, None);
        spend(&credits, Spend::Poll, None);
        spend(&credits, Spend::Poll, None);
        spend(&credits, Spend::Coql(2000), None);
        spend(&credits, Spend::Coql(10), None);
        // A call that was not made costs nothing, one that was made again twice.
        credits.reserve(Spend::BulkWrite).unwrap().spent(0, None);
        credits.reserve(Spend::Records).unwrap().spent(2, None);
        let spent: Vec<_> = credits.spent();
        let shown: Vec<_> = (spent.iter())
            .map(|spent| (spent.kind, spent.calls, spent.credits))
            .collect();
        let wanted = [
            ("bulk_read", 1, 50),
            ("coql", 2, 4),
            ("records", 2, 2),
            ("poll", 2, 2),
        ];
        assert_eq!(shown, wanted);
        assert_eq!((credits.total(), credits.remaining()), (58, None));
    }

    #[test]
    fn the_floor_holds_from_when_the_service_tells_what_is_left() {
        let credits = Credits::new(100);
        spend(&credits, Spend::BulkWrite, None);
        spend(&credits, Spend::Poll, Some(650));
        spend(&credits, Spend::BulkWrite, None);
        assert_eq!(credits.remaining(), Some(150));
        let refusal = credits.reserve(Spend::BulkWrite).unwrap_err();
        assert_eq!(refusal.kind(), Kind::RateLimited);
        assert_eq!(
            refusal.message(),
            "a call of kind `bulk_write` costs 500 credits, 150 are left, and `min_credits` keeps 100 of them"
        );
        // One that fits exactly is made, and its answer does not open the door again.
        spend(&credits, Spend::BulkRead, None);
        assert!(credits.reserve(Spend::Poll).is_err());
        // They come back, which only an answer can tell.
        let credits = Credits::new(0);
        spend(&credits, Spend::Poll, Some(1));
        spend(&credits, Spend::Poll, Some(900));
        assert!(credits.reserve(Spend::BulkWrite).is_ok());
    }

    #[test]
    fn calls_side_by_side_do_not_cross_the_floor_together() {
        let credits = Credits::new(0);
        spend(&credits, Spend::Poll, Some(700));
        let first = credits.reserve(Spend::BulkWrite).unwrap();
        assert!(credits.reserve(Spend::BulkWrite).is_err());
        drop(first);
        assert!(credits.reserve(Spend::BulkWrite).is_ok());
    }

    #[test]
    fn a_call_is_not_made_again_if_that_would_cross_the_floor() {
        let broken = Fault {
            class: Class::Broken,
            ..Error::transient("the service is broken").into()
        };
        let credits = Credits::new(100);
        spend(&credits, Spend::Poll, Some(1200));
        let mut held = credits.reserve(Spend::BulkWrite).unwrap();
        // A token that was refused costs nothing.
        let token = Fault {
            class: Class::Token,
            ..Error::auth("the token was refused").into()
        };
        held.failed(&token);
        held.again().unwrap();
        held.failed(&broken);
        held.again().unwrap();
        // What is held for both attempts is not there for others.
        assert!(credits.reserve(Spend::BulkWrite).is_err());
        held.failed(&broken);
        assert_eq!(held.again().unwrap_err().kind(), Kind::RateLimited);
        held.ended(false, None);
        assert_eq!((credits.total(), credits.remaining()), (1001, Some(200)));
        assert!(credits.reserve(Spend::BulkRead).is_ok());
    }

    #[test]
    fn news_that_came_late_does_not_raise_what_is_left() {
        let credits = Credits::new(0);
        spend(&credits, Spend::Poll, Some(2000));
        let (first, second) = (
            credits.reserve(Spend::BulkWrite).unwrap(),
            credits.reserve(Spend::BulkWrite).unwrap(),
        );
        second.spent(1, Some(1000));
        first.spent(1, Some(1500));
        assert_eq!(credits.remaining(), Some(1000));
    }

    #[test]
    fn the_header_is_a_number_or_nothing() {
        for (text, wanted) in [("4200", Some(4200)), ("-3", Some(0)), ("many", None)] {
            let mut answer = Answer {
                status: StatusCode::OK,
                headers: Default::default(),
                body: Default::default(),
            };
            assert_eq!(remaining(&answer), None);
            answer.headers.insert(REMAINING, text.parse().unwrap());
            assert_eq!(remaining(&answer), wanted, "{text}");
        }
    }
}
