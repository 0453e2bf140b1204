//! From the inputs to a cluster that can be asked.

use std::path::{Path, PathBuf};

use anyhow::Context;
use kube::config::Kubeconfig;

use super::selection::Selection;
use super::sign_in::sign_in;
use crate::aws::{self, Endpoint, Identity, Session};
use crate::cluster::{Cluster, Unauthorized};
use crate::error_code::ErrorCode;
use crate::inputs::Road;
use crate::problem::Problem;
use crate::report::Report;
use crate::retry::Retrier;
use crate::{github, kubeconfig, proxy, trust};

/// A cluster, and the session of AWS behind it if there is one. The kubeconfig of this job is written on the way.
pub(super) async fn open(
    road: &Road,
    namespace: &str,
    selection: &Selection,
    report: &Report,
    retrier: &Retrier,
) -> anyhow::Result<(Cluster, Option<Session>)> {
    let Walked {
        kubeconfig,
        session,
        limits,
    } = walk(road, selection, report, retrier).await?;
    kubeconfig::write(&kubeconfig, &selection.kubeconfig())?;
    let cluster = Cluster::open(kubeconfig, namespace, limits, retrier.clone())?;
    Ok((cluster, session))
}

struct Walked {
    kubeconfig: Kubeconfig,
    session: Option<Session>,
    /// Of who reaches the cluster, as far as somebody told.
    limits: Option<String>,
}

async fn walk(
    road: &Road,
    selection: &Selection,
    report: &Report,
    retrier: &Retrier,
) -> anyhow::Result<Walked> {
    let of_others = |kubeconfig| Walked {
        kubeconfig,
        session: None,
        limits: None,
    };
    match road {
        Road::Eks {
            cluster,
            region,
            identity,
        } => {
            let session = sign_in(Some(cluster), region.as_deref(), identity, retrier, github::mask).await?;
            session.write(&selection.session())?;
            report.done(&signed_in(&session));
            let endpoint = aws::describe_cluster(cluster, &session, retrier).await;
            if let Some(correction) = session.clock.correction() {
                Report::detail(&correction);
            }
            let endpoint = endpoint?;
            // With what the last answer said of the time.
            session.write(&selection.session())?;
            report.done(&format!(
                "Cluster {cluster} in {} is at {}",
                session.place.region, endpoint.url
            ));
            Ok(Walked {
                kubeconfig: with_plugin(&endpoint, selection)?,
                session: Some(session),
                limits: endpoint.limits,
            })
        }
        Road::Kubeconfig { path, context } => Ok(of_others(excerpt(path, context.as_deref())?)),
        Road::InCluster => Ok(of_others(kubeconfig::in_cluster()?)),
    }
}

fn signed_in(session: &Session) -> String {
    match &session.identity {
        Identity::Role(role) => format!("Signed in as {}, session {}", role.arn, role.session_name),
        Identity::Default => "Signed in with the default AWS credentials".into(),
        Identity::Machine => "Signed in with the AWS credentials of this machine".into(),
    }
}

/// The cluster of a kubeconfig that this job has written.
pub(super) fn reopen(
    selection: &Selection,
    namespace: &str,
    limits: Option<String>,
    retrier: &Retrier,
) -> anyhow::Result<Cluster> {
    let kubeconfig = kubeconfig::read(&selection.kubeconfig())?;
    Cluster::open(kubeconfig, namespace, limits, retrier.clone())
}

/// For a cluster of EKS: with this program as the plugin.
pub(super) fn with_plugin(endpoint: &Endpoint, selection: &Selection) -> anyhow::Result<Kubeconfig> {
    let program = std::env::current_exe().context("finding this program's own path")?;
    Ok(kubeconfig::with_plugin(
        &endpoint.url,
        &authorities(endpoint)?,
        &program,
        &selection.session(),
    ))
}

/// Of the user's kubeconfig; the plugin that it names may be relative to where we are now.
pub(super) fn excerpt(path: &Path, context: Option<&str>) -> Result<Kubeconfig, Problem> {
    let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    kubeconfig::excerpt(&path, context)
}

/// The cluster's own, and those of a proxy that opens TLS: by the kubeconfig kubectl and buildx learn of them, too.
fn authorities(endpoint: &Endpoint) -> anyhow::Result<String> {
    let url = endpoint
        .url
        .parse()
        .context("reading the address of the cluster")?;
    let bundle = trust::for_cluster(proxy::of(&url).is_some())?;
    kubeconfig::with_authorities(&endpoint.certificate_authority, &bundle.pem())
}

/// The cluster did not accept our token: say who we are, for only that can be entered there.
pub(super) async fn named(error: anyhow::Error, session: Option<&Session>) -> anyhow::Error {
    let Some(Unauthorized { what }) = error.downcast_ref() else {
        return error;
    };
    let Some((session, cluster)) = session.and_then(|session| Some((session, session.cluster.as_ref()?)))
    else {
        let remedy = "Check that the credentials of that kubeconfig are still good: kubectl auth whoami.";
        return Problem::new(ErrorCode::Unauthorized, what, remedy).into();
    };
    let principal = match session.identity.role() {
        Some(role) => role.arn.clone(),
        None => {
            let caller = aws::caller(session).await;
            caller.unwrap_or_else(|| "PRINCIPAL_ARN".into())
        }
    };
    Problem::new(
        ErrorCode::Unauthorized,
        format!("{what} The token is of {principal}."),
        format!(
            "Add an access entry: aws eks create-access-entry --region {} --cluster-name {} --principal-arn \
             {principal} --kubernetes-groups remote-buildkit; then bind the Role of the README to that group.",
            session.place.region, cluster
        ),
    )
    .into()
}
