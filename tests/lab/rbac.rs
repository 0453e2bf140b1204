//! The Roles of examples/rbac.yaml are enough, and no more than that is needed.

use anyhow::{Context, Result, ensure};

use crate::support::{Namespace, Runner, kubectl, role};

/// A document of examples/rbac.yaml, for this test's namespace and for the group that the role `ci-no-rbac` is in.
fn document(kind: &str, name: &str, namespace: &Namespace) -> Result<String> {
    let text = include_str!("../../examples/rbac.yaml");
    let of = |document: &&str| {
        document.contains(&format!("\nkind: {kind}\n")) && document.contains(&format!("{{name: {name},"))
    };
    let document = text
        .split("\n---\n")
        .find(of)
        .with_context(|| format!("no {kind} {name}"))?;
    Ok(document
        .replace("namespace: buildkit", &format!("namespace: {}", namespace.0))
        .replace(
            "kind: Group, name: remote-buildkit",
            "kind: Group, name: nobody-in-particular",
        ))
}

fn grant(namespace: &Namespace, name: &str) -> Result<()> {
    namespace.apply(&document("Role", name, namespace)?)?;
    namespace.apply(&document("RoleBinding", name, namespace)?)
}

#[test]
fn the_examples_roles_are_enough() -> Result<()> {
    let namespace = Namespace::new("roles")?;
    let role = role("ci-no-rbac");
    let inputs = [("namespace", "roles"), ("role-to-assume", role.as_str())];

    // To use an agent: not enough to deploy one.
    grant(&namespace, "remote-buildkit-use")?;
    let refused = Runner::new()?.connect(&inputs)?;
    ensure!(refused.code == Some(1), "{}", refused.log);
    ensure!(
        refused.log.contains("No permission in the cluster"),
        "{}",
        refused.log
    );
    ensure!(
        namespace.names("pvc,deployment")?.is_empty(),
        "half of an agent was made"
    );

    // To deploy it, and to say what its start waits for.
    grant(&namespace, "remote-buildkit-deploy")?;
    let mut runner = Runner::new()?;
    let deployed = runner.connect(&inputs)?.ok()?;
    for step in ["volume bound", "image pulled", "container started", "ready"] {
        ensure!(
            deployed.log.contains(&format!("  {step} (")),
            "{step} not said: {}",
            deployed.log
        );
    }
    runner.build("RUN echo built")?;

    // The agent is there: to use it, the first Role alone.
    kubectl(&["-n", "roles", "delete", "rolebinding", "remote-buildkit-deploy"])?;
    let mut runner = Runner::new()?;
    let used = runner.connect(&inputs)?.ok()?;
    ensure!(used.log.contains("is there"), "{}", used.log);
    runner.build("RUN echo built")?;
    Ok(())
}

/// What may not be applied whole is not begun: the server is asked first.
#[test]
fn half_a_permission_makes_no_half_an_agent() -> Result<()> {
    let namespace = Namespace::new("half")?;
    grant(&namespace, "remote-buildkit-use")?;
    grant(&namespace, "remote-buildkit-deploy")?;
    let role_json = r#"[{"op": "remove", "path": "/rules/0"}]"#;
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
    ensure!(namespace.names("pvc")?.is_empty(), "a claim was made");
    Ok(())
}
