//! Whole errors as the program prints them, compared with snapshots: a reviewer reads the text as a user does, and a change
//! of words shows as a difference. The servers are fakes. The last test checks that every error of
//! docs/errors.md is in a snapshot.

mod aws;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use lab::{HttpResponse, HttpServer};
use serde_json::json;

use crate::machine::{Machine, kubeconfig};

/// The errors of several cases, each under its name.
#[derive(Default)]
struct Errors(String);

impl Errors {
    fn add(&mut self, name: &str, machine: &Machine, command: Command) -> Result<()> {
        let text = machine.error(command).with_context(|| name.to_owned())?;
        self.0 += &format!("== {name}\n{text}\n");
        Ok(())
    }

    /// Runs commands that retry until their timeout at the same time.
    fn add_concurrently(&mut self, machine: &Machine, commands: Vec<(&str, Command)>) -> Result<()> {
        let texts: Vec<_> = std::thread::scope(|scope| {
            let runs: Vec<_> = commands
                .into_iter()
                .map(|(name, command)| (name, scope.spawn(|| machine.error(command))))
                .collect();
            runs.into_iter().map(|(name, run)| (name, run.join())).collect()
        });
        for (name, text) in texts {
            let text = text.map_err(|_| anyhow::anyhow!("{name} panicked"))?;
            self.0 += &format!("== {name}\n{}\n", text.with_context(|| name.to_owned())?);
        }
        Ok(())
    }

    /// Returns the text, with a server's URL instead of its random port.
    fn text(self, server: Option<&HttpServer>) -> String {
        match server {
            Some(server) => {
                let host = server.url.trim_start_matches("http://");
                self.0.replace(host, "127.0.0.1:PORT")
            }
            None => self.0,
        }
    }
}

#[test]
fn errors_of_inputs_and_the_machine() -> Result<()> {
    let mut errors = Errors::default();

    let machine = Machine::new()?;
    let flags = ["--storage", "lots", "--name", "No_Name", "--timeout", "soon"];
    let command = machine.command(&[&["connect", "--cluster", "shop"], &flags[..]].concat());
    errors.add("invalid flags", &machine, command)?;
    let inputs = [("cluster", "shop"), ("storage", "lots"), ("deploy", "sometimes")];
    errors.add("invalid inputs", &machine, machine.step("connect", &inputs))?;
    let no_cluster = machine.command(&["connect"]);
    errors.add("no cluster", &machine, no_cluster)?;
    let config = machine.write("kubeconfig", &kubeconfig("https://127.0.0.1:1", "{token: t}"))?;
    let connect = ["connect", "--kubeconfig", &config];
    let mut command = machine.command(&connect);
    command.env("PATH", machine.path("bin"));
    errors.add("no buildx", &machine, command)?;

    let machine = Machine::with_buildx("github.com/docker/buildx v0.37.0 0123abc")?;
    let config = machine.write("kubeconfig", &kubeconfig("https://127.0.0.1:1", "{token: t}"))?;
    let connect = ["connect", "--kubeconfig", &config];
    let mut with = |name: &str, variable: &str, value: &str, flags: &[&str]| {
        let mut command = machine.command(&[&connect, flags].concat());
        command.env(variable, value);
        errors.add(name, &machine, command)
    };
    with("buildx directory that is a file", "BUILDX_CONFIG", &config, &[])?;
    with(
        "runtime directory that is a file",
        "XDG_RUNTIME_DIR",
        &config,
        &[],
    )?;
    machine.write("docker/config.json", "{\"auths\": ")?;
    let docker = machine.text("docker");
    with(
        "invalid docker config",
        "DOCKER_CONFIG",
        &docker,
        &["--ecr", "auto"],
    )?;
    let proxied = machine.write("proxied", &kubeconfig("https://shop.example.com", "{token: t}"))?;
    let mut command = machine.command(&["connect", "--kubeconfig", &proxied]);
    command.env("HTTPS_PROXY", "socks5://user:secret@proxy.corp:1080");
    errors.add("SOCKS proxy", &machine, command)?;
    for (name, path) in [
        ("CA bundle that does not exist", "/absent.pem"),
        ("CA bundle without a certificate", &config),
    ] {
        let mut command = machine.command(&["connect", "--cluster", "shop", "--region", "eu-west-1"]);
        command.env("AWS_CA_BUNDLE", path);
        errors.add(name, &machine, command)?;
    }
    errors.add(
        "disconnect without a builder",
        &machine,
        machine.command(&["disconnect"]),
    )?;
    let unknown = machine.command(&["disconnect", "--builder", "mine"]);
    errors.add("unknown builder", &machine, unknown)?;
    let mut post = machine.step("disconnect", &[]);
    post.envs([("STATE_dir", config.as_str()), ("STATE_builder", "agent-1")]);
    errors.add("file in place of the job's directory", &machine, post)?;

    insta::assert_snapshot!(errors.text(None));
    Ok(())
}

