//! Reads the logged requests to the lab: who sent which.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::state::State;

/// A request to the API server.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    pub user: String,
    pub verb: String,
    /// The path with its query.
    pub uri: String,
}

impl ApiRequest {
    /// Returns whether the request lists or watches objects without a name or a selector.
    pub fn is_unselective(&self) -> bool {
        let many = ["list", "watch", "deletecollection"].contains(&self.verb.as_str());
        many && !["labelSelector=", "fieldSelector="]
            .iter()
            .any(|s| self.uri.contains(s))
    }
}

impl State {
    /// Returns the AWS operations with the names of their callers (`AWS_SDK_UA_APP_ID`).
    pub fn aws_requests(&self) -> Result<Vec<(String, String)>> {
        let log: Vec<Value> = serde_json::from_str(&get(&self.aws_endpoint, "/_stub/log")?)?;
        let request = |entry: &Value| {
            let agent = entry["ua"].as_str()?;
            let app = agent.split(' ').find_map(|part| part.strip_prefix("app/"))?;
            Some((app.to_owned(), entry["op"].as_str()?.to_owned()))
        };
        Ok(log.iter().filter_map(request).collect())
    }

    /// Returns the requests to the API server by roles that were assumed with such a session name.
    pub fn api_requests(&self, session: &str) -> Result<Vec<ApiRequest>> {
        let log = std::fs::read_to_string(&self.audit_log)?;
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        // The last line may be incomplete.
        let entries = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        for entry in entries {
            let user = entry["user"]["username"].as_str().unwrap_or_default();
            let of_session = user
                .rsplit('/')
                .next()
                .is_some_and(|name| name.starts_with(session));
            // A watch and an exec are logged when they start and when they end.
            if of_session && seen.insert(entry["auditID"].to_string()) {
                let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
                found.push(ApiRequest {
                    user: user.to_owned(),
                    verb: text("verb"),
                    uri: text("requestURI"),
                });
            }
        }
        Ok(found)
    }
}

/// Sends a GET request by HTTP/1.0, after which the server closes the connection.
fn get(endpoint: &str, path: &str) -> Result<String> {
    let host = endpoint.trim_start_matches("http://");
    let mut connection = TcpStream::connect(host).with_context(|| format!("could not reach {endpoint}"))?;
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .context("the response has no header")?;
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_without_a_selector_is_unselective() {
        let request = |verb: &str, uri: &str| ApiRequest {
            user: "u".into(),
            verb: verb.into(),
            uri: uri.into(),
        };
        assert!(request("list", "/api/v1/namespaces/x/pods?limit=5").is_unselective());
        assert!(request("watch", "/api/v1/namespaces/x/events?watch=true").is_unselective());
        assert!(!request("list", "/api/v1/namespaces/x/pods?&labelSelector=app%3Da").is_unselective());
        assert!(!request("get", "/api/v1/namespaces/x/pods/a").is_unselective());
    }
}
