//! Runs a command in a container, with the protocol that buildx uses.

use anyhow::{Context, bail};
use http::StatusCode;
use hyper_util::rt::TokioIo;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::client::Body;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Cluster;
use super::error::ApiOperation;
use super::spdy::{Frame, Opener, take_frame};
use crate::problem::chain;
use crate::retry::{AttemptError, FailureKind};

const OPERATION: ApiOperation = ApiOperation::new("create", "pods/exec");

const PROTOCOL: &str = "v4.channel.k8s.io";

/// The limit on each output stream. No command that is run here prints as much.
const MAX_OUTPUT: usize = 1 << 20;

impl Cluster {
    /// Runs a command and returns its standard output; an error if it exits with another code than 0.
    pub(super) async fn exec(
        &self,
        pod: &str,
        container: &str,
        command: &[&str],
    ) -> Result<Vec<u8>, AttemptError> {
        let request = http::Request::post(self.exec_path(pod, container, command))
            .header(http::header::CONNECTION, "Upgrade")
            .header(http::header::UPGRADE, "SPDY/3.1")
            .header("X-Stream-Protocol-Version", PROTOCOL)
            .body(Body::empty())
            .context("cannot build the exec request")?;
        let response = self.client.send(request).await;
        let response = response.map_err(|e| not_ready(anyhow::anyhow!(chain(&e))))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.upgrade_error(response).await);
        }
        let upgraded = hyper::upgrade::on(response)
            .await
            .context("cannot upgrade the connection to SPDY/3.1")
            .map_err(not_ready)?;
        run(TokioIo::new(upgraded)).await.map_err(not_ready)
    }

    fn exec_path(&self, pod: &str, container: &str, command: &[&str]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("container", container);
        for word in command {
            query.append_pair("command", word);
        }
        query.append_pair("stdout", "true");
        query.append_pair("stderr", "true");
        let namespace = &self.namespace;
        format!(
            "/api/v1/namespaces/{namespace}/pods/{pod}/exec?{}",
            query.finish()
        )
    }

    async fn upgrade_error(&self, response: http::Response<Body>) -> AttemptError {
        use http_body_util::BodyExt;
        let code = response.status();
        let body = response.into_body().collect().await;
        let text = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        match serde_json::from_slice::<kube::core::Status>(&text) {
            // The pod was deleted since it was listed, or its kubelet does not answer the API server.
            Ok(status) if code == StatusCode::NOT_FOUND || code.is_server_error() => {
                not_ready(anyhow::anyhow!(self.describe_status(&status, &OPERATION)))
            }
            Ok(status) => self.attempt_error(&kube::Error::Api(Box::new(status)), &OPERATION),
            Err(_) => not_ready(anyhow::anyhow!(
                "the upgrade of the connection to SPDY/3.1 was answered with {code}; a proxy may not support it"
            )),
        }
    }
}

/// Returns a retryable failure: the kubelet, the pod or its daemon may still be starting.
fn not_ready(error: anyhow::Error) -> AttemptError {
    AttemptError::new(FailureKind::NotReady, error)
}

/// Runs the client's side of remotecommand v4: streams error, stdout and stderr. The exit status arrives on the error stream.
pub async fn run(mut connection: impl AsyncReadExt + AsyncWriteExt + Unpin) -> anyhow::Result<Vec<u8>> {
    let mut opener = Opener::default();
    let mut streams = [0; 3];
    for (stream, stream_type) in streams.iter_mut().zip(["error", "stdout", "stderr"]) {
        let (number, frame) = opener.open(stream_type);
        *stream = number;
        connection.write_all(&frame).await?;
    }
    // TLS may buffer what was written.
    connection.flush().await?;
    let [status_stream, stdout, stderr] = streams;
    let (mut status, mut output, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let mut open = streams.to_vec();
    let mut arrived = Vec::new();
    'connection: while !open.is_empty() {
        if connection.read_buf(&mut arrived).await? == 0 {
            break;
        }
        while !open.is_empty()
            && let Some(frame) = take_frame(&mut arrived)
        {
            match frame {
                Frame::Data {
                    stream,
                    payload,
                    last,
                } => {
                    let sink = match stream {
                        s if s == status_stream => &mut status,
                        s if s == stdout => &mut output,
                        s if s == stderr => &mut errors,
                        other => bail!("the server sent data on stream {other}, which was never opened"),
                    };
                    sink.extend(payload);
                    if sink.len() > MAX_OUTPUT {
                        bail!("the command printed more than {MAX_OUTPUT} bytes");
                    }
                    if last {
                        open.retain(|s| *s != stream);
                    }
                }
                Frame::Reset { stream } => open.retain(|s| *s != stream),
                Frame::Ping(frame) => {
                    connection.write_all(&frame).await?;
                    connection.flush().await?;
                }
                Frame::GoAway => break 'connection,
                Frame::Other => {}
            }
        }
    }
    finish(&status, output, &errors)
}

fn finish(status: &[u8], output: Vec<u8>, errors: &[u8]) -> anyhow::Result<Vec<u8>> {
    let stderr = String::from_utf8_lossy(errors);
    let status: Status = serde_json::from_slice(status).with_context(|| {
        let closed = "the connection was closed before the command ended";
        match stderr.trim() {
            "" => closed.to_owned(),
            stderr => format!("{closed}: {stderr}"),
        }
    })?;
    if status.status.as_deref() == Some("Success") {
        return Ok(output);
    }
    bail!(
        "the command failed: {} {}",
        status.message.unwrap_or_default(),
        stderr.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_an_error_with_its_stderr() {
        let status = br#"{"status":"Failure","message":"command terminated with non-zero exit code: 1"}"#;
        let error = finish(status, vec![], b"no such socket\n").expect_err("failed");
        assert_eq!(
            error.to_string(),
            "the command failed: command terminated with non-zero exit code: 1 no such socket"
        );
        assert!(finish(b"", vec![], b"").is_err());
        assert_eq!(
            finish(br#"{"status":"Success"}"#, b"x".to_vec(), b"").expect("ok"),
            b"x"
        );
    }
}
