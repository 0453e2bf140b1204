//! The Kubernetes client: connects with the job's own kubeconfig, and deploys, watches and probes agents. The only
//! module that names a type of kube's client.

mod apply;
mod client;
mod error;
pub mod exec;
mod lookup;
mod namespace;
pub mod probe;
mod reachability;
mod remove;
mod setup;
mod update;
pub mod wait;
mod watch;

use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams};
use kube::config::Kubeconfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use error::{ApiOperation, ClusterAttemptError};
pub use error::{ClusterError, Unauthorized};
pub use lookup::{ClaimInfo, Lookup, StorageClassInfo, UserInfo};
pub use probe::{DaemonStatus, DiskUsage};
use reachability::Reachability;
pub use remove::OwnedObjects;
pub use wait::{AgentGone, StartupStatus};

use crate::endpoint_access::EndpointAccess;
use crate::retry::Retrier;

/// A namespaced kind of object that this program reads or writes.
trait NamespacedObject:
    kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
    + k8s_openapi::Resource
    + DeserializeOwned
    + Clone
    + std::fmt::Debug
{
}

impl<K> NamespacedObject for K where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + k8s_openapi::Resource
        + DeserializeOwned
        + Clone
        + std::fmt::Debug
{
}

/// The least time that an attempt gets, so that the last one, which begins at the deadline, can return its own error.
const MIN_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);

/// A client for one cluster, and the namespace of the agent.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    server: String,
    reachability: Reachability,
    retrier: Retrier,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.server, self.namespace)
    }
}

impl Cluster {
    /// Creates a client from the kubeconfig that buildx will use, credential plugin included. `access` is for the
    /// remedy if the API server does not answer.
    pub fn open(
        kubeconfig: Kubeconfig,
        namespace: &str,
        access: EndpointAccess,
        retrier: Retrier,
    ) -> anyhow::Result<Self> {
        let (client, server) = client::connect(kubeconfig)?;
        Ok(Self {
            client,
            namespace: namespace.to_owned(),
            reachability: Reachability::new(&server, access),
            server: server.to_string().trim_end_matches('/').to_owned(),
            retrier,
        })
    }

    /// Returns the same client with another deadline for its requests.
    pub fn with_retrier(self, retrier: Retrier) -> Self {
        Self { retrier, ..self }
    }

    /// Returns the URL of the API server.
    pub fn server(&self) -> &str {
        &self.server
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Sends a request and retries transient failures.
    async fn request<T, F>(
        &self,
        operation: &ApiOperation,
        mut send: impl FnMut() -> F,
    ) -> Result<T, ClusterError>
    where
        F: Future<Output = kube::Result<T>>,
    {
        self.retrier.run(|| self.request_once(operation, send())).await
    }

    /// Sends a request once.
    async fn request_once<T>(
        &self,
        operation: &ApiOperation,
        sent: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ClusterAttemptError> {
        let response = self.with_timeout(operation, sent).await?;
        response.map_err(|error| self.attempt_error(&error, operation))
    }

    /// Waits for a response, at most the timeout of the operation and the time until the deadline: a frozen server
    /// accepts a connection and never answers.
    async fn with_timeout<T>(
        &self,
        operation: &ApiOperation,
        sent: impl Future<Output = kube::Result<T>>,
    ) -> Result<kube::Result<T>, ClusterAttemptError> {
        let left = self.retrier.time_left().max(MIN_ATTEMPT_TIMEOUT);
        let timeout = operation.timeout().min(left);
        let response = tokio::time::timeout(timeout, sent).await;
        if !matches!(response, Ok(Ok(_) | Err(kube::Error::Api(_)))) {
            self.reachability.resolve().await;
        }
        response.map_err(|_| self.timed_out(operation, timeout))
    }

    /// Returns the object of this name, if it exists.
    async fn get<K: NamespacedObject>(&self, name: &str) -> Result<Option<K>, ClusterError> {
        let api = self.api::<K>();
        self.request(&ApiOperation::on::<K>("get"), || api.get_opt(name))
            .await
    }

    /// Returns the object of this name with every field that the server has, also those that this program has no type
    /// for.
    async fn get_raw<K: NamespacedObject>(&self, name: &str) -> Result<Option<Value>, ClusterError> {
        let api = self.untyped::<K>();
        let got = self
            .request(&ApiOperation::on::<K>("get"), || api.get_opt(name))
            .await?;
        Ok(got.as_ref().map(apply::json).transpose()?)
    }

    /// Returns the Deployment of this name, if it exists.
    pub async fn deployment(&self, name: &str) -> Result<Option<Deployment>, ClusterError> {
        self.get(name).await
    }

    /// Returns the Deployment of this name, if it exists: typed, and with every field that the server has.
    pub async fn get_deployment_raw(&self, name: &str) -> Result<Option<(Deployment, Value)>, ClusterError> {
        let raw = self.get_raw::<Deployment>(name).await?;
        raw.map(|raw| {
            let deployment = decode(&raw).context("cannot read the Deployment")?;
            Ok((deployment, raw))
        })
        .transpose()
    }

    /// Returns the pods that buildx finds for a builder node of this name.
    pub async fn pods(&self, name: &str) -> Result<Vec<Pod>, ClusterError> {
        let params = ListParams::default().labels(&format!("app={name}"));
        let api = self.api::<Pod>();
        let list = self
            .request(&ApiOperation::new("list", "pods"), || api.list(&params))
            .await?;
        Ok(list.items)
    }
}

/// Decodes an object into its type. Converts it to text first, because kube decodes its responses from text: that code
/// is in the binary anyway, and decoding a pod from another source would add a quarter of a megabyte.
fn decode<K: DeserializeOwned>(object: &impl Serialize) -> serde_json::Result<K> {
    serde_json::from_str(&serde_json::to_string(object)?)
}

#[cfg(test)]
impl Cluster {
    /// Calls a function with a cluster that no test contacts. Its client needs an asynchronous runtime.
    fn with_example<T>(test: impl FnOnce(&Self) -> T) -> T {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let _guard = runtime.enter();
        let text = "{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: \
                    'https://k8s.example.com', insecure-skip-tls-verify: true}}], users: [{name: u, user: {token: t}}], \
                    contexts: [{name: c, context: {cluster: c, user: u}}]}";
        let kubeconfig = serde_saphyr::from_str(text).expect("a kubeconfig");
        let retrier = Retrier::new(std::time::Instant::now(), |_| ());
        let cluster = Self::open(kubeconfig, "ci", EndpointAccess::Unknown, retrier);
        test(&cluster.expect("a client"))
    }
}
