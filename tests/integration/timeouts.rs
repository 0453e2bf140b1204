//! Commands end at `--timeout`, and name the request that got no response or the error that came back instead.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::errors::{Machine, kubeconfig};

/// How long a command with a timeout of 2 s may take on a busy machine. A request alone waits for 15 s.
const IN_TIME: Duration = Duration::from_secs(10);

/// Returns a server that accepts connections and never responds, and its URL.
fn silent_server() -> Result<(TcpListener, String)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((listener, url))
}

#[test]
fn destroy_ends_at_its_timeout() -> Result<()> {
    let (_listener, server) = silent_server()?;
    let machine = Machine::new()?;
    let config = machine.write("kubeconfig", &kubeconfig(&server, "{token: t}"))?;
    let flags = ["destroy", "--yes", "--timeout", "2s", "--kubeconfig", &config];
    let began = Instant::now();
    let error = machine.error(machine.command(&flags))?;
    ensure!(began.elapsed() < IN_TIME, "it took {:?}", began.elapsed());
    insta::assert_snapshot!(error.replace(&server, "http://127.0.0.1:PORT"), @"
    error: Cannot reach the cluster: API server http://127.0.0.1:PORT did not answer `list deployments` in namespace default: no response within 2 s.
    Check that an API server, or a tunnel to one, listens on 127.0.0.1 of this machine.
    exit code 1
    ");
    Ok(())
}
