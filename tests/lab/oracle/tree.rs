//! Lists the files and links of a generated repository, and adds random ones.

use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use fastrand::Rng;

/// The paths in a directory, relative to it and sorted.
#[derive(Debug, Default, Clone)]
pub(super) struct Tree {
    pub(super) files: Vec<String>,
    pub(super) links: Vec<String>,
    pub(super) dirs: Vec<String>,
}

const DIRS: &[&str] = &["src", "conf", "data.d", "docs", "tmp", "vendor"];
const NAMES: &[&str] = &["main", "util", "a-b", "x_1", "two words", "größe", "[id]"];
const KINDS: &[&str] = &["txt", "go", "md", "log"];

impl Tree {
    /// Lists a directory, except for Git's own files.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.walk(root, "")?;
        for paths in [&mut tree.files, &mut tree.links, &mut tree.dirs] {
            paths.sort();
        }
        Ok(tree)
    }

    fn walk(&mut self, root: &Path, dir: &str) -> Result<()> {
        for entry in std::fs::read_dir(root.join(dir))? {
            let entry = entry?;
            let name = entry.file_name().into_string().ok().context("a name")?;
            let path = join(dir, &name);
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                self.links.push(path);
            } else if kind.is_file() {
                self.files.push(path);
            } else if name != ".git" {
                self.walk(root, &path)?;
                self.dirs.push(path);
            }
        }
        Ok(())
    }

    /// Returns the files that no generated .dockerignore excludes.
    pub(super) fn kept(&self) -> Vec<&String> {
        self.files.iter().filter(|path| is_kept(path)).collect()
    }

    /// Returns the directories that contain such a file.
    pub(super) fn kept_dirs(&self) -> Vec<&String> {
        let has_kept = |dir: &&String| {
            let mut kept = self.kept().into_iter();
            kept.any(|path| path.starts_with(&format!("{dir}/")))
        };
        self.dirs.iter().filter(has_kept).collect()
    }
}

/// Returns whether no generated .dockerignore excludes the path: their patterns match only documents, logs and
/// temporary files.
pub(super) fn is_kept(path: &str) -> bool {
    let excluded = |part: &str| ["docs", "tmp"].contains(&part) || part.starts_with('.');
    !path.ends_with(".md") && !path.ends_with(".log") && !path.split('/').any(excluded)
}

/// Joins a directory, which may be the root, and a name.
pub(super) fn join(dir: &str, name: &str) -> String {
    match dir {
        "" | "." => name.to_owned(),
        dir => format!("{dir}/{name}"),
    }
}

/// Returns a random directory of a context, at most two levels deep.
pub(super) fn random_dir(rng: &mut Rng, context: &str) -> String {
    let mut dir = context.to_owned();
    for _ in 0..rng.usize(..3) {
        dir = join(&dir, pick::<&str>(rng, DIRS));
    }
    dir
}

/// Returns a random file name.
pub(super) fn random_name(rng: &mut Rng) -> String {
    // Names that need escaping are rare.
    let names = if rng.u8(..10) == 0 { NAMES } else { &NAMES[..4] };
    format!("{}.{}", pick(rng, names), pick(rng, KINDS))
}

/// Creates a context with some files and links. `text` returns a text that no other file has.
pub(super) fn fill(
    root: &Path,
    context: &str,
    rng: &mut Rng,
    mut text: impl FnMut() -> String,
) -> Result<()> {
    // Dockerfiles need files that certainly exist.
    for file in ["src/main.go", "conf/main.txt"] {
        write(root, &join(context, file), &text())?;
    }
    for _ in 0..rng.usize(4..12) {
        let path = join(&random_dir(rng, context), &random_name(rng));
        if !root.join(&path).exists() {
            write(root, &path, &text())?;
        }
    }
    for _ in 0..rng.usize(..4) {
        link(root, context, rng)?;
    }
    Ok(())
}

/// Creates a link in a context, and returns its path; `None` if the path exists already or has no possible target.
pub(super) fn link(root: &Path, context: &str, rng: &mut Rng) -> Result<Option<String>> {
    let dir = random_dir(rng, context);
    let path = join(&dir, &format!("link-{}", rng.u8(..6)));
    let full_path = root.join(&path);
    if full_path.symlink_metadata().is_ok() {
        return Ok(None);
    }
    let Some(to) = destination(root, context, &path, rng)? else {
        return Ok(None);
    };
    std::fs::create_dir_all(root.join(&dir))?;
    symlink(to, full_path)?;
    Ok(Some(path))
}

/// Returns a random target for the link at `path`: a file or a directory of the context, as a relative or an absolute
/// path, or as one that leaves the context.
pub(super) fn destination(root: &Path, context: &str, path: &str, rng: &mut Rng) -> Result<Option<String>> {
    let tree = Tree::read(&root.join(context))?;
    let mut to: Vec<&String> = tree.kept();
    to.extend(tree.kept_dirs());
    // A link to a directory that contains the link would be a loop.
    let path = path.strip_prefix(&format!("{context}/")).unwrap_or(path);
    to.retain(|to| !path.starts_with(&format!("{to}/")));
    if to.is_empty() {
        return Ok(None);
    }
    let to = pick(rng, &to);
    let up = "../".repeat(path.matches('/').count());
    Ok(Some(match rng.u8(..6) {
        // An absolute path starts at the root of the context. So does one that leads out of it.
        0 => format!("/{to}"),
        1 => format!("../../../../../{to}"),
        _ => format!("{up}{to}"),
    }))
}

/// Writes a file and creates its directories.
pub(super) fn write(root: &Path, path: &str, text: &str) -> Result<()> {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().context("a file in a directory")?)?;
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

/// Returns a random item of a list that is not empty.
pub(super) fn pick<'a, T>(rng: &mut Rng, items: &'a [T]) -> &'a T {
    &items[rng.usize(..items.len())]
}

/// Returns true with this probability.
pub(super) fn chance(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(..100) < percent
}
