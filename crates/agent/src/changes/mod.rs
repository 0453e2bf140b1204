//! Compares an existing Deployment with the Deployment that the inputs describe.

mod compare;
mod owners;
mod removed;
mod text;

use serde_json::Value;

use compare::find_differing;
use owners::FieldOwners;
use removed::find_removed;
pub use text::diff;

/// Returns whether a change of a Deployment replaces its pod.
pub fn replaces_pod(live: &Value, desired: &Value) -> bool {
    live["spec"]["template"] != desired["spec"]["template"]
}

/// Returns the paths of the fields in which a live object differs from the desired one, and of those that this program set
/// and that are no longer desired. Other fields of the live object do not count: the API server and others add them.
/// Nor does the size of the volume, which may have grown.
pub fn differing_fields(desired: &Value, live: &Value) -> Vec<String> {
    let owners = FieldOwners::of(live);
    let mut found = Vec::new();
    find_differing(desired, live, &owners, &FieldPath::default(), &mut found);
    find_removed(desired, live, &owners, &FieldPath::default(), &mut found);
    found
}

/// The path of a field of an object, and what the comparison needs to know about it.
#[derive(Debug, Default)]
struct FieldPath {
    path: String,
    name: String,
    /// Whether strings and numbers are quantities here.
    quantity: bool,
}

/// Maps of arbitrary keys to strings. They have no defaults, and an empty string is a value.
const STRING_MAPS: [&str; 5] = [
    "labels",
    "annotations",
    "nodeSelector",
    "matchLabels",
    "volumeAttributes",
];

impl FieldPath {
    fn field(&self, name: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        let resources = self.name == "resources" && ["requests", "limits"].contains(&name);
        Self {
            path: format!("{}{dot}{name}", self.path),
            name: name.to_owned(),
            quantity: self.quantity || resources || ["sizeLimit", "divisor"].contains(&name),
        }
    }

    fn element(&self, label: &str) -> Self {
        Self {
            path: format!("{}[{label}]", self.path),
            ..Self::default()
        }
    }

    fn is_string_map(&self) -> bool {
        STRING_MAPS.contains(&self.name.as_str())
    }
}

/// Returns a value as a path shows it between brackets.
fn label(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests;
