//! Makes random edits of a repository, each in a commit.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::Result;

use super::repository::{BAKE_FILE, RandomRepository};
use super::tree::{Tree, chance, destination, join, link, pick, random_dir, random_name, write};
use super::{ignore, tree};

impl RandomRepository {
    /// Makes one edit, or three at once, and commits. Returns a description.
    pub(super) fn edit(&mut self) -> Result<String> {
        let count = if chance(&mut self.rng, 10) { 3 } else { 1 };
        let mut edits = Vec::new();
        while edits.len() < count {
            edits.extend(self.random_edit()?);
        }
        remove_empty_dirs(self.root())?;
        let description = edits.join(", ");
        self.commit(&description)?;
        Ok(description)
    }

    /// Makes a random edit, and returns its description; `None` if the repository has nothing for this kind of edit.
    fn random_edit(&mut self) -> Result<Option<String>> {
        match self.rng.u8(..100) {
            0..30 => self.change(),
            30..48 => self.add(),
            48..58 => self.delete(),
            58..68 => self.rename(),
            68..75 => self.chmod(),
            75..80 => self.retarget(),
            80..83 => self.add_link(),
            83..87 => self.change_kind(),
            87..90 => self.change_ignored(),
            90..95 => self.change_dockerfile(),
            _ => self.change(),
        }
    }

    /// Returns a random file of a context. `include_named`: also a file whose path a Dockerfile or an argument
    /// contains.
    fn random_file(&mut self, include_named: bool) -> Result<Option<String>> {
        let mut files = Tree::read(self.root())?.files;
        files.retain(|path| {
            path != BAKE_FILE && !path.contains("Dockerfile") && !path.ends_with(".dockerignore")
        });
        files.retain(|path| include_named || !self.is_named(path));
        Ok((!files.is_empty()).then(|| pick(&mut self.rng, &files).clone()))
    }

    fn change(&mut self) -> Result<Option<String>> {
        let Some(path) = self.random_file(true)? else {
            return Ok(None);
        };
        let text = self.new_text();
        write(self.root(), &path, &text)?;
        Ok(Some(format!("change {path}")))
    }

    /// Returns the path of a new file, unless something is in its way.
    fn new_path(&mut self) -> Option<String> {
        let context = self.random_context();
        let dir = random_dir(&mut self.rng, &context);
        let path = join(&dir, &random_name(&mut self.rng));
        // One of its directories may exist as a file.
        let free = |path: &str| self.root().join(path).symlink_metadata().is_err();
        let parents = path
            .match_indices('/')
            .map(|(at, _)| self.root().join(&path[..at]));
        let fits = parents
            .filter_map(|p| p.symlink_metadata().ok())
            .all(|parent| parent.is_dir());
        (free(&path) && fits).then_some(path)
    }

    fn add(&mut self) -> Result<Option<String>> {
        let Some(path) = self.new_path() else {
            return Ok(None);
        };
        let text = self.new_text();
        write(self.root(), &path, &text)?;
        Ok(Some(format!("add {path}")))
    }

    fn delete(&mut self) -> Result<Option<String>> {
        let Some(path) = self.random_file(false)? else {
            return Ok(None);
        };
        fs::remove_file(self.root().join(&path))?;
        Ok(Some(format!("delete {path}")))
    }

    fn rename(&mut self) -> Result<Option<String>> {
        let (Some(from), Some(to)) = (self.random_file(false)?, self.new_path()) else {
            return Ok(None);
        };
        let full_path = self.root().join(&to);
        fs::create_dir_all(full_path.parent().unwrap_or(self.root()))?;
        fs::rename(self.root().join(&from), full_path)?;
        Ok(Some(format!("rename {from} to {to}")))
    }

    fn chmod(&mut self) -> Result<Option<String>> {
        let Some(path) = self.random_file(true)? else {
            return Ok(None);
        };
        let full_path = self.root().join(&path);
        let mode = fs::metadata(&full_path)?.permissions().mode() ^ 0o111;
        fs::set_permissions(&full_path, fs::Permissions::from_mode(mode))?;
        Ok(Some(format!("chmod {path}")))
    }

