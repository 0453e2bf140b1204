//! The table of startup failures: which message means which failure, how long it must last, and what the user can do.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::message_patterns::{
    any, exceeds_quota, is_access_denied, is_image_not_found, is_mount_source_not_found, is_permanent,
    is_storage_class_not_found, lacks_default_storage_class, lacks_user_namespaces,
};
use super::remedy;
use super::scheduling::{UnschedulableCause, is_claim_deleted};

/// What keeps an agent from starting. Two failures of the same kind are the same failure to [`GracePeriod`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureKind {
    /// The PersistentVolumeClaim gets no volume.
    Volume,
    /// The ReplicaSet controller cannot create the pod.
    PodCreation,
    /// The scheduler finds no node for the pod. When the causes change, so has the cluster: a node joined or left.
    Unschedulable(BTreeSet<UnschedulableCause>),
    /// The node cannot pull the image.
    ImagePull,
    /// A ConfigMap or Secret that the pod mounts does not exist.
    Mount,
    /// The pod needs a user namespace, and its node provides none.
    UserNamespaces,
    /// The container runtime cannot create or start the container.
    Container,
    /// The container exits again and again.
    CrashLoop,
}

/// Where Kubernetes reports a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The phase of the claim; the message is its newest event.
    ClaimPhase,
    /// The newest event about the claim.
    ClaimEvent,
    /// The newest answer of the CSI driver, repeated since the program watches.
    ProvisionerEvent,
    /// The newest event about the ReplicaSet, while there is no pod.
    ReplicaSetEvent,
    /// The condition `PodScheduled` of the pod.
    PodScheduled,
    /// A container that waits for its image.
    ImagePull,
    /// The same, when the last pull has failed and no other is in progress.
    FailedImagePull,
    /// The same, when a pull is in progress, or its end would not be reported.
    ImagePullInProgress,
    /// A container that waits for something else.
    ContainerWaiting,
    /// The last termination of a container that does not run.
    Termination,
    /// The same, where a restart will end the same way and the process had started.
    RepeatedExit,
    /// The same, where the runtime could not start the process.
    RepeatedStartError,
    /// The newest event of the kubelet about a pod whose containers have not begun.
    KubeletEvent,
}

/// One row of the table.
pub(super) struct FailureRule {
    source: Source,
    /// The reasons of the event or of the status; empty: any reason.
    reasons: &'static [&'static str],
    message: fn(&str) -> bool,
    failure: FailureKind,
    grace_period: Duration,
    remedy: &'static str,
}

/// For a permanent failure: a pod or claim that was just replaced is still visible until its controller has acted.
const FINAL_GRACE: Duration = Duration::from_secs(3);

/// For the persistent volume controller, which looks at a claim every 15 s: until then its event stays although the
/// cause is fixed.
const RESYNC_GRACE: Duration = Duration::from_secs(20);

/// For an object that may be created a moment after the pod. Kubernetes retries with growing delays: the kubelet a mount
/// after 31 s and an image after 10 and 30 s, the ReplicaSet controller a pod after 41 s. So each has retried and failed.
const RETRY_GRACE: Duration = Duration::from_secs(45);

/// For a CSI driver that has refused twice.
const PROVISIONER_GRACE: Duration = Duration::from_secs(90);

/// For the answer of an autoscaler: cluster-autoscaler acts within 30 s, on large clusters within 60 s, and Karpenter
/// batches pods for up to 10 s. The same after one has declined: another may act, and their number is unknown.
pub(super) const AUTOSCALER_GRACE: Duration = Duration::from_secs(90);

/// For a quota that other pods use up: the ReplicaSet controller retries after 82 and 164 s.
const QUOTA_GRACE: Duration = Duration::from_secs(180);

/// For an image pull that is in progress after a failed pull.
const PULL_GRACE: Duration = Duration::from_secs(180);

/// For an unnamed taint: a joining node keeps its last taint for a minute or two, until its drivers run.
pub(super) const NODE_JOIN_GRACE: Duration = Duration::from_secs(180);

/// For the node on which the agent ran before: a node group replaces a node in two or three minutes.
pub(super) const NODE_RETURN_GRACE: Duration = Duration::from_secs(240);

