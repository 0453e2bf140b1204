//! A server that accepts connections and never responds, for tests of clients.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};

use anyhow::Result;

/// A server that never responds.
#[derive(Debug)]
pub struct SilentServer(TcpListener);

impl SilentServer {
    /// Starts a server on the loopback interface.
    pub fn listen() -> Result<Self> {
        Ok(Self(TcpListener::bind("127.0.0.1:0")?))
    }

    /// Returns `127.0.0.1:PORT`.
    pub fn address(&self) -> Result<String> {
        Ok(self.0.local_addr()?.to_string())
    }

    /// Waits for a request and returns its connection. The client waits until it is dropped.
    pub fn accept_request(&self) -> Result<TcpStream> {
        let (mut connection, _) = self.0.accept()?;
        connection.read_exact(&mut [0])?;
        Ok(connection)
    }
}
