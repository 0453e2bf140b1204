//! Why a pod gets no node: the message of the scheduler, and the decisions of autoscalers.
//!
//! The messages are those of `pkg/scheduler/framework` in Kubernetes 1.34 and, where they changed, of earlier versions:
//! `FitError.Error` joins them, one for each reason for which nodes are rejected.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;

use super::events::{AgentEvent, newest};
use super::remedy;

/// A property of a pod or of the cluster that keeps the pod from all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnschedulableCause {
    /// A node selector or affinity that the nodes do not match.
    NodeSelector,
    Taint,
    /// The volume is in a zone without these nodes; an EBS volume is in one zone.
    VolumeZone,
    /// The volume cannot be provisioned for these nodes, or no longer exists.
    Volume,
    /// Other pods use the resources, or no node is as large as the pod.
    Resources,
    /// The cluster has no node.
    NoNodes,
}

/// The table of the scheduler's messages. Transient ones are not in it: they are waited for.
const MESSAGES: [(&str, UnschedulableCause); 15] = [
    (
        "didn't match Pod's node affinity/selector",
        UnschedulableCause::NodeSelector,
    ),
    (
        "didn't match scheduler-enforced node affinity",
        UnschedulableCause::NodeSelector,
    ),
    (
        "didn't match the requested node name",
        UnschedulableCause::NodeSelector,
    ),
    ("pod affinity terms conflict", UnschedulableCause::NodeSelector),
    ("had untolerated taint", UnschedulableCause::Taint),
    (
        "didn't match PersistentVolume's node affinity",
        UnschedulableCause::VolumeZone,
    ),
    // The same before 1.34.
    (
        "had volume node affinity conflict",
        UnschedulableCause::VolumeZone,
    ),
    ("had no available volume zone", UnschedulableCause::VolumeZone),
    (
        "didn't find available persistent volumes to bind",
        UnschedulableCause::Volume,
    ),
    ("did not have enough free storage", UnschedulableCause::Volume),
    ("bound to non-existent", UnschedulableCause::Volume),
    ("\" not found", UnschedulableCause::Volume),
    ("Insufficient ", UnschedulableCause::Resources),
    ("Too many pods", UnschedulableCause::Resources),
    ("no nodes available to schedule pods", UnschedulableCause::NoNodes),
];

impl UnschedulableCause {
    /// Returns what the user can do, with the placeholders of [`StartupFailure`](super::StartupFailure).
    fn remedy(self, permanent: bool) -> &'static str {
        match self {
            Self::NodeSelector => {
                "Correct the input `node-selector` (kubectl get nodes --show-labels), or add a node with these labels; \
                 each of `platforms` needs nodes of its architecture."
            }
            Self::Taint => {
                "Set the input `tolerations` for the taints of the nodes that should run the agent (kubectl describe \
                 nodes)."
            }
            Self::VolumeZone => {
                "Add a node in the zone of the volume with the cache, or correct `node-selector`: none of the nodes \
                 that the pod may use can attach the volume. Or give up the cache: {delete}."
            }
            Self::Volume => {
                "Run kubectl -n {namespace} describe pvc, and check the StorageClass: no node can get that volume."
            }
            Self::Resources if permanent => {
                "Lower the inputs `cpu` and `memory`, or add a larger node: no node is large enough."
            }
            Self::Resources => {
                "Lower the inputs `cpu` and `memory`, or add a node: other pods use the resources."
            }
            Self::NoNodes => "Add a node: the cluster has none.",
        }
    }
}

/// Taints that nodes and controllers set and remove themselves, as on a node that has just joined.
const TRANSIENT_TAINTS: [&str; 6] = [
    "{node.kubernetes.io/",
    "{node.cloudprovider.kubernetes.io/",
    "/agent-not-ready",
    "{karpenter.sh/",
    "OfClusterAutoscaler",
    "ByClusterAutoscaler",
];

/// All that a scheduler from 1.34 on reports about taints (`tainttoleration`): they may be transient.
const UNNAMED_TAINT: &str = "untolerated taint(s)";

/// What the scheduler reports about a claim that the pod needs (`volumebinding`); the first, while another pod uses it.
const CLAIM_DELETED: [&str; 2] = ["is being deleted", "not found"];

/// Why a pod has no node.
#[derive(Debug, PartialEq, Eq)]
pub struct Unschedulable {
    pub causes: BTreeSet<UnschedulableCause>,
    /// Whether the pod stays unschedulable when other pods end.
    pub permanent: bool,
    /// Whether a node has a taint that the scheduler does not name.
    pub unnamed_taint: bool,
}

