//! Waits for an agent to become ready, by watches.

use std::time::{Duration, Instant};

use futures::StreamExt;

use super::Cluster;
use super::events::AgentUpdate;
use super::startup_failure::{startup_failure, startup_timed_out};
use crate::agent::startup::{GracePeriod, StartupState, StartupStep};
use crate::problem::Problem;

/// How often the log shows what the wait is for.
const HEARTBEAT: Duration = Duration::from_secs(15);

impl Cluster {
    /// Waits until a pod of the agent is ready, or until its startup has failed. Passes to `log` each step that is done,
    /// with its seconds, and at intervals the latest events while a step takes long.
    pub async fn wait_ready(
        &self,
        name: &str,
        deadline: Instant,
        mut log: impl FnMut(&str),
    ) -> anyhow::Result<()> {
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
                    None => anyhow::bail!("the watches on the agent {name} ended"),
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

/// How far an agent that is not ready has come.
#[derive(Debug)]
pub struct StartupStatus {
    /// The step that it waits for.
    pub step: &'static str,
    pub latest_events: String,
    /// The error with which `wait_ready` would end if the suspected failure lasts.
    pub failure: Option<Problem>,
}

impl Cluster {
    /// Returns how far an agent has come, by what the watches report within a short time; `None` when it is ready.
    pub async fn startup_status(
        &self,
        name: &str,
        within: Duration,
    ) -> anyhow::Result<Option<StartupStatus>> {
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
