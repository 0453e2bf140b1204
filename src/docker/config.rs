//! docker's `config.json`, edited as text, so that all other entries keep their bytes (docker/cli,
//! cli/config/configfile/file.go).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::HELPER;
use super::entries::{Entries, with_entry, without_entry};

/// An entry that this program adds to a config.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// Our credential helper provides the login of this registry.
    Login(String),
    /// `docker build` uses the selected builder, as `docker buildx build` does. Without this entry it uses the builder of
    /// docker's own context (docker/cli, cmd/docker/builder.go).
    Build,
}

impl Setting {
    /// Returns the name of the object that the entry belongs to, the entry's name and its value.
    fn entry(&self) -> (&'static str, &str, &'static str) {
        match self {
            Self::Login(host) => ("credHelpers", host, HELPER),
            Self::Build => ("aliases", "builder", "buildx"),
        }
    }
}

/// Why a config is not valid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    #[error("it is not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its `{0}` is not an object")]
    NotAnObject(String),
}

/// Checks that settings can be added.
pub(super) fn check(text: &str) -> Result<(), InvalidConfig> {
    with(text, &Setting::Login(String::new()))?;
    with(text, &Setting::Build).map(drop)
}

/// Returns the text with the setting added; `None` if it has the setting already.
pub(super) fn with(text: &str, setting: &Setting) -> Result<Option<String>, InvalidConfig> {
    let (outer, inner, value) = setting.entry();
    let value = format!("\"{value}\"");
    // docker accepts an empty file as one without entries.
    if text.trim().is_empty() {
        return Ok(Some(format!("{{\"{outer}\": {{\"{inner}\": {value}}}}}\n")));
    }
    let entries = Entries::parse(text)?;
    let Some(object) = entries.find(text, |name| name.eq_ignore_ascii_case(outer)) else {
        let object = format!("{{\"{inner}\": {value}}}");
        return Ok(Some(with_entry(text, &whole(text), outer, &object)));
    };
    if &text[object.clone()] == "null" {
        let object_text = format!("{{\"{inner}\": {value}}}");
        return Ok(Some(replaced(text, &object, &object_text)));
    }
    let inside = inside(text, &object, outer)?;
    match inside.find(text, |name| name == inner) {
        Some(there) if text[there.clone()] == *value => Ok(None),
        Some(there) => Ok(Some(replaced(text, &there, &value))),
        None => Ok(Some(with_entry(text, &object, inner, &value))),
    }
}

/// Returns the text without the setting, if its value is ours. If `was_there`, the entry's object existed before, and stays
/// even without entries.
pub(super) fn without(text: &str, setting: &Setting, was_there: bool) -> Result<String, InvalidConfig> {
    let (outer, inner, value) = setting.entry();
    let entries = Entries::parse(text)?;
    let unchanged = || Ok(text.to_owned());
    let Some(object) = entries.find(text, |name| name.eq_ignore_ascii_case(outer)) else {
        return unchanged();
    };
    if !text[object.clone()].starts_with('{') {
        return unchanged();
    }
    let inside = inside(text, &object, outer)?;
    let ours = inside.find(text, |name| name == inner);
    let Some(ours) = ours.filter(|ours| text[ours.clone()] == format!("\"{value}\"")) else {
        return unchanged();
    };
    let removed = match inside.0.len() {
        1 if !was_there => without_entry(text, outer, &object),
        _ => without_entry(text, inner, &ours),
    };
    removed.map_or_else(unchanged, Ok)
}

/// Returns whether the config has the object that the setting's entry belongs to.
pub(super) fn has_object(text: &str, setting: &Setting) -> bool {
    let (outer, ..) = setting.entry();
    let entries = Entries::parse(text);
    entries.is_ok_and(|entries| entries.0.iter().any(|(name, _)| name.eq_ignore_ascii_case(outer)))
}

/// Adds a setting and removes it again, for the fuzzer.
#[cfg(fuzzing)]
pub fn there_and_back(text: &str, setting: &Setting) -> Result<Option<(String, String)>, InvalidConfig> {
    let Some(after) = with(text, setting)? else {
        return Ok(None);
    };
    assert_eq!(with(&after, setting)?, None, "the setting was added twice");
    let back = without(&after, setting, has_object(text, setting))?;
    Ok(Some((after, back)))
}

/// Returns whether the config already has a login or alias of the user's own in place of the setting.
pub(super) fn has_own(text: &str, setting: &Setting) -> Result<bool, InvalidConfig> {
    if text.trim().is_empty() {
        return Ok(false);
    }
    let entries = Entries::parse(text)?;
    let value = |outer: &str, inner: &str| -> Option<serde_json::Value> {
        let object = entries.find(text, |name| name.eq_ignore_ascii_case(outer))?;
        let object: serde_json::Value = serde_json::from_str(&text[object]).ok()?;
        object.get(inner).cloned()
    };
    let (outer, inner, ours) = setting.entry();
    if let Some(there) = value(outer, inner) {
        return Ok(there != ours && there != "");
    }
    let Setting::Login(host) = setting else {
        return Ok(false);
    };
    let store = entries
        .find(text, |name| name.eq_ignore_ascii_case("credsStore"))
        .is_some_and(|store| !["null", "\"\""].contains(&&text[store]));
    // For a login in a credential store, the config has only the name.
    let logged_in = |login: serde_json::Value| {
        let has = |field: &str| login[field].as_str().is_some_and(|text| !text.is_empty());
        store
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

fn whole(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    start..text.trim_end().len()
}

fn inside<'a>(text: &'a str, object: &Range<usize>, name: &str) -> Result<Entries<'a>, InvalidConfig> {
    Entries::parse(&text[object.clone()]).map_err(|_| InvalidConfig::NotAnObject(name.into()))
}

fn replaced(text: &str, at: &Range<usize>, with: &str) -> String {
    format!("{}{with}{}", &text[..at.start], &text[at.end..])
}

#[cfg(test)]
mod tests;
