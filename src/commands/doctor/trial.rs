//! Runs a small build on an agent twice, to check that builds work and that the cache does.

use std::time::Duration;

use super::agents::Agent;
use super::{Doctor, plan};
use crate::buildx::{Builder, Node, TestBuild, TestBuildResult};
use crate::diagnosis::Finding;

impl Doctor {
    /// Runs the build twice.
    pub(super) async fn trial(&self, agent: &Agent) {
        let first = self
            .checks
            .run(&agent.check(plan::BUILD), self.build(agent))
            .await;
        if let Some(trial) = first {
            self.checks.run(&agent.check(plan::CACHE), again(&trial)).await;
        }
    }

    async fn build(&self, agent: &Agent) -> anyhow::Result<(Finding, TestBuild)> {
        let builder = Builder {
            name: self.job_state.builder.clone(),
            namespace: agent.spec.namespace.clone(),
            nodes: vec![Node {
                name: agent.spec.name.clone(),
                platforms: agent.group.platforms.clone(),
            }],
            timeout: BUILD_TIMEOUT,
        };
        let trial = TestBuild::prepare(&self.job_state.dir, &builder, &self.job_state.kubeconfig())?;
        bounded(&trial).await?;
        Ok((Finding::ok("built a file of a few bytes through buildx"), trial))
    }
}

async fn again(trial: &TestBuild) -> anyhow::Result<(Finding, ())> {
    let built = bounded(trial).await?;
    let finding = if built.cached {
        Finding::ok("the second, identical build came from the cache")
    } else {
        Finding::warning(
            "the second, identical build did not come from the cache",
            "Check whether the disk is full, so that garbage collection removed the layer at once, and whether the agent has several pods.",
        )
    };
    Ok((finding, ()))
}

/// How long a build may take. It normally takes a second or two.
const BUILD_TIMEOUT: Duration = Duration::from_secs(60);

async fn bounded(trial: &TestBuild) -> anyhow::Result<TestBuildResult> {
    let built = tokio::time::timeout(BUILD_TIMEOUT, trial.build()).await;
    built.unwrap_or_else(|_| {
        let seconds = BUILD_TIMEOUT.as_secs();
        Err(anyhow::anyhow!(
            "a build of a few bytes did not finish within {seconds} s"
        ))
    })
}
