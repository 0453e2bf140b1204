//! Watching several kinds of objects at once.

use futures::stream::{BoxStream, StreamExt};
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::api::{WatchEvent, WatchParams};

use super::refusal::Request;
use super::watch::{self, Seen};
use super::{Cluster, Object};

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

impl Cluster {
    /// Pods of the agent, its claim, and the namespace's events, each from the state it is in now. Pods are what is
    /// waited for, the others only explain: a job that only uses an agent needs no permission for them.
    pub(super) fn changes(&self, name: &str) -> BoxStream<'static, anyhow::Result<Change>> {
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
        let events = self.follow::<Event>(
            WatchParams::default(),
            Request::new("watch", "events"),
            true,
            || Change::Resumed,
            |event| match event {
                WatchEvent::Added(event) | WatchEvent::Modified(event) => {
                    Some(Change::Event(Box::new(event)))
                }
                _ => None,
            },
        );
        futures::stream::select_all([pods, claims, events]).boxed()
    }

    fn follow<K>(
        &self,
        params: WatchParams,
        request: Request,
        optional: bool,
        anew: fn() -> Change,
        change: fn(WatchEvent<K>) -> Option<Change>,
    ) -> BoxStream<'static, anyhow::Result<Change>>
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
