//! The files that say what there is to build: bake and compose files, and what compose files include. A change in one of
//! them changes targets in ways that only buildx could tell.

use std::collections::BTreeSet;

use serde_json::Value;

use super::place::Place;
use super::tree::{Tree, join};

/// Those that buildx looks for when none is named, in its order (`defaultFilenames` in bake/bake.go, `DefaultFileNames`
/// of compose-go).
pub const DEFAULTS: [&str; 8] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];

/// What buildx reads to know the targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// From the root. Some may not be there: a change that makes or deletes one of them counts as well.
    pub files: BTreeSet<String>,
    /// Why a change in any file may be one of these, in a sentence.
    pub doubt: Option<String>,
}

impl Definition {
    /// Of the files that are named, as buildx takes them, or of the default ones. `text` gives a file by its path from the
    /// root. What lies outside of the repository is not part of a change in it.
    pub fn of(
        named: &[String],
        place: Place<'_>,
        tree: &Tree,
        text: &dyn Fn(&str) -> Result<Option<String>, String>,
    ) -> Self {
        let mut definition = Self::default();
        let names: Vec<&str> = if named.is_empty() {
            DEFAULTS.to_vec()
        } else {
            let bare = named
                .iter()
                .map(|name| name.strip_prefix("cwd://").unwrap_or(name));
            bare.collect()
        };
        let mut next = Vec::new();
        for name in names {
            definition.add(name, place, tree, &mut next);
        }
        while let Some(file) = next.pop() {
            if may_be_compose(&file)
                && let Ok(Some(text)) = text(&file)
            {
                definition.compose(&file, &text, place, tree, &mut next);
            }
        }
        definition
    }

    fn add(&mut self, path: &str, place: Place<'_>, tree: &Tree, next: &mut Vec<String>) {
        let Some(resolved) = place.resolve(path, tree) else {
            return;
        };
        self.files.extend(resolved.links);
        if let Some(file) = resolved.path
            && self.files.insert(file.clone())
        {
            next.push(file);
        }
    }

    /// What a compose file reads besides itself. A path in one that is included may be meant from the working folder or
    /// from its own: both count.
    fn compose(&mut self, file: &str, text: &str, place: Place<'_>, tree: &Tree, next: &mut Vec<String>) {
        let own = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let own = join(place.root.trim_end_matches('/'), own);
        // Variables come from there (`composeEnv` in bake/compose.go; an include has one of its own).
        let mut paths = vec![".env".to_owned()];
        match serde_saphyr::from_str::<Value>(text) {
            Ok(document) => collect(&document, false, &mut paths),
            Err(_) => {
                let doubt = format!("{file} is not understood, so that any file may be part of it");
                self.doubt.get_or_insert(doubt);
            }
        }
        for path in paths {
            if path.contains('$') {
                let doubt = format!("{file} names {path}, which may be any file");
                self.doubt.get_or_insert(doubt);
            }
            self.add(&path, place, tree, next);
            if !path.starts_with('/') {
                self.add(&format!("{own}/{path}"), place, tree, next);
            }
        }
    }
}

/// By its name: buildx tries others as both (`validateComposeFile` in bake/compose.go).
fn may_be_compose(file: &str) -> bool {
    let file = file.to_lowercase();
    !file.ends_with(".hcl") && !file.ends_with(".json")
}

/// Keys of a compose file that name files which decide about builds
/// (<https://github.com/compose-spec/compose-spec/blob/main/spec.md>).
const KEYS: [&str; 3] = ["include", "extends", "env_file"];

/// Every text below one of these keys. Some are no paths but names; as paths they name nothing.
fn collect(value: &Value, taken: bool, paths: &mut Vec<String>) {
    match value {
        Value::String(text) if taken => paths.push(text.clone()),
        Value::Array(entries) => {
            for entry in entries {
                collect(entry, taken, paths);
            }
        }
        Value::Object(entries) => {
            for (key, entry) in entries {
                collect(entry, taken || KEYS.contains(&key.as_str()), paths);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn definition(named: &[&str], files: &[(&str, &str)]) -> Definition {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        let place = Place {
            root: "/work/shop",
            workdir: "deploy",
        };
        let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
        let text = |path: &str| Ok(files.get(path).map(|text| (*text).to_owned()));
        Definition::of(&named, place, &Tree::default(), &text)
    }

    fn files(definition: &Definition) -> Vec<&str> {
        definition.files.iter().map(String::as_str).collect()
    }

    #[test]
    fn without_names_the_default_ones_count_whether_they_are_there_or_not() {
        let found = definition(&[], &[("deploy/docker-bake.hcl", "include: [x]")]);
        assert_eq!(found.files.len(), DEFAULTS.len());
        assert!(found.files.contains("deploy/docker-bake.override.hcl"));
    }

    #[test]
    fn named_files_are_seen_from_the_working_folder() {
        let found = definition(
            &["../docker-bake.hcl", "cwd://x.json", "/tmp/bake-meta.json"],
            &[],
        );
        assert_eq!(files(&found), ["deploy/x.json", "docker-bake.hcl"]);
    }

    #[test]
    fn a_compose_file_names_others() {
        let compose = "
include:
  - ../common/compose.yaml
  - path: [db.yaml]
    env_file: db.env
services:
  api:
    build: ./api
    extends: {file: base.yaml, service: base}
    env_file:
      - path: api.env
        required: false
";
        let included = "services: {x: {env_file: x.env}}";
        let found = definition(
            &["compose.yaml"],
            &[
                ("deploy/compose.yaml", compose),
                ("common/compose.yaml", included),
            ],
        );
        for file in [
            "deploy/.env",
            "deploy/db.yaml",
            "deploy/db.env",
            "deploy/base.yaml",
            "deploy/api.env",
            "common/compose.yaml",
            "common/.env",
            "common/x.env",
        ] {
            assert!(found.files.contains(file), "{file} is not in {found:?}");
        }
        assert!(!found.files.contains("deploy/api"));
        assert_eq!(found.doubt, None);
    }

    #[test]
    fn a_name_that_a_variable_decides_may_be_any() {
        let compose = [("deploy/c.yml", "services: {x: {env_file: '${FILE}'}}")];
        let doubt = definition(&["c.yml"], &compose).doubt;
        assert_eq!(
            doubt.as_deref(),
            Some("deploy/c.yml names ${FILE}, which may be any file")
        );
        let broken = definition(&["c.yml"], &[("deploy/c.yml", "a: [")]);
        assert!(broken.doubt.is_some());
    }

    #[test]
    fn tags_of_compose_are_understood() {
        let compose = "services:\n  x:\n    ports: !reset []\n    env_file: !override\n      - x.env\n";
        let found = definition(&["c.yml"], &[("deploy/c.yml", compose)]);
        assert_eq!(found.doubt, None);
        assert!(found.files.contains("deploy/x.env"));
    }
}
