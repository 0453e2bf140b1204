use serde_json::{Value, json};

use super::super::manifests::VOLUME_SIZE;
use super::*;

/// The Deployment that was applied.
fn applied() -> Value {
    serde_saphyr::from_str(include_str!("fixtures/applied.yaml")).expect("YAML")
}

/// The live object of Kubernetes 1.34 after that apply; then `kubectl set env`, `set resources` and `label` added to it.
fn live() -> Value {
    serde_json::from_str(include_str!("fixtures/live.json")).expect("JSON")
}

/// Returns the fields that differ after a change of the desired object.
fn differing_after(change: impl Fn(&mut Value)) -> Vec<String> {
    let mut desired = applied();
    change(&mut desired);
    differing_fields(&desired, &live())
}

fn pod(desired: &mut Value) -> &mut Value {
    &mut desired["spec"]["template"]["spec"]
}

fn without(object: &mut Value, key: &str) {
    object.as_object_mut().expect("an object").remove(key);
}

/// `cpu: 1`, `hostNetwork: false`, `readOnly: false`, `hostAliases: []`, `affinity: {}`, a toleration's `value: ""`, …
#[test]
fn equal_values_in_other_notations_do_not_differ() {
    assert_eq!(differing_after(|_| {}), Vec::<String>::new());
}

#[test]
fn removed_fields_are_named() {
    let removed = differing_after(|desired| {
        without(&mut desired["metadata"]["labels"], "team");
        without(&mut desired["metadata"], "finalizers");
        without(&mut desired["spec"], "minReadySeconds");
        let pod = pod(desired);
        for key in ["hostUsers", "hostNetwork", "tolerations"] {
            without(pod, key);
        }
        without(&mut pod["nodeSelector"], "disk");
        without(&mut pod["volumes"][0]["emptyDir"], "sizeLimit");
        let containers = pod["containers"].as_array_mut().expect("containers");
        containers.truncate(1);
        let buildkitd = &mut containers[0];
        without(buildkitd, "resources");
        buildkitd["env"].as_array_mut().expect("env").remove(1);
        buildkitd["ports"].as_array_mut().expect("ports").pop();
    });
    assert_eq!(
        removed,
        [
            "metadata.finalizers",
            "metadata.labels.team",
            // kubectl owns its CPU limit.
            "spec.template.spec.containers[buildkitd].env[B]",
            "spec.template.spec.containers[buildkitd].ports[80/UDP]",
            "spec.template.spec.containers[buildkitd].resources.limits.memory",
            "spec.template.spec.containers[buildkitd].resources.requests",
            "spec.template.spec.containers[sidecar]",
            "spec.template.spec.hostUsers",
            "spec.template.spec.nodeSelector.disk",
            "spec.template.spec.tolerations",
            "spec.template.spec.volumes[tmp].emptyDir.sizeLimit",
        ]
    );
}

#[test]
fn new_and_changed_fields_are_named() {
    let changed = differing_after(|desired| {
        desired["metadata"]["labels"]["empty"] = json!("");
        let pod = pod(desired);
        pod["automountServiceAccountToken"] = json!(false);
        pod["nodeSelector"]["node-role"] = json!("");
        pod["tolerations"][1]["value"] = json!("x");
        without(&mut pod["tolerations"][0], "effect");
        pod["containers"][1]["image"] = json!("other");
        let buildkitd = &mut pod["containers"][0];
        buildkitd["resources"]["requests"]["cpu"] = json!(1.5);
        buildkitd["env"][0]["value"] = json!("x");
        buildkitd["env"][1]["value"] = json!("1");
        buildkitd["volumeMounts"] = json!([{"mountPath": "/var", "name": "tmp"}]);
    });
    assert_eq!(
        changed,
        [
            "metadata.labels.empty",
            "spec.template.spec.nodeSelector.node-role",
            "spec.template.spec.tolerations[1].value",
            "spec.template.spec.containers[buildkitd].env[A].value",
            "spec.template.spec.containers[buildkitd].env[B].value",
            "spec.template.spec.containers[buildkitd].resources.requests.cpu",
            "spec.template.spec.containers[buildkitd].volumeMounts[/var]",
            "spec.template.spec.containers[sidecar].image",
            "spec.template.spec.automountServiceAccountToken",
            "spec.template.spec.containers[buildkitd].volumeMounts[/tmp]",
            "spec.template.spec.tolerations[0].effect",
        ]
    );
}

#[test]
fn the_volume_may_have_grown() {
    let grown = differing_after(|desired| {
        desired["spec"]["template"]["metadata"]["annotations"][VOLUME_SIZE] = json!("1")
    });
    assert_eq!(grown, Vec::<String>::new());
}

#[test]
fn only_a_changed_template_replaces_the_pod() {
    let live = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"template": {"spec": {"image": "a"}}}});
    let mut desired = live.clone();
    desired["metadata"]["labels"]["a"] = json!("2");
    assert!(!replaces_pod(&live, &desired));
    desired["spec"]["template"]["spec"]["image"] = json!("b");
    assert!(replaces_pod(&live, &desired));
}
