//! Holds a request of a job until the test releases it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};

use super::LAB;

/// A `kubectl proxy` to the lab's API server with administrator rights and without TLS. It holds the first request that starts
/// with these words and is not a dry run.
#[derive(Debug)]
pub(crate) struct HeldRequest {
    proxy: Child,
    /// The server for a kubeconfig.
    pub(crate) server: String,
    came: Receiver<()>,
    go_on: Sender<()>,
}

impl HeldRequest {
    pub(crate) fn new(words: &'static str) -> Result<Self> {
        let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let proxy = Command::new(LAB.bin.join("kubectl"))
            .arg("--kubeconfig")
            .arg(&LAB.admin_kubeconfig)
            // Without the last argument it rejects exec.
            .args([
                "proxy",
                &format!("--port={}", free.port()),
                "--reject-paths=^nothing$",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = format!("http://{}", listener.local_addr()?);
        let (comes, came) = channel();
        let (go_on, goes_on) = channel();
        let gate = Arc::new(Mutex::new(Some((comes, goes_on))));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let gate = gate.clone();
                // The client notices an interrupted connection.
                std::thread::spawn(move || forward(client, free, words, &gate));
            }
        });
        let hold = Self {
            proxy,
            server,
            came,
            go_on,
        };
        let answers = || TcpStream::connect(free).is_ok();
        let up = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            answers()
        });
        anyhow::ensure!(up, "kubectl proxy does not respond");
        Ok(hold)
    }

    /// Waits until the request has arrived.
    pub(crate) fn wait(&self) -> Result<()> {
        let within = Duration::from_secs(60);
        self.came
            .recv_timeout(within)
            .context("the request did not arrive")
    }

    pub(crate) fn release(&self) -> Result<()> {
        Ok(self.go_on.send(())?)
    }
}

impl Drop for HeldRequest {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

type Gate = Mutex<Option<(Sender<()>, Receiver<()>)>>;

fn forward(mut client: TcpStream, to: std::net::SocketAddr, words: &str, gate: &Gate) -> Result<()> {
    let mut upstream = TcpStream::connect(to)?;
    let (mut answers, mut back) = (upstream.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut chunk = vec![0; 1 << 16];
    loop {
        let read = client.read(&mut chunk)?;
        if read == 0 {
            return Ok(upstream.shutdown(Shutdown::Write)?);
        }
        let sent = &chunk[..read];
        // A client sends the header of a request in one write.
        let first = String::from_utf8_lossy(sent.split(|b| *b == b'\r').next().unwrap_or_default());
        if first.starts_with(words) && !first.contains("dryRun") {
            let held = gate.lock().ok().and_then(|mut gate| gate.take());
            if let Some((comes, goes_on)) = held {
                comes.send(())?;
                goes_on.recv()?;
            }
        }
        upstream.write_all(sent)?;
    }
}
