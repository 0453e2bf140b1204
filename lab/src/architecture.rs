//! Processor architectures.

use serde::{Deserialize, Serialize};

/// The architecture of a node of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    /// Returns the architecture of this machine.
    pub(crate) fn native() -> Self {
        match std::env::consts::ARCH {
            "aarch64" => Self::Arm64,
            _ => Self::Amd64,
        }
    }

    /// Returns the architecture of a node: arm64 for the second node, the machine's own for all others.
    pub(crate) fn of_node(number: usize) -> Self {
        if number == 2 { Self::Arm64 } else { Self::native() }
    }

    pub(crate) fn is_native(self) -> bool {
        self == Self::native()
    }

    /// Returns the name that Debian, Go, Kubernetes and OCI use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}
