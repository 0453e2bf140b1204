//! Builds Go programs, from published modules and from our own source.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::architecture::Architecture;
use crate::cache::{Cache, Key};
use crate::command;
use crate::plan::Parts;
use crate::versions::{
    ACT, ACTIONLINT, BUILDKIT, BUILDX, CONTAINERD, DOCKER_CLI, ETCD, HCL, KUBERNETES, ROOTLESSKIT,
};

/// Main packages of a published module at one version.
struct GoModule<'a> {
    name: &'a str,
    module: &'a str,
    version: &'a str,
    /// Import paths, relative to the module.
    packages: &'a [&'a str],
    /// The variable that holds the version. Without it some tools refuse `v0.0.0+unknown`.
    version_variable: Option<&'a str>,
}

/// The initial go.mod.
pub(crate) const EMPTY: &str = "module lab\n\ngo 1.26.0\n";

/// The modules in the order in which they are built, the quick ones first.
const PUBLISHED: [GoModule<'static>; 8] = [
    GoModule {
        name: "etcd",
        module: "go.etcd.io/etcd/server/v3",
        version: ETCD,
        packages: &[""],
        version_variable: None,
    },
    GoModule {
        name: "rootlesskit",
        module: "github.com/rootless-containers/rootlesskit/v3",
        version: ROOTLESSKIT,
        packages: &["/cmd/rootlesskit"],
        version_variable: None,
    },
    GoModule {
        name: "hclfmt",
        module: "github.com/hashicorp/hcl/v2",
        version: HCL,
        packages: &["/cmd/hclfmt"],
        version_variable: None,
    },
    GoModule {
        name: "act",
        module: "github.com/nektos/act",
        version: ACT,
        packages: &[""],
        version_variable: None,
    },
    GoModule {
        name: "buildx",
        module: "github.com/docker/buildx",
        version: BUILDX,
        packages: &["/cmd/buildx"],
        version_variable: Some("github.com/docker/buildx/version.Version"),
    },
    GoModule {
        name: "buildkit",
        module: "github.com/moby/buildkit",
        version: BUILDKIT,
        packages: &["/cmd/buildkitd", "/cmd/buildctl"],
        version_variable: Some("github.com/moby/buildkit/version.Version"),
    },
    GoModule {
        name: "containerd",
        module: "github.com/containerd/containerd/v2",
        version: CONTAINERD,
        packages: &["/cmd/containerd", "/cmd/containerd-shim-runc-v2", "/cmd/ctr"],
        version_variable: Some("github.com/containerd/containerd/v2/version.Version"),
    },
    GoModule {
        name: "kubernetes",
        module: "k8s.io/kubernetes",
        version: KUBERNETES,
        packages: &[
            "/cmd/kube-apiserver",
            "/cmd/kube-controller-manager",
            "/cmd/kube-scheduler",
            "/cmd/kubelet",
            "/cmd/kubectl",
        ],
        version_variable: Some("k8s.io/component-base/version.gitVersion"),
    },
];

/// The modules that only tests use: rootless BuildKit, and the formatter of Terraform's language.
const ONLY_TESTS: [&str; 2] = ["rootlesskit", "hclfmt"];

const LINTER: GoModule<'static> = GoModule {
    name: "actionlint",
    module: "github.com/rhysd/actionlint",
    version: ACTIONLINT,
    packages: &["/cmd/actionlint"],
    version_variable: None,
};

/// Returns the directory of actionlint.
pub(crate) fn actionlint(cache: &Cache) -> Result<PathBuf> {
    published(cache, &LINTER, Architecture::native())
}

/// Builds the programs and returns their directories, one for each entry of the cache.
pub(crate) fn install(cache: &Cache, parts: Parts) -> Result<Vec<PathBuf>> {
    let mut dirs = vec![docker_cli(cache)?, authenticator(cache)?];
    let is_wanted = |module: &&GoModule<'_>| parts == Parts::All || !ONLY_TESTS.contains(&module.name);
    for module in PUBLISHED.iter().filter(is_wanted) {
        dirs.push(published(cache, module, Architecture::native())?);
    }
    Ok(dirs)
}

/// Returns the titles of the published modules' entries in the cache.
#[cfg(test)]
pub(crate) fn titles() -> impl Iterator<Item = String> {
    PUBLISHED
        .iter()
        .map(|module| format!("{} {}", module.name, module.version))
}

