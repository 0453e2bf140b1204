//! How an agent that runs differs from the one that the inputs describe.

mod compare;
mod dropped;
mod owners;
mod text;

use serde_json::Value;

pub use dropped::dropped;
pub use text::diff;

/// Whether a Deployment's pod would be replaced.
pub fn restarts(live: &Value, wanted: &Value) -> bool {
    live["spec"]["template"] != wanted["spec"]["template"]
}

/// The fields in which a live object is not as wanted, and those that we once set and do not want any more. What the
/// live one has besides does not count: the server and others add to it. The size of the volume does not either: it may
/// have grown.
pub fn differing(wanted: &Value, live: &Value) -> Vec<String> {
    let mut found = compare::compare(wanted, live);
    found.extend(dropped(wanted, live));
    found
}

/// Where in an object, for people and for what depends on it.
#[derive(Debug, Default)]
struct Place {
    path: String,
    name: String,
    /// Here a string or a number is a quantity.
    quantity: bool,
}

/// From any names to any strings: nothing is a default there, and an empty string is a value.
const STRING_MAPS: [&str; 5] = [
    "labels",
    "annotations",
    "nodeSelector",
    "matchLabels",
    "volumeAttributes",
];

impl Place {
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

/// A value as it stands between brackets.
fn label(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests;
