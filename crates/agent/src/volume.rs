//! Whether the claim of the cache volume is applied, and for which size buildkitd is configured.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::Spec;
use super::quantity::{self, Bytes};
use super::state;

/// What a deployment does with the claim.
#[derive(Debug, PartialEq, Eq)]
pub struct VolumePlan {
    /// Whether to apply the claim: it does not exist, or it must grow.
    pub apply: bool,
    /// The size for which buildkitd is configured.
    pub size: Bytes,
}

/// A change that an existing claim does not allow.
#[derive(Debug, PartialEq, Eq)]
pub enum VolumeConflict {
    /// It is larger than the input `storage`, and no driver can shrink a volume.
    Shrink { current: String },
    /// It has another StorageClass.
    StorageClass { current: String },
}

/// Returns the plan for an agent that does not exist. An existing claim keeps its size and its cache.
pub fn plan_for_new_agent(spec: &Spec, claim: Option<&PersistentVolumeClaim>) -> VolumePlan {
    VolumePlan {
        apply: claim.is_none(),
        size: claim.and_then(capacity).unwrap_or(spec.storage_bytes),
    }
}

/// Returns the plan for an agent that is updated. A claim of this program grows; any other is not changed.
///
/// buildkitd is configured for the present size of the volume, not for the requested one: an expansion takes time, and until
/// then the cache would use space that does not exist. And it stays `configured` for a slightly smaller size, because
/// drivers round sizes up: a new configuration would be a needless restart.
pub fn plan_for_update(
    spec: &Spec,
    claim: Option<&PersistentVolumeClaim>,
    configured: Option<Bytes>,
) -> Result<VolumePlan, VolumeConflict> {
    let current = plan_for_new_agent(spec, claim);
    let size = configured
        .filter(|c| (c.0..=c.0 + c.0 / 20).contains(&current.size.0))
        .unwrap_or(current.size);
    let Some(own) = claim.filter(|claim| state::is_ours(&claim.metadata)) else {
        return Ok(VolumePlan { size, ..current });
    };
    let class = own.spec.as_ref().and_then(|s| s.storage_class_name.clone());
    if let (Some(requested), Some(existing)) = (&spec.storage_class, class)
        && *requested != existing
    {
        return Err(VolumeConflict::StorageClass { current: existing });
    }
    let requested = request(own).unwrap_or_default();
    if quantity::parse_bytes(&requested).is_some_and(|has| spec.storage_bytes < has) {
        return Err(VolumeConflict::Shrink { current: requested });
    }
    // A claim without a volume cannot be changed; a bound one is also applied if only a label differs.
    let phase = own.status.as_ref().and_then(|s| s.phase.as_deref());
    Ok(VolumePlan {
        apply: phase == Some("Bound"),
        size,
    })
}

/// Returns the size of the volume of a claim, or the requested size while it has none.
fn capacity(claim: &PersistentVolumeClaim) -> Option<Bytes> {
    let status = claim.status.as_ref().and_then(|s| s.capacity.as_ref());
    let bound = status.and_then(|c| c.get("storage")).map(|q| q.0.clone());
    quantity::parse_bytes(&bound.or_else(|| request(claim))?)
}

/// Returns the requested size.
fn request(claim: &PersistentVolumeClaim) -> Option<String> {
    let resources = claim.spec.as_ref()?.resources.as_ref()?;
    Some(resources.requests.as_ref()?.get("storage")?.0.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(requested: &str, capacity: Option<&str>, own: bool) -> PersistentVolumeClaim {
        let manager = if own { "remote-buildkit" } else { "Helm" };
        serde_json::from_value(json!({
            "metadata": {"labels": {"app.kubernetes.io/managed-by": manager}},
            "spec": {"resources": {"requests": {"storage": requested}}},
            "status": {
                "capacity": capacity.map(|capacity| json!({"storage": capacity})),
                "phase": if capacity.is_some() { "Bound" } else { "Pending" }
            }
        }))
        .expect("claim")
    }

    fn volume(apply: bool, gib: u64) -> VolumePlan {
        VolumePlan {
            apply,
            size: Bytes(gib << 30),
        }
    }

    #[test]
    fn an_existing_claim_keeps_its_size() {
        let spec = Spec::example();
        assert_eq!(plan_for_new_agent(&spec, None), volume(true, 50));
        assert_eq!(
            plan_for_new_agent(&spec, Some(&claim("20Gi", None, true))),
            volume(false, 20)
        );
        assert_eq!(
            plan_for_new_agent(&spec, Some(&claim("20Gi", Some("60Gi"), true))),
            volume(false, 60)
        );
    }

    #[test]
    fn an_own_claim_grows_and_never_shrinks() {
        let spec = Spec::example();
        let grown = |claim: Option<PersistentVolumeClaim>| plan_for_update(&spec, claim.as_ref(), None);
        assert_eq!(grown(None), Ok(volume(true, 50)));
        // The volume is not expanded yet.
        assert_eq!(
            grown(Some(claim("20Gi", Some("20Gi"), true))),
            Ok(volume(true, 20))
        );
        let has = "100Gi".to_owned();
        let larger = claim("100Gi", Some("100Gi"), true);
        assert_eq!(grown(Some(larger)), Err(VolumeConflict::Shrink { current: has }));
        let foreign = claim("100Gi", Some("100Gi"), false);
        assert_eq!(grown(Some(foreign)), Ok(volume(false, 100)));
    }

    #[test]
    fn a_storage_class_cannot_be_changed() {
        let mut claim = claim("50Gi", None, true);
        claim.spec.as_mut().expect("spec").storage_class_name = Some("gp2".into());
        let asking = |class: Option<&str>| Spec {
            storage_class: class.map(Into::into),
            ..Spec::example()
        };
        let has = "gp2".to_owned();
        assert_eq!(
            plan_for_update(&asking(Some("gp3")), Some(&claim), None),
            Err(VolumeConflict::StorageClass { current: has })
        );
        assert!(plan_for_update(&asking(Some("gp2")), Some(&claim), None).is_ok());
        assert!(plan_for_update(&asking(None), Some(&claim), None).is_ok());
    }

    #[test]
    fn the_configured_size_follows_relevant_changes() {
        let spec = Spec::example();
        let size = |gib: u64, has: &str| {
            let claim = claim("50Gi", Some(has), true);
            plan_for_update(&spec, Some(&claim), Some(Bytes(gib << 30)))
                .expect("no conflict")
                .size
        };
        assert_eq!(size(50, "51Gi"), Bytes(50 << 30));
        assert_eq!(size(50, "60Gi"), Bytes(60 << 30));
        assert_eq!(size(50, "49Gi"), Bytes(49 << 30));
    }
}
