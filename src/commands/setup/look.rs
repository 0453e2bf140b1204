//! Looks at what exists, and plans what is to be done. Changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Found, conflict, explain};
use crate::agent::Spec;
use crate::aws::{EksAccess, Iam, Session};
use crate::cluster::{Cluster, ClusterError};
use crate::commands::cluster_access;
use crate::commands::job_state::JobState;
use crate::env;
use crate::github::api::repository_identity;
use crate::inputs::{AwsSetup, EcrRepository, Setup};
use crate::report::Report;
use crate::retry::Retrier;
use crate::secret::Secret;
use crate::setup::account::{self, AuthenticationMode, AwsTarget, FoundAws};
use crate::setup::kubernetes;
use crate::setup::plan::{Action, Step};
use crate::setup::repository::{Repository, RepositoryIds};

/// How long GitHub may take.
const GITHUB_TIMEOUT: Duration = Duration::from_secs(30);

/// Looks at the account and the cluster.
pub(super) async fn look(
    setup: Arc<Setup>,
    job_state: Arc<JobState>,
    report: Report,
    retrier: Retrier,
) -> anyhow::Result<Found> {
    let mut repositories = Vec::new();
    for repository in setup.aws.iter().flat_map(|aws| &aws.repositories) {
        repositories.push(with_ids(repository, &report).await?);
    }
    let namespace = &setup.agents.spec.namespace;
    let (cluster, session) =
        cluster_access::open(&setup.cluster_access, namespace, &job_state, &report, &retrier).await?;
    let mut steps = Vec::new();
    let mut target = None;
    let mut auto_mode = false;
    if let (Some(aws), Some(session)) = (&setup.aws, &session) {
        let plan = look_at_aws(aws, namespace, repositories, session, &retrier).await?;
        steps = plan.steps;
        auto_mode = plan.auto_mode_storage;
        target = Some(plan.target);
        report.done("Looked at the AWS account");
    }
    let plan = match look_at_cluster(&setup, &cluster, auto_mode).await {
        Ok(plan) => plan?,
        Err(error) => return Err(explain(error, session.as_ref()).await),
    };
    report.done("Looked at the cluster");
    steps.extend(plan.steps);
    Ok(Found {
        cluster,
        session,
        target,
        agents: plan.agents,
        steps,
    })
}

/// Returns the repository with its ids, from GitHub unless they are known.
async fn with_ids(repository: &Repository, report: &Report) -> anyhow::Result<Repository> {
    if repository.ids.is_some() {
        return Ok(repository.clone());
    }
    let token = env::get(env::GITHUB_TOKEN).or_else(|| env::get(env::GH_TOKEN));
    let token = token.map(Secret::new);
    let url = env::get(env::GITHUB_API_URL).unwrap_or_else(|| "https://api.github.com".into());
    let deadline = Instant::now() + GITHUB_TIMEOUT;
    let found = repository_identity(&url, &repository.full_name(), token.as_ref(), deadline).await?;
    report.done(&format!(
        "Repository {}/{} has the id {}, its owner {}",
        found.owner, found.name, found.id, found.owner_id
    ));
    Ok(Repository {
        owner: found.owner,
        name: found.name,
        ids: Some(RepositoryIds {
            owner: found.owner_id,
            repository: found.id,
        }),
    })
}

/// What AWS has, and its steps.
struct AwsPlan {
    target: AwsTarget,
    steps: Vec<Step>,
    auto_mode_storage: bool,
}

async fn look_at_aws(
    setup: &AwsSetup,
    namespace: &str,
    repositories: Vec<Repository>,
    session: &Session,
    retrier: &Retrier,
) -> anyhow::Result<AwsPlan> {
    let (iam, eks) = (
        Iam::new(session, retrier).await?,
        EksAccess::new(session, retrier).await?,
    );
    let of_cluster = eks.cluster_account(&setup.cluster).await?;
    let region = &session.region.name;
    let ecr = setup.ecr.iter().map(|repository| match repository {
        EcrRepository::Arn(arn) => arn.clone(),
        EcrRepository::Name(name) => format!(
            "arn:{}:ecr:{region}:{}:repository/{name}",
            of_cluster.partition, of_cluster.account
        ),
    });
    let target = AwsTarget {
        partition: of_cluster.partition.clone(),
        account: of_cluster.account.clone(),
        region: region.clone(),
        cluster: setup.cluster.clone(),
        role: setup.role.clone(),
        namespace: namespace.to_owned(),
        repositories,
        scope: setup.scope.clone(),
        ecr: ecr.collect(),
    };
    let found = FoundAws {
        audiences: iam.audiences(&target).await?,
        role: iam.role(&target).await?,
        authentication_mode: of_cluster.authentication_mode,
        entry: match of_cluster.authentication_mode {
            AuthenticationMode::AccessEntries => eks.entry(&target).await?,
            AuthenticationMode::ConfigMap => None,
        },
    };
    Ok(AwsPlan {
        steps: account::plan(&target, &found).map_err(conflict)?,
        target,
        auto_mode_storage: of_cluster.auto_mode_storage,
    })
}

/// What the cluster needs.
struct ClusterPlan {
    steps: Vec<Step>,
    agents: Vec<Spec>,
}

/// Looks at the cluster. The outer error is of a request, the inner one of what was found.
async fn look_at_cluster(
    setup: &Setup,
    cluster: &Cluster,
    auto_mode: bool,
) -> Result<anyhow::Result<ClusterPlan>, ClusterError> {
    let spec = &setup.agents.spec;
    let mut objects = vec![kubernetes::namespace(&spec.namespace)];
    objects.extend(kubernetes::access(&spec.namespace)?);
    let mut steps = Vec::new();
    for desired in &objects {
        let live = cluster.find_object(desired).await?;
        match kubernetes::plan(desired, live.as_ref()) {
            Ok(step) => steps.push(step),
            Err(found) => return Ok(Err(conflict(found).into())),
        }
    }
    let mut agents = setup.agents.all();
    let mut absent = Vec::new();
    for agent in &agents {
        if cluster.deployment(&agent.name).await?.is_none() {
            absent.push(agent.name.clone());
        }
    }
    // Existing agents have their volumes.
    if !absent.is_empty() {
        let mut storage = cluster.storage().await?;
        storage.auto_mode |= auto_mode;
        match kubernetes::choose_storage(spec.storage_class.as_deref(), &storage) {
            Ok(choice) => {
                for agent in &mut agents {
                    let class = choice.class.map(str::to_owned);
                    agent.storage_class = agent.storage_class.take().or(class);
                }
                steps.push(choice.step);
            }
            Err(found) => return Ok(Err(conflict(found).into())),
        }
    }
    for agent in &agents {
        let what = format!("Agent {}/{}", agent.namespace, agent.name);
        steps.push(if absent.contains(&agent.name) {
            Step::create(what, Action::DeployAgent(agent.name.clone()))
        } else {
            Step::keep(what)
        });
    }
    Ok(Ok(ClusterPlan { steps, agents }))
}
