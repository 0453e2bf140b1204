//! What says that an agent will not become ready, as far as its pod's way to a node goes.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::heard::{Word, newest};
use super::progress::Sight;
use super::scheduling::{self, Autoscaler, Refusal};
use super::verdict::{ClaimFault, Doubt, Hopeless};
use super::words::{denied, no_such_class, passes};

/// For what is final: a pod or a claim that has just been replaced is seen until its controller has done so.
pub(super) const MOMENT: Duration = Duration::from_secs(3);

/// For what comes a moment after the pod: an autoscaler's word (cluster-autoscaler looks every 10 s and means to act
/// within 30 s, Karpenter collects pods for up to 10 s), or an object applied next to the agent.
pub(super) const SETTLING: Duration = Duration::from_secs(30);

/// For room that other pods have: those that are ending leave within their grace period, 30 s by default.
const ROOM: Duration = Duration::from_secs(60);

impl Sight {
    pub fn doubt(&self) -> Option<Doubt> {
        self.claim_doubt().or_else(|| match self.pod() {
            None => self.creation_doubt(),
            Some(pod) => self.pod_doubt(pod),
        })
    }

    fn claim_doubt(&self) -> Option<Doubt> {
        let claim = self.claim.as_ref()?;
        let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref());
        let name = claim.metadata.name.as_deref()?;
        let words = self.heard.about("PersistentVolumeClaim", name);
        // Of the claim that there is: events of one that was deleted are kept under the same name.
        let word = newest(words.filter(|w| w.uid == claim.metadata.uid));
        let event = word.map(Word::text).unwrap_or_default();
        let message = word.map(|w| w.message.as_str()).unwrap_or_default();
        let (fault, patience) = match (phase?, word.map(|w| w.reason.as_str()).unwrap_or_default()) {
            ("Bound", _) => return None,
            ("Lost", _) => (ClaimFault::Lost, MOMENT),
            (_, "ProvisioningFailed") if no_such_class(message) => (ClaimFault::NoSuchClass, MOMENT),
            (_, "ProvisioningFailed") if denied(message) => (ClaimFault::Provisioning, SETTLING),
            (_, "FailedBinding") if message.contains("no storage class is set") => {
                (ClaimFault::NoDefaultClass, MOMENT)
            }
            _ => return None,
        };
        Doubt::after(patience, Hopeless::Claim { event, fault })
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
        let patience = if quota { ROOM } else { SETTLING };
        Doubt::after(patience, Hopeless::Pod { event: word.text() })
    }

    fn pod_doubt(&self, pod: &Pod) -> Option<Doubt> {
        if let Some(message) = scheduling::refused(pod) {
            return self.node_doubt(pod, message);
        }
        self.node_says(pod)
    }

    fn node_doubt(&self, pod: &Pod, message: &str) -> Option<Doubt> {
        // Who may not see events cannot tell whether an autoscaler acts. A predecessor that drains has the volume and
        // the room.
        if self.deaf || self.draining() {
            return None;
        }
        let refusal = Refusal::read(message)?;
        let autoscaler = Autoscaler::of(pod, self.words(pod));
        let settling = if refusal.lasting { SETTLING } else { ROOM };
        let (patience, autoscaler) = match autoscaler {
            Autoscaler::Acts => return None,
            // Still some time for another autoscaler.
            Autoscaler::Declines(word) => {
                (settling / 2, Some(format!("{}: {}", word.reporter, word.message)))
            }
            Autoscaler::Silent => (settling, None),
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
    pub(in crate::agent::start) fn sight(status: Value) -> Sight {
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

    fn unscheduled(message: &str) -> Sight {
        sight(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        ]}))
    }

    pub(in crate::agent::start) fn container(state: Value) -> Sight {
        sight(json!({"containerStatuses": [{
            "name": "buildkitd", "image": "moby/buildkit:x", "imageID": "", "ready": false, "restartCount": 1,
            "state": state, "lastState": {}
        }]}))
    }

    pub(in crate::agent::start) fn waiting(reason: &str, message: &str) -> Sight {
        container(json!({"waiting": {"reason": reason, "message": message}}))
    }

    pub(in crate::agent::start) fn hear(
        sight: &mut Sight,
        object: (&str, &str),
        reporter: &str,
        reason: &str,
        message: &str,
    ) {
        sight.heard.hear(&event(object, reporter, reason, message), "a");
    }

    /// Which doubt there is, and its seconds.
    pub(in crate::agent::start) fn doubt(sight: &Sight) -> Option<(&'static str, u64)> {
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

    #[test]
    fn a_pod_without_a_node() {
        assert_eq!(doubt(&unscheduled(SELECTOR)), Some(("node", 30)));
        assert_eq!(doubt(&unscheduled(FULL)), Some(("node", 60)));
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
        hear(&mut sight, pod, "default-scheduler", "FailedScheduling", SELECTOR);
        assert_eq!(doubt(&sight), Some(("node", 30)));
        let no = "pod didn't trigger scale-up: 1 max node group size reached";
        hear(&mut sight, pod, "cluster-autoscaler", "NotTriggerScaleUp", no);
        assert_eq!(doubt(&sight), Some(("node", 15)));
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
        assert_eq!(doubt(&sight), Some(("node", 30)));
    }

    #[test]
    fn who_hears_no_autoscaler_waits() {
        let mut sight = unscheduled(SELECTOR);
        sight.deaf = true;
        assert_eq!(doubt(&sight), None);
    }

    #[test]
    fn a_predecessor_that_drains_has_the_room() {
        let mut sight = unscheduled(FULL);
        sight.pods.extend([draining()]);
        assert_eq!(doubt(&sight), None);
    }

    fn claim(phase: &str, reason: &str, message: &str) -> Sight {
        let mut sight =
            unscheduled("0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.");
        let claim = json!({"metadata": {"name": "a", "uid": "uid-a"}, "status": {"phase": phase}});
        sight.claim = Some(Box::new(serde_json::from_value(claim).expect("claim")));
        let object = ("PersistentVolumeClaim", "a");
        hear(&mut sight, object, "persistentvolume-controller", reason, message);
        sight
    }

    fn fault(sight: &Sight) -> Option<ClaimFault> {
        match sight.doubt()?.why {
            Hopeless::Claim { fault, .. } => Some(fault),
            _ => None,
        }
    }

    #[test]
    fn a_claim_without_a_volume() {
        let tape = "storageclass.storage.k8s.io \"tape\" not found";
        let none = "no persistent volumes available for this claim and no storage class is set";
        let of = |reason, message| fault(&claim("Pending", reason, message));
        assert_eq!(of("ProvisioningFailed", tape), Some(ClaimFault::NoSuchClass));
        assert_eq!(of("FailedBinding", none), Some(ClaimFault::NoDefaultClass));
        let denied =
            "rpc error: code = Internal desc = Could not create volume: api error UnauthorizedOperation";
        assert_eq!(of("ProvisioningFailed", denied), Some(ClaimFault::Provisioning));
        let slow = "rpc error: code = DeadlineExceeded desc = context deadline exceeded";
        assert_eq!(of("ProvisioningFailed", slow), None);
        let waits = "Waiting for a volume to be created either by the external provisioner 'ebs.csi.aws.com'";
        assert_eq!(of("ExternalProvisioning", waits), None);
        assert_eq!(fault(&claim("Bound", "FailedBinding", none)), None);
        assert_eq!(fault(&claim("Lost", "ClaimLost", "")), Some(ClaimFault::Lost));
    }

    #[test]
    fn events_of_a_claim_that_was_deleted_do_not_count() {
        let mut sight = claim(
            "Pending",
            "ProvisioningFailed",
            "storageclass.storage.k8s.io \"t\" not found",
        );
        let claim = sight.claim.as_mut().expect("claim");
        claim.metadata.uid = Some("another".into());
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
        assert_eq!(doubt(&account), Some(("pod", 30)));
        let quota =
            refused("Error creating: pods \"a-1-2\" is forbidden: exceeded quota: none, limited: pods=0");
        assert_eq!(doubt(&quota), Some(("pod", 60)));
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
