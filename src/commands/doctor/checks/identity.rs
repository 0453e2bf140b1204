//! Checks the AWS identity, for a cluster on EKS.

use jiff::Timestamp;

use super::super::Doctor;
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::aws::{self, Identity, Session};
use crate::commands::sign_in;
use crate::inputs::AwsIdentity;
use crate::problem::Problem;

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
    let role_arn = |problem| {
        session
            .identity
            .role()
            .map(|role| role.arn.clone())
            .ok_or(problem)
    };
    let arn = aws::caller_arn(&session).await.or_else(role_arn);
    let region = &session.region.name;
    let finding = evaluate(arn, &credentials, region, session.keys.expires);
    Ok((finding, session))
}

/// Returns the finding for credentials. `arn` is the ARN of their identity, or why STS did not return it.
pub fn evaluate(
    arn: Result<String, Problem>,
    credentials: &str,
    region: &str,
    expires: Option<Timestamp>,
) -> Finding {
    let arn = match arn {
        Ok(arn) => arn,
        Err(problem) => return problem.into(),
    };
    let until = match expires {
        Some(expires) => format!(", valid until {}", expires.strftime("%H:%M:%SZ")),
        None => String::new(),
    };
    Finding::ok(format!("{arn}, {credentials}, region {region}{until}"))
}
