//! Runs a small build on the agent twice, to check that builds work and that the cache does.

use std::time::Duration;

use super::super::Doctor;
use super::super::agents::Agent;
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::buildx::{Builder, Node, TestBuild, TestBuildResult};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

pub const CHECK: Check = Check {
    applies: |scope| scope.full,
    ..Check::new("build", CheckGroup::Agent)
};

pub const CACHE_CHECK: Check = Check {
    applies: |scope| scope.full,
    ..Check::new("cache", CheckGroup::Agent)
};

/// How long a build may take. It normally takes a second or two.
const BUILD_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the first build. Returns it for [`run_again`].
pub async fn run(doctor: &Doctor, agent: &Agent) -> anyhow::Result<(Finding, TestBuild)> {
    let job_state = &doctor.job_state;
    let builder = Builder {
        name: job_state.builder.clone(),
        namespace: agent.spec.namespace.clone(),
        nodes: vec![Node {
            name: agent.spec.name.clone(),
            platforms: agent.group.platforms.clone(),
        }],
        timeout: BUILD_TIMEOUT,
    };
    let build = TestBuild::prepare(&job_state.dir, &builder, &job_state.kubeconfig())?;
    build_with_timeout(&build).await?;
    Ok((evaluate(), build))
}

/// Returns the finding for a build that succeeded.
pub fn evaluate() -> Finding {
    Finding::ok("built an image of a few bytes with buildx")
}

/// Runs the same build again.
pub async fn run_again(build: &TestBuild) -> anyhow::Result<(Finding, ())> {
    let result = build_with_timeout(build).await?;
    Ok((evaluate_cache(result.cached), ()))
}

/// Returns the finding for the second build. `cached` says whether it came from the cache.
pub fn evaluate_cache(cached: bool) -> Finding {
    if cached {
        return Finding::ok("the second, identical build came from the cache");
    }
    Finding::warning(
        "the second, identical build did not come from the cache",
        "Check whether the disk is full, so that garbage collection removed the layer at once, and whether the agent has \
         several pods.",
    )
}

async fn build_with_timeout(build: &TestBuild) -> anyhow::Result<TestBuildResult> {
    let result = tokio::time::timeout(BUILD_TIMEOUT, build.build()).await;
    result.unwrap_or_else(|_| {
        let seconds = BUILD_TIMEOUT.as_secs();
        let problem = Problem::new(
            ErrorCode::TestBuildFailed,
            format!("The build of a few bytes did not finish within {seconds} s."),
            "Check the agent's log, and the proxy variables of this runner: the checks above passed, so the problem is \
             between buildx and the daemon.",
        );
        Err(problem.into())
    })
}
