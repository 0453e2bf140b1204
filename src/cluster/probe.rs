//! Probes the BuildKit daemon of an agent by exec, as every build does: its version and platforms, the usage of its
//! volume, and the latency of an exec.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Deserialize;

use super::Cluster;
use super::error::{ClusterAttemptError, ClusterError};
use super::exec::not_ready;
use crate::agent::state;
use crate::error_code::ErrorCode;
use crate::failure_kind::FailureKind;
use crate::problem::Problem;
use crate::retry::{self, AttemptError};

/// The result of a probe.
#[derive(Debug)]
pub struct DaemonStatus {
    /// The name of the daemon's pod.
    pub pod: String,
    pub buildkit: Buildkit,
    /// The usage of the volume; `None` if the pod has no volume, or its image has no `df`.
    pub disk: Option<DiskUsage>,
}

#[cfg(test)]
impl DaemonStatus {
    /// Returns a daemon of this version, for tests.
    pub fn example(version: &str) -> Self {
        Self {
            pod: "remote-buildkit-agent-7d4b9c-x2x8k".into(),
            buildkit: Buildkit {
                version: version.into(),
                platforms: vec!["linux/amd64".into(), "linux/386".into()],
            },
            disk: None,
        }
    }
}

/// The version and platforms of a BuildKit daemon.
#[derive(Debug, PartialEq, Eq)]
pub struct Buildkit {
    pub version: String,
    /// The platforms in docker's notation, such as `linux/amd64`; the native one is first.
    pub platforms: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WorkerInfo {
    platforms: Vec<WorkerPlatform>,
    #[serde(default)]
    buildkit_version: WorkerVersion,
}

#[derive(Deserialize)]
struct WorkerPlatform {
    os: String,
    architecture: String,
    #[serde(default)]
    variant: String,
}

#[derive(Deserialize, Default)]
struct WorkerVersion {
    #[serde(default)]
    version: String,
}

/// The pod and container of a daemon.
pub(super) struct Daemon {
    pub(super) pod: String,
    pub(super) container: String,
    /// The path at which the cache volume is mounted.
    cache: Option<String>,
}

const WORKERS: [&str; 5] = ["buildctl", "debug", "workers", "--format", "{{json .}}"];

/// The same command preceded by `df`, in one exec: the exec takes longer than either command.
const WORKERS_AND_DISK: &str =
    r#"df -Pk "$0" 2>/dev/null; exec buildctl debug workers --format '{{json .}}'"#;

/// The command for measuring the latency: the cheapest one that BuildKit's image and custom images have.
const NO_OP: [&str; 2] = ["buildctl", "--version"];

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

impl Cluster {
    /// Probes the daemon until it answers. The kubelet of a node that has just joined answers `tls: internal error`
    /// until its certificate is approved (docker/buildx#2668), and the pod may be replaced during the probe.
    pub async fn probe(&self, agent: &str) -> Result<DaemonStatus, ClusterError> {
        let answered = self.retrier.run(|| async {
            let answer =
                retry::with_timeout(ATTEMPT_TIMEOUT, FailureKind::NotReady, self.probe_once(agent)).await;
            answer.map_err(|failed| AttemptError {
                error: self.probe_error(agent, failed.error),
                ..failed
            })
        });
        answered.await
    }

    /// Adds a remedy to an error that has none.
    fn probe_error(&self, agent: &str, error: ClusterError) -> ClusterError {
        let error = match error {
            ClusterError::Other(error) => error,
            explained => return explained,
        };
        let namespace = &self.namespace;
        let problem = Problem::new(
            ErrorCode::BuildkitUnreachable,
            format!(
                "`{}` in the agent {namespace}/{agent} failed: {error:#}.",
                WORKERS.join(" ")
            ),
            format!(
                "Check the daemon's log (kubectl -n {namespace} logs deployment/{agent}), and that the API server can \
                 reach the node's kubelet."
            ),
        );
        problem.into()
    }

    /// Returns the pod in which the daemon runs now.
    pub(super) async fn daemon(&self, agent: &str) -> Result<Daemon, ClusterAttemptError> {
        let pods = self.pods(agent).await?;
        let gone = || not_ready(anyhow::anyhow!("its pod is no longer ready"));
        let pod = state::ready_pod(&pods).ok_or_else(gone)?;
        Ok(Daemon {
            pod: pod.metadata.name.clone().context("the pod has no name")?,
            container: state::main_container(pod)
                .context("its pod has no container")?
                .to_owned(),
            cache: state::cache_path(pod).map(str::to_owned),
        })
    }

