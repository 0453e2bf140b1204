//! A minimal machine at boot: it has only the program, which downloads buildx from a mirror and finds AWS keys as on a real
//! machine.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::thread;

use anyhow::{Context, Result, ensure};
use lab::Machine;
use sha2::{Digest, Sha256};

use super::{LAB, checkout, output, program, run};

/// A server with the lab's buildx, which ends with the process, and the checksum of buildx.
static MIRROR: LazyLock<(String, String)> = LazyLock::new(|| {
    let buildx = std::fs::read(LAB.bin.join("buildx")).expect("the lab's buildx");
    let sum = sum_of(&buildx);
    let listener = TcpListener::bind((LAB.ecr_ip.as_str(), 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut lines = BufReader::new(client.try_clone().expect("a stream")).lines();
            let request = lines.next().and_then(Result::ok).unwrap_or_default();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let file = if request.contains(NO_PROGRAM) {
                NO_PROGRAM.as_bytes()
            } else {
                &buildx
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                file.len()
            );
            let _gone = client
                .write_all(head.as_bytes())
                .and_then(|()| client.write_all(file));
        }
    });
    (format!("http://{address}/buildx"), sum)
});

/// A path of the mirror, and its content: a file that is not a program.
const NO_PROGRAM: &str = "/no-program";

fn sum_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Returns the URL of the lab's buildx, which the machines of the lab can download, and its checksum.
pub(crate) fn buildx_download() -> (&'static str, &'static str) {
    let (url, sum) = &*MIRROR;
    (url, sum)
}

/// The path of the program before it installs itself.
pub(crate) const DOWNLOADED: &str = "/opt/remote-buildkit";

pub(crate) struct BareMachine {
    pub(crate) machine: Machine,
    namespace: String,
    /// Variables of the machine and of each job on it.
    pub(crate) env: Vec<(String, String)>,
    /// The flags of the cluster and of the identity.
    pub(crate) cluster_flags: Vec<String>,
}

impl BareMachine {
    /// Creates a machine with an instance profile, whose agent is in this namespace.
    pub(crate) fn new(namespace: &str) -> Result<Self> {
        let machine = Machine::new(&LAB)?;
        machine.install(&program(), DOWNLOADED)?;
        let variables = [
            ("AWS_ENDPOINT_URL", LAB.aws_endpoint.as_str()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &LAB.aws_endpoint),
        ];
        Ok(Self {
            machine,
            namespace: namespace.to_owned(),
            env: variables
                .into_iter()
                .chain(lab::NO_REQUESTS)
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            cluster_flags: vec![
                format!("--cluster={}", LAB.cluster),
                format!("--region={}", LAB.region),
            ],
        })
    }

    pub(crate) fn install_docker_cli(&self) -> Result<()> {
        self.machine
            .install(&LAB.bin.join("docker"), "/usr/local/bin/docker")
    }

    /// Returns the flags of `runner`.
    pub(crate) fn flags(&self) -> Vec<String> {
        let (mirror, sum) = &*MIRROR;
        // The agent's pod resolves the host names of the lab's ECR.
        let names = serde_json::json!({"spec": {"template": {"spec": {
            "hostAliases": [{"ip": LAB.ecr_ip, "hostnames": [LAB.ecr]}]}}}});
        let mut flags = self.cluster_flags.clone();
        flags.extend([
            format!("--namespace={}", self.namespace),
            format!("--patch={names}"),
            format!("--buildx-url={mirror}"),
            format!("--buildx-sha256={sum}"),
        ]);
        flags
    }

    /// Returns flags for a file on the mirror that is not a program.
    pub(crate) fn no_program() -> [String; 2] {
        let (mirror, _) = &*MIRROR;
        [
            format!("--buildx-url={mirror}{NO_PROGRAM}"),
            format!("--buildx-sha256={}", sum_of(NO_PROGRAM.as_bytes())),
        ]
    }

