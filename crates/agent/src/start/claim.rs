//! What says that an agent's claim gets no volume.

use std::time::Duration;

use super::doubts::{MOMENT, SILENCE};
use super::heard::{Word, newest};
use super::progress::Sight;
use super::verdict::{ClaimFault, Doubt, Hopeless};
use super::words::{denied, no_such_class};

/// The controller of claims looks at them every 15 s, and an event stays until then though its cause is mended.
const RESYNC: Duration = Duration::from_secs(20);

impl Sight {
    pub(super) fn claim_doubt(&self) -> Option<Doubt> {
        let claim = self.claim.as_ref()?;
        let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref());
        let name = claim.metadata.name.as_deref()?;
        let words = self.heard.about("PersistentVolumeClaim", name);
        // Of the claim that there is: events of one that was deleted are kept under the same name.
        let words: Vec<&Word> = words.filter(|w| w.uid == claim.metadata.uid).collect();
        let word = newest(words.iter().copied());
        // A driver that is asked again says so before it is refused again.
        let asks = |w: &&Word| matches!(w.reason.as_str(), "Provisioning" | "ExternalProvisioning");
        let answer = newest(words.iter().copied().filter(|w| !asks(w)));
        let refused = |w: &&Word| w.reason == "ProvisioningFailed" && denied(&w.message);
        if phase? == "Bound" {
            return None;
        }
        if phase? == "Lost" {
            let event = word.map(Word::text).unwrap_or_default();
            let fault = ClaimFault::Lost;
            return Doubt::after(MOMENT, Hopeless::Claim { event, fault });
        }
        if let Some(answer) = answer.filter(refused) {
            // It asks again every few minutes at last: what was said before we looked may have been mended.
            answer.again.then_some(())?;
            let (event, fault) = (answer.text(), ClaimFault::Provisioning);
            return Doubt::after(SILENCE, Hopeless::Claim { event, fault });
        }
        let word = word?;
        let fault = match word.reason.as_str() {
            "ProvisioningFailed" if no_such_class(&word.message) => ClaimFault::NoSuchClass,
            "FailedBinding" if word.message.contains("no storage class is set") => ClaimFault::NoDefaultClass,
            _ => return None,
        };
        let event = word.text();
        Doubt::after(RESYNC, Hopeless::Claim { event, fault })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::doubts::tests::{doubt, hear, unscheduled};
    use super::super::heard::tests::{at, event};
    use super::*;

    fn claim(phase: &str, reason: &str, message: &str) -> Sight {
        let mut sight =
            unscheduled("0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.");
        let claim = json!({"metadata": {"name": "a", "uid": "uid-a"}, "status": {"phase": phase}});
        sight.claim = Some(Box::new(serde_json::from_value(claim).expect("claim")));
        let object = ("PersistentVolumeClaim", "a");
        hear(&mut sight, object, "persistentvolume-controller", reason, message);
        sight
    }

    fn fault(sight: &Sight) -> Option<ClaimFault> {
        match sight.doubt()?.why {
            Hopeless::Claim { fault, .. } => Some(fault),
            _ => None,
        }
    }

    #[test]
    fn a_claim_without_a_volume() {
        let tape = "storageclass.storage.k8s.io \"tape\" not found";
        let none = "no persistent volumes available for this claim and no storage class is set";
        let of = |reason, message| fault(&claim("Pending", reason, message));
        assert_eq!(of("ProvisioningFailed", tape), Some(ClaimFault::NoSuchClass));
        assert_eq!(of("FailedBinding", none), Some(ClaimFault::NoDefaultClass));
        let denied =
            "rpc error: code = Internal desc = Could not create volume: api error UnauthorizedOperation";
        // Whether it was mended before we looked is not known until it is said again.
        assert_eq!(of("ProvisioningFailed", denied), None);
        let slow = "rpc error: code = DeadlineExceeded desc = context deadline exceeded";
        assert_eq!(of("ProvisioningFailed", slow), None);
        let waits = "Waiting for a volume to be created either by the external provisioner 'ebs.csi.aws.com'";
        assert_eq!(of("ExternalProvisioning", waits), None);
        assert_eq!(fault(&claim("Bound", "FailedBinding", none)), None);
        assert_eq!(fault(&claim("Lost", "ClaimLost", "")), Some(ClaimFault::Lost));
    }

    #[test]
    fn a_driver_that_is_asked_again_is_still_doubted() {
        let denied = "rpc error: code = Internal desc = api error UnauthorizedOperation";
        let mut sight = claim(
            "Pending",
            "Provisioning",
            "External provisioner is provisioning volume",
        );
        let say = |sight: &mut Sight, reason: &str, message: &str, seconds: u32| {
            let said = event(("PersistentVolumeClaim", "a"), "ebs.csi.aws.com", reason, message);
            let said = at(said, &format!("2026-01-01T00:00:{seconds:02}Z"));
            sight.heard.hear(&said, "a");
        };
        say(&mut sight, "ProvisioningFailed", denied, 1);
        say(&mut sight, "Provisioning", "", 2);
        say(&mut sight, "ProvisioningFailed", denied, 3);
        assert_eq!(doubt(&sight), Some(("claim", 90)));
        say(&mut sight, "Provisioning", "", 4);
        say(&mut sight, "ExternalProvisioning", "", 5);
        assert_eq!(doubt(&sight), Some(("claim", 90)));
        say(&mut sight, "WaitForPodScheduled", "", 6);
        assert_eq!(doubt(&sight), None);
    }

    #[test]
    fn events_of_a_claim_that_was_deleted_do_not_count() {
        let mut sight = claim(
            "Pending",
            "ProvisioningFailed",
            "storageclass.storage.k8s.io \"t\" not found",
        );
        let claim = sight.claim.as_mut().expect("claim");
        claim.metadata.uid = Some("another".into());
        assert_eq!(doubt(&sight), None);
    }
}
