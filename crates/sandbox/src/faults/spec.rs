//! Faults as text: `NAME[:KEY=VALUE[,KEY=VALUE…]]`, on the command line, in a control request and in
//! the header of a single request. Unknown names and keys are errors, so that no test believes in a
//! fault that never strikes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{
    Action, ArchiveFault, GrpcFault, GrpcForm, ImportFault, JobFault, Moment, Reason, Refusal,
    Scope, ServiceFault, Trigger, search, service,
};

/// The longest delay that a fault may ask for.
const LONGEST_DELAY_MS: u64 = 600_000;

/// One fault: what it does, when, and to which requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub(crate) name: &'static str,
    pub(crate) action: Action,
    pub(crate) trigger: Trigger,
    pub(crate) scope: Scope,
    pub(crate) spec: String,
}

/// Why a text is no fault.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultError(pub(super) String);

impl fmt::Display for FaultError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for FaultError {}

impl Fault {
    /// Reads several faults, separated by semicolons or line ends.
    pub fn parse_list(text: &str) -> Result<Vec<Fault>, FaultError> {
        text.split([';', '\n'])
            .map(str::trim)
            .filter(|spec| !spec.is_empty())
            .map(str::parse)
            .collect()
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(spec: &str) -> Result<Fault, FaultError> {
        let (name, keys) = spec.split_once(':').unwrap_or((spec, ""));
        let mut keys = Keys::parse(keys)?;
        let (name, action) = match name {
            "throttle" => ("throttle", answer(&mut keys, Reason::Throttled, 429)?),
            "error" => ("error", answer(&mut keys, Reason::Broken, 500)?),
            "expire" => ("expire", answer(&mut keys, Reason::KeyExpired, 401)?),
            "scope-missing" => (
                "scope-missing",
                answer(&mut keys, Reason::ScopeMissing, 401)?,
            ),
            "revoke" => ("revoke", Action::RevokeToken),
            "zip-cut" => ("zip-cut", Action::Archive(ArchiveFault::Cut)),
            "zip-bomb" => ("zip-bomb", bomb(&mut keys)?),
            "csv-cells" => ("csv-cells", cells(&mut keys)?),
            "link-expired" => ("link-expired", Action::Archive(ArchiveFault::Expired)),
            "reset" => ("reset", Action::Reset(moment(&mut keys)?)),
            "slow" => ("slow", slow(&mut keys)?),
            "partial" => {
                let every_record = keys.number("every-record")?.unwrap_or(2);
                (
                    "partial",
                    Action::Partial {
                        every_record: at_least_one(every_record)?,
                    },
                )
            }
            "cut" => ("cut", Action::Cut),
            "empty" => ("empty", Action::Empty),
            "too-large" => (
                "too-large",
                Action::TooLarge {
                    bytes: keys.required("bytes")?,
                },
            ),
            "timeout" => {
                let records = keys.required("records")?;
                let applied = keys.number("applied")?.unwrap_or(records);
                ("timeout", Action::Timeout { records, applied })
            }
            "upload-cut" => (
                "upload-cut",
                Action::CutUpload {
                    bytes: keys.required("bytes")?,
                },
            ),
            "job-hang" => (
                "job-hang",
                Action::Job(JobFault::Hang {
                    polls: keys.number("polls")?,
                }),
            ),
            "job-fail" => {
                let reason =
                    known_reason(keys.take("reason").as_deref().unwrap_or("backendError"))?;
                ("job-fail", Action::Job(JobFault::Fail { reason }))
            }
            "grpc" => ("grpc", grpc(&mut keys)?),
            "analytics-error" => ("analytics-error", service::refusal(&mut keys)?),
            "import-fail" => ("import-fail", service::failing_import(&mut keys)?),
            "import-hang" => ("import-hang", service::hanging_import(&mut keys)?),
            "import-partial" => ("import-partial", service::partial_import(&mut keys)?),
            "import-lost" => (
                "import-lost",
                Action::Service(ServiceFault::Import(ImportFault::Lose)),
            ),
            "search-partial" => ("search-partial", search::partial(&mut keys)?),
            "search-stuck" => ("search-stuck", search::STUCK),
            unknown => {
                return Err(FaultError(format!(
                    "unknown fault `{unknown}`: one of throttle, error, expire, scope-missing, revoke, zip-cut, zip-bomb, csv-cells, link-expired, reset, slow, partial, cut, empty, too-large, timeout, upload-cut, job-hang, job-fail, grpc, analytics-error, import-fail, import-hang, import-partial, import-lost, search-partial, search-stuck"
                )));
            }
        };
        let trigger = trigger(&mut keys)?;
        let scope = Scope {
            method: keys.take("method"),
            path: keys.take("path"),
        };
        keys.none_left(name)?;
        Ok(Fault {
            name,
            action,
            trigger,
            scope,
            spec: spec.to_owned(),
        })
    }
}

fn answer(keys: &mut Keys, reason: Reason, status: u16) -> Result<Action, FaultError> {
    let status = keys.number("status")?.unwrap_or(status);
    // The throttle of Zoho accounts comes with 200 in some reports.
    let is_kind = status == 200 && reason == Reason::Throttled;
    if !is_kind && !(400..=599).contains(&status) {
        return Err(FaultError(format!("status {status} is no error status")));
    }
    Ok(Action::Answer(Refusal {
        reason,
        status,
        retry_after: keys.number("retry-after")?,
        named: keys
            .take("reason")
            .as_deref()
            .map(known_reason)
            .transpose()?,
    }))
}

/// Reasons that BigQuery gives, and names for texts that clients have to read; in capitals those that
/// Data Store gives.
const REASONS: [&str; 27] = [
    "backendError",
    "internalError",
    "badGateway",
    "jobBackendError",
    "jobInternalError",
    "jobRateLimitExceeded",
    "rateLimitExceeded",
    "quotaExceeded",
    "accessDenied",
    "billingNotEnabled",
    "invalid",
    "invalidQuery",
    "notFound",
    "stopped",
    "responseTooLarge",
    "resourcesExceeded",
    "serialize",
    "concurrentUpdate",
    "eucHeader",
    "API_LIMIT_REACHED",
    "EXPIRED",
    "INTERNAL_SERVER_ERROR",
    "INVALID_ID",
    "INVALID_INPUT",
    "NO_ACCESS",
    "UNAUTHORISED",
    "ZCQL_QUERY_ERROR",
];

fn known_reason(name: &str) -> Result<&'static str, FaultError> {
    REASONS
        .into_iter()
        .find(|known| *known == name)
        .ok_or_else(|| {
            FaultError(format!(
                "unknown reason `{name}`: one of {}",
                REASONS.join(", ")
            ))
        })
}

