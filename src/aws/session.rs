//! The session: signed-in AWS credentials, kept in a file beside the kubeconfig so that a call of the exec plugin needs no
//! network.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::keys::AccessKeys;
use super::region::AwsRegion;
use crate::files;

/// Keys are renewed when they are valid for less than this: a token lasts up to 15 minutes, and expires with its keys.
const MARGIN: SignedDuration = SignedDuration::from_mins(15);

/// A role to assume with a web identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AssumeRole {
    pub arn: String,
    pub audience: String,
    /// The name in CloudTrail and in the cluster's audit log.
    pub session_name: String,
}

/// The source of a session's keys, which is also asked for new ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// A role that is assumed with the job's OIDC token.
    Role(AssumeRole),
    /// The AWS default credential chain.
    Default,
    /// The machine or its pod: IRSA, Pod Identity or instance metadata.
    Machine,
}

impl Identity {
    /// Returns the role that is assumed for the session, if any.
    pub fn role(&self) -> Option<&AssumeRole> {
        match self {
            Self::Role(role) => Some(role),
            Self::Default | Self::Machine => None,
        }
    }
}

/// Everything needed to create tokens for a cluster, and to renew the keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    /// `None` if AWS is called for ECR alone and the cluster is not an EKS cluster.
    pub cluster: Option<String>,
    pub region: AwsRegion,
    pub identity: Identity,
    pub keys: AccessKeys,
    pub clock: Clock,
    /// The SDK's environment variables when a machine signed in. The keys are renewed with these, not with a job's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

/// The SDK's variables that are not kept for a machine: secrets, and those that select other keys than the machine's own.
const EXCLUDED_VARIABLES: [&str; 6] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
];

/// Returns the part of the SDK's environment that a session of this identity keeps.
pub fn session_environment(
    identity: &Identity,
    mut environment: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    match identity {
        Identity::Machine => environment.retain(|name, _| !EXCLUDED_VARIABLES.contains(&name.as_str())),
        Identity::Role(_) | Identity::Default => environment.clear(),
    }
    environment
}

impl Session {
    /// Reads the session file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| {
            format!(
                "reading the session file {}, which exists from connect to the end of the job",
                path.display()
            )
        })?;
        serde_json::from_slice(&text).with_context(|| format!("reading the session file {}", path.display()))
    }

    /// Writes the session file.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        files::write_private(path, &serde_json::to_vec(self).context("session to JSON")?)
    }

    /// Returns whether the keys must be renewed. `now` is AWS's time, as is the expiry of the keys.
    pub fn needs_renewal(&self, now: Timestamp) -> bool {
        !self.keys.valid_for(now, MARGIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_machines_environment_is_kept_without_secrets() {
        let names = ["AWS_ROLE_ARN", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"];
        let environment: BTreeMap<String, String> =
            names.map(|name| (name.to_owned(), "x".to_owned())).into();
        let kept = session_environment(&Identity::Machine, environment.clone());
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["AWS_ROLE_ARN"]);
        assert!(session_environment(&Identity::Default, environment).is_empty());
    }

    #[test]
    fn keys_are_renewed_before_they_expire() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("time");
        let mut session = Session {
            cluster: Some("shop".into()),
            region: AwsRegion {
                name: "eu-west-1".into(),
                fips: false,
            },
            identity: Identity::Default,
            keys: AccessKeys {
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
