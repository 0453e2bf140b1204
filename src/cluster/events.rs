//! Watching several kinds of objects at once.

use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::api::{Api, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;

use super::Cluster;
use super::refusal::{self, Request};
use crate::problem::chain;

/// A change seen by a watch.
#[derive(Debug)]
pub(super) enum Change {
    /// A watch on pods begins: what there is comes next, and nothing else exists.
    PodsAnew,
    Pod(Box<Pod>),
    PodGone(String),
    Claim(Box<PersistentVolumeClaim>),
    /// It was deleted, or a watch on it begins.
    ClaimGone,
    Event(Box<Event>),
    /// The server did not answer a watch; it is asked again.
    Trouble(String),
}

/// Pods are what is waited for; the others only explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    Pods,
    Claims,
    Events,
}

impl Cluster {
    /// Pods of the agent, its claim, and the namespace's events, each from the state it is in now.
    pub(super) fn changes(&self, name: &str) -> BoxStream<'static, anyhow::Result<Change>> {
        let pods = self.follow::<Pod>(
            WatchParams::default().labels(&format!("app={name}")),
            Request::new("watch", "pods"),
            Watched::Pods,
            |event| match event {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => Some(Change::Pod(Box::new(pod))),
                WatchEvent::Deleted(pod) => pod.metadata.name.map(Change::PodGone),
                _ => None,
            },
        );
        let claims = self.follow::<PersistentVolumeClaim>(
            WatchParams::default().fields(&format!("metadata.name={name}")),
            Request::new("watch", "persistentvolumeclaims"),
            Watched::Claims,
            |event| match event {
                WatchEvent::Added(claim) | WatchEvent::Modified(claim) => {
                    Some(Change::Claim(Box::new(claim)))
                }
                WatchEvent::Deleted(_) => Some(Change::ClaimGone),
                _ => None,
            },
        );
        let events = self.follow::<Event>(
            WatchParams::default(),
            Request::new("watch", "events"),
            Watched::Events,
            |event| match event {
                WatchEvent::Added(event) | WatchEvent::Modified(event) => {
                    Some(Change::Event(Box::new(event)))
                }
                _ => None,
            },
        );
        futures::stream::select_all([pods, claims, events]).boxed()
    }

    /// A watch that is begun anew when the server ends it or does not answer. Claims and events that may not be
    /// watched are left out: a job that only uses an agent needs no permission for them.
    fn follow<K>(
        &self,
        params: WatchParams,
        request: Request,
        watched: Watched,
        change: fn(WatchEvent<K>) -> Option<Change>,
    ) -> BoxStream<'static, anyhow::Result<Change>>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send
            + 'static,
    {
        let api: Api<K> = self.api();
        let cluster = self.clone();
        let begun = futures::stream::unfold(true, move |first| {
            let (api, params, cluster) = (api.clone(), params.clone(), cluster.clone());
            async move {
                if !first {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                // From version 0 the server first sends what there is.
                let stream = match api.watch(&params, "0").await {
                    Ok(stream) => {
                        let changes = stream.filter_map(move |event| async move {
                            let event = event.inspect_err(|error| tracing::debug!("watch: {error}"));
                            change(event.ok()?).map(Ok)
                        });
                        let anew = match watched {
                            Watched::Pods => Some(Ok(Change::PodsAnew)),
                            Watched::Claims => Some(Ok(Change::ClaimGone)),
                            Watched::Events => None,
                        };
                        futures::stream::iter(anew).chain(changes).boxed()
                    }
                    Err(kube::Error::Api(status)) if status.code == 403 && watched != Watched::Pods => {
                        tracing::debug!("not watched: {}", status.message);
                        futures::stream::pending().boxed()
                    }
                    Err(error) if refusal::heals(&error) => {
                        let change = Change::Trouble(chain(&error));
                        futures::stream::once(async { Ok(change) }).boxed()
                    }
                    Err(error) => {
                        let error = cluster.refused(&error, &request);
                        futures::stream::once(async { Err(error) }).boxed()
                    }
                };
                Some((stream, false))
            }
        });
        begun.flatten().boxed()
    }
}
