//! docker's `config.json`, changed as text: no other entry is touched, however it is written (docker/cli,
//! cli/config/configfile/file.go).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::HELPER;
use super::entries::{Entries, with_entry, without_entry};

/// What this program puts into a config.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// The passwords of this registry are asked of us.
    Login(String),
    /// `docker build` takes the builder that is selected, as `docker buildx build` does. Without, docker names that of
    /// its own context (docker/cli, cmd/docker/builder.go).
    Build,
}

impl Setting {
    /// The object that it is an entry of, the entry's name and its value.
    fn entry(&self) -> (&'static str, &str, &'static str) {
        match self {
            Self::Login(host) => ("credHelpers", host, HELPER),
            Self::Build => ("aliases", "builder", "buildx"),
        }
    }
}

/// Why a text is no config.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("it is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its `{0}` is no object")]
    NoObject(String),
}

/// Whether settings can be put in.
pub(super) fn check(text: &str) -> Result<(), Broken> {
    with(text, &Setting::Login(String::new()))?;
    with(text, &Setting::Build).map(drop)
}

/// The text with the setting in it; `None` where it is there already.
pub(super) fn with(text: &str, setting: &Setting) -> Result<Option<String>, Broken> {
    let (outer, inner, value) = setting.entry();
    let value = format!("\"{value}\"");
    // For docker an empty file is one without entries.
    if text.trim().is_empty() {
        return Ok(Some(format!("{{\"{outer}\": {{\"{inner}\": {value}}}}}\n")));
    }
    let entries = Entries::of(text)?;
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

/// The text without the setting, if it is there and as we made it. `was_there` says whether the object that it is an entry
/// of was there before: it stays then, without entries.
pub(super) fn without(text: &str, setting: &Setting, was_there: bool) -> Result<String, Broken> {
    let (outer, inner, value) = setting.entry();
    let entries = Entries::of(text)?;
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

/// Whether the object of the setting is in the config at all.
pub(super) fn has_object(text: &str, setting: &Setting) -> bool {
    let (outer, ..) = setting.entry();
    let entries = Entries::of(text);
    entries.is_ok_and(|entries| entries.0.iter().any(|(name, _)| name.eq_ignore_ascii_case(outer)))
}

/// With a setting and without it again, for the fuzzer.
#[cfg(fuzzing)]
pub fn there_and_back(text: &str, setting: &Setting) -> Result<Option<(String, String)>, Broken> {
    let Some(after) = with(text, setting)? else {
        return Ok(None);
    };
    assert_eq!(with(&after, setting)?, None, "it is put in twice");
    let back = without(&after, setting, has_object(text, setting))?;
    Ok(Some((after, back)))
}

/// Whether somebody else has seen to what the setting is for.
pub(super) fn has_own(text: &str, setting: &Setting) -> Result<bool, Broken> {
    if text.trim().is_empty() {
        return Ok(false);
    }
    let entries = Entries::of(text)?;
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
    // Of a login in a store only the name is here.
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

fn inside<'a>(text: &'a str, object: &Range<usize>, name: &str) -> Result<Entries<'a>, Broken> {
    Entries::of(&text[object.clone()]).map_err(|_| Broken::NoObject(name.into()))
}

fn replaced(text: &str, at: &Range<usize>, with: &str) -> String {
    format!("{}{with}{}", &text[..at.start], &text[at.end..])
}

#[cfg(test)]
mod tests;