/// The names of the statuses of gRPC; the place is the number.
const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn grpc(keys: &mut Keys) -> Result<Action, FaultError> {
    let name = keys.take("status");
    let name = name.as_deref().unwrap_or("UNAVAILABLE");
    let code = (0..)
        .zip(GRPC_STATUSES)
        .find_map(|(code, known)| known.eq_ignore_ascii_case(name).then_some(code))
        .ok_or_else(|| FaultError(format!("`status={name}` is no status of gRPC")))?;
    let form = match keys.take("as").as_deref() {
        None | Some("status") => GrpcForm::Status,
        Some("response") => GrpcForm::Response,
        Some("reset") => GrpcForm::Reset,
        Some(other) => {
            return Err(FaultError(format!(
                "`as={other}` is neither `status`, `response` nor `reset`"
            )));
        }
    };
    Ok(Action::Grpc(GrpcFault {
        code,
        moment: moment(keys)?,
        form,
    }))
}

pub(super) fn moment(keys: &mut Keys) -> Result<Moment, FaultError> {
    match keys.take("when").as_deref() {
        None | Some("before") => Ok(Moment::Before),
        Some("after") => Ok(Moment::After),
        Some(other) => Err(FaultError(format!(
            "`when={other}` is neither `before` nor `after`"
        ))),
    }
}

/// A bomb is too large when it is unpacked, or has too many entries.
fn bomb(keys: &mut Keys) -> Result<Action, FaultError> {
    let megabytes = keys.number("megabytes")?;
    let fault = match keys.number("entries")? {
        Some(count) => ArchiveFault::Entries { count },
        None => ArchiveFault::Bomb {
            megabytes: megabytes.unwrap_or(1024),
        },
    };
    Ok(Action::Archive(fault))
}

fn cells(keys: &mut Keys) -> Result<Action, FaultError> {
    let row = keys.number("row")?.unwrap_or(1);
    let is_short = match keys.take("as").as_deref() {
        None | Some("long") => false,
        Some("short") => true,
        Some(other) => {
            return Err(FaultError(format!(
                "`as={other}` is neither `long` nor `short`"
            )));
        }
    };
    Ok(Action::Archive(ArchiveFault::Cells { row, is_short }))
}

fn slow(keys: &mut Keys) -> Result<Action, FaultError> {
    let delay: u64 = keys.required("ms")?;
    let jitter: u64 = keys.number("jitter")?.unwrap_or(0);
    if delay.saturating_add(jitter) > LONGEST_DELAY_MS {
        return Err(FaultError(format!(
            "no delay may be over {LONGEST_DELAY_MS} ms"
        )));
    }
    Ok(Action::Slow {
        delay: Duration::from_millis(delay),
        jitter: Duration::from_millis(jitter),
    })
}