/// The table. The first row that matches counts. For the scheduler's other messages there is another table, see
/// [`Unschedulable`](super::Unschedulable): a pod may be unschedulable for several causes at once.
#[rustfmt::skip]
static RULES: [FailureRule; 19] = [
    //   source                       reasons                     message                      failure                      grace period       remedy
    rule(Source::ClaimPhase,          &["Lost"],                  any,                         FailureKind::Volume,         FINAL_GRACE,       DELETE_LOST_CLAIM),
    rule(Source::ProvisionerEvent,    &["ProvisioningFailed"],    is_access_denied,            FailureKind::Volume,         PROVISIONER_GRACE, CHECK_CSI_DRIVER),
    rule(Source::ClaimEvent,          &["ProvisioningFailed"],    is_storage_class_not_found,  FailureKind::Volume,         RESYNC_GRACE,      CREATE_STORAGE_CLASS),
    rule(Source::ClaimEvent,          &["FailedBinding"],         lacks_default_storage_class, FailureKind::Volume,         RESYNC_GRACE,      SET_DEFAULT_STORAGE_CLASS),
    rule(Source::PodScheduled,        &["Unschedulable"],         is_claim_deleted,            FailureKind::Volume,         RETRY_GRACE,       DELETE_AFTER_CLAIM),
    rule(Source::ReplicaSetEvent,     &["FailedCreate"],          exceeds_quota,               FailureKind::PodCreation,    QUOTA_GRACE,       ALLOW_POD),
    rule(Source::ReplicaSetEvent,     &["FailedCreate"],          is_permanent,                FailureKind::PodCreation,    RETRY_GRACE,       ALLOW_POD),
    rule(Source::ImagePull,           &["InvalidImageName"],      any,                         FailureKind::ImagePull,      FINAL_GRACE,       CHECK_IMAGE),
    rule(Source::ImagePull,           &IMAGE_NOT_PULLED,          is_image_not_found,          FailureKind::ImagePull,      FINAL_GRACE,       CHECK_IMAGE),
    rule(Source::ImagePull,           &["ErrImageNeverPull"],     is_permanent,                FailureKind::ImagePull,      RETRY_GRACE,       CHECK_IMAGE),
    rule(Source::FailedImagePull,     &IMAGE_NOT_PULLED,          is_permanent,                FailureKind::ImagePull,      RETRY_GRACE,       CHECK_IMAGE),
    rule(Source::ImagePullInProgress, &IMAGE_NOT_PULLED,          is_permanent,                FailureKind::ImagePull,      PULL_GRACE,        CHECK_IMAGE),
    rule(Source::Termination,         &[],                        lacks_user_namespaces,       FailureKind::UserNamespaces, FINAL_GRACE,       CHOOSE_ISOLATION),
    rule(Source::RepeatedExit,        &[],                        any,                         FailureKind::CrashLoop,      FINAL_GRACE,       CHECK_CONFIGURATION),
    rule(Source::RepeatedStartError,  &[],                        is_permanent,                FailureKind::Container,      FINAL_GRACE,       DESCRIBE_POD),
    rule(Source::ContainerWaiting,    &CONTAINER_NOT_CREATED,     lacks_user_namespaces,       FailureKind::UserNamespaces, FINAL_GRACE,       CHOOSE_ISOLATION),
    rule(Source::ContainerWaiting,    &CONTAINER_NOT_CREATED,     is_permanent,                FailureKind::Container,      RETRY_GRACE,       DESCRIBE_POD),
    rule(Source::KubeletEvent,        &["FailedCreatePodSandBox"], lacks_user_namespaces,      FailureKind::UserNamespaces, FINAL_GRACE,       CHOOSE_ISOLATION),
    // Other mounts wait for a driver that registers, or for another node to detach the volume.
    rule(Source::KubeletEvent,        &["FailedMount"],           is_mount_source_not_found,   FailureKind::Mount,          RETRY_GRACE,       CREATE_MOUNT_SOURCE),
];

const IMAGE_NOT_PULLED: [&str; 4] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
];

const CONTAINER_NOT_CREATED: [&str; 2] = ["CreateContainerConfigError", "CreateContainerError"];

const fn rule(
    source: Source,
    reasons: &'static [&'static str],
    message: fn(&str) -> bool,
    failure: FailureKind,
    grace_period: Duration,
    remedy: &'static str,
) -> FailureRule {
    FailureRule {
        source,
        reasons,
        message,
        failure,
        grace_period,
        remedy,
    }
}

// The remedies. `{delete}` is the command that deletes the Deployment and the claim: a claim keeps its class, and an
// existing Deployment is not changed by other inputs.

