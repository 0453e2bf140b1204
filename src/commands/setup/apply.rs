//! Carries out a plan, step by step. Each step can be repeated.

use anyhow::Context;

use super::{Found, explain};
use crate::aws::{EksAccess, Iam, Session};
use crate::report::Report;
use crate::retry::Retrier;
use crate::setup::account::AwsTarget;
use crate::setup::plan::{Action, Mark, Step};

/// Carries out the steps of a plan in their order.
pub(super) async fn apply(found: Found, report: Report, retrier: Retrier) -> anyhow::Result<()> {
    let Found {
        cluster,
        session,
        target,
        agents,
        steps,
    } = found;
    let cluster = cluster.with_retrier(retrier.clone());
    for Step {
        mark, what, action, ..
    } in &steps
    {
        let applied = match action {
            None => continue,
            Some(Action::Apply(object)) => cluster.apply_object(object).await,
            Some(Action::DeployAgent(name)) => {
                let agent = agents.iter().find(|agent| agent.name == *name);
                cluster
                    .deploy(agent.context("the plan has an unknown agent")?)
                    .await
            }
            Some(action) => {
                let aws = target.as_ref().zip(session.as_ref());
                let (target, session) = aws.context("the plan has a step in AWS, and there is no account")?;
                apply_in_aws(action, target, session, &retrier).await?;
                Ok(())
            }
        };
        if let Err(error) = applied {
            return Err(explain(error, session.as_ref()).await);
        }
        let verb = if *mark == Mark::Create {
            "Created"
        } else {
            "Changed"
        };
        report.done(&format!("{verb}: {what}"));
    }
    Ok(())
}

async fn apply_in_aws(
    action: &Action,
    target: &AwsTarget,
    session: &Session,
    retrier: &Retrier,
) -> anyhow::Result<()> {
    let (iam, eks) = (
        Iam::new(session, retrier).await?,
        EksAccess::new(session, retrier).await?,
    );
    match action {
        Action::CreateProvider => iam.create_provider(target).await,
        Action::AddAudience => iam.add_audience(target).await,
        Action::CreateRole => iam.create_role(target).await,
        Action::UpdateTrustPolicy => iam.update_trust(target).await,
        Action::PutPermissions => iam.put_permissions(target).await,
        Action::ChangeAuthenticationMode => eks.change_authentication_mode(target).await,
        Action::CreateEntry => eks.create_entry(target).await,
        Action::UpdateEntry(groups) => eks.update_entry(target, groups).await,
        Action::Apply(_) | Action::DeployAgent(_) => anyhow::bail!("not a step in AWS"),
    }
}
