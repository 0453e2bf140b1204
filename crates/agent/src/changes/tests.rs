use serde_json::{Value, json};

use super::super::manifests::VOLUME_SIZE;
use super::*;

/// As it was applied by us.
fn applied() -> Value {
    serde_saphyr::from_str(include_str!("fixtures/applied.yaml")).expect("YAML")
}

/// What a server of Kubernetes 1.34 made of it; then `kubectl set env`, `set resources` and `label` added to it.
fn live() -> Value {
    serde_json::from_str(include_str!("fixtures/live.json")).expect("JSON")
}

/// The fields that differ when something else is wanted now.
fn with(change: impl Fn(&mut Value)) -> Vec<String> {
    let mut wanted = applied();
    change(&mut wanted);
    differing(&wanted, &live())
}

fn pod(wanted: &mut Value) -> &mut Value {
    &mut wanted["spec"]["template"]["spec"]
}

fn without(object: &mut Value, key: &str) {
    object.as_object_mut().expect("an object").remove(key);
}

/// `cpu: 1`, `hostNetwork: false`, `readOnly: false`, `hostAliases: []`, `affinity: {}`, a toleration's `value: ""`, …
#[test]
fn what_was_applied_does_not_differ_however_it_is_written() {
    assert_eq!(with(|_| {}), Vec::<String>::new());
}

#[test]
fn what_was_taken_out_is_named() {
    let taken = with(|wanted| {
        without(&mut wanted["metadata"]["labels"], "team");
        without(&mut wanted["metadata"], "finalizers");
        without(&mut wanted["spec"], "minReadySeconds");
        let pod = pod(wanted);
        for key in ["hostUsers", "hostNetwork", "tolerations"] {
            without(pod, key);
        }
        without(&mut pod["nodeSelector"], "disk");
        without(&mut pod["volumes"][0]["emptyDir"], "sizeLimit");
        let containers = pod["containers"].as_array_mut().expect("containers");
        containers.truncate(1);
        let ours = &mut containers[0];
        without(ours, "resources");
        ours["env"].as_array_mut().expect("env").remove(1);
        ours["ports"].as_array_mut().expect("ports").pop();
    });
    assert_eq!(
        taken,
        [
            "metadata.finalizers",
            "metadata.labels.team",
            // Its limit of the CPU is kubectl's.
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
fn what_is_new_or_other_is_named() {
    let changed = with(|wanted| {
        wanted["metadata"]["labels"]["empty"] = json!("");
        let pod = pod(wanted);
        pod["automountServiceAccountToken"] = json!(false);
        pod["nodeSelector"]["node-role"] = json!("");
        pod["tolerations"][1]["value"] = json!("x");
        without(&mut pod["tolerations"][0], "effect");
        pod["containers"][1]["image"] = json!("other");
        let ours = &mut pod["containers"][0];
        ours["resources"]["requests"]["cpu"] = json!(1.5);
        ours["env"][0]["value"] = json!("x");
        ours["env"][1]["value"] = json!("1");
        ours["volumeMounts"] = json!([{"mountPath": "/var", "name": "tmp"}]);
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
    let grown =
        with(|wanted| wanted["spec"]["template"]["metadata"]["annotations"][VOLUME_SIZE] = json!("1"));
    assert_eq!(grown, Vec::<String>::new());
}

#[test]
fn only_a_changed_template_replaces_the_pod() {
    let live = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"template": {"spec": {"image": "a"}}}});
    let mut wanted = live.clone();
    wanted["metadata"]["labels"]["a"] = json!("2");
    assert!(!restarts(&live, &wanted));
    wanted["spec"]["template"]["spec"]["image"] = json!("b");
    assert!(restarts(&live, &wanted));
}
