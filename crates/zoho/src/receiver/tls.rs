//! HTTPS with the certificate of the user.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use singer_core::{Error, Result};
use tokio_rustls::TlsAcceptor;

use super::TlsFiles;

/// Reads the files of a certificate.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor> {
    let chain = chain(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| {
        let path = &files.key;
        Error::config(format!("cannot read the private key `{path}`"))
            .with_source(error)
            .with_hint("it is a PEM file with one key that has no pass phrase")
    })?;
    let unfit = |error: rustls::Error| {
        let (certificate, key) = (&files.certificate, &files.key);
        Error::config(format!(
            "cannot serve HTTPS with the certificate `{certificate}` and the key `{key}`"
        ))
        .with_source(error)
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn chain(path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let cannot = || Error::config(format!("cannot read the certificate chain `{path}`"));
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| cannot().with_source(error))?;
    if chain.is_empty() {
        return Err(cannot().with_hint("the file holds no certificate in PEM form"));
    }
    Ok(chain)
}
