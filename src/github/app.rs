//! A GitHub App's private key, which signs the JWT for an installation token
//! (<https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>).

use std::fmt;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::secret::Secret;

/// The private key of a GitHub App, with the App's id.
pub struct AppKey {
    /// The client id, or the older numeric App id.
    id: String,
    key: RsaKeyPair,
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key of App {}", self.id)
    }
}

/// The JWT's lifetime. GitHub accepts at most ten minutes, by its own clock.
const LIFETIME: SignedDuration = SignedDuration::from_mins(9);
/// How far the issue time is set back, in case this machine's clock is ahead.
const BACKDATED: SignedDuration = SignedDuration::from_mins(1);

impl AppKey {
    /// Parses a key in PEM, as GitHub's download has it. `from` is where it was read, for the error.
    pub fn parse(id: &str, pem: &Secret, from: &str) -> Result<Self, Problem> {
        let unusable = |why: String| {
            Problem::new(
                ErrorCode::InvalidAppKey,
                format!("Read the private key of the App {id} from {from}: {why}."),
                "Generate a new key on the App's settings page (Private keys), and use the downloaded file unchanged.",
            )
        };
        let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes())
            .map_err(|_| unusable("it contains no private key in PEM format".into()))?;
        let key = match &key {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(unusable("the key is not an RSA key".into())),
        };
        Ok(Self {
            id: id.to_owned(),
            key: key.map_err(|error| unusable(format!("the key is not valid: {error}")))?,
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the JWT that authenticates as the App.
    pub(super) fn jwt(&self, now: Timestamp) -> anyhow::Result<Secret> {
        let claims = json!({
            "iss": self.id,
            "iat": (now - BACKDATED).as_second(),
            "exp": (now + LIFETIME).as_second(),
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        let result = self.key.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            signed.as_bytes(),
            &mut signature,
        );
        result.ok().context("signing with the key of the App")?;
        Ok(Secret::new(format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(signature)
        )))
    }
}