impl Unschedulable {
    /// Parses the scheduler's message; `None` if a node is rejected for a transient or unknown reason.
    pub fn parse(message: &str) -> Option<Self> {
        let (reasons, preemption) = match message.split_once("preemption: ") {
            Some((reasons, preemption)) => (reasons, preemption),
            None => (message, ""),
        };
        let (nodes, reasons) = match reasons.split_once(" nodes are available:") {
            Some((nodes, reasons)) => (nodes, reasons),
            None => ("", reasons),
        };
        if nodes == "0/0" {
            return Some(Self {
                causes: [UnschedulableCause::NoNodes].into(),
                permanent: true,
                unnamed_taint: false,
            });
        }
        // The sentences after the first are about preemption, too.
        let causes = first_sentence(reasons).split(", ").map(cause);
        let causes: BTreeSet<UnschedulableCause> = causes.collect::<Option<_>>()?;
        // The scheduler checks whether a node would fit without the pods on it. Preemption does not help where the node is
        // too small as well: only from 1.31 does the scheduler report that for resources, before it looks for victims.
        let (_, all) = nodes.split_once('/').unwrap_or_default();
        let cannot_preempt =
            preemption.contains(&format!(": {all} Preemption is not helpful for scheduling"));
        let permanent = !causes.contains(&UnschedulableCause::Resources) || cannot_preempt;
        Some(Self {
            causes,
            permanent,
            unnamed_taint: reasons.contains(UNNAMED_TAINT),
        })
    }

    /// Returns what the user can do, a sentence for each cause, with placeholders.
    pub(super) fn remedy(&self) -> String {
        let remedies = self.causes.iter().map(|cause| cause.remedy(self.permanent));
        remedies.collect::<Vec<_>>().join(" ")
    }

    /// Returns what the user can do, for the agent of this namespace and name.
    pub fn remedy_for(&self, namespace: &str, name: &str) -> String {
        remedy::render(&self.remedy(), namespace, name)
    }
}

/// Returns the first sentence of the scheduler's message; the following ones are about preemption.
pub(super) fn first_sentence(message: &str) -> &str {
    let first = message.trim().split(". ").next().unwrap_or_default();
    first.trim_end_matches('.')
}

/// Matches a claim of the pod that is deleted, or is being deleted.
pub(super) fn is_claim_deleted(message: &str) -> bool {
    let claim = first_sentence(message).split_once("persistentvolumeclaim \"");
    claim.is_some_and(|(_, status)| CLAIM_DELETED.iter().any(|pattern| status.contains(pattern)))
}

/// Returns the cause of one reason of the message.
fn cause(reason: &str) -> Option<UnschedulableCause> {
    let (_, cause) = MESSAGES.iter().find(|(pattern, _)| reason.contains(pattern))?;
    let transient = TRANSIENT_TAINTS.iter().any(|taint| reason.contains(taint));
    (!transient).then_some(*cause)
}

/// Returns the scheduler's last message about a pod without a node. It is in the status of the pod as well as in an
/// event, so a job that can watch pods only still gets it. `None` for a pod that preempts others: it gets their resources.
pub(super) fn unschedulable_message(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.as_ref()?.iter();
    let condition = conditions
        .filter(|c| c.type_ == "PodScheduled" && c.status == "False")
        .find(|c| c.reason.as_deref() == Some("Unschedulable"))?;
    status.nominated_node_name.is_none().then_some(())?;
    condition.message.as_deref()
}

/// What the autoscalers of the cluster do about a pod without a node.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AutoscalerDecision<'a> {
    /// At least one adds a node.
    ScalesUp,
    /// At least one will not, and no other adds a node.
    Declines(&'a AgentEvent),
    /// None has reported anything.
    Unknown,
}