/// Returns the directory of buildkitd and buildctl for another architecture.
pub(crate) fn buildkit(cache: &Cache, architecture: Architecture) -> Result<PathBuf> {
    let buildkit = PUBLISHED.iter().find(|module| module.name == "buildkit");
    published(cache, buildkit.context("buildkit is built")?, architecture)
}

fn published(cache: &Cache, what: &GoModule<'_>, architecture: Architecture) -> Result<PathBuf> {
    let GoModule {
        name,
        module,
        version,
        packages,
        version_variable,
    } = what;
    let mut title = format!("{name} {version}");
    if !architecture.is_native() {
        write!(title, " {}", architecture.name())?;
    }
    let key = Key::new(title)
        .with(module)
        .with(packages.join(" "))
        .with(version_variable.unwrap_or_default());
    let key = if architecture.is_native() {
        key
    } else {
        EMULATED
            .iter()
            .fold(key, |key, [_, _, emulated]| key.with(emulated))
    };
    let dir = cache.entry(&key, |dir| {
        let log = dir.join("build.log");
        fs::write(dir.join("go.mod"), go_mod(dir, module, version, &log)?)?;
        let packages: Vec<String> = packages.iter().map(|p| format!("{module}{p}")).collect();
        require(dir, &packages, version, &log)?;
        let flags = version_variable.map_or_else(
            || "-s -w".to_owned(),
            |variable| format!("-s -w -X {variable}=v{version}"),
        );
        let mut build = go(dir);
        build
            .env("GOARCH", architecture.name())
            .args(["build", "-ldflags", &flags, "-o", "bin/"]);
        if !architecture.is_native() {
            build.arg("-overlay").arg(emulated(dir)?);
        }
        command::run(build.args(&packages), &log)?;
        if *name == "etcd" {
            fs::rename(dir.join("bin/server"), dir.join("bin/etcd"))?;
        }
        Ok(())
    })?;
    Ok(dir.join("bin"))
}

/// Changes to files of the Go standard library in programs that an emulator runs.
///
/// When a process exits, QEMU's user mode takes a lock that another thread may have held at the fork (7.2, plugins/core.c):
/// then a child that exits without an exec hangs, and the program waits for it. So there must be no such children.
const EMULATED: [[&str; 3]; 2] = [
    // Before its first process Go tests clone(CLONE_PIDFD) with a child that exits at once. With this change it assumes
    // that there are no pidfds, as on a kernel before 5.4.
    [
        "os/pidfd_linux.go",
        "func checkPidfd() error {\n",
        "func checkPidfd() error {\n\treturn syscall.ENOSYS\n",
    ],
    // A child whose exec fails exits. BuildKit starts such children to find out which other architectures the kernel can
    // run. A child that is killed takes no lock.
    [
        "syscall/exec_linux.go",
        "\t\tRawSyscall(SYS_EXIT, 253, 0, 0)\n",
        "\t\tpid, _, _ := RawSyscall(SYS_GETPID, 0, 0, 0)\n\
         \t\tRawSyscall(SYS_KILL, pid, uintptr(SIGKILL), 0)\n\
         \t\tRawSyscall(SYS_EXIT, 253, 0, 0)\n",
    ],
];

/// Writes the `-overlay` file for a build whose program an emulator runs.
fn emulated(dir: &Path) -> Result<PathBuf> {
    let root = command::output(go(dir).args(["env", "GOROOT"]))?;
    let mut replace = serde_json::Map::new();
    for [file, usual, emulated] in EMULATED {
        let original = Path::new(root.trim_end()).join("src").join(file);
        let source =
            fs::read_to_string(&original).with_context(|| format!("reading {}", original.display()))?;
        ensure!(
            source.contains(usual),
            "{} does not contain {usual}",
            original.display()
        );
        let changed = dir.join(file.replace('/', "-"));
        fs::write(&changed, source.replace(usual, emulated))?;
        replace.insert(
            original.to_string_lossy().into_owned(),
            changed.to_string_lossy().into(),
        );
    }
    let overlay = dir.join("overlay.json");
    fs::write(&overlay, serde_json::json!({ "Replace": replace }).to_string())?;
    Ok(overlay)
}

/// Adds main packages and their dependencies to the module in `dir`.
pub(crate) fn require(dir: &Path, packages: &[impl AsRef<str>], version: &str, log: &Path) -> Result<()> {
    let mut get = go(dir);
    get.args(["get", "-tool"]);
    get.args(packages.iter().map(|p| format!("{}@v{version}", p.as_ref())));
    command::run(&mut get, log)
}

