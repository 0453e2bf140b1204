//! The user's own part of buildkitd.toml.
//!
//! BuildKit ignores what it does not know, so a mistyped key would change nothing and say nothing: everything is
//! checked here, against BuildKit's own structs.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

use super::schema::{self, Kind, Node};

/// Checked, and with each key spelled as BuildKit spells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Custom(Table);

/// Keys that are decided elsewhere, with the value that is refused if not any, and why.
const RESERVED: [(&str, Option<bool>, &str); 11] = [
    ("root", None, "the cache volume is mounted there"),
    ("insecure-entitlements", None, "use the input `entitlements`"),
    (
        "cdi.disabled",
        Some(false),
        "it grants the entitlement `device` to every build; use the input `entitlements`",
    ),
    ("grpc.address", None, "builds come through the socket in the pod"),
    ("worker.oci.enabled", Some(false), "the pod has no other worker"),
    ("worker.oci.rootless", None, "use the input `isolation`"),
    ("worker.oci.gckeepstorage", None, UNREAD),
    ("worker.oci.reservedSpace", None, UNREAD),
    ("worker.oci.maxUsedSpace", None, UNREAD),
    ("worker.oci.minFreeSpace", None, UNREAD),
    (
        "worker.containerd.enabled",
        Some(true),
        "there is no containerd in the pod",
    ),
];

const UNREAD: &str =
    "BuildKit reads it only where there is no `gcpolicy`, and there is one; write `worker.oci.gcpolicy`";

impl Custom {
    /// Every fault is named, a line each.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut check = Check {
            text,
            faults: BTreeMap::new(),
        };
        let table = match DeTable::parse(text) {
            Ok(document) => check.table(&schema::ROOT, "", document.get_ref()),
            Err(error) => {
                let span = error.span().unwrap_or_default();
                let at = text.get(span.clone()).unwrap_or_default().trim();
                // A text that does not end goes on to the end of the file.
                let at = at.lines().next().unwrap_or_default();
                let at = if at.is_empty() {
                    String::new()
                } else {
                    format!(" (at `{at}`)")
                };
                check.fault(span, &format!("{}{at}", error.message()));
                Table::new()
            }
        };
        let faults: Vec<String> = check.faults.into_values().collect();
        if faults.is_empty() {
            Ok(Self(table))
        } else {
            Err(faults.join("\n"))
        }
    }

    /// Tables are merged, all else replaces what was there: lists, too, and with them the rules of the collection.
    pub(super) fn merge_into(&self, config: &mut Table) {
        merge(config, &self.0);
    }
}

fn merge(into: &mut Table, from: &Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

struct Check<'t> {
    text: &'t str,
    /// By place, in the order of the file.
    faults: BTreeMap<usize, String>,
}

impl Check<'_> {
    fn fault(&mut self, span: Range<usize>, what: &str) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        self.faults
            .entry(span.start)
            .or_insert_with(|| format!("line {line}, column {column}: {what}"));
    }

    /// The part of a table that is right.
    fn table(&mut self, node: &Node, path: &str, table: &DeTable<'_>) -> Table {
        let mut out = Table::new();
        for (key, value) in table {
            let (name, node) = match node {
                Node::Named(item) => (key.get_ref().as_ref(), &**item),
                Node::Table(keys) => match find(keys, key.get_ref()) {
                    Some(found) => found,
                    None => {
                        let known: Vec<String> = keys.keys().map(|key| join("", key)).collect();
                        let place = join(path, key.get_ref());
                        let what = format!(
                            "BuildKit knows no key `{place}`; known here: {}",
                            known.join(", ")
                        );
                        self.fault(key.span(), &what);
                        continue;
                    }
                },
                Node::List(_) | Node::Value(_) => continue,
            };
            let place = join(path, name);
            let Some(checked) = self.value(node, &place, value) else {
                continue;
            };
            if let Some(why) = reserved(&place, &checked) {
                self.fault(key.span(), &format!("`{place}` is not yours to set: {why}"));
            } else if out.insert(name.to_owned(), checked).is_some() {
                // BuildKit does not look at case.
                self.fault(key.span(), &format!("`{place}` is there twice"));
            }
        }
        out
    }

    fn value(&mut self, node: &Node, place: &str, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        match (node, value.get_ref()) {
            (Node::Table(_) | Node::Named(_), DeValue::Table(table)) => {
                Some(Value::Table(self.table(node, place, table)))
            }
            (Node::List(item), DeValue::Array(items)) => items
                .iter()
                .map(|value| self.value(item, place, value))
                .collect::<Option<Vec<_>>>()
                .map(Value::Array),
            (Node::Value(kind), _) => self.leaf(*kind, place, value),
            (expected, _) => {
                let expected = match expected {
                    Node::List(_) => "a list of tables",
                    _ => "a table",
                };
                self.fault(value.span(), &format!("`{place}` must be {expected}"));
                None
            }
        }
    }

    fn leaf(&mut self, kind: Kind, place: &str, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        // Fails for a number that has no room in 64 bits, and for nothing else.
        let Ok(plain) = Value::deserialize(ValueDeserializer::from(value.clone())) else {
            self.fault(value.span(), &format!("`{place}` is out of range"));
            return None;
        };
        let allowed = if !kind.is_met_by(&plain) {
            kind.allowed().to_owned()
        } else if let Some(least) = least(place).filter(|least| plain.as_integer() < Some(*least)) {
            format!("at least {least}")
        } else if let Some(choice) =
            choices(place).filter(|c| plain.as_str().is_some_and(|t| !c.contains(&t)))
        {
            format!("one of {}", choice.join(", "))
        } else {
            return Some(plain);
        };
        // A text of several lines is written so.
        let found = match &plain {
            Value::String(text) => format!("{text:?}"),
            other => other.to_string(),
        };
        self.fault(value.span(), &format!("`{place}` must be {allowed}, not {found}"));
        None
    }
}

