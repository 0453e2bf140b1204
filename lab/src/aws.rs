//! Starts the emulator under `stub/` (EKS, ECR, STS, IAM, instance metadata, GitHub's OIDC issuer) and creates an account in
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::ecr::Ecr;
use crate::network::{API_SERVER_PORT, GATEWAY};
use crate::process::Daemons;
use crate::{asset, command};

pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const CLUSTER: &str = "demo";
/// The issuer of the cluster's service account tokens, for IRSA.
pub(crate) const ISSUER: &str = "oidc.eks.eu-west-1.amazonaws.com/id/DEMO";
/// The token that identifies a pod to the EKS Pod Identity Agent.
pub(crate) const POD_TOKEN: &str = "a-token-of-the-pod";
const PORT: u16 = 4566;
const PROXY_PORT: u16 = 3128;

#[derive(Debug)]
pub(crate) struct Emulator {
    dir: PathBuf,
}

impl Emulator {
    pub(crate) fn endpoint() -> String {
        format!("http://127.0.0.1:{PORT}")
    }

    pub(crate) fn proxy(&self) -> String {
        format!("http://127.0.0.1:{PROXY_PORT}")
    }

    pub(crate) fn proxy_ca(&self) -> PathBuf {
        self.dir.join("aws-ca.crt")
    }

    /// Returns the URL at which the EKS Pod Identity Agent returns credentials.
    pub(crate) fn pod_identity() -> String {
        format!("{}/_machine/pod-identity", Self::endpoint())
    }

    /// Returns the file of access entries that the authenticator reads.
    pub(crate) fn access(&self) -> PathBuf {
        self.dir.join("access.json")
    }

    /// Starts the emulator and creates the account. `cluster_ca` and `admin` belong to the cluster that DescribeCluster returns.
    pub(crate) fn start(
        daemons: &Daemons,
        dir: &Path,
        python: &Path,
        cluster_ca: &Path,
        admin: &Path,
        request_token: &str,
        ecr: &Ecr,
    ) -> Result<Self> {
        fs::create_dir_all(dir)?;
        fs::copy(cluster_ca, dir.join("ca.crt"))?;
        fs::copy(admin, dir.join("admin.kubeconfig"))?;
        let stub = asset("stub");
        let mut emulator = Command::new(python);
        emulator
            .env("STUB_DIR", dir)
            .env("STUB_PROXY_PORT", PROXY_PORT.to_string())
            .env("STUB_CLUSTER", CLUSTER)
            .env("STUB_REQUEST_TOKEN", request_token)
            .env("POD_IDENTITY_TOKEN", POD_TOKEN)
            .env("MINISTACK_IMDS_V2_REQUIRED", "1")
            .envs(ecr.env())
            .env("PYTHONPATH", stub.join("fakes"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("GATEWAY_PORT", PORT.to_string())
            .env("MINISTACK_HOST", GATEWAY)
            .env("EKS_BASE_PORT", API_SERVER_PORT.to_string())
            .env("MINISTACK_ACCOUNT_ID", ACCOUNT)
            .env("MINISTACK_REGION", REGION)
            .envs([
                ("BIND_HOST", "127.0.0.1"),
                ("IOT_MTLS_ENABLED", "0"),
                ("SFTP_ENABLED", "0"),
                ("AUTH", "true"),
            ])
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .env("DOCKER_HOST", "unix:///nonexistent")
            .arg(stub.join("main.py"));
        daemons.start("aws", &mut emulator)?;
        let listens = || std::net::TcpStream::connect(("127.0.0.1", PORT)).is_ok();
        daemons.wait_for("aws", "the AWS emulator to answer", listens)?;
        let mut seed = Command::new(python);
        seed.envs([("REGION", REGION), ("ACCOUNT", ACCOUNT), ("CLUSTER", CLUSTER)])
            .env("CLUSTER_ISSUER", ISSUER)
            .env("ENDPOINT", Self::endpoint())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(stub.join("seed.py"));
        command::output(&mut seed)?;
        Ok(Self { dir: dir.to_owned() })
    }
}
