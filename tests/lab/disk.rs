//! A real volume that is filled past its limits.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::support::{Namespace, Runner};

const MIB: usize = 1 << 20;
/// The volume has 2 GiB, of which the cache may take 60 %: a small one, with a large reserve.
const VOLUME: usize = 2048 * MIB;
/// Written by each build into a layer of its own: 3 GiB in all.
const LAYER: usize = 128 * MIB;
const BUILDS: usize = 24;
/// Builds come in bursts: above this the next waits for garbage collection, as after a while without builds.
const HIGH: usize = VOLUME / 100 * 78;

fn used(namespace: &Namespace, pod: &str) -> Result<usize> {
    let df = [
        "exec",
        pod,
        "-c",
        "buildkitd",
        "--",
        "df",
        "-Pk",
        "/var/lib/buildkit",
    ];
    let df = namespace.kubectl(&df)?;
    let line = df.lines().nth(1).context("no line")?;
    let used = line.split_whitespace().nth(2).context("no column")?;
    Ok(used.parse::<usize>()? * 1024)
}

fn cache_mount(log: &str) -> Option<&str> {
    let line = log.lines().find(|line| line.contains(" mount: "))?;
    line.split(" mount: ").nth(1)
}

#[test]
fn a_full_volume_fails_no_build_and_keeps_todays_cache_mount() -> Result<()> {
    let namespace = Namespace::new("full")?;
    let inputs = [
        ("namespace", "full"),
        ("storage-class", "small"),
        ("storage", "2Gi"),
    ];
    let mut runner = Runner::new()?;
    let pod = runner.connect(&inputs)?.ok()?.outputs["agent"].clone();
    // Not zeros: they would be stored as nothing.
    let fill = "RUN --mount=type=cache,target=/cache head -c 64m /dev/urandom > /cache/kept";
    runner.build(fill)?;
    let mut kept = None;
    for number in 0..BUILDS {
        let log = runner.build(&format!(
            "RUN --mount=type=cache,target=/cache echo {number}; echo mount: $(cksum < /cache/kept)\n\
             RUN head -c {LAYER} /dev/urandom > /layer"
        ));
        let log = log.with_context(|| format!("build {number} of {BUILDS}"))?;
        let mount = cache_mount(&log).context("no mount")?.to_owned();
        let first = kept.get_or_insert_with(|| mount.clone());
        ensure!(
            *first == mount,
            "build {number} found another cache mount: {mount}, not {first}"
        );
        if used(&namespace, &pod)? > HIGH {
            collected(&namespace, &pod)?;
        }
    }
    let told = Runner::new()?.connect(&inputs)?.ok()?;
    ensure!(told.log.contains("its volume: "), "{}", told.log);

    // Something else fills it: connect warns.
    let filler = "cd /var/lib/buildkit; n=$(df -Pm . | tail -1 | awk '{print $4}'); \
                  dd if=/dev/zero of=filler bs=1M count=$((n - 40)) 2>&1";
    namespace.kubectl(&["exec", &pod, "-c", "buildkitd", "--", "sh", "-c", filler])?;
    let told = Runner::new()?.connect(&inputs)?.ok()?;
    ensure!(
        told.log.contains("::warning title=Cache volume almost full::"),
        "{}",
        told.log
    );

    // To its last byte: builds say so, and go on when there is room.
    let fill = "dd if=/dev/zero of=/var/lib/buildkit/last bs=4k 2>/dev/null; sync";
    namespace.kubectl(&["exec", &pod, "-c", "buildkitd", "--", "sh", "-c", fill])?;
    let mut late = Runner::new()?;
    late.connect(&inputs)?.ok()?;
    let layer = "RUN head -c 8m /dev/urandom > /layer";
    let failed = late.build(layer).expect_err("no room");
    ensure!(
        format!("{failed:#}").contains("no space left on device"),
        "{failed:#}"
    );
    let clear = "rm /var/lib/buildkit/filler /var/lib/buildkit/last";
    namespace.kubectl(&["exec", &pod, "-c", "buildkitd", "--", "sh", "-c", clear])?;
    late.build(layer)?;
    Ok(())
}

/// Waits until garbage collection has made room. It runs once a minute at most.
fn collected(namespace: &Namespace, pod: &str) -> Result<()> {
    for _ in 0..100 {
        if used(namespace, pod)? < VOLUME / 100 * 65 {
            return Ok(());
        }
        thread::sleep(Duration::from_secs(1));
    }
    anyhow::bail!(
        "nothing was collected: {} MiB are used",
        used(namespace, pod)? / MIB
    )
}
