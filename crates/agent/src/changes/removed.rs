//! The fields that were desired earlier and no longer are.

use serde_json::Value;

use super::FieldPath;
use super::owners::{FieldKey, FieldOwners};

/// The defaults that the API server sets in atomic values.
const DEFAULTS: [(&str, &str); 3] = [
    ("apiVersion", "\"v1\""),
    ("divisor", "\"0\""),
    ("expirationSeconds", "3600"),
];

/// Finds the fields that only this program owns, by the live object, and that are no longer desired, in this field and
/// below it. The next apply removes them.
pub(super) fn find_removed(
    desired: &Value,
    live: &Value,
    owners: &FieldOwners<'_>,
    path: &FieldPath,
    found: &mut Vec<String>,
) {
    if owners.is_atomic() {
        return find_extra(desired, live, path, found);
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
            Some(desired) => find_removed(desired, live, &owners, &path, found),
            // Others own a part of it.
            None if owners.has_others() => find_removed(&Value::Null, live, &owners, &path, found),
            None => found.push(path.path),
        }
    }
}

/// Finds what an atomic value of this program has in addition to the desired one.
fn find_extra(desired: &Value, live: &Value, path: &FieldPath, found: &mut Vec<String>) {
    match (desired, live) {
        // Setting `{}` does not own what others add to it, unless it is a map of strings.
        (Value::Object(desired), Value::Object(live)) if !desired.is_empty() || path.is_string_map() => {
            for (key, live) in live {
                let default = (key.as_str(), &*live.to_string());
                match desired.get(key) {
                    Some(desired) => find_extra(desired, live, &path.field(key), found),
                    None if DEFAULTS.contains(&default) => {}
                    None => found.push(path.field(key).path),
                }
            }
        }
        (Value::Array(desired), Value::Array(live)) if desired.len() == live.len() => {
            for (number, (desired, live)) in desired.iter().zip(live).enumerate() {
                find_extra(desired, live, &path.element(&number.to_string()), found);
            }
        }
        _ => {}
    }
}
