//! Finds the targets: with buildx if there is a bake or compose file, else one for each Dockerfile.

use std::collections::BTreeSet;

use super::checkout::Checkout;
use crate::buildx::bake::Bake;
use crate::error_code::ErrorCode;
use crate::inputs::MatrixInputs;
use crate::matrix::definition::{DEFAULT_FILES, Definition};
use crate::matrix::glob::Glob;
use crate::matrix::ignore::PatternList;
use crate::matrix::table::count;
use crate::matrix::target::Targets;
use crate::matrix::tree::{FileTree, within};
use crate::matrix::{bake, discovery};
use crate::problem::Problem;
use crate::report::Report;
use crate::{buildx, env, files, github};

/// The names of Dockerfiles that are found without the input `pattern`.
const DEFAULT_PATTERN: [&str; 6] = [
    "**/Dockerfile",
    "**/Dockerfile.*",
    "**/*.Dockerfile",
    "**/Containerfile",
    "**/Containerfile.*",
    "!**/*.dockerignore",
];

/// Returns the targets, and the files that define them.
pub(super) async fn find_targets(
    inputs: &MatrixInputs,
    checkout: &Checkout,
    report: &Report,
) -> anyhow::Result<(Targets, Definition)> {
    if inputs.pattern.is_empty() {
        let named = named_files(inputs);
        let defaults = DEFAULT_FILES
            .iter()
            .filter(|name| checkout.work_dir.join(name).is_file());
        let found: Vec<&str> = if named.is_empty() {
            defaults.copied().collect()
        } else {
            named.iter().map(String::as_str).collect()
        };
        if !found.is_empty() || !inputs.set.is_empty() {
            let targets = bake_targets(inputs, checkout).await?;
            // A compose file may only run images of others.
            if !targets.all.is_empty() || !named.is_empty() || !inputs.targets.is_empty() {
                let targets_found = count(targets.selected.len(), "target");
                report.done(&format!("Found {targets_found} in {}", found.join(", ")));
                let read = |path: &str| checkout.read(path);
                let definition = Definition::collect(&named, checkout.paths(), &checkout.tree, &read);
                return Ok((targets, definition));
            }
            report.done(&format!("Found no targets in {}", found.join(", ")));
        }
    }
    let targets = dockerfile_targets(inputs, checkout)?;
    let selected = targets.selected.len();
    report.done(&format!("Found {} with a Dockerfile", count(selected, "target")));
    Ok((targets, Definition::default()))
}

/// Returns the files that the input `files` or buildx's own variable names (`bakeEnvFiles` in its commands/bake.go).
fn named_files(inputs: &MatrixInputs) -> Vec<String> {
    if !inputs.files.is_empty() {
        return inputs.files.clone();
    }
    let separator = env::get(env::BUILDX_BAKE_PATH_SEPARATOR).unwrap_or_else(|| ":".into());
    let files = env::get(env::BUILDX_BAKE_FILE).unwrap_or_default();
    let files = files
        .split(&separator)
        .map(str::trim)
        .filter(|file| !file.is_empty());
    files.map(str::to_owned).collect()
}

async fn bake_targets(inputs: &MatrixInputs, checkout: &Checkout) -> anyhow::Result<Targets> {
    buildx::check_installed()?;
    let bake = Bake {
        files: inputs.files.clone(),
        targets: inputs.targets.clone(),
        overrides: inputs.set.clone(),
    };
    let scratch = ScratchDir::new()?;
    let printed = bake.print(&checkout.work_dir, &scratch.0).await?;
    let targets = bake::parse_definition(&printed).map_err(|error| {
        Problem::new(
            ErrorCode::UnknownBakeFormat,
            format!("Cannot parse the output of `docker buildx bake --print`: {error}."),
            "Install buildx 0.10 or newer; if the error persists, report it with the output of that command.",
        )
    })?;
    match targets.find_cycle() {
        Some(cycle) => Err(target_cycle(&cycle).into()),
        None => Ok(targets),
    }
}

fn target_cycle(cycle: &[&str]) -> Problem {
    Problem::new(
        ErrorCode::TargetCycle,
        format!(
            "The contexts of these targets form a cycle: {}.",
            cycle.join(" → ")
        ),
        "Remove one of these `target:` contexts.",
    )
}

/// A temporary directory for buildx, removed when dropped.
struct ScratchDir(std::path::PathBuf);