impl<'a> AutoscalerDecision<'a> {
    /// Returns the decision from the events about the pod. There may be two autoscalers, each with its own nodes; the
    /// newest event of each counts, because both reconsider a pod and may decide otherwise.
    pub(super) fn of(pod: &Pod, events: impl Iterator<Item = &'a AgentEvent>) -> Self {
        let scheduler = pod.spec.as_ref().and_then(|s| s.scheduler_name.as_deref());
        let scheduler = scheduler.unwrap_or("default-scheduler");
        let mut by_reporter: BTreeMap<&str, Vec<&AgentEvent>> = BTreeMap::new();
        for event in events.filter(|event| scales_up(event).is_some() && event.reporter != scheduler) {
            by_reporter.entry(&event.reporter).or_default().push(event);
        }
        let newest_of_each: Vec<&AgentEvent> = by_reporter
            .into_values()
            .filter_map(|events| newest(events.into_iter()))
            .collect();
        if newest_of_each.iter().any(|event| scales_up(event) == Some(true)) {
            return Self::ScalesUp;
        }
        newest(newest_of_each.into_iter()).map_or(Self::Unknown, Self::Declines)
    }
}

/// Returns whether an autoscaler declines for a transient reason. For a while, cluster-autoscaler skips a node group after
/// a failure, and Karpenter skips an offering for which EC2 had no capacity.
pub(super) fn will_retry(event: &AgentEvent) -> bool {
    let patterns = [
        "in backoff",
        "has the required offering",
        "had enough resources, had a required offering",
    ];
    patterns.iter().any(|pattern| event.message.contains(pattern))
}

