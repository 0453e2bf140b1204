//! The output of the doctor, as it is printed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::agents::NewVolume;
use super::check::{Check, Scope};
use super::checklist::Checklist;
use super::checks::agent::Drift;
use super::checks::{
    agent, build, buildkit, buildx, cluster, csi_driver, disk, exec, identity, inputs, rbac, runner,
    storage_class, token, volume,
};
use super::finding::Finding;
use super::{AGENT_CHECKS, CHECKS, planned, table};
use crate::agent::Spec;
use crate::agent::state::Deployment;
use crate::cli;
use crate::cluster::{ClaimInfo, DaemonStatus, DiskUsage, Lookup, StartupStatus, StorageClassInfo, UserInfo};
use crate::commands::agent_checks;
use crate::error_code::ErrorCode;
use crate::inputs::Deploy;
use crate::problem::Problem;

/// The URL of the API server.
const SERVER: &str = "https://0A1B.gr7.us-west-2.eks.amazonaws.com";

/// A checklist that keeps what it prints.
struct DoctorOutput {
    checklist: Checklist,
    printed: Arc<Mutex<Vec<String>>>,
}

impl DoctorOutput {
    fn new(scope: &Scope) -> Self {
        let printed = Arc::new(Mutex::new(vec![]));
        let lines = printed.clone();
        let print = move |text: &str| lines.lock().expect("lines").push(text.to_owned());
        Self {
            checklist: Checklist::new(planned(scope), Some(Box::new(print))),
            printed,
        }
    }

    fn record(&self, name: &str, finding: impl Into<Finding>) {
        self.checklist.record(name, finding.into());
    }

    /// Returns everything that the doctor prints, up to its last sentence.
    fn finish(self) -> String {
        self.checklist.finish();
        let (Ok(sentence) | Err(sentence)) = table::verdict(&self.checklist.results());
        let rows = self.printed.lock().expect("lines").join("\n");
        format!("{rows}\n{sentence}")
    }
}

fn record_rbac(output: &DoctorOutput, allows: impl Fn(&str) -> bool) {
    for rule in rbac::required() {
        let allowed: Vec<bool> = rule.verbs.iter().map(|(verb, _)| allows(verb)).collect();
        let finding = rbac::evaluate(&rule, Some(&allowed), "buildkit", false);
        output.record(&rbac::CHECK.row_name(rule.resource), finding);
    }
}

fn deployment(replicas: i32) -> Deployment {
    let deployment = serde_json::json!({"spec": {"replicas": replicas, "selector": {}, "template": {}}});
    serde_json::from_value(deployment).expect("deployment")
}

fn claim(size: &str, phase: &str) -> Lookup<ClaimInfo> {
    Lookup::Found(ClaimInfo {
        name: "remote-buildkit-agent".into(),
        phase: phase.into(),
        class: Some("gp3".into()),
        size: Some(size.into()),
    })
}

fn class(name: &str, provisioner: &str) -> StorageClassInfo {
    StorageClassInfo {
        name: name.into(),
        provisioner: provisioner.into(),
        default: true,
        expands: true,
    }
}

fn disk_usage(percent: u64) -> Option<DiskUsage> {
    Some(DiskUsage {
        used: percent << 30,
        total: 100 << 30,
    })
}

fn milliseconds(number: u64) -> Vec<Duration> {
    vec![Duration::from_millis(number); 5]
}

fn spec() -> Spec {
    Spec {
        namespace: "buildkit".into(),
        ..Spec::example()
    }
}

/// Returns the error of an API server that rejects the credential.
fn unauthorized() -> Problem {
    Problem::new(
        ErrorCode::Unauthorized,
        format!("{SERVER} rejected the credential with 401: Unauthorized."),
        "Add an access entry: aws eks create-access-entry --cluster-name shop --principal-arn \
         arn:aws:iam::123456789012:role/ci",
    )
}

