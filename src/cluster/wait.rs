//! Waits until an agent is ready, with watches. Returns the error of an agent that does not become ready.

use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;

use super::Cluster;
use super::error::{ApiOperation, ClusterError};
use super::watch::AgentUpdate;
use crate::agent::startup::{
    FailureKind as StartupFailureKind, GracePeriod, StartupFailure, StartupState, StartupStep,
};
use crate::agent::state;
use crate::error_code::ErrorCode;
use crate::failure_kind::FailureKind;
use crate::problem::Problem;

/// The interval at which the log shows what the agent waits for.
const HEARTBEAT: Duration = Duration::from_secs(15);

impl Cluster {
    /// Waits until a pod of the agent is ready, or until its startup has failed. Passes each completed step with its
    /// duration to `log`, and the latest events at intervals while a step takes long.
    pub async fn wait_ready(
        &self,
        name: &str,
        deadline: Instant,
        mut log: impl FnMut(&str),
    ) -> Result<(), ClusterError> {
        let mut state = StartupState::default();
        let mut updates = self.watch_agent(name);
        let mut steps = StartupStep::ALL.into_iter().peekable();
        let mut since = Instant::now();
        let mut heartbeat = Instant::now() + HEARTBEAT;
        let mut grace_period = GracePeriod::default();
        loop {
            while let Some(step) = steps.next_if(|step| state.is_done(*step)) {
                log(&format!(
                    "{} ({:.1} s)",
                    step.name(),
                    since.elapsed().as_secs_f64()
                ));
                since = Instant::now();
            }
            let Some(step) = steps.peek() else {
                return Ok(());
            };
            let failure = state.suspected_failure();
            let grace_ends = grace_period.ends(failure.as_ref(), Instant::now());
            if let (Some(failure), Some(ends)) = (&failure, grace_ends)
                && ends <= Instant::now()
            {
                return Err(startup_failure(&self.namespace, name, failure).into());
            }
            let wake = grace_ends.unwrap_or(deadline).min(heartbeat).min(deadline);
            tokio::select! {
                update = updates.next() => match update {
                    Some(update) => apply(&mut state, update?, name),
                    None => return Err(anyhow::anyhow!("the watches on the agent {name} ended").into()),
                },
                () = tokio::time::sleep_until(wake.into()) => {
                    if Instant::now() >= deadline {
                        return Err(startup_timed_out(&self.namespace, name, *step, &state).into());
                    }
                    if Instant::now() >= heartbeat {
                        let (latest, seconds) = (state.latest_events(), since.elapsed().as_secs_f64());
                        log(&format!("waiting for: {} ({seconds:.0} s): {latest}", step.name()));
                        heartbeat += HEARTBEAT;
                    }
                }
            }
        }
    }
}

/// The progress of an agent that is not ready.
#[derive(Debug)]
pub struct StartupStatus {
    /// The next step to complete.
    pub step: &'static str,
    pub latest_events: String,
    /// The error with which `wait_ready` would end if the suspected failure lasts.
    pub failure: Option<Problem>,
}

impl Cluster {
    /// Returns the progress of an agent, from what the watches report in the time `within`. `None`: the agent is ready.
    pub async fn startup_status(
        &self,
        name: &str,
        within: Duration,
    ) -> Result<Option<StartupStatus>, ClusterError> {
        let mut state = StartupState::default();
        let mut updates = self.watch_agent(name);
        let deadline = Instant::now() + within;
        while let Ok(Some(update)) = tokio::time::timeout_at(deadline.into(), updates.next()).await {
            apply(&mut state, update?, name);
        }
        Ok(state.next_step().map(|step| StartupStatus {
            step: step.name(),
            latest_events: state.latest_events(),
            failure: state
                .suspected_failure()
                .map(|failure| startup_failure(&self.namespace, name, &failure)),
        }))
    }
}

/// Applies one update of the watches to the state of the agent.
fn apply(state: &mut StartupState, update: AgentUpdate, agent: &str) {
    match update {
        AgentUpdate::PodsReset => {
            state.pods.clear();
            state.api_error = None;
        }
        AgentUpdate::Reconnected => state.api_error = None,
        AgentUpdate::Disconnected(error) => state.api_error = Some(error),
        AgentUpdate::Pod(pod) => state.observe_pod(*pod),
        AgentUpdate::PodDeleted(name) => {
            state.pods.remove(&name);
        }
        AgentUpdate::Claim(claim) => state.claim = Some(claim),
        AgentUpdate::ClaimDeleted => state.claim = None,
        AgentUpdate::Event(event) => state.events.record(&event, agent),
    }
}

