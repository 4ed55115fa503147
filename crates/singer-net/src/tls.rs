//! The trusted certificate authorities: the system's and those of a file of the user's.

use reqwest::Certificate;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use singer_core::{Error, Result};

/// Sets the one provider of cryptography for the process; the first call counts.
pub(crate) fn install_provider() {
    // An error means that the process has set one already, which is as good.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
}

/// The system's authorities and those of the file. Without any, no server could be trusted, so
/// that is an error here and not a failed handshake later.
pub(crate) fn trusted(ca_file: Option<&str>) -> Result<Vec<Certificate>> {
    let mut certificates = match ca_file {
        Some(path) => read_file(path)?,
        None => Vec::new(),
    };
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::debug!(%error, "a certificate authority of the system cannot be read");
    }
    certificates.extend(
        system
            .certs
            .iter()
            .filter_map(|certificate| Certificate::from_der(certificate).ok()),
    );
    if certificates.is_empty() {
        return Err(
            Error::config("this machine trusts no certificate authority").with_hint(
                "install the package `ca-certificates`, or name a PEM file in `ca_file`",
            ),
        );
    }
    Ok(certificates)
}

fn read_file(path: &str) -> Result<Vec<Certificate>> {
    let wrong = || {
        Error::config(format!(
            "cannot read the certificates of `ca_file`, `{path}`"
        ))
    };
    let pem = std::fs::read(path).map_err(|error| wrong().with_source(error))?;
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let der = certificate.map_err(|error| wrong().with_source(error))?;
        certificates.push(Certificate::from_der(&der).map_err(|error| wrong().with_source(error))?);
    }
    if certificates.is_empty() {
        return Err(wrong().with_hint("the file holds no certificate in PEM form"));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_an_error_that_names_it() {
        let path =
            std::env::temp_dir().join(format!("singer-net-empty-{}.pem", std::process::id()));
        std::fs::write(&path, "no certificate").unwrap();
        let error = trusted(path.to_str()).unwrap_err();
        assert!(error.message().contains("singer-net-empty"));
        std::fs::remove_file(&path).unwrap();
        assert!(trusted(path.to_str()).is_err());
    }
}
