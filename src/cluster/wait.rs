//! Waiting for the agent, with watches.

use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Event;

use super::Cluster;
use super::events::Change;
use crate::agent::progress::{Hopeless, Sight, Step};
use crate::problem::Problem;

/// How often somebody who waits hears what for.
const HEARTBEAT: Duration = Duration::from_secs(15);

impl Cluster {
    /// Waits until a pod of the agent is ready. `said` gets each step with the time it took, and while
    /// a step takes long, what it is at.
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
            if let Some(hopeless) = sight.hopeless() {
                return Err(self.given_up(name, &hopeless).into());
            }
            let wake = next_word.min(deadline);
            tokio::select! {
                change = changes.next() => match change {
                    Some(change) => sight.take(change?, name),
                    None => anyhow::bail!("the watches on the agent {name} ended"),
                },
                () = tokio::time::sleep_until(wake.into()) => {
                    if Instant::now() >= deadline {
                        return Err(self.too_late(name, *step, &sight).into());
                    }
                    let latest = sight.latest();
                    said(&format!("waiting for: {} ({:.0} s): {latest}", step.name(), since.elapsed().as_secs_f64()));
                    next_word += HEARTBEAT;
                }
            }
        }
    }

    fn given_up(&self, name: &str, why: &Hopeless) -> Problem {
        let namespace = &self.namespace;
        let agent = format!("Waited for the agent {namespace}/{name}");
        match why {
            Hopeless::Image { image, message } => Problem::new(
                "Image not pulled",
                format!("{agent} and its node cannot pull the image {image}: {message}."),
                "Check the input `image`, and that the nodes may pull from that registry.",
            ),
            Hopeless::Crash { message } => Problem::new(
                "Agent keeps crashing",
                format!("{agent} and its container ends as soon as it starts: {message}."),
                format!("See kubectl -n {namespace} logs deployment/{name} --previous."),
            ),
            Hopeless::Container { reason, message } => Problem::new(
                "Agent's container not created",
                format!("{agent} and got {reason}: {message}."),
                format!("See kubectl -n {namespace} describe pod -l app={name}."),
            ),
        }
    }

    fn too_late(&self, name: &str, step: Step, sight: &Sight) -> Problem {
        let latest = sight.latest();
        Problem::new(
            "Agent not ready in time",
            format!(
                "Waited for the agent {}/{name} until the timeout, last for: {}; the last thing heard: {latest}.",
                self.namespace,
                step.name()
            ),
            match step {
                _ if sight.heard.contains_key("ReplicaSet") => {
                    "No pod could be made: see the namespace's quota, and its label pod-security.kubernetes.io/enforce, \
                     which has to be privileged."
                }
                Step::VolumeBound => {
                    "Check that the StorageClass exists and its CSI driver runs (on EKS the add-on \
                     aws-ebs-csi-driver), and that a node has room for the pod."
                }
                Step::ImagePulled | Step::ContainerStarted | Step::Ready => {
                    "Give it more `timeout`, or see kubectl describe pod for what it waits for."
                }
            },
        )
    }
}

impl Sight {
    fn take(&mut self, change: Change, agent: &str) {
        match change {
            Change::PodsAnew => self.pods.clear(),
            Change::Trouble(error) => {
                self.heard
                    .insert("API server".into(), format!("API server: {error}"));
            }
            Change::Pod(pod) => {
                if let Some(name) = pod.metadata.name.clone() {
                    self.pods.insert(name, *pod);
                }
            }
            Change::PodGone(name) => {
                self.pods.remove(&name);
            }
            Change::Claim(claim) => {
                let phase = claim.status.and_then(|s| s.phase);
                self.claim_bound = phase.as_deref() == Some("Bound");
            }
            Change::Event(event) => self.hear(&event, agent),
        }
    }

    /// Events of the namespace at large; those of the agent's own objects count.
    fn hear(&mut self, event: &Event, agent: &str) {
        let object = &event.involved_object;
        let name = object.name.as_deref().unwrap_or_default();
        let about_pod = object.kind.as_deref() == Some("Pod") && self.pods.contains_key(name);
        // A quota or a pod security level that forbids the pod is told of its ReplicaSet.
        let about_set =
            object.kind.as_deref() == Some("ReplicaSet") && name.starts_with(&format!("{agent}-"));
        if !about_pod && !about_set && name != agent {
            return;
        }
        let reason = event.reason.as_deref().unwrap_or_default();
        if about_pod && reason == "Pulled" {
            self.image_pulled = true;
        }
        // What goes well is of interest for the pod alone.
        if !about_pod && event.type_.as_deref() != Some("Warning") {
            return;
        }
        let message = event.message.as_deref().unwrap_or_default();
        let kind = object.kind.clone().unwrap_or_default();
        self.heard.insert(kind, format!("{reason}: {}", message.trim()));
    }
}
