//! Fault injection: a daemon that is frozen or killed, a node without network. Each is a [`Fault`]; dropping it repairs the
//! lab.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::process::Daemons;
use crate::state::{Node, State};
use crate::{command, network};

/// How long a lab may take to recover from a fault. A kubelet that lost the API server needs seconds; the rest is for two busy
/// processors.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(90);

/// A fault that lasts until this value is dropped.
#[derive(Debug)]
#[must_use = "dropping this ends the fault"]
pub struct Fault {
    state: State,
    undo: Option<Undo>,
}

#[derive(Debug)]
enum Undo {
    Continue(String),
    Start(String),
    Restart(String),
    Reconnect(String),
}

impl State {
    /// Freezes a daemon (SIGSTOP): connections to it are accepted by the kernel and get no answer.
    pub fn freeze(&self, daemon: &str) -> Result<Fault> {
        self.daemons()?.signal(daemon, Signal::STOP)?;
        Ok(self.faulted(Undo::Continue(daemon.to_owned())))
    }

    /// Kills a daemon: connections to it are refused.
    pub fn kill(&self, daemon: &str) -> Result<Fault> {
        self.daemons()?.kill(daemon)?;
        Ok(self.faulted(Undo::Start(daemon.to_owned())))
    }

    /// Restarts a daemon with these arguments after its own.
    pub fn restart_with(&self, daemon: &str, arguments: &[&str]) -> Result<Fault> {
        let daemons = self.daemons()?;
        daemons.kill(daemon)?;
        let fault = self.faulted(Undo::Restart(daemon.to_owned()));
        daemons.restart(daemon, arguments)?;
        Ok(fault)
    }

    /// Disconnects a node from the network. Its processes keep running.
    pub fn disconnect(&self, node: &Node) -> Result<Fault> {
        network::set_link(&node.netns, "down")?;
        Ok(self.faulted(Undo::Reconnect(node.netns.clone())))
    }

    fn faulted(&self, undo: Undo) -> Fault {
        Fault {
            state: self.clone(),
            undo: Some(undo),
        }
    }

    fn daemons(&self) -> Result<Daemons> {
        Daemons::new(&self.dir)
    }

    /// Waits until every part that a fault can affect is healthy.
    fn wait_until_healthy(&self) -> Result<()> {
        let kubectl = |arguments: &[&str]| {
            let mut kubectl = Command::new(self.bin.join("kubectl"));
            kubectl.arg("--kubeconfig").arg(&self.admin_kubeconfig);
            command::output(kubectl.arg("--request-timeout=5s").args(arguments))
        };
        let ready = r#"jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{" "}{end}"#;
        let listens = |host: &str, port| {
            let address = host.parse().map(|host: IpAddr| SocketAddr::from((host, port)));
            address.is_ok_and(|a| TcpStream::connect_timeout(&a, Duration::from_secs(1)).is_ok())
        };
        let is_healthy = || {
            listens("127.0.0.1", AUTHENTICATOR)
                && self.nodes.iter().all(|node| listens(&node.ip, KUBELET))
                && kubectl(&["get", "--raw", "/readyz"]).is_ok()
                && kubectl(&["get", "nodes", "-o", ready])
                    .is_ok_and(|nodes| nodes.split_whitespace().all(|status| status == "True"))
        };
        let deadline = Instant::now() + RECOVERY_TIMEOUT;
        while !is_healthy() {
            ensure!(
                Instant::now() < deadline,
                "the lab is not healthy {RECOVERY_TIMEOUT:?} after the fault ended"
            );
            sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

/// Default ports; the authenticator's is set in authenticator/main.go.
const AUTHENTICATOR: u16 = 21362;
const KUBELET: u16 = 10250;

impl Fault {
    /// Ends the fault and waits until the lab is healthy.
    pub fn end(mut self) -> Result<()> {
        self.undo()?;
        self.state.wait_until_healthy()
    }

    fn undo(&mut self) -> Result<()> {
        let daemons = self.state.daemons()?;
        let Some(undo) = self.undo.take() else {
            return Ok(());
        };
        match &undo {
            Undo::Continue(daemon) => daemons.signal(daemon, Signal::CONT),
            Undo::Start(daemon) => daemons.restart(daemon, &[]),
            Undo::Restart(daemon) => daemons.kill(daemon).and_then(|()| daemons.restart(daemon, &[])),
            Undo::Reconnect(link) => network::set_link(link, "up"),
        }
        .with_context(|| format!("could not undo {undo:?}"))
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        if self.undo.is_none() {
            return;
        }
        let result = self.undo().and_then(|()| self.state.wait_until_healthy());
        if let Err(error) = result {
            eprintln!("the lab could not be repaired: {error:#}");
        }
    }
}
