//! The lab broken on purpose: a daemon that stands still or has ended, a node that is cut off. Each is a [`Fault`], and
//! dropping it makes the lab whole.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::process::Daemons;
use crate::state::{Node, State};
use crate::{command, network};

/// Until a lab that was broken works again. A kubelet that lost the API server comes back within seconds; this is for
/// two processors that others use as well.
const WHOLE_WITHIN: Duration = Duration::from_secs(90);

/// Something that is broken for as long as this lives.
#[derive(Debug)]
#[must_use = "the fault ends where this is dropped"]
pub struct Fault {
    state: State,
    undo: Option<Undo>,
}

#[derive(Debug)]
enum Undo {
    Continue(String),
    Start(String),
    Restart(String),
    Join(String),
}

impl State {
    /// A daemon that is there and does nothing: connections to it are opened, and nobody answers.
    pub fn freeze(&self, daemon: &str) -> Result<Fault> {
        self.daemons()?.signal(daemon, Signal::STOP)?;
        Ok(self.broken(Undo::Continue(daemon.to_owned())))
    }

    /// A daemon that has ended: connections to it are refused.
    pub fn kill(&self, daemon: &str) -> Result<Fault> {
        self.daemons()?.kill(daemon)?;
        Ok(self.broken(Undo::Start(daemon.to_owned())))
    }

    /// A daemon with other arguments: these come after its own.
    pub fn restart_with(&self, daemon: &str, arguments: &[&str]) -> Result<Fault> {
        let daemons = self.daemons()?;
        daemons.kill(daemon)?;
        let fault = self.broken(Undo::Restart(daemon.to_owned()));
        daemons.start_again(daemon, arguments)?;
        Ok(fault)
    }

    /// A node whose cable is pulled: all on it goes on, and nobody hears of it.
    pub fn cut_off(&self, node: &Node) -> Result<Fault> {
        network::set_link(&node.netns, "down")?;
        Ok(self.broken(Undo::Join(node.netns.clone())))
    }

    fn broken(&self, undo: Undo) -> Fault {
        Fault {
            state: self.clone(),
            undo: Some(undo),
        }
    }

    fn daemons(&self) -> Result<Daemons> {
        Daemons::new(&self.dir)
    }

    /// Waits until every part that a fault can be in does its work.
    fn wait_until_whole(&self) -> Result<()> {
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
        let whole = || {
            listens("127.0.0.1", AUTHENTICATOR)
                && self.nodes.iter().all(|node| listens(&node.ip, KUBELET))
                && kubectl(&["get", "--raw", "/readyz"]).is_ok()
                && kubectl(&["get", "nodes", "-o", ready])
                    .is_ok_and(|nodes| nodes.split_whitespace().all(|status| status == "True"))
        };
        let deadline = Instant::now() + WHOLE_WITHIN;
        while !whole() {
            ensure!(
                Instant::now() < deadline,
                "the lab is not whole {WHOLE_WITHIN:?} after its fault"
            );
            sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

/// Where they listen unless told otherwise; the authenticator's is in authenticator/main.go.
const AUTHENTICATOR: u16 = 21362;
const KUBELET: u16 = 10250;

impl Fault {
    /// Makes the lab whole again, and waits until it is.
    pub fn end(mut self) -> Result<()> {
        self.undo()?;
        self.state.wait_until_whole()
    }

    fn undo(&mut self) -> Result<()> {
        let daemons = self.state.daemons()?;
        let Some(undo) = self.undo.take() else {
            return Ok(());
        };
        match &undo {
            Undo::Continue(daemon) => daemons.signal(daemon, Signal::CONT),
            Undo::Start(daemon) => daemons.start_again(daemon, &[]),
            Undo::Restart(daemon) => daemons
                .kill(daemon)
                .and_then(|()| daemons.start_again(daemon, &[])),
            Undo::Join(link) => network::set_link(link, "up"),
        }
        .with_context(|| format!("could not undo {undo:?}"))
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        if self.undo.is_none() {
            return;
        }
        let whole = self.undo().and_then(|()| self.state.wait_until_whole());
        if let Err(error) = whole {
            eprintln!("the lab stays broken: {error:#}");
        }
    }
}
