//! The comparison of a desired object with the live one.

use serde_json::Value;

use super::super::manifests::VOLUME_SIZE;
use super::super::patch::{MergeStrategy, merge_strategy};
use super::super::quantity;
use super::owners::FieldOwners;
use super::{FieldPath, label};

/// Finds the paths of the fields that are not as desired, in this field and below it.
pub(super) fn find_differing(
    desired: &Value,
    live: &Value,
    owners: &FieldOwners<'_>,
    path: &FieldPath,
    found: &mut Vec<String>,
) {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) if path.is_string_map() => {
            let differs =
                |(key, value): &(&String, &Value)| *key != VOLUME_SIZE && live.get(*key) != Some(*value);
            let differing = desired.iter().filter(differs);
            found.extend(differing.map(|(key, _)| path.field(key).path));
        }
        (Value::Object(desired), Value::Object(_)) => {
            for (key, desired) in desired {
                find_differing(desired, &live[key], &owners.field(key), &path.field(key), found);
            }
        }
        (Value::Array(desired), Value::Array(live)) => {
            find_differing_in_list(desired, live, owners, path, found)
        }
        // The API server drops empty lists, and of most fields `false`, `0`, `""` and `{}`. It keeps them where they have a
        // meaning, as in `hostUsers: false`. It always records who set them: a value that was set and is dropped has no
        // meaning.
        (desired, Value::Null) if is_empty(desired) && (desired.is_array() || owners.any()) => {}
        _ if desired == live || path.quantity && same_quantity(desired, live) => {}
        _ => found.push(path.path.clone()),
    }
}

fn find_differing_in_list(
    desired: &[Value],
    live: &[Value],
    owners: &FieldOwners<'_>,
    path: &FieldPath,
    found: &mut Vec<String>,
) {
    match merge_strategy(&path.name) {
        MergeStrategy::ByKey(key) => {
            for item in desired {
                let path = path.element(&label(&item[key]));
                // Several ports may have the same number and another protocol: compare with the most similar one.
                let most_similar = live
                    .iter()
                    .filter(|other| other[key] == item[key])
                    .map(|other| {
                        let mut found = Vec::new();
                        find_differing(item, other, &owners.element(other), &path, &mut found);
                        found
                    })
                    .min_by_key(Vec::len);
                found.extend(most_similar.unwrap_or_else(|| vec![path.path]));
            }
        }
        MergeStrategy::Set if desired.iter().all(|item| live.contains(item)) => {}
        MergeStrategy::Atomic if desired.len() == live.len() => {
            for (number, (desired, live)) in desired.iter().zip(live).enumerate() {
                let path = path.element(&number.to_string());
                find_differing(desired, live, &owners.element(live), &path, found);
            }
        }
        MergeStrategy::Set | MergeStrategy::Atomic => found.push(path.path.clone()),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.is_empty(),
    }
}

/// Returns whether two quantities are equal. A patch may have a number where the API server has a string.
fn same_quantity(desired: &Value, live: &Value) -> bool {
    match (desired, live) {
        (Value::String(_) | Value::Number(_), Value::String(live)) => {
            quantity::is_equal(&label(desired), live)
        }
        _ => false,
    }
}