/// Why the wait for an agent ends although it is not ready.
#[derive(Debug)]
pub enum AgentGone {
    /// Its Deployment was deleted.
    Deleted,
    /// buildx cannot use its Deployment, for this reason: it has no pod, or no pod that buildx finds.
    Unusable(String),
    /// Its Deployment cannot be read, and a retry would fail as well: the cluster rejects the identity (401), or the
    /// credential plugin fails. A 403 does not count: an API server that has just started answers 403 until it has
    /// loaded its roles. If the permission is really lost, the watch on pods fails when it is resumed.
    Unreadable(ClusterError),
}

/// The poll interval. A watch is not possible: the *use* Role cannot watch Deployments.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

impl Cluster {
    /// Returns as soon as the agent cannot become ready any more. The watches do not report that: without a pod they
    /// are silent, and an open watch continues when the cluster does not accept the identity any more.
    pub async fn wait_until_gone(&self, name: &str) -> AgentGone {
        let (api, operation) = (self.api::<Deployment>(), ApiOperation::on::<Deployment>("get"));
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            match self.request_once(&operation, api.get_opt(name)).await {
                Ok(None) => return AgentGone::Deleted,
                Ok(Some(deployment)) => {
                    if let Err(why) = state::check_usable(&deployment) {
                        return AgentGone::Unusable(why.to_string());
                    }
                }
                Err(failed) if failed.kind == FailureKind::Permanent => {
                    return AgentGone::Unreadable(failed.error);
                }
                Err(failed) => tracing::debug!("cannot read the Deployment: {}", failed.error),
            }
        }
    }
}

/// Returns the error for an agent that cannot become ready.
pub fn startup_failure(namespace: &str, name: &str, failure: &StartupFailure) -> Problem {
    let code = match failure.kind {
        StartupFailureKind::Volume => ErrorCode::VolumeNotProvisioned,
        StartupFailureKind::PodCreation => ErrorCode::PodCreationDenied,
        StartupFailureKind::Unschedulable(_) => ErrorCode::Unschedulable,
        StartupFailureKind::ImagePull => ErrorCode::ImagePullFailed,
        StartupFailureKind::Mount => ErrorCode::MountFailed,
        StartupFailureKind::UserNamespaces => ErrorCode::NoUserNamespaces,
        StartupFailureKind::Container => ErrorCode::ContainerCreationFailed,
        StartupFailureKind::CrashLoop => ErrorCode::CrashLoop,
    };
    Problem::new(
        code,
        failure.description(namespace, name),
        failure.remedy(namespace, name),
    )
}

