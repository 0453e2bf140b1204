//! A complete job under act: from no agent to a pushed image, and again from another home directory.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::{Checkout, Job};
use serde_json::Value;

use crate::support::{LAB, Namespace, checkout, role, run};

const WORKFLOW: &str = r#"
on: push
permissions: { id-token: write, contents: read }
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v7
      - id: builder
        uses: ./
        with: { cluster: CLUSTER, region: REGION, role-to-assume: "ROLE", namespace: NAMESPACE }
      - uses: docker/build-push-action@v7
        with: { push: true, tags: "REGISTRY/NAMESPACE:latest" }
      - run: |
          echo "name=${{ steps.builder.outputs.name }} driver=${{ steps.builder.outputs.driver }}"
          test "$BUILDX_BUILDER" = "${{ steps.builder.outputs.name }}"
          echo "a build by hand"
          docker-buildx build --progress plain --output type=local,dest=out --target probe .
          echo "mount: $(cat out/log | tr '\n' ' ')"
"#;

/// Returns a Dockerfile whose cache mount gets a line each time its step runs. `run` makes that step run again in
/// each checkout.
fn dockerfile(run: &str) -> String {
    format!(
        "FROM {}/busybox AS base\nRUN echo layer > /layer\n\
         FROM base AS probe-run\nRUN --mount=type=cache,target=/cache echo {run} >> /cache/log && cp /cache/log /log\n\
         FROM scratch AS probe\nCOPY --from=probe-run /log /log\n\
         FROM base\nCOPY greeting /greeting\n",
        LAB.registry
    )
}

fn workspace(namespace: &str, run: &str) -> Result<Checkout> {
    let workflow = WORKFLOW
        .replace("CLUSTER", &LAB.cluster)
        .replace("REGION", &LAB.region)
        .replace("ROLE", &role("ci"))
        .replace("REGISTRY", &LAB.registry)
        .replace("NAMESPACE", namespace);
    checkout(&[
        (".github/workflows/build.yml", &workflow),
        ("Dockerfile", &dockerfile(run)),
        ("greeting", "hello\n"),
    ])
}

/// Returns a file of an image from the registry. Searches the layers from the last to the first.
fn file_in_image(repository: &str, path: &str) -> Result<String> {
    let registry = format!("https://{}/v2/{repository}", LAB.registry);
    let curl = |url: &str| {
        let mut command = Command::new("curl");
        command
            .arg("--cacert")
            .arg(&LAB.registry_ca)
            .args(["-sfL", "--noproxy", "*"]);
        for kind in [
            "application/vnd.oci.image.index.v1+json",
            "application/vnd.oci.image.manifest.v1+json",
        ] {
            command.args(["-H", &format!("Accept: {kind}")]);
        }
        command.arg(url);
        command
    };
    let json = |url: String| -> Result<Value> { Ok(serde_json::from_str(&run(&mut curl(&url))?)?) };
    let index = json(format!("{registry}/manifests/latest"))?;
    let digest = index["manifests"][0]["digest"].as_str().context("an index")?;
    let manifest = json(format!("{registry}/manifests/{digest}"))?;
    let layers = manifest["layers"].as_array().context("a manifest")?;
    for layer in layers.iter().rev() {
        let digest = layer["digest"].as_str().context("a digest")?;
        let blob = tempfile::NamedTempFile::new()?;
        run(curl(&format!("{registry}/blobs/{digest}"))
            .arg("-o")
            .arg(blob.path()))?;
        let mut tar = Command::new("tar");
        if let Ok(text) = run(tar.arg("-xzOf").arg(blob.path()).arg(path)) {
            return Ok(text);
        }
    }
    anyhow::bail!("no {path} in any layer of {repository}")
}

