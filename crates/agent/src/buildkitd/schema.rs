//! The keys of buildkitd.toml and their types, from BuildKit's own structs (`schema.txt`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What is allowed at a path of the file.
#[derive(Debug)]
pub(super) enum SchemaNode {
    Table(BTreeMap<&'static str, SchemaNode>),
    /// A table whose keys are names that the user chooses.
    Named(Box<SchemaNode>),
    /// A list of tables.
    List(Box<SchemaNode>),
    Value(ValueKind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    Bool,
    Integer,
    String,
    Strings,
    /// Bytes, a percentage of the disk, or a number with a unit.
    Size,
    /// Seconds, or a number with a unit.
    Duration,
    /// Passed on by BuildKit without a check.
    Any,
}

pub(super) static ROOT: LazyLock<SchemaNode> = LazyLock::new(|| {
    let mut root = SchemaNode::Table(BTreeMap::new());
    for line in include_str!("schema.txt").lines().filter(|l| !l.starts_with('#')) {
        if let Some((path, go)) = line.split_once(' ') {
            root.insert(path, go);
        }
    }
    root
});

impl SchemaNode {
    fn insert(&mut self, path: &'static str, go: &'static str) {
        if path.is_empty() {
            *self = leaf(go);
        } else if let Some(rest) = path.strip_prefix("[].") {
            if !matches!(self, Self::List(_)) {
                *self = Self::List(Box::new(Self::Table(BTreeMap::new())));
            }
            if let Self::List(item) = self {
                item.insert(rest, go);
            }
        } else if let Some(rest) = path.strip_prefix("*.") {
            if !matches!(self, Self::Named(_)) {
                *self = Self::Named(Box::new(Self::Table(BTreeMap::new())));
            }
            if let Self::Named(item) = self {
                item.insert(rest, go);
            }
        } else if let Self::Table(keys) = self {
            let (key, rest) = first(path);
            keys.entry(key)
                .or_insert_with(|| Self::Table(BTreeMap::new()))
                .insert(rest, go);
        }
    }
}

fn leaf(go: &str) -> SchemaNode {
    SchemaNode::Value(match go {
        "bool" => ValueKind::Bool,
        "int" | "int64" | "uint64" => ValueKind::Integer,
        "string" => ValueKind::String,
        "[]string" => ValueKind::Strings,
        "diskspace" => ValueKind::Size,
        "duration" => ValueKind::Duration,
        "map[string]string" => return SchemaNode::Named(Box::new(SchemaNode::Value(ValueKind::String))),
        _ => ValueKind::Any,
    })
}

/// Returns the first key of a path, without quotes, and the rest of the path.
fn first(path: &str) -> (&str, &str) {
    let (key, rest) = match path.strip_prefix('"').and_then(|p| p.split_once('"')) {
        Some(quoted) => quoted,
        None => path.split_at(path.find(['.', '[']).unwrap_or(path.len())),
    };
    (key, rest.strip_prefix('.').unwrap_or(rest))
}

/// The minimum of numbers. With a lower one buildkitd does not start, or, for the number of entries, crashes later.
pub(super) const MINIMUMS: [(&str, i64); 10] = [
    ("history.maxEntries", 0),
    ("system.maxRegistryConcurrency", 1),
    ("compaction.maxRetry", 0),
    ("compaction.writesPerCheck", 1),
    ("compaction.sizeWatermark", 1),
    ("compaction.sizeGrowthPercent", 1),
    ("compaction.minReclaimBytes", 1),
    ("compaction.minReclaimPercent", 1),
    ("compaction.minReclaimPercentFloor", 1),
    ("worker.oci.max-parallelism", 0),
];

/// The allowed values of strings.
pub(super) const CHOICES: [(&str, &[&str]); 3] = [
    ("log.format", &["json", "text"]),
    (
        "log.level",
        &[
            "panic", "fatal", "error", "warn", "warning", "info", "debug", "trace",
        ],
    ),
    ("worker.oci.networkMode", &["auto", "bridge", "cni", "host"]),
];

impl ValueKind {
    /// Returns whether a value is of this kind.
    pub(super) fn matches(self, value: &toml::Value) -> bool {
        match self {
            Self::Bool => value.is_bool(),
            Self::Integer => value.is_integer(),
            Self::String => value.is_str(),
            Self::Strings => value
                .as_array()
                .is_some_and(|a| a.iter().all(toml::Value::is_str)),
            Self::Size => value.as_integer().is_some_and(|n| n >= 0) || value.as_str().is_some_and(is_size),
            Self::Duration => value.is_integer() || value.as_str().is_some_and(is_duration),
            Self::Any => true,
        }
    }

    /// Returns what is allowed, for a message.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Integer => "an integer",
            Self::String => "a string",
            Self::Strings => "a list of strings",
            Self::Size => "a number of bytes, or a string such as \"10%\" or \"512MB\"",
            Self::Duration => "a number of seconds, or a string such as \"48h\"",
            Self::Any => "anything",
        }
    }
}

