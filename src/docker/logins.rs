//! The passwords that the credential helper has: those that it asked of ECR, until shortly before their end, and those
//! that a step gave it by `docker login`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::registry::Login;
use crate::secret::Secret;

/// A build that begins now may push in half an hour, with the password that it asked for at its start.
const MARGIN: SignedDuration = SignedDuration::from_mins(30);

/// A password that a step gave has no end that we know; those of ECR have twelve hours.
const GIVEN: SignedDuration = SignedDuration::from_hours(11);

/// The file of them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Logins {
    /// The key of AWS that ECR was asked with.
    key: String,
    /// Of ECR, by what they open.
    asked: BTreeMap<String, Login>,
    /// Of a step, by host.
    given: BTreeMap<String, Login>,
}

impl Logins {
    /// What is not there, or cannot be read, is asked for anew.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Those that were asked for with this key; what a step gave stays.
    pub fn of_key(mut self, key: &str) -> Self {
        if self.key != key {
            self.asked.clear();
            key.clone_into(&mut self.key);
        }
        self
    }

    /// Without what a step gave.
    pub fn asked_only(mut self) -> Self {
        self.given.clear();
        self
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        files::write_private(path, &serde_json::to_vec(self).context("logins to JSON")?)
    }

    /// A password that opens a realm, and will for a while.
    pub fn asked(&self, realm: &str, now: Timestamp) -> Option<&Login> {
        let login = self.asked.get(realm)?;
        (login.expires > now + MARGIN).then_some(login)
    }

    /// The one that was asked for last, if it is good yet.
    pub fn asked_last(&self, realm: &str, now: Timestamp) -> Option<&Login> {
        self.asked.get(realm).filter(|login| login.expires > now)
    }

    pub fn keep(&mut self, realm: &str, login: Login) {
        self.asked.insert(realm.to_owned(), login);
    }

    /// The password that a step gave for a host: it wins over what we would ask for.
    pub fn given(&self, host: &str, now: Timestamp) -> Option<&Login> {
        self.given.get(host).filter(|login| login.expires > now)
    }

    pub fn give(&mut self, host: &str, user: &str, secret: &Secret, now: Timestamp) {
        let login = Login {
            user: user.to_owned(),
            password: secret.clone(),
            expires: now + GIVEN,
        };
        self.given.insert(host.to_owned(), login);
    }

    pub fn forget(&mut self, host: &str) {
        self.given.remove(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_used_until_shortly_before_its_end() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let mut logins = Logins::default();
        assert!(logins.asked("eu-west-1", now).is_none());
        let login = |minutes| Login {
            user: "AWS".into(),
            password: Secret::new("hush"),
            expires: now + SignedDuration::from_mins(minutes),
        };
        logins.keep("eu-west-1", login(31));
        assert!(logins.asked("eu-west-1", now).is_some());
        assert!(logins.asked("us-east-1", now).is_none());
        logins.keep("eu-west-1", login(30));
        assert!(logins.asked("eu-west-1", now).is_none());
    }

    #[test]
    fn another_key_asks_for_passwords_of_its_own() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let login = Login {
            user: "AWS".into(),
            password: Secret::new("hush"),
            expires: now + GIVEN,
        };
        let mut logins = Logins::default().of_key("ASIA1");
        logins.keep("eu-west-1", login);
        logins.give("a.example", "me", &Secret::new("hush"), now);
        let logins = logins.of_key("ASIA1");
        assert!(logins.asked("eu-west-1", now).is_some());
        let logins = logins.of_key("ASIA2");
        assert!(logins.asked("eu-west-1", now).is_none());
        assert!(logins.given("a.example", now).is_some());
    }

    #[test]
    fn what_a_step_gave_is_used_until_it_is_taken_back() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let mut logins = Logins::default();
        logins.give("a.example", "me", &Secret::new("hush"), now);
        let given = logins.given("a.example", now).expect("given");
        assert_eq!((given.user.as_str(), given.password.expose()), ("me", "hush"));
        assert!(logins.given("b.example", now).is_none());
        assert!(logins.given("a.example", now + GIVEN).is_none());
        logins.forget("a.example");
        logins.give("b.example", "me", &Secret::new("hush"), now);
        let logins = logins.asked_only();
        assert!(logins.given("b.example", now).is_none());
        assert!(logins.given("a.example", now).is_none());
    }
}
