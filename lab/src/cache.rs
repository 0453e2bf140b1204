//! A cache of built parts: one directory for each entry, named after a hash of everything that its content depends on.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ring::digest::{SHA256, digest};
use rustix::fs::{FlockOperation, flock};

use crate::plan::Plan;
use crate::{cancel, progress};

/// Written last: an entry without it was interrupted and is built again. (A rename at the end does not work: a Python
/// environment contains its own path and cannot be moved.)
const COMPLETE: &str = ".complete";

#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    /// The parts that the progress output announces; empty when a single entry is built.
    plan: RefCell<Plan>,
}

impl Cache {
    /// Returns the cache in `$REMOTE_BUILDKIT_LAB_CACHE`, or else in `remote-buildkit-lab` in the user's cache directory.
    pub fn from_env() -> Result<Self> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let root = if let Some(dir) = set("REMOTE_BUILDKIT_LAB_CACHE") {
            PathBuf::from(dir)
        } else if let Some(dir) = set("XDG_CACHE_HOME") {
            Path::new(&dir).join("remote-buildkit-lab")
        } else {
            let home =
                set("HOME").context("neither REMOTE_BUILDKIT_LAB_CACHE, XDG_CACHE_HOME nor HOME is set")?;
            Path::new(&home).join(".cache/remote-buildkit-lab")
        };
        fs::create_dir_all(&root).with_context(|| format!("could not create {}", root.display()))?;
        Ok(Self::of(root.canonicalize()?))
    }

    fn of(root: PathBuf) -> Self {
        let plan = RefCell::default();
        Self { root, plan }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Announces the parts that will be asked for, so that each build says what is left.
    pub(crate) fn announce(&self, plan: Plan) {
        *self.plan.borrow_mut() = plan;
    }

    /// Returns whether an entry with this title is complete. Says nothing about its inputs, which are not known before the
    /// entries that it depends on are built.
    pub(crate) fn has(&self, title: &str) -> bool {
        let prefix = format!("{}-", title.replace(' ', "-"));
        let is_entry = |name: &str| {
            let hash = name.strip_prefix(&prefix);
            hash.is_some_and(|hash| hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
        };
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries
            .filter(|entry| is_entry(&entry.file_name().to_string_lossy()))
            .any(|entry| entry.path().join(COMPLETE).exists())
    }

    /// Locks the cache while entries are built, so that two installations at the same time build each of them once.
    pub fn lock(&self) -> Result<File> {
        let path = self.root.join(".lock");
        let file = File::create(&path).with_context(|| format!("could not open {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!("  waiting for another install in {} …", self.root.display());
            while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                cancel::check()?;
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
        }
        Ok(file)
    }

    /// Returns the entry's directory, and calls `make` to fill it if the entry does not exist yet.
    pub fn entry(&self, key: &Key, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let dir = self.root.join(key.dir_name());
        if dir.join(COMPLETE).exists() {
            self.plan.borrow_mut().done(&key.title);
            return Ok(dir);
        }
        let left = self.plan.borrow().left(&key.title);
        progress::build(&key.title, &left, || {
            if dir.exists() {
                fs::remove_dir_all(&dir)?;
            }
            fs::create_dir_all(&dir)?;
            make(&dir)?;
            File::create(dir.join(COMPLETE))?.sync_all()?;
            Ok(())
        })
        .with_context(|| format!("could not build {} in {}", key.title, dir.display()))?;
        self.plan.borrow_mut().done(&key.title);
        Ok(dir)
    }
}

/// The key of an entry: a readable title and a hash of everything that its content depends on.
#[derive(Debug, Clone)]
pub struct Key {
    title: String,
    inputs: Vec<u8>,
}

impl Key {
    /// Starts a key. `title` is the name and the version, if there is one: `etcd 3.6.16`.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            inputs: Vec::new(),
        }
    }

    /// Adds an input that the entry's content depends on.
    #[must_use]
    pub fn with(mut self, input: impl AsRef<[u8]>) -> Self {
        let input = input.as_ref();
        // The length keeps ("ab", "c") apart from ("a", "bc").
        self.inputs.extend(input.len().to_le_bytes());
        self.inputs.extend(input);
        self
    }

    pub fn dir_name(&self) -> String {
        let hash = digest(&SHA256, &self.inputs);
        let hash: String = hash.as_ref()[..4].iter().map(|b| format!("{b:02x}")).collect();
        format!("{}-{hash}", self.title.replace(' ', "-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(name: &str) -> Result<Cache> {
        let root = std::env::temp_dir().join(format!("rbk-cache-{name}-{}", std::process::id()));
        fs::create_dir_all(&root)?;
        Ok(Cache::of(root))
    }

    #[test]
    fn a_key_changes_with_each_input_and_keeps_its_name_readable() {
        let key = |a: &str, b: &str| Key::new("etcd 3.6.16").with(a).with(b).dir_name();
        assert!(key("a", "b").starts_with("etcd-3.6.16-"));
        assert_eq!(key("a", "b"), key("a", "b"));
        assert_ne!(key("a", "b"), key("a", "c"));
        assert_ne!(key("ab", "c"), key("a", "bc"));
    }

    #[test]
    fn an_entry_is_built_once() -> Result<()> {
        let cache = cache("once")?;
        let key = Key::new("part 1");
        let made = cache.entry(&key, |dir| Ok(fs::write(dir.join("file"), "x")?))?;
        let again = cache.entry(&key, |_| anyhow::bail!("made twice"))?;
        assert_eq!(made, again);
        assert_eq!(fs::read_to_string(made.join("file"))?, "x");
        fs::remove_dir_all(cache.root())?;
        Ok(())
    }

    #[test]
    fn an_entry_is_found_by_its_whole_title() -> Result<()> {
        let cache = cache("title")?;
        cache.entry(&Key::new("buildkit 0.34.2 arm64"), |_| Ok(()))?;
        assert!(cache.has("buildkit 0.34.2 arm64"));
        assert!(!cache.has("buildkit 0.34.2"), "that is the other architecture's");
        fs::create_dir(cache.root().join("etcd-3.6.16-0123abcd"))?;
        assert!(!cache.has("etcd 3.6.16"), "it was interrupted");
        fs::remove_dir_all(cache.root())?;
        Ok(())
    }

    #[test]
    fn an_interrupted_entry_is_built_again() -> Result<()> {
        let cache = cache("interrupted")?;
        let key = Key::new("part 1");
        let failed = cache.entry(&key, |dir| {
            fs::write(dir.join("half"), "x")?;
            anyhow::bail!("out of disk")
        });
        assert!(format!("{:#}", failed.expect_err("make failed")).contains("out of disk"));
        let made = cache.entry(&key, |dir| {
            assert!(
                !dir.join("half").exists(),
                "the first attempt's remains are still there"
            );
            Ok(())
        })?;
        assert!(made.join(COMPLETE).exists());
        fs::remove_dir_all(cache.root())?;
        Ok(())
    }
}
