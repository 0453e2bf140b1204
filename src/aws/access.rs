//! Access to an EKS cluster, for an administrator: its authentication mode, and the access entry of the role.

use std::time::Duration;

use anyhow::Context;
use aws_sdk_eks::types::{AuthenticationMode as EksMode, Cluster, UpdateAccessConfigRequest, UpdateStatus};

use super::call::AwsCall;
use super::eks;
use super::session::Session;
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::report::Report;
use crate::retry::Retrier;
use crate::setup::TAG;
use crate::setup::account::{AuthenticationMode, AwsTarget, FoundEntry};

/// How often to read the status of a cluster's update.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// A client of EKS.
#[derive(Debug)]
pub struct EksAccess<'a> {
    client: aws_sdk_eks::Client,
    session: &'a Session,
    retrier: &'a Retrier,
}

/// The account of a cluster, and how it authenticates principals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterAccount {
    pub partition: String,
    pub account: String,
    pub authentication_mode: AuthenticationMode,
    /// Whether EKS Auto Mode provides volumes. Its driver runs outside of the cluster.
    pub auto_mode_storage: bool,
}

impl<'a> EksAccess<'a> {
    pub async fn new(session: &'a Session, retrier: &'a Retrier) -> anyhow::Result<Self> {
        Ok(Self {
            client: eks::client(session).await?,
            session,
            retrier,
        })
    }

    fn call<'b>(&'b self, action: &'static str, resource: &'b str) -> AwsCall<'b> {
        AwsCall {
            service: "EKS",
            region: &self.session.region.name,
            action,
            resource,
        }
    }

    /// Returns the account of the cluster, and its authentication mode.
    pub async fn cluster_account(&self, cluster: &str) -> anyhow::Result<ClusterAccount> {
        let call = self.call("eks:DescribeCluster", cluster);
        let found = call.send(&self.session.clock, self.retrier, || {
            self.client.describe_cluster().name(cluster).send()
        });
        let found = found.await?.cluster.context("EKS returned no cluster")?;
        cluster_account(&found)
    }

    /// Changes the authentication mode, and waits until that is done. It cannot be undone.
    pub async fn change_authentication_mode(&self, target: &AwsTarget) -> anyhow::Result<()> {
        let arn = target.cluster_arn();
        let call = self.call("eks:UpdateClusterConfig", &arn);
        let started = call.send(&self.session.clock, self.retrier, || {
            let mode = EksMode::ApiAndConfigMap;
            let config = UpdateAccessConfigRequest::builder().authentication_mode(mode);
            self.client
                .update_cluster_config()
                .name(&target.cluster)
                .access_config(config.build())
                .send()
        });
        let mut update = started.await?.update.context("EKS returned no update")?;
        let id = update
            .id()
            .context("EKS returned an update without an id")?
            .to_owned();
        let call = self.call("eks:DescribeUpdate", &arn);
        while update.status() == Some(&UpdateStatus::InProgress) {
            Report::detail("waiting for the cluster's update");
            tokio::time::sleep(POLL_INTERVAL).await;
            let described = call.send(&self.session.clock, self.retrier, || {
                self.client
                    .describe_update()
                    .name(&target.cluster)
                    .update_id(&id)
                    .send()
            });
            update = described.await?.update.context("EKS returned no update")?;
        }
        if update.status() == Some(&UpdateStatus::Successful) {
            return Ok(());
        }
        let errors = update.errors().iter().filter_map(|error| error.error_message());
        let errors: Vec<&str> = errors.collect();
        Err(mode_unchanged(&target.cluster, &id, &errors.join("; ")).into())
    }

    /// Returns the access entry of the role, if it exists.
    pub async fn entry(&self, target: &AwsTarget) -> anyhow::Result<Option<FoundEntry>> {
        let (cluster, role) = (target.cluster_arn(), target.role_arn());
        let call = self.call("eks:DescribeAccessEntry", &cluster);
        let found = call.find(&self.session.clock, self.retrier, || {
            self.client
                .describe_access_entry()
                .cluster_name(&target.cluster)
                .principal_arn(&role)
                .send()
        });
        let entry = found.await?.and_then(|found| found.access_entry);
        Ok(entry.map(|entry| FoundEntry {
            groups: entry.kubernetes_groups().to_vec(),
            kind: entry.r#type().unwrap_or_default().to_owned(),
        }))
    }

    /// Creates the access entry of the role.
    pub async fn create_entry(&self, target: &AwsTarget) -> anyhow::Result<()> {
        let (cluster, role) = (target.cluster_arn(), target.role_arn());
        let call = self.call("eks:CreateAccessEntry", &cluster);
        let (key, value) = TAG;
        let created = call.send(&self.session.clock, self.retrier, || {
            self.client
                .create_access_entry()
                .cluster_name(&target.cluster)
                .principal_arn(&role)
                .kubernetes_groups(target.group())
                .tags(key, value)
                .send()
        });
        created.await.map(drop)
    }

    /// Sets the groups of the access entry.
    pub async fn update_entry(&self, target: &AwsTarget, groups: &[String]) -> anyhow::Result<()> {
        let (cluster, role) = (target.cluster_arn(), target.role_arn());
        let call = self.call("eks:UpdateAccessEntry", &cluster);
        let updated = call.send(&self.session.clock, self.retrier, || {
            self.client
                .update_access_entry()
                .cluster_name(&target.cluster)
                .principal_arn(&role)
                .set_kubernetes_groups(Some(groups.to_vec()))
                .send()
        });
        updated.await.map(drop)
    }
}

