//! A fake of GitHub's REST API for commits and trees, backed by a local repository, with GitHub's limits
//! (<https://docs.github.com/rest/git/trees>, <https://docs.github.com/rest/commits/commits>).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use lab::{HttpRequest, HttpResponse, HttpServer};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::object_reader::{ObjectReader, TreeObject};
use super::repository::{Repository, output_if_successful};

pub struct FakeGitHub {
    pub url: String,
    state: Arc<State>,
}

struct State {
    prefix: String,
    repository: PathBuf,
    objects: Mutex<ObjectReader>,
    token: Option<&'static str>,
    /// The maximum number of entries of a recursive tree.
    max_tree_entries: usize,
    faults: Mutex<Vec<HttpResponse>>,
    always: Option<HttpResponse>,
    requests: Mutex<Vec<String>>,
}

/// Returns an error response with a message, as GitHub's API sends it.
pub fn github_error(status: u16, message: &str) -> HttpResponse {
    let body =
        json!({"message": message, "documentation_url": "https://docs.github.com/rest", "status": status});
    HttpResponse::new(status, body.to_string())
}

/// What the fake requires and how it fails.
#[derive(Default)]
pub struct FakeBehavior {
    /// The path prefix of an Enterprise server.
    pub prefix: &'static str,
    /// The token that a private repository requires.
    pub token: Option<&'static str>,
    /// The maximum number of entries of a recursive tree, if not 100,000.
    pub max_tree_entries: Option<usize>,
    /// The first responses, before the fake responds normally.
    pub faults: Vec<HttpResponse>,
    /// The response to every request.
    pub always: Option<HttpResponse>,
}

impl FakeGitHub {
    /// Starts a server for the commits and trees of a repository.
    pub fn new(repository: &Repository, behavior: FakeBehavior) -> Self {
        let mut faults = behavior.faults;
        faults.reverse();
        let state = Arc::new(State {
            prefix: behavior.prefix.to_owned(),
            repository: repository.path().to_owned(),
            objects: Mutex::new(ObjectReader::start(repository.path())),
            token: behavior.token,
            max_tree_entries: behavior.max_tree_entries.unwrap_or(100_000),
            faults: Mutex::new(faults),
            always: behavior.always,
            requests: Mutex::default(),
        });
        let served = state.clone();
        let server = HttpServer::start(move |request| served.respond(request)).expect("a server");
        let url = server.url + behavior.prefix;
        Self { url, state }
    }

    /// Returns the requested paths with their queries, relative to the repository's.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().expect("requests").clone()
    }
}

impl State {
    fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let prefix = format!("{}/repos/acme/shop/", self.prefix);
        let Some(route) = request.target.strip_prefix(&prefix) else {
            return github_error(404, "Not Found");
        };
        self.requests.lock().expect("requests").push(route.to_owned());
        // GitHub rejects a request without a user agent, and assumes the oldest version of its API if none is requested.
        if request.header("user-agent") != Some("remote-buildkit")
            || request.header("x-github-api-version").is_none()
        {
            return github_error(403, "Request forbidden by administrative rules");
        }
        if let Some(fault) = self.faults.lock().expect("faults").pop().or(self.always.clone()) {
            return fault;
        }
        if let Some(token) = self.token {
            match request.header("authorization") {
                Some(given) if given == format!("Bearer {token}") => {}
                Some(_) => return github_error(401, "Bad credentials"),
                None => return github_error(404, "Not Found"),
            }
        }
        let (path, query) = route.split_once('?').unwrap_or((route, ""));
        let body = match path.split_once('/') {
            Some(("git", rest)) => self.tree(
                rest.strip_prefix("trees/").expect("trees"),
                query.contains("recursive"),
            ),
            Some(("compare", both)) => self.compare(both, query).map(|value| value.to_string()),
            Some(("commits", name)) => {
                assert_eq!(request.header("accept"), Some("application/vnd.github.sha"));
                let found = self.commit(&percent_decode_str(name).decode_utf8_lossy());
                return found.map_or_else(
                    || github_error(422, &format!("No commit found for SHA: {name}")),
                    |id| HttpResponse::new(200, id),
                );
            }
            _ => None,
        };
        body.map_or_else(
            || github_error(404, "Not Found"),
            |body| HttpResponse::new(200, body),
        )
    }

    fn git(&self, arguments: &[&str]) -> Option<String> {
        let output = output_if_successful(&self.repository, arguments)?;
        Some(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
    }

    fn commit(&self, name: &str) -> Option<String> {
        self.git(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")])
    }

    /// Returns a tree, which is truncated at the maximum number of entries. Directories are entries as well.
    fn tree(&self, id: &str, recursive: bool) -> Option<String> {
        let mut objects = self.objects.lock().expect("objects");
        let top = objects.tree(id)?;
        let mut lister = TreeLister {
            objects,
            left: recursive.then_some(self.max_tree_entries),
            entries: Vec::new(),
            truncated: false,
        };
        lister.list(top, "", recursive);
        let (tree, truncated) = (lister.entries.join(","), lister.truncated);
        let url = format!("https://api.github.com/repos/acme/shop/git/trees/{id}");
        Some(format!(
            r#"{{"sha":"{id}","url":"{url}","tree":[{tree}],"truncated":{truncated}}}"#
        ))
    }

    fn compare(&self, both: &str, query: &str) -> Option<Value> {
        let (one, other) = both.split_once("...")?;
        let base = self.git(&["merge-base", one, other])?;
        let mut comparison = json!({
            "url": format!("https://api.github.com/repos/acme/shop/compare/{both}"),
            "base_commit": {"sha": one, "commit": {"message": "c"}},
            "merge_base_commit": {"sha": base, "commit": {"message": "c"}},
            "status": "diverged",
            "commits": [],
        });
        if !query.contains("page=2") {
            comparison["files"] = json!([{"filename": "file", "patch": "+".repeat(1 << 20)}]);
        }
        Some(comparison)
    }
}

/// Lists a tree in the order of `git ls-tree -r -t`.
struct TreeLister<'a> {
    objects: MutexGuard<'a, ObjectReader>,
    /// How many more entries a response may have; `None` for any number.
    left: Option<usize>,
    /// As text, because it takes seconds to build a JSON value of 100,000 entries.
    entries: Vec<String>,
    truncated: bool,
}

impl TreeLister<'_> {
    fn list(&mut self, tree: TreeObject, dir: &str, recursive: bool) {
        for (mode, name, sha) in tree {
            if self.left == Some(0) {
                self.truncated = true;
                return;
            }
            self.left = self.left.map(|left| left - 1);
            let path = format!("{dir}{name}");
            let kind = match mode.as_str() {
                "40000" => "tree",
                "160000" => "commit",
                _ => "blob",
            };
            let url = format!(r#","url":"https://api.github.com/repos/acme/shop/git/{kind}s/{sha}""#);
            // A submodule has no URL, and only a blob has a size.
            let more = match kind {
                "commit" => String::new(),
                "tree" => url,
                _ => format!(r#","size":1{url}"#),
            };
            let shown = Value::from(path.as_str());
            self.entries.push(format!(
                r#"{{"path":{shown},"mode":"{mode:0>6}","type":"{kind}","sha":"{sha}"{more}}}"#
            ));
            if recursive && kind == "tree" {
                let below = self.objects.tree(&sha).expect("a subtree");
                self.list(below, &format!("{path}/"), recursive);
            }
        }
    }
}
