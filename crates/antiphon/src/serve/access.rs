//! Who may look: the host that a browser names, the token, the cookie that stands for it.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Uri, header};
use chrono::{DateTime, TimeDelta, Utc};
use ring::hmac;
use ring::rand::SystemRandom;
use singer_core::{Error, Result, Secret};

use crate::serve::page::hex;

/// The name of the cookie.
const COOKIE: &str = "antiphon_serve";
/// How long a browser need not be told the token again.
const COOKIE_DAYS: i64 = 30;
/// A shorter token could be guessed.
const SHORTEST_TOKEN: usize = 16;

/// Who may look.
#[derive(Debug)]
pub(crate) struct Access {
    /// Names under which this server may be called; `None` takes any.
    hosts: Option<Vec<String>>,
    gate: Option<Gate>,
}

/// A token that visitors must know.
#[derive(Debug)]
struct Gate {
    /// Compares in the same time for every guess: what is compared are codes under a key of this process.
    compare: hmac::Key,
    token: hmac::Tag,
    /// Signs cookies; made from the token, so that they outlive this process and not the token.
    sign: hmac::Key,
}

/// What a request shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It may look.
    Welcome,
    /// The right token in its address: it gets a cookie and the address without it.
    InAddress(String),
    /// A token that is not ours.
    Wrong,
    /// None at all.
    Nothing,
}

impl Access {
    /// The rules for an address that is listened on.
    ///
    /// # Errors
    /// Of kind `Config` if the token is too short.
    pub(crate) fn new(
        address: SocketAddr,
        names: &[String],
        token: Option<&Secret>,
    ) -> Result<Self> {
        let gate = token.map(Gate::new).transpose()?;
        // Beyond this machine nobody knows by which names we are called; the token is the guard there.
        let hosts = address.ip().is_loopback().then(|| {
            let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
            let names = names.iter().map(|name| name.to_ascii_lowercase());
            own.into_iter()
                .chain([address.ip().to_string()])
                .chain(names)
                .collect()
        });
        Ok(Self { hosts, gate })
    }

    /// Whether a browser was told to come here by somebody who calls himself by our address (DNS rebinding):
    /// such a request names another host than ours. The port does not matter, a tunnel may have its own.
    pub(crate) fn is_known_host(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Some(hosts) = &self.hosts else {
            return true;
        };
        let of_header = || headers.get(header::HOST)?.to_str().ok();
        let Some(host) = uri.authority().map(|it| it.as_str()).or_else(of_header) else {
            return false;
        };
        let host = host_name(host);
        hosts.contains(&host)
    }

    /// Whether there is a token at all.
    pub(crate) fn has_token(&self) -> bool {
        self.gate.is_some()
    }

    /// What a request shows.
    pub(crate) fn judge(&self, uri: &Uri, headers: &HeaderMap, now: DateTime<Utc>) -> Shown {
        let Some(gate) = &self.gate else {
            return Shown::Welcome;
        };
        let mut shown = Shown::Nothing;
        if let Some(token) = bearer(headers) {
            if gate.knows(token) {
                return Shown::Welcome;
            }
            shown = Shown::Wrong;
        }
        if cookies(headers).any(|cookie| gate.signed(cookie, now)) {
            return Shown::Welcome;
        }
        match token_in_address(uri) {
            Some((token, clean)) if gate.knows(&token) => Shown::InAddress(clean),
            Some(_) => Shown::Wrong,
            None => shown,
        }
    }

    /// Whether a text is the token.
    pub(crate) fn knows(&self, token: &str) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.knows(token))
    }

    /// The cookie for a browser that knows the token, as `Set-Cookie` has it.
    pub(crate) fn cookie(&self, headers: &HeaderMap, now: DateTime<Utc>) -> Option<String> {
        let gate = self.gate.as_ref()?;
        let until = (now + TimeDelta::days(COOKIE_DAYS)).timestamp();
        let value = gate.cookie(until);
        let behind_tls = headers
            .get("x-forwarded-proto")
            .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"https"));
        let secure = if behind_tls { "; Secure" } else { "" };
        let seconds = COOKIE_DAYS * 86_400;
        Some(format!(
            "{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
        ))
    }
}

impl Gate {
    fn new(token: &Secret) -> Result<Self> {
        let token = token.expose().trim();
        if token.len() < SHORTEST_TOKEN {
            let found = format!(
                "the token has {} characters: too few to be safe",
                token.len()
            );
            let least =
                format!("at least {SHORTEST_TOKEN}; `openssl rand -hex 32` prints a good one");
            return Err(Error::config(found).with_hint(least));
        }
        let random = SystemRandom::new();
        let compare = hmac::Key::generate(hmac::HMAC_SHA256, &random)
            .map_err(|_| Error::internal("the system gives no random numbers"))?;
        Ok(Self {
            token: hmac::sign(&compare, token.as_bytes()),
            compare,
            sign: hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes()),
        })
    }

    fn knows(&self, token: &str) -> bool {
        hmac::verify(&self.compare, token.trim().as_bytes(), self.token.as_ref()).is_ok()
    }

    fn cookie(&self, until: i64) -> String {
        let signature = hmac::sign(&self.sign, signed_text(until).as_bytes());
        format!("{until}.{}", hex(signature.as_ref()))
    }

    fn signed(&self, cookie: &str, now: DateTime<Utc>) -> bool {
        let Some((until, signature)) = cookie.split_once('.') else {
            return false;
        };
        let Ok(until) = until.parse::<i64>() else {
            return false;
        };
        let Some(signature) = unhex(signature) else {
            return false;
        };
        until > now.timestamp()
            && hmac::verify(&self.sign, signed_text(until).as_bytes(), &signature).is_ok()
    }
}

