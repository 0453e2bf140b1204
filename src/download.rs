//! A file from a server, by its checksum: what is not that file is not kept.

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
use crate::problem::Problem;
use crate::retry::{self, AttemptError, FailureKind, Retrier};
use crate::web::{Answer, Client, no_answer};

/// For the whole of a file. One of 80 MB takes that long at 2 Mbit/s.
const ATTEMPT: Duration = Duration::from_secs(300);
/// Until a server has begun to answer, or has gone on.
const SILENCE: Duration = Duration::from_secs(20);
/// In bytes.
const LARGEST: u64 = 512 << 20;
/// GitHub sends on to where it keeps a release's files.
const REDIRECTS: usize = 5;

/// What a file is called in messages, where it is, and which it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub url: String,
    /// In hexadecimal digits.
    pub sha256: String,
    /// What there is to do when it cannot be had.
    pub remedy: &'static str,
}

/// Writes it into `file`, which is new and empty. The file is the caller's to remove when this fails.
pub async fn download(source: &Source, file: &File, retrier: &Retrier) -> anyhow::Result<()> {
    let asked = retrier.run(|| async {
        let attempt = retry::with_timeout(ATTEMPT, FailureKind::TimedOut, fetch(source, file));
        attempt.await.map_err(|failed| failed_for(source, failed))
    });
    asked.await
}

async fn fetch(source: &Source, mut file: &File) -> Result<(), AttemptError> {
    use std::io::{Seek, SeekFrom};
    let fresh = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
    fresh.context("emptying the file for it")?;

    let mut answer = answer(&source.url).await?.into_body();
    let (mut sum, mut length) = (Sha256::new(), 0_u64);
    while let Some(frame) = within(answer.frame()).await? {
        let frame = frame.map_err(|error| no_answer(&error))?;
        let Ok(part) = frame.into_data() else { continue };
        length += part.len() as u64;
        if length > LARGEST {
            return Err(anyhow::anyhow!("it has more than {} MiB", LARGEST >> 20).into());
        }
        sum.update(&part);
        file.write_all(&part).context("writing it")?;
    }
    let got: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if got != source.sha256.to_ascii_lowercase() {
        return Err(anyhow::anyhow!(
            "{length} bytes whose SHA-256 is {got} instead of {}",
            source.sha256
        )
        .into());
    }
    Ok(())
}

async fn answer(url: &str) -> Result<Answer, AttemptError> {
    let mut url: Uri = url
        .parse()
        .with_context(|| format!("reading the address {url}"))?;
    for _ in 0..=REDIRECTS {
        let request = Request::get(&url).header(USER_AGENT, "remote-buildkit");
        let request = request.body(Empty::<Bytes>::new()).context("making a request")?;
        let client = Client::of(&url)?;
        let answer = within(client.send(request)).await?;
        let answer = answer.map_err(|error| no_answer(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let location = answer.headers().get(LOCATION).filter(|_| status.is_redirection());
        let Some(next) = location.and_then(|to| to.to_str().ok()) else {
            let cause = FailureKind::from_status(status.as_u16());
            return Err(AttemptError::new(cause, anyhow::anyhow!("{status}")));
        };
        let next = moved(&url, next).with_context(|| format!("it is said to be at {next}"))?;
        // The checksum would tell, but a proxy could keep a machine from its buildx for ever.
        if url.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
            return Err(anyhow::anyhow!("it is said to be at {next}, without TLS").into());
        }
        url = next;
    }
    Err(anyhow::anyhow!("it was sent on more than {REDIRECTS} times").into())
}

/// Where a redirect leads.
fn moved(from: &Uri, to: &str) -> anyhow::Result<Uri> {
    if to.starts_with('/') {
        let mut parts = from.clone().into_parts();
        parts.path_and_query = Some(to.parse()?);
        return Ok(Uri::from_parts(parts)?);
    }
    let to: Uri = to.parse()?;
    let is_address = matches!(to.scheme_str(), Some("http" | "https"));
    anyhow::ensure!(
        is_address && to.host().is_some(),
        "which is no address of a server"
    );
    Ok(to)
}

async fn within<T>(work: impl Future<Output = T>) -> Result<T, AttemptError> {
    let late = || {
        AttemptError::new(
            FailureKind::TimedOut,
            anyhow::anyhow!("silence for {} s", SILENCE.as_secs()),
        )
    };
    tokio::time::timeout(SILENCE, work).await.map_err(|_| late())
}

fn failed_for(source: &Source, failed: AttemptError) -> AttemptError {
    let what = format!(
        "Downloaded {} from {} and got: {:#}.",
        source.name, source.url, failed.error
    );
    AttemptError {
        error: Problem::new(ErrorCode::DownloadFailed, what, source.remedy).into(),
        ..failed
    }
}
