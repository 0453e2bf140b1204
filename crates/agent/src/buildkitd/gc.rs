//! Garbage collection: how much of the volume the cache may take, what goes first, and how much history is kept.
//!
//! Why not BuildKit's default rules: the first prunes local sources, cache mounts and Git checkouts beyond 512 MB or
//! 48 hours (moby/buildkit, cmd/buildkitd/config/gcpolicy.go), which throws away just what `RUN --mount=type=cache`
//! keeps. Rules of ours replace them all.
//!
//! What a rule can say is less than it seems (cache/manager.go, `prune` and `pruneOnce`):
//!
//! - `maxUsedSpace` and `reservedSpace` are compared with the whole cache. A filter says only what may be removed, so
//!   no kind of data can be given a share. What can be given is an order of sacrifice: the rules run one after the
//!   other, and each removes its own kind, least used first, until the whole is below its mark.
//! - `minFreeSpace` asks the file system, and files go only when all rules have run. A second rule that asks would
//!   count the same shortage again, and remove as much again: on a volume of 2 GiB, with 0.6 GiB too few free, three
//!   such rules left nothing of the cache. So one rule has it, and that rule comes first.
//! - What a running build has written is not counted until the build ends, and neither are history, databases and
//!   downloads under way. Only `minFreeSpace` sees these.
//!
//! Collection starts a second after a build ends, and a minute after the last one at the earliest (control/control.go,
//! `throttledGC`); nothing stops a build from writing meanwhile (moby/buildkit#5459). That is what the reserve is for.

use serde::Serialize;

use super::super::quantity::Bytes;

const GIB: u64 = 1 << 30;

/// Room that the cache leaves to what builds write until the next collection.
///
/// 15 % of the volume. What builds write in the minute between two collections does not shrink with the volume, though:
/// 7.5 GiB is what an EBS gp3 volume takes in that time at its baseline of 125 MiB/s. So it is at least that, as far as
/// a small volume has it (40 %); and 64 GiB, what a fast one takes, suffice for any.
fn reserve(volume: Bytes) -> u64 {
    let least = (15 * GIB / 2).min(volume.0 / 100 * 40);
    (volume.0 / 100 * 15).clamp(least, 64 * GIB)
}

/// One rule; sizes are bytes, because BuildKit rounds percentages to whole gigabytes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    #[serde(skip_serializing_if = "Option::is_none")]
    all: Option<bool>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    filters: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_duration: Option<&'static str>,
    max_used_space: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_free_space: Option<u64>,
}

/// Layers, and the copies of build contexts. A context's copy can be used again only by a client with the same node ID
/// of buildx (source/local/source.go, `sharedKey`), and a runner that is made for its job brings a new one: hundreds of
/// copies a day that nobody will use must not stand above the layers.
const LAYERS_AND_CONTEXTS: &[&str] = &["type==regular", "type==source.local"];

/// In the order of sacrifice: what a week has not used, once the cache has 60 % of what it may take; layers that a day
/// has not used, above 80 %; anything that a day has not used, above 90 %; layers and build contexts of today; and
/// cache mounts and Git checkouts of today only when they would not fit without a single layer.
///
/// So cache mounts, local sources and Git checkouts have room of their own, which layers cannot take, and the layers of
/// today have some that cache mounts of other days cannot take. The rule for layers of today runs first, because it is
/// the one that asks the file system; what goes before them has gone in earlier collections.
pub(super) fn rules(volume: Bytes) -> Vec<Rule> {
    let reserve = reserve(volume);
    let cache = volume.0 - reserve;
    let percent = |p: u64| cache / 100 * p;
    let rule = |max_used_space| Rule {
        all: None,
        filters: &[],
        keep_duration: None,
        max_used_space,
        min_free_space: None,
    };
    vec![
        Rule {
            filters: LAYERS_AND_CONTEXTS,
            min_free_space: Some(reserve),
            ..rule(cache)
        },
        Rule {
            keep_duration: Some("168h"),
            ..rule(percent(60))
        },
        Rule {
            filters: &["type==regular"],
            keep_duration: Some("24h"),
            ..rule(percent(80))
        },
        Rule {
            keep_duration: Some("24h"),
            ..rule(percent(90))
        },
        rule(cache),
        // Also frontends and other internal data, which are small and needed by every build.
        Rule {
            all: Some(true),
            ..rule(cache)
        },
    ]
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct History {
    max_age: &'static str,
    max_entries: u64,
}

/// Records of finished builds, with their logs and attestations. They lie on the volume and the cache's rules do not
/// see them. A record goes when it is older than `maxAge` *and* not among the newest `maxEntries`
/// (solver/llbsolver/history/buildhistory.go, `gc`; a key left out is 0, not its default).
///
/// The age is that of the longest job on a runner of GitHub's: docker/build-push-action reads its record at the end of
/// the job. A record takes up to about a megabyte, so ten a GiB are one percent of the volume.
pub(super) fn history(volume: Bytes) -> History {
    History {
        max_age: "6h",
        max_entries: (volume.0 / GIB * 10).clamp(50, 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserve_by_volume() {
        for (volume, expected) in [
            (2, 0.8),
            (10, 4.0),
            (20, 7.5),
            (50, 7.5),
            (100, 15.0),
            (1000, 64.0),
        ] {
            let reserve = reserve(Bytes(volume * GIB)) as f64 / GIB as f64;
            assert!((reserve - expected).abs() < 0.01, "{volume} GiB: {reserve}");
        }
    }
}
