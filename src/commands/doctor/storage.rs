//! Where volumes come from.

use super::agents::Agent;
use super::{Visit, plan};
use crate::cluster::{Class, Cluster, Seen};
use crate::diagnosis::storage::{self, Need};
use crate::diagnosis::{Finding, State};

impl Visit {
    pub(super) async fn storage(&self, cluster: &Cluster, agents: &[Agent]) {
        let need = self.need(agents);
        let class = self.class(cluster, need);
        let class = self.findings.look(plan::STORAGE_CLASS, class).await;
        let Some((state, class)) = class else {
            return self.findings.skip(&[plan::CSI_DRIVER.to_owned()]);
        };
        match class {
            Some(class) => {
                let driver = self.driver(cluster, &class, need);
                self.findings.look(plan::CSI_DRIVER, driver).await;
            }
            None if state == State::Ok => {
                let finding = Finding::ok("need not be looked at: the agent has its volume");
                self.findings.note(plan::CSI_DRIVER, finding);
            }
            None => {
                let finding =
                    Finding::skipped(format!("not looked at, for want of: {}", plan::STORAGE_CLASS));
                self.findings.note(plan::CSI_DRIVER, finding);
            }
        }
    }

    async fn class(
        &self,
        cluster: &Cluster,
        need: Need,
    ) -> anyhow::Result<(Finding, (State, Option<Class>))> {
        let wanted = self.plan.agents.spec.storage_class.as_deref();
        let seen = cluster.storage_classes(wanted).await?;
        let (finding, class) = storage::class(wanted, &seen, need);
        let state = finding.state;
        Ok((finding, (state, class)))
    }

    async fn driver(&self, cluster: &Cluster, class: &Class, need: Need) -> anyhow::Result<(Finding, ())> {
        let Some(driver) = storage::driver(class) else {
            return Ok((storage::no_driver(class), ()));
        };
        let seen = cluster.csi_driver(driver).await?;
        let nodes = match seen {
            Seen::There(()) => cluster.csi_nodes(driver).await?,
            Seen::Absent | Seen::Forbidden(_) => Seen::Absent,
        };
        Ok((storage::csi(driver, &seen, &nodes, need), ()))
    }
}
