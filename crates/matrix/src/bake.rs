//! Parses the output of `docker buildx bake --print`: the definition as JSON, with variables, functions, inheritance,
//! matrices and overrides applied (docker/buildx, commands/bake.go and `Target` in bake/bake.go).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::target::{Target, Targets};

/// The group that contains the requested targets. buildx always prints it under this name.
const REQUESTED_GROUP: &str = "default";

/// An error in a printed definition, with its place: line and column, or target or group, and field.
#[derive(Debug, thiserror::Error)]
pub enum BakeError {
    /// The message has the line and the column.
    #[error("invalid JSON: {0}")]
    InvalidJson(#[from] serde_json::Error),
    #[error("expected a JSON object")]
    NotAnObject,
    /// An entry of `target` or `group`, or one of those itself.
    #[error("{0} is not a JSON object")]
    EntryNotAnObject(String),
    #[error("target {target:?}: {field} is not {expected}")]
    InvalidField {
        target: String,
        field: String,
        expected: &'static str,
    },
    #[error("group {0:?}: targets is not a list of names")]
    InvalidGroup(String),
    #[error("a group contains {0:?}, which is neither a target nor a group")]
    UnknownMember(String),
}

/// Parses a printed definition. Fields that do not matter here are ignored.
pub fn parse_definition(printed: &str) -> Result<Targets, BakeError> {
    let printed: Value = serde_json::from_str(printed)?;
    let printed = printed.as_object().ok_or(BakeError::NotAnObject)?;
    let mut all = BTreeMap::new();
    for (name, fields) in object(printed.get("target"), "target")? {
        let fields = object(Some(fields), &format!("target {name:?}"))?;
        all.insert(name.clone(), TargetFields { name, fields }.target()?);
    }
    let mut groups = BTreeMap::new();
    for (name, fields) in object(printed.get("group"), "group")? {
        let fields = object(Some(fields), &format!("group {name:?}"))?;
        let members = strings(fields.get("targets")).ok_or_else(|| BakeError::InvalidGroup(name.clone()))?;
        groups.insert(name.as_str(), members);
    }
    let selected = selected(&all, &groups)?;
    Ok(Targets { all, selected })
}

/// Returns the requested targets: the members of the requested group, and of the groups in it. A name that a group and a
/// target share means the target if the group was expanded already; groups may contain each other.
fn selected(
    all: &BTreeMap<String, Target>,
    groups: &BTreeMap<&str, Vec<String>>,
) -> Result<BTreeSet<String>, BakeError> {
    let mut selected = BTreeSet::new();
    let mut opened = BTreeSet::from([REQUESTED_GROUP]);
    let mut next: Vec<&String> = groups.get(REQUESTED_GROUP).into_iter().flatten().collect();
    while let Some(name) = next.pop() {
        let group = groups.get(name.as_str());
        if let Some(members) = group
            && opened.insert(name)
        {
            next.extend(members);
        } else if all.contains_key(name) {
            selected.insert(name.clone());
        } else if group.is_none() {
            return Err(BakeError::UnknownMember(name.clone()));
        }
    }
    Ok(selected)
}

/// The fields of a target.
struct TargetFields<'a> {
    name: &'a str,
    fields: &'a Map<String, Value>,
}

impl TargetFields<'_> {
    fn target(&self) -> Result<Target, BakeError> {
        let or = |text: Option<String>, default: &str| {
            text.filter(|text| !text.is_empty())
                .unwrap_or_else(|| default.to_owned())
        };
        Ok(Target {
            context: or(self.text("context")?, "."),
            dockerfile: or(self.text("dockerfile")?, "Dockerfile"),
            // buildx ignores an empty one.
            inline: self
                .text("dockerfile-inline")?
                .filter(|text| !text.is_empty())
                .map(|text| unescape(&text)),
            contexts: self.texts("contexts")?,
            args: self
                .texts("args")?
                .into_iter()
                .map(|(name, value)| (name, unescape(&value)))
                .collect(),
            stage: self.text("target")?.filter(|stage| !stage.is_empty()),
            platforms: self.list("platforms")?,
            tags: self.list("tags")?,
        })
    }

    fn invalid(&self, field: &str, expected: &'static str) -> BakeError {
        BakeError::InvalidField {
            target: self.name.to_owned(),
            field: field.to_owned(),
            expected,
        }
    }

    fn text(&self, field: &str) -> Result<Option<String>, BakeError> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.invalid(field, "a string")),
        }
    }

    fn list(&self, field: &str) -> Result<Vec<String>, BakeError> {
        strings(self.fields.get(field)).ok_or_else(|| self.invalid(field, "a list of strings"))
    }

    /// Returns a map of strings, without names that have no value.
    fn texts(&self, field: &str) -> Result<BTreeMap<String, String>, BakeError> {
        let invalid = || self.invalid(field, "a map of strings");
        let mut found = BTreeMap::new();
        match self.fields.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::Object(entries)) => {
                for (name, value) in entries {
                    match value {
                        Value::Null => {}
                        Value::String(text) => drop(found.insert(name.clone(), text.clone())),
                        _ => return Err(invalid()),
                    }
                }
            }
            Some(_) => return Err(invalid()),
        }
        Ok(found)
    }
}

