//! What `connect` and `doctor` both decide about an agent: whether remote-buildkit deployed it, whether it can be used,
//! and whether it builds natively for the architecture that the inputs name. Nothing here contacts the cluster.

use crate::agent::group::Group;
use crate::agent::manifests::{ARCH_LABEL, Objects};
use crate::agent::platform::Platform;
use crate::agent::state::{self, Deployment};
use crate::agent::{Spec, other_namespace_hint};
use crate::cluster::{ClusterError, DaemonStatus, DiskUsage};
use crate::error_code::ErrorCode;
use crate::github;
use crate::inputs::{Deploy, Plan};
use crate::problem::Problem;

/// Returns the key that decides which of several agents serves a job: the input `cache-key`, or the repository.
pub(super) fn cache_key(plan: &Plan) -> String {
    let key = plan.cache_key.clone().or_else(github::repository);
    key.unwrap_or_default()
}

/// Returns whether this program deployed the agent, for the same input `name`.
pub(super) fn is_ours(spec: &Spec, deployment: &Deployment) -> bool {
    let metadata = &deployment.metadata;
    state::is_ours(metadata) && state::instance(metadata) == Some(&spec.instance)
}

/// Returns the error for an agent whose Deployment does not exist.
pub(super) fn agent_not_found(server: &str, spec: &Spec) -> Problem {
    Problem::new(
        ErrorCode::AgentNotFound,
        format!(
            "The Deployment {} does not exist in the namespace {} of {server}.",
            spec.name, spec.namespace
        ),
        format!(
            "Deploy it (`remote-buildkit manifests` prints the manifests), correct `name` or `namespace`, or set `deploy: \
             if-absent`.{}",
            other_namespace_hint(&spec.namespace)
        ),
    )
}

/// Adds to the error of an identity that may not deploy an agent that the agent does not exist, and who can deploy it: the
/// Role `use` is sufficient as soon as it does.
pub(super) fn explain_deploy_denied(spec: &Spec, error: ClusterError) -> ClusterError {
    let ClusterError::Problem(problem) = error else {
        return error;
    };
    if problem.code != ErrorCode::Forbidden {
        return problem.into();
    }
    Problem {
        what: format!(
            "The agent {}/{} does not exist, and this identity has no permission to deploy it. {}",
            spec.namespace, spec.name, problem.what
        ),
        remedy: format!(
            "Ask an administrator to run `remote-buildkit setup`, which deploys it, or connect with the Role \
             remote-buildkit-deploy. {}",
            problem.remedy
        ),
        ..problem
    }
    .into()
}

/// Returns the error for a Deployment that buildx cannot use.
pub(super) fn agent_unusable(spec: &Spec, why: &str) -> Problem {
    Problem::new(
        ErrorCode::AgentUnusable,
        format!(
            "buildx cannot use the Deployment {} in the namespace {}: {why}.",
            spec.name, spec.namespace
        ),
        "Correct that Deployment, or set `name` to another agent.",
    )
}

/// Returns the answer if the agent builds the group's platforms natively. An emulator would be a silent and slow
/// fallback.
pub(super) fn check_native_arch(
    spec: &Spec,
    group: &Group,
    answer: DaemonStatus,
) -> Result<DaemonStatus, Problem> {
    let reported = answer.buildkit.platforms.first().and_then(|p| Platform::parse(p));
    let arch = reported.map(|platform| platform.arch);
    if spec.arch.is_none() || spec.arch == arch {
        return Ok(answer);
    }
    Err(Problem::new(
        ErrorCode::WrongArchitecture,
        format!(
            "The agent {}/{} must build {} natively, but BuildKit in its pod {} runs on another architecture; it \
             supports, the native platform first: {}.",
            spec.namespace,
            spec.name,
            join_platforms(&group.platforms),
            answer.pod,
            answer.buildkit.platforms.join(", ")
        ),
        "Give that Deployment the node selector kubernetes.io/arch and an image of that architecture (`deploy: always` \
         does so for an agent that remote-buildkit deployed), or set `name` to another agent.",
    ))
}

/// Returns the configuration that an existing agent should have. Without `platforms` it keeps its architecture: jobs on
/// runners of two architectures share it, and its cache is of that architecture. If its node selector names none, as in the
/// output of `manifests`, only an update adds one.
pub(super) fn for_existing_agent(spec: &Spec, deployment: &Deployment, deploy: Deploy) -> Spec {
    let existing = state::required_arch(deployment).map(str::to_owned);
    let default_arch = match deploy {
        Deploy::Always => existing.or_else(|| spec.default_arch.clone()),
        Deploy::IfAbsent | Deploy::Never => existing,
    };
    Spec {
        default_arch,
        ..spec.clone()
    }
}

/// Returns the warning for an agent of another architecture than this machine's, unless the inputs name an architecture.
pub(super) fn other_architecture(spec: &Spec, answer: &DaemonStatus) -> Option<Problem> {
    let machine = spec.default_arch.as_ref().filter(|_| spec.arch.is_none())?;
    let reported = Platform::parse(answer.buildkit.platforms.first()?)?.arch;
    if *machine == reported || selected_arch(spec).as_ref() == Some(&reported) {
        return None;
    }
    Some(Problem::new(
        ErrorCode::OtherArchitecture,
        format!(
            "The agent {}/{} runs on {reported}, and this machine is {machine}: a build that names no platform makes an image \
             for linux/{reported}.",
            spec.namespace, spec.name
        ),
        format!(
            "Set `platforms: linux/{machine}` for an agent of this architecture, or `node-selector: \
             {ARCH_LABEL}={reported}` to use this one without a warning."
        ),
    ))
}

