//! The agents.

use std::collections::BTreeMap;

use super::names::{is_dns_label, is_dns_subdomain};
use super::{Faults, duration, lists};
use crate::agent::group::Agents;
use crate::agent::isolation::Isolation;
use crate::agent::manifests::{ARCH_LABEL, Objects, RESERVED_ANNOTATIONS, RESERVED_LABELS};
use crate::agent::patch::DeploymentPatch;
use crate::agent::platform::{ARCHITECTURES, Platform};
use crate::agent::quantity::{self, Bytes};
use crate::agent::{Spec, Taint, buildkitd};
use crate::cli::{AgentArgs, WhichArgs};

/// Below this BuildKit's own metadata and one base image leave no room for a cache.
const MIN_STORAGE: Bytes = Bytes(1 << 30);

/// More volumes than anybody pays for by intention.
const MAX_AGENTS: u32 = 100;

/// A label's value, and so an agent's name, has no more (Kubernetes, object names).
const MAX_NAME: usize = 63;

pub(super) fn check(args: &AgentArgs, faults: &mut Faults) -> Option<Agents> {
    check_which(&args.which, faults);
    check_names(args, faults);
    check_sizes(args, faults);
    let isolations = Isolation::ALL.map(|isolation| (isolation.name(), isolation));
    let isolation = one_of("isolation", &args.isolation, &isolations, faults);
    let drain = duration("drain-timeout", &args.drain_timeout, faults);
    let storage_bytes = storage(&args.storage, faults);
    let number = number("agents", &args.agents, 1..=MAX_AGENTS, faults);
    let placement = lists_of(args, faults);
    let platforms = platforms(args.platforms.as_ref(), faults);
    let buildkitd = settings(args, faults);
    let patch = args.patch.as_ref();
    let patch = patch.and_then(|text| {
        parsed(
            "patch",
            Some(text),
            |t| DeploymentPatch::parse(t).map(Some),
            faults,
        )
    });
    let (isolation, drain, storage_bytes, number) = (isolation?, drain?, storage_bytes?, number?);
    let agents = Agents {
        spec: Spec {
            name: args.which.name.clone(),
            instance: args.which.name.clone(),
            namespace: args.which.namespace.clone(),
            image: args.image.clone().unwrap_or_else(|| isolation.default_image()),
            isolation,
            storage: args.storage.clone(),
            storage_bytes,
            storage_class: args.storage_class.clone(),
            cpu: args.cpu.clone(),
            memory: args.memory.clone(),
            arch: None,
            drain,
            service_account: args.service_account.clone(),
            buildkitd,
            patch,
            node_selector: placement.node_selector,
            tolerations: placement.tolerations,
            labels: placement.labels,
            annotations: placement.annotations,
        },
        platforms,
        number,
    };
    check_agents(args, &agents, faults);
    Some(agents)
}

/// What can be known of an agent only when all of it is.
fn check_agents(args: &AgentArgs, agents: &Agents, faults: &mut Faults) {
    for agent in agents.all() {
        if agent.name.len() > MAX_NAME {
            let allowed = format!(
                "its agent {} has a name of more than {MAX_NAME} characters",
                agent.name
            );
            return faults.add("name", &args.which.name, &allowed);
        }
        // Whatever else is wrong has been named by now.
        if let (Some(patch), Err(why)) = (&args.patch, Objects::new(&agent, agent.storage_bytes)) {
            return faults.add_text("patch", patch, &format!("{why:#}"));
        }
    }
}

/// The inputs that hold several things.
struct Lists {
    node_selector: BTreeMap<String, String>,
    tolerations: Vec<Taint>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

fn lists_of(args: &AgentArgs, faults: &mut Faults) -> Lists {
    let labels = parsed("labels", args.labels.as_ref(), lists::labels, faults);
    for (key, value) in &labels {
        faults.check(
            !RESERVED_LABELS.contains(&key.as_str()),
            "labels",
            &format!("{key}={value}"),
            "this label is the action's own",
        );
    }
    let node_selector = parsed(
        "node-selector",
        args.node_selector.as_ref(),
        lists::labels,
        faults,
    );
    if let Some(arch) = node_selector.get(ARCH_LABEL).filter(|_| args.platforms.is_some()) {
        let entry = format!("{ARCH_LABEL}={arch}");
        faults.add("node-selector", &entry, "`platforms` says that already");
    }
    let annotations = parsed(
        "annotations",
        args.annotations.as_ref(),
        lists::annotations,
        faults,
    );
    for key in RESERVED_ANNOTATIONS
        .iter()
        .filter(|key| annotations.contains_key(**key))
    {
        faults.add("annotations", key, "this annotation is the action's own");
    }
    Lists {
        node_selector,
        tolerations: parsed("tolerations", args.tolerations.as_ref(), lists::taints, faults),
        labels,
        annotations,
    }
}

pub(super) fn check_which(which: &WhichArgs, faults: &mut Faults) {
    let WhichArgs { name, namespace } = which;
    // buildx wants a letter first in a node's name, Kubernetes at most 63 characters in a label.
    faults.check(
        is_dns_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase()),
        "name",
        name,
        "up to 63 lower-case letters, digits and -, a letter first, no - last",
    );
    faults.check(
        is_dns_label(namespace),
        "namespace",
        namespace,
        "up to 63 lower-case letters, digits and -, no - at either end",
    );
}

