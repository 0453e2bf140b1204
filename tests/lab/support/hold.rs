//! A job that is held up at one of its requests.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};

use super::LAB;

/// The lab's API server without TLS, through a `kubectl proxy` with its administrator's rights. The first request that
/// begins with these words and is no dry run is held up.
#[derive(Debug)]
pub(crate) struct Hold {
    proxy: Child,
    /// Of a kubeconfig.
    pub(crate) server: String,
    came: Receiver<()>,
    go_on: Sender<()>,
}

impl Hold {
    pub(crate) fn at(words: &'static str) -> Result<Self> {
        let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let proxy = Command::new(LAB.bin.join("kubectl"))
            .arg("--kubeconfig")
            .arg(&LAB.admin_kubeconfig)
            // Without the last one it forbids exec.
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
                // A connection that is cut off is the other side's to notice.
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
        anyhow::ensure!(up, "kubectl proxy does not answer");
        Ok(hold)
    }

    /// Waits for the request.
    pub(crate) fn reached(&self) -> Result<()> {
        let within = Duration::from_secs(60);
        self.came.recv_timeout(within).context("no such request came")
    }

    pub(crate) fn release(&self) -> Result<()> {
        Ok(self.go_on.send(())?)
    }
}

impl Drop for Hold {
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
        // A client sends the head of a request in one piece.
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
