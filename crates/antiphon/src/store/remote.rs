//! S3 and GCS as the store: addresses, credentials, time limits and retries of their clients.

use std::sync::Arc;
use std::time::Duration;

use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use singer_core::{Error, Result};

use super::{Place, Store};
use crate::aws;
use crate::spec::StoreSpec;

/// How long a request is tried again before the store counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one attempt may take; large files go up in parts.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether an address is one of a remote store.
pub(super) fn is_remote(url: &str) -> bool {
    url.contains("://") && !url.starts_with("file://")
}

/// Makes the client of a remote store; asks nothing of it yet.
pub(super) async fn open(spec: &StoreSpec) -> Result<Store> {
    let Address {
        service,
        bucket,
        prefix,
    } = parse(&spec.url)?;
    singer_net::install_tls();
    let options = client_options(spec).await?;
    let unusable = |error: object_store::Error| {
        Error::config(format!("cannot use the store `{}`", spec.url)).with_source(error)
    };
    let (objects, user): (Arc<dyn ObjectStore>, String) = match service {
        Service::S3 => {
            let resolved = aws::builder(spec.profile.as_deref(), spec.region.as_deref())?;
            let mut builder = resolved
                .builder
                .with_bucket_name(&bucket)
                .with_client_options(options)
                .with_retry(retries());
            if let Some(endpoint) = &spec.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            let store = builder.build().map_err(unusable)?;
            (Arc::new(store), resolved.user)
        }
        Service::Gcs => {
            let mut builder = GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(&bucket)
                .with_client_options(options)
                .with_retry(retries());
            let mut user = "the application's default credentials".to_owned();
            if let Some(path) = &spec.credentials {
                user = format!("the service account of `{}`", path.display());
                builder = builder.with_service_account_path(path.to_string_lossy());
            }
            if let Some(endpoint) = &spec.endpoint {
                builder = builder.with_base_url(endpoint.trim_end_matches('/'));
            }
            let store = builder.build().map_err(|error| {
                unusable(error).with_hint(
                    "`credentials` names the JSON file of a service account's key; without it the application's default credentials count",
                )
            })?;
            (Arc::new(store), user)
        }
    };
    Ok(Store {
        hints: Arc::clone(&objects),
        objects,
        root: prefix,
        place: Arc::new(Place::Remote {
            url: spec.url.clone(),
            bucket,
            user,
        }),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    S3,
    Gcs,
}

#[derive(Debug, PartialEq, Eq)]
struct Address {
    service: Service,
    bucket: String,
    prefix: object_store::path::Path,
}

fn parse(url: &str) -> Result<Address> {
    let wrong = || {
        Error::config(format!("`{url}` is no address of a store"))
            .with_hint("a folder, `s3://bucket/prefix` or `gs://bucket/prefix`")
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let service = match scheme {
        "s3" | "s3a" => Service::S3,
        "gs" | "gcs" => Service::Gcs,
        _ => return Err(wrong()),
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    // Keys or a port in the address would end up in messages and in logs.
    if bucket.is_empty() || bucket.contains(['@', ':', '?', '#']) {
        return Err(wrong());
    }
    let prefix = object_store::path::Path::parse(prefix.trim_matches('/'))
        .map_err(|error| wrong().with_source(error))?;
    Ok(Address {
        service,
        bucket: bucket.to_owned(),
        prefix,
    })
}

async fn client_options(spec: &StoreSpec) -> Result<ClientOptions> {
    let mut options = ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(
            spec.endpoint
                .as_deref()
                .is_some_and(|endpoint| endpoint.starts_with("http://")),
        );
    if let Some(path) = &spec.ca_file {
        let wrong = || {
            Error::config(format!(
                "cannot read the certificates of `ca_file`, `{}`",
                path.display()
            ))
        };
        let pem = tokio::fs::read(path)
            .await
            .map_err(|error| wrong().with_source(error))?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| wrong().with_source(error))?;
        if certificates.is_empty() {
            return Err(wrong().with_hint("the file holds no certificate in PEM form"));
        }
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 20,
        retry_timeout: PATIENCE,
    }
}
