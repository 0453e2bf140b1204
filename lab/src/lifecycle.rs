//! Starts and stops a lab.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::architecture::Architecture;
use crate::aws::{self, Emulator};
use crate::control_plane::{ControlPlane, Pki};
use crate::ecr::{self, Ecr};
use crate::install::Installed;
use crate::process::{self, Daemons};
use crate::state::{self, State, link_programs};
use crate::{
    asset, binfmt, cgroup, command, images, kernel, network, node, progress, registry, sandbox, volumes,
};

/// The usual number of nodes: one of this machine's architecture and an arm64 one, for the features that need two nodes.
pub const NODES: usize = 2;

/// A running lab. Dropping it stops the lab if this process started it.
#[derive(Debug)]
pub struct Lab {
    state: Option<State>,
    ours: bool,
}

impl Lab {
    pub fn up(installed: &Installed, nodes: usize) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "the lab creates namespaces, mounts and cgroups: run it as root"
        );
        if let Some(owner) = network::owner() {
            bail!(
                "a lab is already running in {}; stop it with `cargo xtask lab down`",
                owner.display()
            );
        }
        for number in 1..=nodes {
            installed.images.of(Architecture::of_node(number))?;
        }
        let dir = State::default_dir();
        ensure!(
            !dir.exists(),
            "{} was left by an earlier lab; remove it with `cargo xtask lab down`",
            dir.display()
        );
        create_dir(&dir)?;
        // From here on an error drops `lab`, which stops what was started.
        let mut lab = Self {
            state: None,
            ours: true,
        };
        let state = progress::step("lab up", || start(&dir.canonicalize()?, installed, nodes))?;
        state.save()?;
        lab.state = Some(state);
        Ok(lab)
    }

    /// Returns the lab that `cargo xtask lab up` left running, or starts one. Removes first what is left of a lab whose run was
    /// killed or whose machine was rebooted.
    pub fn running_or_new(installed: &Installed) -> Result<Self> {
        match PreviousLab::of(&State::default_dir())? {
            PreviousLab::Running => {
                let state = Some(State::load()?);
                return Ok(Self { state, ours: false });
            }
            PreviousLab::Stopped => progress::step("remove an earlier lab", down)?,
            // `up` reports everything else.
            PreviousLab::None | PreviousLab::Partial => {}
        }
        Self::up(installed, NODES)
    }

    /// Returns the addresses and paths of the running lab.
    pub fn state(&self) -> Result<&State> {
        self.state.as_ref().context("the lab does not run")
    }

    /// Leaves the lab running, until `cargo xtask lab down`.
    pub fn keep(mut self) -> Result<State> {
        let state = self.state.take().context("the lab does not run")?;
        std::mem::forget(self);
        Ok(state)
    }
}

