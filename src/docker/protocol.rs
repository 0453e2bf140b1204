//! The protocol of docker's credential helpers. The action is the argument, and its data is read from standard input.
//! The response, even an error, is printed to standard output (docker/docker-credential-helpers,
//! credentials/credentials.go and error.go).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// The name of the credential helper in a config. docker starts the program `docker-credential-NAME`.
pub const HELPER: &str = "remote-buildkit";

/// The name of the program that docker starts as the helper.
pub const PROGRAM: &str = "docker-credential-remote-buildkit";

/// An error of the protocol. Its text is the helper's response. Clients recognize the texts of the first three, and then
/// continue without a login, for example for public images.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    #[error("credentials not found in native keychain")]
    NotFound,
    #[error("no credentials server URL")]
    NoServer,
    #[error("no credentials username")]
    NoUser,
    /// The standard input of `store` is not the expected JSON.
    #[error(transparent)]
    InvalidLogin(#[from] serde_json::Error),
    #[error("unknown action {0:?}: use get, store, erase, list or version")]
    UnknownAction(String),
}

/// A request to the helper.
#[derive(Debug)]
pub enum HelperRequest {
    /// Returns the login of a host.
    Get(String),
    /// Stores a login.
    Store(StoredLogin),
    /// Erases the stored login of a host.
    Erase(String),
    /// Lists hosts with their users.
    List,
    /// Returns the version.
    Version,
}

/// A login that a client stores.
#[derive(Debug)]
pub struct StoredLogin {
    pub host: String,
    pub user: String,
    pub secret: Secret,
}

/// The standard input of `store`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct StoreRequest {
    #[serde(rename = "ServerURL")]
    server: String,
    username: String,
    secret: String,
}

impl HelperRequest {
    /// Parses the action and its standard input.
    pub fn parse(action: &str, input: &str) -> Result<Self, ProtocolError> {
        let host = || match host_of(input.trim()) {
            "" => Err(ProtocolError::NoServer),
            host => Ok(host.to_owned()),
        };
        match action {
            "get" => Ok(Self::Get(host()?)),
            "erase" => Ok(Self::Erase(host()?)),
            "list" => Ok(Self::List),
            "version" | "--version" | "-v" => Ok(Self::Version),
            "store" => {
                let request: StoreRequest = serde_json::from_str(input)?;
                if request.server.trim().is_empty() {
                    return Err(ProtocolError::NoServer);
                }
                if request.username.is_empty() {
                    return Err(ProtocolError::NoUser);
                }
                Ok(Self::Store(StoredLogin {
                    host: host_of(request.server.trim()).to_owned(),
                    user: request.username,
                    secret: Secret::new(request.secret),
                }))
            }
            other => Err(ProtocolError::UnknownAction(other.to_owned())),
        }
    }
}

/// Returns the response to `get`.
pub fn login(host: &str, user: &str, secret: &Secret) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct GetResponse<'a> {
        #[serde(rename = "ServerURL")]
        server: &'a str,
        username: &'a str,
        secret: &'a Secret,
    }
    let response = GetResponse {
        server: host,
        username: user,
        secret,
    };
    serde_json::to_string(&response).unwrap_or_default()
}

/// Returns the response to `list`.
pub fn list(users: &BTreeMap<String, String>) -> String {
    serde_json::to_string(users).unwrap_or_default()
}

/// Returns the host of a server, which a client may give as a URL.
fn host_of(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_and_invalid_requests() {
        for server in ["a.example", "https://a.example", "https://a.example/v2/\n"] {
            assert!(
                matches!(HelperRequest::parse("get", server), Ok(HelperRequest::Get(host)) if host == "a.example")
            );
        }
        let text = r#"{"ServerURL": "https://a.example", "Username": "u", "Secret": "hush", "More": 1}"#;
        let Ok(HelperRequest::Store(login)) = HelperRequest::parse("store", text) else {
            panic!("not stored");
        };
        assert_eq!((login.host.as_str(), login.user.as_str()), ("a.example", "u"));
        assert_eq!(login.secret.expose(), "hush");
        for (action, input, error) in [
            ("get", " \n", "no credentials server URL"),
            ("erase", "", "no credentials server URL"),
            (
                "store",
                r#"{"Username": "u", "Secret": "s"}"#,
                "no credentials server URL",
            ),
            (
                "store",
                r#"{"ServerURL": "a", "Secret": "s"}"#,
                "no credentials username",
            ),
            ("store", "{", "EOF while parsing"),
            ("put", "a", "unknown action \"put\""),
        ] {
            let response = HelperRequest::parse(action, input).expect_err(action);
            assert!(response.to_string().starts_with(error), "{response}");
        }
    }

    #[test]
    fn responses_have_the_fields_of_the_protocol() {
        assert_eq!(
            login("a.example", "AWS", &Secret::new("p\"")),
            r#"{"ServerURL":"a.example","Username":"AWS","Secret":"p\""}"#
        );
        let users = BTreeMap::from([("a.example".to_owned(), "AWS".to_owned())]);
        assert_eq!(list(&users), r#"{"a.example":"AWS"}"#);
    }
}
