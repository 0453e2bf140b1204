//! A base image with Node, npm and Go in the lab's registry, for builds of a real application without the internet. It is pushed
//! on request: only the demo needs it, and it is 300 MB.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::archive::{Image, Layer};
use crate::cache::{Cache, Key};
use crate::{State, command, debian, host_programs, images};

/// The registry's address is fixed, see [`crate::network`].
const IMAGE: &str = "10.200.0.254:5000/toolchain:latest";

const NPM: &str = "11.21.2";

/// What `go build` needs besides the sources of the standard library.
const OF_GO: [&str; 7] = [
    "VERSION",
    "bin/go",
    "go.env",
    "pkg/include",
    "pkg/tool/linux_ARCH/asm",
    "pkg/tool/linux_ARCH/compile",
    "pkg/tool/linux_ARCH/link",
];

/// Pushes the image to the registry of a running lab, and returns its reference.
pub fn push_toolchain(state: &State) -> Result<&'static str> {
    let cache = Cache::from_env()?;
    let archive = {
        let _lock = cache.lock()?;
        install(&cache, state)?
    };
    let node = state.nodes.first().context("a lab has at least one node")?;
    let ctr = || {
        let mut ctr = Command::new(state.bin.join("ctr"));
        ctr.arg("-a")
            .arg(&node.containerd_socket)
            .args(["-n", "k8s.io", "images"]);
        ctr
    };
    command::output(ctr().arg("import").arg(archive))?;
    command::output(
        ctr()
            .args(["push", "--local", "--tlscacert"])
            .arg(&state.registry_ca)
            .arg(IMAGE),
    )?;
    // The registry has it, and the node does not need it.
    command::output(ctr().args(["rm", IMAGE]))?;
    Ok(IMAGE)
}

fn install(cache: &Cache, state: &State) -> Result<PathBuf> {
    let go = Path::new(&command::output(Command::new("go").args(["env", "GOROOT"]))?.trim_end()).to_owned();
    let node = state.node24_bin.join("node");
    let root = debian::install(cache)?;
    let key = Key::new("image toolchain")
        .with(include_str!("toolchain.rs"))
        .with(command::output(Command::new("go").arg("version"))?)
        .with(node.as_os_str().as_encoded_bytes());
    let dir = cache.entry(&key, |dir| {
        let npm = npm(dir)?;
        let script = dir.join("npm");
        fs::write(
            &script,
            "#!/bin/sh\nexec node /usr/lib/node_modules/npm/bin/npm-cli.js \"$@\"\n",
        )?;
        let image = Image {
            tags: &[IMAGE],
            architecture: Architecture::native(),
            entrypoint: &[],
            cmd: &["sh"],
        };
        image.write(&dir.join("toolchain.tar"), |layer| {
            let busybox = debian::program(&root, "busybox");
            images::shell(layer, &busybox, &busybox)?;
            images::root_user(layer)?;
            layer.dirs(&["usr/lib", "usr/local", "usr/local/go", "usr/local/bin"])?;
            layer.program("usr/bin/node", &node)?;
            layer.program("usr/bin/npm", &script)?;
            host_programs::put_libraries(layer, &[&node])?;
            put_tree(layer, &npm, "usr/lib/node_modules/npm")?;
            for part in OF_GO {
                let part = part.replace("ARCH", Architecture::native().name());
                put_tree(layer, &go.join(&part), &format!("usr/local/go/{part}"))?;
            }
            put_tree(layer, &go.join("src"), "usr/local/go/src")?;
            layer.link("usr/local/bin/go", "/usr/local/go/bin/go")
        })?;
        Ok(fs::remove_dir_all(dir.join("node_modules"))?)
    })?;
    Ok(dir.join("toolchain.tar"))
}

/// Installs npm, and returns its directory. The machine's own may be a distribution's, which is spread over the system.
fn npm(dir: &Path) -> Result<PathBuf> {
    fs::write(dir.join("package.json"), r#"{"private": true}"#)?;
    command::run(
        Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--loglevel=error"])
            .arg(format!("npm@{NPM}"))
            .current_dir(dir),
        &dir.join("build.log"),
    )?;
    Ok(dir.join("node_modules/npm"))
}

/// Adds a file, or the files of a directory without those of Go that only tests and the compiler itself need.
fn put_tree(layer: &mut Layer, from: &Path, to: &str) -> Result<()> {
    if !from.is_dir() {
        return layer.program(to, from);
    }
    let mut entries: Vec<_> = fs::read_dir(from)?.collect::<std::io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_left_out =
            name == "testdata" || name.ends_with("_test.go") || to.ends_with("go/src") && name == "cmd";
        if !is_left_out && !entry.file_type()?.is_symlink() {
            put_tree(layer, &entry.path(), &format!("{to}/{name}"))?;
        }
    }
    Ok(())
}