/// Returns a go.mod for a module. Kubernetes requires its staging modules as v0.0.0 and replaces them with directories of its
/// own repository; this go.mod replaces each with its published version.
pub(crate) fn go_mod(dir: &Path, module: &str, version: &str, log: &Path) -> Result<String> {
    let mut text = EMPTY.to_owned();
    if module == "k8s.io/kubernetes" {
        let (_, minor) = version.split_once('.').context("a Kubernetes version is 1.x.y")?;
        let source = download(dir, module, &format!("v{version}"), log)?;
        let theirs = fs::read_to_string(source.join("go.mod"))?;
        for staging in staging(&theirs) {
            writeln!(text, "replace {staging} => {staging} v0.{minor}")?;
        }
    }
    Ok(text)
}

/// Returns the modules that a go.mod requires as v0.0.0.
fn staging(go_mod: &str) -> impl Iterator<Item = &str> {
    go_mod
        .lines()
        .filter_map(|line| line.trim().strip_suffix(" v0.0.0"))
        .filter(|module| module.starts_with("k8s.io/"))
}

/// Downloads a module and returns its (read-only) directory.
fn download(dir: &Path, module: &str, version: &str, log: &Path) -> Result<PathBuf> {
    // Without -modcacherw: the module cache is shared with everything else that is built on this machine.
    let json = command::output(go(dir).args(["mod", "download", "-json", &format!("{module}@{version}")]))
        .with_context(|| format!("could not download {module} (log: {})", log.display()))?;
    let info: serde_json::Value = serde_json::from_str(&json)?;
    let dir = info["Dir"]
        .as_str()
        .context("`go mod download -json` names no Dir")?;
    Ok(PathBuf::from(dir))
}

/// Copies a module's source into a writable directory.
pub(crate) fn copy(dir: &Path, module: &str, version: &str, log: &Path) -> Result<PathBuf> {
    let module = download(dir, module, version, log)?;
    let source = dir.join("source");
    command::run(
        Command::new("cp")
            .args(["-r", "--no-preserve=mode"])
            .args([&module, &source]),
        log,
    )?;
    Ok(source)
}

/// Builds the docker CLI. It has no go.mod (it is versioned by date) but a vendor.mod, which is used as go.mod.
fn docker_cli(cache: &Cache) -> Result<PathBuf> {
    let key = Key::new(format!("docker-cli {DOCKER_CLI}"));
    let dir = cache.entry(&key, |dir| {
        let log = dir.join("build.log");
        fs::write(dir.join("go.mod"), "module lab\n")?;
        let version = format!("v{DOCKER_CLI}+incompatible");
        let source = copy(dir, "github.com/docker/cli", &version, &log)?;
        fs::copy(source.join("vendor.mod"), source.join("go.mod"))?;
        fs::copy(source.join("vendor.sum"), source.join("go.sum"))?;
        let flags = format!("-s -w -X github.com/docker/cli/cli/version.Version={DOCKER_CLI}");
        let mut build = go(&source);
        build.args(["build", "-ldflags", &flags, "-o", "../bin/docker", "./cmd/docker"]);
        command::run(&mut build, &log)?;
        fs::remove_dir_all(source)?;
        Ok(())
    })?;
    Ok(dir.join("bin"))
}

/// Builds the real aws-iam-authenticator with our own main package, which binds it to the loopback interface.
fn authenticator(cache: &Cache) -> Result<PathBuf> {
    let source = crate::asset("authenticator");
    let files = ["main.go", "go.mod", "go.sum"];
    let mut key = Key::new("authenticator");
    for file in files {
        key = key.with(fs::read(source.join(file))?);
    }
    let dir = cache.entry(&key, |dir| {
        for file in files {
            fs::copy(source.join(file), dir.join(file))?;
        }
        let mut build = go(dir);
        build.args(["build", "-ldflags", "-s -w", "-o", "bin/authenticator", "."]);
        command::run(&mut build, &dir.join("build.log"))
    })?;
    Ok(dir.join("bin"))
}

pub(crate) fn go(dir: &Path) -> Command {
    let mut go = Command::new("go");
    go.current_dir(dir)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=mod -buildvcs=false")
        .env("GOWORK", "off");
    go
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staging_modules_are_those_required_as_v0_0_0() {
        let go_mod =
            "require (\n\tk8s.io/api v0.0.0\n\tk8s.io/klog/v2 v2.130.1\n\tk8s.io/kubelet v0.0.0\n)\n";
        assert_eq!(
            staging(go_mod).collect::<Vec<_>>(),
            ["k8s.io/api", "k8s.io/kubelet"]
        );
    }
}
