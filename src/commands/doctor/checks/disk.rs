//! Checks the disk usage of the agent's volume, which its BuildKit check reports.

use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::cluster::DiskUsage;
use crate::commands::agent_checks::almost_full_remedy;

pub const CHECK: Check = Check::new("disk", CheckGroup::Agent);

/// Returns the finding for the disk usage. `usage` is `None` if the image has no `df` or the agent has no volume.
pub fn evaluate(usage: Option<DiskUsage>, has_volume: bool) -> Finding {
    match usage {
        Some(usage) => match almost_full_remedy(usage) {
            Some(remedy) => Finding::warning(usage.to_string(), remedy),
            None => Finding::ok(usage.to_string()),
        },
        None if has_volume => Finding::warning(
            "unknown: the image has no sh or no df",
            "Use an image that has both, as BuildKit's own does, to be warned of a full disk.",
        ),
        None => Finding::not_needed("not needed: the agent has no volume"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::CheckStatus;
    use super::*;

    #[test]
    fn a_disk_above_ninety_percent_is_a_warning() {
        let of = |used: u64| {
            let usage = DiskUsage {
                used: used << 30,
                total: 100 << 30,
            };
            evaluate(Some(usage), true)
        };
        assert_eq!(of(90), Finding::ok("90.0 of 100.0 GiB used (90 %)"));
        assert_eq!(of(91).status, CheckStatus::Warning);
    }

    #[test]
    fn an_unknown_usage_is_a_warning_if_there_is_a_volume() {
        let of = |has_volume| evaluate(None, has_volume).status;
        assert_eq!(
            (of(true), of(false)),
            (CheckStatus::Warning, CheckStatus::NotNeeded)
        );
    }
}
