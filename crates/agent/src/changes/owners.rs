//! The owners of fields, by `metadata.managedFields`
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>; sigs.k8s.io/structured-merge-diff,
//! fieldpath/serialize-pe.go, defines the notation).

use serde_json::{Map, Value};

use super::super::FIELD_MANAGER;
use super::label;

/// The entries of `managedFields` for a field and below it, of this program and of others. An atomic value, such as a string
/// or an atomic list, has nothing below it.
#[derive(Debug, Default)]
pub(super) struct FieldOwners<'a> {
    own: Option<&'a Value>,
    others: Vec<&'a Value>,
}

/// One element of a path in `managedFields`.
#[derive(Debug, PartialEq)]
pub(super) enum FieldKey<'a> {
    Field(&'a str),
    /// The element of a list with these values of its merge keys.
    Element(Map<String, Value>),
    /// An element of a set.
    Member(Value),
}

impl<'a> FieldOwners<'a> {
    /// Returns the owners of an object.
    pub(super) fn of(object: &'a Value) -> Self {
        let entries = object["metadata"]["managedFields"].as_array();
        let (own, others): (Vec<&Value>, Vec<&Value>) = entries
            .into_iter()
            .flatten()
            .partition(|entry| entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply");
        Self {
            own: own.first().map(|entry| &entry["fieldsV1"]),
            others: others.iter().map(|entry| &entry["fieldsV1"]).collect(),
        }
    }

    /// Returns whether the field has any owner.
    pub(super) fn any(&self) -> bool {
        self.own.is_some() || !self.others.is_empty()
    }

    /// Returns whether others own the field or a part of it.
    pub(super) fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    /// Returns the keys below the field that this program owns.
    pub(super) fn own_keys(&self) -> impl Iterator<Item = &'a String> + use<'a> {
        self.own
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::keys)
    }

    /// Returns whether this program owns the whole value.
    pub(super) fn is_atomic(&self) -> bool {
        self.own.is_some() && self.own_keys().next().is_none()
    }

    /// Returns the owners of what a key names.
    pub(super) fn child(&self, key: &str) -> Self {
        Self {
            own: self.own.and_then(|fields| fields.get(key)),
            others: self.others.iter().filter_map(|fields| fields.get(key)).collect(),
        }
    }

    /// Returns the owners of a field. Below an atomic value they are the same.
    pub(super) fn field(&self, name: &str) -> Self {
        if self.is_atomic() {
            Self {
                own: self.own,
                others: vec![],
            }
        } else {
            self.child(&format!("f:{name}"))
        }
    }

    /// Returns the owners of an element of a list.
    pub(super) fn element(&self, item: &Value) -> Self {
        if self.is_atomic() {
            return self.field("");
        }
        let all = self.own.iter().chain(&self.others);
        let mut keys = all.filter_map(|fields| fields.as_object()).flat_map(Map::keys);
        let key = keys.find(|key| FieldKey::parse(key).is_some_and(|key| key.matches(item)));
        key.map(|key| self.child(key)).unwrap_or_default()
    }
}

impl<'a> FieldKey<'a> {
    /// Parses a key; `None` for `.`, which is the field itself, and for indices, which no list of a Deployment uses.
    pub(super) fn parse(key: &'a str) -> Option<Self> {
        match key.split_once(':')? {
            ("f", name) => Some(Self::Field(name)),
            ("k", keys) => serde_json::from_str(keys).ok().map(Self::Element),
            ("v", value) => serde_json::from_str(value).ok().map(Self::Member),
            _ => None,
        }
    }

    /// Returns the value that the key names in an object or list.
    pub(super) fn of<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Field(name) => value.get(name),
            _ => value.as_array()?.iter().find(|item| self.matches(item)),
        }
    }

    fn matches(&self, item: &Value) -> bool {
        match self {
            Self::Field(_) => false,
            Self::Element(keys) => keys.iter().all(|(key, value)| match item.get(key) {
                Some(found) => found == value,
                // The only merge key in a pod that has a default.
                None => key == "protocol" && value == "TCP",
            }),
            Self::Member(value) => item == value,
        }
    }

    /// Returns the key as a path shows it between brackets.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Field(name) => (*name).to_owned(),
            Self::Element(keys) => keys.values().map(label).collect::<Vec<_>>().join("/"),
            Self::Member(value) => label(value),
        }
    }
}
