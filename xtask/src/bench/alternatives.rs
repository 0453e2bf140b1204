//! The alternatives that are compared: this program, a step written by hand, buildx's own driver.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::State;
use serde_json::{Value, json};

use super::measure::{Sample, measure};

/// A job on the lab that uses this program.
pub(crate) struct Runner<'a> {
    pub(crate) state: &'a State,
    binary: PathBuf,
    dir: tempfile::TempDir,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(state: &'a State, binary: &Path) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        for name in ["home", "temp", "context"] {
            std::fs::create_dir(dir.path().join(name))?;
        }
        write_context(&dir.path().join("context"), state)?;
        Ok(Self {
            state,
            binary: binary.to_owned(),
            dir,
        })
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns a command in this job's environment, with the home directory of this name.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>, home: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(self.state.client_env())
            .env("HOME", self.at(home))
            .env("RUNNER_TEMP", self.at("temp"))
            .current_dir(self.dir.path());
        command
    }

    fn connect_to(&self, name: &str) -> Command {
        let mut command = self.command(&self.binary, "home");
        command
            .args([
                "connect",
                "--cluster",
                &self.state.cluster,
                "--name",
                name,
                "--role-to-assume",
            ])
            .arg(format!("arn:aws:iam::{}:role/ci", self.state.account));
        command
    }

    /// Returns a connect with its own home directory, which AWS and the cluster log under the name of `run`.
    pub(crate) fn connect_as(&self, run: &str, number: usize, agent: &str) -> Result<Command> {
        let home = self.at(&format!("{run}-{number}"));
        let temp = home.join("temp");
        std::fs::create_dir_all(&temp)?;
        let mut command = self.connect_to(agent);
        command
            .env("HOME", &home)
            .env("RUNNER_TEMP", &temp)
            .env("GITHUB_REPOSITORY", run)
            .env("GITHUB_RUN_ID", number.to_string())
            .env("AWS_SDK_UA_APP_ID", format!("{run}-{number}"));
        Ok(command)
    }

    pub(crate) fn destroy(&self, agent: &str) -> Result<Sample> {
        let mut command = self.command(&self.binary, "home");
        command.args([
            "destroy",
            "--yes",
            "--cluster",
            &self.state.cluster,
            "--name",
            agent,
        ]);
        command.arg("--role-to-assume");
        measure(command.arg(format!("arn:aws:iam::{}:role/ci", self.state.account)))
    }

    pub(crate) fn connect(&self) -> Result<Sample> {
        measure(&mut self.connect_to("remote-buildkit-agent"))
    }

    pub(crate) fn connect_absent(&self, number: usize) -> Result<Sample> {
        measure(&mut self.connect_to(&format!("absent-{number}")))
    }

    pub(crate) fn version(&self) -> Result<Sample> {
        measure(self.command(&self.binary, "home").arg("--version"))
    }

    pub(crate) fn token(&self) -> Result<Sample> {
        let session = self.kubeconfig()?.with_file_name("session.json");
        measure(
            self.command(&self.binary, "home")
                .args(["token", "--session"])
                .arg(session),
        )
    }

    pub(crate) fn rebuild(&self) -> Result<Sample> {
        self.build("context")
    }

    /// Builds the context in a directory of this name.
    pub(crate) fn build(&self, context: &str) -> Result<Sample> {
        self.buildx("home", &["build", context])
    }

    fn buildx(&self, home: &str, arguments: &[&str]) -> Result<Sample> {
        measure(
            self.command(self.state.bin.join("docker-buildx"), home)
                .args(arguments),
        )
    }

    /// Returns the kubeconfig of the latest connect.
    fn kubeconfig(&self) -> Result<PathBuf> {
        let current = self.at("home/.docker/buildx/current");
        let current: Value = serde_json::from_slice(&std::fs::read(current)?)?;
        let name = current["Name"].as_str().context("no builder is selected")?;
        Ok(self.at("temp").join(format!("builder-{name}/kubeconfig")))
    }

    /// Returns a builder for the same agent with a client certificate in its kubeconfig, so that no plugin is called.
    pub(crate) fn with_static_credential(&'a self) -> Result<Selected<'a>> {
        Selected::new(
            self,
            "static",
            &kubernetes(&self.state.admin_kubeconfig.to_string_lossy()),
        )
    }

    /// Returns a builder for a daemon's socket.
    pub(crate) fn with_socket(&'a self, socket: &Path) -> Result<Selected<'a>> {
        let endpoint = format!("unix://{}", socket.display());
        Selected::new(
            self,
            "socket",
            &Endpoint {
                driver: "remote",
                endpoint,
            },
        )
    }
}

fn write_context(dir: &Path, state: &State) -> Result<()> {
    let dockerfile = format!(
        "FROM {}/busybox\nRUN echo layer > /layer\nCOPY file /file\n",
        state.registry
    );
    std::fs::write(dir.join("Dockerfile"), dockerfile)?;
    Ok(std::fs::write(dir.join("file"), "content\n")?)
}

/// Where buildx reaches a daemon, and with which of its drivers.
struct Endpoint {
    driver: &'static str,
    endpoint: String,
}

/// Returns the endpoint of the agent for buildx's Kubernetes driver.
fn kubernetes(kubeconfig: &str) -> Endpoint {
    Endpoint {
        driver: "kubernetes",
        endpoint: format!("kubernetes:///remote-buildkit-agent?deployment=&kubeconfig={kubeconfig}"),
    }
}

/// A home directory whose builder is an instance file written by hand.
pub(crate) struct Selected<'a> {
    runner: &'a Runner<'a>,
    home: &'static str,
}

