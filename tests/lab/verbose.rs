//! The debug log lists every request and no secret.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use jiff::SignedDuration;

use crate::support::{LAB, Namespace, Runner, SessionFile, role};

fn requests(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains(" -> ")).collect()
}

#[test]
fn requests_are_listed_without_secrets() -> Result<()> {
    let _namespace = Namespace::new("verbose")?;
    let mut runner = Runner::new()?;
    let role = role("ci");
    let mut command = runner.connect_command_with_only(&[
        ("cluster", &LAB.cluster),
        ("region", &LAB.region),
        ("namespace", "verbose"),
    ]);
    command.env("INPUT_ROLE-TO-ASSUME", &role).arg("--verbose");
    let connected = runner.step(command)?.ok()?;
    let listed = requests(&connected.log);
    for part in [
        format!("GET {}&audience=sts.amazonaws.com -> 200", LAB.oidc_url),
        format!("POST {}/ -> 200, request ", LAB.aws_endpoint),
        format!("GET {}/clusters/{} -> 200", LAB.aws_endpoint, LAB.cluster),
        format!(
            "GET {}/apis/apps/v1/namespaces/verbose/deployments/remote-buildkit-agent -> 404, request ",
            LAB.api_server
        ),
        "?dryRun=All&fieldManager=remote-buildkit -> 201, request ".to_owned(),
        "/exec?container=".to_owned(),
        " -> 101".to_owned(),
        " ms)".to_owned(),
    ] {
        ensure!(
            listed.iter().any(|line| line.contains(&part)),
            "no {part} in {listed:#?}"
        );
    }

    // A build calls the plugin, which signs in again when the keys have expired. The job's debug logging turns on its
    // log, because no user calls it with flags.
    let kubeconfig = &connected.outputs["kubeconfig"];
    let mut first = SessionFile::beside(kubeconfig)?;
    first.expire_in(SignedDuration::from_mins(-1))?;
    runner.env.insert("ACTIONS_STEP_DEBUG".into(), "true".into());
    let built = runner.build("RUN echo built")?;
    let listed = requests(&built);
    ensure!(listed.iter().any(|line| line.contains("idtoken")), "{built}");
    ensure!(
        listed
            .iter()
            .any(|line| line.contains(&format!("POST {}/ -> 200", LAB.aws_endpoint))),
        "{built}"
    );

    // The values that the program masks must not appear. The mask commands themselves are only for the runner.
    let masks = "::add-mask::";
    let masked = connected.log.lines().filter_map(|line| line.strip_prefix(masks));
    let mut secrets: BTreeSet<String> = masked.map(str::to_owned).collect();
    ensure!(
        secrets.len() == 3,
        "JWT, key and session token are masked: {}",
        secrets.len()
    );
    for session in [first, SessionFile::beside(kubeconfig)?] {
        secrets.extend(session.secrets()?.map(str::to_owned));
    }
    ensure!(secrets.len() == 5, "the keys are renewed");
    secrets.insert(LAB.oidc_request_token.clone());
    secrets.extend(["k8s-aws-v1.", "eyJ", "Bearer "].map(str::to_owned));
    let shown = connected.log.lines().filter(|line| !line.starts_with(masks));
    for line in shown.chain(built.lines()) {
        for secret in &secrets {
            ensure!(!line.contains(secret), "{secret} is in {line}");
        }
    }
    Ok(())
}

#[test]
fn requests_are_not_listed_by_default() -> Result<()> {
    let _namespace = Namespace::new("terse")?;
    let mut runner = Runner::new()?;
    let connected = runner.connect(&[("namespace", "terse")])?.ok()?;
    ensure!(requests(&connected.log).is_empty(), "{}", connected.log);
    Ok(())
}
