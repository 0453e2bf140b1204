//! Parses inputs that are lists, separated by commas or line breaks.

use std::collections::BTreeMap;
use std::fmt;

use super::names::{is_label_value, is_qualified_name};
use crate::agent::Taint;

/// Returns the entries of a list without surrounding whitespace. Empty entries are skipped.
pub(super) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '\n'])
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

/// An invalid list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListError {
    /// The number of the invalid entry, from 1; `None` if the list does not have several entries.
    pub(super) entry: Option<usize>,
    pub(super) kind: ListErrorKind,
}

/// Why a list is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListErrorKind {
    /// The list has no entry. Contains what an entry would be.
    Empty(&'static str),
    /// The entry has no `=`.
    NotAPair(String),
    InvalidKey(String),
    InvalidLabelValue(String),
    DuplicateKey(String),
    /// The entry is not a taint in the notation of `kubectl taint`.
    NotATaint(String),
    UnknownEffect(String),
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entry) = self.entry {
            write!(f, "entry {entry}: ")?;
        }
        self.kind.fmt(f)
    }
}

impl fmt::Display for ListErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty(expected) => write!(f, "contains no {expected}"),
            Self::NotAPair(entry) => write!(f, "{entry:?} is not KEY=VALUE"),
            Self::InvalidKey(key) => write!(
                f,
                "{key:?} is not a valid key such as team or example.com/team: letters, digits, -, _ and ., with an optional \
                 domain before a /"
            ),
            Self::InvalidLabelValue(value) => write!(
                f,
                "{value:?} is not a valid label value: at most 63 letters, digits, -, _ and ., starting and ending with a \
                 letter or digit"
            ),
            Self::DuplicateKey(key) => write!(f, "{key:?} is set twice"),
            Self::NotATaint(entry) => write!(f, "{entry:?} is not KEY=VALUE:EFFECT, KEY:EFFECT or KEY"),
            Self::UnknownEffect(effect) => write!(
                f,
                "{effect:?} is not a taint effect, which is one of {}",
                EFFECTS.join(", ")
            ),
        }
    }
}

impl std::error::Error for ListError {}

/// Passes each entry to `add`. Returns the first error, with the number of its entry.
fn for_each_entry<'a>(
    entries: impl Iterator<Item = &'a str>,
    expected: &'static str,
    mut add: impl FnMut(&'a str) -> Result<(), ListErrorKind>,
) -> Result<(), ListError> {
    let entries: Vec<&str> = entries.collect();
    if entries.is_empty() {
        let kind = ListErrorKind::Empty(expected);
        return Err(ListError { entry: None, kind });
    }
    for (index, entry) in entries.iter().enumerate() {
        add(entry).map_err(|kind| ListError {
            entry: (entries.len() > 1).then_some(index + 1),
            kind,
        })?;
    }
    Ok(())
}

/// Parses labels, as KEY=VALUE.
pub(super) fn labels(text: &str) -> Result<BTreeMap<String, String>, ListError> {
    pairs(entries(text), |value| {
        if is_label_value(value) {
            Ok(())
        } else {
            Err(ListErrorKind::InvalidLabelValue(value.to_owned()))
        }
    })
}

/// Parses annotations, as KEY=VALUE, one per line. A value may contain commas.
pub(super) fn annotations(text: &str) -> Result<BTreeMap<String, String>, ListError> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    pairs(lines, |_| Ok(()))
}

/// Parses KEY=VALUE pairs.
fn pairs<'a>(
    entries: impl Iterator<Item = &'a str>,
    check_value: impl Fn(&str) -> Result<(), ListErrorKind>,
) -> Result<BTreeMap<String, String>, ListError> {
    let mut pairs = BTreeMap::new();
    for_each_entry(entries, "KEY=VALUE", |entry| {
        let Some((key, value)) = entry.split_once('=') else {
            return Err(ListErrorKind::NotAPair(entry.to_owned()));
        };
        if !is_qualified_name(key) {
            return Err(ListErrorKind::InvalidKey(key.to_owned()));
        }
        check_value(value)?;
        match pairs.insert(key.to_owned(), value.to_owned()) {
            Some(_) => Err(ListErrorKind::DuplicateKey(key.to_owned())),
            None => Ok(()),
        }
    })?;
    Ok(pairs)
}

