//! A fake HTTP server on the loopback interface, for tests of clients: it calls a function for each request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::{Context, Result};

/// A request with its header lines and body.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    pub method: String,
    /// The path with its query.
    pub target: String,
    /// The header lines.
    headers: Vec<String>,
    pub body: Vec<u8>,
}

/// A response.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The `content-length`, if it is not the body's: then the connection is closed in the middle of the body.
    pub declared_length: Option<usize>,
}

/// A server that ends with the process.
#[derive(Debug, Clone)]
pub struct HttpServer {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
}

impl HttpRequest {
    /// Returns the value of a header. `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Reads a request; `None` if the client has closed the connection.
    fn read(reader: &mut BufReader<TcpStream>) -> Result<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let first = lines.first().context("the request has no first line")?.clone();
        let mut words = first.split(' ');
        let mut request = Self {
            method: words.next().unwrap_or_default().to_owned(),
            target: words.next().unwrap_or_default().to_owned(),
            headers: lines.split_off(1),
            body: Vec::new(),
        };
        let length = request.header("content-length").map_or(Ok(0), str::parse)?;
        request.body = vec![0; length];
        reader.read_exact(&mut request.body)?;
        Ok(Some(request))
    }
}

impl HttpResponse {
    /// Returns a response without further headers.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            declared_length: None,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    fn write(&self, stream: &mut TcpStream) -> Result<()> {
        let length = self.declared_length.unwrap_or(self.body.len());
        let reason = match self.status {
            200 => "OK",
            302 => "Found",
            404 => "Not Found",
            503 => "Service Unavailable",
            _ => "X",
        };
        let mut head = format!(
            "HTTP/1.1 {} {reason}\r\ncontent-length: {length}\r\n",
            self.status
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        stream.write_all(head.as_bytes())?;
        Ok(stream.write_all(&self.body)?)
    }

    fn closes_connection(&self) -> bool {
        let close = |(name, value): &(String, String)| name == "connection" && value == "close";
        self.declared_length.is_some() || self.headers.iter().any(close)
    }
}

impl HttpServer {
    /// Starts a server that answers each request with the result of `respond`.
    pub fn start(respond: impl Fn(&HttpRequest) -> HttpResponse + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let respond = Arc::new(respond);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let respond = Arc::clone(&respond);
                // The client notices an error.
                std::thread::spawn(move || serve(stream, &*respond));
            }
        });
        Ok(Self { url })
    }
}

fn serve(mut stream: TcpStream, respond: &(impl Fn(&HttpRequest) -> HttpResponse + ?Sized)) -> Result<()> {
    // Otherwise a body is not sent until the client has acknowledged the head, which takes 40 ms.
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = HttpRequest::read(&mut reader)? {
        let response = respond(&request);
        response.write(&mut stream)?;
        if response.closes_connection() {
            break;
        }
    }
    Ok(())
}
