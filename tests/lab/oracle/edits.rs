//! What is changed between two commits, at random.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::Result;

use super::repository::{BAKE_FILE, Repository};
use super::tree::{Tree, chance, destination, join, link, pick, some_folder, some_name, write};
use super::{ignore, tree};

impl Repository {
    /// Changes one thing, or a few at once, and commits it; what was done, in words.
    pub(super) fn edit(&mut self) -> Result<String> {
        let count = if chance(&mut self.rng, 10) { 3 } else { 1 };
        let mut done = Vec::new();
        while done.len() < count {
            done.extend(self.one()?);
        }
        remove_empty(self.root())?;
        let done = done.join(", ");
        self.commit(&done)?;
        Ok(done)
    }

    /// Nothing where there is nothing of the kind.
    fn one(&mut self) -> Result<Option<String>> {
        match self.rng.u8(..100) {
            0..30 => self.change(),
            30..48 => self.add(),
            48..58 => self.delete(),
            58..68 => self.rename(),
            68..75 => self.chmod(),
            75..80 => self.retarget(),
            80..83 => self.add_link(),
            83..87 => self.become_another_kind(),
            87..90 => self.change_ignored(),
            90..95 => self.change_dockerfile(),
            _ => self.change(),
        }
    }

    fn some_file(&mut self, named_as_well: bool) -> Result<Option<String>> {
        let mut files = Tree::of(self.root())?.files;
        files.retain(|path| {
            path != BAKE_FILE && !path.contains("Dockerfile") && !path.ends_with(".dockerignore")
        });
        files.retain(|path| named_as_well || !self.names(path));
        Ok((!files.is_empty()).then(|| pick(&mut self.rng, &files).clone()))
    }

    fn change(&mut self) -> Result<Option<String>> {
        let Some(path) = self.some_file(true)? else {
            return Ok(None);
        };
        let text = self.text();
        write(self.root(), &path, &text)?;
        Ok(Some(format!("change {path}")))
    }

    fn new_path(&mut self) -> Option<String> {
        let context = self.some_context();
        let folder = some_folder(&mut self.rng, &context);
        let path = join(&folder, &some_name(&mut self.rng));
        // A file may stand where the folder would be.
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
        let text = self.text();
        write(self.root(), &path, &text)?;
        Ok(Some(format!("add {path}")))
    }

    fn delete(&mut self) -> Result<Option<String>> {
        let Some(path) = self.some_file(false)? else {
            return Ok(None);
        };
        fs::remove_file(self.root().join(&path))?;
        Ok(Some(format!("delete {path}")))
    }

    fn rename(&mut self) -> Result<Option<String>> {
        let (Some(from), Some(to)) = (self.some_file(false)?, self.new_path()) else {
            return Ok(None);
        };
        let place = self.root().join(&to);
        fs::create_dir_all(place.parent().unwrap_or(self.root()))?;
        fs::rename(self.root().join(&from), place)?;
        Ok(Some(format!("rename {from} to {to}")))
    }

    fn chmod(&mut self) -> Result<Option<String>> {
        let Some(path) = self.some_file(true)? else {
            return Ok(None);
        };
        let place = self.root().join(&path);
        let mode = fs::metadata(&place)?.permissions().mode() ^ 0o111;
        fs::set_permissions(&place, fs::Permissions::from_mode(mode))?;
        Ok(Some(format!("chmod {path}")))
    }

    fn retarget(&mut self) -> Result<Option<String>> {
        let links = Tree::of(self.root())?.links;
        if links.is_empty() {
            return Ok(None);
        }
        let path = pick(&mut self.rng, &links).clone();
        let root = self.root().to_owned();
        let Some(to) = destination(&root, &context_of(&path), &path, &mut self.rng)? else {
            return Ok(None);
        };
        let place = root.join(&path);
        if fs::read_link(&place)? == Path::new(&to) {
            return Ok(None);
        }
        fs::remove_file(&place)?;
        symlink(&to, &place)?;
        Ok(Some(format!("retarget {path} to {to}")))
    }

    fn add_link(&mut self) -> Result<Option<String>> {
        let (context, root) = (self.some_context(), self.root().to_owned());
        let context = if context == "." { "libs/one" } else { &context };
        Ok(link(&root, context, &mut self.rng)?.map(|path| format!("add link {path}")))
    }

    /// A file becomes a folder or a link.
    fn become_another_kind(&mut self) -> Result<Option<String>> {
        let Some(path) = self.some_file(false)? else {
            return Ok(None);
        };
        let place = self.root().join(&path);
        fs::remove_file(&place)?;
        if chance(&mut self.rng, 50) {
            let text = self.text();
            write(self.root(), &format!("{path}/main.txt"), &text)?;
            return Ok(Some(format!("{path} becomes a folder")));
        }
        let root = self.root().to_owned();
        let to = destination(&root, &context_of(&path), &path, &mut self.rng)?;
        symlink(to.as_deref().unwrap_or("nowhere"), &place)?;
        Ok(Some(format!("{path} becomes a link")))
    }

    /// A line more in a .dockerignore, or one less, or a new file of that name.
    fn change_ignored(&mut self) -> Result<Option<String>> {
        let mut files = Tree::of(self.root())?.files;
        files.retain(|path| path.ends_with(".dockerignore"));
        if files.is_empty() || chance(&mut self.rng, 20) {
            files = vec![join(&self.some_context(), ".dockerignore")];
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

    /// Another instruction at the end of what is built.
    fn change_dockerfile(&mut self) -> Result<Option<String>> {
        let target = pick(&mut self.rng, &self.targets).clone();
        let Some(path) = target.dockerfile else {
            return Ok(None);
        };
        let text = self.text();
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

/// `apps/1` of `apps/1/src/main.go`; the root for what is in neither an image's folder nor a library's.
fn context_of(path: &str) -> String {
    match path.splitn(3, '/').collect::<Vec<_>>()[..] {
        [kind, name, _] => join(kind, name),
        _ => ".".to_owned(),
    }
}

/// Git does not know folders without files.
fn remove_empty(root: &Path) -> Result<()> {
    let mut folders = Tree::of(root)?.folders;
    // The deepest first.
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.matches('/').count()));
    for folder in folders {
        let folder = root.join(folder);
        if fs::read_dir(&folder)?.next().is_none() {
            fs::remove_dir(folder)?;
        }
    }
    Ok(())
}
