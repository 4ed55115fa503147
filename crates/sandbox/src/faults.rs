//! How the sandbox misbehaves when asked: faults with their triggers, and the board that decides for
//! each request which of them strike. How a fault is written as text is in `spec`; `server` and the
//! services act out the verdict.

mod search;
mod service;
mod spec;
mod trigger;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

pub(crate) use self::search::SearchFault;
pub(crate) use self::service::{ImportFault, RefusalForm, ServiceFault, ServiceRefusal};
pub use self::spec::{Fault, FaultError};
use self::trigger::{Count, Trigger};

/// What a fault does to the requests that it strikes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Answers with a status before the service sees the request.
    Answer(Refusal),
    /// Breaks the connection without an answer.
    Reset(Moment),
    /// Holds the answer back.
    Slow { delay: Duration, jitter: Duration },
    /// Fails every nth record of a call that is otherwise answered with success.
    Partial { every_record: usize },
    /// Declares the whole answer and sends half of it.
    Cut,
    /// Applies the request and answers its status without a body.
    Empty,
    /// Refuses bodies over a number of bytes with 413.
    TooLarge { bytes: usize },
    /// Answers 408 to calls with more records than `records`, after it applied the first `applied`.
    Timeout { records: usize, applied: usize },
    /// Breaks the connection after so many bytes of the body.
    CutUpload { bytes: usize },
    /// Ends the access token that the request carries before the service sees it.
    RevokeToken,
    /// Spoils the archive that the request would download.
    Archive(ArchiveFault),
    /// Is acted out by a service, with its own codes.
    Service(ServiceFault),
    /// Befalls a job when it is taken on, whatever request that comes in.
    Job(JobFault),
    /// Befalls a call or a message of gRPC.
    Grpc(GrpcFault),
    /// Befalls a search.
    Search(SearchFault),
}

/// What happens to a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum JobFault {
    /// It does not end before it was looked at so often, or never.
    Hang { polls: Option<u32> },
    /// It fails for a reason of the service.
    Fail { reason: &'static str },
}

/// What is wrong with an archive that is downloaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ArchiveFault {
    /// It ends after half of its bytes, as a whole body.
    Cut,
    /// It unpacks to so many megabytes.
    Bomb { megabytes: u64 },
    /// It has so many more entries.
    Entries { count: usize },
    /// A row of its CSV has one cell more than the header, or one less.
    Cells { row: usize, is_short: bool },
    /// Its link is at its end.
    Expired,
}

/// What happens to a call or a message of gRPC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GrpcFault {
    /// The number of the status.
    pub(crate) code: i32,
    pub(crate) moment: Moment,
    pub(crate) form: GrpcForm,
}

/// How a client learns of a fault of gRPC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum GrpcForm {
    /// The call ends with the status.
    Status,
    /// The answer to a message holds the status, and the call goes on.
    Response,
    /// The connection breaks.
    Reset,
}

/// The faults that a request asks for itself, for services that look for them at another moment.
#[derive(Clone, Debug)]
pub(crate) struct OwnFaults(pub(crate) Vec<Fault>);

impl Action {
    /// Whether it strikes at requests, and not at what a service makes of them.
    fn strikes_requests(&self) -> bool {
        !matches!(
            self,
            Action::Job(_) | Action::Grpc(_) | Action::Service(_) | Action::Search(_)
        )
    }
}

/// An answer that stands in for the service's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) status: u16,
    /// Seconds of the `Retry-After` header, if there is to be one.
    pub(crate) retry_after: Option<u64>,
    /// The reason in the body of an answer of BigQuery, if it is to be another one.
    pub(crate) named: Option<&'static str>,
}

/// Why the service is made to refuse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reason {
    Throttled,
    Broken,
    KeyExpired,
    ScopeMissing,
}

/// Whether the service has applied the request when the connection breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Moment {
    Before,
    After,
}

/// What happens to one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// Names of the faults that struck, for the log.
    pub(crate) names: Vec<&'static str>,
    pub(crate) answer: Option<Refusal>,
    pub(crate) reset: Option<Moment>,
    pub(crate) delay: Duration,
    pub(crate) cut: bool,
    pub(crate) empty: bool,
    /// The connection breaks after so many bytes of the body.
    pub(crate) upload_cut: Option<usize>,
    /// The access token ends before the service sees it.
    pub(crate) revoke: bool,
    /// What is wrong with the archive of the answer.
    pub(crate) archive: Option<ArchiveFault>,
    pub(crate) call: CallFaults,
}

