//! Proxies and their CAs.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::support::{LAB, Namespace, Runner, run};

/// AWS by its own host names over TLS, through the proxy that the environment names and with its CA.
#[test]
fn aws_through_a_proxy_with_its_own_ca() -> Result<()> {
    let _namespace = Namespace::new("proxied")?;
    let mut runner = Runner::new()?;
    runner.env.remove("AWS_ENDPOINT_URL");
    let ca = LAB.proxy_ca.to_string_lossy().into_owned();
    for (name, value) in [
        ("HTTPS_PROXY", LAB.https_proxy.as_str()),
        // Only the cluster's addresses, because the proxy does not forward to them.
        ("NO_PROXY", "10.200.0.0/16"),
        ("SSL_CERT_FILE", &ca),
    ] {
        runner.env.insert(name.into(), value.into());
    }
    let connected = runner.connect(&[("namespace", "proxied")])?.ok()?;
    runner.build("RUN echo built")?;
    // The cluster is reached without a proxy, so only its own CA is trusted.
    ensure!(
        authorities(&connected.outputs["kubeconfig"])? == 1,
        "more than its own CA"
    );
    Ok(())
}

/// Returns how many CAs the kubeconfig trusts for its cluster.
fn authorities(kubeconfig: &str) -> Result<usize> {
    let config: Value = serde_json::from_slice(&std::fs::read(kubeconfig)?)?;
    let data = config["clusters"][0]["cluster"]["certificate-authority-data"].as_str();
    let script = format!("echo {} | base64 -d", data.context("no CA")?);
    let pem = run(Command::new("sh").args(["-c", &script]))?;
    Ok(pem.matches("BEGIN CERTIFICATE").count())
}

/// A proxy that decrypts TLS; see intercept.py.
struct Intercept {
    proxy: Child,
    ca_dir: tempfile::TempDir,
    url: String,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Intercept {
    fn start() -> Result<Self> {
        let ca_dir = tempfile::tempdir()?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut proxy = Command::new(&LAB.python)
            .arg(root.join("tests/lab/networks/intercept.py"))
            .arg(ca_dir.path())
            .arg(LAB.aws_endpoint.trim_start_matches("http://"))
            .env("PYTHONPATH", root.join("lab/stub"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut lines = BufReader::new(proxy.stdout.take().context("stdout")?).lines();
        let port = lines.next().context("the proxy did not start")??;
        Ok(Self {
            proxy,
            ca_dir,
            url: format!("http://me:pass%40word@[::1]:{port}"),
            lines,
        })
    }

    fn ca(&self) -> String {
        self.ca_dir
            .path()
            .join("aws-ca.crt")
            .to_string_lossy()
            .into_owned()
    }

    /// Stops the proxy and returns the addresses that were requested.
    fn stop(mut self) -> Result<Vec<String>> {
        self.proxy.kill()?;
        Ok(self.lines.by_ref().map_while(Result::ok).collect())
    }
}

impl Drop for Intercept {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

/// Runs connect, its plugin, kubectl and a build through a proxy that decrypts all TLS, including the API server's.
fn connect_through_proxy(namespace: &str, variable: &str) -> Result<()> {
    let _namespace = Namespace::new(namespace)?;
    let proxy = Intercept::start()?;
    let mut runner = Runner::new()?;
    runner.env.remove("AWS_ENDPOINT_URL");
    let oidc = "pipelines.actions.githubusercontent.com";
    let oidc_url = LAB
        .oidc_url
        .replace(&LAB.aws_endpoint, &format!("https://{oidc}"));
    for (name, value) in [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", oidc_url),
        ("HTTPS_PROXY", proxy.url.clone()),
        (variable, proxy.ca()),
        ("RUNNER_DEBUG", "1".into()),
    ] {
        runner.env.insert(name.into(), value);
    }
    let connected = runner.connect(&[("namespace", namespace)])?.ok()?;
    ensure!(!connected.log.contains("pass%40word"), "{}", connected.log);
    let kubeconfig = &connected.outputs["kubeconfig"];
    ensure!(authorities(kubeconfig)? == 2, "the cluster's and the proxy's");
    runner.build("RUN echo built")?;
    let mut kubectl = runner.command(LAB.bin.join("kubectl"));
    run(kubectl.args(["--kubeconfig", kubeconfig, "-n", namespace, "get", "pods"]))?;
    let requested = proxy.stop()?;
    let cluster = LAB.api_server.trim_start_matches("https://");
    for address in [
        format!("{oidc}:443"),
        format!("sts.{}.amazonaws.com:443", LAB.region),
        format!("eks.{}.amazonaws.com:443", LAB.region),
        cluster.to_owned(),
    ] {
        ensure!(requested.contains(&address), "no {address} in {requested:?}");
    }
    Ok(())
}

#[test]
fn decrypting_proxy_with_aws_ca_bundle() -> Result<()> {
    connect_through_proxy("opened", "AWS_CA_BUNDLE")
}

#[test]
fn decrypting_proxy_with_ssl_cert_file() -> Result<()> {
    connect_through_proxy("opened-too", "SSL_CERT_FILE")
}

#[test]
fn missing_ca_bundle_is_reported() -> Result<()> {
    for variable in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        let mut runner = Runner::new()?;
        runner.env.insert(variable.into(), "/nowhere/ca.pem".into());
        let outcome = runner.connect(&[])?;
        ensure!(
            outcome.code == Some(1)
                && outcome.log.contains("CA bundle cannot be used")
                && outcome
                    .log
                    .contains(&format!("the CA bundle /nowhere/ca.pem that {variable} names")),
            "{}",
            outcome.log
        );
    }
    Ok(())
}
