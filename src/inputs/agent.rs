//! Validates the inputs that describe the agents.

use std::collections::BTreeMap;

use super::lists;
use super::names::{is_dns_label, is_dns_subdomain};
use super::validation::{TextErrors, ValidationErrors, duration};
use crate::agent::group::Agents;
use crate::agent::isolation::Isolation;
use crate::agent::manifests::{ARCH_LABEL, Objects, RESERVED_ANNOTATIONS, RESERVED_LABELS};
use crate::agent::patch::DeploymentPatch;
use crate::agent::platform::{ARCHITECTURES, Platform};
use crate::agent::quantity::{self, Bytes};
use crate::agent::{DEFAULT_CPU, DEFAULT_MEMORY, Spec, buildkitd};
use crate::cli::{AgentArgs, WhichArgs};

/// The smallest cache volume. BuildKit's metadata and one base image fill a smaller one.
const MIN_STORAGE: Bytes = Bytes(1 << 30);

/// The largest number of agents. A larger number is probably a mistake, because each agent has a volume that costs
/// money.
const MAX_AGENTS: u32 = 100;

/// The longest value of a Kubernetes label, and so the longest name of an agent
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>).
const MAX_NAME: usize = 63;

/// Validates the inputs that describe the agents.
pub(super) fn check(args: &AgentArgs, errors: &mut ValidationErrors) -> Option<Agents> {
    let AgentArgs {
        which,
        platforms,
        agents: number_of_agents,
        image,
        storage,
        storage_class,
        cpu,
        memory,
        isolation,
        entitlements,
        drain_timeout,
        max_parallelism,
        registry_mirrors,
        buildkitd_config,
        node_selector,
        tolerations,
        service_account,
        labels,
        annotations,
        patch,
    } = args;
    check_which(which, errors);
    check_names(
        image.as_deref(),
        storage_class.as_deref(),
        service_account.as_deref(),
        errors,
    );
    check_sizes(cpu.as_deref(), memory.as_deref(), errors);
    let isolations = Isolation::ALL.map(|isolation| (isolation.name(), isolation));
    let isolation = one_of("isolation", isolation, &isolations, errors);
    let drain = duration("drain-timeout", drain_timeout, errors);
    let storage_bytes = storage_size(storage, errors);
    let number = number("agents", number_of_agents, 1..=MAX_AGENTS, errors);
    let labels = labels_of(labels.as_ref(), errors);
    let node_selector = node_selector_of(node_selector.as_ref(), platforms.is_some(), errors);
    let annotations = annotations_of(annotations.as_ref(), errors);
    let tolerations = parsed("tolerations", tolerations.as_ref(), lists::taints, errors);
    let platforms = platforms_of(platforms.as_ref(), errors);
    let buildkitd = buildkitd::BuildkitdSettings {
        max_parallelism: max_parallelism
            .as_ref()
            .and_then(|n| self::number("max-parallelism", n, 1..=u32::MAX, errors)),
        entitlements: entitlements_of(entitlements.as_ref(), errors),
        mirrors: parsed("registry-mirrors", registry_mirrors.as_ref(), mirrors, errors),
        custom: buildkitd_config.as_ref().and_then(|text| {
            let parse = |text: &str| buildkitd::CustomConfig::parse(text).map(Some);
            parsed("buildkitd-config", Some(text), parse, errors)
        }),
    };
    let parsed_patch = patch.as_ref().and_then(|text| {
        parsed(
            "patch",
            Some(text),
            |t| DeploymentPatch::parse(t).map(Some),
            errors,
        )
    });
    let (isolation, drain, storage_bytes, number) = (isolation?, drain?, storage_bytes?, number?);
    let agents = Agents {
        spec: Spec {
            name: which.name.clone(),
            instance: which.name.clone(),
            namespace: which.namespace.clone(),
            image: image.clone().unwrap_or_else(|| isolation.default_image()),
            isolation,
            storage: storage.clone(),
            storage_bytes,
            storage_class: storage_class.clone(),
            cpu: request(cpu.as_ref(), DEFAULT_CPU),
            memory: request(memory.as_ref(), DEFAULT_MEMORY),
            memory_limit: memory.clone().filter(|memory| !quantity::is_zero(memory)),
            arch: None,
            default_arch: None,
            drain,
            service_account: service_account.clone(),
            buildkitd,
            patch: parsed_patch,
            node_selector,
            tolerations,
            labels,
            annotations,
        },
        platforms,
        number,
    };
    check_agents(&which.name, patch.as_deref(), &agents, errors);
    Some(agents)
}

