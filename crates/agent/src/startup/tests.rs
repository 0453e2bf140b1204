use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::events::tests::{at, event};
use super::failure::{
    CHECK_CSI_DRIVER, CREATE_STORAGE_CLASS, DELETE_AFTER_CLAIM, DELETE_LOST_CLAIM, SET_DEFAULT_STORAGE_CLASS,
};
use super::*;

/// Returns an agent `a` with a pod of this status.
fn agent_with(status: Value) -> StartupState {
    StartupState {
        pods: [pod(
            "a-1-2",
            json!({"creationTimestamp": "2026-01-01T00:00:00Z"}),
            status,
        )]
        .into(),
        ..StartupState::default()
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

fn terminating_pod() -> (String, Pod) {
    let metadata = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
    pod("a-1-1", metadata, json!({}))
}

/// Returns an unschedulable pod, by its status and, for a job with permission to watch events, the scheduler's event.
fn unscheduled(message: &str) -> StartupState {
    let mut agent = unscheduled_without_events(message);
    record(
        &mut agent,
        ("Pod", "a-1-2"),
        "default-scheduler",
        "FailedScheduling",
        message,
    );
    agent
}

fn unscheduled_without_events(message: &str) -> StartupState {
    agent_with(json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    ]}))
}

fn container(state: Value) -> StartupState {
    agent_with(json!({"containerStatuses": [{
        "name": "buildkitd", "image": "moby/buildkit:x", "imageID": "", "ready": false, "restartCount": 1,
        "state": state, "lastState": {}
    }]}))
}

fn waiting(reason: &str, message: &str) -> StartupState {
    container(json!({"waiting": {"reason": reason, "message": message}}))
}

fn record(agent: &mut StartupState, object: (&str, &str), reporter: &str, reason: &str, message: &str) {
    agent
        .events
        .record(&event(object, reporter, reason, message), "a");
}

/// Returns the suspected failure, and the seconds of its grace period.
fn suspected(agent: &StartupState) -> Option<(&'static str, u64)> {
    let failure = agent.suspected_failure()?;
    let name = match failure.kind {
        FailureKind::Volume => "volume",
        FailureKind::PodCreation => "pod creation",
        FailureKind::Unschedulable(_) => "unschedulable",
        FailureKind::ImagePull => "image pull",
        FailureKind::Mount => "mount",
        FailureKind::UserNamespaces => "user namespaces",
        FailureKind::Container => "container",
        FailureKind::CrashLoop => "crash loop",
    };
    Some((name, failure.grace_period.as_secs()))
}

const SELECTOR: &str = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. no new claims \
    to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
const FULL: &str = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No \
    preemption victims found for incoming pod.";

const LARGE: &str = "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes \
    are available: 2 Preemption is not helpful for scheduling.";

#[test]
fn a_pod_without_a_node() {
    assert_eq!(suspected(&unscheduled(SELECTOR)), Some(("unschedulable", 90)));
    assert_eq!(suspected(&unscheduled(LARGE)), Some(("unschedulable", 90)));
    assert_eq!(suspected(&unscheduled(FULL)), None);
    let joining = "0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) didn't match Pod's node \
        affinity/selector.";
    assert_eq!(suspected(&unscheduled(joining)), Some(("unschedulable", 180)));
    let transient = "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found";
    assert_eq!(suspected(&unscheduled(transient)), None);
    let gated = agent_with(json!({"conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": ""}
    ]}));
    assert_eq!(suspected(&gated), None);
}

#[test]
fn an_autoscaler_decides() {
    let pod = ("Pod", "a-1-2");
    let mut agent = unscheduled(SELECTOR);
    let no = "pod didn't trigger scale-up: 1 max node group size reached";
    record(&mut agent, pod, "cluster-autoscaler", "NotTriggerScaleUp", no);
    assert_eq!(suspected(&agent), Some(("unschedulable", 90)));
    let message = agent.suspected_failure().map(|failure| failure.message);
    let expected = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector; no node will be added: \
         cluster-autoscaler: pod didn't trigger scale-up: 1 max node group size reached";
    assert_eq!(message.as_deref(), Some(expected));
    record(
        &mut agent,
        pod,
        "karpenter",
        "Nominated",
        "Pod should schedule on: nodeclaim/x",
    );
    assert_eq!(suspected(&agent), None);
}

#[test]
fn events_about_another_pod_do_not_count() {
    let mut agent = unscheduled(SELECTOR);
    record(&mut agent, ("Pod", "a-1-1"), "karpenter", "Nominated", "");
    assert_eq!(suspected(&agent), Some(("unschedulable", 90)));
}

#[test]
fn an_autoscaler_that_will_retry_is_waited_for() {
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
        let mut agent = unscheduled(SELECTOR);
        record(&mut agent, ("Pod", "a-1-2"), reporter, reason, message);
        assert_eq!(suspected(&agent), None, "{message}");
    }
}

