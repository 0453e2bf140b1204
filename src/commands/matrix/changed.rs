//! What changed, by Git where both commits are in the clone, else by GitHub.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::difference::Trees;
use crate::git::Git;
use crate::github::api::RepositoryApi;
use crate::matrix::changes::Change;
use crate::matrix::comparison::{Base, Comparison, Head, Situation, comparison};
use crate::problem::Problem;
use crate::report::Report;
use crate::secret::Secret;
use crate::{env, github};

#[derive(Debug)]
pub enum Changed {
    /// What changed is not known, for this reason: a sentence without its full stop.
    Everything { reason: String },
    These {
        changes: Vec<Change>,
        /// The commits that were compared.
        base: String,
        /// Outside of a job it is [`WORK_TREE`].
        head: String,
    },
}

pub const WORK_TREE: &str = "the work tree";

#[derive(Debug)]
pub struct Question<'a> {
    /// A folder of the repository.
    pub root: &'a Path,
    /// The input `base`: a commit, branch or tag.
    pub base: Option<&'a str>,
    /// For GitHub's API.
    pub token: Option<Secret>,
}

/// What started this run, and where GitHub is.
#[derive(Debug, Clone, Default)]
pub struct Event {
    pub in_job: bool,
    pub name: String,
    pub payload: Option<Value>,
    pub sha: Option<String>,
    pub repository: Option<String>,
    pub api_url: Option<String>,
    /// For all that GitHub is asked. A rate limit that lasts for longer is not waited for.
    pub within: Duration,
}

impl Event {
    pub fn of_environment() -> Self {
        let payload = env::path(env::GITHUB_EVENT_PATH).and_then(|path| std::fs::read(path).ok());
        Self {
            in_job: github::in_job(),
            name: env::get(env::GITHUB_EVENT_NAME).unwrap_or_default(),
            payload: payload.and_then(|text| serde_json::from_slice(&text).ok()),
            sha: env::get(env::GITHUB_SHA),
            repository: github::repository(),
            api_url: env::get(env::GITHUB_API_URL),
            within: WITHIN,
        }
    }
}

const WITHIN: Duration = Duration::from_secs(120);

pub async fn changed(question: &Question<'_>, report: &Report) -> anyhow::Result<Changed> {
    changed_by(&Event::of_environment(), question, report).await
}

/// The same for an event that is given.
pub async fn changed_by(event: &Event, question: &Question<'_>, report: &Report) -> anyhow::Result<Changed> {
    let clone = Clone::read(question.root);
    let situation = Situation {
        in_job: event.in_job,
        event: &event.name,
        payload: event.payload.as_ref(),
        sha: event.sha.as_deref(),
        checked_out: clone.head.as_deref(),
        base: question.base,
    };
    let (base, head) = match comparison(&situation) {
        Comparison::Everything { reason } => return Ok(Changed::Everything { reason }),
        Comparison::Between { base, head } => (base, head),
    };
    if let Some(found) = clone.compared(&base, &head) {
        report.done(&said(&found, "by Git"));
        return Ok(found.into());
    }
    let Head::Commit(head) = head else {
        let reason = match base {
            Base::Named(name) => format!("the clone does not know {name}, the input base"),
            Base::Commit(_) | Base::MergeBase { .. } => "the clone does not have the commit before".into(),
        };
        return Ok(Changed::Everything { reason });
    };
    let asked = match &event.repository {
        Some(repository) => asked(event, repository, question.token.as_ref(), &clone, &base, head).await,
        None => Err(anyhow::anyhow!("GITHUB_REPOSITORY is not set")),
    };
    Ok(match asked {
        Ok((found, how)) => {
            report.done(&said(&found, how));
            found.into()
        }
        Err(error) => unknown(error),
    })
}

/// Not an error: whoever does not know what changed builds everything.
fn unknown(error: anyhow::Error) -> Changed {
    let why = match error.downcast_ref::<Problem>() {
        Some(problem) => {
            github::warn(problem);
            Report::detail(&problem.remedy);
            problem.what.trim_end_matches('.').to_owned()
        }
        None => {
            let text = format!("{error:#}");
            github::warning("Cannot read the changes from GitHub", &text);
            text
        }
    };
    let reason = format!("it is not known what changed: {why}");
    Changed::Everything { reason }
}

struct Found {
    changes: Vec<Change>,
    base: String,
    head: String,
}

impl From<Found> for Changed {
    fn from(found: Found) -> Self {
        let Found { changes, base, head } = found;
        Self::These { changes, base, head }
    }
}

fn said(found: &Found, how: &str) -> String {
    let Found { changes, base, head } = found;
    let changes = match changes.len() {
        1 => "1 path differs".to_owned(),
        number => format!("{number} paths differ"),
    };
    // The first digits of a commit are enough for people.
    let short = |name: &str| match name {
        WORK_TREE => WORK_TREE.to_owned(),
        commit => commit.chars().take(12).collect(),
    };
    format!("Compared {} with {} {how}: {changes}", short(base), short(head))
}

/// The clone, if there is one that can be read. Whatever is wrong with it is a line in the log: GitHub is asked then.
struct Clone {
    git: Option<Git>,
    head: Option<String>,
}

impl Clone {
    fn read(root: &Path) -> Self {
        let git = read(Git::open(root)).flatten();
        let head = git.as_ref().and_then(|git| read(git.head()).flatten());
        Self { git, head }
    }

    /// None where it lacks something.
    fn compared(&self, base: &Base, head: &Head) -> Option<Found> {
        let git = self.git.as_ref()?;
        let base = self.base(base)?;
        let (changes, head) = match head {
            Head::WorkTree => (git.changes_of_work_tree(&base), WORK_TREE.to_owned()),
            Head::Commit(commit) => {
                let head = read(git.commit(commit))??;
                (git.changes(&base, &head), head)
            }
        };
        let changes = read(changes)?;
        Some(Found { changes, base, head })
    }

    fn base(&self, base: &Base) -> Option<String> {
        let git = self.git.as_ref()?;
        match base {
            Base::Commit(commit) => read(git.commit(commit)).flatten(),
            Base::MergeBase { branch, change } => read(git.merge_base(branch, change)).flatten(),
            Base::Named(name) => {
                let remote = format!("refs/remotes/origin/{name}");
                let found = [name, &remote].map(|name| read(git.commit(name)).flatten());
                found.into_iter().flatten().next()
            }
        }
    }
}

fn read<T>(answer: anyhow::Result<T>) -> Option<T> {
    let said = answer.inspect_err(|error| Report::detail(&format!("The clone cannot be read: {error:#}")));
    said.ok()
}

/// By GitHub, for what the clone does not have.
async fn asked(
    event: &Event,
    repository: &str,
    token: Option<&Secret>,
    clone: &Clone,
    base: &Base,
    head: String,
) -> anyhow::Result<(Found, &'static str)> {
    let url = event.api_url.as_deref().unwrap_or("https://api.github.com");
    let api = RepositoryApi::new(url, repository, token, Instant::now() + event.within)?;
    let base = match (clone.base(base), base) {
        (Some(commit), _) => commit,
        (None, Base::Commit(commit)) => commit.clone(),
        (None, Base::MergeBase { branch, change }) => api.merge_base(branch, change).await?,
        (None, Base::Named(name)) => api.commit(name).await?,
    };
    let trees = Trees {
        git: clone.git.as_ref(),
        api: &api,
    };
    let how = match (trees.has(&base), trees.has(&head)) {
        (false, false) => "by GitHub",
        _ => "by Git and GitHub",
    };
    let changes = trees.difference(&base, &head).await?;
    Ok((Found { changes, base, head }, how))
}
