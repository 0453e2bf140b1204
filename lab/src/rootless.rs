//! Builds BuildKit's rootless image; to a pod it looks like the target `rootless` of moby/buildkit's Dockerfile.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use crate::archive::{self, Image, Layer};
use crate::cache::{Cache, Key};
use crate::host_programs;
use crate::images::{self, AUTHORITIES, Programs};
use crate::versions::BUILDKIT;

const USER: u64 = 1000;
const VOLUME: &str = "home/user/.local/share/buildkit";

/// Returns the archive of the image. `key` is the key of the other images, which it shares its parts with.
pub(crate) fn install(
    cache: &Cache,
    key: &Key,
    programs: &Programs<'_>,
    rootlesskit: &Path,
    ca: &str,
) -> Result<PathBuf> {
    let key = Key::new(format!("image rootless {}", programs.architecture.name()))
        .with(include_str!("rootless.rs"))
        .with(key.dir_name())
        .with(rootlesskit.as_os_str().as_encoded_bytes());
    let dir = cache.entry(&key, |dir| {
        write(&dir.join("rootless.tar"), programs, rootlesskit, ca)
    })?;
    Ok(dir.join("rootless.tar"))
}

fn write(archive: &Path, programs: &Programs<'_>, rootlesskit: &Path, ca: &str) -> Result<()> {
    let image = Image {
        tags: &[&format!("docker.io/moby/buildkit:v{BUILDKIT}-rootless")],
        architecture: programs.architecture,
        entrypoint: &["rootlesskit", "buildkitd"],
        cmd: &[],
    };
    let settings = json!({
        // Kubernetes' runAsNonRoot needs a numeric user.
        "User": format!("{USER}:{USER}"),
        "Env": [
            archive::PATH, "HOME=/home/user", "USER=user", "XDG_RUNTIME_DIR=/run/user/1000",
            "TMPDIR=/home/user/.local/tmp", "BUILDKIT_HOST=unix:///run/user/1000/buildkit/buildkitd.sock",
        ],
        "Volumes": {format!("/{VOLUME}"): {}},
    });
    let authorities = images::authorities(ca)?;
    image.write_with(archive, settings, |layer| {
        programs.shell(layer)?;
        user(layer)?;
        programs.daemon(layer)?;
        layer.program("usr/bin/rootlesskit", &rootlesskit.join("rootlesskit"))?;
        id_maps(layer, programs.native.root)?;
        layer.text(AUTHORITIES, &authorities)
    })
}

fn user(layer: &mut Layer) -> Result<()> {
    layer.text(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
    )?;
    layer.text("etc/group", "root:x:0:\nuser:x:1000:\n")?;
    layer.dirs(&["home", "run/user"])?;
    layer.dirs_of(
        USER,
        &[
            "run/user/1000",
            "home/user",
            "home/user/.local",
            "home/user/.local/share",
            "home/user/.local/tmp",
            VOLUME,
        ],
    )
}

/// Adds the programs that write the ID map of a user namespace with more than one user. They have file capabilities instead of
/// set-uid: the kernel lets only the namespace's owner or CAP_SYS_ADMIN write the map, and a container's root does not have it.
fn id_maps(layer: &mut Layer, root: &Path) -> Result<()> {
    const CAP_SETGID: u32 = 6;
    const CAP_SETUID: u32 = 7;
    let mut programs = Vec::new();
    for (program, capability) in [
        ("usr/bin/newuidmap", CAP_SETUID),
        ("usr/bin/newgidmap", CAP_SETGID),
    ] {
        layer.capable(program, &root.join(program), capability)?;
        programs.push(root.join(program));
    }
    let programs: Vec<&Path> = programs.iter().map(PathBuf::as_path).collect();
    host_programs::put_tools(layer, &programs)?;
    for file in ["etc/subuid", "etc/subgid"] {
        layer.text(file, "user:100000:65536\n")?;
    }
    Ok(())
}