impl<'a> Selected<'a> {
    fn new(runner: &'a Runner<'a>, home: &'static str, endpoint: &Endpoint) -> Result<Self> {
        let this = Self { runner, home };
        this.write_instance(endpoint)?;
        this.select()?;
        Ok(this)
    }

    fn write_instance(&self, Endpoint { driver, endpoint }: &Endpoint) -> Result<()> {
        let instances = self.runner.at(self.home).join(".docker/buildx/instances");
        std::fs::create_dir_all(&instances)?;
        let options = match *driver {
            "kubernetes" => json!({"namespace": "buildkit"}),
            _ => json!({}),
        };
        let instance = json!({
            "Name": "remote-buildkit-agent", "Driver": driver,
            "Nodes": [{"Name": "remote-buildkit-agent", "Endpoint": endpoint, "DriverOpts": options}],
        });
        Ok(std::fs::write(
            instances.join("remote-buildkit-agent"),
            instance.to_string(),
        )?)
    }

    fn select(&self) -> Result<Sample> {
        self.runner.buildx(self.home, &["use", "remote-buildkit-agent"])
    }

    pub(crate) fn rebuild(&self) -> Result<Sample> {
        self.build("context")
    }

    /// Builds the context in a directory of this name.
    pub(crate) fn build(&self, context: &str) -> Result<Sample> {
        self.runner.buildx(self.home, &["build", context])
    }
}

/// The step that people write by hand: `aws eks update-kubeconfig`, the instance file, `docker buildx use`.
pub(crate) struct HandWritten<'a> {
    runner: &'a Runner<'a>,
    keys: Vec<(&'static str, String)>,
}

impl<'a> HandWritten<'a> {
    pub(crate) fn new(runner: &'a Runner<'a>) -> Result<Self> {
        let session = runner.kubeconfig()?.with_file_name("session.json");
        let session: Value = serde_json::from_slice(&std::fs::read(session)?)?;
        let key = |name: &str| {
            session["keys"][name]
                .as_str()
                .map(str::to_owned)
                .context("no key")
        };
        // The variables that configure-aws-credentials exports.
        let keys = vec![
            ("AWS_ACCESS_KEY_ID", key("access_key_id")?),
            ("AWS_SECRET_ACCESS_KEY", key("secret_access_key")?),
            ("AWS_SESSION_TOKEN", key("session_token")?),
        ];
        std::fs::create_dir_all(runner.at("by-hand"))?;
        Ok(Self { runner, keys })
    }

    fn with_keys(&self, mut command: Command) -> Command {
        // The kubeconfig's plugin is the `aws` on the PATH.
        let aws = self.runner.state.aws_cli.parent().unwrap_or(Path::new("/"));
        let path = format!(
            "{}:{}:/usr/bin:/bin",
            self.runner.state.bin.display(),
            aws.display()
        );
        command.envs(self.keys.iter().cloned()).env("PATH", path);
        command
    }

    pub(crate) fn step(&self) -> Result<Sample> {
        let state = self.runner.state;
        let aws = self.runner.command(&state.aws_cli, "by-hand");
        let mut aws = self.with_keys(aws);
        let updated = measure(aws.args([
            "eks",
            "update-kubeconfig",
            "--region",
            &state.region,
            "--name",
            &state.cluster,
        ]))?;
        let selected = Selected {
            runner: self.runner,
            home: "by-hand",
        };
        selected.write_instance(&kubernetes(""))?;
        let used = selected.select()?;
        Ok(Sample {
            wall: updated.wall + used.wall,
            cpu: updated.cpu + used.cpu,
            peak_mib: None,
        })
    }

    pub(crate) fn rebuild(&self) -> Result<Sample> {
        let buildx = self
            .runner
            .command(self.runner.state.bin.join("docker-buildx"), "by-hand");
        // `aws eks get-token` sends no request, but would write the emulator's address into the token.
        measure(
            self.with_keys(buildx)
                .env_remove("AWS_ENDPOINT_URL")
                .args(["build", "context"]),
        )
    }
}

/// buildx's own kubernetes driver, which creates its own Deployment.
pub(crate) struct BuildxDriver<'a> {
    runner: &'a Runner<'a>,
}

impl<'a> BuildxDriver<'a> {
    pub(crate) fn new(runner: &'a Runner<'a>) -> Self {
        Self { runner }
    }

    pub(crate) fn create(&self, number: usize) -> Result<Sample> {
        let name = format!("driver-{number}");
        let create = |arguments: &[&str]| {
            let mut buildx = self
                .runner
                .command(self.runner.state.bin.join("docker-buildx"), "driver");
            buildx
                .env("KUBECONFIG", &self.runner.state.admin_kubeconfig)
                .args(arguments);
            buildx
        };
        let sample = measure(&mut create(&[
            "create",
            "--driver",
            "kubernetes",
            "--name",
            &name,
            "--bootstrap",
        ]))?;
        let removed = create(&["rm", &name]).output()?;
        ensure!(removed.status.success(), "buildx rm failed");
        Ok(sample)
    }
}