/// Returns the error of an STS whose host name cannot be resolved.
fn unresolved() -> Problem {
    Problem::new(
        ErrorCode::DnsFailed,
        "Called STS in us-west-2, and its host name could not be resolved: Name or service not known.",
        "Check the spelling of the region, and this machine's DNS (/etc/resolv.conf).",
    )
}

/// Records the checks before the agent's, all passed.
fn record_access(output: &DoctorOutput, new_volume: NewVolume) {
    output.record(
        inputs::CHECK.name,
        inputs::evaluate(&[spec()], 1, "acme/shop", Deploy::IfAbsent),
    );
    output.record(
        runner::CHECK.name,
        runner::evaluate(
            "/home/runner/work/_temp".as_ref(),
            "/home/runner/.docker/buildx".as_ref(),
        ),
    );
    output.record(
        buildx::CHECK.name,
        buildx::evaluate("github.com/docker/buildx v0.38.2 c1b6c6a"),
    );
    output.record(
        identity::CHECK.name,
        identity::evaluate(
            Ok("arn:aws:iam::123456789012:role/ci".into()),
            "role session acme-shop-4711",
            "us-west-2",
            Some("2026-01-31T12:00:00Z".parse().expect("time")),
        ),
    );
    output.record(
        cluster::CHECK.name,
        cluster::evaluate_eks("shop", "us-west-2", SERVER, None),
    );
    output.record(
        token::CHECK.name,
        token::evaluate(
            SERVER,
            Some(UserInfo {
                name: "acme-shop-4711".into(),
                groups: vec!["ci".into(), "system:authenticated".into()],
            }),
        ),
    );
    record_rbac(output, |_| true);
    let gp3 = class("gp3", "ebs.csi.aws.com");
    output.record(
        storage_class::CHECK.name,
        storage_class::evaluate(None, &Lookup::Found(vec![gp3]), new_volume).0,
    );
    output.record(
        csi_driver::CHECK.name,
        csi_driver::evaluate(
            "ebs.csi.aws.com",
            &Lookup::Found(()),
            &Lookup::Found((3, 3)),
            new_volume,
        ),
    );
}

#[test]
fn output_for_a_good_cluster() {
    let output = DoctorOutput::new(&Scope::example());
    record_access(&output, NewVolume::NotNeeded);
    let ready = agent::evaluate_ready(&spec(), &deployment(1), &Drift::Nothing);
    output.record("agent", ready);
    let name = "remote-buildkit-agent";
    output.record(
        "volume",
        volume::evaluate(&spec(), true, Some(name), &claim("50Gi", "Bound")),
    );
    output.record("buildkit", buildkit::evaluate(&DaemonStatus::example("v0.34.2")));
    output.record("disk", disk::evaluate(disk_usage(40), true));
    output.record("exec", exec::evaluate(&milliseconds(40)));
    output.record("build", build::evaluate());
    output.record("cache", build::evaluate_cache(true));
    insta::assert_snapshot!(output.finish());
}

/// The cluster rejects the credential: everything behind that is skipped.
#[test]
fn output_for_a_rejected_credential() {
    let output = DoctorOutput::new(&Scope {
        agents: vec!["amd64".into(), "arm64".into()],
        ..Scope::example()
    });
    output.record(
        inputs::CHECK.name,
        inputs::evaluate(
            &[Spec {
                name: "remote-buildkit-agent-2".into(),
                ..spec()
            }],
            3,
            "acme/shop",
            Deploy::Always,
        ),
    );
    output.record(
        runner::CHECK.name,
        runner::evaluate("/tmp".as_ref(), "/home/runner/.docker/buildx".as_ref()),
    );
    output.record(
        buildx::CHECK.name,
        buildx::evaluate("github.com/docker/buildx v0.35.0 c1b6c6a"),
    );
    output.record(
        identity::CHECK.name,
        identity::evaluate(
            Ok("arn:aws:iam::123456789012:user/me".into()),
            "the default AWS credentials",
            "us-west-2",
            None,
        ),
    );
    let clock_correction = "this machine's clock is 5 min behind AWS's; corrected".to_owned();
    output.record(
        cluster::CHECK.name,
        cluster::evaluate_eks("shop", "us-west-2", SERVER, Some(clock_correction)),
    );
    output.record(token::CHECK.name, unauthorized());
    insta::assert_snapshot!(output.finish());
}