#[test]
fn a_job_without_permission_to_watch_events_waits() {
    assert_eq!(suspected(&unscheduled_without_events(SELECTOR)), None);
}

#[test]
fn a_node_that_the_agent_had_is_waited_for() {
    let zone = "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity.";
    for message in [zone, SELECTOR] {
        let mut agent = unscheduled(message);
        assert_eq!(suspected(&agent), Some(("unschedulable", 90)));
        let bound = json!({"metadata": {"name": "a"}, "status": {"phase": "Bound"}});
        agent.claim = Some(Box::new(serde_json::from_value(bound).expect("claim")));
        assert_eq!(suspected(&agent), Some(("unschedulable", 240)));
        let pod = ("Pod", "a-1-2");
        record(&mut agent, pod, "cluster-autoscaler", "NotTriggerScaleUp", "no");
        assert_eq!(suspected(&agent), Some(("unschedulable", 90)));
    }
}

#[test]
fn a_claim_that_the_job_cannot_see_may_be_bound() {
    let mut agent = unscheduled(SELECTOR);
    let pod = agent
        .pods
        .get_mut("a-1-2")
        .and_then(|p| p.spec.as_mut())
        .expect("spec");
    let volumes = json!([{"name": "cache", "persistentVolumeClaim": {"claimName": "b"}}]);
    pod.volumes = serde_json::from_value(volumes).expect("volumes");
    assert_eq!(suspected(&agent), Some(("unschedulable", 240)));
}

/// The state after `destroy --volumes`, while the old pod drains, and when it is gone.
#[test]
fn a_deleted_claim_is_final() {
    for status in ["is being deleted", "not found"] {
        let text = format!("0/2 nodes are available: persistentvolumeclaim \"a\" {status}");
        let mut agent = unscheduled(&format!(
            "{text}. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
        ));
        agent.pods.extend([terminating_pod()]);
        let failure = agent.suspected_failure().expect("failure");
        assert_eq!(failure.kind, FailureKind::Volume);
        assert_eq!(failure.message, text);
        assert_eq!(failure.remedy, DELETE_AFTER_CLAIM);
    }
}

#[test]
fn a_draining_predecessor_uses_the_resources() {
    let mut agent = unscheduled(LARGE);
    agent.pods.extend([terminating_pod()]);
    assert_eq!(suspected(&agent), None);
}

#[test]
fn a_pod_that_cannot_be_created() {
    let refused = |message: &str| {
        let mut agent = StartupState::default();
        let set = ("ReplicaSet", "a-1");
        record(&mut agent, set, "replicaset-controller", "FailedCreate", message);
        agent
    };
    let account = refused(
        "Error creating: pods \"a-1-\" is forbidden: error looking up service account x/nobody: serviceaccount \
         \"nobody\" not found",
    );
    assert_eq!(suspected(&account), Some(("pod creation", 45)));
    let quota = refused("Error creating: pods \"a-1-2\" is forbidden: exceeded quota: none, limited: pods=0");
    assert_eq!(suspected(&quota), Some(("pod creation", 180)));
    let webhook = "Error creating: Internal error occurred: failed calling webhook \"x\": connection refused";
    assert_eq!(suspected(&refused(webhook)), None);
    // A later attempt has succeeded.
    let mut created = refused("Error creating: pods \"a-1-2\" is forbidden: exceeded quota");
    created.pods = waiting("ContainerCreating", "").pods;
    assert_eq!(suspected(&created), None);
    let mut draining = refused("Error creating: pods \"a-1-2\" is forbidden: exceeded quota");
    draining.pods.extend([terminating_pod()]);
    assert_eq!(suspected(&draining), None);
}

/// Returns an agent whose claim has this phase, and a last event.
fn claim(phase: &str, reason: &str, message: &str) -> StartupState {
    let mut agent = unscheduled("0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.");
    let claim = json!({"metadata": {"name": "a", "uid": "uid-a"}, "status": {"phase": phase}});
    agent.claim = Some(Box::new(serde_json::from_value(claim).expect("claim")));
    let object = ("PersistentVolumeClaim", "a");
    record(&mut agent, object, "persistentvolume-controller", reason, message);
    agent
}

/// Returns the remedy for the failure to provision the volume.
fn volume_remedy(agent: &StartupState) -> Option<String> {
    let failure = agent.suspected_failure()?;
    (failure.kind == FailureKind::Volume).then_some(failure.remedy)
}