/// Returns whether BuildKit can parse a size (cmd/buildkitd/config/gcpolicy.go, `DiskSpace`; docker/go-units,
/// `RAMInBytes`).
fn is_size(text: &str) -> bool {
    if let Some(percent) = text.strip_suffix('%') {
        return percent.parse::<u8>().is_ok_and(|p| p <= 100);
    }
    let Some(last) = text.rfind(|c: char| c.is_ascii_digit()) else {
        return false;
    };
    let (number, unit) = text.split_at(last + 1);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let is_prefix = |u: &str| matches!(u.as_bytes(), [b'k' | b'm' | b'g' | b't' | b'p']);
    let prefix = unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(&unit);
    is_decimal(number) && (unit.is_empty() || unit == "b" || is_prefix(prefix))
}

/// Returns whether a text is a duration of Go (`time.ParseDuration`), or whole seconds.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if is_decimal(rest) {
        return !rest.contains('.');
    }
    while !rest.is_empty() {
        let unit = rest.find(|c: char| c != '.' && !c.is_ascii_digit());
        let (number, tail) = rest.split_at(unit.unwrap_or(rest.len()));
        let units = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];
        let Some(tail) = units.iter().find_map(|u| tail.strip_prefix(u)) else {
            return false;
        };
        if !is_decimal(number) {
            return false;
        }
        rest = tail;
    }
    !text.is_empty() && text.ends_with(|c: char| c.is_alphabetic())
}

fn is_decimal(text: &str) -> bool {
    let digits = |t: &str| !t.is_empty() && t.chars().all(|c| c.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_in_the_tree_and_has_a_known_type() {
        let mut lines = 0;
        for line in include_str!("schema.txt").lines().filter(|l| !l.starts_with('#')) {
            let (mut path, go) = line.split_once(' ').expect("path and type");
            lines += 1;
            let mut node = &*ROOT;
            while !path.is_empty() {
                (node, path) = match node {
                    SchemaNode::Table(keys) => (&keys[first(path).0], first(path).1),
                    SchemaNode::Named(item) => (&**item, path.strip_prefix("*.").expect("a name")),
                    SchemaNode::List(item) => (&**item, path.strip_prefix("[].").expect("a list")),
                    SchemaNode::Value(_) => panic!("{line} is below a value"),
                };
            }
            let any = matches!(node, SchemaNode::Value(ValueKind::Any));
            assert_eq!(any, go == "map[string]interface {}", "{line}");
            assert!(
                matches!(node, SchemaNode::Value(_) | SchemaNode::Named(_)),
                "{line}"
            );
        }
        assert_eq!(lines, 138);
    }

    #[test]
    fn sizes_and_durations_follow_buildkits_rules() {
        for valid in ["0", "10%", "512MB", "1.5 GiB", "20g", "7b", "30kB"] {
            assert!(is_size(valid), "{valid}");
        }
        for invalid in [
            "", "%", "101%", "-1", "ten", "10 %", "10 M B", "1xb", "1ib", "512MBs", "1.MB",
        ] {
            assert!(!is_size(invalid), "{invalid}");
        }
        for valid in ["0", "3600", "-1", "48h", "1h30m", "1.5s", "-5ms", "10µs"] {
            assert!(is_duration(valid), "{valid}");
        }
        for invalid in ["", "h", "2d", "1 h", "1h30", "1.5", "-", "1.h"] {
            assert!(!is_duration(invalid), "{invalid}");
        }
    }
}
