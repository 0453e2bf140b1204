//! Waiting for the agent, with watches.

use std::time::{Duration, Instant};

use futures::StreamExt;

use super::Cluster;
use super::events::Change;
use super::given_up;
use crate::agent::start::{Patience, Sight, Step};
use crate::problem::Problem;

/// How often somebody who waits hears what for.
const HEARTBEAT: Duration = Duration::from_secs(15);

impl Cluster {
    /// Waits until a pod of the agent is ready, or until the cluster says that it will not be. `said` gets each step
    /// with the time it took, and while a step takes long, what it is at.
    pub async fn wait_ready(
        &self,
        name: &str,
        deadline: Instant,
        mut said: impl FnMut(&str),
    ) -> anyhow::Result<()> {
        let mut sight = Sight::default();
        let mut changes = self.changes(name);
        let mut steps = Step::ALL.into_iter().peekable();
        let mut since = Instant::now();
        let mut next_word = Instant::now() + HEARTBEAT;
        let mut patience = Patience::default();
        loop {
            while let Some(step) = steps.next_if(|s| sight.done(*s)) {
                said(&format!(
                    "{} ({:.1} s)",
                    step.name(),
                    since.elapsed().as_secs_f64()
                ));
                since = Instant::now();
            }
            let Some(step) = steps.peek() else {
                return Ok(());
            };
            let doubt = sight.doubt();
            let patience_ends = patience.ends(doubt.as_ref(), Instant::now());
            if let (Some(doubt), Some(ends)) = (&doubt, patience_ends)
                && ends <= Instant::now()
            {
                return Err(given_up::problem(&self.namespace, name, &doubt.why).into());
            }
            let wake = patience_ends.unwrap_or(deadline).min(next_word).min(deadline);
            tokio::select! {
                change = changes.next() => match change {
                    Some(change) => apply(&mut sight, change?, name),
                    None => anyhow::bail!("the watches on the agent {name} ended"),
                },
                () = tokio::time::sleep_until(wake.into()) => {
                    if Instant::now() >= deadline {
                        return Err(given_up::too_late(&self.namespace, name, *step, &sight).into());
                    }
                    if Instant::now() >= next_word {
                        let (latest, seconds) = (sight.latest(), since.elapsed().as_secs_f64());
                        said(&format!("waiting for: {} ({seconds:.0} s): {latest}", step.name()));
                        next_word += HEARTBEAT;
                    }
                }
            }
        }
    }
}

/// An agent that is not ready, as far as the cluster says at once.
#[derive(Debug)]
pub struct Glance {
    /// What it waits for.
    pub step: &'static str,
    /// The last thing heard about it.
    pub latest: String,
    /// What only somebody can mend, perhaps: `wait_ready` would have patience with it.
    pub doubt: Option<Problem>,
}

impl Cluster {
    /// Looks for a moment at an agent; `None` when it is ready.
    pub async fn glance(&self, name: &str, within: Duration) -> anyhow::Result<Option<Glance>> {
        let mut sight = Sight::default();
        let mut changes = self.changes(name);
        let deadline = Instant::now() + within;
        while let Ok(Some(change)) = tokio::time::timeout_at(deadline.into(), changes.next()).await {
            apply(&mut sight, change?, name);
        }
        let step = Step::ALL.into_iter().find(|step| !sight.done(*step));
        Ok(step.map(|step| Glance {
            step: step.name(),
            latest: sight.latest(),
            doubt: sight
                .doubt()
                .map(|doubt| given_up::problem(&self.namespace, name, &doubt.why)),
        }))
    }
}

/// Applies one change of the watches to what is known of the agent.
fn apply(sight: &mut Sight, change: Change, agent: &str) {
    match change {
        Change::PodsAnew => {
            sight.pods.clear();
            sight.trouble = None;
        }
        Change::Resumed => sight.trouble = None,
        Change::Trouble(error) => sight.trouble = Some(error),
        Change::Pod(pod) => sight.see(*pod),
        Change::PodGone(name) => {
            sight.pods.remove(&name);
        }
        Change::Claim(claim) => sight.claim = Some(claim),
        Change::ClaimGone => sight.claim = None,
        Change::Event(event) => sight.heard.hear(&event, agent),
    }
}