impl Lab {
    /// Stops the lab if this process started it, and returns the error that a drop would only print.
    pub fn end(mut self) -> Result<()> {
        if std::mem::take(&mut self.ours) {
            down()
        } else {
            Ok(())
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.ours {
            return;
        }
        if let Err(error) = down() {
            eprintln!("the lab could not be stopped cleanly: {error:#}");
        }
    }
}

/// The state of the lab in a directory.
#[derive(Debug, PartialEq, Eq)]
enum PreviousLab {
    None,
    /// All its daemons are running.
    Running,
    /// None of its daemons is running.
    Stopped,
    /// Some daemons are running: it is starting, stopping or broken.
    Partial,
}

impl PreviousLab {
    fn of(dir: &Path) -> Result<Self> {
        if !dir.exists() {
            return Ok(Self::None);
        }
        let daemons = Daemons::new(dir)?.list()?;
        let run = daemons.iter().filter(|(_, runs)| *runs).count();
        Ok(match run {
            0 => Self::Stopped,
            _ if run == daemons.len() && State::of(dir).is_ok() => Self::Running,
            _ => Self::Partial,
        })
    }
}

fn start(dir: &Path, installed: &Installed, nodes: usize) -> Result<State> {
    let bin = dir.join("bin");
    link_programs(&bin, &installed.programs()?)?;
    link_programs(&bin, &[("docker-buildx".into(), bin.join("buildx"))])?;
    let pki = Pki::make(&dir.join("pki"), nodes)?;
    let daemons = Daemons::new(dir)?;
    let plane = ControlPlane {
        daemons: &daemons,
        bin: &bin,
        dir,
        pki: &pki,
    };

    sandbox::make_mount_points(dir)?;
    kernel::allow_user_namespaces(dir)?;
    network::up(dir)?;
    plane.start_etcd()?;
    registry::start(
        &daemons,
        &bin,
        &dir.join("registry"),
        &installed.registry_authority,
    )?;
    let python = installed.python.join("bin/python");
    let request_token = random_token()?;
    let (ca, admin) = (pki.path("ca.crt"), pki.kubeconfig("admin"));
    let ecr = Ecr::start(&daemons, &bin, &dir.join("ecr"), &installed.registry_authority)?;
    let emulator = Emulator::start(
        &daemons,
        &dir.join("aws"),
        &python,
        &ca,
        &admin,
        &request_token,
        &ecr,
    )?;
    let webhook = plane.start_authenticator(&emulator)?;
    let audit_log = dir.join("log/audit.log");
    plane.start_api_server(&webhook, &audit_log)?;
    plane.start_controllers()?;

    let cni_plugins = installed.cni_plugins();
    let parts = node::NodeSetup {
        daemons: &daemons,
        bin: &bin,
        dir,
        pki: &pki,
        images: &installed.images,
        cni_plugins: &cni_plugins,
    };
    let manifests = fs::read_to_string(asset("cluster.yaml"))?;
    let mut offered = volumes::small(dir, 1)?;
    let mut started = Vec::new();
    // Registered with the kernel, so it affects every node: not for a lab with only the first node.
    let emulated = |of: &Architecture| (1..=nodes).any(|number| Architecture::of_node(number) == *of);
    if let Some(emulation) = installed.emulation.as_ref().filter(|e| emulated(&e.architecture)) {
        binfmt::register(dir, &emulation.qemu)?;
    }
    for number in 1..=nodes {
        let node = parts.start(number, nodes)?;
        offered.push_str(&volumes::directories(dir, &node.name)?);
        started.push(node);
    }
    let first = started.first().context("a lab has at least one node")?;
    parts.import(first, &installed.images.index)?;
    let mut push = parts.ctr(first);
    push.args(["images", "push", "--local", "--tlscacert"])
        .arg(&installed.registry_ca)
        .args([images::BASE, images::INDEX]);
    command::output(&mut push)?;
    // `create`, because `apply` would first get each of them.
    for objects in [&manifests, &offered] {
        command::feed(plane.kubectl().args(["create", "-f", "-"]), objects)?;
    }
    for node in &started {
        let mut ready = plane.kubectl();
        ready.args([
            "get",
            "node",
            &node.name,
            "-o",
            "jsonpath={.status.conditions[?(@.type=='Ready')].status}",
        ]);
        // A Command can be run repeatedly.
        let ready = std::cell::RefCell::new(ready);
        daemons.wait_for(&format!("kubelet-{}", node.name), "the node to be ready", || {
            command::output(&mut ready.borrow_mut()).is_ok_and(|status| status == "True")
        })?;
    }
    wait_for_controllers(&daemons, &plane)?;
    Ok(State {
        dir: dir.to_owned(),
        bin,
        admin_kubeconfig: admin,
        api_server: format!("https://{}:{}", network::GATEWAY, network::API_SERVER_PORT),
        registry: registry::address(),
        registry_ca: installed.registry_ca.clone(),
        aws_endpoint: Emulator::endpoint(),
        https_proxy: emulator.proxy(),
        proxy_ca: emulator.proxy_ca(),
        region: aws::REGION.into(),
        account: aws::ACCOUNT.into(),
        cluster: aws::CLUSTER.into(),
        ecr: ecr::host(aws::ACCOUNT, aws::REGION),
        ecr_ip: ecr::IP.into(),
        ecr_content: ecr::content(),
        pod_identity: Emulator::pod_identity(),
        pod_identity_token: aws::POD_TOKEN.into(),
        issuer: format!("https://{}", aws::ISSUER),
        bare: installed.bare.clone(),
        oidc_url: format!("{}/gha/idtoken?api-version=2.0", Emulator::endpoint()),
        oidc_request_token: request_token,
        audit_log,
        authenticator_log: daemons.log("authenticator"),
        node_modules: installed.npm.join("node_modules"),
        node24_bin: installed
            .npm
            .join("node_modules")
            .join(crate::packages::node_package()?)
            .join("bin"),
        python,
        aws_cli: installed.python.join("bin/aws"),
        nodes: started,
    })
}

/// Waits for the objects that controllers create and a job needs: the default service account of its namespace, and the
/// aggregated rules of the ClusterRole `admin`.
fn wait_for_controllers(daemons: &Daemons, plane: &ControlPlane<'_>) -> Result<()> {
    let may = [
        "auth",
        "can-i",
        "get",
        "deployments.apps",
        "--as=job",
        "--as-group=ci",
        "--quiet",
    ];
    for (what, question) in [
        (
            "the default service account",
            &["get", "serviceaccount", "default", "--namespace=buildkit"][..],
        ),
        ("the rules of the ClusterRole admin", &may),
    ] {
        daemons.wait_for("controller-manager", what, || {
            command::output(plane.kubectl().args(question)).is_ok()
        })?;
    }
    Ok(())
}

fn random_token() -> Result<String> {
    let mut bytes = [0_u8; 24];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    use base64::Engine as _;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

/// Creates the lab's directory, accessible only to root because it contains keys.
fn create_dir(dir: &Path) -> Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    let made = fs::DirBuilder::new().mode(0o700).create(dir);
    made.with_context(|| format!("could not create {}", dir.display()))?;
    let dir = dir.canonicalize()?;
    let unfit = |why: &str| {
        format!(
            "{} {why}; set {} to another directory",
            dir.display(),
            state::VARIABLE
        )
    };
    // `<dir>/node1/kubelet/device-plugins/kubelet.sock` and its like must fit into the address of a Unix socket.
    ensure!(
        dir.as_os_str().len() <= 60,
        unfit("is too long a path (at most 60 bytes)")
    );
    let kind = rustix::fs::statfs(&dir)?.f_type;
    ensure!(
        kind != OVERLAYFS,
        unfit("is on an overlayfs, which cannot be the base of another overlayfs")
    );
    Ok(())
}

/// OVERLAYFS_SUPER_MAGIC of linux/magic.h.
const OVERLAYFS: rustix::fs::FsWord = 0x794c_7630;

/// Returns the names of the lab's daemons, and whether each is running.
pub fn daemons() -> Result<Vec<(String, bool)>> {
    Daemons::new(&State::load()?.dir)?.list()
}

/// Stops a lab of this or an earlier process, also a partial one, and removes everything.
pub fn down() -> Result<()> {
    let dir = State::default_dir();
    let found = dir.exists();
    let dir = dir.canonicalize().unwrap_or(dir);
    let another = |owner: &PathBuf| *owner != dir && !owner.as_os_str().is_empty();
    if let Some(owner) = network::owner().filter(another) {
        bail!(
            "the running lab is in {}: set {} to that directory to stop it",
            owner.display(),
            state::VARIABLE
        );
    }
    if found {
        Daemons::new(&dir)?.stop_all()?;
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        // Shims outlive their containerd, and containers outlive their shims.
        let shims = process::with_argument(&format!("-address {}/", dir.display()));
        let left = [shims, cgroup::processes()].concat();
        left.iter().for_each(|pid| process::kill(*pid));
        unmount(&dir);
        let mounts = mounts(&dir);
        let disks = volumes::attached(&dir);
        if left.is_empty() && mounts.is_empty() && disks.is_empty() && cgroup::remove_all() {
            break;
        }
        ensure!(
            Instant::now() < deadline,
            "still there: processes {left:?}, mounts {mounts:?}, disks {disks:?}, or cgroups"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let failed = [network::down(&dir), binfmt::remove(&dir)].concat();
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    if found {
        kernel::restore(&dir)?;
        sandbox::remove_mount_points(&dir);
        fs::remove_dir_all(&dir).with_context(|| format!("could not remove {}", dir.display()))?;
    }
    Ok(())
}

fn unmount(dir: &Path) {
    for mount in mounts(dir) {
        let _gone = command::output(Command::new("umount").arg("-l").arg(mount));
    }
}

/// Returns the mounts below a directory, the innermost first.
fn mounts(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from);
    let mut below: Vec<PathBuf> = points.filter(|p| p.starts_with(dir)).collect();
    below.sort();
    below.reverse();
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_whose_daemons_have_exited_is_not_running() -> Result<()> {
        let parent = tempfile::tempdir()?;
        let dir = parent.path().join("lab");
        assert_eq!(PreviousLab::of(&dir)?, PreviousLab::None);

        let daemons = Daemons::new(&dir)?;
        daemons.start("etcd", Command::new("sleep").arg("60"))?;
        daemons.start("registry", Command::new("sleep").arg("60"))?;
        assert_eq!(
            PreviousLab::of(&dir)?,
            PreviousLab::Partial,
            "it has no state file"
        );
        daemons.kill("etcd")?;
        assert_eq!(PreviousLab::of(&dir)?, PreviousLab::Partial);
        daemons.kill("registry")?;
        assert_eq!(PreviousLab::of(&dir)?, PreviousLab::Stopped);
        Ok(())
    }
}
