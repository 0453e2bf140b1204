//! What says that an agent will not become ready, as far as its pod's way to a node goes.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::heard::{Word, newest};
use super::progress::Sight;
use super::scheduling::{self, Autoscaler, Refusal};
use super::verdict::{ClaimFault, Doubt, Hopeless};
use super::words::passes;

/// For what is final: a pod or a claim that has just been replaced is seen until its controller has done so.
pub(super) const MOMENT: Duration = Duration::from_secs(3);

/// For what may come a moment after the pod, such as an object applied next to the agent. Whoever tries again does so
/// ever more rarely: the kubelet of a mount after 31 s, of an image after 10 and 30 s, a ReplicaSet of its pod after 41 s.
/// So each of them has tried again, and failed.
pub(super) const SETTLING: Duration = Duration::from_secs(45);

/// For an autoscaler's word: cluster-autoscaler acts within 30 s, on large clusters 60 s, and Karpenter collects pods for
/// up to 10 s. Where one declines it is as long: another one may act, and there is no telling how many there are.
pub(super) const SILENCE: Duration = Duration::from_secs(90);

/// For a quota that other pods fill: a ReplicaSet's attempts come to 82 and 164 s.
const QUOTA: Duration = Duration::from_secs(180);

/// For the node that an agent had: a group replaces one in two or three minutes.
const RETURNING: Duration = Duration::from_secs(240);

/// For a taint without a name: a node that joins has its last one for a minute or two, until its drivers run.
const JOINING: Duration = Duration::from_secs(180);

impl Sight {
    pub fn doubt(&self) -> Option<Doubt> {
        self.claim_doubt().or_else(|| match self.pod() {
            None => self.creation_doubt(),
            Some(pod) => self.pod_doubt(pod),
        })
    }

    /// An agent that had a node may have lost it: a group replaces its node in two or three minutes, and says so in no
    /// event about the pod. A claim that may not be seen could be bound.
    fn may_have_had_a_node(&self, pod: &Pod) -> bool {
        let Some(claim) = &self.claim else {
            let volumes = pod.spec.as_ref().and_then(|s| s.volumes.as_ref());
            return volumes.is_some_and(|v| v.iter().any(|v| v.persistent_volume_claim.is_some()));
        };
        claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound")
    }

    /// A quota, Pod Security, an admission webhook, a service account that is not there. The controller tries on, ever
    /// more rarely. Settling: a namespace's default account is made a moment after it, and the event may be about a
    /// ReplicaSet of the same name that has been deleted since.
    fn creation_doubt(&self) -> Option<Doubt> {
        let word = newest(self.heard.of_kind("ReplicaSet"))?;
        if word.reason != "FailedCreate" || self.draining() || passes(&word.message) {
            return None;
        }
        let quota = word.message.contains("exceeded quota");
        let patience = if quota { QUOTA } else { SETTLING };
        Doubt::after(patience, Hopeless::Pod { event: word.text() })
    }

    fn pod_doubt(&self, pod: &Pod) -> Option<Doubt> {
        if let Some(message) = scheduling::refused(pod) {
            return self.node_doubt(pod, message);
        }
        self.node_says(pod)
    }

    fn node_doubt(&self, pod: &Pod, message: &str) -> Option<Doubt> {
        // It goes with the predecessor that uses it, and nobody makes it anew for this pod.
        if let Some(said) = scheduling::claim_goes(message) {
            let (event, fault) = (said.to_owned(), ClaimFault::Deleted);
            return Doubt::after(SETTLING, Hopeless::Claim { event, fault });
        }
        let refusal = Refusal::read(message)?;
        // A predecessor that drains has the volume and the room; and other pods end, too.
        if self.draining() || !refusal.lasting {
            return None;
        }
        // Who does not hear the scheduler, as without permission to see events, would hear no autoscaler either.
        self.words(pod).find(|w| w.reason == "FailedScheduling")?;
        let autoscaler = match Autoscaler::of(pod, self.words(pod)) {
            Autoscaler::Acts => return None,
            Autoscaler::Declines(word) if scheduling::comes_back(word) => return None,
            Autoscaler::Declines(word) => Some(format!("{}: {}", word.reporter, word.message)),
            Autoscaler::Silent => None,
        };
        let patience = match autoscaler {
            None if self.may_have_had_a_node(pod) => RETURNING,
            _ if refusal.unnamed_taint => JOINING,
            _ => SILENCE,
        };
        let message = message.to_owned();
        Doubt::after(
            patience,
            Hopeless::Node {
                message,
                refusal,
                autoscaler,
            },
        )
    }

