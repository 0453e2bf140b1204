//! Forwarders between the program and a server: one changes the address, the other changes responses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use serde_json::Value;

/// Forwards connections from a port on the IPv6 loopback address, until the process ends.
#[derive(Debug)]
pub(crate) struct Forward(pub(crate) SocketAddr);

impl Forward {
    pub(crate) fn to(server: &str) -> Result<Self> {
        let server = server.to_owned();
        Self::serve(move |client| {
            let upstream = TcpStream::connect(&server)?;
            let (mut from, mut to) = (client.try_clone()?, upstream.try_clone()?);
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            let (mut from, mut to) = (upstream, client);
            std::io::copy(&mut from, &mut to)?;
            Ok(to.shutdown(Shutdown::Write)?)
        })
    }

    fn serve(each: impl Fn(TcpStream) -> Result<()> + Clone + Send + 'static) -> Result<Self> {
        let listener = TcpListener::bind("[::1]:0")?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let each = each.clone();
                // The client notices an interrupted connection.
                std::thread::spawn(move || each(client));
            }
        });
        Ok(Self(address))
    }
}

/// A forwarder to the lab's AWS that changes JSON responses.
#[derive(Debug)]
pub(crate) struct Rewrite(Forward);

impl Rewrite {
    pub(crate) fn aws(server: &str, change: fn(&mut Value)) -> Result<Self> {
        let server = server.trim_start_matches("http://").to_owned();
        let forward = Forward::serve(move |mut client| {
            let request = read_request(&client)?;
            let mut upstream = TcpStream::connect(&server)?;
            upstream.write_all(&request)?;
            let mut answer = Vec::new();
            upstream.read_to_end(&mut answer)?;
            Ok(client.write_all(&changed(&answer, change)?)?)
        });
        Ok(Self(forward?))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.0)
    }
}

/// Reads one request and adds `connection: close`.
fn read_request(client: &TcpStream) -> Result<Vec<u8>> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut request = format!("{head}connection: close\r\n\r\n").into_bytes();
    request.extend(body);
    Ok(request)
}

fn changed(answer: &[u8], change: fn(&mut Value)) -> Result<Vec<u8>> {
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .context("the response has no header")?;
    let (head, body) = (std::str::from_utf8(&answer[..end])?, &answer[end + 4..]);
    let Ok(mut json) = serde_json::from_slice::<Value>(body) else {
        return Ok(answer.to_vec());
    };
    change(&mut json);
    let body = json.to_string();
    let kept = head
        .lines()
        .filter(|line| !line.to_lowercase().starts_with("content-length:"));
    let head = kept.collect::<Vec<_>>().join("\r\n");
    Ok(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}
