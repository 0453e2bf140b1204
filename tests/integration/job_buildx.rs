//! The buildx of a job: the installed one, or a release that is installed for the job.

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use lab::{HttpResponse, HttpServer};
use sha2::{Digest as _, Sha256};

use crate::machine::{Machine, kubeconfig};

/// A release of buildx, as a script.
const RELEASE: &str = "#!/bin/sh\necho github.com/docker/buildx v0.99.0 0123abc\n";

/// A server with a release of buildx, and the number of downloads.
struct Mirror {
    server: HttpServer,
    downloads: Arc<AtomicUsize>,
}

impl Mirror {
    fn start(status: u16) -> Result<Self> {
        let downloads = Arc::new(AtomicUsize::new(0));
        let counter = downloads.clone();
        let server = HttpServer::start(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            HttpResponse::new(status, RELEASE)
        })?;
        Ok(Self { server, downloads })
    }

    /// Runs a step of a job that cannot reach its cluster, with a mirror of buildx.
    fn connect(&self, machine: &Machine, inputs: &[(&str, &str)]) -> Result<Output> {
        let config = machine.write("kubeconfig", &kubeconfig("http://127.0.0.1:1", "{token: t}"))?;
        let sum: String = Sha256::digest(RELEASE)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let usual = [
            ("kubeconfig", config.as_str()),
            ("timeout", "2s"),
            ("buildx-url", &self.server.url),
            ("buildx-sha256", &sum),
        ];
        let usual = usual
            .into_iter()
            .filter(|(name, _)| inputs.iter().all(|(given, _)| given != name));
        let inputs: Vec<_> = usual
            .chain(inputs.iter().copied().filter(|(_, value)| !value.is_empty()))
            .collect();
        let output = machine.step("connect", &inputs).output()?;
        // The cluster is never reached.
        ensure!(output.status.code() == Some(1), "{output:?}");
        Ok(output)
    }

    fn downloads(&self) -> usize {
        self.downloads.load(Ordering::Relaxed)
    }
}

fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const DONE: &str = "Installed buildx v0.99.0 for this job";

#[test]
fn missing_or_old_buildx_is_installed_and_removed_again() -> Result<()> {
    for installed in [
        None,
        Some("github.com/docker/buildx v0.36.1 0123abc"),
        Some("github.com/docker/buildx v0.12.0 0123abc"),
    ] {
        let mirror = Mirror::start(200)?;
        let machine = match installed {
            Some(prints) => Machine::with_buildx(prints)?,
            None => Machine::new()?,
        };
        let log = log(&mirror.connect(&machine, &[])?);
        ensure!(log.contains(DONE), "{installed:?}: {log}");
        ensure!(
            mirror.downloads() == 1,
            "{installed:?}: {} downloads",
            mirror.downloads()
        );
        ensure!(log.contains("::error title=Cannot reach the cluster"), "{log}");
        let left: Vec<_> = std::fs::read_dir(machine.path(""))?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<std::io::Result<_>>()?;
        ensure!(
            left.iter()
                .all(|name| !name.to_string_lossy().starts_with("builder-")),
            "{left:?}"
        );
        ensure!(
            !machine.path(".docker/config.json").exists(),
            "docker's config stays"
        );
    }
    Ok(())
}

#[test]
fn good_buildx_is_not_replaced() -> Result<()> {
    let mirror = Mirror::start(200)?;
    let machine = Machine::new()?;
    machine.script(
        "buildx",
        "echo call >> \"$HOME/calls\"; echo github.com/docker/buildx v0.37.0 0123abc",
    )?;
    let log = log(&mirror.connect(&machine, &[])?);
    ensure!(
        !log.contains("Installed buildx") && mirror.downloads() == 0,
        "{log}"
    );
    let calls = std::fs::read_to_string(machine.path("calls"))?;
    ensure!(calls == "call\n", "{calls}");
    Ok(())
}

#[test]
fn requested_version_is_installed() -> Result<()> {
    let mirror = Mirror::start(200)?;
    let machine = Machine::with_buildx("github.com/docker/buildx v0.37.0 0123abc")?;
    let version = [("buildx-version", "0.99.0")];
    let installed = log(&mirror.connect(&machine, &version)?);
    ensure!(installed.contains(DONE), "{installed}");

    let machine = Machine::with_buildx("github.com/docker/buildx v0.99.0 0123abc")?;
    let kept = log(&mirror.connect(&machine, &version)?);
    ensure!(
        !kept.contains("Installed buildx") && mirror.downloads() == 1,
        "{kept}"
    );
    Ok(())
}

/// A job whose installed buildx works goes on with it, with a warning.
#[test]
fn failed_download() -> Result<()> {
    let mirror = Mirror::start(404)?;
    let port = mirror.server.url.clone();
    let annotations = |output: &Output| -> String {
        let log = log(output)
            .replace(&port, "http://127.0.0.1:PORT")
            .replace("%0A", "%0A\n");
        let warning = log.find("::warning ").or_else(|| log.find("::error "));
        let text = &log[warning.unwrap_or(0)..];
        let end = text.find("\n::").unwrap_or(text.len());
        text[..end].lines().take(3).collect::<Vec<_>>().join("\n")
    };
    let mut texts = Vec::new();
    for (prints, version) in [
        ("v0.36.1", "auto"),
        ("v0.12.0", "auto"),
        ("v0.36.1", "0.99.0"),
        ("v0.36.1", "system"),
    ] {
        let machine = Machine::with_buildx(&format!("github.com/docker/buildx {prints} 0123abc"))?;
        let mut inputs = vec![("buildx-version", version)];
        if version == "system" {
            inputs.extend([("buildx-url", ""), ("buildx-sha256", "")]);
        }
        let output = mirror.connect(&machine, &inputs)?;
        texts.push(format!("== {prints}, {version}\n{}", annotations(&output)));
    }
    insta::assert_snapshot!(texts.join("\n\n"));
    Ok(())
}

/// On a command line the installed buildx is used, unless a version is requested.
#[test]
fn command_line_installs_nothing_by_itself() -> Result<()> {
    let mirror = Mirror::start(200)?;
    let machine = Machine::with_buildx("github.com/docker/buildx v0.36.1 0123abc")?;
    let config = machine.write("kubeconfig", &kubeconfig("http://127.0.0.1:1", "{token: t}"))?;
    let flags = ["connect", "--kubeconfig", &config, "--timeout=2s"];
    let url = format!("--buildx-url={}", mirror.server.url);
    let output = machine.command(&[&flags[..], &[&url]].concat()).output()?;
    let text = log(&output);
    ensure!(mirror.downloads() == 0, "{text}");
    let line = text
        .lines()
        .find(|line| line.contains("warning: "))
        .context(text.clone())?;
    let expected = "warning: The installed buildx is v0.36.1. Known bugs: it may send a build to a terminating pod \
                    (docker/buildx#3997). Update buildx, or set `--buildx-version=0.37.1`.";
    ensure!(line.trim() == expected, "{line}");
    Ok(())
}