#[test]
fn a_claim_without_a_volume() {
    let tape = "storageclass.storage.k8s.io \"tape\" not found";
    let none = "no persistent volumes available for this claim and no storage class is set";
    let pending = |reason, message| volume_remedy(&claim("Pending", reason, message));
    assert_eq!(
        pending("ProvisioningFailed", tape).as_deref(),
        Some(CREATE_STORAGE_CLASS)
    );
    assert_eq!(
        pending("FailedBinding", none).as_deref(),
        Some(SET_DEFAULT_STORAGE_CLASS)
    );
    let denied = "rpc error: code = Internal desc = Could not create volume: api error UnauthorizedOperation";
    // It may have been fixed before the watch began, unless it is reported again.
    assert_eq!(pending("ProvisioningFailed", denied), None);
    let slow = "rpc error: code = DeadlineExceeded desc = context deadline exceeded";
    assert_eq!(pending("ProvisioningFailed", slow), None);
    let waits = "Waiting for a volume to be created either by the external provisioner 'ebs.csi.aws.com'";
    assert_eq!(pending("ExternalProvisioning", waits), None);
    assert_eq!(volume_remedy(&claim("Bound", "FailedBinding", none)), None);
    let lost = volume_remedy(&claim("Lost", "ClaimLost", ""));
    assert_eq!(lost.as_deref(), Some(DELETE_LOST_CLAIM));
}

#[test]
fn a_driver_that_retries_is_still_suspected() {
    let denied = "rpc error: code = Internal desc = api error UnauthorizedOperation";
    let mut agent = claim(
        "Pending",
        "Provisioning",
        "External provisioner is provisioning volume",
    );
    let report = |agent: &mut StartupState, reason: &str, message: &str, seconds: u32| {
        let event = event(("PersistentVolumeClaim", "a"), "ebs.csi.aws.com", reason, message);
        let event = at(event, &format!("2026-01-01T00:00:{seconds:02}Z"));
        agent.events.record(&event, "a");
    };
    report(&mut agent, "ProvisioningFailed", denied, 1);
    report(&mut agent, "Provisioning", "", 2);
    report(&mut agent, "ProvisioningFailed", denied, 3);
    assert_eq!(suspected(&agent), Some(("volume", 90)));
    assert_eq!(volume_remedy(&agent).as_deref(), Some(CHECK_CSI_DRIVER));
    report(&mut agent, "Provisioning", "", 4);
    report(&mut agent, "ExternalProvisioning", "", 5);
    assert_eq!(suspected(&agent), Some(("volume", 90)));
    report(&mut agent, "WaitForPodScheduled", "", 6);
    assert_eq!(suspected(&agent), None);
}

#[test]
fn events_about_a_deleted_claim_do_not_count() {
    let mut agent = claim(
        "Pending",
        "ProvisioningFailed",
        "storageclass.storage.k8s.io \"t\" not found",
    );
    let claim = agent.claim.as_mut().expect("claim");
    claim.metadata.uid = Some("another".into());
    assert_eq!(suspected(&agent), None);
}

