//! The events of the namespace that are about an agent.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

use super::message_patterns::one_line;

/// The last event of its reason about an object, by one reporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentEvent {
    pub(super) kind: String,
    pub(super) name: String,
    /// The UID of the object: an earlier object may have had the same name, and events are kept for an hour.
    pub(super) uid: Option<String>,
    pub(super) reason: String,
    /// The component that reports it, such as `default-scheduler`, `kubelet` or `karpenter`.
    pub(super) reporter: String,
    pub(super) message: String,
    /// Whether it was reported again since the program watches.
    pub(super) recurred: bool,
    warning: bool,
    time: Timestamp,
}

impl AgentEvent {
    /// Reads an event of the API server; `None` if it lacks its object or reason.
    fn from_event(event: &Event) -> Option<Self> {
        let object = &event.involved_object;
        let source = event.source.as_ref().and_then(|s| s.component.clone());
        let reporter = event.reporting_component.clone().filter(|r| !r.is_empty());
        // The older API counts repetitions, the newer one has a series. Both tell when it last happened.
        let series = event
            .series
            .as_ref()
            .and_then(|s| Some(s.last_observed_time.as_ref()?.0));
        let last = event.last_timestamp.as_ref().map(|t| t.0);
        let first = event.event_time.as_ref().map(|t| t.0);
        Some(Self {
            kind: object.kind.clone()?,
            name: object.name.clone()?,
            uid: object.uid.clone(),
            reason: event.reason.clone()?,
            reporter: reporter.or(source).unwrap_or_default(),
            message: one_line(event.message.as_deref().unwrap_or_default()),
            recurred: false,
            warning: event.type_.as_deref() == Some("Warning"),
            time: [series, last, first]
                .into_iter()
                .flatten()
                .max()
                .unwrap_or_default(),
        })
    }

    /// Returns reason and message, as `kubectl describe` prints them.
    pub(super) fn text(&self) -> String {
        format!("{}: {}", self.reason, self.message)
    }

    /// Returns whether the event only repeats another. After `Failed: Failed to pull image "x": CAUSE` the kubelet also
    /// reports `Failed: Error: ErrImagePull`.
    fn is_repetition(&self) -> bool {
        self.reason == "Failed" && self.message.starts_with("Error: ") && self.message.contains("ImagePull")
    }

    /// Returns whether both events have the same object, reason and reporter.
    fn has_same_subject(&self, other: &Self) -> bool {
        let key = |event: &Self| {
            [&event.kind, &event.name, &event.reason, &event.reporter]
                .map(Clone::clone)
                .to_vec()
        };
        key(self) == key(other)
    }

    /// Returns whether the event is worth printing while waiting: all about pods, problems about other objects.
    pub(super) fn is_notable(&self) -> bool {
        // Kubernetes reports a claim without a StorageClass as a normal event.
        self.kind == "Pod" || self.warning || self.reason == "FailedBinding"
    }
}

/// The events about one agent, in the order in which they arrived.
#[derive(Debug, Default)]
pub struct EventLog(Vec<AgentEvent>);

impl EventLog {
    /// Records an event of the namespace, if it is about one of the agent's objects.
    pub fn record(&mut self, event: &Event, agent: &str) {
        let Some(mut event) = AgentEvent::from_event(event) else {
            return;
        };
        if !is_about_agent(&event, agent) || event.is_repetition() {
            return;
        }
        if let Some(index) = self.0.iter().position(|known| known.has_same_subject(&event)) {
            // A watch begins with the existing events, in no order.
            if self.0[index].time > event.time {
                return;
            }
            let previous = self.0.remove(index);
            event.recurred = previous.recurred || previous.time < event.time;
        }
        self.0.push(event);
    }

    /// Returns the events about this object.
    pub(super) fn about<'a>(&'a self, kind: &'a str, name: &'a str) -> impl Iterator<Item = &'a AgentEvent> {
        self.of_kind(kind).filter(move |event| event.name == name)
    }

    /// Returns the events about objects of this kind.
    pub(super) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a AgentEvent> {
        self.0.iter().filter(move |event| event.kind == kind)
    }
}

/// Returns the newest of some events; of equally old ones the last that arrived.
pub(super) fn newest<'a>(events: impl Iterator<Item = &'a AgentEvent>) -> Option<&'a AgentEvent> {
    events.max_by_key(|event| event.time)
}

/// How much of `generateName` the API server keeps before it adds five characters (`apiserver/pkg/storage/names`).
const GENERATE_NAME_LENGTH: usize = 58;

