//! Time passes: tokens, sessions and the job's JWT expire, and builds go on.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use remote_buildkit::aws::{Session, token};

use crate::support::{LAB, Namespace, Runner, output};

/// Returns the HTTP status with which the API server answers a request with this token.
fn whoami(bearer: &str) -> Result<String> {
    let mut command = Command::new("curl");
    command
        .args([
            "-sk",
            "--noproxy",
            "*",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-H",
        ])
        .arg(format!("Authorization: Bearer {bearer}"))
        .arg(format!("{}/api/v1/namespaces/expiry/pods", LAB.api_server));
    Ok(String::from_utf8(output(&mut command)?.stdout)?)
}

/// Rewrites the session so that its keys expire in `left`.
fn expire(session: &Path, left: SignedDuration) -> Result<Session> {
    let mut session_now = Session::read(session)?;
    session_now.keys.expires = Some(Timestamp::now() + left);
    session_now.write(session)?;
    Ok(session_now)
}

#[test]
fn builds_continue_after_all_credentials_have_expired() -> Result<()> {
    let _namespace = Namespace::new("expiry")?;
    let mut runner = Runner::new()?;
    let connected = runner.connect(&[("namespace", "expiry")])?.ok()?;
    let kubeconfig = Path::new(&connected.outputs["kubeconfig"]).to_owned();
    let session_file = kubeconfig.with_file_name("session.json");
    let session = Session::read(&session_file)?;

    // The cluster rejects a token that is 16 minutes old, so a cached one would not help: the plugin creates another.
    let old = Timestamp::now() - SignedDuration::from_mins(16);
    let old = token(
        &session.keys,
        session.cluster.as_deref().context("a cluster of EKS")?,
        &session.region,
        old,
    )?;
    assert_eq!(whoami(old.value.expose())?, "401");
    assert_eq!(whoami(&runner.token(&kubeconfig)?)?, "200");
    runner.build("RUN echo one")?;

    // The keys have expired: the plugin assumes the role again with a new JWT. connect's own JWT is stored nowhere.
    let expired = expire(&session_file, SignedDuration::from_mins(-1))?;
    let log = runner.build("RUN echo two")?;
    let renewed = Session::read(&session_file)?;
    // The log may be written to a file, so it must not contain the plugin's secrets, not even in a mask command.
    for secret in renewed.keys.secrets() {
        ensure!(!log.contains(secret.expose()), "a secret in {log}");
    }
    ensure!(
        !log.contains("eyJhbGciOi") && !log.contains("k8s-aws-v1."),
        "a token in {log}"
    );
    ensure!(
        renewed.keys.access_key_id != expired.keys.access_key_id,
        "not renewed"
    );
    ensure!(
        renewed.keys.expires > Some(Timestamp::now()),
        "renewed with expired keys"
    );

    // If the keys cannot be renewed and are still valid, they are used.
    expire(&session_file, SignedDuration::from_mins(5))?;
    let request_token = runner
        .env
        .remove("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
        .context("a token")?;
    runner.build("RUN echo three")?;
    runner
        .env
        .insert("ACTIONS_ID_TOKEN_REQUEST_TOKEN".into(), request_token);
    Ok(())
}

#[test]
fn plugin_with_valid_keys_sends_no_request() -> Result<()> {
    let _namespace = Namespace::new("quiet")?;
    let mut runner = Runner::new()?;
    let connected = runner.connect(&[("namespace", "quiet")])?.ok()?;
    let kubeconfig = Path::new(&connected.outputs["kubeconfig"]);
    // No server listens there, and the plugin still returns a token.
    runner
        .env
        .insert("AWS_ENDPOINT_URL".into(), "http://127.0.0.1:9".into());
    runner.env.insert(
        "ACTIONS_ID_TOKEN_REQUEST_URL".into(),
        "http://127.0.0.1:9/".into(),
    );
    ensure!(runner.token(kubeconfig)?.starts_with("k8s-aws-v1."), "no token");
    Ok(())
}
