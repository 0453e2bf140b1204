//! Watching several kinds of objects at once.

use std::collections::BTreeMap;

use futures::stream::{AbortHandle, BoxStream, SelectAll, StreamExt};
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::api::{WatchEvent, WatchParams};

use super::refusal::Request;
use super::watch::{self, Seen};
use super::{Cluster, Object};
use crate::agent::state;

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
    /// It answers again.
    Resumed,
}

type Changes = BoxStream<'static, anyhow::Result<Change>>;

/// Events that are not about pods: about the agent's Deployment, its claim, its ReplicaSets.
const NOT_ABOUT_PODS: &str = "involvedObject.kind!=Pod";

/// The watches that go on, and those on events about a pod, by its name.
struct Watches {
    cluster: Cluster,
    all: SelectAll<Changes>,
    pods: BTreeMap<String, AbortHandle>,
}

impl Watches {
    /// The next change. A watch on the events about a pod begins with the pod, and ends with it: events about other
    /// pods are most of what there is in a namespace that is in use, and the server would send the last hour of them.
    async fn next(&mut self) -> Option<anyhow::Result<Change>> {
        let change = self.all.next().await?;
        match &change {
            Ok(Change::Pod(pod)) if state::stays(pod) => {
                if let Some(name) = &pod.metadata.name
                    && !self.pods.contains_key(name)
                {
                    let about = format!("involvedObject.kind=Pod,involvedObject.name={name}");
                    let (events, handle) = futures::stream::abortable(self.cluster.events(&about));
                    self.all.push(events.boxed());
                    self.pods.insert(name.clone(), handle);
                }
            }
            Ok(Change::PodGone(name)) => {
                if let Some(watch) = self.pods.remove(name) {
                    watch.abort();
                }
            }
            _ => {}
        }
        Some(change)
    }
}

impl Cluster {
    /// Pods of the agent, its claim, and the events about them, each from the state it is in now. Pods are what is
    /// waited for, the others only explain: a job that only uses an agent needs no permission for them.
    pub(super) fn changes(&self, name: &str) -> Changes {
        let pods = self.follow::<Pod>(
            WatchParams::default().labels(&format!("app={name}")),
            Request::new("watch", "pods"),
            false,
            || Change::PodsAnew,
            |event| match event {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => Some(Change::Pod(Box::new(pod))),
                WatchEvent::Deleted(pod) => pod.metadata.name.map(Change::PodGone),
                _ => None,
            },
        );
        let claims = self.follow::<PersistentVolumeClaim>(
            WatchParams::default().fields(&format!("metadata.name={name}")),
            Request::new("watch", "persistentvolumeclaims"),
            true,
            || Change::ClaimGone,
            |event| match event {
                WatchEvent::Added(claim) | WatchEvent::Modified(claim) => {
                    Some(Change::Claim(Box::new(claim)))
                }
                WatchEvent::Deleted(_) => Some(Change::ClaimGone),
                _ => None,
            },
        );
        let watches = Watches {
            cluster: self.clone(),
            all: futures::stream::select_all([pods, claims, self.events(NOT_ABOUT_PODS)]),
            pods: BTreeMap::new(),
        };
        futures::stream::unfold(watches, |mut watches| async {
            let change = watches.next().await?;
            Some((change, watches))
        })
        .boxed()
    }

    fn events(&self, about: &str) -> Changes {
        self.follow::<Event>(
            WatchParams::default().fields(about),
            Request::new("watch", "events"),
            true,
            || Change::Resumed,
            |event| match event {
                WatchEvent::Added(event) | WatchEvent::Modified(event) => {
                    Some(Change::Event(Box::new(event)))
                }
                _ => None,
            },
        )
    }

    fn follow<K>(
        &self,
        params: WatchParams,
        request: Request,
        optional: bool,
        anew: fn() -> Change,
        change: fn(WatchEvent<K>) -> Option<Change>,
    ) -> Changes
    where
        K: Object + Send + 'static,
    {
        let seen = watch::watch::<K>(self, params, request, optional);
        let changes = seen.filter_map(move |seen| async move {
            match seen {
                Ok(Seen::Anew) => Some(Ok(anew())),
                Ok(Seen::Resumed) => Some(Ok(Change::Resumed)),
                Ok(Seen::Trouble(error)) => Some(Ok(Change::Trouble(error))),
                Ok(Seen::Event(event)) => change(event).map(Ok),
                Err(error) => Some(Err(error)),
            }
        });
        changes.boxed()
    }
}
