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

/// A claim that holds more than the inputs ask for: no driver shrinks a volume.
#[derive(Debug, PartialEq, Eq)]
pub struct Smaller {
    pub has: String,
}

/// For an agent that is absent: a claim that is there keeps its size and its cache.
pub fn kept(spec: &Spec, claim: Option<&PersistentVolumeClaim>) -> Volume {
    Volume {
        apply: claim.is_none(),
        size: claim.and_then(capacity).unwrap_or(spec.storage_bytes),
    }
}

/// For an agent that is brought up to date: a claim of ours grows. One of somebody else is left as it is.
pub fn grown(spec: &Spec, claim: Option<&PersistentVolumeClaim>) -> Result<Volume, Smaller> {
    let Some(ours) = claim.filter(|claim| state::is_ours(&claim.metadata)) else {
        return Ok(kept(spec, claim));
    };
    let asked = request(ours).unwrap_or_default();
    let has = quantity::bytes(&asked).unwrap_or(spec.storage_bytes);
    if spec.storage_bytes < has {
        return Err(Smaller { has: asked });
    }
    let grows = spec.storage_bytes > has;
    Ok(Volume {
        // Also when only a label has changed.
        apply: true,
        size: if grows {
            spec.storage_bytes
        } else {
            capacity(ours).unwrap_or(spec.storage_bytes)
        },
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
            "status": {"capacity": has.map(|has| json!({"storage": has}))}
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
        assert_eq!(grown(&spec, None), Ok(volume(true, 50)));
        let grows = claim("20Gi", Some("20Gi"), true);
        assert_eq!(grown(&spec, Some(&grows)), Ok(volume(true, 50)));
        let same = claim("50Gi", Some("60Gi"), true);
        assert_eq!(grown(&spec, Some(&same)), Ok(volume(true, 60)));
        let larger = claim("100Gi", Some("100Gi"), true);
        let has = "100Gi".to_owned();
        assert_eq!(grown(&spec, Some(&larger)), Err(Smaller { has }));
        let foreign = claim("100Gi", Some("100Gi"), false);
        assert_eq!(grown(&spec, Some(&foreign)), Ok(volume(false, 100)));
    }
}