#[test]
fn errors_of_kubeconfigs() -> Result<()> {
    let machine = Machine::with_buildx("github.com/docker/buildx v0.37.0 0123abc")?;
    let mut errors = Errors::default();
    let config = machine.write("kubeconfig", &kubeconfig("https://127.0.0.1:1", "{token: t}"))?;
    machine.write("empty", "{apiVersion: v1, kind: Config}")?;
    let fails = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Never, \
                 args: [-c, 'echo no session >&2; exit 3']}}";
    machine.write("fails", &kubeconfig("https://127.0.0.1:1", fails))?;
    let absent =
        "{exec: {apiVersion: client.authentication.k8s.io/v1, command: kubelogin, interactiveMode: Never}}";
    machine.write("absent-plugin", &kubeconfig("https://127.0.0.1:1", absent))?;
    for (name, flags) in [
        ("file that does not exist", &["absent"][..]),
        ("no current context", &["empty"]),
        (
            "context that does not exist",
            &["kubeconfig", "--context", "live"],
        ),
        ("plugin that fails", &["fails"]),
        ("plugin that is not installed", &["absent-plugin"]),
        ("not in a pod", &["in-cluster"]),
    ] {
        let command = machine.command(&[&["connect", "--kubeconfig"], flags].concat());
        errors.add(name, &machine, command)?;
    }
    let in_job = [("kubeconfig", "in-cluster")];
    errors.add(
        "not in a pod, in a job",
        &machine,
        machine.step("connect", &in_job),
    )?;
    std::fs::remove_file(config)?;
    insta::assert_snapshot!(errors.text(None));
    Ok(())
}

/// Returns a server that answers every request as an API server rejects one.
fn api_server(
    status: u16,
    reason: &'static str,
    message: &'static str,
    kind: &'static str,
) -> Result<HttpServer> {
    HttpServer::start(move |_| {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason,
            "message": message, "details": {"kind": kind}});
        HttpResponse::new(status, body.to_string()).header("content-type", "application/json")
    })
}