/// The agent does not exist yet.
#[test]
fn output_for_a_missing_agent() {
    let output = DoctorOutput::new(&Scope::example());
    record_access(&output, NewVolume::Needed);
    output.record("agent", agent::evaluate_missing(&spec(), None));
    output.record("volume", volume::evaluate_left(&spec(), &Lookup::NotFound));
    insta::assert_snapshot!(output.finish());
}

/// Every kind of warning and failure that the checks decide.
#[test]
fn rows_of_all_failures() {
    let output = DoctorOutput::new(&Scope::example());
    let mut rows: Vec<(&str, Finding)> = vec![];
    for version in ["v0.35.0", "v0.14.1", "1d2c3b4"] {
        let printed = format!("github.com/docker/buildx {version} c1b6c6a");
        rows.push(("buildx", buildx::evaluate(&printed)));
    }
    rows.push((
        "identity",
        identity::evaluate(
            Err(unresolved()),
            "the default AWS credentials",
            "us-west-2",
            None,
        ),
    ));
    rows.push((
        "cluster",
        cluster::evaluate_eks(
            "shop",
            "us-west-2",
            SERVER,
            Some("this machine's clock is 3 h ahead of AWS's; corrected".into()),
        ),
    ));
    rows.push(("token", unauthorized().into()));
    for rule in rbac::required() {
        let allowed: Vec<bool> = rule.verbs.iter().map(|(verb, _)| *verb == "get").collect();
        rows.push(("rbac", rbac::evaluate(&rule, Some(&allowed), "buildkit", false)));
    }
    rows.push((
        "rbac",
        rbac::evaluate(&rbac::required()[0], None, "buildkit", false),
    ));

    let forbidden = || "storageclasses is forbidden".to_owned();
    let class = |name, found| storage_class::evaluate(name, &found, NewVolume::Needed).0;
    let driver = |found, nodes| csi_driver::evaluate("ebs.csi.aws.com", &found, &nodes, NewVolume::Needed);
    rows.extend([
        ("storage-class", class(Some("tape"), Lookup::NotFound)),
        ("storage-class", class(None, Lookup::Found(vec![]))),
        ("storage-class", class(None, Lookup::Forbidden(forbidden()))),
        ("csi-driver", driver(Lookup::NotFound, Lookup::NotFound)),
        ("csi-driver", driver(Lookup::Found(()), Lookup::Found((0, 3)))),
        (
            "csi-driver",
            driver(Lookup::Forbidden(forbidden()), Lookup::NotFound),
        ),
    ]);

    let ready = |replicas, drift| agent::evaluate_ready(&spec(), &deployment(replicas), &drift);
    let starting = |failure| {
        let status = StartupStatus {
            step: "a node for the pod",
            latest_events: "0/3 nodes are available: 3 Insufficient memory.".into(),
            failure,
        };
        agent::evaluate_starting(&spec(), Some(status))
    };
    let unschedulable = Problem::new(
        ErrorCode::Unschedulable,
        "No node fits.",
        "Lower `cpu` or `memory`, or add a larger node.",
    );
    let not_found = agent_checks::agent_not_found("https://10.0.0.1:6443", &spec());
    rows.extend([
        (
            "agent",
            agent::evaluate_missing(&spec(), Some(unschedulable.clone().into())),
        ),
        ("agent", not_found.into()),
        (
            "agent",
            agent_checks::agent_unusable(&spec(), "it is scaled to 0").into(),
        ),
        ("agent", starting(None)),
        ("agent", starting(Some(unschedulable))),
        ("agent", agent::evaluate_starting(&spec(), None)),
        ("agent", ready(2, Drift::Nothing)),
        ("agent", ready(1, Drift::NotOurs)),
        ("agent", ready(1, Drift::Fields(vec!["spec.template".into()]))),
        ("agent", ready(1, Drift::Updated { restarts: true })),
        ("agent", ready(1, Drift::Updated { restarts: false })),
    ]);

    let spec = Spec {
        storage_class: Some("io2".into()),
        ..spec()
    };
    let volume = |name: Option<&str>, found| volume::evaluate(&spec, false, name, &found);
    let name = Some("remote-buildkit-agent");
    let small = super::checks::volume::evaluate(&self::spec(), false, name, &claim("20Gi", "Bound"));
    rows.extend([
        ("volume", volume(None, Lookup::NotFound)),
        ("volume", volume(name, Lookup::NotFound)),
        ("volume", volume(name, claim("50Gi", "Pending"))),
        ("volume", volume(name, claim("50Gi", "Bound"))),
        ("volume", small),
        (
            "volume",
            volume(name, Lookup::Forbidden("claims is forbidden".into())),
        ),
        (
            "volume",
            super::checks::volume::evaluate_left(&spec, &claim("50Gi", "Bound")),
        ),
        (
            "volume",
            super::checks::volume::evaluate_left(&spec, &Lookup::NotFound),
        ),
        ("buildkit", buildkit::evaluate(&DaemonStatus::example("v0.12.4"))),
        (
            "buildkit",
            buildkit::evaluate(&DaemonStatus::example("a1b2c3d.m")),
        ),
        ("disk", disk::evaluate(disk_usage(95), true)),
        ("disk", disk::evaluate(None, true)),
        ("disk", disk::evaluate(None, false)),
        ("exec", exec::evaluate(&milliseconds(1500))),
        (
            "build",
            anyhow::anyhow!("the API server sent an invalid answer").into(),
        ),
        ("cache", build::evaluate_cache(false)),
    ]);
    for (name, finding) in rows {
        output.record(name, finding);
    }
    let text = output.finish();
    insta::assert_snapshot!(text);
    insta::assert_snapshot!(
        "rows_of_all_failures_on_a_command_line",
        cli::inputs_as_flags(&text)
    );
}

