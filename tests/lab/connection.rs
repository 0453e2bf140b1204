//! Connections to the API server that break in the middle of a response: the proxy in `HTTPS_PROXY` closes them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};

use crate::support::scenario::Scenario;

/// The bytes after which a connection is cut: more than the TLS handshake, less than the first response.
const BYTES: usize = 4000;

#[test]
fn connection_is_cut_once() -> Result<()> {
    let proxy = Proxy::start(1)?;
    let mut scenario = Scenario::new("cut-once", 60)?.env("HTTPS_PROXY", &proxy.url)?;
    scenario.deploy_agent()?;
    scenario.expect_success()?;
    ensure!(proxy.cuts.load(Ordering::SeqCst) == 0, "no connection was cut");
    Ok(())
}

#[test]
fn every_connection_is_cut() -> Result<()> {
    let proxy = Proxy::start(usize::MAX)?;
    let mut scenario = Scenario::new("cut-always", 5)?.env("HTTPS_PROXY", &proxy.url)?;
    scenario.deploy_agent()?;
    scenario.expect_failure("Cannot reach the cluster", &["timeout of 5 s"])?;
    scenario.expect_recovery()
}

/// An HTTP proxy that supports CONNECT and ends with the test.
struct Proxy {
    url: String,
    /// The number of connections that are still to be cut.
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    fn start(cuts: usize) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let url = format!("http://{}", listener.local_addr()?);
        let cuts = Arc::new(AtomicUsize::new(cuts));
        let left = cuts.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let left = left.clone();
                // A closed connection is not a failure of the proxy.
                std::thread::spawn(move || serve(client, &left).is_ok());
            }
        });
        Ok(Self { url, cuts })
    }
}

fn serve(mut client: TcpStream, cuts: &AtomicUsize) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8(head)?;
    let target = head
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next());
    let mut server = TcpStream::connect(target.context("no CONNECT")?)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut from, &mut to).is_ok());
    let take_one = |left: usize| left.checked_sub(1);
    let cut = cuts
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one)
        .is_ok();
    if cut {
        std::io::copy(&mut Read::by_ref(&mut server).take(BYTES as u64), &mut client)?;
    } else {
        std::io::copy(&mut server, &mut client)?;
    }
    client.shutdown(Shutdown::Both)?;
    Ok(server.shutdown(Shutdown::Both)?)
}
