//! A GitHub Actions runner as a step sees it: a home, a temporary directory, files for outputs, state and variables, and
//! inputs in the environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::snapshot::files;
use super::step::{Outcome, Step, record_seconds};
use super::{LAB, output, program, role, run};

/// A runner with its own home directory.
#[derive(Debug)]
pub(crate) struct Runner {
    dir: tempfile::TempDir,
    pub(crate) home: PathBuf,
    /// Variables of the job: those that earlier steps exported and those that a test sets.
    pub(crate) env: BTreeMap<String, String>,
    state: BTreeMap<String, String>,
}

impl Runner {
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let home = dir.path().join("home");
        std::fs::create_dir(&home)?;
        Self::assemble(dir, home)
    }

    /// Creates a second runner of the same user: its own temporary directory, the same home.
    pub(crate) fn with_home(home: &Path) -> Result<Self> {
        Self::assemble(tempfile::tempdir()?, home.to_owned())
    }

    fn assemble(dir: tempfile::TempDir, home: PathBuf) -> Result<Self> {
        std::fs::create_dir(dir.path().join("temp"))?;
        let plugins = home.join(".docker/cli-plugins");
        if !plugins.exists() {
            std::fs::create_dir_all(&plugins)?;
            std::os::unix::fs::symlink(LAB.bin.join("docker-buildx"), plugins.join("docker-buildx"))?;
        }
        let mut runner = Self {
            env: LAB.client_env().into_iter().collect(),
            dir,
            home,
            state: BTreeMap::new(),
        };
        let file = |name: &str| runner.dir.path().join(name).to_string_lossy().into_owned();
        let variables = [
            ("HOME", runner.home.to_string_lossy().into_owned()),
            ("RUNNER_TEMP", file("temp")),
            ("GITHUB_ACTIONS", "true".into()),
            ("GITHUB_OUTPUT", file("output")),
            ("GITHUB_ENV", file("env")),
            ("GITHUB_PATH", file("path")),
            ("GITHUB_STATE", file("state")),
            ("GITHUB_REPOSITORY", "acme/shop".into()),
            ("GITHUB_RUN_ID", "4711".into()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        runner.env.extend(variables);
        Ok(runner)
    }

    /// Returns the directory with the runner's files; without its home if it shares that with another runner.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn temp(&self) -> PathBuf {
        self.dir.path().join("temp")
    }

    /// Returns a command with only the job's environment.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.env).current_dir(self.dir.path());
        command
    }

    /// Returns the command of `connect` with only these inputs. The runner sets absent inputs to an empty value.
    pub(crate) fn connect_command_with_only(&self, inputs: &[(&str, &str)]) -> Command {
        let mut command = self.command(program());
        command.arg("connect").env("INPUT_CONTEXT", "");
        for (name, value) in inputs {
            command.env(format!("INPUT_{}", name.to_uppercase()), value);
        }
        command
    }

    /// Runs `connect` with the usual inputs for the lab's cluster and these.
    pub(crate) fn connect(&mut self, inputs: &[(&str, &str)]) -> Result<Outcome> {
        let outcome = self.step(self.connect_command(inputs))?;
        record_seconds(outcome.seconds)?;
        Ok(outcome)
    }

    /// Returns the command of `connect` with the usual inputs and these.
    pub(crate) fn connect_command(&self, inputs: &[(&str, &str)]) -> Command {
        let role = role("ci");
        let usual = [
            ("cluster", LAB.cluster.as_str()),
            ("region", LAB.region.as_str()),
            ("role-to-assume", role.as_str()),
        ];
        self.connect_command_with_only(&[&usual, inputs].concat())
    }

    /// Runs a step and reads what it exported.
    pub(crate) fn step(&mut self, command: Command) -> Result<Outcome> {
        let step = self.start(command)?;
        self.finish(step)
    }

    /// Starts a step.
    pub(crate) fn start(&self, mut command: Command) -> Result<Step> {
        self.reset_command_files()?;
        Step::start(&mut command)
    }

    /// Waits for a step and reads what it exported.
    pub(crate) fn finish(&mut self, step: Step) -> Result<Outcome> {
        let (status, log, seconds) = step.wait()?;
        Ok(Outcome {
            code: status.code(),
            log,
            outputs: self.read_command_files()?,
            seconds,
        })
    }

    /// Empties the files in which a step writes outputs, state and variables.
    pub(crate) fn reset_command_files(&self) -> Result<()> {
        for file in ["output", "env", "state", "path"] {
            std::fs::write(self.dir().join(file), "")?;
        }
        Ok(())
    }

    /// Removes what a successful connect exported to later steps: the post step cannot unset it, and a job ends with it.
    pub(crate) fn forget_exports(&mut self) {
        self.env.remove("BUILDX_BUILDER");
        self.env.remove("REMOTE_BUILDKIT_SESSION");
        let temp = self.temp();
        if let Some(path) = self.env.get_mut("PATH") {
            let kept: Vec<_> = std::env::split_paths(&*path)
                .filter(|dir| !dir.starts_with(&temp))
                .collect();
            let joined = std::env::join_paths(kept).expect("these are entries of a PATH");
            *path = joined.to_string_lossy().into_owned();
        }
    }

    /// Reads the state, variables and PATH entries that a step exported, even if it failed, and returns its outputs.
    pub(crate) fn read_command_files(&mut self) -> Result<BTreeMap<String, String>> {
        self.env.extend(self.file_commands("env")?);
        let dirs = std::fs::read_to_string(self.dir().join("path"))?;
        if let Some(path) = self.env.get_mut("PATH") {
            dirs.lines()
                .for_each(|dir| path.insert_str(0, &format!("{dir}:")));
        }
        self.state.extend(self.file_commands("state")?);
        self.file_commands("output")
    }

    /// Runs the post step.
    pub(crate) fn disconnect(&mut self) -> Result<Outcome> {
        let command = self.disconnect_command();
        self.step(command)
    }

    pub(crate) fn disconnect_command(&self) -> Command {
        let mut command = self.command(program());
        command.arg("disconnect");
        for (name, value) in &self.state {
            command.env(format!("STATE_{name}"), value);
        }
        command
    }

    /// Runs `docker buildx …` and returns its output.
    pub(crate) fn buildx(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(LAB.bin.join("docker-buildx"));
        let output = output(command.args(arguments))?;
        let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "buildx {arguments:?} failed: {log}");
        Ok(log)
    }

    /// Makes the clients on this runner trust the CA of the lab's registry, which those that access it directly need.
    pub(crate) fn trust_registry(&mut self) {
        let ca = LAB.registry_ca.to_string_lossy().into_owned();
        self.env.insert("SSL_CERT_FILE".into(), ca);
    }

    /// Builds these instructions on the lab's base image and returns the plain progress.
    pub(crate) fn build(&self, instructions: &str) -> Result<String> {
        let context = tempfile::tempdir()?;
        let dockerfile = format!("FROM {}/busybox\n{instructions}\n", LAB.registry);
        std::fs::write(context.path().join("Dockerfile"), dockerfile)?;
        self.buildx(&["build", "--progress", "plain", &context.path().to_string_lossy()])
    }

    /// Exports the AWS keys of a role, as the step configure-aws-credentials does.
    pub(crate) fn export_keys(&mut self, of_role: &str) -> Result<()> {
        let mut curl = Command::new("curl");
        let bearer = format!("Authorization: Bearer {}", LAB.oidc_request_token);
        curl.args(["-sf", "-H", &bearer]);
        let answer = run(curl.arg(format!("{}&audience=sts.amazonaws.com", LAB.oidc_url)))?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let mut cli = self.command(&LAB.aws_cli);
        cli.args(["sts", "assume-role-with-web-identity"])
            .args(["--role-session-name", "exported", "--role-arn"])
            .arg(role(of_role))
            .args(["--web-identity-token", answer["value"].as_str().context("a JWT")?]);
        let keys: serde_json::Value = serde_json::from_str(&run(&mut cli)?)?;
        for (variable, key) in [
            ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
            ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
            ("AWS_SESSION_TOKEN", "SessionToken"),
        ] {
            let value = keys["Credentials"][key].as_str().context("a key")?;
            self.env.insert(variable.into(), value.into());
        }
        Ok(())
    }

    /// Calls the credential helper as docker does, by its name on the PATH; returns its exit code and output.
    pub(crate) fn credential_helper(&self, action: &str, input: &str) -> Result<(Option<i32>, String)> {
        use std::io::Write;
        use std::process::Stdio;
        let mut command = self.command("docker-credential-remote-buildkit");
        command
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("starting the helper")?;
        child.stdin.take().context("stdin")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        let printed = String::from_utf8(output.stdout)?;
        Ok((output.status.code(), printed.trim_end().to_owned()))
    }

    /// Runs the exec plugin of the kubeconfig and returns the token.
    pub(crate) fn token(&self, kubeconfig: &Path) -> Result<String> {
        let credential = self.exec_credential(kubeconfig)?;
        let token = credential["status"]["token"].as_str();
        Ok(token.context("no token")?.to_owned())
    }

    /// Runs the exec plugin of the kubeconfig and returns its ExecCredential.
    pub(crate) fn exec_credential(&self, kubeconfig: &Path) -> Result<serde_json::Value> {
        let config: serde_json::Value = serde_json::from_slice(&std::fs::read(kubeconfig)?)?;
        let exec = &config["users"][0]["user"]["exec"];
        let mut command = self.command(exec["command"].as_str().context("command")?);
        for argument in exec["args"].as_array().into_iter().flatten() {
            command.arg(argument.as_str().context("argument")?);
        }
        Ok(serde_json::from_str(&run(&mut command)?)?)
    }

    /// Parses a file of `name<<delimiter` records.
    fn file_commands(&self, file: &str) -> Result<BTreeMap<String, String>> {
        let text = std::fs::read_to_string(self.dir.path().join(file))?;
        let mut found = BTreeMap::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let (name, delimiter) = line.split_once("<<").context("no delimiter")?;
            let value: Vec<&str> = lines.by_ref().take_while(|l| *l != delimiter).collect();
            found.insert(name.to_owned(), value.join("\n"));
        }
        Ok(found)
    }

    /// Returns every file below the home and the temporary directory with its content, without buildx's lock file, which is
    /// never removed because another process may hold it.
    pub(crate) fn tree(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let mut found = files(&self.home)?;
        found.extend(files(&self.temp())?);
        found.retain(|path, _| !path.ends_with(".lock"));
        Ok(found)
    }
}
