//! What a lab is made of, in the order it is made, and where to find it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use crate::cache::Cache;
use crate::images::{self, Images};
use crate::pki::Authority;
use crate::{debian, go, packages, progress, rootless, runc};

/// Everything installed.
#[derive(Debug)]
pub struct Installed {
    /// Folders of programs built from Go.
    pub(crate) go: Vec<PathBuf>,
    /// The distribution's packages, unpacked.
    pub(crate) root: PathBuf,
    pub(crate) python: PathBuf,
    pub(crate) npm: PathBuf,
    pub(crate) images: Images,
    /// BuildKit's other image, an archive.
    pub(crate) rootless: PathBuf,
    pub(crate) registry_authority: Authority,
    pub(crate) registry_ca: PathBuf,
}

/// Makes what the cache does not have yet: about twenty minutes on two cores, then nothing.
pub fn install() -> Result<Installed> {
    let start = Instant::now();
    debian::require_clients()?;
    let cache = Cache::from_env()?;
    let _lock = cache.lock()?;
    debian::install_tools(&cache)?;
    let root = debian::install(&cache)?;
    let (registry_authority, registry_ca) = Authority::registry(&cache)?;
    let python = packages::python(&cache)?;
    let npm = packages::npm(&cache)?;
    let mut go = go::install(&cache)?;
    let runc = runc::install(&cache, &root)?;
    let buildkit = find(&go, "buildkitd")?;
    let images = images::install(&cache, &root, buildkit, &runc, &registry_ca)?;
    let rootlesskit = find(&go, "rootlesskit")?;
    let rootless = rootless::install(&cache, &root, [buildkit, rootlesskit, &runc], &registry_ca)?;
    go.push(runc);
    eprintln!(
        "  the lab's parts are in {} ({})",
        cache.root().display(),
        progress::seconds(start.elapsed())
    );
    Ok(Installed {
        go,
        root,
        python,
        npm,
        images,
        rootless,
        registry_authority,
        registry_ca,
    })
}

/// The folder that holds a program.
fn find<'a>(folders: &'a [PathBuf], program: &str) -> Result<&'a Path> {
    folders
        .iter()
        .find(|dir| dir.join(program).exists())
        .map(PathBuf::as_path)
        .ok_or_else(|| anyhow::anyhow!("{program} was not built"))
}

impl Installed {
    /// Programs of the lab, by name: Go's, and the distribution's.
    pub(crate) fn programs(&self) -> Result<Vec<(String, PathBuf)>> {
        let mut folders = self.go.clone();
        folders.extend(["usr/bin", "usr/sbin"].map(|dir| self.root.join(dir)));
        let mut programs = Vec::new();
        for folder in folders.iter().filter(|folder| folder.exists()) {
            for file in std::fs::read_dir(folder)? {
                let file = file?;
                programs.push((file.file_name().to_string_lossy().into_owned(), file.path()));
            }
        }
        Ok(programs)
    }

    pub(crate) fn cni_plugins(&self) -> PathBuf {
        self.root.join("usr/lib/cni")
    }
}
