//! Faults that only a service can act out, because they know its codes: refusals with a code, and what
//! befalls an import. They are written for Zoho Analytics.

use super::spec::{FaultError, Keys, moment};
use super::{Action, Fault, FaultBoard, Moment, OwnFaults};
use crate::analytics::is_known_code;

/// What a service does instead of what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ServiceFault {
    Refuse(ServiceRefusal),
    Import(ImportFault),
}

/// A refusal with a code of the service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ServiceRefusal {
    pub(crate) code: u32,
    /// The HTTP status, if not the usual one of the code.
    pub(crate) status: Option<u16>,
    /// Whether the request was carried out nonetheless.
    pub(crate) moment: Moment,
    pub(crate) form: RefusalForm,
}

/// What the body of a refusal looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RefusalForm {
    Json,
    /// A page, with a status that may be that of a success.
    Html,
    /// JSON with quotes and backslashes where they do not belong.
    Quotes,
}

/// What befalls an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImportFault {
    /// It fails with a code.
    Fail(u32),
    /// It is not over before it was looked at so often, or never.
    Hang(Option<u32>),
    /// Every nth row is lost without a word.
    Partial(usize),
    /// It does its work, and nobody knows it any more.
    Lose,
}

impl FaultBoard {
    /// Decides whether a service refuses a request with a code of its own.
    pub(crate) fn strike_service(
        &self,
        method: &str,
        path: &str,
        own: Option<&OwnFaults>,
    ) -> Option<ServiceRefusal> {
        let refusal = |fault: &Fault| match fault.action {
            Action::Service(ServiceFault::Refuse(refusal)) => Some(refusal),
            _ => None,
        };
        let own = own.and_then(|own| own.0.iter().find_map(refusal));
        own.or_else(|| self.strike(method, path, refusal))
    }

    /// Decides what befalls an import that a request begins.
    pub(crate) fn strike_import(&self, path: &str, own: Option<&OwnFaults>) -> Option<ImportFault> {
        let import = |fault: &Fault| match fault.action {
            Action::Service(ServiceFault::Import(import)) => Some(import),
            _ => None,
        };
        let own = own.and_then(|own| own.0.iter().find_map(import));
        own.or_else(|| self.strike("POST", path, import))
    }
}

/// Reads `analytics-error:code=N[,status=N][,when=before|after][,as=json|html|quotes]`.
pub(super) fn refusal(keys: &mut Keys) -> Result<Action, FaultError> {
    let form = match keys.take("as").as_deref() {
        None | Some("json") => RefusalForm::Json,
        Some("html") => RefusalForm::Html,
        Some("quotes") => RefusalForm::Quotes,
        Some(other) => {
            return Err(FaultError(format!(
                "`as={other}` is neither `json`, `html` nor `quotes`"
            )));
        }
    };
    let status: Option<u16> = keys.number("status")?;
    if status.is_some_and(|status| !(200..=599).contains(&status)) {
        return Err(FaultError("`status` is between 200 and 599".to_owned()));
    }
    Ok(Action::Service(ServiceFault::Refuse(ServiceRefusal {
        code: known_code(keys.number("code")?.unwrap_or(7005))?,
        status,
        moment: moment(keys)?,
        form,
    })))
}

/// Reads `import-fail:code=N`.
pub(super) fn failing_import(keys: &mut Keys) -> Result<Action, FaultError> {
    let code = known_code(keys.number("code")?.unwrap_or(7232))?;
    Ok(Action::Service(ServiceFault::Import(ImportFault::Fail(
        code,
    ))))
}

/// Reads `import-hang[:polls=N]`.
pub(super) fn hanging_import(keys: &mut Keys) -> Result<Action, FaultError> {
    let polls = keys.number("polls")?;
    Ok(Action::Service(ServiceFault::Import(ImportFault::Hang(
        polls,
    ))))
}

/// Reads `import-partial[:every-record=N]`.
pub(super) fn partial_import(keys: &mut Keys) -> Result<Action, FaultError> {
    let every: usize = keys.number("every-record")?.unwrap_or(2);
    if every == 0 {
        return Err(FaultError("`every-record` is at least 1".to_owned()));
    }
    Ok(Action::Service(ServiceFault::Import(ImportFault::Partial(
        every,
    ))))
}

fn known_code(code: u32) -> Result<u32, FaultError> {
    if is_known_code(code) {
        Ok(code)
    } else {
        Err(FaultError(format!(
            "`code={code}` is no code of Zoho Analytics"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_forms_have_to_be_known() {
        for (spec, named) in [
            ("analytics-error:code=1", "code=1"),
            ("analytics-error:as=xml", "as=xml"),
            ("analytics-error:status=100", "status"),
            ("import-fail:code=2", "code=2"),
            ("import-partial:every-record=0", "every-record"),
        ] {
            let error = spec.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(named), "{spec}: {error}");
        }
        let fault: Fault = "import-hang:polls=3".parse().unwrap();
        let hang = ServiceFault::Import(ImportFault::Hang(Some(3)));
        assert_eq!(fault.action, Action::Service(hang));
    }

    #[test]
    fn each_kind_is_asked_for_by_itself() {
        let specs = [
            "analytics-error:code=6045,times=1",
            "import-lost:path=/bulk/",
        ];
        let board = FaultBoard::new(specs.iter().map(|spec| spec.parse().unwrap()).collect());
        assert!(
            board
                .decide("POST", "/restapi/v2/bulk/x", &[])
                .names
                .is_empty()
        );
        let refusal = board.strike_service("GET", "/restapi/v2/orgs", None);
        assert_eq!(refusal.map(|refusal| refusal.code), Some(6045));
        assert_eq!(board.strike_service("GET", "/restapi/v2/orgs", None), None);
        assert_eq!(board.strike_import("/restapi/v2/x", None), None);
        let struck = board.strike_import("/restapi/v2/bulk/x", None);
        assert_eq!(struck, Some(ImportFault::Lose));
    }
}
