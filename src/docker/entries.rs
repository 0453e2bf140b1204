//! Parses the entries of a JSON object with their positions in the text, so that an edit changes no other byte.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The reason why a config is not valid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    #[error("it is not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its `{0}` is not an object")]
    NotAnObject(String),
    #[error("its `{0}` is not a list of strings")]
    NotAList(String),
}

/// The entries of an object in order, including duplicates.
pub(super) struct Entries<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

impl<'a> Entries<'a> {
    /// Parses an object.
    pub(super) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Returns the position of an entry's value in `whole`, the text that contains this object. Of duplicate entries
    /// the last one counts, as in Go.
    pub(super) fn find(&self, whole: &str, matches: impl Fn(&str) -> bool) -> Option<Range<usize>> {
        let (_, value) = self.0.iter().rev().find(|(name, _)| matches(name))?;
        let start = value.get().as_ptr() as usize - whole.as_ptr() as usize;
        Some(start..start + value.get().len())
    }
}

/// Returns the text with an entry added at the beginning of the object at `object`.
pub(super) fn with_entry(text: &str, object: &Range<usize>, name: &str, value: &str) -> String {
    let at = object.start + 1;
    let empty = text[at..object.end].trim_start().starts_with('}');
    let comma = if empty { "" } else { ", " };
    format!("{}{}: {value}{comma}{}", &text[..at], quoted(name), &text[at..])
}

/// Returns the text without the entry whose value is at `value`; `None` if its name is written differently than by
/// [`with_entry`].
pub(super) fn without_entry(text: &str, name: &str, value: &Range<usize>) -> Option<String> {
    let before = text[..value.start].trim_end().strip_suffix(':')?.trim_end();
    let before = before.strip_suffix(&quoted(name))?;
    let after = &text[value.end..];
    if let Some(rest) = after.trim_start().strip_prefix(',') {
        // `with_entry` wrote one space. If there is none, the next entry moves to the start of this one.
        let rest = rest.strip_prefix(' ').unwrap_or_else(|| rest.trim_start());
        return Some(format!("{before}{rest}"));
    }
    let before = match before.trim_end().strip_suffix(',') {
        Some(before) => before,
        None => before,
    };
    Some(format!("{before}{after}"))
}

/// Returns the text as a JSON string.
pub(super) fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}
