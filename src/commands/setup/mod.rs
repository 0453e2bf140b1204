//! The command `setup`: prepares an AWS account and a cluster for the jobs of repositories. For administrators; never part of
//! a job.

mod apply;
mod look;

use std::sync::Arc;
use std::time::Instant;

use super::cluster_access;
use super::confirm::{Question, ask, with_deadline};
use super::guard::{self, Guard};
use super::job_state::JobState;
use crate::agent::Spec;
use crate::aws::{self, Session};
use crate::cli::SetupArgs;
use crate::cluster::Cluster;
use crate::error_code::ErrorCode;
use crate::inputs::{self, Setup};
use crate::problem::Problem;
use crate::report::{Report, say};
use crate::retry::Retrier;
use crate::setup::account::AwsTarget;
use crate::setup::plan::{Action, Conflict, Step};
use crate::setup::{group, workflow};

pub fn run(args: &SetupArgs) -> anyhow::Result<()> {
    let setup = inputs::setup(args)?;
    guard::block_on(run_async(Arc::new(setup)))
}

/// Sets up, and in any case removes this command's own credentials.
async fn run_async(setup: Arc<Setup>) -> anyhow::Result<()> {
    let mut guard = Guard::listen()?;
    let job_state = Arc::new(JobState::create(&setup.agents.spec.name)?);
    let done = set_up(&mut guard, &setup, &job_state).await;
    let discarded = job_state.discard();
    done.and(discarded)
}

/// What exists, and the steps that are missing.
#[derive(Debug, Clone)]
struct Found {
    cluster: Cluster,
    session: Option<Session>,
    target: Option<AwsTarget>,
    /// The agents, with the StorageClass that was chosen for them.
    agents: Vec<Spec>,
    steps: Vec<Step>,
}

const MODE: Question = Question {
    text: "The cluster's authentication mode becomes API_AND_CONFIG_MAP. This cannot be undone. Change it?",
    asks: "setup asks before it changes the cluster's authentication mode to API_AND_CONFIG_MAP, which cannot be undone; \
           `--yes` does not answer that",
    flag: "--change-authentication-mode",
};

const APPLY: Question = Question {
    text: "Make these changes?",
    asks: "setup asks before it changes anything",
    flag: "--yes",
};

/// Looks, prints the plan, asks, and carries it out. Looking, changing and waiting have a deadline each.
async fn set_up(guard: &mut Guard, setup: &Arc<Setup>, job_state: &Arc<JobState>) -> anyhow::Result<()> {
    let report = Report::start();
    let look = |retrier| look::look(setup.clone(), job_state.clone(), report.clone(), retrier);
    let found = with_deadline(guard, "setup", setup.timeout, look).await?;
    say(&format!("Plan for the cluster at {}:", found.cluster.server()));
    for line in found.steps.iter().flat_map(Step::lines) {
        say(&format!("  {line}"));
    }
    if found.steps.iter().all(|step| step.action.is_none()) {
        say("Everything exists; nothing to change");
    } else {
        if !confirmed(guard, setup, &found.steps).await? {
            say("Nothing was changed");
            return Ok(());
        }
        let apply = |retrier| apply::apply(found.clone(), report.clone(), retrier);
        with_deadline(guard, "setup", setup.timeout, apply).await?;
    }
    let deadline = Instant::now() + setup.timeout;
    let wait = |retrier| wait_for_agents(found.clone(), report.clone(), deadline, retrier);
    with_deadline(guard, "setup", setup.timeout, wait).await?;
    finish(setup, &found);
    Ok(())
}

/// Asks whether to make the changes. The change that cannot be undone has a question of its own.
async fn confirmed(guard: &mut Guard, setup: &Setup, steps: &[Step]) -> anyhow::Result<bool> {
    let changes_mode = steps
        .iter()
        .any(|step| step.action == Some(Action::ChangeAuthenticationMode));
    let may_change_mode = setup
        .aws
        .as_ref()
        .is_some_and(|aws| aws.change_authentication_mode);
    if changes_mode && !may_change_mode {
        if !setup.ask {
            return Err(mode_confirmation_required().into());
        }
        if !ask(guard, MODE).await? {
            return Ok(false);
        }
    }
    if setup.ask {
        ask(guard, APPLY).await
    } else {
        Ok(true)
    }
}

