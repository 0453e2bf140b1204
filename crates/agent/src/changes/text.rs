//! The line diff of an object before and after an apply.

use std::collections::HashMap;

use serde_json::Value;
use similar::TextDiff;

/// Metadata that the API server sets.
const SERVER_METADATA: [&str; 5] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
];

/// A copy of the whole object, from kubectl's last apply.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

const HIDDEN: &str = "***";
const HIDDEN_CHANGED: &str = "*** (changed)";

/// Returns the diff between an object and the result of a dry run, as `kubectl diff` prints it; `None` if they are equal.
/// It is printed to a log that others can read, so of the values of `env` it shows only which have changed.
pub fn diff(title: &str, live: Option<&Value>, desired: &Value) -> anyhow::Result<Option<String>> {
    let (mut live, mut desired) = (live.cloned(), desired.clone());
    let mut known = HashMap::new();
    if let Some(live) = &mut live {
        hide_env(live, "", &mut |path, value| {
            known.insert(path, value.clone());
            HIDDEN
        });
    }
    hide_env(&mut desired, "", &mut |path, value| {
        if known.get(&path).is_some_and(|known| known != value) {
            HIDDEN_CHANGED
        } else {
            HIDDEN
        }
    });
    let before = live.map(yaml).transpose()?.unwrap_or_default();
    let after = yaml(desired)?;
    if before == after {
        return Ok(None);
    }
    let diff = TextDiff::from_lines(&before, &after);
    let (from, to) = (format!("{title} (live)"), format!("{title} (after apply)"));
    Ok(Some(
        diff.unified_diff()
            .context_radius(2)
            .header(&from, &to)
            .to_string(),
    ))
}

fn yaml(mut object: Value) -> anyhow::Result<String> {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !SERVER_METADATA.contains(&key.as_str()));
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.shift_remove(LAST_APPLIED);
        }
    }
    super::super::manifests::yaml(&[object])
}

/// Hides the values of `env`, which a patch may have set to a secret. `replace` gets the path and value of each, and returns
/// what is shown instead.
fn hide_env(object: &mut Value, path: &str, replace: &mut impl FnMut(String, &Value) -> &'static str) {
    match object {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = format!("{path}.{key}");
                if key == "env" {
                    for variable in value.as_array_mut().into_iter().flatten() {
                        let path = format!("{path}[{}]", variable["name"]);
                        if let Some(value) = variable.get_mut("value") {
                            *value = replace(path, value).into();
                        }
                    }
                } else {
                    hide_env(value, &path, replace);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                let path = format!("{path}[{}]", item["name"]);
                hide_env(item, &path, replace);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_diff_looks_like_kubectls() {
        let live = json!({
            "metadata": {"name": "agent", "generation": 1, "resourceVersion": "7"},
            "spec": {"replicas": 1, "strategy": "Recreate", "image": "a"},
            "status": {"readyReplicas": 1}
        });
        let mut desired = live.clone();
        desired["metadata"]["generation"] = json!(2);
        assert_eq!(
            diff("Deployment agent", Some(&live), &desired).expect("yaml"),
            None
        );
        desired["spec"]["image"] = json!("b");
        let text = diff("Deployment agent", Some(&live), &desired).expect("yaml");
        insta::assert_snapshot!(text.expect("different"), @r"
        --- Deployment agent (live)
        +++ Deployment agent (after apply)
        @@ -4,3 +4,3 @@
           replicas: 1
           strategy: Recreate
        -  image: a
        +  image: b
        ");
    }

    #[test]
    fn values_of_variables_are_hidden_but_not_their_change() {
        let object = |env: Value| {
            json!({
                "metadata": {"annotations": {LAST_APPLIED: env.to_string(), "a": "b"}},
                "spec": {"template": {"spec": {
                    "containers": [{"name": "sidecar", "env": [{"name": "A", "value": "1"}]}, {"name": "agent", "env": env}],
                }}}
            })
        };
        let live = object(json!([{"name": "A", "value": "secret-1"}, {"name": "B", "value": "secret-2"}]));
        assert_eq!(diff("agent", Some(&live), &live).expect("yaml"), None);
        let desired = object(json!([
            {"name": "A", "value": "secret-3"}, {"name": "B", "value": "secret-2"}, {"name": "C", "value": "secret-4"},
        ]));
        let text = diff("agent", Some(&live), &desired)
            .expect("yaml")
            .expect("different");
        insta::assert_snapshot!(text, @r#"
        --- agent (live)
        +++ agent (after apply)
        @@ -13,5 +13,7 @@
                 env:
                 - name: A
        +          value: "*** (changed)"
        +        - name: B
                   value: "***"
        -        - name: B
        +        - name: C
                   value: "***"
        "#);
        let text = diff("agent", None, &desired).expect("yaml").expect("new");
        assert!(text.contains("***") && !text.contains("secret"), "{text}");
    }
}
