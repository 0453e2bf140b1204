//! A fake of GitHub's REST API for commits and trees, backed by a local repository, with GitHub's limits
//! (<https://docs.github.com/rest/git/trees>, <https://docs.github.com/rest/commits/commits>).

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use lab::{HttpRequest, HttpResponse, HttpServer};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::repository::{Repository, succeeded};

pub struct GitHub {
    pub url: String,
    state: Arc<State>,
}

struct State {
    prefix: String,
    repository: PathBuf,
    token: Option<&'static str>,
    /// The most entries of a recursive tree.
    most: usize,
    faults: Mutex<Vec<Answer>>,
    always: Option<Answer>,
    requests: Mutex<Vec<String>>,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Answer {
    pub fn new(status: u16, message: &str) -> Self {
        let body = json!({"message": message, "documentation_url": "https://docs.github.com/rest", "status": status});
        Self {
            status,
            headers: Vec::new(),
            body: body.to_string(),
        }
    }

    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

impl From<Answer> for HttpResponse {
    fn from(answer: Answer) -> Self {
        let response = Self::new(answer.status, answer.body);
        let headers = answer.headers.into_iter();
        headers.fold(response, |response, (name, value)| response.header(name, value))
    }
}

/// The behaviour of the fake.
#[derive(Default)]
pub struct Mood {
    /// The path prefix of an Enterprise server.
    pub prefix: &'static str,
    /// The token that a private repository requires.
    pub token: Option<&'static str>,
    /// The most entries of a recursive tree, if not 100,000.
    pub most: Option<usize>,
    /// The first answers, before the fake answers normally.
    pub faults: Vec<Answer>,
    /// The answer to every request.
    pub always: Option<Answer>,
}

impl GitHub {
    pub fn of(repository: &Repository, mood: Mood) -> Self {
        let mut faults = mood.faults;
        faults.reverse();
        let state = Arc::new(State {
            prefix: mood.prefix.to_owned(),
            repository: repository.path().to_owned(),
            token: mood.token,
            most: mood.most.unwrap_or(100_000),
            faults: Mutex::new(faults),
            always: mood.always,
            requests: Mutex::default(),
        });
        let served = state.clone();
        let server = HttpServer::start(move |request| served.answer(request).into()).expect("a server");
        let url = server.url + mood.prefix;
        Self { url, state }
    }

    /// Returns the requested paths with their queries, relative to the repository's.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().expect("requests").clone()
    }
}

impl State {
    fn answer(&self, request: &HttpRequest) -> Answer {
        let below = format!("{}/repos/acme/shop/", self.prefix);
        let Some(route) = request.target.strip_prefix(&below) else {
            return Answer::new(404, "Not Found");
        };
        self.requests.lock().expect("requests").push(route.to_owned());
        // GitHub refuses who does not say who it is, and answers to who does not say which version by the oldest.
        if request.header("user-agent") != Some("remote-buildkit")
            || request.header("x-github-api-version").is_none()
        {
            return Answer::new(403, "Request forbidden by administrative rules");
        }
        if let Some(fault) = self.faults.lock().expect("faults").pop().or(self.always.clone()) {
            return fault;
        }
        if let Some(token) = self.token {
            match request.header("authorization") {
                Some(given) if given == format!("Bearer {token}") => {}
                Some(_) => return Answer::new(401, "Bad credentials"),
                None => return Answer::new(404, "Not Found"),
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
                    || Answer::new(422, &format!("No commit found for SHA: {name}")),
                    |id| Answer {
                        body: id,
                        ..Answer::new(200, "")
                    },
                );
            }
            _ => None,
        };
        body.map_or_else(
            || Answer::new(404, "Not Found"),
            |body| Answer {
                body,
                ..Answer::new(200, "")
            },
        )
    }

    fn git(&self, arguments: &[&str]) -> Option<String> {
        let output = succeeded(&self.repository, arguments)?;
        Some(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
    }

    fn commit(&self, name: &str) -> Option<String> {
        self.git(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")])
    }

    /// Of up to so many entries; folders are entries as well.
    fn tree(&self, id: &str, recursive: bool) -> Option<String> {
        let depth: &[&str] = if recursive { &["-r", "-t"] } else { &[] };
        let listed = self.git(&[&["ls-tree", "-z"], depth, &[id]].concat())?;
        // As text: a value of 100,000 entries takes seconds to make.
        let entry = |line: &str| {
            let (head, path) = line.split_once('\t').expect("a tab");
            let [mode, kind, sha] = head.split(' ').collect::<Vec<_>>()[..] else {
                panic!("no entry: {line}")
            };
            let url = format!(r#","url":"https://api.github.com/repos/acme/shop/git/{kind}s/{sha}""#);
            // A submodule has no URL, and only a blob has a size.
            let more = match kind {
                "commit" => String::new(),
                "tree" => url,
                _ => format!(r#","size":1{url}"#),
            };
            let path = Value::from(path);
            format!(r#"{{"path":{path},"mode":"{mode}","type":"{kind}","sha":"{sha}"{more}}}"#)
        };
        let lines: Vec<&str> = listed.split('\0').filter(|line| !line.is_empty()).collect();
        let most = if recursive { self.most } else { usize::MAX };
        let truncated = lines.len() > most;
        let tree: Vec<String> = lines.into_iter().take(most).map(entry).collect();
        let url = format!("https://api.github.com/repos/acme/shop/git/trees/{id}");
        let tree = tree.join(",");
        Some(format!(
            r#"{{"sha":"{id}","url":"{url}","tree":[{tree}],"truncated":{truncated}}}"#
        ))
    }

    fn compare(&self, both: &str, query: &str) -> Option<Value> {
        let (one, other) = both.split_once("...")?;
        let base = self.git(&["merge-base", one, other])?;
        let mut answer = json!({
            "url": format!("https://api.github.com/repos/acme/shop/compare/{both}"),
            "base_commit": {"sha": one, "commit": {"message": "c"}},
            "merge_base_commit": {"sha": base, "commit": {"message": "c"}},
            "status": "diverged",
            "commits": [],
        });
        if !query.contains("page=2") {
            answer["files"] = json!([{"filename": "file", "patch": "+".repeat(1 << 20)}]);
        }
        Some(answer)
    }
}