/// The init container pulls the image first.
#[test]
fn an_init_container_counts() {
    let statuses = |state: Value| {
        let of = |name: &str, state: Value| json!([{"name": name, "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
        agent_with(json!({
            "initContainerStatuses": of("wait-for-lock", state),
            "containerStatuses": of("buildkitd", json!({"waiting": {"reason": "PodInitializing"}}))
        }))
    };
    let pull = json!({"waiting": {"reason": "ErrImagePull", "message": "x: not found"}});
    assert_eq!(suspected(&statuses(pull)), Some(("image pull", 3)));
    assert_eq!(suspected(&statuses(json!({"running": {}}))), None);
    assert_eq!(suspected(&statuses(json!({"terminated": {"exitCode": 0}}))), None);
}

const HOST: &str = "dial tcp: lookup r.example: no such host";
const DENIED: &str = "pull access denied, repository does not exist or may require authorization";
const ABSENT: &str = "failed to resolve reference \"moby/buildkit:x\": r.example/x:1: not found";
const SLOW: &str = "dial tcp 10.0.0.1:443: i/o timeout";

/// Returns the status of the kubelet while it waits to retry.
fn backs_off(why: &str) -> String {
    format!("Back-off pulling image \"moby/buildkit:x\": ErrImagePull: {why}")
}

fn pulls(agent: &mut StartupState, reason: &str, message: &str) {
    record(agent, ("Pod", "a-1-2"), "kubelet", reason, message);
}

#[test]
fn an_image_that_does_not_exist_is_final() {
    let image = Some(("image pull", 3));
    assert_eq!(suspected(&waiting("ErrImagePull", ABSENT)), image);
    assert_eq!(suspected(&waiting("ImagePullBackOff", &backs_off(ABSENT))), image);
    assert_eq!(suspected(&waiting("InvalidImageName", "")), image);
    assert_eq!(
        suspected(&waiting("ErrImageNeverPull", "")),
        Some(("image pull", 45))
    );
    assert_eq!(suspected(&waiting("ErrImagePull", SLOW)), None);
    assert_eq!(suspected(&waiting("ImagePullBackOff", &backs_off(SLOW))), None);
    assert_eq!(suspected(&waiting("ContainerCreating", "")), None);
}

#[test]
fn other_answers_of_a_registry_may_change() {
    for why in [HOST, DENIED] {
        for mut agent in [
            waiting("ErrImagePull", why),
            waiting("ImagePullBackOff", &backs_off(why)),
        ] {
            pulls(
                &mut agent,
                "Failed",
                &format!("Failed to pull image \"moby/buildkit:x\": {why}"),
            );
            assert_eq!(suspected(&agent), Some(("image pull", 45)), "{why}");
            pulls(&mut agent, "Pulling", "Pulling image \"moby/buildkit:x\"");
            assert_eq!(suspected(&agent), Some(("image pull", 180)), "{why}");
        }
    }
}

/// A kubelet before 1.32 reports this.
#[test]
fn a_back_off_without_a_reason() {
    let mut agent = waiting("ImagePullBackOff", "Back-off pulling image \"moby/buildkit:x\"");
    assert_eq!(suspected(&agent), None);
    let failed = |why: &str| format!("Failed to pull image \"moby/buildkit:x\": {why}");
    pulls(&mut agent, "Failed", &failed(SLOW));
    assert_eq!(suspected(&agent), None);
    pulls(&mut agent, "Failed", &failed(DENIED));
    assert_eq!(suspected(&agent), Some(("image pull", 45)));
    // The kubelet retries, and the status still reports the back-off.
    pulls(&mut agent, "Pulling", "Pulling image \"moby/buildkit:x\"");
    assert_eq!(suspected(&agent), Some(("image pull", 180)));
    pulls(&mut agent, "Failed", &failed(ABSENT));
    pulls(&mut agent, "Failed", "Error: ImagePullBackOff");
    assert_eq!(suspected(&agent), Some(("image pull", 3)));
}

#[test]
fn containers_that_are_not_created() {
    assert_eq!(
        suspected(&waiting("CreateContainerConfigError", "secret \"x\" not found")),
        Some(("container", 45))
    );
    for (reason, message) in [
        ("CreateContainerError", "context deadline exceeded"),
        (
            "CreateContainerConfigError",
            "services have not yet been read at least once, cannot construct envvars",
        ),
    ] {
        assert_eq!(suspected(&waiting(reason, message)), None, "{message}");
    }
}

#[test]
fn terminations() {
    let ended = |reason: &str, message: &str| {
        let end = json!({"exitCode": 1, "reason": reason, "message": message,
            "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z"});
        container(json!({"terminated": end}))
    };
    let crash = ended(
        "Error",
        "toml: expected ']'\nfailed to parse config\nmain.main\n\t/src/main.go:1\n",
    );
    let failure = crash.suspected_failure().expect("failure");
    assert_eq!(failure.kind, FailureKind::CrashLoop);
    assert_eq!(failure.message, "toml: expected ']'\nfailed to parse config");
    assert_eq!(
        suspected(&ended("StartError", "exec: \"/x\": not there")),
        Some(("container", 3))
    );
    let rootless = "[rootlesskit:parent] error: failed to start the child: fork/exec /proc/self/exe: no space left on \
                    device";
    assert_eq!(suspected(&ended("Error", rootless)), Some(("user namespaces", 3)));
}

#[test]
fn pods_that_are_not_started() {
    let reported = |reason: &str, message: &str| {
        let mut agent = waiting("ContainerCreating", "");
        record(&mut agent, ("Pod", "a-1-2"), "kubelet", reason, message);
        suspected(&agent)
    };
    let users = "Failed to create pod sandbox: can't set `spec.hostUsers: false`, runtime does not support user namespaces";
    assert_eq!(
        reported("FailedCreatePodSandBox", users),
        Some(("user namespaces", 3))
    );
    assert_eq!(
        reported("FailedCreatePodSandBox", "cni plugin not initialized"),
        None
    );
    let mount = "MountVolume.SetUp failed for volume \"c\" : configmap \"absent\" not found";
    assert_eq!(reported("FailedMount", mount), Some(("mount", 45)));
    let attached = "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) a-1-1";
    assert_eq!(reported("FailedAttachVolume", attached), None);
}

#[test]
fn only_the_newest_event_of_the_kubelet_counts() {
    let mut agent = waiting("ContainerCreating", "");
    let mount = "MountVolume.SetUp failed for volume \"c\" : configmap \"absent\" not found";
    pulls(&mut agent, "FailedMount", mount);
    assert_eq!(suspected(&agent), Some(("mount", 45)));
    pulls(&mut agent, "Pulling", "Pulling image \"moby/buildkit:x\"");
    assert_eq!(suspected(&agent), None);
}