pub(super) const DELETE_LOST_CLAIM: &str =
    "Delete the agent, whose volume no longer exists, and run the job again: {delete}.";
pub(super) const CHECK_CSI_DRIVER: &str = "Check the permissions of the CSI driver (on EKS the IAM role of the add-on \
     aws-ebs-csi-driver), the input `storage` and the parameters of the StorageClass.";
pub(super) const CREATE_STORAGE_CLASS: &str = "Create that StorageClass, or set the input `storage-class` to an existing one (kubectl get storageclass) and \
     delete the agent: {delete}.";
pub(super) const SET_DEFAULT_STORAGE_CLASS: &str = "Set the input `storage-class`, to `storage-class: remote-buildkit` where an administrator ran `remote-buildkit setup`, \
     and delete the agent: {delete}. Or mark a StorageClass as the default (kubectl annotate storageclass NAME \
     storageclass.kubernetes.io/is-default-class=true; EKS has had none since 1.30).";
pub(super) const DELETE_AFTER_CLAIM: &str = "Wait until the claim is gone; `destroy --volumes` deletes it. Its pods finish their builds first, for at most \
     `drain-timeout`. Then delete the rest of the agent and run the job again: {delete}.";
const ALLOW_POD: &str = "Correct what the message names: raise the quota of the namespace, set its label pod-security.kubernetes.io/enforce to \
     privileged (needed with every `isolation`), create the service account of `service-account`, or change the admission \
     policy.";
const CHECK_IMAGE: &str = "Check the input `image`, and whether the nodes can pull from that registry.";
const CHOOSE_ISOLATION: &str = "Set `isolation: privileged`, or select nodes that allow user namespaces with `node-selector`: Bottlerocket and \
     EKS Auto Mode set the sysctl user.max_user_namespaces to 0.";
const CHECK_CONFIGURATION: &str = "Check the input `buildkitd-config` if the log names the configuration. For the whole log, run kubectl -n \
     {namespace} logs deployment/{name} --previous.";
const DESCRIBE_POD: &str = "Run kubectl -n {namespace} describe pod -l app={name}.";
const CREATE_MOUNT_SOURCE: &str =
    "Create the missing object, or delete the agent and run the job again: {delete}.";

/// A failure that is suspected: it holds when it has lasted for its grace period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupFailure {
    pub kind: FailureKind,
    /// What Kubernetes reported: an event, a status, or the last lines of the container's log.
    pub message: String,
    pub grace_period: Duration,
    /// With placeholders, see [`remedy`](Self::remedy).
    pub(super) remedy: String,
}

impl StartupFailure {
    /// Returns the failure of each row of the table, with this message.
    #[cfg(any(test, feature = "testing"))]
    pub fn examples(message: &str) -> Vec<Self> {
        let example = |rule: &FailureRule| Self {
            kind: rule.failure.clone(),
            message: message.to_owned(),
            grace_period: rule.grace_period,
            remedy: rule.remedy.to_owned(),
        };
        RULES.iter().map(example).collect()
    }

    /// Returns the failure of the first row that matches a message; `message` of the failure is then `shown`.
    pub(super) fn find(source: Source, reason: &str, message: &str, shown: &str) -> Option<Self> {
        let rule = RULES.iter().find(|rule| {
            rule.source == source
                && (rule.reasons.is_empty() || rule.reasons.contains(&reason))
                && (rule.message)(message)
        })?;
        Some(Self {
            kind: rule.failure.clone(),
            message: shown.to_owned(),
            grace_period: rule.grace_period,
            remedy: rule.remedy.to_owned(),
        })
    }

    /// Returns what happened, as a sentence about the agent.
    pub fn description(&self, namespace: &str, name: &str) -> String {
        let agent = format!("agent {namespace}/{name}");
        let message = &self.message;
        match self.kind {
            FailureKind::Volume => format!("Could not provision a volume for {agent}: {message}."),
            FailureKind::PodCreation => {
                format!("The cluster refused to create the pod for {agent}: {message}.")
            }
            FailureKind::Unschedulable(_) => format!("No node can run the pod of {agent}: {message}."),
            FailureKind::ImagePull => format!("The node of {agent} could not pull the image {message}."),
            FailureKind::Mount => {
                format!("A volume of the pod of {agent} could not be mounted: {message}.")
            }
            FailureKind::UserNamespaces => {
                format!("The node of {agent} provides no user namespace for its pod: {message}")
            }
            FailureKind::Container => format!("The container of {agent} could not be started: {message}."),
            FailureKind::CrashLoop if message.is_empty() => {
                format!("The container of {agent} exits immediately and left no log.")
            }
            FailureKind::CrashLoop => {
                format!("The container of {agent} exits immediately. The end of its log:\n{message}")
            }
        }
    }

