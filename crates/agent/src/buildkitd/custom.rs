//! The user's part of buildkitd.toml.
//!
//! BuildKit ignores unknown keys, so a mistyped key would change nothing without a message: every key and value is checked
//! here, against BuildKit's own structs.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

use super::schema::{self, SchemaNode, ValueKind};

/// The checked part of the user, with each key spelled as BuildKit spells it.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomConfig(Table);

/// A validation error, with its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

/// All validation errors of a text, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index > 0 { "\n" } else { "" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A key that the user cannot set.
struct ReservedKey {
    path: &'static str,
    /// The value that is rejected; `None`: any value.
    rejected: Option<bool>,
    reason: &'static str,
}

const fn reserved(path: &'static str, rejected: Option<bool>, reason: &'static str) -> ReservedKey {
    ReservedKey {
        path,
        rejected,
        reason,
    }
}

const RESERVED: [ReservedKey; 11] = [
    reserved("root", None, "the cache volume is mounted there"),
    reserved("insecure-entitlements", None, "use the input `entitlements`"),
    reserved(
        "cdi.disabled",
        Some(false),
        "it grants the entitlement `device` to every build; use the input `entitlements`",
    ),
    reserved(
        "grpc.address",
        None,
        "builds connect through the socket in the pod",
    ),
    reserved("worker.oci.enabled", Some(false), "the pod has no other worker"),
    reserved("worker.oci.rootless", None, "use the input `isolation`"),
    reserved("worker.oci.gckeepstorage", None, IGNORED_BY_BUILDKIT),
    reserved("worker.oci.reservedSpace", None, IGNORED_BY_BUILDKIT),
    reserved("worker.oci.maxUsedSpace", None, IGNORED_BY_BUILDKIT),
    reserved("worker.oci.minFreeSpace", None, IGNORED_BY_BUILDKIT),
    reserved(
        "worker.containerd.enabled",
        Some(true),
        "there is no containerd in the pod",
    ),
];

const IGNORED_BY_BUILDKIT: &str =
    "BuildKit ignores it if `gcpolicy` is set, and `gcpolicy` is always set; use `worker.oci.gcpolicy`";

impl CustomConfig {
    /// Parses and validates the user's part. Finds all errors, not only the first.
    pub fn parse(text: &str) -> Result<Self, ConfigErrors> {
        let mut validator = Validator {
            text,
            errors: BTreeMap::new(),
        };
        let table = match DeTable::parse(text) {
            Ok(document) => validator.table(&schema::ROOT, "", document.get_ref()),
            Err(error) => {
                let span = error.span().unwrap_or_default();
                let near = text.get(span.clone()).unwrap_or_default().trim();
                // An unterminated string extends to the end of the file.
                let near = near.lines().next().unwrap_or_default();
                let near = if near.is_empty() {
                    String::new()
                } else {
                    format!(" (near `{near}`)")
                };
                validator.error(span, format!("{}{near}", error.message()));
                Table::new()
            }
        };
        let errors: Vec<ConfigError> = validator.errors.into_values().collect();
        if errors.is_empty() {
            Ok(Self(table))
        } else {
            Err(ConfigErrors(errors))
        }
    }

    /// Merges this part over another. Tables are merged; all other values replace the existing ones, and so do lists, such
    /// as the garbage collection rules.
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

struct Validator<'t> {
    text: &'t str,
    /// By offset, so in the order of the text, and the first error at each offset.
    errors: BTreeMap<usize, ConfigError>,
}

impl Validator<'_> {
    fn error(&mut self, span: Range<usize>, message: String) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        self.errors.entry(span.start).or_insert(ConfigError {
            line,
            column,
            message,
        });
    }

    /// Returns the valid part of a table.
    fn table(&mut self, node: &SchemaNode, path: &str, table: &DeTable<'_>) -> Table {
        let mut out = Table::new();
        for (key, value) in table {
            let (name, node) = match node {
                SchemaNode::Named(item) => (key.get_ref().as_ref(), &**item),
                SchemaNode::Table(keys) => match find(keys, key.get_ref()) {
                    Some(found) => found,
                    None => {
                        let known: Vec<String> = keys.keys().map(|key| join("", key)).collect();
                        let path = join(path, key.get_ref());
                        let message =
                            format!("unknown key `{path}`; the known keys are: {}", known.join(", "));
                        self.error(key.span(), message);
                        continue;
                    }
                },
                SchemaNode::List(_) | SchemaNode::Value(_) => continue,
            };
            let path = join(path, name);
            let Some(valid) = self.value(node, &path, value) else {
                continue;
            };
            if let Some(reason) = reserved_reason(&path, &valid) {
                self.error(key.span(), format!("`{path}` is reserved: {reason}"));
            } else if out.insert(name.to_owned(), valid).is_some() {
                // BuildKit ignores case.
                self.error(key.span(), format!("`{path}` is set twice"));
            }
        }
        out
    }

    /// Returns a value if it is valid.
    fn value(&mut self, node: &SchemaNode, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        match (node, value.get_ref()) {
            (SchemaNode::Table(_) | SchemaNode::Named(_), DeValue::Table(table)) => {
                Some(Value::Table(self.table(node, path, table)))
            }
            (SchemaNode::List(item), DeValue::Array(items)) => items
                .iter()
                .map(|value| self.value(item, path, value))
                .collect::<Option<Vec<_>>>()
                .map(Value::Array),
            (SchemaNode::Value(kind), _) => self.leaf(*kind, path, value),
            (expected, _) => {
                let expected = match expected {
                    SchemaNode::List(_) => "a list of tables",
                    _ => "a table",
                };
                self.error(value.span(), format!("`{path}` must be {expected}"));
                None
            }
        }
    }

    /// Returns a value that is not a table or a list of tables, if it is valid.
    fn leaf(&mut self, kind: ValueKind, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        // Fails only for a number of more than 64 bits.
        let Ok(plain) = Value::deserialize(ValueDeserializer::from(value.clone())) else {
            self.error(value.span(), format!("`{path}` is out of range"));
            return None;
        };
        let allowed = if !kind.matches(&plain) {
            kind.description().to_owned()
        } else if let Some(minimum) = minimum(path).filter(|minimum| plain.as_integer() < Some(*minimum)) {
            format!("at least {minimum}")
        } else if let Some(choice) = choices(path).filter(|c| plain.as_str().is_some_and(|t| !c.contains(&t)))
        {
            format!("one of {}", choice.join(", "))
        } else {
            return Some(plain);
        };
        // A string of several lines stays on one.
        let found = match &plain {
            Value::String(text) => format!("{text:?}"),
            other => other.to_string(),
        };
        self.error(value.span(), format!("`{path}` must be {allowed}, not {found}"));
        None
    }
}