/// As `doctor -o json` prints it on a command line.
#[test]
fn json_output() {
    let output = DoctorOutput::new(&Scope::example());
    output.record("disk", disk::evaluate(disk_usage(95), true));
    output.record("token", unauthorized());
    output.checklist.skip(&["agent".to_owned()], "token");
    let json = table::json(&output.checklist.results(), cli::inputs_as_flags);
    insta::assert_snapshot!(format!("{json:#}"));
}

/// Names in the order of the table, as docs/doctor.md describes them.
#[test]
fn the_page_describes_each_check_in_order() {
    let page = include_str!("../../../docs/doctor.md");
    let (_, rows) = page
        .split_once("| Check | What it checks |")
        .expect("the table of checks");
    let (rows, _) = rows.split_once("\n\n").expect("the end of the table");
    let described: Vec<&str> = rows
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split(['`', ' ']).next())
        .collect();
    let names: Vec<&str> = CHECKS
        .iter()
        .chain(AGENT_CHECKS)
        .map(|check: &Check| check.name)
        .collect();
    assert_eq!(described, names);
}

#[test]
fn rows_of_several_agents_follow_each_other() {
    let scope = Scope {
        full: false,
        eks: false,
        registries: true,
        agents: vec!["amd64".into(), "arm64".into()],
    };
    let names: Vec<String> = planned(&scope).into_iter().map(|row| row.name).collect();
    assert_eq!(
        names,
        [
            "cluster",
            "registries",
            "token",
            "rbac deployments",
            "rbac configmaps",
            "rbac persistentvolumeclaims",
            "rbac events",
            "rbac pods",
            "rbac pods/exec",
            "storage-class",
            "csi-driver",
            "agent amd64",
            "volume amd64",
            "buildkit amd64",
            "disk amd64",
            "agent arm64",
            "volume arm64",
            "buildkit arm64",
            "disk arm64",
        ]
    );
}
