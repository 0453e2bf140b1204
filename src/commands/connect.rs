//! `connect`: from the inputs to a selected builder that answers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use k8s_openapi::api::core::v1::Pod;
use kube::config::Kubeconfig;
use serde_json::json;

use super::selection::Selection;
use super::sign_in::sign_in;
use crate::agent::{Spec, state};
use crate::aws::{self, Session};
use crate::buildx::{self, Builder, Node};
use crate::cli::ConnectArgs;
use crate::cluster::{Buildkit, Cluster, Unauthorized};
use crate::inputs::{self, Deploy, Plan, Road};
use crate::problem::Problem;
use crate::report::{Report, say};
use crate::{github, kubeconfig};

pub async fn run(args: &ConnectArgs) -> anyhow::Result<()> {
    let plan = inputs::connect(args)?;
    buildx::check_installed()?;
    let selection = Selection::create(&plan.agent.name)?;
    let mut report = Report::start();
    let deadline = Instant::now() + plan.timeout;
    let connected = tokio::select! {
        result = connect(&plan, &selection, deadline, &mut report) => result,
        () = tokio::time::sleep_until((deadline + GRACE).into()) => Err(too_late(&plan, &report).into()),
        signal = interrupted() => signal.and_then(|name| anyhow::bail!("stopped by {name}")),
    };
    if connected.is_err() {
        // Nothing half-written stays; what the failure was matters more than what becomes of this.
        if let Err(error) = selection.remove() {
            say(&format!("could not clean up: {error:#}"));
        }
    }
    connected
}

/// For the wait on the agent to end first, which can say more.
const GRACE: Duration = Duration::from_secs(1);

fn too_late(plan: &Plan, report: &Report) -> Problem {
    Problem::new(
        "Timed out",
        format!(
            "Connecting took longer than the timeout of {} s; the last step that was done: {}.",
            plan.timeout.as_secs(),
            report.last()
        ),
        "Whatever comes after that step does not answer; see what this runner may reach, or give it more `timeout`.",
    )
}

async fn connect(
    plan: &Plan,
    selection: &Selection,
    deadline: Instant,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (kubeconfig, session) = road(&plan.road, selection, report).await?;
    kubeconfig::write(&kubeconfig, &selection.kubeconfig())?;

    let cluster = Cluster::open(kubeconfig, &plan.agent.namespace).await?;
    let agent = agent(&cluster, plan, deadline, report).await;
    let pod = match agent {
        Err(error) => return Err(known(error, session.as_ref()).await),
        Ok(pod) => pod,
    };
    let pod_name = pod.metadata.name.clone().unwrap_or_default();
    let container = state::container(&pod).context("the agent's pod has no container")?;

    let within = deadline.saturating_duration_since(Instant::now());
    let buildkit = cluster.probe(&pod_name, container, within).await?;
    report.done(&format!(
        "BuildKit {} answers from the pod {pod_name}: {}",
        buildkit.version,
        buildkit.platforms.join(", ")
    ));

    let builder = Builder {
        name: selection.builder.clone(),
        namespace: plan.agent.namespace.clone(),
        nodes: vec![Node {
            name: plan.agent.name.clone(),
        }],
    };
    outputs(&builder, &selection.kubeconfig(), &pod_name, &buildkit)?;
    selection.select(&builder)?;
    report.done(&format!("Builder {} is selected", builder.name));
    if !github::in_job() {
        say(&format!(
            "Undo with: remote-buildkit disconnect --builder {}",
            builder.name
        ));
    }
    Ok(())
}

/// The kubeconfig of this job, and the session of AWS behind it if there is one.
async fn road(
    road: &Road,
    selection: &Selection,
    report: &mut Report,
) -> anyhow::Result<(Kubeconfig, Option<Session>)> {
    match road {
        Road::Eks {
            cluster,
            region,
            role,
        } => {
            let session = sign_in(cluster, region.as_deref(), role.as_ref()).await?;
            session.write(&selection.session())?;
            report.done(&match &session.role {
                Some(role) => format!("Signed in as {}, session {}", role.arn, role.session_name),
                None => "Signed in with the default AWS credentials".to_owned(),
            });
            let endpoint = aws::describe_cluster(&session.keys, cluster, &session.place).await?;
            report.done(&format!(
                "Cluster {cluster} in {} is at {}",
                session.place.region, endpoint.url
            ));
            let program = std::env::current_exe().context("finding this program's own path")?;
            let config = kubeconfig::with_plugin(
                &endpoint.url,
                &endpoint.certificate_authority,
                &program,
                &selection.session(),
            );
            Ok((config, Some(session)))
        }
        Road::Kubeconfig { path, context } => {
            let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
            Ok((kubeconfig::excerpt(&path, context.as_deref())?, None))
        }
        Road::InCluster => Ok((kubeconfig::in_cluster()?, None)),
    }
}

