//! The tokens and codes that are known: what they open, when they end, and how many may be had.
//! Facts: sections 1 and 7.

use std::collections::{HashMap, VecDeque};

use super::{TokenCounts, ZohoOptions};

/// The window in which access tokens are counted.
const WINDOW_MS: u64 = 600_000;

/// Refresh tokens of one user and client; one more ends the oldest.
const REFRESH_TOKENS: usize = 20;

/// Everything that was given out.
pub(super) struct Ledger {
    limits: Limits,
    /// Oldest first.
    refreshes: VecDeque<Refresh>,
    /// Oldest first.
    accesses: VecDeque<Access>,
    /// Codes with their ends.
    codes: HashMap<String, u64>,
    first_scopes: Vec<String>,
    /// Makes the tokens of one sandbox strange to another.
    seed: u64,
    issued: u64,
    throttled: u64,
}

struct Limits {
    token_ms: u64,
    per_window: u32,
    active: usize,
}

struct Refresh {
    token: String,
    scopes: Vec<String>,
    window_ms: u64,
    in_window: u32,
}

struct Access {
    token: String,
    refresh: String,
    ends_ms: u64,
}

/// Why no access token is given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The refresh token or the code is not, or no longer, good.
    Unknown,
    /// The window is used up.
    Throttled,
}

impl Ledger {
    pub(super) fn new(options: &ZohoOptions, now_ms: u64) -> Ledger {
        let mut ledger = Ledger {
            limits: Limits {
                token_ms: options.token_seconds * 1000,
                per_window: options.tokens_per_window,
                active: options.active_tokens,
            },
            refreshes: VecDeque::new(),
            accesses: VecDeque::new(),
            codes: HashMap::new(),
            first_scopes: all_if_none(options.scopes.clone()),
            seed: now_ms,
            issued: 0,
            throttled: 0,
        };
        for token in &options.refresh_tokens {
            ledger.allow(token, options.scopes.clone());
        }
        ledger.add_code(&options.code, now_ms + options.code_seconds * 1000);
        ledger
    }

    /// What an access token opens, if it is good.
    pub(super) fn scopes_of(&self, token: &str, now_ms: u64) -> Option<&[String]> {
        let access = self
            .accesses
            .iter()
            .find(|access| access.token == token && now_ms < access.ends_ms)?;
        let refresh = self.refreshes.iter();
        let refresh = refresh.filter(|refresh| refresh.token == access.refresh);
        refresh.map(|refresh| refresh.scopes.as_slice()).next()
    }

    /// An access token, and what it opens.
    pub(super) fn refresh(
        &mut self,
        refresh_token: &str,
        now_ms: u64,
    ) -> Result<(String, Vec<String>), Refused> {
        let refresh = self
            .refreshes
            .iter_mut()
            .find(|refresh| refresh.token == refresh_token)
            .ok_or(Refused::Unknown)?;
        if now_ms >= refresh.window_ms + WINDOW_MS {
            refresh.window_ms = now_ms;
            refresh.in_window = 0;
        }
        if refresh.in_window >= self.limits.per_window {
            self.throttled += 1;
            return Err(Refused::Throttled);
        }
        refresh.in_window += 1;
        let scopes = refresh.scopes.clone();
        self.issued += 1;
        let token = self.mint(self.issued);
        self.accesses.push_back(Access {
            token: token.clone(),
            refresh: refresh_token.to_owned(),
            ends_ms: now_ms + self.limits.token_ms,
        });
        self.end_surplus(refresh_token, now_ms);
        Ok((token, scopes))
    }

    /// A new refresh token for a code, which is used up by it.
    pub(super) fn exchange(&mut self, code: &str, now_ms: u64) -> Result<String, Refused> {
        let ends_ms = self.codes.remove(code).ok_or(Refused::Unknown)?;
        if now_ms >= ends_ms {
            return Err(Refused::Unknown);
        }
        self.issued += 1;
        let token = self.mint(self.issued);
        self.allow(&token, self.first_scopes.clone());
        Ok(token)
    }

    pub(super) fn allow(&mut self, refresh_token: &str, scopes: Vec<String>) {
        let scopes = all_if_none(scopes);
        let mut known = self.refreshes.iter_mut();
        if let Some(refresh) = known.find(|refresh| refresh.token == refresh_token) {
            refresh.scopes = scopes;
            return;
        }
        self.refreshes.push_back(Refresh {
            token: refresh_token.to_owned(),
            scopes,
            window_ms: 0,
            in_window: 0,
        });
        if self.refreshes.len() > REFRESH_TOKENS
            && let Some(oldest) = self.refreshes.pop_front()
        {
            self.end_accesses_of(&oldest.token);
        }
    }

    pub(super) fn add_code(&mut self, code: &str, ends_ms: u64) {
        self.codes.insert(code.to_owned(), ends_ms);
    }

    /// Ends a refresh token with its access tokens, or one access token; false if it is not known.
    pub(super) fn end(&mut self, token: &str) -> bool {
        let before = self.refreshes.len() + self.accesses.len();
        self.refreshes.retain(|refresh| refresh.token != token);
        self.accesses.retain(|access| access.token != token);
        self.end_accesses_of(token);
        self.refreshes.len() + self.accesses.len() < before
    }

    pub(super) fn end_access_tokens(&mut self) {
        self.accesses.clear();
    }

    pub(super) fn counts(&self, now_ms: u64) -> TokenCounts {
        let is_active = |access: &&Access| now_ms < access.ends_ms;
        TokenCounts {
            issued: self.issued,
            active: self.accesses.iter().filter(is_active).count(),
            throttled: self.throttled,
            refresh_tokens: self.refreshes.len(),
        }
    }

    fn end_accesses_of(&mut self, refresh_token: &str) {
        self.accesses
            .retain(|access| access.refresh != refresh_token);
    }

    /// Ends the oldest tokens that are one too many, and forgets those that are at their end.
    fn end_surplus(&mut self, refresh_token: &str, now_ms: u64) {
        self.accesses.retain(|access| now_ms < access.ends_ms);
        let is_of = |access: &Access| access.refresh == refresh_token;
        while self.accesses.iter().filter(|access| is_of(access)).count() > self.limits.active {
            let oldest = self.accesses.iter().position(is_of);
            self.accesses
                .remove(oldest.expect("there are more than none"));
        }
    }

    /// A token in the form that real ones have.
    fn mint(&self, number: u64) -> String {
        let part = |lane: u64| mix(self.seed ^ number.rotate_left(32) ^ (lane << 56));
        format!(
            "1000.{:016x}{:016x}.{:016x}{:016x}",
            part(1),
            part(2),
            part(3),
            part(4)
        )
    }
}

fn all_if_none(scopes: Vec<String>) -> Vec<String> {
    if scopes.is_empty() {
        vec!["*".to_owned()]
    } else {
        scopes
    }
}

/// Spreads a number over 64 bits.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
