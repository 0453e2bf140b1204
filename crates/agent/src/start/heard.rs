//! What the events of the namespace say of an agent.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

use super::words::one_line;

/// The last event of its reason about an object, by one reporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub kind: String,
    pub name: String,
    /// Of the object: another one may have had the name before, and events are kept for an hour.
    pub uid: Option<String>,
    pub reason: String,
    /// Who says so, such as `default-scheduler`, `kubelet` or `karpenter`.
    pub reporter: String,
    pub message: String,
    /// Whether it was said once more while we listened.
    pub again: bool,
    warning: bool,
    at: Timestamp,
}

impl Word {
    fn of(event: &Event) -> Option<Self> {
        let object = &event.involved_object;
        let source = event.source.as_ref().and_then(|s| s.component.clone());
        let reporter = event.reporting_component.clone().filter(|r| !r.is_empty());
        // Both ways of reporting: the older counts, the newer has a series. Each tells when it last happened.
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
            again: false,
            warning: event.type_.as_deref() == Some("Warning"),
            at: [series, last, first]
                .into_iter()
                .flatten()
                .max()
                .unwrap_or_default(),
        })
    }

    /// As `kubectl describe` shows it.
    pub fn text(&self) -> String {
        format!("{}: {}", self.reason, self.message)
    }

    /// After `Failed: Failed to pull image "x": WHY` the kubelet says `Failed: Error: ErrImagePull`.
    fn only_repeats(&self) -> bool {
        self.reason == "Failed" && self.message.starts_with("Error: ") && self.message.contains("ImagePull")
    }

    fn same_subject(&self, other: &Self) -> bool {
        let key = |w: &Self| {
            [&w.kind, &w.name, &w.reason, &w.reporter]
                .map(Clone::clone)
                .to_vec()
        };
        key(self) == key(other)
    }

    /// Whether somebody who waits wants to hear it: of pods everything, of other objects what goes wrong.
    pub fn matters(&self) -> bool {
        // That a claim has no StorageClass is no warning to Kubernetes.
        self.kind == "Pod" || self.warning || self.reason == "FailedBinding"
    }
}

/// The words about one agent, in the order they came.
#[derive(Debug, Default)]
pub struct Heard(Vec<Word>);

impl Heard {
    /// Takes an event of the namespace, of whatever object; those of the agent's own objects are kept.
    pub fn hear(&mut self, event: &Event, agent: &str) {
        let Some(mut word) = Word::of(event) else { return };
        if !belongs(&word, agent) || word.only_repeats() {
            return;
        }
        if let Some(known) = self.0.iter().position(|w| w.same_subject(&word)) {
            // A watch begins with what there is, in no order.
            if self.0[known].at > word.at {
                return;
            }
            let before = self.0.remove(known);
            word.again = before.again || before.at < word.at;
        }
        self.0.push(word);
    }

    pub fn about<'a>(&'a self, kind: &'a str, name: &'a str) -> impl Iterator<Item = &'a Word> {
        self.of_kind(kind).filter(move |w| w.name == name)
    }

    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Word> {
        self.0.iter().filter(move |w| w.kind == kind)
    }
}

/// The newest of some words; of equally old ones the last that came.
pub fn newest<'a>(words: impl Iterator<Item = &'a Word>) -> Option<&'a Word> {
    words.max_by_key(|w| w.at)
}

/// What the server keeps of a `generateName` before it adds five characters (`apiserver/pkg/storage/names`).
const GENERATED_FROM: usize = 58;