    /// Changes the target of a link.
    fn retarget(&mut self) -> Result<Option<String>> {
        let links = Tree::read(self.root())?.links;
        if links.is_empty() {
            return Ok(None);
        }
        let path = pick(&mut self.rng, &links).clone();
        let root = self.root().to_owned();
        let Some(to) = destination(&root, &context_of(&path), &path, &mut self.rng)? else {
            return Ok(None);
        };
        let full_path = root.join(&path);
        if fs::read_link(&full_path)? == Path::new(&to) {
            return Ok(None);
        }
        fs::remove_file(&full_path)?;
        symlink(&to, &full_path)?;
        Ok(Some(format!("retarget {path} to {to}")))
    }

    fn add_link(&mut self) -> Result<Option<String>> {
        let (context, root) = (self.random_context(), self.root().to_owned());
        let context = if context == "." { "libs/one" } else { &context };
        Ok(link(&root, context, &mut self.rng)?.map(|path| format!("add link {path}")))
    }

    /// Replaces a file by a directory or a link.
    fn change_kind(&mut self) -> Result<Option<String>> {
        let Some(path) = self.random_file(false)? else {
            return Ok(None);
        };
        let full_path = self.root().join(&path);
        fs::remove_file(&full_path)?;
        if chance(&mut self.rng, 50) {
            let text = self.new_text();
            write(self.root(), &format!("{path}/main.txt"), &text)?;
            return Ok(Some(format!("{path} becomes a directory")));
        }
        let root = self.root().to_owned();
        let to = destination(&root, &context_of(&path), &path, &mut self.rng)?;
        symlink(to.as_deref().unwrap_or("nowhere"), &full_path)?;
        Ok(Some(format!("{path} becomes a link")))
    }

    /// Adds a line to a .dockerignore, or removes one, or creates such a file.
    fn change_ignored(&mut self) -> Result<Option<String>> {
        let mut files = Tree::read(self.root())?.files;
        files.retain(|path| path.ends_with(".dockerignore"));
        if files.is_empty() || chance(&mut self.rng, 20) {
            files = vec![join(&self.random_context(), ".dockerignore")];
        }
        let path = pick(&mut self.rng, &files).clone();
        let old = fs::read_to_string(self.root().join(&path)).unwrap_or_default();
        let mut lines: Vec<&str> = old.lines().collect();
        if lines.len() > 2 && chance(&mut self.rng, 40) {
            lines.pop();
        } else {
            lines.push(ignore::line(&mut self.rng));
        }
        write(self.root(), &path, &(lines.join("\n") + "\n"))?;
        Ok(Some(format!("change {path}")))
    }

    /// Appends an instruction to the stage that a target builds.
    fn change_dockerfile(&mut self) -> Result<Option<String>> {
        let target = pick(&mut self.rng, &self.targets).clone();
        let Some(path) = target.dockerfile else {
            return Ok(None);
        };
        let text = self.new_text();
        let Some(dockerfile) = self.dockerfiles.get_mut(&path) else {
            return Ok(None);
        };
        let stage = target
            .stage
            .or_else(|| dockerfile.stages.last().map(|stage| stage.name.clone()));
        let line = match self.rng.u8(..3) {
            0 => format!("LABEL text=\"{}\"", text.trim()),
            1 if target.context == "." => format!("COPY libs/one/src /{}/", text.trim().replace(' ', "/")),
            1 => format!("COPY src /{}/", text.trim().replace(' ', "/")),
            _ => format!("COPY <<EOF /{}\n{text}EOF", text.trim().replace(' ', "-")),
        };
        dockerfile.append(&stage.unwrap_or_default(), &line);
        let text = dockerfile.text();
        tree::write(self.root(), &path, &text)?;
        Ok(Some(format!("change {path}")))
    }
}

/// Returns the context of a file: `apps/1` for `apps/1/src/main.go`; the root for a file outside of the directories
/// of images and libraries.
fn context_of(path: &str) -> String {
    match path.splitn(3, '/').collect::<Vec<_>>()[..] {
        [kind, name, _] => join(kind, name),
        _ => ".".to_owned(),
    }
}

/// Removes empty directories: Git does not track them.
fn remove_empty_dirs(root: &Path) -> Result<()> {
    let mut dirs = Tree::read(root)?.dirs;
    // The deepest directories come first.
    dirs.sort_by_key(|dir| std::cmp::Reverse(dir.matches('/').count()));
    for dir in dirs {
        let dir = root.join(dir);
        if fs::read_dir(&dir)?.next().is_none() {
            fs::remove_dir(dir)?;
        }
    }
    Ok(())
}
