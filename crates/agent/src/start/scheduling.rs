//! Why a pod gets no node: the scheduler's message, and what autoscalers say to it.
//!
//! The scheduler's words are those of `pkg/scheduler/framework` in Kubernetes 1.34 and, where they changed, of the
//! versions before it: `FitError.Error` puts them together, a reason for each node.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;

use super::heard::{Word, newest};

/// What about a pod or a cluster keeps the pod from a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A node selector or affinity that the nodes do not match.
    Selector,
    Taint,
    /// The volume is where these nodes are not; a volume of EBS is in one zone.
    Zone,
    /// The volume is not to be had on these nodes, or not any more.
    Volume,
    /// Other pods have the room, or no node is as large as the pod.
    Room,
    /// The cluster has no node.
    NoNodes,
}

/// Reasons that pass of themselves are not among them: a pod refused for one is waited for.
const CAUSES: [(&str, Cause); 15] = [
    ("didn't match Pod's node affinity/selector", Cause::Selector),
    ("didn't match scheduler-enforced node affinity", Cause::Selector),
    ("didn't match the requested node name", Cause::Selector),
    ("pod affinity terms conflict", Cause::Selector),
    ("had untolerated taint", Cause::Taint),
    ("didn't match PersistentVolume's node affinity", Cause::Zone),
    // The same before 1.34.
    ("had volume node affinity conflict", Cause::Zone),
    ("had no available volume zone", Cause::Zone),
    ("didn't find available persistent volumes to bind", Cause::Volume),
    ("did not have enough free storage", Cause::Volume),
    ("bound to non-existent", Cause::Volume),
    ("\" not found", Cause::Volume),
    ("Insufficient ", Cause::Room),
    ("Too many pods", Cause::Room),
    ("no nodes available to schedule pods", Cause::NoNodes),
];

/// Taints that nodes and controllers put on a node and take away again, as one that has just joined.
const PASSING_TAINTS: [&str; 6] = [
    "{node.kubernetes.io/",
    "{node.cloudprovider.kubernetes.io/",
    "/agent-not-ready",
    "{karpenter.sh/",
    "OfClusterAutoscaler",
    "ByClusterAutoscaler",
];

/// All that a scheduler from 1.34 on says of taints (`tainttoleration`): they may be those that pass.
const UNNAMED_TAINT: &str = "untolerated taint(s)";

/// Of a claim that the pod needs (`volumebinding`); the first is of one that was deleted while another pod uses it.
const CLAIM_GOES: [&str; 2] = ["is being deleted", "not found"];

#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub causes: BTreeSet<Cause>,
    /// No pod that ends makes it come true.
    pub lasting: bool,
    /// A node has a taint that the scheduler does not name.
    pub unnamed_taint: bool,
}

impl Refusal {
    /// What the scheduler means, unless a node is refused for something that passes.
    pub fn read(message: &str) -> Option<Self> {
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
                causes: [Cause::NoNodes].into(),
                lasting: true,
                unnamed_taint: false,
            });
        }
        // What comes after the sentence is about preemption, too.
        let causes = sentence(reasons).split(", ").map(cause);
        let causes: BTreeSet<Cause> = causes.collect::<Option<_>>()?;
        // The scheduler asks itself whether a node would do without the pods on it. It is of no help where the node is
        // too small as well: only from 1.31 does it say so of resources, before it then looks for victims.
        let (_, all) = nodes.split_once('/').unwrap_or_default();
        let helpless = preemption.contains(&format!(": {all} Preemption is not helpful for scheduling"));
        let lasting = !causes.contains(&Cause::Room) || helpless;
        Some(Self {
            causes,
            lasting,
            unnamed_taint: reasons.contains(UNNAMED_TAINT),
        })
    }
}

/// The scheduler's first sentence; what follows is about preemption.
pub fn sentence(message: &str) -> &str {
    let first = message.trim().split(". ").next().unwrap_or_default();
    first.trim_end_matches('.')
}

/// What the scheduler says of a claim of the pod's that was deleted, or soon will have been.
pub(super) fn claim_goes(message: &str) -> Option<&str> {
    let (_, said) = sentence(message).split_once("persistentvolumeclaim \"")?;
    let goes = CLAIM_GOES.iter().any(|words| said.contains(words));
    goes.then(|| sentence(message))
}

