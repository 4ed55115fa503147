//! The data centres of Zoho and their hosts (facts: Zoho's multi-DC pages and SDKs).

use serde::Deserialize;

/// Where an account lives. Tokens of one are worthless in all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataCenter {
    /// United States.
    #[default]
    Us,
    /// Europe.
    Eu,
    /// India.
    In,
    /// Australia.
    Au,
    /// Japan.
    Jp,
    /// Canada.
    Ca,
    /// Saudi Arabia.
    Sa,
    /// China.
    Cn,
    /// United Kingdom.
    Uk,
    /// United Arab Emirates.
    Ae,
}

impl DataCenter {
    /// Its name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Eu => "eu",
            Self::In => "in",
            Self::Au => "au",
            Self::Jp => "jp",
            Self::Ca => "ca",
            Self::Sa => "sa",
            Self::Cn => "cn",
            Self::Uk => "uk",
            Self::Ae => "ae",
        }
    }

    /// The base URL of its accounts server.
    pub fn accounts(self) -> &'static str {
        match self {
            Self::Us => "https://accounts.zoho.com",
            Self::Eu => "https://accounts.zoho.eu",
            Self::In => "https://accounts.zoho.in",
            Self::Au => "https://accounts.zoho.com.au",
            Self::Jp => "https://accounts.zoho.jp",
            Self::Ca => "https://accounts.zohocloud.ca",
            Self::Sa => "https://accounts.zoho.sa",
            Self::Cn => "https://accounts.zoho.com.cn",
            Self::Uk => "https://accounts.zoho.uk",
            Self::Ae => "https://accounts.zoho.ae",
        }
    }

    /// The data centre whose products have this `api_domain`, as it comes with a token: with `https`, and
    /// one of Zoho's hosts.
    pub fn of_api_domain(domain: &str) -> Option<Self> {
        let (_, suffix) = domain
            .trim_end_matches('/')
            .strip_prefix("https://")?
            .split_once(".zohoapis.")
            .filter(|(family, _)| matches!(*family, "www" | "sandbox" | "developer"))?;
        Some(match suffix {
            "com" => Self::Us,
            "eu" => Self::Eu,
            "in" => Self::In,
            "com.au" => Self::Au,
            "jp" => Self::Jp,
            "ca" => Self::Ca,
            "sa" => Self::Sa,
            "com.cn" => Self::Cn,
            "uk" => Self::Uk,
            "ae" => Self::Ae,
            _ => return None,
        })
    }

    /// The base URL of the products' APIs, CRM's among them.
    pub fn crm(self) -> &'static str {
        match self {
            Self::Us => "https://www.zohoapis.com",
            Self::Eu => "https://www.zohoapis.eu",
            Self::In => "https://www.zohoapis.in",
            Self::Au => "https://www.zohoapis.com.au",
            Self::Jp => "https://www.zohoapis.jp",
            Self::Ca => "https://www.zohoapis.ca",
            Self::Sa => "https://www.zohoapis.sa",
            Self::Cn => "https://www.zohoapis.com.cn",
            Self::Uk => "https://www.zohoapis.uk",
            Self::Ae => "https://www.zohoapis.ae",
        }
    }

    /// The same of a CRM sandbox.
    pub fn crm_sandbox(self) -> &'static str {
        match self {
            Self::Us => "https://sandbox.zohoapis.com",
            Self::Eu => "https://sandbox.zohoapis.eu",
            Self::In => "https://sandbox.zohoapis.in",
            Self::Au => "https://sandbox.zohoapis.com.au",
            Self::Jp => "https://sandbox.zohoapis.jp",
            Self::Ca => "https://sandbox.zohoapis.ca",
            Self::Sa => "https://sandbox.zohoapis.sa",
            Self::Cn => "https://sandbox.zohoapis.com.cn",
            Self::Uk => "https://sandbox.zohoapis.uk",
            Self::Ae => "https://sandbox.zohoapis.ae",
        }
    }

    /// The base URL of the host that takes files for CRM, where it is known. A sandbox has the same.
    pub fn crm_uploads(self) -> Option<&'static str> {
        Some(match self {
            Self::Us => "https://content.zohoapis.com",
            Self::Eu => "https://content.zohoapis.eu",
            Self::In => "https://content.zohoapis.in",
            Self::Au => "https://content.zohoapis.com.au",
            Self::Jp => "https://content.zohoapis.jp",
            Self::Ca => "https://upload.zohocloud.ca",
            Self::Sa => "https://files.zoho.sa",
            Self::Cn => "https://content.zohoapis.com.cn",
            Self::Uk | Self::Ae => return None,
        })
    }

    /// The base URL of the host from which results of Bulk Write come, if their links do not say so.
    pub(crate) fn crm_downloads(self) -> &'static str {
        match self {
            Self::Us => "https://download-accl.zoho.com",
            Self::Eu => "https://download-accl.zoho.eu",
            Self::In => "https://download-accl.zoho.in",
            Self::Au => "https://download-accl.zoho.com.au",
            Self::Jp => "https://download-accl.zoho.jp",
            Self::Ca => "https://download-accl.zohocloud.ca",
            Self::Sa => "https://download-accl.zoho.sa",
            Self::Cn => "https://download-accl.zoho.com.cn",
            Self::Uk => "https://download-accl.zoho.uk",
            Self::Ae => "https://download-accl.zoho.ae",
        }
    }

    /// Whether a host is one of Zoho's in this data centre: below the domain of its accounts server or of
    /// its APIs.
    pub fn has_host(self, host: &str) -> bool {
        let domains = [
            self.accounts().strip_prefix("https://accounts."),
            self.crm().strip_prefix("https://www."),
        ];
        let is_below = |domain: &str| {
            let family = host.strip_suffix(domain);
            family.is_some_and(|family| family.ends_with('.'))
        };
        domains.into_iter().flatten().any(is_below)
    }

    /// The base URL of Catalyst, where Catalyst is known to be.
    pub fn catalyst(self) -> Option<&'static str> {
        Some(match self {
            Self::Us => "https://api.catalyst.zoho.com",
            Self::Eu => "https://api.catalyst.zoho.eu",
            Self::In => "https://api.catalyst.zoho.in",
            Self::Au => "https://api.catalyst.zoho.com.au",
            Self::Jp => "https://api.catalyst.zoho.jp",
            Self::Ca => "https://api.catalyst.zohocloud.ca",
            Self::Sa => "https://api.catalyst.zoho.sa",
            Self::Cn | Self::Uk | Self::Ae => return None,
        })
    }

    /// The base URL of Analytics, where Analytics is known to be.
    pub fn analytics(self) -> Option<&'static str> {
        Some(match self {
            Self::Us => "https://analyticsapi.zoho.com",
            Self::Eu => "https://analyticsapi.zoho.eu",
            Self::In => "https://analyticsapi.zoho.in",
            Self::Au => "https://analyticsapi.zoho.com.au",
            Self::Jp => "https://analyticsapi.zoho.jp",
            Self::Ca => "https://analyticsapi.zohocloud.ca",
            Self::Sa => "https://analyticsapi.zoho.sa",
            Self::Cn => "https://analyticsapi.zoho.com.cn",
            Self::Uk | Self::Ae => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [DataCenter; 10] = [
        DataCenter::Us,
        DataCenter::Eu,
        DataCenter::In,
        DataCenter::Au,
        DataCenter::Jp,
        DataCenter::Ca,
        DataCenter::Sa,
        DataCenter::Cn,
        DataCenter::Uk,
        DataCenter::Ae,
    ];

    #[test]
    fn a_config_names_each_by_its_name() {
        for one in ALL {
            let read: DataCenter = serde_json::from_value(one.name().into()).unwrap();
            assert_eq!(read, one);
        }
        assert_eq!(DataCenter::default(), DataCenter::Us);
        assert!(serde_json::from_value::<DataCenter>("mars".into()).is_err());
    }

    #[test]
    fn every_host_is_of_zoho_and_used_once() {
        let hosts: Vec<&str> = ALL
            .iter()
            .flat_map(|one| {
                [
                    Some(one.accounts()),
                    one.catalyst(),
                    one.analytics(),
                    Some(one.crm()),
                    Some(one.crm_sandbox()),
                    one.crm_uploads(),
                    Some(one.crm_downloads()),
                ]
            })
            .flatten()
            .collect();
        assert_eq!(hosts.len(), 10 + 7 + 8 + 10 + 10 + 8 + 10);
        for host in &hosts {
            assert!(
                host.starts_with("https://") && host.contains(".zoho"),
                "{host}"
            );
            assert_eq!(
                hosts.iter().filter(|other| *other == host).count(),
                1,
                "{host}"
            );
        }
    }

    #[test]
    fn canada_has_a_domain_of_its_own() {
        let hosts = [
            Some(DataCenter::Ca.accounts()),
            DataCenter::Ca.catalyst(),
            DataCenter::Ca.analytics(),
        ];
        assert!(
            hosts
                .iter()
                .flatten()
                .all(|host| host.ends_with(".zohocloud.ca"))
        );
    }

    #[test]
    fn an_api_domain_tells_the_data_centre_if_it_is_one_of_zoho() {
        for (domain, wanted) in [
            ("https://www.zohoapis.com", Some(DataCenter::Us)),
            ("https://www.zohoapis.com.au/", Some(DataCenter::Au)),
            ("https://sandbox.zohoapis.eu", Some(DataCenter::Eu)),
            ("http://www.zohoapis.com", None),
            ("https://www.zohoapis.com.evil.example", None),
            ("https://evil.example/www.zohoapis.eu", None),
            ("https://zohoapis.eu", None),
            ("", None),
        ] {
            assert_eq!(DataCenter::of_api_domain(domain), wanted, "{domain}");
        }
    }

    #[test]
    fn the_api_of_each_is_where_its_tokens_say() {
        for one in ALL {
            for host in [one.crm(), one.crm_sandbox()] {
                assert_eq!(DataCenter::of_api_domain(host), Some(one), "{host}");
            }
        }
    }

    #[test]
    fn a_host_belongs_to_one_data_centre() {
        for one in ALL {
            let hosts = [
                Some(one.crm()),
                one.crm_uploads(),
                Some(one.crm_downloads()),
            ];
            for host in hosts.into_iter().flatten() {
                let host = host.strip_prefix("https://").unwrap();
                let homes: Vec<DataCenter> =
                    ALL.into_iter().filter(|one| one.has_host(host)).collect();
                assert_eq!(homes, [one], "{host}");
            }
        }
        for host in [
            "",
            "zoho.eu",
            "evilzoho.eu",
            "zohoapis.eu.evil.example",
            "a.b",
        ] {
            assert!(!DataCenter::Eu.has_host(host), "{host}");
        }
    }
}
