//! Builds the parts of a lab, in order, and returns where they are.

use std::iter;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use crate::architecture::Architecture;
use crate::cache::Cache;
use crate::emulation::{self, Emulation};
use crate::images::{self, Images, Native, Programs};
use crate::pki::Authority;
use crate::plan::{Parts, Plan};
use crate::{bare, debian, go, packages, progress, runc};

/// The installed parts.
#[derive(Debug)]
pub struct Installed {
    /// The directories of the Go programs.
    pub(crate) go: Vec<PathBuf>,
    /// The unpacked packages of the distribution.
    pub(crate) root: PathBuf,
    pub(crate) python: PathBuf,
    pub(crate) npm: PathBuf,
    pub(crate) images: Images,
    /// `None` on an arm64 machine, and in a lab with one node.
    pub(crate) emulation: Option<Emulation>,
    pub(crate) registry_authority: Authority,
    pub(crate) registry_ca: PathBuf,
    /// The file system of a minimal machine, which only tests use.
    pub(crate) bare: Option<PathBuf>,
}

/// Builds the parts that are not in the cache yet: about half an hour on two cores the first time.
pub fn install() -> Result<Installed> {
    install_parts(Parts::All)
}

/// Builds those of these parts that are not in the cache yet.
pub fn install_parts(parts: Parts) -> Result<Installed> {
    let start = Instant::now();
    debian::require_clients()?;
    let cache = Cache::from_env()?;
    let _lock = cache.lock()?;
    let plan = Plan::of(parts, &cache)?;
    if let Some(summary) = plan.summary() {
        eprintln!("  {summary}");
    }
    cache.announce(plan);
    let for_tests = parts == Parts::All;
    debian::install_tools(&cache)?;
    let root = debian::install(&cache)?;
    if for_tests {
        debian::faketime(&cache)?;
    }
    let bare = for_tests.then(|| bare::install(&cache)).transpose()?;
    let (registry_authority, registry_ca) = Authority::registry(&cache)?;
    let python = packages::python(&cache)?;
    let npm = packages::npm(&cache)?;
    let mut go = go::install(&cache, parts)?;
    let runc = runc::install(&cache, &root)?;
    let emulation = if for_tests {
        emulation::install(&cache)?
    } else {
        None
    };
    let rootlesskit = for_tests.then(|| find(&go, "rootlesskit")).transpose()?;
    let native = Native {
        root: &root,
        runc: &runc,
        rootlesskit,
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

/// Returns the library that changes the time that a program sees when it is preloaded (libfaketime).
pub fn faketime() -> Result<PathBuf> {
    let cache = Cache::from_env()?;
    let _lock = cache.lock()?;
    debian::faketime(&cache)
}

/// Returns the directory of a program.
fn find<'a>(dirs: &'a [PathBuf], program: &str) -> Result<&'a Path> {
    dirs.iter()
        .find(|dir| dir.join(program).exists())
        .map(PathBuf::as_path)
        .ok_or_else(|| anyhow::anyhow!("{program} was not built"))
}

impl Installed {
    /// Returns the lab's programs by name: Go programs and programs of the distribution.
    pub(crate) fn programs(&self) -> Result<Vec<(String, PathBuf)>> {
        let mut dirs = self.go.clone();
        dirs.extend(["usr/bin", "usr/sbin"].map(|dir| self.root.join(dir)));
        let mut programs = Vec::new();
        for dir in dirs.iter().filter(|dir| dir.exists()) {
            for file in std::fs::read_dir(dir)? {
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
