//! Downloads from servers that redirect, fail and disconnect.

use std::fs::File;
use std::io::{Read, Seek};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lab::{HttpResponse, HttpServer};
use sha2::{Digest, Sha256};

use super::*;

/// Starts a server that sends these responses one after the other, and then the last one again. Returns its URL and the
/// targets of the requests.
fn server(responses: Vec<HttpResponse>) -> (String, Arc<Mutex<Vec<String>>>) {
    let targets = Arc::new(Mutex::new(Vec::new()));
    let seen = targets.clone();
    let server = HttpServer::start(move |request| {
        let mut seen = seen.lock().expect("targets");
        let index = seen.len().min(responses.len() - 1);
        seen.push(request.target.clone());
        let mut response = responses[index].clone().header("connection", "close");
        let host = request.header("host").expect("a host");
        for (_, value) in &mut response.headers {
            *value = value.replace("OWN", &format!("http://{host}"));
        }
        response
    });
    (server.expect("a server").url, targets)
}

fn ok(body: &str) -> HttpResponse {
    HttpResponse::new(200, body)
}

fn moved(to: &str) -> HttpResponse {
    HttpResponse::new(302, "").header("location", to)
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
    let (url, requests) = server(vec![moved("/elsewhere?a=b"), moved("OWN/there"), ok("content")]);
    assert_eq!(
        fetch(&format!("{url}/file"), "content").expect("downloaded"),
        "content"
    );
    assert_eq!(
        *requests.lock().expect("requests"),
        ["/file", "/elsewhere?a=b", "/there"]
    );
}

#[test]
fn a_wrong_checksum_is_an_error_and_not_retried() {
    let (url, requests) = server(vec![ok("another")]);
    let problem = fetch(&url, "content").expect_err("another file");
    assert_eq!(problem.code, ErrorCode::DownloadFailed);
    assert!(
        problem.what.contains("7 bytes with the SHA-256") && problem.what.contains(&url),
        "{}",
        problem.what
    );
    assert_eq!(problem.remedy, "Look there.");
    assert_eq!(requests.lock().expect("requests").len(), 1);
}

#[test]
fn a_transient_failure_restarts_the_download() {
    let cut = HttpResponse {
        declared_length: Some(7),
        ..ok("con")
    };
    let (url, requests) = server(vec![HttpResponse::new(503, ""), cut, ok("content")]);
    assert_eq!(fetch(&url, "content").expect("downloaded"), "content");
    assert_eq!(requests.lock().expect("requests").len(), 3);
}

#[test]
fn a_permanent_failure_says_what_was_received() {
    for (answer, says) in [
        (HttpResponse::new(404, ""), "404 Not Found"),
        (moved("OWN/again"), "redirects more than 5 times"),
        (moved("mailto:nobody"), "redirects to mailto:nobody"),
    ] {
        let (url, _) = server(vec![answer]);
        let problem = fetch(&url, "content").expect_err(says);
        assert!(problem.what.contains(says), "{}", problem.what);
    }
}

#[test]
fn errors_of_downloads() {
    let errors = [ok("another"), HttpResponse::new(404, "")].map(|answer| {
        let (url, _) = server(vec![answer]);
        let problem = fetch(&format!("{url}/buildx"), "content").expect_err("another file");
        problem.to_string().replace(&url, "https://mirror.example.com")
    });
    insta::assert_snapshot!(errors.join("\n\n"));
}
