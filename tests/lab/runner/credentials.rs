//! Tests that a machine's jobs build with the machine's own AWS keys, regardless of the job's environment.

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{BareMachine, LAB, Namespace, emulator};

/// Returns when the machine's current keys expire.
fn expiry(bare: &BareMachine) -> Result<Timestamp> {
    let session = bare.json(".config/remote-buildkit/session.json")?;
    ensure!(session["identity"] == "machine", "{}", session["identity"]);
    let expires = session["keys"]["expires"]
        .as_str()
        .context("keys without an end")?;
    Ok(expires.parse()?)
}

/// Checks that a build and a login work after the keys of the boot have expired, in a job that has other keys.
fn check_renewal(bare: &mut BareMachine) -> Result<()> {
    bare.repository("RUN echo one")?;
    bare.install_docker_cli()?;
    let log = bare.set_up(&["--ecr=auto"])?;
    ensure!(log.contains("with the AWS credentials of this machine"), "{log}");
    let soon = Timestamp::now() + SignedDuration::from_mins(10);
    ensure!(
        expiry(bare)? > soon,
        "the keys of the boot are good for ten minutes"
    );
    // With ten minutes left, the plugin renews the keys: it needs a quarter of an hour.
    let path = bare
        .machine
        .host_path("/home/runner/.config/remote-buildkit/session.json");
    let mut session: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    session["keys"]["expires"] = Value::from(soon.to_string());
    std::fs::write(&path, session.to_string())?;

    let job = [
        ("AWS_ACCESS_KEY_ID", "AKIAOFSOMEBODYELSE00"),
        ("AWS_SECRET_ACCESS_KEY", "wrong"),
        ("AWS_PROFILE", "of-a-job"),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/of-a-job"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/of-a-job"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ];
    bare.env
        .extend(job.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let log = bare.run_script("cd work && docker build --progress plain .")?;
    ensure!(log.contains("echo one"), "{log}");
    ensure!(expiry(bare)? > soon, "the keys were not renewed");
    let log = bare.run_script(&format!(
        "rm .config/remote-buildkit/logins.json; printf {} | docker-credential-remote-buildkit get",
        LAB.ecr
    ))?;
    ensure!(log.contains(r#""Username":"AWS""#), "{log}");
    Ok(())
}

#[test]
fn credentials_of_the_instance() -> Result<()> {
    let _namespace = Namespace::new("keys-instance")?;
    check_renewal(&mut BareMachine::new("keys-instance")?)
}

#[test]
fn credentials_of_pod_identity() -> Result<()> {
    let _namespace = Namespace::new("keys-pod")?;
    let mut bare = BareMachine::new("keys-pod")?;
    bare.machine
        .write("/opt/pod-token", &LAB.pod_identity_token, 0o644)?;
    bare.env = [
        ("AWS_ENDPOINT_URL", LAB.aws_endpoint.as_str()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &LAB.pod_identity),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/opt/pod-token"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    check_renewal(&mut bare)
}

#[test]
fn credentials_of_irsa() -> Result<()> {
    let _namespace = Namespace::new("keys-irsa")?;
    let mut bare = BareMachine::new("keys-irsa")?;
    let claims = json!({"claims": {"iss": LAB.issuer, "sub": "system:serviceaccount:default:runner"}});
    let response = emulator("/_stub/jwt", &claims)?;
    let token = response["value"].as_str().context("a token")?;
    bare.machine.write("/opt/web-identity", token, 0o644)?;
    bare.env = [
        ("AWS_ENDPOINT_URL", LAB.aws_endpoint.as_str()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/opt/web-identity"),
        ("AWS_ROLE_ARN", &crate::support::role("runner")),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    check_renewal(&mut bare)
}

#[test]
fn missing_credentials_list_the_sources() -> Result<()> {
    let mut bare = BareMachine::new("nowhere")?;
    bare.env = vec![("AWS_EC2_METADATA_DISABLED".into(), "true".into())];
    let log = bare.setup_fails(&[])?;
    ensure!(
        log.contains("No AWS credentials") && log.contains("instance profile"),
        "{log}"
    );
    let left = bare.machine.host_path("/home/runner/.config");
    ensure!(!left.exists(), "something of a builder is left");
    Ok(())
}
