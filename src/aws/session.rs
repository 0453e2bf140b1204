//! A signed-in session, kept in a file beside the kubeconfig so that a call of the plugin needs no network.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::identity::AssumeRole;
use super::keys::Keys;
use super::{Clock, Place};
use crate::files;

/// Renewed when less than this is left: a token is as good as its credentials, and lasts up to 15 minutes.
const MARGIN: SignedDuration = SignedDuration::from_mins(15);

/// Whose the keys of a session are, and so where new ones come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    Role(AssumeRole),
    /// Whoever the default chain of AWS finds.
    Default,
    /// The machine's, or its pod's.
    Machine,
}

impl Identity {
    /// The role that is assumed for the session, if one is.
    pub fn role(&self) -> Option<&AssumeRole> {
        match self {
            Self::Role(role) => Some(role),
            Self::Default | Self::Machine => None,
        }
    }
}

/// Enough to make tokens for a cluster, and to sign in again when the keys expire.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    /// Absent where AWS is called and the cluster is not one of EKS.
    pub cluster: Option<String>,
    pub place: Place,
    pub identity: Identity,
    pub keys: Keys,
    pub clock: Clock,
    /// What the SDK read when a machine signed in. It signs in again with that, and not with what a job sets for itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

/// Variables of the SDK that are secrets, or that say whose keys are used where a machine uses its own.
const NOT_OF_A_MACHINE: [&str; 6] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
];

/// What is kept of the SDK's environment for an identity.
pub fn environment_of(
    identity: &Identity,
    mut environment: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    match identity {
        Identity::Machine => environment.retain(|name, _| !NOT_OF_A_MACHINE.contains(&name.as_str())),
        Identity::Role(_) | Identity::Default => environment.clear(),
    }
    environment
}

impl Session {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| {
            format!(
                "reading the session file {}; it exists from connect until the job ends",
                path.display()
            )
        })?;
        serde_json::from_slice(&text).with_context(|| format!("reading the session file {}", path.display()))
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        files::write_private(path, &serde_json::to_vec(self).context("session to JSON")?)
    }

    /// `now` is AWS's time, as the expiry of the keys is.
    pub fn needs_renewal(&self, now: Timestamp) -> bool {
        !self.keys.live_for(now, MARGIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn of_a_machines_environment_no_secret_is_kept() {
        let given = ["AWS_ROLE_ARN", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"];
        let environment: BTreeMap<String, String> =
            given.map(|name| (name.to_owned(), "x".to_owned())).into();
        let kept = environment_of(&Identity::Machine, environment.clone());
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["AWS_ROLE_ARN"]);
        assert!(environment_of(&Identity::Default, environment).is_empty());
    }

    #[test]
    fn keys_are_renewed_in_time_and_eternal_ones_never() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("time");
        let mut session = Session {
            cluster: Some("shop".into()),
            place: Place {
                region: "eu-west-1".into(),
                fips: false,
            },
            identity: Identity::Default,
            keys: Keys {
                access_key_id: "A".into(),
                secret_access_key: Secret::new("s"),
                session_token: None,
                expires: None,
            },
            clock: Clock::default(),
            environment: BTreeMap::new(),
        };
        assert!(!session.needs_renewal(now));
        session.keys.expires = Some(now + SignedDuration::from_mins(16));
        assert!(!session.needs_renewal(now));
        session.keys.expires = Some(now + SignedDuration::from_mins(14));
        assert!(session.needs_renewal(now));
    }
}
