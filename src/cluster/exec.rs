//! Runs a command in a container by an exec over SPDY, the protocol that buildx uses.
//!
//! Only the part of SPDY/3.1 that an exec needs
//! (<https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/>). Why this old protocol: buildx uses it, so a
//! proxy that breaks it is found here. And it starts with a POST, which needs only the permission to *create*
//! pods/exec. An exec over WebSocket is a GET, which API servers before Kubernetes 1.35 allow only with *get*
//! pods/exec.

use anyhow::{Context, bail};
use http::StatusCode;
use hyper_util::rt::TokioIo;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::client::Body;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Cluster;
use super::error::{ApiOperation, ClusterAttemptError, cause};
use crate::failure_kind::FailureKind;
use crate::retry::AttemptError;

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
    ) -> Result<Vec<u8>, ClusterAttemptError> {
        let request = http::Request::post(self.exec_path(pod, container, command))
            .header(http::header::CONNECTION, "Upgrade")
            .header(http::header::UPGRADE, "SPDY/3.1")
            .header("X-Stream-Protocol-Version", PROTOCOL)
            .body(Body::empty())
            .context("cannot build the exec request")?;
        let response = self.client.send(request).await;
        let response = response.map_err(|e| not_ready(anyhow::anyhow!(cause(&e))))?;
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

    /// Returns the failed attempt of an exec whose connection was not upgraded.
    async fn upgrade_error(&self, response: http::Response<Body>) -> ClusterAttemptError {
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
                "the server answered the upgrade of the connection to SPDY/3.1 with {code}; a proxy may not support it"
            )),
        }
    }
}

/// Returns a retryable failure: the kubelet, the pod or its daemon may still be starting.
pub(super) fn not_ready(error: anyhow::Error) -> ClusterAttemptError {
    AttemptError {
        kind: FailureKind::NotReady,
        ..error.into()
    }
}

/// Runs the client's side of remotecommand v4: streams error, stdout and stderr. The exit status arrives on the error
/// stream.
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
    let mut received = Vec::new();
    'connection: while !open.is_empty() {
        if connection.read_buf(&mut received).await? == 0 {
            break;
        }
        while !open.is_empty()
            && let Some(frame) = take_frame(&mut received)
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

/// Returns the standard output of a command, or an error if its status is not success.
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

const SYN_STREAM: u16 = 1;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;

const CONTROL: u8 = 0x80;
const VERSION: u8 = 3;
const FIN: u8 = 1;

/// The header blocks of a connection form one zlib stream. This client sends stored blocks, which need no compressor.
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];
/// An empty stored block, the mark of a sync flush. Go's inflater returns buffered data only when it sees one.
const ZLIB_FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
enum Frame {
    Data {
        stream: u32,
        payload: Vec<u8>,
        last: bool,
    },
    /// The complete frame, which is sent back unchanged.
    Ping(Vec<u8>),
    Reset {
        stream: u32,
    },
    GoAway,
    /// A frame that is ignored: SYN_REPLY, SETTINGS, WINDOW_UPDATE and others. Kubernetes uses no flow control.
    Other,
}

/// Creates the frames that open streams. The header `streamtype` has the type of each stream.
#[derive(Debug, Default)]
struct Opener {
    streams: u32,
}

impl Opener {
    /// Returns the number of a new stream, and the frame that opens it.
    fn open(&mut self, stream_type: &str) -> (u32, Vec<u8>) {
        // A client's streams have odd numbers.
        let stream = 2 * self.streams + 1;
        let mut headers = 1_u32.to_be_bytes().to_vec();
        for text in ["streamtype", stream_type] {
            headers.extend(length32(text.len()));
            headers.extend(text.as_bytes());
        }
        let size = u16::try_from(headers.len()).unwrap_or(u16::MAX);
        let mut block = Vec::new();
        if self.streams == 0 {
            block.extend(ZLIB_HEADER);
        }
        block.push(0);
        block.extend(size.to_le_bytes());
        block.extend((!size).to_le_bytes());
        block.extend(headers);
        block.extend(ZLIB_FLUSH);

        let mut frame = vec![CONTROL, VERSION];
        frame.extend(SYN_STREAM.to_be_bytes());
        frame.push(0);
        frame.extend(length24(4 + 4 + 2 + block.len()));
        frame.extend(stream.to_be_bytes());
        frame.extend([0; 6]);
        frame.extend(block);
        self.streams += 1;
        (stream, frame)
    }
}

fn length32(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn length24(length: usize) -> [u8; 3] {
    let [_, a, b, c] = length32(length);
    [a, b, c]
}

/// Removes the first complete frame from the received bytes and parses it.
fn take_frame(received: &mut Vec<u8>) -> Option<Frame> {
    let header: [u8; 8] = received.get(..8)?.try_into().ok()?;
    let [a, b, c, d, flags, l1, l2, l3] = header;
    let length = u32::from_be_bytes([0, l1, l2, l3]) as usize;
    if received.len() < 8 + length {
        return None;
    }
    let frame: Vec<u8> = received.drain(..8 + length).collect();
    let payload = &frame[8..];
    if a & CONTROL == 0 {
        return Some(Frame::Data {
            stream: u32::from_be_bytes([a, b, c, d]),
            payload: payload.to_vec(),
            last: flags & FIN != 0,
        });
    }
    let stream = payload.get(..4).and_then(|id| id.try_into().ok());
    Some(match u16::from_be_bytes([c, d]) {
        PING => Frame::Ping(frame),
        RST_STREAM => Frame::Reset {
            stream: u32::from_be_bytes(stream.unwrap_or_default()),
        },
        GOAWAY => Frame::GoAway,
        _ => Frame::Other,
    })
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

    #[test]
    fn stream_numbers_are_odd_and_headers_are_one_zlib_stream() {
        let mut opener = Opener::default();
        let (first, frame) = opener.open("error");
        assert_eq!(first, 1);
        assert_eq!(frame[..8], [0x80, 3, 0, 1, 0, 0, 0, 49]);
        assert_eq!(frame[18..20], ZLIB_HEADER);
        assert_eq!(frame[20..25], [0, 27, 0, !27, 0xff]);
        assert_eq!(frame[25..29], [0, 0, 0, 1]);
        assert!(frame.ends_with(b"\0\0\0\x05error\0\0\0\xff\xff"));
        let (second, frame) = opener.open("stdout");
        assert_eq!(second, 3);
        assert_eq!(frame[18..21], [0, 28, 0]);
    }

    #[test]
    fn only_complete_frames_are_taken() {
        let mut received = vec![0, 0, 0, 3, 1, 0, 0, 2, b'h'];
        assert_eq!(take_frame(&mut received), None);
        received.extend([b'i', 0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9]);
        assert_eq!(
            take_frame(&mut received),
            Some(Frame::Data {
                stream: 3,
                payload: b"hi".to_vec(),
                last: true
            })
        );
        assert_eq!(
            take_frame(&mut received),
            Some(Frame::Ping(vec![0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9]))
        );
        assert!(received.is_empty());
        let mut reset = vec![0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 1];
        assert_eq!(take_frame(&mut reset), Some(Frame::Reset { stream: 5 }));
    }
}
