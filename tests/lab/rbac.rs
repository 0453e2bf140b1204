//! Each Role of `manifests --rbac` is sufficient for its purpose; no other permission is needed.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::support::{Namespace, Runner, program, role, run};

/// Binds one of the Roles, and nothing else, to the group of the AWS role `ci-no-rbac`.
pub(crate) fn grant(namespace: &Namespace, name: &str) -> Result<()> {
    let flags = ["manifests", "--rbac", "--namespace", &namespace.0];
    let text = run(Command::new(program()).args(flags))?;
    let matches = |document: &&str| {
        document.contains("kind: Role\n") && document.contains(&format!("name: remote-buildkit-{name}\n"))
    };
    let document = text
        .split("---\n")
        .find(matches)
        .with_context(|| format!("no Role {name} in {text}"))?;
    namespace.apply(document)?;
    let _ = namespace.kubectl(&["delete", "rolebinding", "job"]);
    let role = format!("--role=remote-buildkit-{name}");
    namespace.kubectl(&[
        "create",
        "rolebinding",
        "job",
        &role,
        "--group=nobody-in-particular",
    ])?;
    Ok(())
}

#[test]
fn each_role_is_sufficient() -> Result<()> {
    let namespace = Namespace::new("roles")?;
    let role = role("ci-no-rbac");
    let inputs = [("namespace", "roles"), ("role-to-assume", role.as_str())];

    // The Role `use` is not enough to deploy an agent.
    grant(&namespace, "use")?;
    let refused = Runner::new()?.connect(&inputs)?;
    ensure!(refused.code == Some(1), "{}", refused.log);
    for words in [
        "Cluster denied permission (403)",
        "The agent roles/remote-buildkit-agent does not exist, and this identity has no permission to deploy it",
        "Ask an administrator to run `remote-buildkit setup`",
        "or connect with the Role remote-buildkit-deploy",
    ] {
        ensure!(refused.log.contains(words), "{words} is not in {}", refused.log);
    }
    ensure!(
        namespace.names("pvc,deployment")?.is_empty(),
        "part of an agent was created"
    );

    // The Role `deploy` is enough to deploy an agent and to report its startup.
    grant(&namespace, "deploy")?;
    let mut runner = Runner::new()?;
    let deployed = runner.connect(&inputs)?.ok()?;
    for step in ["volume bound", "image pulled", "container started", "ready"] {
        ensure!(
            deployed.log.contains(&format!(": {step} (")),
            "{step} not reported: {}",
            deployed.log
        );
    }
    runner.build("RUN echo built")?;

    // It is also enough to update the agent.
    let always = [("deploy", "always"), ("max-parallelism", "2")];
    let updated = Runner::new()?.connect(&[&inputs[..], &always].concat())?.ok()?;
    ensure!(updated.log.contains("Updated agent"), "{}", updated.log);

    // For an existing agent the Role `use` alone is enough, also to report that the agent differs.
    grant(&namespace, "use")?;
    let mut runner = Runner::new()?;
    let used = runner.connect(&inputs)?.ok()?;
    ensure!(used.log.contains("Found agent"), "{}", used.log);
    ensure!(used.log.contains("it differs from the inputs"), "{}", used.log);
    runner.build("RUN echo built")?;
    Ok(())
}

/// If the server would reject one object, connect applies none of them: it makes a dry run first.
#[test]
fn incomplete_permissions_create_nothing() -> Result<()> {
    let namespace = Namespace::new("half")?;
    grant(&namespace, "deploy")?;
    let role_json = r#"[{"op": "replace", "path": "/rules/0/verbs", "value": ["get"]}]"#;
    namespace.kubectl(&[
        "patch",
        "role",
        "remote-buildkit-deploy",
        "--type=json",
        "-p",
        role_json,
    ])?;
    let role = role("ci-no-rbac");
    let refused = Runner::new()?.connect(&[("namespace", "half"), ("role-to-assume", &role)])?;
    ensure!(refused.code == Some(1), "{}", refused.log);
    ensure!(
        refused
            .log
            .contains("resources: [deployments], verbs: [create, patch]"),
        "{}",
        refused.log
    );
    let configs = namespace.names("configmap")?;
    ensure!(
        !configs.contains(&"remote-buildkit-agent".to_owned()),
        "{configs:?}"
    );
    ensure!(namespace.names("pvc")?.is_empty(), "a claim was created");
    Ok(())
}