#[test]
fn job_builds_pushes_and_uses_its_cache() -> Result<()> {
    let namespace = Namespace::new("job")?;
    let file = ".github/workflows/build.yml";

    let first = Job::run(&LAB, &workspace("job", "first")?, file, |_| {})?.ok()?;
    ensure!(first.log.contains("deployed it"), "{}", first.log);
    ensure!(first.log.contains("driver=kubernetes"), "{}", first.log);
    let (pushed, _) = first.log.split_once("a build by hand").context("one step")?;
    ensure!(
        !pushed.contains("CACHED"),
        "a fresh agent had a cache: {}",
        first.log
    );
    assert_eq!(file_in_image("job", "greeting")?, "hello\n");

    let second = Job::run(&LAB, &workspace("job", "second")?, file, |_| {})?.ok()?;
    ensure!(
        second.log.contains("Found agent job/remote-buildkit-agent"),
        "{}",
        second.log
    );
    let (pushed, _) = second.log.split_once("a build by hand").context("one step")?;
    let steps = steps(pushed);
    ensure!(steps.len() >= 2, "no steps in {pushed}");
    for (step, cached) in steps {
        ensure!(cached, "{step} was not cached: {pushed}");
    }
    ensure!(
        second.log.contains("mount: first second"),
        "the cache mount lost what the first run wrote: {}",
        second.log
    );

    for job in [&first, &second] {
        let buildx = job.home().join(".docker/buildx");
        let left: Vec<_> = std::fs::read_dir(buildx.join("instances"))?.collect();
        ensure!(left.is_empty(), "post left {left:?}");
    }
    assert_eq!(namespace.names("deployment")?, ["remote-buildkit-agent"]);
    assert_eq!(namespace.names("pvc")?, ["remote-buildkit-agent"]);
    Ok(())
}

/// Returns the steps of a build and whether each is reported as CACHED (`#6 [base 2/2] RUN …`, then `#6 CACHED`).
/// Omits FROM, which is resolved instead.
fn steps(log: &str) -> Vec<(&str, bool)> {
    let lines: Vec<&str> = log.lines().filter_map(|l| Some(l.split_once("| #")?.1)).collect();
    let step =
        |line: &&str| line.contains(" [") && !line.contains(" [internal]") && !line.contains("] FROM ");
    let cached = |line: &str| {
        let number = line.split(' ').next().unwrap_or_default();
        lines.contains(&format!("{number} CACHED").as_str())
    };
    lines
        .iter()
        .filter(|l| step(l))
        .map(|l| (*l, cached(l)))
        .collect()
}

/// No log of the run contains a secret that others could use, and the cluster's audit log names the run.
#[test]
fn job_shows_its_builder_and_no_secret() -> Result<()> {
    let _namespace = Namespace::new("secrets")?;
    let workflow = r#"
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v7
      - uses: ./
        id: builder
        with: { cluster: CLUSTER, region: REGION, role-to-assume: "ROLE", namespace: secrets }
      - run: |
          cp "$(dirname "${{ steps.builder.outputs.kubeconfig }}")/session.json" "$HOME/kept.json"
          docker-buildx build --progress plain .
          # What a careless step would print.
          cat "$HOME/kept.json"
"#;
    let workflow = workflow
        .replace("CLUSTER", &LAB.cluster)
        .replace("REGION", &LAB.region)
        .replace("ROLE", &role("ci"));
    let workspace = checkout(&[
        (".github/workflows/build.yml", &workflow),
        ("Dockerfile", &dockerfile("once")),
        ("greeting", "hello\n"),
    ])?;
    let job = Job::run(&LAB, &workspace, ".github/workflows/build.yml", |_| {})?.ok()?;
    let session: Value = serde_json::from_slice(&std::fs::read(job.home().join("kept.json"))?)?;
    let keys = &session["keys"];
    let audit = std::fs::read_to_string(&LAB.audit_log)?;
    let authenticator = std::fs::read_to_string(&LAB.authenticator_log)?;
    for secret in ["secret_access_key", "session_token"] {
        let secret = keys[secret].as_str().with_context(|| format!("no {secret}"))?;
        for log in [&job.log, &audit, &authenticator] {
            ensure!(!log.contains(secret), "a secret is in a log: {log}");
        }
    }
    ensure!(
        !job.log.contains(&LAB.oidc_request_token),
        "the request token is in the log"
    );
    for start in ["k8s-aws-v1.", "eyJhbGciOi"] {
        ensure!(!job.log.contains(start), "a token is in the log: {}", job.log);
    }
    ensure!(
        job.log.contains("***"),
        "nothing was masked, so nothing was tested: {}",
        job.log
    );

    let user = format!("arn:aws:sts::{}:assumed-role/ci/acme-shop-1", LAB.account);
    let exec = audit
        .lines()
        .find(|l| l.contains("/namespaces/secrets/pods/") && l.contains("/exec"));
    ensure!(
        exec.context("no exec in the audit log")?.contains(&user),
        "{exec:?}"
    );
    Ok(())
}