    /// Why its pod has no node, as far as the scheduler says so.
    pub fn refusal(&self) -> Option<Refusal> {
        Refusal::read(scheduling::refused(self.pod()?)?)
    }

    pub(super) fn words<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = &'a Word> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        self.heard.about("Pod", name)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::super::heard::tests::event;
    use super::*;

    /// An agent `a` with a pod of this status.
    pub(in super::super) fn sight(status: Value) -> Sight {
        Sight {
            pods: [pod(
                "a-1-2",
                json!({"creationTimestamp": "2026-01-01T00:00:00Z"}),
                status,
            )]
            .into(),
            ..Sight::default()
        }
    }

    fn pod(name: &str, mut metadata: Value, status: Value) -> (String, Pod) {
        metadata["name"] = name.into();
        let pod = json!({
            "metadata": metadata, "status": status,
            "spec": {"schedulerName": "default-scheduler", "containers": [{"name": "buildkitd"}]}
        });
        (name.into(), serde_json::from_value(pod).expect("pod"))
    }

    fn draining() -> (String, Pod) {
        let metadata = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        pod("a-1-1", metadata, json!({}))
    }

    /// As the status says it and, to who may see events, the scheduler.
    pub(in super::super) fn unscheduled(message: &str) -> Sight {
        let mut sight = unheard(message);
        hear(
            &mut sight,
            ("Pod", "a-1-2"),
            "default-scheduler",
            "FailedScheduling",
            message,
        );
        sight
    }