impl ScratchDir {
    fn new() -> anyhow::Result<Self> {
        let name = format!("remote-buildkit-{}", files::random_hex()?);
        let parent = env::path(env::RUNNER_TEMP).unwrap_or_else(std::env::temp_dir);
        Ok(Self(files::private_dir(&parent, &name)?))
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // It contains only what buildx printed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn dockerfile_targets(inputs: &MatrixInputs, checkout: &Checkout) -> anyhow::Result<Targets> {
    let workdir = checkout.paths().workdir;
    let found = find_dockerfiles(&inputs.pattern, workdir, &checkout.tree);
    if found.is_empty() {
        return Err(no_targets_found(inputs, checkout).into());
    }
    let repository = github::repository();
    let mut targets = discovery::targets_of_dockerfiles(found, repository.as_deref(), workdir);
    if inputs.targets.is_empty() {
        return Ok(targets);
    }
    let mut selected = BTreeSet::new();
    for requested in &inputs.targets {
        let glob = Glob::new(requested);
        let matches =
            |name: &&String| *name == requested || glob.as_ref().is_some_and(|glob| glob.matches(name));
        let named = targets.all.keys().filter(matches);
        let before = selected.len();
        selected.extend(named.cloned());
        if selected.len() == before && !selected.contains(requested) {
            return Err(unknown_target(requested, &targets).into());
        }
    }
    targets.selected = selected;
    Ok(targets)
}

/// Returns the files below the working directory that match a pattern themselves, and not only through a parent directory.
fn find_dockerfiles<'a>(pattern: &[String], workdir: &str, tree: &'a FileTree) -> Vec<&'a str> {
    let patterns = if pattern.is_empty() {
        PatternList::new(DEFAULT_PATTERN)
    } else {
        PatternList::new(pattern)
    };
    let patterns = patterns.unwrap_or_default();
    let files = tree.below(workdir).iter().map(String::as_str);
    let is_dockerfile = |file: &&str| {
        let path = within(workdir, file).unwrap_or(file);
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        patterns.matches(path, false) && !patterns.matches(dir, false)
    };
    files.filter(is_dockerfile).collect()
}

fn no_targets_found(inputs: &MatrixInputs, checkout: &Checkout) -> Problem {
    let pattern = match inputs.pattern.as_slice() {
        [] => DEFAULT_PATTERN.join(", "),
        pattern => pattern.join(", "),
    };
    let remedy = if env::in_job() {
        "Check the repository out before this step (actions/checkout), or set `files`, `workdir` or `pattern`."
    } else {
        "Set `files`, `workdir` or `pattern`."
    };
    Problem::new(
        ErrorCode::NoTargetsFound,
        format!(
            "Looked in {} for bake and compose files ({}) and for Dockerfiles ({pattern}) among {}, and found none.",
            checkout.work_dir.display(),
            DEFAULT_FILES.join(", "),
            count(checkout.tree.files().len(), "file"),
        ),
        remedy,
    )
}

pub(super) fn unknown_target(requested: &str, targets: &Targets) -> Problem {
    let names: Vec<&str> = targets.all.keys().map(String::as_str).collect();
    Problem::new(
        ErrorCode::UnknownTarget,
        format!(
            "Looked for the target {requested} among {}, and found none of this name.",
            count(names.len(), "target")
        ),
        format!("Use one of: {}.", names.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn found<'a>(pattern: &[&str], workdir: &str, tree: &'a FileTree) -> Vec<&'a str> {
        let pattern: Vec<String> = pattern.iter().map(|one| (*one).to_owned()).collect();
        find_dockerfiles(&pattern, workdir, tree)
    }

    #[test]
    fn dockerfiles_are_found_by_their_names() {
        let files = [
            "Dockerfile",
            "Dockerfile.debug",
            "Dockerfile.dockerignore",
            "Dockerfile.d/readme",
            "a/b/Containerfile",
            "a/web.Dockerfile",
            "a/Dockerfiles",
            "a/dockerfile.go",
        ];
        let files = files.map(str::to_owned).to_vec();
        let tree = FileTree::new(files, BTreeMap::new(), BTreeSet::new());
        assert_eq!(
            found(&[], "", &tree),
            [
                "Dockerfile",
                "Dockerfile.debug",
                "a/b/Containerfile",
                "a/web.Dockerfile"
            ]
        );
        assert_eq!(found(&[], "a", &tree), ["a/b/Containerfile", "a/web.Dockerfile"]);
        assert_eq!(found(&["*/web.*", "a/b"], "", &tree), ["a/web.Dockerfile"]);
        assert_eq!(found(&["web.*"], "a", &tree), ["a/web.Dockerfile"]);
    }
}
