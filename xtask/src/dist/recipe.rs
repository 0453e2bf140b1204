//! Builds the binaries so that they depend neither on the machine's paths nor on its own compilers.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::toolchain::{COMMIT, Toolchain};
use super::{TARGETS, execute};

/// Builds all targets in an empty target directory under `work`, and copies the binaries to `out`.
pub(super) fn build(
    root: &Path,
    toolchain: &Toolchain,
    sources: &str,
    work: &Path,
    out: &Path,
) -> Result<()> {
    let cargo_home = home("CARGO_HOME", ".cargo")?;
    let mut fetch = cargo(toolchain);
    fetch.args(["fetch", "--locked"]).current_dir(root);
    for target in TARGETS {
        fetch.args(["--target", target.triple]);
    }
    execute(&mut fetch)?;

    if work.exists() {
        fs::remove_dir_all(work)?;
    }
    fs::create_dir_all(work)?;
    let mut build = cargo(toolchain);
    build
        .args([
            "build",
            "--frozen",
            "--release",
            "--package=remote-buildkit",
            "--target-dir",
        ])
        .arg(work)
        .current_dir(root)
        // No variable of a developer or runner may reach a compiler.
        .env_clear()
        .envs(
            ["PATH", "HOME"]
                .into_iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .env("CARGO_HOME", &cargo_home)
        .env("RUSTUP_HOME", home("RUSTUP_HOME", ".rustup")?)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            rustflags(root, toolchain, work, &cargo_home)?,
        )
        .env("ZIG_GLOBAL_CACHE_DIR", work.join("zig"))
        .env("ZIG_LOCAL_CACHE_DIR", work.join("zig"))
        // What `--version` prints.
        .env("REMOTE_BUILDKIT_SOURCES", sources)
        .env("SOURCE_DATE_EPOCH", "0");
    if let Some(name) = &toolchain.rustup {
        build.env("RUSTUP_TOOLCHAIN", name);
    }
    for target in TARGETS {
        let suffix = target.triple.replace('-', "_");
        build
            .args(["--target", target.triple])
            .env(format!("CC_{suffix}"), zig_cc(work, &toolchain.zig, target.zig)?)
            .env(format!("AR_{suffix}"), zig_ar(work, &toolchain.zig)?);
    }
    execute(&mut build)?;

    fs::create_dir_all(out)?;
    for target in TARGETS {
        let built = work.join(target.triple).join("release/remote-buildkit");
        let binary = out.join(target.binary);
        fs::copy(&built, &binary).with_context(|| format!("could not copy {}", built.display()))?;
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))?;
    }
    Ok(fs::remove_dir_all(work)?)
}

fn cargo(toolchain: &Toolchain) -> Command {
    let mut cargo = Command::new("cargo");
    if let Some(name) = &toolchain.rustup {
        cargo.env("RUSTUP_TOOLCHAIN", name);
    }
    cargo
}

fn rustflags(root: &Path, toolchain: &Toolchain, work: &Path, cargo_home: &Path) -> Result<OsString> {
    let mut flags: Vec<OsString> = [
        "-Ctarget-feature=+crt-static",
        // The linker that comes with rustc, so that there is no other version to pin.
        "-Clinker=rust-lld",
        "-Clinker-flavor=ld.lld",
        // Packs half a megabyte of relocations; musl's start code reads the packed form.
        "-Clink-arg=-zpack-relative-relocs",
        // No index of stack frames for unwinding: a panic aborts.
        "-Clink-arg=--no-eh-frame-hdr",
        // One copy of functions with identical code.
        "-Clink-arg=--icf=all",
    ]
    .map(OsString::from)
    .into();
    let mut script = OsString::from("-Clink-arg=-T");
    script.push(no_unwinding(work)?);
    flags.push(script);
    let mut remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    };
    // If several prefixes match, rustc uses the last one.
    remap(root, "/remote-buildkit");
    remap(work, "/target");
    // The standard library is remapped already, but the component rust-src undoes it.
    remap(
        &toolchain.sysroot.join("lib/rustlib/src/rust"),
        &format!("/rustc/{COMMIT}"),
    );
    // One directory for each registry, named after its URL, which differs for a mirror.
    let registries = cargo_home.join("registry/src");
    for registry in
        fs::read_dir(&registries).with_context(|| format!("no crates in {}", registries.display()))?
    {
        remap(&registry?.path(), "/crates");
    }
    Ok(flags.join("\u{1f}".as_ref()))
}

/// Writes a linker script that discards the tables for unwinding. `-Cforce-unwind-tables=no` alone does nothing here: the debug
/// information of the standard library makes LLVM describe every frame, and the library's own functions require the
/// description in these sections. With INSERT the script adds to the linker's layout; without, it would replace it.
fn no_unwinding(work: &Path) -> Result<PathBuf> {
    let path = work.join("no-unwinding.ld");
    let sections = "*(.eh_frame) *(.gcc_except_table .gcc_except_table.*)";
    fs::write(
        &path,
        format!("SECTIONS {{ /DISCARD/ : {{ {sections} }} }} INSERT AFTER .text;\n"),
    )?;
    Ok(path)
}

/// Writes a wrapper of zig's C compiler. The crate cc passes clang's `--target`, whose triples zig does not know. Without
/// -fno-sanitize zig compiles checks into C code that is not optimized for speed.
fn zig_cc(work: &Path, zig: &Path, target: &str) -> Result<PathBuf> {
    let text = format!(
        r#"#!/bin/sh
for argument; do
  shift
  case $argument in
    --target=*) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec '{}' cc -target {target} -fno-sanitize=all "$@"
"#,
        zig.display()
    );
    script(work.join(format!("zig-cc-{target}")), &text)
}

fn zig_ar(work: &Path, zig: &Path) -> Result<PathBuf> {
    script(
        work.join("zig-ar"),
        &format!("#!/bin/sh\nexec '{}' ar \"$@\"\n", zig.display()),
    )
}

fn script(path: PathBuf, text: &str) -> Result<PathBuf> {
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn home(variable: &str, dir: &str) -> Result<PathBuf> {
    match std::env::var_os(variable).filter(|value| !value.is_empty()) {
        Some(dir) => Ok(dir.into()),
        None => Ok(Path::new(&std::env::var_os("HOME").context("HOME is not set")?).join(dir)),
    }
}
