//! Faults of a search, under which the answer is 200 and yet not what was asked for.

use super::spec::{FaultError, Keys};
use super::{Action, Fault, FaultBoard, OwnFaults};

/// What befalls a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SearchFault {
    /// It ran out of time and answers so many percent of the hits.
    TimedOut { percent: u64 },
    /// Some shards failed; so many percent of the hits are in the others.
    Shards { percent: u64 },
    /// It answers the first page, whatever page was asked for.
    Stuck,
}

/// `search-stuck`.
pub(super) const STUCK: Action = Action::Search(SearchFault::Stuck);

impl FaultBoard {
    /// Decides what befalls a search.
    pub(crate) fn strike_search(&self, path: &str, own: Option<&OwnFaults>) -> Option<SearchFault> {
        let search = |fault: &Fault| match fault.action {
            Action::Search(search) => Some(search),
            _ => None,
        };
        let own = own.and_then(|own| own.0.iter().find_map(search));
        own.or_else(|| self.strike("POST", path, search))
    }
}

/// Reads `search-partial[:as=timeout|shards][,percent=N]`.
pub(super) fn partial(keys: &mut Keys) -> Result<Action, FaultError> {
    let percent = keys.number("percent")?.unwrap_or(50);
    match keys.take("as").as_deref() {
        None | Some("timeout") => Ok(Action::Search(SearchFault::TimedOut { percent })),
        Some("shards") => Ok(Action::Search(SearchFault::Shards { percent })),
        Some(other) => Err(FaultError(format!(
            "`as={other}` is neither `timeout` nor `shards`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_are_struck_apart_from_requests() {
        let spec = "search-partial:as=shards,percent=10,times=1";
        let board = FaultBoard::new(vec![spec.parse().unwrap(), "search-stuck".parse().unwrap()]);
        assert!(board.decide("POST", "/tetra/x", &[]).names.is_empty());
        let shards = SearchFault::Shards { percent: 10 };
        assert_eq!(board.strike_search("/tetra/x", None), Some(shards));
        assert_eq!(
            board.strike_search("/tetra/x", None),
            Some(SearchFault::Stuck)
        );
        assert!("search-partial:as=half".parse::<Fault>().is_err());
    }
}
