//! buildx's directory, changed as buildx itself does: under its lock, by rename, with mode 0600
//! (docker/buildx, store/store.go).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rustix::fs::Access;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::instance::{Builder, Instance, names_kubeconfig};
use super::lock::{BuildxLock, POLL_INTERVAL};
use crate::error_code::ErrorCode;
use crate::files::{Place, not_written};
use crate::problem::Problem;
use crate::{docker, env, files};

/// buildx's directory, locked until this is dropped.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    _lock: BuildxLock,
}

/// The file `current`: the selected builder. With `Global` it applies to every DOCKER_HOST and docker context.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CurrentFile {
    key: String,
    name: String,
    global: bool,
}

impl Store {
    /// Checks that the directory can be written or created, without creating it, so that a job fails before it waits for an
    /// agent. Returns its path.
    pub fn writable() -> anyhow::Result<PathBuf> {
        let root = Self::root()?;
        let instances = root.join("instances");
        let there = root.ancestors().find(|folder| folder.exists());
        for folder in there.into_iter().chain(instances.exists().then_some(&*instances)) {
            rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)
                .map_err(|error| not_written(&root, Place::Buildx, &error.into()))?;
        }
        Ok(root)
    }

    /// Opens this user's directory, which is created if it does not exist. Waits for the lock without blocking the thread.
    pub async fn open() -> anyhow::Result<Self> {
        let root = Self::root()?;
        let lock = BuildxLock::open(&root)?;
        while !lock.try_acquire()? {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(Self { root, _lock: lock })
    }

    /// Opens this user's directory if it exists.
    pub fn existing() -> anyhow::Result<Option<Self>> {
        let root = Self::root()?;
        if root.exists() {
            Self::open_at(root).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Returns the path of this user's directory.
    pub fn root() -> anyhow::Result<PathBuf> {
        let configured = env::path(env::BUILDX_CONFIG);
        configured
            .or_else(|| Some(docker::dir()?.join("buildx")))
            .context("finding buildx's directory: neither BUILDX_CONFIG, DOCKER_CONFIG nor HOME is set")
    }

    /// Opens a directory, which is created if it does not exist.
    pub fn open_at(root: PathBuf) -> anyhow::Result<Self> {
        let lock = BuildxLock::open(&root)?;
        while !lock.try_acquire()? {
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(Self { root, _lock: lock })
    }

    /// Adds a builder and selects it.
    pub fn add(&self, builder: &Builder, kubeconfig: &Path) -> anyhow::Result<()> {
        let path = self.instance_path(&builder.name);
        ensure!(
            !path.exists(),
            "a builder {} exists already: {}",
            builder.name,
            path.display()
        );
        let instance = builder.instance(kubeconfig, self.selection_to_restore());
        self.write(&path, &serde_json::to_vec(&instance)?)?;
        let selected = self.select(&builder.name);
        if selected.is_err() {
            // Otherwise a builder would be left that nothing removes.
            let _ = self.forget(&builder.name);
        }
        selected
    }

    fn select(&self, name: &str) -> anyhow::Result<()> {
        let current = CurrentFile {
            key: env::get(env::DOCKER_HOST).unwrap_or_else(|| "unix:///var/run/docker.sock".into()),
            name: name.to_owned(),
            global: true,
        };
        self.write(&self.root.join("current"), &serde_json::to_vec(&current)?)
    }

    /// Adds or updates a permanent builder and selects it. Jobs that select their own builder restore it when they end. Returns
    /// whether anything changed.
    pub fn set_permanent(&self, builder: &Builder, kubeconfig: &Path) -> anyhow::Result<bool> {
        let there = self.find_own(&builder.name, kubeconfig)?;
        let previous = match self.previous_of(&builder.name) {
            Some(previous) => previous,
            None => self.selection_to_restore(),
        };
        let instance = builder.instance(kubeconfig, previous).permanent();
        let selected = self.current().is_some_and(|c| c.name == builder.name && c.global);
        if selected && there == Some(serde_json::to_value(&instance)?) {
            return Ok(false);
        }
        self.write(
            &self.instance_path(&builder.name),
            &serde_json::to_vec(&instance)?,
        )?;
        self.select(&builder.name)?;
        Ok(true)
    }

    /// Returns the file of the builder of this name, if it exists. A builder with another kubeconfig is an error.
    pub fn find_own(&self, name: &str, kubeconfig: &Path) -> anyhow::Result<Option<serde_json::Value>> {
        let path = self.instance_path(name);
        let Ok(text) = std::fs::read(&path) else {
            return Ok(None);
        };
        let there: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        if names_kubeconfig(&there, name, kubeconfig) {
            return Ok(Some(there));
        }
        Err(Problem::new(
            ErrorCode::BuilderNameInUse,
            format!(
                "A builder {name} exists that remote-buildkit did not create: {}.",
                path.display()
            ),
            format!("Remove it (docker buildx rm {name}), or set another `name`."),
        )
        .into())
    }

    /// Returns the names of the builders with this kubeconfig.
    pub fn builders_of(&self, kubeconfig: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join("instances"));
        let names = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name());
        let names = names.filter_map(|name| name.into_string().ok());
        names
            .filter(|name| {
                let text = std::fs::read(self.instance_path(name)).unwrap_or_default();
                let builder: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
                names_kubeconfig(&builder, name, kubeconfig)
            })
            .collect()
    }

    /// Removes the whole directory, unless it has a builder.
    pub fn remove_unused(self) -> anyhow::Result<()> {
        let instances = std::fs::read_dir(self.root.join("instances"));
        if instances.is_ok_and(|mut there| there.next().is_some()) {
            return Ok(());
        }
        std::fs::remove_dir_all(&self.root).with_context(|| format!("removing {}", self.root.display()))
    }

    /// Adds a builder without selecting it.
    pub(super) fn put(&self, builder: &Builder, kubeconfig: &Path) -> anyhow::Result<()> {
        let instance = builder.instance(kubeconfig, None);
        self.write(
            &self.instance_path(&builder.name),
            &serde_json::to_vec(&instance)?,
        )
    }

    /// Returns whether this user has a builder of this name.
    pub fn has(name: &str) -> anyhow::Result<bool> {
        Ok(Self::root()?.join("instances").join(name).exists())
    }

    /// Returns the files in `instances` that are not valid builders. `docker buildx ls`, and everything else that lists all
    /// builders, fails on them.
    pub fn malformed(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.root.join("instances"));
        let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
        let reads = |path: &PathBuf| {
            let text = std::fs::read(path).unwrap_or_default();
            // As lenient as Go: buildx accepts text that is not UTF-8, and numbers of any size.
            serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(&text).is_ok()
        };
        paths.filter(|path| !reads(path)).collect()
    }

    /// Removes a builder of ours, and restores the previous selection if it is still selected. A builder of this name that is
    /// not ours is left unchanged.
    pub fn remove(&self, name: &str, kubeconfig: &Path) -> anyhow::Result<()> {
        let text = std::fs::read(self.instance_path(name)).ok();
        let found: Option<serde_json::Value> = text.and_then(|text| serde_json::from_slice(&text).ok());
        if found.is_some_and(|builder| !names_kubeconfig(&builder, name, kubeconfig)) {
            return Ok(());
        }
        if self.current().is_some_and(|c| c.name == name) {
            let previous = self.previous_of(name).flatten();
            let current = self.root.join("current");
            match previous.filter(|p| self.can_be_selected(p)) {
                Some(previous) => self.write(&current, previous.as_bytes())?,
                None => files::remove(&current)?,
            }
        }
        self.forget(name)
    }

    /// Returns the kubeconfig of a builder of ours; `None` for any other.
    pub fn kubeconfig_of(&self, name: &str) -> Option<PathBuf> {
        self.instance(name)?.kubeconfig().map(PathBuf::from)
    }

    /// Removes the files that buildx itself removes with a builder.
    fn forget(&self, name: &str) -> anyhow::Result<()> {
        files::remove(&self.root.join("activity").join(name))?;
        let refs = self.root.join("refs").join(name);
        match std::fs::remove_dir_all(&refs) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("removing {}", refs.display()));
            }
            _ => {}
        }
        files::remove(&self.instance_path(name))
    }

    /// Returns the selection that `disconnect` restores. If a builder of another job in the same home is selected, it is the
    /// selection before that one, because jobs may end in any order. The machine's permanent builder counts like a user's.
    fn selection_to_restore(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join("current")).ok()?;
        let selected: Option<CurrentFile> = serde_json::from_str(&text).ok();
        let of_job = selected
            .and_then(|current| self.instance(&current.name))
            .filter(|instance| !instance.is_permanent());
        match of_job.and_then(|instance| instance.selected_before().cloned()) {
            Some(previous) => previous,
            None => Some(text),
        }
    }

    /// For a builder of ours: what was selected before it.
    fn previous_of(&self, name: &str) -> Option<Option<String>> {
        self.instance(name)?.selected_before().cloned()
    }

    fn instance(&self, name: &str) -> Option<Instance> {
        if name.is_empty() {
            return None;
        }
        let text = std::fs::read(self.instance_path(name)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn can_be_selected(&self, current: &str) -> bool {
        serde_json::from_str(current)
            .is_ok_and(|c: CurrentFile| c.name.is_empty() || self.instance_path(&c.name).exists())
    }

    fn current(&self) -> Option<CurrentFile> {
        let text = std::fs::read(self.root.join("current")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn instance_path(&self, name: &str) -> PathBuf {
        self.root.join("instances").join(name)
    }

    /// Writes a file. The temporary file is in the root, because buildx takes every file in `instances` for a builder.
    fn write(&self, path: &Path, content: &[u8]) -> anyhow::Result<()> {
        files::write_private_through(&self.root, path, content, Place::Buildx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Node;
    use super::*;

    const KUBECONFIG: &str = "/tmp/a b/kubeconfig";

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let name = format!("rbk-store-{}", files::random_hex().expect("random"));
            Self(files::private_folder(&std::env::temp_dir(), &name).expect("folder"))
        }

        fn store(&self) -> Store {
            Store::open_at(self.0.join("buildx")).expect("store")
        }

        fn add(&self, name: &str) {
            let builder = Builder {
                name: name.into(),
                namespace: "default".into(),
                nodes: vec![Node {
                    name: "agent".into(),
                    platforms: vec![],
                }],
                timeout: Duration::from_secs(300),
            };
            self.store().add(&builder, Path::new(KUBECONFIG)).expect("add");
        }

        fn remove(&self, name: &str) {
            let removed = self.store().remove(name, Path::new(KUBECONFIG));
            removed.expect("remove");
        }

        fn read(&self, path: &str) -> Option<String> {
            std::fs::read_to_string(self.0.join("buildx").join(path)).ok()
        }

        fn selected(&self) -> Option<String> {
            let current: CurrentFile = serde_json::from_str(&self.read("current")?).expect("json");
            Some(current.name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).expect("clean");
        }
    }

    #[test]
    fn instance_file() {
        let folder = Folder::new();
        folder.add("agent-1");
        insta::assert_snapshot!(folder.read("instances/agent-1").expect("file"), @r#"{"Name":"agent-1","Driver":"kubernetes","Nodes":[{"Name":"agent","Endpoint":"kubernetes:///agent-1?kubeconfig=%2Ftmp%2Fa+b%2Fkubeconfig","Platforms":null,"DriverOpts":{"namespace":"default","timeout":"300s"},"Flags":null,"Files":null}],"Dynamic":false,"RemoteBuildkit":{"Kubeconfig":"/tmp/a b/kubeconfig","Previous":null}}"#);
    }

    #[test]
    fn removal_restores_the_previous_selection() {
        let folder = Folder::new();
        let own = r#"{"Key":"k","Name":"","Global":false}"#;
        drop(folder.store());
        std::fs::write(folder.0.join("buildx/current"), own).expect("write");
        folder.add("a");
        assert_eq!(folder.selected().as_deref(), Some("a"));
        folder.remove("a");
        assert_eq!(folder.read("current").as_deref(), Some(own));
        assert_eq!(folder.read("instances/a"), None);
    }

    #[test]
    fn two_jobs_in_one_home_end_in_either_order() {
        for (first, second) in [("a", "b"), ("b", "a")] {
            let folder = Folder::new();
            let own = r#"{"Key":"k","Name":"","Global":false}"#;
            drop(folder.store());
            std::fs::write(folder.0.join("buildx/current"), own).expect("write");
            folder.add("a");
            folder.add("b");
            folder.remove(first);
            assert!(folder.read(&format!("instances/{second}")).is_some());
            folder.remove(second);
            assert_eq!(
                folder.read("current").as_deref(),
                Some(own),
                "{first} ended first"
            );
        }
    }

    #[test]
    fn a_later_selection_is_kept() {
        let folder = Folder::new();
        folder.add("a");
        let other = r#"{"Key":"k","Name":"other","Global":false}"#;
        std::fs::write(folder.0.join("buildx/current"), other).expect("write");
        folder.remove("a");
        assert_eq!(folder.read("current").as_deref(), Some(other));
    }

    /// For the machine, by another kubeconfig than those of jobs.
    fn machine(name: &str) -> (Builder, &'static Path) {
        let builder = Builder {
            name: name.into(),
            namespace: "default".into(),
            nodes: vec![],
            timeout: Duration::from_secs(300),
        };
        (builder, Path::new("/home/runner/kubeconfig"))
    }

    #[test]
    fn jobs_restore_the_permanent_builder() {
        let folder = Folder::new();
        let own = r#"{"Key":"k","Name":"","Global":false}"#;
        drop(folder.store());
        std::fs::write(folder.0.join("buildx/current"), own).expect("write");
        let (mut builder, kubeconfig) = machine("agent");
        builder.nodes.push(Node {
            name: "agent".into(),
            platforms: vec![],
        });
        assert!(folder.store().set_permanent(&builder, kubeconfig).expect("kept"));
        assert!(
            !folder
                .store()
                .set_permanent(&builder, kubeconfig)
                .expect("as it was")
        );
        assert_eq!(folder.store().builders_of(kubeconfig), ["agent"]);

        folder.add("job-1");
        folder.add("job-2");
        folder.remove("job-1");
        folder.remove("job-2");
        assert_eq!(folder.selected().as_deref(), Some("agent"));
        assert!(
            !folder
                .store()
                .set_permanent(&builder, kubeconfig)
                .expect("as it was")
        );

        builder.timeout = Duration::from_secs(60);
        assert!(
            folder
                .store()
                .set_permanent(&builder, kubeconfig)
                .expect("changed")
        );
        folder.store().remove("agent", kubeconfig).expect("removed");
        assert_eq!(folder.read("current").as_deref(), Some(own));
        folder.store().remove_unused().expect("removed");
        assert!(!folder.0.join("buildx").exists());
    }

    #[test]
    fn a_permanent_builder_does_not_replace_another_builder() {
        let folder = Folder::new();
        folder.add("agent");
        let (builder, kubeconfig) = machine("agent");
        let error = folder
            .store()
            .set_permanent(&builder, kubeconfig)
            .expect_err("there is one");
        assert!(
            error.to_string().starts_with("Builder name already in use"),
            "{error}"
        );
        folder.store().remove_unused().expect("nothing to do");
        assert!(folder.read("instances/agent").is_some());
    }

    #[test]
    fn removing_twice_is_not_an_error() {
        let folder = Folder::new();
        folder.add("a");
        folder.remove("a");
        folder.remove("a");
        assert_eq!(folder.selected(), None);
    }

    #[test]
    fn a_builder_that_is_not_ours_is_kept() {
        let folder = Folder::new();
        folder.add("a");
        // As `docker buildx create --name a` would make it.
        let other = r#"{"Name":"a","Driver":"remote","Nodes":[{"Name":"a0","Endpoint":"tcp://x:1","DriverOpts":null}]}"#;
        let path = folder.0.join("buildx/instances/a");
        std::fs::write(&path, other).expect("write");
        folder.remove("a");
        assert_eq!(folder.read("instances/a").as_deref(), Some(other));
        let builder = Builder {
            name: "a".into(),
            namespace: "default".into(),
            nodes: vec![],
            timeout: Duration::from_secs(1),
        };
        let refused = folder.store().add(&builder, Path::new(KUBECONFIG));
        refused.expect_err("there is one");
        assert_eq!(folder.read("instances/a").as_deref(), Some(other));
    }

    /// buildx rewrites a builder's file when it changes it, and drops unknown fields.
    #[test]
    fn a_builder_that_buildx_rewrote_is_still_ours() {
        let folder = Folder::new();
        folder.add("a");
        let text = folder.read("instances/a").expect("file");
        let mut written: serde_json::Value = serde_json::from_str(&text).expect("json");
        written
            .as_object_mut()
            .expect("a builder")
            .remove("RemoteBuildkit");
        std::fs::write(folder.0.join("buildx/instances/a"), written.to_string()).expect("write");
        folder.remove("a");
        assert_eq!(folder.read("instances/a"), None);
    }

    #[test]
    fn malformed_files_are_found() {
        let folder = Folder::new();
        folder.add("a");
        assert_eq!(folder.store().malformed(), Vec::<PathBuf>::new());
        let path = folder.0.join("buildx/instances/b");
        for text in ["", "{", "[]", "Name: b"] {
            std::fs::write(&path, text).expect("write");
            assert_eq!(
                folder.store().malformed(),
                std::slice::from_ref(&path),
                "{text:?}"
            );
        }
    }
}