/// A ready pod of the agent, deployed if need be.
async fn agent(
    cluster: &Cluster,
    plan: &Plan,
    deadline: Instant,
    report: &mut Report,
) -> anyhow::Result<Pod> {
    let Spec { name, namespace, .. } = &plan.agent;
    match cluster.deployment(name).await? {
        Some(deployment) => {
            state::usable(&deployment).map_err(|why| unusable(&plan.agent, &why))?;
            let whose = if state::is_ours(&deployment) {
                ""
            } else {
                ", made by others and left as it is"
            };
            report.done(&format!("Agent {namespace}/{name} is there{whose}"));
            if !state::has_volume(&deployment) {
                Report::detail("it has no persistent volume: its cache ends with its pod");
            }
        }
        None if plan.deploy == Deploy::Never => return Err(absent(cluster, &plan.agent).into()),
        None => {
            cluster.deploy(&plan.agent).await?;
            report.done(&format!("Agent {namespace}/{name} was absent and is deployed"));
        }
    }
    let pods = cluster.pods(name).await?;
    if let Some(pod) = state::ready_pod(&pods) {
        return Ok(pod.clone());
    }
    let pod = cluster.wait_ready(name, deadline, Report::detail).await?;
    report.done("Agent is ready");
    Ok(pod)
}

fn absent(cluster: &Cluster, spec: &Spec) -> Problem {
    Problem::new(
        "No agent",
        format!(
            "Looked for the Deployment {} in the namespace {} of {} and there is none; `deploy: never` forbids to \
             deploy it.",
            spec.name,
            spec.namespace,
            cluster.server()
        ),
        "Deploy it (remote-buildkit manifests prints what to apply), correct `name` or `namespace`, or set `deploy: \
         if-absent`.",
    )
}

fn unusable(spec: &Spec, why: &str) -> Problem {
    Problem::new(
        "Agent not usable",
        format!(
            "Found the Deployment {} in the namespace {}, and buildx cannot use it: {why}.",
            spec.name, spec.namespace
        ),
        "Mend that Deployment, or set `name` to that of another agent.",
    )
}

/// The cluster did not accept our token: say who we are, for only that can be entered there.
async fn known(error: anyhow::Error, session: Option<&Session>) -> anyhow::Error {
    let Some(Unauthorized { what }) = error.downcast_ref() else {
        return error;
    };
    let title = "Not known to the cluster";
    let Some(session) = session else {
        let remedy = "Check that the credentials of that kubeconfig are still good: kubectl auth whoami.";
        return Problem::new(title, what, remedy).into();
    };
    let principal = match &session.role {
        Some(role) => role.arn.clone(),
        None => {
            let caller = aws::caller(&session.keys, &session.place).await;
            caller.unwrap_or_else(|| "PRINCIPAL_ARN".into())
        }
    };
    Problem::new(
        title,
        format!("{what} The token is of {principal}."),
        format!(
            "Add an access entry: aws eks create-access-entry --region {} --cluster-name {} --principal-arn \
             {principal} --kubernetes-groups remote-buildkit; then bind the Role of the README to that group.",
            session.place.region, session.cluster
        ),
    )
    .into()
}

/// As setup-buildx-action sets them, and the two that are ours.
fn outputs(
    builder: &Builder,
    kubeconfig: &std::path::Path,
    pod: &str,
    buildkit: &Buildkit,
) -> anyhow::Result<()> {
    let endpoint = builder.endpoint(kubeconfig);
    let platforms = buildkit.platforms.join(",");
    let node = |node: &Node| {
        json!({
            "name": node.name,
            "endpoint": endpoint,
            "driver-opts": [format!("namespace={}", builder.namespace)],
            "status": "running",
            "buildkit": buildkit.version,
            "platforms": platforms,
        })
    };
    let nodes: Vec<_> = builder.nodes.iter().map(node).collect();
    for (name, value) in [
        ("name", builder.name.as_str()),
        ("driver", "kubernetes"),
        ("endpoint", &endpoint),
        ("platforms", &platforms),
        ("nodes", &json!(nodes).to_string()),
        ("kubeconfig", &kubeconfig.to_string_lossy()),
        ("agent", pod),
    ] {
        github::set_output(name, value)?;
    }
    Ok(())
}

/// The runner, or Ctrl-C, wants us to end.
async fn interrupted() -> anyhow::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    })
}
