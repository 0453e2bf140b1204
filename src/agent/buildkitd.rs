//! buildkitd.toml: how much of the volume the cache may take, and what goes first.
//!
//! Why not BuildKit's defaults: their first rule prunes local sources, cache mounts and Git checkouts beyond 512 MB
//! or 48 h (moby/buildkit, cmd/buildkitd/config/gcpolicy.go), which throws away just what `RUN --mount=type=cache`
//! keeps. A `gcpolicy` of ours replaces them all.

use serde::Serialize;

use super::quantity::Bytes;

/// What builds may be allowed to ask for (moby/buildkit, util/entitlements).
pub const ENTITLEMENTS: [&str; 3] = ["security.insecure", "network.host", "device"];

#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub max_parallelism: Option<u32>,
    pub entitlements: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Config<'a> {
    root: &'a str,
    worker: Worker,
}

#[derive(Debug, Serialize)]
struct Worker {
    oci: Oci,
    containerd: Containerd,
}

#[derive(Debug, Serialize)]
struct Containerd {
    enabled: bool,
}

#[derive(Debug, Serialize)]
struct Oci {
    enabled: bool,
    gc: bool,
    gcpolicy: Vec<Rule>,
}

/// One rule; rules are tried in order. Sizes are bytes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(skip_serializing_if = "Option::is_none")]
    all: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    filters: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_duration: Option<&'static str>,
    max_used_space: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_free_space: Option<u64>,
}

/// The configuration for a volume of this size.
///
/// A rule's `maxUsedSpace` is compared with the whole cache, whatever its filter: the filter says only what may be
/// removed (moby/buildkit, cache/manager.go, `prune`). So the order of the rules is an order of sacrifice, least
/// recently used first in each: what a week has not used, then layers, and cache mounts, local sources and Git
/// checkouts only when that was not enough. The top 15 % are never planned for, because garbage collection runs after
/// a build and a burst needs room before it (moby/buildkit#5459).
pub fn config(_settings: &Settings, root: &str, volume: Bytes) -> Result<String, toml::ser::Error> {
    let percent = |p: u64| volume.0 / 100 * p;
    let rule = |max_used_space| Rule {
        all: None,
        filters: vec![],
        keep_duration: None,
        max_used_space,
        min_free_space: None,
    };
    toml::to_string(&Config {
        root,
        worker: Worker {
            oci: Oci {
                enabled: true,
                gc: true,
                gcpolicy: vec![
                    Rule {
                        keep_duration: Some("168h"),
                        ..rule(percent(60))
                    },
                    Rule {
                        filters: vec!["type==regular"],
                        ..rule(percent(75))
                    },
                    Rule {
                        min_free_space: Some(percent(10)),
                        ..rule(percent(85))
                    },
                    Rule {
                        all: Some(true),
                        min_free_space: Some(percent(10)),
                        ..rule(percent(85))
                    },
                ],
            },
            containerd: Containerd { enabled: false },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_of_50_gib() {
        insta::assert_snapshot!(
            config(&Settings::default(), "/var/lib/buildkit", Bytes(50 << 30)).expect("toml")
        );
    }
}
