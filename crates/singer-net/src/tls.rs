//! The trusted certificate authorities, the system's and those of a file of the user's, and what it
//! means if a server's certificate is not good.

use std::io;

use reqwest::Certificate;
use rustls::CertificateError;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use singer_core::{Error, Result};

/// Sets the one provider of cryptography for the process; the first call counts.
pub fn install_tls() {
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

/// Why the certificate of a server was refused, if that is among the causes of an error.
pub(crate) fn failure(error: &(dyn std::error::Error + 'static)) -> Option<CertificateError> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(rustls::Error::InvalidCertificate(failure)) = cause.downcast_ref() {
            return Some(failure.clone());
        }
        // What an error of the system wraps is no link of the chain: its own source is the next one.
        let wrapped = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    None
}

/// The error of a server whose certificate was refused: another attempt ends the same way.
pub(crate) fn refused(method: &str, url: &str, failure: &CertificateError) -> Error {
    let hint = match failure {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid today: look at it, and at this machine's clock"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is made out to another name: look at the base URL, and for a proxy in between"
        }
        _ => {
            "if a proxy or a private region signs with an authority of its own, name its PEM file in `ca_file`"
        }
    };
    Error::config(format!(
        "the server's certificate was refused for `{method} {url}`"
    ))
    .with_source(rustls::Error::InvalidCertificate(failure.clone()))
    .with_hint(hint)
}

#[cfg(test)]
mod tests {
    use singer_core::Kind;

    use super::*;

    #[test]
    fn a_refused_certificate_is_found_under_the_errors_of_the_system() {
        let refused_as = |failure| {
            let tls = rustls::Error::InvalidCertificate(failure);
            let inner = io::Error::new(io::ErrorKind::InvalidData, tls);
            Error::transient("cannot connect").with_source(io::Error::other(inner))
        };
        for (failure, hint) in [
            (CertificateError::UnknownIssuer, "`ca_file`"),
            (CertificateError::Expired, "clock"),
            (CertificateError::NotValidForName, "base URL"),
        ] {
            let found = super::failure(&refused_as(failure.clone())).unwrap();
            assert_eq!(found, failure);
            let error = refused("GET", "https://h/", &found);
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.hints()[0].contains(hint), "{error:?}");
        }
        let reset =
            Error::transient("x").with_source(io::Error::from(io::ErrorKind::ConnectionReset));
        assert!(super::failure(&reset).is_none());
    }

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
