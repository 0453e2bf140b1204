//! Whether GitHub gives the job an OIDC token: pull requests of forks and jobs that Dependabot started get none
//! (<https://docs.github.com/actions/reference/openid-connect-reference>).

use std::fmt;

use serde_json::Value;

use crate::env;

/// The reason why the job can have no OIDC token, whatever its `permissions` are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoTokenReason {
    /// The pull request's branch is in another repository, if that still exists.
    Fork(Option<String>),
    Dependabot,
}

impl fmt::Display for NoTokenReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fork(Some(repository)) => {
                write!(f, "This job is for a pull request of the fork {repository}")
            }
            Self::Fork(None) => f.write_str("This job is for a pull request of a deleted fork"),
            Self::Dependabot => f.write_str("Dependabot started this job"),
        }
    }
}

/// The events that run a workflow with the permissions of the pull request. `pull_request_target` has those of the
/// repository.
const PULL_REQUESTS: [&str; 3] = [
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
];

/// Returns why this job can have no OIDC token; `None` if it has one, could have one, or is no job.
pub fn no_token_reason() -> Option<NoTokenReason> {
    let requests = [
        env::ACTIONS_ID_TOKEN_REQUEST_URL,
        env::ACTIONS_ID_TOKEN_REQUEST_TOKEN,
    ];
    if !env::in_job() || requests.iter().any(|name| env::get(name).is_some()) {
        return None;
    }
    let payload = env::path(env::GITHUB_EVENT_PATH).and_then(|path| std::fs::read(path).ok());
    let payload = payload.and_then(|text| serde_json::from_slice(&text).ok());
    reason(
        &env::get(env::GITHUB_EVENT_NAME)?,
        &env::get(env::GITHUB_ACTOR).unwrap_or_default(),
        &payload.unwrap_or_default(),
    )
}

/// Decides by the event, who started it, and its payload.
fn reason(event: &str, actor: &str, payload: &Value) -> Option<NoTokenReason> {
    let request = &payload["pull_request"];
    let (head, base) = (&request["head"], &request["base"]["repo"]["full_name"]);
    if PULL_REQUESTS.contains(&event) && base.is_string() && head.is_object() {
        let repository = head["repo"]["full_name"].as_str();
        if repository != base.as_str() {
            return Some(NoTokenReason::Fork(repository.map(str::to_owned)));
        }
    }
    (actor == "dependabot[bot]" && event != "pull_request_target").then_some(NoTokenReason::Dependabot)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The part of a payload that counts, with some of what is around it.
    fn pull_request(head: Value) -> Value {
        json!({
            "action": "synchronize",
            "number": 7,
            "pull_request": {
                "head": {"ref": "fix", "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e", "repo": head},
                "base": {"ref": "main", "repo": {"full_name": "acme/shop", "fork": false}},
                "user": {"login": "octocat"},
            },
            "repository": {"full_name": "acme/shop"},
            "sender": {"login": "octocat"},
        })
    }

    #[test]
    fn pull_requests_of_forks_and_dependabot_have_no_token() {
        let own = pull_request(json!({"full_name": "acme/shop", "fork": false}));
        let fork = pull_request(json!({"full_name": "octocat/shop", "fork": true}));
        let deleted = pull_request(Value::Null);
        let push = json!({"ref": "refs/heads/main", "repository": {"full_name": "acme/shop"}});
        let of_fork = Some(NoTokenReason::Fork(Some("octocat/shop".into())));
        let dependabot = Some(NoTokenReason::Dependabot);
        for (event, actor, payload, expected) in [
            ("pull_request", "octocat", &fork, of_fork.clone()),
            ("pull_request_review", "octocat", &fork, of_fork.clone()),
            (
                "pull_request",
                "octocat",
                &deleted,
                Some(NoTokenReason::Fork(None)),
            ),
            ("pull_request", "dependabot[bot]", &own, dependabot.clone()),
            ("push", "dependabot[bot]", &push, dependabot),
            // These could have a token, so that something else is wrong.
            ("pull_request", "octocat", &own, None),
            ("pull_request_target", "octocat", &fork, None),
            ("pull_request_target", "dependabot[bot]", &own, None),
            ("push", "octocat", &push, None),
            ("push", "dependabot", &push, None),
            ("workflow_run", "octocat", &fork, None),
            ("issue_comment", "octocat", &json!({"issue": {"number": 7}}), None),
            ("pull_request", "octocat", &json!({}), None),
            ("pull_request", "octocat", &Value::Null, None),
        ] {
            assert_eq!(
                reason(event, actor, payload),
                expected,
                "{event} {actor} {payload}"
            );
        }
    }
}
