use std::time::Duration;

use clap::{CommandFactory, Parser};

use super::validation::{TextErrors, ValidationErrors};
use super::*;
use crate::cli::{Cli, Command};
use crate::problem::Problem;

fn plan(flags: &[&str]) -> Result<Plan, Problem> {
    let line = ["remote-buildkit", "connect"].iter().chain(flags);
    match Cli::parse_from(line).command {
        Command::Connect(args) => connect(&args),
        other => panic!("not connect: {other:?}"),
    }
}

/// An error shows the input's name, its value and what is allowed.
#[test]
fn all_invalid_inputs_are_reported_together() {
    let invalid = [
        ("cluster", "sh op", "the name of an EKS cluster"),
        ("region", "Frankfurt", "us-west-2"),
        ("role-to-assume", "ci", "arn:aws:iam::"),
        ("context", "x", "requires `kubeconfig`"),
        ("name", "Agent", "lower-case letters"),
        ("namespace", "-x", "lower-case letters"),
        ("platforms", "windows/amd64", "linux/ARCHITECTURE"),
        ("agents", "many", "must be a whole number from 1 to 100"),
        ("image", "", "must be an image reference"),
        ("storage", "50 Gi", "a quantity of at least 1Gi"),
        ("storage-class", "GP3", "the name of a StorageClass"),
        ("cpu", "fast", "a CPU quantity"),
        ("memory", "8 Gi", "a quantity of bytes"),
        ("isolation", "strong", "privileged, rootless, user-namespace"),
        ("entitlements", "root", "security.insecure, network.host, device"),
        ("drain-timeout", "-5m", "a duration above zero"),
        ("max-parallelism", "0", "a whole number from 1"),
        ("registry-mirrors", "docker.io=", "docker.io="),
        ("buildkitd-config", "debugg = true", "debugg"),
        ("node-selector", "pool", "\"pool\" is not KEY=VALUE"),
        (
            "tolerations",
            "a=b:Never",
            "NoSchedule, PreferNoSchedule, NoExecute",
        ),
        ("service-account", "Builder", "the name of a ServiceAccount"),
        ("labels", "app=mine", "this label is reserved for remote-buildkit"),
        ("annotations", "a b=c", "\"a b\" is not a valid key"),
        ("patch", "spec: [", "line"),
        ("deploy", "maybe", "if-absent, always or never"),
        ("ecr", "docker.io", "auto, an account, a region"),
        ("timeout", "soon", "a duration above zero"),
        ("unavailable", "ignore", "must be fail or local"),
        ("buildx-version", "newest", "must be auto, system, or"),
        ("buildx-url", "mirror", "must be a URL such as"),
        ("buildx-sha256", "abc", "a SHA-256 checksum of 64"),
    ];
    let flags: Vec<String> = invalid
        .iter()
        .map(|(input, value, _)| format!("--{input}={value}"))
        .collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let message = plan(&flags).expect_err("all values are invalid").what;
    let errors: Vec<&str> = message.split("\n- ").skip(1).collect();
    assert_eq!(errors.len(), invalid.len(), "{message}");
    for (input, value, allowed) in invalid {
        let shown = match value {
            "" => format!("`{input}`: "),
            value => format!("`{input}: {value}`: "),
        };
        let error = errors.iter().find(|error| error.starts_with(&shown));
        let error = error.unwrap_or_else(|| panic!("{input} is not in {message}"));
        assert!(error.contains(allowed), "{allowed} is not in {error}");
    }
    let inputs = Cli::command();
    let inputs = inputs
        .find_subcommand("connect")
        .expect("connect")
        .get_arguments();
    let flags = inputs
        .filter_map(|arg| arg.get_long())
        .filter(|name| *name != "help");
    let untested: Vec<&str> = flags
        .filter(|name| invalid.iter().all(|(input, ..)| input != name))
        .collect();
    // Any text is valid as an audience or a key. The kubeconfig is a path that is opened later.
    assert_eq!(untested, ["audience", "kubeconfig", "cache-key"]);
}