/// The part of a verdict that the service itself acts out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallFaults {
    /// Every nth record fails.
    pub(crate) failed_record: Option<usize>,
    /// More bytes than this are 413.
    pub(crate) byte_limit: Option<usize>,
    /// More records than the first number are 408, after the second number was applied.
    pub(crate) record_limit: Option<(usize, usize)>,
}

impl Verdict {
    fn add(&mut self, fault: &Fault, noise: u64) {
        self.names.push(fault.name);
        match &fault.action {
            Action::Answer(refusal) => {
                self.answer.get_or_insert(*refusal);
            }
            Action::Reset(moment) => {
                self.reset.get_or_insert(*moment);
            }
            Action::Slow { delay, jitter } => {
                let spread = jitter.as_millis().try_into().unwrap_or(u64::MAX);
                self.delay += *delay + Duration::from_millis(noise % spread.saturating_add(1));
            }
            Action::Partial { every_record } => self.call.failed_record = Some(*every_record),
            Action::Cut => self.cut = true,
            Action::Empty => self.empty = true,
            Action::TooLarge { bytes } => self.call.byte_limit = Some(*bytes),
            Action::Timeout { records, applied } => {
                self.call.record_limit = Some((*records, *applied));
            }
            Action::CutUpload { bytes } => self.upload_cut = Some(*bytes),
            Action::RevokeToken => self.revoke = true,
            Action::Archive(fault) => {
                self.archive.get_or_insert(*fault);
            }
            // They are asked for by the service.
            Action::Job(_) | Action::Grpc(_) | Action::Service(_) | Action::Search(_) => {}
        }
    }
}

/// The faults in force, with their counters.
#[derive(Default)]
pub(crate) struct FaultBoard {
    active: Mutex<Vec<Active>>,
}

struct Active {
    fault: Fault,
    count: Count,
}

/// One fault in force, as the state shows it.
#[derive(Clone, Debug, Serialize)]
pub struct FaultState {
    /// The fault as it was written.
    pub spec: String,
    /// Requests that it looked at.
    pub seen: u64,
    /// Requests that it struck.
    pub struck: u64,
}

impl FaultBoard {
    pub(crate) fn new(faults: Vec<Fault>) -> FaultBoard {
        let board = FaultBoard::default();
        board.set(faults);
        board
    }

    /// Replaces all faults; counters begin anew.
    pub(crate) fn set(&self, faults: Vec<Fault>) {
        *self.lock() = faults.into_iter().map(Active::new).collect();
    }

    pub(crate) fn add(&self, faults: Vec<Fault>) {
        self.lock().extend(faults.into_iter().map(Active::new));
    }

    pub(crate) fn states(&self) -> Vec<FaultState> {
        let state = |active: &Active| FaultState {
            spec: active.fault.spec.clone(),
            seen: active.count.seen,
            struck: active.count.struck,
        };
        self.lock().iter().map(state).collect()
    }

    /// Decides on one request, and counts it. `own` are the faults that the request itself asks for.
    pub(crate) fn decide(&self, method: &str, path: &str, own: &[Fault]) -> Verdict {
        let mut verdict = Verdict::default();
        for fault in own.iter().filter(|fault| fault.action.strikes_requests()) {
            verdict.add(fault, 0);
        }
        for active in self.lock().iter_mut() {
            let is_asked = active.fault.action.strikes_requests();
            if !is_asked || !active.fault.scope.covers(method, path) {
                continue;
            }
            if active.count.strikes(&active.fault.trigger) {
                verdict.add(&active.fault, active.count.noise(active.fault.trigger.seed));
            }
        }
        verdict
    }

    /// Decides on a job that is taken on. `path` is its kind and the table it writes, for the scope.
    pub(crate) fn strike_job(&self, path: &str, own: Option<&OwnFaults>) -> Option<JobFault> {
        let job = |fault: &Fault| match fault.action {
            Action::Job(job) => Some(job),
            _ => None,
        };
        let own = own.and_then(|own| own.0.iter().find_map(job));
        own.or_else(|| self.strike("POST", path, job))
    }

    /// Decides on a call or a message of gRPC; its path is the method, and the stream behind it.
    pub(crate) fn strike_grpc(&self, path: &str) -> Option<GrpcFault> {
        self.strike("POST", path, |fault| match fault.action {
            Action::Grpc(grpc) => Some(grpc),
            _ => None,
        })
    }