/// The key as BuildKit spells it. Its parser does not look at case (pelletier/go-toml v2, unmarshaler.go, `lookup`).
fn find<'n>(keys: &'n BTreeMap<&'static str, Node>, key: &str) -> Option<(&'static str, &'n Node)> {
    let (name, node) = keys
        .get_key_value(key)
        .or_else(|| keys.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)))?;
    Some((name, node))
}

fn join(path: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let key = if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

fn reserved(place: &str, value: &Value) -> Option<&'static str> {
    let (_, refused, why) = RESERVED.iter().find(|(key, _, _)| *key == place)?;
    (refused.is_none() || *refused == value.as_bool()).then_some(why)
}

fn least(place: &str) -> Option<i64> {
    let (_, least) = schema::LEAST.iter().find(|(key, _)| *key == place)?;
    Some(*least)
}

fn choices(place: &str) -> Option<&'static [&'static str]> {
    let (_, choices) = schema::CHOICES.iter().find(|(key, _)| *key == place)?;
    Some(choices)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// docs/buildkitd.toml.md of BuildKit v0.34.2.
    const DOCUMENTED: &str = include_str!("fixtures/buildkitd.toml");

    #[test]
    fn buildkits_own_example_is_right_but_for_what_is_reserved() {
        let error = Custom::parse(DOCUMENTED).expect_err("it holds reserved keys");
        insta::assert_snapshot!(error);
        let lines: Vec<usize> = error
            .lines()
            .filter_map(|fault| fault.strip_prefix("line ")?.split_once(',')?.0.parse().ok())
            .collect();
        let rest: String = DOCUMENTED
            .lines()
            .enumerate()
            .filter(|(n, _)| !lines.contains(&(n + 1)))
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        let custom = Custom::parse(&rest).expect("all else is right");
        assert_eq!(custom.0, rest.parse::<Table>().expect("toml"), "nothing was lost");
    }

    #[test]
    fn faults_name_line_and_key() {
        let text = r#"debug = "yes"
[worker.oci]
max-paralelism = 4
max-parallelism = -1
labels = { a = "b", c = 1 }
[[worker.oci.gcpolicy]]
maxUsedSpace = "10 per cent"
keepDuration = 1.5
[registry."docker.io"]
mirrors = "mirror.corp"
keypair = { key = "k" }
[history]
maxEntries = 99999999999999999999
MAXAGE = "2d"
[log]
level = "loud"
[worker]
containerd = 1
[frontend]
gateway.enabled = true
[dns]
options = ["a", 2]
"#;
        insta::assert_snapshot!(Custom::parse(text).expect_err("faults"));
    }

    #[test]
    fn syntax_errors_name_their_place() {
        for (text, fault) in [
            ("[worker.oci\n", "line 1, column 12: "),
            ("a = 1\ndebug = tru\n", "line 2, column 9: "),
            ("debug = true\ndebug = true\n", "line 2, column 1: "),
            ("[dns]\nx\n", "line 2, column 2: "),
            ("debug = \"\"\"x\ny\n", "line "),
            ("debug = \"\"\"x\ny\"\"\"\n", "line 1, column 9: "),
        ] {
            let error = Custom::parse(text).expect_err(text);
            assert!(
                error.starts_with(fault) && error.lines().count() == 1,
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn keys_are_spelled_as_buildkit_does() {
        let custom =
            Custom::parse("[Worker.OCI]\nmaxparallelism = 1\n").expect_err("not even without the hyphen");
        assert!(custom.contains("`worker.oci.maxparallelism`"), "{custom}");
        let custom = Custom::parse("[Worker.OCI]\nMax-Parallelism = 1\n").expect("case is nothing");
        assert_eq!(custom.0.to_string(), "[worker.oci]\nmax-parallelism = 1\n");
        let error = Custom::parse("ROOT = '/x'").expect_err("reserved in any spelling");
        assert!(error.contains("`root` is not yours to set"), "{error}");
        let error = Custom::parse("debug = true\nDebug = false").expect_err("twice");
        assert!(error.contains("`debug` is there twice"), "{error}");
    }

    #[test]
    fn reserved_keys_are_keys_of_buildkit() {
        let known = include_str!("schema.txt");
        let special = schema::LEAST.iter().map(|(key, _)| *key);
        let special = special.chain(schema::CHOICES.iter().map(|(key, _)| *key));
        for key in special.chain(RESERVED.iter().map(|(key, _, _)| *key)) {
            assert!(known.lines().any(|l| l.starts_with(&format!("{key} "))), "{key}");
        }
    }

    fn tables() -> impl Strategy<Value = Table> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from)
        ];
        let value = leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|m| Value::Table(m.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-d]", value, 0..4).prop_map(|m| m.into_iter().collect())
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "\\PC*|[\\[\\]a-z.=\"'#\n0-9{} ]{0,60}") {
            if let Err(error) = Custom::parse(&text) {
                prop_assert!(error.starts_with("line "), "{}", error);
            }
        }

        #[test]
        fn merging_twice_is_merging_once(base in tables(), custom in tables()) {
            let mut once = base;
            merge(&mut once, &custom);
            let mut twice = once.clone();
            merge(&mut twice, &custom);
            prop_assert_eq!(&once, &twice);
        }
    }
}
