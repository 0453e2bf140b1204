//! Which processor programs are for.

use serde::{Deserialize, Serialize};

/// One that the lab has nodes of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    /// This machine's.
    pub(crate) fn native() -> Self {
        match std::env::consts::ARCH {
            "aarch64" => Self::Arm64,
            _ => Self::Amd64,
        }
    }

    /// The second node is an arm64 one, the others are what the machine is.
    pub(crate) fn of_node(number: usize) -> Self {
        if number == 2 { Self::Arm64 } else { Self::native() }
    }

    pub(crate) fn is_native(self) -> bool {
        self == Self::native()
    }

    /// What Debian, Go, Kubernetes and OCI all call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}