/// Returns whether an event is about an object of this agent. A ReplicaSet is named AGENT-HASH and its pods
/// AGENT-HASH-HASH, with hashes without a hyphen: `a-b-5d8f` does not belong to the agent `a`. The names of pods are cut
/// if the agent's name is long. Whether a pod really is the agent's, the caller finds out from the list of pods.
fn is_about_agent(event: &AgentEvent, agent: &str) -> bool {
    let suffix = event
        .name
        .strip_prefix(agent)
        .and_then(|rest| rest.strip_prefix('-'));
    match event.kind.as_str() {
        "Pod" => {
            let base = format!("{agent}-");
            let kept = base.get(..GENERATE_NAME_LENGTH).unwrap_or(&base);
            event.name.starts_with(kept)
        }
        "ReplicaSet" => suffix.is_some_and(|hash| !hash.contains('-')),
        _ => event.name == agent,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Returns an event of the older API.
    pub(in super::super) fn event(
        object: (&str, &str),
        reporter: &str,
        reason: &str,
        message: &str,
    ) -> Event {
        let (kind, name) = object;
        parse_event(json!({
            "involvedObject": {"kind": kind, "name": name, "uid": format!("uid-{name}")},
            "source": {"component": reporter}, "reason": reason, "message": message, "type": "Warning"
        }))
    }

    fn parse_event(mut value: Value) -> Event {
        value["metadata"] = json!({});
        serde_json::from_value(value).expect("event")
    }

    /// Returns the event at another time.
    pub(in super::super) fn at(event: Event, time: &str) -> Event {
        let time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            time.parse().expect("time"),
        ));
        Event {
            last_timestamp: time,
            ..event
        }
    }

    #[test]
    fn events_of_other_agents_are_ignored() {
        let mut log = EventLog::default();
        for (kind, name) in [
            ("ReplicaSet", "a-5d8f"),
            ("ReplicaSet", "a-b-5d8f"),
            ("ReplicaSet", "ab-5d8f"),
            ("PersistentVolumeClaim", "a"),
            ("PersistentVolumeClaim", "b"),
        ] {
            log.record(&event((kind, name), "x", "Failed", ""), "a");
        }
        let names: Vec<&str> = log.0.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, ["a-5d8f", "a"]);
    }

    /// Kubernetes cuts the names of pods, not those of ReplicaSets.
    #[test]
    fn events_of_pods_with_a_long_name_are_recorded() {
        for length in [57, 58, 63] {
            let agent = "a".repeat(length);
            let set = format!("{agent}-5d8f9c7b6d");
            let pod = format!("{}x7k2p", &format!("{set}-")[..GENERATE_NAME_LENGTH]);
            let mut log = EventLog::default();
            log.record(&event(("Pod", &pod), "x", "Failed", ""), &agent);
            log.record(&event(("ReplicaSet", &set), "x", "Failed", ""), &agent);
            log.record(&event(("Pod", "aaa-1-2"), "x", "Failed", ""), &agent);
            let names: Vec<&str> = log.0.iter().map(|event| event.name.as_str()).collect();
            assert_eq!(names, [pod, set], "{length}");
        }
    }

    #[test]
    fn the_cause_of_a_failed_pull_is_kept() {
        let mut log = EventLog::default();
        for message in [
            "Failed to pull image \"x\": no",
            "Error: ErrImagePull",
            "Error: ImagePullBackOff",
        ] {
            log.record(&event(("Pod", "a-1-2"), "kubelet", "Failed", message), "a");
        }
        let messages: Vec<&str> = log.of_kind("Pod").map(|event| event.message.as_str()).collect();
        assert_eq!(messages, ["Failed to pull image \"x\": no"]);
    }

    #[test]
    fn a_message_is_one_line() {
        let mut log = EventLog::default();
        log.record(
            &event(("Pod", "a-1-2"), "x", "Failed", "one\n::error::two\r\n"),
            "a",
        );
        let messages: Vec<&str> = log.of_kind("Pod").map(|event| event.message.as_str()).collect();
        assert_eq!(messages, ["one ::error::two"]);
    }

    #[test]
    fn an_older_event_does_not_replace_a_newer_one() {
        let mut log = EventLog::default();
        let failed =
            |message: &str, time: &str| at(event(("Pod", "a-1-2"), "kubelet", "Failed", message), time);
        log.record(&failed("second", "2026-01-01T00:00:02Z"), "a");
        log.record(&failed("first", "2026-01-01T00:00:01Z"), "a");
        let messages: Vec<&str> = log
            .about("Pod", "a-1-2")
            .map(|event| event.message.as_str())
            .collect();
        assert_eq!(messages, ["second"]);
        assert!(log.0.iter().all(|event| !event.recurred));
        log.record(&failed("third", "2026-01-01T00:00:02Z"), "a");
        assert!(log.0.iter().all(|event| !event.recurred));
        let pod = newest(log.of_kind("Pod"));
        assert_eq!(pod.map(AgentEvent::text).as_deref(), Some("Failed: third"));
        log.record(&failed("fourth", "2026-01-01T00:00:03Z"), "a");
        assert!(log.0.iter().all(|event| event.recurred));
    }

    /// From the scheduler of 1.34, by events.k8s.io.
    #[test]
    fn a_series_has_the_time_of_its_last_event() {
        let event = AgentEvent::from_event(&parse_event(json!({
            "involvedObject": {"kind": "Pod", "name": "a-1-2"},
            "reason": "FailedScheduling", "message": " m ", "reportingComponent": "default-scheduler", "source": {},
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "series": {"count": 2, "lastObservedTime": "2026-01-01T00:05:00.000000Z"}
        })))
        .expect("event");
        assert_eq!(event.reporter, "default-scheduler");
        assert_eq!(event.message, "m");
        assert_eq!(event.time.to_string(), "2026-01-01T00:05:00Z");
    }
}
