//! A line in the debug log for each request to AWS, a cluster or GitHub: what was asked, what came back and how long it
//! took. Never a header or a body, and of a query only what is known to be harmless.

use std::time::Instant;

/// Parts of a query that hold no secret; the value of any other prints as `***`. A signature, a token and what a server
/// of tomorrow wants are others.
const HARMLESS: &[&str] = &[
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

/// Under what servers tell the number of a request, by which their side of it can be found: AWS, Kubernetes, GitHub.
const IDS: [&str; 4] = [
    "x-amzn-requestid",
    "x-amz-request-id",
    "audit-id",
    "x-github-request-id",
];

/// A request under way. One that is dropped was given up: it took too long, or was not needed any more.
#[derive(Debug)]
pub struct Exchange(Option<Asked>);

#[derive(Debug)]
struct Asked {
    what: String,
    at: Instant,
}

impl Exchange {
    pub fn begin(method: &str, url: &str) -> Self {
        // Skip formatting unless debug logging is on.
        let read = tracing::enabled!(tracing::Level::DEBUG);
        Self(read.then(|| Asked {
            what: format!("{method} {}", redacted(url)),
            at: Instant::now(),
        }))
    }

    /// `header` is the answer's value of a header by its name in lower case.
    pub fn answered<'a>(mut self, status: u16, header: impl Fn(&str) -> Option<&'a str>) {
        let id = IDS.iter().find_map(|name| header(name));
        let id = id.map_or_else(String::new, |id| format!(", request {id}"));
        self.end(&format!("{status}{id}"));
    }

    pub fn failed(mut self, why: &str) {
        self.end(&format!("no response: {why}"));
    }

    fn end(&mut self, how: &str) {
        if let Some(Asked { what, at }) = self.0.take() {
            // A line of a server's own could be a command to the runner.
            let how = how.replace(['\n', '\r'], " ");
            tracing::debug!("{what} -> {how} ({} ms)", at.elapsed().as_millis());
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.end("cancelled");
    }
}

/// A URL without user, password, and what its query may hide.
pub fn redacted(url: &str) -> String {
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (url, None),
    };
    let query = query.map_or_else(String::new, |query| {
        // kube begins one with an empty part.
        let parts = query.split('&').filter(|part| !part.is_empty());
        let parts = parts.map(|part| match part.split_once('=') {
            Some((name, _)) if !HARMLESS.contains(&name) => format!("{name}=***"),
            None if !HARMLESS.contains(&part) => "***".to_owned(),
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
