//! Decides from the event of a run which two states of the repository to compare.

use serde_json::Value;

/// The context of the run: the event, and what is checked out.
#[derive(Debug, Default, Clone, Copy)]
pub struct EventContext<'a> {
    /// Whether this is a job of GitHub Actions.
    pub in_job: bool,
    /// The name of the event, `GITHUB_EVENT_NAME`.
    pub event: &'a str,
    /// The event's webhook payload, the file `GITHUB_EVENT_PATH`
    /// (<https://docs.github.com/webhooks/webhook-events-and-payloads>).
    pub payload: Option<&'a Value>,
    /// The commit that actions/checkout uses by default, `GITHUB_SHA`.
    pub sha: Option<&'a str>,
    /// The commit that is checked out.
    pub checked_out: Option<&'a str>,
    /// The input `base`.
    pub base: Option<&'a str>,
}

/// Two states of the repository to compare.
#[derive(Debug, PartialEq, Eq)]
pub struct Comparison {
    pub base: Base,
    pub head: Head,
}

/// The state before the change.
#[derive(Debug, PartialEq, Eq)]
pub enum Base {
    Commit(String),
    /// The newest commit that both descend from.
    MergeBase {
        branch: String,
        change: String,
    },
    /// A commit, branch or tag that the user named in the input `base`.
    Named(String),
}

/// The state after the change.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    Commit(String),
    /// The files of the working tree, uncommitted changes included.
    WorkTree,
}

/// The reason why there is no commit to compare with, so that all targets are built. Shown as a clause without a full
/// stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoComparison {
    #[error("outside GitHub Actions a comparison needs `--base`")]
    NoBaseOutsideJob,
    #[error("the input `base` is {0}, which is not a commit, branch or tag")]
    InvalidBase(String),
    #[error("there is no commit to compare with the input `base`")]
    NoHead,
    #[error("GITHUB_EVENT_NAME is not set")]
    NoEventName,
    #[error("the event {0} has no commit to compare with")]
    UnsupportedEvent(String),
    #[error("cannot read the payload of the event {0}")]
    NoPayload(String),
    #[error("the payload of the event has no commit in `{0}`")]
    NoCommitInPayload(&'static str),
    #[error("the push deleted the branch or tag")]
    RefDeleted,
    #[error("the push created the {0}, so there is no commit before it")]
    RefCreated(&'static str),
    #[error("the push was forced, so the commit before it is not an ancestor")]
    Forced,
}

/// Returns what to compare, or the reason why everything must be built.
pub fn comparison(context: &EventContext<'_>) -> Result<Comparison, NoComparison> {
    match context.base {
        Some(base) => with_named_base(base, context),
        None if !context.in_job => Err(NoComparison::NoBaseOutsideJob),
        None => for_event(context),
    }
}

fn with_named_base(base: &str, context: &EventContext<'_>) -> Result<Comparison, NoComparison> {
    // Git would parse it as an option; no branch or tag begins with it (git check-ref-format).
    if base.starts_with('-') {
        return Err(NoComparison::InvalidBase(base.to_owned()));
    }
    let head = match context.checked_out.or(context.sha) {
        _ if !context.in_job => Head::WorkTree,
        Some(commit) => Head::Commit(commit.to_owned()),
        None => return Err(NoComparison::NoHead),
    };
    let base = Base::Named(base.to_owned());
    Ok(Comparison { base, head })
}

fn for_event(context: &EventContext<'_>) -> Result<Comparison, NoComparison> {
    let event = context.event;
    let parse: fn(&Value) -> Result<(Base, String), NoComparison> = match event {
        "pull_request" | "pull_request_target" => parse_pull_request,
        "push" => parse_push,
        "merge_group" => parse_merge_group,
        "" => return Err(NoComparison::NoEventName),
        _ => return Err(NoComparison::UnsupportedEvent(event.to_owned())),
    };
    let payload = context.payload;
    let payload = payload.ok_or_else(|| NoComparison::NoPayload(event.to_owned()))?;
    let (base, head) = parse(payload)?;
    // A job may check out another commit, and then builds that one.
    let is_other = |commit: &&str| Some(*commit) != context.sha && *commit != head;
    let head = context.checked_out.filter(is_other).map_or(head, str::to_owned);
    let head = Head::Commit(head);
    Ok(Comparison { base, head })
}

/// Compares the head of the pull request with its merge base. The checkout is the merge into the base branch, which also
/// has changes that other pull requests made to that branch.
fn parse_pull_request(payload: &Value) -> Result<(Base, String), NoComparison> {
    let request = &payload["pull_request"];
    let branch = commit_id(&request["base"]["sha"], "pull_request.base.sha")?;
    let change = commit_id(&request["head"]["sha"], "pull_request.head.sha")?;
    let base = Base::MergeBase {
        branch,
        change: change.clone(),
    };
    Ok((base, change))
}

fn parse_push(payload: &Value) -> Result<(Base, String), NoComparison> {
    let is_true = |field: &str| payload[field] == Value::Bool(true);
    if is_true("deleted") || is_zero_id(&payload["after"]) {
        return Err(NoComparison::RefDeleted);
    }
    if is_true("created") || is_zero_id(&payload["before"]) {
        return Err(NoComparison::RefCreated(match payload["ref"].as_str() {
            Some(name) if name.starts_with("refs/tags/") => "tag",
            _ => "branch",
        }));
    }
    if is_true("forced") {
        return Err(NoComparison::Forced);
    }
    let before = commit_id(&payload["before"], "before")?;
    let after = commit_id(&payload["after"], "after")?;
    Ok((Base::Commit(before), after))
}

fn parse_merge_group(payload: &Value) -> Result<(Base, String), NoComparison> {
    let group = &payload["merge_group"];
    let base = commit_id(&group["base_sha"], "merge_group.base_sha")?;
    let head = commit_id(&group["head_sha"], "merge_group.head_sha")?;
    Ok((Base::Commit(base), head))
}

/// Returns whether the value is Git's id for "no commit": 40 zeros for SHA-1, 64 for SHA-256.
fn is_zero_id(value: &Value) -> bool {
    let zeros = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit == b'0');
    value.as_str().is_some_and(zeros)
}

fn commit_id(value: &Value, field: &'static str) -> Result<String, NoComparison> {
    let is_hash =
        |text: &&str| matches!(text.len(), 40 | 64) && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let text = value.as_str().filter(is_hash);
    text.map(str::to_owned)
        .ok_or(NoComparison::NoCommitInPayload(field))
}

#[cfg(test)]
mod tests;
