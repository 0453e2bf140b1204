//! What `docker buildx bake --print` prints: the definition after variables, functions, inheritance, matrices and
//! overrides, as JSON (docker/buildx, commands/bake.go and `Target` in bake/bake.go).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::target::{Target, Targets};

/// buildx puts what was asked for into a group of this name, whatever was asked for.
const ASKED: &str = "default";

/// The targets of a printed definition. A fault names the target and the field; fields without a meaning here are left
/// alone.
pub fn targets(printed: &str) -> Result<Targets, String> {
    let printed: Value = serde_json::from_str(printed).map_err(|error| format!("it is no JSON: {error}"))?;
    let printed = printed.as_object().ok_or("it is no JSON object")?;
    let mut all = BTreeMap::new();
    for (name, fields) in object(printed.get("target"), "target")? {
        let fields = object(Some(fields), &format!("target {name:?}"))?;
        all.insert(name.clone(), Fields { name, fields }.target()?);
    }
    let mut groups = BTreeMap::new();
    for (name, fields) in object(printed.get("group"), "group")? {
        let fields = object(Some(fields), &format!("group {name:?}"))?;
        let members = strings(fields.get("targets"))
            .ok_or_else(|| format!("group {name:?}: targets is no list of names"))?;
        groups.insert(name.as_str(), members);
    }
    let selected = selected(&all, &groups)?;
    Ok(Targets { all, selected })
}

/// The members of the group of what was asked for, and of the groups in it. A name that is a group's and a target's is
/// the target's where that group was taken already; groups may hold each other.
fn selected(
    all: &BTreeMap<String, Target>,
    groups: &BTreeMap<&str, Vec<String>>,
) -> Result<BTreeSet<String>, String> {
    let mut taken = BTreeSet::new();
    let mut opened = BTreeSet::from([ASKED]);
    let mut next: Vec<&String> = groups.get(ASKED).into_iter().flatten().collect();
    while let Some(name) = next.pop() {
        let group = groups.get(name.as_str());
        if let Some(members) = group
            && opened.insert(name)
        {
            next.extend(members);
        } else if all.contains_key(name) {
            taken.insert(name.clone());
        } else if group.is_none() {
            return Err(format!(
                "a group has {name:?}, which is neither a target nor a group"
            ));
        }
    }
    Ok(taken)
}

/// The fields of one target.
struct Fields<'a> {
    name: &'a str,
    fields: &'a Map<String, Value>,
}

impl Fields<'_> {
    fn target(&self) -> Result<Target, String> {
        let or = |text: Option<String>, default: &str| {
            text.filter(|text| !text.is_empty())
                .unwrap_or_else(|| default.to_owned())
        };
        Ok(Target {
            context: or(self.text("context")?, "."),
            dockerfile: or(self.text("dockerfile")?, "Dockerfile"),
            // An empty one is none to buildx.
            inline: self
                .text("dockerfile-inline")?
                .filter(|text| !text.is_empty())
                .map(|text| plain(&text)),
            contexts: self.texts("contexts")?,
            args: self
                .texts("args")?
                .into_iter()
                .map(|(name, value)| (name, plain(&value)))
                .collect(),
            stage: self.text("target")?.filter(|stage| !stage.is_empty()),
            platforms: self.list("platforms")?,
            tags: self.list("tags")?,
        })
    }

    fn wrong(&self, field: &str, wanted: &str) -> String {
        format!("target {:?}: {field} is no {wanted}", self.name)
    }

    fn text(&self, field: &str) -> Result<Option<String>, String> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.wrong(field, "text")),
        }
    }

    fn list(&self, field: &str) -> Result<Vec<String>, String> {
        strings(self.fields.get(field)).ok_or_else(|| self.wrong(field, "list of text"))
    }

    /// Without those that have no value.
    fn texts(&self, field: &str) -> Result<BTreeMap<String, String>, String> {
        let wrong = || self.wrong(field, "mapping of text");
        let mut found = BTreeMap::new();
        match self.fields.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::Object(entries)) => {
                for (name, value) in entries {
                    match value {
                        Value::Null => {}
                        Value::String(text) => drop(found.insert(name.clone(), text.clone())),
                        _ => return Err(wrong()),
                    }
                }
            }
            Some(_) => return Err(wrong()),
        }
        Ok(found)
    }
}

/// One that is absent is empty.
fn object<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a Map<String, Value>, String> {
    static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    match value {
        None | Some(Value::Null) => Ok(&EMPTY),
        Some(Value::Object(entries)) => Ok(entries),
        Some(_) => Err(format!("{what} is no JSON object")),
    }
}

/// A list that is absent is empty; `None` where it is something else.
fn strings(value: Option<&Value>) -> Option<Vec<String>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(value) => {
            let entries = value.as_array()?.iter();
            entries.map(|entry| entry.as_str().map(str::to_owned)).collect()
        }
    }
}

/// The value itself: buildx prints `${` as `$${` and `%{` as `%%{`, so that its output is a definition again
/// (`MarshalJSON` in bake/bake.go).
fn plain(printed: &str) -> String {
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
    fn a_printed_definition_is_read() {
        let found = targets(
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
    fn groups_may_hold_each_other_and_share_a_name_with_a_target() {
        for (printed, selected) in [
            // A target of the name default, asked for as such.
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
            assert_eq!(names(&targets(printed).expect(printed)), selected);
        }
    }

    #[test]
    fn a_fault_names_target_and_field() {
        for (printed, fault) in [
            ("[]", "it is no JSON object"),
            ("{", "it is no JSON: EOF while parsing"),
            (r#"{"target": {"a": []}}"#, r#"target "a" is no JSON object"#),
            (
                r#"{"target": {"a": {"context": 1}}}"#,
                r#"target "a": context is no text"#,
            ),
            (
                r#"{"target": {"a": {"args": {"B": 1}}}}"#,
                r#"target "a": args is no mapping of text"#,
            ),
            (
                r#"{"target": {"a": {"tags": "x"}}}"#,
                r#"target "a": tags is no list of text"#,
            ),
            (
                r#"{"group": {"g": {"targets": [1]}}}"#,
                r#"group "g": targets is no list of names"#,
            ),
            (
                r#"{"group": {"default": {"targets": ["nope"]}}}"#,
                r#"a group has "nope", which is neither a target nor a group"#,
            ),
        ] {
            let error = targets(printed).expect_err(printed);
            assert!(error.starts_with(fault), "{error}");
        }
    }

    proptest! {
        /// What buildx escapes is had back, whatever the value is.
        #[test]
        fn escapes_are_undone(value in "[$%{}a]{0,12}") {
            let printed = value.replace("${", "$${").replace("%{", "%%{");
            prop_assert_eq!(plain(&printed), value);
        }
    }
}
