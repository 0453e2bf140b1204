//! Downloads with a checksum, from servers that redirect, fail and disconnect.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use remote_buildkit::download::{DownloadSource, download};
use remote_buildkit::error_code::ErrorCode;
use remote_buildkit::problem::Problem;
use remote_buildkit::retry::Retrier;
use sha2::{Digest, Sha256};

/// Answers each request with the next of these, and the last one from then on; the address, and what was asked.
fn server(answers: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (seen, own) = (asked.clone(), address.clone());
    // It ends with the tests.
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        let mut last = String::new();
        for mut client in listener.incoming().flatten() {
            let mut lines = BufReader::new(client.try_clone().expect("a stream")).lines();
            let line = lines.next().and_then(Result::ok).unwrap_or_default();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            seen.lock()
                .expect("asked")
                .push(line.split(' ').nth(1).unwrap_or_default().to_owned());
            last = answers.next().unwrap_or(last);
            let _gone = client.write_all(last.replace("OWN", &own).as_bytes());
        }
    });
    (address, asked)
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn moved(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nconnection: close\r\ncontent-length: 0\r\nlocation: {to}\r\n\r\n")
}

fn status(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}

fn fetch(url: &str, content: &str) -> Result<String, Problem> {
    let sum = Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let source = DownloadSource {
        name: "buildx".into(),
        url: url.into(),
        sha256: sum,
        remedy: "Look there.",
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut file: File = tempfile::tempfile().expect("a file");
    let retrier = Retrier::new(Instant::now() + Duration::from_secs(10), |_| ());
    match runtime.block_on(download(&source, &file, &retrier)) {
        Ok(()) => {
            file.rewind().expect("rewound");
            let mut text = String::new();
            file.read_to_string(&mut text).expect("read");
            Ok(text)
        }
        Err(error) => Err(error.downcast().expect("a problem")),
    }
}

#[test]
fn redirects_are_followed() {
    let (url, asked) = server(vec![moved("/elsewhere?a=b"), moved("OWN/there"), ok("content")]);
    assert_eq!(
        fetch(&format!("{url}/file"), "content").expect("downloaded"),
        "content"
    );
    assert_eq!(
        *asked.lock().expect("asked"),
        ["/file", "/elsewhere?a=b", "/there"]
    );
}

#[test]
fn a_wrong_checksum_is_an_error_and_not_retried() {
    let (url, asked) = server(vec![ok("another")]);
    let problem = fetch(&url, "content").expect_err("another file");
    assert_eq!(problem.code, ErrorCode::DownloadFailed);
    assert!(
        problem.what.contains("7 bytes with the SHA-256") && problem.what.contains(&url),
        "{}",
        problem.what
    );
    assert_eq!(problem.remedy, "Look there.");
    assert_eq!(asked.lock().expect("asked").len(), 1);
}

#[test]
fn a_transient_failure_restarts_the_download() {
    let cut = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 7\r\n\r\ncon".to_owned();
    let (url, asked) = server(vec![status("503 Service Unavailable"), cut, ok("content")]);
    assert_eq!(fetch(&url, "content").expect("downloaded"), "content");
    assert_eq!(asked.lock().expect("asked").len(), 3);
}

#[test]
fn a_permanent_failure_says_what_was_received() {
    for (answer, says) in [
        (status("404 Not Found"), "404 Not Found"),
        (moved("OWN/again"), "redirects more than 5 times"),
        (moved("mailto:nobody"), "redirects to mailto:nobody"),
    ] {
        let (url, _) = server(vec![answer]);
        let problem = fetch(&url, "content").expect_err(says);
        assert!(problem.what.contains(says), "{}", problem.what);
    }
}
