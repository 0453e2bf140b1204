//! Servers that fail: one that never responds, and one that always returns the same response.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::Result;

/// A server that accepts connections and never responds.
#[derive(Debug)]
pub(crate) struct SilentServer(TcpListener);

impl SilentServer {
    pub(crate) fn listen() -> Result<Self> {
        Ok(Self(TcpListener::bind("127.0.0.1:0")?))
    }

    pub(crate) fn address(&self) -> Result<String> {
        Ok(self.0.local_addr()?.to_string())
    }

    /// Waits for a request and returns its connection. The client waits until it is dropped.
    pub(crate) fn accept_request(&self) -> Result<TcpStream> {
        let (mut connection, _) = self.0.accept()?;
        connection.read_exact(&mut [0])?;
        Ok(connection)
    }
}

/// Starts an API server that returns the same response to every request, and returns its address. It ends with the process.
pub(crate) fn serve_fixed_response(status: &str, body: &str) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = connection.read(&mut request);
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    Ok(address)
}

/// Returns a kubeconfig for a server with this user.
pub(crate) fn kubeconfig(server: &str, user: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: one
clusters: [{{name: one, cluster: {{server: \"{server}\"}}}}]
users: [{{name: one, user: {user}}}]
contexts: [{{name: one, context: {{cluster: one, user: one}}}}]
"
    )
}
