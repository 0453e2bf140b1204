//! From the inputs, or from a session that is about to expire, to keys of AWS.

use crate::aws::{self, AssumeRole, Clock, Keys, Place, Session};
use crate::github;
use crate::inputs::Role;
use crate::retry::Tries;
use crate::secret::Secret;

/// The session of a job. `mask` gets its secrets as soon as they are there.
pub(super) async fn sign_in(
    cluster: &str,
    region: Option<&str>,
    role: Option<&Role>,
    tries: &Tries,
    mask: fn(&Secret),
) -> anyhow::Result<Session> {
    let role = role.map(|role| AssumeRole {
        arn: role.arn.clone(),
        audience: role.audience.clone(),
        session_name: github::session_name(),
    });
    let clock = Clock::default();
    let (keys, place) = keys(role.as_ref(), region, &clock, tries, mask).await?;
    keys.secrets().for_each(mask);
    Ok(Session {
        cluster: cluster.to_owned(),
        place,
        role,
        keys,
        clock,
    })
}

/// The same session with new keys. Nothing is masked: the plugin's output may go into a file.
pub(super) async fn renew(session: &Session, tries: &Tries) -> anyhow::Result<Session> {
    let region = Some(session.place.region.as_str());
    let (role, clock) = (session.role.as_ref(), &session.clock);
    let (keys, _place) = keys(role, region, clock, tries, |_| ()).await?;
    Ok(Session {
        keys,
        ..session.clone()
    })
}

/// Of the role, if there is one, or else of the default chain. `minted` sees the OIDC token before anybody else.
async fn keys(
    role: Option<&AssumeRole>,
    region: Option<&str>,
    clock: &Clock,
    tries: &Tries,
    minted: impl Fn(&Secret),
) -> anyhow::Result<(Keys, Place)> {
    let Some(role) = role else {
        return aws::default_chain(region, clock).await;
    };
    let signed_in = tries.run(|| async {
        let id = github::id_token(&role.audience).await?;
        minted(&id.jwt);
        aws::assume_role(role, region, clock, &id.jwt, &id.subject).await
    });
    signed_in.await
}