    /// Returns the command of `runner` as root at boot.
    pub(crate) fn runner(&self, flags: &[&str]) -> Command {
        let mut command = self.machine.command(DOWNLOADED);
        command
            .arg("runner")
            .args(self.flags())
            .arg("--user=runner")
            .args(flags);
        command.envs(self.env.iter().cloned());
        command
    }

    /// Runs `runner`, which must succeed, and returns its log.
    pub(crate) fn set_up(&self, flags: &[&str]) -> Result<String> {
        run(&mut self.runner(flags))
    }

    /// Runs `runner`, which must fail, and returns its log.
    pub(crate) fn setup_fails(&self, flags: &[&str]) -> Result<String> {
        let output = output(&mut self.runner(flags))?;
        let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.code() == Some(1), "{:?}: {log}", output.status);
        Ok(log)
    }

    /// Checks that the machine has the same files as before.
    pub(crate) fn ensure_unchanged(&self, before: &lab::Tree) -> Result<()> {
        let differences = self.machine.tree()?.differences(before);
        ensure!(differences.is_empty(), "changed: {differences:?}");
        Ok(())
    }

    /// Runs `runner --remove` and returns its log.
    pub(crate) fn remove(&self) -> Result<String> {
        let mut command = self.machine.command(DOWNLOADED);
        command.args(["runner", "--remove", "--user=runner"]);
        run(&mut command)
    }

    /// Runs a step of a job: a shell script of the user.
    pub(crate) fn run_script(&self, script: &str) -> Result<String> {
        let mut command = self.machine.as_user("/bin/sh");
        command.args(["-ec", script]).envs(self.env.iter().cloned());
        let output = output(&mut command)?;
        let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "{script}: {log}");
        Ok(log)
    }

    /// Runs a job of these steps with act, as the user. act, node and the action belong to the runner, not to the machine: they
    /// are in /tmp, which is not compared.
    pub(crate) fn run_job(&self, steps: &str) -> Result<String> {
        let workflow = format!("on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n{steps}");
        let checkout = checkout(&[(".github/workflows/build.yml", &workflow)])?;
        let mut copy = Command::new("cp");
        run(copy
            .arg("-rT")
            .arg(checkout.path())
            .arg(self.machine.host_path("/tmp/job")))?;
        self.machine.install(&LAB.bin.join("act"), "/tmp/bin/act")?;
        self.machine
            .install(&LAB.node24_bin.join("node"), "/tmp/bin/node")?;
        self.machine.chown_to_user("/tmp/job")?;
        let path = "export PATH=$PATH:/tmp/bin; exec act \"$@\"";
        let mut act = self.machine.as_user("/bin/sh");
        act.args([
            "-c",
            path,
            "sh",
            "push",
            "-C",
            "/tmp/job",
            "-P",
            "ubuntu-latest=-self-hosted",
        ])
        .arg("--no-cache-server")
        .envs(self.env.iter().cloned())
        .envs([
            ("XDG_CACHE_HOME", "/tmp/cache"),
            ("XDG_CONFIG_HOME", "/tmp/config"),
            ("ACT_DISABLE_VERSION_CHECK", "1"),
        ]);
        let output = output(&mut act)?;
        let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "{log}");
        Ok(log)
    }

    /// Creates a checkout with a Dockerfile on the lab's base image.
    pub(crate) fn repository(&self, instructions: &str) -> Result<()> {
        let dockerfile = format!("FROM {}/busybox\n{instructions}\n", LAB.registry);
        self.machine
            .write("/home/runner/work/Dockerfile", dockerfile, 0o644)?;
        self.machine.chown_to_user("/home/runner/work")
    }

    /// A file of the user's, as JSON.
    pub(crate) fn json(&self, path: &str) -> Result<serde_json::Value> {
        let path: PathBuf = self.machine.host_path("/home/runner").join(path);
        let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }
}
