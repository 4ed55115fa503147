//! The private key of a service account, and the tokens that it signs (JWT, RS256).

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::pem::{self, SectionKind};
use serde_json::{Value, json};
use singer_core::{Error, Result, Secret};

use crate::base64;

/// A private key that signs.
pub(super) struct SigningKey {
    pair: RsaKeyPair,
    id: Option<String>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl SigningKey {
    /// Reads a key in PKCS#8 PEM; `place` says in errors where it stands, and `id` is the name under
    /// which the service knows it.
    pub(super) fn read(pem: &Secret, id: Option<String>, place: &str) -> Result<Self> {
        let wrong = |what: &str| Error::config(format!("the `private_key` of {place} {what}"));
        // Line ends that were escaped once too often, as shells and secret stores like to do.
        let text = pem.expose().replace("\\n", "\n");
        // The parser's errors quote what they stumbled over, so they are not attached.
        let der = match first_section(&text) {
            Some((SectionKind::PrivateKey, der)) => der,
            Some((SectionKind::RsaPrivateKey, _)) => {
                return Err(
                    wrong("is in PKCS#1 (`BEGIN RSA PRIVATE KEY`), not PKCS#8").with_hint(
                        "use the key file as Google made it, or convert the key with \
                     `openssl pkcs8 -topk8 -nocrypt`",
                    ),
                );
            }
            Some(_) => return Err(wrong("holds another PEM section than `PRIVATE KEY`")),
            None if text.contains("BEGIN ENCRYPTED PRIVATE KEY") => {
                return Err(wrong("is encrypted").with_hint("use the key file as Google made it"));
            }
            None => {
                return Err(
                    wrong("is no PEM text in PKCS#8 (`BEGIN PRIVATE KEY`)").with_hint(
                        "use the key file as Google made it; a cut or edited key is no key",
                    ),
                );
            }
        };
        let pair = RsaKeyPair::from_pkcs8(&der).map_err(|error| {
            wrong("is no RSA key of 2048 to 4096 bits in PKCS#8").with_source(error)
        })?;
        Ok(Self { pair, id })
    }

    /// The claims as a signed token.
    pub(super) fn sign(&self, claims: &Value) -> Result<Secret> {
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let Some(id) = &self.id {
            header["kid"] = json!(id);
        }
        let mut token = format!(
            "{}.{}",
            base64::encode_url(header.to_string().as_bytes()),
            base64::encode_url(claims.to_string().as_bytes())
        );
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                token.as_bytes(),
                &mut signature,
            )
            .map_err(|error| {
                Error::internal("cannot sign with the private key").with_source(error)
            })?;
        token.push('.');
        token.push_str(&base64::encode_url(&signature));
        Ok(Secret::new(token))
    }

    /// The public half, for tests that check a signature.
    #[cfg(test)]
    pub(super) fn public(&self) -> Vec<u8> {
        use ring::signature::KeyPair as _;
        self.pair.public_key().as_ref().to_vec()
    }
}

fn first_section(text: &str) -> Option<(SectionKind, Vec<u8>)> {
    pem::from_buf(&mut text.as_bytes()).ok().flatten()
}