fn cause(reason: &str) -> Option<Cause> {
    let (_, cause) = CAUSES.iter().find(|(words, _)| reason.contains(words))?;
    let passes = PASSING_TAINTS.iter().any(|taint| reason.contains(taint));
    (!passes).then_some(*cause)
}

/// The scheduler's last word on a pod that has no node. It is in the pod's status as well as in an event, where those
/// see it who may watch pods alone. A pod that is to have the room of others is waited for.
pub fn refused(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.as_ref()?.iter();
    let refusal = conditions
        .filter(|c| c.type_ == "PodScheduled" && c.status == "False")
        .find(|c| c.reason.as_deref() == Some("Unschedulable"))?;
    status.nominated_node_name.is_none().then_some(())?;
    refusal.message.as_deref()
}

/// What the autoscalers of the cluster say to a pod without a node.
#[derive(Debug, PartialEq, Eq)]
pub enum Autoscaler<'a> {
    /// One makes a node for it.
    Acts,
    /// One will not, and none does.
    Declines(&'a Word),
    Silent,
}

impl<'a> Autoscaler<'a> {
    /// From the words about the pod. There may be two autoscalers, each with its own nodes; the newest word of each
    /// counts, for both come back to a pod and may change their mind.
    pub fn of(pod: &Pod, words: impl Iterator<Item = &'a Word>) -> Self {
        let scheduler = pod.spec.as_ref().and_then(|s| s.scheduler_name.as_deref());
        let mut reporters: BTreeMap<&str, Vec<&Word>> = BTreeMap::new();
        for word in words.filter(|w| acts(w).is_some()) {
            if Some(word.reporter.as_str()) != scheduler.or(Some("default-scheduler")) {
                reporters.entry(&word.reporter).or_default().push(word);
            }
        }
        let last: Vec<&Word> = reporters
            .into_values()
            .filter_map(|said| newest(said.into_iter()))
            .collect();
        if last.iter().any(|w| acts(w) == Some(true)) {
            return Self::Acts;
        }
        newest(last.into_iter()).map_or(Self::Silent, Self::Declines)
    }
}

/// Whether what an autoscaler declines for passes: cluster-autoscaler leaves a group alone for a while after a failure,
/// and Karpenter an offering that EC2 had no capacity for.
pub(super) fn comes_back(word: &Word) -> bool {
    let words = [
        "in backoff",
        "has the required offering",
        "had enough resources, had a required offering",
    ];
    words.iter().any(|w| word.message.contains(w))
}