fn signed_text(until: i64) -> String {
    format!("antiphon serve, until {until}")
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks_exact(2);
    if !digits.remainder().is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    digits
        .map(|pair| {
            let value = digit(*pair.first()?)? << 4 | digit(*pair.last()?)?;
            u8::try_from(value).ok()
        })
        .collect()
}

/// The name in a `Host` header: without the port, without the brackets of an IPv6 address.
fn host_name(host: &str) -> String {
    let host = host.rsplit('@').next().unwrap_or(host);
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => name.trim_end_matches('.').to_ascii_lowercase(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::COOKIE).into_iter();
    let pairs = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|it| it.split(';'));
    pairs.filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// The token in an address, and the address without it.
fn token_in_address(uri: &Uri) -> Option<(String, String)> {
    let query = uri.query()?;
    let (mut token, mut rest) = (None, Vec::new());
    for pair in query.split('&') {
        match pair.strip_prefix("token=") {
            Some(value) => token = Some(decode(value)),
            None => rest.push(pair),
        }
    }
    let path = local(uri.path());
    let clean = if rest.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", rest.join("&"))
    };
    Some((token?, clean))
}

/// A way within this server; anything that a browser could take for another host becomes the first page.
pub(crate) fn local(path: &str) -> &str {
    let elsewhere =
        path.starts_with("//") || path.contains('\\') || path.contains(|c: char| c.is_control());
    if path.starts_with('/') && !elsewhere {
        path
    } else {
        "/"
    }
}

/// Undoes what a form does to a value.
pub(crate) fn decode(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let escaped = || unhex(std::str::from_utf8(after.get(..2)?).ok()?)?.pop();
        match (first, escaped()) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "a token that is long enough";

    fn access(address: &str, token: Option<&str>) -> Access {
        let token = token.map(Secret::new);
        let names = ["Status.Example".to_owned()];
        Access::new(address.parse().unwrap(), &names, token.as_ref()).unwrap()
    }

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        let pair = |(name, value): &(header::HeaderName, &str)| {
            (name.clone(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn only_names_of_this_machine_are_answered_on_loopback() {
        let access = access("127.0.0.1:8700", None);
        for host in [
            "localhost:8700",
            "LOCALHOST:9000",
            "127.0.0.1:8700",
            "[::1]:8700",
            "localhost.",
            "status.example",
        ] {
            assert!(
                access.is_known_host(&uri("/"), &headers(&[(header::HOST, host)])),
                "{host}"
            );
        }
        for host in [
            "evil.example:8700",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "localhost@evil.example",
            "",
        ] {
            assert!(
                !access.is_known_host(&uri("/"), &headers(&[(header::HOST, host)])),
                "{host}"
            );
        }
        assert!(!access.is_known_host(&uri("/"), &HeaderMap::new()));
        assert!(!access.is_known_host(
            &uri("http://evil.example/"),
            &headers(&[(header::HOST, "localhost")])
        ));
    }

    #[test]
    fn the_token_comes_as_bearer_as_cookie_or_once_in_the_address() {
        let access = access("0.0.0.0:1", Some(TOKEN));
        let now = DateTime::UNIX_EPOCH;
        let judge = |address: &str, pairs: &[(header::HeaderName, &str)]| {
            access.judge(&uri(address), &headers(pairs), now)
        };
        assert_eq!(judge("/", &[]), Shown::Nothing);
        let bearer = format!("Bearer {TOKEN}");
        assert_eq!(
            judge("/", &[(header::AUTHORIZATION, &bearer)]),
            Shown::Welcome
        );
        assert_eq!(
            judge("/", &[(header::AUTHORIZATION, "Bearer x")]),
            Shown::Wrong
        );
        assert_eq!(
            judge("/p?a=1&token=a+token%20that+is+long+enough&b=2", &[]),
            Shown::InAddress("/p?a=1&b=2".to_owned())
        );
        assert_eq!(judge("/?token=x", &[]), Shown::Wrong);
    }

    #[test]
    fn a_cookie_holds_no_token_ends_in_time_and_cannot_be_made_up() {
        let access = access("0.0.0.0:1", Some(TOKEN));
        let now = DateTime::UNIX_EPOCH;
        let set = access.cookie(&HeaderMap::new(), now).unwrap();
        assert!(set.contains("HttpOnly; SameSite=Strict") && !set.contains("Secure"));
        assert!(!set.contains("token"));
        let pair = set.split(';').next().unwrap().to_owned();
        let judge =
            |cookie: &str, now| access.judge(&uri("/"), &headers(&[(header::COOKIE, cookie)]), now);
        assert_eq!(judge(&format!("x=1; {pair}"), now), Shown::Welcome);
        assert_eq!(judge(&pair, now + TimeDelta::days(31)), Shown::Nothing);
        let later = pair.replacen("2592000.", "9992592000.", 1);
        assert_ne!(later, pair);
        assert_eq!(judge(&later, now), Shown::Nothing);
        assert_eq!(judge("antiphon_serve=é", now), Shown::Nothing);
    }

    #[test]
    fn a_short_token_is_refused() {
        let refused = Access::new(
            "0.0.0.0:1".parse().unwrap(),
            &[],
            Some(&Secret::new("short")),
        );
        assert_eq!(refused.unwrap_err().kind(), singer_core::Kind::Config);
    }

    #[test]
    fn nobody_is_sent_to_another_host() {
        for path in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "",
            "/a\r\nb",
        ] {
            assert_eq!(local(path), "/", "{path:?}");
        }
        assert_eq!(local("/pipelines/a?page=2"), "/pipelines/a?page=2");
    }
}
