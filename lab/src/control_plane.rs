//! Starts etcd, the API server, its authenticator, the controllers and the scheduler, with certificates for all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use crate::command;
use crate::network::{API_SERVER_PORT, GATEWAY, SERVICE, SERVICES, node_ip};
use crate::pki::{Authority, signing_key, write_secret};
use crate::process::Daemons;

/// Without it they would serve their metrics on every interface.
const LOOPBACK: &str = "--bind-address=127.0.0.1";

/// The certificates and kubeconfigs of a lab.
#[derive(Debug)]
pub(crate) struct Pki {
    pub(crate) dir: PathBuf,
}

impl Pki {
    pub(crate) fn make(dir: &Path, nodes: usize) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let ca = Authority::new("lab cluster")?;
        fs::write(dir.join("ca.crt"), &ca.pem)?;
        write_secret(&dir.join("ca.key"), &ca.key_pem)?;
        let server = [
            "localhost",
            "kubernetes",
            "kubernetes.default.svc",
            "127.0.0.1",
            GATEWAY,
            SERVICE,
        ];
        ca.issue("kube-apiserver", None, &server)?
            .write(dir, "apiserver")?;
        ca.issue("kube-apiserver", Some("system:masters"), &[])?
            .write(dir, "kubelet-client")?;
        let (signing, verifying) = signing_key()?;
        write_secret(&dir.join("sa.key"), &signing)?;
        fs::write(dir.join("sa.pub"), verifying)?;
        let pki = Self { dir: dir.to_owned() };
        for (name, user, group) in [
            ("admin", "admin", Some("system:masters")),
            ("kcm", "system:kube-controller-manager", None),
            ("scheduler", "system:kube-scheduler", None),
        ] {
            ca.issue(user, group, &[])?.write(dir, name)?;
            pki.write_kubeconfig(name)?;
        }
        for node in 1..=nodes {
            let name = format!("node{node}");
            let leaf = ca.issue(
                &format!("system:node:{name}"),
                Some("system:nodes"),
                &[&name, &node_ip(node)],
            )?;
            leaf.write(dir, &name)?;
            pki.write_kubeconfig(&name)?;
        }
        Ok(pki)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    pub(crate) fn kubeconfig(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.kubeconfig"))
    }

    fn write_kubeconfig(&self, name: &str) -> Result<()> {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {
                "server": format!("https://{GATEWAY}:{API_SERVER_PORT}"), "certificate-authority": self.path("ca.crt")}}],
            "users": [{"name": name, "user": {
                "client-certificate": self.path(&format!("{name}.crt")), "client-key": self.path(&format!("{name}.key"))}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
        });
        write_secret(&self.kubeconfig(name), &config.to_string())
    }
}

/// The inputs of the control plane.
#[derive(Debug)]
pub(crate) struct ControlPlane<'a> {
    pub(crate) daemons: &'a Daemons,
    pub(crate) bin: &'a Path,
    pub(crate) dir: &'a Path,
    pub(crate) pki: &'a Pki,
}