#[test]
fn errors_of_the_cluster() -> Result<()> {
    let machine = Machine::with_buildx("github.com/docker/buildx v0.37.0 0123abc")?;
    let mut texts = String::new();
    for (name, status, reason, message, kind) in [
        (
            "identity that the cluster does not know",
            401,
            "Unauthorized",
            "Unauthorized",
            "",
        ),
        (
            "identity without permission",
            403,
            "Forbidden",
            "deployments.apps \"remote-buildkit-agent\" is forbidden: User \"ci\" cannot get resource \"deployments\" in \
             API group \"apps\" in the namespace \"buildkit\"",
            "deployments",
        ),
        (
            "namespace that does not exist",
            404,
            "NotFound",
            "namespaces \"buildkit\" not found",
            "namespaces",
        ),
        (
            "request that a quota rejects",
            403,
            "Forbidden",
            "persistentvolumeclaims \"remote-buildkit-agent\" is forbidden: exceeded quota: small",
            "persistentvolumeclaims",
        ),
        (
            "API server that fails",
            503,
            "ServiceUnavailable",
            "etcdserver: leader changed",
            "",
        ),
    ] {
        let server = api_server(status, reason, message, kind)?;
        let config = machine.write("kubeconfig", &kubeconfig(&server.url, "{token: t}"))?;
        let mut errors = Errors::default();
        let command = machine.command(&["connect", "--timeout", "6s", "--kubeconfig", &config]);
        errors.add(name, &machine, command)?;
        texts += &errors.text(Some(&server));
    }
    let mut errors = Errors::default();
    let proxy = Some("http://me:word@127.0.0.1:1");
    let mut commands = Vec::new();
    for (name, server, proxy) in [
        ("refused", "http://127.0.0.1:1", None),
        ("unresolved", "https://no-such-host.invalid", None),
        ("proxied", "https://shop.example.com", proxy),
    ] {
        let config = machine.write(name, &kubeconfig(server, "{token: t}"))?;
        let mut command = machine.command(&["connect", "--timeout", "4s", "--kubeconfig", &config]);
        command.envs(proxy.map(|proxy| ("HTTPS_PROXY", proxy)));
        commands.push(command);
    }
    let names = [
        "API server that refuses connections",
        "host name that cannot be resolved",
        "proxy that refuses connections",
    ];
    errors.add_concurrently(&machine, names.into_iter().zip(commands).collect())?;
    texts += &errors.text(None);
    insta::assert_snapshot!(texts);
    Ok(())
}

/// Creates a repository with one commit.
fn repository(files: &[(&str, &str)], bake: &str) -> Result<Machine> {
    let machine = Machine::with_buildx(bake)?;
    for (path, text) in files {
        machine.write(path, text)?;
    }
    for arguments in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A", ":!bin"],
        &[
            "-c",
            "user.name=octocat",
            "-c",
            "user.email=octocat@example.com",
            "commit",
            "-qm",
            "Shop",
        ],
    ] {
        let status = Command::new("git")
            .current_dir(machine.path(""))
            .args(arguments)
            .status()?;
        ensure!(status.success(), "git {arguments:?} failed");
    }
    Ok(machine)
}

