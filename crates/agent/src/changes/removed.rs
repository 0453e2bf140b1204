//! The fields that were desired once and are not any more.

use serde_json::Value;

use super::FieldPath;
use super::owners::{FieldKey, FieldOwners};

/// The defaults that the API server sets in atomic values.
const DEFAULTS: [(&str, &str); 3] = [
    ("apiVersion", "\"v1\""),
    ("divisor", "\"0\""),
    ("expirationSeconds", "3600"),
];

/// Returns the fields that only this program owns, by the live object, and that are not desired any more: the next apply
/// removes them.
pub fn removed_fields(desired: &Value, live: &Value) -> Vec<String> {
    let mut found = Vec::new();
    fields(
        desired,
        live,
        &FieldOwners::of(live),
        &FieldPath::default(),
        &mut found,
    );
    found
}

fn fields(
    desired: &Value,
    live: &Value,
    owners: &FieldOwners<'_>,
    path: &FieldPath,
    found: &mut Vec<String>,
) {
    if owners.is_atomic() {
        return extra_fields(desired, live, path, found);
    }
    for key in owners.own_keys() {
        let Some(field) = FieldKey::parse(key) else {
            continue;
        };
        let path = match field {
            FieldKey::Field(name) => path.field(name),
            _ => path.element(&field.label()),
        };
        // The API server does not keep empty values.
        let Some(live) = field.of(live) else { continue };
        let owners = owners.child(key);
        match field.of(desired) {
            Some(desired) => fields(desired, live, &owners, &path, found),
            // Others own a part of it.
            None if owners.has_others() => fields(&Value::Null, live, &owners, &path, found),
            None => found.push(path.path),
        }
    }
}

/// Finds what an atomic value of this program has in addition to the desired one.
fn extra_fields(desired: &Value, live: &Value, path: &FieldPath, found: &mut Vec<String>) {
    match (desired, live) {
        // Setting `{}` does not own what others add to it, unless it is a map of strings.
        (Value::Object(desired), Value::Object(live)) if !desired.is_empty() || path.is_string_map() => {
            for (key, live) in live {
                let default = (key.as_str(), &*live.to_string());
                match desired.get(key) {
                    Some(desired) => extra_fields(desired, live, &path.field(key), found),
                    None if DEFAULTS.contains(&default) => {}
                    None => found.push(path.field(key).path),
                }
            }
        }
        (Value::Array(desired), Value::Array(live)) if desired.len() == live.len() => {
            for (number, (desired, live)) in desired.iter().zip(live).enumerate() {
                extra_fields(desired, live, &path.element(&number.to_string()), found);
            }
        }
        _ => {}
    }
}
