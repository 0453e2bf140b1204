//! Strategic merge of two objects (k8s.io/apimachinery, pkg/util/strategicpatch/patch.go).

use serde_json::{Map, Value};

pub(super) type Object = Map<String, Value>;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// How two lists of this name become one.
pub(in super::super) enum List {
    /// Elements with the same value of this key are one.
    By(&'static str),
    /// A set of plain values.
    Set,
    /// The patch's list stands alone.
    Atomic,
}

/// The lists of a Deployment that are merged: `patchStrategy` and `patchMergeKey` of k8s.io/api/core/v1 and
/// k8s.io/apimachinery/pkg/apis/meta/v1. No two lists of one name differ.
pub(in super::super) fn list(name: &str) -> List {
    match name {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "schedulingGates"
        | "resourceClaims" => List::By("name"),
        "ports" => List::By("containerPort"),
        "volumeMounts" => List::By("mountPath"),
        "volumeDevices" => List::By("devicePath"),
        "hostAliases" => List::By("ip"),
        "topologySpreadConstraints" => List::By("topologyKey"),
        "ownerReferences" => List::By("uid"),
        "finalizers" => List::Set,
        _ => List::Atomic,
    }
}

pub(super) fn merge(original: &mut Object, patch: &Object, path: &str) -> Result<(), String> {
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
        let place = format!("{path}{}{key}", if path.is_empty() { "" } else { "." });
        if key == RETAIN_KEYS {
            continue;
        }
        if key.starts_with(SET_ORDER) {
            return Err(format!("`{place}`: lists cannot be ordered by a patch"));
        } else if let Some(name) = key.strip_prefix(DELETE_FROM) {
            let Some(gone) = value.as_array() else {
                return Err(format!("`{place}` must be a list"));
            };
            if let Some(Value::Array(items)) = original.get_mut(name) {
                items.retain(|item| !gone.contains(item));
            }
        } else if value.is_null() {
            original.shift_remove(key);
        } else {
            match (original.get_mut(key), value) {
                (Some(Value::Object(original)), Value::Object(patch)) => merge(original, patch, &place)?,
                (Some(Value::Array(original)), Value::Array(patch)) => {
                    *original = merge_lists(std::mem::take(original), patch, &list(key), &place)?;
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

/// `$retainKeys`: what is left of a union when its other member is set.
fn retain(original: &mut Object, patch: &Object, keys: &Value, path: &str) -> Result<(), String> {
    let keys: Option<Vec<&str>> = keys
        .as_array()
        .and_then(|keys| keys.iter().map(Value::as_str).collect());
    let Some(keys) = keys else {
        return Err(format!("`{path}.{RETAIN_KEYS}` must be a list of keys"));
    };
    let stray = patch
        .iter()
        .find(|(key, value)| !(value.is_null() || key.starts_with('$') || keys.contains(&key.as_str())));
    if let Some((key, _)) = stray {
        return Err(format!(
            "`{path}` sets `{key}`, which its {RETAIN_KEYS} does not name"
        ));
    }
    original.retain(|key, _| keys.contains(&key.as_str()));
    Ok(())
}

fn merge_lists(original: Vec<Value>, patch: &[Value], list: &List, path: &str) -> Result<Vec<Value>, String> {
    match list {
        List::By(key) => merge_by(key, original, patch, path),
        List::Set => {
            let mut merged = original.clone();
            merged.extend(patch.iter().filter(|item| !original.contains(item)).cloned());
            Ok(ordered(merged, &original, patch, |item| Some(item)))
        }
        List::Atomic if patch.iter().any(|item| item.get(DIRECTIVE).is_some()) => Err(format!(
            "`{path}` is replaced as a whole: {DIRECTIVE} has no place in it"
        )),
        List::Atomic => Ok(patch.iter().filter_map(clean).collect()),
    }
}

fn merge_by(key: &str, mut original: Vec<Value>, patch: &[Value], path: &str) -> Result<Vec<Value>, String> {
    let mut replace = false;
    let mut items = Vec::new();
    for item in patch {
        let id = item.get(key);
        let Some(object) = item.as_object() else {
            return Err(format!("`{path}` must hold mappings, not {}", super::kind(item)));
        };
        match (object.get(DIRECTIVE).map(|d| (d, d.as_str())), id) {
            (Some((_, Some("replace"))), _) => replace = true,
            (None | Some((_, Some("delete"))), None) => {
                return Err(format!(
                    "an element of `{path}` has no `{key}`, by which they are told apart"
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

/// The elements of the patch in its order, and each other one before those that it stood before. New elements thus
/// come first. (`normalizeElementOrder` and `mergeSortedSlice` of the API server.)
fn ordered(
    merged: Vec<Value>,
    original: &[Value],
    patch: &[Value],
    id: impl Fn(&Value) -> Option<&Value>,
) -> Vec<Value> {
    let place = |list: &[Value], item: &Value| list.iter().position(|other| id(other) == id(item));
    let (mut patched, others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(patch, item).is_some());
    patched.sort_by_key(|item| place(patch, item));
    let mut out = Vec::new();
    let mut others = others.into_iter().peekable();
    for item in patched {
        let here = place(original, &item);
        while let Some(other) = others.next_if(|other| here.is_some() && place(original, other) < here) {
            out.push(other);
        }
        out.push(item);
    }
    out.extend(others);
    out
}

fn unknown_directive(path: &str, directive: &Value) -> String {
    format!("`{path}`: {DIRECTIVE} must be replace or delete, not {directive}")
}

/// A value that meets nothing to be merged with: `null` and directives have nothing to act on. (In an element that is
/// new to a list, the server overlooks directives and keeps, say, an `env` entry that was to be deleted.)
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