/// Returns whether an autoscaler adds a node; `None` for other events. cluster-autoscaler reports the first and the
/// third reason; Karpenter and EKS Auto Mode (as `eks-auto-mode/compute`) report the second and the fourth.
fn scales_up(event: &AgentEvent) -> Option<bool> {
    match event.reason.as_str() {
        "TriggeredScaleUp" | "Nominated" => Some(true),
        "NotTriggerScaleUp" | "FailedScheduling" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::events::{EventLog, tests::event};
    use super::*;

    /// Returns the causes, and whether they are permanent.
    fn parse(message: &str) -> Option<(Vec<UnschedulableCause>, bool)> {
        let unschedulable = Unschedulable::parse(message)?;
        Some((
            unschedulable.causes.into_iter().collect(),
            unschedulable.permanent,
        ))
    }

    #[test]
    fn permanent_causes() {
        for (message, causes) in [
            // Of Kubernetes 1.34 in the lab.
            (
                "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. no new claims to \
                 deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
                &[UnschedulableCause::NodeSelector][..],
            ),
            (
                "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity. no new claims to \
                 deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
                &[UnschedulableCause::VolumeZone],
            ),
            (
                "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are \
                 available: 2 Preemption is not helpful for scheduling.",
                &[UnschedulableCause::Resources],
            ),
            (
                "0/2 nodes are available: persistentvolumeclaim \"noclaim\" not found. not found",
                &[UnschedulableCause::Volume],
            ),
            // Of earlier versions.
            (
                "0/5 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}, 2 node(s) didn't match Pod's \
                 node affinity/selector, 2 node(s) had volume node affinity conflict. preemption: 0/5 nodes are \
                 available: 5 Preemption is not helpful for scheduling..",
                &[
                    UnschedulableCause::NodeSelector,
                    UnschedulableCause::Taint,
                    UnschedulableCause::VolumeZone,
                ],
            ),
            (
                "no nodes available to schedule pods",
                &[UnschedulableCause::NoNodes],
            ),
            ("0/0 nodes are available: .", &[UnschedulableCause::NoNodes]),
        ] {
            assert_eq!(parse(message), Some((causes.to_vec(), true)), "{message}");
        }
    }

    #[test]
    fn resources_that_other_pods_use_are_not_permanent() {
        for message in [
            "0/2 nodes are available: 1 Insufficient cpu, 1 Too many pods. preemption: 0/2 nodes are available: 2 No \
             preemption victims found for incoming pod.",
            "0/12 nodes are available: 2 Insufficient memory, 10 node(s) had untolerated taint(s). preemption: 0/12 nodes \
             are available: 2 No preemption victims found for incoming pod, 10 Preemption is not helpful for scheduling.",
            "0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
        ] {
            let unschedulable = Unschedulable::parse(message).expect("unschedulable");
            assert!(
                unschedulable.causes.contains(&UnschedulableCause::Resources),
                "{message}"
            );
            assert!(!unschedulable.permanent, "{message}");
        }
    }

    #[test]
    fn transient_reasons_have_no_cause() {
        for message in [
            "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }. preemption: 0/1 \
             nodes are available: 1 Preemption is not helpful for scheduling.",
            "0/1 nodes are available: 1 node(s) had untolerated taint {ebs.csi.aws.com/agent-not-ready: }.",
            "0/1 nodes are available: 1 node(s) had untolerated taint {karpenter.sh/unregistered: }.",
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match PersistentVolume's node \
             affinity. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
            "0/1 nodes are available: 1 node(s) exceed max volume count.",
            "running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded",
            "",
        ] {
            assert_eq!(parse(message), None, "{message}");
        }
    }

    /// The scheduler of 1.34 reports the same for a joining node and for a node that is dedicated to other pods.
    #[test]
    fn a_taint_may_be_unnamed() {
        let unnamed = |message| Unschedulable::parse(message).map(|r| r.unnamed_taint);
        assert_eq!(
            unnamed(
                "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node \
                 affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
            ),
            Some(true)
        );
        assert_eq!(
            unnamed("0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}."),
            Some(false)
        );
    }

    #[test]
    fn deleted_claims() {
        for message in [
            "0/2 nodes are available: persistentvolumeclaim \"a\" is being deleted. preemption: 0/2 nodes are available: 2 \
             Preemption is not helpful for scheduling.",
            "0/2 nodes are available: persistentvolumeclaim \"a\" not found. not found",
        ] {
            assert!(is_claim_deleted(message), "{message}");
        }
        assert!(!is_claim_deleted("0/2 nodes are available: 2 Insufficient cpu."));
    }

    #[test]
    fn the_first_sentence_is_about_nodes() {
        for first in [
            "0/2 nodes are available: persistentvolumeclaim \"a\" is being deleted",
            "0/2 nodes are available: persistentvolumeclaim \"a\" not found",
        ] {
            let message = format!(
                "{first}. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
            );
            assert_eq!(first_sentence(&message), first);
        }
        let gone = "0/2 nodes are available: persistentvolumeclaim \"a\" not found";
        assert_eq!(first_sentence(&format!("{gone}. not found")), gone);
    }

    #[test]
    fn a_pod_with_a_node_is_schedulable() {
        let pod = |status: &str, reason: &str, nominated: Option<&str>| -> Pod {
            serde_json::from_value(json!({"status": {
                "nominatedNodeName": nominated,
                "conditions": [{"type": "PodScheduled", "status": status, "reason": reason, "message": "m"}]
            }}))
            .expect("pod")
        };
        assert_eq!(
            unschedulable_message(&pod("False", "Unschedulable", None)),
            Some("m")
        );
        assert_eq!(
            unschedulable_message(&pod("False", "Unschedulable", Some("n"))),
            None
        );
        assert_eq!(
            unschedulable_message(&pod("False", "SchedulingGated", None)),
            None
        );
        assert_eq!(unschedulable_message(&pod("True", "", None)), None);
    }

    /// Returns the decision of the autoscalers after these events, in their order.
    fn decision(events: &[(&str, &str)]) -> String {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a-1-2"}, "spec": {"schedulerName": "default-scheduler", "containers": []}
        }))
        .expect("pod");
        let mut log = EventLog::default();
        for (reporter, reason) in events {
            log.record(&event(("Pod", "a-1-2"), reporter, reason, "m"), "a");
        }
        match AutoscalerDecision::of(&pod, log.about("Pod", "a-1-2")) {
            AutoscalerDecision::ScalesUp => "scales up".into(),
            AutoscalerDecision::Declines(event) => format!("{} declines", event.reporter),
            AutoscalerDecision::Unknown => "unknown".into(),
        }
    }

    #[test]
    fn the_newest_event_of_each_autoscaler_counts() {
        let scheduler = ("default-scheduler", "FailedScheduling");
        let (up, no) = (
            ("cluster-autoscaler", "TriggeredScaleUp"),
            ("cluster-autoscaler", "NotTriggerScaleUp"),
        );
        let (nominated, failed) = (("karpenter", "Nominated"), ("karpenter", "FailedScheduling"));
        assert_eq!(decision(&[scheduler]), "unknown");
        assert_eq!(decision(&[scheduler, up]), "scales up");
        assert_eq!(decision(&[no, up]), "scales up");
        assert_eq!(decision(&[scheduler, no]), "cluster-autoscaler declines");
        assert_eq!(decision(&[up, no]), "cluster-autoscaler declines");
        assert_eq!(decision(&[("eks-auto-mode/compute", "Nominated")]), "scales up");
        assert_eq!(decision(&[failed]), "karpenter declines");
        // Each autoscaler has its own nodes.
        assert_eq!(decision(&[nominated, no]), "scales up");
        assert_eq!(decision(&[no, nominated]), "scales up");
    }
}
