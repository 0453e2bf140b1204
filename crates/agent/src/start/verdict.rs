//! Whether waiting for an agent is of no use.
//!
//! Kubernetes retries everything, so nothing it reports is final by itself. What it says is: an agent is doubted for
//! reasons that name a fault which only somebody can mend, and given up when the doubt outlasts its patience.

use std::collections::BTreeSet;
use std::mem::{Discriminant, discriminant};
use std::time::{Duration, Instant};

use super::scheduling::{Cause, Refusal};

#[derive(Debug, PartialEq, Eq)]
pub enum Hopeless {
    /// The claim gets no volume.
    Claim {
        event: String,
        fault: ClaimFault,
    },
    /// The ReplicaSet may not make the pod.
    Pod {
        event: String,
    },
    /// No node takes the pod. The scheduler's message, and what an autoscaler said to it.
    Node {
        message: String,
        refusal: Refusal,
        autoscaler: Option<String>,
    },
    Image {
        image: String,
        message: String,
    },
    /// What the pod mounts is not there.
    Mount {
        event: String,
    },
    /// The pod asks for a user namespace, and its node has none.
    UserNamespaces {
        message: String,
    },
    Container {
        reason: String,
        message: String,
    },
    /// The container's last lines, or why it is not started.
    Crash {
        log: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimFault {
    NoSuchClass,
    NoDefaultClass,
    /// The driver has no permission, or does not take what is asked.
    Provisioning,
    Lost,
    /// By somebody, while a pod needs it.
    Deleted,
}

/// A reason to give up, and how long it has to hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Doubt {
    pub why: Hopeless,
    pub patience: Duration,
}

impl Doubt {
    pub(super) fn after(patience: Duration, why: Hopeless) -> Option<Self> {
        Some(Self { why, patience })
    }
}

/// What makes two doubts the same. Where the causes of a refusal change, so does the cluster: a node comes, or goes.
type Reason = (Discriminant<Hopeless>, BTreeSet<Cause>);

fn reason(why: &Hopeless) -> Reason {
    let causes = match why {
        Hopeless::Node { refusal, .. } => refusal.causes.clone(),
        _ => BTreeSet::new(),
    };
    (discriminant(why), causes)
}

/// Since when an agent is doubted for the same reason; its words may change meanwhile, as with a count of nodes.
#[derive(Debug, Default)]
pub struct Patience(Option<(Reason, Instant)>);

impl Patience {
    /// When it ends, if the doubt that there is now lasts.
    pub fn ends(&mut self, doubt: Option<&Doubt>, now: Instant) -> Option<Instant> {
        let Some(doubt) = doubt else {
            self.0 = None;
            return None;
        };
        let reason = reason(&doubt.why);
        let since = match &self.0 {
            Some((known, since)) if *known == reason => *since,
            _ => now,
        };
        self.0 = Some((reason, since));
        Some(since + doubt.patience)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test may start from the present moment"
)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_when_the_same_doubt_has_lasted() {
        let doubt = |seconds: u64, log: &str| Doubt {
            why: Hopeless::Crash { log: log.into() },
            patience: Duration::from_secs(seconds),
        };
        let other = Doubt {
            why: Hopeless::Pod { event: String::new() },
            patience: Duration::from_secs(30),
        };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut patience = Patience::default();
        assert_eq!(patience.ends(Some(&doubt(30, "2 nodes")), at(0)), Some(at(30)));
        assert_eq!(patience.ends(Some(&doubt(30, "3 nodes")), at(10)), Some(at(30)));
        assert_eq!(patience.ends(Some(&doubt(15, "3 nodes")), at(12)), Some(at(15)));
        assert_eq!(patience.ends(Some(&other), at(14)), Some(at(44)));
        assert_eq!(patience.ends(None, at(15)), None);
        assert_eq!(patience.ends(Some(&other), at(16)), Some(at(46)));
    }

    #[test]
    fn other_causes_are_another_doubt() {
        let doubt = |causes: &[Cause], message: &str| Doubt {
            why: Hopeless::Node {
                message: message.into(),
                refusal: Refusal {
                    causes: causes.iter().copied().collect(),
                    lasting: true,
                    unnamed_taint: false,
                },
                autoscaler: None,
            },
            patience: Duration::from_secs(90),
        };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut patience = Patience::default();
        let mut ends = |doubt, now| patience.ends(Some(&doubt), at(now));
        assert_eq!(ends(doubt(&[Cause::Selector], "0/2"), 0), Some(at(90)));
        assert_eq!(ends(doubt(&[Cause::Selector], "0/3"), 80), Some(at(90)));
        assert_eq!(
            ends(doubt(&[Cause::Selector, Cause::Taint], "0/3"), 85),
            Some(at(175))
        );
    }
}
