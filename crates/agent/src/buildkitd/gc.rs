//! Garbage collection: how much of the volume the cache may use, what is evicted first, and how much history is kept.
//!
//! BuildKit's default rules are not used: the first prunes local sources, cache mounts and Git checkouts beyond 512 MB or
//! 48 hours (moby/buildkit, cmd/buildkitd/config/gcpolicy.go), and with them what `RUN --mount=type=cache` keeps. The
//! rules here replace them all.
//!
//! A rule can express less than it seems (cache/manager.go, `prune` and `pruneOnce`):
//!
//! - `maxUsedSpace` and `reservedSpace` are compared with the whole cache. A filter selects only what may be removed, so
//!   no kind of data can have its own share. Rules can only set the order of eviction: they run one after the other,
//!   and each removes its own kind, least recently used first, until the whole cache is below its limit.
//! - `minFreeSpace` is compared with the file system, and files are deleted only after all rules have run. A second rule
//!   with it would count the same shortage again, and remove as much again: on a volume of 2 GiB with 0.6 GiB too little
//!   free space, three such rules removed the whole cache. So only one rule has it, and that rule is the first.
//! - What a running build has written is not counted until the build ends; history, databases and downloads in progress
//!   are never counted. Only `minFreeSpace` takes these into account.
//!
//! Collection starts a second after a build ends, and at the earliest a minute after the previous one (control/control.go,
//! `throttledGC`); builds can write in between without a limit (moby/buildkit#5459). The reserve is for these writes.

use serde::Serialize;

use super::super::quantity::Bytes;

const GIB: u64 = 1 << 30;

/// Returns the space that the cache leaves free for what builds write until the next collection.
///
/// It is 15 % of the volume. Builds write as much on a small volume in the minute between two collections, though: 7.5 GiB
/// on an EBS gp3 volume with its baseline of 125 MiB/s. So the reserve is at least that, but at most 40 % of a small
/// volume; and 64 GiB, which a fast volume writes in that time, is enough for any.
fn reserve(volume: Bytes) -> u64 {
    let minimum = (15 * GIB / 2).min(volume.0 / 100 * 40);
    (volume.0 / 100 * 15).clamp(minimum, 64 * GIB)
}

/// A garbage collection rule. Sizes are in bytes, because BuildKit rounds percentages to whole gigabytes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GcRule {
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

/// Layers, and the copies of build contexts. Only a client with the same node ID of buildx can reuse the copy of a context
/// (source/local/source.go, `sharedKey`), and an ephemeral runner has a new ID: hundreds of unusable copies a day must not
/// be kept in preference to layers.
const LAYERS_AND_CONTEXTS: &[&str] = &["type==regular", "type==source.local"];

/// Returns the rules. They evict in this order: entries unused for a week, when the cache uses 60 % of its limit; layers
/// unused for a day, above 80 %; all entries unused for a day, above 90 %; layers and build contexts used today; and
/// cache mounts and Git checkouts used today only when no layers are left.
///
/// So cache mounts, local sources and Git checkouts have space that layers cannot use, and the layers used today have
/// space that older cache mounts cannot use. The rule for layers used today runs first, because it is the rule that checks
/// the free space of the file system; earlier collections have evicted what comes before.
pub(super) fn rules(volume: Bytes) -> Vec<GcRule> {
    let reserve = reserve(volume);
    let cache = volume.0 - reserve;
    let percent = |p: u64| cache / 100 * p;
    let rule = |max_used_space| GcRule {
        all: None,
        filters: &[],
        keep_duration: None,
        max_used_space,
        min_free_space: None,
    };
    vec![
        GcRule {
            filters: LAYERS_AND_CONTEXTS,
            min_free_space: Some(reserve),
            ..rule(cache)
        },
        GcRule {
            keep_duration: Some("168h"),
            ..rule(percent(60))
        },
        GcRule {
            filters: &["type==regular"],
            keep_duration: Some("24h"),
            ..rule(percent(80))
        },
        GcRule {
            keep_duration: Some("24h"),
            ..rule(percent(90))
        },
        rule(cache),
        // Includes frontends and other internal data, which are small and which every build needs.
        GcRule {
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

/// Returns how many records of finished builds are kept, with their logs and attestations. They are on the volume, and the
/// rules do not count them. A record is deleted when it is older than `maxAge` *and* not among the newest `maxEntries`
/// (solver/llbsolver/history/buildhistory.go, `gc`; a key left out is 0, not its default).
///
/// The age is the duration of the longest job on a GitHub-hosted runner: docker/build-push-action reads its record at the
/// end of the job. A record has up to about a megabyte, so ten for each GiB are one percent of the volume.
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
