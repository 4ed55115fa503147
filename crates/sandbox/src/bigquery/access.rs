//! Who may do what: bearer tokens, and permissions that were taken away. Facts: section 1.

use std::collections::HashMap;

use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::ApiError;
use super::base64;
use super::table::TableName;

/// The longest life of an assertion and of a self-signed token, in seconds.
pub(crate) const LONGEST_LIFE: u64 = 3600;

/// How far a client's clock may be ahead, in seconds.
const SKEW: u64 = 300;

/// The scopes that let a token use this service.
const SCOPES: [&str; 3] = [
    "https://www.googleapis.com/auth/bigquery",
    "https://www.googleapis.com/auth/bigquery.insertdata",
    "https://www.googleapis.com/auth/cloud-platform",
];

/// A permission that was taken away, everywhere or from one resource on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// The permission, such as `bigquery.tables.create`; `*` stands for all.
    pub permission: String,
    /// A project, `project:dataset` or `project:dataset.table`, with all that is below it; everything
    /// if left out.
    #[serde(default)]
    pub resource: Option<String>,
}

/// What a permission is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Resource<'a> {
    Project(&'a str),
    Dataset(&'a str, &'a str),
    Table(&'a TableName),
}

/// Tokens that were given out, and permissions that were taken away.
#[derive(Debug, Default)]
pub(crate) struct Access {
    denied: Vec<Denied>,
    /// When each token ends, in milliseconds.
    tokens: HashMap<String, u64>,
    given: u64,
}

impl Access {
    pub(crate) fn set_denied(&mut self, denied: Vec<Denied>) {
        self.denied = denied;
    }

    pub(crate) fn add_denied(&mut self, denied: Vec<Denied>) {
        self.denied.extend(denied);
    }

    pub(crate) fn denied(&self) -> &[Denied] {
        &self.denied
    }

    /// Gives out a token that ends at a time.
    pub(crate) fn give_token(&mut self, ends_ms: u64) -> String {
        self.given += 1;
        let token = format!("ya29.sandbox.{}.{ends_ms}", self.given);
        self.tokens.insert(token.clone(), ends_ms);
        token
    }

    /// Ends all tokens that were given out.
    pub(crate) fn expire_tokens(&mut self) {
        for ends_ms in self.tokens.values_mut() {
            *ends_ms = 0;
        }
    }

    /// Whether the bearer token of a request lets it in.
    pub(crate) fn check_bearer(
        &self,
        headers: &HeaderMap,
        anonymous: bool,
        now_ms: u64,
    ) -> Result<(), ApiError> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return if anonymous {
                Ok(())
            } else {
                Err(ApiError::new(
                    401,
                    "required",
                    "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid authentication credential.",
                )
                .at("Authorization"))
            };
        };
        let token = value
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        let good = match self.tokens.get(token) {
            Some(ends_ms) => now_ms < *ends_ms,
            None if token.starts_with("sandbox-token") => true,
            None => is_self_signed(token, now_ms / 1000),
        };
        good.then_some(()).ok_or_else(invalid_credentials)
    }

    pub(crate) fn allows(&self, permission: &str, resource: Resource<'_>) -> bool {
        !self.denied.iter().any(|denied| {
            (denied.permission == permission || denied.permission == "*")
                && denied
                    .resource
                    .as_deref()
                    .is_none_or(|above| resource.is_below(above))
        })
    }

    /// The refusal of a permission, in Google's words.
    pub(crate) fn require(&self, permission: &str, resource: Resource<'_>) -> Result<(), ApiError> {
        if self.allows(permission, resource) {
            return Ok(());
        }
        let message = match resource {
            Resource::Project(project) => format!(
                "Access Denied: Project {project}: User does not have {permission} permission in project {project}."
            ),
            Resource::Dataset(project, dataset) => format!(
                "Access Denied: Dataset {project}:{dataset}: Permission {permission} denied on dataset {project}:{dataset} (or it may not exist)."
            ),
            Resource::Table(table) => format!(
                "Access Denied: Table {table}: Permission {permission} denied on table {table} (or it may not exist)."
            ),
        };
        Err(ApiError::new(403, "accessDenied", message))
    }
}

/// The 401 of a token that is not or no longer good.
pub(crate) fn invalid_credentials() -> ApiError {
    ApiError::new(
        401,
        "authError",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.",
    )
    .at("Authorization")
}

