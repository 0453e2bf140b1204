//! From the event of a run to what is compared with what.

use serde_json::Value;

/// What is known before anything is compared.
#[derive(Debug, Default, Clone, Copy)]
pub struct Situation<'a> {
    /// Whether this is a job of GitHub Actions.
    pub in_job: bool,
    /// The name of the event, `GITHUB_EVENT_NAME`.
    pub event: &'a str,
    /// What GitHub says of it, the file `GITHUB_EVENT_PATH`
    /// (<https://docs.github.com/webhooks/webhook-events-and-payloads>).
    pub payload: Option<&'a Value>,
    /// The commit that a checkout takes by itself, `GITHUB_SHA`.
    pub sha: Option<&'a str>,
    /// The commit that is checked out, where there is a clone.
    pub checked_out: Option<&'a str>,
    /// The input `base`.
    pub base: Option<&'a str>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Nothing can be left out, for this reason: a sentence without its full stop.
    Everything {
        reason: String,
    },
    Between {
        base: Base,
        head: Head,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub enum Base {
    Commit(String),
    /// The newest commit that both have behind them.
    MergeBase {
        branch: String,
        change: String,
    },
    /// A commit, branch or tag by any of its names.
    Named(String),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    Commit(String),
    /// What is checked out, with what is not committed.
    WorkTree,
}

/// What to compare. Whatever is not understood is a reason to build everything.
pub fn comparison(situation: &Situation<'_>) -> Comparison {
    let everything = |reason: String| Comparison::Everything { reason };
    if let Some(base) = situation.base {
        return of_input(base, situation).unwrap_or_else(everything);
    }
    if !situation.in_job {
        return everything("outside of GitHub Actions only the input base says what to compare with".into());
    }
    of_event(situation).unwrap_or_else(everything)
}

fn of_input(base: &str, situation: &Situation<'_>) -> Result<Comparison, String> {
    // Git would take it for an option; no branch and no tag begins with it (git check-ref-format).
    if base.starts_with('-') {
        return Err(format!("the input base is {base}, which names no commit"));
    }
    let head = match situation.checked_out.or(situation.sha) {
        _ if !situation.in_job => Head::WorkTree,
        Some(commit) => Head::Commit(commit.to_owned()),
        None => return Err("there is no commit to compare with the input base".into()),
    };
    Ok(Comparison::Between {
        base: Base::Named(base.to_owned()),
        head,
    })
}

fn of_event(situation: &Situation<'_>) -> Result<Comparison, String> {
    let event = situation.event;
    let read: fn(&Value) -> Result<(Base, String), String> = match event {
        "pull_request" | "pull_request_target" => of_pull_request,
        "push" => of_push,
        "merge_group" => of_merge_group,
        "" => return Err("the name of the event is not known".into()),
        _ => return Err(format!("the event {event} has no commit to compare with")),
    };
    let payload = situation.payload;
    let payload = payload.ok_or_else(|| format!("the payload of the event {event} cannot be read"))?;
    let (base, head) = read(payload)?;
    // A job may check out what it likes: then that is what it builds.
    let other = |commit: &&str| Some(*commit) != situation.sha && *commit != head;
    let head = situation.checked_out.filter(other).map_or(head, str::to_owned);
    Ok(Comparison::Between {
        base,
        head: Head::Commit(head),
    })
}

/// What the pull request itself changes. The checkout is its merge into the base branch, whose other changes are the
/// branch's own.
fn of_pull_request(payload: &Value) -> Result<(Base, String), String> {
    let request = &payload["pull_request"];
    let branch = commit(&request["base"]["sha"], "pull_request.base.sha")?;
    let change = commit(&request["head"]["sha"], "pull_request.head.sha")?;
    let base = Base::MergeBase {
        branch,
        change: change.clone(),
    };
    Ok((base, change))
}

fn of_push(payload: &Value) -> Result<(Base, String), String> {
    let is = |field: &str| payload[field] == Value::Bool(true);
    if is("deleted") || is_zero(&payload["after"]) {
        return Err("the push deleted the branch or tag".into());
    }
    if is("created") || is_zero(&payload["before"]) {
        let what = match payload["ref"].as_str() {
            Some(name) if name.starts_with("refs/tags/") => "tag",
            _ => "branch",
        };
        return Err(format!(
            "the push created the {what}: there is no commit before it"
        ));
    }
    if is("forced") {
        return Err("the push was forced: what was there before is not what was built on".into());
    }
    let before = commit(&payload["before"], "before")?;
    let after = commit(&payload["after"], "after")?;
    Ok((Base::Commit(before), after))
}

fn of_merge_group(payload: &Value) -> Result<(Base, String), String> {
    let group = &payload["merge_group"];
    let base = commit(&group["base_sha"], "merge_group.base_sha")?;
    let head = commit(&group["head_sha"], "merge_group.head_sha")?;
    Ok((Base::Commit(base), head))
}

/// Git's name for no commit, with the 40 digits of SHA-1 or the 64 of SHA-256.
fn is_zero(value: &Value) -> bool {
    let zeros = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit == b'0');
    value.as_str().is_some_and(zeros)
}

fn commit(value: &Value, field: &str) -> Result<String, String> {
    let hash =
        |text: &&str| matches!(text.len(), 40 | 64) && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let text = value.as_str().filter(hash);
    text.map(str::to_owned)
        .ok_or_else(|| format!("the payload of the event has no commit in {field}"))
}

#[cfg(test)]
mod tests;