#[test]
fn errors_of_matrix() -> Result<()> {
    let mut errors = Errors::default();
    let shop = [
        ("api/Dockerfile", "FROM scratch\n"),
        ("web/Dockerfile", "FROM scratch\n"),
    ];

    let machine = repository(&shop, "")?;
    for (name, flags) in [
        ("directory that does not exist", &["--workdir", "shop"][..]),
        ("base that does not exist", &["--base", "release"]),
        ("target that does not exist", &["--targets", "cart"]),
        ("nothing to build", &["--pattern", "*.dockerfile"]),
        ("target to explain that does not exist", &["--explain", "cart"]),
    ] {
        errors.add(name, &machine, machine.command(&[&["matrix"], flags].concat()))?;
    }
    for (name, input) in [
        ("directory that does not exist, in a job", ("workdir", "shop")),
        ("nothing to build, in a job", ("pattern", "*.dockerfile")),
    ] {
        errors.add(name, &machine, machine.step("matrix", &[input]))?;
    }
    let machine = repository(&[("Dockerfile", "FROM scratch\nCOPPY . .\n")], "")?;
    let invalid = || [("base", "HEAD")];
    errors.add(
        "Dockerfile with an error",
        &machine,
        machine.step("matrix", &invalid()),
    )?;

    let machine = repository(&shop, "")?;
    let github = HttpServer::start(|_| {
        let text = json!({"message": "Not Found", "documentation_url": "https://docs.github.com/rest"});
        HttpResponse::new(404, text.to_string())
    })?;
    let (before, after) = ("1".repeat(40), "2".repeat(40));
    let event = json!({"before": before, "after": after, "forced": false, "ref": "refs/heads/main"});
    let event = machine.write("event.json", &event.to_string())?;
    let mut step = machine.step("matrix", &[]);
    step.envs([
        ("GITHUB_EVENT_NAME", "push"),
        ("GITHUB_EVENT_PATH", &event),
        ("GITHUB_SHA", &after),
        ("GITHUB_API_URL", &github.url),
    ]);
    errors.add("repository that the token cannot read", &machine, step)?;

    let bake = ("docker-bake.hcl", "target \"api\" {}\n");
    let machine = repository(&[bake], "not JSON")?;
    errors.add(
        "output that is not bake's",
        &machine,
        machine.command(&["matrix"]),
    )?;
    let cycle = json!({"group": {"default": {"targets": ["api"]}}, "target": {
        "api": {"context": ".", "dockerfile": "Dockerfile", "contexts": {"web": "target:web"}},
        "web": {"context": ".", "dockerfile": "Dockerfile", "contexts": {"api": "target:api"}}}});
    let machine = repository(&[bake], &cycle.to_string())?;
    errors.add(
        "targets that need each other",
        &machine,
        machine.command(&["matrix"]),
    )?;
    let machine = repository(&[bake], "")?;
    let broken = "ERROR: docker-bake.hcl:1,8-9: Invalid expression; Expected the start of an expression.";
    machine.script("buildx", &format!("echo '{broken}' >&2; exit 1"))?;
    errors.add("bake file with an error", &machine, machine.command(&["matrix"]))?;
    let list = r#"case "$*" in *--list*) echo '[{"name": "api"}]';; *) echo 'ERROR: failed to find target cart' >&2; exit 1;; esac"#;
    machine.script("buildx", list)?;
    let unknown = machine.command(&["matrix", "--targets", "cart"]);
    errors.add("bake target that does not exist", &machine, unknown)?;

    let many: serde_json::Map<_, _> = (0..12_000)
        .map(|number| {
            let target = json!({"context": ".", "dockerfile": "Dockerfile", "tags": ["registry.example.com/".repeat(20)]});
            (format!("image-with-a-long-name-{number:05}"), target)
        })
        .collect();
    let names: Vec<_> = many.keys().cloned().collect();
    let many = json!({"group": {"default": {"targets": names}}, "target": many});
    let machine = repository(&[bake], "")?;
    let printed = machine.write("bin/printed", &many.to_string())?;
    machine.script("buildx", &format!("cat {printed}"))?;
    errors.add("matrix that is too large", &machine, machine.command(&["matrix"]))?;

    let some: serde_json::Map<_, _> = (0..300)
        .map(|number| {
            (
                format!("image-{number:03}"),
                json!({"context": ".", "dockerfile": "Dockerfile"}),
            )
        })
        .collect();
    let names: Vec<_> = some.keys().cloned().collect();
    let some = json!({"group": {"default": {"targets": names}}, "target": some});
    let machine = repository(&[bake], &some.to_string())?;
    errors.add(
        "more targets than a matrix can have jobs",
        &machine,
        machine.step("matrix", &[]),
    )?;

    insta::assert_snapshot!(errors.text(None));
    Ok(())
}

/// Errors that no snapshot has, and the reason.
const WITHOUT_SNAPSHOT: &[(&str, &str)] = &[];

/// Appends the text of all snapshots below a directory.
fn collect_snapshots(dir: &Path, found: &mut String) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_snapshots(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "snap") {
            found.push_str(&std::fs::read_to_string(path)?);
        }
    }
    Ok(())
}

#[test]
fn each_error_is_in_a_snapshot() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = String::new();
    for dir in ["src", "crates", "tests"] {
        collect_snapshots(&root.join(dir), &mut found)?;
    }
    let page = std::fs::read_to_string(root.join("docs/errors.md"))?;
    let titles: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    ensure!(titles.len() > 50, "docs/errors.md has {} errors", titles.len());
    let is_printed = |title: &str| {
        let annotation = format!(" title={}::", title.replace(':', "%3A"));
        found
            .lines()
            .any(|line| line.contains(&annotation) || line.contains(&format!("{title}: ")))
    };
    let missing: Vec<&str> = titles.into_iter().filter(|title| !is_printed(title)).collect();
    let expected: Vec<&str> = WITHOUT_SNAPSHOT.iter().map(|(title, _)| *title).collect();
    assert_eq!(
        missing, expected,
        "add a test that compares the whole error with a snapshot"
    );
    Ok(())
}
