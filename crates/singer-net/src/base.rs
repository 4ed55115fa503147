//! The base URL of a service: scheme, host, port and an optional path prefix. The service's own path
//! is appended to it, so that a stand-in, a proxy or a private region can take the service's place.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use reqwest::Url;
use singer_core::{Error, Result};

/// Where a service is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Without a slash at the end, without query and fragment.
    text: String,
    url: Url,
}

impl Base {
    /// Reads a base URL as a config gives it. `setting` names the key in the error.
    pub fn parse(setting: &str, text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::config(format!("`{setting}` {what}")).with_hint(
                "a base URL is scheme, host, port and an optional path, such as https://host.example:8443/prefix",
            )
        };
        let url = Url::parse(text.trim()).map_err(|error| wrong("is no URL").with_source(error))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("does not begin with http:// or https:// and a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("has a user name or password in it"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has a query or fragment"));
        }
        Ok(Self {
            text: url.as_str().trim_end_matches('/').to_owned(),
            url,
        })
    }

    /// The URL of a path below the base; each segment is percent-encoded, also `/`, `@` and `:`.
    pub fn url(&self, segments: &[&str]) -> Result<Url> {
        let mut text = self.text.clone();
        for segment in segments {
            if matches!(*segment, "" | "." | "..") {
                return Err(Error::internal(
                    "a part of a URL's path is empty or only dots",
                ));
            }
            text.push('/');
            encode(&mut text, segment);
        }
        Url::parse(&text).map_err(|error| Error::internal("cannot build a URL").with_source(error))
    }

    /// Whether requests to it are encrypted.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether it is this machine itself.
    pub fn is_loopback(&self) -> bool {
        self.url.host_str() == Some("localhost")
            || self.address().is_some_and(|address| address.is_loopback())
    }

    /// Whether it is an address that only this machine's own link knows, as the metadata servers of
    /// the clouds have: no proxy can reach it, and nothing on the way can listen.
    pub fn is_link_local(&self) -> bool {
        match self.address() {
            Some(IpAddr::V4(address)) => address.is_link_local(),
            Some(IpAddr::V6(address)) => address.is_unicast_link_local(),
            None => false,
        }
    }

    fn address(&self) -> Option<IpAddr> {
        let host = self.url.host_str()?;
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse().ok()
    }

    /// Whether a URL has the same scheme, host and port, so that a secret may go there.
    pub fn is_origin_of(&self, url: &Url) -> bool {
        self.url.origin() == url.origin()
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Appends a text with everything encoded but what is never special in a URL.
fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a string takes every write");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_service_is_appended_to_the_prefix() {
        for (base, wanted) in [
            ("https://app.pendo.io", "https://app.pendo.io/api/v1"),
            ("https://app.pendo.io/", "https://app.pendo.io/api/v1"),
            (
                "http://127.0.0.1:8080/pendo/",
                "http://127.0.0.1:8080/pendo/api/v1",
            ),
            ("http://[::1]:8080", "http://[::1]:8080/api/v1"),
        ] {
            let base = Base::parse("base_url", base).unwrap();
            assert_eq!(base.url(&["api", "v1"]).unwrap().as_str(), wanted);
        }
    }

    #[test]
    fn every_special_character_of_a_segment_is_encoded() {
        let base = Base::parse("base_url", "https://h").unwrap();
        assert_eq!(
            base.url(&["a/b", "ana@example.org", "x::y z", "é?#%"])
                .unwrap()
                .as_str(),
            "https://h/a%2Fb/ana%40example.org/x%3A%3Ay%20z/%C3%A9%3F%23%25"
        );
        assert!(base.url(&[".."]).is_err());
    }

    #[test]
    fn what_is_no_base_is_refused_by_the_name_of_its_setting() {
        for text in [
            "app.pendo.io",
            "ftp://h",
            "https://user:pw@h",
            "https://h/?a=b",
            "",
        ] {
            let error = Base::parse("base_url", text).unwrap_err();
            assert!(error.message().starts_with("`base_url`"), "{text}");
            assert!(!format!("{error:?}").contains("pw"));
        }
    }

    #[test]
    fn loopback_and_origin_are_known() {
        let loopback = |text| Base::parse("base_url", text).unwrap().is_loopback();
        assert!(loopback("http://127.0.0.1:1"));
        assert!(loopback("http://localhost"));
        assert!(loopback("http://[::1]"));
        assert!(!loopback("https://app.pendo.io"));
        let link_local = |text| Base::parse("base_url", text).unwrap().is_link_local();
        assert!(link_local("http://169.254.169.254"));
        assert!(link_local("http://[fe80::1]:80"));
        assert!(!link_local("http://169.253.0.1"));
        assert!(!link_local("http://127.0.0.1"));
        assert!(!link_local("http://metadata.google.internal"));
        let base = Base::parse("base_url", "https://h/prefix").unwrap();
        assert!(base.is_origin_of(&Url::parse("https://h:443/other").unwrap()));
        assert!(!base.is_origin_of(&Url::parse("http://h/prefix").unwrap()));
        assert!(!base.is_origin_of(&Url::parse("https://h.evil/prefix").unwrap()));
    }
}
