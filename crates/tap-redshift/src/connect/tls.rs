//! TLS as libpq's `sslmode` means it: who is trusted, and whether the name must fit.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use singer_core::{Error, Result};

use crate::config::TlsMode;

/// The TLS settings of a mode. System roots are read only if they are needed.
pub(super) fn client_config(mode: TlsMode, root_file: Option<&str>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match (mode, root_file) {
        (TlsMode::VerifyFull, _) => trusting(&provider, root_file)?,
        // As in libpq: a root file makes `require` check the authority.
        (TlsMode::VerifyCa, _) | (_, Some(_)) => Arc::new(AnyName {
            inner: trusting(&provider, root_file)?,
        }),
        (_, None) => Arc::new(AnyCertificate {
            algorithms: provider.signature_verification_algorithms,
        }),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("cannot set up TLS").with_source(error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

fn trusting(
    provider: &Arc<CryptoProvider>,
    root_file: Option<&str>,
) -> Result<Arc<WebPkiServerVerifier>> {
    let roots = match root_file {
        Some(path) => roots_of_file(path)?,
        None => system_roots()?,
    };
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| {
            Error::internal("cannot set up the check of certificates").with_source(error)
        })
}

fn roots_of_file(path: &str) -> Result<RootCertStore> {
    let wrong = || {
        Error::config(format!(
            "cannot read the certificates of `sslrootcert`, `{path}`"
        ))
    };
    let pem = std::fs::read(path).map_err(|error| wrong().with_source(error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong().with_source(error))?;
        roots
            .add(certificate)
            .map_err(|error| wrong().with_source(error))?;
    }
    if roots.is_empty() {
        return Err(wrong().with_hint("the file holds no certificate in PEM form"));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a certificate authority of the system cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(
            Error::config("this machine trusts no certificate authority").with_hint(
                "install the package `ca-certificates`, or name a PEM file in `sslrootcert`",
            ),
        );
    }
    Ok(roots)
}

/// Checks the chain and not the name.
#[derive(Debug)]
struct AnyName {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name is looked at last, once the chain was found good.
        match self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        ) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Takes every certificate, as `require` does: safe from listeners, not from impostors. That the
/// server holds the certificate's key is still checked.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_file_that_is_missing_or_empty_is_named() {
        let path =
            std::env::temp_dir().join(format!("tap-redshift-roots-{}.pem", std::process::id()));
        let path_text = path.to_str().unwrap();
        let error = client_config(TlsMode::VerifyFull, Some(path_text)).unwrap_err();
        assert!(error.message().contains("tap-redshift-roots"));
        std::fs::write(&path, "nothing").unwrap();
        let error = client_config(TlsMode::Require, Some(path_text)).unwrap_err();
        assert!(error.hints()[0].contains("no certificate"));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn require_without_a_root_file_reads_no_roots() {
        assert!(client_config(TlsMode::Require, None).is_ok());
    }
}
