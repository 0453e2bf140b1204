//! From the inputs, or from a session that is about to expire, to keys of AWS.

use crate::aws::{self, AssumeRole, Keys, Place, Session};
use crate::github::{self, Stream};
use crate::inputs::Role;
use crate::secret::Secret;

pub(super) async fn sign_in(
    cluster: &str,
    region: Option<&str>,
    role: Option<&Role>,
) -> anyhow::Result<Session> {
    let role = role.map(|role| AssumeRole {
        arn: role.arn.clone(),
        audience: role.audience.clone(),
        session_name: github::session_name(),
    });
    let (keys, place) = keys(role.as_ref(), region, Stream::Stdout).await?;
    Ok(Session {
        cluster: cluster.to_owned(),
        place,
        role,
        keys,
    })
}

/// The same session with new keys.
pub(super) async fn renew(session: &Session) -> anyhow::Result<Session> {
    let region = Some(session.place.region.as_str());
    let (keys, _place) = keys(session.role.as_ref(), region, Stream::Stderr).await?;
    Ok(Session {
        keys,
        ..session.clone()
    })
}

async fn keys(role: Option<&AssumeRole>, region: Option<&str>, log: Stream) -> anyhow::Result<(Keys, Place)> {
    let mask = |secret: &Secret| github::mask(secret, log);
    let (keys, place) = match role {
        Some(role) => {
            let id = github::id_token(&role.audience).await?;
            mask(&id.jwt);
            aws::assume_role(role, region, &id.jwt, &id.subject).await?
        }
        None => aws::default_chain(region).await?,
    };
    keys.secrets().for_each(mask);
    Ok((keys, place))
}