/// Returns the architecture that the inputs name without `platforms`: in `node-selector` or in `patch`.
fn selected_arch(spec: &Spec) -> Option<String> {
    let spec = Spec {
        default_arch: None,
        ..spec.clone()
    };
    let deployment = Objects::new(&spec, spec.storage_bytes).ok()?.deployment;
    let selector = &deployment["spec"]["template"]["spec"]["nodeSelector"];
    selector[ARCH_LABEL].as_str().map(str::to_owned)
}

/// Returns the platforms as a list for a message.
pub(super) fn join_platforms(platforms: &[Platform]) -> String {
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Returns what to do if the disk of an agent is almost full.
pub(super) fn almost_full_remedy(usage: DiskUsage) -> Option<&'static str> {
    usage.is_almost_full().then_some(
        "Raise `storage`, with `deploy: always`, if the volume stays this full: garbage collection runs after each \
         build.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::probe::Buildkit;

    /// The errors of `connect` about one agent, as they are printed.
    #[test]
    fn errors_of_an_agent() {
        let spec = Spec {
            arch: Some("arm64".into()),
            ..Spec::example()
        };
        let group = Group {
            platforms: Platform::parse("linux/arm64").into_iter().collect(),
            agents: vec![spec.clone()],
        };
        let answer = DaemonStatus {
            pod: "remote-buildkit-agent-7d4b9c-x2x8k".into(),
            buildkit: Buildkit {
                version: "v0.34.2".into(),
                platforms: vec!["linux/amd64".into(), "linux/386".into()],
            },
            disk: None,
        };
        let shared = Spec {
            arch: None,
            default_arch: Some("arm64".into()),
            ..spec.clone()
        };
        let other_arch = other_architecture(&shared, &answer).expect("another architecture");
        let wrong_arch = check_native_arch(&spec, &group, answer).expect_err("another architecture");
        let denied = Problem::new(ErrorCode::Forbidden, "Asked and was denied.", "Bind a Role.");
        let denied = explain_deploy_denied(&spec, denied.into()).to_string();
        let errors = [
            agent_not_found("https://10.0.0.1:6443", &spec),
            agent_unusable(&spec, "it is scaled to 0"),
            wrong_arch,
            other_arch,
        ];
        let errors = errors.map(|error| error.to_string());
        insta::assert_snapshot!(format!("{}\n\n{denied}", errors.join("\n\n")));
    }

    #[test]
    fn only_a_denied_permission_is_explained() {
        let quota = Problem::new(ErrorCode::RequestRejected, "Exceeded quota.", "Raise it.");
        let error = explain_deploy_denied(&Spec::example(), quota.clone().into());
        assert_eq!(error.to_string(), quota.to_string());
    }

    #[test]
    fn an_architecture_that_the_inputs_name_is_no_reason_for_a_warning() {
        let on = |platform: &str| DaemonStatus {
            buildkit: Buildkit {
                platforms: vec![platform.into()],
                ..DaemonStatus::example("v0.34.2").buildkit
            },
            ..DaemonStatus::example("v0.34.2")
        };
        let spec = Spec {
            default_arch: Some("amd64".into()),
            ..Spec::example()
        };
        assert!(other_architecture(&spec, &on("linux/arm64")).is_some());
        assert!(other_architecture(&spec, &on("linux/amd64")).is_none());
        assert!(other_architecture(&Spec::example(), &on("linux/arm64")).is_none());
        let selected = Spec {
            node_selector: [(ARCH_LABEL.into(), "arm64".into())].into(),
            ..spec.clone()
        };
        assert!(other_architecture(&selected, &on("linux/arm64")).is_none());
        let platforms = Spec {
            arch: Some("arm64".into()),
            ..spec
        };
        assert!(other_architecture(&platforms, &on("linux/arm64")).is_none());
    }

    #[test]
    fn an_existing_agent_keeps_its_architecture() {
        let spec = Spec {
            default_arch: Some("amd64".into()),
            ..Spec::example()
        };
        let existing = |arch: Option<&str>, deploy| {
            let deployed = Spec {
                default_arch: arch.map(Into::into),
                ..Spec::example()
            };
            let deployment = Objects::new(&deployed, deployed.storage_bytes)
                .expect("objects")
                .deployment;
            let deployment = serde_json::from_value(deployment).expect("a Deployment");
            for_existing_agent(&spec, &deployment, deploy).default_arch
        };
        let arch = |arch: &str| Some(arch.to_owned());
        assert_eq!(existing(Some("arm64"), Deploy::Always), arch("arm64"));
        assert_eq!(existing(Some("arm64"), Deploy::IfAbsent), arch("arm64"));
        assert_eq!(existing(None, Deploy::Always), arch("amd64"));
        assert_eq!(existing(None, Deploy::IfAbsent), None);
        assert_eq!(existing(None, Deploy::Never), None);
    }
}