/// Reports errors that only a complete agent shows: a name that is too long with its suffix, and a patch that does
/// not apply.
fn check_agents(name: &str, patch: Option<&str>, agents: &Agents, errors: &mut ValidationErrors) {
    for agent in agents.all() {
        if agent.name.len() > MAX_NAME {
            let allowed = format!(
                "is too long: the name of its agent {} has more than {MAX_NAME} characters",
                agent.name
            );
            return errors.add("name", name, &allowed);
        }
        // The other inputs have been checked, so an error is the patch's.
        if let (Some(patch), Err(error)) = (patch, Objects::new(&agent, agent.storage_bytes)) {
            return errors.add_text("patch", patch, TextErrors::without_line(format!("{error:#}")));
        }
    }
}

fn labels_of(text: Option<&String>, errors: &mut ValidationErrors) -> BTreeMap<String, String> {
    let labels = parsed("labels", text, lists::labels, errors);
    for (key, value) in &labels {
        errors.check(
            !RESERVED_LABELS.contains(&key.as_str()),
            "labels",
            &format!("{key}={value}"),
            "this label is reserved for remote-buildkit",
        );
    }
    labels
}

fn node_selector_of(
    text: Option<&String>,
    has_platforms: bool,
    errors: &mut ValidationErrors,
) -> BTreeMap<String, String> {
    let node_selector = parsed("node-selector", text, lists::labels, errors);
    if let Some(arch) = node_selector.get(ARCH_LABEL).filter(|_| has_platforms) {
        let entry = format!("{ARCH_LABEL}={arch}");
        errors.add(
            "node-selector",
            &entry,
            "conflicts with `platforms`, which sets this label",
        );
    }
    node_selector
}

fn annotations_of(text: Option<&String>, errors: &mut ValidationErrors) -> BTreeMap<String, String> {
    let annotations = parsed("annotations", text, lists::annotations, errors);
    let reserved = RESERVED_ANNOTATIONS
        .iter()
        .filter(|key| annotations.contains_key(**key));
    for key in reserved {
        errors.add(
            "annotations",
            key,
            "this annotation is reserved for remote-buildkit",
        );
    }
    annotations
}

/// Returns the agents of a job on this machine. Without `platforms` a new agent is on nodes of this machine's architecture:
/// on any node, the image of a build that names no platform would depend on where the agent happens to run.
pub(super) fn on_this_machine(agents: Agents) -> Agents {
    let spec = Spec {
        default_arch: machine_arch(),
        ..agents.spec
    };
    Agents { spec, ..agents }
}

/// Returns the architecture of this machine, as Kubernetes names it: the one for which this program was compiled.
fn machine_arch() -> Option<String> {
    let arch = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        return None;
    };
    Some(arch.to_owned())
}

/// Validates the name and the namespace of an agent.
pub(super) fn check_which(which: &WhichArgs, errors: &mut ValidationErrors) {
    let WhichArgs { name, namespace } = which;
    // buildx requires that a node's name starts with a letter; Kubernetes allows at most 63 characters in a label.
    errors.check(
        is_dns_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase()),
        "name",
        name,
        "must be at most 63 lower-case letters, digits and -, start with a letter and not end with -",
    );
    errors.check(
        is_dns_label(namespace),
        "namespace",
        namespace,
        "must be at most 63 lower-case letters, digits and -, and not start or end with -",
    );
}

fn check_names(
    image: Option<&str>,
    storage_class: Option<&str>,
    service_account: Option<&str>,
    errors: &mut ValidationErrors,
) {
    if let Some(image) = image {
        errors.check(
            !image.is_empty() && !image.contains(char::is_whitespace),
            "image",
            image,
            "must be an image reference such as moby/buildkit:v0.34.2",
        );
    }
    if let Some(class) = storage_class {
        errors.check(
            is_dns_subdomain(class),
            "storage-class",
            class,
            "must be the name of a StorageClass: lower-case letters, digits, - and .",
        );
    }
    if let Some(account) = service_account {
        errors.check(
            is_dns_subdomain(account),
            "service-account",
            account,
            "must be the name of a ServiceAccount: lower-case letters, digits, - and .",
        );
    }
}

