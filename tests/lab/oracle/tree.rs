//! Files and links of a generated repository: what is there, and what is added at random.

use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use fastrand::Rng;

/// Paths below a folder, relative to it and in order.
#[derive(Debug, Default, Clone)]
pub(super) struct Tree {
    pub(super) files: Vec<String>,
    pub(super) links: Vec<String>,
    pub(super) folders: Vec<String>,
}

const FOLDERS: &[&str] = &["src", "conf", "data.d", "docs", "tmp", "vendor"];
const NAMES: &[&str] = &["main", "util", "a-b", "x_1", "two words", "größe", "[id]"];
const KINDS: &[&str] = &["txt", "go", "md", "log"];

impl Tree {
    pub(super) fn of(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.walk(root, "")?;
        for paths in [&mut tree.files, &mut tree.links, &mut tree.folders] {
            paths.sort();
        }
        Ok(tree)
    }

    fn walk(&mut self, root: &Path, folder: &str) -> Result<()> {
        for entry in std::fs::read_dir(root.join(folder))? {
            let entry = entry?;
            let name = entry.file_name().into_string().ok().context("a name")?;
            let path = join(folder, &name);
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                self.links.push(path);
            } else if kind.is_file() {
                self.files.push(path);
            } else if name != ".git" {
                self.walk(root, &path)?;
                self.folders.push(path);
            }
        }
        Ok(())
    }

    /// Files that no generated .dockerignore leaves out.
    pub(super) fn kept(&self) -> Vec<&String> {
        self.files.iter().filter(|path| is_kept(path)).collect()
    }

    /// Folders that hold one of those.
    pub(super) fn kept_folders(&self) -> Vec<&String> {
        let holds = |folder: &&String| {
            let mut kept = self.kept().into_iter();
            kept.any(|path| path.starts_with(&format!("{folder}/")))
        };
        self.folders.iter().filter(holds).collect()
    }
}

/// The generated patterns are about documents, logs and temporary files.
pub(super) fn is_kept(path: &str) -> bool {
    let left_out = |part: &str| ["docs", "tmp"].contains(&part) || part.starts_with('.');
    !path.ends_with(".md") && !path.ends_with(".log") && !path.split('/').any(left_out)
}

pub(super) fn join(folder: &str, name: &str) -> String {
    match folder {
        "" | "." => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

/// A folder to be in, at most three deep.
pub(super) fn some_folder(rng: &mut Rng, context: &str) -> String {
    let mut folder = context.to_owned();
    for _ in 0..rng.usize(..3) {
        folder = join(&folder, pick::<&str>(rng, FOLDERS));
    }
    folder
}

pub(super) fn some_name(rng: &mut Rng) -> String {
    // Names with something to escape are rare.
    let names = if rng.u8(..10) == 0 { NAMES } else { &NAMES[..4] };
    format!("{}.{}", pick(rng, names), pick(rng, KINDS))
}

/// A context with some files and links; `text` is of no other file.
pub(super) fn fill(
    root: &Path,
    context: &str,
    rng: &mut Rng,
    mut text: impl FnMut() -> String,
) -> Result<()> {
    // What Dockerfiles are sure to find.
    for file in ["src/main.go", "conf/main.txt"] {
        write(root, &join(context, file), &text())?;
    }
    for _ in 0..rng.usize(4..12) {
        let path = join(&some_folder(rng, context), &some_name(rng));
        if !root.join(&path).exists() {
            write(root, &path, &text())?;
        }
    }
    for _ in 0..rng.usize(..4) {
        link(root, context, rng)?;
    }
    Ok(())
}

/// A link in a context; nothing where there is something of that name.
pub(super) fn link(root: &Path, context: &str, rng: &mut Rng) -> Result<Option<String>> {
    let folder = some_folder(rng, context);
    let path = join(&folder, &format!("link-{}", rng.u8(..6)));
    let place = root.join(&path);
    if place.symlink_metadata().is_ok() {
        return Ok(None);
    }
    let Some(to) = destination(root, context, &path, rng)? else {
        return Ok(None);
    };
    std::fs::create_dir_all(root.join(&folder))?;
    symlink(to, place)?;
    Ok(Some(path))
}

/// Where the link at `path` may lead: to something of the context, by a relative, an absolute or a roundabout way.
pub(super) fn destination(root: &Path, context: &str, path: &str, rng: &mut Rng) -> Result<Option<String>> {
    let tree = Tree::of(&root.join(context))?;
    let mut to: Vec<&String> = tree.kept();
    to.extend(tree.kept_folders());
    // Not around in a circle: not to a link that is this one, nor to a folder that this one is in.
    let path = path.strip_prefix(&format!("{context}/")).unwrap_or(path);
    to.retain(|to| !path.starts_with(&format!("{to}/")));
    if to.is_empty() {
        return Ok(None);
    }
    let to = pick(rng, &to);
    let up = "../".repeat(path.matches('/').count());
    Ok(Some(match rng.u8(..6) {
        // From the root of the context, and out of it, which leads to its root.
        0 => format!("/{to}"),
        1 => format!("../../../../../{to}"),
        _ => format!("{up}{to}"),
    }))
}

pub(super) fn write(root: &Path, path: &str, text: &str) -> Result<()> {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().context("a file in a folder")?)?;
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

/// One of a list that is not empty.
pub(super) fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(..of.len())]
}

pub(super) fn chance(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(..100) < percent
}
