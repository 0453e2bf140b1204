//! The files of a release, and the script that installs one of them, with a server on the loopback interface.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use lab::{HttpResponse, HttpServer};
use regex_lite::Regex;

const PLATFORMS: [&str; 4] = ["linux-x64", "linux-arm64", "macos-x64", "macos-arm64"];

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("release").join(file)
}

fn write_program(path: &Path, script: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{script}\n"))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn run(command: &mut Command) -> Result<(Option<i32>, String)> {
    let output = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8(text)?))
}

/// A release whose programs print their platform, and a machine that installs it.
struct Release {
    dir: tempfile::TempDir,
    server: HttpServer,
}

impl Release {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let binaries = dir.path().join("binaries");
        fs::create_dir(&binaries)?;
        for platform in PLATFORMS {
            let program = binaries.join(format!("remote-buildkit-{platform}"));
            write_program(&program, &format!("echo remote-buildkit 1.2.3 on {platform}"))?;
        }
        let assets = dir.path().join("assets");
        let mut make = Command::new(source("assets.sh"));
        make.args(["v1.2.3", "acme/remote-buildkit"])
            .arg(binaries)
            .arg(&assets);
        let (code, log) = run(&mut make)?;
        ensure!(code == Some(0), "{log}");
        let server = HttpServer::start(move |request| {
            let file = ["/latest/download/", "/download/v1.2.3/"]
                .iter()
                .find_map(|prefix| request.target.strip_prefix(prefix));
            match file.and_then(|file| fs::read(assets.join(file)).ok()) {
                Some(content) => HttpResponse::new(200, content),
                None => HttpResponse::new(404, ""),
            }
        })?;
        Ok(Self { dir, server })
    }

    fn asset(&self, name: &str) -> PathBuf {
        self.dir.path().join("assets").join(name)
    }

    fn read(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.asset(name)).with_context(|| format!("no {name}"))
    }

    fn installed(&self) -> PathBuf {
        self.dir.path().join("bin/remote-buildkit")
    }

    /// Runs the release's install.sh on a machine with this operating system and processor.
    fn install(&self, system: &str, machine: &str, version: Option<&str>) -> Result<(Option<i32>, String)> {
        let fakes = self.dir.path().join("fakes");
        fs::create_dir_all(&fakes)?;
        write_program(
            &fakes.join("uname"),
            &format!("[ \"$1\" = -s ] && echo {system} || echo {machine}"),
        )?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut install = Command::new("sh");
        install
            .arg(self.asset("install.sh"))
            .env_clear()
            .env("PATH", format!("{}:{path}", fakes.display()))
            .env("HOME", self.dir.path())
            .env("INSTALL_DIR", self.dir.path().join("bin"))
            .env("BASE_URL", &self.server.url);
        if let Some(version) = version {
            install.env("VERSION", version);
        }
        let (code, log) = run(&mut install)?;
        let log = log
            .replace(&self.server.url, "BASE_URL")
            .replace(&*self.dir.path().to_string_lossy(), "$HOME");
        let log = Regex::new("[0-9a-f]{64}")?.replace_all(&log, "CHECKSUM");
        Ok((code, log.into_owned()))
    }
}

#[test]
fn install_script_installs_the_program_of_the_machine() -> Result<()> {
    let release = Release::new()?;
    for (system, machine, platform) in [
        ("Linux", "x86_64", "linux-x64"),
        ("Linux", "aarch64", "linux-arm64"),
        ("Darwin", "arm64", "macos-arm64"),
        ("Darwin", "x86_64", "macos-x64"),
    ] {
        for version in [None, Some("v1.2.3")] {
            let (code, log) = release.install(system, machine, version)?;
            ensure!(code == Some(0), "{log}");
            let printed = format!("remote-buildkit 1.2.3 on {platform}\n");
            let expected =
                format!("Installed $HOME/bin/remote-buildkit: {printed}Add $HOME/bin to your PATH.\n");
            assert_eq!(log, expected);
            assert_eq!(run(&mut Command::new(release.installed()))?, (Some(0), printed));
        }
    }
    let files = fs::read_dir(release.dir.path().join("bin"))?.count();
    assert_eq!(files, 1, "a temporary file is left");
    Ok(())
}

