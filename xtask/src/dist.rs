//! `cargo xtask dist`: the binaries that the action carries, the same bits from any checkout of the same sources.

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
pub(crate) struct Args {
    /// Build again and compare with what is committed, where the recorded toolchain is present
    #[arg(long)]
    check: bool,
    /// With --check: fail where nothing could be compared, as before a release
    #[arg(long, requires = "check")]
    strict: bool,
    /// Only fetch the recorded toolchain
    #[arg(long, conflicts_with = "check")]
    fetch: bool,
}

struct Target {
    triple: &'static str,
    zig: &'static str,
    binary: &'static str,
    /// `e_machine` of its ELF header.
    machine: u16,
    /// What runs it on a machine of the other kind, if installed.
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
/// What the binaries were built from and with.
const BUILT_FROM: &str = "BUILT-FROM";

pub(crate) fn run(args: &Args) -> Result<()> {
    let dirs = Dirs::of(&root());
    match args {
        Args { fetch: true, .. } => dirs.fetch().map(drop),
        Args {
            check: true, strict, ..
        } => dirs.check(*strict),
        Args { .. } => dirs.build(),
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
            .context("could not get the toolchain that dist/ is built with")
    }

    fn build(&self) -> Result<()> {
        let toolchain = self.fetch()?;
        let built_from = self.built_from()?;
        recipe::build(&self.root, &toolchain, &self.work.join("build"), &self.dist)?;
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
            "dist/{SUMS} is not that of dist/"
        );

        let not_compared = |why: String| {
            let text = format!("dist/ was NOT built again and compared: {why}");
            ensure!(!strict, "{text}");
            println!("{text}");
            Ok(())
        };
        if read(&self.dist.join(BUILT_FROM))? != self.built_from()? {
            return not_compared(format!(
                "dist/{BUILT_FROM} names other sources or tools than these; `cargo xtask dist` builds it anew"
            ));
        }
        let toolchain = match Toolchain::find(&self.work, &TARGETS.map(|target| target.triple)) {
            Ok(toolchain) => toolchain,
            Err(why) => return not_compared(format!("{why:#}; `cargo xtask dist --fetch` gets it")),
        };
        // A build takes minutes, and that of the same sources by the same tools is known to be the same.
        let stamp = self.work.join("compared");
        let identity = read(&self.dist.join(BUILT_FROM))? + &sums;
        if !strict && fs::read_to_string(&stamp).is_ok_and(|compared| compared == identity) {
            println!("dist/ was built again and compared here before: the same, bit for bit\n{sums}");
            return Ok(());
        }
        let rebuilt = self.work.join("rebuilt");
        recipe::build(&self.root, &toolchain, &self.work.join("build"), &rebuilt)?;
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
        println!("dist/ was built again: the same, bit for bit\n{sums}");
        Ok(())
    }

    /// The runner executes the file as git checks it out.
    fn check_git_mode(&self, target: &Target) -> Result<()> {
        let mut ls = Command::new("git");
        ls.args(["ls-files", "--stage", "--", target.binary])
            .current_dir(&self.dist);
        let staged = output(&mut ls)?;
        ensure!(
            staged.is_empty() || staged.starts_with("100755 "),
            "dist/{} is not executable in git: git update-index --chmod=+x",
            target.binary
        );
        Ok(())
    }

    fn built_from(&self) -> Result<String> {
        let mut files = vec![PathBuf::from("Cargo.lock"), PathBuf::from("Cargo.toml")];
        for folder in ["crates", "src", "vendor"] {
            list(&self.root, Path::new(folder), &mut files)?;
        }
        files.sort();
        let mut hasher = Hasher::new(&SHA256);
        for file in files {
            let bytes = fs::read(self.root.join(&file))?;
            // Lengths, so that no two trees give the same stream of bytes.
            hasher.update(format!("{} {}\n", file.display(), bytes.len()).as_bytes());
            hasher.update(&bytes);
        }
        let recipe = digest(&SHA256, include_bytes!("dist/recipe.rs"));
        Ok(format!(
            "sources {}\nrecipe {}\n{}",
            hex(hasher.finish().as_ref()),
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

/// As `sha256sum` writes it.
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