    /// Counts something for the faults that look at its kind; the first that strikes wins.
    fn strike<Found>(
        &self,
        method: &str,
        path: &str,
        kind: impl Fn(&Fault) -> Option<Found>,
    ) -> Option<Found> {
        let mut first = None;
        for active in self.lock().iter_mut() {
            let Some(found) = kind(&active.fault) else {
                continue;
            };
            if active.fault.scope.covers(method, path)
                && active.count.strikes(&active.fault.trigger)
            {
                first.get_or_insert(found);
            }
        }
        first
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Active {
    fn new(fault: Fault) -> Active {
        Active {
            fault,
            count: Count::default(),
        }
    }
}

/// Which requests a fault looks at.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scope {
    /// The method, or any.
    method: Option<String>,
    /// A part of the path, or any.
    path: Option<String>,
}

impl Scope {
    fn covers(&self, method: &str, path: &str) -> bool {
        self.method
            .as_deref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self
                .path
                .as_deref()
                .is_none_or(|wanted| path.contains(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(specs: &[&str]) -> FaultBoard {
        FaultBoard::new(specs.iter().map(|spec| spec.parse().unwrap()).collect())
    }

    fn struck(board: &FaultBoard, requests: usize) -> Vec<usize> {
        (1..=requests)
            .filter(|_| {
                !board
                    .decide("POST", "/pendo/api/v1/x", &[])
                    .names
                    .is_empty()
            })
            .collect()
    }

    fn strikes(spec: &str, requests: usize) -> Vec<usize> {
        struck(&board(&[spec]), requests)
    }

    #[test]
    fn every_nth_request_is_struck() {
        assert_eq!(strikes("throttle:every=3", 9), [3, 6, 9]);
    }

    #[test]
    fn a_burst_ends() {
        assert_eq!(strikes("error:after=2,times=3", 9), [3, 4, 5]);
        assert_eq!(strikes("error:every=4,burst=2", 10), [4, 5, 8, 9]);
    }

    #[test]
    fn chance_is_the_same_in_every_run() {
        let first = strikes("error:chance=0.3,seed=7", 200);
        assert_eq!(first, strikes("error:chance=0.3,seed=7", 200));
        assert_ne!(first, strikes("error:chance=0.3,seed=8", 200));
        assert!((30..=90).contains(&first.len()), "{}", first.len());
    }

    #[test]
    fn a_rate_strikes_what_goes_over_it() {
        let count = strikes("throttle:rate=5", 40).len();
        // The window may turn over once while the test runs.
        assert!((30..=35).contains(&count), "{count}");
    }

    #[test]
    fn scope_is_a_method_and_a_part_of_the_path() {
        let board = board(&["error:path=/aggregation,method=post"]);
        assert!(
            board
                .decide("POST", "/pendo/api/v1/metadata", &[])
                .names
                .is_empty()
        );
        assert!(
            board
                .decide("GET", "/pendo/api/v1/aggregation", &[])
                .names
                .is_empty()
        );
        assert_eq!(
            board.decide("POST", "/pendo/api/v1/aggregation", &[]).names,
            ["error"]
        );
        assert_eq!(board.states()[0].seen, 1);
    }

    #[test]
    fn jitter_is_bounded_and_deterministic() {
        let delays = || -> Vec<Duration> {
            let board = board(&["slow:ms=100,jitter=50"]);
            (0..100)
                .map(|_| board.decide("GET", "/", &[]).delay)
                .collect()
        };
        let all = delays();
        assert_eq!(all, delays());
        assert!(
            all.iter()
                .all(|delay| (100..=150).contains(&delay.as_millis()))
        );
        assert!(all.iter().any(|delay| *delay != all[0]));
    }

    #[test]
    fn the_first_answer_wins_and_the_rest_adds_up() {
        let board = board(&["throttle:retry-after=1", "error", "slow:ms=5", "slow:ms=6"]);
        let verdict = board.decide("GET", "/", &["partial:every-record=2".parse().unwrap()]);
        let refusal = verdict.answer.unwrap();
        assert_eq!((refusal.status, refusal.retry_after), (429, Some(1)));
        assert_eq!(verdict.delay, Duration::from_millis(11));
        assert_eq!(verdict.call.failed_record, Some(2));
        assert_eq!(
            verdict.names,
            ["partial", "throttle", "error", "slow", "slow"]
        );
    }

    #[test]
    fn a_new_set_begins_to_count_anew() {
        let board = board(&["error:times=1"]);
        assert_eq!(struck(&board, 3), [1]);
        board.set(vec!["error:times=1".parse().unwrap()]);
        assert_eq!(struck(&board, 3), [1]);
        board.set(Vec::new());
        assert!(struck(&board, 3).is_empty());
    }
}
