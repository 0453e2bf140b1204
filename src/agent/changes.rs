//! How an agent that runs differs from the one that the inputs describe.

use serde_json::Value;
use similar::TextDiff;

use super::manifests::VOLUME_SIZE;
use super::quantity;

/// What the server keeps for itself, and changes by itself.
const OF_THE_SERVER: [&str; 5] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
];

/// The difference between an object and what the server would make of it, as `kubectl diff` shows it; `None` when there
/// is none.
pub fn diff(title: &str, live: Option<&Value>, wanted: &Value) -> anyhow::Result<Option<String>> {
    let before = live.map(yaml).transpose()?.unwrap_or_default();
    let after = yaml(wanted)?;
    if before == after {
        return Ok(None);
    }
    let diff = TextDiff::from_lines(&before, &after);
    let (from, to) = (format!("{title} as it is"), format!("{title} as it will be"));
    Ok(Some(
        diff.unified_diff()
            .context_radius(2)
            .header(&from, &to)
            .to_string(),
    ))
}

/// Whether a Deployment's pod would be replaced.
pub fn restarts(live: &Value, wanted: &Value) -> bool {
    live["spec"]["template"] != wanted["spec"]["template"]
}

fn yaml(object: &Value) -> anyhow::Result<String> {
    let mut object = object.clone();
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !OF_THE_SERVER.contains(&key.as_str()));
    }
    super::manifests::document(&object)
}

/// The fields in which a live object is not as wanted. What the live one has in addition does not count: the server and
/// others add to it. The size of the volume does not either: it may have grown.
pub fn differing(wanted: &Value, live: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(wanted, live, "", &mut found);
    found
}

fn compare(wanted: &Value, live: &Value, path: &str, found: &mut Vec<String>) {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(_)) => {
            for (key, value) in wanted.iter().filter(|(key, _)| *key != VOLUME_SIZE) {
                let path = format!("{path}.{key}");
                compare(value, &live[key], path.trim_start_matches('.'), found);
            }
        }
        (Value::Array(wanted), Value::Array(live)) if wanted.len() == live.len() => {
            for (number, (wanted, live)) in wanted.iter().zip(live).enumerate() {
                compare(wanted, live, &format!("{path}[{number}]"), found);
            }
        }
        (Value::String(wanted), Value::String(live)) if quantity::same(wanted, live) => {}
        _ if wanted == live => {}
        _ => found.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_reads_as_kubectls() {
        let live = json!({
            "metadata": {"name": "agent", "generation": 1, "resourceVersion": "7"},
            "spec": {"replicas": 1, "strategy": "Recreate", "image": "a"},
            "status": {"readyReplicas": 1}
        });
        let mut wanted = live.clone();
        wanted["metadata"]["generation"] = json!(2);
        assert_eq!(
            diff("Deployment agent", Some(&live), &wanted).expect("yaml"),
            None
        );
        wanted["spec"]["image"] = json!("b");
        let text = diff("Deployment agent", Some(&live), &wanted).expect("yaml");
        insta::assert_snapshot!(text.expect("different"), @r"
        --- Deployment agent as it is
        +++ Deployment agent as it will be
        @@ -4,3 +4,3 @@
           replicas: 1
           strategy: Recreate
        -  image: a
        +  image: b
        ");
    }

    #[test]
    fn only_a_changed_template_replaces_the_pod() {
        let live =
            json!({"metadata": {"labels": {"a": "1"}}, "spec": {"template": {"spec": {"image": "a"}}}});
        let mut wanted = live.clone();
        wanted["metadata"]["labels"]["a"] = json!("2");
        assert!(!restarts(&live, &wanted));
        wanted["spec"]["template"]["spec"]["image"] = json!("b");
        assert!(restarts(&live, &wanted));
    }

    #[test]
    fn differences_are_named_and_additions_are_none() {
        let wanted = json!({"spec": {
            "replicas": 1, "cpu": "0.5", "memory": "1024Mi", "image": "b", "tolerations": [{"key": "a"}],
            VOLUME_SIZE: "1"
        }});
        let live = json!({"spec": {
            "replicas": 1, "cpu": "500m", "memory": "1Gi", "image": "a", "added": true,
            "tolerations": [{"key": "a", "operator": "Exists"}], VOLUME_SIZE: "2"
        }, "status": {}});
        assert_eq!(differing(&wanted, &live), ["spec.image"]);
        let fewer = json!({"spec": {"tolerations": []}});
        assert_eq!(
            differing(&json!({"spec": {"tolerations": [{}]}}), &fewer),
            ["spec.tolerations"]
        );
    }
}