fn check_sizes(cpu: Option<&str>, memory: Option<&str>, errors: &mut ValidationErrors) {
    if let Some(cpu) = cpu {
        errors.check(
            quantity::is_cpu(cpu),
            "cpu",
            cpu,
            "must be a CPU quantity such as 4, 0.5 or 3500m, or 0 to request none",
        );
    }
    if let Some(memory) = memory {
        errors.check(
            quantity::parse_bytes(memory).is_some(),
            "memory",
            memory,
            "must be a quantity of bytes such as 8Gi or 500M, or 0 to request none",
        );
    }
}

/// Returns the request of a resource: the input, or the default. Zero is no request.
fn request(input: Option<&String>, default: &str) -> Option<String> {
    let quantity = input.map_or(default, String::as_str);
    (!quantity::is_zero(quantity)).then(|| quantity.to_owned())
}

fn storage_size(text: &str, errors: &mut ValidationErrors) -> Option<Bytes> {
    let bytes = quantity::parse_bytes(text).filter(|b| *b >= MIN_STORAGE);
    if bytes.is_none() {
        errors.add(
            "storage",
            text,
            "must be a quantity of at least 1Gi, such as 50Gi or 1Ti",
        );
    }
    bytes
}

fn platforms_of(text: Option<&String>, errors: &mut ValidationErrors) -> Vec<Platform> {
    let Some(text) = text else {
        return vec![];
    };
    let mut platforms = Vec::new();
    for entry in lists::entries(text) {
        match Platform::parse(entry) {
            Some(platform) if platforms.contains(&platform) => {
                errors.add("platforms", entry, "is listed twice")
            }
            Some(platform) => platforms.push(platform),
            None => errors.add(
                "platforms",
                entry,
                &format!(
                    "must be linux/ARCHITECTURE or linux/ARCHITECTURE/VARIANT, such as linux/arm/v7; the architectures are {}",
                    ARCHITECTURES.join(", ")
                ),
            ),
        }
    }
    if platforms.is_empty() && lists::entries(text).next().is_none() {
        errors.add("platforms", text, "contains no platform such as linux/amd64");
    }
    platforms
}

fn mirrors(text: &str) -> Result<buildkitd::Mirrors, TextErrors> {
    if lists::entries(text).next().is_none() {
        let message = "contains no mirror such as docker.io=mirror.example.com";
        return Err(TextErrors::without_line(message));
    }
    Ok(buildkitd::Mirrors::parse(text)?)
}

fn entitlements_of(text: Option<&String>, errors: &mut ValidationErrors) -> Vec<String> {
    let allowed = buildkitd::ENTITLEMENTS;
    let mut found: Vec<String> = Vec::new();
    for entry in text.iter().flat_map(|text| lists::entries(text)) {
        errors.check(
            allowed.contains(&entry),
            "entitlements",
            entry,
            &format!("must be one or more of {}", allowed.join(", ")),
        );
        if !found.iter().any(|known| known == entry) {
            found.push(entry.to_owned());
        }
    }
    if let Some(text) = text.filter(|_| found.is_empty()) {
        let message = format!("must be one or more of {}", allowed.join(", "));
        errors.add_text("entitlements", text, TextErrors::without_line(message));
    }
    found
}

/// Parses an input with a parser. Returns the default value for an absent or an invalid input.
fn parsed<T: Default, E: Into<TextErrors>>(
    input: &str,
    text: Option<&String>,
    parse: impl Fn(&str) -> Result<T, E>,
    errors: &mut ValidationErrors,
) -> T {
    let Some(text) = text else {
        return T::default();
    };
    parse(text).unwrap_or_else(|error| {
        errors.add_text(input, text, error.into());
        T::default()
    })
}

/// Returns the value of an input with fixed names.
fn one_of<T: Copy>(
    input: &str,
    text: &str,
    allowed: &[(&str, T)],
    errors: &mut ValidationErrors,
) -> Option<T> {
    let found = allowed
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<&str> = allowed.iter().map(|(name, _)| *name).collect();
        errors.add(input, text, &format!("must be one of {}", names.join(", ")));
    }
    found
}

/// Parses a whole number in a range.
fn number(
    input: &str,
    text: &str,
    allowed: std::ops::RangeInclusive<u32>,
    errors: &mut ValidationErrors,
) -> Option<u32> {
    let number = text.parse().ok().filter(|n| allowed.contains(n));
    if number.is_none() {
        let (least, most) = (allowed.start(), allowed.end());
        errors.add(
            input,
            text,
            &format!("must be a whole number from {least} to {most}"),
        );
    }
    number
}
