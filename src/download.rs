//! Downloads a file and verifies its checksum. A file with another checksum is an error.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::header::{LOCATION, USER_AGENT};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use sha2::{Digest, Sha256};

use crate::error_code::ErrorCode;
use crate::failure_kind::FailureKind;
use crate::http_client::{ServerClient, StreamedResponse, no_response};
use crate::problem::Problem;
use crate::retry::{self, AttemptError, Retrier};

/// The timeout of one attempt, which suffices for 80 MB at 2 Mbit/s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(300);
/// The timeout for the start of the server's response, and for each part of its body.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest file, in bytes.
const MAX_SIZE: u64 = 512 << 20;
/// The maximum number of redirects. GitHub redirects from a release to the server with its files.
const MAX_REDIRECTS: usize = 5;

/// A file to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadSource {
    /// The file's name in messages.
    pub name: String,
    pub url: String,
    /// The expected SHA-256 checksum in hexadecimal digits.
    pub sha256: String,
    /// The remedy if the download fails.
    pub remedy: &'static str,
}

/// Downloads a file into `file`, which is new and empty. On failure, the caller removes it.
pub async fn download(source: &DownloadSource, file: &File, retrier: &Retrier) -> anyhow::Result<()> {
    let result = retrier.run(|| async {
        let attempt = retry::with_timeout(
            ATTEMPT_TIMEOUT,
            FailureKind::TimedOut,
            download_once(source, file),
        );
        attempt.await.map_err(|failed| explain(source, failed))
    });
    result.await
}

async fn download_once(source: &DownloadSource, mut file: &File) -> Result<(), AttemptError> {
    use std::io::{Seek, SeekFrom};
    let truncated = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
    truncated.context("truncating the file")?;

    let mut body = response(&source.url).await?.into_body();
    let (mut hasher, mut length) = (Sha256::new(), 0_u64);
    while let Some(frame) = read(body.frame()).await? {
        let frame = frame.map_err(|error| no_response(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len() as u64;
        if length > MAX_SIZE {
            return Err(anyhow::anyhow!("the file is larger than {} MiB", MAX_SIZE >> 20).into());
        }
        hasher.update(&data);
        file.write_all(&data).context("writing the file")?;
    }
    let actual: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if actual != source.sha256.to_ascii_lowercase() {
        return Err(anyhow::anyhow!(
            "the file has {length} bytes with the SHA-256 {actual} instead of {}",
            source.sha256
        )
        .into());
    }
    Ok(())
}

/// Sends the request, follows redirects, and returns the response of the last server.
async fn response(url: &str) -> Result<StreamedResponse, AttemptError> {
    let mut url: Uri = url.parse().with_context(|| format!("parsing the URL {url}"))?;
    for _ in 0..=MAX_REDIRECTS {
        let request = Request::get(&url).header(USER_AGENT, "remote-buildkit");
        let request = request
            .body(Empty::<Bytes>::new())
            .context("building the request")?;
        let client = ServerClient::for_url(&url)?;
        let response = read(client.send(request)).await?;
        let response = response.map_err(|error| no_response(&*error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let location = response
            .headers()
            .get(LOCATION)
            .filter(|_| status.is_redirection());
        let Some(next) = location.and_then(|to| to.to_str().ok()) else {
            let cause = FailureKind::from_status(status.as_u16());
            return Err(AttemptError::new(cause, anyhow::anyhow!("{status}")));
        };
        let next = redirect_target(&url, next).with_context(|| format!("it redirects to {next}"))?;
        // The checksum detects a changed file, but a redirect to HTTP would let anyone on the network path prevent
        // the download.
        if url.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
            return Err(anyhow::anyhow!("it redirects to {next}, without TLS").into());
        }
        url = next;
    }
    Err(anyhow::anyhow!("it redirects more than {MAX_REDIRECTS} times").into())
}

/// Resolves the location of a redirect.
fn redirect_target(from: &Uri, to: &str) -> anyhow::Result<Uri> {
    if to.starts_with('/') {
        let mut parts = from.clone().into_parts();
        parts.path_and_query = Some(to.parse()?);
        return Ok(Uri::from_parts(parts)?);
    }
    let to: Uri = to.parse()?;
    let is_address = matches!(to.scheme_str(), Some("http" | "https"));
    anyhow::ensure!(is_address && to.host().is_some(), "which is not an HTTP URL");
    Ok(to)
}

/// Waits for a part of the response, with a timeout.
async fn read<T>(work: impl Future<Output = T>) -> Result<T, AttemptError> {
    let timed_out = || {
        AttemptError::new(
            FailureKind::TimedOut,
            anyhow::anyhow!("no response for {} s", READ_TIMEOUT.as_secs()),
        )
    };
    tokio::time::timeout(READ_TIMEOUT, work)
        .await
        .map_err(|_| timed_out())
}

/// Adds the name and the URL of the file, and the remedy, to an error that has no remedy of its own.
fn explain(source: &DownloadSource, failed: AttemptError) -> AttemptError {
    if failed.error.is::<Problem>() {
        return failed;
    }
    let what = format!(
        "Could not download {} from {}: {:#}.",
        source.name, source.url, failed.error
    );
    AttemptError {
        error: Problem::new(ErrorCode::DownloadFailed, what, source.remedy).into(),
        ..failed
    }
}

#[cfg(test)]
mod tests;
