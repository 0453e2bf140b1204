//! Time passes: tokens, sessions and the job's JWT expire, and builds go on.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};

use crate::support::{LAB, Namespace, Runner, SessionFile, output, program, run};

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

/// Returns the token that the program creates from a session by a clock that is `ago` earlier.
fn earlier_token(session: &SessionFile, ago: SignedDuration) -> Result<String> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("session.json");
    session.write_copy_with_earlier_clock(ago, &path)?;
    let mut command = Command::new(program());
    let credential = run(command.env_clear().args(["token", "--session"]).arg(&path))?;
    let credential: serde_json::Value = serde_json::from_str(&credential)?;
    let token = credential["status"]["token"].as_str();
    Ok(token.context("no token")?.to_owned())
}

#[test]
fn builds_continue_after_all_credentials_have_expired() -> Result<()> {
    let _namespace = Namespace::new("expiry")?;
    let mut runner = Runner::new()?;
    let connected = runner.connect(&[("namespace", "expiry")])?.ok()?;
    let kubeconfig = Path::new(&connected.outputs["kubeconfig"]);
    let mut session = SessionFile::beside(kubeconfig)?;

    // The cluster rejects a token that is 16 minutes old, so a cached one would not help: the plugin creates another.
    let old = earlier_token(&session, SignedDuration::from_mins(16))?;
    assert_eq!(whoami(&old)?, "401");
    assert_eq!(whoami(&runner.token(kubeconfig)?)?, "200");
    runner.build("RUN echo one")?;

    // The keys have expired: the plugin assumes the role again with a new JWT. connect's own JWT is stored nowhere.
    session.expire_in(SignedDuration::from_mins(-1))?;
    let log = runner.build("RUN echo two")?;
    let mut renewed = SessionFile::beside(kubeconfig)?;
    // The log may be written to a file, so it must not contain the plugin's secrets, not even in a mask command.
    for secret in renewed.secrets()? {
        ensure!(!log.contains(secret), "a secret in {log}");
    }
    ensure!(
        !log.contains("eyJhbGciOi") && !log.contains("k8s-aws-v1."),
        "a token in {log}"
    );
    ensure!(
        renewed.access_key_id()? != session.access_key_id()?,
        "not renewed"
    );
    ensure!(renewed.expires()? > Timestamp::now(), "renewed with expired keys");

    // If the keys cannot be renewed and are still valid, they are used.
    renewed.expire_in(SignedDuration::from_mins(5))?;
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
