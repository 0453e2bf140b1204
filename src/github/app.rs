//! A GitHub App: by its key it gets a token of its installation
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

/// The private key of an App, and whose it is.
pub struct AppKey {
    /// Its client id, or the number that it has had before those.
    id: String,
    key: RsaKeyPair,
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key of App {}", self.id)
    }
}

/// GitHub takes ten minutes at most, and its clock counts.
const LIVES: SignedDuration = SignedDuration::from_mins(9);
const BEFORE: SignedDuration = SignedDuration::from_mins(1);

impl AppKey {
    /// Of a file as GitHub gives it, in PEM. `from` is where it was read.
    pub fn parse(id: &str, pem: &Secret, from: &str) -> Result<Self, Problem> {
        let unusable = |why: String| {
            Problem::new(
                ErrorCode::InvalidAppKey,
                format!("Read the private key of the App {id} from {from}, and {why}."),
                "Make a new one on the App's page (Private keys), and give the file as it is downloaded.",
            )
        };
        let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes())
            .map_err(|_| unusable("there is no private key in PEM in it".into()))?;
        let key = match &key {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(unusable("the key in it is none of RSA".into())),
        };
        Ok(Self {
            id: id.to_owned(),
            key: key.map_err(|error| unusable(format!("the key in it is not usable: {error}")))?,
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What proves to GitHub that this is the App.
    pub(super) fn jwt(&self, now: Timestamp) -> anyhow::Result<Secret> {
        let claims = json!({
            "iss": self.id,
            "iat": (now - BEFORE).as_second(),
            "exp": (now + LIVES).as_second(),
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        let done = self.key.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            signed.as_bytes(),
            &mut signature,
        );
        done.ok().context("signing with the key of the App")?;
        Ok(Secret::new(format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(signature)
        )))
    }
}
