//! The files that define the targets: bake and compose files, and the files that compose files include. Only buildx could
//! tell which targets a change in one of them affects.

use std::collections::BTreeSet;

use serde_json::Value;

use super::repo_paths::{ReadFile, RepoPaths};
use super::tree::{FileTree, join};

/// The files that buildx reads when none is named, in its order (`defaultFilenames` in bake/bake.go, `DefaultFileNames`
/// of compose-go).
pub const DEFAULT_FILES: [&str; 8] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];

/// The files that buildx reads to determine the targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// Paths from the root. Some may not exist: creating or deleting one is a change as well.
    pub files: BTreeSet<String>,
    /// The reason why any file may be part of the definition, as a sentence without its full stop.
    pub uncertain_because: Option<String>,
}

impl Definition {
    /// Returns the definition that consists of the named files, as buildx resolves them, or of the default files. Files
    /// outside the repository are left out, because no change in the repository touches them.
    pub fn collect(named: &[String], paths: RepoPaths<'_>, tree: &FileTree, read: ReadFile<'_>) -> Self {
        let mut definition = Self::default();
        let names: Vec<&str> = if named.is_empty() {
            DEFAULT_FILES.to_vec()
        } else {
            let bare = named
                .iter()
                .map(|name| name.strip_prefix("cwd://").unwrap_or(name));
            bare.collect()
        };
        let mut unread = Vec::new();
        for name in names {
            definition.add(name, paths, tree, &mut unread);
        }
        while let Some(file) = unread.pop() {
            if may_be_compose(&file)
                && let Ok(Some(text)) = read(&file)
            {
                definition.add_referenced(&file, &text, paths, tree, &mut unread);
            }
        }
        definition
    }

    fn add(&mut self, path: &str, paths: RepoPaths<'_>, tree: &FileTree, unread: &mut Vec<String>) {
        let Some(resolved) = paths.resolve(path, tree) else {
            return;
        };
        self.files.extend(resolved.links);
        if let Some(file) = resolved.path
            && self.files.insert(file.clone())
        {
            unread.push(file);
        }
    }

    /// Adds the files that a compose file refers to. A path in an included file may be relative to the working directory
    /// or to the directory of that file, so both are added.
    fn add_referenced(
        &mut self,
        file: &str,
        text: &str,
        paths: RepoPaths<'_>,
        tree: &FileTree,
        unread: &mut Vec<String>,
    ) {
        let own_dir = file.rsplit_once('/').map_or("", |(dir, _)| dir);
        let own_dir = join(paths.root.trim_end_matches('/'), own_dir);
        // Compose reads variables from it (`composeEnv` in bake/compose.go; an include has its own).
        let mut referenced = vec![".env".to_owned()];
        match serde_saphyr::from_str::<Value>(text) {
            Ok(document) => collect_paths(&document, false, &mut referenced),
            Err(_) => {
                let reason = format!("cannot parse {file}, so it may include any file");
                self.uncertain_because.get_or_insert(reason);
            }
        }
        for path in referenced {
            if path.contains('$') {
                let reason = format!("{file} refers to {path}, which may be any file");
                self.uncertain_because.get_or_insert(reason);
            }
            self.add(&path, paths, tree, unread);
            if !path.starts_with('/') {
                self.add(&format!("{own_dir}/{path}"), paths, tree, unread);
            }
        }
    }
}

/// Returns whether the name allows a compose file: buildx parses a file with another extension as both formats
/// (`validateComposeFile` in bake/compose.go).
fn may_be_compose(file: &str) -> bool {
    let file = file.to_lowercase();
    !file.ends_with(".hcl") && !file.ends_with(".json")
}

/// Keys of a compose file that refer to files which affect builds
/// (<https://github.com/compose-spec/compose-spec/blob/main/spec.md>).
const FILE_KEYS: [&str; 3] = ["include", "extends", "env_file"];

/// Collects every string below one of the keys. Some are names and not paths; those match no file.
fn collect_paths(value: &Value, below_key: bool, paths: &mut Vec<String>) {
    match value {
        Value::String(text) if below_key => paths.push(text.clone()),
        Value::Array(entries) => {
            for entry in entries {
                collect_paths(entry, below_key, paths);
            }
        }
        Value::Object(entries) => {
            for (key, entry) in entries {
                collect_paths(entry, below_key || FILE_KEYS.contains(&key.as_str()), paths);
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
        let paths = RepoPaths {
            root: "/srv/shop",
            workdir: "deploy",
        };
        let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
        let text = |path: &str| Ok(files.get(path).map(|text| (*text).to_owned()));
        Definition::collect(&named, paths, &FileTree::default(), &text)
    }

    fn files(definition: &Definition) -> Vec<&str> {
        definition.files.iter().map(String::as_str).collect()
    }

    #[test]
    fn without_named_files_the_default_files_count_even_if_they_do_not_exist() {
        let found = definition(&[], &[("deploy/docker-bake.hcl", "include: [x]")]);
        assert_eq!(found.files.len(), DEFAULT_FILES.len());
        assert!(found.files.contains("deploy/docker-bake.override.hcl"));
    }

    #[test]
    fn named_files_are_relative_to_the_working_directory() {
        let found = definition(
            &["../docker-bake.hcl", "cwd://x.json", "/tmp/bake-meta.json"],
            &[],
        );
        assert_eq!(files(&found), ["deploy/x.json", "docker-bake.hcl"]);
    }

    #[test]
    fn files_that_a_compose_file_refers_to_are_part_of_the_definition() {
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
        assert_eq!(found.uncertain_because, None);
    }

    #[test]
    fn a_reference_with_a_variable_may_be_any_file() {
        let compose = [("deploy/c.yml", "services: {x: {env_file: '${FILE}'}}")];
        let reason = definition(&["c.yml"], &compose).uncertain_because;
        assert_eq!(
            reason.as_deref(),
            Some("deploy/c.yml refers to ${FILE}, which may be any file")
        );
        let broken = definition(&["c.yml"], &[("deploy/c.yml", "a: [")]);
        assert!(broken.uncertain_because.is_some());
    }

    #[test]
    fn compose_yaml_tags_are_parsed() {
        let compose = "services:\n  x:\n    ports: !reset []\n    env_file: !override\n      - x.env\n";
        let found = definition(&["c.yml"], &[("deploy/c.yml", compose)]);
        assert_eq!(found.uncertain_because, None);
        assert!(found.files.contains("deploy/x.env"));
    }
}
