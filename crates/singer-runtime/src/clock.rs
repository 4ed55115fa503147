//! The clock: the only place that asks the system for the time, so that tests can set it.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// Tells the time; cheap to clone, all clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The time that a test set; `None` means the system's.
    fixed: Option<Arc<Mutex<DateTime<Utc>>>>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self { fixed: None }
    }

    /// A clock that stands still until it is moved.
    pub fn fixed(now: DateTime<Utc>) -> Self {
        Self {
            fixed: Some(Arc::new(Mutex::new(now))),
        }
    }

    /// The time.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else asks"
    )]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.fixed {
            Some(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
            None => Utc::now(),
        }
    }

    /// The time as RFC 3339 with microseconds and `Z`, as `time_extracted` has it.
    pub fn timestamp(&self) -> String {
        self.now().to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    /// Moves a fixed clock on; the system's clock does not move for anybody.
    pub fn advance(&self, by: TimeDelta) {
        if let Some(now) = &self.fixed {
            *now.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_moves_only_when_it_is_moved() {
        let clock = Clock::fixed(DateTime::UNIX_EPOCH);
        let other = clock.clone();
        clock.advance(TimeDelta::milliseconds(1500));
        assert_eq!(other.timestamp(), "1970-01-01T00:00:01.500000Z");
    }
}
