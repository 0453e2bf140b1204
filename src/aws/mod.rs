//! AWS: credentials, the cluster's endpoint, its token and ECR passwords; IAM and access entries for an administrator. The only
//! module that names a type of the AWS SDK.

mod access;
mod call;
mod clock;
mod ecr;
pub mod eks;
mod failure;
mod http;
mod iam;
mod identity;
mod keys;
mod region;
mod session;
mod token;

pub use access::EksAccess;
pub use clock::Clock;
pub use ecr::log_in;
pub use eks::{Endpoint, describe_cluster};
pub use iam::Iam;
pub use identity::{assume_role, caller_account, caller_arn, default_chain, machine_credentials};
pub use keys::AccessKeys;
pub use region::AwsRegion;
pub use session::{AssumeRole, Identity, Session, session_environment};
pub use token::token;
