//! Generates random .dockerignore files, which exclude documents, logs and temporary files, or some of them.

use anyhow::Result;
use fastrand::Rng;

use super::repository::RandomRepository;
use super::tree::{chance, join, pick, write};

const PATTERNS: &[&str] = &[
    "**/*.md",
    "*.md",
    "*/*.log",
    "docs",
    "**/docs/",
    "/tmp",
    "./**/tmp",
    "**/tmp/*.txt",
    "src/*.log",
    "src/**/*.md",
    "*/*/docs",
    "**/*.[lm]*",
    "  **/util.md  ",
    "data.d/*.l?g",
];
const EXCEPTIONS: &[&str] = &[
    "!**/main.md",
    "!docs/main.*",
    "!src/*.md",
    "!**/docs/util.*",
    "!tmp",
    "!*.log",
];

/// Writes a .dockerignore for some of the contexts, with either of its names.
pub(super) fn write_all(repository: &RandomRepository, rng: &mut Rng) -> Result<()> {
    for target in &repository.targets {
        let root = target.context == ".";
        if !root && chance(rng, 40) {
            continue;
        }
        let path = match &target.dockerfile {
            Some(dockerfile) if chance(rng, 30) => format!("{dockerfile}.dockerignore"),
            _ => join(&target.context, ".dockerignore"),
        };
        // Git's own files change with each commit, so a root context must exclude them.
        let mut lines = vec![if root { ".git" } else { "# what is not built" }];
        lines.extend((0..rng.usize(1..4)).map(|_| line(rng)));
        write(repository.root(), &path, &(lines.join("\n") + "\n"))?;
    }
    for library in ["libs/one", "libs/two"] {
        if chance(rng, 30) {
            write(repository.root(), &join(library, ".dockerignore"), line(rng))?;
        }
    }
    Ok(())
}

/// Returns a random line: a pattern or an exception.
pub(super) fn line(rng: &mut Rng) -> &'static str {
    let patterns = if chance(rng, 35) { EXCEPTIONS } else { PATTERNS };
    pick::<&str>(rng, patterns)
}
