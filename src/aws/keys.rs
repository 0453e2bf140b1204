//! Access keys in the form in which the session file keeps them.

use anyhow::Context;
use aws_credential_types::Credentials;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// AWS access keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessKeys {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
    /// `None` for the long-lived keys of an IAM user.
    pub expires: Option<Timestamp>,
}

impl AccessKeys {
    /// Returns the keys as the SDK's type.
    pub(super) fn credentials(&self) -> Credentials {
        Credentials::new(
            &self.access_key_id,
            self.secret_access_key.expose(),
            self.session_token.as_ref().map(|t| t.expose().to_owned()),
            self.expires.map(Into::into),
            "remote-buildkit",
        )
    }

    /// Returns the parts that must not appear in a log.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.secret_access_key).chain(&self.session_token)
    }

    /// Returns whether the keys are valid for at least `margin` from `now`.
    pub fn valid_for(&self, now: Timestamp, margin: SignedDuration) -> bool {
        self.expires.is_none_or(|at| at > now + margin)
    }
}

impl TryFrom<Credentials> for AccessKeys {
    type Error = anyhow::Error;

    fn try_from(from: Credentials) -> anyhow::Result<Self> {
        let expires = from.expiry().map(Timestamp::try_from).transpose();
        Ok(Self {
            access_key_id: from.access_key_id().to_owned(),
            secret_access_key: Secret::new(from.secret_access_key()),
            session_token: from.session_token().map(Secret::new),
            expires: expires.context("reading the expiry of the credentials")?,
        })
    }
}
