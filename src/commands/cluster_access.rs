//! Opens a client for the cluster that the inputs name.

use std::path::{Path, PathBuf};

use anyhow::Context;
use kube::config::Kubeconfig;

use super::job_state::JobState;
use super::sign_in::sign_in;
use crate::aws::{self, Endpoint, Identity, Session};
use crate::cluster::{Cluster, Unauthorized};
use crate::endpoint_access::EndpointAccess;
use crate::error_code::ErrorCode;
use crate::inputs::ClusterAccess;
use crate::problem::Problem;
use crate::report::Report;
use crate::retry::Retrier;
use crate::{github, kubeconfig, proxy, trust};

/// Opens the cluster, and returns it with its AWS session, if it is on EKS. Writes the kubeconfig of this job.
pub(super) async fn open(
    cluster_access: &ClusterAccess,
    namespace: &str,
    job_state: &JobState,
    report: &Report,
    retrier: &Retrier,
) -> anyhow::Result<(Cluster, Option<Session>)> {
    let ResolvedCluster {
        kubeconfig,
        session,
        access,
    } = resolve(cluster_access, job_state, report, retrier).await?;
    kubeconfig::write(&kubeconfig, &job_state.kubeconfig())?;
    let cluster = Cluster::open(kubeconfig, namespace, access, retrier.clone())?;
    Ok((cluster, session))
}

/// A kubeconfig for the cluster, and what AWS reports about the cluster.
struct ResolvedCluster {
    kubeconfig: Kubeconfig,
    session: Option<Session>,
    access: EndpointAccess,
}

/// Signs in, and returns how to connect to the cluster.
async fn resolve(
    cluster_access: &ClusterAccess,
    job_state: &JobState,
    report: &Report,
    retrier: &Retrier,
) -> anyhow::Result<ResolvedCluster> {
    let without_aws = |kubeconfig| ResolvedCluster {
        kubeconfig,
        session: None,
        access: EndpointAccess::Unknown,
    };
    match cluster_access {
        ClusterAccess::Eks {
            cluster,
            region,
            identity,
        } => {
            let session = sign_in(Some(cluster), region.as_deref(), identity, retrier, github::mask).await?;
            session.write(&job_state.session())?;
            report.done(&signed_in(&session));
            let endpoint = aws::describe_cluster(cluster, &session, retrier).await;
            if let Some(correction) = session.clock.correction() {
                Report::detail(&correction);
            }
            let endpoint = endpoint?;
            // Again, because the last response may have corrected the clock.
            session.write(&job_state.session())?;
            report.done(&format!(
                "Cluster {cluster} in {} is at {}",
                session.region.name, endpoint.url
            ));
            Ok(ResolvedCluster {
                kubeconfig: with_plugin(&endpoint, job_state)?,
                session: Some(session),
                access: endpoint.access,
            })
        }
        ClusterAccess::Kubeconfig { path, context } => Ok(without_aws(excerpt(path, context.as_deref())?)),
        ClusterAccess::InCluster => Ok(without_aws(kubeconfig::in_cluster()?)),
    }
}

/// Returns the log line that says which identity is used.
fn signed_in(session: &Session) -> String {
    match &session.identity {
        Identity::Role(role) => format!("Signed in as {}, session {}", role.arn, role.session_name),
        Identity::Default => "Signed in with the default AWS credentials".into(),
        Identity::Machine => "Signed in with the AWS credentials of this machine".into(),
    }
}

/// Opens the cluster of the kubeconfig that this job has written.
pub(super) fn reopen(
    job_state: &JobState,
    namespace: &str,
    access: EndpointAccess,
    retrier: &Retrier,
) -> anyhow::Result<Cluster> {
    let kubeconfig = kubeconfig::read(&job_state.kubeconfig())?;
    Cluster::open(kubeconfig, namespace, access, retrier.clone())
}

/// Returns a kubeconfig for an EKS cluster, with this program as its credential plugin.
pub(super) fn with_plugin(endpoint: &Endpoint, job_state: &JobState) -> anyhow::Result<Kubeconfig> {
    let program = std::env::current_exe().context("cannot locate the remote-buildkit executable")?;
    Ok(kubeconfig::with_plugin(
        &endpoint.url,
        &authorities(endpoint)?,
        &program,
        &job_state.session(),
    ))
}

/// Returns the part of a user's kubeconfig for one context. The path of its credential plugin may be relative to the
/// current directory, so the file's path is made absolute.
pub(super) fn excerpt(path: &Path, context: Option<&str>) -> Result<Kubeconfig, Problem> {
    let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    kubeconfig::excerpt(&path, context)
}

/// Returns the CA certificates of the cluster and of a proxy that intercepts TLS. In the kubeconfig, kubectl and buildx
/// find both.
fn authorities(endpoint: &Endpoint) -> anyhow::Result<String> {
    let url = endpoint
        .url
        .parse()
        .context("cannot parse the URL of the API server")?;
    let bundle = trust::for_cluster(proxy::for_url(&url)?.is_some())?;
    kubeconfig::with_authorities(&endpoint.certificate_authority, &bundle.pem())
}

/// Adds the identity to an error of a cluster that rejected our token, because the access entry must name it.
pub(super) async fn explain_unauthorized(
    error: impl Into<anyhow::Error>,
    session: Option<&Session>,
) -> anyhow::Error {
    let error = error.into();
    let Some(Unauthorized { what }) = error.downcast_ref() else {
        return error;
    };
    let Some((session, cluster)) = session.and_then(|session| Some((session, session.cluster.as_ref()?)))
    else {
        let remedy = "Check that the credentials in the kubeconfig are still valid: kubectl auth whoami.";
        return Problem::new(ErrorCode::Unauthorized, what, remedy).into();
    };
    let principal = match session.identity.role() {
        Some(role) => role.arn.clone(),
        None => {
            let caller = aws::caller_arn(session).await;
            caller.unwrap_or_else(|_| "PRINCIPAL_ARN".into())
        }
    };
    Problem::new(
        ErrorCode::Unauthorized,
        format!("{what} The token belongs to {principal}."),
        format!(
            "Add an access entry: aws eks create-access-entry --region {} --cluster-name {} --principal-arn \
             {principal} --kubernetes-groups remote-buildkit; then bind the Role `remote-buildkit-use` or \
             `remote-buildkit-deploy` to that group.",
            session.region.name, cluster
        ),
    )
    .into()
}
