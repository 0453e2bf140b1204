//! What an installation has to build, and roughly how long that takes.

use std::thread::available_parallelism;

use anyhow::Result;

use crate::architecture::Architecture;
use crate::cache::Cache;
use crate::debian;
use crate::versions::{
    ACT, BUILDKIT, BUILDX, CONTAINERD, DOCKER_CLI, ETCD, HCL, KUBERNETES, ROOTLESSKIT, RUNC,
};

/// Which parts of the lab are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    All,
    /// Those of a lab with one node that runs workflows: nothing for arm64, for rootless BuildKit, for Terraform or for a bare
    /// machine, which only tests use.
    OneNode,
}

/// The parts that are still to be built, in order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    missing: Vec<Part>,
    /// How many were missing at first.
    count: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// The title of its entry in the cache.
    title: String,
    /// Roughly the processor seconds of its build, with an empty build cache of Go. The install prints what it used.
    seconds: u64,
}

impl Plan {
    /// Returns the parts that the cache does not have.
    pub(crate) fn of(parts: Parts, cache: &Cache) -> Result<Self> {
        let mut missing = all(parts, &debian::release()?);
        missing.retain(|part| !cache.has(&part.title));
        Ok(Self {
            count: missing.len(),
            missing,
        })
    }

    /// Returns what the user reads before the first build: `building 13 of the lab's parts: about 20 min on 2 processors`.
    pub(crate) fn summary(&self) -> Option<String> {
        let (count, processors) = (self.count, processors());
        (count > 0).then(|| {
            let time = time(self.missing.iter(), processors);
            format!("building {count} of the lab's parts: {time} on {processors} processors")
        })
    }

    /// Returns what the user reads while a part is built: ` (3 of 13; about 12 min left; then act, buildx)`.
    pub(crate) fn left(&self, title: &str) -> String {
        let Some(at) = self.missing.iter().position(|part| part.title == title) else {
            return String::new();
        };
        let then: Vec<&str> = self.missing[at + 1..]
            .iter()
            .map(|part| part.title.split(' ').next().unwrap_or_default())
            .collect();
        let then = if then.is_empty() {
            String::new()
        } else {
            format!("; then {}", then.join(", "))
        };
        let number = self.count - self.missing.len() + at + 1;
        let time = time(self.missing[at..].iter(), processors());
        format!(" ({number} of {}; {time} left{then})", self.count)
    }

    /// Takes a part off the plan, and those before it: a part that was announced and is not asked for will not be built.
    pub(crate) fn done(&mut self, title: &str) {
        if let Some(at) = self.missing.iter().position(|part| part.title == title) {
            self.missing.drain(..=at);
        }
    }
}

fn processors() -> u64 {
    available_parallelism().map_or(1, |n| n.get() as u64)
}

fn time<'a>(parts: impl Iterator<Item = &'a Part>, processors: u64) -> String {
    let seconds = parts.map(|part| part.seconds).sum::<u64>() / processors;
    if seconds < 60 {
        "less than a minute".to_owned()
    } else {
        format!("about {} min", seconds.div_ceil(60))
    }
}

/// Returns the parts in the order in which they are built. The smallest ones are left out.
fn all(parts: Parts, debian: &str) -> Vec<Part> {
    let native = Architecture::native().name();
    let arm64 = Architecture::Arm64.name();
    let tests = parts == Parts::All;
    let emulated = tests && native != arm64;
    [
        (true, format!("packages {debian}"), 3),
        (tests, format!("machine {debian}"), 25),
        (true, "python".to_owned(), 25),
        (true, "npm".to_owned(), 25),
        (true, format!("docker-cli {DOCKER_CLI}"), 255),
        (true, "authenticator".to_owned(), 455),
        (true, format!("etcd {ETCD}"), 115),
        (tests, format!("rootlesskit {ROOTLESSKIT}"), 55),
        (tests, format!("hclfmt {HCL}"), 20),
        (true, format!("act {ACT}"), 95),
        (true, format!("buildx {BUILDX}"), 300),
        (true, format!("buildkit {BUILDKIT}"), 145),
        (true, format!("containerd {CONTAINERD}"), 95),
        (true, format!("kubernetes {KUBERNETES}"), 645),
        (true, format!("runc {RUNC}"), 40),
        (emulated, format!("buildkit {BUILDKIT} {arm64}"), 365),
        (emulated, format!("kubelet {KUBERNETES} {arm64}"), 110),
        (true, format!("images {native}"), 2),
    ]
    .into_iter()
    .filter(|(is_wanted, ..)| *is_wanted)
    .map(|(_, title, seconds)| Part { title, seconds })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(parts: Parts) -> Plan {
        let missing = all(parts, "debian-12");
        Plan {
            count: missing.len(),
            missing,
        }
    }

    #[test]
    fn one_node_needs_nothing_that_only_tests_use() {
        let one = plan(Parts::OneNode);
        let titles: Vec<&str> = one.missing.iter().map(|part| part.title.as_str()).collect();
        for only_tests in ["arm64", "rootlesskit", "hclfmt", "machine", "kubelet"] {
            let found = titles
                .iter()
                .find(|title| title.contains(only_tests) && !title.contains("images"));
            assert_eq!(found, None, "{titles:?}");
        }
        assert!(plan(Parts::All).count > one.count);
    }

    #[test]
    fn every_published_go_program_is_planned() {
        let all = plan(Parts::All);
        for title in crate::go::titles() {
            assert!(all.missing.iter().any(|part| part.title == title), "{title}");
        }
    }

    #[test]
    fn a_build_says_what_is_left() {
        let part = |title: &str, minutes: u64| Part {
            title: title.to_owned(),
            seconds: minutes * 60 * processors(),
        };
        let mut plan = Plan {
            count: 3,
            missing: vec![
                part("etcd 3.6.16", 2),
                part("act 0.2.89", 1),
                part("buildx 0.38.2", 5),
            ],
        };
        assert!(
            plan.summary()
                .is_some_and(|text| text.starts_with("building 3 of the lab's parts: about 8 min on "))
        );
        assert_eq!(
            plan.left("etcd 3.6.16"),
            " (1 of 3; about 8 min left; then act, buildx)"
        );
        plan.done("etcd 3.6.16");
        assert_eq!(
            plan.left("act 0.2.89"),
            " (2 of 3; about 6 min left; then buildx)"
        );
        assert_eq!(plan.left("libfaketime debian-12"), "", "it is not planned");
        plan.done("buildx 0.38.2");
        assert_eq!(plan.left("act 0.2.89"), "");
    }
}
