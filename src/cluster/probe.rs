//! Does BuildKit answer, through the same exec that every build will use?

use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;

use super::Cluster;
use super::disk::{self, Use};
use super::refusal::Unauthorized;
use crate::agent::state;
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::retry::{self, AttemptError, FailureKind};

/// A daemon that answers.
#[derive(Debug)]
pub struct Answer {
    /// Name of the pod it is in.
    pub pod: String,
    pub buildkit: Buildkit,
    /// Of its volume; `None` when it has none, or no `df` to ask.
    pub disk: Option<Use>,
}

/// What a daemon says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Buildkit {
    pub version: String,
    /// As docker writes them, `linux/amd64`, the native one first.
    pub platforms: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Worker {
    platforms: Vec<Platform>,
    #[serde(default)]
    buildkit_version: Version,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    #[serde(default)]
    variant: String,
}

#[derive(Deserialize, Default)]
struct Version {
    #[serde(default)]
    version: String,
}

/// Where a daemon is.
pub(super) struct Daemon {
    pub(super) pod: String,
    pub(super) container: String,
    /// Where its volume is mounted.
    cache: Option<String>,
}

const COMMAND: [&str; 5] = ["buildctl", "debug", "workers", "--format", "{{json .}}"];

/// The same, and how full the volume is: an exec takes longer than either.
const WITH_DISK: &str = r#"df -Pk "$0" 2>/dev/null; exec buildctl debug workers --format '{{json .}}'"#;

pub(super) const ATTEMPT_WITHIN: Duration = Duration::from_secs(15);

impl Cluster {
    /// Asks until there is an answer: the kubelet of a node that just joined answers `tls: internal error` until its
    /// certificate is approved (docker/buildx#2668), and a pod may go while we look, for another one to come.
    pub async fn probe(&self, agent: &str) -> anyhow::Result<Answer> {
        let answered = self.retrier.run(|| async {
            let answer =
                retry::with_timeout(ATTEMPT_WITHIN, FailureKind::NotReady, self.ask_daemon(agent)).await;
            answer.map_err(|failed| self.not_answered(agent, failed))
        });
        answered.await
    }

    fn not_answered(&self, agent: &str, failed: AttemptError) -> AttemptError {
        let AttemptError {
            kind,
            retry_after,
            error,
        } = failed;
        if error.is::<Problem>() || error.is::<Unauthorized>() {
            return AttemptError {
                kind,
                retry_after,
                error,
            };
        }
        let namespace = &self.namespace;
        let problem = Problem::new(
            ErrorCode::BuildkitUnreachable,
            format!(
                "Ran `{}` in the agent {namespace}/{agent} by exec and got: {error:#}.",
                COMMAND.join(" ")
            ),
            format!(
                "See kubectl -n {namespace} logs deployment/{agent}, and whether the API server reaches that node's \
                 kubelet."
            ),
        );
        AttemptError {
            error: problem.into(),
            kind,
            retry_after,
        }
    }

    /// Where the daemon is, now.
    pub(super) async fn daemon(&self, agent: &str) -> Result<Daemon, AttemptError> {
        let pods = self.pods(agent).await?;
        let gone = || {
            AttemptError::new(
                FailureKind::NotReady,
                anyhow::anyhow!("its pod is not ready any more"),
            )
        };
        let pod = state::ready_pod(&pods).ok_or_else(gone)?;
        Ok(Daemon {
            pod: pod.metadata.name.clone().context("a pod without a name")?,
            container: state::main_container(pod)
                .context("its pod has no container")?
                .to_owned(),
            cache: state::cache_path(pod).map(str::to_owned),
        })
    }

    async fn ask_daemon(&self, agent: &str) -> Result<Answer, AttemptError> {
        let Daemon {
            pod,
            container,
            cache,
        } = self.daemon(agent).await?;
        // An image without a shell, as an agent made by hand may have, is asked the one question alone.
        let output = match cache {
            Some(path) => self
                .exec(&pod, &container, &["sh", "-c", WITH_DISK, &path])
                .await
                .ok(),
            None => None,
        };
        let output = match output {
            Some(output) => output,
            None => self.exec(&pod, &container, &COMMAND).await?,
        };
        read(pod, &output).map_err(|error| AttemptError::new(FailureKind::NotReady, error))
    }
}

/// What the commands printed in a pod.
pub fn read(pod: String, output: &[u8]) -> anyhow::Result<Answer> {
    let (disk, workers) = split(output);
    Ok(Answer {
        pod,
        buildkit: buildkit(workers)?,
        disk: disk::read(&String::from_utf8_lossy(disk)),
    })
}

/// What df printed, and what buildctl did: its line is the last.
fn split(output: &[u8]) -> (&[u8], &[u8]) {
    let output = output.trim_ascii_end();
    let end = output.iter().rposition(|byte| *byte == b'\n');
    output.split_at(end.map_or(0, |end| end + 1))
}

fn buildkit(output: &[u8]) -> anyhow::Result<Buildkit> {
    let workers: Vec<Worker> =
        serde_json::from_slice(output).context("reading what `buildctl debug workers` printed")?;
    let worker = workers.first().context("buildkitd has no worker")?;
    let platforms = worker.platforms.iter().map(|p| {
        let variant = if p.variant.is_empty() { "" } else { "/" };
        format!("{}/{}{variant}{}", p.os, p.architecture, p.variant)
    });
    Ok(Buildkit {
        version: worker.buildkit_version.version.clone(),
        platforms: platforms.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_platforms_of_a_worker() {
        let output = br#"[{"id":"x","labels":{},"platforms":[{"architecture":"amd64","os":"linux"},
            {"architecture":"arm","os":"linux","variant":"v7"}],
            "buildkitVersion":{"package":"github.com/moby/buildkit","version":"v0.34.2","revision":""}}]"#;
        let expected = Buildkit {
            version: "v0.34.2".into(),
            platforms: vec!["linux/amd64".into(), "linux/arm/v7".into()],
        };
        assert_eq!(buildkit(output).expect("workers"), expected);
        assert_eq!(split(b"[]\n"), (&b""[..], &b"[]"[..]));
        assert_eq!(split(b"a\nb\n[]\n"), (&b"a\nb\n"[..], &b"[]"[..]));
        assert!(buildkit(b"[]").is_err());
        assert!(buildkit(b"error: no socket").is_err());
    }
}
