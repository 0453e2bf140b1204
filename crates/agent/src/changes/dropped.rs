//! What was wanted once, and is not any more.

use serde_json::Value;

use super::Place;
use super::owners::{Owners, Step};

/// What the server puts into values that it takes as one.
const DEFAULTS: [(&str, &str); 3] = [
    ("apiVersion", "\"v1\""),
    ("divisor", "\"0\""),
    ("expirationSeconds", "3600"),
];

/// The fields that are ours alone, by the live object, and that are not wanted any more: the next apply takes them
/// away.
pub fn dropped(wanted: &Value, live: &Value) -> Vec<String> {
    let mut found = Vec::new();
    fields(wanted, live, &Owners::of(live), &Place::default(), &mut found);
    found
}

fn fields(wanted: &Value, live: &Value, owners: &Owners<'_>, place: &Place, found: &mut Vec<String>) {
    if owners.atomic() {
        return rest(wanted, live, place, found);
    }
    for key in owners.ours() {
        let Some(step) = Step::parse(key) else { continue };
        let place = match step {
            Step::Field(name) => place.field(name),
            _ => place.element(&step.label()),
        };
        // The server does not keep what is empty.
        let Some(live) = step.of(live) else { continue };
        let owners = owners.child(key);
        match step.of(wanted) {
            Some(wanted) => fields(wanted, live, &owners, &place, found),
            // A part of it is theirs.
            None if owners.others() => fields(&Value::Null, live, &owners, &place, found),
            None => found.push(place.path),
        }
    }
}

/// What a value that is ours as a whole has besides what is wanted.
fn rest(wanted: &Value, live: &Value, place: &Place, found: &mut Vec<String>) {
    match (wanted, live) {
        // A `{}` that was set does not make ours what others put into it, unless it is a map of strings.
        (Value::Object(wanted), Value::Object(live)) if !wanted.is_empty() || place.is_string_map() => {
            for (key, live) in live {
                let default = (key.as_str(), &*live.to_string());
                match wanted.get(key) {
                    Some(wanted) => rest(wanted, live, &place.field(key), found),
                    None if DEFAULTS.contains(&default) => {}
                    None => found.push(place.field(key).path),
                }
            }
        }
        (Value::Array(wanted), Value::Array(live)) if wanted.len() == live.len() => {
            for (number, (wanted, live)) in wanted.iter().zip(live).enumerate() {
                rest(wanted, live, &place.element(&number.to_string()), found);
            }
        }
        _ => {}
    }
}
