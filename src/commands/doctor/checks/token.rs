//! Checks that the cluster accepts our credential, and as which user.

use super::super::Doctor;
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::aws::Session;
use crate::cluster::{Cluster, UserInfo};
use crate::commands::cluster_access;
use crate::endpoint_access::EndpointAccess;

pub const CHECK: Check = Check::new("token", CheckGroup::Access);

/// Asks the API server who we are. Returns the client, which the later checks use.
pub async fn run(
    doctor: &Doctor,
    session: Option<&Session>,
    access: EndpointAccess,
) -> anyhow::Result<(Finding, Cluster)> {
    let namespace = &doctor.plan.agents.spec.namespace;
    let cluster = cluster_access::reopen(&doctor.job_state, namespace, access, &doctor.retrier)?;
    let _ = doctor.server.set(cluster.server().to_owned());
    let user = match cluster.whoami().await {
        Ok(user) => user,
        Err(error) => return Err(cluster_access::explain_unauthorized(error, session).await),
    };
    Ok((evaluate(cluster.server(), user), cluster))
}

/// Returns the finding for an accepted credential. `user` is `None` if the API server does not report it.
pub fn evaluate(server: &str, user: Option<UserInfo>) -> Finding {
    Finding::ok(match user {
        Some(user) => format!(
            "{server} accepts the credential of user {}, groups: {}",
            user.name,
            user.groups.join(", ")
        ),
        None => format!("{server} accepts the credential, but does not report the user"),
    })
}
