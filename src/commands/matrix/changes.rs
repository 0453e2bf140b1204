//! Determines what changed: with Git if the clone has both commits, else with GitHub's API.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::tree_diff::TreeReader;
use crate::error_code::ErrorCode;
use crate::git::Git;
use crate::github::api::RepositoryApi;
use crate::matrix::changes::Change;
use crate::matrix::comparison::{Base, Comparison, EventContext, Head, comparison};
use crate::problem::Problem;
use crate::report::Report;
use crate::secret::Secret;
use crate::{env, github};

/// What changed, as far as it could be determined.
#[derive(Debug)]
pub enum DetectedChanges {
    /// The changes are unknown, so all targets are built. The reason is a sentence without its full stop.
    Unknown { reason: String },
    Known {
        changes: Vec<Change>,
        /// The commits that were compared.
        base: String,
        /// [`WORK_TREE`] outside of a job.
        head: String,
    },
}

/// The name of the state that includes uncommitted changes.
pub const WORK_TREE: &str = "the working tree";

/// The inputs that the comparison depends on.
#[derive(Debug)]
pub struct ChangeQuery<'a> {
    /// A directory of the repository.
    pub root: &'a Path,
    /// The input `base`: a commit, branch or tag.
    pub base: Option<&'a str>,
    /// The token for GitHub's API.
    pub token: Option<Secret>,
}

/// The event that started the run, and the address of GitHub.
#[derive(Debug, Clone, Default)]
pub struct RunEvent {
    pub in_job: bool,
    pub name: String,
    pub payload: Option<Value>,
    pub sha: Option<String>,
    pub repository: Option<String>,
    pub api_url: Option<String>,
    /// The time limit for all requests to GitHub. A rate limit that lasts longer fails at once.
    pub api_timeout: Duration,
}

impl RunEvent {
    /// Reads the event from the environment of the job.
    pub fn from_environment() -> Self {
        let payload = env::path(env::GITHUB_EVENT_PATH).and_then(|path| std::fs::read(path).ok());
        Self {
            in_job: github::in_job(),
            name: env::get(env::GITHUB_EVENT_NAME).unwrap_or_default(),
            payload: payload.and_then(|text| serde_json::from_slice(&text).ok()),
            sha: env::get(env::GITHUB_SHA),
            repository: github::repository(),
            api_url: env::get(env::GITHUB_API_URL),
            api_timeout: API_TIMEOUT,
        }
    }
}

const API_TIMEOUT: Duration = Duration::from_secs(120);

/// Determines what changed in the current run.
pub async fn detect_changes(query: &ChangeQuery<'_>, report: &Report) -> anyhow::Result<DetectedChanges> {
    detect_changes_for(&RunEvent::from_environment(), query, report).await
}

/// Determines what changed in a run that the given event started. Fails only if the user named a base that does not exist;
/// any other failure is the reason to build all targets.
pub async fn detect_changes_for(
    event: &RunEvent,
    query: &ChangeQuery<'_>,
    report: &Report,
) -> anyhow::Result<DetectedChanges> {
    let clone = LocalClone::open(query.root);
    let context = EventContext {
        in_job: event.in_job,
        event: &event.name,
        payload: event.payload.as_ref(),
        sha: event.sha.as_deref(),
        checked_out: clone.head.as_deref(),
        base: query.base,
    };
    let Comparison { base, head } = match comparison(&context) {
        Ok(comparison) => comparison,
        Err(reason) => {
            let reason = reason.to_string();
            return Ok(DetectedChanges::Unknown { reason });
        }
    };
    if let Some(compared) = clone.compare(&base, &head) {
        report.done(&compared.describe("by Git"));
        return Ok(compared.into());
    }
    let Head::Commit(head) = head else {
        if let Base::Named(name) = &base
            && clone.is_missing(name)
        {
            let (looked_in, remedy) = match clone.git {
                Some(_) => ("this clone", "Correct `base`, or fetch it: `git fetch origin`."),
                None => (
                    "the working directory, where no Git clone can be read",
                    "Run it in a Git clone, on a machine with git.",
                ),
            };
            return Err(base_not_found(name, looked_in, remedy).into());
        }
        let reason = "Git cannot compare the working tree with the base".to_owned();
        return Ok(DetectedChanges::Unknown { reason });
    };
    let compared = match &event.repository {
        Some(repository) => {
            compare_with_api(event, repository, query.token.as_ref(), &clone, &base, head).await
        }
        None => Err(anyhow::anyhow!("GITHUB_REPOSITORY is not set").into()),
    };
    match compared {
        Ok((compared, how)) => {
            report.done(&compared.describe(how));
            Ok(compared.into())
        }
        Err(CompareError::BaseNotFound(name)) => {
            let looked_in = match clone.git {
                Some(_) => "the clone and on GitHub",
                None => "the repository on GitHub",
            };
            let remedy = "Correct the input `base`, or push that commit, branch or tag first.";
            let problem = base_not_found(&name, looked_in, remedy);
            // A workflow may pass a commit of the event as `base`, such as the one before a forced push.
            if is_commit_id(&name) {
                Ok(unknown_changes(problem.into()))
            } else {
                Err(problem.into())
            }
        }
        Err(CompareError::Other(error)) => Ok(unknown_changes(error)),
    }
}

/// Why two commits could not be compared with GitHub's API.
#[derive(Debug)]
enum CompareError {
    /// The base that the user named does not exist in the repository.
    BaseNotFound(String),
    Other(anyhow::Error),
}