fn trigger(keys: &mut Keys) -> Result<Trigger, FaultError> {
    let trigger = Trigger {
        after: keys.number("after")?.unwrap_or(0),
        every: keys.number("every")?.unwrap_or(1),
        burst: keys.number("burst")?.unwrap_or(1),
        times: keys.number("times")?,
        rate: keys.number("rate")?,
        chance: keys.number("chance")?,
        seed: keys.number("seed")?.unwrap_or(0),
    };
    if trigger.every == 0 || trigger.burst == 0 {
        return Err(FaultError("`every` and `burst` are at least 1".to_owned()));
    }
    if trigger
        .chance
        .is_some_and(|chance| !(0.0..=1.0).contains(&chance))
    {
        return Err(FaultError("`chance` is between 0 and 1".to_owned()));
    }
    Ok(trigger)
}

fn at_least_one(number: usize) -> Result<usize, FaultError> {
    if number == 0 {
        Err(FaultError("`every-record` is at least 1".to_owned()))
    } else {
        Ok(number)
    }
}

/// The keys of a fault that nobody has asked for yet.
pub(super) struct Keys(Vec<(String, String)>);

impl Keys {
    fn parse(text: &str) -> Result<Keys, FaultError> {
        let pair = |part: &str| {
            part.split_once('=')
                .map(|(key, value)| (key.trim().replace('_', "-"), value.trim().to_owned()))
                .ok_or_else(|| FaultError(format!("`{part}` is no KEY=VALUE")))
        };
        text.split(',')
            .filter(|part| !part.is_empty())
            .map(pair)
            .collect::<Result<_, _>>()
            .map(Keys)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        let place = self.0.iter().position(|(found, _)| found == key)?;
        Some(self.0.remove(place).1)
    }

    pub(super) fn number<Number: FromStr>(
        &mut self,
        key: &str,
    ) -> Result<Option<Number>, FaultError> {
        self.take(key)
            .map(|text| {
                text.parse()
                    .map_err(|_| FaultError(format!("`{key}={text}` is no number")))
            })
            .transpose()
    }

    fn required<Number: FromStr>(&mut self, key: &str) -> Result<Number, FaultError> {
        self.number(key)?
            .ok_or_else(|| FaultError(format!("`{key}=NUMBER` is missing")))
    }

    fn none_left(&self, name: &str) -> Result<(), FaultError> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(FaultError(format!("fault `{name}` knows no key `{key}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(spec: &str) -> Result<Fault, FaultError> {
        spec.parse()
    }

    #[test]
    fn names_have_the_status_that_people_expect() {
        let status = |spec: &str| match parse(spec).unwrap().action {
            Action::Answer(refusal) => refusal.status,
            other => panic!("{other:?}"),
        };
        assert_eq!(status("throttle"), 429);
        assert_eq!(status("error"), 500);
        assert_eq!(status("error:status=503"), 503);
        assert_eq!(status("expire:status=403,after=3"), 403);
    }

    #[test]
    fn underscores_and_spaces_do_no_harm() {
        let fault = parse("throttle: retry_after = 2 , every=5").unwrap();
        let refusal = Refusal {
            reason: Reason::Throttled,
            status: 429,
            retry_after: Some(2),
            named: None,
        };
        assert_eq!(fault.action, Action::Answer(refusal));
        assert_eq!(fault.trigger.every, 5);
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_names_it() {
        for (spec, named) in [
            ("trottle", "trottle"),
            ("error:stauts=500", "stauts"),
            ("error:status=200", "200"),
            ("slow", "ms"),
            ("slow:ms=soon", "soon"),
            ("slow:ms=600001", "600000"),
            ("reset:when=later", "later"),
            ("error:every=0", "every"),
            ("error:chance=2", "chance"),
            ("partial:every-record=0", "every-record"),
            ("cut:now", "now"),
            ("job-fail:reason=bored", "bored"),
            ("grpc:status=TIRED", "TIRED"),
            ("upload-cut", "bytes"),
            ("csv-cells:as=wide", "wide"),
            ("zip-bomb:megabytes=many", "many"),
        ] {
            let error = parse(spec).unwrap_err().to_string();
            assert!(error.contains(named), "{spec}: {error}");
        }
    }

    #[test]
    fn a_list_is_split_at_semicolons_and_line_ends() {
        let faults = Fault::parse_list("cut; error:status=502\n\nempty;").unwrap();
        let names: Vec<_> = faults.iter().map(|fault| fault.name).collect();
        assert_eq!(names, ["cut", "error", "empty"]);
    }
}
