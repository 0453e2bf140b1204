//! Selects the agent that builds for the job, for each architecture.

use super::agent::{self, AgentError};
use super::{ConnectedAgent, Job};
use crate::agent::group::Group;
use crate::agent::{Spec, routing};
use crate::cluster::{DaemonStatus, DiskUsage};
use crate::commands::agent_checks::{
    almost_full_remedy, check_native_arch, join_platforms, other_architecture,
};
use crate::error_code::ErrorCode;
use crate::github;
use crate::problem::Problem;
use crate::report::Report;

/// Returns the first agent, in the order of the cache key, whose BuildKit responds. Agents further down in that order
/// have less of the job's cache.
pub(super) async fn select_agent(job: Job, group: &Group) -> anyhow::Result<ConnectedAgent> {
    let job = &job;
    let order = routing::order(&job.key, group.agents.iter().collect(), |spec: &&Spec| &spec.name);
    let mut first_error: Option<Problem> = None;
    for spec in order {
        let ready = match first_error {
            None => agent::ensure_ready(job, spec).await,
            Some(_) => agent::use_existing(job, spec).await,
        };
        let native = |answer| check_native_arch(spec, group, answer).map_err(AgentError::Unavailable);
        match ready.and_then(native) {
            Ok(answer) => {
                log_connected(job, spec, &answer);
                if let Some(first_error) = first_error {
                    warn_cold_cache(job, spec, first_error);
                }
                return Ok(ConnectedAgent {
                    agent: spec.name.clone(),
                    platforms: group.platforms.clone(),
                    answer,
                });
            }
            Err(AgentError::Fatal(error)) => return Err(error),
            // The preferred agent's error is the one to correct.
            Err(AgentError::Unavailable(problem)) => {
                Report::detail(&format!(
                    "agent {} is unavailable: {}",
                    spec.name,
                    problem.code.title()
                ));
                first_error.get_or_insert(problem);
            }
        }
    }
    Err(no_agent_available(group, first_error).into())
}

/// Returns the error when no agent of a group is available: the error of the preferred agent.
fn no_agent_available(group: &Group, first_error: Option<Problem>) -> Problem {
    let problem =
        first_error.unwrap_or_else(|| Problem::new(ErrorCode::AgentNotFound, "No agent is configured.", ""));
    let others = match group.agents.len() {
        1 => String::new(),
        number => {
            format!(" None of the {number} agents is available; this is the error of the preferred agent.")
        }
    };
    let platforms = match &group.platforms[..] {
        [] => String::new(),
        platforms => format!(" So no agent can build {}.", join_platforms(platforms)),
    };
    let what = format!("{}{others}{platforms}", problem.what);
    Problem { what, ..problem }
}

fn log_connected(job: &Job, spec: &Spec, answer: &DaemonStatus) {
    job.report.done(&format!(
        "BuildKit {} responds in the pod {}: {}",
        answer.buildkit.version,
        answer.pod,
        answer.buildkit.platforms.join(", ")
    ));
    if let Some(disk) = answer.disk {
        log_disk(spec, disk);
    }
    if let Some(warning) = other_architecture(spec, answer) {
        github::warn(&warning);
    }
}

fn log_disk(spec: &Spec, disk: DiskUsage) {
    Report::detail(&format!("its volume: {disk}"));
    if let Some(warning) = volume_almost_full(spec, disk) {
        github::warn(&warning);
    }
}

/// Returns the warning of a cache volume that is almost full.
fn volume_almost_full(spec: &Spec, disk: DiskUsage) -> Option<Problem> {
    let remedy = almost_full_remedy(disk)?;
    let what = format!(
        "The cache volume of the agent {}/{} is almost full: {disk}.",
        spec.namespace, spec.name
    );
    Some(Problem::new(ErrorCode::VolumeAlmostFull, what, remedy))
}

/// Warns that another agent than the preferred one builds for this job, so most of its cache is missing.
fn warn_cold_cache(job: &Job, spec: &Spec, first_error: Problem) {
    github::warn(&preferred_agent_unavailable(&job.key, spec, first_error));
    Report::detail(&format!(
        "expect cache misses: it is not the preferred agent for the cache key {:?}",
        job.key
    ));
}

/// Returns the warning that an agent is used in place of the preferred one, with the error of that one.
fn preferred_agent_unavailable(key: &str, spec: &Spec, first_error: Problem) -> Problem {
    let what = format!(
        "Using the agent {}/{}, because the preferred agent for the cache key {key:?} is unavailable. Expect cache misses. \
         {}",
        spec.namespace, spec.name, first_error.what
    );
    Problem::new(ErrorCode::PreferredAgentUnavailable, what, first_error.remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_of_agents() {
        let spec = Spec::example();
        let disk = DiskUsage {
            used: 19 << 30,
            total: 20 << 30,
        };
        let full = volume_almost_full(&spec, disk).expect("95 % are used");
        let first_error = Problem::new(ErrorCode::AgentNotFound, "It does not exist.", "Deploy it.");
        let unavailable = preferred_agent_unavailable("acme/shop", &spec, first_error);
        insta::assert_snapshot!(format!("{full}\n\n{unavailable}"));
    }
}
