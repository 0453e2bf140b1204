//! From who we are to a cluster that knows us, and what it lets us do.

use futures::future::try_join_all;

use super::agents::Agent;
use super::{Visit, plan};
use crate::aws::{self, Identity, Session};
use crate::cluster::Cluster;
use crate::commands::{registries, road, sign_in};
use crate::diagnosis::permissions::{self, Wanted};
use crate::diagnosis::{Finding, storage};
use crate::inputs::Road;
use crate::kubeconfig;

impl Visit {
    /// To AWS, where there is one. A session that is there already is taken: what failed came after it.
    pub(super) async fn identity(&self) -> Option<Option<Session>> {
        let Road::Eks {
            cluster,
            region,
            identity,
        } = &self.plan.road
        else {
            return Some(None);
        };
        let looked = self.findings.look(plan::IDENTITY, async {
            let path = self.selection.session();
            let session = if path.exists() {
                Session::read(&path)?
            } else {
                let region = region.as_deref();
                let session =
                    sign_in::sign_in(Some(cluster), region, identity, &self.retrier, self.mask).await?;
                session.write(&path)?;
                session
            };
            let caller = aws::caller(&session).await;
            Ok((identified(&session, caller), session))
        });
        looked.await.map(Some)
    }

    /// Where the cluster is, and who reaches it, as far as somebody tells.
    pub(super) async fn endpoint(&self, session: Option<&Session>) -> Option<Option<String>> {
        let looked = self.findings.look(plan::CLUSTER, async {
            let path = self.selection.kubeconfig();
            let (finding, kubeconfig, limits) = match (&self.plan.road, session) {
                (Road::Eks { cluster, .. }, Some(session)) => {
                    let endpoint = aws::describe_cluster(cluster, session, &self.retrier).await?;
                    // With what the answer said of the time.
                    session.write(&self.selection.session())?;
                    let found = format!("{cluster} in {} is at {}", session.place.region, endpoint.url);
                    let kubeconfig = road::with_plugin(&endpoint, &self.selection)?;
                    (timed(found, session), kubeconfig, endpoint.limits)
                }
                (Road::Kubeconfig { path, context }, _) => {
                    let which = context.as_deref().unwrap_or("the current one");
                    let found = format!("the kubeconfig {}, context: {which}", path.display());
                    let kubeconfig = road::excerpt(path, context.as_deref())?;
                    (Finding::ok(found), kubeconfig, None)
                }
                (Road::InCluster | Road::Eks { .. }, _) => {
                    let found = Finding::ok("the service account of this pod");
                    (found, kubeconfig::in_cluster()?, None)
                }
            };
            kubeconfig::write(&kubeconfig, &path)?;
            Ok((finding, limits))
        });
        looked.await
    }

    /// Whether ECR gives passwords. Builds want them, and the rest of the road does not.
    pub(super) async fn registries(&self, session: Option<&Session>) {
        let Some(wanted) = &self.plan.registries else {
            return;
        };
        let look = async {
            let selection = &self.selection;
            let registries = registries::log_in(wanted, session, selection, &self.retrier, self.mask).await?;
            Ok((Finding::ok(registries::named(&registries)), ()))
        };
        self.findings.look(plan::REGISTRIES, look).await;
    }

    /// Whether the cluster takes our credential, and for whose.
    pub(super) async fn token(&self, session: Option<&Session>, limits: Option<String>) -> Option<Cluster> {
        let looked = self.findings.look(plan::TOKEN, async {
            let namespace = &self.plan.agents.spec.namespace;
            let cluster = road::reopen(&self.selection, namespace, limits, &self.retrier)?;
            let whoami = match cluster.whoami().await {
                Ok(whoami) => whoami,
                Err(error) => return Err(road::named(error, session).await),
            };
            let server = cluster.server();
            let found = match whoami {
                Some(user) => format!(
                    "{server} takes it for {}, in the groups {}",
                    user.name,
                    user.groups.join(", ")
                ),
                None => format!("{server} takes it, and does not say for whose"),
            };
            Ok((Finding::ok(found), cluster))
        });
        looked.await
    }

    /// What RBAC allows, verb by verb.
    pub(super) async fn permissions(&self, cluster: &Cluster, agents: &[Agent]) {
        let deploys = self.need(agents) == storage::Need::New;
        for wanted in permissions::wanted() {
            let name = plan::rbac(wanted.resource);
            let look = self.permission(cluster, &wanted, deploys);
            self.findings.look(&name, look).await;
        }
    }

    async fn permission(
        &self,
        cluster: &Cluster,
        wanted: &Wanted,
        deploys: bool,
    ) -> anyhow::Result<(Finding, ())> {
        let ask = |(verb, _): &(&'static str, _)| cluster.may(verb, wanted.group, wanted.resource);
        let answers = try_join_all(wanted.verbs.iter().map(ask)).await?;
        let answers: Option<Vec<bool>> = answers.into_iter().collect();
        let finding = match answers {
            Some(allowed) => {
                let namespace = &self.plan.agents.spec.namespace;
                permissions::judged(wanted, &allowed, namespace, deploys)
            }
            None => Finding::warning(
                "this identity may not ask what it may do",
                "The ClusterRole system:basic-user allows it, and is for all who have signed in, unless that was changed.",
            ),
        };
        Ok((finding, ()))
    }
}

/// A clock that is off is corrected here, and nowhere else on this machine.
fn timed(found: String, session: &Session) -> Finding {
    match session.clock.correction() {
        Some(correction) => Finding::warning(
            format!("{found}; {correction}"),
            "Set the clock of this machine: other programs of the job do not correct it.",
        ),
        None => Finding::ok(found),
    }
}

fn identified(session: &Session, caller: Option<String>) -> Finding {
    let Session {
        place,
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
        Some(expires) => format!(", good until {}", expires.strftime("%H:%M:%SZ")),
        None => String::new(),
    };
    let who = caller.or_else(|| identity.role().map(|role| role.arn.clone()));
    match who {
        Some(who) => Finding::ok(format!("{who}, {named}, in {}{until}", place.region)),
        None => Finding::failed(
            format!("{named}; STS does not say whose they are"),
            "Check that they have not expired, and that this runner may reach STS in that region.",
        ),
    }
}
