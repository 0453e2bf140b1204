//! A resilient watch: resumes from the last resourceVersion, restarts on 410 Gone, detects a hung server.
//!
//! `kube::runtime::watcher` is not used: it does not notice a server that hangs, and it needs either *list*, which the Roles do
//! not grant for claims and events, or streaming lists, which older clusters do not have.

use std::time::{Duration, Instant};

use futures::stream::{BoxStream, StreamExt};
use kube::api::{Api, DynamicObject, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;

use super::error::{self, ApiOperation};
use super::{Cluster, Object, decode};
use crate::problem::chain;
use crate::retry::FailureKind;

/// An update of a watch.
#[derive(Debug)]
pub(super) enum WatchUpdate<K> {
    /// The watch starts over: the existing objects follow, and no other object exists.
    Reset,
    Event(WatchEvent<K>),
    /// The server did not answer, or hangs, with the error; the watch retries.
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
) -> BoxStream<'static, anyhow::Result<WatchUpdate<K>>>
where
    K: Object + Send + 'static,
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
    K: Object + Send + 'static,
{
    async fn next(&mut self) -> anyhow::Result<WatchUpdate<K>> {
        loop {
            let Some(events) = &mut self.events else {
                match self.start().await? {
                    Some(seen) => return Ok(seen),
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
                    return Ok(WatchUpdate::Disconnected(chain(&error)));
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

    async fn start(&mut self) -> anyhow::Result<Option<WatchUpdate<K>>> {
        if std::mem::replace(&mut self.started, true) {
            tokio::time::sleep(RESTART_DELAY).await;
        }
        let begun = self.api.watch(&self.params, &self.version);
        let error = match tokio::time::timeout(self.operation.timeout(), begun).await {
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
                Ok(Some(WatchUpdate::Disconnected(chain(error))))
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
                Ok(Some(WatchUpdate::Disconnected(chain(error))))
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