impl Resource<'_> {
    fn is_below(&self, above: &str) -> bool {
        let (project, dataset, table) = match *self {
            Resource::Project(project) => (project, None, None),
            Resource::Dataset(project, dataset) => (project, Some(dataset), None),
            Resource::Table(name) => (
                name.project.as_str(),
                Some(name.dataset.as_str()),
                Some(name.table.as_str()),
            ),
        };
        let in_dataset = dataset.is_some_and(|dataset| format!("{project}:{dataset}") == above);
        let is_table = dataset
            .zip(table)
            .is_some_and(|(dataset, table)| format!("{project}:{dataset}.{table}") == above);
        project == above || in_dataset || is_table
    }
}

/// The claims of a JWT, whose signature nobody looks at here.
pub(crate) fn claims(token: &str) -> Option<(Value, Value)> {
    let mut parts = token.split('.');
    let header = base64::decode(parts.next()?)?;
    let claims = base64::decode(parts.next()?)?;
    let signature = base64::decode(parts.next()?)?;
    if parts.next().is_some() || signature.is_empty() {
        return None;
    }
    Some((
        serde_json::from_slice(&header).ok()?,
        serde_json::from_slice(&claims).ok()?,
    ))
}

/// What is wrong with the times of a token, if anything.
pub(crate) fn check_times(claims: &Value, now: u64) -> Result<(), &'static str> {
    let (Some(issued), Some(ends)) = (claims["iat"].as_u64(), claims["exp"].as_u64()) else {
        return Err("`iat` and `exp` are numbers of seconds");
    };
    if ends <= issued || ends - issued > LONGEST_LIFE {
        return Err(
            "Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.",
        );
    }
    if issued > now + SKEW || ends + SKEW < now {
        return Err(
            "Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.",
        );
    }
    Ok(())
}

/// Whether a scope claim names one that lets in.
pub(crate) fn has_scope(scope: &str) -> bool {
    scope.split(' ').any(|scope| SCOPES.contains(&scope))
}

/// A self-signed token has an audience or a scope, and never both.
fn is_self_signed(token: &str, now: u64) -> bool {
    let Some((header, claims)) = claims(token) else {
        return false;
    };
    let audience = claims["aud"].as_str();
    let scope = claims["scope"].as_str();
    let aimed = match (audience, scope) {
        (Some(audience), None) => audience.starts_with("https://bigquery"),
        (None, Some(scope)) => has_scope(scope),
        _ => false,
    };
    header["alg"] == "RS256"
        && claims["iss"].is_string()
        && claims["sub"]
            .as_str()
            .is_none_or(|subject| claims["iss"] == subject)
        && aimed
        && check_times(&claims, now).is_ok()
        && claims["exp"].as_u64().is_some_and(|ends| ends > now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jwt(claims: &Value) -> String {
        let part = |value: &Value| base64::encode(value.to_string().as_bytes());
        format!(
            "{}.{}.c2ln",
            part(&json!({"alg": "RS256", "typ": "JWT"})),
            part(claims)
        )
    }

    #[test]
    fn a_self_signed_token_has_one_aim_and_an_hour_at_most() {
        let now = 1_700_000_000;
        let good = json!({"iss": "a@b", "sub": "a@b", "iat": now, "exp": now + 3600,
            "aud": "https://bigquery.googleapis.com/"});
        assert!(is_self_signed(&jwt(&good), now));
        assert!(!is_self_signed(&jwt(&good), now + 3600));
        for (key, value) in [
            ("scope", json!("https://www.googleapis.com/auth/bigquery")),
            ("aud", json!("https://example.org")),
            ("exp", json!(now + 3601)),
            ("iss", json!(null)),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            assert!(!is_self_signed(&jwt(&bad), now), "{key}");
        }
        assert!(!is_self_signed("a.b", now));
    }

    #[test]
    fn a_denial_covers_what_is_below_it() {
        let mut access = Access::default();
        access.set_denied(vec![Denied {
            permission: "bigquery.tables.create".to_owned(),
            resource: Some("p:d".to_owned()),
        }]);
        let table = TableName::new("p", "d", "t");
        let error = access
            .require("bigquery.tables.create", Resource::Table(&table))
            .unwrap_err();
        assert!(error.message.contains("bigquery.tables.create"));
        assert!(access.allows("bigquery.tables.get", Resource::Table(&table)));
        assert!(access.allows("bigquery.tables.create", Resource::Dataset("p", "e")));
        assert!(!access.allows("bigquery.tables.create", Resource::Dataset("p", "d")));
    }
}