/// Parses tolerations, in the notation of `kubectl taint`.
pub(super) fn taints(text: &str) -> Result<Vec<Taint>, ListError> {
    let mut taints = Vec::new();
    for_each_entry(entries(text), "taint", |entry| {
        taints.push(taint(entry)?);
        Ok(())
    })?;
    Ok(taints)
}

/// The effects of a taint.
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Parses one toleration.
fn taint(entry: &str) -> Result<Taint, ListErrorKind> {
    let (left, effect) = match entry.split_once(':') {
        Some((left, effect)) => (left, Some(effect)),
        None => (entry, None),
    };
    let (key, value) = match left.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (left, None),
    };
    if let Some(effect) = effect.filter(|e| !EFFECTS.contains(e)) {
        return Err(ListErrorKind::UnknownEffect(effect.to_owned()));
    }
    if !is_qualified_name(key) || !value.is_none_or(is_label_value) {
        return Err(ListErrorKind::NotATaint(entry.to_owned()));
    }
    Ok(Taint {
        key: key.to_owned(),
        value: value.map(str::to_owned),
        effect: effect.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_labels_are_named() {
        let found = labels("a=1, example.com/b=\n c=x.y ").expect("pairs");
        let found: Vec<String> = found.into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(found, ["a=1", "c=x.y", "example.com/b="]);
        for (text, named) in [
            ("a", "\"a\" is not KEY=VALUE"),
            ("a=1,=2", "\"\" is not a valid key"),
            ("a/b/c=1", "\"a/b/c\""),
            ("UPPER.example/x=1", "\"UPPER.example/x\""),
            ("a=two words", "\"two words\""),
            ("a=1,a=2", "\"a\" is set twice"),
            (" , ", "contains no KEY=VALUE"),
        ] {
            let error = labels(text).expect_err(text).to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn errors_of_a_longer_list_name_the_entry() {
        let number = |error: ListError| error.entry;
        let list = "a=1, b=2,,\nc\n,d=4";
        let error = labels(list).expect_err(list);
        assert_eq!(error.kind, ListErrorKind::NotAPair("c".into()));
        assert_eq!(error.to_string(), "entry 3: \"c\" is not KEY=VALUE");
        assert_eq!(labels("c").map_err(number), Err(None));
        assert_eq!(labels("a=1,a=2").map_err(number), Err(Some(2)));
        assert_eq!(annotations("a=1,2\n\nb").map_err(number), Err(Some(2)));
        assert_eq!(taints("a, b:NoExecute, c:Never").map_err(number), Err(Some(3)));
        assert_eq!(taints(" ,").map_err(number), Err(None));
    }

    #[test]
    fn annotations_accept_any_value() {
        let found = annotations("a=1,2\n\nb/c={\"x\": \"y=z\"}").expect("pairs");
        assert_eq!(found["a"], "1,2");
        assert_eq!(found["b/c"], r#"{"x": "y=z"}"#);
    }

    #[test]
    fn taints_use_the_notation_of_kubectl() {
        let taint = |key: &str, value: Option<&str>, effect: Option<&str>| Taint {
            key: key.into(),
            value: value.map(Into::into),
            effect: effect.map(Into::into),
        };
        assert_eq!(
            taints("dedicated=builds:NoSchedule,spot:NoExecute\nx"),
            Ok(vec![
                taint("dedicated", Some("builds"), Some("NoSchedule")),
                taint("spot", None, Some("NoExecute")),
                taint("x", None, None),
            ])
        );
        for text in ["a=b:Never", "a=b=c:NoSchedule", ":NoSchedule", "a b", ""] {
            assert!(taints(text).is_err(), "{text}");
        }
    }
}
