//! The input `patch`: a strategic merge patch on the Deployment, for fields without an input.
//!
//! It is applied here and not by the API server, because server-side apply needs the complete object: a field that is left
//! out is removed, so the next run would undo a patch that is sent separately.
//!
//! The rules are those of the API server (k8s.io/apimachinery, pkg/util/strategicpatch/patch.go). No crate implements
//! them: `DeepMerge` of k8s-openapi supports neither `null` nor `$patch`. One rule is added: buildkitd stays the first
//! container. Strategic merge inserts a new container before it, and buildx runs its commands in the first one.

mod merge;

use std::fmt;

use serde_json::Value;
use serde_saphyr::UserMessageFormatter;

use merge::{Object, merge};

pub(super) use merge::{MergeStrategy, merge_strategy};

/// A validated patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentPatch(Object);

/// Why a patch cannot be parsed or applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchError {
    pub place: PatchPlace,
    pub message: String,
}

/// The place of an error in a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchPlace {
    /// Of a syntax error; both from 1.
    Text { line: u64, column: u64 },
    /// A field of the Deployment.
    Field(String),
    /// The patch as a whole.
    Document,
}

impl PatchError {
    /// Returns an error at a field.
    pub(super) fn at(field: &str, message: impl Into<String>) -> Self {
        if field.is_empty() {
            return Self::of_document(message);
        }
        Self {
            place: PatchPlace::Field(field.to_owned()),
            message: message.into(),
        }
    }

    fn of_document(message: impl Into<String>) -> Self {
        Self {
            place: PatchPlace::Document,
            message: message.into(),
        }
    }
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            PatchPlace::Text { line, column } => write!(f, "line {line}, column {column}: ")?,
            PatchPlace::Field(field) => write!(f, "`{field}`: ")?,
            PatchPlace::Document => {}
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for PatchError {}

/// The container of the daemon.
const CONTAINER: &str = "buildkitd";
const CONTAINERS: &str = "spec.template.spec.containers";

impl DeploymentPatch {
    /// Parses YAML: the part of the Deployment to change, or a complete Deployment.
    pub fn parse(yaml: &str) -> Result<Self, PatchError> {
        // As in kubectl, `defaultMode: 0440` is octal (sigs.k8s.io/yaml implements YAML 1.1).
        let options = serde_saphyr::options! { legacy_octal_numbers: true };
        let patch = match serde_saphyr::from_str_with_options(yaml, options) {
            Ok(Value::Object(patch)) => patch,
            Ok(other) => {
                let message = format!(
                    "a patch must be a mapping such as `spec: …`, not {}",
                    kind(&other)
                );
                return Err(PatchError::of_document(message));
            }
            Err(error) => return Err(syntax_error(&error)),
        };
        for (key, expected) in [("apiVersion", "apps/v1"), ("kind", "Deployment")] {
            if let Some(found) = patch.get(key).filter(|v| *v != expected) {
                return Err(PatchError::at(
                    key,
                    format!("must be \"{expected}\", not {found}"),
                ));
            }
        }
        for key in patch.keys() {
            if !["apiVersion", "kind", "metadata", "spec"].contains(&key.as_str()) {
                return Err(PatchError::of_document(format!(
                    "unknown field `{key}`; a patch can change `metadata` and `spec`"
                )));
            }
        }
        Ok(Self(patch))
    }

    /// Returns the patched Deployment.
    pub fn apply(&self, deployment: Value) -> Result<Value, PatchError> {
        let Value::Object(mut patched) = deployment else {
            return Err(PatchError::of_document("the Deployment is not an object"));
        };
        let identity = |object: &Object| {
            let metadata = object.get("metadata");
            ["name", "namespace"].map(|field| metadata.and_then(|m| m.get(field)).cloned())
        };
        let before = identity(&patched);
        merge(&mut patched, &self.0, "")?;
        if identity(&patched) != before {
            let message =
                "a patch cannot change metadata.name or metadata.namespace, which identify the agent";
            return Err(PatchError::at("metadata", message));
        }
        let mut patched = Value::Object(patched);
        let containers = patched
            .pointer_mut("/spec/template/spec/containers")
            .and_then(Value::as_array_mut);
        let Some(containers) = containers else {
            return Err(PatchError::at(CONTAINERS, "a patch cannot remove all containers"));
        };
        let Some(index) = containers.iter().position(|c| c["name"] == CONTAINER) else {
            let message = format!("a patch cannot remove the container `{CONTAINER}`");
            return Err(PatchError::at(CONTAINERS, message));
        };
        containers[..=index].rotate_right(1);
        Ok(patched)
    }
}

/// Returns a syntax error with its place.
fn syntax_error(error: &serde_saphyr::Error) -> PatchError {
    let error = error.without_snippet();
    let message = error.render_with_formatter(&UserMessageFormatter);
    match error.location() {
        Some(location) => {
            let (line, column) = (location.line(), location.column());
            let place = format!(" at line {line}, column {column}");
            PatchError {
                place: PatchPlace::Text { line, column },
                message: message.strip_suffix(&place).unwrap_or(&message).to_owned(),
            }
        }
        None => PatchError::of_document(message),
    }
}

/// Returns the kind of a value for messages, which must not show it: it may be a secret.
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
