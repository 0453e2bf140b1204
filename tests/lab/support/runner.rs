//! A runner of GitHub Actions as far as a step sees it: a home, a temporary folder, files for outputs, state and
//! variables, inputs in the environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::remains::files;
use super::step::{Outcome, Step, note};
use super::{LAB, output, program, role, run};

/// A runner with a home of its own.
#[derive(Debug)]
pub(crate) struct Runner {
    folder: tempfile::TempDir,
    pub(crate) home: PathBuf,
    /// Variables of the job: what earlier steps exported, and what a test sets.
    pub(crate) env: BTreeMap<String, String>,
    state: BTreeMap<String, String>,
}

impl Runner {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let home = folder.path().join("home");
        std::fs::create_dir(&home)?;
        Self::assemble(folder, home)
    }

    /// A second runner of the same user: its own temporary folder, the same home.
    pub(crate) fn sharing(home: &Path) -> Result<Self> {
        Self::assemble(tempfile::tempdir()?, home.to_owned())
    }

    fn assemble(folder: tempfile::TempDir, home: PathBuf) -> Result<Self> {
        std::fs::create_dir(folder.path().join("temp"))?;
        let plugins = home.join(".docker/cli-plugins");
        if !plugins.exists() {
            std::fs::create_dir_all(&plugins)?;
            std::os::unix::fs::symlink(LAB.bin.join("docker-buildx"), plugins.join("docker-buildx"))?;
        }
        let mut runner = Self {
            env: LAB.client_env().into_iter().collect(),
            folder,
            home,
            state: BTreeMap::new(),
        };
        let file = |name: &str| runner.folder.path().join(name).to_string_lossy().into_owned();
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

    /// All that is this runner's, unless its home is another one's.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn temp(&self) -> PathBuf {
        self.folder.path().join("temp")
    }

    /// A command with the job's environment and nothing else.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(&self.env)
            .current_dir(self.folder.path());
        command
    }

    /// The command of `connect` with these inputs; absent inputs are empty, as the runner has them.
    pub(crate) fn connect_command(&self, inputs: &[(&str, &str)]) -> Command {
        let mut command = self.command(program());
        command.arg("connect").env("INPUT_CONTEXT", "");
        for (name, value) in inputs {
            command.env(format!("INPUT_{}", name.to_uppercase()), value);
        }
        command
    }

    /// `connect`, with what a job on the lab's cluster gives it; `inputs` come on top.
    pub(crate) fn connect(&mut self, inputs: &[(&str, &str)]) -> Result<Outcome> {
        let step = self.start_connect(inputs)?;
        let outcome = self.finish(step)?;
        note(outcome.seconds)?;
        Ok(outcome)
    }

    /// Starts the same.
    pub(crate) fn start_connect(&self, inputs: &[(&str, &str)]) -> Result<Step> {
        self.start(self.usual_command(inputs))
    }

    /// The command of it.
    pub(crate) fn usual_command(&self, inputs: &[(&str, &str)]) -> Command {
        let role = role("ci");
        let usual = [
            ("cluster", LAB.cluster.as_str()),
            ("region", LAB.region.as_str()),
            ("role-to-assume", role.as_str()),
        ];
        self.connect_command(&[&usual, inputs].concat())
    }

    /// `connect` with these inputs alone.
    pub(crate) fn connect_with(&mut self, inputs: &[(&str, &str)]) -> Result<Outcome> {
        let command = self.connect_command(inputs);
        self.step(command)
    }

    /// Runs a step and takes over what it exported.
    pub(crate) fn step(&mut self, command: Command) -> Result<Outcome> {
        let step = self.start(command)?;
        self.finish(step)
    }

    /// Starts a step.
    pub(crate) fn start(&self, mut command: Command) -> Result<Step> {
        self.begin()?;
        Step::start(&mut command)
    }

    /// Waits for the end of a step and takes over what it exported.
    pub(crate) fn finish(&mut self, step: Step) -> Result<Outcome> {
        let (status, log, seconds) = step.end()?;
        Ok(Outcome {
            code: status.code(),
            log,
            outputs: self.take_over()?,
            seconds,
        })
    }

    /// Empties the files through which a step talks to the runner.
    pub(crate) fn begin(&self) -> Result<()> {
        for file in ["output", "env", "state", "path"] {
            std::fs::write(self.folder().join(file), "")?;
        }
        Ok(())
    }

    /// Takes over what a step exported, however it ended; returns its outputs.
    pub(crate) fn take_over(&mut self) -> Result<BTreeMap<String, String>> {
        self.env.extend(self.file_commands("env")?);
        let folders = std::fs::read_to_string(self.folder().join("path"))?;
        if let Some(path) = self.env.get_mut("PATH") {
            folders
                .lines()
                .for_each(|folder| path.insert_str(0, &format!("{folder}:")));
        }
        self.state.extend(self.file_commands("state")?);
        self.file_commands("output")
    }

    /// The post step.
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

    /// `docker buildx …`, of which plain progress and errors come back.
    pub(crate) fn buildx(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(LAB.bin.join("docker-buildx"));
        let output = output(command.args(arguments))?;
        let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "buildx {arguments:?} failed: {log}");
        Ok(log)
    }

    /// Has clients of this runner trust the lab's registry, as those that ask it themselves have to.
    pub(crate) fn trust_registry(&mut self) {
        let ca = LAB.registry_ca.to_string_lossy().into_owned();
        self.env.insert("SSL_CERT_FILE".into(), ca);
    }

    /// Builds these instructions on top of the lab's base image; plain progress comes back.
    pub(crate) fn build(&self, instructions: &str) -> Result<String> {
        let context = tempfile::tempdir()?;
        let dockerfile = format!("FROM {}/busybox\n{instructions}\n", LAB.registry);
        std::fs::write(context.path().join("Dockerfile"), dockerfile)?;
        self.buildx(&["build", "--progress", "plain", &context.path().to_string_lossy()])
    }

    /// Has the job the keys that a step such as configure-aws-credentials exports.
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

    /// Calls docker's credential helper as docker does, by its name on the PATH; its exit code and what it printed.
    pub(crate) fn helper(&self, action: &str, input: &str) -> Result<(Option<i32>, String)> {
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

    /// Calls the plugin as the kubeconfig says, and returns the token.
    pub(crate) fn plugin(&self, kubeconfig: &Path) -> Result<String> {
        let credential = self.credential(kubeconfig)?;
        let token = credential["status"]["token"].as_str();
        Ok(token.context("no token")?.to_owned())
    }

    /// What the plugin prints.
    pub(crate) fn credential(&self, kubeconfig: &Path) -> Result<serde_json::Value> {
        let config: serde_json::Value = serde_json::from_slice(&std::fs::read(kubeconfig)?)?;
        let exec = &config["users"][0]["user"]["exec"];
        let mut command = self.command(exec["command"].as_str().context("command")?);
        for argument in exec["args"].as_array().into_iter().flatten() {
            command.arg(argument.as_str().context("argument")?);
        }
        Ok(serde_json::from_str(&run(&mut command)?)?)
    }

    /// Reads a file of `name<<delimiter` records.
    fn file_commands(&self, file: &str) -> Result<BTreeMap<String, String>> {
        let text = std::fs::read_to_string(self.folder.path().join(file))?;
        let mut found = BTreeMap::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let (name, delimiter) = line.split_once("<<").context("no delimiter")?;
            let value: Vec<&str> = lines.by_ref().take_while(|l| *l != delimiter).collect();
            found.insert(name.to_owned(), value.join("\n"));
        }
        Ok(found)
    }

    /// Every file below the home and the temporary folder with its content; buildx's lock file, which is never
    /// removed because another process may hold it, left out.
    pub(crate) fn tree(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let mut found = files(&self.home)?;
        found.extend(files(&self.temp())?);
        found.retain(|path, _| !path.ends_with(".lock"));
        Ok(found)
    }
}