#[test]
fn errors_of_a_complete_agent_are_reported() {
    let long = "a".repeat(60);
    let name = format!("--name={long}");
    for (flags, expected) in [
        (
            vec![name.as_str(), "--platforms=linux/arm64"],
            "more than 63 characters",
        ),
        (
            vec!["--patch=spec: {replicas: 3}"],
            "`spec.replicas`: a patch cannot change this field",
        ),
        (
            vec!["--patch=spec: {template: {metadata: {labels: {app: x}}}}"],
            "`spec.template.metadata.labels.app`",
        ),
        (
            vec!["--patch=specs: {}"],
            "unknown field `specs`; a patch can change `metadata` and `spec`",
        ),
        (
            vec![
                "--platforms=linux/arm64",
                "--node-selector=kubernetes.io/arch=amd64",
            ],
            "conflicts with `platforms`, which sets this label",
        ),
        (vec!["--platforms= , "], "contains no platform"),
        (
            vec!["--entitlements=,"],
            "`entitlements: ,`: must be one or more of",
        ),
        (
            vec!["--registry-mirrors=,"],
            "`registry-mirrors: ,`: contains no mirror",
        ),
        (
            vec!["--annotations=checksum/config=x"],
            "`annotations: checksum/config`: this annotation is reserved for remote-buildkit",
        ),
        (
            vec!["--annotations=remote-buildkit/volume-bytes=1"],
            "this annotation is reserved for remote-buildkit",
        ),
        (vec!["--platforms=linux/arm64,linux/arm64"], "is listed twice"),
    ] {
        let flags = [&["--cluster=a"][..], &flags].concat();
        let error = plan(&flags).expect_err(expected).what;
        assert!(error.contains(expected), "{expected} is not in {error}");
    }
}

#[test]
fn only_invalid_lines_are_shown() {
    for (flag, shown) in [
        (
            "--patch=spec:\n  secret: hush\n  replicas: [\n",
            "`patch: replicas: [`: line 3, column 13: unclosed bracket '['",
        ),
        (
            "--patch=- hush\n- hush\n",
            "`patch`: a patch must be a mapping such as `spec: …`, not a list",
        ),
        (
            "--patch=metadata: {annotations: {a: hush}}\nspec:\n  replicas: 3\n",
            "`patch`: `spec.replicas`: a patch cannot change this field",
        ),
        (
            "--patch=spec:\n  template:\n    spec:\n      containers: [hush]",
            "`patch`: `spec.template.spec.containers`: elements must be mappings, not a string",
        ),
        (
            "--buildkitd-config=# hush\ndebugg = true\n[dns]\nfoo = 1\n",
            "`buildkitd-config: debugg = true`: line 2, column 1: ",
        ),
        (
            "--buildkitd-config=# hush\ndebugg = true\n[dns]\nfoo = 1\n",
            "\n- `buildkitd-config: foo = 1`: line 4, column 1: ",
        ),
        (
            "--labels=a=hush\nb\n",
            "`labels`: entry 2: \"b\" is not KEY=VALUE",
        ),
        (
            "--registry-mirrors=hush.corp\nquay.io=m.corp/x y\n",
            "`registry-mirrors`: entry 2: `x y` is not a path; an entry is",
        ),
    ] {
        let error = plan(&["--cluster=a", flag]).expect_err(flag).what;
        assert!(
            error.contains(shown) && !error.contains("hush"),
            "{shown} is not in {error}"
        );
    }
}

/// The value is shown once, in front of what is wrong with it.
#[test]
fn errors_of_a_list_in_one_line_name_the_entry() {
    for (flag, shown) in [
        (
            "--registry-mirrors=m.corp,m.corp/y z",
            "`registry-mirrors: m.corp,m.corp/y z`: entry 2: `y z` is not a path; an entry is",
        ),
        (
            "--registry-mirrors=m.corp/y z",
            "`registry-mirrors: m.corp/y z`: `y z` is not a path; an entry is",
        ),
        (
            "--tolerations=a,b:NoExecute,c=d=e",
            "`tolerations: a,b:NoExecute,c=d=e`: entry 3: \"c=d=e\" is not KEY=VALUE:EFFECT",
        ),
        ("--node-selector= , ", "`node-selector: ,`: contains no KEY=VALUE"),
    ] {
        let error = plan(&["--cluster=a", flag]).expect_err(flag).what;
        assert!(error.contains(shown), "{shown} is not in {error}");
    }
}

#[test]
fn a_password_in_a_list_is_not_shown() {
    for mirrors in [
        "quay.io=me:hush@m.corp",
        "me:hush@a.corp,https://b.corp",
        "me:hush@a.corp,bad host",
        "me:hush@quay.io=m.corp",
        "bad host,https://me:hu/hush@m.corp",
        "ok.corp\nme:hush@quay.io=m.corp\n",
        "https://me:hush=,hush@m.corp",
        "me:hush@a.corp,https://me:hush@b.corp",
    ] {
        let flag = format!("--registry-mirrors={mirrors}");
        let error = plan(&["--cluster=a", &flag]).expect_err(mirrors).what;
        assert!(
            error.contains("`registry-mirrors") && !error.contains("hush"),
            "{error}"
        );
    }
}

