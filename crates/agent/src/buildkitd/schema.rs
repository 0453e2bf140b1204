//! What buildkitd.toml may hold, as BuildKit's own structs have it (`schema.txt`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What stands at a place of the file.
#[derive(Debug)]
pub(super) enum Node {
    Table(BTreeMap<&'static str, Node>),
    /// A table whose keys are names of the user's own.
    Named(Box<Node>),
    /// A list of tables.
    List(Box<Node>),
    Value(Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Integer,
    Text,
    Texts,
    /// Bytes, a percentage of the disk, or a number with a unit.
    Size,
    /// Seconds, or a number with a unit.
    Duration,
    /// Handed on by BuildKit as it is.
    Any,
}

pub(super) static ROOT: LazyLock<Node> = LazyLock::new(|| {
    let mut root = Node::Table(BTreeMap::new());
    for line in include_str!("schema.txt").lines().filter(|l| !l.starts_with('#')) {
        if let Some((path, go)) = line.split_once(' ') {
            root.insert(path, go);
        }
    }
    root
});

impl Node {
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

fn leaf(go: &str) -> Node {
    Node::Value(match go {
        "bool" => Kind::Bool,
        "int" | "int64" | "uint64" => Kind::Integer,
        "string" => Kind::Text,
        "[]string" => Kind::Texts,
        "diskspace" => Kind::Size,
        "duration" => Kind::Duration,
        "map[string]string" => return Node::Named(Box::new(Node::Value(Kind::Text))),
        _ => Kind::Any,
    })
}

/// The first key of a path, without quotes, and what follows it.
fn first(path: &str) -> (&str, &str) {
    let (key, rest) = match path.strip_prefix('"').and_then(|p| p.split_once('"')) {
        Some(quoted) => quoted,
        None => path.split_at(path.find(['.', '[']).unwrap_or(path.len())),
    };
    (key, rest.strip_prefix('.').unwrap_or(rest))
}

/// Values with which buildkitd does not start, or, for the number of entries, does not run on.
pub(super) const LEAST: [(&str, i64); 10] = [
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

impl Kind {
    pub(super) fn is_met_by(self, value: &toml::Value) -> bool {
        match self {
            Self::Bool => value.is_bool(),
            Self::Integer => value.is_integer(),
            Self::Text => value.is_str(),
            Self::Texts => value
                .as_array()
                .is_some_and(|a| a.iter().all(toml::Value::is_str)),
            Self::Size => value.as_integer().is_some_and(|n| n >= 0) || value.as_str().is_some_and(is_size),
            Self::Duration => value.is_integer() || value.as_str().is_some_and(is_duration),
            Self::Any => true,
        }
    }

    pub(super) fn allowed(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Integer => "an integer",
            Self::Text => "a string",
            Self::Texts => "a list of strings",
            Self::Size => "a number of bytes, or a string such as \"10%\" or \"512MB\"",
            Self::Duration => "a number of seconds, or a string such as \"48h\"",
            Self::Any => "anything",
        }
    }
}

/// As BuildKit reads one (cmd/buildkitd/config/gcpolicy.go, `DiskSpace`; docker/go-units, `RAMInBytes`).
fn is_size(text: &str) -> bool {
    if let Some(percent) = text.strip_suffix('%') {
        return percent.parse::<u8>().is_ok_and(|p| p <= 100);
    }
    let Some(last) = text.rfind(|c: char| c.is_ascii_digit()) else {
        return false;
    };
    let (number, unit) = text.split_at(last + 1);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let of_thousands = |u: &str| matches!(u.as_bytes(), [b'k' | b'm' | b'g' | b't' | b'p']);
    let prefix = unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(&unit);
    is_decimal(number) && (unit.is_empty() || unit == "b" || of_thousands(prefix))
}

/// As Go reads one (`time.ParseDuration`), or whole seconds.
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
    fn every_line_has_its_place_and_a_type_known_here() {
        let mut lines = 0;
        for line in include_str!("schema.txt").lines().filter(|l| !l.starts_with('#')) {
            let (mut path, go) = line.split_once(' ').expect("path and type");
            lines += 1;
            let mut node = &*ROOT;
            while !path.is_empty() {
                (node, path) = match node {
                    Node::Table(keys) => (&keys[first(path).0], first(path).1),
                    Node::Named(item) => (&**item, path.strip_prefix("*.").expect("a name")),
                    Node::List(item) => (&**item, path.strip_prefix("[].").expect("a list")),
                    Node::Value(_) => panic!("{line} is below a value"),
                };
            }
            let any = matches!(node, Node::Value(Kind::Any));
            assert_eq!(any, go == "map[string]interface {}", "{line}");
            assert!(matches!(node, Node::Value(_) | Node::Named(_)), "{line}");
        }
        assert_eq!(lines, 138);
    }

    #[test]
    fn sizes_and_durations_as_buildkit_reads_them() {
        for right in ["0", "10%", "512MB", "1.5 GiB", "20g", "7b", "30kB"] {
            assert!(is_size(right), "{right}");
        }
        for wrong in [
            "", "%", "101%", "-1", "ten", "10 %", "10 M B", "1xb", "1ib", "512MBs", "1.MB",
        ] {
            assert!(!is_size(wrong), "{wrong}");
        }
        for right in ["0", "3600", "-1", "48h", "1h30m", "1.5s", "-5ms", "10µs"] {
            assert!(is_duration(right), "{right}");
        }
        for wrong in ["", "h", "2d", "1 h", "1h30", "1.5", "-", "1.h"] {
            assert!(!is_duration(wrong), "{wrong}");
        }
    }
}
