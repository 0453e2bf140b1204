//! Edits docker's `config.json` as text, so that all other entries keep their bytes (docker/cli,
//! cli/config/configfile/file.go).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::entries::{Entries, InvalidConfig, with_entry, without_entry};
use super::list::{with_item, without_item};
use super::protocol::HELPER;

/// An entry that this program adds to a config.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// This program, as a credential helper, provides the login of this registry.
    Login(String),
    /// `docker build` uses the selected builder, as `docker buildx build` does. Without this entry it uses the
    /// builder of docker's context (docker/cli, cmd/docker/builder.go).
    Build,
    /// docker searches this directory for plugins before all others.
    PluginDir(String),
}

/// Where a config has a setting.
enum SettingPath<'a> {
    /// The name of the object that the entry belongs to, the entry's name and its value.
    Entry(&'static str, &'a str, &'static str),
    /// The name of the list, and the item.
    Item(&'static str, &'a str),
}

impl Setting {
    fn path(&self) -> SettingPath<'_> {
        match self {
            Self::Login(host) => SettingPath::Entry("credHelpers", host, HELPER),
            Self::Build => SettingPath::Entry("aliases", "builder", "buildx"),
            Self::PluginDir(dir) => SettingPath::Item("cliPluginsExtraDirs", dir),
        }
    }
}

/// Checks that settings can be added to the config.
pub(super) fn check(text: &str) -> Result<(), InvalidConfig> {
    with(text, &Setting::Login(String::new()))?;
    with(text, &Setting::Build)?;
    with(text, &Setting::PluginDir(String::new())).map(drop)
}

/// Returns the text with the setting added; `None` if it has the setting already.
pub(super) fn with(text: &str, setting: &Setting) -> Result<Option<String>, InvalidConfig> {
    let (outer, inner, value) = match setting.path() {
        SettingPath::Entry(outer, inner, value) => (outer, inner, format!("\"{value}\"")),
        SettingPath::Item(list, item) => return with_item(text, list, item),
    };
    // docker accepts an empty file as one without entries.
    if text.trim().is_empty() {
        return Ok(Some(format!("{{\"{outer}\": {{\"{inner}\": {value}}}}}\n")));
    }
    let entries = Entries::parse(text)?;
    let Some(object) = entries.find(text, |name| name.eq_ignore_ascii_case(outer)) else {
        let object = format!("{{\"{inner}\": {value}}}");
        return Ok(Some(with_entry(text, &trimmed_range(text), outer, &object)));
    };
    if &text[object.clone()] == "null" {
        let object_text = format!("{{\"{inner}\": {value}}}");
        return Ok(Some(replace_range(text, &object, &object_text)));
    }
    let object_entries = parse_object(text, &object, outer)?;
    match object_entries.find(text, |name| name == inner) {
        Some(existing) if text[existing.clone()] == *value => Ok(None),
        Some(existing) => Ok(Some(replace_range(text, &existing, &value))),
        None => Ok(Some(with_entry(text, &object, inner, &value))),
    }
}

/// Returns the text without the setting. An entry with another value stays. `object_existed`: whether the entry's
/// object or the item's list existed before the setting was added; it then stays, even if it is empty.
pub(super) fn without(text: &str, setting: &Setting, object_existed: bool) -> Result<String, InvalidConfig> {
    let (outer, inner, value) = match setting.path() {
        SettingPath::Entry(outer, inner, value) => (outer, inner, value),
        SettingPath::Item(list, item) => return without_item(text, list, item, object_existed),
    };
    let entries = Entries::parse(text)?;
    let unchanged = || Ok(text.to_owned());
    let Some(object) = entries.find(text, |name| name.eq_ignore_ascii_case(outer)) else {
        return unchanged();
    };
    if !text[object.clone()].starts_with('{') {
        return unchanged();
    }
    let object_entries = parse_object(text, &object, outer)?;
    let entry = object_entries.find(text, |name| name == inner);
    let Some(entry) = entry.filter(|entry| text[entry.clone()] == format!("\"{value}\"")) else {
        return unchanged();
    };
    let removed = match object_entries.0.len() {
        1 if !object_existed => without_entry(text, outer, &object),
        _ => without_entry(text, inner, &entry),
    };
    removed.map_or_else(unchanged, Ok)
}

/// Returns whether the config has the object or the list that the setting belongs to.
pub(super) fn has_object(text: &str, setting: &Setting) -> bool {
    let (SettingPath::Entry(outer, ..) | SettingPath::Item(outer, _)) = setting.path();
    let entries = Entries::parse(text);
    entries.is_ok_and(|entries| entries.0.iter().any(|(name, _)| name.eq_ignore_ascii_case(outer)))
}

/// Adds a setting and removes it again, for the fuzzer.
#[cfg(fuzzing)]
pub fn add_and_remove(text: &str, setting: &Setting) -> Result<Option<(String, String)>, InvalidConfig> {
    let Some(after) = with(text, setting)? else {
        return Ok(None);
    };
    assert_eq!(with(&after, setting)?, None, "the setting was added twice");
    let back = without(&after, setting, has_object(text, setting))?;
    Ok(Some((after, back)))
}

/// Returns whether the config already has the user's own login or alias in place of the setting.
pub(super) fn has_own(text: &str, setting: &Setting) -> Result<bool, InvalidConfig> {
    if text.trim().is_empty() {
        return Ok(false);
    }
    let SettingPath::Entry(outer, inner, expected) = setting.path() else {
        // Other directories in the list stay beside this one.
        return Ok(false);
    };
    let entries = Entries::parse(text)?;
    let value = |outer: &str, inner: &str| -> Option<serde_json::Value> {
        let object = entries.find(text, |name| name.eq_ignore_ascii_case(outer))?;
        let object: serde_json::Value = serde_json::from_str(&text[object]).ok()?;
        object.get(inner).cloned()
    };
    if let Some(existing) = value(outer, inner) {
        return Ok(existing != expected && existing != "");
    }
    let Setting::Login(host) = setting else {
        return Ok(false);
    };
    let has_store = entries
        .find(text, |name| name.eq_ignore_ascii_case("credsStore"))
        .is_some_and(|store| !["null", "\"\""].contains(&&text[store]));
    // If a credential store contains the login, the config contains only its name.
    let logged_in = |login: serde_json::Value| {
        let has = |field: &str| login[field].as_str().is_some_and(|text| !text.is_empty());
        has_store
            || ["auth", "identitytoken", "registrytoken", "username"]
                .into_iter()
                .any(has)
    };
    let names = [
        host.clone(),
        format!("https://{host}"),
        format!("https://{host}/v1/"),
    ];
    Ok(names
        .iter()
        .filter_map(|name| value("auths", name))
        .any(logged_in))
}

/// Returns the range of the text without surrounding whitespace.
fn trimmed_range(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    start..text.trim_end().len()
}

/// Parses the entries of the object at `object`.
fn parse_object<'a>(text: &'a str, object: &Range<usize>, name: &str) -> Result<Entries<'a>, InvalidConfig> {
    Entries::parse(&text[object.clone()]).map_err(|_| InvalidConfig::NotAnObject(name.into()))
}

/// Returns the text with the range `at` replaced.
fn replace_range(text: &str, at: &Range<usize>, with: &str) -> String {
    format!("{}{with}{}", &text[..at.start], &text[at.end..])
}

#[cfg(test)]
mod tests;
