//! Measures `matrix` in a large monorepo, and how much of it buildx and Git take.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::State;

use super::measure::{Sample, measure, median, repeat};

const TARGETS: usize = 1_000;
/// Files that belong to no target. With the targets' files, there are 100,000.
const FILES_OF_A_TARGET: usize = 100;

pub(crate) fn run(state: &State, binary: &Path, runs: usize) -> Result<()> {
    let repository = tempfile::tempdir()?;
    let root = repository.path();
    write(root)?;
    git(root, &["init", "--quiet", "--initial-branch=main"])?;
    commit(root)?;
    // A target on which ten others depend, and one on which none depends.
    std::fs::write(root.join("images/0/src/7.txt"), "changed\n")?;
    std::fs::write(root.join("images/999/src/7.txt"), "changed\n")?;
    commit(root)?;

    let command = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", root)
            .current_dir(root)
            .args(arguments);
        command
    };
    // buildx is searched for there.
    let plugins = root.join(".docker/cli-plugins");
    std::fs::create_dir_all(&plugins)?;
    let buildx = state.bin.join("docker-buildx");
    std::os::unix::fs::symlink(&buildx, plugins.join("docker-buildx"))?;
    let path = std::env::join_paths([state.bin.clone()].into_iter().chain(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    )))?;
    let ours = || {
        let mut command = command(binary, &["matrix", "--base=HEAD~1", "--json"]);
        command.env("PATH", &path);
        command
    };
    let planned = ours().output()?;
    let matrix: serde_json::Value = serde_json::from_slice(&planned.stdout)
        .with_context(|| String::from_utf8_lossy(&planned.stderr).into_owned())?;
    let legs = matrix["include"]
        .as_array()
        .context("the matrix has no `include`")?
        .len();
    ensure!(legs == 12, "12 targets are affected, the matrix has {legs}");

    let plan = repeat(runs, |_| measure(&mut ours()))?;
    let print = repeat(runs, |_| measure(&mut command(&buildx, &["bake", "--print"])))?;
    let diff = repeat(runs, |_| {
        measure(&mut command(Path::new("git"), &["diff", "--name-only", "HEAD~1"]))
    })?;
    let wall = |samples: &[Sample]| median(samples.iter().map(|s| s.wall));
    println!(
        "\nmatrix of {TARGETS} targets and {} files, medians of {runs} runs, seconds",
        TARGETS * FILES_OF_A_TARGET
    );
    let row =
        |what: &str, samples: &[Sample], goal: &str| println!("{what:66} {:9.3}   {goal}", wall(samples));
    row("matrix, changes by Git", &plan, "under 2");
    row("  of which buildx bake --print", &print, "");
    row("  of which git diff", &diff, "");
    let peak = plan.iter().filter_map(|s| s.peak_mib).fold(0.0, f64::max);
    println!("{:66} {peak:9.1}", "peak memory of matrix, MiB (sampled)");
    Ok(())
}

/// Writes the repository: a directory with a Dockerfile for each target; ten of them depend on the first one.
fn write(root: &Path) -> Result<()> {
    let mut bake = String::from("group \"default\" {\n  targets = [\n");
    for number in 0..TARGETS {
        let _ = writeln!(bake, "    \"image-{number}\",");
    }
    bake += "  ]\n}\n";
    for number in 0..TARGETS {
        let linked = (1..=10).contains(&number);
        let contexts = if linked {
            "\n  contexts = { base = \"target:image-0\" }"
        } else {
            ""
        };
        let _ = writeln!(
            bake,
            "target \"image-{number}\" {{\n  context = \"images/{number}\"\n  \
             tags = [\"registry.example.com/image-{number}\"]{contexts}\n}}"
        );
        let dir = root.join(format!("images/{number}"));
        std::fs::create_dir_all(dir.join("src"))?;
        std::fs::create_dir_all(dir.join("docs"))?;
        let from = if linked { "base" } else { "scratch" };
        let dockerfile = format!(
            "FROM {from} AS build\nARG DIR=src\nCOPY ${{DIR}} /src\n\
             FROM scratch\nCOPY --from=build /src /app\nCOPY *.json conf* /app/\n"
        );
        std::fs::write(dir.join("Dockerfile"), dockerfile)?;
        std::fs::write(dir.join(".dockerignore"), "docs\n**/*.md\n")?;
        std::fs::write(dir.join("conf.json"), format!("{{\"image\": {number}}}\n"))?;
        // Without the three files above.
        for file in 3..FILES_OF_A_TARGET {
            let place = if file % 4 == 0 { "docs" } else { "src" };
            std::fs::write(
                dir.join(format!("{place}/{file}.txt")),
                format!("{number} {file}\n"),
            )?;
        }
    }
    Ok(std::fs::write(root.join("docker-bake.hcl"), bake)?)
}

fn commit(root: &Path) -> Result<()> {
    git(root, &["add", "--all"])?;
    git(root, &["commit", "--quiet", "--message=Shop"])
}

fn git(root: &Path, arguments: &[&str]) -> Result<()> {
    let mut git = Command::new("git");
    git.args([
        "-c",
        "user.name=octocat",
        "-c",
        "user.email=octocat@example.com",
        "-c",
        "gc.auto=0",
    ]);
    measure(git.current_dir(root).args(arguments)).map(drop)
}
