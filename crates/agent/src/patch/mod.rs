//! The input `patch`: a strategic merge patch on the Deployment, for whatever has no input of its own.
//!
//! It is applied here and not by the server, because what is applied must be whole: with server-side apply a field
//! that is left out is a field given up, so a patch sent after it would be undone by the next run.
//!
//! The rules are those of the API server (k8s.io/apimachinery, pkg/util/strategicpatch/patch.go); no crate has them:
//! `DeepMerge` of k8s-openapi knows neither `null` nor `$patch`. One rule is ours: buildkitd stays the first
//! container. Strategic merge puts a new one in front, and buildx starts its commands in the first.

mod merge;

use serde_json::Value;
use serde_saphyr::UserMessageFormatter;

use merge::{Object, merge};

pub(super) use merge::{List, list};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch(Object);

/// The container of the daemon, and where the containers are.
const CONTAINER: &str = "buildkitd";
const CONTAINERS: &str = "/spec/template/spec/containers";

impl Patch {
    /// YAML: the part of the Deployment to change, or a whole one.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        // As kubectl reads it, for which `defaultMode: 0440` is octal (sigs.k8s.io/yaml speaks YAML 1.1).
        let options = serde_saphyr::options! { legacy_octal_numbers: true };
        let patch = match serde_saphyr::from_str_with_options(yaml, options) {
            Ok(Value::Object(patch)) => patch,
            Ok(other) => {
                let kind = kind(&other);
                return Err(format!("a patch is a mapping such as `spec: …`, not {kind}"));
            }
            Err(error) => return Err(syntax(&error)),
        };
        for (key, expected) in [("apiVersion", "apps/v1"), ("kind", "Deployment")] {
            if let Some(found) = patch.get(key).filter(|v| *v != expected) {
                return Err(format!("`{key}` is {found}, but the patch is for `{expected}`"));
            }
        }
        for key in patch.keys() {
            if !["apiVersion", "kind", "metadata", "spec"].contains(&key.as_str()) {
                return Err(format!(
                    "a Deployment has no `{key}` to patch; it has `metadata` and `spec`"
                ));
            }
        }
        Ok(Self(patch))
    }

    pub fn apply(&self, deployment: Value) -> Result<Value, String> {
        let Value::Object(mut patched) = deployment else {
            return Err("the Deployment is not an object".into());
        };
        let identity = |object: &Object| {
            let metadata = object.get("metadata");
            ["name", "namespace"].map(|field| metadata.and_then(|m| m.get(field)).cloned())
        };
        let before = identity(&patched);
        merge(&mut patched, &self.0, "")?;
        if identity(&patched) != before {
            return Err(
                "it changes `metadata.name` or `metadata.namespace`, by which the agent is found".into(),
            );
        }
        let mut patched = Value::Object(patched);
        let containers = patched.pointer_mut(CONTAINERS).and_then(Value::as_array_mut);
        let Some(containers) = containers else {
            return Err("it leaves the Deployment without containers".into());
        };
        let Some(ours) = containers.iter().position(|c| c["name"] == CONTAINER) else {
            return Err(format!("it takes the container `{CONTAINER}` away"));
        };
        containers[..=ours].rotate_right(1);
        Ok(patched)
    }
}

/// With the place first, as faults of other inputs have it.
fn syntax(error: &serde_saphyr::Error) -> String {
    let error = error.without_snippet();
    let message = error.render_with_formatter(&UserMessageFormatter);
    match error.location() {
        Some(at) => {
            let place = format!("line {}, column {}", at.line(), at.column());
            let message = message.strip_suffix(&format!(" at {place}")).unwrap_or(&message);
            format!("{place}: {message}")
        }
        None => message,
    }
}

/// For messages: a value may be secret.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests;
