//! The strategic merge of two objects (k8s.io/apimachinery, pkg/util/strategicpatch/patch.go).

use serde_json::{Map, Value};

use super::{PatchError, kind};

pub(super) type Object = Map<String, Value>;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// How a list of the patch is merged into the original one.
pub(in super::super) enum MergeStrategy {
    /// Elements with the same value of this key are merged.
    ByKey(&'static str),
    /// The lists are sets of scalars.
    Set,
    /// The patch's list replaces the original one.
    Atomic,
}

/// Returns the strategy for a list of a Deployment: `patchStrategy` and `patchMergeKey` of k8s.io/api/core/v1 and
/// k8s.io/apimachinery/pkg/apis/meta/v1. Lists of the same name have the same strategy.
pub(in super::super) fn merge_strategy(name: &str) -> MergeStrategy {
    match name {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "schedulingGates"
        | "resourceClaims" => MergeStrategy::ByKey("name"),
        "ports" => MergeStrategy::ByKey("containerPort"),
        "volumeMounts" => MergeStrategy::ByKey("mountPath"),
        "volumeDevices" => MergeStrategy::ByKey("devicePath"),
        "hostAliases" => MergeStrategy::ByKey("ip"),
        "topologySpreadConstraints" => MergeStrategy::ByKey("topologyKey"),
        "ownerReferences" => MergeStrategy::ByKey("uid"),
        "finalizers" => MergeStrategy::Set,
        _ => MergeStrategy::Atomic,
    }
}

/// Merges a patch into an object at this path.
pub(super) fn merge(original: &mut Object, patch: &Object, path: &str) -> Result<(), PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        original.clear();
        match directive.as_str() {
            Some("replace") => original.extend(clean_entries(patch)),
            Some("delete") => {}
            _ => return Err(unknown_directive(path, directive)),
        }
        return Ok(());
    }
    if let Some(keys) = patch.get(RETAIN_KEYS) {
        retain(original, patch, keys, path)?;
    }
    for (key, value) in patch {
        let field = format!("{path}{}{key}", if path.is_empty() { "" } else { "." });
        if key == RETAIN_KEYS {
            continue;
        }
        if key.starts_with(SET_ORDER) {
            return Err(PatchError::at(&field, "a patch cannot order lists"));
        } else if let Some(name) = key.strip_prefix(DELETE_FROM) {
            let Some(deleted) = value.as_array() else {
                return Err(PatchError::at(&field, "must be a list"));
            };
            if let Some(Value::Array(items)) = original.get_mut(name) {
                items.retain(|item| !deleted.contains(item));
            }
        } else if value.is_null() {
            original.shift_remove(key);
        } else {
            match (original.get_mut(key), value) {
                (Some(Value::Object(original)), Value::Object(patch)) => merge(original, patch, &field)?,
                (Some(Value::Array(original)), Value::Array(patch)) => {
                    *original = merge_lists(std::mem::take(original), patch, &merge_strategy(key), &field)?;
                }
                _ => match clean(value) {
                    Some(value) => {
                        original.insert(key.clone(), value);
                    }
                    None => {
                        original.shift_remove(key);
                    }
                },
            }
        }
    }
    Ok(())
}

/// Applies `$retainKeys`, which removes the other members of a union.
fn retain(original: &mut Object, patch: &Object, keys: &Value, path: &str) -> Result<(), PatchError> {
    let keys: Option<Vec<&str>> = keys
        .as_array()
        .and_then(|keys| keys.iter().map(Value::as_str).collect());
    let Some(keys) = keys else {
        return Err(PatchError::at(
            path,
            format!("{RETAIN_KEYS} must be a list of keys"),
        ));
    };
    let stray = patch
        .iter()
        .find(|(key, value)| !(value.is_null() || key.starts_with('$') || keys.contains(&key.as_str())));
    if let Some((key, _)) = stray {
        let message = format!("sets {key:?}, which its {RETAIN_KEYS} does not name");
        return Err(PatchError::at(path, message));
    }
    original.retain(|key, _| keys.contains(&key.as_str()));
    Ok(())
}

