//! ECR logins without a login step: the Docker credential helper alone, in a job, and with docker's own commands.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use lab::Job;
use serde_json::{Value, json};

use crate::support::{BareMachine, LAB, Namespace, Runner, checkout, count_requests, role};

const OPERATION: &str = "GetAuthorizationToken";
/// The message by which clients recognize that there is no login, as docker's own helpers print it
/// (docker/docker-credential-helpers).
const NOT_FOUND: &str = "credentials not found in native keychain";

/// Returns the ID of the AWS access key that a job signs with.
fn key(runner: &Runner) -> Result<String> {
    let session = Path::new(&runner.env["REMOTE_BUILDKIT_SESSION"]).join("session.json");
    let session: Value = serde_json::from_slice(&std::fs::read(session)?)?;
    Ok(session["keys"]["access_key_id"]
        .as_str()
        .context("a key")?
        .to_owned())
}

#[test]
fn credential_helper_follows_dockers_protocol() -> Result<()> {
    let _namespace = Namespace::new("helper")?;
    let mut runner = Runner::new()?;
    let before = runner.tree()?;
    runner
        .connect(&[("namespace", "helper"), ("ecr", "auto, public")])?
        .ok()?;
    let config: Value = serde_json::from_slice(&std::fs::read(runner.home.join(".docker/config.json"))?)?;
    let helpers = json!({"public.ecr.aws": "remote-buildkit", (LAB.ecr.as_str()): "remote-buildkit"});
    ensure!(config["credHelpers"] == helpers, "{config}");

    // connect has requested both passwords; the helper requests none.
    let key = key(&runner)?;
    let so_far = count_requests(OPERATION, &key)?;
    assert_eq!(so_far, 2);
    for host in [LAB.ecr.as_str(), "public.ecr.aws"] {
        // docker ends its request with a line break.
        let (code, printed) = runner.credential_helper("get", &format!("{host}\n"))?;
        let login: Value = serde_json::from_str(&printed).with_context(|| printed.clone())?;
        ensure!(
            code == Some(0) && login["ServerURL"] == *host && login["Username"] == "AWS",
            "{printed}"
        );
        ensure!(
            login["Secret"].as_str().is_some_and(|secret| secret.len() > 100),
            "no password"
        );
    }
    assert_eq!(
        count_requests(OPERATION, &key)?,
        so_far,
        "the helper requested a cached password"
    );
    for (action, input, expected) in [
        ("get", "docker.io", NOT_FOUND),
        ("get", "", "no credentials server URL"),
        ("erase", "\n", "no credentials server URL"),
        (
            "store",
            r#"{"Username":"u","Secret":"s"}"#,
            "no credentials server URL",
        ),
        (
            "store",
            r#"{"ServerURL":"a.example","Secret":"s"}"#,
            "no credentials username",
        ),
    ] {
        let (code, printed) = runner.credential_helper(action, input)?;
        ensure!(
            code == Some(1) && printed == expected,
            "{action} {input}: {code:?} {printed}"
        );
    }
    let list = json!({"public.ecr.aws": "AWS", (LAB.ecr.as_str()): "AWS"});
    assert_eq!(
        serde_json::from_str::<Value>(&runner.credential_helper("list", "")?.1)?,
        list
    );
    let (code, version) = runner.credential_helper("version", "")?;
    ensure!(
        code == Some(0) && version.contains("remote-buildkit"),
        "{version}"
    );
    assert_eq!(runner.credential_helper("make", "")?.0, Some(1));

    // A step's own login wins, until it logs out.
    let own_login = json!({"ServerURL": LAB.ecr, "Username": "me", "Secret": "mine"});
    assert_eq!(
        runner.credential_helper("store", &own_login.to_string())?,
        (Some(0), String::new())
    );
    let got: Value = serde_json::from_str(&runner.credential_helper("get", &LAB.ecr)?.1)?;
    assert_eq!(got, own_login);
    ensure!(
        runner.credential_helper("list", "")?.1.contains(r#""me""#),
        "the list has another user"
    );
    assert_eq!(
        runner.credential_helper("erase", &LAB.ecr)?,
        (Some(0), String::new())
    );
    ensure!(
        runner.credential_helper("get", &LAB.ecr)?.1.contains(r#""AWS""#),
        "still the step's"
    );

    runner.disconnect()?.ok()?;
    assert_eq!(runner.tree()?, before);
    Ok(())
}

/// A password is renewed half an hour before it expires, and so are the keys that it is requested with.
#[test]
fn password_is_renewed_before_it_expires() -> Result<()> {
    let _namespace = Namespace::new("hour-six")?;
    let mut runner = Runner::new()?;
    runner
        .connect(&[("namespace", "hour-six"), ("ecr", "auto")])?
        .ok()?;
    let key = key(&runner)?;
    let at_first = runner.credential_helper("get", &LAB.ecr)?.1;
    assert_eq!(count_requests(OPERATION, &key)?, 1, "connect's own");
    let logins = Path::new(&runner.env["REMOTE_BUILDKIT_SESSION"]).join("logins.json");
    let mut content: Value = serde_json::from_slice(&std::fs::read(&logins)?)?;
    for login in content["ecr"].as_object_mut().context("ECR logins")?.values_mut() {
        login["expires"] = (Timestamp::now() + SignedDuration::from_mins(28))
            .to_string()
            .into();
    }
    std::fs::write(&logins, content.to_string())?;
    let renewed = runner.credential_helper("get", &LAB.ecr)?.1;
    ensure!(renewed != at_first, "the old password");
    assert_eq!(runner.credential_helper("get", &LAB.ecr)?.1, renewed);
    assert_eq!(count_requests(OPERATION, &key)?, 2);
    runner.disconnect()?.ok()?;
    Ok(())
}

const WORKFLOW: &str = r#"
on: push
permissions: { id-token: write, contents: read }
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v7
      - uses: ./
        with: { cluster: CLUSTER, region: REGION, role-to-assume: "ROLE", namespace: ecr-job, ecr: auto, patch: 'PATCH' }
      - uses: docker/build-push-action@v7
        with: { push: true, tags: "ECR/job:base" }
      - uses: docker/build-push-action@v7
        with: { push: true, file: Again, no-cache: true, tags: "ECR/job:again" }
"#;

#[test]
fn job_pushes_and_pulls() -> Result<()> {
    let _namespace = Namespace::new("ecr-job")?;
    let names = json!({"spec": {"template": {"spec": {
        "hostAliases": [{"ip": LAB.ecr_ip, "hostnames": [LAB.ecr]}]}}}});
    let workflow = WORKFLOW
        .replace("CLUSTER", &LAB.cluster)
        .replace("REGION", &LAB.region)
        .replace("ROLE", &role("ci"))
        .replace("PATCH", &names.to_string())
        .replace("ECR", &LAB.ecr);
    let checkout = checkout(&[
        (".github/workflows/build.yml", &workflow),
        (
            "Dockerfile",
            &format!("FROM {}/busybox\nRUN echo one > /one\n", LAB.registry),
        ),
        ("Again", &format!("FROM {}/job:base\nRUN cat /one\n", LAB.ecr)),
    ])?;
    let job = Job::run(&LAB, &checkout, ".github/workflows/build.yml", |_| ())?.ok()?;
    ensure!(
        job.log.contains(&format!("Logged in to {}", LAB.ecr)),
        "{}",
        job.log
    );
    ensure!(job.log.contains("pushing manifest for"), "{}", job.log);
    ensure!(
        !job.home().join(".docker/config.json").exists(),
        "docker's config is left"
    );
    Ok(())
}

/// Runs docker's own commands on a machine where ECR's host name resolves to the lab's registry and its certificate
/// is trusted.
#[test]
fn docker_login_and_logout_use_the_helper() -> Result<()> {
    let _namespace = Namespace::new("ecr-docker")?;
    let bare = BareMachine::new("ecr-docker")?;
    bare.install_docker_cli()?;
    bare.machine.add_hosts(&LAB.ecr_ip, &[&LAB.ecr])?;
    let bundle = bare.machine.host_path("/etc/ssl/certs/ca-certificates.crt");
    let trusted = [std::fs::read(&bundle)?, std::fs::read(&LAB.registry_ca)?].concat();
    std::fs::write(&bundle, trusted)?;
    bare.repository("RUN echo one")?;
    bare.set_up(&["--ecr=auto"])?;
    let image = format!("{}/docker:latest", LAB.ecr);
    bare.run_script(&format!("cd work && docker build --push -t {image} ."))?;
    // Here buildx itself contacts the registry, with the helper's login.
    let inspected = bare.run_script(&format!("docker buildx imagetools inspect {image}"))?;
    ensure!(inspected.contains("application/vnd.oci.image"), "{inspected}");

    let get = format!("echo {} | docker-credential-remote-buildkit get", LAB.ecr);
    let login: Value = serde_json::from_str(&bare.run_script(&get)?)?;
    let password = login["Secret"].as_str().context("a password")?;
    bare.machine.write("/tmp/password", password, 0o644)?;
    let printed = bare.run_script(&format!(
        "docker login {} -u AWS --password-stdin < /tmp/password",
        LAB.ecr
    ))?;
    ensure!(printed.contains("Login Succeeded"), "{printed}");
    let logins = bare.json(".config/remote-buildkit/logins.json")?;
    ensure!(
        logins["stored"][&LAB.ecr]["user"] == "AWS",
        "docker gave the helper nothing"
    );
    bare.run_script(&format!("docker logout {}", LAB.ecr))?;
    let logins = bare.json(".config/remote-buildkit/logins.json")?;
    ensure!(
        logins["stored"] == json!({}),
        "docker logged out and the login is kept"
    );
    let config = bare.json(".docker/config.json")?;
    ensure!(config["credHelpers"][&LAB.ecr] == "remote-buildkit", "{config}");
    bare.run_script(&format!("docker buildx imagetools inspect {image}"))?;
    Ok(())
}

#[test]
fn existing_login_is_kept() -> Result<()> {
    let _namespace = Namespace::new("ecr-own")?;
    let mut runner = Runner::new()?;
    let own = format!(
        "{{\"auths\": {{\"{}\": {{\"auth\": \"bWU6bWluZQ==\"}}}}}}",
        LAB.ecr
    );
    let config = runner.home.join(".docker/config.json");
    std::fs::write(&config, &own)?;
    let connected = runner
        .connect(&[("namespace", "ecr-own"), ("ecr", "auto")])?
        .ok()?;
    ensure!(connected.log.contains("keeps the login"), "{}", connected.log);
    assert_eq!(std::fs::read_to_string(&config)?, own);
    runner.disconnect()?.ok()?;
    assert_eq!(std::fs::read_to_string(&config)?, own);
    Ok(())
}
