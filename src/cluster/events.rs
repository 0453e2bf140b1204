//! The watches on an agent: its pods, its claim, and the events about them, in one stream.

use std::collections::BTreeMap;

use futures::stream::{AbortHandle, BoxStream, SelectAll, StreamExt};
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::api::{WatchEvent, WatchParams};

use super::error::ApiOperation;
use super::watch::{self, WatchUpdate};
use super::{Cluster, Object};
use crate::agent::state;

/// An update that a watch on an agent reports.
#[derive(Debug)]
pub(super) enum AgentUpdate {
    /// The watch on pods starts over: the existing pods follow, and no other pod exists.
    PodsReset,
    Pod(Box<Pod>),
    PodDeleted(String),
    Claim(Box<PersistentVolumeClaim>),
    /// The claim was deleted, or the watch on it starts over.
    ClaimDeleted,
    Event(Box<Event>),
    /// The API server did not answer a watch, with the error; the watch retries.
    Disconnected(String),
    /// The API server answers again.
    Reconnected,
}

type AgentUpdates = BoxStream<'static, anyhow::Result<AgentUpdate>>;

/// Selects events about the agent's Deployment, claim and ReplicaSets.
const NOT_ABOUT_PODS: &str = "involvedObject.kind!=Pod";

/// The open watches.
struct AgentWatches {
    cluster: Cluster,
    all: SelectAll<AgentUpdates>,
    /// The watch on the events about each pod, by the name of the pod.
    pod_events: BTreeMap<String, AbortHandle>,
}

impl AgentWatches {
    /// Returns the next update. Opens a watch on the events about each pod when it appears, and closes it with the pod:
    /// without the selection the API server would send the events of the last hour about all pods of the namespace.
    async fn next(&mut self) -> Option<anyhow::Result<AgentUpdate>> {
        let update = self.all.next().await?;
        match &update {
            Ok(AgentUpdate::Pod(pod)) if state::is_active(pod) => {
                if let Some(name) = &pod.metadata.name
                    && !self.pod_events.contains_key(name)
                {
                    let selector = format!("involvedObject.kind=Pod,involvedObject.name={name}");
                    let (events, handle) = futures::stream::abortable(self.cluster.watch_events(&selector));
                    self.all.push(events.boxed());
                    self.pod_events.insert(name.clone(), handle);
                }
            }
            Ok(AgentUpdate::PodDeleted(name)) => {
                if let Some(watch) = self.pod_events.remove(name) {
                    watch.abort();
                }
            }
            _ => {}
        }
        Some(update)
    }
}

impl Cluster {
    /// Watches the pods of the agent, its claim and the events about them, each from its present state. The watches other
    /// than that on pods are optional, because they only explain: a job with the Role `use` has no permission for them.
    pub(super) fn watch_agent(&self, name: &str) -> AgentUpdates {
        let pods = self.watch_updates::<Pod>(
            WatchParams::default().labels(&format!("app={name}")),
            ApiOperation::new("watch", "pods"),
            false,
            || AgentUpdate::PodsReset,
            |event| match event {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => Some(AgentUpdate::Pod(Box::new(pod))),
                WatchEvent::Deleted(pod) => pod.metadata.name.map(AgentUpdate::PodDeleted),
                _ => None,
            },
        );
        let claims = self.watch_updates::<PersistentVolumeClaim>(
            WatchParams::default().fields(&format!("metadata.name={name}")),
            ApiOperation::new("watch", "persistentvolumeclaims"),
            true,
            || AgentUpdate::ClaimDeleted,
            |event| match event {
                WatchEvent::Added(claim) | WatchEvent::Modified(claim) => {
                    Some(AgentUpdate::Claim(Box::new(claim)))
                }
                WatchEvent::Deleted(_) => Some(AgentUpdate::ClaimDeleted),
                _ => None,
            },
        );
        let watches = AgentWatches {
            cluster: self.clone(),
            all: futures::stream::select_all([pods, claims, self.watch_events(NOT_ABOUT_PODS)]),
            pod_events: BTreeMap::new(),
        };
        futures::stream::unfold(watches, |mut watches| async {
            let update = watches.next().await?;
            Some((update, watches))
        })
        .boxed()
    }

    /// Watches the events that the field selector selects.
    fn watch_events(&self, selector: &str) -> AgentUpdates {
        self.watch_updates::<Event>(
            WatchParams::default().fields(selector),
            ApiOperation::new("watch", "events"),
            true,
            || AgentUpdate::Reconnected,
            |event| match event {
                WatchEvent::Added(event) | WatchEvent::Modified(event) => {
                    Some(AgentUpdate::Event(Box::new(event)))
                }
                _ => None,
            },
        )
    }

    /// Watches objects of one kind, and turns what the watch reports into updates.
    fn watch_updates<K>(
        &self,
        params: WatchParams,
        operation: ApiOperation,
        optional: bool,
        reset: fn() -> AgentUpdate,
        update: fn(WatchEvent<K>) -> Option<AgentUpdate>,
    ) -> AgentUpdates
    where
        K: Object + Send + 'static,
    {
        let watched = watch::watch::<K>(self, params, operation, optional);
        let updates = watched.filter_map(move |seen| async move {
            match seen {
                Ok(WatchUpdate::Reset) => Some(Ok(reset())),
                Ok(WatchUpdate::Reconnected) => Some(Ok(AgentUpdate::Reconnected)),
                Ok(WatchUpdate::Disconnected(error)) => Some(Ok(AgentUpdate::Disconnected(error))),
                Ok(WatchUpdate::Event(event)) => update(event).map(Ok),
                Err(error) => Some(Err(error)),
            }
        });
        updates.boxed()
    }
}
