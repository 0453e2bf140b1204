//! Commands end at `--timeout`, and name the request that got no response or the error that came back instead.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::SilentServer;
use serde_json::Value;

use crate::machine::{Machine, kubeconfig};

/// How long a command with a timeout of 2 s may take on a busy machine. A request alone waits for 15 s.
const IN_TIME: Duration = Duration::from_secs(10);

fn url(server: &SilentServer) -> Result<String> {
    Ok(format!("http://{}", server.address()?))
}

/// Returns the URL of a port on which nothing listens.
fn closed_port() -> Result<String> {
    let closed = SilentServer::listen()?;
    url(&closed)
}

/// Runs the doctor for two seconds, and returns its row `token`.
fn token_row(server: &str, user: &str) -> Result<Value> {
    let machine = Machine::with_buildx("github.com/docker/buildx v0.38.2 0123abc")?;
    let config = machine.write("kubeconfig", &kubeconfig(server, user))?;
    let flags = ["doctor", "-o", "json", "--timeout", "2s", "--kubeconfig", &config];
    let began = Instant::now();
    let output = machine.command(&flags).output()?;
    ensure!(began.elapsed() < IN_TIME, "it took {:?}", began.elapsed());
    ensure!(output.status.code() == Some(1), "{output:?}");
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let token = rows.into_iter().find(|row| row["check"] == "token");
    token.with_context(|| format!("{output:?}"))
}

fn ensure_contains(row: &Value, field: &str, words: &[&str]) -> Result<()> {
    let text = row[field].as_str().unwrap_or_default();
    for word in words {
        ensure!(text.contains(word), "{word:?} is not in {row:#}");
    }
    Ok(())
}

#[test]
fn destroy_ends_at_its_timeout() -> Result<()> {
    let silent = SilentServer::listen()?;
    let server = url(&silent)?;
    let machine = Machine::new()?;
    let config = machine.write("kubeconfig", &kubeconfig(&server, "{token: t}"))?;
    let flags = ["destroy", "--yes", "--timeout", "2s", "--kubeconfig", &config];
    let began = Instant::now();
    let error = machine.error(machine.command(&flags))?;
    ensure!(began.elapsed() < IN_TIME, "it took {:?}", began.elapsed());
    insta::assert_snapshot!(error.replace(&server, "http://127.0.0.1:PORT"), @"
    error: Cannot reach the cluster: API server http://127.0.0.1:PORT did not answer `list deployments` in namespace buildkit: no response within 2 s.
    Check that an API server, or a tunnel to one, listens on 127.0.0.1 of this machine.
    exit code 1
    ");
    Ok(())
}

#[test]
fn the_doctor_names_the_request_without_a_response() -> Result<()> {
    let silent = SilentServer::listen()?;
    let server = url(&silent)?;
    let token = token_row(&server, "{token: t}")?;
    let words = [&server, "`create selfsubjectreviews`", "no response within 2 s"];
    ensure_contains(&token, "found", &words)?;
    ensure_contains(&token, "remedy", &["listens on 127.0.0.1"])
}

#[test]
fn the_doctor_names_the_last_error_at_its_timeout() -> Result<()> {
    let server = closed_port()?;
    let token = token_row(&server, "{token: t}")?;
    ensure_contains(&token, "found", &[&server, "Connection refused"])?;
    ensure_contains(&token, "remedy", &["listens on 127.0.0.1"])?;

    // No DNS server is asked for a label of more than 63 characters.
    let host = format!("{}.invalid", "a".repeat(64));
    let token = token_row(&format!("http://{host}"), "{token: t}")?;
    let resolve = format!("Could not resolve {host}, the API server's host: ");
    ensure_contains(&token, "found", &[&resolve])?;
    ensure_contains(
        &token,
        "remedy",
        &["Check the server's address", "/etc/resolv.conf"],
    )
}

/// A credential plugin blocks the request, so that not even its own timeout ends it.
#[test]
fn the_doctor_stops_a_check_without_any_response() -> Result<()> {
    let user = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: sleep, args: ['8'], \
                interactiveMode: Never}}";
    let token = token_row(&closed_port()?, user)?;
    ensure_contains(&token, "found", &["did not finish within the timeout of 2 s"])?;
    ensure_contains(&token, "remedy", &["Check "])
}

#[test]
fn the_doctor_reports_invalid_flags_as_a_usage_error() -> Result<()> {
    let machine = Machine::new()?;
    let flags = ["doctor", "--kubeconfig", "absent", "--storage", "lots"];
    let error = machine.error(machine.command(&flags))?;
    insta::assert_snapshot!(error, @"
    error: Invalid input: These values are not valid:
    - `--storage=lots`: must be a quantity of at least 1Gi, such as 50Gi or 1Ti
    Correct these flags. Nothing was contacted or changed. For valid values, see remote-buildkit COMMAND --help.
    exit code 2
    ");

    let output = machine
        .command(&[&flags[..], &["--output", "json"]].concat())
        .output()?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    ensure!(rows.len() == 1, "{rows:#?}");
    ensure!(
        rows[0]["check"] == "inputs" && rows[0]["status"] == "failed",
        "{rows:#?}"
    );
    ensure_contains(&rows[0], "found", &["--storage"])
}
