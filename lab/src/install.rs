//! What a lab is made of, in the order it is made, and where to find it.

use std::iter;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use crate::architecture::Architecture;
use crate::cache::Cache;
use crate::emulation::{self, Emulation};
use crate::images::{self, Images, Native, Programs};
use crate::pki::Authority;
use crate::{bare, debian, go, packages, progress, runc};

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
    /// None where the machine is an arm64 one.
    pub(crate) emulation: Option<Emulation>,
    pub(crate) registry_authority: Authority,
    pub(crate) registry_ca: PathBuf,
    /// The files of a machine with nothing on it.
    pub(crate) bare: PathBuf,
}

/// Makes what the cache does not have yet: about twenty minutes on two cores, then nothing.
pub fn install() -> Result<Installed> {
    let start = Instant::now();
    debian::require_clients()?;
    let cache = Cache::from_env()?;
    let _lock = cache.lock()?;
    debian::install_tools(&cache)?;
    let root = debian::install(&cache)?;
    debian::faketime(&cache)?;
    let bare = bare::install(&cache)?;
    let (registry_authority, registry_ca) = Authority::registry(&cache)?;
    let python = packages::python(&cache)?;
    let npm = packages::npm(&cache)?;
    let mut go = go::install(&cache)?;
    let runc = runc::install(&cache, &root)?;
    let emulation = emulation::install(&cache)?;
    let native = Native {
        root: &root,
        runc: &runc,
        rootlesskit: find(&go, "rootlesskit")?,
    };
    let programs = Programs {
        architecture: Architecture::native(),
        busybox: &debian::program(&root, "busybox"),
        buildkit: find(&go, "buildkitd")?,
        native,
    };
    let emulated = emulation.iter().map(|emulation| emulation.programs(native));
    let programs: Vec<Programs<'_>> = iter::once(programs).chain(emulated).collect();
    let images = images::install(&cache, &programs, &registry_ca)?;
    go.push(runc);
    go.extend(emulation.iter().map(|emulation| emulation.kubelet.clone()));
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
        emulation,
        registry_authority,
        registry_ca,
        bare,
    })
}

/// The library that shows a program another time when it is preloaded (libfaketime).
pub fn faketime() -> Result<PathBuf> {
    let cache = Cache::from_env()?;
    let _lock = cache.lock()?;
    debian::faketime(&cache)
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