impl From<anyhow::Error> for CompareError {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

fn base_not_found(name: &str, looked_in: &str, remedy: &str) -> Problem {
    let what = format!("Looked for the base {name} in {looked_in}, and found no such commit, branch or tag.");
    Problem::new(ErrorCode::BaseNotFound, what, remedy)
}

fn is_commit_id(name: &str) -> bool {
    matches!(name.len(), 40 | 64) && name.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Returns the failure as the reason to build all targets, and shows it as a warning.
fn unknown_changes(error: anyhow::Error) -> DetectedChanges {
    let cause = match error.downcast_ref::<Problem>() {
        Some(problem) => {
            github::warn(problem);
            Report::detail(&problem.remedy);
            problem.what.trim_end_matches('.').to_owned()
        }
        None => {
            let text = format!("{error:#}");
            github::warn(&Problem::new(ErrorCode::GithubChangesUnavailable, &text, ""));
            text
        }
    };
    let reason = format!("cannot determine what changed: {cause}");
    DetectedChanges::Unknown { reason }
}

/// The result of a comparison.
struct ComparedCommits {
    changes: Vec<Change>,
    base: String,
    head: String,
}

impl From<ComparedCommits> for DetectedChanges {
    fn from(compared: ComparedCommits) -> Self {
        let ComparedCommits { changes, base, head } = compared;
        Self::Known { changes, base, head }
    }
}

impl ComparedCommits {
    fn describe(&self, how: &str) -> String {
        let Self { changes, base, head } = self;
        let changes = match changes.len() {
            1 => "1 path differs".to_owned(),
            number => format!("{number} paths differ"),
        };
        // The first digits of a commit suffice for people.
        let short = |name: &str| match name {
            WORK_TREE => WORK_TREE.to_owned(),
            commit => commit.chars().take(12).collect(),
        };
        format!("Compared {} with {} {how}: {changes}", short(base), short(head))
    }
}

/// The clone, if it can be read. An error of Git is only logged, because GitHub's API can be used instead.
struct LocalClone {
    git: Option<Git>,
    head: Option<String>,
}

impl LocalClone {
    fn open(root: &Path) -> Self {
        let git = log_error(Git::open(root)).flatten();
        let head = git.as_ref().and_then(|git| log_error(git.head()).flatten());
        Self { git, head }
    }

    /// Compares two states; `None` if the clone does not have both.
    fn compare(&self, base: &Base, head: &Head) -> Option<ComparedCommits> {
        let git = self.git.as_ref()?;
        let base = self.base_commit(base)?;
        let (changes, head) = match head {
            Head::WorkTree => (git.work_tree_changes(&base), WORK_TREE.to_owned()),
            Head::Commit(commit) => {
                let head = log_error(git.commit(commit))??;
                (git.changes(&base, &head), head)
            }
        };
        let changes = log_error(changes)?;
        Some(ComparedCommits { changes, base, head })
    }

    fn base_commit(&self, base: &Base) -> Option<String> {
        let git = self.git.as_ref()?;
        match base {
            Base::Commit(commit) => log_error(git.commit(commit)).flatten(),
            Base::MergeBase { branch, change } => log_error(git.merge_base(branch, change)).flatten(),
            Base::Named(name) => log_error(named_commit(git, name)).flatten(),
        }
    }

    /// Returns whether there is no clone, or the clone has no commit of this name.
    fn is_missing(&self, name: &str) -> bool {
        let git = self.git.as_ref();
        git.is_none_or(|git| matches!(named_commit(git, name), Ok(None)))
    }
}

/// Returns the commit that a name refers to, in the clone or as a branch of `origin`.
fn named_commit(git: &Git, name: &str) -> anyhow::Result<Option<String>> {
    if let Some(commit) = git.commit(name)? {
        return Ok(Some(commit));
    }
    git.commit(&format!("refs/remotes/origin/{name}"))
}

fn log_error<T>(result: anyhow::Result<T>) -> Option<T> {
    let logged = result.inspect_err(|error| Report::detail(&format!("Cannot read the clone: {error:#}")));
    logged.ok()
}

/// Compares two commits with GitHub's API where the clone does not have them.
async fn compare_with_api(
    event: &RunEvent,
    repository: &str,
    token: Option<&Secret>,
    clone: &LocalClone,
    base: &Base,
    head: String,
) -> Result<(ComparedCommits, &'static str), CompareError> {
    let url = event.api_url.as_deref().unwrap_or("https://api.github.com");
    let api = RepositoryApi::new(url, repository, token, Instant::now() + event.api_timeout)?;
    let base = match (clone.base_commit(base), base) {
        (Some(commit), _) => commit,
        (None, Base::Commit(commit)) => commit.clone(),
        (None, Base::MergeBase { branch, change }) => api.merge_base(branch, change).await?,
        (None, Base::Named(name)) => {
            let commit = api.commit(name).await?;
            commit.ok_or_else(|| CompareError::BaseNotFound(name.clone()))?
        }
    };
    let trees = TreeReader {
        git: clone.git.as_ref(),
        api: &api,
    };
    let how = match (trees.is_local(&base), trees.is_local(&head)) {
        (false, false) => "by GitHub",
        _ => "by Git and GitHub",
    };
    let changes = trees.compare(&base, &head).await?;
    Ok((ComparedCommits { changes, base, head }, how))
}

#[cfg(test)]
mod tests;