fn cluster_account(cluster: &Cluster) -> anyhow::Result<ClusterAccount> {
    let arn = cluster.arn().context("EKS returned a cluster without an ARN")?;
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "eks", _, account, ..] = parts[..] else {
        anyhow::bail!("EKS returned a cluster with the ARN {arn:?}");
    };
    // Without a mode the cluster is older than access entries.
    let mode = cluster
        .access_config()
        .and_then(|config| config.authentication_mode());
    Ok(ClusterAccount {
        partition: partition.to_owned(),
        account: account.to_owned(),
        authentication_mode: match mode {
            Some(EksMode::ConfigMap) | None => AuthenticationMode::ConfigMap,
            Some(_) => AuthenticationMode::AccessEntries,
        },
        auto_mode_storage: cluster
            .storage_config()
            .and_then(|config| config.block_storage()?.enabled())
            .unwrap_or(false),
    })
}

fn mode_unchanged(cluster: &str, update: &str, errors: &str) -> Problem {
    let errors = if errors.is_empty() { "no reason" } else { errors };
    Problem::new(
        ErrorCode::AwsRequestFailed,
        format!(
            "The update {update} of the authentication mode of the cluster {cluster} did not succeed: {errors}."
        ),
        "Follow the reason, then run the command again.",
    )
}

#[cfg(test)]
mod tests {
    use aws_sdk_eks::types::AccessConfigResponse;

    use super::*;

    #[test]
    fn accounts_and_modes_of_clusters() {
        let cluster = |mode: Option<EksMode>| {
            let config = mode.map(|mode| AccessConfigResponse::builder().authentication_mode(mode).build());
            let arn = "arn:aws-cn:eks:cn-north-1:123456789012:cluster/shop";
            Cluster::builder().arn(arn).set_access_config(config).build()
        };
        let mode = |mode| {
            cluster_account(&cluster(mode))
                .expect("an account")
                .authentication_mode
        };
        assert_eq!(mode(None), AuthenticationMode::ConfigMap);
        assert_eq!(mode(Some(EksMode::ConfigMap)), AuthenticationMode::ConfigMap);
        assert_eq!(mode(Some(EksMode::Api)), AuthenticationMode::AccessEntries);
        assert_eq!(
            mode(Some(EksMode::ApiAndConfigMap)),
            AuthenticationMode::AccessEntries
        );
        let found = cluster_account(&cluster(None)).expect("an account");
        assert_eq!((&*found.partition, &*found.account), ("aws-cn", "123456789012"));
        assert!(cluster_account(&Cluster::builder().build()).is_err());
    }

    #[test]
    fn error_of_an_update_that_failed() {
        insta::assert_snapshot!(mode_unchanged("shop", "0f1e", ""));
    }
}
