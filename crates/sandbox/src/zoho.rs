//! A stand-in of Zoho accounts, written from the facts page `zoho-oauth.md` of the project: tokens by
//! refresh and by code, with their limits. The stand-ins of Zoho's products ask it who a request is
//! from, and render a refusal in their own shape.

pub(crate) mod control;
mod ledger;
mod options;
mod refusal;
mod token;

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, header};
use serde::Serialize;

use self::ledger::Ledger;
pub use self::options::ZohoOptions;
pub(crate) use self::refusal::{is_zoho, refuse};
pub(crate) use self::token::routes;
use crate::clock::Clock;

/// The word in front of an access token.
const SCHEME: &str = "Zoho-oauthtoken ";

/// The stand-in of Zoho accounts, with the clock that all of Zoho's stand-ins go by.
pub struct Accounts {
    options: ZohoOptions,
    clock: Clock,
    ledger: Mutex<Ledger>,
}

/// Who a request is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The address of the user.
    pub(crate) email: String,
}

/// Why a request is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuthDenied {
    /// It has no access token, or another word in front of it.
    Missing,
    /// The token is unknown, at its end, revoked, or pushed out by newer ones.
    Invalid,
    /// The token is good, and opens nothing of this.
    ScopeMismatch {
        /// The scopes of which one would do.
        needed: String,
    },
}

/// What was given out so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenCounts {
    /// Access tokens that were given out.
    pub issued: u64,
    /// Access tokens that are still good.
    pub active: usize,
    /// Requests for a token that were refused for coming too often.
    pub throttled: u64,
    /// Refresh tokens that are still good.
    pub refresh_tokens: usize,
}

impl Accounts {
    pub(crate) fn new(options: ZohoOptions) -> Accounts {
        let clock = Clock::default();
        Accounts {
            ledger: Mutex::new(Ledger::new(&options, clock.now_ms())),
            options,
            clock,
        }
    }

    /// Says who a request is from if its access token opens one of the scopes.
    pub(crate) fn authorize(
        &self,
        headers: &HeaderMap,
        scopes: &[&str],
    ) -> Result<Caller, AuthDenied> {
        let token = access_token(headers).ok_or(AuthDenied::Missing)?;
        let ledger = self.ledger();
        let granted = ledger
            .scopes_of(token, self.now_ms())
            .ok_or(AuthDenied::Invalid)?;
        let opens = |scope: &&str| granted.iter().any(|granted| covers(granted, scope));
        if !scopes.iter().any(opens) {
            return Err(AuthDenied::ScopeMismatch {
                needed: scopes.join(" or "),
            });
        }
        Ok(Caller {
            email: self.options.user.clone(),
        })
    }

    /// The address of the user that the tokens stand for.
    pub(crate) fn user(&self) -> &str {
        &self.options.user
    }

    /// Milliseconds since 1970 by the clock of Zoho's stand-ins.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Moves the clock of Zoho's stand-ins on: tokens, links and windows come to their end.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(seconds.saturating_mul(1000));
    }

    /// Ends all access tokens that were given out.
    pub fn end_access_tokens(&self) {
        self.ledger().end_access_tokens();
    }

    /// Ends the access token that a request carries, as a revocation in the middle of a run does.
    pub(crate) fn end_token_of(&self, headers: &HeaderMap) {
        if let Some(token) = access_token(headers) {
            self.ledger().end(token);
        }
    }

    /// Ends a refresh token with its access tokens; false if it is not known.
    pub fn revoke(&self, refresh_token: &str) -> bool {
        self.ledger().end(refresh_token)
    }

    /// Makes a refresh token known, or replaces its scopes; without scopes it opens all.
    pub fn allow(&self, refresh_token: &str, scopes: &[&str]) {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.ledger().allow(refresh_token, scopes);
    }

    /// Makes a grant code known, good for so many seconds and one exchange.
    pub fn add_code(&self, code: &str, seconds: u64) {
        let ends_ms = self.now_ms() + seconds * 1000;
        self.ledger().add_code(code, ends_ms);
    }

    /// How many tokens were given out.
    pub fn token_counts(&self) -> TokenCounts {
        self.ledger().counts(self.now_ms())
    }

    /// Returns to the state of the start; the clock stays where it is.
    pub(crate) fn reset(&self) {
        *self.ledger() = Ledger::new(&self.options, self.now_ms());
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The access token that a request carries.
fn access_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value
        .strip_prefix(SCHEME)
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// Whether a scope that was granted opens another: the same one in any case, its family's `ALL`, or
/// everything of the service.
fn covers(granted: &str, scope: &str) -> bool {
    let granted = granted.to_ascii_lowercase();
    let scope = scope.to_ascii_lowercase();
    let family = |scope: &str| scope.rsplit_once('.').map(|(family, _)| family.to_owned());
    let service = |scope: &str| scope.split('.').next().map(str::to_owned);
    granted == "*"
        || granted == scope
        || (granted.ends_with(".all") && family(&granted) == family(&scope))
        || (granted.ends_with(".fullaccess.all") && service(&granted) == service(&scope))
}

#[cfg(test)]
mod tests;
