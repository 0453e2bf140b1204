//! Every server over IPv6.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::support::{Forward, LAB, Namespace, Runner, kubectl};

/// Writes the administrator's kubeconfig with another address of the API server, and returns its path.
pub(super) fn kubeconfig(runner: &Runner, server: &str) -> Result<PathBuf> {
    let config = kubectl(&["config", "view", "--raw", "--flatten", "-o", "json"])?;
    let mut config: Value = serde_json::from_str(&config)?;
    let cluster = &mut config["clusters"][0]["cluster"];
    cluster["server"] = server.into();
    cluster["tls-server-name"] = "kubernetes".into();
    let path = runner.home.join("kubeconfig");
    std::fs::write(&path, config.to_string())?;
    Ok(path)
}

#[test]
fn api_server_by_ipv6_address() -> Result<()> {
    let _namespace = Namespace::new("six")?;
    let forward = Forward::to(LAB.api_server.trim_start_matches("https://"))?;
    let mut runner = Runner::new()?;
    // As in Go, the proxy does not apply to loopback addresses. The list has an empty entry.
    runner.env.insert("HTTPS_PROXY".into(), "http://[::1]:9".into());
    runner.env.insert("NO_PROXY".into(), "fd00::/8,".into());
    let path = kubeconfig(&runner, &format!("https://{}", forward.0))?;
    let connected = runner.step(
        runner.connect_command_with_only(&[("kubeconfig", &path.to_string_lossy()), ("namespace", "six")]),
    );
    connected?.ok()?;
    runner.build("RUN echo built")?;
    runner.disconnect()?.ok()?;
    Ok(())
}

#[test]
fn aws_and_github_by_ipv6_address() -> Result<()> {
    let _namespace = Namespace::new("six-aws")?;
    let server = LAB.aws_endpoint.trim_start_matches("http://");
    let forward = Forward::to(server)?;
    let mut runner = Runner::new()?;
    let address = forward.0.to_string();
    for name in ["AWS_ENDPOINT_URL", "ACTIONS_ID_TOKEN_REQUEST_URL"] {
        let url = runner.env[name].replace(server, &address);
        ensure!(url.contains("[::1]"), "{url}");
        runner.env.insert(name.into(), url);
    }
    runner.connect(&[("namespace", "six-aws")])?.ok()?;
    runner.build("RUN echo built")?;
    Ok(())
}

/// Uses AWS's dual-stack endpoints. The token still names the standard endpoint of STS: the cluster calls it, and the
/// authenticator accepts no other.
#[test]
fn dual_stack_endpoints_through_an_ipv6_proxy() -> Result<()> {
    let _namespace = Namespace::new("dual")?;
    let forward = Forward::to(LAB.https_proxy.trim_start_matches("http://"))?;
    let mut runner = Runner::new()?;
    runner.env.remove("AWS_ENDPOINT_URL");
    let ca = LAB.proxy_ca.to_string_lossy().into_owned();
    for (name, value) in [
        ("HTTPS_PROXY", format!("http://{}", forward.0)),
        ("NO_PROXY", "10.200.0.0/16".into()),
        ("SSL_CERT_FILE", ca),
        ("AWS_USE_DUALSTACK_ENDPOINT", "true".into()),
        ("RUNNER_DEBUG", "1".into()),
    ] {
        runner.env.insert(name.into(), value);
    }
    let connected = runner.connect(&[("namespace", "dual")])?.ok()?;
    let eks = format!("https://eks.{}.api.aws/clusters/{}", LAB.region, LAB.cluster);
    ensure!(connected.log.contains(&eks), "{}", connected.log);
    runner.build("RUN echo built")?;
    Ok(())
}
