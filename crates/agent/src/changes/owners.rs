//! Whose a field is, by `metadata.managedFields`
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>; sigs.k8s.io/structured-merge-diff,
//! fieldpath/serialize-pe.go, has the notation).

use serde_json::{Map, Value};

use super::super::FIELD_MANAGER;
use super::label;

/// A field, and what is said of it and below it: by us and by others. A field whose value is one, such as a string or
/// an atomic list, has nothing below it.
#[derive(Debug, Default)]
pub(super) struct Owners<'a> {
    ours: Option<&'a Value>,
    others: Vec<&'a Value>,
}

/// One step down.
#[derive(Debug, PartialEq)]
pub(super) enum Step<'a> {
    Field(&'a str),
    /// The element of a list that has these.
    Element(Map<String, Value>),
    /// An element of a set.
    Member(Value),
}

impl<'a> Owners<'a> {
    pub(super) fn of(object: &'a Value) -> Self {
        let entries = object["metadata"]["managedFields"].as_array();
        let (ours, others): (Vec<&Value>, Vec<&Value>) = entries
            .into_iter()
            .flatten()
            .partition(|entry| entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply");
        Self {
            ours: ours.first().map(|entry| &entry["fieldsV1"]),
            others: others.iter().map(|entry| &entry["fieldsV1"]).collect(),
        }
    }

    pub(super) fn any(&self) -> bool {
        self.ours.is_some() || !self.others.is_empty()
    }

    pub(super) fn others(&self) -> bool {
        !self.others.is_empty()
    }

    /// What we own below.
    pub(super) fn ours(&self) -> impl Iterator<Item = &'a String> + use<'a> {
        self.ours
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::keys)
    }

    /// Whether the value is ours as a whole.
    pub(super) fn atomic(&self) -> bool {
        self.ours.is_some() && self.ours().next().is_none()
    }

    pub(super) fn child(&self, key: &str) -> Self {
        Self {
            ours: self.ours.and_then(|fields| fields.get(key)),
            others: self.others.iter().filter_map(|fields| fields.get(key)).collect(),
        }
    }

    /// A field; below a value that is one it has the same owners.
    pub(super) fn field(&self, name: &str) -> Self {
        if self.atomic() {
            Self {
                ours: self.ours,
                others: vec![],
            }
        } else {
            self.child(&format!("f:{name}"))
        }
    }

    /// An element of a list.
    pub(super) fn element(&self, item: &Value) -> Self {
        if self.atomic() {
            return self.field("");
        }
        let all = self.ours.iter().chain(&self.others);
        let mut keys = all.filter_map(|fields| fields.as_object()).flat_map(Map::keys);
        let key = keys.find(|key| Step::parse(key).is_some_and(|step| step.is(item)));
        key.map(|key| self.child(key)).unwrap_or_default()
    }
}

impl<'a> Step<'a> {
    /// `None` for `.`, which is the place itself, and for indices, which no list of a Deployment is kept by.
    pub(super) fn parse(key: &'a str) -> Option<Self> {
        match key.split_once(':')? {
            ("f", name) => Some(Self::Field(name)),
            ("k", keys) => serde_json::from_str(keys).ok().map(Self::Element),
            ("v", value) => serde_json::from_str(value).ok().map(Self::Member),
            _ => None,
        }
    }

    pub(super) fn of<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Field(name) => value.get(name),
            _ => value.as_array()?.iter().find(|item| self.is(item)),
        }
    }

    fn is(&self, item: &Value) -> bool {
        match self {
            Self::Field(_) => false,
            Self::Element(keys) => keys.iter().all(|(key, value)| match item.get(key) {
                Some(found) => found == value,
                // The one key of a list in a pod that has a default.
                None => key == "protocol" && value == "TCP",
            }),
            Self::Member(value) => item == value,
        }
    }

    /// As a path has it between brackets, if it does.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Field(name) => (*name).to_owned(),
            Self::Element(keys) => keys.values().map(label).collect::<Vec<_>>().join("/"),
            Self::Member(value) => label(value),
        }
    }
}