impl ControlPlane<'_> {
    fn program(&self, name: &str) -> Command {
        Command::new(self.bin.join(name))
    }

    pub(crate) fn kubectl(&self) -> Command {
        let mut kubectl = self.program("kubectl");
        kubectl.arg("--kubeconfig").arg(self.pki.kubeconfig("admin"));
        kubectl
    }

    pub(crate) fn start_etcd(&self) -> Result<()> {
        let mut etcd = self.program("etcd");
        etcd.arg("--data-dir")
            .arg(self.dir.join("etcd"))
            .arg("--unsafe-no-fsync");
        self.daemons.start("etcd", &mut etcd)?;
        Ok(())
    }

    /// Starts the real authenticator. It calls STS by its public host name, which `proxy` intercepts.
    pub(crate) fn start_authenticator(&self, aws: &crate::aws::Emulator) -> Result<PathBuf> {
        let state = self.dir.join("authenticator");
        fs::create_dir_all(&state)?;
        let webhook = state.join("webhook.kubeconfig");
        let mut authenticator = self.program("authenticator");
        authenticator
            .env("HTTPS_PROXY", aws.proxy())
            .env("SSL_CERT_FILE", aws.proxy_ca())
            .envs([
                ("AWS_EC2_METADATA_DISABLED", "true"),
                ("AWS_REGION", crate::aws::REGION),
            ])
            .envs([("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")])
            .args(["-cluster", crate::aws::CLUSTER])
            .arg("-state")
            .arg(&state)
            .arg("-webhook")
            .arg(&webhook)
            .arg("-access")
            .arg(aws.access());
        self.daemons.start("authenticator", &mut authenticator)?;
        self.daemons
            .wait_for("authenticator", "its webhook's kubeconfig", || {
                fs::metadata(&webhook).is_ok_and(|m| m.len() > 0)
            })?;
        Ok(webhook)
    }

    pub(crate) fn start_api_server(&self, webhook: &Path, audit_log: &Path) -> Result<()> {
        let policy = self.dir.join("audit-policy.yaml");
        fs::write(
            &policy,
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n",
        )?;
        let mut server = self.program("kube-apiserver");
        let mut flag = |name: &str, value: &dyn std::fmt::Display| {
            server.arg(format!("--{name}={value}"));
        };
        flag("etcd-servers", &"http://127.0.0.1:2379");
        flag("service-cluster-ip-range", &SERVICES);
        flag("bind-address", &GATEWAY);
        flag("advertise-address", &GATEWAY);
        flag("secure-port", &API_SERVER_PORT);
        for (name, file) in [
            ("tls-cert-file", "apiserver.crt"),
            ("tls-private-key-file", "apiserver.key"),
            ("client-ca-file", "ca.crt"),
            ("service-account-key-file", "sa.pub"),
            ("service-account-signing-key-file", "sa.key"),
            ("kubelet-client-certificate", "kubelet-client.crt"),
            ("kubelet-client-key", "kubelet-client.key"),
            ("kubelet-certificate-authority", "ca.crt"),
        ] {
            flag(name, &self.pki.path(file).display());
        }
        flag("service-account-issuer", &"https://kubernetes.default.svc");
        flag("authorization-mode", &"Node,RBAC");
        flag("kubelet-preferred-address-types", &"InternalIP");
        flag("allow-privileged", &true);
        flag("authentication-token-webhook-config-file", &webhook.display());
        // A role whose access entry is deleted must lose its access within the time of a test.
        flag("authentication-token-webhook-cache-ttl", &"1s");
        flag("audit-policy-file", &policy.display());
        flag("audit-log-path", &audit_log.display());
        self.daemons.start("apiserver", &mut server)?;
        self.daemons
            .wait_for("apiserver", "the API server to be ready", || {
                command::output(self.kubectl().args(["get", "--raw", "/readyz"])).is_ok()
            })
    }

    pub(crate) fn start_controllers(&self) -> Result<()> {
        let mut manager = self.program("kube-controller-manager");
        manager
            .arg(format!("--kubeconfig={}", self.pki.kubeconfig("kcm").display()))
            .arg(format!(
                "--service-account-private-key-file={}",
                self.pki.path("sa.key").display()
            ))
            .arg(format!("--root-ca-file={}", self.pki.path("ca.crt").display()))
            // Signs the certificates of kubelets once a test approves their requests.
            .arg(format!(
                "--cluster-signing-cert-file={}",
                self.pki.path("ca.crt").display()
            ))
            .arg(format!(
                "--cluster-signing-key-file={}",
                self.pki.path("ca.key").display()
            ))
            .args([
                "--use-service-account-credentials",
                "--leader-elect=false",
                LOOPBACK,
            ]);
        self.daemons.start("controller-manager", &mut manager)?;
        let mut scheduler = self.program("kube-scheduler");
        scheduler
            .arg(format!(
                "--kubeconfig={}",
                self.pki.kubeconfig("scheduler").display()
            ))
            .args(["--leader-elect=false", LOOPBACK]);
        self.daemons.start("scheduler", &mut scheduler)?;
        Ok(())
    }
}
