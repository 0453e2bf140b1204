//! What would change, line by line.

use std::collections::HashMap;

use serde_json::Value;
use similar::TextDiff;

/// What the server keeps for itself, and changes by itself.
const OF_THE_SERVER: [&str; 5] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
];

/// A copy of the whole object, as kubectl last applied it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

const HIDDEN: &str = "***";
const HIDDEN_CHANGED: &str = "*** (changed)";

/// The difference between an object and what the server would make of it, as `kubectl diff` shows it; `None` when there
/// is none. It goes into a log that others read: of the values of `env` it tells only which have changed.
pub fn diff(title: &str, live: Option<&Value>, wanted: &Value) -> anyhow::Result<Option<String>> {
    let (mut live, mut wanted) = (live.cloned(), wanted.clone());
    let mut known = HashMap::new();
    if let Some(live) = &mut live {
        hide_env(live, "", &mut |place, value| {
            known.insert(place, value.clone());
            HIDDEN
        });
    }
    hide_env(&mut wanted, "", &mut |place, value| {
        if known.get(&place).is_some_and(|known| known != value) {
            HIDDEN_CHANGED
        } else {
            HIDDEN
        }
    });
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

fn yaml(mut object: Value) -> anyhow::Result<String> {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !OF_THE_SERVER.contains(&key.as_str()));
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.shift_remove(LAST_APPLIED);
        }
    }
    super::super::manifests::document(&object)
}

/// Hides the values of `env`, which a patch may have set to something secret, and calls `of` with the place of each.
fn hide_env(object: &mut Value, place: &str, of: &mut impl FnMut(String, &Value) -> &'static str) {
    match object {
        Value::Object(fields) => {
            for (key, value) in fields {
                let place = format!("{place}.{key}");
                if key == "env" {
                    for variable in value.as_array_mut().into_iter().flatten() {
                        let place = format!("{place}[{}]", variable["name"]);
                        if let Some(value) = variable.get_mut("value") {
                            *value = of(place, value).into();
                        }
                    }
                } else {
                    hide_env(value, &place, of);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                let place = format!("{place}[{}]", item["name"]);
                hide_env(item, &place, of);
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
    fn values_of_variables_are_hidden_and_their_change_is_not() {
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
        let wanted = object(json!([
            {"name": "A", "value": "secret-3"}, {"name": "B", "value": "secret-2"}, {"name": "C", "value": "secret-4"},
        ]));
        let text = diff("agent", Some(&live), &wanted)
            .expect("yaml")
            .expect("different");
        insta::assert_snapshot!(text, @r#"
        --- agent as it is
        +++ agent as it will be
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
        let text = diff("agent", None, &wanted).expect("yaml").expect("new");
        assert!(text.contains("***") && !text.contains("secret"), "{text}");
    }
}