/// Whether a word is an autoscaler's, and says that a node comes. cluster-autoscaler reports the first and the third;
/// Karpenter, and as `eks-auto-mode/compute` EKS Auto Mode, the second and the fourth.
fn acts(word: &Word) -> Option<bool> {
    match word.reason.as_str() {
        "TriggeredScaleUp" | "Nominated" => Some(true),
        "NotTriggerScaleUp" | "FailedScheduling" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::heard::{Heard, tests::event};
    use super::*;

    /// The causes, and whether they last.
    fn read(message: &str) -> Option<(Vec<Cause>, bool)> {
        let refusal = Refusal::read(message)?;
        Some((refusal.causes.into_iter().collect(), refusal.lasting))
    }

    #[test]
    fn what_no_pod_that_ends_would_mend() {
        for (message, causes) in [
            // As the lab's 1.34 says them.
            (
                "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. no new claims to \
                 deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
                &[Cause::Selector][..],
            ),
            (
                "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity. no new claims to \
                 deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
                &[Cause::Zone],
            ),
            (
                "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are \
                 available: 2 Preemption is not helpful for scheduling.",
                &[Cause::Room],
            ),
            (
                "0/2 nodes are available: persistentvolumeclaim \"noclaim\" not found. not found",
                &[Cause::Volume],
            ),
            // As older ones do.
            (
                "0/5 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}, 2 node(s) didn't match Pod's \
                 node affinity/selector, 2 node(s) had volume node affinity conflict. preemption: 0/5 nodes are \
                 available: 5 Preemption is not helpful for scheduling..",
                &[Cause::Selector, Cause::Taint, Cause::Zone],
            ),
            ("no nodes available to schedule pods", &[Cause::NoNodes]),
            ("0/0 nodes are available: .", &[Cause::NoNodes]),
        ] {
            assert_eq!(read(message), Some((causes.to_vec(), true)), "{message}");
        }
    }

    #[test]
    fn room_that_other_pods_have() {
        for message in [
            "0/2 nodes are available: 1 Insufficient cpu, 1 Too many pods. preemption: 0/2 nodes are available: 2 No \
             preemption victims found for incoming pod.",
            "0/12 nodes are available: 2 Insufficient memory, 10 node(s) had untolerated taint(s). preemption: 0/12 nodes \
             are available: 2 No preemption victims found for incoming pod, 10 Preemption is not helpful for scheduling.",
            "0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
        ] {
            let refusal = Refusal::read(message).expect("refusal");
            assert!(refusal.causes.contains(&Cause::Room), "{message}");
            assert!(!refusal.lasting, "{message}");
        }
    }

    #[test]
    fn what_passes() {
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
            assert_eq!(read(message), None, "{message}");
        }
    }

    /// A scheduler of 1.34 says the same of a node that joins and of one that is meant for others.
    #[test]
    fn a_taint_without_a_name() {
        let unnamed = |message| Refusal::read(message).map(|r| r.unnamed_taint);
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
    fn a_claim_that_goes() {
        let goes = "0/2 nodes are available: persistentvolumeclaim \"a\" is being deleted";
        assert_eq!(
            claim_goes(&format!(
                "{goes}. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
            )),
            Some(goes)
        );
        let gone = "0/2 nodes are available: persistentvolumeclaim \"a\" not found";
        assert_eq!(claim_goes(&format!("{gone}. not found")), Some(gone));
        assert_eq!(claim_goes("0/2 nodes are available: 2 Insufficient cpu."), None);
    }

    #[test]
    fn a_pod_with_a_node_is_not_refused() {
        let pod = |status: &str, reason: &str, nominated: Option<&str>| -> Pod {
            serde_json::from_value(json!({"status": {
                "nominatedNodeName": nominated,
                "conditions": [{"type": "PodScheduled", "status": status, "reason": reason, "message": "m"}]
            }}))
            .expect("pod")
        };
        assert_eq!(refused(&pod("False", "Unschedulable", None)), Some("m"));
        assert_eq!(refused(&pod("False", "Unschedulable", Some("n"))), None);
        assert_eq!(refused(&pod("False", "SchedulingGated", None)), None);
        assert_eq!(refused(&pod("True", "", None)), None);
    }

    /// The autoscalers' answer after these words, in their order.
    fn answer(said: &[(&str, &str)]) -> String {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a-1-2"}, "spec": {"schedulerName": "default-scheduler", "containers": []}
        }))
        .expect("pod");
        let mut heard = Heard::default();
        for (reporter, reason) in said {
            heard.hear(&event(("Pod", "a-1-2"), reporter, reason, "m"), "a");
        }
        match Autoscaler::of(&pod, heard.about("Pod", "a-1-2")) {
            Autoscaler::Acts => "acts".into(),
            Autoscaler::Declines(word) => format!("{} declines", word.reporter),
            Autoscaler::Silent => "silent".into(),
        }
    }

    #[test]
    fn autoscalers() {
        let refusal = ("default-scheduler", "FailedScheduling");
        let (up, no) = (
            ("cluster-autoscaler", "TriggeredScaleUp"),
            ("cluster-autoscaler", "NotTriggerScaleUp"),
        );
        let (nominated, failed) = (("karpenter", "Nominated"), ("karpenter", "FailedScheduling"));
        assert_eq!(answer(&[refusal]), "silent");
        assert_eq!(answer(&[refusal, up]), "acts");
        assert_eq!(answer(&[no, up]), "acts");
        assert_eq!(answer(&[refusal, no]), "cluster-autoscaler declines");
        assert_eq!(answer(&[up, no]), "cluster-autoscaler declines");
        assert_eq!(answer(&[("eks-auto-mode/compute", "Nominated")]), "acts");
        assert_eq!(answer(&[failed]), "karpenter declines");
        // Nodes of one are not those of the other.
        assert_eq!(answer(&[nominated, no]), "acts");
        assert_eq!(answer(&[no, nominated]), "acts");
    }
}
