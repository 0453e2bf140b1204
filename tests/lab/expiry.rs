//! Time passes: tokens, sessions and the job's JWT expire, and builds go on.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use remote_buildkit::aws::{Session, token};

use crate::support::{LAB, Namespace, Runner, output};

/// How the API server answers to a token.
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

/// Makes the session's keys look `left` from their end.
fn expire(session: &Path, left: SignedDuration) -> Result<Session> {
    let mut session_now = Session::read(session)?;
    session_now.keys.expires = Some(Timestamp::now() + left);
    session_now.write(session)?;
    Ok(session_now)
}

#[test]
fn builds_go_on_when_tokens_sessions_and_the_jwt_have_expired() -> Result<()> {
    let _namespace = Namespace::new("expiry")?;
    let mut runner = Runner::new()?;
    let connected = runner.connect(&[("namespace", "expiry")])?.ok()?;
    let kubeconfig = Path::new(&connected.outputs["kubeconfig"]).to_owned();
    let session_file = kubeconfig.with_file_name("session.json");
    let session = Session::read(&session_file)?;

    // A token of 16 minutes ago is refused, so a cached one would be of no use; a call of the plugin makes a new one.
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

    // The keys are at their end: the plugin assumes the role anew, with a JWT minted now. The one of connect is
    // long gone: nothing keeps it.
    let expired = expire(&session_file, SignedDuration::from_mins(-1))?;
    let log = runner.build("RUN echo two")?;
    let renewed = Session::read(&session_file)?;
    // The log may go into a file: what the plugin got is not in it, not even to be masked.
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

    // Nothing to renew with, and keys that still work: they are used.
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
fn a_plugin_call_with_live_keys_asks_nobody() -> Result<()> {
    let _namespace = Namespace::new("quiet")?;
    let mut runner = Runner::new()?;
    let connected = runner.connect(&[("namespace", "quiet")])?.ok()?;
    let kubeconfig = Path::new(&connected.outputs["kubeconfig"]);
    // Nobody answers there, and still there is a token.
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
