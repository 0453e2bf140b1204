//! `connect`: from the inputs to a selected builder that answers.

mod agent;
mod signals;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use kube::config::Kubeconfig;
use serde_json::json;

use super::selection::Selection;
use super::sign_in::sign_in;
use crate::aws::{self, Session};
use crate::buildx::{self, Builder, Node};
use crate::cli::ConnectArgs;
use crate::cluster::{Buildkit, Cluster};
use crate::inputs::{self, Plan, Road};
use crate::problem::Problem;
use crate::report::{Report, say};
use crate::{github, kubeconfig};
use signals::Signals;

pub fn run(args: &ConnectArgs) -> anyhow::Result<()> {
    let plan = inputs::connect(args)?;
    buildx::check_installed()?;
    // Two threads: the client runs a plugin of the kubeconfig and blocks one until the plugin has answered. The other
    // goes on turning the clock, so that the deadline and signals end the step all the same.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")?;
    let connected = runtime.block_on(guarded(Arc::new(plan)));
    runtime.shutdown_background();
    connected
}

/// Connects, or leaves nothing behind.
async fn guarded(plan: Arc<Plan>) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let selection = Arc::new(Selection::create(&plan.agent.name)?);
    let report = Report::start();
    let deadline = Instant::now() + plan.timeout;
    let work = tokio::spawn(reach(plan.clone(), selection.clone(), deadline, report.clone()));
    let reached = tokio::select! {
        reached = work => reached.context("the work ended by itself").flatten(),
        () = tokio::time::sleep_until((deadline + GRACE).into()) => Err(too_late(&plan, &report).into()),
        name = signals.next() => Err(anyhow::anyhow!("stopped by {name}")),
    };
    let connected = reached.and_then(|reached| select(&plan, &selection, &reached, &report));
    if connected.is_err() {
        // What the failure was matters more than what becomes of this.
        if let Err(error) = selection.discard() {
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

/// An agent that answers.
struct Reached {
    pod: String,
    buildkit: Buildkit,
}

async fn reach(
    plan: Arc<Plan>,
    selection: Arc<Selection>,
    deadline: Instant,
    report: Report,
) -> anyhow::Result<Reached> {
    let (kubeconfig, session) = road(&plan.road, &selection, &report).await?;
    kubeconfig::write(&kubeconfig, &selection.kubeconfig())?;
    let cluster = Cluster::open(kubeconfig, &plan.agent.namespace).await?;
    let ready = agent::ready(&cluster, &plan, deadline, &report).await;
    let within = deadline.saturating_duration_since(Instant::now());
    let found = match ready {
        Ok(()) => cluster.probe(&plan.agent.name, within).await,
        Err(error) => Err(error),
    };
    let (pod, buildkit) = match found {
        Ok(found) => found,
        Err(error) => return Err(agent::named(error, session.as_ref()).await),
    };
    report.done(&format!(
        "BuildKit {} answers from the pod {pod}: {}",
        buildkit.version,
        buildkit.platforms.join(", ")
    ));
    Ok(Reached { pod, buildkit })
}

/// Tells the job of the builder, and buildx, last: where this fails, nothing is selected.
fn select(plan: &Plan, selection: &Selection, reached: &Reached, report: &Report) -> anyhow::Result<()> {
    let builder = Builder {
        name: selection.builder.clone(),
        namespace: plan.agent.namespace.clone(),
        nodes: vec![Node {
            name: plan.agent.name.clone(),
        }],
    };
    outputs(&builder, &selection.kubeconfig(), reached)?;
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
    report: &Report,
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

/// As setup-buildx-action sets them, and the two that are ours.
fn outputs(builder: &Builder, kubeconfig: &Path, reached: &Reached) -> anyhow::Result<()> {
    let Reached { pod, buildkit } = reached;
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