/// An entry that begins as a place in a text does is not one.
#[test]
fn lines_are_not_taken_from_a_message() {
    let mut errors = ValidationErrors::default();
    let message = TextErrors::without_line("line 1 is not an entry");
    errors.add_text("labels", "hush\nx", message);
    assert_eq!(errors.0, ["`labels`: line 1 is not an entry"]);
}

#[test]
fn duplicate_entitlements_are_merged() {
    let plan = plan(&["--cluster=a", "--entitlements=device,device"]).expect("good");
    assert_eq!(plan.agents.spec.buildkitd.entitlements, ["device"]);
}

/// The machine that prints manifests is not the runner, so they name an architecture only if the inputs do.
#[test]
fn only_a_job_places_an_agent_on_its_own_architecture() {
    let plan = plan(&["--cluster=a"]).expect("good");
    let agent = plan.agents.all().remove(0);
    assert_eq!((agent.name.as_str(), agent.arch), ("remote-buildkit-agent", None));
    assert!(
        agent
            .default_arch
            .is_some_and(|arch| ["amd64", "arm64"].contains(&arch.as_str()))
    );
    let Command::Manifests(args) = Cli::parse_from(["remote-buildkit", "manifests"]).command else {
        panic!("not manifests");
    };
    assert_eq!(manifests(&args).expect("good").spec.default_arch, None);
}

/// By default an agent reserves something, and without a limit. An explicit `memory` is also the limit.
#[test]
fn requests_of_the_pod() {
    let resources = |flags: &[&str]| {
        let spec = plan(&[&["--cluster=a"][..], flags].concat())
            .expect("good")
            .agents
            .spec;
        [spec.cpu, spec.memory, spec.memory_limit].map(Option::unwrap_or_default)
    };
    assert_eq!(resources(&[]), ["1", "2Gi", ""]);
    assert_eq!(resources(&["--cpu=4", "--memory=8Gi"]), ["4", "8Gi", "8Gi"]);
    assert_eq!(resources(&["--cpu=0"]), ["", "2Gi", ""]);
    assert_eq!(resources(&["--cpu=0m", "--memory=0"]), ["", "", ""]);
}

#[test]
fn errors_do_not_show_credentials_of_a_url() {
    for (value, shown) in [
        ("https://me:secret@host/a", "https://***@host/a"),
        ("https://me:se/cr@et@host", "https://***@host"),
        ("https://host/a", "https://host/a"),
        ("me@host", "me@host"),
    ] {
        let mut errors = ValidationErrors::default();
        errors.add("github-url", value, "wrong");
        assert_eq!(errors.0, [format!("`github-url: {shown}`: wrong")]);
    }
}

#[test]
fn cluster_and_kubeconfig_are_exclusive() {
    assert!(plan(&[]).expect_err("none").what.contains("- `cluster`: set the"));
    assert!(
        plan(&["--cluster=a", "--kubeconfig=b"])
            .expect_err("both")
            .what
            .contains("not both")
    );
    assert!(
        plan(&[
            "--kubeconfig=b",
            "--role-to-assume=arn:aws:iam::123456789012:role/ci"
        ])
        .expect_err("a role without AWS")
        .what
        .contains("does not use AWS")
    );
    let with_ecr = plan(&[
        "--kubeconfig=b",
        "--region=eu-west-1",
        "--ecr=auto,\n222222222222/us-east-1",
    ]);
    assert_eq!(
        with_ecr.expect("good").registries.expect("some").selectors.len(),
        2
    );
    assert!(
        plan(&["--cluster=a", "--ecr= ,"])
            .expect_err("none")
            .what
            .contains("contains no registry")
    );
    assert!(plan(&["--cluster=a"]).expect("good").registries.is_none());
    assert!(matches!(
        plan(&["--kubeconfig=in-cluster"]).expect("good").cluster_access,
        ClusterAccess::InCluster
    ));
}

#[test]
fn valid_values_are_accepted() {
    let plan = plan(&[
        "--cluster=shop_1",
        "--region=us-gov-west-1",
        "--role-to-assume=arn:aws-us-gov:iam::123456789012:role/team/ci",
        "--storage=1.5Ti",
        "--cpu=3500m",
        "--memory=8Gi",
        "--timeout=90s",
    ])
    .expect("good");
    assert_eq!(plan.timeout, Duration::from_secs(90));
    assert_eq!(plan.agents.spec.storage_bytes.0, 3 << 39);
    assert_eq!(plan.deploy, Deploy::IfAbsent);
}