    fn unheard(message: &str) -> Sight {
        sight(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        ]}))
    }

    pub(in super::super) fn container(state: Value) -> Sight {
        sight(json!({"containerStatuses": [{
            "name": "buildkitd", "image": "moby/buildkit:x", "imageID": "", "ready": false, "restartCount": 1,
            "state": state, "lastState": {}
        }]}))
    }

    pub(in super::super) fn waiting(reason: &str, message: &str) -> Sight {
        container(json!({"waiting": {"reason": reason, "message": message}}))
    }

    pub(in super::super) fn hear(
        sight: &mut Sight,
        object: (&str, &str),
        reporter: &str,
        reason: &str,
        message: &str,
    ) {
        sight.heard.hear(&event(object, reporter, reason, message), "a");
    }

    /// Which doubt there is, and its seconds.
    pub(in super::super) fn doubt(sight: &Sight) -> Option<(&'static str, u64)> {
        let Doubt { why, patience } = sight.doubt()?;
        let name = match why {
            Hopeless::Claim { .. } => "claim",
            Hopeless::Pod { .. } => "pod",
            Hopeless::Node { .. } => "node",
            Hopeless::Image { .. } => "image",
            Hopeless::Mount { .. } => "mount",
            Hopeless::UserNamespaces { .. } => "user namespaces",
            Hopeless::Container { .. } => "container",
            Hopeless::Crash { .. } => "crash",
        };
        Some((name, patience.as_secs()))
    }

    const SELECTOR: &str = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. no new claims \
        to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
    const FULL: &str = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No \
        preemption victims found for incoming pod.";

    const LARGE: &str = "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes \
        are available: 2 Preemption is not helpful for scheduling.";

    #[test]
    fn a_pod_without_a_node() {
        assert_eq!(doubt(&unscheduled(SELECTOR)), Some(("node", 90)));
        assert_eq!(doubt(&unscheduled(LARGE)), Some(("node", 90)));
        assert_eq!(doubt(&unscheduled(FULL)), None);
        let joining = "0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) didn't match Pod's node \
            affinity/selector.";
        assert_eq!(doubt(&unscheduled(joining)), Some(("node", 180)));
        let passing = "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found";
        assert_eq!(doubt(&unscheduled(passing)), None);
        let gated = sight(json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": ""}
        ]}));
        assert_eq!(doubt(&gated), None);
    }

    #[test]
    fn an_autoscaler_decides() {
        let pod = ("Pod", "a-1-2");
        let mut sight = unscheduled(SELECTOR);
        let no = "pod didn't trigger scale-up: 1 max node group size reached";
        hear(&mut sight, pod, "cluster-autoscaler", "NotTriggerScaleUp", no);
        assert_eq!(doubt(&sight), Some(("node", 90)));
        let Some(Hopeless::Node { autoscaler, .. }) = sight.doubt().map(|d| d.why) else {
            panic!("no doubt");
        };
        assert_eq!(autoscaler, Some(format!("cluster-autoscaler: {no}")));
        hear(
            &mut sight,
            pod,
            "karpenter",
            "Nominated",
            "Pod should schedule on: nodeclaim/x",
        );
        assert_eq!(doubt(&sight), None);
    }

    /// An autoscaler of another pod's is no autoscaler.
    #[test]
    fn words_about_another_pod_do_not_count() {
        let mut sight = unscheduled(SELECTOR);
        hear(&mut sight, ("Pod", "a-1-1"), "karpenter", "Nominated", "");
        assert_eq!(doubt(&sight), Some(("node", 90)));
    }

    #[test]
    fn an_autoscaler_that_comes_back_to_it_is_waited_for() {
        for (reporter, reason, message) in [
            (
                "cluster-autoscaler",
                "NotTriggerScaleUp",
                "pod didn't trigger scale-up: 1 in backoff after failed scale-up",
            ),
            (
                "karpenter",
                "FailedScheduling",
                "Failed to schedule pod, incompatible with nodepool \"x\", daemonset overhead={}, no instance type has \
                 the required offering, requirements=x, resources={}",
            ),
        ] {
            let mut sight = unscheduled(SELECTOR);
            hear(&mut sight, ("Pod", "a-1-2"), reporter, reason, message);
            assert_eq!(doubt(&sight), None, "{message}");
        }
    }

    /// As without permission to watch events.
    #[test]
    fn who_hears_no_autoscaler_waits() {
        assert_eq!(doubt(&unheard(SELECTOR)), None);
    }

    #[test]
    fn an_agent_that_had_a_node_waits_for_it() {
        let zone = "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity.";
        for message in [zone, SELECTOR] {
            let mut sight = unscheduled(message);
            assert_eq!(doubt(&sight), Some(("node", 90)));
            let bound = json!({"metadata": {"name": "a"}, "status": {"phase": "Bound"}});
            sight.claim = Some(Box::new(serde_json::from_value(bound).expect("claim")));
            assert_eq!(doubt(&sight), Some(("node", 240)));
            let pod = ("Pod", "a-1-2");
            hear(&mut sight, pod, "cluster-autoscaler", "NotTriggerScaleUp", "no");
            assert_eq!(doubt(&sight), Some(("node", 90)));
        }
    }

    #[test]
    fn a_claim_that_is_not_seen_may_be_bound() {
        let mut sight = unscheduled(SELECTOR);
        let pod = sight
            .pods
            .get_mut("a-1-2")
            .and_then(|p| p.spec.as_mut())
            .expect("spec");
        let volumes = json!([{"name": "cache", "persistentVolumeClaim": {"claimName": "b"}}]);
        pod.volumes = serde_json::from_value(volumes).expect("volumes");
        assert_eq!(doubt(&sight), Some(("node", 240)));
    }

    /// As after `destroy --volumes`, while the old pod drains, and when it has.
    #[test]
    fn a_claim_that_was_deleted() {
        for said in ["is being deleted", "not found"] {
            let text = format!("0/2 nodes are available: persistentvolumeclaim \"a\" {said}");
            let mut sight = unscheduled(&format!(
                "{text}. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
            ));
            sight.pods.extend([draining()]);
            let why = sight.doubt().map(|d| d.why);
            let fault = ClaimFault::Deleted;
            assert_eq!(why, Some(Hopeless::Claim { event: text, fault }));
        }
    }

    #[test]
    fn a_predecessor_that_drains_has_the_room() {
        let mut sight = unscheduled(LARGE);
        sight.pods.extend([draining()]);
        assert_eq!(doubt(&sight), None);
    }

    #[test]
    fn a_pod_that_may_not_be_made() {
        let refused = |message: &str| {
            let mut sight = Sight::default();
            let set = ("ReplicaSet", "a-1");
            hear(&mut sight, set, "replicaset-controller", "FailedCreate", message);
            sight
        };
        let account = refused(
            "Error creating: pods \"a-1-\" is forbidden: error looking up service account x/nobody: serviceaccount \
             \"nobody\" not found",
        );
        assert_eq!(doubt(&account), Some(("pod", 45)));
        let quota =
            refused("Error creating: pods \"a-1-2\" is forbidden: exceeded quota: none, limited: pods=0");
        assert_eq!(doubt(&quota), Some(("pod", 180)));
        let webhook =
            "Error creating: Internal error occurred: failed calling webhook \"x\": connection refused";
        assert_eq!(doubt(&refused(webhook)), None);
        // It has succeeded since.
        let mut made = refused("Error creating: pods \"a-1-2\" is forbidden: exceeded quota");
        made.pods = waiting("ContainerCreating", "").pods;
        assert_eq!(doubt(&made), None);
        let mut drained = refused("Error creating: pods \"a-1-2\" is forbidden: exceeded quota");
        drained.pods.extend([draining()]);
        assert_eq!(doubt(&drained), None);
    }
}