/// Each error, as it is printed. None of them installs anything.
#[test]
fn errors_of_the_install_script() -> Result<()> {
    let release = Release::new()?;
    let mut errors = Vec::new();
    let mut fails = |name: &str, outcome: (Option<i32>, String)| -> Result<()> {
        let (code, log) = outcome;
        ensure!(code == Some(1), "{name}: {code:?} {log}");
        ensure!(!release.installed().exists(), "{name} installed the program");
        // Versions of curl differ in the text of a 404.
        let log = Regex::new("got: .*")?.replace_all(&log, "got: WHY");
        errors.push(format!("{name}\n{log}"));
        Ok(())
    };
    fails(
        "no such release",
        release.install("Linux", "x86_64", Some("v9.9.9"))?,
    )?;
    fails("no version", release.install("Linux", "x86_64", Some("1.2.3"))?)?;
    fails("operating system", release.install("FreeBSD", "amd64", None)?)?;
    fails("processor", release.install("Linux", "riscv64", None)?)?;
    fs::copy(
        release.asset("remote-buildkit-linux-arm64.tar.gz"),
        release.asset("remote-buildkit-linux-x64.tar.gz"),
    )?;
    fails("another archive", release.install("Linux", "x86_64", None)?)?;
    let sums = release.read("SHA256SUMS")?;
    let others: Vec<&str> = sums.lines().filter(|line| !line.contains("linux-x64")).collect();
    fs::write(release.asset("SHA256SUMS"), others.join("\n"))?;
    fails("no checksum", release.install("Linux", "x86_64", None)?)?;
    insta::assert_snapshot!(errors.join("\n"));
    Ok(())
}

#[test]
fn release_files_have_the_checksums_of_the_archives() -> Result<()> {
    let release = Release::new()?;
    let sums = release.read("SHA256SUMS")?;
    let formula = release.read("remote-buildkit.rb")?;
    for platform in PLATFORMS {
        let archive = format!("remote-buildkit-{platform}.tar.gz");
        let line = sums.lines().find(|line| line.ends_with(&archive));
        let checksum = line
            .and_then(|line| line.split(' ').next())
            .context("no checksum")?;
        let url = format!("https://github.com/acme/remote-buildkit/releases/download/v1.2.3/{archive}");
        ensure!(
            formula.contains(&format!("url \"{url}\"\n      sha256 \"{checksum}\"")),
            "{archive} is not in {formula}"
        );
        let (_, listed) = run(Command::new("tar").arg("-tzf").arg(release.asset(&archive)))?;
        assert_eq!(listed, "LICENSE\nremote-buildkit\n");
    }
    for placeholder in ["org/remote-buildkit", "VERSION\"", "SHA256_"] {
        ensure!(
            !formula.contains(placeholder),
            "{placeholder} is left in {formula}"
        );
    }
    ensure!(
        !release.read("install.sh")?.contains("org/remote-buildkit"),
        "install.sh has no owner"
    );
    Ok(())
}

/// `cargo binstall` downloads the archives of a release.
#[test]
fn binstall_finds_an_archive_for_each_target() -> Result<()> {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))?;
    let section = manifest.split("[package.metadata.binstall").skip(1);
    let urls: BTreeSet<&str> = section
        .filter_map(|section| section.lines().find_map(|line| line.strip_prefix("pkg-url = ")))
        .collect();
    let expected: BTreeSet<String> = PLATFORMS
        .iter()
        .map(|platform| {
            format!("\"{{ repo }}/releases/download/v{{ version }}/remote-buildkit-{platform}.tar.gz\"")
        })
        .collect();
    assert_eq!(urls, expected.iter().map(String::as_str).collect());
    Ok(())
}
