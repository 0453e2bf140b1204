//! From which networks the endpoint of a cluster can be reached. `aws` finds it out, and `cluster` words the remedy.

/// From which networks the endpoint of a cluster can be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EndpointAccess {
    /// Not known: EKS did not report it, or the cluster comes from a kubeconfig.
    #[default]
    Unknown,
    /// From every network.
    Public,
    /// Only from the cluster's VPC and peered networks.
    Private { cluster: String, region: String },
    /// Only from these networks.
    Restricted {
        cluster: String,
        cidrs: Vec<String>,
        /// Also from the cluster's VPC and peered networks.
        vpc: bool,
    },
}

impl EndpointAccess {
    /// Returns whether only some networks can reach the endpoint, as EKS reports it.
    pub fn is_limited(&self) -> bool {
        matches!(self, Self::Private { .. } | Self::Restricted { .. })
    }
}