/// Returns the value as an object; an absent one is empty.
fn object<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a Map<String, Value>, BakeError> {
    static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    match value {
        None | Some(Value::Null) => Ok(&EMPTY),
        Some(Value::Object(entries)) => Ok(entries),
        Some(_) => Err(BakeError::EntryNotAnObject(what.to_owned())),
    }
}

/// Returns the value as a list of strings; an absent one is empty. `None` if it is something else.
fn strings(value: Option<&Value>) -> Option<Vec<String>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(value) => {
            let entries = value.as_array()?.iter();
            entries.map(|entry| entry.as_str().map(str::to_owned)).collect()
        }
    }
}

/// Returns the unescaped value: buildx prints `${` as `$${` and `%{` as `%%{`, so that its output is a definition again
/// (`MarshalJSON` in bake/bake.go).
fn unescape(printed: &str) -> String {
    printed.replace("$${", "${").replace("%%{", "%{")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(targets: &Targets) -> Vec<&str> {
        targets.selected.iter().map(String::as_str).collect()
    }

    #[test]
    fn a_printed_definition_is_parsed() {
        let found = parse_definition(
            r#"{"group": {"default": {"targets": ["a", "m"]}, "m": {"description": "both", "targets": ["m-1", "m-2"]}},
                "target": {
                  "a": {"context": "svc/a", "contexts": {"base": "target:base"}, "dockerfile": "../Dockerfile",
                        "args": {"A": "1", "B": null, "C": "$${x}$$${y} %%{z}"}, "tags": ["r/a:1", "r/a:2"],
                        "platforms": ["linux/amd64"], "target": "final", "labels": {"l": null}, "later": [1, {}]},
                  "base": {"dockerfile-inline": "COPY $${A} /", "output": [{"type": "cacheonly"}]},
                  "m-1": {"context": ".", "dockerfile": "Dockerfile"},
                  "m-2": {"target": null}}}"#,
        )
        .expect("a definition");
        assert_eq!(names(&found), ["a", "m-1", "m-2"]);
        let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        assert_eq!(
            found.all["a"],
            Target {
                context: "svc/a".into(),
                dockerfile: "../Dockerfile".into(),
                inline: None,
                contexts: texts(&[("base", "target:base")]),
                args: texts(&[("A", "1"), ("C", "${x}$${y} %{z}")]),
                stage: Some("final".into()),
                platforms: vec!["linux/amd64".into()],
                tags: vec!["r/a:1".into(), "r/a:2".into()],
            }
        );
        assert_eq!(found.all["base"].inline.as_deref(), Some("COPY ${A} /"));
        assert_eq!(found.all["m-2"].context, ".");
        assert_eq!(found.all["m-2"].dockerfile, "Dockerfile");
    }

    #[test]
    fn groups_may_contain_each_other_and_share_a_name_with_a_target() {
        for (printed, selected) in [
            // The requested target is called default.
            (
                r#"{"group": {"default": {"targets": ["default"]}}, "target": {"default": {}}}"#,
                vec!["default"],
            ),
            (
                r#"{"group": {"default": {"targets": ["x"]}, "x": {"targets": ["y", "t"]}, "y": {"targets": ["x"]}},
                    "target": {"t": {}, "only-linked": {}}}"#,
                vec!["t"],
            ),
            (
                r#"{"group": {"default": {"targets": null}}, "target": {}}"#,
                vec![],
            ),
            ("{}", vec![]),
        ] {
            assert_eq!(names(&parse_definition(printed).expect(printed)), selected);
        }
    }

    #[test]
    fn errors_name_the_target_and_the_field() {
        for (printed, message) in [
            ("[]", "expected a JSON object"),
            ("{", "invalid JSON: EOF while parsing"),
            (r#"{"target": {"a": []}}"#, r#"target "a" is not a JSON object"#),
            (
                r#"{"target": {"a": {"context": 1}}}"#,
                r#"target "a": context is not a string"#,
            ),
            (
                r#"{"target": {"a": {"args": {"B": 1}}}}"#,
                r#"target "a": args is not a map of strings"#,
            ),
            (
                r#"{"target": {"a": {"tags": "x"}}}"#,
                r#"target "a": tags is not a list of strings"#,
            ),
            (
                r#"{"group": {"g": {"targets": [1]}}}"#,
                r#"group "g": targets is not a list of names"#,
            ),
            (
                r#"{"group": {"default": {"targets": ["nope"]}}}"#,
                r#"a group contains "nope", which is neither a target nor a group"#,
            ),
        ] {
            let error = parse_definition(printed).expect_err(printed).to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    proptest! {
        /// Any value that buildx escapes is restored.
        #[test]
        fn escapes_are_undone(value in "[$%{}a]{0,12}") {
            let printed = value.replace("${", "$${").replace("%{", "%%{");
            prop_assert_eq!(unescape(&printed), value);
        }
    }
}