fn check_names(args: &AgentArgs, faults: &mut Faults) {
    if let Some(image) = &args.image {
        faults.check(
            !image.is_empty() && !image.contains(char::is_whitespace),
            "image",
            image,
            "an image reference such as moby/buildkit:v0.34.2",
        );
    }
    if let Some(class) = &args.storage_class {
        faults.check(
            is_dns_subdomain(class),
            "storage-class",
            class,
            "the name of a StorageClass: lower-case letters, digits, - and .",
        );
    }
    if let Some(account) = &args.service_account {
        faults.check(
            is_dns_subdomain(account),
            "service-account",
            account,
            "the name of a ServiceAccount: lower-case letters, digits, - and .",
        );
    }
}

fn check_sizes(args: &AgentArgs, faults: &mut Faults) {
    if let Some(cpu) = &args.cpu {
        faults.check(
            quantity::is_cpu(cpu),
            "cpu",
            cpu,
            "a CPU quantity above zero such as 4, 0.5 or 3500m",
        );
    }
    if let Some(memory) = &args.memory {
        faults.check(
            quantity::parse_bytes(memory).is_some_and(|b| b.0 > 0),
            "memory",
            memory,
            "a quantity of bytes above zero such as 8Gi or 500M",
        );
    }
}

fn storage(text: &str, faults: &mut Faults) -> Option<Bytes> {
    let bytes = quantity::parse_bytes(text).filter(|b| *b >= MIN_STORAGE);
    if bytes.is_none() {
        faults.add("storage", text, "a quantity of at least 1Gi, such as 50Gi or 1Ti");
    }
    bytes
}

fn platforms(text: Option<&String>, faults: &mut Faults) -> Vec<Platform> {
    let Some(text) = text else {
        return vec![];
    };
    let mut found = Vec::new();
    for entry in lists::entries(text) {
        match Platform::parse(entry) {
            Some(platform) if found.contains(&platform) => faults.add("platforms", entry, "is there twice"),
            Some(platform) => found.push(platform),
            None => faults.add(
                "platforms",
                entry,
                &format!(
                    "linux/ARCHITECTURE, or linux/ARCHITECTURE/VARIANT such as linux/arm/v7; architectures are {}",
                    ARCHITECTURES.join(", ")
                ),
            ),
        }
    }
    if found.is_empty() && lists::entries(text).next().is_none() {
        faults.add("platforms", text, "holds no platform such as linux/amd64");
    }
    found
}

fn settings(args: &AgentArgs, faults: &mut Faults) -> buildkitd::BuildkitdSettings {
    let max_parallelism = args.max_parallelism.as_ref();
    buildkitd::BuildkitdSettings {
        max_parallelism: max_parallelism.and_then(|n| number("max-parallelism", n, 1..=u32::MAX, faults)),
        entitlements: entitlements(args.entitlements.as_ref(), faults),
        mirrors: parsed(
            "registry-mirrors",
            args.registry_mirrors.as_ref(),
            mirrors,
            faults,
        ),
        custom: args.buildkitd_config.as_ref().and_then(|text| {
            parsed(
                "buildkitd-config",
                Some(text),
                |text| buildkitd::CustomConfig::parse(text).map(Some),
                faults,
            )
        }),
    }
}

fn mirrors(text: &str) -> Result<buildkitd::Mirrors, String> {
    if lists::entries(text).next().is_none() {
        return Err("holds no mirror such as docker.io=mirror.example.com".into());
    }
    buildkitd::Mirrors::parse(text).map_err(|error| error.to_string())
}

fn entitlements(text: Option<&String>, faults: &mut Faults) -> Vec<String> {
    let allowed = buildkitd::ENTITLEMENTS;
    let mut found: Vec<String> = Vec::new();
    for entry in text.iter().flat_map(|text| lists::entries(text)) {
        faults.check(
            allowed.contains(&entry),
            "entitlements",
            entry,
            &format!("allowed are {}", allowed.join(", ")),
        );
        if !found.iter().any(|known| known == entry) {
            found.push(entry.to_owned());
        }
    }
    if let Some(text) = text.filter(|_| found.is_empty()) {
        faults.add_text(
            "entitlements",
            text,
            &format!("allowed are {}", allowed.join(", ")),
        );
    }
    found
}

/// An input with a notation of its own; absent is empty.
fn parsed<T: Default, E: std::fmt::Display>(
    input: &str,
    text: Option<&String>,
    parse: impl Fn(&str) -> Result<T, E>,
    faults: &mut Faults,
) -> T {
    let Some(text) = text else {
        return T::default();
    };
    parse(text).unwrap_or_else(|why| {
        faults.add_text(input, text, &why.to_string());
        T::default()
    })
}

fn one_of<T: Copy>(input: &str, text: &str, allowed: &[(&str, T)], faults: &mut Faults) -> Option<T> {
    let found = allowed
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<&str> = allowed.iter().map(|(name, _)| *name).collect();
        faults.add(input, text, &format!("allowed are {}", names.join(", ")));
    }
    found
}

fn number(
    input: &str,
    text: &str,
    allowed: std::ops::RangeInclusive<u32>,
    faults: &mut Faults,
) -> Option<u32> {
    let number = text.parse().ok().filter(|n| allowed.contains(n));
    if number.is_none() {
        let (least, most) = (allowed.start(), allowed.end());
        faults.add(input, text, &format!("a whole number from {least} to {most}"));
    }
    number
}
