//! Checks where the cluster is, and prepares the kubeconfig for it.

use super::super::Doctor;
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::aws::{self, Session};
use crate::commands::cluster_access;
use crate::endpoint_access::EndpointAccess;
use crate::inputs::ClusterAccess;
use crate::kubeconfig;

pub const CHECK: Check = Check::new("cluster", CheckGroup::Aws);

/// Asks EKS, or reads the kubeconfig or the files of the pod. Returns from which networks the endpoint can be reached.
pub async fn run(doctor: &Doctor, session: Option<&Session>) -> anyhow::Result<(Finding, EndpointAccess)> {
    let job_state = &doctor.job_state;
    let (finding, kubeconfig, access) = match (&doctor.plan.cluster_access, session) {
        (ClusterAccess::Eks { cluster, .. }, Some(session)) => {
            let endpoint = aws::describe_cluster(cluster, session, &doctor.retrier).await?;
            // Again, because the response may have corrected the clock.
            session.write(&job_state.session())?;
            let kubeconfig = cluster_access::with_plugin(&endpoint, job_state)?;
            let region = &session.region.name;
            let finding = evaluate_eks(cluster, region, &endpoint.url, session.clock.correction());
            (finding, kubeconfig, endpoint.access)
        }
        (ClusterAccess::Kubeconfig { path, context }, _) => {
            let context_name = context.as_deref().unwrap_or("current");
            let found = format!("the kubeconfig {}, context: {context_name}", path.display());
            let kubeconfig = cluster_access::excerpt(path, context.as_deref())?;
            (Finding::ok(found), kubeconfig, EndpointAccess::Unknown)
        }
        (ClusterAccess::InCluster | ClusterAccess::Eks { .. }, _) => {
            let found = Finding::ok("the service account of this pod");
            (found, kubeconfig::in_cluster()?, EndpointAccess::Unknown)
        }
    };
    kubeconfig::write(&kubeconfig, &job_state.kubeconfig())?;
    Ok((finding, access))
}

/// Returns the finding for a cluster on EKS: a warning if the clock of this machine is off. This program corrects for that,
/// other programs do not.
pub fn evaluate_eks(cluster: &str, region: &str, url: &str, clock_correction: Option<String>) -> Finding {
    let found = format!("EKS cluster {cluster} in {region}: {url}");
    match clock_correction {
        Some(correction) => Finding::warning(
            format!("{found}; {correction}"),
            "Set the clock of this machine: other programs in the job do not correct it.",
        ),
        None => Finding::ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_a_warning() {
        let of = |correction: Option<&str>| {
            evaluate_eks(
                "shop",
                "us-west-2",
                "https://10.0.0.1",
                correction.map(Into::into),
            )
        };
        assert_eq!(
            of(None),
            Finding::ok("EKS cluster shop in us-west-2: https://10.0.0.1")
        );
        assert_eq!(
            of(Some("this machine's clock is 5 min behind AWS's; corrected")),
            Finding::warning(
                "EKS cluster shop in us-west-2: https://10.0.0.1; this machine's clock is 5 min behind AWS's; corrected",
                "Set the clock of this machine: other programs in the job do not correct it."
            )
        );
    }
}
