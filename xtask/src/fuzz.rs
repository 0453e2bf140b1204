//! `cargo xtask fuzz`: runs the fuzz targets with libFuzzer, starting from the committed seeds. Without the sanitizers of
//! cargo-fuzz: they find errors of `unsafe` code, which this project does not have, and need a nightly compiler.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use lab::cache::{Cache, Key};

use crate::tool::{cargo, root, spawn, stage};

const CARGO_FUZZ: &str = "0.13.2";

/// The short run of `cargo xtask test`: it mainly checks that all seeds still pass.
const SHORT: Pass = Pass {
    runs: 20_000,
    seconds: 10,
    profile: "--dev",
};

#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArgs {
    /// Number of inputs for each target
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// Maximum seconds for each target; 0 for no limit
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// A target in fuzz/targets; all of them by default
    target: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Pass {
    runs: u64,
    seconds: u64,
    /// An optimised build takes minutes longer, more than a short run gains.
    profile: &'static str,
}

pub(crate) fn run(args: &FuzzArgs) -> Result<()> {
    lab::cancel::watch()?;
    let all = targets()?;
    let chosen: Vec<String> = match &args.target {
        Some(target) => {
            ensure!(
                all.contains(target),
                "unknown target {target}; the targets are: {}",
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
    long.run(&chosen)
}

/// Runs all targets for a few seconds each.
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
            "fuzz/Cargo.lock is out of date; update it as CONTRIBUTING.md describes: {}",
            String::from_utf8_lossy(&locked.stderr)
        );
        stage("fuzz targets: build", &mut self.cargo_fuzz(&program, "build"))?;
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

    /// Runs one target. libFuzzer writes new inputs to a temporary directory, because people choose the seeds. The targets write
    /// their files there, too; it is in memory, which is faster.
    fn fuzz(self, program: &Path, target: &str) -> Result<()> {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        let found = dir.path().join("found");
        fs::create_dir(&found)?;
        let log = root().join(format!("target/fuzz/{target}.log"));
        let output = File::create(&log)?;
        let mut command = self.cargo_fuzz(program, "run");
        command
            .env("TMPDIR", dir.path())
            .arg(target)
            .args([found.as_path(), &Path::new("fuzz/seeds").join(target)])
            .arg("--")
            .arg(format!("-runs={}", self.runs))
            .arg(format!("-max_total_time={}", self.seconds))
            // An input takes less than a millisecond, so one that takes seconds hangs.
            .arg("-timeout=10")
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut child = spawn(&mut command)?;
        let status = lab::wait(&mut child)?;
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        ensure!(
            status.success(),
            "the fuzz target {target} failed ({status}):\n{}",
            tail(&text)
        );
        let done = text.lines().find(|line| line.starts_with("Done "));
        let done = done.with_context(|| format!("the fuzz target did not finish: {}", log.display()))?;
        eprintln!("   {target:16} {done}");
        Ok(())
    }
}

/// Returns the names of the targets, which are the names of their files.
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
        stage("cargo-fuzz: install", install.arg(dir))
    })?;
    Ok(dir.join("bin/cargo-fuzz"))
}

/// Returns the end of the log, with the panic and how to reproduce it.
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

    /// Fuzzing must run the code that is released.
    #[test]
    fn fuzz_dependencies_have_the_versions_of_the_program() -> Result<()> {
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
                "fuzz/Cargo.lock has {name} {version}, Cargo.lock has {ours:?}; update it as CONTRIBUTING.md describes"
            );
        }
        Ok(())
    }
}