    /// Runs a command that does nothing in the agent's pod `count` times, one after the other, and returns the
    /// durations.
    pub async fn round_trips(&self, agent: &str, count: usize) -> Result<Vec<Duration>, ClusterError> {
        let daemon = self.daemon(agent).await.map_err(|failed| failed.error)?;
        let mut durations = Vec::new();
        for _ in 0..count {
            let began = Instant::now();
            let exec = self.exec(&daemon.pod, &daemon.container, &NO_OP);
            let ran = retry::with_timeout(ATTEMPT_TIMEOUT, FailureKind::TimedOut, exec).await;
            ran.map_err(|failed| failed.error)?;
            durations.push(began.elapsed());
        }
        Ok(durations)
    }

    /// Probes the daemon once.
    async fn probe_once(&self, agent: &str) -> Result<DaemonStatus, ClusterAttemptError> {
        let Daemon {
            pod,
            container,
            cache,
        } = self.daemon(agent).await?;
        // A custom image may have no shell: then run only `buildctl`.
        let output = match cache {
            Some(path) => self
                .exec(&pod, &container, &["sh", "-c", WORKERS_AND_DISK, &path])
                .await
                .ok(),
            None => None,
        };
        let output = match output {
            Some(output) => output,
            None => self.exec(&pod, &container, &WORKERS).await?,
        };
        parse(pod, &output).map_err(not_ready)
    }
}

/// Parses the output of `df` and `buildctl debug workers` in a pod.
pub fn parse(pod: String, output: &[u8]) -> anyhow::Result<DaemonStatus> {
    let (df, workers) = split(output);
    Ok(DaemonStatus {
        pod,
        buildkit: buildkit(workers)?,
        disk: parse_df(&String::from_utf8_lossy(df)),
    })
}

/// Splits the output into the lines of `df` and the last line, which is the output of `buildctl`.
fn split(output: &[u8]) -> (&[u8], &[u8]) {
    let output = output.trim_ascii_end();
    let end = output.iter().rposition(|byte| *byte == b'\n');
    output.split_at(end.map_or(0, |end| end + 1))
}

/// Parses the output of `buildctl debug workers`.
fn buildkit(output: &[u8]) -> anyhow::Result<Buildkit> {
    let workers: Vec<WorkerInfo> =
        serde_json::from_slice(output).context("cannot parse the output of `buildctl debug workers`")?;
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

/// The usage of a file system, in bytes, as `df` reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsage {
    pub used: u64,
    pub total: u64,
}

/// The percentage above which the next build may fill the disk: garbage collection runs after a build.
const ALMOST_FULL: u64 = 90;

impl DiskUsage {
    /// Returns whether the next build may fill the disk.
    pub fn is_almost_full(self) -> bool {
        self.percent() > ALMOST_FULL
    }

    /// Returns the used part in percent.
    pub fn percent(self) -> u64 {
        // Rounded up, as df does.
        let percent = (u128::from(self.used) * 100).div_ceil(u128::from(self.total.max(1)));
        percent.try_into().unwrap_or(u64::MAX)
    }
}

impl std::fmt::Display for DiskUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let (used, total) = (gib(self.used), gib(self.total));
        write!(f, "{used:.1} of {total:.1} GiB used ({} %)", self.percent())
    }
}

/// Parses `df -Pk`, POSIX's format: a header, then name, 1024-blocks, used, available, capacity, mount point.
fn parse_df(df: &str) -> Option<DiskUsage> {
    let mut columns = df.lines().nth(1)?.split_whitespace().skip(1);
    let kib: u64 = columns.next()?.parse().ok()?;
    let used: u64 = columns.next()?.parse().ok()?;
    let free: u64 = columns.next()?.parse().ok()?;
    // Blocks reserved for root do not count, as in df's own percentage.
    let total = used.checked_add(free)?.checked_mul(1024)?;
    (kib > 0).then_some(DiskUsage {
        used: used * 1024,
        total,
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

    #[test]
    fn used_and_total_of_a_volume() {
        let df = "Filesystem     1024-blocks    Used Available Capacity Mounted on\n\
                  /dev/nvme1n1      51290592 1000000  50273208       2% /var/lib/buildkit\n";
        let found = parse_df(df).expect("a line");
        assert_eq!(found.used, 1_000_000 << 10);
        assert_eq!(found.total, 51_273_208 << 10);
        assert_eq!(found.percent(), 2);
        assert_eq!(parse_df("df: /x: No such file or directory\n"), None);
        let most = u64::MAX;
        assert_eq!(parse_df(&format!("x\n/dev/x 1 {most} 1\n")), None);
        let used = DiskUsage {
            used: most,
            total: most,
        };
        assert_eq!(used.percent(), 100);
    }

    #[test]
    fn error_of_a_daemon_that_does_not_respond() {
        let refused = anyhow::anyhow!("error: could not connect to buildkitd.sock: connection refused");
        let error =
            Cluster::with_example(|cluster| cluster.probe_error("agent", ClusterError::Other(refused)));
        insta::assert_snapshot!(anyhow::Error::from(error).to_string());
    }
}
