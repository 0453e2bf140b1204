//! The protocol of docker's credential helpers: an action as the argument, what it is about on standard input, the answer
//! on standard output, errors too (docker/docker-credential-helpers, credentials/credentials.go and error.go).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// What a client recognises: it goes on without a login then, as for images that everybody may pull.
pub const NOT_FOUND: &str = "credentials not found in native keychain";
pub const NO_SERVER: &str = "no credentials server URL";
pub const NO_USER: &str = "no credentials username";

/// What is asked.
#[derive(Debug)]
pub enum Request {
    /// The login of a host.
    Get(String),
    Store(Given),
    /// Forget the login of a host.
    Erase(String),
    /// Hosts with the names of their users.
    List,
    Version,
}

/// A login that a client gives.
#[derive(Debug)]
pub struct Given {
    pub host: String,
    pub user: String,
    pub secret: Secret,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Credentials {
    #[serde(rename = "ServerURL")]
    server: String,
    username: String,
    secret: String,
}

impl Request {
    /// Of the action and of what stands on standard input. An error is what the client is told.
    pub fn parse(action: &str, input: &str) -> Result<Self, String> {
        let host = || match host(input.trim()) {
            "" => Err(NO_SERVER.to_owned()),
            host => Ok(host.to_owned()),
        };
        match action {
            "get" => Ok(Self::Get(host()?)),
            "erase" => Ok(Self::Erase(host()?)),
            "list" => Ok(Self::List),
            "version" | "--version" | "-v" => Ok(Self::Version),
            "store" => {
                let given: Credentials = serde_json::from_str(input).map_err(|error| error.to_string())?;
                if given.server.trim().is_empty() {
                    return Err(NO_SERVER.into());
                }
                if given.username.is_empty() {
                    return Err(NO_USER.into());
                }
                Ok(Self::Store(Given {
                    host: host_of(&given.server),
                    user: given.username,
                    secret: Secret::new(given.secret),
                }))
            }
            other => Err(format!(
                "unknown action {other:?}; there are get, store, erase, list and version"
            )),
        }
    }
}

/// The answer to `get`.
pub fn login(host: &str, user: &str, secret: &Secret) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<'a> {
        #[serde(rename = "ServerURL")]
        server: &'a str,
        username: &'a str,
        secret: &'a Secret,
    }
    let answer = Answer {
        server: host,
        username: user,
        secret,
    };
    serde_json::to_string(&answer).unwrap_or_default()
}

/// The answer to `list`.
pub fn list(users: &BTreeMap<String, String>) -> String {
    serde_json::to_string(users).unwrap_or_default()
}

fn host_of(server: &str) -> String {
    host(server.trim()).to_owned()
}

/// A client may give a URL for a host.
fn host(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_what_is_none() {
        for server in ["a.example", "https://a.example", "https://a.example/v2/\n"] {
            assert!(matches!(Request::parse("get", server), Ok(Request::Get(host)) if host == "a.example"));
        }
        let text = r#"{"ServerURL": "https://a.example", "Username": "u", "Secret": "hush", "More": 1}"#;
        let Ok(Request::Store(given)) = Request::parse("store", text) else {
            panic!("not stored");
        };
        assert_eq!((given.host.as_str(), given.user.as_str()), ("a.example", "u"));
        assert_eq!(given.secret.expose(), "hush");
        for (action, input, error) in [
            ("get", " \n", NO_SERVER),
            ("erase", "", NO_SERVER),
            ("store", r#"{"Username": "u", "Secret": "s"}"#, NO_SERVER),
            ("store", r#"{"ServerURL": "a", "Secret": "s"}"#, NO_USER),
            ("store", "{", "EOF while parsing"),
            ("put", "a", "unknown action \"put\""),
        ] {
            let told = Request::parse(action, input).expect_err(action);
            assert!(told.starts_with(error), "{told}");
        }
    }

    #[test]
    fn answers_have_the_fields_of_the_protocol() {
        assert_eq!(
            login("a.example", "AWS", &Secret::new("p\"")),
            r#"{"ServerURL":"a.example","Username":"AWS","Secret":"p\""}"#
        );
        let users = BTreeMap::from([("a.example".to_owned(), "AWS".to_owned())]);
        assert_eq!(list(&users), r#"{"a.example":"AWS"}"#);
    }
}