/// Returns the key as BuildKit spells it. BuildKit's parser ignores case (pelletier/go-toml v2, unmarshaler.go, `lookup`).
fn find<'n>(
    keys: &'n BTreeMap<&'static str, SchemaNode>,
    key: &str,
) -> Option<(&'static str, &'n SchemaNode)> {
    let (name, node) = keys
        .get_key_value(key)
        .or_else(|| keys.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)))?;
    Some((name, node))
}

/// Returns the path of a key of a table, quoted where TOML requires it.
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

/// Returns why the user cannot set a key to this value.
fn reserved_reason(path: &str, value: &Value) -> Option<&'static str> {
    let key = RESERVED.iter().find(|key| key.path == path)?;
    (key.rejected.is_none() || key.rejected == value.as_bool()).then_some(key.reason)
}

fn minimum(path: &str) -> Option<i64> {
    let (_, minimum) = schema::MINIMUMS.iter().find(|(key, _)| *key == path)?;
    Some(*minimum)
}

fn choices(path: &str) -> Option<&'static [&'static str]> {
    let (_, choices) = schema::CHOICES.iter().find(|(key, _)| *key == path)?;
    Some(choices)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// docs/buildkitd.toml.md of BuildKit v0.34.2.
    const DOCUMENTED: &str = include_str!("fixtures/buildkitd.toml");

    #[test]
    fn buildkits_example_is_valid_except_for_reserved_keys() {
        let errors = CustomConfig::parse(DOCUMENTED).expect_err("it has reserved keys");
        insta::assert_snapshot!(errors);
        let lines: Vec<usize> = errors.0.iter().map(|error| error.line).collect();
        let rest: String = DOCUMENTED
            .lines()
            .enumerate()
            .filter(|(n, _)| !lines.contains(&(n + 1)))
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        let custom = CustomConfig::parse(&rest).expect("the other keys are valid");
        assert_eq!(custom.0, rest.parse::<Table>().expect("toml"), "nothing was lost");
    }

    #[test]
    fn errors_name_line_and_key() {
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
        insta::assert_snapshot!(CustomConfig::parse(text).expect_err("errors"));
    }

    #[test]
    fn syntax_errors_name_line_and_column() {
        for (text, place) in [
            ("[worker.oci\n", "line 1, column 12: "),
            ("a = 1\ndebug = tru\n", "line 2, column 9: "),
            ("debug = true\ndebug = true\n", "line 2, column 1: "),
            ("[dns]\nx\n", "line 2, column 2: "),
            ("debug = \"\"\"x\ny\n", "line "),
            ("debug = \"\"\"x\ny\"\"\"\n", "line 1, column 9: "),
        ] {
            let error = CustomConfig::parse(text).expect_err(text).to_string();
            assert!(
                error.starts_with(place) && error.lines().count() == 1,
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn keys_are_spelled_as_buildkit_does() {
        let error = |text: &str| {
            let errors = CustomConfig::parse(text).expect_err(text);
            errors.to_string()
        };
        let unknown = error("[Worker.OCI]\nmaxparallelism = 1\n");
        assert!(unknown.contains("`worker.oci.maxparallelism`"), "{unknown}");
        let custom =
            CustomConfig::parse("[Worker.OCI]\nMax-Parallelism = 1\n").expect("case does not matter");
        assert_eq!(custom.0.to_string(), "[worker.oci]\nmax-parallelism = 1\n");
        let reserved = error("ROOT = '/x'");
        assert!(reserved.contains("`root` is reserved"), "{reserved}");
        let twice = error("debug = true\nDebug = false");
        assert!(twice.contains("`debug` is set twice"), "{twice}");
    }

    #[test]
    fn reserved_keys_are_keys_of_buildkit() {
        let known = include_str!("schema.txt");
        let special = schema::MINIMUMS.iter().map(|(key, _)| *key);
        let special = special.chain(schema::CHOICES.iter().map(|(key, _)| *key));
        for key in special.chain(RESERVED.iter().map(|key| key.path)) {
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
        fn any_text_is_parsed_or_rejected(text in "\\PC*|[\\[\\]a-z.=\"'#\n0-9{} ]{0,60}") {
            if let Err(error) = CustomConfig::parse(&text) {
                prop_assert!(!error.0.is_empty());
                prop_assert!(error.to_string().starts_with("line "), "{}", error);
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
