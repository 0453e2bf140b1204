//! The credential helper's cache: passwords from ECR, and those that a step stored with `docker login`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::registry::Login;
use crate::secret::Secret;

/// How long a password must still be valid: a build uses the password from its start, and may push half an hour
/// later.
const MARGIN: SignedDuration = SignedDuration::from_mins(30);

/// How long a stored password is used, because its expiry is not known. ECR's passwords are valid for twelve hours.
const STORED_LIFETIME: SignedDuration = SignedDuration::from_hours(11);

/// The cache and its file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CredentialCache {
    /// The AWS access key that the ECR passwords were requested with.
    key: String,
    /// Logins from ECR, by realm.
    ecr: BTreeMap<String, Login>,
    /// Logins that a step stored, by host.
    stored: BTreeMap<String, Login>,
}

impl CredentialCache {
    /// Reads the cache. A missing or unreadable cache counts as empty.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Drops ECR logins of another access key. Stored logins stay.
    pub fn for_access_key(mut self, key: &str) -> Self {
        if self.key != key {
            self.ecr.clear();
            key.clone_into(&mut self.key);
        }
        self
    }

    /// Drops the stored logins.
    pub fn without_stored(mut self) -> Self {
        self.stored.clear();
        self
    }

    /// Writes the cache.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        files::write_private(
            path,
            &serde_json::to_vec(self).context("writing the credential cache as JSON")?,
        )
    }

    /// Returns the ECR login of a realm, if it is valid for long enough.
    pub fn ecr_login(&self, realm: &str, now: Timestamp) -> Option<&Login> {
        let login = self.ecr.get(realm)?;
        (login.expires > now + MARGIN).then_some(login)
    }

    /// Returns the last ECR login of a realm, if it is still valid.
    pub fn last_ecr_login(&self, realm: &str, now: Timestamp) -> Option<&Login> {
        self.ecr.get(realm).filter(|login| login.expires > now)
    }

    /// Adds an ECR login.
    pub fn insert_ecr(&mut self, realm: &str, login: Login) {
        self.ecr.insert(realm.to_owned(), login);
    }

    /// Returns the login that a step stored for a host. It takes precedence over an ECR login.
    pub fn stored_login(&self, host: &str, now: Timestamp) -> Option<&Login> {
        self.stored.get(host).filter(|login| login.expires > now)
    }

    /// Stores a step's login for a host.
    pub fn store(&mut self, host: &str, user: &str, secret: &Secret, now: Timestamp) {
        let login = Login {
            user: user.to_owned(),
            password: secret.clone(),
            expires: now + STORED_LIFETIME,
        };
        self.stored.insert(host.to_owned(), login);
    }

    /// Erases the stored login of a host.
    pub fn erase(&mut self, host: &str) {
        self.stored.remove(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_used_until_shortly_before_its_expiry() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let mut cache = CredentialCache::default();
        assert!(cache.ecr_login("eu-west-1", now).is_none());
        let login = |minutes| Login {
            user: "AWS".into(),
            password: Secret::new("hush"),
            expires: now + SignedDuration::from_mins(minutes),
        };
        cache.insert_ecr("eu-west-1", login(31));
        assert!(cache.ecr_login("eu-west-1", now).is_some());
        assert!(cache.ecr_login("us-east-1", now).is_none());
        cache.insert_ecr("eu-west-1", login(30));
        assert!(cache.ecr_login("eu-west-1", now).is_none());
    }

    #[test]
    fn ecr_logins_of_another_key_are_dropped() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let login = Login {
            user: "AWS".into(),
            password: Secret::new("hush"),
            expires: now + STORED_LIFETIME,
        };
        let mut cache = CredentialCache::default().for_access_key("ASIA1");
        cache.insert_ecr("eu-west-1", login);
        cache.store("a.example", "me", &Secret::new("hush"), now);
        let cache = cache.for_access_key("ASIA1");
        assert!(cache.ecr_login("eu-west-1", now).is_some());
        let cache = cache.for_access_key("ASIA2");
        assert!(cache.ecr_login("eu-west-1", now).is_none());
        assert!(cache.stored_login("a.example", now).is_some());
    }

    #[test]
    fn a_stored_login_is_used_until_it_is_erased() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let mut cache = CredentialCache::default();
        cache.store("a.example", "me", &Secret::new("hush"), now);
        let stored = cache.stored_login("a.example", now).expect("stored");
        assert_eq!((stored.user.as_str(), stored.password.expose()), ("me", "hush"));
        assert!(cache.stored_login("b.example", now).is_none());
        assert!(cache.stored_login("a.example", now + STORED_LIFETIME).is_none());
        cache.erase("a.example");
        cache.store("b.example", "me", &Secret::new("hush"), now);
        let cache = cache.without_stored();
        assert!(cache.stored_login("b.example", now).is_none());
        assert!(cache.stored_login("a.example", now).is_none());
    }
}
