//! The cluster: a client from the job's own kubeconfig, and what is asked of it. The only module that names an API
//! client's type.

mod apply;
mod disk;
mod events;
mod exec;
mod latency;
mod open;
mod probe;
mod raw;
mod reach;
mod refusal;
mod remove;
mod settle;
mod spdy;
mod standing;
mod startup_failure;
mod storage;
mod update;
mod wait;
mod watch;
mod whoami;

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams};
use kube::config::Kubeconfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use disk::Use;
#[cfg(fuzzing)]
pub use exec::run as exec_over;
#[cfg(fuzzing)]
pub use probe::read as answer_of;
pub use probe::{Answer, Buildkit};
pub use raw::Seen;
use reach::Reach;
use refusal::Request;
pub use refusal::Unauthorized;
pub use remove::Made;
pub use standing::Lost;
#[cfg(fuzzing)]
pub use startup_failure::startup_failure;
pub use storage::{Claim, Class};
pub use update::Update;
pub use wait::StartupStatus;
pub use whoami::Identity;

use crate::retry::{AttemptError, Retrier};

/// A kind of object in a namespace.
trait Object:
    kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
    + k8s_openapi::Resource
    + DeserializeOwned
    + Clone
    + std::fmt::Debug
{
}

impl<K> Object for K where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + k8s_openapi::Resource
        + DeserializeOwned
        + Clone
        + std::fmt::Debug
{
}

/// A cluster and the namespace of the agent.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    server: String,
    reach: Reach,
    retrier: Retrier,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.server, self.namespace)
    }
}

impl Cluster {
    /// A client over the kubeconfig that buildx will use, plugin included. `limits` is what to do where the server does
    /// not answer, for who knows more than its address.
    pub fn open(
        kubeconfig: Kubeconfig,
        namespace: &str,
        limits: Option<String>,
        retrier: Retrier,
    ) -> anyhow::Result<Self> {
        let (client, server) = open::open(kubeconfig)?;
        Ok(Self {
            client,
            namespace: namespace.to_owned(),
            reach: Reach::new(&server, limits),
            server: server.to_string().trim_end_matches('/').to_owned(),
            retrier,
        })
    }

    pub fn server(&self) -> &str {
        &self.server
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Asks as often as it is worth it.
    async fn ask<T, F>(&self, request: &Request, mut asked: impl FnMut() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = kube::Result<T>>,
    {
        self.retrier.run(|| self.once(request, asked())).await
    }

    /// Asks once.
    async fn once<T>(
        &self,
        request: &Request,
        asked: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, AttemptError> {
        let answer = self.heard(request, asked).await?;
        answer.map_err(|error| self.failed(&error, request))
    }

    /// What comes back in time. A server that is frozen takes a connection and says nothing.
    async fn heard<T>(
        &self,
        request: &Request,
        asked: impl Future<Output = kube::Result<T>>,
    ) -> Result<kube::Result<T>, AttemptError> {
        let answer = tokio::time::timeout(request.within(), asked).await;
        if !matches!(answer, Ok(Ok(_) | Err(kube::Error::Api(_)))) {
            self.reach.look().await;
        }
        answer.map_err(|_| self.silent(request))
    }

    /// An object by its name, if there is one.
    async fn get<K: Object>(&self, name: &str) -> anyhow::Result<Option<K>> {
        let api = self.api::<K>();
        self.ask(&Request::of::<K>("get"), || api.get_opt(name)).await
    }

    /// An object with every field that the server knows.
    async fn whole<K: Object>(&self, name: &str) -> anyhow::Result<Option<Value>> {
        let api = self.untyped::<K>();
        let got = self.ask(&Request::of::<K>("get"), || api.get_opt(name)).await?;
        got.as_ref().map(apply::json).transpose()
    }

    pub async fn deployment(&self, name: &str) -> anyhow::Result<Option<Deployment>> {
        self.get(name).await
    }

    /// A Deployment, and the same with the fields that this program does not know.
    pub async fn whole_deployment(&self, name: &str) -> anyhow::Result<Option<(Deployment, Value)>> {
        let whole = self.whole::<Deployment>(name).await?;
        whole
            .map(|whole| {
                let known = known(&whole).context("reading the Deployment")?;
                Ok((known, whole))
            })
            .transpose()
    }

    /// The pods buildx would see for a node of this name.
    pub async fn pods(&self, name: &str) -> anyhow::Result<Vec<Pod>> {
        let params = ListParams::default().labels(&format!("app={name}"));
        let api = self.api::<Pod>();
        let list = self
            .ask(&Request::new("list", "pods"), || api.list(&params))
            .await?;
        Ok(list.items)
    }
}

/// The fields that this program knows. Over text, from which kube reads its answers too: the code that reads a pod from
/// text is in the binary anyway, and is a quarter of a megabyte again for each other source.
fn known<K: DeserializeOwned>(object: &impl Serialize) -> serde_json::Result<K> {
    serde_json::from_str(&serde_json::to_string(object)?)
}
