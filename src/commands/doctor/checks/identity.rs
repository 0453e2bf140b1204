//! Checks the AWS identity, for a cluster on EKS.

use jiff::Timestamp;

use super::super::Doctor;
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::aws::{self, Identity, Session};
use crate::commands::sign_in;
use crate::inputs::AwsIdentity;

pub const CHECK: Check = Check {
    applies: |scope| scope.eks,
    ..Check::new("identity", CheckGroup::Aws)
};

/// Signs in to AWS. Uses the session that connect has written, if it exists: then connect failed at a later step.
pub async fn run(
    doctor: &Doctor,
    cluster: &str,
    region: Option<&str>,
    identity: &AwsIdentity,
) -> anyhow::Result<(Finding, Session)> {
    let path = doctor.job_state.session();
    let session = if path.exists() {
        Session::read(&path)?
    } else {
        let session = sign_in::sign_in(Some(cluster), region, identity, &doctor.retrier, doctor.mask).await?;
        session.write(&path)?;
        session
    };
    let credentials = match &session.identity {
        Identity::Role(role) => format!("role session {}", role.session_name),
        Identity::Default => "the default AWS credentials".into(),
        Identity::Machine => "the AWS credentials of this machine".into(),
    };
    let role_arn = || session.identity.role().map(|role| role.arn.clone());
    let arn = aws::caller_arn(&session).await.or_else(role_arn);
    let region = &session.region.name;
    let finding = evaluate(arn.as_deref(), &credentials, region, session.keys.expires);
    Ok((finding, session))
}

/// Returns the finding for credentials. `arn` is the ARN of their identity, if it is known.
pub fn evaluate(arn: Option<&str>, credentials: &str, region: &str, expires: Option<Timestamp>) -> Finding {
    let Some(arn) = arn else {
        return Finding::failed(
            format!("STS did not return the identity of {credentials}"),
            format!(
                "Check that the credentials have not expired, and that this runner can reach STS in {region}."
            ),
        );
    };
    let until = match expires {
        Some(expires) => format!(", valid until {}", expires.strftime("%H:%M:%SZ")),
        None => String::new(),
    };
    Finding::ok(format!("{arn}, {credentials}, region {region}{until}"))
}
