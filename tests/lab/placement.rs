//! Inputs that place an agent, and inputs that only the API server can validate, which it does before any change.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::{Namespace, Runner};

/// The other tests request nothing. An agent with the defaults reserves something, and its memory has no limit.
#[test]
fn default_requests_are_applied() -> Result<()> {
    let namespace = Namespace::new("reserved")?;
    let mut runner = Runner::new()?;
    for (variable, _) in lab::NO_REQUESTS {
        runner.env.remove(variable);
    }
    let connected = runner.connect(&[("namespace", "reserved")])?.ok()?;
    let pod = namespace.json(&["get", "pod", &connected.outputs["agent"]])?;
    let resources = &pod["spec"]["containers"][0]["resources"];
    ensure!(
        *resources == json!({"requests": {"cpu": "1", "memory": "2Gi"}}),
        "{resources}"
    );
    ensure!(pod["status"]["qosClass"] == "Burstable", "{}", pod["status"]);

    // An agent that reserves nothing, such as one of an earlier version, stays until `deploy: always` updates it.
    let nothing = [("namespace", "reserved"), ("cpu", "0"), ("memory", "0")];
    let differing = Runner::new()?.connect(&nothing)?.ok()?;
    ensure!(
        differing
            .log
            .contains("it differs from the inputs in spec.template.spec.containers[buildkitd].resources"),
        "{}",
        differing.log
    );
    let always = [&nothing[..], &[("deploy", "always")]].concat();
    let updated = Runner::new()?.connect(&always)?.ok()?;
    ensure!(updated.log.contains("-          requests:"), "{}", updated.log);
    let differing = runner.connect(&[("namespace", "reserved")])?.ok()?;
    ensure!(
        differing
            .log
            .contains("it differs from the inputs in spec.template.spec.containers[buildkitd].resources"),
        "{}",
        differing.log
    );
    Ok(())
}

#[test]
fn placement_inputs_are_applied() -> Result<()> {
    let namespace = Namespace::new("placed")?;
    namespace.kubectl(&["create", "serviceaccount", "builder"])?;
    let inputs = [
        ("namespace", "placed"),
        ("node-selector", "kubernetes.io/hostname=node1"),
        ("tolerations", "dedicated=builds:NoSchedule"),
        ("service-account", "builder"),
        ("labels", "team=platform"),
        (
            "annotations",
            "example.com/note=a, b\nkarpenter.sh/do-not-disrupt=false",
        ),
        (
            "patch",
            "spec: {template: {spec: {containers: [{name: buildkitd, env: [{name: A, value: b}]}]}}}",
        ),
        ("registry-mirrors", "docker.io=http://mirror.example:5000"),
    ];
    let mut runner = Runner::new()?;
    let connected = runner.connect(&inputs)?.ok()?;
    let pod = namespace.json(&["get", "pod", &connected.outputs["agent"]])?;
    ensure!(pod["spec"]["nodeName"] == "node1", "{}", pod["spec"]);
    ensure!(pod["spec"]["serviceAccountName"] == "builder", "{}", pod["spec"]);
    ensure!(
        pod["spec"]["automountServiceAccountToken"] == false,
        "{}",
        pod["spec"]
    );
    ensure!(
        pod["spec"]["containers"][0]["env"][0]["value"] == "b",
        "{}",
        pod["spec"]
    );
    ensure!(
        pod["metadata"]["labels"]["team"] == "platform",
        "{}",
        pod["metadata"]
    );
    let annotations = &pod["metadata"]["annotations"];
    ensure!(annotations["example.com/note"] == "a, b", "{annotations}");
    ensure!(
        annotations["karpenter.sh/do-not-disrupt"] == "false",
        "{annotations}"
    );
    let safe = &annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"];
    ensure!(safe == "false", "{annotations}");
    let log = runner.build("RUN echo built")?;
    ensure!(log.contains("built"), "{log}");

    // None of the inputs differs from what the server stored.
    let again = Runner::new()?.connect(&inputs)?.ok()?;
    ensure!(!again.log.contains("it differs"), "{}", again.log);
    Ok(())
}

/// Inputs that only the server can validate are checked in a dry run, so nothing is created.
#[test]
fn rejected_inputs_change_nothing() -> Result<()> {
    let namespace = Namespace::new("refused")?;
    let refused = |inputs: &[(&str, &str)]| -> Result<String> {
        let outcome = Runner::new()?.connect(&[&[("namespace", "refused")], inputs].concat())?;
        ensure!(outcome.code == Some(1), "{}", outcome.log);
        Ok(outcome.log)
    };
    let unknown = ("patch", "spec: {template: {spec: {nonsense: true}}}");
    let log = refused(&[unknown])?;
    ensure!(
        log.contains("nonsense") && log.contains("title=Cluster rejected the request"),
        "{log}"
    );
    let log = refused(&[("patch", "spec: {template: {spec: {restartPolicy: Never}}}")])?;
    ensure!(log.contains("restartPolicy"), "{log}");
    ensure!(
        namespace.names("deployment,pvc")?.is_empty(),
        "something was created"
    );

    // An existing agent stays unchanged.
    Runner::new()?.connect(&[("namespace", "refused")])?.ok()?;
    let before = namespace.json(&["get", "deployment", "remote-buildkit-agent"])?;
    let log = refused(&[unknown, ("deploy", "always"), ("max-parallelism", "2")])?;
    ensure!(log.contains("nonsense"), "{log}");
    let after = namespace.json(&["get", "deployment", "remote-buildkit-agent"])?;
    ensure!(
        before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"],
        "{after}"
    );
    let config = namespace.kubectl(&["get", "configmap", "remote-buildkit-agent", "-o", "yaml"])?;
    ensure!(!config.contains("max-parallelism"), "{config}");
    Ok(())
}