/// A ReplicaSet is named AGENT-HASH and its pods AGENT-HASH-HASH, with hashes without a hyphen: `a-b-5d8f` is not one
/// of the agent `a`. Of a long name the pods have only the beginning. Whether a pod's name is really one of the
/// agent's is for who knows the pods.
fn belongs(word: &Word, agent: &str) -> bool {
    let rest = word.name.strip_prefix(agent).and_then(|r| r.strip_prefix('-'));
    match word.kind.as_str() {
        "Pod" => {
            let base = format!("{agent}-");
            let kept = base.get(..GENERATED_FROM).unwrap_or(&base);
            word.name.starts_with(kept)
        }
        "ReplicaSet" => rest.is_some_and(|hash| !hash.contains('-')),
        _ => word.name == agent,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An event as the older way of reporting makes it.
    pub(in super::super) fn event(
        object: (&str, &str),
        reporter: &str,
        reason: &str,
        message: &str,
    ) -> Event {
        let (kind, name) = object;
        event_of(json!({
            "involvedObject": {"kind": kind, "name": name, "uid": format!("uid-{name}")},
            "source": {"component": reporter}, "reason": reason, "message": message, "type": "Warning"
        }))
    }

    fn event_of(mut value: Value) -> Event {
        value["metadata"] = json!({});
        serde_json::from_value(value).expect("event")
    }

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
    fn events_of_other_agents_are_not_heard() {
        let mut heard = Heard::default();
        for (kind, name) in [
            ("ReplicaSet", "a-5d8f"),
            ("ReplicaSet", "a-b-5d8f"),
            ("ReplicaSet", "ab-5d8f"),
            ("PersistentVolumeClaim", "a"),
            ("PersistentVolumeClaim", "b"),
        ] {
            heard.hear(&event((kind, name), "x", "Failed", ""), "a");
        }
        let names: Vec<&str> = heard.0.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(names, ["a-5d8f", "a"]);
    }

    /// Kubernetes cuts the name of a pod, not that of a ReplicaSet.
    #[test]
    fn pods_of_a_long_name_are_heard() {
        for length in [57, 58, 63] {
            let agent = "a".repeat(length);
            let set = format!("{agent}-5d8f9c7b6d");
            let pod = format!("{}x7k2p", &format!("{set}-")[..GENERATED_FROM]);
            let mut heard = Heard::default();
            heard.hear(&event(("Pod", &pod), "x", "Failed", ""), &agent);
            heard.hear(&event(("ReplicaSet", &set), "x", "Failed", ""), &agent);
            heard.hear(&event(("Pod", "aaa-1-2"), "x", "Failed", ""), &agent);
            let names: Vec<&str> = heard.0.iter().map(|w| w.name.as_str()).collect();
            assert_eq!(names, [pod, set], "{length}");
        }
    }

    #[test]
    fn why_a_pull_failed_stays() {
        let mut heard = Heard::default();
        for message in [
            "Failed to pull image \"x\": no",
            "Error: ErrImagePull",
            "Error: ImagePullBackOff",
        ] {
            heard.hear(&event(("Pod", "a-1-2"), "kubelet", "Failed", message), "a");
        }
        let words: Vec<&str> = heard.of_kind("Pod").map(|w| w.message.as_str()).collect();
        assert_eq!(words, ["Failed to pull image \"x\": no"]);
    }

    #[test]
    fn a_message_is_one_line() {
        let mut heard = Heard::default();
        heard.hear(
            &event(("Pod", "a-1-2"), "x", "Failed", "one\n::error::two\r\n"),
            "a",
        );
        let words: Vec<&str> = heard.of_kind("Pod").map(|w| w.message.as_str()).collect();
        assert_eq!(words, ["one ::error::two"]);
    }

    #[test]
    fn an_older_event_does_not_replace_a_newer_one() {
        let mut heard = Heard::default();
        let said =
            |message: &str, time: &str| at(event(("Pod", "a-1-2"), "kubelet", "Failed", message), time);
        heard.hear(&said("second", "2026-01-01T00:00:02Z"), "a");
        heard.hear(&said("first", "2026-01-01T00:00:01Z"), "a");
        let words: Vec<&str> = heard.about("Pod", "a-1-2").map(|w| w.message.as_str()).collect();
        assert_eq!(words, ["second"]);
        assert!(heard.0.iter().all(|w| !w.again));
        heard.hear(&said("third", "2026-01-01T00:00:02Z"), "a");
        assert!(heard.0.iter().all(|w| !w.again));
        let pod = newest(heard.of_kind("Pod"));
        assert_eq!(pod.map(Word::text).as_deref(), Some("Failed: third"));
        heard.hear(&said("fourth", "2026-01-01T00:00:03Z"), "a");
        assert!(heard.0.iter().all(|w| w.again));
    }

    /// As the scheduler of 1.34 makes it, by events.k8s.io.
    #[test]
    fn a_series_tells_when_it_last_happened() {
        let word = Word::of(&event_of(json!({
            "involvedObject": {"kind": "Pod", "name": "a-1-2"},
            "reason": "FailedScheduling", "message": " m ", "reportingComponent": "default-scheduler", "source": {},
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "series": {"count": 2, "lastObservedTime": "2026-01-01T00:05:00.000000Z"}
        })))
        .expect("word");
        assert_eq!(word.reporter, "default-scheduler");
        assert_eq!(word.message, "m");
        assert_eq!(word.at.to_string(), "2026-01-01T00:05:00Z");
    }
}
