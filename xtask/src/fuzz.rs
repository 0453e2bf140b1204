//! `cargo xtask fuzz`: what reads foreign input, fed by libFuzzer from the committed seeds. The sanitizers that
//! cargo-fuzz offers look for what `unsafe` can do, of which there is none of ours, and want a nightly compiler.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use lab::cache::{Cache, Key};

use crate::tool::{cargo, root, spawn, stage};

const CARGO_FUZZ: &str = "0.13.2";

/// What every run of the tests tries: mostly that all seeds still pass.
const SHORT: Pass = Pass {
    runs: 20_000,
    seconds: 10,
    profile: "--dev",
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
struct Pass {
    runs: u64,
    seconds: u64,
    /// To optimise takes minutes, which a short pass does not make up for.
    profile: &'static str,
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
    let long = Pass {
        runs: args.runs,
        seconds: args.seconds,
        profile: "--release",
    };
    long.run(&wanted)
}

/// All targets, for as long as a test may take.
pub(crate) fn short() -> Result<()> {
    SHORT.run(&targets()?)
}

impl Pass {
    fn run(self, targets: &[String]) -> Result<()> {
        let program = install()?;
        // cargo-fuzz has no --locked.
        let manifest = ["--locked", "--manifest-path", "fuzz/Cargo.toml"];
        let mut metadata = cargo(&["metadata", "--format-version=1"]);
        let locked = metadata.args(manifest).output()?;
        ensure!(
            locked.status.success(),
            "fuzz/Cargo.lock is not of these dependencies; CONTRIBUTING.md says how to renew it: {}",
            String::from_utf8_lossy(&locked.stderr)
        );
        stage("fuzzers, built", &mut self.cargo_fuzz(&program, "build"))?;
        // One processor each.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let queue = Mutex::new(targets.iter());
        let worker = || -> Result<()> {
            while let Some(target) = queue.lock().ok().and_then(|mut targets| targets.next()) {
                self.fuzz(&program, target)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..processors).map(|_| scope.spawn(worker)).collect();
            let results = workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")));
            results.collect::<Result<()>>()
        })
    }

    fn cargo_fuzz(self, program: &Path, command: &str) -> Command {
        let mut cargo_fuzz = Command::new(program);
        cargo_fuzz
            .current_dir(root())
            .args(["fuzz", command, "--sanitizer=none", "--target-dir=target/fuzz"])
            .arg(self.profile);
        cargo_fuzz
    }

    /// What libFuzzer finds of interest goes into a folder of its own: the seeds are for people to choose. Targets write
    /// their files there, too, and are the faster for it in memory.
    fn fuzz(self, program: &Path, target: &str) -> Result<()> {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        let found = folder.path().join("found");
        fs::create_dir(&found)?;
        let log = root().join(format!("target/fuzz/{target}.log"));
        let output = File::create(&log)?;
        let mut command = self.cargo_fuzz(program, "run");
        command
            .env("TMPDIR", folder.path())
            .arg(target)
            .args([found.as_path(), &Path::new("fuzz/seeds").join(target)])
            .arg("--")
            .arg(format!("-runs={}", self.runs))
            .arg(format!("-max_total_time={}", self.seconds))
            // Nothing here takes milliseconds: what takes longer hangs.
            .arg("-timeout=10")
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
        let done = text.lines().find(|line| line.starts_with("Done "));
        let done = done.with_context(|| format!("it was not done: {}", log.display()))?;
        eprintln!("   {target:16} {done}");
        Ok(())
    }
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

/// Its end, with the panic and how to go on.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

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
