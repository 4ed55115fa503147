//! Where a finished job says that its result is: a path or a URL, followed only where a token may go.

use std::fs::File;
use std::path::Path;

use singer_core::{Error, Result};
use singer_net::{Base, Url};

use super::{Crm, Spend};
use crate::Api;
use crate::fault::crm::Crm as Service;
use crate::fault::{Class, Fault};

/// Downloads what a link leads to; a path that the API does not know is looked for on the download host.
pub(super) async fn download(
    crm: &Crm,
    what: &str,
    link: &str,
    folder: &Path,
    max_bytes: u64,
) -> Result<File, Fault> {
    let limits = (folder, max_bytes);
    if let Ok(url) = Url::parse(link) {
        return fetch(crm, &host_of(crm, &url)?, what, url, limits).await;
    }
    let api = crm.api();
    match fetch(crm, api, what, below(api.base(), link)?, limits).await {
        Err(fault)
            if fault.class == Class::Missing && has_two_homes(link) && !crm.inner.is_elsewhere =>
        {
            let host = crm.account().data_center().crm_downloads();
            let base = Base::parse("data_center", host)?;
            let url = below(&base, link)?;
            // What the first host says counts if the second one knows no better.
            let second = fetch(crm, &client(crm, base)?, what, url, limits).await;
            second.map_err(|_| fault)
        }
        found => found,
    }
}

async fn fetch(
    crm: &Crm,
    api: &Api<Service>,
    what: &str,
    url: Url,
    limits: (&Path, u64),
) -> Result<File, Fault> {
    let mut held = crm.credits().reserve(Spend::Download)?;
    let group = is_counted(&url).then_some(super::DOWNLOADS);
    let file = (api.download_for(group, what, url, limits, &mut held)).await;
    held.ended(file.is_ok(), None);
    file
}

/// Whether a path is one of Bulk Write, of which the facts do not agree to which host it belongs.
fn has_two_homes(path: &str) -> bool {
    !path.trim_start_matches('/').starts_with("crm/")
}

/// Whether a URL leads to a result of Bulk Read, of which ten are given out a minute.
fn is_counted(url: &Url) -> bool {
    url.path().contains("/crm/bulk/") && url.path().contains("/read/")
}

/// The client for the host of a URL: that of the config, or one of Zoho's in the same data centre.
fn host_of(crm: &Crm, url: &Url) -> Result<Api<Service>> {
    let inner = &crm.inner;
    let known = [Some(&inner.api), inner.uploads.as_ref()];
    let is_there = |api: &&Api<Service>| api.base().is_origin_of(url);
    if let Some(api) = known.into_iter().flatten().find(is_there) {
        return Ok(api.clone());
    }
    let data_center = crm.account().data_center();
    let host = url.host_str().unwrap_or_default();
    if url.scheme() != "https" || !data_center.has_host(host) || inner.is_elsewhere {
        return Err(Error::protocol(format!(
            "a result lies at `{}`, where no token is sent",
            url.origin().ascii_serialization()
        ))
        .with_hint("look at `data_center`, and at `api_url` if it is set"));
    }
    client(
        crm,
        Base::parse("data_center", &url.origin().ascii_serialization())?,
    )
}

fn client(crm: &Crm, base: Base) -> Result<Api<Service>> {
    let inner = &crm.inner;
    inner.api.at(base, &inner.http)
}

/// The URL of a path below a base, which nothing in the path can leave.
fn below(base: &Base, path: &str) -> Result<Url> {
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    base.url(&segments)
        .map_err(|error| Error::protocol("a result lies at a path that is none").with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_results_of_bulk_read_are_counted_and_only_those_of_bulk_write_are_looked_for() {
        let write = "/v8/crm/org704881200/bulk-write/6/6.zip";
        let base = Base::parse("api_url", "https://www.zohoapis.eu").unwrap();
        for (path, counted, two_homes) in [
            ("/crm/bulk/v8/read/6/result", true, false),
            ("crm/bulk/v8/read/6/result", true, false),
            (write, false, true),
        ] {
            assert_eq!(is_counted(&below(&base, path).unwrap()), counted, "{path}");
            assert_eq!(has_two_homes(path), two_homes, "{path}");
        }
    }
}
