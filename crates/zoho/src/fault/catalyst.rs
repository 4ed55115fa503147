//! The codes of Zoho Catalyst.

use singer_net::Answer;

use super::body::{self, Said, by_status};
use super::{Class, Fault, Service};

/// Zoho Catalyst.
#[derive(Debug, Clone, Copy)]
pub struct Catalyst;

const SCOPES: &str = "the refresh token lacks a scope: a tap needs `ZohoCatalyst.tables.READ`, `ZohoCatalyst.tables.columns.READ`, `ZohoCatalyst.tables.rows.READ`, `ZohoCatalyst.tables.bulk.READ` and `ZohoCatalyst.zcql.CREATE`; make a new code with all of them and exchange it";

const RIGHTS: &str =
    "the token's user must be an administrator or collaborator of the Catalyst project";

/// Code, class, what to do.
const CODES: [(&str, Class, Option<&str>); 33] = [
    (
        "FUNCTION_ERROR",
        Class::Fatal,
        Some("look into the log of the function in the Catalyst console"),
    ),
    (
        "INVALID_INPUT",
        Class::Fatal,
        Some(
            "a table, column or value of the request is not known there: discover again and look at the catalog",
        ),
    ),
    ("MISSING_VALUE", Class::Fatal, None),
    ("MISMATCH", Class::Fatal, None),
    (
        "ZCQL_QUERY_ERROR",
        Class::Fatal,
        Some(
            "the names in the query are those of the catalog: discover again if tables or columns were renamed",
        ),
    ),
    ("UNAUTHORISED", Class::Token, None),
    ("UNAUTHORIZED", Class::Token, None),
    ("INVALID_TOKEN", Class::Token, None),
    ("INVALID_OAUTHTOKEN", Class::Token, None),
    ("AUTHENTICATION_FAILURE", Class::Token, None),
    ("OAUTH_SCOPE_MISMATCH", Class::Denied, Some(SCOPES)),
    ("NO_ACCESS", Class::Denied, Some(RIGHTS)),
    ("NO_PERMISSION", Class::Denied, Some(RIGHTS)),
    (
        "API_LIMIT_REACHED",
        Class::Quota,
        Some(
            "the project has used up its calls: run again when the limit has been renewed, or raise the plan in the Catalyst console",
        ),
    ),
    ("INVALID_CONTENT", Class::Fatal, None),
    (
        "INVALID_OPERATION",
        Class::Fatal,
        Some(
            "the project or table does not allow this: look at its settings in the Catalyst console",
        ),
    ),
    (
        "VERIFICATION_NEEDED",
        Class::Denied,
        Some("the token's user has to verify the account in the Catalyst console first"),
    ),
    (
        "INVALID_ID",
        Class::Missing,
        Some(
            "look at `project_id`, `org_id` and `environment`, and whether the table or job still exists",
        ),
    ),
    (
        "INVALID_NAME",
        Class::Missing,
        Some("look at `environment`, and whether the table or column was renamed or deleted"),
    ),
    (
        "INVALID_REQUEST_METHOD",
        Class::Fatal,
        Some("look whether a proxy or the base URL changes requests"),
    ),
    (
        "INVALID_HOST",
        Class::Fatal,
        Some("look at `data_center` and the base URL in the config"),
    ),
    ("CONFLICT", Class::Exists, None),
    ("DUPLICATE_ENTRY", Class::Exists, None),
    ("DUPLICATE_OPERATION", Class::Exists, None),
    ("DUPLICATE_VALUE", Class::Exists, None),
    (
        "EXPIRED",
        Class::Expired,
        Some("the result is no longer kept: the job has to be made anew"),
    ),
    (
        "EXPIRED_LOG",
        Class::Expired,
        Some("the log is no longer kept: the job has to be made anew"),
    ),
    (
        "TOO_MANY_REQUESTS",
        Class::Throttled,
        Some("run again later, or with fewer jobs side by side"),
    ),
    ("INTERNAL_SERVER_ERROR", Class::Broken, None),
    ("EMAIL_ERROR", Class::Broken, None),
    ("SERVICE_UNAVAILABLE", Class::Broken, None),
    ("BAD_GATEWAY", Class::Broken, None),
    ("GATEWAY_TIMEOUT", Class::Broken, None),
];

impl Service for Catalyst {
    const NAME: &'static str = "Zoho Catalyst";

    fn judge(answer: &Answer) -> Result<(), Fault> {
        body::judge(answer, classify)
    }
}

fn classify(answer: &Answer, said: &Said) -> (Class, Option<&'static str>) {
    let code = said.code.as_deref().unwrap_or_default();
    if let Some((_, class, hint)) = CODES.iter().find(|(known, _, _)| *known == code) {
        return (*class, *hint);
    }
    // A missing right for a table has no code of its own.
    if !answer.status.is_server_error() && said.words.to_ascii_lowercase().contains("privilege") {
        return (Class::Denied, Some(RIGHTS));
    }
    match by_status(answer, said) {
        (Class::Denied, None) => (Class::Denied, Some(RIGHTS)),
        classified => classified,
    }
}
