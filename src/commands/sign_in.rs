//! Signs in to AWS, for a new session from the inputs or to renew a session.

use crate::aws::{self, AccessKeys, AssumeRole, AwsRegion, Clock, Identity, Session};
use crate::env;
use crate::github;
use crate::inputs;
use crate::retry::Retrier;
use crate::secret::Secret;

/// Signs in for a job, and for an EKS cluster if there is one. `mask` is called with each secret as soon as it
/// exists.
pub(super) async fn sign_in(
    cluster: Option<&str>,
    region: Option<&str>,
    identity: &inputs::AwsIdentity,
    retrier: &Retrier,
    mask: fn(&Secret),
) -> anyhow::Result<Session> {
    let identity = match identity {
        inputs::AwsIdentity::Role(role) => Identity::Role(AssumeRole {
            arn: role.arn.clone(),
            audience: role.audience.clone(),
            session_name: github::session_name(),
        }),
        inputs::AwsIdentity::Default => Identity::Default,
        inputs::AwsIdentity::Machine => Identity::Machine,
    };
    let clock = Clock::default();
    let (keys, region) = keys(&identity, region, &clock, retrier, mask).await?;
    keys.secrets().for_each(mask);
    Ok(Session {
        cluster: cluster.map(str::to_owned),
        region,
        environment: aws::session_environment(&identity, env::of_aws()),
        identity,
        keys,
        clock,
    })
}

/// Returns the session with new keys. Nothing is masked, because the plugin's output may go to a file.
pub(super) async fn renew(session: &Session, retrier: &Retrier) -> anyhow::Result<Session> {
    let region = Some(session.region.name.as_str());
    let (keys, _region) = keys(&session.identity, region, &session.clock, retrier, |_| ()).await?;
    Ok(Session {
        keys,
        ..session.clone()
    })
}

/// Returns new keys for an identity, and their region. `on_token` is called with the OIDC token before it is used.
async fn keys(
    identity: &Identity,
    region: Option<&str>,
    clock: &Clock,
    retrier: &Retrier,
    on_token: impl Fn(&Secret),
) -> anyhow::Result<(AccessKeys, AwsRegion)> {
    let role = match identity {
        Identity::Role(role) => role,
        Identity::Default => return aws::default_chain(region, clock).await,
        Identity::Machine => return aws::machine_credentials(region, clock).await,
    };
    let keys = retrier.run(|| async {
        let id = github::id_token(&role.audience).await?;
        on_token(&id.jwt);
        aws::assume_role(role, region, clock, &id.jwt, &id.subject).await
    });
    keys.await
}
