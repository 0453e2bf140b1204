//! `cargo xtask fuzz`: what reads foreign input, fed by libFuzzer from the committed seeds. The sanitizers that
//! cargo-fuzz offers look for what `unsafe` can do, of which there is none of ours, and want a nightly compiler.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::cache::{Cache, Key};

use crate::tool::{cargo, root, spawn, stage};

const CARGO_FUZZ: &str = "0.13.2";

/// What every run of the tests tries: mostly that all seeds still pass.
const SHORT: Bounds = Bounds {
    runs: 20_000,
    seconds: 20,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Inputs to try on each target
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// Seconds to spend on each target; 0 for as long as it takes
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// One of fuzz/targets; all of them by default
    target: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    runs: u64,
    seconds: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    lab::cancel::watch()?;
    let all = targets()?;
    let wanted: Vec<String> = match &args.target {
        Some(target) => {
            ensure!(
                all.contains(target),
                "no target {target}; there are: {}",
                all.join(", ")
            );
            vec![target.clone()]
        }
        None => all,
    };
    let bounds = Bounds {
        runs: args.runs,
        seconds: args.seconds,
    };
    pass(&wanted, bounds)
}

/// All targets, for as long as a test may take.
pub(crate) fn short() -> Result<()> {
    pass(&targets()?, SHORT)
}

fn pass(targets: &[String], bounds: Bounds) -> Result<()> {
    let program = install()?;
    // cargo-fuzz has no --locked.
    let manifest = [
        "metadata",
        "--format-version=1",
        "--locked",
        "--manifest-path",
        "fuzz/Cargo.toml",
    ];
    let locked = cargo(&manifest).output()?;
    ensure!(
        locked.status.success(),
        "fuzz/Cargo.lock is not of these dependencies; CONTRIBUTING.md says how to renew it: {}",
        String::from_utf8_lossy(&locked.stderr)
    );
    stage("fuzzers, built", &mut cargo_fuzz(&program, "build"))?;
    for target in targets {
        fuzz(&program, target, bounds)?;
    }
    Ok(())
}

/// Names of the targets: they are files of that name.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/targets"))? {
        names.extend(
            entry?
                .path()
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

fn install() -> Result<PathBuf> {
    let cache = Cache::from_env()?;
    let _lock = cache.lock()?;
    let dir = cache.entry(&Key::new(format!("cargo-fuzz {CARGO_FUZZ}")), |dir| {
        let mut install = cargo(&[
            "install",
            "cargo-fuzz",
            "--locked",
            "--version",
            CARGO_FUZZ,
            "--root",
        ]);
        stage("cargo-fuzz, installed", install.arg(dir))
    })?;
    Ok(dir.join("bin/cargo-fuzz"))
}

fn cargo_fuzz(program: &Path, command: &str) -> Command {
    let mut cargo_fuzz = Command::new(program);
    cargo_fuzz
        .current_dir(root())
        .args(["fuzz", command, "--sanitizer=none", "--target-dir=target/fuzz"]);
    cargo_fuzz
}

/// What libFuzzer finds of interest goes into a folder of its own: the seeds are for people to choose. Targets write
/// their files there, too, and are the faster for it in memory.
fn fuzz(program: &Path, target: &str, bounds: Bounds) -> Result<()> {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    let found = folder.path().join("found");
    fs::create_dir(&found)?;
    let log = root().join(format!("target/fuzz/{target}.log"));
    let output = File::create(&log)?;
    let mut command = cargo_fuzz(program, "run");
    command
        .env("TMPDIR", folder.path())
        .arg(target)
        .args([found.as_path(), &Path::new("fuzz/seeds").join(target)])
        .arg("--")
        .arg(format!("-runs={}", bounds.runs))
        .arg(format!("-max_total_time={}", bounds.seconds))
        // Nothing here takes milliseconds: what takes longer hangs.
        .args(["-timeout=10", "-print_final_stats=1"])
        .stdout(output.try_clone()?)
        .stderr(output);
    let mut child = spawn(&mut command)?;
    let status = lab::wait(&mut child)?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    ensure!(
        status.success(),
        "the fuzzer of {target} found something ({status}):\n{}",
        tail(&text)
    );
    let (runs, rate) = figures(&text).with_context(|| format!("no figures in {}", log.display()))?;
    eprintln!("   {target:16} {runs:>9} runs without a fault, {rate:>6} a second");
    Ok(())
}

/// Its end, with the panic and how to go on.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Inputs tried, and how many a second.
fn figures(log: &str) -> Option<(u64, u64)> {
    let figure = |name: &str| {
        let line = log.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().parse().ok()
    };
    Some((
        figure("stat::number_of_executed_units")?,
        figure("stat::average_exec_per_sec")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_libfuzzer() {
        let log = "Done 20000 runs in 2 second(s)\nstat::number_of_executed_units: 20000\n\
                   stat::average_exec_per_sec:     10000\nstat::new_units_added:          5\n";
        assert_eq!(figures(log), Some((20_000, 10_000)));
        assert_eq!(figures("error: could not compile"), None);
    }

    #[test]
    fn every_target_is_built_and_has_seeds() -> Result<()> {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml"))?;
        for target in targets()? {
            let built = format!("name = \"{target}\"\npath = \"targets/{target}.rs\"\n");
            assert!(manifest.contains(&built), "{target} is not built");
            let seeds = fs::read_dir(root().join("fuzz/seeds").join(&target))?;
            assert!(seeds.count() > 1, "{target} has no seeds");
        }
        Ok(())
    }

    /// Otherwise other code would be fuzzed than is shipped.
    #[test]
    fn the_fuzzers_have_the_versions_of_the_product() -> Result<()> {
        let packages = |path: &str| -> Result<Vec<(String, String)>> {
            let text = fs::read_to_string(root().join(path))?;
            let field = |package: &str, name: &str| {
                let line = package.lines().find_map(|line| line.strip_prefix(name))?;
                Some(line.strip_prefix(" = ")?.trim_matches('"').to_owned())
            };
            let found = text
                .split("[[package]]\n")
                .filter_map(|package| Some((field(package, "name")?, field(package, "version")?)));
            Ok(found.collect())
        };
        let product = packages("Cargo.lock")?;
        for (name, version) in packages("fuzz/Cargo.lock")? {
            let ours: Vec<&String> = product.iter().filter(|p| p.0 == name).map(|p| &p.1).collect();
            assert!(
                ours.is_empty() || ours.contains(&&version),
                "{name} {version} is fuzzed, {ours:?} shipped; CONTRIBUTING.md says how to renew fuzz/Cargo.lock"
            );
        }
        Ok(())
    }
}
