//! Parses inputs that are lists, separated by commas or line breaks.

use std::collections::BTreeMap;

use super::names::{is_label_value, is_qualified_name};
use crate::agent::Taint;

/// Returns the entries of a list without surrounding whitespace. Empty entries are skipped.
pub(super) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '\n'])
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

/// Parses labels, as KEY=VALUE.
pub(super) fn labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    pairs(text, entries(text), |value| {
        if is_label_value(value) {
            Ok(())
        } else {
            Err(
                "a valid label value: at most 63 letters, digits, -, _ and ., starting and ending with a letter or digit",
            )
        }
    })
}

/// Parses annotations, as KEY=VALUE, one per line. A value may contain commas.
pub(super) fn annotations(text: &str) -> Result<BTreeMap<String, String>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    pairs(text, lines, |_| Ok(()))
}

/// Parses KEY=VALUE pairs.
fn pairs<'a>(
    text: &str,
    entries: impl Iterator<Item = &'a str>,
    value_ok: impl Fn(&str) -> Result<(), &'static str>,
) -> Result<BTreeMap<String, String>, String> {
    let mut pairs = BTreeMap::new();
    for entry in entries {
        let Some((key, value)) = entry.split_once('=') else {
            return Err(format!("{entry:?} is not KEY=VALUE"));
        };
        if !is_qualified_name(key) {
            return Err(format!(
                "{key:?} is not a valid key such as team or example.com/team: letters, digits, -, _ and ., with an \
                 optional domain before a /"
            ));
        }
        value_ok(value).map_err(|allowed| format!("{value:?} is not {allowed}"))?;
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("{key:?} is set twice"));
        }
    }
    if pairs.is_empty() {
        return Err(format!("{text:?} contains no KEY=VALUE"));
    }
    Ok(pairs)
}

/// Parses tolerations, in the notation of `kubectl taint`.
pub(super) fn taints(text: &str) -> Result<Vec<Taint>, String> {
    let taints: Vec<Taint> = entries(text).map(taint).collect::<Result<_, _>>()?;
    if taints.is_empty() {
        return Err(format!("{text:?} contains no taint"));
    }
    Ok(taints)
}

/// The effects of a taint.
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Parses one toleration.
fn taint(entry: &str) -> Result<Taint, String> {
    let (left, effect) = match entry.split_once(':') {
        Some((left, effect)) => (left, Some(effect)),
        None => (entry, None),
    };
    let (key, value) = match left.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (left, None),
    };
    if let Some(effect) = effect.filter(|e| !EFFECTS.contains(e)) {
        return Err(format!(
            "{effect:?} is not a taint effect, which is one of {}",
            EFFECTS.join(", ")
        ));
    }
    if !is_qualified_name(key) || !value.is_none_or(is_label_value) {
        return Err(format!("{entry:?} is not KEY=VALUE:EFFECT, KEY:EFFECT or KEY"));
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
            let error = labels(text).expect_err(text);
            assert!(error.contains(named), "{text}: {error}");
        }
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
