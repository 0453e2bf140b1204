//! A machine on which a test runs the program.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use lab::HttpServer;
use regex_lite::Regex;

/// A machine with an empty home and no network but the loopback interface.
pub struct Machine(tempfile::TempDir);

impl Machine {
    pub fn new() -> Result<Self> {
        let machine = Self(tempfile::tempdir()?);
        std::fs::create_dir(machine.path("bin"))?;
        Ok(machine)
    }

    /// Returns a machine with a buildx that prints this text for every command.
    pub fn with_buildx(prints: &str) -> Result<Self> {
        let machine = Self::new()?;
        machine.script("buildx", &format!("cat <<'END'\n{prints}\nEND"))?;
        Ok(machine)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    pub fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().context("a file in a directory")?)?;
        std::fs::write(&path, text)?;
        Ok(self.text(name))
    }

    /// Creates a program on the PATH.
    pub fn script(&self, name: &str, script: &str) -> Result<()> {
        // Not written by this process: another test may fork while it has the file open, and then exec fails (ETXTBSY).
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod +x "$2""#;
        let mut sh = Command::new("sh");
        let status = sh
            .args(["-c", write, "sh", script])
            .arg(self.path("bin").join(name))
            .status()?;
        ensure!(status.success(), "could not write {name}");
        Ok(())
    }

    /// Returns the program's command, typed by a person.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remote-buildkit"));
        let path = format!("{}:/usr/bin:/bin", self.text("bin"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .envs([
                ("PATH", path),
                ("HOME", self.text("")),
                ("XDG_RUNTIME_DIR", self.text("")),
            ])
            .env("AWS_EC2_METADATA_DISABLED", "true")
            // A DNS server that does not respond costs a second, not ten.
            .env("RES_OPTIONS", "timeout:1 attempts:1");
        command
    }

    /// Returns the command of `connect` to a cluster of EKS, with AWS keys in the environment.
    pub fn connect_to_eks(&self, aws: &HttpServer, cluster: &str, flags: &[&str]) -> Command {
        let usual = ["connect", "--cluster", cluster, "--region", "eu-west-1"];
        let mut command = self.command(&[&usual, flags].concat());
        command.envs([
            ("AWS_ENDPOINT_URL", aws.url.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ]);
        command
    }

    /// Returns the command of a step of a job, with these inputs.
    pub fn step(&self, command: &str, inputs: &[(&str, &str)]) -> Command {
        let mut command = self.command(&[command]);
        command.envs([
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REPOSITORY", "acme/shop"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_ACTION_REPOSITORY", "acme/remote-buildkit"),
            ("GITHUB_ACTION_REF", "v1"),
        ]);
        command.env("RUNNER_TEMP", self.path(""));
        for (name, value) in inputs {
            command.env(format!("INPUT_{}", name.to_uppercase()), value);
        }
        command
    }

    /// Runs a command and returns what it printed as an error: standard error for a person, annotations in a job.
    pub fn error(&self, mut command: Command) -> Result<String> {
        let output = command.stdin(std::process::Stdio::null()).output()?;
        let log = String::from_utf8(output.stdout)?;
        let annotations = log
            .lines()
            .filter(|line| line.starts_with("::error ") || line.starts_with("::warning "));
        let mut text = String::new();
        for line in annotations {
            text += &line.replace("%0A", "%0A\n");
            text.push('\n');
        }
        // Progress before it, of commands that print data to standard output.
        let log = String::from_utf8(output.stderr)?;
        text += log.find("error: ").map_or("", |start| &log[start..]);
        let code = output.status.code().context("a signal ended it")?;
        let dir = self.0.path().to_string_lossy().into_owned();
        let mut text = format!("{}exit code {code}\n", text.replace(&dir, "$HOME"));
        for (pattern, replacement) in [
            (r"agent-[0-9a-f]{8}\b", "agent-RANDOM"),
            (r"after \d+ attempts in \d+ s\b", "after N attempts in N s"),
            // Without any DNS server.
            (
                "Temporary failure in name resolution",
                "Name or service not known",
            ),
        ] {
            text = Regex::new(pattern)?.replace_all(&text, replacement).into_owned();
        }
        Ok(text)
    }
}

/// Returns a kubeconfig with one cluster and one user.
pub fn kubeconfig(server: &str, user: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: shop, \
         contexts: [{{name: shop, context: {{cluster: shop, user: ci}}}}], \
         clusters: [{{name: shop, cluster: {{server: \"{server}\"}}}}], users: [{{name: ci, user: {user}}}]}}"
    )
}
