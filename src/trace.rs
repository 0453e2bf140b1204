//! Logs each request to AWS, a cluster or GitHub as one line in the debug log: the request, the result and the
//! duration. Headers and bodies are never logged, and of a query only the values of parameters that are known to hold
//! no secret.

use std::time::Instant;

/// The query parameters that hold no secret. The values of all others, such as signatures, tokens and parameters that
/// a server may add later, are printed as `***`.
const SAFE_PARAMETERS: &[&str] = &[
    "Action",
    "Version",
    "allowWatchBookmarks",
    "api-version",
    "audience",
    "command",
    "container",
    "dryRun",
    "fieldManager",
    "fieldSelector",
    "force",
    "labelSelector",
    "limit",
    "page",
    "per_page",
    "recursive",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "stderr",
    "stdout",
    "timeoutSeconds",
    "watch",
];

/// The response headers of AWS, Kubernetes and GitHub that contain the ID under which the server logged the request.
const REQUEST_ID_HEADERS: [&str; 4] = [
    "x-amzn-requestid",
    "x-amz-request-id",
    "audit-id",
    "x-github-request-id",
];

/// A request in progress. If it is dropped, it was cancelled: it timed out, or was no longer needed.
#[derive(Debug)]
pub struct RequestLog(Option<Started>);

#[derive(Debug)]
struct Started {
    request: String,
    at: Instant,
}

impl RequestLog {
    /// Records the start of a request.
    pub fn begin(method: &str, url: &str) -> Self {
        // Skip formatting unless debug logging is on.
        let enabled = tracing::enabled!(tracing::Level::DEBUG);
        Self(enabled.then(|| Started {
            request: format!("{method} {}", redacted(url)),
            at: Instant::now(),
        }))
    }

    /// Logs the response. `header` returns the value of a response header, by its name in lower case.
    pub fn answered<'a>(mut self, status: u16, header: impl Fn(&str) -> Option<&'a str>) {
        let id = REQUEST_ID_HEADERS.iter().find_map(|name| header(name));
        let id = id.map_or_else(String::new, |id| format!(", request {id}"));
        self.end(&format!("{status}{id}"));
    }

    /// Logs that there was no response.
    pub fn failed(mut self, why: &str) {
        self.end(&format!("no response: {why}"));
    }

    fn end(&mut self, result: &str) {
        if let Some(Started { request, at }) = self.0.take() {
            // A line break in a server's text would let it send a workflow command to the runner.
            let result = result.replace(['\n', '\r'], " ");
            tracing::debug!("{request} -> {result} ({} ms)", at.elapsed().as_millis());
        }
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        self.end("cancelled");
    }
}

/// Returns a URL without its user, its password, and the query values that may be secret.
pub fn redacted(url: &str) -> String {
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (url, None),
    };
    let query = query.map_or_else(String::new, |query| {
        // kube's queries begin with an empty part.
        let parts = query.split('&').filter(|part| !part.is_empty());
        let parts = parts.map(|part| match part.split_once('=') {
            Some((name, _)) if !SAFE_PARAMETERS.contains(&name) => format!("{name}=***"),
            None if !SAFE_PARAMETERS.contains(&part) => "***".to_owned(),
            _ => part.to_owned(),
        });
        format!("?{}", parts.collect::<Vec<_>>().join("&"))
    });
    let (scheme, rest) = path.split_once("://").unwrap_or(("", path));
    let (authority, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => authority.to_owned(),
    };
    let scheme = if scheme.is_empty() {
        String::new()
    } else {
        format!("{scheme}://")
    };
    format!("{scheme}{authority}{rest}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_prints_without_its_secrets() {
        for (url, printed) in [
            (
                "https://eks.eu-west-1.amazonaws.com/clusters/shop",
                "https://eks.eu-west-1.amazonaws.com/clusters/shop",
            ),
            (
                "https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Security-Token=t\
                 &X-Amz-Signature=s",
                "https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&\
                 X-Amz-Security-Token=***&X-Amz-Signature=***",
            ),
            (
                "https://run.example/idtoken/1?api-version=2.0&audience=sts.amazonaws.com&access_token=a=b",
                "https://run.example/idtoken/1?api-version=2.0&audience=sts.amazonaws.com&access_token=***",
            ),
            ("http://me:pass@word@[::1]:3128/", "http://***@[::1]:3128/"),
            ("http://me@proxy:3128", "http://***@proxy:3128"),
            (
                "/api/v1/pods?&labelSelector=app%3Da&x",
                "/api/v1/pods?labelSelector=app%3Da&***",
            ),
            ("https://h/a@b?c=//u:p@d", "https://h/a@b?c=***"),
        ] {
            assert_eq!(redacted(url), printed, "{url}");
        }
    }
}
