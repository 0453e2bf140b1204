//! What there is to build: by buildx where there is a bake or compose file, else by the Dockerfiles.

use std::collections::BTreeSet;

use super::workplace::Workplace;
use crate::buildx::bake::Bake;
use crate::error_code::ErrorCode;
use crate::inputs::Matrix;
use crate::matrix::definition::{DEFAULTS, Definition};
use crate::matrix::glob::Glob;
use crate::matrix::ignore::Patterns;
use crate::matrix::target::Targets;
use crate::matrix::tree::{Tree, within};
use crate::matrix::{bake, discovery};
use crate::problem::Problem;
use crate::report::Report;
use crate::{buildx, env, files, github};

use super::tell::number;

/// Without a bake file, whatever is called like one.
const PATTERN: [&str; 6] = [
    "**/Dockerfile",
    "**/Dockerfile.*",
    "**/*.Dockerfile",
    "**/Containerfile",
    "**/Containerfile.*",
    "!**/*.dockerignore",
];

pub(super) async fn find(
    asked: &Matrix,
    workplace: &Workplace,
    report: &Report,
) -> anyhow::Result<(Targets, Definition)> {
    if asked.pattern.is_empty() {
        let named = named(asked);
        let defaults = DEFAULTS
            .iter()
            .filter(|name| workplace.working.join(name).is_file());
        let found: Vec<&str> = if named.is_empty() {
            defaults.copied().collect()
        } else {
            named.iter().map(String::as_str).collect()
        };
        if !found.is_empty() || !asked.set.is_empty() {
            let targets = baked(asked, workplace).await?;
            // A compose file may be there to run other people's images.
            if !targets.all.is_empty() || !named.is_empty() || !asked.targets.is_empty() {
                let said = format!(
                    "Found {} by {}",
                    number(targets.selected.len(), "target"),
                    found.join(", ")
                );
                report.done(&said);
                let text = |path: &str| workplace.text(path);
                let definition = Definition::of(&named, workplace.place(), &workplace.tree, &text);
                return Ok((targets, definition));
            }
            report.done(&format!("Found no target by {}", found.join(", ")));
        }
    }
    let targets = discovered(asked, workplace)?;
    report.done(&format!(
        "Found {} by Dockerfiles",
        number(targets.selected.len(), "target")
    ));
    Ok((targets, Definition::default()))
}

/// The files that are named, by the input or by buildx's own variable (`bakeEnvFiles` in its commands/bake.go).
fn named(asked: &Matrix) -> Vec<String> {
    if !asked.files.is_empty() {
        return asked.files.clone();
    }
    let separator = env::get(env::BUILDX_BAKE_PATH_SEPARATOR).unwrap_or_else(|| ":".into());
    let files = env::get(env::BUILDX_BAKE_FILE).unwrap_or_default();
    let files = files
        .split(&separator)
        .map(str::trim)
        .filter(|file| !file.is_empty());
    files.map(str::to_owned).collect()
}

async fn baked(asked: &Matrix, workplace: &Workplace) -> anyhow::Result<Targets> {
    buildx::check_installed()?;
    let bake = Bake {
        files: asked.files.clone(),
        targets: asked.targets.clone(),
        overrides: asked.set.clone(),
    };
    let scratch = Scratch::new()?;
    let printed = bake.print(&workplace.working, &scratch.0).await?;
    let targets = bake::targets(&printed).map_err(|fault| {
        Problem::new(
            ErrorCode::UnknownBakeFormat,
            format!("buildx bake --print printed what is not understood: {fault}."),
            "Use a buildx from 0.10 on; if that does not help, report it with the output of `buildx bake --print`.",
        )
    })?;
    match targets.cycle() {
        Some(cycle) => Err(cyclic(&cycle).into()),
        None => Ok(targets),
    }
}

fn cyclic(cycle: &[&str]) -> Problem {
    Problem::new(
        ErrorCode::TargetCycle,
        format!(
            "The contexts of these targets lead in a circle: {}.",
            cycle.join(" → ")
        ),
        "Take one of these `target:` contexts out.",
    )
}

/// A folder for what buildx writes, removed with it.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let name = format!("remote-buildkit-{}", files::random_hex()?);
        let parent = env::path(env::RUNNER_TEMP).unwrap_or_else(std::env::temp_dir);
        Ok(Self(files::private_folder(&parent, &name)?))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It holds what buildx printed and no more.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn discovered(asked: &Matrix, workplace: &Workplace) -> anyhow::Result<Targets> {
    let place = workplace.place();
    let found = dockerfiles(&asked.pattern, place.workdir, &workplace.tree);
    if found.is_empty() {
        return Err(nothing(asked, workplace).into());
    }
    let mut targets = discovery::targets(found, github::repository().as_deref(), place.workdir);
    if asked.targets.is_empty() {
        return Ok(targets);
    }
    let mut selected = BTreeSet::new();
    for wanted in &asked.targets {
        let glob = Glob::new(wanted);
        let matches =
            |name: &&String| *name == wanted || glob.as_ref().is_some_and(|glob| glob.matches(name));
        let named = targets.all.keys().filter(matches);
        let before = selected.len();
        selected.extend(named.cloned());
        if selected.len() == before && !selected.contains(wanted) {
            return Err(unknown(wanted, &targets).into());
        }
    }
    targets.selected = selected;
    Ok(targets)
}

/// Files below the working folder that a pattern takes by themselves, not for a folder that they are in.
fn dockerfiles<'a>(pattern: &[String], workdir: &str, tree: &'a Tree) -> Vec<&'a str> {
    let patterns = if pattern.is_empty() {
        Patterns::new(PATTERN)
    } else {
        Patterns::new(pattern)
    };
    let patterns = patterns.unwrap_or_default();
    let files = tree.below(workdir).iter().map(String::as_str);
    let takes = |file: &&str| {
        let path = within(workdir, file).unwrap_or(file);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        patterns.matches(path, false) && !patterns.matches(folder, false)
    };
    files.filter(takes).collect()
}

fn nothing(asked: &Matrix, workplace: &Workplace) -> Problem {
    let pattern = match asked.pattern.as_slice() {
        [] => PATTERN.join(", "),
        pattern => pattern.join(", "),
    };
    Problem::new(
        ErrorCode::NothingToBuild,
        format!(
            "Looked in {} for bake and compose files ({}) and for Dockerfiles ({pattern}) among {}, and found none.",
            workplace.working.display(),
            DEFAULTS.join(", "),
            number(workplace.tree.files().len(), "file"),
        ),
        "Check the repository out first (actions/checkout), or say where to look with `files`, `workdir` or `pattern`.",
    )
}

pub(super) fn unknown(wanted: &str, targets: &Targets) -> Problem {
    let names: Vec<&str> = targets.all.keys().map(String::as_str).collect();
    Problem::new(
        ErrorCode::UnknownTarget,
        format!(
            "Looked for the target {wanted} among {} and did not find it.",
            number(names.len(), "target")
        ),
        format!("There are: {}.", names.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn found<'a>(pattern: &[&str], workdir: &str, tree: &'a Tree) -> Vec<&'a str> {
        let pattern: Vec<String> = pattern.iter().map(|one| (*one).to_owned()).collect();
        dockerfiles(&pattern, workdir, tree)
    }

    #[test]
    fn dockerfiles_are_told_by_their_names() {
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
        let tree = Tree::new(files, BTreeMap::new(), BTreeSet::new());
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
