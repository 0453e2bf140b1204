use proptest::prelude::*;
use serde_json::json;

use super::*;

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "agent", "namespace": "ci", "labels": {"app": "agent"}},
        "spec": {"replicas": 1, "template": {"spec": {
            "containers": [{
                "name": "buildkitd", "image": "moby/buildkit",
                "args": ["--a", "--b"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
            }],
            "tolerations": [{"key": "old"}],
            "volumes": [
                {"name": "cache", "persistentVolumeClaim": {"claimName": "agent"}},
                {"name": "config", "configMap": {"name": "agent"}},
            ],
        }}},
    })
}

fn apply(yaml: &str) -> Result<Value, PatchError> {
    DeploymentPatch::parse(yaml)?.apply(deployment())
}

/// Returns the spec of the pod after a patch of it.
fn pod(patch: Value) -> Result<Value, PatchError> {
    let patch = json!({"spec": {"template": {"spec": patch}}});
    Ok(apply(&patch.to_string())?["spec"]["template"]["spec"].take())
}

#[test]
fn lists_are_merged_by_key_or_replaced() -> Result<(), PatchError> {
    let patched = pod(json!({
        "containers": [
            {"name": "buildkitd", "env": [{"name": "C", "value": "3"}, {"name": "A", "value": null, "valueFrom": {}}]},
            {"name": "sidecar", "image": "s"},
        ],
        "tolerations": [{"key": "new"}],
        "volumes": [{"name": "cache", "$patch": "delete"}, {"name": "tmp", "emptyDir": {}}],
    }))?;
    assert_eq!(
        patched["containers"],
        json!([
            {
                "name": "buildkitd", "image": "moby/buildkit",
                "args": ["--a", "--b"],
                "env": [{"name": "C", "value": "3"}, {"name": "A", "valueFrom": {}}, {"name": "B", "value": "2"}],
                "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
            },
            {"name": "sidecar", "image": "s"},
        ])
    );
    assert_eq!(patched["tolerations"], json!([{"key": "new"}]));
    let names: Vec<_> = patched["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|v| &v["name"])
        .collect();
    assert_eq!(names, ["tmp", "config"]);
    Ok(())
}

#[test]
fn the_daemon_stays_the_first_container() -> Result<(), PatchError> {
    let sidecars = json!([{"name": "x"}, {"name": "y"}]);
    let patched = pod(json!({"containers": sidecars}))?;
    let names: Vec<_> = patched["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["buildkitd", "x", "y"]);
    let gone = pod(json!({"containers": [{"name": "buildkitd", "$patch": "delete"}]}));
    assert_eq!(
        gone.expect_err("no daemon").to_string(),
        "`spec.template.spec.containers`: a patch cannot remove the container `buildkitd`"
    );
    let gone = pod(json!({"containers": null}));
    assert_eq!(
        gone.expect_err("none").to_string(),
        "`spec.template.spec.containers`: a patch cannot remove all containers"
    );
    Ok(())
}

#[test]
fn null_and_directives_remove() -> Result<(), PatchError> {
    let patched = pod(json!({
        "containers": [{
            "name": "buildkitd", "image": null, "$deleteFromPrimitiveList/args": ["--a"],
            "env": [{"$patch": "replace"}, {"name": "Z", "value": "9"}],
        }],
        "tolerations": null,
        "volumes": [{"name": "config", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}],
        "nodeSelector": {"absent": null, "disk": "nvme"},
    }))?;
    let container = &patched["containers"][0];
    assert_eq!(container.get("image"), None);
    assert_eq!(container["args"], json!(["--b"]));
    assert_eq!(container["env"], json!([{"name": "Z", "value": "9"}]));
    assert_eq!(patched.get("tolerations"), None);
    assert_eq!(
        patched["volumes"][1],
        json!({"name": "config", "secret": {"secretName": "s"}})
    );
    assert_eq!(patched["nodeSelector"], json!({"disk": "nvme"}));
    let patched =
        apply("metadata: {labels: {$patch: replace, team: a}}\nspec: {strategy: {$patch: delete}}")?;
    assert_eq!(patched["metadata"]["labels"], json!({"team": "a"}));
    assert_eq!(patched["spec"].get("strategy"), None);
    Ok(())
}

#[test]
fn a_complete_deployment_may_be_the_patch() -> Result<(), PatchError> {
    assert_eq!(apply(&deployment().to_string())?, deployment());
    Ok(())
}

#[test]
fn numbers_are_parsed_as_by_kubectl() -> Result<(), PatchError> {
    let patched = apply("spec: {a: 0440, b: 440, c: \"0440\", d: 0, e: 0.5, f: 0o17, g: 089}")?;
    assert_eq!(
        patched["spec"]
            .as_object()
            .map(|spec| spec.values().skip(2).collect::<Vec<_>>()),
        Some(vec![
            &json!(288),
            &json!(440),
            &json!("0440"),
            &json!(0),
            &json!(0.5),
            &json!(15),
            &json!(89.0)
        ])
    );
    Ok(())
}

#[test]
fn errors_name_their_place() {
    let containers = |list: &str| format!("{{spec: {{template: {{spec: {{containers: [{list}]}}}}}}}}");
    for (yaml, expected) in [
        ("spec:\n  replicas: 1\n template: {}\n".to_owned(), "line 3"),
        ("spec: {}\nspec: {}\n".into(), "line 2"),
        ("- a".into(), "a patch must be a mapping"),
        (String::new(), "a patch must be a mapping"),
        ("kind: Pod".into(), "`kind`: must be \"Deployment\", not \"Pod\""),
        (
            "template: {}".into(),
            "unknown field `template`; a patch can change `metadata` and `spec`",
        ),
        (
            "metadata: {$patch: replace, labels: {}}".into(),
            "`metadata`: a patch cannot change metadata.name",
        ),
        (
            "metadata: {name: other}".into(),
            "`metadata`: a patch cannot change metadata.name",
        ),
        (
            containers("{image: x}"),
            "`spec.template.spec.containers`: an element has no \"name\"",
        ),
        (
            containers("null"),
            "`spec.template.spec.containers`: elements must be mappings, not nothing",
        ),
        (
            containers("{name: buildkitd, $patch: merge}"),
            "`spec.template.spec.containers`: $patch must be replace or delete, not \"merge\"",
        ),
        (
            "{spec: {$setElementOrder/x: []}}".into(),
            "`spec.$setElementOrder/x`: a patch cannot order lists",
        ),
        (
            "{spec: {$patch: remove}}".into(),
            "`spec`: $patch must be replace or delete, not \"remove\"",
        ),
        (
            "{spec: {template: {spec: {tolerations: [{$patch: delete, key: old}]}}}}".into(),
            "`spec.template.spec.tolerations`: the list is replaced as a whole",
        ),
        (
            "{metadata: {labels: {$retainKeys: [a], b: c}}}".into(),
            "`metadata.labels`: sets \"b\", which its $retainKeys does not name",
        ),
    ] {
        let error = apply(&yaml).expect_err(&yaml).to_string();
        assert!(error.contains(expected), "{yaml}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_rejected(text in "\\PC*|[a-z:{}\\[\\]$ ,\n-]{0,60}") {
        if let Ok(patch) = DeploymentPatch::parse(&text) {
            drop(patch.apply(deployment()));
        }
    }

    /// A patch without directives is idempotent.
    #[test]
    fn a_patch_applied_twice_is_applied_once(
        env in prop::collection::btree_map("[A-E]", "[0-9]", 0..5),
        sidecars in prop::collection::btree_set("[a-d]", 0..4),
    ) {
        let env: Vec<_> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let sidecars = sidecars.iter().map(|name| json!({"name": name}));
        let containers: Vec<_> = sidecars.chain([json!({"name": "buildkitd", "env": env})]).collect();
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}}).to_string();
        let patch = DeploymentPatch::parse(&patch).expect("a patch");
        let once = patch.apply(deployment()).expect("applies");
        prop_assert_eq!(patch.apply(once.clone()).expect("applies again"), once);
    }
}
