//! A resilient watch: resumes from the last resourceVersion, restarts on 410 Gone, detects a hung server. And the
//! watches on an agent in one stream: its pods, its claim, and the events about them.
//!
//! `kube::runtime::watcher` is not used: it does not notice a server that hangs, and it needs either *list*, which the Roles do
//! not grant for claims and events, or streaming lists, which older clusters do not have.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::stream::{AbortHandle, BoxStream, SelectAll, StreamExt};
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::api::{Api, DynamicObject, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;

use super::error::{self, ApiOperation, ClusterError};
use super::{Cluster, NamespacedObject, decode};
use crate::agent::state;
use crate::failure_kind::FailureKind;

/// An update of a watch.
#[derive(Debug)]
pub(super) enum WatchUpdate<K> {
    /// The watch starts over: the existing objects follow, and no other object exists.
    Reset,
    Event(WatchEvent<K>),
    /// The server did not answer, or hangs; the watch retries. Contains the error.
    Disconnected(String),
    /// The watch is open again.
    Reconnected,
}

/// The watch timeout requested from the server. A watch that outlives it means that the server hangs.
const WATCH_SECONDS: u32 = 20;
const HANG_TIMEOUT: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// The resourceVersion for which the server first sends the existing objects.
const INITIAL_VERSION: &str = "0";

/// Watches objects of a kind. An `optional` watch that RBAC forbids never yields an update.
pub(super) fn watch<K>(
    cluster: &Cluster,
    params: WatchParams,
    operation: ApiOperation,
    optional: bool,
) -> BoxStream<'static, Result<WatchUpdate<K>, ClusterError>>
where
    K: NamespacedObject + Send + 'static,
{
    let watch = Watch {
        api: cluster.untyped::<K>(),
        cluster: cluster.clone(),
        params: params.timeout(WATCH_SECONDS),
        operation,
        optional,
        version: INITIAL_VERSION.into(),
        started: false,
        events: None,
        since: Instant::now(),
        last_unavailable: None,
    };
    futures::stream::unfold(watch, |mut watch| async { Some((watch.next().await, watch)) }).boxed()
}

/// A watch, open or about to be opened.
struct Watch<K> {
    api: Api<DynamicObject>,
    cluster: Cluster,
    params: WatchParams,
    operation: ApiOperation,
    optional: bool,
    /// The resourceVersion of the last event, from which to resume.
    version: String,
    started: bool,
    events: Option<BoxStream<'static, kube::Result<WatchEvent<K>>>>,
    since: Instant,
    last_unavailable: Option<Instant>,
}

impl<K> Watch<K>
where
    K: NamespacedObject + Send + 'static,
{
    /// Returns the next update.
    async fn next(&mut self) -> Result<WatchUpdate<K>, ClusterError> {
        loop {
            let Some(events) = &mut self.events else {
                match self.start().await? {
                    Some(update) => return Ok(update),
                    None => continue,
                }
            };
            match tokio::time::timeout(HANG_TIMEOUT, events.next()).await {
                Ok(Some(Ok(WatchEvent::Bookmark(bookmark)))) => {
                    self.version = bookmark.metadata.resource_version;
                }
                Ok(Some(Ok(WatchEvent::Error(status)))) => {
                    tracing::debug!("watch: {}", status.message);
                    // 410: the version is too old.
                    INITIAL_VERSION.clone_into(&mut self.version);
                    self.events = None;
                }
                Ok(Some(Ok(event))) => {
                    if let WatchEvent::Added(object)
                    | WatchEvent::Modified(object)
                    | WatchEvent::Deleted(object) = &event
                        && let Some(version) = &object.meta().resource_version
                    {
                        self.version.clone_from(version);
                    }
                    return Ok(WatchUpdate::Event(event));
                }
                Ok(Some(Err(error))) => {
                    self.events = None;
                    self.last_unavailable = Some(Instant::now());
                    return Ok(WatchUpdate::Disconnected(error::cause(&error)));
                }
                Ok(None) => {
                    self.events = None;
                    // Before its timeout: the server or the connection ended.
                    if self.since.elapsed() < Duration::from_secs(WATCH_SECONDS.into()) {
                        self.last_unavailable = Some(Instant::now());
                    }
                }
                Err(_) => {
                    self.events = None;
                    return Ok(WatchUpdate::Disconnected(format!(
                        "nothing received for {} s",
                        HANG_TIMEOUT.as_secs()
                    )));
                }
            }
        }
    }

    /// Opens the watch. `None`: it must be opened again.
    async fn start(&mut self) -> Result<Option<WatchUpdate<K>>, ClusterError> {
        if std::mem::replace(&mut self.started, true) {
            tokio::time::sleep(RESTART_DELAY).await;
        }
        let opened = self.api.watch(&self.params, &self.version);
        let error = match tokio::time::timeout(self.operation.timeout(), opened).await {
            Ok(Ok(events)) => {
                let events = events.map(|event| decode_event(event?).map_err(kube::Error::SerdeError));
                self.events = Some(events.boxed());
                self.since = Instant::now();
                let reset = self.version == INITIAL_VERSION;
                return Ok(Some(if reset {
                    WatchUpdate::Reset
                } else {
                    WatchUpdate::Reconnected
                }));
            }
            Ok(Err(error)) => error,
            Err(_) => {
                let seconds = self.operation.timeout().as_secs();
                return Ok(Some(WatchUpdate::Disconnected(format!(
                    "no response within {seconds} s"
                ))));
            }
        };
        let kind = error::failure_kind(&error);
        if kind.is_unavailable() {
            self.last_unavailable = Some(Instant::now());
        }
        match &error {
            error if kind.is_startup_denial(self.last_unavailable) => {
                Ok(Some(WatchUpdate::Disconnected(error::cause(error))))
            }
            kube::Error::Api(status) if status.code == 403 && self.optional => {
                tracing::debug!("watch denied: {}", status.message);
                std::future::pending().await
            }
            kube::Error::Api(status) if status.code == 410 => {
                INITIAL_VERSION.clone_into(&mut self.version);
                Ok(None)
            }
            error if !matches!(kind, FailureKind::Permanent | FailureKind::Denied) => {
                Ok(Some(WatchUpdate::Disconnected(error::cause(error))))
            }
            error => Err(self.cluster.request_error(error, &self.operation)),
        }
    }
}

fn decode_event<K: DeserializeOwned>(event: WatchEvent<DynamicObject>) -> serde_json::Result<WatchEvent<K>> {
    Ok(match event {
        WatchEvent::Added(object) => WatchEvent::Added(decode(&object)?),
        WatchEvent::Modified(object) => WatchEvent::Modified(decode(&object)?),
        WatchEvent::Deleted(object) => WatchEvent::Deleted(decode(&object)?),
        WatchEvent::Bookmark(bookmark) => WatchEvent::Bookmark(bookmark),
        WatchEvent::Error(status) => WatchEvent::Error(status),
    })
}

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
    /// The API server did not answer a watch, which retries. Contains the error.
    Disconnected(String),
    /// The API server answers again.
    Reconnected,
}

type AgentUpdates = BoxStream<'static, Result<AgentUpdate, ClusterError>>;

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
    async fn next(&mut self) -> Option<Result<AgentUpdate, ClusterError>> {
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
    /// Watches the pods of the agent, its claim and the events about them, each from its present state. Only the watch
    /// on pods is required: the others explain why a pod is not ready, and the *use* Role does not permit them.
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

    /// Watches objects of one kind, and converts the watch's updates.
    fn watch_updates<K>(
        &self,
        params: WatchParams,
        operation: ApiOperation,
        optional: bool,
        reset: fn() -> AgentUpdate,
        update: fn(WatchEvent<K>) -> Option<AgentUpdate>,
    ) -> AgentUpdates
    where
        K: NamespacedObject + Send + 'static,
    {
        let watched = watch::<K>(self, params, operation, optional);
        let updates = watched.filter_map(move |watched| async move {
            match watched {
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