fn mode_confirmation_required() -> Problem {
    let Question { asks, flag, .. } = MODE;
    Problem::new(
        ErrorCode::ConfirmationRequired,
        format!("{asks}. Nothing was changed."),
        format!("Add `{flag}`, or run it without `--yes` in a terminal."),
    )
}

/// Waits until each agent is ready and its BuildKit responds.
async fn wait_for_agents(
    found: Found,
    report: Report,
    deadline: Instant,
    retrier: Retrier,
) -> anyhow::Result<()> {
    let Found {
        cluster,
        session,
        agents,
        ..
    } = found;
    let cluster = cluster.with_retrier(retrier);
    for Spec { name, namespace, .. } in &agents {
        let log = |line: &str| Report::waiting(&format!("{name}: {line}"));
        let answer = async {
            cluster.wait_ready(name, deadline, log).await?;
            cluster.probe(name).await
        };
        match answer.await {
            Ok(status) => report.done(&format!(
                "Agent {namespace}/{name} is ready: BuildKit {} responds",
                status.buildkit.version
            )),
            Err(error) => return Err(explain(error, session.as_ref()).await),
        }
    }
    Ok(())
}

/// Prints what a repository needs now.
fn finish(setup: &Setup, found: &Found) {
    let Spec { namespace, name, .. } = &setup.agents.spec;
    match &found.target {
        Some(target) => say(&format!(
            "Done. A workflow for the repository, such as .github/workflows/build.yml:\n\n{}",
            workflow::workflow(target, namespace, name).trim_end()
        )),
        None => say(&format!(
            "Done. Jobs build with the identity of their kubeconfig: it must be in the group {}; or bind it to the Role: \
             kubectl create rolebinding NAME --namespace {namespace} --role remote-buildkit-use --user USER",
            group(namespace)
        )),
    }
}

/// Returns the error for something that `setup` must not change.
fn conflict(conflict: Conflict) -> Problem {
    Problem::new(ErrorCode::SetupConflict, conflict.what, conflict.remedy)
}

/// Adds the identity to the error of a cluster that rejected it. An administrator needs another access entry than a job.
async fn explain(error: impl Into<anyhow::Error>, session: Option<&Session>) -> anyhow::Error {
    let error = cluster_access::explain_unauthorized(error, session).await;
    let cluster = session.and_then(|session| Some((session, session.cluster.as_ref()?)));
    match (error.downcast::<Problem>(), cluster) {
        (Ok(problem), Some((session, cluster))) if problem.code == ErrorCode::Unauthorized => {
            let principal = aws::caller_arn(session).await;
            let principal = principal.unwrap_or_else(|_| "PRINCIPAL_ARN".into());
            administrator_unknown(problem, &principal, cluster, &session.region.name).into()
        }
        (Ok(problem), _) => problem.into(),
        (Err(error), _) => error,
    }
}

fn administrator_unknown(problem: Problem, principal: &str, cluster: &str, region: &str) -> Problem {
    let names = format!("--region {region} --cluster-name {cluster} --principal-arn {principal}");
    Problem {
        remedy: format!(
            "Run it as an administrator of the cluster, or make this identity one: aws eks create-access-entry {names} && aws \
             eks associate-access-policy {names} --access-scope type=cluster --policy-arn \
             arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
        ),
        ..problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_setup() {
        let unauthorized = Problem::new(
            ErrorCode::Unauthorized,
            "API server https://k8s.example.com answered `get namespaces` with 401: Unauthorized.",
            "",
        );
        let errors = [
            mode_confirmation_required(),
            conflict(Conflict {
                what: "The IAM role exists.".into(),
                remedy: "Choose another name.".into(),
            }),
            administrator_unknown(
                unauthorized,
                "arn:aws:iam::123456789012:user/ada",
                "shop",
                "us-west-2",
            ),
        ];
        insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n\n"));
    }
}
