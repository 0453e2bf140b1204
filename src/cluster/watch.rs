//! A watch that goes on: resumed where it ended, begun anew where that cannot be, and with an ear for silence.

use std::time::{Duration, Instant};

use futures::stream::{BoxStream, StreamExt};
use kube::api::{Api, DynamicObject, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;

use super::refusal::{self, Request};
use super::{Cluster, Object, known};
use crate::problem::chain;
use crate::retry::FailureKind;

/// What a watch brings.
#[derive(Debug)]
pub(super) enum Seen<K> {
    /// What there is comes next, and nothing else exists.
    Anew,
    Event(WatchEvent<K>),
    /// The server did not answer, or fell silent; it is asked again.
    Trouble(String),
    /// It answers again.
    Resumed,
}

/// How long the server is to keep up a watch. A frozen one does not end it, by which it is found out.
const WATCH_SECONDS: u32 = 20;
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);
const PAUSE: Duration = Duration::from_secs(1);

/// From this version on the server first sends what there is.
const FROM_THE_START: &str = "0";

/// A watch that may not be watched and is `optional` brings nothing, ever.
pub(super) fn watch<K>(
    cluster: &Cluster,
    params: WatchParams,
    request: Request,
    optional: bool,
) -> BoxStream<'static, anyhow::Result<Seen<K>>>
where
    K: Object + Send + 'static,
{
    let watch = Watch {
        api: cluster.untyped::<K>(),
        cluster: cluster.clone(),
        params: params.timeout(WATCH_SECONDS),
        request,
        optional,
        version: FROM_THE_START.into(),
        began: false,
        events: None,
        since: Instant::now(),
        away: None,
    };
    futures::stream::unfold(watch, |mut watch| async { Some((watch.next().await, watch)) }).boxed()
}

struct Watch<K> {
    api: Api<DynamicObject>,
    cluster: Cluster,
    params: WatchParams,
    request: Request,
    optional: bool,
    /// Of the last event, to go on from.
    version: String,
    began: bool,
    events: Option<BoxStream<'static, kube::Result<WatchEvent<K>>>>,
    since: Instant,
    /// When the server was last not there.
    away: Option<Instant>,
}

impl<K> Watch<K>
where
    K: Object + Send + 'static,
{
    async fn next(&mut self) -> anyhow::Result<Seen<K>> {
        loop {
            let Some(events) = &mut self.events else {
                match self.begin().await? {
                    Some(seen) => return Ok(seen),
                    None => continue,
                }
            };
            match tokio::time::timeout(SILENCE, events.next()).await {
                Ok(Some(Ok(WatchEvent::Bookmark(bookmark)))) => {
                    self.version = bookmark.metadata.resource_version;
                }
                Ok(Some(Ok(WatchEvent::Error(status)))) => {
                    tracing::debug!("watch: {}", status.message);
                    // 410: the version is too old by now.
                    FROM_THE_START.clone_into(&mut self.version);
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
                    return Ok(Seen::Event(event));
                }
                Ok(Some(Err(error))) => {
                    self.events = None;
                    self.away = Some(Instant::now());
                    return Ok(Seen::Trouble(chain(&error)));
                }
                Ok(None) => {
                    self.events = None;
                    // Before its time: by the end of the server, or of the connection.
                    if self.since.elapsed() < Duration::from_secs(WATCH_SECONDS.into()) {
                        self.away = Some(Instant::now());
                    }
                }
                Err(_) => {
                    self.events = None;
                    return Ok(Seen::Trouble(format!(
                        "it has said nothing for {} s",
                        SILENCE.as_secs()
                    )));
                }
            }
        }
    }

    async fn begin(&mut self) -> anyhow::Result<Option<Seen<K>>> {
        if std::mem::replace(&mut self.began, true) {
            tokio::time::sleep(PAUSE).await;
        }
        let begun = self.api.watch(&self.params, &self.version);
        let error = match tokio::time::timeout(self.request.within(), begun).await {
            Ok(Ok(events)) => {
                let events = events.map(|event| typed(event?).map_err(kube::Error::SerdeError));
                self.events = Some(events.boxed());
                self.since = Instant::now();
                let anew = self.version == FROM_THE_START;
                return Ok(Some(if anew { Seen::Anew } else { Seen::Resumed }));
            }
            Ok(Err(error)) => error,
            Err(_) => {
                let seconds = self.request.within().as_secs();
                return Ok(Some(Seen::Trouble(format!("no answer within {seconds} s"))));
            }
        };
        let cause = refusal::cause(&error);
        if cause.is_unavailable() {
            self.away = Some(Instant::now());
        }
        match &error {
            error if cause.is_startup_denial(self.away) => Ok(Some(Seen::Trouble(chain(error)))),
            kube::Error::Api(status) if status.code == 403 && self.optional => {
                tracing::debug!("not watched: {}", status.message);
                std::future::pending().await
            }
            kube::Error::Api(status) if status.code == 410 => {
                FROM_THE_START.clone_into(&mut self.version);
                Ok(None)
            }
            error if !matches!(cause, FailureKind::Permanent | FailureKind::Denied) => {
                Ok(Some(Seen::Trouble(chain(error))))
            }
            error => Err(self.cluster.refused(error, &self.request)),
        }
    }
}

fn typed<K: DeserializeOwned>(event: WatchEvent<DynamicObject>) -> serde_json::Result<WatchEvent<K>> {
    Ok(match event {
        WatchEvent::Added(object) => WatchEvent::Added(known(&object)?),
        WatchEvent::Modified(object) => WatchEvent::Modified(known(&object)?),
        WatchEvent::Deleted(object) => WatchEvent::Deleted(known(&object)?),
        WatchEvent::Bookmark(bookmark) => WatchEvent::Bookmark(bookmark),
        WatchEvent::Error(status) => WatchEvent::Error(status),
    })
}
