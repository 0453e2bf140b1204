//! A tiny build on an agent, twice.

use std::time::Duration;

use super::agents::Agent;
use super::{Visit, plan};
use crate::buildx::{Builder, Built, Node, Trial};
use crate::diagnosis::Finding;

impl Visit {
    pub(super) async fn trial(&self, agent: &Agent) {
        let first = self
            .findings
            .look(&agent.check(plan::BUILD), self.build(agent))
            .await;
        if let Some(trial) = first {
            self.findings.look(&agent.check(plan::CACHE), again(&trial)).await;
        }
    }

    async fn build(&self, agent: &Agent) -> anyhow::Result<(Finding, Trial)> {
        let builder = Builder {
            name: self.selection.builder.clone(),
            namespace: agent.spec.namespace.clone(),
            nodes: vec![Node {
                name: agent.spec.name.clone(),
                platforms: agent.group.platforms.clone(),
            }],
            timeout: WITHIN,
        };
        let trial = Trial::prepare(&self.selection.folder, &builder, &self.selection.kubeconfig())?;
        bounded(&trial).await?;
        Ok((
            Finding::ok("a file of a few bytes was built, through buildx"),
            trial,
        ))
    }
}

async fn again(trial: &Trial) -> anyhow::Result<(Finding, ())> {
    let built = bounded(trial).await?;
    let finding = if built.cached {
        Finding::ok("the same build again came from the cache")
    } else {
        Finding::warning(
            "the same build again did not come from the cache",
            "See whether its disk is full, so that garbage collection took it at once, and whether there are several pods.",
        )
    };
    Ok((finding, ()))
}

/// A build of a few bytes is done in a second or two.
const WITHIN: Duration = Duration::from_secs(60);

async fn bounded(trial: &Trial) -> anyhow::Result<Built> {
    let built = tokio::time::timeout(WITHIN, trial.build()).await;
    built.unwrap_or_else(|_| {
        let seconds = WITHIN.as_secs();
        Err(anyhow::anyhow!(
            "a build of a few bytes was not done within {seconds} s"
        ))
    })
}
