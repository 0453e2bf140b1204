//! `cargo xtask dist`: builds the binaries in dist/. The build is reproducible: any checkout of the same sources gives the same
//! bits.

mod binary;
mod recipe;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use ring::digest::{Context as Hasher, SHA256, digest};

use crate::tool::root;
use toolchain::Toolchain;

#[derive(Debug, clap::Args)]
pub(crate) struct DistArgs {
    /// Build again and compare with the committed binaries, if the recorded toolchain is installed
    #[arg(long)]
    check: bool,
    /// With --check: fail if the binaries cannot be compared, and compare even if they were before; for releases
    #[arg(long, requires = "check")]
    strict: bool,
    /// Only download the recorded toolchain
    #[arg(long, conflicts_with = "check")]
    fetch: bool,
}

struct Target {
    triple: &'static str,
    zig: &'static str,
    binary: &'static str,
    /// `e_machine` of its ELF header.
    machine: u16,
    /// The emulator that runs it on a machine of another architecture, if installed.
    emulator: &'static str,
}

const TARGETS: [Target; 2] = [
    Target {
        triple: "x86_64-unknown-linux-musl",
        zig: "x86_64-linux-musl",
        binary: "remote-buildkit-linux-x64",
        machine: 62,
        emulator: "qemu-x86_64-static",
    },
    Target {
        triple: "aarch64-unknown-linux-musl",
        zig: "aarch64-linux-musl",
        binary: "remote-buildkit-linux-arm64",
        machine: 183,
        emulator: "qemu-aarch64-static",
    },
];

const SUMS: &str = "SHA256SUMS";
/// The file with hashes of the sources and tools of the binaries.
const BUILT_FROM: &str = "BUILT-FROM";

pub(crate) fn run(args: &DistArgs) -> Result<()> {
    let dirs = Dirs::of(&root());
    match args {
        DistArgs { fetch: true, .. } => dirs.fetch().map(drop),
        DistArgs {
            check: true, strict, ..
        } => dirs.check(*strict),
        DistArgs { .. } => dirs.build(),
    }
}

/// The directories of a build.
struct Dirs {
    root: PathBuf,
    dist: PathBuf,
    work: PathBuf,
}

impl Dirs {
    fn of(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            dist: root.join("dist"),
            work: root.join("target/dist"),
        }
    }

    fn fetch(&self) -> Result<Toolchain> {
        Toolchain::fetch(&self.work, &TARGETS.map(|target| target.triple))
            .context("could not download the toolchain of dist/")
    }

    fn build(&self) -> Result<()> {
        let toolchain = self.fetch()?;
        let built_from = self.built_from()?;
        recipe::build(
            &self.root,
            &toolchain,
            &self.sources()?,
            &self.work.join("build"),
            &self.dist,
        )?;
        for target in &TARGETS {
            binary::check(target, &self.dist.join(target.binary))?;
        }
        fs::write(self.dist.join(SUMS), sums(&self.dist)?)?;
        fs::write(self.dist.join(BUILT_FROM), built_from)?;
        Ok(())
    }

    fn check(&self, strict: bool) -> Result<()> {
        for target in &TARGETS {
            binary::check(target, &self.dist.join(target.binary))?;
            self.check_git_mode(target)?;
        }
        let sums = sums(&self.dist)?;
        ensure!(
            read(&self.dist.join(SUMS))? == sums,
            "dist/{SUMS} does not match the binaries in dist/; build them with `cargo xtask dist`"
        );

        let not_compared = |why: String| {
            let text = format!("dist/ was NOT compared with a new build: {why}");
            ensure!(!strict, "{text}");
            println!("{text}");
            Ok(())
        };
        if read(&self.dist.join(BUILT_FROM))? != self.built_from()? {
            return not_compared(format!(
                "the sources or tools have changed since dist/ was built (dist/{BUILT_FROM}); build it with `cargo xtask dist`"
            ));
        }
        let toolchain = match Toolchain::find(&self.work, &TARGETS.map(|target| target.triple)) {
            Ok(toolchain) => toolchain,
            Err(why) => return not_compared(format!("{why:#}; download it with `cargo xtask dist --fetch`")),
        };
        // A build takes minutes, so the same sources, tools and binaries are compared only once on a machine.
        let stamp = self.work.join("compared");
        let identity = read(&self.dist.join(BUILT_FROM))? + &sums;
        if !strict && fs::read_to_string(&stamp).is_ok_and(|compared| compared == identity) {
            println!("dist/ was compared with a new build on this machine before and is identical\n{sums}");
            return Ok(());
        }
        let rebuilt = self.work.join("rebuilt");
        recipe::build(
            &self.root,
            &toolchain,
            &self.sources()?,
            &self.work.join("build"),
            &rebuilt,
        )?;
        for target in &TARGETS {
            if fs::read(self.dist.join(target.binary))? != fs::read(rebuilt.join(target.binary))? {
                bail!(
                    "dist/{} differs from {}",
                    target.binary,
                    rebuilt.join(target.binary).display()
                );
            }
        }
        fs::write(stamp, identity)?;
        println!("dist/ was compared with a new build and is identical\n{sums}");
        Ok(())
    }

    /// Checks that the file is executable in Git, because the runner executes it from its checkout.
    fn check_git_mode(&self, target: &Target) -> Result<()> {
        let mut ls = Command::new("git");
        ls.args(["ls-files", "--stage", "--", target.binary])
            .current_dir(&self.dist);
        let staged = output(&mut ls)?;
        ensure!(
            staged.is_empty() || staged.starts_with("100755 "),
            "dist/{0} is not executable in Git; run `git update-index --chmod=+x dist/{0}`",
            target.binary
        );
        Ok(())
    }

    /// Returns the hash of the sources of the binaries.
    fn sources(&self) -> Result<String> {
        let mut files = vec![PathBuf::from("Cargo.lock"), PathBuf::from("Cargo.toml")];
        for dir in ["crates", "examples/demo", "src", "vendor"] {
            list(&self.root, Path::new(dir), &mut files)?;
        }
        files.sort();
        let mut hasher = Hasher::new(&SHA256);
        for file in files {
            let bytes = fs::read(self.root.join(&file))?;
            // With lengths, so that different trees never give the same bytes.
            hasher.update(format!("{} {}\n", file.display(), bytes.len()).as_bytes());
            hasher.update(&bytes);
        }
        Ok(hex(hasher.finish().as_ref()))
    }

    fn built_from(&self) -> Result<String> {
        let recipe = digest(&SHA256, include_bytes!("dist/recipe.rs"));
        Ok(format!(
            "sources {}\nrecipe {}\n{}",
            self.sources()?,
            hex(recipe.as_ref()),
            Toolchain::recorded()
        ))
    }
}

fn list(root: &Path, dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root.join(dir))? {
        let entry = entry?;
        let path = dir.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(root, &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Returns the checksums in the format of `sha256sum`.
fn sums(dist: &Path) -> Result<String> {
    let mut sums = String::new();
    for target in &TARGETS {
        let bytes = fs::read(dist.join(target.binary))?;
        sums += &format!("{}  {}\n", hex(digest(&SHA256, &bytes).as_ref()), target.binary);
    }
    Ok(sums)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}

fn execute(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("could not start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let out = command
        .output()
        .with_context(|| format!("could not start {command:?}"))?;
    ensure!(
        out.status.success(),
        "{command:?} failed: {}: {}",
        out.status,
        String::from_utf8_lossy(&out.stderr).trim()
    );
    Ok(String::from_utf8(out.stdout)?)
}