    /// Returns what the user can do, for the agent of this namespace and name.
    pub fn remedy(&self, namespace: &str, name: &str) -> String {
        remedy::render(&self.remedy, namespace, name)
    }
}

/// Measures since when the same failure is suspected. Its message may change meanwhile, as a count of nodes does.
#[derive(Debug, Default)]
pub struct GracePeriod(Option<(FailureKind, Instant)>);

impl GracePeriod {
    /// Returns when the grace period ends, provided that the failure suspected now lasts.
    pub fn ends(&mut self, failure: Option<&StartupFailure>, now: Instant) -> Option<Instant> {
        let Some(failure) = failure else {
            self.0 = None;
            return None;
        };
        let since = match &self.0 {
            Some((known, since)) if *known == failure.kind => *since,
            _ => now,
        };
        self.0 = Some((failure.kind.clone(), since));
        Some(since + failure.grace_period)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test may start from the present moment"
)]
mod tests {
    use super::*;

    fn failure(kind: FailureKind, seconds: u64, message: &str) -> StartupFailure {
        StartupFailure {
            kind,
            message: message.into(),
            grace_period: Duration::from_secs(seconds),
            remedy: String::new(),
        }
    }

    #[test]
    fn grace_period_ends_when_the_same_failure_has_lasted() {
        let crash = |seconds: u64, log: &str| failure(FailureKind::CrashLoop, seconds, log);
        let other = failure(FailureKind::PodCreation, 30, "");
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut grace = GracePeriod::default();
        assert_eq!(grace.ends(Some(&crash(30, "2 nodes")), at(0)), Some(at(30)));
        assert_eq!(grace.ends(Some(&crash(30, "3 nodes")), at(10)), Some(at(30)));
        assert_eq!(grace.ends(Some(&crash(15, "3 nodes")), at(12)), Some(at(15)));
        assert_eq!(grace.ends(Some(&other), at(14)), Some(at(44)));
        assert_eq!(grace.ends(None, at(15)), None);
        assert_eq!(grace.ends(Some(&other), at(16)), Some(at(46)));
    }

    #[test]
    fn other_causes_restart_the_grace_period() {
        let unschedulable = |causes: &[UnschedulableCause], message: &str| {
            let causes = causes.iter().copied().collect();
            failure(FailureKind::Unschedulable(causes), 90, message)
        };
        let (selector, taint) = (UnschedulableCause::NodeSelector, UnschedulableCause::Taint);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut grace = GracePeriod::default();
        let mut ends = |failure, now| grace.ends(Some(&failure), at(now));
        assert_eq!(ends(unschedulable(&[selector], "0/2"), 0), Some(at(90)));
        assert_eq!(ends(unschedulable(&[selector], "0/3"), 80), Some(at(90)));
        assert_eq!(ends(unschedulable(&[selector, taint], "0/3"), 85), Some(at(175)));
    }

    /// The texts of all rows, as a user reads them.
    #[test]
    fn failures_are_described() {
        let rows = RULES.iter().map(|rule| {
            let message = "MESSAGE";
            let failure = failure(rule.failure.clone(), 0, message);
            let remedy = remedy::render(rule.remedy, "ci", "agent");
            let (sources, seconds) = (format!("{:?}", rule.source), rule.grace_period.as_secs());
            let description = failure.description("ci", "agent");
            format!(
                "{sources} {:?}, {seconds} s\n{description}\n{remedy}\n",
                rule.reasons
            )
        });
        insta::assert_snapshot!(rows.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_deleted_claim_goes_with_its_pods() {
        let message = "persistentvolumeclaim \"a\" is being deleted";
        let failure = StartupFailure::find(
            Source::PodScheduled,
            "Unschedulable",
            &format!("0/2 nodes are available: {message}"),
            message,
        )
        .expect("failure");
        let description = failure.description("x", "a");
        assert!(description.contains("\"a\" is being deleted"), "{description}");
        let remedy = failure.remedy("x", "a");
        assert!(remedy.contains("`destroy --volumes`"), "{remedy}");
        assert!(
            remedy.contains("kubectl -n x delete deployment,pvc a."),
            "{remedy}"
        );
    }
}
