//! A real volume that is filled past its limits.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::support::{Namespace, Runner};

const MIB: usize = 1 << 20;
/// The size of the volume. On a volume this small the reserve is large: the cache may use only 60 % of it.
const VOLUME: usize = 2048 * MIB;
/// The bytes that each build writes into its own layer, 3 GiB in total.
const LAYER: usize = 128 * MIB;
const BUILDS: usize = 24;
/// The usage above which the next build waits for garbage collection, as after a pause: builds come in bursts.
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
fn builds_work_on_a_full_volume_and_keep_todays_cache_mount() -> Result<()> {
    let namespace = Namespace::new("full")?;
    let inputs = [
        ("namespace", "full"),
        ("storage-class", "small"),
        ("storage", "2Gi"),
    ];
    let mut runner = Runner::new()?;
    let pod = runner.connect(&inputs)?.ok()?.outputs["agent"].clone();
    // Random data, because zeros would take no space.
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
            wait_for_collection(&namespace, &pod)?;
        }
    }
    let connected = Runner::new()?.connect(&inputs)?.ok()?;
    ensure!(connected.log.contains("its volume: "), "{}", connected.log);

    // If other data fills the volume, connect warns.
    let filler = "cd /var/lib/buildkit; n=$(df -Pm . | tail -1 | awk '{print $4}'); \
                  dd if=/dev/zero of=filler bs=1M count=$((n - 40)) 2>&1";
    namespace.kubectl(&["exec", &pod, "-c", "buildkitd", "--", "sh", "-c", filler])?;
    let connected = Runner::new()?.connect(&inputs)?.ok()?;
    ensure!(
        connected
            .log
            .contains("::warning title=Cache volume almost full::"),
        "{}",
        connected.log
    );

    // With no byte left, builds fail with a clear error, and work again once there is space.
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
fn wait_for_collection(namespace: &Namespace, pod: &str) -> Result<()> {
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