/// Returns the error for an agent that is not ready at the timeout and may still become ready. If a failure is
/// suspected, the error has the remedy of that failure.
pub(super) fn startup_timed_out(
    namespace: &str,
    name: &str,
    step: StartupStep,
    state: &StartupState,
) -> Problem {
    let predecessor = state.predecessor().map(|pod| {
        format!(
            "; its previous pod {pod} is terminating, which takes until the builds on it have ended, and at most \
             `drain-timeout`"
        )
    });
    let remedy = if let Some(failure) = state.suspected_failure() {
        failure.remedy(namespace, name)
    } else if predecessor.is_some() {
        "Raise `timeout`: the next pod starts when the previous one is gone.".into()
    } else if let Some(unschedulable) = state.unschedulable() {
        unschedulable.remedy_for(namespace, name)
    } else {
        match step {
            _ if state.is_pod_refused() => {
                "Check the quota of the namespace, and its label pod-security.kubernetes.io/enforce, which must be \
                 privileged: no pod could be created."
                    .into()
            }
            StartupStep::VolumeBound => {
                "Check that the StorageClass exists and its CSI driver runs (on EKS the add-on \
                 aws-ebs-csi-driver), and that a node has room for the pod."
                    .into()
            }
            StartupStep::ImagePulled | StartupStep::ContainerStarted | StartupStep::Ready => {
                format!("Raise `timeout`, or run kubectl -n {namespace} describe pod -l app={name}.")
            }
        }
    };
    let completed = step
        .previous()
        .map(|previous| format!(" Completed: {}.", previous.name()))
        .unwrap_or_default();
    let events = match state.notable_events() {
        Some(events) => format!(" Latest events: {}.", events.trim_end_matches('.')),
        // There may be none, or no permission to watch them.
        None => String::new(),
    };
    Problem::new(
        ErrorCode::AgentNotReady,
        format!(
            "Agent {namespace}/{name} was not ready within the timeout.{completed} Waiting for: {}{}.{events}",
            step.awaited(),
            predecessor.unwrap_or_default(),
        ),
        remedy,
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, metadata: &Value, message: &str) -> Pod {
        let mut metadata = metadata.clone();
        metadata["name"] = name.into();
        serde_json::from_value(json!({"metadata": metadata, "status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        ]}}))
        .expect("pod")
    }

    #[test]
    fn a_timeout_names_the_predecessor_that_drains() {
        let mut state = StartupState::default();
        let deleted = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        state.observe_pod(pod("a-1-1", &deleted, ""));
        state.observe_pod(pod(
            "a-1-2",
            &json!({}),
            "0/2 nodes are available: 2 Insufficient cpu.",
        ));
        let timeout = startup_timed_out("x", "a", StartupStep::VolumeBound, &state);
        let expected = "Agent x/a was not ready within the timeout. Waiting for: the volume to be bound; its previous pod \
                        a-1-1 is terminating, which takes until the builds on it have ended, and at most \
                        `drain-timeout`. Latest events: ";
        assert!(timeout.what.starts_with(expected), "{}", timeout.what);
        assert!(timeout.remedy.contains("Raise `timeout`"), "{}", timeout.remedy);
    }

    #[test]
    fn a_timeout_has_the_remedy_for_an_unschedulable_pod() {
        let mut state = StartupState::default();
        state.observe_pod(pod(
            "a-1-2",
            &json!({}),
            "0/2 nodes are available: 2 Insufficient cpu.",
        ));
        let timeout = startup_timed_out("x", "a", StartupStep::VolumeBound, &state);
        assert!(
            timeout.remedy.contains("other pods use the resources"),
            "{}",
            timeout.remedy
        );
    }

    /// The errors of all startup failures, as a user reads them.
    #[test]
    fn errors_of_startup() {
        let mut errors: Vec<String> = StartupFailure::examples("MESSAGE")
            .iter()
            .map(|failure| startup_failure("ci", "agent", failure).to_string())
            .collect();
        errors.dedup();
        for reason in [
            "2 node(s) didn't match Pod's node affinity/selector.",
            "2 node(s) had untolerated taint {dedicated: gpu}.",
            "2 node(s) didn't match PersistentVolume's node affinity.",
            "2 node(s) didn't find available persistent volumes to bind.",
            "2 Insufficient cpu. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
        ] {
            let mut state = StartupState::default();
            let message = format!("0/2 nodes are available: {reason}");
            state.observe_pod(pod("agent-1-1", &json!({}), &message));
            let event = json!({"metadata": {}, "involvedObject": {"kind": "Pod", "name": "agent-1-1"},
                "source": {"component": "default-scheduler"}, "reason": "FailedScheduling", "message": message});
            let event = serde_json::from_value(event).expect("an event");
            state.events.record(&event, "agent");
            let failure = state.suspected_failure().expect(reason);
            errors.push(startup_failure("ci", "agent", &failure).to_string());
        }
        let timed_out =
            |step, state: &StartupState| startup_timed_out("ci", "agent", step, state).to_string();
        let mut state = StartupState::default();
        errors.extend(StartupStep::ALL.map(|step| timed_out(step, &state)));
        state.observe_pod(pod(
            "agent-1-2",
            &json!({}),
            "0/2 nodes are available: 2 Insufficient cpu.",
        ));
        errors.push(timed_out(StartupStep::VolumeBound, &state));
        let deleted = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        state.observe_pod(pod("agent-1-1", &deleted, ""));
        errors.push(timed_out(StartupStep::VolumeBound, &state));
        insta::assert_snapshot!(errors.join("\n\n"));
    }
}
