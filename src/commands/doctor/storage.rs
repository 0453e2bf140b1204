//! Checks where volumes come from: the StorageClass and its CSI driver.

use super::agents::Agent;
use super::{Doctor, plan};
use crate::cluster::{Cluster, Lookup, StorageClassInfo};
use crate::diagnosis::storage::{self, VolumeNeed};
use crate::diagnosis::{CheckStatus, Finding};

impl Doctor {
    /// Checks the StorageClass and its CSI driver.
    pub(super) async fn storage(&self, cluster: &Cluster, agents: &[Agent]) {
        let need = self.need(agents);
        let class = self.class(cluster, need);
        let class = self.checks.run(plan::STORAGE_CLASS, class).await;
        let Some((status, class)) = class else {
            return self.checks.skip(&[plan::CSI_DRIVER.to_owned()]);
        };
        match class {
            Some(class) => {
                let driver = self.driver(cluster, &class, need);
                self.checks.run(plan::CSI_DRIVER, driver).await;
            }
            None if status == CheckStatus::Ok => {
                let finding = Finding::ok("not needed: the agent has its volume");
                self.checks.record(plan::CSI_DRIVER, finding);
            }
            None => {
                let finding = Finding::skipped(format!("skipped (requires {})", plan::STORAGE_CLASS));
                self.checks.record(plan::CSI_DRIVER, finding);
            }
        }
    }

    async fn class(
        &self,
        cluster: &Cluster,
        need: VolumeNeed,
    ) -> anyhow::Result<(Finding, (CheckStatus, Option<StorageClassInfo>))> {
        let wanted = self.plan.agents.spec.storage_class.as_deref();
        let seen = cluster.storage_classes(wanted).await?;
        let (finding, class) = storage::class(wanted, &seen, need);
        let status = finding.status;
        Ok((finding, (status, class)))
    }

    async fn driver(
        &self,
        cluster: &Cluster,
        class: &StorageClassInfo,
        need: VolumeNeed,
    ) -> anyhow::Result<(Finding, ())> {
        let Some(driver) = storage::driver(class) else {
            return Ok((storage::no_driver(class), ()));
        };
        let seen = cluster.csi_driver(driver).await?;
        let nodes = match seen {
            Lookup::Found(()) => cluster.csi_nodes(driver).await?,
            Lookup::NotFound | Lookup::Forbidden(_) => Lookup::NotFound,
        };
        Ok((storage::csi(driver, &seen, &nodes, need), ()))
    }
}