fn merge_lists(
    original: Vec<Value>,
    patch: &[Value],
    strategy: &MergeStrategy,
    path: &str,
) -> Result<Vec<Value>, PatchError> {
    match strategy {
        MergeStrategy::ByKey(key) => merge_by(key, original, patch, path),
        MergeStrategy::Set => {
            let mut merged = original.clone();
            merged.extend(patch.iter().filter(|item| !original.contains(item)).cloned());
            Ok(ordered(merged, &original, patch, |item| Some(item)))
        }
        MergeStrategy::Atomic if patch.iter().any(|item| item.get(DIRECTIVE).is_some()) => {
            Err(PatchError::at(
                path,
                format!("the list is replaced as a whole, so {DIRECTIVE} is not allowed in it"),
            ))
        }
        MergeStrategy::Atomic => Ok(patch.iter().filter_map(clean).collect()),
    }
}

fn merge_by(
    key: &str,
    mut original: Vec<Value>,
    patch: &[Value],
    path: &str,
) -> Result<Vec<Value>, PatchError> {
    let mut replace = false;
    let mut items = Vec::new();
    for item in patch {
        let id = item.get(key);
        let Some(object) = item.as_object() else {
            return Err(PatchError::at(
                path,
                format!("elements must be mappings, not {}", kind(item)),
            ));
        };
        match (object.get(DIRECTIVE).map(|d| (d, d.as_str())), id) {
            (Some((_, Some("replace"))), _) => replace = true,
            (None | Some((_, Some("delete"))), None) => {
                return Err(PatchError::at(
                    path,
                    format!("an element has no {key:?}, the merge key of the list"),
                ));
            }
            (Some((_, Some("delete"))), id) => original.retain(|known| known.get(key) != id),
            (None, Some(id)) => items.push((id, object)),
            (Some((directive, _)), _) => return Err(unknown_directive(path, directive)),
        }
    }
    if replace {
        return Ok(items.iter().map(|(_, item)| cleaned(item)).collect());
    }
    let mut merged = original.clone();
    for (id, item) in &items {
        let known = merged.iter_mut().find(|known| known.get(key) == Some(*id));
        match known.and_then(Value::as_object_mut) {
            Some(known) => merge(known, item, &format!("{path}[{id}]"))?,
            None => merged.push(cleaned(item)),
        }
    }
    Ok(ordered(merged, &original, patch, |item| item.get(key)))
}

/// Returns the elements in the order of the API server (`normalizeElementOrder` and `mergeSortedSlice`): those of the patch
/// in its order, and each other element before those that it preceded. So new elements come first.
fn ordered(
    merged: Vec<Value>,
    original: &[Value],
    patch: &[Value],
    id: impl Fn(&Value) -> Option<&Value>,
) -> Vec<Value> {
    let index = |list: &[Value], item: &Value| list.iter().position(|other| id(other) == id(item));
    let (mut patched, others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| index(patch, item).is_some());
    patched.sort_by_key(|item| index(patch, item));
    let mut out = Vec::new();
    let mut others = others.into_iter().peekable();
    for item in patched {
        let here = index(original, &item);
        while let Some(other) = others.next_if(|other| here.is_some() && index(original, other) < here) {
            out.push(other);
        }
        out.push(item);
    }
    out.extend(others);
    out
}

fn unknown_directive(path: &str, directive: &Value) -> PatchError {
    PatchError::at(
        path,
        format!("{DIRECTIVE} must be replace or delete, not {directive}"),
    )
}

/// Returns a value of the patch that has no counterpart in the original, without `null` and directives, which have nothing
/// to act on. (In a new element of a list, the API server ignores directives and keeps, for example, an `env` entry that
/// should be deleted.)
fn clean(value: &Value) -> Option<Value> {
    match value {
        Value::Object(object) if object.contains_key(DIRECTIVE) => None,
        Value::Object(object) => Some(cleaned(object)),
        Value::Array(items) => Some(items.iter().filter_map(clean).collect()),
        Value::Null => None,
        other => Some(other.clone()),
    }
}

fn cleaned(object: &Object) -> Value {
    Value::Object(clean_entries(object).collect())
}

fn clean_entries(object: &Object) -> impl Iterator<Item = (String, Value)> {
    object
        .iter()
        .filter(|(key, _)| !key.starts_with('$'))
        .filter_map(|(key, value)| Some((key.clone(), clean(value)?)))
}
