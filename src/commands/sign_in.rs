//! From the inputs, or from a session that is about to expire, to keys of AWS.

use crate::aws::{self, AssumeRole, Session};
use crate::github;
use crate::inputs::Role;

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
    let (keys, place) = match &role {
        Some(role) => {
            let id = github::id_token(&role.audience).await?;
            github::mask(&id.jwt);
            aws::assume_role(role, region, &id.jwt, &id.subject).await?
        }
        None => aws::default_chain(region).await?,
    };
    keys.secrets().for_each(github::mask);
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
    let (keys, _place) = match &session.role {
        Some(role) => {
            let id = github::id_token(&role.audience).await?;
            aws::assume_role(role, region, &id.jwt, &id.subject).await?
        }
        None => aws::default_chain(region).await?,
    };
    Ok(Session {
        keys,
        ..session.clone()
    })
}
