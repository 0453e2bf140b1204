//! What becomes of the cache volume.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::Spec;
use super::quantity::{self, Bytes};
use super::state;

/// What to do about the claim.
#[derive(Debug, PartialEq, Eq)]
pub struct Volume {
    /// Whether to apply our claim: when there is none yet, or it has to grow.
    pub apply: bool,
    /// The size that buildkitd is configured for.
    pub size: Bytes,
}

/// What no claim can be made to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// It holds more than the inputs ask for, and no driver shrinks a volume.
    Shrink { has: String },
    /// It has another StorageClass.
    Class { has: String },
}

/// For an agent that is absent: a claim that is there keeps its size and its cache.
pub fn kept(spec: &Spec, claim: Option<&PersistentVolumeClaim>) -> Volume {
    Volume {
        apply: claim.is_none(),
        size: claim.and_then(capacity).unwrap_or(spec.storage_bytes),
    }
}

/// For an agent that is brought up to date: a claim of ours grows. One of somebody else is left as it is.
///
/// buildkitd is configured for what the volume has, not for what it will have: an expansion takes its time, and room
/// that is not there yet would be collected. Nor for a little more than it is `configured` for, since a driver rounds
/// sizes up: that would be a restart for nothing.
pub fn grown(
    spec: &Spec,
    claim: Option<&PersistentVolumeClaim>,
    configured: Option<Bytes>,
) -> Result<Volume, Fault> {
    let now = kept(spec, claim);
    let size = configured
        .filter(|c| (c.0..=c.0 + c.0 / 20).contains(&now.size.0))
        .unwrap_or(now.size);
    let Some(ours) = claim.filter(|claim| state::is_ours(&claim.metadata)) else {
        return Ok(Volume { size, ..now });
    };
    let class = ours.spec.as_ref().and_then(|s| s.storage_class_name.clone());
    if let (Some(asked), Some(has)) = (&spec.storage_class, class)
        && *asked != has
    {
        return Err(Fault::Class { has });
    }
    let asked = request(ours).unwrap_or_default();
    if quantity::bytes(&asked).is_some_and(|has| spec.storage_bytes < has) {
        return Err(Fault::Shrink { has: asked });
    }
    // One that has no volume yet cannot be changed; one that has, also when only a label is another.
    let phase = ours.status.as_ref().and_then(|s| s.phase.as_deref());
    Ok(Volume {
        apply: phase == Some("Bound"),
        size,
    })
}

/// The size of a claim's volume, or what it asks for while it has none.
fn capacity(claim: &PersistentVolumeClaim) -> Option<Bytes> {
    let status = claim.status.as_ref().and_then(|s| s.capacity.as_ref());
    let bound = status.and_then(|c| c.get("storage")).map(|q| q.0.clone());
    quantity::bytes(&bound.or_else(|| request(claim))?)
}

fn request(claim: &PersistentVolumeClaim) -> Option<String> {
    let resources = claim.spec.as_ref()?.resources.as_ref()?;
    Some(resources.requests.as_ref()?.get("storage")?.0.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(asked: &str, has: Option<&str>, ours: bool) -> PersistentVolumeClaim {
        let manager = if ours { "remote-buildkit" } else { "Helm" };
        serde_json::from_value(json!({
            "metadata": {"labels": {"app.kubernetes.io/managed-by": manager}},
            "spec": {"resources": {"requests": {"storage": asked}}},
            "status": {
                "capacity": has.map(|has| json!({"storage": has})),
                "phase": if has.is_some() { "Bound" } else { "Pending" }
            }
        }))
        .expect("claim")
    }

    fn volume(apply: bool, gib: u64) -> Volume {
        Volume {
            apply,
            size: Bytes(gib << 30),
        }
    }

    #[test]
    fn a_claim_that_is_there_keeps_its_size() {
        let spec = Spec::example();
        assert_eq!(kept(&spec, None), volume(true, 50));
        assert_eq!(kept(&spec, Some(&claim("20Gi", None, true))), volume(false, 20));
        assert_eq!(
            kept(&spec, Some(&claim("20Gi", Some("60Gi"), true))),
            volume(false, 60)
        );
    }

    #[test]
    fn a_claim_of_ours_grows_and_never_shrinks() {
        let spec = Spec::example();
        let grown = |claim: Option<PersistentVolumeClaim>| grown(&spec, claim.as_ref(), None);
        assert_eq!(grown(None), Ok(volume(true, 50)));
        // The expansion has not happened yet.
        assert_eq!(
            grown(Some(claim("20Gi", Some("20Gi"), true))),
            Ok(volume(true, 20))
        );
        let has = "100Gi".to_owned();
        let larger = claim("100Gi", Some("100Gi"), true);
        assert_eq!(grown(Some(larger)), Err(Fault::Shrink { has }));
        let foreign = claim("100Gi", Some("100Gi"), false);
        assert_eq!(grown(Some(foreign)), Ok(volume(false, 100)));
    }

    #[test]
    fn a_class_is_for_life() {
        let mut claim = claim("50Gi", None, true);
        claim.spec.as_mut().expect("spec").storage_class_name = Some("gp2".into());
        let asking = |class: Option<&str>| Spec {
            storage_class: class.map(Into::into),
            ..Spec::example()
        };
        let has = "gp2".to_owned();
        assert_eq!(
            grown(&asking(Some("gp3")), Some(&claim), None),
            Err(Fault::Class { has })
        );
        assert!(grown(&asking(Some("gp2")), Some(&claim), None).is_ok());
        assert!(grown(&asking(None), Some(&claim), None).is_ok());
    }

    #[test]
    fn a_configuration_follows_what_matters() {
        let spec = Spec::example();
        let size = |gib: u64, has: &str| {
            let claim = claim("50Gi", Some(has), true);
            grown(&spec, Some(&claim), Some(Bytes(gib << 30)))
                .expect("no fault")
                .size
        };
        assert_eq!(size(50, "51Gi"), Bytes(50 << 30));
        assert_eq!(size(50, "60Gi"), Bytes(60 << 30));
        assert_eq!(size(50, "49Gi"), Bytes(49 << 30));
    }
}
