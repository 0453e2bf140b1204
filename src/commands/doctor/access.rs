//! Checks who we are, whether the cluster accepts us, and what it allows us to do.

use futures::future::try_join_all;

use super::agents::Agent;
use super::{Doctor, plan};
use crate::aws::{self, Identity, Session};
use crate::cluster::Cluster;
use crate::commands::{cluster_access, registries, sign_in};
use crate::diagnosis::permissions::{self, RequiredRule};
use crate::diagnosis::{Finding, storage};
use crate::endpoint_access::EndpointAccess;
use crate::inputs::ClusterAccess;
use crate::kubeconfig;

impl Doctor {
    /// Checks the AWS identity, for a cluster on EKS. Uses a session that connect has written: what failed came after it.
    pub(super) async fn identity(&self) -> Option<Option<Session>> {
        let ClusterAccess::Eks {
            cluster,
            region,
            identity,
        } = &self.plan.cluster_access
        else {
            return Some(None);
        };
        let result = self.checks.run(plan::IDENTITY, async {
            let path = self.job_state.session();
            let session = if path.exists() {
                Session::read(&path)?
            } else {
                let region = region.as_deref();
                let session =
                    sign_in::sign_in(Some(cluster), region, identity, &self.retrier, self.mask).await?;
                session.write(&path)?;
                session
            };
            let caller = aws::caller_arn(&session).await;
            Ok((identity_row(&session, caller), session))
        });
        result.await.map(Some)
    }

    /// Checks where the cluster is. Returns from which networks its endpoint can be reached.
    pub(super) async fn endpoint(&self, session: Option<&Session>) -> Option<EndpointAccess> {
        let result = self.checks.run(plan::CLUSTER, async {
            let path = self.job_state.kubeconfig();
            let (finding, kubeconfig, access) = match (&self.plan.cluster_access, session) {
                (ClusterAccess::Eks { cluster, .. }, Some(session)) => {
                    let endpoint = aws::describe_cluster(cluster, session, &self.retrier).await?;
                    // Again, because the response may have corrected the clock.
                    session.write(&self.job_state.session())?;
                    let found = format!("{cluster} in {} is at {}", session.region.name, endpoint.url);
                    let kubeconfig = cluster_access::with_plugin(&endpoint, &self.job_state)?;
                    (with_clock_warning(found, session), kubeconfig, endpoint.access)
                }
                (ClusterAccess::Kubeconfig { path, context }, _) => {
                    let which = context.as_deref().unwrap_or("current");
                    let found = format!("the kubeconfig {}, context: {which}", path.display());
                    let kubeconfig = cluster_access::excerpt(path, context.as_deref())?;
                    (Finding::ok(found), kubeconfig, EndpointAccess::Unknown)
                }
                (ClusterAccess::InCluster | ClusterAccess::Eks { .. }, _) => {
                    let found = Finding::ok("the service account of this pod");
                    (found, kubeconfig::in_cluster()?, EndpointAccess::Unknown)
                }
            };
            kubeconfig::write(&kubeconfig, &path)?;
            Ok((finding, access))
        });
        result.await
    }

    /// Checks that ECR gives passwords. Builds need them; the other checks do not.
    pub(super) async fn registries(&self, session: Option<&Session>) {
        let Some(wanted) = &self.plan.registries else {
            return;
        };
        let check = async {
            let job_state = &self.job_state;
            let registries = registries::log_in(wanted, session, job_state, &self.retrier, self.mask).await?;
            Ok((Finding::ok(registries::named(&registries)), ()))
        };
        self.checks.run(plan::REGISTRIES, check).await;
    }

    /// Checks that the cluster accepts our credential, and as which user.
    pub(super) async fn token(&self, session: Option<&Session>, access: EndpointAccess) -> Option<Cluster> {
        let result = self.checks.run(plan::TOKEN, async {
            let namespace = &self.plan.agents.spec.namespace;
            let cluster = cluster_access::reopen(&self.job_state, namespace, access, &self.retrier)?;
            let whoami = match cluster.whoami().await {
                Ok(whoami) => whoami,
                Err(error) => return Err(cluster_access::explain_unauthorized(error, session).await),
            };
            let server = cluster.server();
            let found = match whoami {
                Some(user) => format!(
                    "{server} accepts it as {}, groups: {}",
                    user.name,
                    user.groups.join(", ")
                ),
                None => format!("{server} accepts it, but does not report the user"),
            };
            Ok((Finding::ok(found), cluster))
        });
        result.await
    }

    /// Checks what RBAC allows, verb by verb.
    pub(super) async fn permissions(&self, cluster: &Cluster, agents: &[Agent]) {
        let deploys = self.need(agents) == storage::VolumeNeed::New;
        for rule in permissions::required() {
            let name = plan::rbac(rule.resource);
            let check = self.permission(cluster, &rule, deploys);
            self.checks.run(&name, check).await;
        }
    }

    async fn permission(
        &self,
        cluster: &Cluster,
        rule: &RequiredRule,
        deploys: bool,
    ) -> anyhow::Result<(Finding, ())> {
        let ask = |(verb, _): &(&'static str, _)| cluster.is_allowed(verb, rule.group, rule.resource);
        let answers = try_join_all(rule.verbs.iter().map(ask)).await?;
        let answers: Option<Vec<bool>> = answers.into_iter().collect();
        let finding = match answers {
            Some(allowed) => {
                let namespace = &self.plan.agents.spec.namespace;
                permissions::evaluate(rule, &allowed, namespace, deploys)
            }
            None => Finding::warning(
                "no permission to query permissions (SelfSubjectAccessReview)",
                "Restore the ClusterRoleBinding system:basic-user, which by default allows it to every authenticated user.",
            ),
        };
        Ok((finding, ()))
    }
}

/// Returns the row of the cluster, with a warning if the clock of this machine is off. This program corrects for that, other
/// programs do not.
fn with_clock_warning(found: String, session: &Session) -> Finding {
    match session.clock.correction() {
        Some(correction) => Finding::warning(
            format!("{found}; {correction}"),
            "Set the clock of this machine: other programs in the job do not correct it.",
        ),
        None => Finding::ok(found),
    }
}

fn identity_row(session: &Session, caller: Option<String>) -> Finding {
    let Session {
        region,
        identity,
        keys,
        ..
    } = session;
    let named = match identity {
        Identity::Role(role) => format!("session {}", role.session_name),
        Identity::Default => "the default AWS credentials".into(),
        Identity::Machine => "the AWS credentials of this machine".into(),
    };
    let until = match keys.expires {
        Some(expires) => format!(", valid until {}", expires.strftime("%H:%M:%SZ")),
        None => String::new(),
    };
    let who = caller.or_else(|| identity.role().map(|role| role.arn.clone()));
    match who {
        Some(who) => Finding::ok(format!("{who}, {named}, in {}{until}", region.name)),
        None => Finding::failed(
            format!("{named}; could not determine the identity from STS"),
            "Check that they have not expired, and that this runner can reach STS in that region.",
        ),
    }
}
