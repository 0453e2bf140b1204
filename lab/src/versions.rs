//! What the lab is made of. A changed version rebuilds that entry of the cache and nothing else.

pub const KUBERNETES: &str = "1.34.4";
pub const ETCD: &str = "3.6.16";
/// With hclfmt, which formats Terraform's language as its own `fmt` does.
pub const HCL: &str = "2.25.0";
pub const BUILDKIT: &str = "0.34.2";
pub const BUILDX: &str = "0.38.2";
pub const DOCKER_CLI: &str = "29.8.2";
pub const CONTAINERD: &str = "2.4.2";
pub const RUNC: &str = "1.5.2";
/// As BuildKit's Dockerfile has it.
pub const ROOTLESSKIT: &str = "3.2.0";
pub const ACT: &str = "0.2.89";
/// Checks of workflows: their security and their correctness.
pub const ZIZMOR: &str = "1.32.0";
pub const ACTIONLINT: &str = "1.7.12";

/// Packages of the lab's Python environment.
pub const PYTHON: &[&str] = &[
    "ministack==1.5.33",
    "boto3==1.43.106",
    "pyjwt==2.15.1",
    "cryptography==50.0.2",
    "awscli==1.46.3",
];

/// Packages of the lab's `node_modules`, beside a node 24 for this architecture.
pub const NPM: &[&str] = &["@docker/actions-toolkit@0.101.0"];
pub const NODE24: &str = "24.21.0";

/// Taken from the distribution's archive, whose release fixes their versions.
pub const DEBIAN: &[&str] = &[
    "busybox-static",
    "containernetworking-plugins",
    "docker-registry",
    "libseccomp-dev",
    "uidmap",
];
