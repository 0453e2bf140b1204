//! What is wanted and is not so.

use serde_json::Value;

use super::super::manifests::VOLUME_SIZE;
use super::super::patch::{MergeStrategy, merge_strategy};
use super::super::quantity;
use super::owners::Owners;
use super::{Place, label};

pub(super) fn compare(wanted: &Value, live: &Value) -> Vec<String> {
    let mut found = Vec::new();
    values(wanted, live, &Owners::of(live), &Place::default(), &mut found);
    found
}

fn values(wanted: &Value, live: &Value, owners: &Owners<'_>, place: &Place, found: &mut Vec<String>) {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) if place.is_string_map() => {
            let other =
                |(key, value): &(&String, &Value)| *key != VOLUME_SIZE && live.get(*key) != Some(*value);
            let others = wanted.iter().filter(other);
            found.extend(others.map(|(key, _)| place.field(key).path));
        }
        (Value::Object(wanted), Value::Object(_)) => {
            for (key, wanted) in wanted {
                values(wanted, &live[key], &owners.field(key), &place.field(key), found);
            }
        }
        (Value::Array(wanted), Value::Array(live)) => lists(wanted, live, owners, place, found),
        // The server does not keep an empty list, nor, of most fields, `false`, `0`, `""` and `{}`. Of others it does, as
        // of `hostUsers: false`, and they mean something there. It keeps that they were set: what was set and is not
        // there means nothing.
        (wanted, Value::Null) if is_empty(wanted) && (wanted.is_array() || owners.any()) => {}
        _ if wanted == live || place.quantity && same_quantity(wanted, live) => {}
        _ => found.push(place.path.clone()),
    }
}

fn lists(wanted: &[Value], live: &[Value], owners: &Owners<'_>, place: &Place, found: &mut Vec<String>) {
    match merge_strategy(&place.name) {
        MergeStrategy::ByKey(key) => {
            for item in wanted {
                let place = place.element(&label(&item[key]));
                // Ports of one number may differ in protocol: the nearest is meant.
                let nearest = live
                    .iter()
                    .filter(|other| other[key] == item[key])
                    .map(|other| {
                        let mut found = Vec::new();
                        values(item, other, &owners.element(other), &place, &mut found);
                        found
                    })
                    .min_by_key(Vec::len);
                found.extend(nearest.unwrap_or_else(|| vec![place.path]));
            }
        }
        MergeStrategy::Set if wanted.iter().all(|item| live.contains(item)) => {}
        MergeStrategy::Atomic if wanted.len() == live.len() => {
            for (number, (wanted, live)) in wanted.iter().zip(live).enumerate() {
                let place = place.element(&number.to_string());
                values(wanted, live, &owners.element(live), &place, found);
            }
        }
        MergeStrategy::Set | MergeStrategy::Atomic => found.push(place.path.clone()),
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

/// A patch may have a number where the server has a string.
fn same_quantity(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::String(_) | Value::Number(_), Value::String(live)) => quantity::is_equal(&label(wanted), live),
        _ => false,
    }
}
